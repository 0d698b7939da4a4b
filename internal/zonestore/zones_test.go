package zonestore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestContentRoundTrip(t *testing.T) {
	s, path := openTemp(t)
	apex := name("example.org.")
	v := Version{Serial: 7, At: day, Origin: FromTransfer, By: "192.0.2.53", Note: "AXFR"}
	for _, n := range []int{2, 100, 20_000, 400_000} {
		want := collect(t, largeZone(apex, 7, n))
		must(t, s.PutContent(apex, Current, v, Hash{1, 2}, listed(want)))
		s = reopen(t, s, path)
		c, got := contentOf(t, s, apex, Current)
		if !slices.EqualFunc(want, got, equalRR) {
			t.Fatalf("%d records are others", n)
		}
		if d := cmp.Diff(Content{Version: v, Source: Hash{1, 2}, Records: n, Octets: c.Octets}, c); d != "" || c.Octets < int64(n)*4 {
			t.Errorf("%s, %d octets", d, c.Octets)
		}
		tidy(t, s)
	}
	seed := v
	seed.Serial, seed.Origin = 3, FromFile
	must(t, s.PutContent(apex, Seed, seed, Hash{3}, small(apex, 3)))
	if c, list := contentOf(t, s, apex, Seed); len(list) != 2 || c.Serial != 3 || c.Source != (Hash{3}) {
		t.Errorf("the seed is %v, %v", c, list)
	}
	if c, list := contentOf(t, s, apex, Current); len(list) != 400_000 || c.Serial != 7 {
		t.Errorf("the seed replaced the zone: %v, %d", c, len(list))
	}
	_, err := s.Content(name("example.com."), Current, ignoreRecord)
	expect(t, "another zone", err, ErrNotThere, "example.com.")
}

func equalRR(a, b wire.RR) bool {
	return a.Type == b.Type && a.TTL == b.TTL && bytes.Equal(a.Owner, b.Owner) && bytes.Equal(a.Data, b.Data)
}

// What can't be kept is refused, and what was kept stays.
func TestContentRefused(t *testing.T) {
	s, _ := openTemp(t)
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)))
	broken := errors.New("the transfer broke off")
	soa := soaOf(apex, 2)
	for _, tt := range []struct {
		name string
		apex []byte
		kind Kind
		each Records
		want string
	}{
		{"no SOA", apex, Current, listed(nil), "it has no SOA"},
		{"SOA of another serial", apex, Current, small(apex, 3), "its SOA has serial 3, not 2"},
		{"no SOA at all", apex, Current, listed([]wire.RR{{Owner: apex, Type: wire.TypeSOA, Data: []byte{0, 0}}}), "is no SOA"},
		{"another zone's record", apex, Current, listed([]wire.RR{soa, hostOf(name("example.com."), 1)}), "it is not in the zone example.org."},
		{"no name", apex, Current, listed([]wire.RR{{Owner: []byte{9}}}), "it is not in the zone"},
		{"large RDATA", apex, Current, listed([]wire.RR{{Owner: apex, Data: make([]byte, 1<<16)}}), "its RDATA has 65536 octets"},
		{"no zone's name", []byte{3, 'a'}, Current, small(apex, 2), "is no zone's name"},
		{"no such kind", apex, kinds, small(apex, 2), "no contents of kind 2"},
		{"broken off", apex, Current, func(yield func(*wire.RR) error) error {
			return errors.Join(largeZone(apex, 2, 700_000)(yield), broken)
		}, broken.Error()},
	} {
		err := s.PutContent(tt.apex, tt.kind, Version{Serial: 2}, Hash{}, tt.each)
		expect(t, tt.name, err, nil, tt.want)
		if c, list := contentOf(t, s, apex, Current); c.Serial != 1 || len(list) != 2 {
			t.Errorf("%s: the zone is %v, %v", tt.name, c, list)
		}
		tidy(t, s)
	}
}

func TestAppendRefused(t *testing.T) {
	const half = 1 << 31 // of all serials
	s, _ := openTemp(t)
	apex := name("example.org.")
	expect(t, "no zone", s.Append(apex, step(apex, 1, 1)), ErrNotThere, "example.org.")
	must(t, s.PutContent(apex, Seed, Version{Serial: 1}, Hash{}, small(apex, 1)))
	expect(t, "only a seed", s.Append(apex, step(apex, 1, 1)), ErrNotThere, "example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 5}, Hash{}, small(apex, 5)))
	foreign := step(apex, 5, 1)
	foreign.Add = append(foreign.Add, hostOf(name("example.com."), 1))
	bare := step(apex, 5, 1)
	bare.Del = nil
	for _, tt := range []struct {
		name    string
		changes []*Change
		kind    error
		want    string
	}{
		{"older", []*Change{step(apex, 4, 1)}, ErrNotNext, "begins with serial 4 cannot be kept: what is kept ends with 5"},
		{"later", []*Change{step(apex, 6, 1)}, ErrNotNext, "what is kept ends with 5"},
		{"gap", []*Change{step(apex, 5, 1), step(apex, 7, 1)}, ErrNotNext, "begins with serial 7, and the one before it ends with 6"},
		{"nothing new", []*Change{step(apex, 5, 0)}, ErrNotNext, "serial 5 is not newer than 5"},
		{"backwards", []*Change{step(apex, 5, 1<<31)}, ErrNotNext, "is not newer than 5"},
		{"no SOA", []*Change{bare}, nil, "the SOA of serial 5 must go"},
		{"another zone's record", []*Change{foreign}, nil, "not in the zone example.org."},
	} {
		expect(t, tt.name, s.Append(apex, tt.changes...), tt.kind, tt.want)
	}
	if got := serials(t, s, apex, 5); len(got) != 1 {
		t.Errorf("kept: %v", got)
	}
	must(t, s.Append(apex))
	must(t, s.Append(apex, step(apex, 5, 1), step(apex, 6, half-2)))
	expect(t, "too far", s.Append(apex, step(apex, 4+half, 1)), ErrFull, "compact it first")
	due, err := s.Due(apex)
	if err != nil || !due {
		t.Errorf("due: %v, %v", due, err)
	}
	must(t, s.Compact(apex, small(apex, 4+half)))
	must(t, s.Append(apex, step(apex, 4+half, half-1)))
	if z, err := s.Zone(apex); err != nil || z.Newest.Serial-z.Oldest >= half || z.Changes != 1 {
		t.Errorf("%+v, %v", z, err)
	}
}

// A change of any size comes back as it was.
func TestLargeChange(t *testing.T) {
	s, path := openTemp(t)
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)))
	large := step(apex, 1, 1)
	large.Source = Hash{9}
	for i := range uint32(150_000) {
		large.Del = append(large.Del, hostOf(apex, i))
		large.Add = append(large.Add, hostOf(apex, i+1<<24))
	}
	huge := wire.RR{Owner: apex, Type: 65280, TTL: 1, Data: bytes.Repeat([]byte{7}, 0xFFFF)}
	large.Add = append(large.Add, huge, huge)
	must(t, s.Append(apex, large, step(apex, 2, 1)))
	s = reopen(t, s, path)
	var got []*Change
	must(t, s.Journal(apex, 1, func(c *Change) error { got = append(got, c); return nil }))
	if len(got) != 2 || got[0].Version != large.Version || got[0].Source != large.Source || got[0].From != 1 ||
		!slices.EqualFunc(got[0].Del, large.Del, equalRR) || !slices.EqualFunc(got[0].Add, large.Add, equalRR) {
		t.Errorf("the change is another")
	}
	// Of a zone of which only history is kept, a change larger than its journal may
	// be is kept without its records.
	s.SetLimits(Limits{ZoneJournal: 1 << 20})
	only := name("example.com.")
	must(t, s.Begin(only, Version{Serial: 1, At: day}, Hash{}))
	must(t, s.Append(only, step(only, 1, 1)))
	wide := step(only, 2, 1)
	for i := range uint32(200_000) {
		wide.Add = append(wide.Add, hostOf(only, i+1<<24))
	}
	must(t, s.Append(only, wide))
	must(t, s.Append(only, step(only, 3, 1)))
	expect(t, "without records", s.Journal(only, 2, func(*Change) error { t.Error("a change of a cut chain"); return nil }), ErrNotThere, "example.com.")
	if got := serials(t, s, only, 3); !slices.Equal(got, []uint32{3, 4}) {
		t.Errorf("behind it: %v", got)
	}
	list, err := s.History(only, 10)
	if err != nil || len(list) != 2 || !list[1].Cut || list[1].Add != 200_002 || list[0].Cut {
		t.Errorf("history: %+v, %v", list, err)
	}
	tidy(t, s)
}

// Changes are cut off at the oldest end, and no further than loading allows; a
// journal reaches back before what was compacted.
func TestLimits(t *testing.T) {
	s, path := openTemp(t)
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1, At: day}, Hash{}, small(apex, 1)))
	for n := range uint32(100) {
		must(t, s.Append(apex, step(apex, 1+n, 1)))
	}
	if list, err := s.History(apex, 1000); err != nil || len(list) != 101 || !list[100].Whole || list[0].Serial != 101 || list[0].Add != 2 {
		t.Fatalf("%d in history, %v", len(list), err)
	}
	s.SetLimits(Limits{Changes: 60})
	must(t, s.Append(apex, step(apex, 101, 1)))
	if z, err := s.Zone(apex); err != nil || z.Changes != 101 || z.Oldest != 1 {
		t.Errorf("cut off what loading needs: %+v, %v", z, err)
	}
	// As the zone was at serial 51.
	must(t, s.Compact(apex, small(apex, 51)))
	if z, err := s.Zone(apex); err != nil || z.Changes != 60 || z.Oldest != 42 || z.Current.Serial != 51 || z.Current.By != "farm." {
		t.Errorf("after compacting: %+v, %v", z, err)
	}
	if got := serials(t, s, apex, 42); len(got) != 61 || got[60] != 102 {
		t.Errorf("from 42: %v", got)
	}
	expect(t, "cut off", s.Journal(apex, 41, ignoreChange), ErrNotThere, "example.org.")
	expect(t, "not there yet", s.Journal(apex, 103, ignoreChange), ErrNotThere, "example.org.")
	changes := 0
	c, err := s.Load(apex, ignoreRecord, func(*Change) error { changes++; return nil })
	if err != nil || changes != 51 || c.Serial != 51 {
		t.Errorf("%d changes behind %d, %v", changes, c.Serial, err)
	}
	if list, err := s.History(apex, 5); err != nil || len(list) != 5 || list[4].Serial != 98 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := s.History(apex, 1000); err != nil || len(list) != 60 || list[59].Whole {
		t.Errorf("history that was cut off ends with %+v, %v", list[len(list)-1], err)
	}
	// By octets.
	must(t, s.Compact(apex, small(apex, 102)))
	z, err := s.Zone(apex)
	must(t, err)
	s.SetLimits(Limits{ZoneJournal: z.Octets / 2})
	must(t, s.Append(apex, step(apex, 102, 1)))
	s = reopen(t, s, path)
	if after, err := s.Zone(apex); err != nil || after.Octets > z.Octets/2 || after.Changes < 25 || after.Newest.Serial != 103 {
		t.Errorf("%+v, %v", after, err)
	}
	if got := serials(t, s, apex, 103); len(got) != 1 {
		t.Errorf("from the newest: %v", got)
	}
	expect(t, "no such serial", s.Compact(apex, small(apex, 7)), ErrNotThere, "example.org.")
}

// What is behind the contents is bounded, too.
func TestMustCompact(t *testing.T) {
	s, _ := openTemp(t)
	s.SetLimits(Limits{ZoneJournal: 2000})
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)))
	var err error
	n := uint32(1)
	due := false
	for ; err == nil && n < 1000; n++ {
		due, err = s.Due(apex)
		must(t, err)
		err = s.Append(apex, step(apex, n, 1))
	}
	expect(t, "too many", err, ErrFull, "compact it first")
	if !due {
		t.Error("not due before it was refused")
	}
	must(t, s.Compact(apex, small(apex, n-1)))
	must(t, s.Append(apex, step(apex, n-1, 1)))
	if due, err := s.Due(apex); due || err != nil {
		t.Errorf("due after compacting: %v, %v", due, err)
	}
}

// Whoever reads, reads one version, whatever is written meanwhile.
func TestReadWhileChanged(t *testing.T) {
	s, _ := openTemp(t)
	apex := name("example.org.")
	want := collect(t, largeZone(apex, 1, 200_000))
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, listed(want)))
	must(t, s.Append(apex, step(apex, 1, 1), step(apex, 2, 1)))
	var got []wire.RR
	var changes []uint32
	_, err := s.Load(apex, func(rr *wire.RR) error {
		if len(got) == 100_000 {
			must(t, s.Append(apex, step(apex, 3, 1)))
			must(t, s.Compact(apex, largeZone(apex, 4, 200_000)))
			must(t, s.PutContent(apex, Current, Version{Serial: 9}, Hash{}, small(apex, 9)))
		}
		got = append(got, copied(rr))
		return nil
	}, func(c *Change) error {
		must(t, s.Forget(apex))
		changes = append(changes, c.Serial)
		return nil
	})
	must(t, err)
	if !slices.EqualFunc(want, got, equalRR) || !slices.Equal(changes, []uint32{2, 3}) {
		t.Errorf("%d records, changes %v", len(got), changes)
	}
	if there, _ := generationsIn(t, s); len(there) != 0 {
		t.Errorf("left: %v", there)
	}
	if list, err := s.Zones(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// What is acknowledged isn't dropped by who didn't know of it.
func TestChangedWhileWritten(t *testing.T) {
	s, _ := openTemp(t)
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)))
	meanwhile := func(each Records) Records {
		return func(yield func(*wire.RR) error) error {
			z, err := s.Zone(apex)
			must(t, err)
			must(t, s.Append(apex, step(apex, z.Newest.Serial, 1)))
			return each(yield)
		}
	}
	err := s.PutContent(apex, Current, Version{Serial: 10}, Hash{}, meanwhile(small(apex, 10)))
	expect(t, "changed", err, ErrChanged, "was changed while")
	must(t, s.Compact(apex, meanwhile(small(apex, 2))))
	must(t, s.PutContent(apex, Seed, Version{Serial: 10}, Hash{}, meanwhile(small(apex, 10))))
	z, err := s.Zone(apex)
	must(t, err)
	if z.Newest.Serial != 4 || z.Current.Serial != 2 || z.Seed.Serial != 10 || z.Changes != 3 {
		t.Errorf("%+v", z)
	}
	if got := serials(t, s, apex, 1); !slices.Equal(got, []uint32{1, 2, 3, 4}) {
		t.Errorf("%v", got)
	}
	tidy(t, s)
}

// Zones of which only history is kept.
func TestBegin(t *testing.T) {
	s, path := openTemp(t)
	apex := name("example.org.")
	v := Version{Serial: 5, At: day, Origin: FromFile, By: "example.org.zone"}
	must(t, s.Begin(apex, v, Hash{1}))
	must(t, s.Append(apex, step(apex, 5, 1)))
	// The same version of another source: what led to it stays.
	v.Serial = 6
	must(t, s.Begin(apex, v, Hash{2}))
	s = reopen(t, s, path)
	z, err := s.Zone(apex)
	if err != nil || z.Newest.Serial != 6 || z.Source != (Hash{2}) || z.Changes != 1 || z.Current != nil || z.Due {
		t.Errorf("%+v, %v", z, err)
	}
	_, err = s.Load(apex, ignoreRecord, ignoreChange)
	expect(t, "loading", err, ErrNotThere, "example.org.")
	list, err := s.History(apex, 10)
	if err != nil || len(list) != 2 || !list[1].Whole || list[1].By != "example.org.zone" || list[0].From != 5 {
		t.Errorf("%+v, %v", list, err)
	}
	// Another version: history begins anew.
	v.Serial = 100
	must(t, s.Begin(apex, v, Hash{3}))
	if got := serials(t, s, apex, 100); len(got) != 1 {
		t.Errorf("%v", got)
	}
	expect(t, "what led to another", s.Journal(apex, 5, ignoreChange), ErrNotThere, "")
	// Contents end with it, and begin it.
	must(t, s.PutContent(apex, Current, Version{Serial: 100}, Hash{}, small(apex, 100)))
	must(t, s.Append(apex, step(apex, 100, 1)))
	v.Serial = 101
	must(t, s.Begin(apex, v, Hash{4}))
	if z, err = s.Zone(apex); err != nil || z.Current != nil || z.Changes != 1 || z.Source != (Hash{4}) {
		t.Errorf("%+v, %v", z, err)
	}
	must(t, s.Append(apex, step(apex, 101, 1)))
	if got := serials(t, s, apex, 100); !slices.Equal(got, []uint32{100, 101, 102}) {
		t.Errorf("%v", got)
	}
	tidy(t, s)
}

// Zones of package zone come back.
func TestLoadZone(t *testing.T) {
	s, path := openTemp(t)
	apex := name("example.org.")
	must(t, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)))
	z, err := s.LoadZone(apex)
	must(t, err)
	for n := range uint32(50) {
		c := step(apex, 1+n, 1)
		if n > 20 {
			c.Del = append(c.Del, hostOf(apex, n-10))
		}
		must(t, s.Append(apex, c))
		z, err = z.Apply(&zone.Changeset{Del: c.Del, Add: c.Add})
		must(t, err)
		if n == 30 {
			must(t, s.Compact(apex, RecordsOf(z)))
		}
	}
	s = reopen(t, s, path)
	got, err := s.LoadZone(apex)
	must(t, err)
	if c := zone.Diff(z, got); !c.Empty() || got.Serial() != 51 {
		t.Errorf("another zone: %v", c)
	}
	at, c, err := s.ContentZone(apex, Current)
	if err != nil || at.Serial() != 32 || c.Serial != 32 {
		t.Errorf("%v, %v", c, err)
	}
	must(t, s.Append(apex, &Change{From: 51, Version: Version{Serial: 52}, Del: []wire.RR{soaOf(apex, 51), hostOf(apex, 9999)}, Add: []wire.RR{soaOf(apex, 52)}}))
	_, err = s.LoadZone(apex)
	expect(t, "a record that isn't there", err, nil, "makes no zone")
}

// Those who wait share a transaction, and each gets its own answer.
func TestAppendTogether(t *testing.T) {
	s, path := openTemp(t)
	const writers, each = 32, 20
	transactions := func() (n int) {
		must(t, s.view(func(tx *bolt.Tx) error { n = tx.ID(); return nil }))
		return n
	}
	shared := name("shared.example.")
	must(t, s.Begin(shared, Version{Serial: 1}, Hash{}))
	before := transactions()
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for w := range writers {
		group.Go(func() {
			apex := name(fmt.Sprintf("z%d.example.", w))
			if err := s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)); err != nil {
				t.Error(err)
			}
			for n := range uint32(each) {
				if err := s.Append(apex, step(apex, 1+n, 1)); err != nil {
					t.Error(err)
				}
				// One of them all gets each serial of this zone.
				switch err := s.Append(shared, step(shared, 1+n, 1)); {
				case err == nil:
					mu.Lock()
					won++
					mu.Unlock()
				case !errors.Is(err, ErrNotNext):
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := transactions() - before; n > writers*each {
		t.Errorf("%d transactions", n)
	}
	s = reopen(t, s, path)
	for w := range writers {
		if got := serials(t, s, name(fmt.Sprintf("z%d.example.", w)), 1); len(got) != each+1 {
			t.Errorf("zone %d: %v", w, got)
		}
	}
	if got := serials(t, s, shared, 1); len(got) != won+1 {
		t.Errorf("%d changes, %d were taken", len(got)-1, won)
	}
}

func TestTimers(t *testing.T) {
	s, path := openTemp(t)
	a, b := name("a.example."), name("b.example.")
	if _, ok, err := s.Timers(a); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	first := Timers{Serial: 7, Refreshed: day, Refresh: day.Add(time.Hour), Expire: day.Add(time.Hour * 24), Primary: "192.0.2.53:53"}
	must(t, s.PutTimers(a, Timers{Serial: 6, Primary: "x"}))
	must(t, s.PutTimers(a, first))
	must(t, s.PutTimers(b, Timers{}))
	want := func(s *Store) {
		t.Helper()
		if got, ok, err := s.Timers(a); err != nil || !ok || got != first {
			t.Errorf("%v, %v, %v", got, ok, err)
		}
		if got, ok, err := s.Timers(b); err != nil || !ok || got != (Timers{}) {
			t.Errorf("%v, %v, %v", got, ok, err)
		}
	}
	want(s)
	must(t, s.FlushTimers())
	want(s)
	must(t, s.PutTimers(b, Timers{Serial: 1}))
	must(t, s.PutTimers(b, Timers{}))
	s = reopen(t, s, path)
	want(s)
	must(t, s.PutTimers(b, Timers{Serial: 1}))
	must(t, s.Forget(b))
	if _, ok, err := s.Timers(b); ok || err != nil {
		t.Errorf("forgotten: %v, %v", ok, err)
	}
	expect(t, "a long name", s.PutTimers(a, Timers{Primary: strings.Repeat("x", maxField+1)}), nil, "at most 1024")
	must(t, s.Close())
	expect(t, "closed", s.PutTimers(a, first), nil, "closed")
}

// History makes room for what is current, and what finds none leaves all as it
// was.
func TestTotal(t *testing.T) {
	s, _ := openTemp(t)
	const total = 48 << 20
	s.SetLimits(Limits{Total: total})
	apex, other := name("example.org."), name("example.com.")
	must(t, s.Begin(apex, Version{Serial: 1}, Hash{}))
	fat := func(from uint32) *Change {
		c := step(apex, from, 1)
		c.Add = append(c.Add, wire.RR{Owner: apex, Type: 65280, Data: make([]byte, 60_000)})
		return c
	}
	n := uint32(1)
	for ; n < 1000; n++ {
		must(t, s.Append(apex, fat(n)))
	}
	z, err := s.Zone(apex)
	if err != nil || z.Changes >= 900 || z.Changes < 50 || z.Newest.Serial != n {
		t.Errorf("%+v, %v", z, err)
	}
	if got := serials(t, s, apex, z.Oldest); len(got) != z.Changes+1 {
		t.Errorf("%d changes", len(got))
	}
	must(t, s.PutContent(other, Current, Version{Serial: 1}, Hash{}, largeZone(other, 1, 200_000)))
	for i := range 300 {
		must(t, s.PutState(State{Key: Key{"", "node", fmt.Sprint(i), "drain"}, Reason: strings.Repeat("x", maxField)}))
	}
	err = s.PutContent(other, Current, Version{Serial: 2}, Hash{}, largeZone(other, 2, 6_000_000))
	expect(t, "too large", err, ErrFull, "48 MiB, the most that it may have")
	if c, list := contentOf(t, s, other, Current); c.Serial != 1 || len(list) != 200_000 {
		t.Errorf("%+v", c)
	}
	tidy(t, s)
	must(t, s.PutContent(other, Current, Version{Serial: 3}, Hash{}, largeZone(other, 3, 210_000)))
}
