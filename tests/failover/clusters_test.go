package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Cluster 4: all nodes are active, and an answer has two of them. Each node gets
// its share, a dead one's goes to the others evenly, and whoever ignores the TTL
// and keeps an answer has an address that works when one of the two dies.
func TestActive(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11, 12, 13)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web; answers=2"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	time.Sleep(time.Second)
	w.shares(begin, addrs(nodes))

	died := nodes[1].kill()
	time.Sleep(addNoise(t, killed))
	calm := time.Now()
	time.Sleep(time.Second)
	w.shares(calm, addrs([]*node{nodes[0], nodes[2], nodes[3]}))
	w.judge([]outage{{node: nodes[1].addr, from: died}}, addNoise(t, killed))
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) != 2 || s.addrs[0] == s.addrs[1] {
			return "there are not two addresses"
		}
		return ""
	})
}

// shares fails if some of the nodes that are to be answered since a time are
// named much more often than others, or others are at all.
func (w *watcher) shares(since time.Time, nodes []netip.Addr) {
	w.t.Helper()
	first, total := map[netip.Addr]int{}, 0
	for _, s := range w.sightings() {
		if s.asked.Before(since) || len(s.addrs) == 0 {
			continue
		}
		first[s.addrs[0]]++
		total++
	}
	even := float64(total) / float64(len(nodes))
	for a, n := range first {
		// Even the share of a random pick would be further off once in a million
		// runs.
		if share := float64(n) / even; !slices.Contains(nodes, a) || total < 50 || share < .4 || share > 1.8 {
			w.t.Errorf("%s is first in %d of %d answers, and %d nodes are there", a, n, total, len(nodes))
		}
	}
	if len(first) != len(nodes) {
		w.t.Errorf("%d nodes come first in some answer, want %d", len(first), len(nodes))
	}
}

// Cluster 5: in the dumb one a machine leaves the pool until it is back; the
// intelligent one knows where clients are, and sends them to the next site when
// theirs dies, and back.
func TestIntelligent(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11, 200, 201)
	lon, nyc := nodes[:2], nodes[2:]
	c.zone(`
www 30 A ADDR.10
www 30 A ADDR.11
www 30 A ADDR.200
www 30 A ADDR.201
dumb 30 A ADDR.10
dumb 30 A ADDR.11
dumb 30 A ADDR.200
dumb 30 A ADDR.201
lon._site  TXT "v=site1; net=ADDR.0/25; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=ADDR.128/25; at=40.71,-74.01"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; policy=nearest; check=web"
dumb._steer TXT "v=steer1; check=web"
`)
	c.serve()
	dumb, fromLondon, fromNewYork := c.watch("dumb", dns.TypeA, ""), c.watch("www", dns.TypeA, london), c.watch("www", dns.TypeA, newYork)
	begin := time.Now()
	only := func(nodes []*node) func(*sighting) bool {
		return func(s *sighting) bool { return sameAddrs(s.addrs, addrs(nodes)) }
	}
	fromLondon.until("names London's nodes", begin, only(lon))
	fromNewYork.until("names New York's nodes", begin, only(nyc))
	dumb.until("names all", begin, only(nodes))

	// One of two: its site goes on.
	outages := []outage{{node: lon[0].addr, from: lon[0].kill()}}
	dumb.until("names the others", begin, only(nodes[1:]))
	fromLondon.until("names the other one in London", begin, only(lon[1:]))
	// And both.
	outages = append(outages, outage{node: lon[1].addr, from: lon[1].freeze()})
	fromLondon.until("names New York's", begin, only(nyc))
	dumb.until("names New York's", begin, only(nyc))
	// Both back; the first one died a while ago.
	outages[1].to = lon[1].thaw()
	outages[0].to = time.Now()
	lon[0].boot()
	fromLondon.until("names London's again", outages[1].to, only(lon))
	dumb.until("names all again", outages[1].to, only(nodes))

	for _, w := range []*watcher{dumb, fromLondon, fromNewYork} {
		w.judge(outages, addNoise(t, promise))
		w.always(begin, func(s *sighting) string {
			if len(s.addrs) == 0 {
				return "nobody is named"
			}
			return ""
		})
	}
	fromNewYork.always(begin, func(s *sighting) string {
		if !sameAddrs(s.addrs, addrs(nyc)) {
			return "a client in New York is sent elsewhere"
		}
		return ""
	})
	fromLondon.always(begin, func(s *sighting) string {
		if slices.ContainsFunc(s.addrs, lonNet(c).Contains) && slices.ContainsFunc(s.addrs, nycNet(c).Contains) {
			return "both sites are in one answer"
		}
		return ""
	})
}

func lonNet(c *cluster) netip.Prefix { return netip.PrefixFrom(c.addr(0), 25) }
func nycNet(c *cluster) netip.Prefix { return netip.PrefixFrom(c.addr(128), 25) }

func sameAddrs(a, b []netip.Addr) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(a, b)
}

// Cluster 6: planned downtime is a line in the zone. The node gets no new
// clients although it lives, nobody is left without an answer, and when the line
// is gone the node is back at once: it has been probed all the time.
func TestPlanned(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11)
	zone := func(serial int, drain string) string {
		return fmt.Sprintf(`; version %d
www 30 A ADDR.10
www 30 A ADDR.11
one._node  TXT "v=node1; addr=ADDR.10%s"
two._node  TXT "v=node1; addr=ADDR.11"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web"
`, serial, drain)
	}
	c.zone(zone(1, ""))
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names both", begin, func(s *sighting) bool { return len(s.addrs) == 2 })

	c.zone(zone(2, "; drain=yes"))
	w.until("names the other one only", begin, func(s *sighting) bool { return sameAddrs(s.addrs, addrs(nodes[1:])) })
	// The reboot that it is for: not a word of it in the answers.
	drained := time.Now()
	nodes[0].kill()
	time.Sleep(promise)
	nodes[0].boot()
	w.stays(promise, func(s *sighting) string { return "" })
	w.always(drained, func(s *sighting) string {
		if !sameAddrs(s.addrs, addrs(nodes[1:])) {
			return "something else than the other one is named while the first is drained"
		}
		return ""
	})
	// With the other one dead as well, nothing is left: the chain goes on as if
	// what is not drained lived (empty=all), and a drain stays what it is.
	o := outage{node: nodes[1].addr, from: nodes[1].kill()}
	w.until("names a node", o.from, func(s *sighting) bool { return len(s.addrs) > 0 })
	time.Sleep(addNoise(t, killed))
	nodes[1].boot()
	w.until("names the other one", time.Now(), func(s *sighting) bool { return s.has(nodes[1].addr) })

	c.zone(zone(3, ""))
	w.until("names both again", time.Now(), func(s *sighting) bool { return len(s.addrs) == 2 })
	w.judge(nil, 0)
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) == 0 {
			return "nobody is named"
		}
		return ""
	})
}

// Cluster 7: what is answered is a virtual address that nobody listens at here;
// the real servers behind it are probed, and two of three must live.
func TestDirectServerReturn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	real := c.webs(11, 12, 13, 21)
	c.zone(`
www 30 A ADDR.10
www 30 A ADDR.20
vip1._node TXT "v=node1; addr=ADDR.10; probe=ADDR.11; probe=ADDR.12; probe=ADDR.13; need=2"
vip2._node TXT "v=node1; addr=ADDR.20; probe=ADDR.21"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; policy=failover; order=vip1,vip2; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	is := func(last int) func(*sighting) bool {
		return func(s *sighting) bool { return sameAddrs(s.addrs, []netip.Addr{c.addr(last)}) }
	}
	first, second := is(10), is(20)
	w.until("names the first address", begin, first)

	real[0].kill()
	w.stays(promise+noise/3, func(s *sighting) string {
		if !first(s) {
			return "two of three are enough"
		}
		return ""
	})
	died := real[1].kill()
	w.until("names the second address", died, second)
	real[1].boot()
	lives := time.Now()
	w.until("names the first address again", lives, first)
	w.judge([]outage{{node: c.addr(10), from: died, to: lives}}, addNoise(t, killed))
	w.always(begin, func(s *sighting) string {
		if !first(s) && !second(s) {
			return "not one of the two addresses, alone"
		}
		return ""
	})
}

// Cluster 2: the first of two MX hangs; mail goes to the second, and the first
// keeps its preference when it is back.
func TestMail(t *testing.T) {
	t.Parallel()
	if !canBecome(t) {
		return
	}
	c := newCluster(t)
	one, two := c.smtp(c.addr(25)), c.smtp(c.addr(26))
	c.zone(`
@   30 MX 10 mx1
@   30 MX 20 mx2
mx1 30 A ADDR.25
mx2 30 A ADDR.26
mail._check TXT "v=check1; type=smtp; port=PORT; every=200ms; timeout=200ms; fall=3; rise=2"
_steer TXT "v=steer1; type=MX; check=mail"
`)
	c.serve()
	w := c.watch("", dns.TypeMX, "")
	begin := time.Now()
	names := func(list ...string) func(*sighting) bool {
		return func(s *sighting) bool {
			got := slices.Clone(s.names)
			slices.Sort(got)
			return slices.Equal(got, list)
		}
	}
	both, first, second := names("mx1."+origin, "mx2."+origin), names("mx1."+origin), names("mx2."+origin)
	w.until("names both", begin, both)
	one.freeze()
	w.until("names the second only", begin, second)
	w.until("names both again", one.thaw(), both)
	died := two.kill()
	w.until("names the first only", died, first)
	two.boot()
	w.until("names both again", died, both)
	w.judge(nil, 0)
	w.always(begin, func(s *sighting) string {
		if len(s.names) == 0 {
			return "there is nowhere to send mail to"
		}
		return ""
	})
}
