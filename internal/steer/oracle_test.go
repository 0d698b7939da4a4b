package steer_test

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
)

// The oracle is the chain as the design tells it, step by step over the lists
// of a model: slow, and by code of its own.

// outcome is what the oracle expects of a choice.
type outcome struct {
	stage      steer.Stage
	site       string // "": none, or several
	scope      int
	candidates []netip.Addr // in the order of the zone
	count      int          // how many of them are answered
}

// level says what counts as live: what is, all that is not drained, or all.
type level int

const (
	asIs   level = iota
	asLast       // what was live last, and is not drained
	asIfLive
	asIfUndrained
)

// nodeOf is the label of the node that has an address; "": none.
func (m *model) nodeOf(a netip.Addr) string {
	for label, n := range m.nodes {
		if slices.Contains(n.Addrs, a) {
			return label
		}
	}
	return ""
}

// siteOf is the label of an address's site: the node's word, else the longest
// prefix.
func (m *model) siteOf(a netip.Addr) string {
	if n := m.nodeOf(a); n != "" && m.nodes[n].Site != "" {
		return m.nodes[n].Site
	}
	best, bits := "", -1
	for label, s := range m.sites {
		for _, net := range s.Nets {
			if net.Contains(a) && net.Bits() > bits {
				best, bits = label, net.Bits()
			}
		}
	}
	return best
}

func (m *model) isDrained(a netip.Addr) bool {
	n, s := m.nodeOf(a), m.siteOf(a)
	return n != "" && (m.nodes[n].Drain || m.drained[n]) || s != "" && (m.sites[s].Drain || m.drained[s]) || m.agentDrains(a)
}

// isLive: for each check, enough of what it probes is up, or may be.
func (m *model) isLive(a netip.Addr) bool {
	probes, need := m.probesOf(a)
	for _, check := range m.steer.Check {
		fit := 0
		for _, p := range probes {
			switch m.verdict[probed{p, check}] {
			case health.Up:
				fit++
			case health.Unknown:
				if m.checks[check].Role != record.RoleWritable {
					fit++
				}
			}
		}
		if fit < need {
			return false
		}
	}
	return true
}

func (m *model) eligible(a netip.Addr, l level) bool {
	if l > asIs && m.unled() && m.isSurelyNot(a) {
		return false
	}
	switch l {
	case asIs:
		return !m.isDrained(a) && m.isLive(a)
	case asLast:
		return !m.isDrained(a) && slices.Contains(m.kept, a)
	case asIfLive:
		return !m.isDrained(a)
	}
	return true
}

// unled: it is looked for a writer, and none was ever known.
func (m *model) unled() bool {
	return m.steer.Policy == record.PolicyFailover && m.writers() && m.active < 0
}

// isSurelyNot: for some check, too many of what it probes are down.
func (m *model) isSurelyNot(a netip.Addr) bool {
	probes, need := m.probesOf(a)
	return slices.ContainsFunc(m.steer.Check, func(check string) bool {
		maybe := 0
		for _, p := range probes {
			v := m.verdict[probed{p, check}]
			if v == health.Up || v == health.Unknown || v == health.Joining && m.checks[check].Role == record.RoleWritable {
				maybe++
			}
		}
		return maybe < need
	})
}

// probesOf is what is probed for an address, and how many of it have to be live.
func (m *model) probesOf(a netip.Addr) (probes []netip.Addr, need int) {
	if n := m.nodeOf(a); n != "" && len(m.nodes[n].Probes) > 0 {
		return m.nodes[n].Probes, m.nodes[n].Need
	}
	return []netip.Addr{a}, 1
}

// at are the owner's addresses of a family at a site.
func (m *model) at(f int, site string) (out []netip.Addr) {
	for _, a := range m.addrs[f] {
		if m.siteOf(a) == site {
			out = append(out, a)
		}
	}
	return out
}

func (m *model) these(addrs []netip.Addr, l level) (out []netip.Addr) {
	for _, a := range addrs {
		if m.eligible(a, l) {
			out = append(out, a)
		}
	}
	return out
}

// isUp: the site meets its floor in each family that it holds.
func (m *model) isUp(site string, l level) bool {
	for f := range m.addrs {
		held := m.at(f, site)
		floor := 1
		switch n := m.steer.Floor; {
		case n.Percent > 0:
			floor = int(math.Ceil(float64(len(held)) * float64(n.Percent) / 100))
		case n.Count > 0:
			floor = n.Count
		}
		if len(held) > 0 && len(m.these(held, l)) < max(floor, 1) {
			return false
		}
	}
	return true
}

// pass is one go through the chain.
type pass struct {
	stage  steer.Stage
	level  level
	floors bool
	spread bool // clients may be passed over
}

// choose is the whole chain. a is the client; an invalid one is nobody.
func (m *model) choose(f int, a netip.Addr) outcome {
	var order []string
	scope, near := 0, 0
	if m.steer.Policy == record.PolicyNearest && a.IsValid() {
		order, near = m.order(m.placeOf(a))
		scope = m.scope(a, func(r *region) string {
			o, n := m.order(r)
			return fmt.Sprint(o[:min(n, len(o))])
		})
	}
	try := func(passes ...pass) (outcome, bool) {
		for _, p := range passes {
			site, found, beyond := m.run(f, a, p, order, near)
			if beyond {
				scope = m.scope(a, func(r *region) string { return fmt.Sprintf("%+v", m.plain(r)) })
			}
			if len(found) > 0 {
				return m.counted(f, a, outcome{stage: p.stage, site: site, scope: scope, candidates: found}), true
			}
		}
		return outcome{}, false
	}
	if o, ok := try(pass{steer.Normal, asIs, true, a.IsValid()}, pass{steer.BelowFloor, asIs, false, a.IsValid()}); ok {
		return o
	}
	if !m.forced {
		switch m.steer.Empty {
		case record.EmptyNone:
			return outcome{stage: steer.Nothing}
		case record.EmptyAddress, record.EmptyHost:
			return outcome{stage: steer.LastResort}
		}
	}
	if m.holds(f) {
		if o, ok := try(pass{steer.Held, asLast, false, false}); ok {
			return o
		}
	}
	if o, ok := try(pass{steer.AsIfLive, asIfLive, true, false}, pass{steer.AsIfLive, asIfLive, false, false},
		pass{steer.AsIfUndrained, asIfUndrained, true, false}, pass{steer.AsIfUndrained, asIfUndrained, false, false}); ok {
		return o
	}
	if m.unled() && m.stepHas(f, m.steer.Order[0]) {
		return outcome{stage: steer.NoWriter}
	}
	// A failover none of whose steps has a record of the family.
	return outcome{stage: steer.Nothing}
}

// holds: some record of the family was live last.
func (m *model) holds(f int) bool {
	return m.steer.Empty == record.EmptyHold && m.steer.Policy != record.PolicyFailover &&
		slices.ContainsFunc(m.kept, func(a netip.Addr) bool { return slices.Contains(m.addrs[f], a) })
}

// stepHas: the step has a record of the family.
func (m *model) stepHas(f int, what string) bool {
	if _, ok := m.sites[what]; ok {
		return len(m.at(f, what)) > 0
	}
	return m.recordOf(f, what).IsValid()
}

// counted takes answers=N, and bounds the scope of what is sticky.
func (m *model) counted(f int, a netip.Addr, o outcome) outcome {
	o.count = len(o.candidates)
	if m.steer.Answers > 0 {
		o.count = min(o.count, m.steer.Answers)
	}
	if a.IsValid() && (m.spreads() || m.steer.Pick == record.PickSticky && len(m.addrs[f]) > 1) {
		o.scope = max(o.scope, map[bool]int{true: 24, false: 56}[a.Is4()])
	}
	return o
}

// run finds the candidates of one pass. beyond: the nearest sites, near of
// them, had none.
func (m *model) run(f int, a netip.Addr, p pass, order []string, near int) (site string, found []netip.Addr, beyond bool) {
	switch {
	case m.steer.Policy == record.PolicyFailover:
		site, found = m.failover(f, p)
		return site, found, false
	case order == nil:
		site, found = m.everywhere(f, a, p)
		return site, found, false
	}
	var passed []string
	for i, s := range order {
		found := m.siteGives(f, s, p)
		if found == nil {
			continue
		}
		if p.spread {
			if found = m.admits(a, s, found); found == nil {
				passed = append(passed, s)
				continue
			}
		}
		return s, found, i >= near
	}
	if passed != nil {
		s := m.overflowed(a, passed)
		return s, m.remaining(f, a, m.siteGives(f, s, p)), len(order) > near
	}
	return "", m.these(m.at(f, ""), p.level), len(order) > near
}

// siteGives is what a site that is up has to give.
func (m *model) siteGives(f int, site string, p pass) []netip.Addr {
	if p.floors && !m.isUp(site, p.level) {
		return nil
	}
	return m.these(m.at(f, site), p.level)
}

func (m *model) everywhere(f int, a netip.Addr, p pass) (site string, found []netip.Addr) {
	if d := m.steer.Default; d != "" && a.IsValid() {
		found := m.siteGives(f, d, p)
		if found != nil && p.spread {
			found = m.admits(a, d, found)
		}
		if found != nil {
			return d, found
		}
	}
	client := a
	for _, a := range m.these(m.addrs[f], p.level) {
		s := m.siteOf(a)
		// Without a floor, all sites serve and none has to be up as a whole.
		if p.floors && m.steer.Floor != (record.Floor{}) && s != "" && !m.isUp(s, p.level) {
			continue
		}
		found = append(found, a)
	}
	if p.spread {
		var kept []netip.Addr
		for _, x := range found {
			kept = append(kept, m.admits(client, m.siteOf(x), []netip.Addr{x})...)
		}
		if kept == nil {
			kept = m.remaining(f, client, found)
		}
		return "", kept
	}
	return "", found
}

func (m *model) failover(f int, p pass) (site string, found []netip.Addr) {
	steps := slices.Clone(m.steer.Order)
	if m.active >= 0 {
		steps = append([]string{steps[m.active]}, steps...)
	}
	if m.writers() || m.forced {
		steps = steps[:1] // else there might be a second one
	}
	for _, what := range steps {
		if _, ok := m.sites[what]; ok {
			if found := m.siteGives(f, what, p); found != nil {
				return what, found
			}
			continue
		}
		own, other := m.recordOf(f, what), m.recordOf(1-f, what)
		if !own.IsValid() || !m.eligible(own, p.level) || p.floors && other.IsValid() && !m.eligible(other, p.level) {
			continue
		}
		return m.siteOf(own), []netip.Addr{own}
	}
	return "", nil
}

// writers reports whether the policy is about who takes writes.
func (m *model) writers() bool {
	return slices.ContainsFunc(m.steer.Check, func(check string) bool { return m.checks[check].Role == record.RoleWritable })
}

// recordOf is the one record that a step which is no site answers.
func (m *model) recordOf(f int, what string) netip.Addr {
	for _, a := range m.addrs[f] {
		if a.String() == what || m.nodeOf(a) == what {
			return a
		}
	}
	return netip.Addr{}
}

// used are the sites between which the policy chooses, those first that come
// first in the zone.
func (m *model) used() (out []string) {
	add := func(s string) {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, c := range m.steer.CNAMEs {
		add(c.Site)
	}
	for f := range m.addrs {
		for _, a := range m.addrs[f] {
			add(m.siteOf(a))
		}
	}
	add(m.steer.Default)
	for _, o := range m.steer.CountryOverrides {
		add(o.Site)
	}
	return out
}

// placeOf is the smallest region that holds an address, or nil.
func (m *model) placeOf(a netip.Addr) (best *region) {
	for i := range m.world {
		if r := &m.world[i]; r.net.Contains(a) && (best == nil || r.net.Bits() > best.net.Bits()) {
			best = r
		}
	}
	return best
}

// plain is a place without the prefix that has it.
func (m *model) plain(r *region) (p region) {
	if r != nil {
		p = *r
		p.net = netip.Prefix{}
	}
	return p
}

// The ranks, in the design's order.
const (
	overruled = iota
	ofSubdivision
	ofCountry
	ofASN
	ofContinent
	ofDistance
	ofNothing
)

func (m *model) rank(label string, r *region) int {
	s := m.sites[label]
	for _, o := range m.steer.CountryOverrides {
		if o.Country == r.country && o.Site == label {
			return overruled
		}
	}
	switch {
	case r.subdivision != "" && slices.Contains(s.Subdivisions, r.country+"-"+r.subdivision):
		return ofSubdivision
	case slices.Contains(s.Countries, r.country):
		return ofCountry
	case slices.Contains(s.ASNs, r.asn):
		return ofASN
	case slices.Contains(s.Continents, r.continent):
		return ofContinent
	case s.Placed && r.located:
		return ofDistance
	}
	return ofNothing
}

// order is the sites for a place, best first; nil: nothing speaks for any. near
// is how many of them are told apart for the scope; for who needs those beyond,
// that of the place holds.
func (m *model) order(r *region) (order []string, near int) {
	if r == nil {
		return nil, 0
	}
	sites := m.used()
	known := slices.ContainsFunc(sites, func(s string) bool { return m.rank(s, r) < ofNothing })
	if !known {
		return nil, 0
	}
	far := func(label string) float64 {
		if s := m.sites[label]; s.Placed && r.located {
			return haversine(s.Lat, s.Lon, r.lat, r.lon)
		}
		return math.Inf(1)
	}
	slices.SortStableFunc(sites, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.rank(a, r), m.rank(b, r)), cmp.Compare(far(a), far(b)))
	})
	return sites, min(8, len(sites))
}

// haversine is the great-circle distance in km.
func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	s1, s2 := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	h := s1*s1 + math.Cos(lat1*rad)*math.Cos(lat2*rad)*s2*s2
	return 2 * 6371 * math.Asin(math.Sqrt(min(h, 1)))
}

// scope is the length of the widest prefix around a in which all places have
// the same key. The place changes only where a region begins or ends.
func (m *model) scope(a netip.Addr, key func(*region) string) int {
	keys := map[*region]string{}
	of := func(a netip.Addr) string {
		r := m.placeOf(a)
		if _, ok := keys[r]; !ok {
			keys[r] = key(r)
		}
		return keys[r]
	}
	var edges []netip.Addr
	for _, r := range m.world {
		if r.net.Addr().Is4() == a.Is4() {
			edges = append(edges, r.net.Addr(), r.net.Addr().Prev(), lastOf(r.net), lastOf(r.net).Next())
		}
	}
	want := of(a)
	for bits := range a.BitLen() {
		p, _ := a.Prefix(bits)
		same := of(p.Addr()) == want && of(lastOf(p)) == want
		for _, e := range edges {
			same = same && (!e.IsValid() || !p.Contains(e) || of(e) == want)
		}
		if same {
			return bits
		}
	}
	return a.BitLen()
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
