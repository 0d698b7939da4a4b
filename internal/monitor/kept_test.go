package monitor

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/health"
)

// A verdict of before is taken up if it is of the same target, and younger than
// three intervals.
func TestRecall(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	key := Key{Addr: netip.MustParseAddr("192.0.2.1"), Check: "v=check1; type=tcp; port=80"}
	other := Key{Addr: key.Addr, Check: "v=check1; type=tcp; port=81"}
	tests := []struct {
		name  string
		state health.State
		age   time.Duration
		key   Key
		want  bool
	}{
		{"young and down", health.Down, 29 * time.Second, key, true},
		{"young and up", health.Up, 30 * time.Second, key, true},
		{"old", health.Up, 31 * time.Second, key, false},
		{"unknown", health.Unknown, time.Second, key, false},
		{"from the future", health.Up, -time.Second, key, false},
		{"another check's", health.Up, time.Second, other, false},
	}
	for _, tt := range tests {
		var m Monitor
		m.Restore([]Kept{{tt.key, health.Target{State: tt.state, Seen: now.Add(-tt.age), Damping: 2}}})
		to := &target{key: key, rule: health.Rule{Every: 10 * time.Second}}
		if got := m.recall(to, now); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
		if tt.want && (to.judged.State != tt.state || to.judged.Damping != 2) {
			t.Errorf("%s: %+v", tt.name, to.judged)
		}
	}
}

// A check that says something else makes new targets. They are what they were,
// until as many results have come as a turn takes; but nobody is taken for
// writable who was only asked whether he lives.
func TestInherit(t *testing.T) {
	const (
		other  = "v=check1; type=tcp; port=81; every=1s; timeout=500ms; fall=3; rise=2"
		writer = "v=check1; type=mysql; port=80; use=db; role=writable; every=1s; timeout=500ms; fall=3; rise=2"
	)
	tests := []struct {
		name, check, label, zone string
		up, down                 health.State // right afterwards
	}{
		{"another port", other, "web", "example.", health.Up, health.Down},
		{"another label", other, "new", "example.", health.Joining, health.Joining},
		{"another zone's", other, "web", "example.net.", health.Joining, health.Joining},
		{"a role", writer, "web", "example.", health.Joining, health.Joining},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, nil)
				live, dead := addr(1), addr(2)
				b.set(true, dead)
				// Somebody else named them first.
				alien := program(t, webCheck, live, dead)
				alien.Checks[0].Zone = "alien."
				b.m.Bind(alien)
				before := b.m.Bind(program(t, webCheck, live, dead))
				b.serve()
				sleep(10 * time.Second)

				p := program(t, tt.check, live, dead)
				p.Checks[0].Name, p.Checks[0].Zone = tt.label, tt.zone
				b.silence(true, live, dead)
				after := b.m.Bind(p)
				b.m.Unbind(before)
				b.want(after[0], tt.up, "answered before")
				b.want(after[1], tt.down, "was dead before")
				if tt.up != health.Up {
					return
				}
				sleep(2 * time.Second)
				b.want(after[0], health.Up, "has not failed three times")
				sleep(2 * time.Second)
				b.want(after[0], health.Down, "has failed three times")
			})
		})
	}
}
