package steer_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"geodns/internal/steer"
	"geodns/internal/wire"
)

const draws = 1_000_000

// within reports whether a count is as expected, but for a share of it.
func within(got int, want, share float64) bool { return math.Abs(float64(got)-want) <= share*want }

// spread asks draws times, each time with another random number, and counts
// how often each record came first, and how often at all. The numbers are the
// same in each run, so that a result that is near the limit stays where it is.
func spread(t *testing.T, c *cluster, client netip.Addr) (first, all []int) {
	t.Helper()
	r := c.rule(t, "www", wire.TypeA)
	n := len(c.addrs(t, "www", steer.V4))
	first, all = make([]int, n), make([]int, n)
	random := rand.New(rand.NewPCG(1, 2))
	for range draws {
		c.ask(client, random.Uint64())
		res := c.chooser.Address(&c.moment, r, steer.V4, nil)
		if res.Pick == nil {
			first[res.First]++
			continue
		}
		first[res.Pick[0]]++
		for _, i := range res.Pick {
			all[i]++
		}
	}
	return first, all
}

// TestRotationIsEven: each of n live nodes comes first as often as the others.
func TestRotationIsEven(t *testing.T) {
	for _, n := range []int{2, 3, 7, 16} {
		c := serve(t, top+pool("www", n)+"www._steer TXT \"v=steer1\"\n", noWorld(t))
		first, _ := spread(t, c, netip.MustParseAddr("192.0.2.1"))
		for i, got := range first {
			if !within(got, draws/float64(n), 0.01) {
				t.Errorf("of %d nodes, node %d came first %d times", n, i, got)
			}
		}
	}
}

// TestRotationOfLive: the share of those that are down goes to all others
// alike, not to the next one.
func TestRotationOfLive(t *testing.T) {
	c := serve(t, top+pool("www", 8)+"c._check TXT \"v=check1; type=tcp; port=80\"\nwww._steer TXT \"v=steer1; check=c\"\n", noWorld(t))
	c.down("192.0.2.1", "192.0.2.2", "192.0.2.5")
	first, _ := spread(t, c, netip.MustParseAddr("192.0.2.1"))
	for i, got := range first {
		want := draws / 5.0
		if i == 0 || i == 1 || i == 4 {
			want = 0
		}
		if !within(got, want, 0.01) {
			t.Errorf("node %d came first %d times, not %.0f", i, got, want)
		}
	}
}

// TestFewOfMany: two of sixteen nodes an answer, and all of them are used.
func TestFewOfMany(t *testing.T) {
	for _, pick := range []string{"rotate", "weighted"} {
		c := serve(t, top+pool("www", 16)+"www._steer TXT \"v=steer1; answers=2; pick="+pick+"\"\n", noWorld(t))
		first, all := spread(t, c, netip.MustParseAddr("192.0.2.1"))
		for i := range first {
			if !within(first[i], draws/16.0, 0.01) || !within(all[i], draws/8.0, 0.01) {
				t.Errorf("%s: node %d came first %d times, and %d times at all", pick, i, first[i], all[i])
			}
		}
	}
}

// TestFewOfAnyNumber: also where the number of nodes is no multiple.
func TestFewOfAnyNumber(t *testing.T) {
	c := serve(t, top+pool("www", 7)+"www._steer TXT \"v=steer1; answers=3\"\n", noWorld(t))
	first, all := spread(t, c, netip.MustParseAddr("192.0.2.1"))
	for i := range first {
		if !within(first[i], draws/7.0, 0.01) || !within(all[i], draws*3/7.0, 0.01) {
			t.Errorf("node %d came first %d times, and %d times at all", i, first[i], all[i])
		}
	}
}

// TestWeights: each node comes first as often as its weight says.
func TestWeights(t *testing.T) {
	weights := []int{1, 2, 3, 10, 4, 0}
	var b strings.Builder
	sum := 0.0
	for i, w := range weights {
		fmt.Fprintf(&b, "; weight=%d@192.0.2.%d", w, i+1)
		sum += float64(w)
	}
	for _, answers := range []int{0, 1, 2} {
		text := fmt.Sprintf("www._steer TXT \"v=steer1; pick=weighted%s\"\n", b.String())
		if answers > 0 {
			text = strings.Replace(text, "pick=", fmt.Sprintf("answers=%d; pick=", answers), 1)
		}
		c := serve(t, top+pool("www", len(weights))+text, noWorld(t))
		first, _ := spread(t, c, netip.MustParseAddr("192.0.2.1"))
		for i, w := range weights {
			if !within(first[i], draws*float64(w)/sum, 0.01) {
				t.Errorf("answers=%d: the node of weight %d came first %d times", answers, w, first[i])
			}
		}
	}
}

// TestWeightsOfSites: a weight is each node's: 3@lon gives each of lon's nodes
// three times what each of nyc's gets.
func TestWeightsOfSites(t *testing.T) {
	c := serve(t, top+`www A 192.0.2.1
www A 192.0.2.2
www A 198.51.100.1
www A 198.51.100.2
lon._site TXT "v=site1; net=192.0.2.0/24"
nyc._site TXT "v=site1; net=198.51.100.0/24"
big._node TXT "v=node1; addr=198.51.100.2; weight=7"
www._steer TXT "v=steer1; pick=weighted; weight=3@lon; weight=1@198.51.100.1"
`, noWorld(t))
	first, _ := spread(t, c, netip.MustParseAddr("192.0.2.1"))
	for i, share := range []float64{3, 3, 1, 7} {
		if !within(first[i], draws*share/14, 0.01) {
			t.Errorf("node %d came first %d times, not %.0f", i, first[i], draws*share/14)
		}
	}
}

// TestSecondIsWeighted: without replacement, the second comes from those that
// are left by their weights.
func TestSecondIsWeighted(t *testing.T) {
	c := serve(t, top+pool("www", 3)+"www._steer TXT \"v=steer1; pick=weighted; answers=2; weight=1@192.0.2.1; weight=2@192.0.2.2; weight=3@192.0.2.3\"\n", noWorld(t))
	r := c.rule(t, "www", wire.TypeA)
	random := rand.New(rand.NewPCG(1, 2))
	pairs := map[[2]uint16]int{}
	for range draws {
		c.ask(netip.MustParseAddr("192.0.2.1"), random.Uint64())
		res := c.chooser.Address(&c.moment, r, steer.V4, nil)
		pairs[[2]uint16{res.Pick[0], res.Pick[1]}]++
	}
	for a := range uint16(3) {
		for b := range uint16(3) {
			want := 0.0
			if a != b {
				want = draws * float64(a+1) / 6 * float64(b+1) / float64(6-(a+1))
			}
			if got := pairs[[2]uint16{a, b}]; !within(got, want, 0.015) {
				t.Errorf("%d then %d: %d times, not %.0f", a, b, got, want)
			}
		}
	}
}

// stickyFirst is the address that a client gets first.
func (c *cluster) stickyFirst(t fataler, client netip.Addr, draw uint64) netip.Addr {
	t.Helper()
	f := steer.V4
	c.ask(client, draw)
	res := c.chooser.Address(&c.moment, c.rule(t, "www", typeOf(f)), f, nil)
	return picked(c.addrs(t, "www", f), res)[0]
}

const stickyZone = "c._check TXT \"v=check1; type=tcp; port=80\"\nwww._steer TXT \"v=steer1; pick=sticky; check=c; answers=2\"\n"

// networks are clients, one of a network of its own each: n of IPv4, then n of
// IPv6.
func networks(n int) (out []netip.Addr) {
	random := rand.New(rand.NewPCG(3, 4))
	seen := map[netip.Prefix]bool{}
	for len(out) < 2*n {
		var a netip.Addr
		bits := 24
		if len(out) < n {
			x := random.Uint32()
			a = netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
		} else {
			x := random.Uint64()
			b := [16]byte{0x20}
			for i := range 8 {
				b[1+i] = byte(x >> (8 * i))
			}
			a, bits = netip.AddrFrom16(b), 56
		}
		if p, _ := a.Prefix(bits); !seen[p] {
			seen[p] = true
			out = append(out, a)
		}
	}
	return out
}

// TestStickyMovesOnlyTheirs: losing one of ten nodes moves the clients of that
// node, and nobody else; they spread over all that are left.
func TestStickyMovesOnlyTheirs(t *testing.T) {
	c := serve(t, top+pool("www", 10)+stickyZone, noWorld(t))
	clients := networks(20_000)
	c.down()
	before := map[netip.Addr]netip.Addr{}
	share := map[netip.Addr]int{}
	for _, a := range clients {
		before[a] = c.stickyFirst(t, a, 1)
		share[before[a]]++
	}
	for _, node := range c.addrs(t, "www", steer.V4) {
		if !within(share[node], float64(len(clients))/10, 0.05) {
			t.Errorf("%v has %d of %d clients", node, share[node], len(clients))
		}
	}
	for _, lost := range c.addrs(t, "www", steer.V4) {
		c.down(lost.String())
		to := map[netip.Addr]int{}
		for i, a := range clients {
			now := c.stickyFirst(t, a, uint64(i))
			if before[a] != lost && now != before[a] {
				t.Fatalf("without %v, %v moved from %v to %v", lost, a, before[a], now)
			}
			if before[a] == lost {
				to[now]++
			}
		}
		for node, n := range to {
			if !within(n, float64(share[lost])/9, 0.25) {
				t.Errorf("of %d clients of %v, %v got %d", share[lost], lost, node, n)
			}
		}
		if len(to) != 9 || to[lost] != 0 {
			t.Errorf("the clients of %v went to %v", lost, to)
		}
	}
	c.down()
	for _, a := range clients {
		if now := c.stickyFirst(t, a, 9); now != before[a] {
			t.Fatalf("%v did not come back to %v, but to %v", a, before[a], now)
		}
	}
}

// TestStickyNetwork: who a client's neighbours are decides, not the draw, not
// the order of the records; and the scope is just that.
func TestStickyNetwork(t *testing.T) {
	c := serve(t, top+pool("www", 10)+stickyZone, noWorld(t))
	lines := strings.Split(strings.TrimSpace(pool("www", 10)), "\n")
	slices.Reverse(lines)
	other := serve(t, top+strings.Join(lines, "\n")+"\n"+stickyZone, noWorld(t))
	c.down()
	other.down()
	random := rand.New(rand.NewPCG(5, 6))
	for _, a := range networks(2000) {
		want := c.stickyFirst(t, a, random.Uint64())
		if got := other.stickyFirst(t, a, random.Uint64()); got != want {
			t.Fatalf("%v gets %v, and %v where the records stand in another order", a, want, got)
		}
		res := c.chooser.Address(&c.moment, c.rule(t, "www", wire.TypeA), steer.V4, nil)
		p, err := a.Prefix(int(res.Scope))
		if err != nil || int(res.Scope) != map[bool]int{true: 24, false: 56}[a.Is4()] {
			t.Fatalf("%v has the scope %d", a, res.Scope)
		}
		for range 8 {
			if got := c.stickyFirst(t, inside(random, p), random.Uint64()); got != want {
				t.Fatalf("%v of %v gets %v, %v gets %v", inside(random, p), p, got, a, want)
			}
		}
	}
}

// inside is a random address of a prefix.
func inside(random *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] ^= byte(random.Uint32()&1) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
