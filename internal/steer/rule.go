package steer

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// useSite returns the place of a site in the Program.
func (c *compiler) useSite(s *item[record.Site]) int {
	if s.at < 0 {
		s.at = len(c.p.Sites)
		c.p.Sites = append(c.p.Sites, Site{s.label, s.zone, s.spec})
	}
	return s.at
}

func (c *compiler) useNode(n *item[record.Node]) int {
	if n.at < 0 {
		n.at = len(c.p.Nodes)
		c.p.Nodes = append(c.p.Nodes, Node{n.label, n.zone, n.spec})
	}
	return n.at
}

func (c *compiler) useCheck(k *item[record.Check]) int {
	if k.at < 0 {
		k.at = len(c.p.Checks)
		c.p.Checks = append(c.p.Checks, Check{k.label, k.zone, k.spec})
	}
	return k.at
}

// target returns the local slot of an address under a check.
func (c *compiler) target(t Target) uint32 {
	slot, ok := c.targets[t]
	if !ok {
		slot = uint32(len(c.p.Targets))
		c.targets[t] = slot
		c.p.Targets = append(c.p.Targets, t)
	}
	return slot
}

// certain says which checks of the policy ask for a role.
func (b *ruleBuilder) certain() (list []bool) {
	some := false
	for _, label := range b.spec.Check {
		k := b.names.check(label)
		list = append(list, k != nil && k.spec.Role == record.RoleWritable)
		some = some || list[len(list)-1]
	}
	if !some {
		return nil
	}
	return list
}

// localSite is the rule's own number of a site.
func (b *ruleBuilder) localSite(s *item[record.Site]) SiteID {
	at := b.useSite(s)
	id, ok := b.local[at]
	if !ok {
		id = SiteID(len(b.rule.sites))
		b.local[at] = id
		b.rule.sites = append(b.rule.sites, at)
	}
	return id
}

// checkIDs are the checks of the policy.
func (b *ruleBuilder) checkIDs() (ids []int) {
	for _, label := range b.spec.Check {
		k := b.names.check(label)
		if k == nil {
			b.about(RuleCheckUnknown, "check", label, fmt.Sprintf("there is no check %q", label), "declare "+label+"._check, or correct the name", false)
			continue
		}
		ids = append(ids, b.useCheck(k))
	}
	return ids
}

// member compiles one address.
func (b *ruleBuilder) member(a netip.Addr, checks []int) member {
	m := member{addr: a, site: NoSite, unit: noUnit, siteUnit: noUnit, weight: 1, need: 1}
	h := fnv.New64a()
	_, _ = h.Write(a.AsSlice())
	m.key = mix(h.Sum64())
	probes := []netip.Addr{a}
	node := b.names.nodeOf(a)
	if node != nil {
		m.unit = uint32(b.useNode(node))
		m.weight = uint32(node.spec.Weight)
		m.drained = node.spec.Drain
		if len(node.spec.Probes) > 0 {
			probes, m.need = node.spec.Probes, uint8(min(node.spec.Need, 255))
		}
	}
	site := b.names.siteOf(a, node)
	if site != nil {
		m.site = b.localSite(site)
		m.siteUnit = uint32(site.at)
		m.drained = m.drained || site.spec.Drain
	}
	m.weight = b.weightOf(a, node, site, m.weight)
	m.checks = uint8(len(checks))
	for _, check := range checks {
		for _, p := range probes {
			m.targets = append(m.targets, b.target(Target{p, check, p == a}))
		}
	}
	return m
}

// weightOf is the most particular of the policy's weights: the address's, the
// node's, the site's; else the node's own.
func (b *ruleBuilder) weightOf(a netip.Addr, n *item[record.Node], s *item[record.Site], own uint32) uint32 {
	weight, best := own, 0
	for _, w := range b.spec.Weights {
		about := 0
		switch {
		case w.What == a.String():
			about = 3
		case n != nil && w.What == n.label:
			about = 2
		case s != nil && w.What == s.label:
			about = 1
		}
		if about > best {
			weight, best = uint32(w.Weight), about
		}
	}
	return weight
}

// addresses makes the rule for A and AAAA.
func (b *ruleBuilder) addresses(v4, v6, tell bool) {
	if !v4 && !v6 {
		return
	}
	r := b.begin()
	checks := b.checkIDs()
	for f, t := range [families]wire.Type{wire.TypeA, wire.TypeAAAA} {
		if t == wire.TypeA && !v4 || t == wire.TypeAAAA && !v6 {
			continue
		}
		if !b.family(&r.family[f], t, checks) {
			return
		}
	}
	if !r.family[V4].held && !r.family[V6].held {
		b.problem(RuleNoRecords, "type", "the name has no A or AAAA records to choose from", "give it some, say type= if others are meant, or take this record away", b.o.Lenient)
		return
	}
	b.named()
	b.order()
	if len(r.sites) > MaxSites {
		b.problem(RuleTooMany, "", fmt.Sprintf("the name has %d sites, more than %d", len(r.sites), MaxSites), "split the name", false)
		return
	}
	b.group()
	b.last()
	b.rank()
	b.add()
}

// family compiles the records of one type.
func (b *ruleBuilder) family(f *family, t wire.Type, checks []int) bool {
	s, ok := b.node.Set(t)
	if !ok {
		return true
	}
	f.held = true
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		records = rest
		a, _ := netip.AddrFromSlice(data)
		m := b.member(a, checks)
		f.members = append(f.members, m)
		f.probed = f.probed || len(m.targets) > 0
		f.drained = f.drained || m.drained
	}
	if len(f.members) > MaxMembers {
		b.problem(RuleTooMany, "", fmt.Sprintf("the name has %d addresses of one family, more than %d", len(f.members), MaxMembers), "split the name", false)
		return false
	}
	return true
}

// group sorts the members by site, and counts the floors.
func (b *ruleBuilder) group() {
	r := b.rule
	for f := range r.family {
		fam := &r.family[f]
		fam.bySite = make([]group, len(r.sites))
		for i := range fam.members {
			fam.weights = append(fam.weights, fam.members[i].weight)
			fam.keys = append(fam.keys, fam.members[i].key)
			if s := fam.members[i].site; s != NoSite {
				fam.bySite[s].members = append(fam.bySite[s].members, uint16(i))
			}
		}
		for s := range fam.bySite {
			g := &fam.bySite[s]
			g.floor = floorOf(r.Spec.Floor, len(g.members))
			g.twice = slices.Repeat(g.members, 2)
			g.sums = fam.sumsOf(g.members)
		}
		for i := range 2 * len(fam.members) {
			fam.twice = append(fam.twice, uint16(i%len(fam.members)))
		}
		fam.sums = fam.sumsOf(fam.twice[:len(fam.members)])
	}
	for s := range r.sites {
		four, six := &r.family[V4].bySite[s], &r.family[V6].bySite[s]
		whole := (len(four.members) == 0 || len(four.members) >= four.floor) && (len(six.members) == 0 || len(six.members) >= six.floor)
		four.whole, six.whole = whole, whole
	}
}

// sumsOf are the weights of members up to and with each.
func (f *family) sumsOf(members []uint16) (sums []uint64) {
	sum := uint64(0)
	for _, i := range members {
		sum += uint64(f.weights[i])
		sums = append(sums, sum)
	}
	return sums
}

// floorOf is how many of n members have to be live: at least one.
func floorOf(f record.Floor, n int) int {
	if f.Percent > 0 {
		return max(1, (n*f.Percent+99)/100)
	}
	return max(1, f.Count)
}

// named checks the names of sites that the policy uses, and makes them the
// rule's.
func (b *ruleBuilder) named() {
	r := b.rule
	if label := b.spec.Default; label != "" {
		if s := b.names.site(label); s == nil {
			b.about(RuleSiteUnknown, "default", label, fmt.Sprintf("there is no site %q", label), "declare "+label+"._site, or correct the name", false)
		} else {
			r.def = b.localSite(s)
		}
	}
	for _, o := range b.spec.CountryOverrides {
		if b.spec.Policy != record.PolicyNearest {
			b.about(record.RuleTogether, "country", "", "only policy=nearest has sites for countries", "say policy=nearest", false)
			break
		}
		if s := b.names.site(o.Site); s == nil {
			b.about(RuleSiteUnknown, "country", o.Site, fmt.Sprintf("there is no site %q", o.Site), "declare "+o.Site+"._site, or correct the name", false)
		} else {
			b.localSite(s)
		}
	}
	for _, w := range b.spec.Weights {
		if !b.matches(w.What) {
			b.about(RuleWeight, "weight", w.What, fmt.Sprintf("nothing that is answered here is called %q", w.What), "name a site, a node or an address of this name's records", true)
		}
	}
}

// matches reports whether a site, node or address of that name has records.
func (b *ruleBuilder) matches(what string) bool {
	for f := range b.rule.family {
		for i := range b.rule.family[f].members {
			m := &b.rule.family[f].members[i]
			if m.addr.String() == what ||
				m.unit != noUnit && b.p.Nodes[m.unit].Name == what ||
				m.site != NoSite && b.p.Sites[b.rule.sites[m.site]].Name == what {
				return true
			}
		}
	}
	return false
}

// order compiles the steps of a failover.
func (b *ruleBuilder) order() {
	r := b.rule
	if b.spec.Policy != record.PolicyFailover {
		return
	}
	for _, what := range b.spec.Order {
		s := step{name: what, site: NoSite, record: [families]int{-1, -1}}
		if site := b.names.site(what); site != nil {
			s.site = b.localSite(site)
			if !b.matches(what) {
				b.about(RuleSiteEmpty, "order", what, fmt.Sprintf("the name has no record at the site %q", what), "give it one, or take the step away", true)
			}
		} else if !b.recordStep(&s, what) {
			b.about(RuleStepUnknown, "order", what, fmt.Sprintf("there is no site, node or address %q among the records of this name", what), "correct the name, or declare it", false)
			continue
		}
		r.steps = append(r.steps, s)
	}
}

// recordStep finds the record of a node or an address: one a family.
func (b *ruleBuilder) recordStep(s *step, what string) (ok bool) {
	for f := range b.rule.family {
		for i := range b.rule.family[f].members {
			m := &b.rule.family[f].members[i]
			if s.record[f] < 0 && (m.addr.String() == what || m.unit != noUnit && b.p.Nodes[m.unit].Name == what) {
				s.record[f] = i
				ok = true
			}
		}
	}
	return ok
}

// last compiles what empty= names.
func (b *ruleBuilder) last() {
	r := b.rule
	for _, a := range b.spec.EmptyAddrs {
		f := V4
		if a.Is6() {
			f = V6
		}
		r.lastResort[f] = wire.AppendRecord(r.lastResort[f], a.AsSlice())
	}
	if b.spec.Empty == record.EmptyHost {
		r.lastHost = []byte(b.spec.EmptyHost)
		if !b.z.Contains(r.lastHost) {
			b.problem(RuleLastResort, "empty", "the host of the last resort is not in this zone", "name one that is, or an address", false)
		}
	}
}

// rank gets the ranking for policy nearest.
func (b *ruleBuilder) rank() {
	r := b.rule
	if b.spec.Policy != record.PolicyNearest {
		return
	}
	if len(r.sites) == 0 {
		b.problem(RuleNoSite, "policy", "none of the records is at a site, so that none is nearest", "declare NAME._site with net= and at=", false)
		return
	}
	var stray []string
	for f := range r.family {
		for i := range r.family[f].members {
			m := &r.family[f].members[i]
			if n := b.names.nodeOf(m.addr); m.site == NoSite && (n == nil || n.spec.Site == "") {
				stray = append(stray, m.addr.String())
			}
		}
	}
	if len(stray) > 0 {
		b.problem(RuleStray, "policy", some(stray)+" at no site, and answered only when no site is up", "put it into the net= of a site", true)
	}
	if b.o.Rankings == nil || b.o.Advise {
		return
	}
	r.ranking = b.ranking()
}

// ranking is that of the rule's sites. Many names have the same sites, and the
// place of each in the Program tells them apart faster than all that it says.
func (b *ruleBuilder) ranking() *Ranking {
	var key []byte
	for _, at := range b.rule.sites {
		key = binary.BigEndian.AppendUint32(key, uint32(at))
	}
	for _, o := range b.spec.CountryOverrides {
		key = append(append(key, o.Country...), o.Site...)
		key = append(key, 0)
	}
	k := b.ranked[string(key)]
	if k == nil {
		k = b.o.Rankings.get(b.rankedSites())
		if b.ranked == nil {
			b.ranked = map[string]*Ranking{}
		}
		b.ranked[string(key)] = k
	}
	return k
}

// rankedSites are the rule's sites and what overrides them, for a Ranking.
func (b *ruleBuilder) rankedSites() (sites []rankedSite, overrides []override) {
	sites = make([]rankedSite, len(b.rule.sites))
	for i, at := range b.rule.sites {
		s := &b.p.Sites[at]
		sites[i] = rankedSite{
			placed: s.Placed, at: vectorOf(s.Lat, s.Lon),
			subdivisions: s.Subdivisions, countries: s.Countries, asns: s.ASNs, continents: s.Continents,
		}
	}
	for _, o := range b.spec.CountryOverrides {
		if s := b.names.site(o.Site); s != nil {
			overrides = append(overrides, override{o.Country, b.localSite(s)})
		}
	}
	return sites, overrides
}

// alias makes the rule for a CNAME that differs by site.
func (b *ruleBuilder) alias() {
	if _, ok := b.node.Set(wire.TypeCNAME); !ok {
		b.problem(RuleNoRecords, "cname", "the name has no CNAME, which would be the answer for those whom no site serves", "give it one", b.o.Lenient)
		return
	}
	if b.spec.Policy == record.PolicyAll {
		b.problem(record.RuleTogether, "policy", "cname= needs a policy that chooses one site", "say policy=nearest, or policy=failover with order=", false)
		return
	}
	r := b.begin()
	b.checkIDs() // What stands behind a name of others isn't probed.
	for _, n := range b.spec.CNAMEs {
		s := b.names.site(n.Site)
		if s == nil {
			b.about(RuleSiteUnknown, "cname", n.Site, fmt.Sprintf("there is no site %q", n.Site), "declare "+n.Site+"._site, or correct the name", false)
			continue
		}
		id := b.localSite(s)
		for len(r.cnames) <= int(id) {
			r.cnames = append(r.cnames, nil)
		}
		r.cnames[id] = wire.AppendRecord(nil, []byte(n.Target))
	}
	b.named()
	for _, what := range b.spec.Order {
		site := b.names.site(what)
		if site == nil {
			b.about(RuleStepUnknown, "order", what, fmt.Sprintf("there is no site %q", what), "declare it, or correct the name", false)
			continue
		}
		r.steps = append(r.steps, step{name: what, site: b.localSite(site), record: [families]int{-1, -1}})
	}
	for len(r.cnames) < len(r.sites) {
		r.cnames = append(r.cnames, nil)
	}
	b.rank()
	b.add()
}

// thin makes the rule for MX or SRV.
func (b *ruleBuilder) thin(t wire.Type) {
	s, ok := b.node.Set(t)
	if !ok {
		b.problem(RuleNoRecords, "type", "the name has no "+typeName(t)+" records", "give it some, or take the type away", b.o.Lenient)
		return
	}
	if b.spec.Policy != record.PolicyAll {
		b.problem(record.RuleTogether, "policy", typeName(t)+" records are only thinned: which of them are answered is not chosen by site", "leave policy= away", false)
		return
	}
	r := b.begin()
	r.thins = t
	checks := b.checkIDs()
	at := 2
	if t == wire.TypeSRV {
		at = 6
	}
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		records = rest
		r.hosts = append(r.hosts, b.host(data[at:], checks))
	}
	if len(r.hosts) > MaxMembers {
		b.problem(RuleTooMany, "", fmt.Sprintf("the name has %d records, more than %d", len(r.hosts), MaxMembers), "split the name", false)
		return
	}
	b.add()
}

// host compiles the target of an MX or SRV record.
func (b *ruleBuilder) host(target []byte, checks []int) host {
	h := host{name: slices.Clone(target), foreign: true}
	var name wire.Name
	if !name.Set(target) || !b.z.Contains(name.Bytes()) {
		return h
	}
	m := b.z.Lookup(&name)
	node := m.Node
	if m.Kind != 0 {
		wild, ok := b.z.Wildcard(&m)
		if !ok {
			return h
		}
		node = wild
	}
	for _, t := range [...]wire.Type{wire.TypeA, wire.TypeAAAA} {
		s, _ := node.Set(t)
		for records := s.Records; ; {
			data, rest, ok := wire.NextRecord(records)
			if !ok {
				break
			}
			records = rest
			a, _ := netip.AddrFromSlice(data)
			h.members = append(h.members, b.member(a, checks))
			h.foreign = false
		}
	}
	return h
}

// typeName names the types that are thinned.
func typeName(t wire.Type) string {
	if t == wire.TypeSRV {
		return "SRV"
	}
	return "MX"
}
