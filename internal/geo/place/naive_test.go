package place

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// naive is what a Table must equal: networks one after the other, the longest
// that holds an address wins, then ranges.
type naive struct {
	networks []naiveNetwork
	ranges   []naiveRange
}

type naiveRange struct {
	First, Last netip.Addr
	Country     string
}

type naiveNetwork struct {
	netip.Prefix
	asn uint32
}

// at names the place of an address.
func (n *naive) at(a netip.Addr) string {
	name, length := "", -1
	for _, p := range n.networks {
		if p.Contains(a) && p.Bits() > length {
			name, length = fmt.Sprint("AS", p.asn), p.Bits()
		}
	}
	if length >= 0 {
		return name
	}
	for _, r := range n.ranges {
		if r.First.BitLen() == a.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 {
			return r.Country
		}
	}
	return ""
}

// uniform reports whether all addresses of a prefix are of one class. Classes
// change only where a network or range begins, or after its end.
func (n *naive) uniform(p netip.Prefix, class func(netip.Addr) uint32) bool {
	want := class(p.Addr())
	same := func(a netip.Addr) bool { return !a.IsValid() || !p.Contains(a) || class(a) == want }
	for _, q := range n.networks {
		if !same(q.Addr()) || !same(lastOf(q.Prefix).Next()) {
			return false
		}
	}
	for _, r := range n.ranges {
		if !same(r.First) || !same(r.Last.Next()) {
			return false
		}
	}
	return true
}

// scope is the length of the widest uniform prefix around an address.
func (n *naive) scope(a netip.Addr, class func(netip.Addr) uint32) int {
	for bits := 0; ; bits++ {
		p, err := a.Prefix(bits)
		if err != nil {
			panic(err)
		}
		if n.uniform(p, class) {
			return bits
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// nameOf is a place as naive names it.
func nameOf(p Place) string {
	if p.Source == Networks {
		return fmt.Sprint("AS", p.ASN)
	}
	return p.Country
}

// drawAddr draws addresses that have much in common, so that they nest.
func drawAddr(t *rapid.T) netip.Addr {
	edge := rapid.SampledFrom([]uint64{0, 1, 1 << 63, 1<<64 - 1, 0xc000_0200_0000_0000, 0xffff, 1<<32 - 1})
	if rapid.Bool().Draw(t, "four") {
		var b [4]byte
		base := rapid.SampledFrom([]uint32{0, 0xc0000200, 0xffffff00, 0x7fffffff}).Draw(t, "base")
		binary.BigEndian.PutUint32(b[:], base^rapid.Uint32Range(0, 255).Draw(t, "low"))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	hi := rapid.SampledFrom([]uint64{0, 1, 0x2001_0db8_0000_0000, 0x2001_0db8_0000_0001, 0x3fff << 48, 1<<64 - 1}).Draw(t, "hi")
	binary.BigEndian.PutUint64(b[:8], hi^rapid.Uint64Range(0, 7).Draw(t, "flip"))
	binary.BigEndian.PutUint64(b[8:], edge.Draw(t, "lo")^rapid.Uint64Range(0, 7).Draw(t, "flip2"))
	a := netip.AddrFrom16(b)
	if a.Is4In6() {
		return a.Unmap()
	}
	return a
}

func drawPrefix(t *rapid.T) netip.Prefix {
	a := drawAddr(t)
	bits := rapid.IntRange(0, a.BitLen()).Draw(t, "bits")
	p, err := a.Prefix(bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drawWorld draws a source of ranges with own networks over them.
func drawWorld(t *rapid.T) *naive {
	n := &naive{}
	var last [2]netip.Addr
	for range rapid.IntRange(0, 12).Draw(t, "ranges") {
		a, b := drawAddr(t), drawAddr(t)
		family := a.BitLen() / 128
		if a.BitLen() != b.BitLen() || b.Less(a) || last[family].IsValid() && a.Compare(last[family]) <= 0 {
			continue
		}
		last[family] = b
		n.ranges = append(n.ranges, naiveRange{a, b, rapid.SampledFrom([]string{"DE", "US", "JP"}).Draw(t, "country")})
	}
	seen := map[netip.Prefix]bool{}
	for range rapid.IntRange(0, 24).Draw(t, "networks") {
		if p := drawPrefix(t); !seen[p] && !p.Addr().Is4In6() {
			seen[p] = true
			n.networks = append(n.networks, naiveNetwork{p, rapid.Uint32Range(1, 5).Draw(t, "asn")})
		}
	}
	return n
}

// table is the real one of it: the ranges, and the networks over them.
func (n *naive) table() *Table {
	b := NewBuilder()
	bound := func(a netip.Addr, at uint32) {
		switch {
		case a.Is4():
			b.Four(uint32(keyOf(a).Lo), at)
		case a.Is6():
			b.Six(keyOf(a), at)
		}
	}
	for _, r := range n.ranges {
		bound(r.First, b.Place(Place{Country: r.Country, Source: BuiltIn}))
		bound(r.Last.Next(), 0)
	}
	o := b.Table().Overlay()
	var four, six []Network
	for _, p := range n.networks {
		net := Network{First: keyOf(p.Addr()), Bits: uint8(p.Bits()), Place: o.Place(Place{ASN: p.asn, Source: Networks})}
		if p.Addr().Is4() {
			four = append(four, net)
		} else {
			six = append(six, net)
		}
	}
	SortNetworks(four)
	SortNetworks(six)
	return o.Table(four, six, Info{Source: Networks})
}

func keyOf(a netip.Addr) Key {
	if a.Is4() {
		b := a.As4()
		return Key{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// clients are addresses at and around all bounds, and some others.
func (n *naive) clients(t *rapid.T) (list []netip.Addr) {
	add := func(a netip.Addr) {
		for _, a := range []netip.Addr{a.Prev(), a, a.Next()} {
			if a.IsValid() && !a.Is4In6() {
				list = append(list, a)
			}
		}
	}
	for _, p := range n.networks {
		add(p.Addr())
		add(lastOf(p.Prefix))
	}
	for _, r := range n.ranges {
		add(r.First)
		add(r.Last)
	}
	for range 8 {
		add(drawAddr(t))
	}
	add(netip.IPv6Unspecified())
	add(netip.IPv4Unspecified())
	return list
}

// Tables and Views equal the naive ones, at every bound.
func TestNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawWorld(t)
		table := n.table()
		class := rapid.SliceOfN(rapid.Uint32Range(0, 2), table.Len(), table.Len()).Draw(t, "class")
		view := table.View(class)
		numbers := map[string]uint32{}
		for i, p := range table.Each() {
			numbers[nameOf(p)] = i
		}
		placeAt := func(a netip.Addr) uint32 { return numbers[n.at(a)] }
		classAt := func(a netip.Addr) uint32 { return class[placeAt(a)] }
		for _, a := range n.clients(t) {
			place, scope := table.Find(a)
			if got, want := nameOf(table.Place(place)), n.at(a); got != want {
				t.Fatalf("%v is at %q, want %q", a, got, want)
			}
			if want := n.scope(a, placeAt); scope != want {
				t.Fatalf("%v has scope %d, want %d", a, scope, want)
			}
			got, scope := view.Find(a)
			if want := classAt(a); got != want {
				t.Fatalf("%v has class %d, want %d", a, got, want)
			}
			if want := n.scope(a, classAt); scope != want {
				t.Fatalf("%v has scope %d in the view, want %d", a, scope, want)
			}
		}
		checkShape(t, table.all)
		checkShape(t, view)
	})
}

// checkShape checks what View says of itself.
func checkShape(t interface{ Fatalf(string, ...any) }, v *View) {
	for _, six := range []bool{false, true} {
		c := v.walk(six)
		if c.start != (Key{}) {
			t.Fatalf("the first bound is %v", c.start)
		}
		for last := c; ; last = c {
			c.next()
			if !c.more {
				break
			}
			// The list of a divided /64 begins and ends with a bound.
			edge := six && c.start.Lo == 0 && (last.start.Lo != 0 || v.six.classes[v.six.search(c.start.Hi)]&divided != 0)
			if c.start.Compare(last.start) <= 0 || c.class == last.class && !edge {
				t.Fatalf("bound %v of class %d follows %v of class %d", c.start, c.class, last.start, last.class)
			}
		}
	}
}

// On a larger table, scopes hold for random addresses within, and not for the
// prefix that is a bit wider; prefixes of different answers don't overlap.
func TestScopes(t *testing.T) {
	table := largeTable(20_000, 50)
	view := table.View(fourClasses(table))
	r := rand.New(rand.NewPCG(5, 6))
	narrow := 0
	for range 2000 {
		a := randomAddr(r, view)
		class, scope := view.Find(a)
		p, err := a.Prefix(scope)
		if err != nil {
			t.Fatal(err)
		}
		for range 64 {
			b := within(r, p)
			if c, s := view.Find(b); c != class || s != scope {
				t.Fatalf("%v is %d/%d, but %v in its scope is %d/%d", a, class, scope, b, c, s)
			}
		}
		if scope == 0 {
			continue
		}
		narrow++
		// One of the classes must change in the other half of the wider prefix: a
		// walk over its bounds finds where.
		wider, _ := a.Prefix(scope - 1)
		if uniformIn(view, wider) {
			t.Fatalf("%v has scope %d, but %v is all of one class", a, scope, wider)
		}
	}
	if narrow < 1000 {
		t.Errorf("only %d of 2000 addresses have a scope above 0", narrow)
	}
}

// randomAddr is an address near a bound.
func randomAddr(r *rand.Rand, v *View) netip.Addr {
	if r.IntN(2) == 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], v.four.bounds[r.IntN(len(v.four.bounds))].start+uint32(r.IntN(1<<r.IntN(16))))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], v.six.starts[r.IntN(len(v.six.starts))]+uint64(r.IntN(1<<r.IntN(30))))
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return netip.AddrFrom16(b)
}

// within is a random address of a prefix.
func within(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= byte(r.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// uniformIn reports whether no class changes within a prefix.
func uniformIn(v *View, p netip.Prefix) bool {
	first, last := keyOf(p.Addr()), keyOf(lastOf(p))
	c := v.walk(p.Addr().Is6())
	for class := c.class; c.more; c.next() {
		if c.start.Compare(first) > 0 && c.start.Compare(last) <= 0 && c.class != class {
			return false
		}
		class = c.class
	}
	return true
}

// largeTable is of random networks at some places, nested and side by side.
func largeTable(networks, places int) *Table {
	r := rand.New(rand.NewPCG(1, 2))
	n := &naive{}
	for seen := map[netip.Prefix]bool{}; len(seen) < networks; {
		bits, family := 16+r.IntN(13), 0
		if len(seen)%2 == 1 {
			bits, family = 28+r.IntN(21), 1
		}
		p := randomPrefix(r, bits, family)
		if !seen[p] {
			seen[p] = true
			n.networks = append(n.networks, naiveNetwork{p, uint32(1 + r.IntN(places))})
		}
	}
	return n.table()
}

// randomPrefix is one of IPv4, or of 2000::/4.
func randomPrefix(r *rand.Rand, bits, family int) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 1<<61|r.Uint64()>>4)
	a := netip.AddrFrom16(b)
	if family == 0 {
		a = netip.AddrFrom4([4]byte(b[4:8]))
	}
	p, _ := a.Prefix(bits)
	return p
}

// fourClasses are places in four classes, as of four sites.
func fourClasses(t *Table) []uint32 {
	class := make([]uint32, t.Len())
	for i, p := range t.Each() {
		class[i] = p.ASN % 4
	}
	return class
}
