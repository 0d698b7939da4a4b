package record

import (
	"slices"
	"strings"

	"geodns/internal/wire"
)

// steerWhole looks at what several tags decide together. It is silent about
// what depends on a policy, pick or type that could not be read.
func (p *parser) steerWhole(s *Steer) {
	if s.Policy != PolicyAll || p.readable("policy", "all") {
		p.wholePolicy(s)
	}
	if t := p.tag("weight"); t != nil && (s.Pick == PickSticky || s.Pick == PickRotate && p.readable("pick", "rotate")) {
		p.clash(t.At, t.Key, "weight= is only for pick=weighted, and the pick is "+pickWords[s.Pick], "write pick=weighted, or remove the weights")
	}
	p.wholeThin(s)
	p.wholeCNAME(s)
}

// readable reports whether a tag was left out, or says the word that its zero
// value stands for.
func (p *parser) readable(key, zero string) bool {
	t := p.tag(key)
	return t == nil || strings.EqualFold(t.Value, zero)
}

func (p *parser) wholePolicy(s *Steer) {
	policy := policyWords[s.Policy]
	if s.Policy == PolicyFailover && p.tag("order") == nil {
		p.lacks(p.tag("policy").ValueAt, "policy", "policy=failover has no order=", "add the sites, nodes or addresses with the preferred one first, as in order=lon,nyc")
	}
	only := func(key string, with ...Policy) {
		t := p.tag(key)
		if t == nil || slices.Contains(with, s.Policy) {
			return
		}
		words := make([]string, len(with))
		for i, w := range with {
			words[i] = "policy=" + policyWords[w]
		}
		p.clash(t.At, key, key+"= is only for "+strings.Join(words, " and ")+", and the policy is "+policy, "write "+words[0]+", or remove it")
	}
	only("order", PolicyFailover)
	only("failback", PolicyFailover)
	only("lead", PolicyFailover)
	only("default", PolicyNearest)
	only("country", PolicyNearest, PolicyAll)
	if t := p.tag("lead"); t != nil && s.LeadSelf && s.Policy == PolicyFailover && s.Failback.Mode != FailbackManual {
		p.clash(t.At, t.Key, "lead=self is only for failback=manual", "write failback=manual, or remove it: without it every server decides by itself")
	}
}

// wholeThin looks at policies for types that are only thinned: a record is left
// out if its target has no live address, nothing else.
func (p *parser) wholeThin(s *Steer) {
	thin, thick := "", false
	for _, t := range s.Types {
		for _, k := range steered {
			switch {
			case k.t != t:
			case !k.thin:
				thick = true
			case thin == "":
				thin = k.name
			}
		}
	}
	if thin == "" {
		return
	}
	if s.Policy == PolicyFailover {
		p.clash(p.tag("policy").ValueAt, "policy", "policy=failover is not for "+thin+" records", "remove it and use their own priorities; they are thinned by check=")
		return // or its order= were told too
	}
	if s.Empty == EmptyAddress || s.Empty == EmptyHost {
		p.clash(p.tag("empty").ValueAt, "empty", "empty= with an address or host is not for "+thin+" records", "write empty=all, none or hold, or steer "+thin+" by a record of its own")
	}
	if thick || p.errors > 0 {
		return
	}
	for _, key := range []string{"policy", "default", "country", "floor", "pick", "weight", "ramp"} {
		if t := p.tag(key); t != nil && (key != "policy" || s.Policy != PolicyAll) && (key != "pick" || s.Pick != PickRotate) {
			p.add(true, RuleNoEffect, t.At, key, key+"= does nothing for "+thin+" records, which are only thinned", "remove it")
		}
	}
}

// wholeCNAME looks at policies of an owner with a CNAME, which has no other
// data (RFC 1034 3.6.2).
func (p *parser) wholeCNAME(s *Steer) {
	t := p.tag("cname")
	if t == nil {
		return
	}
	if t := p.tag("type"); t != nil {
		p.clash(t.At, t.Key, "type= stands beside cname=", "remove it: a CNAME answers for every type")
	}
	if t := p.tag("answers"); t != nil && s.Answers > 1 {
		p.clash(t.ValueAt, t.Key, "answers= stands beside cname=", "remove it: a name has one CNAME (RFC 2181 10.1)")
	}
	if s.Empty == EmptyAddress {
		p.clash(p.tag("empty").ValueAt, "empty", "empty= with an address stands beside cname=", "write the name of a host")
	}
}

// Steers reports whether the record is for a type: it says so, or it says no
// type at all and the type is A or AAAA.
func (s *Steer) Steers(t wire.Type) bool {
	if s.Types == nil {
		return t == wire.TypeA || t == wire.TypeAAAA
	}
	return slices.Contains(s.Types, t)
}
