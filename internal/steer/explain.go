package steer

import (
	"math"
	"net/netip"
	"slices"
	"strconv"

	"geodns/internal/geo/place"
	"geodns/internal/health"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// What explanations ask of a rule. Serving uses none of it; what decides is
// asked of the functions that serving uses.

// Member is one record of a rule.
type Member struct {
	// Name is the address, or an MX or SRV record's target.
	Name string
	// Node and Site are what the zone declares for the address; "": nothing.
	Node, Site string
	Weight     uint32
	// Drained is who says so: "by the zone", "by command"; "": nobody.
	Drained string
	// Why is why it isn't live: "down", "not known to be up"; "": it is.
	Why    string
	Probes []Probe
	// Kept: it was live when the last one went (empty=hold).
	Kept bool
	// Foreign: a target whose addresses are not here; it counts as live.
	Foreign bool
	// Addresses are a target's.
	Addresses []Member
}

// Probe is one target of a member's checks.
type Probe struct {
	Check string
	Addr  netip.Addr
	State health.State
}

// Members are the rule's records of a family, by their index in the RRset.
func (m *Moment) Members(r *Rule, f Family) []Member {
	out := m.tell(r, r.family[f].members)
	for i := range out {
		out[i].Kept = m.wasLive(r, int(f), i)
	}
	return out
}

// Hosts are the targets of an MX or SRV rule, by their record's index.
func (m *Moment) Hosts(r *Rule) []Member {
	out := make([]Member, len(r.hosts))
	for i := range r.hosts {
		h := &r.hosts[i]
		w := Member{Name: wire.NameString(h.name), Foreign: h.foreign, Addresses: m.tell(r, h.members), Kept: m.wasLive(r, ofTargets, i)}
		switch r.reachable(m, h, Normal) {
		case eligible:
		case isDrained:
			w.Drained = m.drainedBy(h.members)
		default:
			w.Why = isDown.String()
		}
		out[i] = w
	}
	return out
}

func (m *Moment) drainedBy(members []member) string {
	who := "by command"
	for i := range members {
		if members[i].drained {
			who = "by the zone"
		}
	}
	return who
}

// drainedByAgentAlone reports whether nobody else drains a member.
func (m *Moment) drainedByAgentAlone(x *member) bool {
	return !x.drained && !bit(m.Drained, x.unit) && !bit(m.Drained, x.siteUnit) &&
		m.Slots != nil && m.Verdicts.Drains() && m.drainedByAgent(x)
}

func (m *Moment) tell(r *Rule, members []member) []Member {
	out := make([]Member, len(members))
	for i := range members {
		x := &members[i]
		w := Member{Name: x.addr.String(), Weight: x.weight, Site: m.SiteName(r, x.site)}
		if x.unit != noUnit {
			w.Node = m.Nodes[x.unit].Name
		}
		if r.eligible(m, x, AsIfLive) == isDrained {
			if w.Drained = m.drainedBy(members[i : i+1]); m.drainedByAgentAlone(x) {
				w.Drained = "by its agent"
			}
		}
		if m.Slots != nil {
			w.Why = r.live(m, x).String()
		}
		for _, local := range x.targets {
			t := m.Targets[local]
			p := Probe{Check: m.Checks[t.Check].Name, Addr: t.Addr}
			if m.Slots != nil {
				p.State = m.Verdicts.State(m.Slots[local])
			}
			w.Probes = append(w.Probes, p)
		}
		out[i] = w
	}
	return out
}

// Floor says of a site's records of a family how many there are, how many are
// live, and how many have to be.
func (m *Moment) Floor(r *Rule, f Family, s SiteID) (live, of, floor int) {
	if !r.family[f].held || int(s) >= len(r.family[f].bySite) {
		return 0, 0, 0
	}
	g := &r.family[f].bySite[s]
	for _, i := range g.members {
		if r.eligible(m, &r.family[f].members[i], Normal) == eligible {
			live++
		}
	}
	return live, len(g.members), g.floor
}

// Ranked is a site in the order that a client's place gives.
type Ranked struct {
	Site SiteID
	// Word is the one that decided, such as country=US; "": the distance.
	Word string
	// Km is how far the site is from the client's place, if both places are
	// known.
	Km       float64
	Measured bool
}

// earthRadius is the mean one, in km (IUGG).
const earthRadius = 6371.0088

// Rank is the order of all sites for a client, best first; nil: the rule has
// none, or nothing is known of where the client is. It is the order that
// choosing follows, as far as that needs it.
func (r *Rule) Rank(c *Client) []Ranked {
	if r.ranking == nil {
		return nil
	}
	k := r.ranking
	var s scratch
	order, _ := k.rest(c, &s)
	out := make([]Ranked, len(order))
	for i, id := range order {
		site := &k.sites[id]
		out[i] = Ranked{Site: id, Word: k.word(site, id, &s.place), Measured: site.placed && s.place.Located}
		if out[i].Measured {
			near := vectorOf(s.place.Lat, s.place.Lon).dot(site.at)
			out[i].Km = earthRadius * math.Acos(max(-1, min(1, near)))
		}
	}
	return out
}

// word is the one of a site, or of the policy, that put it into its class.
func (r *Ranking) word(s *rankedSite, id SiteID, p *place.Place) string {
	switch r.classOf(s, id, p) {
	case byOverride:
		return "the policy's country=" + p.Country
	case bySubdivision:
		i := slices.IndexFunc(s.subdivisions, func(n string) bool { return isSubdivision(n, p) })
		return "subdivision=" + s.subdivisions[i]
	case byCountry:
		return "country=" + p.Country
	case byASN:
		return "asn=" + strconv.FormatUint(uint64(p.ASN), 10)
	case byContinent:
		return "continent=" + p.Continent
	}
	return ""
}

// Sites is how many sites the rule chooses between.
func (r *Rule) Sites() int { return len(r.sites) }

// Default is the site for clients of unknown place; NoSite: all of them.
func (r *Rule) Default() SiteID { return r.def }

// Order has the names of a failover's steps.
func (r *Rule) Order() []string {
	out := make([]string, len(r.steps))
	for i := range r.steps {
		out[i] = r.steps[i].name
	}
	return out
}

// StepAt is one of a failover's steps: a site, or NoSite and the index of a
// record of a family; -1: it has none.
func (r *Rule) StepAt(i int, f Family) (s SiteID, record int) {
	return r.steps[i].site, r.steps[i].record[f]
}

// StickyScope is the length of the prefix whose addresses a sticky pick serves
// alike.
func StickyScope(c *Client) int { return int(stickyScope(c)) }

// ActiveStep is the one that a failure or a command made the first; -1: none.
// forced: by a command, and whatever its verdict.
func (m *Moment) ActiveStep(r *Rule) (step int, forced bool) { return r.active(m), m.forced(r) }

// Ranks reports whether sites are ordered by where the client is.
func (r *Rule) Ranks() bool { return r.policy == record.PolicyNearest }

// Sticks reports whether the client's network decides the pick.
func (r *Rule) Sticks() bool { return r.pick == record.PickSticky }

// CNAME is the packed CNAME that a site answers; nil: none.
func (r *Rule) CNAME(s SiteID) []byte {
	if int(s) >= len(r.cnames) {
		return nil
	}
	return r.cnames[s]
}

// Kind of a rule: what it chooses between.
type Kind uint8

// The kinds.
const (
	Addresses Kind = iota // A and AAAA
	Targets               // MX or SRV
	Aliases               // CNAMEs
)

// Kind is what the rule chooses between.
func (r *Rule) Kind() Kind {
	switch {
	case r.hosts != nil:
		return Targets
	case r.cnames != nil:
		return Aliases
	}
	return Addresses
}

// PolicyName is the policy's as zones name it.
func (r *Rule) PolicyName() string { return [...]string{"all", "nearest", "failover"}[r.policy] }

// PickName is the pick's as zones name it.
func (r *Rule) PickName() string { return [...]string{"rotate", "weighted", "sticky"}[r.pick] }

// SiteOf is the place of a rule's site in the Program's Sites.
func (p *Program) SiteOf(r *Rule, s SiteID) int { return r.sites[s] }
