package steer

import (
	"fmt"
	"net/netip"
	"slices"

	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// declared are the sites, nodes and checks of one zone, by label.
type declared struct {
	apex   []byte
	sites  map[string]*item[record.Site]
	nodes  map[string]*item[record.Node]
	checks map[string]*item[record.Check]
	// nets finds the site of an address; lengths are those that nets has, the
	// longest first.
	nets    map[netip.Prefix]*item[record.Site]
	lengths []int
	addrs   map[netip.Addr]*item[record.Node]
}

// item is a declaration, and its place in the Program once something uses it.
type item[T any] struct {
	label string
	zone  string // apex, for people
	owner []byte // wire form
	data  []byte
	spec  T
	at    int // in Program.Sites, Nodes or Checks; -1: not used yet
}

// declarations reads the subtrees of a zone. own: it is the zone that is being
// compiled, whose problems count, and whose _steer records are wanted.
func (c *compiler) declarations(z *zone.Zone, own bool) *declared {
	d := &declared{
		apex:  z.Apex(),
		sites: map[string]*item[record.Site]{}, nodes: map[string]*item[record.Node]{}, checks: map[string]*item[record.Check]{},
		nets: map[netip.Prefix]*item[record.Site]{}, addrs: map[netip.Addr]*item[record.Node]{},
	}
	var found []raw
	z.Each(func(owner []byte, s *zone.RRset) bool {
		if rel := owner[:len(owner)-len(d.apex)]; Hidden(rel) {
			found = append(found, raw{slices.Clone(owner), len(rel), s.Type, s.TTL, s.Records})
		}
		return true
	})
	// In the order of their names, so that messages come in the same order.
	slices.SortFunc(found, func(a, b raw) int { return slices.Compare(a.owner, b.owner) })
	for i := range found {
		c.declare(z, d, &found[i], own)
	}
	d.index(c, own)
	return d
}

// raw is an RRset below one of the subtrees.
type raw struct {
	owner   []byte
	rel     int // length of the part below the apex
	typ     wire.Type
	ttl     uint32
	records []byte
}

// subtree splits a name below the apex: what stands before the subtree's
// label, and that label.
func (r *raw) subtree() (head []byte, label string) {
	at := 0
	for i := 0; i < r.rel; i += 1 + int(r.owner[i]) {
		at = i
	}
	return r.owner[:at], string(r.owner[at+1 : r.rel])
}

func (c *compiler) declare(z *zone.Zone, d *declared, r *raw, own bool) {
	head, subtree := r.subtree()
	report := func(rule string, data []byte, text, remedy string, warning bool) {
		if own {
			c.problem(rule, r.owner, data, 0, text, remedy, warning)
			c.blind = c.blind || !warning && subtree != "_steer"
		}
	}
	if subtree == "_steer" {
		if own {
			c.declareSteer(z, r, head, report)
		}
		return
	}
	if subtree == "_state" {
		if own {
			c.command(d.apex, r, head)
		}
		return
	}
	data, rest, _ := wire.NextRecord(r.records)
	if r.typ != wire.TypeTXT {
		report(RuleOtherType, data, "only TXT records belong here", "take this one away", true)
		return
	}
	if len(head) == 0 || 1+int(head[0]) != len(head) {
		report(RuleName, data, "a name here is one label and "+subtree, "write it as NAME."+subtree, false)
		return
	}
	if len(rest) > 0 {
		second, _, _ := wire.NextRecord(rest)
		report(RuleSeveral, second, "there are several records of this name", "keep one: its strings may be joined", false)
		return
	}
	text, ok := record.Join(data)
	if !ok {
		report(record.RuleValue, data, "the TXT record is malformed", "write it anew", false)
		return
	}
	o := record.Origin{Apex: d.apex, Lenient: c.o.Lenient}
	label := string(head[1:])
	apex := wire.NameString(d.apex)
	switch subtree {
	case "_site":
		spec, ps := record.ParseSite(text, o)
		if c.parsed(r, data, ps, own) {
			d.sites[label] = &item[record.Site]{label, apex, r.owner, data, spec, -1}
		}
	case "_node":
		spec, ps := record.ParseNode(text, o)
		if c.parsed(r, data, ps, own) {
			d.nodes[label] = &item[record.Node]{label, apex, r.owner, data, spec, -1}
		}
	case "_check":
		spec, ps := record.ParseCheck(text, o)
		if c.parsed(r, data, ps, own) {
			d.checks[label] = &item[record.Check]{label, apex, r.owner, data, spec, -1}
		}
	}
}

// parsed reports whether a record can be used; problems of another zone are
// that zone's to tell.
func (c *compiler) parsed(r *raw, data []byte, ps []record.Problem, own bool) bool {
	if own {
		ok := c.found(r.owner, data, ps)
		c.blind = c.blind || !ok
		return ok
	}
	return !slices.ContainsFunc(ps, func(p record.Problem) bool { return !p.Warning })
}

// declareSteer notes the policies of an owner: its own records, or those that
// a CNAME shares with it.
func (c *compiler) declareSteer(z *zone.Zone, r *raw, head []byte, report func(rule string, data []byte, text, remedy string, warning bool)) {
	records := r.records
	first, _, _ := wire.NextRecord(records)
	switch r.typ {
	case wire.TypeTXT:
	case wire.TypeCNAME:
		var ok bool
		if records, ok = c.shared(z, r); !ok {
			report(RuleShared, first, "the CNAME leads to no _steer record of this zone", "let it lead to NAME._steer."+wire.NameString(z.Apex())+", which has a TXT record", false)
			return
		}
	default:
		report(RuleOtherType, first, "only TXT records, or one CNAME, belong here", "take this one away", true)
		return
	}
	for {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return
		}
		c.steers = append(c.steers, steering{name: r.owner, owner: head, data: data})
		records = rest
	}
}

// shared follows the CNAME of a _steer name to another's TXT records.
func (c *compiler) shared(z *zone.Zone, r *raw) ([]byte, bool) {
	target, _, _ := wire.NextRecord(r.records)
	var name wire.Name
	if !name.Set(target) || !z.Contains(name.Bytes()) {
		return nil, false
	}
	lower := name.Bytes()
	if to := (raw{owner: lower, rel: len(lower) - len(z.Apex())}); !Hidden(lower[:to.rel]) {
		return nil, false
	} else if _, subtree := to.subtree(); subtree != "_steer" {
		return nil, false
	}
	n, ok := z.Find(lower)
	if !ok {
		return nil, false
	}
	s, ok := n.Set(wire.TypeTXT)
	return s.Records, ok
}

// index makes nets and addrs.
func (d *declared) index(c *compiler, own bool) {
	lengths := map[int]bool{}
	for _, s := range sorted(d.sites) {
		for _, net := range s.spec.Nets {
			if o := d.nets[net]; o != nil && own {
				c.problem(RuleNetTwice, s.owner, s.data, s.spec.Tags.Find("net", net.String()), fmt.Sprintf("the site %q has the net %s too", o.label, net), "leave it to one of them", false)
			}
			d.nets[net] = s
			lengths[netLength(net)] = true
		}
	}
	for n := range lengths {
		d.lengths = append(d.lengths, n)
	}
	slices.Sort(d.lengths)
	slices.Reverse(d.lengths)
	for _, n := range sorted(d.nodes) {
		for _, a := range n.spec.Addrs {
			if o := d.addrs[a]; o != nil && own {
				c.problem(RuleAddressTwice, n.owner, n.data, n.spec.Tags.Find("addr", a.String()), fmt.Sprintf("the node %q has the address %s too", o.label, a), "leave it to one of them", false)
			}
			d.addrs[a] = n
		}
		if site := n.spec.Site; site != "" && d.sites[site] == nil && own {
			c.problem(RuleSiteUnknown, n.owner, n.data, n.spec.Tags.Find("site", ""), fmt.Sprintf("there is no site %q in this zone", site), "declare "+site+"._site, or take site= away", false)
		}
	}
}

// netLength orders the lengths of both families in one list.
func netLength(p netip.Prefix) int {
	if p.Addr().Is4() {
		return p.Bits()
	}
	return 1000 + p.Bits()
}

// siteOf finds the site whose prefix holds an address, by the longest match.
func (d *declared) siteOf(a netip.Addr) *item[record.Site] {
	for _, n := range d.lengths {
		if a.Is4() != (n < 1000) {
			continue
		}
		p, err := a.Prefix(n % 1000)
		if err != nil {
			continue
		}
		if s := d.nets[p]; s != nil {
			return s
		}
	}
	return nil
}

// sorted are the items by their labels.
func sorted[T any](m map[string]*item[T]) []*item[T] {
	labels := make([]string, 0, len(m))
	for l := range m {
		labels = append(labels, l)
	}
	slices.Sort(labels)
	out := make([]*item[T], len(labels))
	for i, l := range labels {
		out[i] = m[l]
	}
	return out
}

// scopeOf is where a policy looks for names: its own zone, then that of with=.
type scopeOf struct{ own, with *declared }

func (s *scopeOf) each(f func(*declared) bool) {
	if !f(s.own) && s.with != nil {
		f(s.with)
	}
}

func (s *scopeOf) site(label string) (found *item[record.Site]) {
	s.each(func(d *declared) bool { found = d.sites[label]; return found != nil })
	return found
}

func (s *scopeOf) check(label string) (found *item[record.Check]) {
	s.each(func(d *declared) bool { found = d.checks[label]; return found != nil })
	return found
}

func (s *scopeOf) nodeOf(a netip.Addr) (found *item[record.Node]) {
	s.each(func(d *declared) bool { found = d.addrs[a]; return found != nil })
	return found
}

// siteOf is that of a node by its site=, else the site whose net has the
// address.
func (s *scopeOf) siteOf(a netip.Addr, n *item[record.Node]) (found *item[record.Site]) {
	if n != nil && n.spec.Site != "" {
		return s.site(n.spec.Site)
	}
	s.each(func(d *declared) bool { found = d.siteOf(a); return found != nil })
	return found
}

// scope finds the zone of with=.
func (b *ruleBuilder) scope() bool {
	b.names = &scopeOf{own: b.own}
	if b.spec.With == "" {
		return true
	}
	apex := string(b.spec.With)
	if d := b.with[apex]; d != nil {
		b.names.with = d
		return true
	}
	var z *zone.Zone
	if b.o.With != nil {
		z = b.o.With([]byte(apex))
	}
	if !slices.ContainsFunc(b.p.with, func(known []byte) bool { return string(known) == apex }) {
		b.p.with, b.p.withs = append(b.p.with, []byte(apex)), append(b.p.withs, z)
	}
	if z == nil {
		b.problem(RuleWith, "with", "the zone "+wire.NameString([]byte(apex))+" is not served here", "serve it, or declare here what is taken from it", b.o.Lenient)
		return b.o.Lenient
	}
	b.with[apex] = b.declarations(z, false)
	b.names.with = b.with[apex]
	return true
}
