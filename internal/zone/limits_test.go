package zone

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"geodns/internal/wire"
)

// TestLargeZone crosses the thresholds that small zones don't reach: an index
// in pages that grows, an order in many chunks, arena chunks, compaction.
func TestLargeZone(t *testing.T) {
	apex := name("example")
	random := rand.New(rand.NewPCG(1, 2))
	m := newModel(apex)
	for _, r := range append(basics(apex), rr(apex, wire.TypeNSEC, 300, "x")) {
		must(t, m.add(&r, false))
	}
	owner := func(n int) string {
		o := string(appendHost(nil, n, apex))
		if n%3 == 0 {
			return string(appendHost(nil, n/2, o))
		}
		return o
	}
	record := func() wire.RR {
		n := random.IntN(4000)
		if random.IntN(3) == 0 {
			return rr(owner(n), wire.TypeNSEC, 300, "x")
		}
		return rr(owner(n), wire.TypeTXT, 300, strings.Repeat("t", random.IntN(40)))
	}
	z := compile(t, NewBuilder(), m.records())
	first, firstDump := z, dump(z)
	for step := range 150 {
		c := &Changeset{}
		// It grows, shrinks to nothing, and grows again.
		if shrink := step/30%2 == 1; shrink {
			for _, r := range m.records() {
				if r.Type != wire.TypeSOA && string(r.Owner) != apex && random.IntN(6) == 0 && m.del(&r) == nil {
					c.Del = append(c.Del, r)
				}
			}
		} else {
			for range 200 {
				if r := record(); m.add(&r, false) == nil {
					c.Add = append(c.Add, r)
				}
			}
		}
		next, err := z.Apply(c)
		must(t, err)
		z = next
		if step%30 == 29 {
			audit(t, z)
			if got, want := dump(z), largeDump(m); got != want {
				t.Fatalf("step %d: the zone differs from the model", step)
			}
			chain, _ := m.chain()
			for range 200 {
				compareDenial(t, z, chain, owner(random.IntN(5000)))
			}
		}
		if most := 3*z.live + 64<<10 + 4*int(z.index.slots) + 8*len(z.index.pages); z.Bytes() > most {
			t.Fatalf("step %d: %d octets for %d that are live", step, z.Bytes(), z.live)
		}
	}
	if dump(first) != firstDump {
		t.Fatal("the first version changed")
	}
}

// largeDump is what a fresh compile of the model looks like: the model's own
// dump takes too long for many names, and is held against the Builder by
// TestBuilderEqualsModel.
func largeDump(m *model) string {
	b := NewBuilder()
	for _, r := range m.records() {
		b.Add(&r)
	}
	z, _ := b.Finish()
	return dump(z)
}

// TestCompileIntoPages builds more names than one page of the index and one
// chunk of the arena hold, with and without a guess at their number.
func TestCompileIntoPages(t *testing.T) {
	for _, guess := range []int{0, 1, 700, 40_000, 1_000_000} {
		b := NewBuilder()
		apex := name("example")
		b.Reset(guess)
		for _, r := range basics(apex) {
			b.Add(&r)
		}
		for i := range 40_000 {
			r := rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i))
			if p := b.Add(&r); p != nil {
				t.Fatal(p)
			}
		}
		z, problems := b.Finish()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		audit(t, z)
		if z.Names() != 40_001 || z.Records() != 40_002 || len(z.chunks) < 2 || z.index.pages == nil {
			t.Fatalf("%d names, %d records, %d chunks, %d pages", z.Names(), z.Records(), len(z.chunks), len(z.index.pages))
		}
		if most := newIndexSlots(z.Names())*5/4 + pageSize; z.index.slots > most {
			t.Fatalf("guess %d: an index of %d slots for %d names", guess, z.index.slots, z.Names())
		}
		before := dump(z)
		b.Reset(0) // Nothing of the zone is the Builder's any more.
		for _, r := range basics(name("other")) {
			b.Add(&r)
		}
		b.Finish()
		if dump(z) != before {
			t.Fatal("the next zone of the Builder wrote into the last one's memory")
		}
	}
}

// TestBuilderLeavesZonesAlone: zones of one Builder share no memory with it.
func TestBuilderLeavesZonesAlone(t *testing.T) {
	b := NewBuilder()
	var zones []*Zone
	var dumps []string
	for i, n := range []int{0, 3, 2000, 12000, 1, 30000, 5} {
		z := hostsAt(b, string(appendHost(nil, i, name())), n)
		zones, dumps = append(zones, z), append(dumps, dump(z))
	}
	for i, z := range zones {
		if dump(z) != dumps[i] {
			t.Errorf("zone %d changed", i)
		}
		audit(t, z)
	}
}

// TestHugeNode: a node larger than a chunk of the arena, in a zone with others.
func TestHugeNode(t *testing.T) {
	apex := name("example")
	m := newModel(apex)
	for _, r := range basics(apex) {
		must(t, m.add(&r, false))
	}
	var c Changeset
	for typ := range 60 {
		r := rr(name("huge", "example"), wire.Type(1000+typ), 60, strings.Repeat("h", 60_000))
		c.Add = append(c.Add, r)
		must(t, m.add(&r, false))
	}
	fresh := compile(t, NewBuilder(), m.records())
	compare(t, fresh, m, []string{name("huge", "example"), apex})
	z, err := compile(t, NewBuilder(), basics(apex)).Apply(&c)
	must(t, err)
	compare(t, z, m, []string{name("huge", "example"), apex})
	for i := range 20 {
		next, err := z.Apply(&Changeset{Add: []wire.RR{rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i))}})
		must(t, err)
		z = next
		audit(t, z)
	}
	z, err = z.Apply(&Changeset{Del: c.Add})
	must(t, err)
	if z.Bytes() > 64<<10 {
		t.Errorf("%d octets are kept after the huge node is gone", z.Bytes())
	}
}

// TestBounds: 512 types at a name, 64 KiB in a set, and RDATA that fits into no
// message. The zone is what it was before the refusal.
func TestBounds(t *testing.T) {
	apex, at := name("example"), name("a", "example")
	tests := []struct {
		name    string
		records func(add func(wire.RR))
		last    wire.RR
		rule    string
	}{
		{"types", func(add func(wire.RR)) {
			for i := range MaxSets {
				add(rr(at, wire.Type(1000+i), 60, "x"))
			}
		}, rr(at, wire.TypeA, 60, address(1)), "too-many-types"},
		{"signed types", func(add func(wire.RR)) {
			for i := range MaxSets {
				add(rr(at, wire.TypeRRSIG, 60, string([]byte{byte(i >> 8), byte(i)})))
			}
		}, rr(at, wire.TypeRRSIG, 60, "\xff\xff"), "too-many-types"},
		{"set of addresses", func(add func(wire.RR)) {
			for i := range MaxRecords / 6 {
				add(rr(at, wire.TypeA, 60, address(i)))
			}
		}, rr(at, wire.TypeA, 60, address(1<<23)), "set-too-long"},
		{"set of two", func(add func(wire.RR)) {
			add(rr(at, wire.TypeTXT, 60, strings.Repeat("x", 40_000)))
		}, rr(at, wire.TypeTXT, 60, strings.Repeat("x", 65_535-2-2-40_000+1)), "set-too-long"},
		{"one record", func(add func(wire.RR)) {
			add(rr(at, wire.TypeTXT, 60, strings.Repeat("x", 65_533)))
		}, rr(at, 1000, 60, strings.Repeat("x", 65_534)), "set-too-long"},
		{"one record of all 16 bits", func(func(wire.RR)) {}, rr(at, 1000, 60, strings.Repeat("x", 65_535)), "set-too-long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(apex)
			for _, r := range basics(apex) {
				must(t, m.add(&r, false))
			}
			empty := compile(t, NewBuilder(), m.records())
			var c Changeset
			test.records(func(r wire.RR) {
				must(t, m.add(&r, false))
				c.Add = append(c.Add, r)
			})
			z, err := empty.Apply(&c)
			must(t, err)
			compare(t, z, m, []string{at})
			if _, err := z.Apply(&Changeset{Add: []wire.RR{test.last}}); err == nil {
				t.Error("Apply takes one more")
			}

			b := NewBuilder()
			for _, r := range append(m.records(), test.last) {
				if string(r.Owner) == apex {
					continue
				}
				// Behind the SOA, all of one name together.
				if b.Apex() == nil {
					for _, r := range basics(apex) {
						b.Add(&r)
					}
				}
				p := b.Add(&r)
				if last := r.Type == test.last.Type && string(r.Data) == string(test.last.Data); last != (p != nil && p.Rule == test.rule) {
					t.Fatalf("type %d, %d octets: %v", r.Type, len(r.Data), p)
				}
			}
			if z, problems := b.Finish(); z == nil {
				t.Fatal(problems)
			} else {
				compare(t, z, m, []string{at})
			}
		})
	}
}

// TestLongSetOfDuplicates: a record that comes again and again is looked for,
// and found, in a set of any length, in whatever case its name comes; sets stay
// as long as their different records are.
func TestLongSetOfDuplicates(t *testing.T) {
	apex, at := name("example"), name("a", "example")
	for _, apart := range []bool{false, true} {
		m := newModel(apex)
		b := NewBuilder()
		for _, r := range basics(apex) {
			b.Add(&r)
			must(t, m.add(&r, true))
		}
		warnings := 0
		for i := range 200_000 {
			target := name(fmt.Sprintf("Host%d", i%1000))
			if i/1000%2 == 1 {
				target = strings.ToLower(target)
			}
			r := rr(at, wire.TypePTR, 60, target)
			if i < 3000 {
				must(t, m.add(&r, true))
			}
			if p := b.Add(&r); p != nil && p != duplicate {
				t.Fatal(p)
			} else if p == duplicate {
				warnings++
			}
			if apart && i%50_000 == 0 {
				b.Add(&wire.RR{Owner: []byte(name("b", "example")), Type: wire.TypeA, TTL: 60, Data: []byte(address(i))})
				r := rr(name("b", "example"), wire.TypeA, 60, address(i))
				must(t, m.add(&r, true))
			}
		}
		z, problems := b.Finish()
		if z == nil {
			t.Fatal(problems)
		}
		if n := warnings + len(problems); n != 199_000 {
			t.Errorf("%d of 199000 duplicates were told", n)
		}
		compare(t, z, m, []string{at})
	}
}

// TestCoveredOfMalformed: RRSIGs too short to cover a type stay what they are,
// however many there are.
func TestCoveredOfMalformed(t *testing.T) {
	apex := name("example")
	m := newModel(apex)
	for _, r := range append(basics(apex), rr(apex, wire.TypeRRSIG, 60, ""), rr(apex, wire.TypeRRSIG, 60, "\x00"), rr(apex, wire.TypeRRSIG, 60, "\x00\x05x")) {
		must(t, m.add(&r, false))
	}
	z := compile(t, NewBuilder(), m.records())
	for _, r := range []wire.RR{rr(apex, wire.TypeRRSIG, 60, "\x01"), rr(apex, wire.TypeA, 60, address(1))} {
		must(t, m.add(&r, false))
		next, err := z.Apply(&Changeset{Add: []wire.RR{r}})
		must(t, err)
		z = next
		compare(t, z, m, []string{apex})
	}
}

// TestLargeArena makes an arena as large as no test can fill: its chunks in
// between are empty. Beyond 256 MiB entries have no tags; beyond 16 GiB nothing
// is taken.
func TestLargeArena(t *testing.T) {
	z := *hosts(NewBuilder(), 3000)
	stretch := func(chunks int) {
		z.chunks = append(z.chunks[:len(z.chunks):len(z.chunks)], make([][]byte, chunks-len(z.chunks))...)
		z.used, z.total, z.live = 0, chunks*chunkSize, chunks*chunkSize
	}
	want := dump(&z)
	stretch(1 << 8)
	if z.index.place != tagPlaces {
		t.Fatal("a small zone without tags")
	}
	next, err := z.Apply(bump(&z, 1234, 1234, 5))
	must(t, err)
	if next.index.place != ^uint32(0) || len(next.chunks) != 1<<8+1 {
		t.Fatalf("%d chunks, and places have the mask %x", len(next.chunks), next.index.place)
	}
	if dump(&z) != want {
		t.Error("the old version changed")
	}
	for i := range 3000 {
		n, ok := next.Find(appendHost(nil, i, string(z.apex)))
		s, _ := n.Set(wire.TypeA)
		if at := map[bool]int{true: 5, false: i}[i == 1234]; !ok || string(s.Records[2:]) != address(at) {
			t.Fatalf("host%d: %t %x", i, ok, s.Records)
		}
	}

	stretch(maxChunks)
	if _, err := z.Apply(bump(&z, 1, 1, 2)); err != zoneTooLarge {
		t.Errorf("Apply on an arena that is full: %v", err)
	}
	if dump(&z) != want {
		t.Error("the zone changed by an Apply that failed")
	}
	b := NewBuilder()
	for _, r := range basics(name("example")) {
		b.Add(&r)
	}
	b.arena.chunks = z.chunks
	b.arena.used = 0
	r := rr(name("a", "example"), wire.TypeA, 60, address(1))
	if p := b.Add(&r); p != zoneTooLarge {
		t.Errorf("Add into an arena that is full: %v", p)
	}
}

// TestBuilderPastTags: a Builder whose arena passes 256 MiB drops the tags.
func TestBuilderPastTags(t *testing.T) {
	apex := name("example")
	b := NewBuilder()
	for _, r := range basics(apex) {
		b.Add(&r)
	}
	add := func(from, to int) {
		for i := from; i < to; i++ {
			r := rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i))
			if p := b.Add(&r); p != nil {
				t.Fatal(p)
			}
		}
	}
	add(0, 100)
	b.arena.chunks = append(b.arena.chunks, make([][]byte, 1<<8-len(b.arena.chunks))...)
	b.arena.used = 0
	add(100, 200)
	b.flush()
	if b.index.place != ^uint32(0) {
		t.Fatalf("places have the mask %x", b.index.place)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	if got := dump(z); got != dump(hostsAt(NewBuilder(), apex, 200)) {
		t.Errorf("the zone is\n%s", got)
	}
}

// TestManyChangesStayBounded: thousands of small changes to a small zone, each
// held against what the zone may take.
func TestManyChangesStayBounded(t *testing.T) {
	z := small(NewBuilder(), 1)
	apex := string(z.Apex())
	before := soaOf(z)
	most := 0
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	allocated := mem.TotalAlloc
	const changes = 20_000
	for i := range changes {
		c := &Changeset{Del: []wire.RR{before}, Add: []wire.RR{rr(apex, wire.TypeSOA, 3600, soa(uint32(i)))}}
		r := rr(string(appendHost(nil, i%7, apex)), wire.TypeA, 60, address(1))
		if i/7%2 == 0 {
			c.Add = append(c.Add, r)
		} else {
			c.Del = append(c.Del, r)
		}
		before = c.Add[0]
		next, err := z.Apply(c)
		must(t, err)
		z = next
		most = max(most, z.Bytes())
	}
	runtime.ReadMemStats(&mem)
	audit(t, z)
	if most > 12<<10 {
		t.Errorf("a zone of some 16 names took up to %d octets", most)
	}
	if each := (mem.TotalAlloc - allocated) / changes; each > 8<<10 {
		t.Errorf("a change allocates %d octets", each)
	}
}

func soaOf(z *Zone) wire.RR {
	s, _ := z.ApexNode().Set(wire.TypeSOA)
	data, _, _ := wire.NextRecord(s.Records)
	return wire.RR{Owner: z.Apex(), Type: wire.TypeSOA, TTL: s.TTL, Data: data}
}

// TestForksStayBounded: changes to one old version, again and again, as when
// each is refused by what comes after Apply.
func TestForksStayBounded(t *testing.T) {
	z := hosts(NewBuilder(), 3000)
	whole := dump(z)
	for i := range 2000 {
		next, err := z.Apply(bump(z, i, i, i+5000))
		must(t, err)
		if grown := next.Bytes() - z.Bytes(); grown > z.Bytes() {
			t.Fatalf("fork %d takes %d octets more than the %d of its base", i, grown, z.Bytes())
		}
	}
	if dump(z) != whole {
		t.Fatal("the base changed")
	}
	// Each the base of the next, but overtaken by another.
	first := z.Bytes()
	for i := range 500 {
		_, err := z.Apply(bump(z, i, i, i+5000))
		must(t, err)
		next, err := z.Apply(bump(z, i, i, i+6000))
		must(t, err)
		z = next
	}
	audit(t, z)
	if z.Bytes() > 4*first {
		t.Errorf("from %d to %d octets", first, z.Bytes())
	}
}

// TestHostileOrderIsLinear: a million records of a thousand names, a name's
// never two in a row, nor in the order in which the names came. What is written
// is what there is, but for each name's first record.
func TestHostileOrderIsLinear(t *testing.T) {
	apex := name("example")
	const names, each = 1000, 1000
	b := NewBuilder()
	for _, r := range basics(apex) {
		b.Add(&r)
	}
	owners := make([][]byte, names)
	for i := range owners {
		owners[i] = appendHost(nil, i, apex)
	}
	r := wire.RR{Type: wire.TypeA, TTL: 60}
	for i := range each {
		for k := range owners {
			r.Owner, r.Data = owners[(k*7+i)%names], []byte(address(i))
			if p := b.Add(&r); p != nil {
				t.Fatal(p)
			}
		}
	}
	const aside = 8 + 2 + 4 + 2 + 4
	if want := names * (each - 1) * aside; len(b.aside) != want {
		t.Errorf("%d octets were put aside, %d are needed", len(b.aside), want)
	}
	b.flush()
	first := b.arena.total
	if problems := b.merge(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if second, most := b.arena.total-first, names*(each*6+32); second > most {
		t.Errorf("the merge wrote %d octets, more than %d", second, most)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	audit(t, z)
	if z.Records() != names*each+2 {
		t.Errorf("%d records", z.Records())
	}
}

// TestDeepNames: names of as many labels as there can be, with all that is
// between them.
func TestDeepNames(t *testing.T) {
	apex := name("e")
	m := newModel(apex)
	records := basics(apex)
	for _, top := range []string{"a", "b", "*"} {
		deep := append(strings.Split(strings.Repeat("x", 125), ""), top, "e")
		records = append(records, rr(name(deep[1:]...), wire.TypeA, 60, address(1)), rr(name(deep[60:]...), wire.TypeA, 60, address(1)))
	}
	for _, r := range records {
		must(t, m.add(&r, false))
	}
	all := []string{}
	for n := range m.exists() {
		all = append(all, n)
	}
	z := compile(t, NewBuilder(), records)
	compare(t, z, m, all)
	c := &Changeset{Del: records[2:]}
	bare, err := z.Apply(c)
	must(t, err)
	if bare.Names() != 1 {
		t.Errorf("%d names are left", bare.Names())
	}
	again, err := bare.Apply(&Changeset{Add: records[2:]})
	must(t, err)
	compare(t, again, m, all)
}

// hostsAt is hosts in another zone, with the TTL 60.
func hostsAt(b *Builder, apex string, n int) *Zone {
	b.Reset(0)
	for _, r := range basics(apex) {
		b.Add(&r)
	}
	for i := range n {
		r := rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i))
		b.Add(&r)
	}
	z, _ := b.Finish()
	return z
}
