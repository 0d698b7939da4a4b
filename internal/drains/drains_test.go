package drains

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/health"
	"geodns/internal/publish"
	"geodns/internal/steer"
)

// board is a Publisher that remembers what it is told.
type board struct {
	mu     sync.Mutex
	list   health.Drains
	at     time.Time
	sets   int
	ticks  []time.Time
	places []publish.Place
	lost   map[string]bool // names of which the drain loses a last node
}

func (b *board) SetDrains(list health.Drains, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list, b.at = slices.Clone(list), at
	b.sets++
}

func (b *board) Tick(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ticks = append(b.ticks, at)
}

func (b *board) WouldDrain(list health.Drains, at time.Time) (out []publish.Effect) {
	for i := range list {
		if list[i].Active(at) && !b.drained(list[i].Zone, list[i].Name) {
			out = append(out, publish.Effect{Name: "www." + list[i].Name + ".", Lost: b.lost[list[i].Name]})
		}
	}
	return out
}

func (b *board) Places() []publish.Place { return b.places }

// drained is what is in force.
func (b *board) drained(zone, name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list.Covers(zone, name, b.at)
}

// store is a Store in memory.
type store struct {
	list  []health.Drain
	fails error
	saves int
}

func (s *store) Load() ([]health.Drain, error) { return s.list, s.fails }

func (s *store) Save(list []health.Drain) error {
	if s.fails == nil {
		s.list = list
		s.saves++
	}
	return s.fails
}

type bench struct {
	*Manager
	board *board
	log   *bytes.Buffer
}

func places() []publish.Place {
	site := func(zone, name string) publish.Place { return publish.Place{Zone: zone, Name: name} }
	return []publish.Place{
		site("a.example.", "lon"), site("b.example.", "lon"), site("a.example.", "nyc"),
		{Zone: "a.example.", Name: "web1", Node: true, Declared: true, Count: steer.Count{All: 1}},
	}
}

// begin makes a Manager, and runs it until the bubble's test ends.
func begin(t *testing.T, s Store) *bench {
	t.Helper()
	b := &bench{board: &board{places: places(), lost: map[string]bool{"nyc": true}}, log: &bytes.Buffer{}}
	b.Manager = New(Options{Publisher: b.board, Store: s, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	if err := b.Start(); err != nil {
		b.log.WriteString(err.Error())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A drain begins when it is to, is counted down to, and ends by itself.
func TestSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s store
		b := begin(t, &s)
		start := clock()
		out, err := b.Drain(Order{Name: "LON", Zone: "A.example", At: start.Add(10 * time.Minute), For: time.Hour, Reason: "new switch"})
		if err != nil || out.Refused || out.Unstored != "" || len(out.Places) != 1 {
			t.Fatalf("%+v %v", out, err)
		}
		want := health.Drain{Zone: "a.example.", Name: "lon", From: start.Add(10 * time.Minute), Until: start.Add(70 * time.Minute), Reason: "new switch"}
		if out.Drains[0] != want || s.list[0] != want {
			t.Errorf("drained %+v and stored %+v, want %+v", out.Drains[0], s.list, want)
		}
		sleep(10*time.Minute - time.Second)
		if b.board.drained("a.example.", "lon") {
			t.Error("it is drained too early")
		}
		if n := len(b.board.ticks); n < 590 || n > 610 {
			t.Errorf("%d ticks in ten minutes", n)
		}
		for i := 1; i < len(b.board.ticks); i++ {
			if gap := b.board.ticks[i].Sub(b.board.ticks[i-1]); gap > time.Second {
				t.Fatalf("two ticks are %v apart", gap)
			}
		}
		sleep(time.Second)
		if !b.board.drained("a.example.", "lon") || b.board.drained("b.example.", "lon") {
			t.Error("it is not drained in time, or in another zone")
		}
		sleep(time.Hour - time.Second)
		if list, _ := b.List(); len(list) != 1 || !b.board.drained("a.example.", "lon") {
			t.Error("it has ended too early")
		}
		sleep(time.Second)
		if list, _ := b.List(); len(list) != 0 || b.board.drained("a.example.", "lon") || len(s.list) != 0 {
			t.Errorf("it has not ended: %v, stored %v", list, s.list)
		}
		ticks, sets := len(b.board.ticks), b.board.sets
		sleep(10 * time.Hour)
		if len(b.board.ticks) != ticks || b.board.sets != sets {
			t.Error("nothing is to come, and still something is done")
		}
		for _, text := range []string{"a drain was commanded", "a drain has begun", "a drain has ended", `reason="new switch"`} {
			if strings.Count(b.log.String(), text) == 0 {
				t.Errorf("the log lacks %q:\n%s", text, b.log)
			}
		}
	})
}

// The last live node of a name is not taken from it, unless somebody insists.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s store
		b := begin(t, &s)
		for _, o := range []Order{{Name: "nyc"}, {Name: "nyc", Force: true, DryRun: true}, {Name: "lon", DryRun: true}} {
			out, err := b.Drain(o)
			if err != nil || out.Refused != (o.Name == "nyc" && !o.Force) || len(out.Effects) != 1 {
				t.Errorf("%+v: %+v %v", o, out, err)
			}
			if list, _ := b.List(); len(list) != 0 || b.board.sets != 1 || s.saves != 0 {
				t.Errorf("%+v changed something: %v", o, list)
			}
		}
		if out, err := b.Drain(Order{Name: "nyc", Force: true}); err != nil || out.Refused || !b.board.drained("a.example.", "nyc") {
			t.Errorf("forced: %+v %v", out, err)
		}
		// Without an end it goes on.
		sleep(1000 * time.Hour)
		if !b.board.drained("a.example.", "nyc") {
			t.Error("it ended")
		}
	})
}

func TestUndrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s store
		b := begin(t, &s)
		drain := func(o Order) {
			t.Helper()
			if _, err := b.Drain(o); err != nil {
				t.Fatal(err)
			}
		}
		drain(Order{Name: "lon", Zone: "a.example.", For: time.Hour})
		drain(Order{Name: "lon", Zone: "b.example.", For: time.Hour})
		if out, err := b.Undrain("", "lon", true); err != nil || len(out.Drains) != 2 || !b.board.drained("a.example.", "lon") {
			t.Errorf("dry run: %+v %v", out, err)
		}
		if out, err := b.Undrain("B.example", "Lon", false); err != nil || len(out.Drains) != 1 || b.board.drained("b.example.", "lon") || !b.board.drained("a.example.", "lon") {
			t.Errorf("one zone's: %+v %v", out, err)
		}
		drain(Order{Name: "lon", For: time.Hour}) // of all zones, instead
		if list, _ := b.List(); len(list) != 1 || list[0].Zone != "" {
			t.Errorf("%v", list)
		}
		for _, tt := range []struct{ zone, name, want string }{
			{"a.example.", "lon", "lon is drained in all zones; take that back without --zone"},
			{"", "nyc", "nyc is not drained"},
			{"", "web1", "the zone a.example. itself says drain=yes of web1"},
			{"", "lonn", "did you mean lon (a.example.), lon (b.example.)?"},
		} {
			if _, err := b.Undrain(tt.zone, tt.name, false); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("undrain %s %s: %v, want %s", tt.zone, tt.name, err, tt.want)
			}
		}
		// A zone that has gone does not keep its drain from being taken back.
		b.board.places = nil
		if out, err := b.Undrain("", "lon", false); err != nil || len(out.Drains) != 1 || len(s.list) != 0 {
			t.Errorf("of a zone that has gone: %+v %v", out, err)
		}
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, nil)
		for _, tt := range []struct {
			o    Order
			want string
		}{
			{Order{Name: "lom"}, `there is no site or node "lom" that a policy uses; did you mean lon (a.example.), lon (b.example.)?`},
			{Order{Name: "tokyo"}, `there is no site or node "tokyo" that a policy uses; there are lon (a.example.), lon (b.example.), nyc (a.example.), web1 (a.example.)`},
			{Order{Name: "nyc", Zone: "b.example"}, `the zone b.example. has no site or node "nyc" that a policy uses; a.example. has it`},
			{Order{Name: "lon", At: clock().Add(-time.Second)}, "is over; leave --at away"},
			{Order{Name: "lon", For: -1}, "can't last less than no time"},
			{Order{Name: "lon", Reason: strings.Repeat("x", MaxReason+1)}, "more than 200; shorten it"},
		} {
			if _, err := b.Drain(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v: %v, want %s", tt.o, err, tt.want)
			}
		}
		b.board.places = nil
		if _, err := b.Drain(Order{Name: "lon"}); err == nil || !strings.Contains(err.Error(), "no zone that is served has policies") {
			t.Errorf("without any: %v", err)
		}
		if list, unstored := b.List(); len(list) != 0 || unstored != "there is no store" {
			t.Errorf("%v %s", list, unstored)
		}
	})
}

// What was in force is so again after a restart, but for what has ended since.
// A store that fails does not keep a drain from being in force.
func TestStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := clock()
		s := store{list: []health.Drain{
			{Name: "lon", From: start.Add(-time.Hour), Until: start.Add(time.Hour)},
			{Name: "nyc", From: start.Add(-2 * time.Hour), Until: start.Add(-time.Hour)},
			{Name: "web1", From: start.Add(time.Hour)},
		}}
		b := begin(t, &s)
		if list, unstored := b.List(); len(list) != 2 || unstored != "" || !b.board.drained("x.", "lon") || b.board.drained("x.", "web1") {
			t.Errorf("%v %s", list, unstored)
		}
		s.fails = errors.New("the disk is full")
		if out, err := b.Drain(Order{Name: "nyc", Force: true}); err != nil || out.Unstored != "the disk is full" || !b.board.drained("x.", "nyc") {
			t.Errorf("%+v %v", out, err)
		}
		if out, err := b.Undrain("", "nyc", false); err != nil || out.Unstored != "the disk is full" {
			t.Errorf("%+v %v", out, err)
		}
		sleep(time.Hour)
		if b.board.drained("x.", "lon") || !b.board.drained("x.", "web1") {
			t.Error("what is not stored is not in force")
		}
		s.fails = nil
		if out, err := b.Undrain("", "web1", false); err != nil || out.Unstored != "" || len(s.list) != 0 {
			t.Errorf("%+v %v %v", out, err, s.list)
		}
		broken := begin(t, &store{fails: errors.New("corrupt")})
		if list, unstored := broken.List(); len(list) != 0 || unstored != "corrupt" || !strings.Contains(broken.log.String(), "can't be read, and none is now: corrupt") {
			t.Errorf("%v %s %s", list, unstored, broken.log)
		}
	})
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"lon", "lon", 0}, {"lon", "lom", 1}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"nyc", "ny", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s are %d apart, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// What a zone brings with it is in force beside what is commanded here, ends on
// time though nobody says so, is not stored, and is not ours to take back.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s store
		b := begin(t, &s)
		start := clock()
		theirs := health.Drains{{Zone: "a.example.", Name: "lon", From: start, Until: start.Add(time.Hour), Reason: "theirs"}}
		b.SetForeign("a.example.", theirs)
		if _, err := b.Drain(Order{Name: "web1", For: 2 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		sleep(time.Minute)
		if !b.board.drained("a.example.", "lon") || !b.board.drained("a.example.", "web1") || b.board.drained("b.example.", "lon") {
			t.Errorf("in force: %+v", b.board.list)
		}
		if list, _ := b.List(); len(list) != 1 || len(s.list) != 1 || len(b.Foreign()) != 1 {
			t.Errorf("ours %+v, stored %+v, theirs %+v", list, s.list, b.Foreign())
		}
		if _, err := b.Undrain("", "lon", false); err == nil || !strings.Contains(err.Error(), "primary") {
			t.Errorf("taking back what is theirs: %v", err)
		}
		sets := b.board.sets
		b.SetForeign("a.example.", slices.Clone(theirs))
		if b.board.sets != sets {
			t.Error("the same again was put into force anew")
		}
		sleep(time.Hour)
		if b.board.drained("a.example.", "lon") || !b.board.drained("a.example.", "web1") || len(b.Foreign()) != 0 {
			t.Errorf("after its time: %+v, theirs %+v", b.board.list, b.Foreign())
		}
		if _, err := b.Undrain("", "lon", false); err == nil || strings.Contains(err.Error(), "primary") {
			t.Errorf("taking back what is over: %v", err)
		}
		b.SetForeign("a.example.", nil)
		if len(b.Foreign()) != 0 || b.board.drained("a.example.", "lon") {
			t.Errorf("taken back: %+v", b.Foreign())
		}
	})
}
