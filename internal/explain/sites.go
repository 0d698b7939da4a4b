package explain

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// sites are the passes over the sites: one a stage that was tried, as long as
// there was something to choose between. live is how many records live.
func (ch *chain) sites(live int) []Step {
	var steps []Step
	last := ch.stage()
	for st := steer.Normal; st <= steer.BelowFloor; st++ {
		if st != last && live > 0 && st < last {
			steps = append(steps, ch.pass(st))
		}
	}
	if last < steer.LastResort {
		steps = append(steps, ch.pass(last))
	}
	return steps
}

// pass is one pass over the sites.
func (ch *chain) pass(st steer.Stage) Step {
	s := newStep("sites", "policy="+ch.r.PolicyName())
	if st == steer.BelowFloor {
		s.Note += "; no site is up, so once more without floors"
	}
	switch {
	case len(ch.r.Order()) > 0:
		ch.failover(&s, st)
	case ch.choice.Ranked != nil:
		var ids []steer.SiteID
		for _, k := range ch.r.Rank(&ch.m.Client) {
			ids = append(ids, k.Site)
		}
		ch.inOrder(&s, st, ids)
	default:
		ch.together(&s, st)
	}
	return s
}

// considered is what became of a site, or a failover's record, in a pass.
func (ch *chain) considered(st steer.Stage, match func(*steer.TraceStep) bool) *steer.TraceStep {
	for i := len(ch.choice.Steps) - 1; i >= 0; i-- {
		if x := &ch.choice.Steps[i]; x.Stage == st && match(x) {
			return x
		}
	}
	return nil
}

func (ch *chain) site(st steer.Stage, id steer.SiteID) *steer.TraceStep {
	return ch.considered(st, func(x *steer.TraceStep) bool { return x.Member < 0 && x.Site == id })
}

// siteItem is a site with how it stands to its floor.
func (ch *chain) siteItem(id steer.SiteID) Item {
	it := Item{Name: ch.m.SiteName(ch.r, id)}
	if ch.r.Kind() == steer.Aliases {
		return it
	}
	if live, of, need := ch.m.Floor(ch.r, ch.f, id); of > 0 {
		it.Floor = &Floor{Live: live, Of: of, Need: need}
	}
	return it
}

// inOrder goes from the best site to the first that is up.
func (ch *chain) inOrder(s *Step, st steer.Stage, ids []steer.SiteID) {
	winner := ""
	for _, id := range ids {
		it := ch.siteItem(id)
		x := ch.site(st, id)
		switch {
		case x == nil && winner != "":
			it.Why = winner + " comes first"
		case x == nil:
			it.Why = "was not asked"
		case x.Why == "":
			winner = it.Name
			s.In = append(s.In, it)
			continue
		default:
			it.Why = ch.whyNot(x)
		}
		s.Out = append(s.Out, it)
	}
	if winner == "" && len(ch.choice.Candidates) > 0 && st == ch.stage() {
		s.Note += "; none of them is up: the records of no site"
	}
}

// failover goes from the first step, or the active one, to one that is up.
func (ch *chain) failover(s *Step, st steer.Stage) {
	names := ch.r.Order()
	order := make([]int, 0, len(names)+1)
	if active, forced := ch.m.ActiveStep(ch.r); active >= 0 {
		s.Note += "; the active step is " + names[active]
		if forced {
			s.Note += ", by force"
		}
		order = append(order, active)
	}
	for i := range names {
		if !slices.Contains(order, i) {
			order = append(order, i)
		}
	}
	winner := ""
	for _, i := range order {
		id, index := ch.r.StepAt(i, ch.f)
		it := Item{Name: names[i]}
		if id != steer.NoSite {
			it = ch.siteItem(id)
		}
		x := ch.site(st, id)
		if id == steer.NoSite {
			x = ch.considered(st, func(x *steer.TraceStep) bool {
				return index >= 0 && x.Member == index || x.Member < 0 && x.What == names[i]
			})
		}
		switch {
		case winner != "":
			it.Why = winner + " comes first"
		case x == nil:
			it.Why = "was not asked"
		case x.Why == "":
			winner = it.Name
			s.In = append(s.In, it)
			continue
		default:
			it.Why = ch.whyNot(x)
		}
		s.Out = append(s.Out, it)
	}
}

// together is for sites that are up together.
func (ch *chain) together(s *Step, st steer.Stage) {
	if ch.r.Ranks() {
		s.Note += ", of a client of unknown place"
	}
	byDefault := ch.choice.Result.Site != steer.NoSite && st == ch.stage()
	for id := range steer.SiteID(ch.r.Sites()) {
		it := ch.siteItem(id)
		x := ch.site(st, id)
		switch {
		case x != nil && x.Why != "":
			it.Why = ch.whyNot(x)
		case ch.r.Kind() == steer.Aliases && x == nil:
			it.Why = "the client's place is unknown"
		case byDefault && id != ch.choice.Result.Site:
			it.Why = "default=" + ch.m.SiteName(ch.r, ch.choice.Result.Site)
		case st == ch.stage() && !ch.answers(id), st != ch.stage() && x == nil:
			it.Why = ch.nothingAt(id)
		default:
			s.In = append(s.In, it)
			continue
		}
		s.Out = append(s.Out, it)
	}
	if slices.ContainsFunc(ch.choice.Candidates, func(i uint16) bool { return ch.members[i].Site == "" }) {
		s.In = append(s.In, Item{Name: "", Why: "records of no site"})
	}
}

// answers reports whether a site has a candidate.
func (ch *chain) answers(id steer.SiteID) bool {
	name := ch.m.SiteName(ch.r, id)
	return slices.ContainsFunc(ch.choice.Candidates, func(i uint16) bool { return ch.members[i].Site == name })
}

func (ch *chain) nothingAt(id steer.SiteID) string {
	if _, of, _ := ch.m.Floor(ch.r, ch.f, id); of == 0 {
		return "has no " + ch.typ() + " record"
	}
	return "has no live record"
}

// whyNot says why a site or record was passed over.
func (ch *chain) whyNot(x *steer.TraceStep) string {
	if live, _, need := ch.m.Floor(ch.r, ch.f, x.Site); x.Live < x.Floor && x.Family != ch.f && live >= need {
		other := zonefile.TypeString(wire.TypeA)
		if x.Family == steer.V6 {
			other = zonefile.TypeString(wire.TypeAAAA)
		}
		return "its " + other + " records are below its floor, and both families go to one site"
	}
	return x.Why
}

// aliases is the chain of a policy with cname=.
func (ch *chain) aliases() []Step {
	s := ch.pass(steer.Normal)
	a := newStep("answers", "the name's ordinary CNAME: no site's is chosen")
	if id := ch.choice.Result.Site; id != steer.NoSite {
		a.Note = "the CNAME of the site"
		target, _, _ := wire.NextRecord(ch.r.CNAME(id))
		a.In = append(a.In, Item{Name: wire.NameString(target), Site: ch.m.SiteName(ch.r, id)})
	}
	return []Step{s, a}
}

// addrOf is a client's address.
func addrOf(c *steer.Client) netip.Addr {
	if c.V4 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(c.Lo))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.Hi), c.Lo)))
}

// article puts the right article before a type's name as it is spoken.
func article(typ string) string {
	if typ == "A" || typ == "AAAA" || typ == "MX" || typ == "SRV" {
		return "an " + typ
	}
	return "a " + typ
}
