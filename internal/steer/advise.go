package steer

import (
	"fmt"
	"slices"
	"strings"

	"geodns/internal/geo/place"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// Warnings of what can be served as it is and does what it says, though perhaps
// not what its author meant. Compile gives them where Options.Advise asks for
// them: those who check a zone, not those who load it.

// maxTTL is how long a steered answer should be kept at most, in seconds: so
// long clients go on to a site that is gone.
const maxTTL = 300

// advise warns of what is odd about a finished rule.
func (b *ruleBuilder) advise() {
	b.adviseTTL()
	if b.rule.hosts != nil {
		return
	}
	b.adviseSites()
	if b.spec.Ramp > 0 && (b.rule.cnames != nil || b.spec.Policy == record.PolicyFailover) {
		b.problem(record.RuleNoEffect, "ramp", "ramp= does nothing here: one site or step serves alone, and no part of its clients goes elsewhere", "take it away", true)
	}
	if b.rule.cnames == nil {
		b.adviseFloor()
		b.adviseFamilies()
		b.adviseSteps()
	}
	b.adviseCountries()
}

func (b *ruleBuilder) adviseTTL() {
	if high := b.spec.TTLHigh; high > 0 {
		if high > maxTTL {
			b.problem(RuleTTL, "ttl", fmt.Sprintf("answers are kept for up to %d seconds: so long clients go on to what is down or drained", high), fmt.Sprintf("write %d or less as the high end", maxTTL), true)
		}
		return
	}
	for _, t := range [...]wire.Type{wire.TypeA, wire.TypeAAAA, wire.TypeCNAME, wire.TypeMX, wire.TypeSRV} {
		s, ok := b.node.Set(t)
		if !ok || !b.rule.steers(t) || s.TTL <= maxTTL {
			continue
		}
		owner := append(slices.Clone(b.s.owner), b.z.Apex()...)
		first, _, _ := wire.NextRecord(s.Records)
		b.compiler.problem(RuleTTL, owner, first, 0, fmt.Sprintf("the steered records are kept for %d seconds: so long clients go on to what is down or drained", s.TTL), fmt.Sprintf("lower the TTL to %d or less, or say ttl= in %s", maxTTL, b.rule.SteerName), true)
	}
}

// holds reports whether a site has something to answer.
func (r *Rule) holds(s SiteID) bool {
	if r.cnames != nil {
		return r.cnames[s] != nil
	}
	return len(r.family[V4].bySite[s].members)+len(r.family[V6].bySite[s].members) > 0
}

// adviseSites warns of sites that a tag names and that have nothing, and of
// sites that are near to nobody.
func (b *ruleBuilder) adviseSites() {
	named := map[string]bool{b.spec.Default: true}
	b.adviseEmpty("default", b.spec.Default)
	for _, o := range b.spec.CountryOverrides {
		named[o.Site] = true
		b.adviseEmpty("country", o.Site)
	}
	if b.rule.cnames != nil {
		for _, what := range b.spec.Order {
			b.adviseEmpty("order", what)
		}
	}
	if b.spec.Policy != record.PolicyNearest {
		return
	}
	for id, at := range b.rule.sites {
		s := &b.p.Sites[at]
		words := len(s.Subdivisions) + len(s.Countries) + len(s.ASNs) + len(s.Continents)
		if b.rule.holds(SiteID(id)) && !s.Placed && words == 0 && !named[s.Name] {
			b.problem(RuleSiteNowhere, "policy", fmt.Sprintf("the site %q has neither a place nor a country, and is near to nobody", s.Name), "give "+s.Name+"._site at=, or country= and the like", true)
		}
	}
}

// adviseEmpty warns of a site that has nothing to answer.
func (b *ruleBuilder) adviseEmpty(tag, label string) {
	s := b.names.site(label)
	if s == nil {
		return
	}
	if id, ok := b.local[s.at]; ok && !b.rule.holds(id) {
		b.about(RuleSiteEmpty, tag, label, fmt.Sprintf("the name has no record at the site %q", label), "give it one, or name another site", true)
	}
}

// familyNames are the types of the families.
var familyNames = [families]string{"A", "AAAA"}

// adviseFloor warns of sites that have fewer records than the floor asks for.
func (b *ruleBuilder) adviseFloor() {
	floor := b.spec.Floor.Count
	if floor == 0 {
		return
	}
	for id, at := range b.rule.sites {
		for f := range b.rule.family {
			n := len(b.rule.family[f].bySite[id].members)
			if n > 0 && n < floor {
				b.problem(RuleFloor, "floor", fmt.Sprintf("the site %q never meets floor=%d with its %d %s records, and so never counts as up", b.p.Sites[at].Name, floor, n, familyNames[f]), "lower it, write a share such as floor=50%, or add records", true)
			}
		}
	}
}

// adviseFamilies warns of sites that lack a family which others have: A and
// AAAA would lead to different places.
func (b *ruleBuilder) adviseFamilies() {
	r := b.rule
	if b.spec.Policy == record.PolicyAll || !r.family[V4].held || !r.family[V6].held {
		return
	}
	for id, at := range r.sites {
		for f := range r.family {
			if len(r.family[f].bySite[id].members) > 0 || len(r.family[1-f].bySite[id].members) == 0 {
				continue
			}
			elsewhere := slices.ContainsFunc(r.family[f].members, func(m member) bool { return m.site != NoSite })
			if elsewhere && b.chosen(SiteID(id)) {
				b.problem(RuleOneFamily, "policy", fmt.Sprintf("the site %q has no %s records, and other sites have: its clients who ask for %s are sent elsewhere", b.p.Sites[at].Name, familyNames[f], familyNames[f]), "give it one", true)
			}
		}
	}
}

// chosen reports whether the policy ever takes a site as a whole.
func (b *ruleBuilder) chosen(id SiteID) bool {
	return b.spec.Policy == record.PolicyNearest ||
		slices.ContainsFunc(b.rule.steps, func(s step) bool { return s.site == id })
}

// adviseSteps warns of records that no step of a failover has.
func (b *ruleBuilder) adviseSteps() {
	if b.spec.Policy != record.PolicyFailover {
		return
	}
	var stray []string
	for f := range b.rule.family {
		for i, m := range b.rule.family[f].members {
			in := slices.ContainsFunc(b.rule.steps, func(s step) bool {
				return s.site != NoSite && s.site == m.site || s.site == NoSite && s.record[f] == i
			})
			if !in {
				stray = append(stray, m.addr.String())
			}
		}
	}
	if len(stray) > 0 {
		b.problem(RuleStray, "order", some(stray)+" in no step of order=, and never answered", "add its site, its node or itself to order=, or take it away", true)
	}
}

// adviseUnused warns of what the zone declares and its own policies don't use.
// Those of other zones may, by with=.
func (c *compiler) adviseUnused() {
	unused := func(owner, data []byte, text string) {
		c.problem(RuleUnused, owner, data, 0, text, "take it away, or mend what should use it", true)
	}
	for _, s := range sorted(c.own.sites) {
		if s.at < 0 {
			unused(s.owner, s.data, "no steered address is in the nets of this site, and no policy names it")
		}
	}
	for _, n := range sorted(c.own.nodes) {
		if n.at < 0 {
			unused(n.owner, n.data, "no steered name has an address of this node")
		}
	}
	for _, k := range sorted(c.own.checks) {
		if k.at < 0 {
			unused(k.owner, k.data, "no policy has this check")
		}
	}
}

// adviseCapacities warns of what the zone gives a capacity, and that no policy
// ever passes over for it.
func (c *compiler) adviseCapacities() {
	counted := map[uint32]bool{}
	for _, r := range c.p.rules {
		if r.spread != nil {
			for _, unit := range r.spread.units {
				counted[unit] = true
			}
		}
	}
	warn := func(owner, data []byte, at int) {
		c.problem(record.RuleNoEffect, owner, data, at, "capacity= does nothing here: only addresses with policy=nearest or policy=all spill, and none is of this", "take it away", true)
	}
	for _, s := range sorted(c.own.sites) {
		if s.at >= 0 && s.spec.Capacity > 0 && !counted[c.p.SiteUnit(s.at)] {
			warn(s.owner, s.data, s.spec.Tags.Find("capacity", ""))
		}
	}
	for _, n := range sorted(c.own.nodes) {
		if n.at >= 0 && n.spec.Capacity > 0 && !counted[c.p.NodeUnit(n.at)] {
			warn(n.owner, n.data, n.spec.Tags.Find("capacity", ""))
		}
	}
}

// adviseCountries warns of sites in one country that a geography of countries
// can't choose between: all clients of the country are taken for its middle.
func (b *ruleBuilder) adviseCountries() {
	if b.spec.Policy != record.PolicyNearest || len(b.rule.sites) < 2 || b.o.Rankings == nil {
		return
	}
	groups := map[string][]int{}
	for id, at := range b.rule.sites {
		if s := &b.p.Sites[at]; s.Placed && b.rule.holds(SiteID(id)) {
			if c := b.countryAt(at); c != "" {
				groups[c] = append(groups[c], id)
			}
		}
	}
	for _, code := range slices.Sorted(mapKeys(groups)) {
		if len(groups[code]) > 1 {
			b.adviseCountry(code, groups[code])
		}
	}
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// adviseCountry is adviseCountries for one country that has several sites.
func (b *ruleBuilder) adviseCountry(code string, group []int) {
	if slices.ContainsFunc(b.spec.CountryOverrides, func(o record.CountryOverride) bool { return o.Country == code }) {
		return // somebody has decided
	}
	var names []string
	say := 0
	for _, id := range group {
		s := &b.p.Sites[b.rule.sites[id]]
		names = append(names, s.Name)
		if slices.Contains(s.Countries, code) {
			say++
		}
	}
	key := code + " " + strings.Join(names, " ")
	middle, known := b.middles()[code]
	if say > 0 && say < len(group) || !known || b.told[key] {
		return
	}
	b.told[key] = true
	sites, overrides := b.rankedSites()
	r := Ranking{sites: sites, overrides: overrides}
	ranks, _ := r.rate(nil, &middle)
	best := slices.MinFunc(ranks, better)
	b.problem(RuleOneCountry, "policy", fmt.Sprintf("the sites %s are all in %s, and the geography knows countries only: all clients there go to %q", strings.Join(names, ", "), code, b.p.Sites[b.rule.sites[best.site]].Name),
		"name a City database as geo.database, or say by country= which of them takes "+code, true)
}

// countryAt is countryOf for a site of the Program; each is looked up once.
func (c *compiler) countryAt(site int) string {
	code, known := c.countries[site]
	if !known {
		code = c.countryOf(&c.p.Sites[site])
		c.countries[site] = code
	}
	return code
}

// countryOf is the country in which a site is: where the geography has its
// nets, else that of a city which is close to it; "" if neither tells.
func (c *compiler) countryOf(s *Site) string {
	t := c.o.Rankings.Table()
	code := ""
	for _, net := range s.Nets {
		n, _ := t.Find(net.Addr())
		switch known := t.Place(n).Country; {
		case known == "" || known == code:
		case code != "":
			return ""
		default:
			code = known
		}
	}
	if code == "" {
		code = countryAt(s.Lat, s.Lon)
	}
	return code
}

// middles are the places of the countries, if the geography knows nothing that
// is smaller; else there are none. Own networks, which may well know more, are
// of few clients.
func (c *compiler) middles() map[string]place.Place {
	if c.centres != nil {
		return c.centres
	}
	c.centres = map[string]place.Place{}
	for _, p := range c.o.Rankings.Table().Each() {
		if p.Source == place.Networks || !p.Located || p.Country == "" {
			continue
		}
		o, ok := c.centres[p.Country]
		if ok && (o.Lat != p.Lat || o.Lon != p.Lon) {
			clear(c.centres)
			break
		}
		c.centres[p.Country] = p
	}
	return c.centres
}
