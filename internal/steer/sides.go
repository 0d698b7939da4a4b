package steer

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"geodns/internal/health"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// What those ask who command failovers, keep their sides, or show them. Serving
// uses none of it.

// TypeSet is which types a rule steers.
type TypeSet uint8

// The types.
const (
	HasA TypeSet = 1 << iota
	HasAAAA
	HasMX
	HasSRV
	HasCNAME
)

var typeNames = [...]string{"A", "AAAA", "MX", "SRV", "CNAME"}

// String lists them as type= does: A,AAAA.
func (t TypeSet) String() string {
	var names []string
	for i, name := range typeNames {
		if t>>i&1 != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Types are those that the rule steers.
func (r *Rule) Types() (t TypeSet) {
	if r.family[V4].held {
		t |= HasA
	}
	if r.family[V6].held {
		t |= HasAAAA
	}
	switch {
	case r.cnames != nil:
		t |= HasCNAME
	case r.hosts != nil && r.thins == wire.TypeSRV:
		t |= HasSRV
	case r.hosts != nil:
		t |= HasMX
	}
	return t
}

// Side is that of a failover; false: nothing is known of it.
func (l *Lead) Side(r *Rule) (Side, bool) {
	x := l.rule(r)
	return x.Side, x.Side != (Side{})
}

// EachSide calls f for each failover, in no order: owner is as Rule.Owner.
func (l *Lead) EachSide(f func(owner []byte, types TypeSet, s Side)) {
	if l == nil {
		return
	}
	for key, x := range l.rules {
		if x.Side != (Side{}) {
			f([]byte(key[1:]), TypeSet(key[0]), x.Side)
		}
	}
}

// Told is what was remembered, but with other sides, as somebody says who knows:
// of each failover, its side, or false: as it was. Steps that there are not are
// left aside. What it means is for Bound.Lead to say.
func (p *Program) Told(was *Lead, side func(*Rule) (Side, bool)) *Lead {
	next := &Lead{rules: map[string]leader{}}
	if was != nil {
		next.rules = maps.Clone(was.rules)
	}
	for _, r := range p.rules {
		if !r.failsOver() {
			continue
		}
		if s, ok := side(r); ok && r.stepNamed(s.Step) >= 0 {
			old := was.rule(r)
			s.Writers, s.Alarm, s.Role = old.Writers, old.Alarm, old.Role
			next.rules[r.key()] = leader{Side: s}
		}
	}
	return next
}

// Refusal is why a command is not obeyed.
type Refusal struct {
	Text string
	// Forcible: it can be forced.
	Forcible bool
}

// Failback says what a command makes of a failover: to is the step that it names,
// "": the first that is up. The side is what Told is to be told; an error is for
// a step that there is not.
func (b *Bound) Failback(v *health.Verdicts, r *Rule, to string, force bool) (s Side, no *Refusal, err error) {
	m := &Moment{Bound: b, Verdicts: v}
	step := 0
	if to != "" {
		if step = r.stepNamed(to); step < 0 {
			return s, nil, fmt.Errorf("%s is no step of order=%s", to, strings.Join(r.Order(), ","))
		}
	} else if first := r.firstUp(m, -1); first >= 0 {
		step = first
	}
	s = Side{Step: r.steps[step].name, By: ByCommand}
	if r.certain != nil {
		no = r.refuseWriter(m, step)
	} else {
		no = r.refuseStep(m, step)
	}
	if no != nil && no.Forcible && force {
		if no = nil; r.certain == nil {
			s.By = ByForce
		}
	}
	return s, no, nil
}

// refuseStep says why a step is not to serve.
func (r *Rule) refuseStep(m *Moment, step int) *Refusal {
	name := r.steps[step].name
	if r.firstUp(m, step) != step {
		return &Refusal{name + " " + r.why(m, &r.steps[step]), true}
	}
	if first := r.firstUp(m, -1); first != step && r.Spec.Failback.Mode == record.FailbackAuto {
		return &Refusal{fmt.Sprintf("failback=auto, and %s, which comes before %s, is up: it would take over again at once; drain it, or say failback=manual in the zone", r.steps[first].name, name), false}
	}
	return nil
}

// why says why a step is not up.
func (r *Rule) why(m *Moment, s *step) string {
	drained, down, none := false, false, true
	r.eachOf(s, func(x *member) {
		w := r.eligible(m, x, Normal)
		drained, down, none = drained || w == isDrained, down || w == isDown, false
	})
	switch {
	case none:
		return "has no record"
	case r.stepUp(m, s, false):
		return "is below its floor, or up in one family only"
	case down:
		return "is down"
	case drained:
		return "is drained"
	}
	return "is not known to be up"
}

// refuseWriter says why a step is not to be answered as the writer. DNS does not
// fence: where a node is known to be the one writer, no word makes another one.
func (r *Rule) refuseWriter(m *Moment, step int) *Refusal {
	name := r.steps[step].name
	names, found, open, _ := r.writers(m)
	switch {
	case open == 1 && found == step:
		return nil
	case open == 1:
		return &Refusal{fmt.Sprintf("%s is the one that says that it takes writes, and not %s; promote %s in the database: the answers follow by themselves", r.steps[found].name, name, name), false}
	case len(names) > 1:
		return &Refusal{fmt.Sprintf("%s say that they take writes, and DNS can't stop any of them; make all but one read-only", strings.Join(names, " and ")), true}
	case len(names) == 1:
		return &Refusal{names[0] + " takes writes, and is drained; undrain it, or promote another one", true}
	}
	return &Refusal{"no node says that it takes writes; promote one in the database", true}
}

// Answers are the addresses from which those of a family are chosen, and how far
// down the chain they are found, by what b remembers. The Chooser is any that
// nobody uses.
func (b *Bound) Answers(r *Rule, f Family, v *health.Verdicts, c *Chooser) (Stage, []netip.Addr) {
	m := &Moment{Bound: b, Verdicts: v, Nobody: true}
	var t Trace
	c.Reset()
	stage := c.Address(m, r, f, &t).Stage
	if stage >= LastResort {
		return stage, nil
	}
	var out []netip.Addr
	for _, i := range t.Candidates {
		out = append(out, r.family[f].members[i].addr)
	}
	return stage, slices.Clip(out)
}

// FailbackName is when an earlier step takes over again, as zones write it.
func (r *Rule) FailbackName() string {
	switch r.Spec.Failback.Mode {
	case record.FailbackManual:
		return "manual"
	case record.FailbackAfter:
		return r.Spec.Failback.After.String()
	}
	return "auto"
}

// FirstStep is the name of a failover's first step.
func (r *Rule) FirstStep() string { return r.steps[0].name }
