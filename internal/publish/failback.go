package publish

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// FailbackOrder is a command to make another step of a failover the one that
// serves.
type FailbackOrder struct {
	// Zone, which may be "", and Name say of what: the steered name in full, or
	// relative to the zone.
	Zone, Name string
	// To is the step; "": the first that is up.
	To     string
	Reason string
	// Force: even if the step is not up.
	Force bool
	// DryRun: only say what would be.
	DryRun bool
}

// Failback is what a command makes of one failover.
type Failback struct {
	Zone, Name, Types string // as in ActiveSide
	// Policy is how the zone has it go back: auto, manual, or after how long.
	Policy string
	// Before and After are the sides; Types what is answered of each type.
	Before, After steer.Side
	Answers       []Turn
	// Refused is why it is not obeyed; nil: it is.
	Refused *steer.Refusal
	// Same: it serves already.
	Same bool
}

// Turn is what becomes of the answers of one type.
type Turn struct {
	Type          wire.Type
	Before, After Answered
}

// Answered is what answers are chosen from, and how far down the chain.
type Answered struct {
	Stage     steer.Stage
	Addresses []netip.Addr
}

// Failback obeys a command, for all failovers of the name or, if one of them is
// refused, for none. The error is for a command that makes no sense.
func (p *Publisher) Failback(o FailbackOrder) (list []Failback, err error) {
	p.live.Swap(func(w *world.World) *world.World {
		found, others := failovers(w, o.Zone, o.Name)
		if len(found) == 0 {
			err = others.unknown(o.Zone, o.Name)
			return w
		}
		n := *w
		leads := make(map[string]*steer.Lead, len(found))
		obeyed := true
		for _, s := range found {
			apex := string(s.served.Apex())
			if _, ok := leads[apex]; !ok {
				leads[apex] = p.leads.zones[apex]
			}
			var one Failback
			if one, leads[apex], err = failback(s, w.Verdicts, leads[apex], &o); err != nil {
				return w
			}
			obeyed = obeyed && one.Refused == nil
			list = append(list, one)
		}
		if !obeyed || o.DryRun {
			return w
		}
		for apex, lead := range leads {
			p.leads.zones[apex] = lead
		}
		p.follow(&n, nil)
		if p.o.Turned != nil {
			p.o.Turned()
		}
		return &n
	})
	return list, err
}

// steered is a rule of a zone.
type steered struct {
	served *world.Served
	rule   *steer.Rule
}

// failback is what a command makes of one failover, and the Lead that says so.
func failback(s steered, v *health.Verdicts, was *steer.Lead, o *FailbackOrder) (out Failback, lead *steer.Lead, err error) {
	r, now := s.rule, time.Now()
	out = Failback{Zone: wire.NameString(s.served.Apex()), Name: ownerOf(s.served, r), Types: r.Types().String(), Policy: r.FailbackName()}
	out.Before, _ = was.Side(r)
	next, refused, err := s.served.Steering.Failback(v, r, strings.ToLower(o.To), o.Force)
	if err != nil {
		return out, was, fmt.Errorf("%s: %w", out.Name, err)
	}
	out.Refused = refused
	if out.Same = out.Before.Step == next.Step && (next.By != steer.ByForce || out.Before.By == next.By); out.Same {
		out.After, lead = out.Before, was
	} else {
		next.Since, next.Reason = now, o.Reason
		if out.Before.Step == next.Step {
			next.Since = out.Before.Since
		}
		lead = s.served.Steering.Told(was, func(x *steer.Rule) (steer.Side, bool) { return next, x == r })
		lead, _ = s.served.Steering.Lead(v, lead, now)
		out.After, _ = lead.Side(r)
	}
	before, after := s.served.Steering, s.served.WithLead(lead).Steering
	c := steer.NewChooser()
	for f, t := range [...]wire.Type{steer.V4: wire.TypeA, steer.V6: wire.TypeAAAA} {
		if r.Types()&(steer.HasA<<f) == 0 {
			continue
		}
		var turn Turn
		turn.Type = t
		turn.Before.Stage, turn.Before.Addresses = before.Answers(r, steer.Family(f), v, c)
		turn.After.Stage, turn.After.Addresses = after.Answers(r, steer.Family(f), v, c)
		out.Answers = append(out.Answers, turn)
	}
	return out, lead, nil
}

// others are the names that somebody may have meant.
type others struct {
	failovers []string
	// policy is what steers the name instead, if something does.
	policy string
	served bool // the zone
}

// failovers finds those of a name, of one zone if that is given.
func failovers(w *world.World, zoneName, name string) (found []steered, o others) {
	zoneName, name = absolute(zoneName), strings.ToLower(name)
	full := absolute(name)
	w.Zones.Each(func(s *world.Served) bool {
		apex := wire.NameString(s.Apex())
		if zoneName != "" && apex != zoneName {
			return true
		}
		o.served = true
		if s.Steering == nil || s.Zone == nil {
			return true
		}
		for _, r := range s.Steering.Rules() {
			owner := ownerOf(s, r)
			is := owner == full || zoneName != "" && owner == name+"."+zoneName || name == "@" && zoneName != "" && owner == zoneName
			switch {
			case is && r.FailsOver():
				found = append(found, steered{s, r})
			case is && r.Kind() == steer.Aliases && r.PolicyName() == "failover":
				o.policy = "a failover between aliases, which are not probed: drain a site of it instead"
			case is && o.policy == "":
				o.policy = "policy=" + r.PolicyName() + ", which has no active side"
			case r.FailsOver():
				o.failovers = append(o.failovers, owner)
			}
		}
		return true
	})
	slices.SortFunc(found, func(a, b steered) int {
		return cmp.Or(cmp.Compare(ownerOf(a.served, a.rule), ownerOf(b.served, b.rule)), cmp.Compare(a.rule.Types(), b.rule.Types()))
	})
	slices.Sort(o.failovers)
	o.failovers = slices.Compact(o.failovers)
	return found, o
}

// maxNamed is how many names an error lists.
const maxNamed = 8

// unknown says why nothing was found, and what there is.
func (o *others) unknown(zoneName, name string) error {
	what := fmt.Sprintf("%s is not steered by a failover", name)
	if o.policy != "" {
		what = fmt.Sprintf("%s is steered by %s", name, o.policy)
	}
	if zoneName != "" && !o.served {
		return fmt.Errorf("the zone %s is not served here", absolute(zoneName))
	}
	if len(o.failovers) == 0 {
		return fmt.Errorf("%s; no name is", what)
	}
	list, more := o.failovers, ""
	// What looks like the name comes first.
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(unlike(a, name), unlike(b, name)) })
	if n := len(list); n > maxNamed {
		list, more = list[:maxNamed], fmt.Sprintf(" and %d more", n-maxNamed)
	}
	return fmt.Errorf("%s; these are: %s%s", what, strings.Join(list, ", "), more)
}

func unlike(owner, name string) int {
	first, _, _ := strings.Cut(strings.ToLower(name), ".")
	if strings.HasPrefix(owner, first) {
		return 0
	}
	return 1
}

// absolute is a name as it is shown: in lower case, with its final dot.
func absolute(name string) string {
	if name == "" || strings.HasSuffix(name, ".") {
		return strings.ToLower(name)
	}
	return strings.ToLower(name) + "."
}
