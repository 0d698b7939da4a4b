// Package updates holds the scenarios in which zones are changed by messages
// (RFC 2136): by nsupdate, certbot and lego as they are, by the wire habits of
// programs that manage zones, and by the machines of a farm.
//
// Invariant: what an update did is read from the server, by transfer and by
// question, never from what the client says of it.
package updates

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) {
	// Pebble's: it validates at once, refuses no nonces by chance, and believes
	// nothing that it validated before.
	for name, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(m, &target))
}

// key is a TSIG key of the server under test.
type key struct{ name, algorithm, secret string }

// The keys: one that may do everything, one that may only add and take away what
// certificates need, and one that the server knows for something else.
var (
	boss     = newKey("boss.example.", dns.HmacSHA256, 'b')
	certs    = newKey("certs.example.", dns.HmacSHA512, 'c')
	stranger = newKey("stranger.example.", dns.HmacSHA256, 's')
)

func newKey(name, algorithm string, letter byte) key {
	return key{name, algorithm, base64.StdEncoding.EncodeToString(slices.Repeat([]byte{letter}, 32))}
}

// text is the key as nsupdate -y takes it.
func (k key) text() string {
	return strings.TrimSuffix(k.algorithm, ".") + ":" + strings.TrimSuffix(k.name, ".") + ":" + k.secret
}

func (k key) yaml() string {
	return fmt.Sprintf("{name: %s, algorithm: %s, secret: %q}", k.name, strings.TrimSuffix(k.algorithm, "."), k.secret)
}

// apex is the zone of most tests, and base what is in it at first. Its name servers
// are the server under test: nobody else is told of changes.
const (
	apex = "zone.example."
	base = `$ORIGIN zone.example.
$TTL 300
@        SOA ns1 hostmaster 7 3600 600 604800 60
         NS  ns1
         NS  ns2
         MX  10 mail
ns1      A   127.0.0.1
ns2      A   127.0.0.1
mail     A   192.0.2.25
old      A   192.0.2.1
old      A   192.0.2.2
old      TXT "to be deleted"
alias    CNAME www
www      A   192.0.2.10
www      A   198.51.100.10
lon._site  TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
www._steer TXT "v=steer1; policy=nearest; answers=1"
`
)

// server is a geodns with one zone.
type server struct {
	*harness.Server
	t   *testing.T
	dir string
}

// start starts a geodns with the zone and keys of most tests.
func start(t *testing.T) *server {
	t.Helper()
	config := fmt.Sprintf(`listen: ["127.0.0.1:@PORT@"]
zones: zones
store: geodns.db
control: ""
http: ""
keys: [%s, %s, %s]
transfer: {allow: ["key:boss.example."]}
zone:
  zone.example:
    updates:
      - {key: boss.example.}
      - {key: boss.example., names: ["@"], types: [NS, SOA]}
      - {key: certs.example., names: ["*"], types: [TXT]}
`, boss.yaml(), certs.yaml(), stranger.yaml())
	return startWith(t, config, 0, map[string]string{"zone.example": base})
}

// startWith starts a geodns with a configuration and zones by their names.
func startWith(t *testing.T, config string, probes int, zones map[string]string) *server {
	t.Helper()
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range zones {
		write(t, text, dir, "zones", name+".zone")
	}
	h, err := target.Start(harness.Spec{Dir: dir, Config: config, Probes: probes})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{h, t, dir}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(h.Log())
		}
	})
	return s
}

func write(t *testing.T, text string, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ask asks a question as an ordinary client, without a signature.
func (s *server) ask(name string, qtype uint16) *dns.Msg {
	s.t.Helper()
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion(name, qtype), s.Addr())
	if err != nil {
		s.t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return r
}

// data is the RDATA of an answer's records of a type, sorted.
func data(r *dns.Msg, qtype uint16) (list []string) {
	for _, rr := range r.Answer {
		if rr.Header().Rrtype == qtype {
			list = append(list, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	slices.Sort(list)
	return list
}

// signed sends a message that a key has signed, and returns the answer, whose
// signature has to be right.
func (s *server) signed(k key, network string, m *dns.Msg) *dns.Msg {
	s.t.Helper()
	r, err := s.exchange(k, network, m)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, m)
	}
	return r
}

func (s *server) exchange(k key, network string, m *dns.Msg) (*dns.Msg, error) {
	m.SetTsig(k.name, k.algorithm, 300, time.Now().Unix())
	client := &dns.Client{Net: network, Timeout: 10 * time.Second, TsigSecret: map[string]string{k.name: k.secret}}
	r, _, err := client.Exchange(m, s.Addr())
	if err != nil {
		return r, err
	}
	if r.IsTsig() == nil {
		return r, errors.New("the answer is not signed")
	}
	return r, nil
}

// content is the zone as it is transferred: records as text, without the SOA.
type content struct {
	serial  uint32
	records map[string]bool
}

// axfr transfers a zone by AXFR.
func (s *server) axfr(k key, zone string) *content {
	s.t.Helper()
	m := new(dns.Msg).SetAxfr(zone)
	m.SetTsig(k.name, k.algorithm, 300, time.Now().Unix())
	conn, err := net.DialTimeout("tcp", s.Addr(), 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	tr := &dns.Transfer{Conn: &dns.Conn{Conn: conn}, TsigSecret: map[string]string{k.name: k.secret}, ReadTimeout: 10 * time.Second}
	defer tr.Close()
	envelopes, err := tr.In(m, s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	var list []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			s.t.Fatalf("AXFR of %s: %v", zone, e.Error)
		}
		list = append(list, e.RR...)
	}
	c := &content{records: map[string]bool{}}
	for i, rr := range list {
		soa, is := rr.(*dns.SOA)
		if ends := i == 0 || i == len(list)-1; is != ends {
			s.t.Fatalf("record %d of %d of the AXFR of %s is %s", i, len(list), zone, rr)
		} else if is {
			c.serial = soa.Serial
			continue
		}
		c.records[canonical(rr.String())] = true
	}
	return c
}

// canonical is a record's text with single spaces.
func canonical(text string) string { return strings.Join(strings.Fields(text), " ") }

// expect compares the zone with what it should be: the content of before, less
// some records, and with some more. It returns what the zone is now.
func (s *server) expect(before *content, serial uint32, less, more []string) *content {
	s.t.Helper()
	want := maps.Clone(before.records)
	for _, line := range less {
		if line = fullOf(line); !want[line] {
			s.t.Fatalf("the test takes away %q, which is not there", line)
		}
		delete(want, line)
	}
	for _, line := range more {
		want[fullOf(line)] = true
	}
	now := s.axfr(boss, apex)
	var wrong []string
	for line := range want {
		if !now.records[line] {
			wrong = append(wrong, "missing: "+line)
		}
	}
	for line := range now.records {
		if !want[line] {
			wrong = append(wrong, "too much: "+line)
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		s.t.Errorf("after the update:\n%s", strings.Join(wrong[:min(20, len(wrong))], "\n"))
	}
	if now.serial != serial {
		s.t.Errorf("the serial is %d, not %d", now.serial, serial)
	}
	return now
}

// fullOf is "www 60 A 192.0.2.1" as a transfer has it.
func fullOf(line string) string {
	f := strings.SplitN(canonical(line), " ", 3)
	owner := f[0] + "." + apex
	if f[0] == "@" {
		owner = apex
	}
	return owner + " " + f[1] + " IN " + f[2]
}

// records reads lines as fullOf's.
func records(t *testing.T, lines ...string) (list []dns.RR) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(fullOf(line))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rr)
	}
	return list
}
