package world

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// name puts a name together.
func name(labels ...string) string {
	var b []byte
	for _, l := range labels {
		b = append(append(b, byte(len(l))), l...)
	}
	return string(append(b, 0))
}

var someLabels = rapid.SampledFrom([]string{"a", "b", "\x00", "*", "example"})

func drawName(t *rapid.T) string {
	labels := rapid.SliceOfN(someLabels, 0, 5).Draw(t, "labels")
	n := name(labels...)
	if rapid.IntRange(0, 20).Draw(t, "deep") == 0 {
		// One label is left for what is asked below it.
		for len(n)+4 <= wire.MaxName {
			n = "\x01x" + n
		}
	}
	return n
}

// longest is the longest match by trying them all.
func longest(zones map[string]*Served, asked string, above bool) (*Served, int) {
	if above {
		if asked == name() {
			return nil, 0
		}
		s, label := longest(zones, asked[1+int(asked[0]):], false)
		if s == nil {
			return nil, 0
		}
		return s, label + 1
	}
	for label := 0; ; label++ {
		if s := zones[asked]; s != nil {
			return s, label
		}
		if asked == name() {
			return nil, 0
		}
		asked = asked[1+int(asked[0]):]
	}
}

func compare(t rapid.TB, table *Table, zones map[string]*Served, names []string) {
	t.Helper()
	if table.Len() != len(zones) {
		t.Fatalf("%d zones, want %d", table.Len(), len(zones))
	}
	seen := map[string]*Served{}
	table.Each(func(s *Served) bool {
		if seen[string(s.Apex())] != nil {
			t.Fatalf("%q comes twice", s.Apex())
		}
		seen[string(s.Apex())] = s
		return true
	})
	if !maps.Equal(seen, zones) {
		t.Fatalf("the zones are %v, want %v", seen, zones)
	}
	var bits [2]uint64
	for apex, s := range zones {
		if table.Get([]byte(apex)) != s {
			t.Fatalf("Get(%q) finds another zone, or none", apex)
		}
		n := wire.Labels([]byte(apex))
		bits[n/64] |= 1 << (n % 64)
	}
	if table.labels != bits {
		t.Fatalf("numbers of labels %x, want %x", table.labels, bits)
	}
	for _, asked := range names {
		var n wire.Name
		n.Set([]byte(asked))
		for _, above := range []bool{false, true} {
			want, wantLabel := longest(zones, asked, above)
			if s, label := table.Find(&n, above); s != want || label != wantLabel {
				t.Fatalf("Find(%q, %t) = %v at %d, want %v at %d", asked, above, s, label, want, wantLabel)
			}
		}
		if _, there := zones[asked]; !there && table.Get([]byte(asked)) != nil {
			t.Fatalf("Get(%q) finds a zone", asked)
		}
	}
}

// TestTableEqualsMap: a tree of tables, any of them changed again; each equals
// a map that was changed alike, and stays what it was.
func TestTableEqualsMap(t *testing.T) {
	type version struct {
		table *Table
		zones map[string]*Served
	}
	rapid.Check(t, func(t *rapid.T) {
		versions := []version{{NewTable(), map[string]*Served{}}}
		var names []string
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			from := rapid.SampledFrom(versions).Draw(t, "from")
			zones := maps.Clone(from.zones)
			var c Change
			for range rapid.IntRange(0, 6).Draw(t, "removed") {
				n := drawName(t)
				names = append(names, n)
				c.Remove = append(c.Remove, []byte(n))
				delete(zones, n)
			}
			for range rapid.IntRange(0, 12).Draw(t, "put") {
				n := drawName(t)
				names = append(names, n, "\x01x"+n)
				s := Vacant([]byte(n))
				c.Put = append(c.Put, s)
				zones[n] = s
			}
			versions = append(versions, version{from.table.With(c), zones})
		}
		for _, v := range versions {
			compare(t, v.table, v.zones, names)
		}
	})
}

// TestTableOfMany fills the buckets, empties them and fills them again, by
// small and large changes.
func TestTableOfMany(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	table, zones := NewTable(), map[string]*Served{}
	var names []string
	for i := range 20_000 {
		names = append(names, name("host"+strconv.Itoa(i), []string{"example", "test", "a"}[i%3]))
	}
	old, oldZones := table, maps.Clone(zones)
	for step, size := range []int{1, 10, 5000, 20_000, 1, 30_000, 30_000, 10} {
		var c Change
		for range size {
			n := names[random.IntN(len(names))]
			if remove := step == 5 || random.IntN(3) == 0; remove {
				c.Remove = append(c.Remove, []byte(n))
				delete(zones, n)
			}
		}
		for range size {
			n := names[random.IntN(len(names))]
			if step == 5 {
				break
			}
			s := Vacant([]byte(n))
			c.Put = append(c.Put, s)
			zones[n] = s
		}
		next := table.With(c)
		compare(t, next, zones, names[:200])
		compare(t, table, oldZones, names[:200])
		old, oldZones, table = table, maps.Clone(zones), next
	}
	if old == table {
		t.Fatal("nothing changed")
	}
}

// TestServed: what a Served says of itself.
func TestServed(t *testing.T) {
	z := compiled(t, name("example"))
	if s := Serve(z, nil); s.Zone != z || string(s.Apex()) != name("example") {
		t.Errorf("Serve: %v at %q", s.Zone, s.Apex())
	}
	if s := Vacant([]byte(name("example"))); s.Zone != nil || string(s.Apex()) != name("example") {
		t.Errorf("Vacant: %v at %q", s.Zone, s.Apex())
	}
	if n := New().Zones.Len(); n != 0 {
		t.Errorf("a new World has %d zones", n)
	}
}

func compiled(t testing.TB, apex string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	b.Add(&wire.RR{Owner: []byte(apex), Type: wire.TypeSOA, TTL: 60, Data: append([]byte("\x00\x00"), make([]byte, 20)...)})
	b.Add(&wire.RR{Owner: []byte(apex), Type: wire.TypeNS, TTL: 60, Data: []byte{0}})
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

// many is a table of n zones.
func many(n int) *Table {
	var c Change
	for i := range n {
		c.Put = append(c.Put, Vacant([]byte(name("zone"+strconv.Itoa(i), "example"))))
	}
	return NewTable().With(c)
}

// TestFindAllocatesNothing: nor does Get.
func TestFindAllocatesNothing(t *testing.T) {
	table := many(1000)
	var n wire.Name
	n.Set([]byte(name("www", "zone7", "example")))
	found := 0
	if allocs := testing.AllocsPerRun(100, func() {
		if s, _ := table.Find(&n, false); s != nil {
			found++
		}
		if s, _ := table.Find(&n, true); s != nil {
			found++
		}
		if table.Get(n.Suffix(1)) != nil {
			found++
		}
	}); allocs != 0 || found == 0 {
		t.Errorf("%v allocations, %d found", allocs, found)
	}
}

// TestChangeBudget: one zone among 100,000 that comes, is exchanged, or goes
// costs at most 40 KB. TotalAlloc counts all that was ever allocated.
func TestChangeBudget(t *testing.T) {
	table := many(100_000)
	changes := map[string]func(i int) Change{
		"new": func(i int) Change {
			return Change{Put: []*Served{Vacant([]byte(name("new"+strconv.Itoa(i), "example")))}}
		},
		"exchanged": func(i int) Change {
			return Change{Put: []*Served{Vacant([]byte(name("zone"+strconv.Itoa(i), "example")))}}
		},
		"gone": func(i int) Change { return Change{Remove: [][]byte{[]byte(name("zone"+strconv.Itoa(i), "example"))}} },
	}
	var before, after runtime.MemStats
	for what, change := range changes {
		for i := range 50 {
			c := change(i)
			runtime.ReadMemStats(&before)
			next := table.With(c)
			runtime.ReadMemStats(&after)
			if next == table {
				t.Fatal("no new table")
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 40<<10 {
				t.Errorf("%s: %d octets", what, n)
			}
		}
	}
}

func BenchmarkChange(b *testing.B) {
	table := many(100_000)
	names := make([][]byte, 1024)
	for i := range names {
		names[i] = []byte(name("zone"+strconv.Itoa(i*97), "example"))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table = table.With(Change{Put: []*Served{Vacant(names[i%len(names)])}})
		i++
	}
	if table.Len() != 100_000 {
		b.Fatalf("%d zones", table.Len())
	}
}

func BenchmarkFind(b *testing.B) {
	table := many(100_000)
	names := make([]wire.Name, 1<<12)
	for i := range names {
		names[i].Set([]byte(name("www", "zone"+strconv.Itoa(rand.IntN(100_000)), "example")))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if s, _ := table.Find(&names[i&(len(names)-1)], false); s == nil {
			b.Fatal("no zone")
		}
		i++
	}
}
