package steer_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
)

// workload is a policy for the budgets and the benchmarks.
type workload struct {
	name   string
	policy string // tags of www's policy
	sites  int
	each   int // records a site and family
	// moment is what is down, drained or full then: the sites have a capacity in
	// the last three.
	moment string // "", "verdicts", "drained", "nothing-live", "capacity", "spill" or "overflow"
}

func workloads() []workload {
	return []workload{
		{"all", "answers=2", 4, 2, ""},
		{"all-verdicts", "check=c; floor=50%", 4, 2, "verdicts"},
		{"all-drained", "check=c", 4, 2, "drained"},
		{"all-nothing-live", "check=c", 4, 2, "nothing-live"},
		{"weighted", "pick=weighted; weight=3@s1; answers=3", 4, 2, ""},
		{"weighted-verdicts", "pick=weighted; weight=3@s1; check=c", 4, 2, "verdicts"},
		{"sticky", "pick=sticky; answers=1", 4, 2, ""},
		{"sticky-verdicts", "pick=sticky; answers=2; check=c", 4, 2, "verdicts"},
		{"nearest-2", "policy=nearest", 2, 2, ""},
		{"nearest-4-verdicts", "policy=nearest; check=c; floor=2", 4, 2, "verdicts"},
		{"nearest-4-sticky", "policy=nearest; pick=sticky; answers=1", 4, 2, ""},
		{"nearest-4-weighted", "policy=nearest; pick=weighted", 4, 2, ""},
		{"nearest-4-nothing-live", "policy=nearest; check=c", 4, 2, "nothing-live"},
		{"nearest-200", "policy=nearest; check=c", 200, 2, ""},
		{"nearest-200-verdicts", "policy=nearest; check=c", 200, 2, "verdicts"},
		{"nearest-200-nothing-live", "policy=nearest; check=c", 200, 2, "nothing-live"},
		{"failover", "policy=failover; order=s0,s1,s2", 4, 2, ""},
		{"failover-verdicts", "policy=failover; order=s0,s1,s2; check=c", 4, 2, "verdicts"},
		{"failover-nothing-live", "policy=failover; order=s0,s1,s2; check=c", 4, 2, "nothing-live"},
		{"last-resort", "check=c; empty=203.0.113.1,2001:db8:ffff::1", 4, 2, "nothing-live"},
		{"none", "check=c; empty=none", 4, 2, "nothing-live"},
		{"all-spill", "answers=2; ramp=1m", 4, 2, "spill"},
		{"nearest-4-capacity", "policy=nearest", 4, 2, "capacity"},
		{"nearest-4-spill", "policy=nearest; pick=weighted; answers=1", 4, 2, "spill"},
		{"nearest-200-spill", "policy=nearest; check=c", 200, 2, "spill"},
		{"nearest-200-overflow", "policy=nearest; check=c; answers=1", 200, 2, "overflow"},
	}
}

// serve compiles the workload, in a world of many places.
func (w *workload) serve(t fataler, k *steer.Rankings) *cluster {
	t.Helper()
	var b strings.Builder
	b.WriteString(top)
	random := rand.New(rand.NewPCG(7, 8))
	for i := range w.sites {
		capacity := ""
		if w.share() > 0 {
			capacity = "; capacity=100"
		}
		fmt.Fprintf(&b, "s%d._site TXT \"v=site1; net=10.%d.0.0/16; net=2001:db8:%x::/48; at=%.4f,%.4f%s\"\n", i, i, i, random.Float64()*160-80, random.Float64()*360-180, capacity)
		for j := range w.each {
			fmt.Fprintf(&b, "www A %s\nwww AAAA %s\n", siteAddr(0, i, j+1), siteAddr(1, i, j+1))
		}
	}
	fmt.Fprintf(&b, "c._check TXT \"v=check1; type=tcp; port=80\"\nwww._steer TXT \"v=steer1; %s\"\n", w.policy)
	c := serve(t, b.String(), k)
	c.judge(func(a netip.Addr, _ string) health.State {
		last := a.AsSlice()[len(a.AsSlice())-1]
		if w.moment == "nothing-live" || w.moment == "verdicts" && last == 1 {
			return health.Down
		}
		return health.Up
	})
	if w.moment == "drained" {
		c.drain(func(name string, _ bool) bool { return name == "s0" })
	}
	if w.share() > 0 {
		shares := map[string]float64{}
		for i := range w.sites {
			shares[siteLabel(i)] = w.share()
		}
		c.spill(shares)
	}
	return c
}

// share is which part of its clients each site takes; 0: they have no capacity.
func (w *workload) share() float64 {
	return map[string]float64{"capacity": 1, "spill": 0.5, "overflow": 0.01}[w.moment]
}

// randomWorld is n places, with prefixes of IPv4 and IPv6.
func randomWorld(n int) string {
	random := rand.New(rand.NewPCG(9, 10))
	var b strings.Builder
	b.WriteString("prefix,lat,lon\n")
	for i := range n {
		lat, lon := random.Float64()*180-90, random.Float64()*360-180
		fmt.Fprintf(&b, "%d.%d.%d.0/%d,%.4f,%.4f\n", 11+i/65536, i/256%256, i%256, 24+random.IntN(3), lat, lon)
		fmt.Fprintf(&b, "2a00:%x:%x::/%d,%.4f,%.4f\n", i/256, i%256, 48+random.IntN(17), lat, lon)
	}
	return b.String()
}

func randomClient(random *rand.Rand, n int) netip.Addr {
	i := random.IntN(n)
	if random.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(11 + i/65536), byte(i / 256), byte(i), byte(random.Uint32())})
	}
	b := [16]byte{0x2a, 0, byte(i / 256 >> 8), byte(i / 256), 0, byte(i), byte(random.Uint32()), byte(random.Uint32())}
	return netip.AddrFrom16(b)
}

// TestNoAllocations: choosing takes no memory, whatever the policy and however
// much is down.
func TestNoAllocations(t *testing.T) {
	k := rankings(tableOf(t, t.TempDir(), randomWorld(2000)))
	random := rand.New(rand.NewPCG(1, 1))
	for _, w := range workloads() {
		c := w.serve(t, k)
		for f := range steer.Family(2) {
			r := c.rule(t, "www", typeOf(f))
			none(t, w.name, func() {
				c.ask(randomClient(random, 2000), random.Uint64())
				res := c.chooser.Address(&c.moment, r, f, nil)
				if r.Metered() {
					c.chooser.Count(c.moment.Bound, 1, r, f, &res)
				}
			})
			none(t, w.name+", for nobody", func() {
				c.ask(netip.Addr{}, random.Uint64())
				c.chooser.Address(&c.moment, r, f, nil)
			})
		}
	}
}

func none(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(500, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

const mailZone = `mail MX 10 mx1
mail MX 10 mx2
mail MX 20 mx3
mail MX 20 mx4.elsewhere.test.
mx1 A 192.0.2.1
mx2 A 192.0.2.2
mx2 AAAA 2001:db8::2
mx3 A 192.0.2.3
c._check TXT "v=check1; type=smtp; port=25"
mail._steer TXT "v=steer1; type=MX; check=c; answers=1"
`

const aliasZone = `cdn CNAME elsewhere.test.
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
cdn._steer TXT "v=steer1; policy=nearest; cname=lon:a.test.; cname=nyc:b.test."
`

// TestNoAllocationsThinAlias is the same for MX, and for CNAMEs.
func TestNoAllocationsThinAlias(t *testing.T) {
	k := rankings(tableOf(t, t.TempDir(), randomWorld(2000)))
	random := rand.New(rand.NewPCG(1, 1))
	c := serve(t, top+mailZone, k)
	r, records := c.rule(t, "mail", wire.TypeMX), c.records(t, "mail", wire.TypeMX)
	for _, down := range [][]string{nil, {"192.0.2.1"}, {"192.0.2.1", "192.0.2.2", "2001:db8::2", "192.0.2.3"}} {
		c.down(down...)
		none(t, fmt.Sprint("MX without ", down), func() {
			c.ask(randomClient(random, 2000), random.Uint64())
			c.chooser.Thin(&c.moment, r, records, nil)
		})
	}
	c = serve(t, top+aliasZone, k)
	r = c.rule(t, "cdn", wire.TypeCNAME)
	none(t, "CNAME", func() {
		c.ask(randomClient(random, 2000), random.Uint64())
		c.chooser.Alias(&c.moment, r, nil)
	})
}

// BenchmarkAddress chooses for clients from all over a random world.
func BenchmarkAddress(b *testing.B) {
	k := rankings(tableOf(b, b.TempDir(), randomWorld(100_000)))
	random := rand.New(rand.NewPCG(1, 1))
	clients := make([]netip.Addr, 1<<14)
	for i := range clients {
		clients[i] = randomClient(random, 100_000)
	}
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			c := w.serve(b, k)
			r := c.rule(b, "www", wire.TypeA)
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				c.ask(clients[n%uint64(len(clients))], n)
				c.chooser.Address(&c.moment, r, steer.V4, nil)
			}
		})
	}
}
