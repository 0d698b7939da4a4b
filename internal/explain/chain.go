package explain

import (
	"fmt"
	"slices"

	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// chain makes the steps of a choice.
type chain struct {
	choice  *resolver.Choice
	m       *steer.Moment
	r       *steer.Rule
	f       steer.Family
	members []steer.Member // by their record's index
	drawn   bool
}

func (ch *chain) stage() steer.Stage { return ch.choice.Result.Stage }

func (ch *chain) typ() string { return zonefile.TypeString(ch.choice.Type) }

func newStep(name, note string) Step {
	return Step{Step: name, Note: note, In: []Item{}, Out: []Item{}}
}

func itemOf(m *steer.Member) Item { return Item{Name: m.Name, Node: m.Node, Site: m.Site} }

// addresses is the chain of A or AAAA records.
func (ch *chain) addresses() []Step {
	ch.members = ch.m.Members(ch.r, ch.f)
	steps, live := ch.eligible("the " + ch.typ() + " records of the name")
	steps = append(steps, ch.sites(live)...)
	steps = append(steps, ch.spread()...)
	return append(steps, ch.picked()...)
}

// spread is what the records do that take a part of their clients only: none, if
// the policy has no such.
func (ch *chain) spread() []Step {
	if !ch.r.Spreads() || ch.stage() > steer.BelowFloor {
		return nil
	}
	s := newStep("spread", "nothing is full or being ramped up: all that is up takes all of its clients")
	if ch.m.Spreads(ch.r) {
		s.Note = "by a hash of the client's network, " + prefixOf(addrOf(&ch.m.Client), steer.StickyScope(&ch.m.Client))
	}
	for i := range ch.choice.Steps {
		x := &ch.choice.Steps[i]
		switch {
		case x.Stage != ch.stage():
		case x.What == steer.Overflow:
			s.Note += "; " + x.Why
		case x.Passed && x.Member >= 0 && x.Family == ch.f && !slices.Contains(ch.choice.Candidates, uint16(x.Member)):
			it := itemOf(&ch.members[x.Member])
			it.Why, it.Takes = x.Why, takes(x)
			s.Out = append(s.Out, it)
		case x.Passed && x.Site != steer.NoSite && x.Site != ch.choice.Result.Site:
			it := Item{Name: ch.m.SiteName(ch.r, x.Site), Why: x.Why, Takes: takes(x)}
			s.Out = append(s.Out, it)
		}
	}
	for _, i := range ch.choice.Candidates {
		s.In = append(s.In, itemOf(&ch.members[i]))
	}
	return []Step{s}
}

func takes(x *steer.TraceStep) *float64 {
	share := float64(x.Share)
	return &share
}

// targets is the chain of MX or SRV records.
func (ch *chain) targets() []Step {
	ch.members = ch.m.Hosts(ch.r)
	steps, _ := ch.eligible("the targets; one lives if one of its addresses does")
	return append(steps, ch.picked()...)
}

// eligible is what the drains and the verdicts leave; live is how many records
// live and aren't drained.
func (ch *chain) eligible(what string) (steps []Step, live int) {
	members, undrained, alive := newStep("members", what), newStep("not-drained", ""), newStep("live", ch.healthNote())
	for i := range ch.members {
		m := &ch.members[i]
		it := itemOf(m)
		members.In = append(members.In, it)
		if it.Why = drainedWhy(m); it.Why != "" && ch.stage() != steer.AsIfUndrained {
			undrained.Out = append(undrained.Out, it)
			continue
		}
		undrained.In = append(undrained.In, it)
		if m.Drained == "" && m.Why == "" {
			live++
		}
		it.Why = liveWhy(m)
		if m.Why != "" && ch.stage() != steer.AsIfLive && ch.stage() != steer.AsIfUndrained && (ch.stage() != steer.Held || !m.Kept) {
			alive.Out = append(alive.Out, it)
			continue
		}
		alive.In = append(alive.In, it)
	}
	switch ch.stage() {
	case steer.Held:
		alive.Note = "nothing is live, and empty=hold keeps what was when the last of them went"
	case steer.AsIfUndrained:
		undrained.Note = "nothing else is left, so that drained records count as well"
		fallthrough
	case steer.AsIfLive:
		alive.Note = "none that could be answered is live, and empty=" + emptyName(ch.r.Spec) + " takes them as if they were"
	}
	return []Step{members, undrained, alive}, live
}

func (ch *chain) healthNote() string {
	probed := slices.ContainsFunc(ch.members, func(m steer.Member) bool {
		return len(m.Probes) > 0 || slices.ContainsFunc(m.Addresses, func(a steer.Member) bool { return len(a.Probes) > 0 })
	})
	switch {
	case !probed:
		return "nothing is checked: all count as live"
	case ch.m.Slots == nil:
		return "there are no verdicts: all count as live"
	}
	return ""
}

func drainedWhy(m *steer.Member) string {
	if m.Drained == "" {
		return ""
	}
	return "drained " + m.Drained
}

// liveWhy says what the checks make of a record, if that is worth saying.
func liveWhy(m *steer.Member) string {
	if m.Foreign {
		return "served elsewhere: counts as live"
	}
	if m.Why == "" {
		return ""
	}
	why := m.Why
	probes := m.Probes
	for _, a := range m.Addresses {
		probes = append(probes, a.Probes...)
	}
	for i, p := range probes {
		if i == maxProbes {
			return why + fmt.Sprintf(", and %d more", len(probes)-i)
		}
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		why += fmt.Sprintf("%scheck %s of %s is %s", sep, p.Check, p.Addr, p.State)
	}
	return why
}

// maxProbes is how many probes of a record are told.
const maxProbes = 4

// emptyName is the value of empty= that is in force.
func emptyName(s *record.Steer) string {
	switch s.Empty {
	case record.EmptyNone:
		return "none"
	case record.EmptyHold:
		return "hold"
	case record.EmptyAddress:
		text := ""
		for i, a := range s.EmptyAddrs {
			if i > 0 {
				text += "; empty="
			}
			text += a.String()
		}
		return text
	case record.EmptyHost:
		return wire.NameString([]byte(s.EmptyHost))
	}
	return "all"
}

// picked is the pick, how many are answered, and in which order.
func (ch *chain) picked() []Step {
	switch ch.stage() {
	case steer.LastResort:
		return []Step{newStep("answers", "nothing is live: the last resort, empty="+emptyName(ch.r.Spec))}
	case steer.Nothing:
		return []Step{newStep("answers", ch.nothingWhy())}
	case steer.NoWriter:
		return []Step{newStep("answers", noWriterWhy)}
	}
	candidates, taken := ch.choice.Candidates, ch.choice.Picked
	answers := newStep("answers", "all of them: there is no answers=")
	if n := ch.r.Spec.Answers; n > 0 {
		answers.Note = fmt.Sprintf("answers=%d", n)
		if ch.r.Kind() == steer.Targets {
			answers.Note += " within one priority"
		}
	}
	for _, i := range candidates {
		it := itemOf(&ch.members[i])
		if slices.Contains(taken, i) {
			answers.In = append(answers.In, it)
			continue
		}
		it.Why = fmt.Sprintf("beyond answers=%d", ch.r.Spec.Answers)
		answers.Out = append(answers.Out, it)
	}
	pick := ch.pick(candidates, taken)
	order := newStep("order", "")
	for _, i := range taken {
		order.In = append(order.In, itemOf(&ch.members[i]))
	}
	switch {
	case len(candidates) < 2:
		order.Note = "there is one"
	case ch.r.Kind() == steer.Targets:
		order.Note = "clients go by the priorities"
	case ch.drawn:
		order.Note = "as drawn"
	default:
		order.Note = "always for this client, while the same are live"
	}
	return []Step{pick, answers, order}
}

const noWriterWhy = "no node is known to take writes, none was before, and the first step of order= does not: SERVFAIL"

func (ch *chain) nothingWhy() string {
	if ch.r.Spec.Empty == record.EmptyNone {
		return "nothing is live, and with empty=none that is answered: no data"
	}
	return "none of the steps of order= has " + article(ch.typ()) + " record: no data"
}

// pick says between what was picked, and with which chances.
func (ch *chain) pick(candidates, taken []uint16) Step {
	s := newStep("pick", "")
	n := len(candidates)
	shares := make([]*float64, n)
	switch {
	case n < 2:
		s.Note = "there is one candidate"
	case ch.r.Kind() == steer.Targets:
		ch.drawn = len(taken) < n
		s.Note = "targets are only thinned, not chosen between"
		if ch.drawn {
			s.Note = "in rotation, within one priority"
		}
	case ch.r.Sticks():
		at := addrOf(&ch.m.Client)
		s.Note = "sticky: by a hash of the client's network, " + prefixOf(at, steer.StickyScope(&ch.m.Client))
	default:
		ch.drawn = true
		s.Note = ch.chances(candidates, shares)
	}
	for j, i := range candidates {
		it := itemOf(&ch.members[i])
		it.Share = shares[j]
		s.In = append(s.In, it)
	}
	return s
}

// chances fills in the chance of each candidate to be the first answer.
func (ch *chain) chances(candidates []uint16, shares []*float64) string {
	note := "in rotation: each is as likely as another to come first"
	weigh := func(uint16) float64 { return 1 }
	sum := float64(len(candidates))
	if ch.r.Spec.Pick == record.PickWeighted {
		total := 0.0
		for _, i := range candidates {
			total += float64(ch.members[i].Weight)
		}
		note = "weighted, but all weights are 0: each is as likely as another"
		if total > 0 {
			note = "by weight: the share says how often each comes first"
			weigh, sum = func(i uint16) float64 { return float64(ch.members[i].Weight) }, total
		}
	}
	for j, i := range candidates {
		share := 100 * weigh(i) / sum
		shares[j] = &share
	}
	return note
}
