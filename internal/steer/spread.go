package steer

import (
	"hash/fnv"
	"math"
	"slices"

	"geodns/internal/steer/record"
)

// Sites and nodes may take a part of their clients only: what is full spills,
// what has returned is ramped up, an agent asks for less. Which clients are
// passed over is decided by a hash of their network and of what passes them
// over, so that they are the same ones as long as the part is the same, that
// those who were taken stay when it grows, and that one place's are not
// another's.

// Whole is the share of what takes all of its clients. Shares are from 0 to it.
const Whole = 1 << 16

// Salts keep what is decided by one hash of a network from what another one
// decides, sticky picks among them.
const (
	admitSalt    = 0x5851f42d4c957f2d
	overflowSalt = 0x14057b7ef767814f
)

// spread is what a rule needs to know in order to pass clients over.
type spread struct {
	sites   []spreadSite             // by rule-local site
	members [families][]spreadMember // by the record's index
	// units are those with a capacity, by the rule's own number of them: places
	// in Bound.Spill and Bound.Cells.
	units []uint32
	// agents: some check is one that may ask for less.
	agents bool
}

// noCell stands for what has no capacity.
const noCell = math.MaxUint16

type spreadSite struct {
	key      uint64 // of its name
	capacity float64
	unit     uint32
	cell     uint16 // its number in spread.units, or noCell
}

type spreadMember struct {
	key uint64 // of its node's name, or of its address
	// capacity is what this record stands for when all are full: its part of
	// the node's capacity, or else of the site's; 0: nobody set any.
	capacity   float64
	unit       uint32
	node, site uint16 // numbers in spread.units, or noCell
	own        bool   // capacity is the node's
}

// spread finds out whether a rule ever passes clients over. It is called when
// all units have their numbers.
func (c *compiler) spread(r *Rule) {
	if r.policy == record.PolicyFailover || r.Kind() != Addresses {
		// One step serves alone, and never a second one beside it.
		return
	}
	s := &spread{agents: c.agents(r)}
	cells := map[uint32]uint16{}
	cell := func(unit uint32, capacity uint64) uint16 {
		if unit == noUnit || capacity == 0 {
			return noCell
		}
		n, ok := cells[unit]
		if !ok {
			n = uint16(len(s.units))
			cells[unit] = n
			s.units = append(s.units, unit)
		}
		return n
	}
	for _, at := range r.sites {
		site := &c.p.Sites[at]
		unit := c.p.SiteUnit(at)
		s.sites = append(s.sites, spreadSite{
			key: placeKey("site", site.Zone, site.Name), capacity: float64(site.Capacity), unit: unit, cell: cell(unit, site.Capacity),
		})
	}
	for f := range r.family {
		s.members[f] = c.spreadMembers(r, &r.family[f], s, cell)
	}
	if len(s.units) > 0 || r.Spec.Ramp > 0 || s.agents {
		r.spread = s
	}
}

func (c *compiler) spreadMembers(r *Rule, fam *family, s *spread, cell func(uint32, uint64) uint16) []spreadMember {
	out := make([]spreadMember, len(fam.members))
	records := map[uint32]float64{} // of each node
	for i := range fam.members {
		records[fam.members[i].unit]++
	}
	for i := range fam.members {
		m, x := &fam.members[i], &out[i]
		*x = spreadMember{key: m.key, unit: m.unit, node: noCell, site: noCell}
		if m.site != NoSite {
			x.site = s.sites[m.site].cell
			x.capacity = s.sites[m.site].capacity / float64(len(fam.bySite[m.site].members))
		}
		if m.unit == noUnit {
			continue
		}
		node := &c.p.Nodes[m.unit]
		x.key = placeKey("node", node.Zone, node.Name)
		x.node = cell(m.unit, node.Capacity)
		if node.Capacity > 0 {
			x.own, x.capacity = true, float64(node.Capacity)/records[m.unit]
		}
	}
	return out
}

// agents reports whether some check of a rule asks an agent.
func (c *compiler) agents(r *Rule) (found bool) {
	r.each(func(x *member) {
		for _, local := range x.targets {
			found = found || c.p.Checks[c.p.Targets[local].Check].Type == record.CheckAgent
		}
	})
	return found
}

// placeKey is the same for what is named the same, on every server.
func placeKey(kind, zone, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(kind + "\x00" + zone + "\x00" + name))
	return mix(h.Sum64())
}

// spreads reports whether something may pass the client over at the moment.
func (m *Moment) spreads(r *Rule) bool {
	return m.Spill != nil || m.Ramps != nil && m.Ramps[r.Number] != nil ||
		r.spread.agents && m.Slots != nil && m.Verdicts.Shared()
}

// passing is spreads for who is asking, if anybody is, and widens no scope beyond
// the networks that are passed over as a whole: even if nobody is now, since the
// scope must not tell of load.
func (m *Moment) passing(r *Rule, res *Result) bool {
	if m.Nobody {
		return false
	}
	res.Scope = max(res.Scope, stickyScope(&m.Client))
	return m.spreads(r)
}

// Spreads reports whether something may pass clients of a rule over at the
// moment.
func (m *Moment) Spreads(r *Rule) bool { return r.spread != nil && !m.Nobody && m.spreads(r) }

// part is which part of its clients a place takes, and why not all of them:
// each from 0 to Whole.
type part struct{ spill, ramp, agent uint32 }

var allOfIt = part{Whole, Whole, Whole}

func (p part) share() uint32 {
	return uint32(uint64(p.spill) * uint64(p.ramp) / Whole * uint64(p.agent) / Whole)
}

func (m *Moment) sitePart(r *Rule, s SiteID) part {
	p := allOfIt
	if x := &r.spread.sites[s]; m.Spill != nil && x.cell != noCell {
		p.spill = m.Spill[x.unit]
	}
	if m.Ramps != nil {
		if ramp := m.Ramps[r.Number]; ramp != nil {
			p.ramp = ramp.sites[s]
		}
	}
	return p
}

func (m *Moment) memberPart(r *Rule, f Family, i int) part {
	p := allOfIt
	if x := &r.spread.members[f][i]; m.Spill != nil && x.node != noCell {
		p.spill = m.Spill[x.unit]
	}
	if m.Ramps != nil {
		if ramp := m.Ramps[r.Number]; ramp != nil {
			p.ramp = ramp.members[f][i]
		}
	}
	if r.spread.agents && m.Slots != nil && m.Verdicts.Shared() {
		p.agent = m.agentShare(&r.family[f].members[i])
	}
	return p
}

// agentShare is the least of what a member's checks ask for; of a check that
// asks several real servers, their mean.
func (m *Moment) agentShare(x *member) uint32 {
	if x.checks == 0 {
		return Whole
	}
	probes := len(x.targets) / int(x.checks)
	least := uint32(Whole)
	for at := 0; at < len(x.targets); at += probes {
		sum := uint32(0)
		for _, local := range x.targets[at : at+probes] {
			sum += uint32(m.Verdicts.Share(m.Slots[local]))
		}
		least = min(least, sum*Whole/(100*uint32(probes)))
	}
	return least
}

// takes reports whether a place that takes a share of its clients takes this
// one.
func takes(share uint32, network, key uint64) bool {
	return share >= Whole || uint32(mix(network^key)>>48) < share
}

// admitNetwork is what stands for the client where it is admitted.
func (m *Moment) admitNetwork() uint64 { return mix(stickyNetwork(&m.Client) ^ admitSalt) }

// passes reports whether a site passes the client over, and else leaves of its
// candidates, those from had on, the ones that don't.
func (c *Chooser) passes(m *Moment, r *Rule, f Family, s SiteID, had int, t *Trace) bool {
	network := m.admitNetwork()
	p := m.sitePart(r, s)
	if !takes(p.share(), network, r.spread.sites[s].key) {
		t.passedSite(s, p)
		c.pass(s, had)
		return true
	}
	kept := had
	for _, i := range c.candidates[had:] {
		p := m.memberPart(r, f, int(i))
		if takes(p.share(), network, r.spread.members[f][i].key) {
			c.candidates[kept] = i
			kept++
		} else {
			t.passedMember(f, int(i), p)
		}
	}
	if kept == had {
		t.site(s, whyNodes)
		c.pass(s, had)
		return true
	}
	c.candidates = c.candidates[:kept]
	return false
}

// pass notes a site that would have served, and doesn't serve this client.
func (c *Chooser) pass(s SiteID, had int) {
	c.candidates = c.candidates[:had]
	c.passed[c.passing] = s
	c.passing++
}

// overflow serves a client whom every site that is up has passed over: somebody
// has to. It is the site that is drawn, once for the client's network, by the
// capacities; what is being ramped up only if nothing else is left.
func (c *Chooser) overflow(m *Moment, r *Rule, f Family, p pass, res *Result, t *Trace) bool {
	if c.passing == 0 {
		return false
	}
	network := mix(stickyNetwork(&m.Client) ^ overflowSalt)
	best, most := NoSite, -1.0
	for _, s := range c.passed[:c.passing] {
		if m.sitePart(r, s).ramp < Whole {
			continue
		}
		if score := overflowScore(network, r.spread.sites[s].key, m.room(r, s)); score > most {
			best, most = s, score
		}
	}
	if best == NoSite {
		best = c.passed[0]
	}
	t.note(Overflow, whyOverflow)
	p.spread = false
	if !c.take(m, r, f, best, p, res, t) {
		return false
	}
	c.leftOver(m, r, f, network)
	return true
}

// room is the capacity of a site: its own, or what its live nodes have
// together; 0: nobody bounded it.
func (m *Moment) room(r *Rule, s SiteID) (sum float64) {
	if own := r.spread.sites[s].capacity; own > 0 {
		return own
	}
	for f := range r.family {
		// One family stands for both, so that both lead to one site.
		for _, i := range r.family[f].bySite[s].members {
			if r.eligible(m, &r.family[f].members[i], Normal) != eligible {
				continue
			}
			x := &r.spread.members[f][i]
			if !x.own {
				return 0
			}
			sum += x.capacity
		}
		if sum > 0 {
			return sum
		}
	}
	return sum
}

// overflowScore makes the greatest of several come up in proportion to their
// capacities (weighted rendezvous hashing). What has none has room.
func overflowScore(network, key uint64, capacity float64) float64 {
	if capacity == 0 {
		return math.Inf(1)
	}
	u := (float64(mix(network^key)>>11) + 0.5) / (1 << 53)
	return -capacity / math.Log(u)
}

// leftOver leaves of the candidates, which have all passed the client over,
// those that are not being ramped up, and of these as many as are answered, by
// their capacities.
func (c *Chooser) leftOver(m *Moment, r *Rule, f Family, network uint64) {
	kept := 0
	for _, i := range c.candidates {
		s := r.family[f].members[i].site
		if m.memberPart(r, f, int(i)).ramp == Whole && (s == NoSite || m.sitePart(r, s).ramp == Whole) {
			c.candidates[kept] = i
			kept++
		}
	}
	if kept > 0 {
		c.candidates = c.candidates[:kept]
	}
	k := r.answers
	if k == 0 || k >= len(c.candidates) {
		return
	}
	for at, i := range c.candidates {
		x := &r.spread.members[f][i]
		// Of a node's records, which score the same, the first comes first: as bits
		// positive numbers keep their order.
		c.scores[at] = math.Float64bits(overflowScore(network, x.key, x.capacity)) - uint64(at)
	}
	bring(c.candidates, c.scores[:len(c.candidates)], k)
	c.candidates = c.candidates[:k]
	// In the zone's order again: rotation goes by it.
	slices.Sort(c.candidates)
}

// everybody leaves of all sites' candidates those that don't pass the client
// over; if all do, those that leftOver leaves.
func (c *Chooser) everybody(m *Moment, r *Rule, f Family, t *Trace) {
	network := m.admitNetwork()
	kept := 0
	for _, i := range c.candidates {
		if s := r.family[f].members[i].site; s != NoSite {
			if p := m.sitePart(r, s); !takes(p.share(), network, r.spread.sites[s].key) {
				t.passedMember(f, int(i), p)
				continue
			}
		}
		if p := m.memberPart(r, f, int(i)); !takes(p.share(), network, r.spread.members[f][i].key) {
			t.passedMember(f, int(i), p)
			continue
		}
		c.candidates[kept] = i
		kept++
	}
	if kept > 0 || len(c.candidates) == 0 {
		c.candidates = c.candidates[:kept]
		return
	}
	t.note(Overflow, whyOverflow)
	c.leftOver(m, r, f, mix(stickyNetwork(&m.Client)^overflowSalt))
}

// Count counts an answer for the sites and nodes that it names, each once, in a
// worker's own lane: see Meters.
func (c *Chooser) Count(b *Bound, lane int, r *Rule, f Family, res *Result) {
	if b.Cells == nil || res.Stage >= LastResort || len(r.spread.units) == 0 {
		return
	}
	members := r.spread.members[f]
	if res.Pick == nil {
		for i := range members {
			c.counted(b, lane, r, &members[i])
		}
	} else {
		for _, i := range res.Pick {
			c.counted(b, lane, r, &members[i])
		}
	}
	clear(c.seen[:(len(r.spread.units)+63)/64])
}

func (c *Chooser) counted(b *Bound, lane int, r *Rule, x *spreadMember) {
	for _, cell := range [...]uint16{x.node, x.site} {
		if cell == noCell || c.seen[cell/64]>>(cell%64)&1 != 0 {
			continue
		}
		c.seen[cell/64] |= 1 << (cell % 64)
		b.Cells[r.spread.units[cell]].add(lane)
	}
}

// maxCells is how many units one rule can have: a node a record of each family,
// and its sites.
const maxCells = families*MaxMembers + MaxSites

// seenWords has a bit for each.
const seenWords = (maxCells + 63) / 64

// Metered reports whether the rule's answers are counted.
func (r *Rule) Metered() bool { return r.spread != nil && len(r.spread.units) > 0 }

// Spreads reports whether the rule ever passes clients over: some site or node
// of it has a capacity, it has ramp=, or an agent is asked.
func (r *Rule) Spreads() bool { return r.spread != nil }

// percent is a share for people: of what takes some, neither nothing nor all.
func percent(share uint32) int {
	n := int(math.Round(100 * float64(share) / Whole))
	if share > 0 && share < Whole {
		n = max(1, min(99, n))
	}
	return n
}
