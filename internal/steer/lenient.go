package steer

import (
	"slices"

	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// What comes by transfer is served, whatever its steering says: one policy that
// can't be compiled is no reason to leave the zone, or its other policies, out.

// lenient compiles one record, or what served before in its place.
func (c *compiler) lenient(s *steering) {
	problems, rules := len(c.problems), len(c.p.rules)
	if c.steer(s); !c.failed {
		return
	}
	c.withdraw(problems, rules)
	if c.o.Last != nil {
		if text := c.o.Last(s.owner); text != "" {
			said := len(c.problems)
			c.steer(&steering{name: s.name, owner: s.owner, data: wire.AppendText(nil, text)})
			if !c.failed {
				c.instead(s, "its last good version goes on")
				return
			}
			c.withdraw(said, rules)
			c.problems = c.problems[:said]
		}
	}
	// A failover that answered all of its steps would answer two writers.
	if c.isFailover(s) && c.block(s) {
		c.instead(s, "the name is answered SERVFAIL, since not all of its records may be")
		return
	}
	c.instead(s, "all records of the name are answered")
}

// isFailover reports whether a record that can't be compiled is one, as far as it
// can be read.
func (c *compiler) isFailover(s *steering) bool {
	text, ok := record.Join(s.data)
	if !ok {
		return false
	}
	spec, _ := record.ParseSteer(text, record.Origin{Apex: c.z.Apex(), Lenient: true})
	return spec.Policy == record.PolicyFailover
}

// RuleInstead is the rule of a warning that says what is done instead.
const RuleInstead = "policy-instead"

func (c *compiler) instead(s *steering, text string) {
	c.problem(RuleInstead, s.name, s.data, 0, "the policy can't be used here: "+text, "correct it at the primary", true)
}

// withdraw takes back the rules from some number on, and makes warnings of what
// was found since.
func (c *compiler) withdraw(problems, rules int) {
	for _, r := range c.p.rules[rules:] {
		key := string(r.Owner)
		c.owned[key] = slices.DeleteFunc(c.owned[key], func(o *Rule) bool { return o == r })
	}
	c.p.rules = c.p.rules[:rules]
	c.forgive(problems)
}

// forgive makes warnings of the problems from some number on.
func (c *compiler) forgive(from int) {
	for i := range c.problems[from:] {
		c.problems[from+i].Warning = true
	}
	c.failed = false
}

// block makes a rule that lets nothing be answered. false: there is nothing to
// answer anyway.
func (c *compiler) block(s *steering) bool {
	var name wire.Name
	if !name.Set(append(slices.Clone(s.owner), c.z.Apex()...)) {
		return false
	}
	m := c.z.Lookup(&name)
	if m.Kind != zone.Exact {
		return false
	}
	r := &Rule{
		Owner: s.owner, Spec: &record.Steer{Policy: record.PolicyFailover}, SteerName: wire.NameString(s.name),
		policy: record.PolicyFailover, def: NoSite, blocked: true,
	}
	for f, t := range [families]wire.Type{V4: wire.TypeA, V6: wire.TypeAAAA} {
		_, r.family[f].held = m.Node.Set(t)
	}
	if !r.family[V4].held && !r.family[V6].held {
		return false
	}
	c.p.rules = append(c.p.rules, r)
	c.owned[string(r.Owner)] = append(c.owned[string(r.Owner)], r)
	return true
}

// TextOf is the policy of an owner (below the apex) as it may be written; "": it
// has none, or none that could be compiled.
func (p *Program) TextOf(owner []byte) string {
	if p == nil {
		return ""
	}
	for _, r := range p.rules {
		if string(r.Owner) == string(owner) && !r.blocked {
			return r.Spec.String()
		}
	}
	return ""
}
