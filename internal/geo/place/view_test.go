package place

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// A look-up allocates nothing.
func TestFindAllocations(t *testing.T) {
	table := (&naive{networks: []naiveNetwork{
		{netip.MustParsePrefix("192.0.2.0/24"), 1},
		{netip.MustParsePrefix("2001:db8::/32"), 2},
		{netip.MustParsePrefix("2001:db8::1/128"), 3},
	}}).table()
	v := table.View([]uint32{0, 1, 2, 3})
	var sum uint32
	if n := testing.AllocsPerRun(1000, func() {
		a, _ := v.Find4(0xc0000201)
		b, _ := v.Find6(0x20010db8<<32, 1)
		c, _ := v.Find6(0x20010db8<<32, 2)
		sum += a + b + c
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sum != 1001*6 {
		t.Errorf("classes sum up to %d", sum)
	}
}

// A View of one class is tiny, whatever it was made from.
func TestViewOneClass(t *testing.T) {
	table := largeTable(10_000, 20_000)
	v := table.View(make([]uint32, table.Len()))
	if v.Size() > 64 {
		t.Errorf("%d octets", v.Size())
	}
	if class, scope := v.Find4(0x01020304); class != 0 || scope != 0 {
		t.Errorf("%d/%d", class, scope)
	}
	if class, scope := v.Find6(0x20010db8<<32, 5); class != 0 || scope != 0 {
		t.Errorf("%d/%d", class, scope)
	}
}

// Memory follows the ranges, for Views and Tables.
func TestSizes(t *testing.T) {
	table := largeTable(100_000, 20_000)
	v := table.View(fourClasses(table))
	four, six := v.Ranges()
	if got, limit := v.Size(), 8*four+12*six+8<<17+64; got > limit {
		t.Errorf("a view of %d + %d ranges takes %d octets, more than %d", four, six, got, limit)
	}
	for _, v := range []*View{v, table.ByPlace()} {
		if cap(v.four.bounds) > len(v.four.bounds)*9/8 || cap(v.six.starts) > len(v.six.starts)*9/8 || cap(v.six.classes) > len(v.six.classes)*9/8 {
			t.Errorf("the lists have room for %d and %d bounds, but only %d and %d", cap(v.four.bounds), cap(v.six.starts), len(v.four.bounds), len(v.six.starts))
		}
	}
	four, six = table.Ranges()
	if got, limit := table.Size(), 8*four+12*six+8<<17+64+24*table.Len(); got > limit {
		t.Errorf("a table of %d + %d ranges takes %d octets, more than %d", four, six, got, limit)
	}
}

// A View needs to know the class of each place.
func TestViewWrong(t *testing.T) {
	table := (&naive{}).table()
	defer func() {
		if recover() == nil {
			t.Error("a view without classes is made")
		}
	}()
	table.View(nil)
}

// What isn't an address, and IPv4 in IPv6 form.
func TestFindForms(t *testing.T) {
	table := (&naive{networks: []naiveNetwork{
		{netip.MustParsePrefix("192.0.2.0/24"), 1},
		{netip.MustParsePrefix("::/0"), 2},
	}}).table()
	for _, tt := range []struct {
		addr  netip.Addr
		asn   uint32
		scope int
	}{
		{netip.Addr{}, 0, 0},
		{netip.MustParseAddr("192.0.2.7"), 1, 24},
		{netip.MustParseAddr("::ffff:192.0.2.7"), 1, 24},
		{netip.MustParseAddr("::192.0.2.7"), 2, 0},
		{netip.MustParseAddr("fe80::1%eth0"), 2, 0},
		{netip.MustParseAddr("192.0.3.0"), 0, 24},
		{netip.MustParseAddr("0.0.0.0"), 0, 1},
	} {
		place, scope := table.Find(tt.addr)
		if p := table.Place(place); p.ASN != tt.asn || scope != tt.scope {
			t.Errorf("%v: AS%d/%d, want AS%d/%d", tt.addr, p.ASN, scope, tt.asn, tt.scope)
		}
	}
}

func TestSourceNames(t *testing.T) {
	for s, want := range map[Source]string{Nowhere: "no source", Networks: "own networks", Database: "database", BuiltIn: "built-in world", 9: "source 9"} {
		if got := fmt.Sprint(s); got != want {
			t.Errorf("%d is %q, want %q", s, got, want)
		}
	}
}

// Places come back as they were put, by number.
func TestPlaces(t *testing.T) {
	want := []Place{
		{},
		{Country: "US", Continent: "NA", Subdivision: "CA", City: "Paso Robles", Lat: 35.6266, Lon: -120.691, Located: true, ASN: 4294967295, Source: Database},
		{Country: "US", Continent: "NA", Subdivision: "CA", City: "Paso Robles", Source: Networks},
		{Lat: -90, Lon: 180, Located: true, Source: BuiltIn},
		{Subdivision: "A"},
		{Located: true}, // which is not the unknown one
	}
	b := NewBuilder()
	for range 2 {
		for i, p := range want {
			if n := b.Place(p); n != uint32(i) {
				t.Errorf("%+v is number %d, want %d", p, n, i)
			}
		}
	}
	if b.Len() != len(want) {
		t.Errorf("there are %d, want %d", b.Len(), len(want))
	}
	info := Info{Source: Database, Type: "test"}
	table := b.Table(info)
	if got := table.Places(); !slices.Equal(got, want) {
		t.Errorf("places are %+v", got)
	}
	for i := range table.Each() {
		if i == 1 {
			break
		}
	}
	got := table.Describe()
	got[0].Type = "changed"
	if got := table.Describe(); len(got) != 1 || got[0] != info {
		t.Errorf("described as %+v", got)
	}
}
