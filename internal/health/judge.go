package health

import "time"

// Rule says how results become a state.
type Rule struct {
	// Fall failures in a row make a target down, Rise successes up; both 1 or
	// more.
	Fall, Rise int
	// Every is the time from one probe to the next, Timeout the longest that one
	// takes.
	Every, Timeout time.Duration
}

const (
	// DampingWindow is how close two turns are for the later one to be damped.
	DampingWindow = 10 * time.Minute
	// maxDamping is how often the successes that are asked for are doubled: to
	// sixteen times as many.
	maxDamping = 4
	// staleAfter is after how many intervals without a result an up verdict is
	// no longer believed.
	staleAfter = 3
)

// Lifetime is how long an up verdict is believed without another result.
func (r *Rule) Lifetime() time.Duration { return staleAfter*r.Every + r.Timeout }

// Target is what has been judged of one target so far. The zero Target has
// never been probed.
type Target struct {
	State State
	// Fails and Successes are how many results of a kind came in a row.
	Fails, Successes int
	// Damping is how often the rule's Rise is doubled now.
	Damping int
	// Since is when the state was taken, Turned when it last went from up to
	// down or back, Seen when the last result came; zero: never.
	Since, Turned, Seen time.Time
	// Stale: no result has come for long, and the state is what it was.
	Stale bool
}

// Judge takes in one result that came at a time, and returns what the target is
// then. turned reports whether the state became another.
//
// A target that has never been up or down takes its first result as it is:
// nobody waits for Rise probes to serve from a new node, and what is dead at
// the start was never alive.
func Judge(t Target, ok bool, r Rule, at time.Time) (next Target, turned bool) {
	t = t.count(ok, at)
	switch {
	case t.unjudged():
		return t.take(stateOf(ok), at), true
	case ok && t.State != Up && t.Successes >= t.rise(r, at):
		return t.turn(Up, at), true
	case !ok && t.State != Down && t.Fails >= r.Fall:
		return t.turn(Down, at), true
	}
	return t, false
}

// Withhold takes in a failure at a time, as Judge does, but leaves the state as
// it is.
func Withhold(t Target, at time.Time) Target { return t.count(false, at) }

// Fall makes a target down whose failures were withheld before.
func Fall(t Target, at time.Time) Target {
	if t.unjudged() {
		return t.take(Down, at)
	}
	return t.turn(Down, at)
}

// Forgive forgets the failures of a target that they did not take down.
func Forgive(t Target) Target {
	if t.State != Down {
		t.Fails = 0
	}
	return t
}

// count takes in a result without judging.
func (t Target) count(ok bool, at time.Time) Target {
	t.Seen, t.Stale = at, false
	if ok {
		t.Successes, t.Fails = t.Successes+1, 0
	} else {
		t.Fails, t.Successes = t.Fails+1, 0
	}
	return t
}

// unjudged reports whether the target has never been up or down.
func (t *Target) unjudged() bool {
	return t.State == Unknown && t.Turned.IsZero() && t.Since.IsZero()
}

func stateOf(ok bool) State {
	if ok {
		return Up
	}
	return Down
}

// take sets the state.
func (t Target) take(s State, at time.Time) Target {
	t.State, t.Since = s, at
	return t
}

// turn goes from up to down or back. Each turn that follows another within the
// window doubles what a return takes; a quiet window forgets it all.
func (t Target) turn(s State, at time.Time) Target {
	if !t.Turned.IsZero() && at.Sub(t.Turned) < DampingWindow {
		t.Damping = min(t.Damping+1, maxDamping)
	} else {
		t.Damping = 0
	}
	t.Turned = at
	return t.take(s, at)
}

// rise is how many successes in a row make the target up.
func (t *Target) rise(r Rule, at time.Time) int {
	if !t.Turned.IsZero() && at.Sub(t.Turned) >= DampingWindow {
		return r.Rise
	}
	return r.Rise << t.Damping
}

// Asks is how many successes in a row the target needs to be up again.
func (t *Target) Asks(r Rule, at time.Time) int { return t.rise(r, at) }

// Expire looks at a target of which nothing was heard for long: an up verdict
// becomes unknown, a down one stays, marked as stale.
func Expire(t Target, r Rule, at time.Time) (next Target, turned bool) {
	if t.Seen.IsZero() || at.Sub(t.Seen) <= r.Lifetime() {
		return t, false
	}
	switch t.State {
	case Up:
		t.State, t.Since, t.Successes = Unknown, at, 0
		return t, true
	case Down:
		t.Stale = true
	}
	return t, false
}

// Troubled reports whether answers that name the target are to be kept for a
// short time only: from its first failed probe until ten minutes after its last
// turn.
func (t *Target) Troubled(at time.Time) bool {
	return t.Fails > 0 || t.State == Down || !t.Turned.IsZero() && at.Sub(t.Turned) < DampingWindow
}
