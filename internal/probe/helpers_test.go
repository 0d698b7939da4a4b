package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"geodns/internal/steer/record"
)

func TestMain(m *testing.M) {
	// A server for TestExec: what it does is said by its arguments.
	if len(os.Args) > 1 && os.Args[1] == "plugin" {
		plugin(os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

// loopbacks are the loopback addresses that the machine has.
func loopbacks(t testing.TB) []netip.Addr {
	t.Helper()
	out := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		out = append(out, netip.IPv6Loopback())
	}
	return out
}

var loopback4 = netip.MustParseAddr("127.0.0.1")

// serve runs a TCP server until the test ends; each connection is one call.
func serve(t testing.TB, at netip.Addr, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// target is what a _check record asks of an address. The port is added to types
// that have one.
func target(t testing.TB, ap netip.AddrPort, check string) Target {
	t.Helper()
	text := "v=check1; " + check
	portless := slices.ContainsFunc([]string{"exec", "file", "icmp"}, func(ct string) bool { return strings.HasPrefix(check, "type="+ct) })
	if !portless && ap.Port() != 0 {
		text += fmt.Sprintf("; port=%d", ap.Port())
	}
	c, problems := record.ParseCheck([]byte(text), record.Origin{Apex: []byte("\x07example\x00")})
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("%s: %s; %s", text, p.Text, p.Remedy)
		}
	}
	return Target{Addr: ap.Addr(), Check: &c}
}

// ask probes with a deadline.
func ask(t testing.TB, to Target, timeout time.Duration) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	res := Probe(ctx, to)
	if res.RTT <= 0 || res.Reason == "" || len(res.Reason) > maxReason {
		t.Errorf("RTT %v, reason %q", res.RTT, res.Reason)
	}
	return res
}

const (
	plenty = 10 * time.Second
	little = 150 * time.Millisecond
)

// wantOK and wantFail look at a result, and at what it must say.
func wantOK(t testing.TB, res Result, says string) {
	t.Helper()
	if !res.OK || !strings.Contains(res.Reason, says) {
		t.Errorf("OK %t, %q; want a success with %q", res.OK, res.Reason, says)
	}
}

func wantFail(t testing.TB, res Result, says string) {
	t.Helper()
	if res.OK || !strings.Contains(res.Reason, says) {
		t.Errorf("OK %t, %q; want a failure with %q", res.OK, res.Reason, says)
	}
}

// authority makes certificates.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, roots: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(100000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(a.cert)
	return a
}

// config is a server's, with a certificate for www.example that ends after a
// time.
func (a *authority) config(t testing.TB, ends time.Duration, protos ...string) *tls.Config {
	t.Helper()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"www.example"},
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(ends),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}, NextProtos: protos}
}

// await takes from a channel, or ends the test.
func await[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(plenty):
		t.Fatal("nothing came")
	}
	return v
}
