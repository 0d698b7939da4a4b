package publish

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// While a drain is to begin or end, answers count down to that time: Tick is to
// be called every tickEvery, and may be late by tickSlack.
const (
	tickEvery = time.Second
	tickSlack = 100 * time.Millisecond
)

// SetDrains puts drains into force, as they stand at a time. Zones whose
// answers they don't change are left as they are. While some of them is still to
// begin or end, Tick is to be called each second.
func (p *Publisher) SetDrains(list health.Drains, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drains, p.drainedAt = list, at
	var c world.Change
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		bits, until := p.drained(s.Steering.Program)
		if !slices.Equal(bits, s.Steering.Drained) || !slices.Equal(until, s.Steering.Until) {
			c.Put = append(c.Put, s.WithDrains(bits, until))
		}
		return true
	})
	clock := p.clock(at)
	p.live.Swap(func(w *world.World) *world.World {
		clock = p.rampClock(clock, at)
		if len(c.Put) == 0 && w.Clock == clock {
			return w
		}
		n := *w
		if n.Clock = clock; len(c.Put) > 0 {
			n.Zones = w.Zones.With(c)
			p.follow(&n, nil)
		}
		return &n
	})
}

// Tick lets answers that change at a set time count down to it. It does not
// wait for what is being published: the clock must not stand still for that.
func (p *Publisher) Tick(at time.Time) {
	p.live.Swap(func(w *world.World) *world.World {
		if w.Clock == 0 {
			return w // the last change has just been made
		}
		n := *w
		n.Clock = clockAt(at)
		return &n
	})
}

func clockAt(at time.Time) int64 { return at.Add(tickEvery + tickSlack).UnixMilli() }

// clock is World.Clock for a World that is made at a time. p.mu is held.
func (p *Publisher) clock(at time.Time) int64 {
	if p.drains.Next(p.drainedAt).IsZero() {
		return 0
	}
	return clockAt(at)
}

// drained is what the drains in force say of a program. p.mu is held.
func (p *Publisher) drained(program *steer.Program) (bits []uint64, until []int64) {
	if len(p.drains) == 0 {
		return nil, nil
	}
	return units(program, p.drains, p.drainedAt),
		program.Until(func(zone, name string) time.Time { return p.drains.Turn(zone, name, p.drainedAt) })
}

func units(program *steer.Program, list health.Drains, at time.Time) []uint64 {
	return program.DrainedUnits(func(zone, name string) bool { return list.Covers(zone, name, at) })
}

// Effect is what drains would make of one type of a steered name.
type Effect struct {
	Zone, Name string // with their final dots
	Policy     string
	// Before and After are what there is to answer, by the verdicts of this
	// moment.
	Before, After Chosen
	// Lost: there is something live to answer, and there would be nothing.
	Lost bool
}

// Chosen is what one type of a steered name may be answered from.
type Chosen struct {
	steer.Census
	Sites []Site // by name
}

// Site is what a steered name has at one site.
type Site struct {
	Name string
	steer.Count
}

// Named is a steered name.
type Named struct {
	Zone, Name string // with their final dots
	Policy     string
	Types      []Chosen
}

// WouldDrain says what a list of drains would change at a time, instead of the
// one that is in force and without putting it there: what each steered name
// would be answered from that is touched, in the order of zones and names.
func (p *Publisher) WouldDrain(list health.Drains, at time.Time) (effects []Effect) {
	p.mu.Lock()
	now := p.drains
	p.mu.Unlock()
	w := p.live.Load()
	c := steer.NewChooser()
	w.Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		before, after := units(s.Steering.Program, now, at), units(s.Steering.Program, list, at)
		if slices.Equal(before, after) {
			return true
		}
		was, is := s.WithDrains(before, nil), s.WithDrains(after, nil)
		for _, r := range s.Steering.Rules() {
			old, fresh := census(was, r, w.Verdicts, c), census(is, r, w.Verdicts, c)
			for i := range old.Types {
				b, a := old.Types[i], fresh.Types[i]
				if b.Count == a.Count && b.Stage == a.Stage {
					continue
				}
				// An alias has the ordinary CNAME to fall back to.
				lost := b.Live > 0 && a.Live == 0 && r.Kind() != steer.Aliases
				effects = append(effects, Effect{Zone: old.Zone, Name: old.Name, Policy: old.Policy, Before: b, After: a, Lost: lost})
			}
		}
		return true
	})
	slices.SortStableFunc(effects, func(a, b Effect) int { return inOrder(a.Zone, a.Name, b.Zone, b.Name) })
	return effects
}

func inOrder(zone, name, otherZone, otherName string) int {
	return cmp.Or(strings.Compare(zone, otherZone), strings.Compare(name, otherName))
}

// EachNamed calls f for every steered name, in no order, with what it is
// answered from at the moment, until f returns false.
func (p *Publisher) EachNamed(f func(Named) bool) {
	w := p.live.Load()
	c := steer.NewChooser()
	w.Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		for _, r := range s.Steering.Rules() {
			if !f(census(s, r, w.Verdicts, c)) {
				return false
			}
		}
		return true
	})
}

func census(s *world.Served, r *steer.Rule, v *health.Verdicts, c *steer.Chooser) Named {
	n := Named{
		Zone: wire.NameString(s.Apex()), Name: wire.NameString(append(slices.Clone(r.Owner), s.Apex()...)),
		Policy: r.PolicyName(),
	}
	for _, one := range s.Steering.Census(r, v, c) {
		chosen := Chosen{Census: one}
		for _, at := range one.Sites {
			chosen.Sites = append(chosen.Sites, Site{s.Steering.SiteName(r, at.Site), at.Count})
		}
		slices.SortFunc(chosen.Sites, func(a, b Site) int { return strings.Compare(a.Name, b.Name) })
		n.Types = append(n.Types, chosen)
	}
	return n
}

// Place is a site or a node that policies use.
type Place struct {
	Zone string // that declares it, with its final dot
	Name string // its label
	Node bool
	// Declared: the zone itself says drain=yes.
	Declared bool
	steer.Count
}

// Places are the sites and nodes that policies of any zone use, by their names,
// with the records that belong to each, of all those zones together.
func (p *Publisher) Places() []Place {
	type key struct {
		node       bool
		zone, name string
	}
	w := p.live.Load()
	at := map[key]int{}
	var list []Place
	add := func(k key, drained bool, c steer.Count) {
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, Place{Zone: k.zone, Name: k.name, Node: k.node})
		}
		x := &list[i]
		x.Declared = x.Declared || drained
		x.Live, x.Drained, x.All = x.Live+c.Live, x.Drained+c.Drained, x.All+c.All
	}
	w.Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		counts := s.Steering.UnitCount(w.Verdicts)
		for i := range s.Steering.Nodes {
			n := &s.Steering.Nodes[i]
			add(key{true, n.Zone, n.Name}, n.Drain, counts[s.Steering.NodeUnit(i)])
		}
		for i := range s.Steering.Sites {
			n := &s.Steering.Sites[i]
			add(key{false, n.Zone, n.Name}, n.Drain, counts[s.Steering.SiteUnit(i)])
		}
		return true
	})
	slices.SortFunc(list, func(a, b Place) int { return inOrder(a.Name, a.Zone, b.Name, b.Zone) })
	return list
}
