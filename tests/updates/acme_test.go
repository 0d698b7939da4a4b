package updates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// witness passes questions on to the server under test, and notes what TXT records
// it was told: it is the resolver of the authority.
type witness struct {
	mu   sync.Mutex
	seen map[string]map[string]bool // TXT records by owner
}

// listen returns where the witness is asked.
func (w *witness) listen(t *testing.T, s *server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // Pebble asks over TCP
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(out dns.ResponseWriter, m *dns.Msg) {
		r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, s.Addr())
		if err != nil {
			return // nothing comes, and the authority says so
		}
		w.note(r)
		_ = out.WriteMsg(r)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

func (w *witness) note(r *dns.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range data(r, dns.TypeTXT) {
		owner := strings.ToLower(r.Question[0].Name)
		if w.seen[owner] == nil {
			w.seen[owner] = map[string]bool{}
		}
		w.seen[owner][text] = true
	}
}

// authority is a certification authority that gives a certificate to who can
// change the server's zone (RFC 8555 8.4): Pebble, which is what the makers of
// ACME clients test them with.
type authority struct {
	witness
	url  string // of its directory
	root string // file with the certificate that clients trust it by
}

func newAuthority(t *testing.T, s *server) *authority {
	t.Helper()
	a := &authority{witness: witness{seen: map[string]map[string]bool{}}}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "the only one"}})
	validator := va.New(quiet, 1, 1, true, a.listen(t, s), store)
	front := wfe.New(quiet, store, validator, issuer, nil, true, false, 1, 1)
	pages := front.Handler()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1") // or lego waits for 5 to 8 s, each time
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	a.url = web.URL + wfe.DirectoryPath
	a.root = write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})), s.dir, "authority.pem")
	return a
}

// client runs an ACME client, which has to succeed.
func client(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s (scripts/deps installs it): %v\n%s", name, err, out)
	}
}

// certified looks at a certificate, and at what the authority was shown for it.
func certified(t *testing.T, a *authority, file string, names []string, tokens map[string]int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s is no PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(cert.DNSNames)
	if !slices.Equal(cert.DNSNames, names) {
		t.Errorf("the certificate is for %q, not %q", cert.DNSNames, names)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[string]int{}
	for owner, texts := range a.seen {
		seen[owner] = len(texts)
	}
	if !maps.Equal(seen, tokens) {
		t.Errorf("the authority was told TXT records of %v, not %v", seen, tokens)
	}
}

// certbot with its plugin for RFC 2136 gets a certificate for a zone and all names
// below: two tokens at one owner. It asks for the SOA of each level to find the
// zone, adds the tokens, and takes away exactly those.
func TestCertbot(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := newAuthority(t, s)
	before := s.axfr(boss, apex)
	host, port, _ := net.SplitHostPort(s.Addr())
	credentials := write(t, fmt.Sprintf(`dns_rfc2136_server = %s
dns_rfc2136_port = %s
dns_rfc2136_name = %s
dns_rfc2136_secret = %s
dns_rfc2136_algorithm = HMAC-SHA512
`, host, port, certs.name, certs.secret), s.dir, "certbot", "geodns.ini")
	at := func(name string) string { return filepath.Join(s.dir, "certbot", name) }
	client(t, []string{"REQUESTS_CA_BUNDLE=" + a.root}, "certbot", "certonly", "--non-interactive", "--agree-tos",
		"--register-unsafely-without-email", "--server", a.url, "--config-dir", at("etc"), "--work-dir", at("lib"), "--logs-dir", at("log"),
		"--dns-rfc2136", "--dns-rfc2136-credentials", credentials, "--dns-rfc2136-propagation-seconds", "0",
		"-d", "zone.example", "-d", "*.zone.example")
	certified(t, a, at("etc/live/zone.example/cert.pem"), []string{"*.zone.example", "zone.example"}, map[string]int{"_acme-challenge.zone.example.": 2})
	s.expect(before, before.serial+4, nil, nil)
}

// lego gets a certificate for two names. It walks up from _acme-challenge.NAME by
// questions for SOA, and replaces the whole RRset by its token.
func TestLego(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := newAuthority(t, s)
	before := s.axfr(boss, apex)
	dir := filepath.Join(s.dir, "lego")
	client(t, []string{
		"LEGO_CA_CERTIFICATES=" + a.root, "RFC2136_NAMESERVER=" + s.Addr(), "RFC2136_TSIG_ALGORITHM=" + certs.algorithm,
		"RFC2136_TSIG_KEY=" + certs.name, "RFC2136_TSIG_SECRET=" + certs.secret, "RFC2136_SEQUENCE_INTERVAL=1", "RFC2136_POLLING_INTERVAL=1",
	}, "lego", "--server", a.url, "--accept-tos", "--email", "hostmaster@zone.example", "--path", dir,
		"--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", s.Addr(), "-d", "www.zone.example", "-d", "shop.eu.zone.example", "run")
	certified(t, a, filepath.Join(dir, "certificates", "www.zone.example.crt"), []string{"shop.eu.zone.example", "www.zone.example"},
		map[string]int{"_acme-challenge.www.zone.example.": 1, "_acme-challenge.shop.eu.zone.example.": 1})
	s.expect(before, before.serial+4, nil, nil)
}

// A certificate is not given for a zone that its key may not change: the test of
// the two above, whose authority does ask.
func TestCertificateWithoutGrant(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := newAuthority(t, s)
	before := s.axfr(boss, apex)
	cmd := exec.CommandContext(t.Context(), "lego", "--server", a.url, "--accept-tos", "--email", "hostmaster@zone.example", "--path", filepath.Join(s.dir, "lego"),
		"--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", s.Addr(), "-d", "www.zone.example", "run")
	cmd.Env = append(os.Environ(), "LEGO_CA_CERTIFICATES="+a.root, "RFC2136_NAMESERVER="+s.Addr(), "RFC2136_TSIG_ALGORITHM="+stranger.algorithm,
		"RFC2136_TSIG_KEY="+stranger.name, "RFC2136_TSIG_SECRET="+stranger.secret)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "REFUSED") {
		t.Errorf("lego with a key for something else: %v\n%s", err, out)
	}
	s.expect(before, before.serial, nil, nil)
}
