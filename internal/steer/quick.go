package steer

import (
	"slices"

	"geodns/internal/steer/record"
)

// quick chooses while nothing is down or drained, which is nearly always: the
// candidates are then a list that was made beforehand, and what rotates is a run
// of it. It says false where there is more to find out, and then has done
// nothing; the result is what the chain would give.
func (c *Chooser) quick(m *Moment, r *Rule, fam *family, order []SiteID, all bool, res *Result) bool {
	if !r.untroubled(m, &r.family[V4]) || !r.untroubled(m, &r.family[V6]) {
		return false
	}
	list, sums, site := fam.twice, fam.sums, NoSite
	if !all {
		if site = r.firstWhole(m, fam, order); site == NoSite {
			return false
		}
		list, sums = fam.bySite[site].twice, fam.bySite[site].sums
	} else if r.hasFloor() || r.def != NoSite {
		return false
	}
	n := len(list) / 2
	if n == 0 {
		return false
	}
	k := n
	if r.answers > 0 {
		k = min(n, r.answers)
	}
	switch {
	case r.pick == record.PickWeighted && n > 1:
		if res.Pick = c.draw(m, list[:n], sums, k); res.Pick == nil {
			res.Pick = c.handCopy(list[:n])
			weighted(fam, res.Pick, k, sums[n-1], m.Draw)
			res.Pick = res.Pick[:min(k, len(res.Pick))]
		}
		res.Site = site
		return true
	case r.pick == record.PickSticky && !m.Nobody:
		if len(fam.members) > 1 {
			res.Scope = max(res.Scope, stickyScope(&m.Client))
		}
		res.Pick = c.handCopy(list[:n])
		c.sticky(m, fam, res.Pick, k)
		res.Pick = res.Pick[:min(k, len(res.Pick))]
		res.Site = site
		return true
	}
	start := 0
	if n > 1 {
		start = int(below(mix(m.Draw), uint64(n)))
	}
	res.Site = site
	if n == len(fam.members) && k == n && n > 1 {
		res.First = start
		return true
	}
	res.Pick = list[start : start+k : start+k]
	return true
}

// manyEnough is how many candidates there have to be for each that is drawn, for
// draw to be worth its while: it has to throw away what was drawn before.
const manyEnough = 4

// draw draws k of many by their weights, without replacement: what was drawn
// before is drawn anew, which leaves the others in their proportions. sums are
// the weights up to and with each. It returns nil where that may take long.
func (c *Chooser) draw(m *Moment, list []uint16, sums []uint64, k int) []uint16 {
	if k*manyEnough > len(list) || sums[len(sums)-1] == 0 {
		return nil
	}
	picks := c.hand(k)
	if picks == nil {
		return nil
	}
	state, left := m.Draw, 2*k+maxRedraws
	for i := 0; i < k; {
		if left--; left < 0 {
			c.picks = c.picks[:len(c.picks)-k]
			return nil
		}
		at := below(next(&state), sums[len(sums)-1])
		j, _ := slices.BinarySearch(sums, at+1)
		if !slices.Contains(picks[:i], list[j]) {
			picks[i] = list[j]
			i++
		}
	}
	return picks
}

// maxRedraws bounds what is drawn in vain, as where one weight outweighs all.
const maxRedraws = 8

// firstWhole is the first site that has records of a family, and as many as its
// floor wants; NoSite: none, or it takes the chain to say.
func (r *Rule) firstWhole(m *Moment, fam *family, order []SiteID) SiteID {
	if r.policy == record.PolicyNearest {
		for _, s := range order {
			if g := &fam.bySite[s]; len(g.members) > 0 && g.whole {
				return s
			}
		}
		return NoSite
	}
	if r.active(m) >= 0 || r.certain != nil {
		return NoSite
	}
	for i := range r.steps {
		s := r.steps[i].site
		if s == NoSite {
			return NoSite
		}
		if g := &fam.bySite[s]; len(g.members) > 0 && g.whole {
			return s
		}
	}
	return NoSite
}
