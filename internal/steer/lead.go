package steer

import (
	"maps"
	"slices"
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer/record"
)

// Lead is which steps of a program's failovers serve: what answers must
// remember of the past. It never changes; the nil Lead remembers nothing.
type Lead struct {
	// active is by the rule's number, as in Bound.Active.
	active []uint8
	// rules are by what tells them apart in all versions of a zone: the next one
	// may have other steps, in another order.
	rules map[string]leader
}

// leader is the step of a rule that serves.
type leader struct {
	step string // its name
	// better is since when an earlier step has been up, too, for rules with
	// failback=DURATION.
	better time.Time
}

// Active is what Bound.Active is to be.
func (l *Lead) Active() []uint8 {
	if l == nil {
		return nil
	}
	return l.active
}

// FailsOver reports whether some rule is a failover.
func (p *Program) FailsOver() bool {
	for _, r := range p.rules {
		if r.failsOver() {
			return true
		}
	}
	return false
}

// failsOver reports whether the rule is a failover between nodes. What is behind
// an alias is not ours to judge: Chooser.Alias takes the first that is not
// drained.
func (r *Rule) failsOver() bool { return len(r.steps) > 0 && r.cnames == nil }

// Lead returns which steps serve by the verdicts and drains of a time, when
// those of was did before; and when that is to be asked again although nothing
// has turned, zero: not before something does. It is was itself if nothing
// became different.
//
// A step serves until it is down; failback= says when one before it takes over.
// While none is up, the last one goes on (empty=hold). With role=writable the
// one step that is a writer serves, and while there is none, or several, the
// last one does.
func (b *Bound) Lead(v *health.Verdicts, was *Lead, at time.Time) (now *Lead, again time.Time) {
	m := &Moment{Bound: b, Verdicts: v}
	next := &Lead{active: make([]uint8, len(b.rules)), rules: map[string]leader{}}
	for _, r := range b.rules {
		if !r.failsOver() {
			continue
		}
		key := r.key()
		before := was.rule(key)
		step, better := r.leads(m, r.stepNamed(before.step), before.better, at)
		if step < 0 {
			continue
		}
		next.rules[key] = leader{r.steps[step].name, better}
		// The first one is tried first anyway, but a writer's place is nobody
		// else's.
		if (step > 0 || r.certain != nil) && step < 255 {
			next.active[r.Number] = uint8(step) + 1
		}
		if due := better.Add(r.Spec.Failback.After); !better.IsZero() && (again.IsZero() || due.Before(again)) {
			again = due
		}
	}
	if was != nil && slices.Equal(was.active, next.active) && maps.Equal(was.rules, next.rules) {
		return was, again
	}
	return next, again
}

// leads is the step of a rule that serves, -1: none yet; and since when an
// earlier one has been up, as far as that matters.
func (r *Rule) leads(m *Moment, old int, since, at time.Time) (step int, better time.Time) {
	if r.certain != nil {
		return r.writer(m, old), time.Time{}
	}
	first := r.firstUp(m, -1)
	if old < 0 || first < 0 {
		// Nothing to stay with, or nothing to go to.
		if first < 0 {
			first = old
		}
		return first, time.Time{}
	}
	switch r.Spec.Failback.Mode {
	case record.FailbackManual:
		return r.firstUp(m, old), time.Time{}
	case record.FailbackAfter:
		stay := r.firstUp(m, old)
		switch {
		case first == stay:
			return stay, time.Time{}
		case since.IsZero():
			return stay, at
		case at.Sub(since) < r.Spec.Failback.After:
			return stay, since
		}
	}
	return first, time.Time{}
}

// firstUp is the first step that is up, beginning with one if it is not -1: with
// floors, or else without; -1: none is. It is in the order of Chooser.failover.
func (r *Rule) firstUp(m *Moment, begin int) int {
	for _, floors := range [...]bool{true, false} {
		if begin >= 0 && r.stepUp(m, &r.steps[begin], floors) {
			return begin
		}
		for i := range r.steps {
			if r.stepUp(m, &r.steps[i], floors) {
				return i
			}
		}
	}
	return -1
}

// writer is the step that alone takes writes, else the one that did. DNS does
// not fence: which of several is right is not for us to say.
func (r *Rule) writer(m *Moment, old int) int {
	found := -1
	for i := range r.steps {
		if !r.stepUp(m, &r.steps[i], false) {
			continue
		}
		if found >= 0 {
			return old
		}
		found = i
	}
	if found < 0 {
		return old
	}
	return found
}

// stepUp reports whether a step has something to answer in some family.
func (r *Rule) stepUp(m *Moment, s *step, floors bool) bool {
	if floors && s.site != NoSite && !r.up(m, s.site, Normal, nil) {
		return false
	}
	some := false
	for f := range r.family {
		fam := &r.family[f]
		switch {
		case !fam.held:
		case s.site != NoSite:
			for _, i := range fam.bySite[s.site].members {
				some = some || r.eligible(m, &fam.members[i], Normal) == eligible
			}
		case s.record[f] >= 0:
			up := r.eligible(m, &fam.members[s.record[f]], Normal) == eligible
			if floors && !up {
				return false
			}
			some = some || up
		}
	}
	return some
}

// key tells the rules of a zone apart, in all its versions: by the owner, and
// the families that it has.
func (r *Rule) key() string {
	var b strings.Builder
	b.Write(r.Owner)
	for f := range r.family {
		if r.family[f].held {
			b.WriteByte('4' + 2*byte(f))
		}
	}
	return b.String()
}

func (r *Rule) stepNamed(name string) int {
	for i := range r.steps {
		if r.steps[i].name == name {
			return i
		}
	}
	return -1
}

func (l *Lead) rule(key string) leader {
	if l == nil {
		return leader{}
	}
	return l.rules[key]
}
