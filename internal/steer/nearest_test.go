package steer_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
	"geodns/internal/steer"
	"geodns/internal/wire"
)

// point is where something is, in degrees.
type point struct{ lat, lon float64 }

// envCity names a City database in MaxMind's format in which the tests of the
// nearest site are run too.
const envCity = "GEODNS_TEST_CITY"

// near is a zone whose www has an address of each family at each site.
type near struct {
	*cluster
	table *geo.Table
	at    []point // of the sites, by their number
}

func newNear(t fataler, table *geo.Table, k *steer.Rankings, sites int) *near {
	t.Helper()
	random := rand.New(rand.NewPCG(11, uint64(sites)))
	n := &near{table: table}
	var b strings.Builder
	b.WriteString(top)
	for i := range sites {
		p := point{float64(random.IntN(160_0000)-80_0000) / 1e4, float64(random.IntN(360_0000)-180_0000) / 1e4}
		n.at = append(n.at, p)
		fmt.Fprintf(&b, "%s._site TXT \"v=site1; net=10.%d.0.0/16; net=2001:db8:%x::/48; at=%.4f,%.4f\"\n", siteLabel(i), i, i, p.lat, p.lon)
		fmt.Fprintf(&b, "www A %s\nwww AAAA %s\n", siteAddr(0, i, 1), siteAddr(1, i, 1))
	}
	b.WriteString("c._check TXT \"v=check1; type=tcp; port=80\"\nwww._steer TXT \"v=steer1; policy=nearest; check=c\"\n")
	n.cluster = serve(t, b.String(), k)
	return n
}

// choose is the site that answers a client, the sites ranked for it, and the
// scope.
func (n *near) choose(r *steer.Rule, a netip.Addr, t *steer.Trace) (site string, scope int) {
	n.ask(a, 1)
	res := n.chooser.Address(&n.moment, r, steer.V4, t)
	return n.program.SiteName(r, res.Site), int(res.Scope)
}

// nearestTo is a brute-force search. Sites within a metre of the nearest are
// all right.
func (n *near) nearestTo(p point) (labels []string) {
	best := 1e9
	far := make([]float64, len(n.at))
	for i, at := range n.at {
		far[i] = haversine(at.lat, at.lon, p.lat, p.lon)
		best = min(best, far[i])
	}
	for i := range far {
		if far[i] <= best+0.001 {
			labels = append(labels, siteLabel(i))
		}
	}
	return labels
}

// TestNearest: for random clients of a world, the site is the one that a
// brute-force search over great circles finds; its scope holds for all of the
// prefix, and no scope overlaps another one.
func TestNearest(t *testing.T) {
	const places = 5000
	testNearest(t, tableOf(t, t.TempDir(), randomWorld(places)), func(r *rand.Rand) netip.Addr { return randomClient(r, places) })
}

// TestNearestWorld is the same with the built-in world, and with a database if
// there is one to try.
func TestNearestWorld(t *testing.T) {
	worlds := []geo.Options{{BuiltIn: builtin.World, Centre: country.Centre, Continent: country.Continent}}
	if name := os.Getenv(envCity); name != "" {
		worlds = append(worlds, geo.Options{Database: name})
	}
	for _, o := range worlds {
		table, err := geo.Load(o)
		if err != nil {
			t.Fatal(err)
		}
		testNearest(t, table, func(r *rand.Rand) netip.Addr {
			if r.IntN(2) == 0 {
				return inside(r, netip.MustParsePrefix("0.0.0.0/0"))
			}
			return inside(r, netip.MustParsePrefix("2000::/3"))
		})
	}
}

func testNearest(t *testing.T, table *geo.Table, client func(*rand.Rand) netip.Addr) {
	t.Helper()
	k := rankings(table)
	for _, sites := range []int{4, 8, 40, 200} {
		n := newNear(t, table, k, sites)
		random := rand.New(rand.NewPCG(13, uint64(sites)))
		seen := map[netip.Prefix]string{}
		located := 0
		for range 20_000 {
			a := client(random)
			prefix, key := n.check(t, random, a)
			if old, ok := seen[prefix]; ok && old != key {
				t.Fatalf("%v is %s, and %s", prefix, old, key)
			}
			seen[prefix] = key
			if key != "[]" {
				located++
			}
		}
		if located < 1000 {
			t.Fatalf("%d sites: only %d clients have a place", sites, located)
		}
		disjoint(t, seen)
	}
}

// check compares one client's site, and proves its scope. key is the order of
// the sites.
func (n *near) check(t *testing.T, random *rand.Rand, a netip.Addr) (prefix netip.Prefix, key string) {
	t.Helper()
	r := n.rule(t, "www", wire.TypeA)
	var trace steer.Trace
	site, scope := n.choose(r, a, &trace)
	number, _ := n.table.Find(a)
	place := n.table.Place(number)
	switch {
	case !place.Located:
		if site != "" || len(trace.Ranked) > 0 {
			t.Fatalf("%v has no place, and is sent to %q", a, site)
		}
	default:
		if best := n.nearestTo(point{place.Lat, place.Lon}); !slices.Contains(best, site) {
			t.Fatalf("%v at %.4f,%.4f is sent to %s; nearest is %v", a, place.Lat, place.Lon, site, best)
		}
	}
	prefix, err := a.Prefix(scope)
	if err != nil {
		t.Fatal(err)
	}
	var other steer.Trace
	for i := range 64 {
		b := inside(random, prefix)
		if s, bits := n.choose(r, b, nil); s != site || bits != scope {
			t.Fatalf("%v of %v, the scope of %v: %s, /%d; want %s, /%d", b, prefix, a, s, bits, site, scope)
		}
		if i%8 > 0 {
			continue // Tracing takes its time.
		}
		if n.choose(r, b, &other); !slices.Equal(other.Ranked, trace.Ranked) {
			t.Fatalf("%v of %v, the scope of %v: %v; want %v", b, prefix, a, other.Ranked, trace.Ranked)
		}
	}
	// A bit wider, and it holds no more.
	if scope > 0 && !n.differs(r, a, scope-1, trace.Ranked) {
		t.Fatalf("%v: the scope could be wider than /%d", a, scope)
	}
	return prefix, fmt.Sprint(trace.Ranked)
}

// differs reports whether somebody in the other half of a prefix around a has
// another order.
func (n *near) differs(r *steer.Rule, a netip.Addr, bits int, ranked []steer.SiteID) bool {
	b := a.AsSlice()
	b[bits/8] ^= 0x80 >> (bits % 8)
	flipped, _ := netip.AddrFromSlice(b)
	half, _ := flipped.Prefix(bits + 1)
	var trace steer.Trace
	for at := half.Addr(); half.Contains(at); {
		_, scope := n.choose(r, at, &trace)
		if !slices.Equal(trace.Ranked, ranked) {
			return true
		}
		// On to what comes after this one's scope.
		p, _ := at.Prefix(scope)
		if at = lastOf(p).Next(); !at.IsValid() {
			break
		}
	}
	return false
}

// disjoint checks that no two prefixes overlap (RFC 7871 7.2.1).
func disjoint(t *testing.T, seen map[netip.Prefix]string) {
	t.Helper()
	var list []netip.Prefix
	for p := range seen {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	for i := 1; i < len(list); i++ {
		if list[i].Overlaps(list[i-1]) {
			t.Fatalf("the scopes %v and %v overlap", list[i-1], list[i])
		}
	}
}

// world is some places of which words and distance say different things.
const world = `prefix,country,subdivision,continent,asn,lat,lon
11.0.0.0/24,US,CA,NA,64500,37.77,-122.42
11.0.1.0/24,US,,NA,64500,40.71,-74.01
11.0.2.0/24,CA,,NA,64501,45.5,-73.57
11.0.3.0/24,FR,,EU,64500,48.86,2.35
11.0.4.0/24,DE,,EU,64502,52.52,13.4
11.0.5.0/24,CN,,AS,,39.9,116.4
11.0.6.0/24,JP,,,,35.68,139.69
11.0.7.0/24,ZA,,,,,
11.0.8.0/24,,,SA,,,
`

const words = `west._site TXT "v=site1; net=10.0.0.0/16; at=34.05,-118.24; subdivision=US-CA; continent=AS"
east._site TXT "v=site1; net=10.1.0.0/16; at=-33.87,151.21; country=US; country=CA"
net._site TXT "v=site1; net=10.2.0.0/16; at=-34.6,-58.38; asn=64500"
old._site TXT "v=site1; net=10.3.0.0/16; at=-1.29,36.82; continent=EU"
here._site TXT "v=site1; net=10.4.0.0/16; at=35.68,139.69"
twin._site TXT "v=site1; net=10.5.0.0/16; at=45.5,-73.57; country=CA"
void._site TXT "v=site1; net=10.6.0.0/16; country=CA"
www A 10.0.1.1
www A 10.1.1.1
www A 10.2.1.1
www A 10.3.1.1
www A 10.4.1.1
www A 10.5.1.1
www A 10.6.1.1
c._check TXT "v=check1; type=tcp; port=80"
`

// TestWordsBeforeDistance: what the sites say goes before what is near:
// subdivision, country, network, continent; and a policy's own word before all.
func TestWordsBeforeDistance(t *testing.T) {
	tests := []struct {
		policy, client, site, why string
	}{
		{"", "11.0.0.1", "west", "its subdivision, though its country is east's"},
		{"", "11.0.1.1", "east", "its country, though west is nearer and its network is net's"},
		{"", "11.0.2.1", "twin", "of several sites of its country, the nearest"},
		{"", "11.0.3.1", "net", "its network, though its continent is old's"},
		{"", "11.0.4.1", "old", "its continent, though twin is nearer"},
		{"", "11.0.5.1", "west", "its continent"},
		{"", "11.0.6.1", "here", "nothing but the distance"},
		{"", "11.0.7.1", "", "its country is nobody's, and it has no position"},
		{"", "11.0.8.1", "", "its continent is nobody's"},
		{"", "12.0.0.1", "", "nothing is known of it"},
		{"country=US:here", "11.0.0.1", "here", "the policy overrules the site's words"},
		{"country=CN:void; country=US:old", "11.0.5.1", "void", "each country has its own"},
		{"country=CN:void; country=US:old", "11.0.4.1", "old", "others are not overruled"},
		{"country=ZA:here", "11.0.7.1", "here", "a country without a position can be overruled"},
		{"default=old", "11.0.7.1", "old", "the default for who has no place"},
		{"default=old", "12.0.0.1", "old", "the default for who is not known"},
		{"default=old", "11.0.0.1", "west", "no default for who is known"},
	}
	k := rankings(tableOf(t, t.TempDir(), world))
	for _, tt := range tests {
		c := serve(t, top+words+"www._steer TXT \"v=steer1; policy=nearest; check=c; "+tt.policy+"\"\n", k)
		r := c.rule(t, "www", wire.TypeA)
		c.ask(netip.MustParseAddr(tt.client), 5)
		res := c.chooser.Address(&c.moment, r, steer.V4, nil)
		if got := c.program.SiteName(r, res.Site); got != tt.site {
			t.Errorf("%s, %s: %q, not %q: %s", tt.policy, tt.client, got, tt.site, tt.why)
		}
		if n := len(picked(c.addrs(t, "www", steer.V4), res)); tt.site == "" && n != 7 {
			t.Errorf("%s, %s: %d of 7 records for who has no place", tt.policy, tt.client, n)
		}
	}
}

// TestDefaultDown: where the default site is down, those of unknown place get
// all that is live.
func TestDefaultDown(t *testing.T) {
	c := serve(t, top+words+"www._steer TXT \"v=steer1; policy=nearest; check=c; default=old\"\n", rankings(tableOf(t, t.TempDir(), world)))
	c.down("10.3.1.1", "10.0.1.1")
	c.ask(netip.MustParseAddr("12.0.0.1"), 5)
	res := c.chooser.Address(&c.moment, c.rule(t, "www", wire.TypeA), steer.V4, nil)
	if got := picked(c.addrs(t, "www", steer.V4), res); len(got) != 5 || res.Stage != steer.Normal || res.Site != steer.NoSite {
		t.Errorf("%v, %v", got, res.Stage)
	}
}

// TestBeyondTheNearest: with more sites than are ranked beforehand, and the
// nearest of them down, the next one is found too.
func TestBeyondTheNearest(t *testing.T) {
	const places = 300
	table := tableOf(t, t.TempDir(), randomWorld(places))
	n := newNear(t, table, rankings(table), 40)
	r := n.rule(t, "www", wire.TypeA)
	random := rand.New(rand.NewPCG(15, 16))
	for range 200 {
		a := randomClient(random, places)
		number, _ := table.Find(a)
		place := table.Place(number)
		if !place.Located {
			continue
		}
		order := make([]int, len(n.at))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(x, y int) int {
			return cmp.Compare(haversine(n.at[x].lat, n.at[x].lon, place.Lat, place.Lon), haversine(n.at[y].lat, n.at[y].lon, place.Lat, place.Lon))
		})
		for lost := range 39 {
			var down []string
			for _, s := range order[:lost] {
				// IPv6 is enough: both families go to one site.
				down = append(down, siteAddr(lost%2, s, 1).String())
			}
			n.down(down...)
			site, scope := n.choose(r, a, nil)
			if want := siteLabel(order[lost]); site != want {
				t.Fatalf("%v, the nearest %d down: %s, not %s", a, lost, site, want)
			}
			p, _ := a.Prefix(scope)
			for range 4 {
				b := inside(random, p)
				if s, _ := n.choose(r, b, nil); s != site {
					t.Fatalf("%v of %v, the scope of %v: %s, not %s", b, p, a, s, site)
				}
			}
		}
		n.down()
	}
}

// TestScopeBeyondTheNearest: two networks have the same eight sites nearest, in
// the same order, and are one scope; with these down, they go to other sites,
// and are two.
func TestScopeBeyondTheNearest(t *testing.T) {
	var b strings.Builder
	b.WriteString(top)
	at := func(i int, lat, lon float64) {
		fmt.Fprintf(&b, "%s._site TXT \"v=site1; net=10.%d.0.0/16; at=%.2f,%.2f\"\nwww A %s\n", siteLabel(i), i, lat, lon, siteAddr(0, i, 1))
	}
	for i := range 8 {
		at(i, 2+float64(i), 0)
	}
	at(8, 0, 60)
	at(9, 0, -60)
	b.WriteString("c._check TXT \"v=check1; type=tcp; port=80\"\nwww._steer TXT \"v=steer1; policy=nearest; check=c\"\n")
	c := serve(t, b.String(), rankings(tableOf(t, t.TempDir(), "prefix,lat,lon\n11.0.0.0/24,0,0.1\n11.0.1.0/24,0,-0.1\n")))
	r := c.rule(t, "www", wire.TypeA)
	check := func(client, site string, scope uint8) {
		t.Helper()
		c.ask(netip.MustParseAddr(client), 1)
		res := c.chooser.Address(&c.moment, r, steer.V4, nil)
		if got := c.program.SiteName(r, res.Site); got != site || res.Scope != scope {
			t.Errorf("%s: %s with scope %d, not %s with %d", client, got, res.Scope, site, scope)
		}
	}
	c.down()
	check("11.0.0.1", "s0", 23)
	check("11.0.1.1", "s0", 23)
	var down []string
	for i := range 8 {
		down = append(down, siteAddr(0, i, 1).String())
	}
	c.down(down...)
	check("11.0.0.1", "s8", 24)
	check("11.0.1.1", "s9", 24)
}
