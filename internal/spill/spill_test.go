package spill

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/publish"
	"geodns/internal/steer"
)

// fake is a Publisher that is asked for what rate says.
type fake struct {
	loads  []publish.Load
	shares []map[steer.Unit]uint32
	ticks  int
}

func (f *fake) Loads() []publish.Load                 { return f.loads }
func (f *fake) SetSpill(shares map[steer.Unit]uint32) { f.shares = append(f.shares, shares) }
func (f *fake) TickRamps()                            { f.ticks++ }
func (f *fake) last() map[steer.Unit]uint32           { return f.shares[len(f.shares)-1] }
func newTest(f *fake, log *strings.Builder) *Controller {
	return New(f, slog.New(slog.NewTextHandler(log, nil)))
}

var (
	lon   = steer.Unit{Zone: "a.example.", Name: "lon"}
	store = steer.Unit{Zone: "a.example.", Name: "store", Node: true}
)

// Counts become rates, rates shares; what goes is forgotten, and what is new is
// counted for a while first.
func TestController(t *testing.T) {
	f, log := &fake{}, &strings.Builder{}
	c := newTest(f, log)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	step := func(loads ...publish.Load) {
		f.loads = loads
		c.Step(now)
		now = now.Add(10 * time.Second)
	}
	wants := func(what, places string, shares map[steer.Unit]uint32) {
		t.Helper()
		got := ""
		for _, p := range c.Places() {
			got += fmt.Sprintf("%s %.1f/%d %t %.3f;", p.Name, p.Rate, p.Capacity, p.Judged, p.Spill)
		}
		if got != places || fmt.Sprint(f.last()) != fmt.Sprint(shares) {
			t.Errorf("%s: %s %v, want %s %v", what, got, f.last(), places, shares)
		}
	}
	step(publish.Load{Unit: lon, Capacity: 100, Answers: 5000})
	wants("the first", "lon 0.0/100 false 0.000;", nil)
	step(publish.Load{Unit: lon, Capacity: 100, Answers: 7000}, publish.Load{Unit: store, Capacity: 900, Answers: 4})
	wants("twice as much", "lon 200.0/100 true 0.525;store 0.0/900 false 0.000;", map[steer.Unit]uint32{lon: 31129})
	if !strings.Contains(log.String(), "clients are passed over") || !strings.Contains(log.String(), "site=lon") {
		t.Errorf("the log says %s", log)
	}
	log.Reset()
	step(publish.Load{Unit: lon, Capacity: 100, Answers: 7950}, publish.Load{Unit: store, Capacity: 900, Answers: 1004})
	wants("as it should be", "lon 95.0/100 true 0.525;store 100.0/900 true 0.000;", map[steer.Unit]uint32{lon: 31129})
	if log.Len() > 0 {
		t.Errorf("nothing is new, but the log says %s", log)
	}
	step(publish.Load{Unit: lon, Capacity: 1000, Answers: 8900}, publish.Load{Unit: store, Capacity: 900, Answers: 1004})
	wants("more capacity", "lon 95.0/1000 true 0.287;store 0.0/900 true 0.000;", map[steer.Unit]uint32{lon: 46694})
	for answers := uint64(8900); answers < 12000; answers += 500 {
		step(publish.Load{Unit: lon, Capacity: 1000, Answers: answers})
	}
	wants("back, and one is gone", "lon 50.0/1000 true 0.000;", nil)
	if !strings.Contains(log.String(), "no longer full") {
		t.Errorf("the log says %s", log)
	}
	step(publish.Load{Unit: lon, Capacity: 1000, Answers: 3})
	wants("counted anew", "lon 50.0/1000 true 0.000;", nil)
	step(publish.Load{Unit: lon, Capacity: 1000, Answers: 103})
	wants("and on", "lon 10.0/1000 true 0.000;", nil)
}

// Run judges each ten seconds, and ticks each second.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newTest(f, &strings.Builder{})
		go c.Run(t.Context())
		time.Sleep(61*time.Second + time.Millisecond)
		if f.ticks != 61 || len(f.shares) < 6 || len(f.shares) > 7 {
			t.Errorf("%d ticks and %d judgements in 61 s", f.ticks, len(f.shares))
		}
	})
}
