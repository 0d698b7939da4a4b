package resolver_test

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/resolver"
)

// mostAliases is how many aliases are followed, one after the other.
const mostAliases = 17

// TestEqualsOracle: over TCP, the reply is what the oracle says; over UDP it is
// the same if that fits, else a part of it with nothing missing unsaid.
func TestEqualsOracle(t *testing.T) { rapid.Check(t, equalsOracle) }

// FuzzEqualsOracle is the same.
func FuzzEqualsOracle(f *testing.F) { f.Fuzz(rapid.MakeFuzz(equalsOracle)) }

func equalsOracle(t *rapid.T) {
	zones := drawZones(t)
	p := newPath(t, zones...)
	o := &oracle{zones: zones, most: mostAliases}
	for range 12 {
		class := rapid.SampledFrom([]uint16{dns.ClassINET, dns.ClassINET, dns.ClassINET, dns.ClassANY}).Draw(t, "class")
		q := asked{name: drawQname(t, zones), typ: someQtype.Draw(t, "qtype"), class: class}
		do := rapid.Bool().Draw(t, "do")
		draw := rapid.Uint64().Draw(t, "draw")
		size := rapid.SampledFrom([]uint16{0, 0, 100, 512, 700, 900, 1232, 4096}).Draw(t, "size")
		compareTCP(t, p, o, q, do, draw)
		compareUDP(t, p, o, q, size, do, draw)
	}
}

// differs says how a reply differs from what was expected, in full.
func differs(r *dns.Msg, e *expected) string {
	switch {
	case r.Rcode != e.rcode:
		return "RCODE"
	case r.Authoritative != e.aa:
		return "AA"
	case !slices.Equal(lines(r.Answer), lines(e.answer)):
		return "answer"
	case !slices.Equal(lines(r.Ns), lines(e.authority)):
		return "authority"
	case !slices.Equal(lines(r.Extra), lines(e.additional)):
		return "additional"
	}
	return ""
}

func compareTCP(t *rapid.T, p *path, o *oracle, q asked, do bool, draw uint64) {
	e := o.ask(q)
	r, _ := p.ask(t, question(q.name, q.typ, q.class, 4096, do), resolver.Asked{TCP: true, Draw: draw})
	if what := differs(r, e); what != "" || r.Truncated {
		t.Fatalf("%s differs, TC is %t, for %v\n%v\nwant %s aa=%t\n%q\n%q\n%q", what, r.Truncated, q, r, dns.RcodeToString[e.rcode], e.aa, lines(e.answer), lines(e.authority), lines(e.additional))
	}
}

func compareUDP(t *rapid.T, p *path, o *oracle, q asked, size uint16, do bool, draw uint64) {
	m := question(q.name, q.typ, q.class, size, do)
	limit := min(max(int(size), 512), udpPayload)
	r, n := p.ask(t, m, resolver.Asked{Draw: draw})
	if q.typ == dns.TypeANY {
		// RFC 8482 4.1: the server chooses one RRset.
		q.partial, q.choice = true, chosen(r)
	}
	e := o.ask(q)
	if n > limit {
		t.Fatalf("%v: the reply has %d octets, more than %d", q, n, limit)
	}
	if (r.IsEdns0() != nil) != (size > 0) {
		t.Fatalf("%v: OPT: %v", q, r.IsEdns0())
	}
	if r.Rcode != e.rcode || r.Authoritative != e.aa {
		t.Fatalf("%v: got %s, AA %t; want %s, AA %t", q, dns.RcodeToString[r.Rcode], r.Authoritative, dns.RcodeToString[e.rcode], e.aa)
	}
	for _, s := range [][2][]dns.RR{{r.Answer, e.answer}, {r.Ns, e.authority}, {r.Extra, e.additional}} {
		if what := partOf(s[0], s[1]); what != "" {
			t.Fatalf("%v\n%s", r, what)
		}
	}
	whole := differs(r, e) == ""
	if q.typ != dns.TypeANY {
		if _, full := p.ask(t, m, resolver.Asked{TCP: true, Draw: draw}); (full <= limit) != whole {
			t.Fatalf("%d octets of %d are allowed, and the reply is whole: %t\n%v", limit, full, whole, r)
		}
	}
	need := lacks(r.Answer, e.answer) || lacks(r.Ns, e.authority) || lacks(r.Extra, e.required)
	if r.Truncated != need {
		t.Fatalf("%v: TC is %t, and something is missing: %t\n%v", q, r.Truncated, need, r)
	}
}

// chosen is the type with which ANY was answered.
func chosen(r *dns.Msg) uint16 {
	if len(r.Answer) == 0 {
		return dns.TypeNone
	}
	return r.Answer[len(r.Answer)-1].Header().Rrtype
}
