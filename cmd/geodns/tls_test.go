package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// certificateText is a certificate of ns1.a.example and its key, in PEM.
func certificateText(t *testing.T, serial int64, until time.Duration) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "ns1.a.example"}, DNSNames: []string{"ns1.a.example"},
		NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: time.Now().Add(until),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8)
}

const year = 365 * 24 * time.Hour

// startTLSSite serves a.example over TLS, too; more is further configuration.
func startTLSSite(t *testing.T, more string) (s *site, at string) {
	t.Helper()
	cert, key := certificateText(t, 1, year)
	at = freePort(t).String()
	http := freePort(t).String()
	s = startSiteWith(t, fmt.Sprintf("control: run/control.sock\nhttp: %q\ntls: {listen: [%q], certificate: cert.pem, key: key.pem}\n%s", http, at, more),
		[2]string{"cert.pem", cert}, [2]string{"key.pem", key})
	if err := os.Chmod(filepath.Join(s.dir, "key.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.http = http
	return s, at
}

// serialAt is the serial of the certificate that a server shows.
func serialAt(t *testing.T, at string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}}) //nolint:gosec // It is made by the test.
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// kdig and dig ask over TLS, and check who answers; status and metrics tell.
func TestTLS(t *testing.T) {
	s, at := startTLSSite(t, unwatched+"transfer: {allow: [127.0.0.1/32]}\n")
	host, port, _ := net.SplitHostPort(at)
	ca := filepath.Join(s.dir, "cert.pem")
	for _, args := range [][]string{
		{"kdig", "@" + host, "-p", port, "+tls-ca=" + ca, "+tls-host=ns1.a.example", "+short"},
		{"dig", "@" + host, "-p", port, "+tls-ca=" + ca, "+tls-hostname=ns1.a.example", "+short"},
	} {
		for query, want := range map[string]string{"ns1.a.example A": "192.0.2.53\n", "n1.a.example A": "192.0.2.1\n"} {
			if out, err := exec.Command(args[0], append(args[1:], strings.Fields(query)...)...).CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("%v %s: %v\n%s", args, query, err, out)
			}
		}
		out, err := exec.Command(args[0], append(args[1:], "a.example", "AXFR")...).CombinedOutput()
		if err != nil || strings.Count(string(out), "192.0.2.") != 3 || strings.Count(string(out), "hostmaster.a.example. 1 ") != 2 {
			t.Errorf("%v AXFR: %v\n%s", args, err, out)
		}
	}
	if st := s.status(); len(st.TLS) != 1 || st.TLS[0] != at || len(st.Listen) != 1 {
		t.Errorf("status says %v over TLS, %v", st.TLS, st.Listen)
	}
	if _, out, _ := s.geodns("status"); !strings.Contains(strings.Join(strings.Fields(out), " "), " over TLS "+at+" ") {
		t.Errorf("status lacks the address:\n%s", out)
	}
	_, body := s.get("/metrics")
	for _, want := range []string{"geodns_tls_requests_total 6\n", `geodns_tls_handshakes_total{result="ok"} 6` + "\n", `{result="failed"} 0` + "\n", "geodns_tls_certificate_expiry_timestamp_seconds "} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// A new certificate is served with from a reload on; what can't be served with
// leaves the old one, is told, and keeps nothing else from being reloaded.
func TestTLSRenewal(t *testing.T) {
	s, at := startTLSSite(t, unwatched)
	oldCert, oldKey := certificateText(t, 2, 3*24*time.Hour)
	_, otherKey := certificateText(t, 3, year)
	gone, goneKey := certificateText(t, 4, -time.Hour)
	good, goodKey := certificateText(t, 5, year)
	serial := 1
	for _, step := range []struct {
		cert, key string
		serves    int64
		warning   string
		reason    string // of readyz
	}{
		{oldCert, oldKey, 2, "cert.pem: the certificate expires at ", ""},
		{oldCert, otherKey, 2, "key.pem: does not go with the certificate in ", "was not taken, the old one stays"},
		{"nothing", goodKey, 2, "cert.pem: holds nothing in PEM; it has to hold the server's certificate", "was not taken, the old one stays"},
		{goodKey, goodKey, 2, `cert.pem: holds a block of the type "PRIVATE KEY", and nothing else`, "was not taken, the old one stays"},
		{good, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", 2, "key.pem: holds a key with a password, and nothing else", "was not taken"},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", goodKey, 2, "cert.pem: the first certificate can't be read: ", "was not taken"},
		{strings.Repeat("x", maxPEM+1), goodKey, 2, "cert.pem: is longer than 1048576 octets", "was not taken"},
		{gone, goneKey, 4, "cert.pem: the certificate has expired at ", "TLS: the certificate has expired at "},
		{good, goodKey, 5, "", ""},
	} {
		serial++
		s.write("cert.pem", step.cert)
		s.write("key.pem", step.key)
		if err := os.Chmod(filepath.Join(s.dir, "key.pem"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.write("zones/a.example.zone", zoneText(serial, 5))
		code, out, errs := s.geodns("reload")
		if code != exitOK || !strings.Contains(out, fmt.Sprintf("serial %d,", serial)) {
			t.Errorf("reload with %q: code %d\n%s%s", step.warning, code, out, errs)
		}
		if step.warning == "" && strings.Contains(errs, ".pem") || !strings.Contains(errs, step.warning) {
			t.Errorf("reload says %q, want %q", errs, step.warning)
		}
		if got := serialAt(t, at); got != step.serves {
			t.Errorf("after %q certificate %d is served", step.warning, got)
		}
		code, body := s.get("/readyz")
		if (step.reason == "") != (code == 200) || !strings.Contains(body, step.reason) {
			t.Errorf("after %q readyz says %d %s", step.warning, code, body)
		}
		checked := exitOK
		if step.reason != "" && !strings.HasPrefix(step.reason, "TLS") {
			checked = exitFailure
		}
		if code, out, _ := s.geodns("check"); code != checked || step.warning != "" && !strings.Contains(out, "[tls-certificate]") {
			t.Errorf("check with %q: code %d\n%s", step.warning, code, out)
		}
	}
	if err := os.Chmod(filepath.Join(s.dir, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, errs := s.geodns("reload"); !strings.Contains(errs, "every user of this machine can read the key; take that away with chmod o= ") {
		t.Errorf("reload says %q of a key that all can read", errs)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("geodns.yaml", strings.Replace(string(text), at, freePort(t).String(), 1))
	if _, _, errs := s.geodns("reload"); !strings.Contains(errs, "only a restart makes it so: tls.listen") {
		t.Errorf("reload says %q of another address", errs)
	}
}

// A server with a certificate that it can't serve with does not start.
func TestTLSStart(t *testing.T) {
	dir := t.TempDir()
	cert, _ := certificateText(t, 1, year)
	_, key := certificateText(t, 2, year)
	for name, text := range map[string]string{
		"cert.pem": cert, "key.pem": key,
		"geodns.yaml": fmt.Sprintf("zones: .\nlisten: [%q]\ncontrol: \"\"\nhttp: \"\"\nstore: \"\"\ntls: {listen: [%q], certificate: cert.pem, key: key.pem}\n", freePort(t), freePort(t)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var errs lockedBuffer
	code := run([]string{"serve", "--config", filepath.Join(dir, "geodns.yaml")}, &errs, &errs)
	if want := filepath.Join(dir, "key.pem") + ": does not go with the certificate in "; code != exitConfig || !strings.Contains(errs.String(), want) {
		t.Errorf("code %d, want %d and %q:\n%s", code, exitConfig, want, &errs)
	}
}

// startNamed starts BIND with a configuration behind that of its surroundings.
func startNamed(t *testing.T, port uint16, more string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "named.conf")
	text := fmt.Sprintf("options { directory %q; pid-file none; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; session-keyfile none; };\ncontrols {};\n%s", dir, port, more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	cmd := exec.Command("named", "-g", "-n", "1", "-c", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("BIND says:\n%s", &log)
		}
	})
}

// awaitSerial waits until a server has a version of a zone.
func awaitSerial(t *testing.T, at, zone string, serial uint32) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(zone, dns.TypeSOA)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		reply, err := dns.ExchangeContext(ctx, q, at)
		cancel()
		if err == nil && len(reply.Answer) == 1 && reply.Answer[0].(*dns.SOA).Serial == serial {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has no serial %d of %s: %v %v", at, serial, zone, err, reply)
		}
	}
}

// Secondaries transfer over TLS (RFC 9103): BIND, which checks the certificate, and
// geodns; the first version as a whole, others by what changed.
func TestTLSSecondaries(t *testing.T) {
	bind := freePort(t)
	s, at := startTLSSite(t, fmt.Sprintf("%stransfer: {allow: [127.0.0.1/32], notify: [%q]}\nstore: geodns.db\n", unwatched, bind))
	host, port, _ := net.SplitHostPort(at)
	startNamed(t, bind.Port(), fmt.Sprintf(`tls geo { ca-file %q; remote-hostname "ns1.a.example"; protocols { TLSv1.3; }; };
zone a.example { type secondary; primaries { %s port %s tls geo; }; file "a.db"; };
`, filepath.Join(s.dir, "cert.pem"), host, port))
	awaitSerial(t, bind.String(), "a.example.", 1)

	s.write("zones/b.example.zone", zoneText(7, 5))
	if code, out, errs := s.geodns("reload"); code != exitOK {
		t.Fatalf("reload: %d\n%s%s", code, out, errs)
	}
	other := startSiteWith(t, fmt.Sprintf("control: run/control.sock\nhttp: \"\"\nsecondary: [{zone: b.example, primaries: [{at: %q, tls: \"on\"}]}]\n", at))
	awaitSerial(t, other.status().Listen[0], "b.example.", 7)

	for serial := 2; serial <= 4; serial++ {
		s.write("zones/a.example.zone", zoneText(serial, 5+serial))
		if code, out, errs := s.geodns("reload"); code != exitOK {
			t.Fatalf("reload: %d\n%s%s", code, out, errs)
		}
		awaitSerial(t, bind.String(), "a.example.", uint32(serial))
	}
	if log := s.log.String(); strings.Count(log, `"zone":"a.example.","peer":"127.0.0.1:`) != 4 || strings.Count(log, `"kind":"AXFR"`) != 2 || strings.Count(log, `"kind":"IXFR"`) != 3 {
		t.Errorf("BIND did not get the first version whole and the others by what changed; the log:\n%s", log)
	}
	_, body := s.get("/metrics")
	for _, line := range []string{`geodns_requests_total{family="ipv4",proto="tcp"} `, "geodns_tls_requests_total "} {
		_, rest, _ := strings.Cut(body, "\n"+line)
		if n, _, _ := strings.Cut(rest, "\n"); n == "" || n == "0" {
			t.Errorf("%s%s", line, n)
		}
	}
}
