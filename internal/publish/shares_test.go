package publish

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
)

const (
	fileSites = "lon._site TXT \"v=site1; net=192.0.2.0/24; at=51.51,-0.13; capacity=900\"\n" +
		"nyc._site TXT \"v=site1; net=198.51.100.0/24; at=40.71,-74.01\"\n"
	fileRecords = "get A 192.0.2.1\nget A 198.51.100.1\n"
)

// Counts and shares belong to a site, in all versions of all zones that use it.
func TestShares(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", fileSites+fileRecords+"get._steer TXT \"v=steer1; policy=nearest\"\n"),
		zoneOf(t, "b.example.", fileRecords+"get._steer TXT \"v=steer1; policy=nearest; with=a.example.\"\n"),
		zoneOf(t, "c.example.", ""))
	lon := steer.Unit{Zone: "a.example.", Name: "lon"}
	c := steer.NewChooser()
	answer := func(zone string) {
		b := s.served(zone).Steering
		c.Count(b, 1, b.Rules()[0], steer.V4, &steer.Result{})
	}
	wants := func(what string, answers uint64) {
		t.Helper()
		if got, want := fmt.Sprint(s.Loads()), fmt.Sprint([]Load{{lon, 900, answers}}); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	wants("nothing", 0)
	answer("a.example.")
	answer("b.example.")
	wants("one of each zone", 2)
	s.SetSpill(map[steer.Unit]uint32{lon: steer.Whole / 4})
	spills := func(what string, want bool) {
		t.Helper()
		for _, zone := range []string{"a.example.", "b.example."} {
			b := s.served(zone).Steering
			if got := b.Spill != nil && slices.Contains(b.Spill, steer.Whole/4); got != want {
				t.Errorf("%s: %s spills: %t, want %t", what, zone, got, want)
			}
		}
	}
	spills("set", true)
	s.put(zoneOf(t, "a.example.", "new A 192.0.2.9\n"+fileSites+fileRecords+"get._steer TXT \"v=steer1; policy=nearest\"\n"))
	spills("a new version", true)
	answer("a.example.")
	wants("a new version", 3)
	before := s.live.Load()
	s.SetSpill(map[steer.Unit]uint32{lon: steer.Whole / 4})
	if s.live.Load() != before {
		t.Error("the same shares are published anew")
	}
	s.SetSpill(nil)
	spills("taken back", false)
	s.Publish([]Change{{Apex: []byte("\x01a\x07example\x00")}, {Apex: []byte("\x01b\x07example\x00")}})
	if list := s.Loads(); len(list) > 0 {
		t.Errorf("nothing is left, but %v", list)
	}
}

// What returns is ramped up, across what else changes, and its answers count down
// to the end.
func TestRampIsKept(t *testing.T) {
	s := newServer(t)
	policy := "get._steer TXT \"v=steer1; policy=nearest; ramp=1h\"\n"
	s.put(zoneOf(t, "a.example.", fileSites+fileRecords+policy))
	at := time.Now()
	ramping := func(what string, want string) {
		t.Helper()
		got := ""
		for _, r := range s.Ramping() {
			got += fmt.Sprintf("%s %s%s %.2f;", r.Name, r.Site, r.Address, r.Share)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		b := s.served("a.example.").Steering
		if (b.Ramps != nil) != (want != "") {
			t.Errorf("%s: answered by %v", what, b.Ramps)
		}
		if w := s.live.Load(); (w.Clock != 0) != (want != "") {
			t.Errorf("%s: the clock is %d", what, w.Clock)
		}
	}
	drain := health.Drains{}.With(health.Drain{Name: "lon", From: at})
	ramping("nothing", "")
	s.SetDrains(drain, at)
	ramping("drained", "")
	s.SetDrains(nil, at)
	ramping("back", "get.a.example. lon 0.01;")
	s.TickRamps()
	s.put(zoneOf(t, "a.example.", "new A 192.0.2.9\n"+fileSites+fileRecords+policy))
	s.put(zoneOf(t, "b.example.", ""))
	ramping("a new version", "get.a.example. lon 0.01;")
	b, w := s.served("a.example.").Steering, s.live.Load()
	if ttl := b.TTL(b.Rules()[0], 86400, false, w.Clock); ttl > 3600 || ttl < 3500 {
		t.Errorf("a TTL of %d", ttl)
	}
	s.SetDrains(drain, at)
	ramping("drained again", "")
	s.SetDrains(nil, at)
	s.put(zoneOf(t, "a.example.", fileSites+fileRecords+"get._steer TXT \"v=steer1; policy=nearest\"\n"))
	ramping("without ramp=", "")
	before := s.live.Load()
	s.TickRamps()
	if s.live.Load() != before {
		t.Error("nothing is ramped up, and yet something is published each second")
	}
}
