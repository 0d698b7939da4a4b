package health

import "time"

const (
	// HoldFor is for how long at most an isolated server keeps targets from going
	// down.
	HoldFor = 10 * time.Minute
	// minAnchors is how many anchors must be there to be asked: of one alone nobody
	// could tell whether it is gone or the server is cut off.
	minAnchors = 2
)

// Ruling says what becomes of failures that would take a target down.
type Ruling uint8

// The rulings.
const (
	// Counts: the server is connected, or nothing could tell. The target is down.
	Counts Ruling = iota
	// Pending: the anchors have to be asked first. The target stays what it is
	// until then.
	Pending
	// Withheld: the server is cut off. The target stays what it is.
	Withheld
)

// Isolation tells nodes that have died from a server that is cut off from them.
// It is about targets outside the server's own site only: failures of its
// neighbours are what they seem.
//
// The server is isolated from the moment when failures would take a target down,
// and all anchors have failed, and nothing outside has answered, all of them in
// probes that began no earlier than the one that decides about that target. So
// whatever answers now proves that the failures are the target's own; and as
// long as it is not known which, nothing turns. One answer from outside to a
// probe of since then ends it.
//
// All times are those of the caller; began is when a probe began.
type Isolation struct {
	anchors []anchor
	proof   time.Time // the latest begin of a probe that something outside answered
	from    time.Time // isolated: what answers a probe of since then ends it
	since   time.Time // isolated: when that was found; zero: the server is not
	ended   time.Time // when it last was no longer
}

// anchor is something far away that should always answer.
type anchor struct {
	began time.Time // of the last probe; zero: there was none
	ok    bool
	// unusable: this machine can't ask it, and never could.
	unusable bool
	answered bool // ever
}

// NewIsolation returns an Isolation with so many anchors, which are numbered
// from 0. With less than two, the server is never isolated.
func NewIsolation(anchors int) *Isolation { return &Isolation{anchors: make([]anchor, anchors)} }

// Asked takes in a probe of an anchor. local: it failed for a reason of this
// machine, as when a right is missing; that speaks of isolation only if the
// anchor has answered before. It reports whether isolation ended by it.
func (s *Isolation) Asked(n int, ok, local bool, began, at time.Time) (ended bool) {
	a := &s.anchors[n]
	a.began, a.ok = began, ok
	a.answered = a.answered || ok
	a.unusable = local && !a.answered
	return ok && s.Answered(began, at)
}

// Answered takes in that something outside has answered. It reports whether
// isolation ended by it.
func (s *Isolation) Answered(began, at time.Time) (ended bool) {
	if began.After(s.proof) {
		s.proof = began
	}
	if s.since.IsZero() || began.Before(s.from) {
		return false
	}
	s.since, s.ended = time.Time{}, at
	return true
}

// Rule says what becomes of a target outside that failures would take down.
// began is the begin of the probe that decides, of the first one if the target
// has been pending since.
func (s *Isolation) Rule(began, at time.Time) Ruling {
	usable, deaf := s.deaf(began)
	switch {
	case usable < minAnchors && s.since.IsZero():
		return Counts
	case !s.since.IsZero():
		if at.Sub(s.since) >= HoldFor {
			return Counts
		}
		return Withheld
	case !s.proof.Before(began):
		return Counts
	case !deaf:
		return Pending
	}
	s.from, s.since = began, at
	return Withheld
}

// deaf reports how many anchors can be asked, and whether all of them have
// failed since a time.
func (s *Isolation) deaf(since time.Time) (usable int, deaf bool) {
	deaf = true
	for i := range s.anchors {
		a := &s.anchors[i]
		if a.unusable {
			continue
		}
		usable++
		if a.ok || a.began.Before(since) {
			deaf = false
		}
	}
	return usable, deaf
}

// Outdated reports whether a probe of something outside began before isolation
// ended: that it failed says nothing.
func (s *Isolation) Outdated(began time.Time) bool { return began.Before(s.ended) }

// Since is when the server was found to be isolated, and Until when what is
// withheld takes effect; zero: it is not.
func (s *Isolation) Since() (since, until time.Time) {
	if s.since.IsZero() {
		return s.since, s.since
	}
	return s.since, s.since.Add(HoldFor)
}
