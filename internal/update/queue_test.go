package update

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// store is an edit: it keeps versions of example. in some time, and refuses what
// it is told to.
type store struct {
	mu    sync.Mutex
	cur   *zone.Zone
	takes time.Duration
	// brokenAt is the edit whose keeping fails; poison is a name that makes steering
	// invalid, and crash one that makes it panic.
	brokenAt      int
	poison, crash []byte

	edits [][]publish.Edition // that were kept
	tried int                 // edits that were not empty
}

func (s *store) edit(_ []byte, edit func(*zone.Zone) []publish.Edition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		return publish.ErrNotServed
	}
	list := edit(s.cur)
	if len(list) == 0 {
		return nil
	}
	s.tried++
	next := list[len(list)-1].Zone
	if s.poison != nil && inUse(next, s.poison, wire.TypeANY) {
		return &publish.SteeringError{Problem: steer.Problem{Text: "no such site"}}
	}
	if s.crash != nil && inUse(next, s.crash, wire.TypeANY) {
		panic("crash")
	}
	time.Sleep(s.takes)
	if s.tried == s.brokenAt {
		return errors.New("disk full")
	}
	s.edits = append(s.edits, list)
	s.cur = next
	return nil
}

// answers are what was told of updates, in the order in which it was.
type answers struct {
	mu     sync.Mutex
	list   []string
	failed []string
	wg     sync.WaitGroup
}

func (a *answers) submit(t *testing.T, u *Updater, name string, grants Grants, ops ...string) {
	t.Helper()
	a.wg.Add(1)
	req := requestOf(t, ops...)
	u.Submit(nameOf(t, "example."), req, "key-"+name, grants, func(rcode wire.Rcode, err error) {
		defer a.wg.Done()
		if (rcode == wire.RcodeNoError) != (err == nil) {
			t.Errorf("%s: RCODE %d with %v", name, rcode, err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.list = append(a.list, fmt.Sprintf("%s %d", name, rcode))
	})
}

func (a *answers) tell(apex []byte, updates int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, fmt.Sprintf("%s %d %.20v", wire.NameString(apex), updates, err))
}

// told is what was told since the last call.
func (a *answers) told() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}

func (a *answers) check(t *testing.T, want ...string) {
	t.Helper()
	a.wg.Wait()
	if got := a.told(); !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
}

func (a *answers) checkFailed(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.failed, want) {
		t.Errorf("told of %q, want %q", a.failed, want)
	}
	a.failed = nil
}

// bubble runs a test with a store that takes 5 ms of the bubble's time.
func bubble(t *testing.T, test func(t *testing.T, s *store, u *Updater, a *answers)) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{cur: zoneOf(t, some...), takes: 5 * time.Millisecond}
		a := &answers{}
		u := NewUpdater(s.edit, a.tell)
		test(t, s, u, a)
		a.wg.Wait()
		synctest.Wait()
		if len(u.queues) != 0 {
			t.Errorf("%d queues are left", len(u.queues))
		}
	})
}

// TestTogether: what comes while another is kept is kept together, each as its own
// version, on what the one before it made; refusals too come in order.
func TestTogether(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		a.submit(t, u, "first", all, "+ n1.example. 60 A 192.0.2.1")
		synctest.Wait() // it is being kept
		a.submit(t, u, "second", all, "! n2.example.", "+ n2.example. 60 A 192.0.2.1")
		a.submit(t, u, "again", all, "! n2.example.", "+ n2.example. 60 A 192.0.2.2")
		a.submit(t, u, "nothing", all, "+ n2.example. 60 A 192.0.2.1")
		a.submit(t, u, "stranger", nil, "- n2.example.")
		a.submit(t, u, "third", all, "? n2.example.", "? n1.example.", "- n1.example.", "+ n3.example. 60 A 192.0.2.1")
		a.submit(t, u, "late", all, "? n1.example.")
		synctest.Wait()
		if list := a.told(); len(list) != 0 {
			t.Errorf("%q is told before it is kept", list)
		}
		start := time.Now()
		a.check(t, "first 0", "second 0", "again 6", "nothing 0", "stranger 5", "third 0", "late 3")
		if took := time.Since(start); took != 10*time.Millisecond {
			t.Errorf("it took %v, two rounds are 10 ms", took)
		}
		a.checkFailed(t)
		var sizes []int
		var by []string
		serial := uint32(1)
		for _, list := range s.edits {
			sizes = append(sizes, len(list))
			for _, e := range list {
				by = append(by, e.By)
				if serial++; e.Zone.Serial() != serial {
					t.Errorf("serial %d, want %d", e.Zone.Serial(), serial)
				}
			}
		}
		if !slices.Equal(sizes, []int{1, 2}) || !slices.Equal(by, []string{"key-first", "key-second", "key-third"}) {
			t.Errorf("versions %v by %v", sizes, by)
		}
		if z := s.cur; inUse(z, nameOf(t, "n1.example."), wire.TypeANY) || !inUse(z, nameOf(t, "n3.example."), wire.TypeA) {
			t.Errorf("%q", textsOf(z))
		}
	})
}

// TestStoreFails: what can't be kept is not acknowledged, nor what depends on it;
// what doesn't is answered, and somebody is told once.
func TestStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		s.brokenAt = 2
		a.submit(t, u, "ok", all, "+ n1.example. 60 A 192.0.2.1")
		synctest.Wait()
		a.submit(t, u, "before", all, "? no.example.")
		a.submit(t, u, "nothing", all, "- no.example.")
		a.submit(t, u, "lost", all, "+ n2.example. 60 A 192.0.2.1")
		a.submit(t, u, "refused because of it", all, "! n2.example.")
		a.submit(t, u, "nothing because of it", all, "+ n2.example. 60 A 192.0.2.1")
		a.submit(t, u, "lost too", all, "+ n3.example. 60 A 192.0.2.1")
		a.check(t, "ok 0", "before 3", "nothing 0", "lost 2", "refused because of it 2", "nothing because of it 2", "lost too 2")
		a.checkFailed(t, "example. 4 disk full")
		if s.cur.Serial() != 2 {
			t.Errorf("serial %d", s.cur.Serial())
		}
		a.submit(t, u, "next", all, "! n2.example.", "+ n2.example. 60 A 192.0.2.1")
		a.check(t, "next 0")
		a.checkFailed(t)
	})
}

// TestNotServed: an edit that never came to the updates answers for none of them.
func TestNotServed(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		s.cur = nil
		a.submit(t, u, "none", all, "+ n1.example. 60 A 192.0.2.1")
		a.check(t, "none 2")
		a.checkFailed(t, "example. 1 the zone is not serv")
	})
}

// TestInvalidSteering: only who makes it invalid is refused, whoever came with him.
func TestInvalidSteering(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		s.poison = nameOf(t, "bad.example.")
		a.submit(t, u, "0", all, "+ n0.example. 60 A 192.0.2.1")
		synctest.Wait()
		want := []string{"0 0"}
		for i := 1; i <= 100; i++ {
			op, rcode := fmt.Sprintf("+ n%d.example. 60 A 192.0.2.1", i), 0
			switch i {
			case 17, 60, 61:
				op, rcode = fmt.Sprintf("+ bad.example. 60 A 192.0.2.%d", i), 5
			case 62: // it depends on one that is refused
				op, rcode = "? bad.example.", 3
			}
			a.submit(t, u, fmt.Sprint(i), all, op)
			want = append(want, fmt.Sprintf("%d %d", i, rcode))
		}
		a.check(t, want...)
		a.checkFailed(t)
		if got := s.cur.Serial(); got != 1+101-4 {
			t.Errorf("serial %d", got)
		}
		if s.tried > 60 {
			t.Errorf("%d edits for 100 updates of which three are refused", s.tried)
		}
	})
}

// TestPanic: it costs those who came with it their answer, nobody else.
func TestPanic(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		s.crash = nameOf(t, "bad.example.")
		a.submit(t, u, "bad", all, "+ bad.example. 60 A 192.0.2.1")
		a.check(t, "bad 2")
		a.checkFailed(t, "example. 1 panic in an update: ")
		a.submit(t, u, "good", all, "+ good.example. 60 A 192.0.2.1")
		a.check(t, "good 0")
	})
}

// TestBusy: a zone's queue has an end; those beyond it are turned away at once, and
// somebody is told once.
func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		waited := 0
		told := func() []string {
			list := a.told()
			n := len(list)
			list = slices.DeleteFunc(list, func(s string) bool { return s == "waits 0" })
			waited += n - len(list)
			return list
		}
		fill := func(op string) {
			t.Helper()
			a.submit(t, u, "waits", all, op)
			for range MaxWaiting - 1 {
				a.submit(t, u, "waits", all)
			}
			for range 3 {
				a.submit(t, u, "busy", all)
			}
			if want := []string{"busy 2", "busy 2", "busy 2"}; !slices.Equal(told(), want) {
				t.Fatal("those beyond the bound are not turned away")
			}
			a.checkFailed(t, "example. 1 more than 4096 updat")
		}
		a.submit(t, u, "first", all, "+ n1.example. 60 A 192.0.2.1")
		synctest.Wait()
		fill("+ n2.example. 60 A 192.0.2.1")
		time.Sleep(7 * time.Millisecond) // those that waited are being kept
		if list := a.told(); !slices.Equal(list, []string{"first 0"}) {
			t.Errorf("%q", list)
		}
		fill("+ n3.example. 60 A 192.0.2.1")
		a.wg.Wait()
		if list := told(); len(list) != 0 || waited != 2*MaxWaiting {
			t.Errorf("%d were answered, and then %q", waited, list)
		}
		if s.cur.Serial() != 4 {
			t.Errorf("serial %d", s.cur.Serial())
		}
		a.submit(t, u, "after", all)
		a.check(t, "after 0")
	})
}

// TestLargeBatch: records that are kept together are bounded, whatever waits.
func TestLargeBatch(t *testing.T) {
	bubble(t, func(t *testing.T, s *store, u *Updater, a *answers) {
		var ops []string
		for i := range 3000 {
			ops = append(ops, fmt.Sprintf("+ n.example. 60 A 10.0.%d.%d", i/250, i%250))
		}
		a.submit(t, u, "0", all, ops[0])
		synctest.Wait()
		const n = 25
		for i := range n {
			a.submit(t, u, "x", all, slices.Concat(ops, []string{fmt.Sprintf("+ n%d.example. 60 A 192.0.2.1", i)})...)
		}
		a.wg.Wait()
		kept := 0
		for _, list := range s.edits[1:] {
			kept += len(list)
			if len(list)*3001 > maxTogether {
				t.Errorf("%d updates of 3,001 records were kept together", len(list))
			}
		}
		if kept != n || len(s.edits) != 1+(n*3001+maxTogether-1)/(maxTogether/3001*3001) {
			t.Errorf("%d versions in %d edits", kept, len(s.edits))
		}
	})
}

// TestZonesApart: zones do not wait for each other.
func TestZonesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := zoneOf(t)
		u := NewUpdater(func(_ []byte, edit func(*zone.Zone) []publish.Edition) error {
			edit(z)
			time.Sleep(5 * time.Millisecond)
			return nil
		}, nil)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Add(1)
			u.Submit([]byte{1, byte(i), 0}, requestOf(t, "+ n.example. 60 A 192.0.2.1"), "", all, func(rcode wire.Rcode, err error) {
				defer wg.Done()
				if err != nil {
					t.Error(rcode, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 5*time.Millisecond {
			t.Errorf("100 zones took %v", took)
		}
	})
}

// BenchmarkUpdater is one update of one new record at a time from each of 500
// clients, read from its message, to one zone that a store takes 5 ms to keep.
func BenchmarkUpdater(b *testing.B) {
	s := &store{cur: zoneOf(b, some...), takes: 5 * time.Millisecond}
	u := NewUpdater(s.edit, nil)
	apex := nameOf(b, "example.")
	var messages [][]byte
	for i := range 100_000 {
		messages = append(messages, messageOf(apex, nil, []Record{recordOf(b, fmt.Sprintf("h%d.example. 60 A 192.0.2.1", i))}))
	}
	b.ReportAllocs()
	b.ResetTimer()
	next := make(chan []byte, 500)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			for msg := range next {
				req, err := Parse(msg)
				if err != nil {
					b.Error(err)
				}
				answered := make(chan error, 1)
				u.Submit(apex, req, "key.", all, func(_ wire.Rcode, err error) { answered <- err })
				if err := <-answered; err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		next <- messages[i%len(messages)]
	}
	close(next)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkDo is one update of one record, in a zone with a large RRset beside it,
// and in that RRset.
func BenchmarkDo(b *testing.B) {
	lines := make([]string, 9000)
	for i := range lines {
		lines[i] = fmt.Sprintf("big.example. 60 A 10.0.%d.%d", i/250, i%250)
	}
	z := zoneOf(b, lines...)
	for name, op := range map[string]string{"new": "+ n.example. 60 A 192.0.2.1", "large": "+ big.example. 60 A 192.0.2.1"} {
		b.Run(name, func(b *testing.B) {
			req := requestOf(b, op)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Do(z, req, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
