package steer

import "geodns/internal/steer/record"

// quick chooses while nothing is down or drained, which is nearly always: what
// rotates is then a run of a list that was made beforehand. It says false where
// there is more to find out, and then has done nothing; the result is what the
// chain would give.
func (r *Rule) quick(m *Moment, fam *family, order []SiteID, all bool, res *Result) bool {
	if r.pick == record.PickWeighted || r.pick == record.PickSticky && !m.Nobody ||
		!r.untroubled(m, &r.family[V4]) || !r.untroubled(m, &r.family[V6]) {
		return false
	}
	list, site := fam.twice, NoSite
	if !all {
		if site = r.firstWhole(m, fam, order); site == NoSite {
			return false
		}
		list = fam.bySite[site].twice
	} else if r.hasFloor() || r.def != NoSite {
		return false
	}
	n := len(list) / 2
	if n == 0 {
		return false
	}
	k, start := n, 0
	if r.answers > 0 {
		k = min(n, r.answers)
	}
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
	if r.active(m) >= 0 {
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
