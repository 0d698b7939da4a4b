package health

import (
	"testing"
	"time"
)

var (
	rule  = Rule{Fall: 3, Rise: 2, Every: 5 * time.Second, Timeout: 2 * time.Second}
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// run judges results that come each interval; '+' is a success, '-' a failure,
// a digit that many minutes without a result. It returns the states after each.
func run(t Target, r Rule, results string) (Target, string) {
	at := start
	var states []byte
	for _, c := range []byte(results) {
		if c >= '0' && c <= '9' {
			at = at.Add(time.Duration(c-'0') * time.Minute)
			continue
		}
		at = at.Add(r.Every)
		t, _ = Judge(t, c == '+', r, at)
		states = append(states, "?ud"[t.State])
	}
	return t, string(states)
}

func TestJudge(t *testing.T) {
	tests := []struct{ name, results, states string }{
		{"the first result decides", "+", "u"},
		{"the first result decides, bad", "-", "d"},
		{"fall", "+---", "uuud"},
		{"a success in between begins anew", "+--+--+--", "uuuuuuuuu"},
		{"rise", "+---++", "uuuddu"},
		{"a failure in between begins anew", "+---+-+-++", "uuudddddd" + "u"},
		{"down at the start rises as usual", "-++", "ddu"},
		// Turns: down, up, down: then a return takes 2 << 2 successes.
		{"damped", "+---++---++++++++", "uuuddu" + "uud" + "dddddddu"},
		{"a quiet window forgets", "+---++---99++", "uuuddu" + "uud" + "du"},
	}
	for _, tt := range tests {
		if _, got := run(Target{}, rule, tt.results); got != tt.states {
			t.Errorf("%s: %s makes %s, want %s", tt.name, tt.results, got, tt.states)
		}
	}
}

// Damping ends at sixteen times the rise.
func TestDampingIsBounded(t *testing.T) {
	target, _ := run(Target{}, Rule{Fall: 1, Rise: 1, Every: time.Second}, "+")
	for range 10 {
		target, _ = run(target, Rule{Fall: 1, Rise: 1, Every: time.Second}, "-")
		for target.State != Up {
			target, _ = run(target, Rule{Fall: 1, Rise: 1, Every: time.Second}, "+")
		}
	}
	target, _ = run(target, Rule{Fall: 1, Rise: 1, Every: time.Second}, "-")
	successes := 0
	for target.State != Up {
		target, _ = run(target, Rule{Fall: 1, Rise: 1, Every: time.Second}, "+")
		successes++
	}
	if successes != 16 {
		t.Errorf("a flapping target is back after %d successes, want 16", successes)
	}
}

func TestExpire(t *testing.T) {
	old := start.Add(time.Hour)
	tests := []struct {
		name   string
		target Target
		state  State
		stale  bool
	}{
		{"never probed", Target{}, Unknown, false},
		{"up", Target{State: Up, Seen: start}, Unknown, false},
		{"down", Target{State: Down, Seen: start}, Down, true},
		{"up, seen", Target{State: Up, Seen: old.Add(-rule.Every)}, Up, false},
		{"down, seen", Target{State: Down, Seen: old.Add(-rule.Every)}, Down, false},
	}
	for _, tt := range tests {
		got, turned := Expire(tt.target, rule, old)
		if got.State != tt.state || got.Stale != tt.stale || turned != (got.State != tt.target.State) {
			t.Errorf("%s: %v, stale %t, turned %t", tt.name, got.State, got.Stale, turned)
		}
	}
	// What has expired needs Rise successes again, and any failure counts on.
	got, _ := Expire(Target{State: Up, Seen: start, Since: start}, rule, old)
	if got, turned := Judge(got, true, rule, old); turned || got.State != Unknown {
		t.Errorf("one success after a silence makes %v", got.State)
	}
}

func TestTroubled(t *testing.T) {
	tests := []struct {
		name   string
		target Target
		want   bool
	}{
		{"never probed", Target{}, false},
		{"up for long", Target{State: Up, Since: start}, false},
		{"one failure", Target{State: Up, Fails: 1}, true},
		{"down", Target{State: Down}, true},
		{"turned nine minutes ago", Target{State: Up, Turned: start.Add(51 * time.Minute)}, true},
		{"turned ten minutes ago", Target{State: Up, Turned: start.Add(50 * time.Minute)}, false},
	}
	for _, tt := range tests {
		if got := tt.target.Troubled(start.Add(time.Hour)); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
