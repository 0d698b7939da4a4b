package monitor

import (
	"net/netip"
	"testing"
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
