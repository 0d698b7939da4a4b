package refresh

import (
	"net/netip"
	"time"
)

// primary is what is known of a server that zones are fetched from, whatever
// keys they use.
type primary struct {
	item
	addr    netip.AddrPort
	zones   int // that name it
	running int
	// urgent zones are asked for before routine ones, but for one in four.
	urgent, routine queue
	turn            int
	listed          bool // it is in Refresher.ready

	// fails counts the zones in a row that got no answer, of which failed is
	// the last; from trip on the primary counts as dead.
	fails  int
	failed *entry
	steps  int       // how often it was tried since then, without an answer
	until  time.Time // it is left alone until then
}

func (p *primary) dead() bool { return p.fails >= trip }

// resting reports whether it is left alone at a time.
func (p *primary) resting(now time.Time) bool { return p.dead() && now.Before(p.until) }

// shunned reports whether a zone better asks others: of a dead primary, one zone
// tries whether it still is.
func (p *primary) shunned(now time.Time) bool {
	return p.dead() && (now.Before(p.until) || p.running > 0 || p.waiting() > 0)
}

func (p *primary) waiting() int { return p.urgent.Len() + p.routine.Len() }

// free reports whether one more attempt may begin: of a dead primary, only one
// that tries whether it still is.
func (p *primary) free(now time.Time, most int) bool {
	if p.dead() {
		return p.running == 0 && !now.Before(p.until)
	}
	return p.running < most
}

// take returns the zone that is next.
func (p *primary) take() *entry {
	p.turn++
	first, second := &p.urgent, &p.routine
	if p.turn%4 == 0 {
		first, second = second, first
	}
	if e := first.pop(); e != nil {
		return e
	}
	return second.pop()
}

// answered notes that the primary lives, and reports whether that is news.
func (p *primary) answered() (news bool) {
	news = p.dead()
	p.fails, p.failed, p.steps, p.until = 0, nil, 0, time.Time{}
	return news
}

// silent notes that it gave no answer about a zone, and reports whether it
// counts as dead since now. One zone alone doesn't make it so: it may be the
// only one for which there is no answer.
func (p *primary) silent(e *entry, now time.Time) (news bool) {
	if p.dead() {
		// Attempts that began before it counted as dead say nothing new.
		if !now.Before(p.until) {
			p.steps++
			p.until = now.Add(doubled(firstBackOff, mostBackOff, p.steps))
		}
		return false
	}
	if p.failed != e {
		p.fails, p.failed = p.fails+1, e
	}
	if !p.dead() {
		return false
	}
	p.until = now.Add(firstBackOff)
	return true
}
