package steer_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
)

// Two sites for everybody: lon is nearer to all, since nothing else has a place.
const twoSites = `www A 192.0.2.1
www A 192.0.2.2
www A 198.51.100.1
www A 198.51.100.2
web._check TXT "v=check1; type=tcp; port=80"
`

func sitesText(lon, nyc string) string {
	return fmt.Sprintf("lon._site TXT \"v=site1; net=192.0.2.0/24; net=2001:db8:1::/48; at=51.51,-0.13%s\"\nnyc._site TXT \"v=site1; net=198.51.100.0/24; net=2001:db8:2::/48; at=40.71,-74.01%s\"\n", lon, nyc)
}

// clientNets are clients, one of each of n networks.
func clientNets(n int) (out []netip.Addr) {
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}))
	}
	return out
}

// londoners is geography in which all clients are in London.
func londoners(t *testing.T) *steer.Rankings {
	t.Helper()
	return rankings(tableOf(t, t.TempDir(), "prefix,lat,lon\n10.0.0.0/8,51.5,0\n"))
}

// tally asks for each client once, and counts the answers at each site ("":
// several), and how often each address was among them.
func (c *cluster) tally(t *testing.T, clients []netip.Addr) (sites, addrs map[string]int) {
	t.Helper()
	r := c.rule(t, "www", wire.TypeA)
	list := c.addrs(t, "www", steer.V4)
	sites, addrs = map[string]int{}, map[string]int{}
	for i, a := range clients {
		c.ask(a, uint64(i)*0x9e3779b97f4a7c15)
		res := c.chooser.Address(&c.moment, r, steer.V4, nil)
		if res.Stage != steer.Normal || res.Scope < 24 {
			t.Fatalf("client %v: %v with scope %d", a, res.Stage, res.Scope)
		}
		got := picked(list, res)
		if len(got) == 0 {
			t.Fatalf("client %v is turned away", a)
		}
		sites[c.program.SiteName(r, res.Site)]++
		for _, x := range got {
			addrs[x.String()]++
		}
	}
	return sites, addrs
}

// spill sets the shares of sites and nodes, from 0 to 1.
func (c *cluster) spill(shares map[string]float64) {
	b := *c.moment.Bound
	b.Cells = steer.NewMeters(1).Cells(b.Program)
	units := map[steer.Unit]uint32{}
	b.Metered(func(u steer.Unit, _, _ uint64) {
		if share, ok := shares[u.Name]; ok {
			units[u] = uint32(share * steer.Whole)
		}
	})
	b.Spill = b.Spilled(units)
	c.moment.Bound = &b
}

func about(t *testing.T, what string, got, of int, want float64) {
	t.Helper()
	if share := float64(got) / float64(of); math.Abs(share-want) > 0.03 {
		t.Errorf("%s: %.3f of all, want %.3f", what, share, want)
	}
}

// A share is that of the clients' networks; the others go to the next site, by
// that one's share, and nobody is turned away.
func TestSpill(t *testing.T) {
	const n = 4096
	clients := clientNets(n)
	c := serve(t, top+twoSites+sitesText("; capacity=300", "; capacity=100")+"www._steer TXT \"v=steer1; policy=nearest\"\n", londoners(t))
	for _, tt := range []struct{ lon, nyc, wantLon float64 }{
		{1, 1, 1},
		{0.25, 1, 0.25},
		{0.5, 0.5, 0.5 + 0.25*0.75}, // three of four whom both pass are lon's
		{0, 0, 0.75},
	} {
		c.spill(map[string]float64{"lon": tt.lon, "nyc": tt.nyc})
		sites, _ := c.tally(t, clients)
		about(t, fmt.Sprintf("lon takes %v, nyc %v", tt.lon, tt.nyc), sites["lon"], n, tt.wantLon)
		if sites["lon"]+sites["nyc"] != n {
			t.Errorf("%v", sites)
		}
	}
}

// Who is taken stays when the share grows, and a whole network is passed over
// or taken alike.
func TestSpillIsSteady(t *testing.T) {
	c := serve(t, top+twoSites+sitesText("; capacity=300", "")+"www._steer TXT \"v=steer1; policy=nearest\"\n", londoners(t))
	r := c.rule(t, "www", wire.TypeA)
	for _, a := range clientNets(300) {
		was := false
		for _, share := range []float64{0, 0.2, 0.4, 0.6, 0.8, 1} {
			c.spill(map[string]float64{"lon": share})
			at := func(a netip.Addr) bool {
				c.ask(a, 1)
				res := c.chooser.Address(&c.moment, r, steer.V4, nil)
				return c.program.SiteName(r, res.Site) == "lon"
			}
			is := at(a)
			if was && !is {
				t.Fatalf("%v is at lon with a smaller share, and not with %v", a, share)
			}
			if other := a.As4(); at(netip.AddrFrom4([4]byte{other[0], other[1], other[2], 200})) != is {
				t.Fatalf("the network of %v is in two places", a)
			}
			was = is
		}
		if !was {
			t.Fatalf("%v is not at lon although all are", a)
		}
	}
}

// A full node is passed over within its site; a site all of whose nodes pass a
// client over spills; and what all pass over goes by the nodes' capacities.
func TestSpillOfNodes(t *testing.T) {
	const n = 4096
	nodes := "a._node TXT \"v=node1; addr=192.0.2.1; capacity=300\"\nb._node TXT \"v=node1; addr=192.0.2.2; capacity=100\"\n"
	c := serve(t, top+twoSites+sitesText("", "")+nodes+"www._steer TXT \"v=steer1; policy=nearest; answers=1\"\n", londoners(t))
	clients := clientNets(n)

	c.spill(map[string]float64{"a": 0})
	sites, addrs := c.tally(t, clients)
	if sites["lon"] != n || addrs["192.0.2.2"] != n {
		t.Errorf("a is full: %v %v", sites, addrs)
	}
	c.spill(map[string]float64{"a": 0.5, "b": 0.5})
	sites, _ = c.tally(t, clients)
	about(t, "half of each", sites["nyc"], n, 0.25)

	alone := serve(t, top+"www A 192.0.2.1\nwww A 192.0.2.2\n"+sitesText("", "")+nodes+"www._steer TXT \"v=steer1; answers=1\"\n", londoners(t))
	alone.spill(map[string]float64{"a": 0, "b": 0})
	_, addrs = alone.tally(t, clients)
	about(t, "both full, by capacity", addrs["192.0.2.1"], n, 0.75)
}

// With policy=all a full site's records are answered less, and floors, weights
// and the rest go on to count.
func TestSpillOfAll(t *testing.T) {
	const n = 4096
	c := serve(t, top+twoSites+sitesText("; capacity=300", "")+"www._steer TXT \"v=steer1; answers=1\"\n", londoners(t))
	c.spill(map[string]float64{"lon": 0.4})
	_, addrs := c.tally(t, clientNets(n))
	about(t, "lon", addrs["192.0.2.1"]+addrs["192.0.2.2"], n, 0.2)
}

// A failover's step serves alone: no capacity sends a client elsewhere.
func TestFailoverDoesNotSpill(t *testing.T) {
	c := serve(t, top+twoSites+sitesText("; capacity=300", "; capacity=3")+"www._steer TXT \"v=steer1; policy=failover; order=lon,nyc; ramp=5m\"\n", londoners(t))
	if c.rule(t, "www", wire.TypeA).Spreads() || c.program.Ramped() || steer.NewMeters(1).Cells(c.program) != nil {
		t.Error("a failover is counted, or ramped up")
	}
}

// Answers are counted for each site and node that they name, once.
func TestCount(t *testing.T) {
	nodes := "a._node TXT \"v=node1; addr=192.0.2.1; addr=192.0.2.2; capacity=300\"\n"
	c := serve(t, top+twoSites+sitesText("; capacity=500", "")+nodes+"www._steer TXT \"v=steer1\"\nmore._steer TXT \"v=steer1; answers=1\"\nmore A 192.0.2.2\nmore A 198.51.100.9\n", londoners(t))
	b := c.moment.Bound
	meters := steer.NewMeters(2)
	b.Cells = meters.Cells(b.Program)
	count := func(name string, lane int, res steer.Result) {
		c.chooser.Count(b, lane, c.rule(t, name, wire.TypeA), steer.V4, &res)
	}
	wants := func(what string, a, lon uint64) {
		t.Helper()
		got := map[string]uint64{}
		b.Metered(func(u steer.Unit, capacity, answers uint64) { got[fmt.Sprint(u.Name, " ", capacity)] = answers })
		if want := map[string]uint64{"a 300": a, "lon 500": lon}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	wants("nothing", 0, 0)
	count("www", 1, steer.Result{})
	wants("all of the records", 1, 1)
	count("www", 2, steer.Result{Pick: []uint16{0, 1}})
	count("www", 3, steer.Result{Pick: []uint16{1}})
	wants("some of them, in other lanes", 3, 3)
	count("www", 1, steer.Result{Pick: []uint16{2, 3}})
	count("www", 1, steer.Result{Stage: steer.LastResort})
	wants("nothing of theirs", 3, 3)
	count("more", 1, steer.Result{Pick: []uint16{0}})
	wants("another name", 4, 4)

	// The next version of the zone counts on, until nobody uses the unit.
	b.Cells = meters.Cells(b.Program)
	wants("counted on", 4, 4)
	meters.Forget(func(u steer.Unit) bool { return u.Node })
	b.Cells = meters.Cells(b.Program)
	wants("lon begins anew", 4, 0)
}

// moments are ramps as a table tells them: what is down or drained at a time,
// and the shares that follow.
func TestRamps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const extra = "www AAAA 2001:db8:1::1\nwww AAAA 2001:db8:2::1\n"
	type moment struct {
		at    time.Duration
		down  string // addresses, with blanks
		drain string // a site
		want  string // what is being ramped up
	}
	tests := []struct {
		name, policy string
		moments      []moment
	}{
		{"nothing at the start", "policy=nearest; check=web; ramp=100s", []moment{{0, "", "", ""}, {time.Second, "", "", ""}}},
		{"what is down at the start returns", "policy=nearest; check=web; ramp=100s", []moment{
			{0, "192.0.2.1 192.0.2.2 2001:db8:1::1", "", ""}, {time.Second, "", "", "lon 1%"},
		}},
		{"a site returns, and grows to its end", "policy=nearest; check=web; ramp=100s", []moment{
			{0, "", "", ""},
			{1 * time.Second, "192.0.2.1 192.0.2.2", "", ""}, // no A left: one site for both families
			{2 * time.Second, "", "", "lon 1%"},
			{3 * time.Second, "", "", "lon 2%"},
			{52 * time.Second, "", "", "lon 50%"},
			{101*time.Second + 999*time.Millisecond, "", "", "lon 99%"},
			{102 * time.Second, "", "", ""},
			{103 * time.Second, "", "", ""},
		}},
		{"a drain ends", "policy=nearest; ramp=100s", []moment{
			{0, "", "", ""}, {1 * time.Second, "", "lon", ""}, {2 * time.Second, "", "", "lon 1%"}, {102 * time.Second, "", "", ""},
		}},
		{"it goes again", "policy=nearest; check=web; ramp=100s", []moment{
			{0, "", "", ""},
			{1 * time.Second, "", "nyc", ""},
			{2 * time.Second, "", "", "nyc 1%"},
			{52 * time.Second, "", "nyc", ""},
			{53 * time.Second, "", "", "nyc 1%"},
		}},
		{"a node returns to a site that stayed", "policy=nearest; check=web; ramp=100s", []moment{
			{0, "", "", ""}, {1 * time.Second, "192.0.2.1", "", ""}, {2 * time.Second, "", "", "192.0.2.1 1%"}, {12 * time.Second, "", "", "192.0.2.1 11%"},
		}},
		{"a site with its nodes, one after the other", "policy=nearest; check=web; ramp=100s", []moment{
			{0, "", "", ""},
			{1 * time.Second, "192.0.2.1 192.0.2.2 2001:db8:1::1", "", ""},
			{2 * time.Second, "192.0.2.2", "", "lon 1%"},
			{3 * time.Second, "", "", "lon 2%"},
		}},
		{"below its floor a site is away", "policy=nearest; check=web; floor=2; ramp=100s", []moment{
			{0, "2001:db8:2::1", "", ""}, {1 * time.Second, "2001:db8:1::1", "", "2001:db8:2::1 1%"},
		}},
		{"policy=all ramps nodes", "check=web; ramp=100s", []moment{
			{0, "", "", ""}, {1 * time.Second, "", "lon", ""}, {2 * time.Second, "", "", "192.0.2.1 1% 192.0.2.2 1% 2001:db8:1::1 1%"},
		}},
		{"the shortest", "policy=nearest; ramp=1s", []moment{
			{0, "", "", ""}, {1 * time.Second, "", "lon", ""}, {2 * time.Second, "", "", "lon 50%"}, {3 * time.Second, "", "", ""},
		}},
	}
	for _, tt := range tests {
		c := serve(t, top+twoSites+extra+sitesText("", "")+fmt.Sprintf("www._steer TXT \"v=steer1; %s\"\n", tt.policy), londoners(t))
		var was *steer.Ramps
		for _, m := range tt.moments {
			c.down(strings.Fields(m.down)...)
			c.drain(func(name string, _ bool) bool { return name == m.drain })
			next := c.moment.Comebacks(c.moment.Verdicts, was, start.Add(m.at))
			var got []string
			for _, r := range c.moment.Ramping(next) {
				got = append(got, fmt.Sprintf("%s%s %.0f%%", r.Site, r.Address, math.Floor(100*r.Share+0.5)))
			}
			if text := strings.Join(got, " "); text != m.want {
				t.Errorf("%s, after %v: %q, want %q", tt.name, m.at, text, m.want)
			}
			if again := c.moment.Comebacks(c.moment.Verdicts, next, start.Add(m.at)); again != next {
				t.Errorf("%s, after %v: looked at twice, something is different", tt.name, m.at)
			}
			was = next
		}
	}
}

// A record that is new has not returned, whether its first verdict is waited
// for or it was prepared; one that was away in the old version has.
func TestRampsOfNewVersion(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	version := func(more string, state func(string) health.State) *cluster {
		c := serve(t, top+twoSites+more+sitesText("", "")+"www._steer TXT \"v=steer1; check=web; ramp=100s\"\n", londoners(t))
		c.judge(func(a netip.Addr, _ string) health.State { return state(a.String()) })
		return c
	}
	up := func(string) health.State { return health.Up }
	only := func(addr string, s health.State) func(string) health.State {
		return func(a string) health.State {
			if a == addr {
				return s
			}
			return health.Up
		}
	}
	wants := func(what string, c *cluster, was *steer.Ramps, at int, want string) *steer.Ramps {
		t.Helper()
		next := c.moment.Comebacks(c.moment.Verdicts, was, start.Add(time.Duration(at)*time.Second))
		var got []string
		for _, r := range c.moment.Ramping(next) {
			got = append(got, r.Address)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %q", what, got, want)
		}
		return next
	}
	was := wants("the first version", version("", only("192.0.2.2", health.Down)), nil, 0, "")
	was = wants("one more record, which joins", version("www A 192.0.2.9\n", func(a string) health.State {
		return map[string]health.State{"192.0.2.9": health.Joining, "192.0.2.2": health.Down}[a]
	}), was, 1, "")
	was = wants("its first verdict, and the other's return", version("www A 192.0.2.9\n", up), was, 2, "192.0.2.2")
	was = wants("a record that is down when it comes", version("www A 192.0.2.9\nwww A 192.0.2.8\n", only("192.0.2.8", health.Down)), was, 3, "192.0.2.2")
	wants("and is up then", version("www A 192.0.2.9\nwww A 192.0.2.8\n", up), was, 4, "192.0.2.2")

	joining := version("", func(string) health.State { return health.Joining })
	wants("a new zone whose verdicts come", version("", up), wants("and that joins", joining, nil, 0, ""), 1, "")
}

// While everything else is down, what has returned serves everybody; and an
// answer is not kept beyond the end of a ramp.
func TestRampHoldsNobodyBack(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, policy := range []string{"policy=nearest", "policy=all"} {
		c := serve(t, top+twoSites+sitesText("", "")+"www._steer TXT \"v=steer1; check=web; ramp=100s; "+policy+"\"\n", londoners(t))
		look := func(was *steer.Ramps, seconds int) *steer.Ramps {
			next := c.moment.Comebacks(c.moment.Verdicts, was, start.Add(time.Duration(seconds)*time.Second))
			b := *c.moment.Bound
			b.Ramps = next.Bound()
			c.moment.Bound = &b
			return next
		}
		c.down("192.0.2.1", "192.0.2.2")
		was := look(nil, 0)
		c.down()
		was = look(was, 10)
		_, addrs := c.tally(t, clientNets(2000))
		if few := addrs["192.0.2.1"]; few > 120 {
			t.Errorf("%s: %d of 2000 at a node that has just returned", policy, few)
		}
		r := c.rule(t, "www", wire.TypeA)
		for _, at := range []struct {
			seconds int
			want    uint32
		}{{10, 100}, {60, 50}, {110, 0}, {200, 0}} {
			if got := c.moment.TTL(r, 300, false, start.Add(time.Duration(at.seconds)*time.Second).UnixMilli()); got != at.want {
				t.Errorf("%s: a TTL of %d after %d s, want %d", policy, got, at.seconds, at.want)
			}
		}
		c.down("198.51.100.1", "198.51.100.2")
		look(was, 11)
		_, addrs = c.tally(t, clientNets(2000))
		if addrs["192.0.2.1"] < 700 || addrs["192.0.2.2"] < 700 {
			t.Errorf("%s: the others are down, and those that returned have %v", policy, addrs)
		}
	}
}

// What agents ask for: less, and nothing.
func TestAgents(t *testing.T) {
	const n = 4096
	text := strings.Replace(twoSites, "type=tcp", "type=agent", 1)
	c := serve(t, top+text+sitesText("", "")+"www._steer TXT \"v=steer1; policy=nearest; check=web; answers=1\"\n", londoners(t))
	c.down()
	slot := func(addr string) uint32 {
		i := slices.IndexFunc(c.program.Targets, func(x steer.Target) bool { return x.Addr.String() == addr })
		return c.moment.Slots[i]
	}
	calm := c.moment.Verdicts
	c.moment.Verdicts = calm.WithAsked([]health.Asked{{Slot: slot("192.0.2.1"), Share: 40}})
	_, addrs := c.tally(t, clientNets(n))
	about(t, "40 %", addrs["192.0.2.1"], n, 0.2)
	c.moment.Verdicts = calm.WithAsked([]health.Asked{{Slot: slot("192.0.2.1"), Share: 0, Drain: true}})
	if _, addrs = c.tally(t, clientNets(n)); addrs["192.0.2.1"] != 0 || addrs["192.0.2.2"] != n {
		t.Errorf("drained: %v", addrs)
	}
	if w := c.moment.Members(c.rule(t, "www", wire.TypeA), steer.V4); w[0].Drained != "by its agent" || w[1].Drained != "" {
		t.Errorf("%+v", w[:2])
	}
}

// TestScopesWhileSpilling: whatever is full, an answer's scope has one site in all
// of it, is never wider than the networks that are passed over as a whole, and
// overlaps no other.
func TestScopesWhileSpilling(t *testing.T) {
	for _, sites := range []int{4, 12} {
		for _, share := range []float64{1, 0.5, 0.02} {
			w := workload{policy: "policy=nearest; answers=1", sites: sites, each: 2, moment: "spill"}
			c := w.serve(t, rankings(tableOf(t, t.TempDir(), randomWorld(300))))
			shares := map[string]float64{}
			for i := range sites {
				shares[siteLabel(i)] = share
			}
			c.spill(shares)
			random := rand.New(rand.NewPCG(3, uint64(sites)))
			seen := map[netip.Prefix]string{}
			for f := range steer.Family(2) {
				r := c.rule(t, "www", typeOf(f))
				at := func(a netip.Addr) (netip.Prefix, string) {
					c.ask(a, random.Uint64())
					res := c.chooser.Address(&c.moment, r, f, nil)
					prefix, err := a.Prefix(int(res.Scope))
					if err != nil || int(res.Scope) < steer.StickyScope(&c.moment.Client) {
						t.Fatalf("%v: a scope of %d", a, res.Scope)
					}
					return prefix, c.program.SiteName(r, res.Site)
				}
				clear(seen)
				for range 3000 {
					a := randomClient(random, 300)
					prefix, site := at(a)
					for range 8 {
						b := inside(random, prefix)
						if p, s := at(b); p != prefix || s != site {
							t.Fatalf("%v of %v, the scope of %v: %s with %v, not %s", b, prefix, a, s, p, site)
						}
					}
					seen[prefix] = site
				}
				disjoint(t, seen)
			}
		}
	}
}

// Capacities and ramps that do nothing are told.
func TestAdviseCapacity(t *testing.T) {
	node := "a._node TXT \"v=node1; addr=192.0.2.1; capacity=3\"\n"
	for _, tt := range []struct{ name, text, want string }{
		{"both count", sitesText("; capacity=300", "") + node + "www._steer TXT \"v=steer1; policy=nearest; ramp=5m\"\n", ""},
		{"a failover", sitesText("; capacity=300", "") + node + "www._steer TXT \"v=steer1; policy=failover; order=lon,nyc; ramp=5m\"\n", "no-effect@47 no-effect@73 no-effect@34"},
	} {
		if got := advised(t, strings.ReplaceAll(twoSites, "web._check TXT \"v=check1; type=tcp; port=80\"\n", "")+tt.text, nil); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
