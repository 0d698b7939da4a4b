package steer

import (
	"slices"

	"geodns/internal/geo/place"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Problem is what is wrong with a zone's steering, or odd about it.
type Problem struct {
	// Owner is the record's, in wire form; Data is its RDATA, nil if the problem
	// is the owner's. At is the octet of its text.
	Owner []byte
	Data  []byte
	At    int
	// Rule is which kind of problem it is: one of the Rule constants here or in
	// package record.
	Rule string
	// Text says what is wrong, Remedy what to do.
	Text, Remedy string
	// Warning: the zone can be served as it is.
	Warning bool
}

func (p *Problem) Error() string {
	msg := wire.NameString(p.Owner) + ": " + p.Text
	if p.Remedy != "" {
		msg += "; " + p.Remedy
	}
	return msg
}

// Options are what a zone is compiled with.
type Options struct {
	// With finds a zone that is served here by its apex (wire form, lower
	// case), for with=; nil if there is none.
	With func(apex []byte) *zone.Zone
	// Rankings is the geography.
	Rankings *Rankings
	// Lenient is for zones that came by transfer or update: see record.Origin.
	Lenient bool
	// Last, with Lenient, is the text of the policy that served an owner (below
	// the apex) before; "": none did.
	Last func(owner []byte) string
	// Advise adds warnings of what works, though perhaps not as it was meant.
	// The Program is then to be read, not to be served by: it ranks no sites.
	Advise bool
}

// The subtrees of the steering records, below the apex.
var subtrees = [...]string{"\x05_site", "\x05_node", "\x06_check", "\x06_steer", "\x06_state"}

// Hidden reports whether a name below the apex, as zone.Node.Rel has it, is in
// one of the subtrees that only those may see who may transfer the zone.
func Hidden(rel []byte) bool {
	if len(rel) < 6 {
		return false
	}
	for i := 0; ; {
		n := 1 + int(rel[i])
		if i+n == len(rel) {
			return HiddenLabel(rel[i+1:])
		}
		i += n
	}
}

// HiddenLabel is Hidden for the label directly below the apex.
func HiddenLabel(label []byte) bool {
	if len(label) < 5 || label[0] != '_' {
		return false
	}
	switch string(label) {
	case "_site", "_node", "_check", "_steer", "_state":
		return true
	}
	return false
}

// Declared reports whether a zone has any steering records.
func Declared(z *zone.Zone) bool {
	return slices.ContainsFunc(subtrees[:], func(s string) bool {
		_, ok := z.Find(append([]byte(s), z.Apex()...))
		return ok
	})
}

// Compile compiles the steering of a zone. The Program is nil if there is none
// of it, or if one of the problems is no warning.
func Compile(z *zone.Zone, o Options) (*Program, []Problem) {
	if !Declared(z) {
		return nil, nil
	}
	c := &compiler{z: z, o: o, p: &Program{rankings: o.Rankings}, with: map[string]*declared{}, owned: map[string][]*Rule{}, targets: map[Target]uint32{}, told: map[string]bool{}, countries: map[int]string{}, specs: map[string]*record.Steer{}}
	if z.Signed() {
		c.problem(RuleSigned, z.Apex(), nil, 0, "the zone is signed, and steering would make its signatures wrong", "take the steering records or the signatures out", false)
		return nil, c.problems
	}
	c.own = c.declarations(z, true)
	if o.Lenient {
		c.forgive(0)
	}
	for i := range c.steers {
		if o.Lenient {
			c.lenient(&c.steers[i])
		} else {
			c.steer(&c.steers[i])
		}
	}
	if c.failed {
		return nil, c.problems
	}
	c.finish()
	if o.Advise {
		c.adviseUnused()
		c.adviseCapacities()
	}
	return c.p, c.problems
}

// compiler compiles one zone.
type compiler struct {
	z         *zone.Zone
	o         Options
	p         *Program
	own       *declared
	with      map[string]*declared     // by apex
	owned     map[string][]*Rule       // by owner
	specs     map[string]*record.Steer // by text
	targets   map[Target]uint32
	ranked    map[string]*Ranking // see ruleBuilder.ranking
	steers    []steering
	countries map[int]string         // see countryAt
	told      map[string]bool        // advice that is given once a zone
	centres   map[string]place.Place // see middles
	problems  []Problem
	failed    bool
	blind     bool // a site, node or check of the zone could not be read
}

// steering is one _steer record.
type steering struct {
	name  []byte // of the record, in wire form
	owner []byte // what it steers, below the apex
	data  []byte
}

// problem notes a problem. What seems to be missing is not told if some
// declaration could not be read: it may be that one.
func (c *compiler) problem(rule string, owner, data []byte, at int, text, remedy string, warning bool) {
	if c.blind && missing(rule) {
		c.failed = true
		return
	}
	c.problems = append(c.problems, Problem{Owner: owner, Data: data, At: at, Rule: rule, Text: text, Remedy: remedy, Warning: warning})
	c.failed = c.failed || !warning
}

// found takes over what is wrong with a record's text.
func (c *compiler) found(owner, data []byte, ps []record.Problem) (ok bool) {
	ok = true
	for _, p := range ps {
		c.problem(p.Rule, owner, data, p.At, p.Text, p.Remedy, p.Warning)
		ok = ok && p.Warning
	}
	return ok
}

// finish puts the rules in their index.
func (c *compiler) finish() {
	c.p.index = newIndex(len(c.p.rules))
	for i, r := range c.p.rules {
		r.Number = i
		c.p.index.add(c.z.Hash(r.Owner), r)
	}
	// Sites' units follow those of the nodes, all of which are known now.
	for _, r := range c.p.rules {
		for f := range r.family {
			c.settle(r.family[f].members)
		}
		for i := range r.hosts {
			c.settle(r.hosts[i].members)
		}
		c.spread(r)
	}
}

func (c *compiler) settle(members []member) {
	for i := range members {
		if m := &members[i]; m.siteUnit != noUnit {
			m.siteUnit = c.p.SiteUnit(int(m.siteUnit))
		}
	}
}

// steer compiles one record to one rule or two.
func (c *compiler) steer(s *steering) {
	text, ok := record.Join(s.data)
	if !ok {
		c.problem(record.RuleValue, s.name, s.data, 0, "the TXT record is malformed", "write it anew", false)
		return
	}
	spec := c.parsedSteer(s, text)
	if spec == nil {
		return
	}
	node, ok := c.steered(s)
	if !ok {
		return
	}
	b := &ruleBuilder{compiler: c, s: s, spec: spec, node: node, local: map[int]SiteID{}, said: len(c.problems)}
	if !b.scope() {
		return
	}
	b.build()
}

// parsedSteer parses a policy; nil: it can't be used. Policies of the same text,
// of which large zones have many, are parsed once.
func (c *compiler) parsedSteer(s *steering, text []byte) *record.Steer {
	if spec := c.specs[string(text)]; spec != nil {
		return spec
	}
	spec, ps := record.ParseSteer(text, record.Origin{Apex: c.z.Apex(), Lenient: c.o.Lenient})
	if !c.found(s.name, s.data, ps) {
		return nil
	}
	if len(ps) == 0 {
		c.specs[string(text)] = &spec
	}
	return &spec
}

// steered finds what a record steers.
func (c *compiler) steered(s *steering) (zone.Node, bool) {
	owner := append(slices.Clone(s.owner), c.z.Apex()...)
	var name wire.Name
	if !name.Set(owner) {
		c.problem(RuleName, s.name, s.data, 0, "the name is too long", "shorten it", false)
		return zone.Node{}, false
	}
	// A wildcard's owner is looked up as it stands.
	m := c.z.Lookup(&name)
	switch m.Kind {
	case zone.Cut:
		c.problem(RuleDelegated, s.name, s.data, 0, wire.NameString(owner)+" is delegated, so that others answer for it", "steer it in the zone that has it", false)
		return zone.Node{}, false
	case zone.Redirected:
		c.problem(RuleDelegated, s.name, s.data, 0, wire.NameString(owner)+" is below a DNAME, which answers for it", "steer what the DNAME leads to", false)
		return zone.Node{}, false
	case zone.Missing:
		c.problem(RuleNoRecords, s.name, s.data, 0, "there is no "+wire.NameString(owner)+" to steer", "give it A or AAAA records, or take this record away", c.o.Lenient)
		return zone.Node{}, false
	}
	return m.Node, true
}

// ruleBuilder makes rules of one record.
type ruleBuilder struct {
	*compiler
	s     *steering
	spec  *record.Steer
	node  zone.Node
	names *scopeOf
	local map[int]SiteID // Program.Sites -> rule-local
	rule  *Rule
	said  int // how many problems there were before this record
}

func (b *ruleBuilder) problem(rule, tag, text, remedy string, warning bool) {
	b.about(rule, tag, "", text, remedy, warning)
}

// about is problem for one of several values of a tag. What is wrong for two
// types of one record is told once.
func (b *ruleBuilder) about(rule, tag, value, text, remedy string, warning bool) {
	at := b.spec.Tags.Find(tag, value)
	if !slices.ContainsFunc(b.problems[b.said:], func(p Problem) bool { return p.At == at && p.Text == text }) {
		b.compiler.problem(rule, b.s.name, b.s.data, at, text, remedy, warning)
	}
}

// build makes a rule for the addresses or the alias, and one for each other
// type.
func (b *ruleBuilder) build() {
	types := b.spec.Types
	if len(b.spec.CNAMEs) > 0 {
		b.alias()
		return
	}
	if types == nil {
		if b.node.HasCNAME() {
			b.problem(RuleCNAMEOwner, "", "a CNAME answers for this name, which has nothing to choose from", "steer what the CNAME leads to, or say cname=SITE:TARGET", false)
			return
		}
		types = []wire.Type{wire.TypeA, wire.TypeAAAA}
	}
	b.addresses(slices.Contains(types, wire.TypeA), slices.Contains(types, wire.TypeAAAA), b.spec.Types == nil)
	for _, t := range types {
		switch t {
		case wire.TypeA, wire.TypeAAAA:
		case wire.TypeMX, wire.TypeSRV:
			b.thin(t)
		default:
			b.problem(RuleType, "type", "records of that type are not steered by themselves", "steer the addresses: the hints of HTTPS and SVCB follow them", false)
		}
	}
}

// begin starts a rule.
func (b *ruleBuilder) begin() *Rule {
	b.rule = &Rule{
		Owner: b.s.owner, Spec: b.spec, SteerName: wire.NameString(b.s.name),
		policy: b.spec.Policy, pick: b.spec.Pick, answers: b.spec.Answers, def: NoSite,
		certain: b.certain(),
	}
	clear(b.local)
	return b.rule
}

// add takes a finished rule into the program, unless its types are another's.
func (b *ruleBuilder) add() {
	r := b.rule
	for _, o := range b.owned[string(r.Owner)] {
		if o.overlaps(r) {
			b.problem(RuleOverlap, "type", "another record steers the same types of this name: "+o.SteerName, "say type= in each, or take one away", false)
			return
		}
	}
	b.p.rules = append(b.p.rules, r)
	b.owned[string(r.Owner)] = append(b.owned[string(r.Owner)], r)
	told := b.problems[b.said:]
	if b.o.Advise && !slices.ContainsFunc(told, func(p Problem) bool { return !p.Warning }) {
		b.advise()
	}
}

func (r *Rule) overlaps(o *Rule) bool {
	return r.family[V4].held && o.family[V4].held || r.family[V6].held && o.family[V6].held ||
		r.cnames != nil || o.cnames != nil || r.hosts != nil && o.hosts != nil && r.thins == o.thins
}
