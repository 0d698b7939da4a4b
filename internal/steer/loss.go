package steer

import (
	"net/netip"
	"time"

	"geodns/internal/health"
	"geodns/internal/wire"
)

// What those ask who rehearse the loss of a site. Serving uses none of it.

// Loss is what a program loses with some sites.
type Loss struct {
	// Sites has those that are lost, by their place in Program.Sites.
	Sites []bool
	// Targets has those that are probed and can no longer be reached, by local
	// slot.
	Targets []bool
}

// Any reports whether anything is lost.
func (l *Loss) Any() bool {
	for _, lost := range l.Sites {
		if lost {
			return true
		}
	}
	return false
}

// CutOff says what the program loses with the sites that lost names, by the
// zone that declares them and their label. refused says which targets aren't
// probed: nothing notices that those are gone.
func (p *Program) CutOff(lost func(zone, name string) bool, refused func(*Target) bool) *Loss {
	l := &Loss{Sites: make([]bool, len(p.Sites)), Targets: make([]bool, len(p.Targets))}
	for i := range p.Sites {
		l.Sites[i] = lost(p.Sites[i].Zone, p.Sites[i].Name)
	}
	if !l.Any() {
		return l
	}
	for _, r := range p.rules {
		r.each(func(x *member) {
			if x.siteUnit == noUnit || !l.Sites[x.siteUnit-uint32(len(p.Nodes))] {
				return
			}
			// What is probed for a node at the site is behind the same link.
			for _, local := range x.targets {
				l.Targets[local] = true
			}
		})
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		if !t.Own && p.within(t.Addr, l.Sites) {
			l.Targets[i] = true
		}
		l.Targets[i] = l.Targets[i] && !refused(t)
	}
	return l
}

// within reports whether the site whose prefix holds an address, by the longest
// match, is one of some.
func (p *Program) within(a netip.Addr, some []bool) bool {
	best, in := -1, false
	for i := range p.Sites {
		for _, n := range p.Sites[i].Nets {
			if n.Contains(a) && n.Bits() > best {
				best, in = n.Bits(), some[i]
			}
		}
	}
	return in
}

// Fate is what a loss does to one record of a rule.
type Fate struct {
	Site int // the record's, of Program.Sites; -1: none
	// Away: it can no longer be reached. Noticed: its checks will say so, within
	// a time.
	Away, Noticed bool
	Within        time.Duration
}

// ProbeGrace is what the promise of how soon a node is down adds for publishing:
// fall x every + timeout, and that.
const ProbeGrace = 100 * time.Millisecond

// Within is how long a check takes at most to find that a target is down.
func (c *Check) Within() time.Duration {
	return time.Duration(c.Fall)*c.Every + c.Timeout + ProbeGrace
}

// Fates are those of the rule's records of a type, by their index; nil: it
// steers none of that type, or aliases, which nobody probes.
func (p *Program) Fates(r *Rule, t wire.Type, l *Loss) []Fate {
	if r.hosts != nil && r.thins == t {
		out := make([]Fate, len(r.hosts))
		for i := range r.hosts {
			out[i] = p.hostFate(&r.hosts[i], l)
		}
		return out
	}
	f, ok := familyOf(t)
	if !ok {
		return nil
	}
	out := make([]Fate, len(r.family[f].members))
	for i := range out {
		out[i] = p.fate(&r.family[f].members[i], l)
	}
	return out
}

func (p *Program) fate(x *member, l *Loss) Fate {
	f := Fate{Site: -1}
	if x.siteUnit != noUnit {
		f.Site = int(x.siteUnit) - len(p.Nodes)
		f.Away = l.Sites[f.Site]
	}
	if x.checks == 0 {
		return f
	}
	// The first of its checks that fails takes a record out of the answers.
	probes := len(x.targets) / int(x.checks)
	for at := 0; at < len(x.targets); at += probes {
		left := 0
		for _, local := range x.targets[at : at+probes] {
			if !l.Targets[local] {
				left++
			}
		}
		if left >= int(x.need) {
			continue
		}
		within := p.Checks[p.Targets[x.targets[at]].Check].Within()
		if !f.Noticed || within < f.Within {
			f.Noticed, f.Within = true, within
		}
	}
	return f
}

// hostFate is that of an MX or SRV record: it goes with the last of its target's
// addresses.
func (p *Program) hostFate(h *host, l *Loss) Fate {
	out := Fate{Site: -1, Noticed: len(h.members) > 0 && !h.foreign}
	for i := range h.members {
		f := p.fate(&h.members[i], l)
		if i == 0 || f.Away {
			out.Site = f.Site
		}
		out.Away = out.Away || f.Away
		out.Noticed = out.Noticed && f.Noticed
		out.Within = max(out.Within, f.Within)
	}
	if !out.Noticed {
		out.Within = 0
	}
	return out
}

// LeadNow is a Lead that remembers which steps serve now and what is live, for
// those who want to know what would become of them.
func (b *Bound) LeadNow(v *health.Verdicts, at time.Time) *Lead {
	m := &Moment{Bound: b, Verdicts: v}
	now := &Lead{active: b.Active, rules: map[string]leader{}}
	for _, r := range b.rules {
		if !r.failsOver() {
			continue
		}
		step := r.active(m)
		if step < 0 {
			step = r.firstUp(m, -1)
		}
		if step >= 0 {
			side := Side{Step: r.steps[step].name}
			if m.forced(r) {
				side.By = ByForce
			}
			now.rules[r.key()] = leader{Side: side}
		}
	}
	now, _ = b.Lead(v, now, at)
	return now
}

// Steers reports whether the rule is about a type.
func (r *Rule) Steers(t wire.Type) bool { return r.steers(t) }
