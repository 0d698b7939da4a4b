package steer

import (
	"time"

	"geodns/internal/health"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// What those ask who show a server's state, and who plan to change it. Serving
// uses none of it but Bound.TTL.

// Count says how many of some records may be answered.
type Count struct {
	Live    int // live and not drained
	Drained int // by the zone or by command, whatever their verdict
	All     int
}

func (c *Count) add(w, drained whether) {
	c.All++
	if w == eligible {
		c.Live++
	}
	if drained == isDrained {
		c.Drained++
	}
}

// SiteCount is the Count of one site of a rule.
type SiteCount struct {
	Site SiteID
	Count
}

// Census is what the answers of one type are chosen from at the moment.
type Census struct {
	Type wire.Type
	// Stage is how far down the chain they are found, for who is not known:
	// with a policy that goes by the client's place, for all sites together.
	Stage Stage
	Count
	// Sites are those that hold some of the records; records of no site are in
	// the sum alone.
	Sites []SiteCount
}

// Census counts what a rule's answers are chosen from, type by type. Records
// that no step of a failover has are never answered, and not counted. The
// Chooser is any that nobody uses.
func (b *Bound) Census(r *Rule, v *health.Verdicts, c *Chooser) (list []Census) {
	m := &Moment{Bound: b, Verdicts: v, Nobody: true}
	switch r.Kind() {
	case Targets:
		return []Census{m.hostCensus(r)}
	case Aliases:
		return []Census{m.aliasCensus(r)}
	}
	for f, t := range [families]wire.Type{wire.TypeA, wire.TypeAAAA} {
		if r.family[f].held {
			one := m.familyCensus(r, Family(f))
			c.Reset()
			one.Type, one.Stage = t, c.Address(m, r, Family(f), nil).Stage
			list = append(list, one)
		}
	}
	return list
}

func (m *Moment) familyCensus(r *Rule, f Family) (out Census) {
	fam := &r.family[f]
	sites := make([]Count, len(r.sites))
	for i := range fam.members {
		x := &fam.members[i]
		if !r.reached(f, i) {
			continue
		}
		w, drained := r.eligible(m, x, Normal), r.eligible(m, x, AsIfLive)
		out.add(w, drained)
		if x.site != NoSite {
			sites[x.site].add(w, drained)
		}
	}
	for s := range sites {
		if sites[s].All > 0 {
			out.Sites = append(out.Sites, SiteCount{SiteID(s), sites[s]})
		}
	}
	return out
}

// reached reports whether a record can be answered at all.
func (r *Rule) reached(f Family, i int) bool {
	if r.policy != record.PolicyFailover {
		return true
	}
	for j := range r.steps {
		s := &r.steps[j]
		if s.site != NoSite && s.site == r.family[f].members[i].site || s.site == NoSite && s.record[f] == i {
			return true
		}
	}
	return false
}

func (m *Moment) hostCensus(r *Rule) Census {
	out := Census{Type: r.thins}
	for i := range r.hosts {
		out.add(r.reachable(m, &r.hosts[i], Normal), r.reachable(m, &r.hosts[i], AsIfLive))
	}
	switch {
	case out.Live > 0:
	case r.Spec.Empty == record.EmptyNone:
		out.Stage = Nothing
	case out.Drained < out.All:
		out.Stage = AsIfLive
	default:
		out.Stage = AsIfUndrained
	}
	if out.Stage == AsIfLive && m.anyHeld(r) {
		out.Stage = Held
	}
	return out
}

// anyHeld reports whether a target may be answered because it was live last.
func (m *Moment) anyHeld(r *Rule) bool {
	for i := range r.hosts {
		if m.wasLive(r, ofTargets, i) && r.reachable(m, &r.hosts[i], Held) == eligible {
			return true
		}
	}
	return false
}

// aliasCensus counts sites: each has one alias.
func (m *Moment) aliasCensus(r *Rule) Census {
	out := Census{Type: wire.TypeCNAME}
	for s, alias := range r.cnames {
		if alias == nil {
			continue
		}
		w := eligible
		if at := r.sites[s]; m.Sites[at].Drain || bit(m.Drained, m.SiteUnit(at)) {
			w = isDrained
		}
		var one Count
		one.add(w, w)
		out.add(w, w)
		out.Sites = append(out.Sites, SiteCount{SiteID(s), one})
	}
	return out
}

// UnitCount counts, for each unit (see Bound.Drained), the records of all rules
// that belong to it.
func (b *Bound) UnitCount(v *health.Verdicts) []Count {
	m := &Moment{Bound: b, Verdicts: v}
	units := make([]Count, len(b.Nodes)+len(b.Sites))
	for _, r := range b.rules {
		r.each(func(x *member) {
			w, drained := r.eligible(m, x, Normal), r.eligible(m, x, AsIfLive)
			for _, unit := range [...]uint32{x.unit, x.siteUnit} {
				if unit != noUnit {
					units[unit].add(w, drained)
				}
			}
		})
	}
	return units
}

// each calls f for every address of a rule, its targets' included.
func (r *Rule) each(f func(*member)) {
	for i := range r.family {
		for j := range r.family[i].members {
			f(&r.family[i].members[j])
		}
	}
	for i := range r.hosts {
		for j := range r.hosts[i].members {
			f(&r.hosts[i].members[j])
		}
	}
}

// Until says for each rule when its answers will change: turn tells it of a site
// or node, by the zone that declares it and its label; zero: never. In Unix
// milliseconds, 0: never; nil: no rule's will.
func (p *Program) Until(turn func(zone, name string) time.Time) (list []int64) {
	units := make([]int64, len(p.Nodes)+len(p.Sites))
	some := false
	set := func(unit uint32, zone, name string) {
		if t := turn(zone, name); !t.IsZero() {
			units[unit], some = t.UnixMilli(), true
		}
	}
	for i := range p.Nodes {
		set(p.NodeUnit(i), p.Nodes[i].Zone, p.Nodes[i].Name)
	}
	for i := range p.Sites {
		set(p.SiteUnit(i), p.Sites[i].Zone, p.Sites[i].Name)
	}
	if !some {
		return nil
	}
	some = false
	list = make([]int64, len(p.rules))
	for i, r := range p.rules {
		list[i] = p.until(r, units)
		some = some || list[i] != 0
	}
	if !some {
		return nil
	}
	return list
}

// until is the first time of a rule's units.
func (p *Program) until(r *Rule, units []int64) (first int64) {
	sooner := func(unit uint32) {
		if t := units[unit]; t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	r.each(func(x *member) {
		if x.drained {
			return // by the zone, whatever is commanded
		}
		if x.unit != noUnit {
			sooner(x.unit)
		}
		if x.siteUnit != noUnit {
			sooner(x.siteUnit)
		}
	})
	for s, alias := range r.cnames {
		if at := r.sites[s]; alias != nil && !p.Sites[at].Drain {
			sooner(p.SiteUnit(at))
		}
	}
	return first
}

// TTL is how long an answer may be kept, in seconds: what the rule says of an
// RRset of that TTL, and not past the time when its answers change. clock is
// the latest time, in Unix milliseconds, at which the answer may be given.
func (b *Bound) TTL(r *Rule, zone uint32, unsteady bool, clock int64) uint32 {
	ttl := r.TTL(zone, unsteady)
	if b.Until != nil || b.Ramps != nil {
		ttl = b.capped(r, ttl, clock)
	}
	return ttl
}

func (b *Bound) capped(r *Rule, ttl uint32, clock int64) uint32 {
	until := int64(0)
	if b.Until != nil {
		until = b.Until[r.Number]
	}
	if b.Ramps != nil && b.Ramps[r.Number] != nil {
		if end := b.Ramps[r.Number].end; until == 0 || end < until {
			until = end
		}
	}
	if until == 0 {
		return ttl
	}
	left := max(0, (until-clock)/1000)
	return uint32(min(int64(ttl), left))
}
