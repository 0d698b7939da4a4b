package resolver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// parsed makes a zone of master file text below an apex.
func parsed(t fataler, apex, text string) *plainZone {
	t.Helper()
	z := &plainZone{apex: apex}
	p := dns.NewZoneParser(strings.NewReader("$TTL 300\n@ SOA ns.test. h.test. 1 2 3 4 60\n@ NS ns1\n"+text), apex, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.rrs = append(z.rrs, normal(t, rr))
	}
	if p.Err() != nil {
		t.Fatalf("%v", p.Err())
	}
	return z
}

// TestOutcomes: what is answered without data, and what it is called.
func TestOutcomes(t *testing.T) {
	zones := []*plainZone{
		parsed(t, "example.", "ns1 A 192.0.2.53\nw A 192.0.2.1\nc CNAME c\nout CNAME outside.test.\nsub NS ns.sub\n"+
			"d DNAME "+strings.Repeat("x.", 120)+"example.\n"+
			"sub DS 1 13 2 "+strings.Repeat("0f", 32)+"\n"),
		parsed(t, "sub.example.", "ns1 A 192.0.2.54\n"),
	}
	p := newPath(t, zones...)
	vacant := wire.AppendLower(nil, []byte("\x04gone\x00"))
	p.world = &world.World{Zones: p.world.Zones.With(world.Change{Put: []*world.Served{world.Vacant(vacant)}})}
	identity := &resolver.Identity{Version: wire.AppendRecord(nil, []byte("\x011")), ID: wire.AppendRecord(nil, []byte("\x01i"))}
	tests := []struct {
		name    string
		typ     uint16
		change  func(*dns.Msg)
		tcp     bool
		outcome resolver.Outcome
		want    string // name of the RCODE, AA, and counts of the sections; OPT is not counted
		ede     int    // -1: none
	}{
		{"w.example.", dns.TypeA, nil, false, resolver.Answered, "NOERROR aa 1 0 0", -1},
		{"w.example.", dns.TypeMX, nil, false, resolver.NoData, "NOERROR aa 0 1 0", -1},
		{"w.example.", dns.TypeNone, nil, false, resolver.NoData, "NOERROR aa 0 1 0", -1},
		{"w.example.", dns.TypeReserved, nil, false, resolver.NoData, "NOERROR aa 0 1 0", -1},
		{"x.example.", dns.TypeA, nil, false, resolver.NXDomain, "NXDOMAIN aa 0 1 0", -1},
		{"out.example.", dns.TypeA, nil, false, resolver.Outside, "NOERROR aa 1 0 0", -1},
		{"c.example.", dns.TypeA, nil, false, resolver.Loop, "NOERROR aa 1 0 0", -1},
		{"abcdefghij.d.example.", dns.TypeA, nil, false, resolver.TooLong, "YXDOMAIN aa 1 0 0", -1},
		{"elsewhere.test.", dns.TypeA, nil, false, resolver.NotOurs, "REFUSED 0 0 0", int(dns.ExtendedErrorCodeNotAuthoritative)},
		{"a.gone.", dns.TypeA, nil, false, resolver.NotReady, "SERVFAIL 0 0 0", int(dns.ExtendedErrorCodeNotReady)},
		{"sub.example.", dns.TypeDS, nil, false, resolver.Answered, "NOERROR aa 1 0 0", -1},
		{"a.sub.example.", dns.TypeDS, nil, false, resolver.NXDomain, "NXDOMAIN aa 0 1 0", -1},
		{"sub.example.", dns.TypeNS, nil, false, resolver.Answered, "NOERROR aa 1 0 1", -1},
		{"w.example.", dns.TypeAXFR, nil, false, resolver.NoTransfer, "NOTIMP 0 0 0", -1},
		{"w.example.", dns.TypeAXFR, nil, true, resolver.NoTransfer, "REFUSED 0 0 0", -1},
		{"w.example.", dns.TypeIXFR, nil, false, resolver.NoTransfer, "REFUSED 0 0 0", -1},
		{"w.example.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, false, resolver.NotAllowed, "NOTAUTH 0 0 0", -1},
		{"w.example.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, false, resolver.NotAllowed, "REFUSED 0 0 0", -1},
		{"w.example.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }, false, resolver.Answered, "NOERROR 1 0 0", -1},
		{"w.example.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassNONE }, false, resolver.BadClass, "REFUSED 0 0 0", -1},
		{"w.example.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = 0 }, false, resolver.BadClass, "REFUSED 0 0 0", -1},
		{"w.example.", dns.TypeTXT, chaos, false, resolver.BadClass, "REFUSED 0 0 0", -1},
		{"version.bind.", dns.TypeTXT, chaos, false, resolver.Chaos, "NOERROR 1 0 0", -1},
		{"VERSION.server.", dns.TypeANY, chaos, false, resolver.Chaos, "NOERROR 1 0 0", -1},
		{"id.server.", dns.TypeTXT, chaos, false, resolver.Chaos, "NOERROR 1 0 0", -1},
		{"hostname.bind.", dns.TypeA, chaos, false, resolver.BadClass, "REFUSED 0 0 0", -1},
	}
	for _, tt := range tests {
		m := question(tt.name, tt.typ, dns.ClassINET, 1232, false)
		if tt.change != nil {
			tt.change(m)
		}
		r, _ := p.ask(t, m, resolver.Asked{TCP: tt.tcp, Identity: identity})
		if got := summary(r); got != tt.want || p.outcome != tt.outcome {
			t.Errorf("%v: %s, %s; want %s, %s", m.Question[0], got, p.outcome, tt.want, tt.outcome)
		}
		if got := extended(r); got != tt.ede {
			t.Errorf("%v: extended error %d, want %d", m.Question[0], got, tt.ede)
		}
	}
}

func chaos(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }

// summary is what a reply is, in short.
func summary(r *dns.Msg) string {
	aa := ""
	if r.Authoritative {
		aa = " aa"
	}
	return fmt.Sprintf("%s%s %d %d %d", dns.RcodeToString[r.Rcode], aa, len(r.Answer), len(r.Ns), len(without(r.Extra, dns.TypeOPT)))
}

// extended is the code of the extended error, -1 for none.
func extended(r *dns.Msg) int {
	for _, o := range r.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			return int(e.InfoCode)
		}
	}
	return -1
}

// Each outcome has a name of its own.
func TestOutcomeNames(t *testing.T) {
	names := map[string]bool{}
	for o := range resolver.Outcome(resolver.Outcomes) {
		if names[o.String()] || o.String() == "" {
			t.Errorf("outcome %d has no name of its own: %q", o, o)
		}
		names[o.String()] = true
	}
}

// TestUnknownKey: what is signed is answered with BADKEY and a TSIG without MAC
// (RFC 8945 5.2.1, 5.3.2).
func TestUnknownKey(t *testing.T) {
	p := newPath(t, parsed(t, "example.", "ns1 A 192.0.2.53\n"))
	m := question("ns1.example.", dns.TypeA, dns.ClassINET, 1232, false)
	m.SetTsig("nobody.", dns.HmacSHA256, 300, 1700000000)
	req, _, err := dns.TsigGenerate(m, "bm9ib2R5", "", false)
	if err != nil {
		t.Fatal(err)
	}
	r := &dns.Msg{}
	if err := r.Unpack(p.answer(req, resolver.Asked{})); err != nil {
		t.Fatal(err)
	}
	sig := r.IsTsig()
	if r.Rcode != dns.RcodeNotAuth || p.outcome != resolver.BadKey || len(r.Answer) > 0 {
		t.Errorf("%s, %v", p.outcome, r)
	}
	if sig == nil || sig.Hdr.Name != "nobody." || sig.Algorithm != dns.HmacSHA256 || sig.Error != dns.RcodeBadKey ||
		sig.MACSize != 0 || sig.OrigId != m.Id || sig.TimeSigned != 1700000000 || sig.Fudge != 300 {
		t.Errorf("TSIG %v", sig)
	}
}

// TestLongChain: a chain is followed to its end if it isn't too long.
func TestLongChain(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "c%d CNAME c%d\n", i, i+1)
	}
	b.WriteString("c40 A 192.0.2.1\n")
	p := newPath(t, parsed(t, "example.", b.String()))
	for _, tt := range []struct {
		from, aliases int
		outcome       resolver.Outcome
	}{{40 - 16, 16, resolver.Answered}, {40 - 17, 17, resolver.Loop}, {0, 17, resolver.Loop}} {
		r, _ := p.ask(t, question(fmt.Sprintf("c%d.example.", tt.from), dns.TypeA, dns.ClassINET, 4096, false), resolver.Asked{TCP: true})
		if got := len(only(r.Answer, dns.TypeCNAME)); got != tt.aliases || p.outcome != tt.outcome {
			t.Errorf("from c%d: %d aliases, %s; want %d, %s", tt.from, got, p.outcome, tt.aliases, tt.outcome)
		}
	}
}

// TestLongestName: a DNAME may make names of 255 octets (RFC 6672 2.2).
func TestLongestName(t *testing.T) {
	p := newPath(t, parsed(t, "example.", "d DNAME "+strings.Repeat("x.", 100)+"test.\n")) // 206 octets
	for n, want := range map[int]string{48: "NOERROR aa 2 0 0", 49: "YXDOMAIN aa 1 0 0"} {
		r, _ := p.ask(t, question(strings.Repeat("a", n)+".d.example.", dns.TypeA, dns.ClassINET, 0, false), resolver.Asked{TCP: true})
		if summary(r) != want {
			t.Errorf("a label of %d: %s, want %s", n, summary(r), want)
		}
	}
}

// TestWildcardCut: what a wildcard delegates has a DS at its parent, and its
// addresses are not the parent's to give (RFC 4592 4.2).
func TestWildcardCut(t *testing.T) {
	p := newPath(t, parsed(t, "example.", "mail MX 10 x.w\n*.w NS ns.test.\n*.w A 192.0.2.1\n*.w DS 1 13 2 "+strings.Repeat("0f", 32)+"\n"))
	for _, tt := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"mail.example.", dns.TypeMX, "NOERROR aa 1 0 0"},
		{"x.w.example.", dns.TypeA, "NOERROR 0 1 0"},
		{"y.x.w.example.", dns.TypeNS, "NOERROR 0 1 0"},
		{"x.w.example.", dns.TypeDS, "NOERROR aa 1 0 0"},
		{"*.w.example.", dns.TypeA, "NOERROR 0 1 0"},
	} {
		if r, _ := p.ask(t, question(tt.name, tt.typ, dns.ClassINET, 0, false), resolver.Asked{}); summary(r) != tt.want {
			t.Errorf("%s %d: %s, want %s", tt.name, tt.typ, summary(r), tt.want)
		}
	}
}

// TestRotation: each address comes first equally often, and all are there.
func TestRotation(t *testing.T) {
	p := newPath(t, parsed(t, "example.", "w A 192.0.2.1\nw A 192.0.2.2\nw A 192.0.2.3\nv AAAA 2001:db8::1\nv AAAA 2001:db8::2\n"))
	for _, q := range []struct {
		name string
		typ  uint16
		n    int
	}{{"w.example.", dns.TypeA, 3}, {"v.example.", dns.TypeAAAA, 2}} {
		first := map[string]int{}
		for draw := range uint64(60) {
			r, _ := p.ask(t, question(q.name, q.typ, dns.ClassINET, 0, false), resolver.Asked{Draw: draw})
			first[r.Answer[0].String()]++
			if l := lines(r.Answer); len(l) != q.n || len(slices.Compact(l)) != q.n {
				t.Fatalf("records are missing: %v", r.Answer)
			}
		}
		for rr, n := range first {
			if n != 60/q.n {
				t.Errorf("%s came first %d times of 60", rr, n)
			}
		}
	}
}

// TestManyServers: a delegation with more glue than is looked up for a datagram
// says so, and is given over TCP.
func TestManyServers(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "sub NS n%d.sub\nn%d.sub A 192.0.2.%d\n", i, i, i)
	}
	p := newPath(t, parsed(t, "example.", b.String()))
	m := question("a.sub.example.", dns.TypeA, dns.ClassINET, 65000, false)
	if r, _ := p.ask(t, m, resolver.Asked{}); !r.Truncated {
		t.Errorf("over UDP: %s, not truncated", summary(r))
	}
	if r, _ := p.ask(t, m, resolver.Asked{TCP: true}); r.Truncated || summary(r) != "NOERROR 0 100 100" {
		t.Errorf("over TCP: %s", summary(r))
	}
}

// TestIterations: an NSEC3 hash that costs too much is not computed; the
// answer goes without the proof (RFC 9276 3.2).
func TestIterations(t *testing.T) {
	for _, tt := range []struct {
		iterations int
		proofs     bool
	}{{resolver.MaxIterations, true}, {resolver.MaxIterations + 1, false}} {
		z := parsed(t, "example.", fmt.Sprintf("@ NSEC3PARAM 1 0 %d -\n@ RRSIG SOA 13 1 300 20370101000000 20200101000000 1 example. AAAA\n"+
			"%s NSEC3 1 0 %d - 00000000000000000000000000000000 A\n", tt.iterations, strings.Repeat("0", 32), tt.iterations))
		p := newPath(t, z)
		r, _ := p.ask(t, question("x.example.", dns.TypeA, dns.ClassINET, 1232, true), resolver.Asked{})
		if got := len(only(r.Ns, dns.TypeNSEC3)) > 0; got != tt.proofs || r.Rcode != dns.RcodeNameError {
			t.Errorf("%d iterations: a proof: %t, want %t\n%v", tt.iterations, got, tt.proofs, r)
		}
	}
}

// TestSIG: SIG are told apart by what they cover, and all of them answered.
func TestSIG(t *testing.T) {
	sig := func(covered string) string {
		return fmt.Sprintf("w SIG %s 13 2 300 20370101000000 20200101000000 1 example. AAAA\n", covered)
	}
	p := newPath(t, parsed(t, "example.", sig("A")+sig("MX")+strings.Replace(sig("A"), "SIG", "RRSIG", 1)))
	for typ, want := range map[uint16]string{dns.TypeSIG: "NOERROR aa 2 0 0", dns.TypeRRSIG: "NOERROR aa 1 0 0"} {
		if r, _ := p.ask(t, question("w.example.", typ, dns.ClassINET, 0, false), resolver.Asked{}); summary(r) != want {
			t.Errorf("type %d: %s, want %s", typ, summary(r), want)
		}
	}
}
