package syncing

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// model is what a zone should hold, kept by nothing but the changes that are made
// to it: RRsets by owner and type, without the SOA.
type model struct {
	r    *rand.Rand
	zone string
	sets map[string]map[uint16][]dns.RR
}

// step is one line of a change, as RFC 2136 2.5 knows them.
type step struct {
	kind int
	rr   dns.RR // of dropSet only owner and type count, of dropName the owner
}

const (
	add = iota
	drop
	dropSet
	dropName
)

// The beginnings of owners that only one kind of content is at, so that no change
// makes a zone that a server may refuse. The apex's NS and A of ns1 stay.
const base = `@ 300 NS ns1
ns1 300 A 127.0.0.8
www 60 A 192.0.2.10
www 60 A 198.51.100.10
lon._site 300 TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site 300 TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
one._node 300 TXT "v=node1; addr=192.0.2.10; weight=3"
www._steer 300 TXT "v=steer1; policy=nearest"
`

func newModel(r *rand.Rand, zone string) *model {
	m := &model{r: r, zone: zone, sets: map[string]map[uint16][]dns.RR{}}
	for line := range strings.Lines(base) {
		m.do(step{add, m.record(line)})
	}
	for range 200 {
		for _, s := range m.random() {
			m.do(s)
		}
	}
	return m
}

// record reads a line; names are relative to the zone. It is packed once, so that
// it is written as one that came over the network.
func (m *model) record(line string) dns.RR {
	zp := dns.NewZoneParser(strings.NewReader(line+"\n"), m.zone, "")
	rr, ok := zp.Next()
	if !ok {
		panic(fmt.Sprintf("%q is no record: %v", line, zp.Err()))
	}
	buf := make([]byte, 4096)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		panic(err)
	}
	if rr, _, err = dns.UnpackRR(buf[:n], 0); err != nil {
		panic(err)
	}
	return rr
}

// ownerOf is the owner of a record: names are equal whatever their case.
func ownerOf(rr dns.RR) string { return strings.ToLower(rr.Header().Name) }

// do makes a step.
func (m *model) do(s step) {
	owner, typ := ownerOf(s.rr), s.rr.Header().Rrtype
	set := m.sets[owner][typ]
	at := slices.IndexFunc(set, func(rr dns.RR) bool { return canonical(rr) == canonical(s.rr) })
	switch {
	case s.kind == add && at < 0:
		if m.sets[owner] == nil {
			m.sets[owner] = map[uint16][]dns.RR{}
		}
		set = append(slices.Clone(set), s.rr)
	case s.kind == drop && at >= 0:
		set = slices.Delete(slices.Clone(set), at, at+1)
	case s.kind == dropSet:
		set = nil
	case s.kind == dropName:
		delete(m.sets, owner)
		return
	}
	if len(set) > 0 {
		m.sets[owner][typ] = set
		return
	}
	delete(m.sets[owner], typ)
	if len(m.sets[owner]) == 0 {
		delete(m.sets, owner)
	}
}

// content is what an AXFR should say.
func (m *model) content() map[string]bool {
	c := map[string]bool{}
	for _, types := range m.sets {
		for _, set := range types {
			for _, rr := range set {
				c[canonical(rr)] = true
			}
		}
	}
	return c
}

// text is the zone as a file.
func (m *model) text(serial uint32) string {
	var lines []string
	for _, types := range m.sets {
		for _, set := range types {
			for _, rr := range set {
				lines = append(lines, strings.Replace(rr.String(), "\tCLASS1\t", "\tIN\t", 1)) // Knot knows no CLASS1
			}
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%s 300 SOA ns1.%[1]s hostmaster.%[1]s %d 3600 2 604800 60\n%s\n", m.zone, serial, strings.Join(lines, "\n"))
}

// change makes a random change, and returns its steps. The zone is not the same
// afterwards.
func (m *model) change() (steps []step) {
	before := m.content()
	for {
		for range 1 + m.r.IntN(4) {
			more := m.random()
			for _, s := range more {
				m.do(s)
			}
			steps = append(steps, more...)
		}
		if !maps.Equal(before, m.content()) {
			return steps
		}
	}
}

func oneOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// random are steps that leave a zone that every server takes.
func (m *model) random() []step {
	switch n := m.r.IntN(20); {
	case n < 8:
		return m.adding()
	case n < 14:
		return m.dropping()
	case n < 16:
		return m.replacing()
	case n < 17:
		return m.alias()
	case n < 18:
		return m.delegation()
	case n < 19:
		return m.steering()
	}
	return []step{{dropName, m.record(m.ordinary() + " 0 A 0.0.0.0")}}
}

// ordinary is an owner of data of any type: names at several depths, empty
// non-terminals above, wildcards.
func (m *model) ordinary() string {
	return fmt.Sprintf(oneOf(m.r, "h%d", "h%d", "a.b%d", "deep.e.r%d", "*.w%d", "x.w%d", "_sip._tcp.s%d", "Case.h%d"), m.r.IntN(6))
}

// data is random RDATA of a random type.
func (m *model) data() string {
	n := m.r.IntN(200)
	return fmt.Sprintf(oneOf(
		m.r, "A 203.0.113.%d", "A 192.0.2.%d", "AAAA 2001:db8::%x", "MX %d mx1", "TXT \"text %d\" \"and \\\"more\\\" \\200\"",
		"SRV 10 %d 443 www", "CAA 0 issue \"ca%d.example\"", "PTR p%d", "NAPTR 10 %d \"u\" \"E2U+sip\" \"!^.*$!sip:x@y!\" .",
		"SSHFP 1 1 %040x", "TLSA 3 1 1 %064x", "LOC 51 30 1.%03d N 0 7 39.000 W 0.00m 1m 10000m 10m", "HTTPS %d . alpn=\"h2,h3\" port=8443",
		"TYPE65400 \\# 2 %04x", "URI 10 %d \"https://www.example/\"", "RP mail%d txt", "AFSDB %d afs", "HINFO \"cpu%d\" \"os\"",
	), n)
}

func (m *model) adding() []step {
	rr := m.record(fmt.Sprintf("%s 300 %s", m.ordinary(), m.data()))
	if set := m.sets[ownerOf(rr)][rr.Header().Rrtype]; len(set) > 0 {
		rr.Header().Ttl = set[0].Header().Ttl
	}
	return []step{{add, rr}}
}

// some is a random RRset at an ordinary owner; nil: there is none.
func (m *model) some() []dns.RR {
	for range 20 {
		types := m.sets[m.record(m.ordinary()+" 0 A 0.0.0.0").Header().Name]
		if len(types) > 0 {
			return types[oneOf(m.r, slices.Sorted(maps.Keys(types))...)]
		}
	}
	return nil
}

func (m *model) dropping() []step {
	set := m.some()
	if set == nil {
		return nil
	}
	return []step{{oneOf(m.r, drop, drop, dropSet), oneOf(m.r, set...)}}
}

// replacing gives an RRset another TTL, and a record more.
func (m *model) replacing() []step {
	set := m.some()
	if set == nil {
		return nil
	}
	steps := []step{{dropSet, set[0]}}
	ttl := uint32(60 + m.r.IntN(1000))
	for _, rr := range set {
		rr = dns.Copy(rr)
		rr.Header().Ttl = ttl
		steps = append(steps, step{add, rr})
	}
	return steps
}

func (m *model) alias() []step {
	rr := m.record(fmt.Sprintf("%s%d 300 CNAME %s", oneOf(m.r, "alias", "*.alias"), m.r.IntN(3), oneOf(m.r, "www", "h1", "nowhere", "a.example.net.")))
	if m.r.IntN(3) == 0 {
		return []step{{dropName, rr}}
	}
	return []step{{dropSet, rr}, {add, rr}}
}

// delegation makes or ends one, with its glue and its DS.
func (m *model) delegation() []step {
	cut := fmt.Sprintf("d%d", m.r.IntN(4))
	ns := m.record(cut + " 300 NS ns." + cut)
	glue := m.record(fmt.Sprintf("ns.%s 300 A 192.0.2.%d", cut, m.r.IntN(200)))
	ds := m.record(fmt.Sprintf("%s 300 DS %d 13 2 %064x", cut, m.r.IntN(60000), m.r.Uint64()))
	if len(m.sets[ownerOf(ns)]) > 0 && m.r.IntN(2) == 0 {
		return []step{{dropName, ns}, {dropName, glue}}
	}
	return []step{{add, ns}, {dropSet, glue}, {add, glue}, {dropSet, ds}, {add, ds}}
}

// steering changes what www is answered by. There is no check, so that nothing
// is probed.
func (m *model) steering() []step {
	switch m.r.IntN(3) {
	case 0:
		rr := m.record(fmt.Sprintf("www 60 A %s.%d", oneOf(m.r, "192.0.2", "198.51.100"), 11+m.r.IntN(5)))
		return []step{{oneOf(m.r, add, drop), rr}}
	case 1:
		n := m.r.IntN(8)
		rr := m.record(fmt.Sprintf(`s%d._site 300 TXT "v=site1; net=203.0.113.%d/28; at=%d,%d"`, n, 16*n, m.r.IntN(80), m.r.IntN(80)))
		return oneOf(m.r, []step{{dropSet, rr}}, []step{{dropSet, rr}, {add, rr}})
	}
	rr := m.record(fmt.Sprintf(`www._steer 300 TXT "v=steer1; %s"`, oneOf(
		m.r, "policy=nearest", "policy=all; answers=1", "policy=failover; order=nyc,lon", "policy=nearest; pick=sticky; answers=1",
	)))
	return []step{{dropSet, rr}, {add, rr}}
}

// update is a change as a message of RFC 2136.
func update(zone string, steps []step) *dns.Msg {
	u := new(dns.Msg).SetUpdate(zone)
	for _, s := range steps {
		rr := []dns.RR{dns.Copy(s.rr)}
		switch s.kind {
		case add:
			u.Insert(rr)
		case drop:
			u.Remove(rr)
		case dropSet:
			u.RemoveRRset(rr)
		case dropName:
			u.RemoveName(rr)
		}
	}
	return u
}
