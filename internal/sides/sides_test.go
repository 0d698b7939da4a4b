package sides

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/publish"
	"geodns/internal/steer"
)

var begin = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fake is a Publisher and a Store.
type fake struct {
	mu      sync.Mutex
	now     []publish.ActiveSide
	set     []publish.ActiveSide
	stored  map[key]publish.ActiveSide
	saves   int
	broken  error
	answers []publish.Failback
	asked   publish.FailbackOrder
}

func (f *fake) ActiveSides() []publish.ActiveSide {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.now)
}

func (f *fake) SetActiveSides(list []publish.ActiveSide) { f.set = list }

func (f *fake) Failback(o publish.FailbackOrder) ([]publish.Failback, error) {
	f.asked = o
	return f.answers, f.broken
}

func (f *fake) Load() ([]publish.ActiveSide, error) {
	return slices.Collect(maps.Values(f.stored)), f.broken
}

func (f *fake) Save(keep, forget []publish.ActiveSide) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saves++; f.broken != nil {
		return f.broken
	}
	for _, s := range keep {
		f.stored[keyOf(&s)] = s
	}
	for _, s := range forget {
		delete(f.stored, keyOf(&s))
	}
	return nil
}

func (f *fake) are(list ...publish.ActiveSide) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = list
}

func (f *fake) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, s := range f.stored {
		list = append(list, s.Owner+" "+s.Step)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func side(owner, step string, change ...func(*publish.ActiveSide)) publish.ActiveSide {
	s := publish.ActiveSide{Zone: "example.", Owner: owner, Types: "A", Side: steer.Side{Step: step, Since: begin}}
	for _, f := range change {
		f(&s)
	}
	return s
}

func plain(s *publish.ActiveSide) { s.Plain = true }

func alarm(writers string) func(*publish.ActiveSide) {
	return func(s *publish.ActiveSide) { s.Role, s.Writers, s.Alarm = true, writers, begin }
}

// safe is a buffer for logs.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// taken is what was logged since it was asked before, without times.
func (s *safe) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

func newManager(f *fake, store bool) (*Manager, *safe) {
	out := &safe{}
	o := Options{Publisher: f, Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))}
	if store {
		o.Store = f
	}
	return New(o), out
}

// What is stored are the sides of which a server that remembers nothing would do
// something else, and nothing is written that is stored already.
func TestStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{stored: map[key]publish.ActiveSide{}}
		m, _ := newManager(f, true)
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.are(side("a.", "lon", plain), side("b.", "nyc"), side("c.", ""))
		go m.Run(ctx)
		synctest.Wait()
		if got := f.text(); got != "b. nyc" {
			t.Errorf("stored: %s", got)
		}
		saves := f.saves
		m.Turned()
		m.Turned()
		synctest.Wait()
		if f.saves != saves {
			t.Error("what is stored was stored again")
		}
		f.are(side("a.", "nyc"), side("b.", "nyc", plain))
		m.Turned()
		synctest.Wait()
		if got := f.text(); got != "a. nyc" {
			t.Errorf("stored then: %s", got)
		}
		cancel()
		synctest.Wait()

		again, log := newManager(f, true)
		if err := again.Start(); err != nil || len(f.set) != 1 || f.set[0].Owner != "a." || f.set[0].Step != "nyc" {
			t.Errorf("%v, %+v", err, f.set)
		}
		if text := log.taken(); !strings.Contains(text, "known from before") || !strings.Contains(text, "step=nyc") {
			t.Error(text)
		}
	})
}

// A change and an alarm are told once; what is so at the start is no change.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{stored: map[key]publish.ActiveSide{}}
		m, log := newManager(f, false)
		_ = m.Start()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f.are(side("db.", "one"), side("www.", "lon"))
		go m.Run(ctx)
		for i, step := range []struct {
			sides []publish.ActiveSide
			want  []string // lines, each by words that it must have
		}{
			{[]publish.ActiveSide{side("db.", "one"), side("www.", "lon")}, nil},
			{[]publish.ActiveSide{side("db.", "one"), side("www.", "nyc")}, []string{`level=WARN msg="a failover changed sides" name=www. zone=example. type=A from=lon to=nyc by=verdict`}},
			{[]publish.ActiveSide{side("db.", "one", alarm("")), side("www.", "nyc")}, []string{`level=ERROR msg="no node says that it takes writes: what was answered is held" name=db. zone=example. type=A writers="" answered=one`}},
			{[]publish.ActiveSide{side("db.", "one", alarm("")), side("www.", "nyc")}, nil},
			{[]publish.ActiveSide{side("db.", "one", alarm("one,two")), side("www.", "nyc")}, []string{`level=ERROR msg="several nodes say that they take writes: what was answered is held" name=db. zone=example. type=A writers="one two" answered=one`}},
			{[]publish.ActiveSide{side("db.", "two"), side("www.", "nyc")}, []string{`a failover changed sides" name=db.`, `level=WARN msg="one node takes writes again: the alarm ended" name=db.`}},
			{[]publish.ActiveSide{side("db.", "", alarm("")), side("www.", "nyc")}, []string{`level=WARN msg="a failover changed sides"`, `msg="no node says that it takes writes, and none is known to have: SERVFAIL unless the first step may be one"`}},
			{[]publish.ActiveSide{side("www.", "nyc")}, []string{`msg="the alarm about writers ended: the failover is gone" name=db.`}},
		} {
			f.are(step.sides...)
			m.Turned()
			synctest.Wait()
			lines := strings.Split(strings.TrimSpace(log.taken()), "\n")
			if lines[0] == "" {
				lines = nil
			}
			bad := len(lines) != len(step.want)
			for j := 0; j < len(step.want) && !bad; j++ {
				bad = !strings.Contains(lines[j], step.want[j])
			}
			if bad {
				t.Errorf("%d: told %q, want %q", i, lines, step.want)
			}
		}
	})
}

// A store that fails is told once, and what could not be stored is when it can.
func TestUnstored(t *testing.T) {
	f := &fake{stored: map[key]publish.ActiveSide{}}
	m, log := newManager(f, true)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	f.are(side("a.", "nyc"))
	f.broken = errors.New("the disk is full")
	m.look()
	m.look()
	if _, why := m.List(); why != "the disk is full" || strings.Count(log.taken(), "can't be stored") != 1 {
		t.Errorf("unstored: %q", why)
	}
	f.broken = nil
	m.look()
	if _, why := m.List(); why != "" || f.text() != "a. nyc" {
		t.Errorf("unstored: %q, stored: %s", why, f.text())
	}
	var many []publish.ActiveSide
	for i := range MaxStored + 3 {
		many = append(many, side(fmt.Sprintf("n%d.", i), "nyc"))
	}
	f.are(many...)
	m.look()
	if _, why := m.List(); !strings.HasPrefix(why, "3 of 5003 active sides are not stored") || len(f.stored) != MaxStored {
		t.Errorf("unstored: %q, %d stored", why, len(f.stored))
	}
}

func TestStartWithout(t *testing.T) {
	m, _ := newManager(&fake{}, false)
	if err := m.Start(); err != nil {
		t.Error(err)
	}
	if _, why := m.List(); why != "there is no store" {
		t.Errorf("unstored: %q", why)
	}
	m, _ = newManager(&fake{broken: errors.New("damaged")}, true)
	if err := m.Start(); err == nil || !strings.Contains(err.Error(), "each begins with the first step that is up: damaged") {
		t.Error(err)
	}
}

func TestFailback(t *testing.T) {
	f := &fake{stored: map[key]publish.ActiveSide{}}
	m, log := newManager(f, true)
	_ = m.Start()
	if _, err := m.Failback(publish.FailbackOrder{Reason: strings.Repeat("x", MaxReason+1)}); err == nil || !strings.Contains(err.Error(), "the reason has 201 octets, more than 200") {
		t.Error(err)
	}
	f.answers = []publish.Failback{{Name: "www.", Zone: "example.", Types: "A", Before: steer.Side{Step: "nyc"}, After: steer.Side{Step: "lon", Reason: "repaired"}}}
	f.are(side("www.", "lon", func(s *publish.ActiveSide) { s.By = steer.ByCommand }))
	if out, err := m.Failback(publish.FailbackOrder{Name: "www.", DryRun: true}); err != nil || out.Refused || log.taken() != "" || f.saves > 0 {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	out, err := m.Failback(publish.FailbackOrder{Name: "www.", Force: true})
	if err != nil || out.Refused || out.Unstored != "" || !f.asked.Force {
		t.Errorf("%+v, %v", out, err)
	}
	if text := log.taken(); !strings.Contains(text, `msg="a failback was commanded" name=www. zone=example. type=A from=nyc to=lon force=true reason=repaired`) {
		t.Error(text)
	}
	if f.text() != "www. lon" {
		t.Errorf("stored: %s", f.text())
	}
	f.answers[0].Refused = &steer.Refusal{Text: "no"}
	if out, err := m.Failback(publish.FailbackOrder{Name: "www."}); err != nil || !out.Refused || log.taken() != "" {
		t.Errorf("refused: %+v, %v", out, err)
	}
}
