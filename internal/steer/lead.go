package steer

import (
	"maps"
	"slices"
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer/record"
)

// Lead is what the answers of a program remember of the past: which steps of its
// failovers serve, and what was live last where empty=hold wants that. It never
// changes; the nil Lead remembers nothing.
type Lead struct {
	// These are by the rule's number, as in a Bound.
	active []uint8
	forced []uint64
	kept   []Kept
	// rules are by what tells them apart in all versions of a zone: the next one
	// may have other steps, in another order.
	rules map[string]leader
}

// leader is what is remembered of a rule.
type leader struct {
	Side
	// better is since when an earlier step has been up, too, for rules with
	// failback=DURATION.
	better time.Time
	kept   keeping
}

// Who made a step the one that serves, beside the verdicts ("").
const (
	ByCommand = "command"
	// ByForce is a command about a step that was not up: it serves until it has
	// been up, and from then on as long as it is.
	ByForce = "force"
	// ByPrimary is the primary of a zone that is a copy here: see Bound.Copy.
	ByPrimary = "primary"
)

// Side is the step of a failover that serves. Sides are compared with ==.
type Side struct {
	Step string // its name, as in order=; "": none yet
	// Since is when it began to serve. By is who made it: ByCommand, ByForce,
	// ByPrimary or "", the verdicts; Reason is what a command said.
	Since      time.Time
	By, Reason string

	// First: it is the first of order=. Held: nothing is up that could serve, or
	// nothing that is known to be right (role=writable), and it goes on.
	First, Held bool
	// Back is when an earlier step takes over if all stays as it is; zero: none
	// will.
	Back time.Time
	// Plain: a server that remembers nothing would do the same.
	Plain bool
	// Role: the check says role=writable. Writers are the names of the steps that
	// say that they take writes, with commas. Alarm is since when those have not
	// been exactly one; zero: they are, or nothing is known yet.
	Role    bool
	Writers string
	Alarm   time.Time
}

// Active is what Bound.Active is to be.
func (l *Lead) Active() []uint8 {
	if l == nil {
		return nil
	}
	return l.active
}

// Follow makes b choose by what l remembers.
func (b *Bound) Follow(l *Lead) {
	if b.Active = l.Active(); l == nil {
		b.Forced, b.Kept = nil, nil
		return
	}
	b.Forced, b.Kept = l.forced, l.kept
}

// Follows reports whether b chooses by what l remembers.
func (b *Bound) Follows(l *Lead) bool {
	if l == nil {
		return b.Active == nil && b.Forced == nil && b.Kept == nil
	}
	return slices.Equal(b.Active, l.active) && slices.Equal(b.Forced, l.forced) && slices.EqualFunc(b.Kept, l.kept, Kept.equal)
}

// FailsOver reports whether some rule is a failover.
func (p *Program) FailsOver() bool { return slices.ContainsFunc(p.rules, (*Rule).failsOver) }

// Remembers reports whether some rule's answers depend on the past.
func (p *Program) Remembers() bool { return slices.ContainsFunc(p.rules, (*Rule).remembers) }

func (r *Rule) remembers() bool { return r.failsOver() || r.keeps() }

// failsOver reports whether the rule is a failover between nodes. What is behind
// an alias is not ours to judge: Chooser.Alias takes the first that is not
// drained.
func (r *Rule) failsOver() bool { return len(r.steps) > 0 && r.cnames == nil }

// FailsOver reports whether a step of the rule serves, as a Side tells.
func (r *Rule) FailsOver() bool { return r.failsOver() }

// Lead returns what to remember by the verdicts and drains of a time, when was
// was remembered before; and when that is to be asked again although nothing has
// turned, zero: not before something does. It is was itself if nothing became
// different.
//
// A step serves until it is down; failback= says when one before it takes over.
// While none is up, the last one goes on (empty=hold). With role=writable the
// one step that is a writer serves, and while there is none, or several, the
// last one does.
func (b *Bound) Lead(v *health.Verdicts, was *Lead, at time.Time) (now *Lead, again time.Time) {
	m := &Moment{Bound: b, Verdicts: v}
	next := &Lead{active: make([]uint8, len(b.rules)), rules: map[string]leader{}}
	for _, r := range b.rules {
		if !r.remembers() {
			continue
		}
		before := was.rule(r)
		x := leader{kept: r.keep(m, &before.kept)}
		if r.failsOver() {
			x = r.succeed(m, before, at)
		}
		if x == (leader{}) {
			continue
		}
		next.rules[r.key()] = x
		next.put(b, r, &x)
		if !x.Back.IsZero() && (again.IsZero() || x.Back.Before(again)) {
			again = x.Back
		}
	}
	if was != nil && maps.Equal(was.rules, next.rules) && slices.Equal(was.active, next.active) &&
		slices.Equal(was.forced, next.forced) && slices.EqualFunc(was.kept, next.kept, Kept.equal) {
		return was, again
	}
	return next, again
}

// put notes what choosing asks of a rule.
func (l *Lead) put(b *Bound, r *Rule, x *leader) {
	// The first one is tried first anyway, but a writer's place is nobody else's.
	step := r.stepNamed(x.Step)
	held := x.By == ByForce || x.By == ByPrimary
	if (step > 0 || step == 0 && (r.certain != nil || held)) && step < 255 {
		l.active[r.Number] = uint8(step) + 1
		if held {
			if l.forced == nil {
				l.forced = make([]uint64, (len(b.rules)+63)/64)
			}
			l.forced[r.Number/64] |= 1 << (r.Number % 64)
		}
	}
	if x.kept != (keeping{}) {
		if l.kept == nil {
			l.kept = make([]Kept, len(b.rules))
		}
		l.kept[r.Number] = r.bits(&x.kept)
	}
}

// succeed is the side of a failover that follows another one.
func (r *Rule) succeed(m *Moment, before leader, at time.Time) (x leader) {
	old := r.stepNamed(before.Step)
	if old < 0 {
		before.Side = Side{Alarm: before.Alarm}
	}
	step := old
	x = leader{Side: before.Side}
	x.Role = r.certain != nil
	told, followed := r.told(m)
	forced := x.By == ByForce && r.certain == nil && r.firstUp(m, old) != old
	if x.By == ByForce && !forced {
		x.By = ByCommand
	}
	switch {
	case followed:
		step = told
		x.Held = !r.stepUp(m, &r.steps[told], false)
	case r.certain != nil:
		step = r.writer(m, old, &x.Side, at)
	case forced:
		x.Held = !r.stepUp(m, &r.steps[old], false)
	default:
		step, x.better = r.leads(m, old, before.better, at)
		x.Held = r.firstUp(m, -1) < 0
	}
	if r.certain == nil {
		x.Writers, x.Alarm = "", time.Time{}
	}
	if step != old {
		x.Side = Side{Since: at, Held: x.Held, Role: x.Role, Writers: x.Writers, Alarm: x.Alarm}
	}
	if followed {
		x.By, x.Reason = ByPrimary, ""
	} else if x.By == ByPrimary {
		x.By = ""
	}
	if x.Back = (time.Time{}); !x.better.IsZero() {
		x.Back = x.better.Add(r.Spec.Failback.After)
	}
	if step >= 0 {
		x.Step = r.steps[step].name
	}
	x.First = step <= 0
	x.Plain = x.First && x.By == "" && r.certain == nil && r.Spec.Failback.Mode != record.FailbackManual
	return x
}

// told is the step that the primary of a copy says is the active one: that of a
// failover which nobody but an operator turns back. Two servers that each went by
// what they see could answer two writers; so a copy holds the step even when it is
// down, and when the primary is not heard; with lead=self, for as long as it is.
func (r *Rule) told(m *Moment) (step int, ok bool) {
	if !m.Copy || !r.Manual() || r.Spec.LeadSelf && m.Alone {
		return 0, false
	}
	for i := range m.Commands {
		if c := &m.Commands[i]; c.Active != "" && string(c.Name) == string(r.Owner) {
			step = r.stepNamed(c.Active)
			return step, step >= 0
		}
	}
	return 0, false
}

// LeadsSelf reports whether some rule's answers depend on whether the primary of a
// copy is heard, or would if what it names were there.
func (p *Program) LeadsSelf() bool {
	return slices.ContainsFunc(p.rules, func(r *Rule) bool { return r.Spec.LeadSelf })
}

// Manual reports whether the rule is a failover that goes back by command only,
// and whose nodes do not say themselves which one writes.
func (r *Rule) Manual() bool {
	return r.failsOver() && r.certain == nil && r.Spec.Failback.Mode == record.FailbackManual
}

// leads is the step of a rule that serves; and since when an earlier one has been
// up, as far as that matters.
func (r *Rule) leads(m *Moment, old int, since, at time.Time) (step int, better time.Time) {
	first := r.firstUp(m, -1)
	switch {
	case first < 0 && old < 0:
		return r.firstUndrained(m), time.Time{} // what is answered, and so held
	case first < 0:
		return old, time.Time{}
	case old < 0:
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

// firstUndrained is the first step that is answered while nothing is up.
func (r *Rule) firstUndrained(m *Moment) int {
	for i := range r.steps {
		undrained := false
		r.eachOf(&r.steps[i], func(x *member) { undrained = undrained || r.eligible(m, x, AsIfLive) == eligible })
		if undrained {
			return i
		}
	}
	return 0
}

// writer is the step that alone takes writes, else the one that did, -1: none
// ever did. DNS does not fence: which of several is right is not for us to say.
// It notes in s which say so, and since when they are not one.
func (r *Rule) writer(m *Moment, old int, s *Side, at time.Time) int {
	if m.Slots == nil {
		return old // nothing was ever asked
	}
	names, found, open, unknown := r.writers(m)
	s.Writers = strings.Join(names, ",")
	switch {
	case len(names) == 1:
		s.Alarm = time.Time{}
	case s.Alarm.IsZero() && (len(names) > 1 || old >= 0 || !unknown):
		// At the start nothing is known yet, and nothing wrong with that.
		s.Alarm = at
	}
	if found < 0 || open > 1 {
		found = old
	}
	s.Held = found >= 0 && !r.stepUp(m, &r.steps[found], false)
	return found
}

// writers names the steps that say that they take writes, whether drained or not.
// first is the first that may be answered, of open ones. unknown: of some step
// nothing is known.
func (r *Rule) writers(m *Moment) (names []string, first, open int, unknown bool) {
	first = -1
	for i := range r.steps {
		s := &r.steps[i]
		says := false
		r.eachOf(s, func(x *member) {
			w := r.live(m, x)
			says, unknown = says || w == eligible, unknown || w == isUncertain
		})
		if says {
			names = append(names, s.name)
		}
		if r.stepUp(m, s, false) {
			if open++; first < 0 {
				first = i
			}
		}
	}
	return names, first, open, unknown
}

// eachOf calls f for each member of a step.
func (r *Rule) eachOf(s *step, f func(*member)) {
	for i := range r.family {
		fam := &r.family[i]
		switch {
		case !fam.held:
		case s.site != NoSite:
			for _, j := range fam.bySite[s.site].members {
				f(&fam.members[j])
			}
		case s.record[i] >= 0:
			f(&fam.members[s.record[i]])
		}
	}
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

// key tells the rules of a zone apart, in all its versions: by what they steer,
// and the owner.
func (r *Rule) key() string { return keyOf(r.Types(), r.Owner) }

func keyOf(t TypeSet, owner []byte) string { return string(append([]byte{byte(t)}, owner...)) }

// rule is what is remembered of a rule. A rule that was for other families, too,
// or for others, is the same one: a name that gets its first AAAA record does not
// fail back by that.
func (l *Lead) rule(r *Rule) leader {
	if l == nil {
		return leader{}
	}
	if x, ok := l.rules[r.key()]; ok || r.hosts != nil {
		return x
	}
	for _, other := range [...]TypeSet{HasA | HasAAAA, HasA, HasAAAA} {
		if x, ok := l.rules[keyOf(other, r.Owner)]; ok {
			return x
		}
	}
	return leader{}
}

func (r *Rule) stepNamed(name string) int {
	for i := range r.steps {
		if r.steps[i].name == name {
			return i
		}
	}
	return -1
}
