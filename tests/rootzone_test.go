package tests

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"geodns/tests/harness"

	"github.com/miekg/dns"
)

const rootFile = "testdata/root.zone.gz"

// rrsets are the RRsets of a zone: owner, type, and the records as text.
type rrsets map[string]map[uint16][]string

// rootZone unpacks the root zone into dir and returns its RRsets as miekg/dns
// reads them, an implementation that the server's own reading has nothing to do
// with for common types.
func rootZone(t *testing.T, dir string) rrsets {
	t.Helper()
	f, err := os.Open(rootFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	text = append([]byte("$ORIGIN .\n"), text...)
	if err := os.WriteFile(filepath.Join(dir, "zones", "root.zone"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	sets := rrsets{}
	p := dns.NewZoneParser(strings.NewReader(string(text)), ".", rootFile)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		h := rr.Header()
		name := strings.ToLower(h.Name)
		if sets[name] == nil {
			sets[name] = map[uint16][]string{}
		}
		if !slices.Contains(sets[name][h.Rrtype], rr.String()) {
			sets[name][h.Rrtype] = append(sets[name][h.Rrtype], rr.String())
		}
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return sets
}

// TestRootZone serves the root zone and asks it for every delegation's NS and
// DS, and every RRset of the apex, each over the network; the replies have to
// be what the file says, glue included. The file has no RRSIG, so that nothing
// is asked with DO.
func TestRootZone(t *testing.T) {
	if err := harness.NoteSources(".."); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sets := rootZone(t, dir)
	server, err := target.Start(harness.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	r := &rootAsker{sets: sets, addr: server.Addr()}
	asks := r.asks()
	if len(asks) < 1000 {
		t.Fatalf("only %d questions come out of the root zone", len(asks))
	}
	for _, e := range r.askAll(asks) {
		t.Error(e)
	}
	t.Logf("%d questions", len(asks))
}

// rootAsker asks a server for what the sets say.
type rootAsker struct {
	sets rrsets
	addr string
}

// rootAsk is one question: check says what is wrong with its reply.
type rootAsk struct {
	name  string
	typ   uint16
	check func(*dns.Msg) error
}

// asks are all questions: NS and DS of each delegation, a name below it, and
// the RRsets of the apex.
func (r *rootAsker) asks() []rootAsk {
	var out []rootAsk
	for typ := range r.sets["."] {
		out = append(out, rootAsk{".", typ, r.answer(".", typ)})
	}
	for name, types := range r.sets {
		if name == "." || types[dns.TypeNS] == nil {
			continue
		}
		out = append(out,
			rootAsk{name, dns.TypeNS, r.referral(name)},
			rootAsk{"www." + name, dns.TypeAAAA, r.referral(name)},
			rootAsk{name, dns.TypeDS, r.ds(name)})
	}
	return out
}

// askAll asks with a bounded number of clients at once.
func (r *rootAsker) askAll(asks []rootAsk) []error {
	const clients = 16
	queue := make(chan rootAsk)
	var mu sync.Mutex
	var wrong []error
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for a := range queue {
				if err := r.ask(a); err != nil {
					mu.Lock()
					wrong = append(wrong, fmt.Errorf("%s %s: %w", a.name, dns.Type(a.typ), err))
					mu.Unlock()
				}
			}
		})
	}
	for _, a := range asks {
		queue <- a
	}
	close(queue)
	wg.Wait()
	return wrong
}

// ask asks by UDP, and by TCP if the reply is truncated.
func (r *rootAsker) ask(a rootAsk) error {
	m := new(dns.Msg)
	m.SetQuestion(a.name, a.typ)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	var reply *dns.Msg
	var err error
	for range 3 { // A busy machine may lose a datagram.
		if reply, _, err = (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, r.addr); err == nil {
			break
		}
	}
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(m, r.addr)
	}
	if err != nil {
		return err
	}
	if reply.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("%s", dns.RcodeToString[reply.Rcode])
	}
	return a.check(reply)
}

// answer checks a positive answer.
func (r *rootAsker) answer(name string, typ uint16) func(*dns.Msg) error {
	return func(m *dns.Msg) error {
		if !m.Authoritative {
			return errors.New("an answer of the zone without AA")
		}
		return same("answer", m.Answer, r.sets[name][typ])
	}
}

// referral checks the delegation of name: NS and all glue.
func (r *rootAsker) referral(name string) func(*dns.Msg) error {
	return func(m *dns.Msg) error {
		if m.Authoritative || len(m.Answer) > 0 {
			return fmt.Errorf("a referral with AA=%v and %d answers", m.Authoritative, len(m.Answer))
		}
		if err := same("authority", m.Ns, r.sets[name][dns.TypeNS]); err != nil {
			return err
		}
		return same("additional", withoutOPT(m.Extra), r.glue(name))
	}
}

// ds checks the DS of a delegation, which the root answers itself, or that
// there is none (RFC 4035 3.1.4.1).
func (r *rootAsker) ds(name string) func(*dns.Msg) error {
	if r.sets[name][dns.TypeDS] != nil {
		return r.answer(name, dns.TypeDS)
	}
	return func(m *dns.Msg) error {
		if !m.Authoritative || len(m.Answer) > 0 {
			return fmt.Errorf("NODATA with AA=%v and %d answers", m.Authoritative, len(m.Answer))
		}
		return same("authority", m.Ns, r.sets["."][dns.TypeSOA])
	}
}

// glue is every address that the zone has for the servers of a delegation.
func (r *rootAsker) glue(name string) []string {
	var out []string
	for _, text := range r.sets[name][dns.TypeNS] {
		f := strings.Fields(text)
		target := r.sets[strings.ToLower(f[len(f)-1])]
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, rr := range target[typ] {
				if !slices.Contains(out, rr) {
					out = append(out, rr)
				}
			}
		}
	}
	return out
}

func withoutOPT(rrs []dns.RR) []dns.RR {
	return slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
}

// same compares a section with what is due, in any order.
func same(section string, got []dns.RR, want []string) error {
	texts := make([]string, 0, len(got))
	for _, rr := range got {
		texts = append(texts, strings.ToLower(rr.String()))
	}
	due := make([]string, 0, len(want))
	for _, w := range want {
		due = append(due, strings.ToLower(w))
	}
	slices.Sort(texts)
	slices.Sort(due)
	if !slices.Equal(texts, due) {
		return fmt.Errorf("%s: got\n  %s\nexpected\n  %s", section, strings.Join(texts, "\n  "), strings.Join(due, "\n  "))
	}
	return nil
}
