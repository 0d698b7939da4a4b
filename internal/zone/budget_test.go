package zone

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"geodns/internal/wire"
)

// TestReadersAllocateNothing: what a query asks of a zone.
func TestReadersAllocateNothing(t *testing.T) {
	apex := name("example")
	deep := name("x", "deep", "down", "example")
	records := append(basics(apex),
		rr(apex, wire.TypeNSEC, 60, "x"), rr(apex, wire.TypeRRSIG, 60, "\x00\x06x"),
		rr(deep, wire.TypeA, 60, address(1)), rr(deep, wire.TypeNSEC, 60, "x"),
		rr(name("*", "down", "example"), wire.TypeA, 60, address(2)),
		rr(name("cut", "example"), wire.TypeNS, 60, apex), rr(name("d", "example"), wire.TypeDNAME, 60, apex))
	z := compile(t, NewBuilder(), records)
	for _, asked := range []string{apex, deep, name("y", "down", "example"), name("a", "cut", "example"), name("a", "d", "example"), name("nowhere", "example")} {
		var n wire.Name
		n.Set([]byte(asked))
		rel := n.Bytes()[:n.Len-len(apex)]
		found := 0
		allocs := testing.AllocsPerRun(100, func() {
			m := z.Lookup(&n)
			if _, ok := z.Wildcard(&m); ok {
				found++
			}
			if node, ok := z.Find(n.Bytes()); ok {
				found++
				if _, ok := node.Set(wire.TypeA); ok {
					found++
				}
				if _, ok := node.Signatures(wire.TypeSOA); ok {
					found++
				}
				for it := node.All(); it.Next(); {
					found += it.Set.Count()
				}
			}
			if _, _, ok := z.Denial(rel); ok {
				found++
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", wire.NameString([]byte(asked)), allocs)
		}
		if found == 0 {
			t.Errorf("%s: nothing was looked at", wire.NameString([]byte(asked)))
		}
	}
}

// TestApplyBudget: a record and the SOA among 200,000 names cost at most 40 KB,
// whatever the collector does: TotalAlloc counts all that was ever allocated.
func TestApplyBudget(t *testing.T) {
	z := hosts(NewBuilder(), 200_000)
	z, err := z.Apply(bump(z, 0, 0, 1)) // The first begins a chunk of the arena.
	must(t, err)
	const changes = 50
	var before, after runtime.MemStats
	for i := range changes {
		c := bump(z, 1+i*3999, 1+i*3999, i)
		runtime.ReadMemStats(&before)
		next, err := z.Apply(c)
		runtime.ReadMemStats(&after)
		must(t, err)
		z = next
		if n := after.TotalAlloc - before.TotalAlloc; n > 40<<10 {
			t.Errorf("change %d allocated %d octets", i, n)
		}
	}
	if z.Serial() != changes+2 {
		t.Errorf("serial %d", z.Serial())
	}
}

// TestReadersWhileApplying: readers of old and new versions need no lock. Each
// version has one address at all names: a reader that sees two has seen a
// change.
func TestReadersWhileApplying(t *testing.T) {
	const names = 40
	apex := name("example")
	version := func(n int) (list []wire.RR) {
		list = append(list, rr(apex, wire.TypeSOA, 60, soa(uint32(n))), rr(apex, wire.TypeNSEC, 60, address(n)))
		for i := range names {
			list = append(list, rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(n)))
			if (i+n)%3 == 0 {
				list = append(list, rr(string(appendHost(nil, i, apex)), wire.TypeNSEC, 60, address(n)))
			}
		}
		return list
	}
	z := compile(t, NewBuilder(), append(version(0), rr(apex, wire.TypeNS, 60, apex)))
	var current atomic.Pointer[Zone]
	var done atomic.Bool
	current.Store(z)

	var readers sync.WaitGroup
	for r := range 3 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			old := current.Load()
			for i := 0; !done.Load(); i++ {
				z := current.Load()
				if r == 0 {
					z = old // One that is out of date for long.
					if i%50 == 49 {
						old = current.Load()
					}
				}
				if !uniform(z, names) {
					t.Error("a version has records of two")
					return
				}
			}
		}()
	}
	for n := 1; n <= 300; n++ {
		base := current.Load()
		c := &Changeset{Del: version(n - 1), Add: version(n)}
		// Two at once on one base: both are right, one of them is served.
		var forks [2]*Zone
		var writers sync.WaitGroup
		for i := range forks {
			writers.Add(1)
			go func() {
				defer writers.Done()
				forks[i], _ = base.Apply(c)
			}()
		}
		writers.Wait()
		for _, f := range forks {
			if f == nil || f.Serial() != uint32(n) || !uniform(f, names) {
				t.Fatalf("version %d is not what it should be", n)
			}
		}
		current.Store(forks[n%2])
	}
	done.Store(true)
	readers.Wait()
}

// uniform reports whether all names have the address of the zone's serial.
func uniform(z *Zone, names int) bool {
	want := address(int(z.Serial()))
	var n wire.Name
	for i := range names {
		n.Set(appendHost(nil, i, string(z.apex)))
		m := z.Lookup(&n)
		s, ok := m.Node.Set(wire.TypeA)
		if m.Kind != Exact || !ok || string(s.Records[2:]) != want {
			return false
		}
		d, _, ok := z.Denial(n.Bytes()[:n.Len-len(z.apex)])
		s, has := d.Set(wire.TypeNSEC)
		if !ok || !has || string(s.Records[2:]) != want {
			return false
		}
	}
	return true
}
