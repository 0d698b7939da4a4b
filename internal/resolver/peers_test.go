package resolver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/resolver"
)

// TestPeers asks Knot and NSD what the resolver is asked, of zones with fixed
// seeds. What is answered otherwise must be for one of the reasons below, and
// each reason must occur.
func TestPeers(t *testing.T) {
	zones := peerZones()
	ours := newPath(t, zones...)
	for _, peer := range []struct {
		name    string
		start   server
		reasons []reason
	}{
		{"knot", knot, knotReasons},
		{"nsd", nsd, nsdReasons},
	} {
		t.Run(peer.name, func(t *testing.T) {
			p := startPeer(t, peer.start, zones)
			used := map[string]int{}
			for i, z := range zones {
				questions := peerQuestion(z)
				for j := range 150 {
					comparePeer(t, ours, p, z, questions.Example(1000*i+j), peer.reasons, used)
				}
			}
			for _, r := range peer.reasons {
				if used[r.what] == 0 {
					t.Errorf("no reply differs because of %q: remove the reason", r.what)
				}
			}
			t.Log(used)
		})
	}
}

// peerZones are zones that every server loads, without the DNAMEs that lead to
// themselves: each server gives up on these in its own way.
func peerZones() (zones []*plainZone) {
	for i := range 20 {
		z := rapid.Custom(func(t *rapid.T) *plainZone { return drawZone(t, fmt.Sprintf("z%d.test.", i), 35) }).Example(i)
		z.rrs = slices.DeleteFunc(z.rrs, func(rr dns.RR) bool {
			d, ok := rr.(*dns.DNAME)
			return ok && dns.IsSubDomain(d.Hdr.Name, d.Target)
		})
		dnames := only(z.rrs, dns.TypeDNAME)
		z.rrs = slices.DeleteFunc(z.rrs, func(rr dns.RR) bool {
			return slices.ContainsFunc(dnames, func(d dns.RR) bool {
				// Nothing may stand below a DNAME (RFC 6672 2.4).
				return rr.Header().Name != d.Header().Name && dns.IsSubDomain(d.Header().Name, rr.Header().Name)
			})
		})
		zones = append(zones, z)
	}
	return zones
}

// peerQuestion draws a question about a zone.
func peerQuestion(z *plainZone) *rapid.Generator[*dns.Msg] {
	return rapid.Custom(func(t *rapid.T) *dns.Msg {
		return question(drawQname(t, []*plainZone{z}), someQtype.Draw(t, "qtype"), dns.ClassINET, 4096, rapid.Bool().Draw(t, "do"))
	})
}

// reason is why a reply differs from a peer's, on purpose.
type reason struct {
	what string
	is   func(d *difference) bool
}

// difference is a question with the two replies.
type difference struct {
	zone         *plainZone
	q            dns.Question
	ours, theirs *dns.Msg
}

// same reports whether the replies are the same, but for the order of records.
func (d *difference) same() bool {
	return differs(d.theirs, &expected{
		rcode: d.ours.Rcode, aa: d.ours.Authoritative, answer: d.ours.Answer, authority: d.ours.Ns, additional: d.ours.Extra,
	}) == ""
}

func comparePeer(t *testing.T, ours *path, p *peer, z *plainZone, m *dns.Msg, reasons []reason, used map[string]int) {
	theirs, err := p.ask(m)
	if err != nil {
		t.Fatalf("%v: %v\n%s", m.Question[0], err, p.log)
	}
	r, _ := ours.ask(t, m, resolver.Asked{TCP: true})
	d := &difference{zone: z, q: m.Question[0], ours: r, theirs: theirs}
	if d.same() {
		used["no difference"]++
		return
	}
	for _, reason := range reasons {
		if reason.is(d) {
			used[reason.what]++
			return
		}
	}
	t.Errorf("%v\nours %v\ntheirs %v", d.q, r, theirs)
}

// part reports whether the peer's answer section is a part of ours.
func (d *difference) part() bool { return partOf(d.theirs.Answer, d.ours.Answer) == "" }

// alike reports whether status and answers are the same.
func (d *difference) alike() bool {
	return d.ours.Rcode == d.theirs.Rcode && d.ours.Authoritative == d.theirs.Authoritative && slices.Equal(lines(d.ours.Answer), lines(d.theirs.Answer))
}

// apexNS reports whether the peer's authority section is ours, or the apex's NS
// where ours is empty.
func (d *difference) apexNS() bool {
	theirs := lines(d.theirs.Ns)
	return slices.Equal(theirs, lines(d.ours.Ns)) || len(d.ours.Ns) == 0 && slices.Equal(theirs, lines(d.zone.at(d.zone.apex, dns.TypeNS)))
}

// wildcardCut reports whether we delegated a name by the NS of a wildcard.
func (d *difference) wildcardCut() bool {
	ns := only(d.ours.Ns, dns.TypeNS)
	return len(ns) > 0 && len(d.zone.at(ns[0].Header().Name, dns.TypeNS)) == 0
}

// has reports whether a section has a record of a type.
func has(section []dns.RR, t uint16) bool { return len(only(section, t)) > 0 }

var knotReasons = []reason{
	{"ANY over TCP: Knot answers one RRset, we all (RFC 8482 4.1, 4.4)", func(d *difference) bool {
		return d.q.Qtype == dns.TypeANY && d.ours.Rcode == d.theirs.Rcode && d.part()
	}},
	{"RRSIG and NSEC at a CNAME without: Knot has no data, we follow the alias (RFC 1034 3.6.2)", func(d *difference) bool {
		return (d.q.Qtype == dns.TypeRRSIG || d.q.Qtype == dns.TypeNSEC) && has(d.ours.Answer, dns.TypeCNAME) && len(d.theirs.Answer) == 0 && d.theirs.Rcode == dns.RcodeSuccess
	}},
	{"NS of a wildcard: Knot gives them under the wildcard's name (RFC 4592 4.2 leaves it open)", func(d *difference) bool {
		ns := only(d.theirs.Ns, dns.TypeNS)
		return d.alike() && d.wildcardCut() && len(ns) > 0 && strings.HasPrefix(ns[0].Header().Name, "*.")
	}},
	{"SVCB with a target for a service: Knot adds the target's SVCB too, which are of no use", func(d *difference) bool {
		return (d.q.Qtype == dns.TypeSVCB || d.q.Qtype == dns.TypeHTTPS) && d.alike() && partOf(d.ours.Extra, d.theirs.Extra) == ""
	}},
}

var nsdReasons = []reason{
	{"NSD adds the apex's NS, with addresses, to answers: we send what was asked for", func(d *difference) bool {
		return d.alike() && d.apexNS() && partOf(d.ours.Extra, d.theirs.Extra) == ""
	}},
	{"ANY over TCP: NSD answers one RRset, we all (RFC 8482 4.1, 4.4)", func(d *difference) bool {
		return d.q.Qtype == dns.TypeANY && d.ours.Rcode == d.theirs.Rcode && d.part()
	}},
	{"SVCB: NSD adds no addresses, we do (RFC 9460 4.1)", func(d *difference) bool {
		return (d.q.Qtype == dns.TypeSVCB || d.q.Qtype == dns.TypeHTTPS) && d.alike() && d.apexNS() && len(d.ours.Extra) > 1
	}},
	{"NS of a wildcard: NSD takes no notice of them, we delegate (RFC 4592 4.2 leaves it open)", func(d *difference) bool {
		return d.wildcardCut() && d.theirs.Authoritative
	}},
}
