package resolver_test

import (
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
	"geodns/internal/world"
)

// TestCountdown: nothing that a rule chooses is kept beyond the time when its
// answers change: answers, aliases, additional data and hints alike. It costs no
// allocation.
func TestCountdown(t *testing.T) {
	z := parsed(t, "example.", `www A 192.0.2.1
www AAAA 2001:db8::1
www HTTPS 1 . ipv4hint=192.0.2.1
@ MX 10 www
cdn CNAME host
host A 192.0.2.9
l._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
www._steer TXT "v=steer1; ttl=30-90"
_steer TXT "v=steer1; type=MX"
cdn._steer TXT "v=steer1; policy=nearest; default=l; cname=l:other.example.net."
`)
	p := newSteeredPath(t, z, steeredWorld(t, steeredPlaces))
	const clock = int64(1_800_000_000_000)
	// until has all rules change some milliseconds after the World's clock.
	until := func(after int64) {
		w := *p.world
		w.Clock = clock
		w.Zones.Each(func(s *world.Served) bool {
			list := make([]int64, len(s.Steering.Rules()))
			for i := range list {
				list[i] = clock + after
			}
			w.Zones = w.Zones.With(world.Change{Put: []*world.Served{s.WithDrains(nil, list)}})
			return false
		})
		p.world = &w
	}
	questions := []struct {
		name string
		typ  uint16
		// least is the TTL if nothing changes soon.
		least uint32
	}{
		{"www.example.", dns.TypeA, 90},
		{"www.example.", dns.TypeAAAA, 90},
		{"www.example.", dns.TypeHTTPS, 90},
		{"example.", dns.TypeMX, 90},
		{"cdn.example.", dns.TypeCNAME, 90},
	}
	for _, q := range questions {
		m := new(dns.Msg).SetQuestion(q.name, q.typ)
		req, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		ttls := func() (list []uint32) {
			r := &dns.Msg{}
			if err := r.Unpack(p.answer(req, resolver.Asked{})); err != nil || len(r.Answer) == 0 {
				t.Fatalf("%v: %s", err, r)
			}
			for _, rr := range append(r.Answer, r.Extra...) {
				list = append(list, rr.Header().Ttl)
			}
			return list
		}
		until(3600_000)
		for _, ttl := range ttls() {
			if ttl < q.least {
				t.Errorf("%s %d: TTL %d an hour before a change", q.name, q.typ, ttl)
			}
		}
		for after, want := range map[int64]uint32{17_999: 17, 999: 0, -5000: 0} {
			until(after)
			for _, ttl := range ttls() {
				if ttl != want {
					t.Errorf("%s %d: TTL %d, %d ms before a change", q.name, q.typ, ttl, after)
				}
			}
		}
		if allocs := testing.AllocsPerRun(500, func() { p.answer(req, resolver.Asked{}) }); allocs != 0 {
			t.Errorf("%s %d: %v allocations", q.name, q.typ, allocs)
		}
	}
}
