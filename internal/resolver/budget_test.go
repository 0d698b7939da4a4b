package resolver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
)

// hosts is a zone of n hosts with an IPv4 and an IPv6 address each, and one of
// everything else.
func hosts(t fataler, n int) *plainZone {
	var b strings.Builder
	b.WriteString(`ns1 A 192.0.2.53
*.wild A 192.0.2.80
c1 CNAME c2
c2 CNAME c3
c3 CNAME host7
mail MX 10 mx1
mail MX 20 mx2
mx1 A 192.0.2.25
mx1 AAAA 2001:db8::25
mx2 A 192.0.2.26
old DNAME new
a.new A 192.0.2.90
sub NS ns1.sub
sub NS ns2.sub
ns1.sub A 192.0.2.54
ns1.sub AAAA 2001:db8::54
ns2.sub A 192.0.2.55
pool A 192.0.2.1
pool A 192.0.2.2
pool A 192.0.2.3
pool A 192.0.2.4
svc HTTPS 1 host1 alpn=h2
`)
	for i := range n {
		fmt.Fprintf(&b, "host%d A 10.%d.%d.%d\nhost%d AAAA 2001:db8::%x\n", i, i>>16, i>>8&255, i&255, i, i+1)
	}
	return parsed(t, "example.", b.String())
}

// pretend adds records of the size of signatures and denials, with nothing in
// them that anybody could verify.
func pretend(t fataler, z *plainZone, nsec3 bool) *plainZone {
	t.Helper()
	add := func(format string, args ...any) {
		rr, err := dns.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			t.Fatalf("%v", err)
		}
		z.rrs = append(z.rrs, normal(t, rr))
	}
	if nsec3 {
		add("%s 0 NSEC3PARAM 1 0 0 -", z.apex)
	}
	types := map[string][]uint16{}
	for _, rr := range z.rrs {
		if h := rr.Header(); !slices.Contains(types[h.Name], h.Rrtype) {
			types[h.Name] = append(types[h.Name], h.Rrtype)
		}
	}
	hashes := map[string]bool{}
	for name, have := range types {
		if nsec3 {
			hash := dns.HashName(name, dns.SHA1, 0, "")
			owner := strings.ToLower(hash) + "." + z.apex
			if !hashes[hash] {
				add("%s 60 NSEC3 1 0 0 - %s A RRSIG", owner, hash)
				types[owner], hashes[hash] = []uint16{dns.TypeNSEC3}, true
			}
			continue
		}
		add("%s 60 NSEC next.%s A RRSIG NSEC", name, name)
		types[name] = append(have, dns.TypeNSEC)
	}
	for name, have := range types {
		for _, typ := range have {
			add("%s 300 RRSIG %s 13 2 300 20370101000000 20200101000000 4711 %s %s", name, dns.Type(typ), z.apex, strings.Repeat("A", 86)+"==")
		}
	}
	return z
}

// load is a kind of question, for the budgets and the benchmarks.
type load struct {
	name    string
	zone    string
	ask     func(i int) *dns.Msg // the i-th
	tcp     bool
	outcome resolver.Outcome
	want    string // see summary
}

func plain(format string, typ uint16) func(int) *dns.Msg {
	return func(i int) *dns.Msg {
		if strings.Contains(format, "%") {
			return question(fmt.Sprintf(format, i), typ, dns.ClassINET, 0, false)
		}
		return question(format, typ, dns.ClassINET, 0, false)
	}
}

func secure(format string, typ uint16) func(int) *dns.Msg {
	return func(i int) *dns.Msg { return question(fmt.Sprintf(format, i), typ, dns.ClassINET, 1232, true) }
}

func withECS(i int) *dns.Msg {
	m := question(fmt.Sprintf("host%d.example.", i), dns.TypeA, dns.ClassINET, 1232, false)
	o := m.IsEdns0()
	o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}})
	return m
}

func malformed(int) *dns.Msg {
	m := question("host1.example.", dns.TypeA, dns.ClassINET, 1232, false)
	m.Extra = append(m.Extra, m.Extra[0])
	return m
}

var loads = []load{
	{"hit", "plain", plain("host%d.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"aaaa", "plain", plain("host%d.example.", dns.TypeAAAA), false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"pool", "plain", plain("pool.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 4 0 0"},
	{"nxdomain", "plain", plain("nohost%d.example.", dns.TypeA), false, resolver.NXDomain, "NXDOMAIN aa 0 1 0"},
	{"nodata", "plain", plain("host%d.example.", dns.TypeMX), false, resolver.NoData, "NOERROR aa 0 1 0"},
	{"referral", "plain", plain("w%d.sub.example.", dns.TypeA), false, resolver.Referral, "NOERROR 0 2 3"},
	{"wildcard", "plain", plain("w%d.wild.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"cname", "plain", plain("c1.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 4 0 0"},
	{"mx", "plain", plain("mail.example.", dns.TypeMX), false, resolver.Answered, "NOERROR aa 2 0 3"},
	{"svcb", "plain", plain("svc.example.", dns.TypeHTTPS), false, resolver.Answered, "NOERROR aa 1 0 2"},
	{"dname", "plain", plain("a.old.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 3 0 0"},
	{"any", "plain", plain("host%d.example.", dns.TypeANY), false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"any-tcp", "plain", plain("host%d.example.", dns.TypeANY), true, resolver.Answered, "NOERROR aa 2 0 0"},
	{"refused", "plain", plain("host%d.elsewhere.", dns.TypeA), false, resolver.NotOurs, "REFUSED 0 0 0"},
	{"formerr", "plain", malformed, false, 0, "FORMERR 0 0 0"},
	{"ecs", "plain", withECS, false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"version", "plain", func(i int) *dns.Msg { return versioned(plain("host%d.example.", dns.TypeA)(i)) }, false, resolver.Answered, "NOERROR aa 1 0 0"},
	{"dnssec", "nsec", secure("host%d.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 2 0 0"},
	{"dnssec-nxdomain", "nsec", secure("nohost%d.example.", dns.TypeA), false, resolver.NXDomain, "NXDOMAIN aa 0 6 0"},
	{"dnssec-nodata", "nsec", secure("host%d.example.", dns.TypeMX), false, resolver.NoData, "NOERROR aa 0 4 0"},
	{"dnssec-wildcard", "nsec", secure("w%d.wild.example.", dns.TypeA), false, resolver.Answered, "NOERROR aa 2 2 0"},
	{"nsec3-nxdomain", "nsec3", secure("nohost%d.example.", dns.TypeA), false, resolver.NXDomain, ""},
	{"nsec3-nodata", "nsec3", secure("host%d.example.", dns.TypeMX), false, resolver.NoData, "NOERROR aa 0 4 0"},
}

// loadHosts is how many hosts the loads ask for.
const loadHosts = 1000

// loadPaths are paths to zones of n hosts, by their kind.
func loadPaths(t fataler, n int) map[string]*path {
	return map[string]*path{
		"plain": newPath(t, hosts(t, n)),
		"nsec":  newPath(t, pretend(t, hosts(t, min(n, loadHosts)), false)),
		"nsec3": newPath(t, pretend(t, hosts(t, min(n, loadHosts)), true)),
	}
}

// requests are the packed questions of a load.
func (l *load) requests(t fataler) (reqs [][]byte) {
	for i := range loadHosts {
		req, err := l.ask(i).Pack()
		if err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
		reqs = append(reqs, req)
	}
	return reqs
}

// TestNoAllocations: from the message to the reply, nothing is allocated.
func TestNoAllocations(t *testing.T) {
	paths := loadPaths(t, loadHosts)
	for i := range loads {
		l := &loads[i]
		t.Run(l.name, func(t *testing.T) {
			p, reqs := paths[l.zone], l.requests(t)
			r := &dns.Msg{}
			if err := r.Unpack(p.answer(reqs[1], resolver.Asked{TCP: l.tcp})); err != nil {
				t.Fatal(err)
			}
			if got := summary(r); got != l.want && l.want != "" || l.outcome != p.outcome && r.Rcode != dns.RcodeFormatError {
				t.Errorf("%s, %s; want %s, %s", got, p.outcome, l.want, l.outcome)
			}
			if l.zone == "nsec3" && len(only(r.Ns, dns.TypeNSEC3)) == 0 {
				t.Errorf("no NSEC3: %v", r)
			}
			n := 0
			if allocs := testing.AllocsPerRun(2000, func() {
				p.answer(reqs[n%len(reqs)], resolver.Asked{TCP: l.tcp, Draw: uint64(n)})
				n++
			}); allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}
