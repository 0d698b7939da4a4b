package drill

import (
	"slices"
	"strings"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// scene is the world before and after a loss, side by side: verdicts of its own,
// in which the lost targets are down, with zones that look there for theirs. What
// is served is not touched.
type scene struct {
	site          Site
	zones         []*stage
	of            map[*steer.Program]*stage
	before, after *health.Verdicts
	targets       int // lost
	unaffected    int // steered names with no record at the site, by type
}

// stage is one zone of a scene.
type stage struct {
	served        *world.Served
	before, after *steer.Bound
	loss          *steer.Loss
}

// look makes the scene of a loss. all: with the zones that lose nothing, too.
func look(w *Whence, site Site, all bool) (*scene, error) {
	s := &scene{site: site, of: map[*steer.Program]*stage{}}
	var before, after []health.State
	var troubled, alarmed []bool
	var requests []health.Asked
	w.World.Zones.Each(func(z *world.Served) bool {
		if z.Steering == nil || z.Zone == nil {
			return true
		}
		loss := z.Steering.CutOff(site.covers, w.refused)
		if !loss.Any() && !all {
			s.unaffected += countTypes(z.Steering.Program)
			return true
		}
		b := *z.Steering
		b.Slots = nil
		for i, away := range loss.Targets {
			state, trouble := health.Up, false // of files alone: all count as live
			if z.Steering.Slots != nil {
				slot := z.Steering.Slots[i]
				state, trouble = w.World.Verdicts.State(slot), w.World.Verdicts.Troubled(slot)
				if v := w.World.Verdicts; v.Drained(slot) || v.Share(slot) < health.WholeShare {
					requests = append(requests, health.Asked{Slot: uint32(len(before)), Drain: v.Drained(slot), Share: v.Share(slot)})
				}
			}
			b.Slots = append(b.Slots, uint32(len(before)))
			before, troubled = append(before, state), append(troubled, trouble)
			if away {
				state, trouble = health.Down, true
				s.targets++
			}
			after, alarmed = append(after, state), append(alarmed, trouble)
		}
		a := b
		st := &stage{served: z, before: &b, after: &a, loss: loss}
		s.zones = append(s.zones, st)
		s.of[b.Program] = st
		return true
	})
	s.before = health.NewVerdicts(before, troubled).WithAsked(requests)
	s.after = health.NewVerdicts(after, alarmed).WithAsked(requests)
	for _, st := range s.zones {
		if st.before.Remembers() {
			lead, _ := st.after.Lead(s.after, st.before.LeadNow(s.before, w.Now), w.Now)
			st.after.Follow(lead)
		}
	}
	slices.SortFunc(s.zones, func(a, b *stage) int { return wire.CompareNames(a.served.Apex(), b.served.Apex()) })
	if !slices.ContainsFunc(s.zones, func(st *stage) bool { return st.loss.Any() }) {
		return nil, site.unknown(w.World)
	}
	return s, nil
}

func countTypes(p *steer.Program) (n int) {
	for _, r := range p.Rules() {
		n += len(typesOf(r))
	}
	return n
}

// steerable are the types that rules are about.
func steerable() []wire.Type {
	return []wire.Type{wire.TypeA, wire.TypeAAAA, wire.TypeMX, wire.TypeSRV, wire.TypeCNAME}
}

// typesOf are those that a rule steers.
func typesOf(r *steer.Rule) []wire.Type {
	return slices.DeleteFunc(steerable(), func(t wire.Type) bool { return !r.Steers(t) })
}

// subject is one type of a steered name.
type subject struct {
	*stage
	rule  *steer.Rule
	typ   wire.Type
	fates []steer.Fate
	owner []byte // wire form, in full
}

func (st *stage) subject(r *steer.Rule, t wire.Type) *subject {
	return &subject{
		stage: st, rule: r, typ: t, fates: st.before.Fates(r, t, st.loss),
		owner: append(slices.Clone(r.Owner), st.served.Apex()...),
	}
}

func (x *subject) name() string { return wire.NameString(x.owner) }

// at counts the records at the lost sites, and those of them of which no check
// will notice that they are gone.
func (x *subject) at() (away, unnoticed int) {
	if x.rule.Kind() == steer.Aliases {
		// What stands behind a name of others is not probed.
		for i := range x.rule.Sites() {
			if s := steer.SiteID(i); x.rule.CNAME(s) != nil && x.loss.Sites[x.before.SiteOf(x.rule, s)] {
				away, unnoticed = away+1, unnoticed+1
			}
		}
		return away, unnoticed
	}
	for i := range x.fates {
		if f := &x.fates[i]; f.Away {
			away++
			if !f.Noticed {
				unnoticed++
			}
		}
	}
	return away, unnoticed
}

// touched reports whether the loss is about the name at all.
func (x *subject) touched() bool {
	away, _ := x.at()
	return away > 0 || slices.ContainsFunc(x.fates, func(f steer.Fate) bool { return f.Noticed })
}

// records are the owner's of the type.
func (x *subject) records() (records []byte, ttl uint32) {
	n, ok := x.served.Zone.Find(x.owner)
	if !ok {
		return nil, 0
	}
	s, ok := n.Set(x.typ)
	if !ok {
		return nil, 0
	}
	return s.Records, s.TTL
}

// siteName is that of a fate; "": none.
func (x *subject) siteName(site int) string {
	if site < 0 {
		return ""
	}
	return x.before.Sites[site].Name
}

// census is what the name is answered from before and after.
func (x *subject) census(s *scene, c *steer.Chooser) (before, after steer.Census) {
	pick := func(b *steer.Bound, v *health.Verdicts) steer.Census {
		for _, one := range b.Census(x.rule, v, c) {
			if one.Type == x.typ {
				return one
			}
		}
		return steer.Census{}
	}
	return pick(x.before, s.before), pick(x.after, s.after)
}

// subjects are the types of all names that a filter lets through.
func (s *scene) subjects(wanted func(*subject) bool) (list []*subject) {
	for _, st := range s.zones {
		for _, r := range st.before.Rules() {
			for _, t := range typesOf(r) {
				x := st.subject(r, t)
				if x.touched() || wanted(x) {
					list = append(list, x)
				} else {
					s.unaffected++
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *subject) int { return strings.Compare(a.name(), b.name()) })
	return list
}
