package steer

import (
	"maps"
	"slices"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer/record"
)

// rampSteps is in how many steps a share grows; no step is shorter than
// rampStep.
const (
	rampSteps = 100
	rampStep  = time.Second
)

// Ramp is what of a rule is being ramped up: which part of its clients each site
// and record takes, up to Whole. It never changes.
type Ramp struct {
	sites   []uint32
	members [families][]uint32
	end     int64 // of the first that ends, in Unix milliseconds
}

// Ramps is what the answers of a program remember of what was away. It never
// changes; the nil Ramps remembers nothing.
type Ramps struct {
	ramps []*Ramp // see Bound.Ramps
	rules map[string]map[string]comeback
}

// comeback is what is remembered of a site or record.
type comeback struct {
	away bool
	// since is when it came back; zero: long ago, or it never was away.
	since time.Time
}

// Bound is what Bound.Ramps is to be.
func (k *Ramps) Bound() []*Ramp {
	if k == nil {
		return nil
	}
	return k.ramps
}

// Ramped reports whether some rule has ramp=.
func (p *Program) Ramped() bool { return slices.ContainsFunc(p.rules, (*Rule).ramped) }

func (r *Rule) ramped() bool { return r.spread != nil && r.Spec.Ramp > 0 }

// Comebacks returns what to remember by the verdicts and drains of a time, when was
// was remembered before; nil: the zone is new here. It is was itself if nothing
// became different.
//
// A site of policy=nearest, and a record at a site that stayed, or of policy=all,
// that is up again after it was down or drained takes a share of its clients that
// grows over ramp=. What is seen for the first time in a zone that was served
// before is not ramped up: it never left. What is away when a zone is new is taken
// to have left.
func (b *Bound) Comebacks(v *health.Verdicts, was *Ramps, at time.Time) *Ramps {
	m := &Moment{Bound: b, Verdicts: v}
	next := &Ramps{rules: map[string]map[string]comeback{}}
	for _, r := range b.rules {
		if !r.ramped() {
			continue
		}
		look := returns{r: r, at: at, known: was != nil, next: map[string]comeback{}}
		if was != nil {
			look.was = was.rules[r.key()]
		}
		ramp := look.ramp(m)
		if ramp != nil {
			if next.ramps == nil {
				next.ramps = make([]*Ramp, len(b.rules))
			}
			if was != nil && len(was.ramps) == len(b.rules) && was.ramps[r.Number].equal(ramp) {
				ramp = was.ramps[r.Number]
			}
			next.ramps[r.Number] = ramp
		}
		next.rules[r.key()] = look.next
	}
	if was != nil && slices.Equal(was.ramps, next.ramps) && maps.EqualFunc(was.rules, next.rules, maps.Equal[map[string]comeback, map[string]comeback]) {
		return was
	}
	return next
}

func (p *Ramp) equal(o *Ramp) bool {
	return p != nil && p.end == o.end && slices.Equal(p.sites, o.sites) &&
		slices.Equal(p.members[V4], o.members[V4]) && slices.Equal(p.members[V6], o.members[V6])
}

// returns looks at one rule.
type returns struct {
	r         *Rule
	at        time.Time
	known     bool // the zone was served before
	was, next map[string]comeback
}

// ramp is what is being ramped up; nil: nothing.
func (k *returns) ramp(m *Moment) *Ramp {
	r := k.r
	p := &Ramp{sites: make([]uint32, len(r.sites))}
	some := false
	for s := range r.sites {
		p.sites[s] = Whole
		if r.policy != record.PolicyNearest || !r.holds(SiteID(s)) {
			continue
		}
		share, end := k.thing("site "+m.SiteName(r, SiteID(s)), r.siteUp(m, SiteID(s)), m.siteJoins(r, SiteID(s)), true)
		p.sites[s] = share
		some = p.note(share, end) || some
	}
	for f := range r.family {
		members := r.family[f].members
		p.members[f] = make([]uint32, len(members))
		for i := range members {
			x := &members[i]
			// The whole site's ramp is enough for what comes back with it.
			alone := x.site == NoSite || p.sites[x.site] == Whole
			share, end := k.thing(x.addr.String(), r.eligible(m, x, Normal) == eligible, m.joins(x), alone)
			p.members[f][i] = share
			some = p.note(share, end) || some
		}
	}
	if !some {
		return nil
	}
	return p
}

func (p *Ramp) note(share uint32, end time.Time) bool {
	if share == Whole {
		return false
	}
	if ms := end.UnixMilli(); p.end == 0 || ms < p.end {
		p.end = ms
	}
	return true
}

// thing looks at a site or record. joins: it is new, and its first verdict is
// waited for; ramps: it may begin to be ramped up.
func (k *returns) thing(name string, live, joins, ramps bool) (share uint32, end time.Time) {
	x, seen := k.was[name]
	switch {
	case !live:
		x = comeback{away: x.away || !joins && (seen || !k.known)}
	case x.away:
		x = comeback{}
		if ramps {
			x.since = k.at
		}
	}
	share = Whole
	if !x.since.IsZero() {
		end = x.since.Add(k.r.Spec.Ramp)
		if share = rampShare(k.at.Sub(x.since), k.r.Spec.Ramp); share == Whole {
			x.since = time.Time{}
		}
	}
	if k.next[name] = x; !live && !x.away {
		delete(k.next, name) // it was never there
	}
	return share, end
}

// joins reports whether the first verdict of a member is waited for.
func (m *Moment) joins(x *member) bool {
	for _, local := range x.targets {
		if m.Slots != nil && m.Verdicts.State(m.Slots[local]) == health.Joining {
			return true
		}
	}
	return false
}

// siteJoins reports whether that of some member of a site is.
func (m *Moment) siteJoins(r *Rule, s SiteID) bool {
	for f := range r.family {
		for _, i := range r.family[f].bySite[s].members {
			if m.joins(&r.family[f].members[i]) {
				return true
			}
		}
	}
	return false
}

// rampShare is the share after so much of a ramp: it begins with one step, and
// is whole at the end.
func rampShare(since, ramp time.Duration) uint32 {
	n := max(1, min(rampSteps, int64(ramp/rampStep)))
	if since >= ramp {
		return Whole
	}
	k := max(0, int64(since)) * n / int64(ramp)
	return uint32((k + 1) * Whole / (n + 1))
}

// siteUp reports whether a site serves: it is at its floors, and something of it
// is live.
func (r *Rule) siteUp(m *Moment, s SiteID) bool {
	if !r.up(m, s, Normal, nil) {
		return false
	}
	for f := range r.family {
		for _, i := range r.family[f].bySite[s].members {
			if r.eligible(m, &r.family[f].members[i], Normal) == eligible {
				return true
			}
		}
	}
	return false
}

// Ramping is a site or record that is being ramped up.
type Ramping struct {
	Rule *Rule
	// Site is the site's label, or Address the record's address.
	Site, Address string
	Share         float64 // of its clients, from 0 to 1
	End           time.Time
}

// Ramping is what is being ramped up, for people.
func (b *Bound) Ramping(k *Ramps) (list []Ramping) {
	if k == nil {
		return nil
	}
	for number, p := range k.ramps {
		if p == nil || number >= len(b.rules) {
			continue
		}
		r := b.rules[number]
		memory := k.rules[r.key()]
		add := func(share uint32, site, address, name string) {
			if share < Whole {
				list = append(list, Ramping{r, site, address, float64(share) / Whole, memory[name].since.Add(r.Spec.Ramp)})
			}
		}
		for s, share := range p.sites {
			name := b.SiteName(r, SiteID(s))
			add(share, name, "", "site "+name)
		}
		for f := range p.members {
			for i, share := range p.members[f] {
				name := r.family[f].members[i].addr.String()
				add(share, "", name, name)
			}
		}
	}
	return list
}
