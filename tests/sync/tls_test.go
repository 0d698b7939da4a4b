package syncing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/tests/harness"
)

const tlsName = "ns1.example.test"

// certificate makes one that says both a name and an address, and its key: files
// in dir. It is its own authority.
func (n *network) certificate(dir string, host int) (cert, key string) {
	n.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: tlsName}, DNSNames: []string{tlsName}, IPAddresses: []net.IP{net.ParseIP(n.addr(host))},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		n.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		n.t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(n.t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert)
	write(n.t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), key)
	return cert, key
}

// secure is the port of TLS.
func (n *network) secure() int { return n.port + 1 }

// BIND, NSD and another geodns take zones from a geodns over TLS (RFC 9103),
// having verified its certificate. Nothing but TLS is told to them for transfers.
func TestTLSSecondaries(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "farm.example.")
	cert, key := n.certificate(n.home(1), 1)
	main := n.geodns(1, setup{
		zones: map[string]string{"farm.example": m.text(1)}, notify: []int{bindHost, 3, 5},
		more: takesUpdates + fmt.Sprintf("tls: {listen: [\"%s:%d\"], certificate: %q, key: %q}\n", n.addr(1), n.secure(), cert, key),
	})
	copies := &role{zones: map[string]string{"farm.example": ""}, primary: 1}
	bind := strings.Replace(n.bind(bindHost, copies), fmt.Sprintf("primaries port %d { %s key %s; }", n.port, n.addr(1), keyName),
		fmt.Sprintf("primaries port %d { %s key %s tls safe; }", n.secure(), n.addr(1), keyName), 1)
	bind += fmt.Sprintf("tls safe { ca-file %q; remote-hostname %q; };\n", cert, tlsName)
	write(t, bind, n.home(bindHost), "bind.conf")
	nsd := strings.Replace(n.nsd(3, copies), fmt.Sprintf("request-xfr: %s@%d %s", n.addr(1), n.port, keyName),
		fmt.Sprintf("request-xfr: %s@%d %s safe", n.addr(1), n.secure(), keyName), 1)
	nsd = strings.Replace(nsd, "server:\n", fmt.Sprintf("server:\n  tls-cert-bundle: %q\n", cert), 1)
	nsd += fmt.Sprintf("tls-auth:\n  name: safe\n  auth-domain-name: %q\n", tlsName)
	write(t, nsd, n.home(3), "nsd.conf")
	secondaries := []*server{
		n.serve(harness.BIND, bindHost, program(t, "named"), "-g", "-n", "1", "-c", filepath.Join(n.home(bindHost), "bind.conf")),
		n.serve(harness.NSD, 3, program(t, "nsd"), "-d", "-V", "3", "-c", filepath.Join(n.home(3), "nsd.conf")),
	}
	for i := range 10 {
		if i > 0 {
			sent(t, main, update(m.zone, m.change()))
		}
		for _, s := range secondaries {
			reaches(t, s, m.zone, uint32(i+1))
			has(t, s, m.zone, m.content())
		}
	}
	for _, s := range secondaries {
		if whole, steps := sentTo(t, main, s, m.zone); whole != 1 || steps < 5 {
			t.Errorf("to %s: %d times whole, %d times as changes", s.kind, whole, steps)
		}
	}
}

// A geodns takes a zone from BIND over TLS if the certificate is for the name that
// was said, and not otherwise.
func TestTLSPrimary(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "example.org.")
	cert, key := n.certificate(n.home(bindHost), bindHost)
	bind := n.bind(bindHost, &role{zones: map[string]string{"example.org": ""}})
	bind = strings.Replace(bind, "options {\n", fmt.Sprintf("tls own { cert-file %q; key-file %q; };\noptions {\n listen-on port %d tls own { 127.0.0.1; };\n", cert, key, n.secure()), 1)
	// Over TLS only.
	bind = strings.Replace(bind, "allow-transfer {", fmt.Sprintf("allow-transfer port %d transport tls {", n.secure()), 1)
	at := strings.Index(bind, "zone \"example.org\"")
	bind = bind[:at] + fmt.Sprintf("zone \"example.org\" { type primary; file \"example.org.zone\"; allow-update { key %s; }; also-notify port %d { %s key %s; }; };\n", updName, n.port, n.addr(5), keyName)
	write(t, m.text(1), n.home(bindHost), "example.org.zone")
	write(t, bind, n.home(bindHost), "bind.conf")
	main := n.serve(harness.BIND, bindHost, program(t, "named"), "-g", "-n", "1", "-c", filepath.Join(n.home(bindHost), "bind.conf"))
	from := func(name string) string {
		return fmt.Sprintf("  - {zone: example.org, primaries: [{at: \"%s:%d\", key: %s, tls: verify, tls-name: %s}]}\n", n.addr(bindHost), n.secure(), keyName, name)
	}
	reaches(t, main, m.zone, 1)
	g := n.geodns(5, setup{more: from("elsewhere.test"), within: []string{"env", "SSL_CERT_FILE=" + cert}})
	until(t, "geodns says that the certificate is not the right one", func() bool {
		for line := range lines(t, g) {
			if line["zone"] == m.zone && line["level"] == "WARN" && strings.Contains(fmt.Sprint(line["error"]), "certificate") {
				return true
			}
		}
		return false
	}, g.log)
	if serialOf(g.at(), m.zone) != 0 {
		t.Error("the zone came although the certificate is wrong")
	}
	n.configure(5, setup{more: from(tlsName)})
	g.stop()
	g.boot()
	reaches(t, g, m.zone, 1)
	for range 5 {
		sent(t, main, update(m.zone, m.change()))
		reaches(t, g, m.zone, serialOf(main.at(), m.zone))
		has(t, g, m.zone, m.content())
	}
}
