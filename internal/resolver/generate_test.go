package resolver_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// Random zones and questions. Few labels, so that names meet; odd ones, since
// any octet is allowed (RFC 2181 11).

var (
	someLabel = rapid.SampledFrom([]string{
		"a", "a", "a", "b", "b", "b", "c", "d", "*", "*", "*", "ns", "_x", `\000`, `\.`, `\255`, `\ z`, strings.Repeat("l", 63),
	})
	someApex = rapid.SampledFrom([]string{"example.", "example.", "a.example.", ".", "b."})
	someType = rapid.SampledFrom([]uint16{
		dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeNS, dns.TypeNS, dns.TypeNS, dns.TypeCNAME, dns.TypeCNAME, dns.TypeCNAME,
		dns.TypeMX, dns.TypeMX, dns.TypeSRV, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeHTTPS, dns.TypeTXT, dns.TypeDS, dns.TypeDS, dns.TypeDNAME, dns.TypePTR, 65400,
	})
	someQtype = rapid.SampledFrom([]uint16{
		dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeMX, dns.TypeMX,
		dns.TypeSRV, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeHTTPS, dns.TypeTXT, dns.TypeDS, dns.TypeDS, dns.TypeANY, dns.TypeANY, dns.TypeRRSIG, dns.TypeNSEC,
		dns.TypePTR, 65400, 65535,
	})
	someTTL = rapid.SampledFrom([]uint32{0, 60, 300, 86400, 1<<31 - 1})
)

// sketch is a zone in the making.
type sketch struct {
	t    *rapid.T
	zone *plainZone
	pool []string // names to be used again and again
}

func below(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

// fits reports whether a name is short enough (RFC 1035 2.3.4).
func fits(name string) bool {
	n, err := dns.PackDomainName(name, make([]byte, 1000), 0, nil, false)
	return err == nil && n <= 255
}

// name draws a name in the zone: one of the pool, or something below it.
func (s *sketch) name() string {
	n := rapid.SampledFrom(s.pool).Draw(s.t, "name")
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(s.t, "depth") {
		if l := below(someLabel.Draw(s.t, "label"), n); fits(l) {
			n = l
		}
	}
	return n
}

// target draws a name that a record may lead to.
func (s *sketch) target() string {
	switch rapid.IntRange(0, 12).Draw(s.t, "target") {
	case 0:
		return "outside.test."
	case 1:
		return "."
	case 2:
		return strings.ToUpper(rapid.SampledFrom(s.pool).Draw(s.t, "upper"))
	case 3:
		return s.zone.apex
	}
	return s.name()
}

// allowed says whether a zone may hold the record beside what it holds.
func (s *sketch) allowed(rr dns.RR) bool {
	name, t := rr.Header().Name, rr.Header().Rrtype
	if name == s.zone.apex && (t == dns.TypeCNAME || t == dns.TypeDS) {
		return false
	}
	for _, h := range s.zone.all(name) {
		ht := h.Header().Rrtype
		single := t == ht && (t == dns.TypeCNAME || t == dns.TypeDNAME)
		alone := t == dns.TypeCNAME || ht == dns.TypeCNAME
		both := name != s.zone.apex && (t == dns.TypeDNAME && ht == dns.TypeNS || t == dns.TypeNS && ht == dns.TypeDNAME)
		if single || alone || both || dns.IsDuplicate(h, rr) {
			return false
		}
	}
	return true
}

// put adds a record, with the TTL of its RRset, if the zone may have it.
func (s *sketch) put(name string, t uint16, rdata string, ttl uint32) {
	if have := s.zone.at(name, t); len(have) > 0 {
		ttl = have[0].Header().Ttl
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", name, ttl, dns.Type(t), rdata))
	if err != nil {
		s.t.Fatalf("%s %d %s: %v", name, t, rdata, err)
	}
	if rr = normal(s.t, rr); s.allowed(rr) {
		s.zone.rrs = append(s.zone.rrs, rr)
	}
}

// normal brings a record into the form in which it comes out of a message.
func normal(t fataler, rr dns.RR) dns.RR {
	rr.Header().Name = strings.ToLower(rr.Header().Name)
	buf := make([]byte, 1000)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%v: %v", rr, err)
	}
	rr, _, err = dns.UnpackRR(buf[:n], 0)
	if err != nil {
		t.Fatalf("%v: %v", rr, err)
	}
	return rr
}

func (s *sketch) rdata(t uint16) string {
	n := rapid.IntRange(1, 4).Draw(s.t, "n")
	switch t {
	case dns.TypeA:
		return fmt.Sprintf("192.0.2.%d", n)
	case dns.TypeAAAA:
		return fmt.Sprintf("2001:db8::%d", n)
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeDNAME:
		return s.target()
	case dns.TypeMX:
		return fmt.Sprintf("%d %s", n, s.target())
	case dns.TypeSRV:
		return fmt.Sprintf("%d 0 443 %s", n, s.target())
	case dns.TypeSVCB, dns.TypeHTTPS:
		return fmt.Sprintf("%d %s", n/2, s.target())
	case dns.TypeTXT:
		return `"` + strings.Repeat("text", 15*n) + `"`
	case dns.TypeDS:
		return fmt.Sprintf("%d 13 2 %s", n, strings.Repeat("0f", 32))
	}
	return fmt.Sprintf(`\# %d %s`, n, strings.Repeat("0f", n))
}

// drawZone draws a zone of some apex.
func drawZone(t *rapid.T, apex string, most int) *plainZone {
	s := &sketch{t: t, zone: &plainZone{apex: apex}, pool: []string{apex}}
	for range rapid.IntRange(3, 10).Draw(t, "names") {
		s.pool = append(s.pool, s.name())
	}
	minimum := rapid.SampledFrom([]uint32{0, 60, 3600}).Draw(t, "minimum")
	s.put(apex, dns.TypeSOA, fmt.Sprintf("ns.test. h.test. 1 2 3 4 %d", minimum), someTTL.Draw(t, "soa ttl"))
	s.put(apex, dns.TypeNS, s.target(), 300)
	for range rapid.IntRange(most/4, most).Draw(t, "records") {
		typ := someType.Draw(t, "type")
		name := s.name()
		s.put(name, typ, s.rdata(typ), someTTL.Draw(t, "ttl"))
		if typ == dns.TypeNS && rapid.Bool().Draw(t, "secure") {
			s.put(name, dns.TypeDS, s.rdata(dns.TypeDS), 60)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "large") == 0 {
		s.enlarge()
	}
	return s.zone
}

// enlarge makes one RRset so large that it does not fit everywhere.
func (s *sketch) enlarge() {
	name := s.name()
	typ := rapid.SampledFrom([]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeMX}).Draw(s.t, "large type")
	for i := range rapid.SampledFrom([]int{12, 25, 40, 80}).Draw(s.t, "size") {
		data := map[uint16]string{
			dns.TypeA: fmt.Sprintf("192.0.2.%d", i+1), dns.TypeAAAA: fmt.Sprintf("2001:db8::%d", i+1),
		}[typ]
		if data == "" {
			host := below(fmt.Sprintf("h%d", i/2), name)
			if i%2 == 0 && fits(host) {
				s.put(host, dns.TypeA, fmt.Sprintf("192.0.2.%d", i+1), 60)
				continue
			} else if !fits(host) {
				host = "outside.test."
			}
			data = map[uint16]string{dns.TypeNS: host, dns.TypeMX: "10 " + host}[typ]
		}
		s.put(name, typ, data, 300)
	}
}

// drawQname draws a name that has something to do with the zones.
func drawQname(t *rapid.T, zones []*plainZone) string {
	z := rapid.SampledFrom(zones).Draw(t, "zone")
	names := []string{"elsewhere.invalid."}
	for _, rr := range z.rrs {
		names = append(names, rr.Header().Name)
		switch rr := rr.(type) {
		case *dns.CNAME:
			names = append(names, rr.Target)
		case *dns.DNAME:
			names = append(names, rr.Target, rr.Hdr.Name, rr.Hdr.Name)
		}
	}
	slices.Sort(names)
	n := rapid.SampledFrom(slices.Compact(names)).Draw(t, "qname")
	switch rapid.IntRange(0, 5).Draw(t, "change") {
	case 0, 1:
		for range rapid.IntRange(1, 3).Draw(t, "down") {
			if l := below(someLabel.Draw(t, "label"), n); fits(l) {
				n = l
			}
		}
	case 2:
		n = up(n, rapid.IntRange(0, 2).Draw(t, "up"))
	case 3:
		if n != "." {
			n = below(someLabel.Draw(t, "other"), up(n, 1))
		}
	}
	if n = strings.ToLower(n); rapid.IntRange(0, 3).Draw(t, "case") == 0 {
		n = strings.ToUpper(n)
	}
	return n
}

// drawZones draws a zone and perhaps others below it.
func drawZones(t *rapid.T) []*plainZone {
	zones := []*plainZone{drawZone(t, someApex.Draw(t, "apex"), 35)}
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "others") {
		names := []string{}
		for _, rr := range zones[0].rrs {
			if t := rr.Header().Rrtype; t == dns.TypeNS || t == dns.TypeDS || len(names) == 0 {
				names = append(names, rr.Header().Name)
			}
		}
		apex := rapid.SampledFrom(names).Draw(t, "child")
		if !slices.ContainsFunc(zones, func(z *plainZone) bool { return z.apex == apex }) {
			zones = append(zones, drawZone(t, apex, 12))
		}
	}
	return zones
}
