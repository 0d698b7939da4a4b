package steer

// RampOf is a Ramp as tests want it: the shares of a rule's sites and records.
func RampOf(sites []uint32, members [families][]uint32, end int64) *Ramp {
	return &Ramp{sites, members, end}
}

// NumberedSites are the labels of a rule's sites, in its own order.
func (p *Program) NumberedSites(r *Rule) (names []string) {
	for s := range r.sites {
		names = append(names, p.SiteName(r, SiteID(s)))
	}
	return names
}

// RampShare is rampShare.
var RampShare = rampShare
