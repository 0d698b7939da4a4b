package resolver_test

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The oracle: RFC 1034 4.3.2 by the letter over plain lists of records. Every
// question to the data is answered by looking through all of them. Names are
// text as miekg/dns unpacks them.

// plainZone is a zone as a list of records.
type plainZone struct {
	apex string
	rrs  []dns.RR
	// signed: a DS says something. The signatures and denials of a signed zone
	// are not the oracle's matter, but for who asks for them.
	signed bool
}

// at returns the records of a type at a name.
func (z *plainZone) at(name string, t uint16) (found []dns.RR) {
	for _, rr := range z.all(name) {
		if rr.Header().Rrtype == t {
			found = append(found, rr)
		}
	}
	return found
}

// all returns all records at a name.
func (z *plainZone) all(name string) (found []dns.RR) {
	for _, rr := range z.rrs {
		if strings.EqualFold(rr.Header().Name, name) {
			found = append(found, rr)
		}
	}
	return found
}

// exists: a name exists if it, or a name below it, owns a record (RFC 4592
// 2.2.2).
func (z *plainZone) exists(name string) bool {
	for _, rr := range z.rrs {
		if dns.IsSubDomain(name, rr.Header().Name) {
			return true
		}
	}
	return false
}

// up is a name without its first n labels.
func up(name string, n int) string {
	l := dns.SplitDomainName(name)
	if n >= len(l) {
		return "."
	}
	return strings.Join(l[n:], ".") + "."
}

// path lists the names from the apex down to name.
func (z *plainZone) path(name string) (names []string) {
	for n := dns.CountLabel(name) - dns.CountLabel(z.apex); n >= 0; n-- {
		names = append(names, up(name, n))
	}
	return names
}

// place is where the walk down to a name ends.
type place int

const (
	found place = iota
	missing
	delegated
	redirected
)

// walk is step 3 of RFC 1034 4.3.2: it goes down to name, and returns where
// that ended. For missing names that is the closest encloser (RFC 4592 3.3.1).
func (z *plainZone) walk(name string) (place, string) {
	encloser := z.apex
	for _, n := range z.path(name) {
		if !strings.EqualFold(n, z.apex) && len(z.at(n, dns.TypeNS)) > 0 {
			return delegated, n
		}
		if !strings.EqualFold(n, name) && len(z.at(n, dns.TypeDNAME)) > 0 {
			return redirected, n
		}
		if z.exists(n) {
			encloser = n
		}
	}
	if z.exists(name) {
		return found, name
	}
	return missing, encloser
}

// wildcardOf is the name of the source of synthesis below an encloser.
func wildcardOf(encloser string) string {
	if encloser == "." {
		return "*."
	}
	return "*." + encloser
}

// owned returns copies of records, with another owner.
func owned(rrs []dns.RR, name string) (copies []dns.RR) {
	for _, rr := range rrs {
		c := dns.Copy(rr)
		c.Header().Name = name
		copies = append(copies, c)
	}
	return copies
}

// expected is what the oracle says.
type expected struct {
	rcode int
	aa    bool
	// answer, authority and additional data of a reply without limit.
	answer, authority, additional []dns.RR
	// required is the part of additional that must not be missing without TC.
	required []dns.RR
}

// oracle answers questions.
type oracle struct {
	zones []*plainZone
	// most is how many aliases a server answers with.
	most int
}

// asked is a question with what else decides the answer.
type asked struct {
	name       string
	typ, class uint16
	do         bool
	partial    bool
	// choice is the type that an answer to ANY may be confined to (RFC 8482
	// 4.1), if partial.
	choice uint16
}

// zoneFor is step 2: the nearest ancestor of the name, but of two sides of a
// cut the upper one for DS (RFC 4035 3.1.4.1).
func (o *oracle) zoneFor(name string, t uint16) (best *plainZone) {
	var above *plainZone
	for _, z := range o.zones {
		if !dns.IsSubDomain(z.apex, name) {
			continue
		}
		if best == nil || dns.CountLabel(z.apex) > dns.CountLabel(best.apex) {
			best = z
		}
		if !strings.EqualFold(z.apex, name) && (above == nil || dns.CountLabel(z.apex) > dns.CountLabel(above.apex)) {
			above = z
		}
	}
	if t == dns.TypeDS && above != nil {
		if where, cut := above.walk(name); where != delegated || strings.EqualFold(cut, name) {
			return above
		}
	}
	return best
}

func (o *oracle) ask(q asked) *expected {
	z := o.zoneFor(q.name, q.typ)
	if z == nil {
		return &expected{rcode: dns.RcodeRefused}
	}
	// RFC 1034 6.2.2: of class *, an answer is never authoritative.
	e := &expected{aa: q.class == dns.ClassINET}
	name, been := q.name, map[string]bool{}
	for n := 0; n < o.most && dns.IsSubDomain(z.apex, name) && !been[strings.ToLower(name)]; n++ {
		been[strings.ToLower(name)] = true
		next := z.step(e, q, name)
		if next == "" {
			break
		}
		name = next
	}
	z.extras(e)
	return e
}

// step answers for one name. It returns the name to go on with, if any.
func (z *plainZone) step(e *expected, q asked, name string) (next string) {
	where, node := z.walk(name)
	switch where {
	case delegated:
		if q.typ != dns.TypeDS || !strings.EqualFold(node, name) {
			z.refer(e, q, node, z.all(node))
			return ""
		}
		return z.match(e, q, name, z.all(name))
	case redirected:
		return z.redirect(e, q, name, node)
	case missing:
		source := wildcardOf(node)
		if !z.exists(source) {
			e.rcode = dns.RcodeNameError
			z.negative(e)
			return ""
		}
		rrs := owned(z.all(source), name)
		if len(z.at(source, dns.TypeNS)) > 0 && q.typ != dns.TypeDS {
			// RFC 4592 4.2 leaves it open. We delegate each name.
			z.refer(e, q, name, rrs)
			return ""
		}
		return z.match(e, q, name, rrs)
	}
	return z.match(e, q, name, z.all(name))
}

// only returns the records of a type.
func only(rrs []dns.RR, t uint16) (some []dns.RR) {
	for _, rr := range rrs {
		if rr.Header().Rrtype == t {
			some = append(some, rr)
		}
	}
	return some
}

// match is step 3a, over the records of a node.
func (z *plainZone) match(e *expected, q asked, name string, rrs []dns.RR) (next string) {
	of := func(t uint16) []dns.RR { return only(rrs, t) }
	hit := of(q.typ)
	if q.typ == dns.TypeANY {
		hit = rrs
		if q.partial {
			hit = of(q.choice)
		}
	}
	if len(hit) > 0 {
		e.answer = append(e.answer, hit...)
		return ""
	}
	if alias := of(dns.TypeCNAME); len(alias) > 0 {
		e.answer = append(e.answer, alias...)
		return alias[0].(*dns.CNAME).Target
	}
	z.negative(e)
	return ""
}

// redirect is RFC 6672 3.2, step 3C.
func (z *plainZone) redirect(e *expected, q asked, name, at string) (next string) {
	d := z.at(at, dns.TypeDNAME)[0].(*dns.DNAME)
	if !slices.ContainsFunc(e.answer, func(rr dns.RR) bool { return dns.IsDuplicate(rr, d) }) {
		e.answer = append(e.answer, d)
	}
	l := dns.SplitDomainName(name)
	l = l[:len(l)-dns.CountLabel(at)]
	to := strings.Join(l, ".") + "."
	if d.Target != "." {
		to += d.Target
	}
	if !fits(to) {
		e.rcode = dns.RcodeYXDomain
		return ""
	}
	e.answer = append(e.answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: d.Hdr.Ttl},
		Target: to,
	})
	if q.typ == dns.TypeCNAME {
		return ""
	}
	return to
}

// negative adds the SOA, with the TTL of RFC 2308 3 and 5.
func (z *plainZone) negative(e *expected) {
	soa := dns.Copy(z.at(z.apex, dns.TypeSOA)[0]).(*dns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	e.authority = append(e.authority, soa)
}

// refer is step 3b, with the DS of RFC 4035 3.1.4. In an unsigned zone a DS
// proves nothing, and is only answered when asked for.
func (z *plainZone) refer(e *expected, q asked, cut string, rrs []dns.RR) {
	if len(e.answer) == 0 {
		e.aa = false
	}
	ns := only(rrs, dns.TypeNS)
	e.authority = append(e.authority, ns...)
	if q.do && z.signed {
		e.authority = append(e.authority, only(rrs, dns.TypeDS)...)
	}
	for _, rr := range ns {
		target := rr.(*dns.NS).Ns
		for _, a := range z.addresses(target) {
			// RFC 9471 3.1.
			if add(e, a) && dns.IsSubDomain(cut, target) {
				e.required = append(e.required, a)
			}
		}
	}
}

// add puts a record into the additional section, unless the reply has it.
func add(e *expected, rr dns.RR) bool {
	for _, have := range [][]dns.RR{e.answer, e.additional} {
		if slices.ContainsFunc(have, func(h dns.RR) bool { return dns.IsDuplicate(h, rr) }) {
			return false
		}
	}
	e.additional = append(e.additional, rr)
	return true
}

// available returns what the zone can say of a name's records: its own, a
// wildcard's, or glue.
func (z *plainZone) available(name string) []dns.RR {
	if !dns.IsSubDomain(z.apex, name) {
		return nil
	}
	switch where, node := z.walk(name); where {
	case found, delegated:
		return z.all(name)
	case missing:
		if source := wildcardOf(node); len(z.at(source, dns.TypeNS)) == 0 {
			return owned(z.all(source), name)
		}
	}
	return nil
}

func (z *plainZone) addresses(name string) []dns.RR {
	rrs := z.available(name)
	return append(only(rrs, dns.TypeA), only(rrs, dns.TypeAAAA)...)
}

// extras is step 6, with what RFC 1035 3.3.9 and 3.3.11, RFC 2782 and RFC 9460
// 4.1 want of it.
func (z *plainZone) extras(e *expected) {
	for i := 0; i < len(e.answer)+len(e.additional); i++ {
		rr := append(slices.Clone(e.answer), e.additional...)[i]
		if i >= len(e.answer) && rr.Header().Rrtype != dns.TypeSVCB && rr.Header().Rrtype != dns.TypeHTTPS {
			continue
		}
		target := ""
		switch rr := rr.(type) {
		case *dns.NS:
			target = rr.Ns
		case *dns.MX:
			target = rr.Mx
		case *dns.SRV:
			target = rr.Target
		case *dns.SVCB:
			target = z.service(e, rr)
		case *dns.HTTPS:
			target = z.service(e, &rr.SVCB)
		}
		if target == "" {
			continue
		}
		for _, a := range z.addresses(target) {
			add(e, a)
		}
	}
}

// service returns whose addresses go with a SVCB record, and adds the records
// that an alias leads to.
func (z *plainZone) service(e *expected, rr *dns.SVCB) (target string) {
	switch {
	case rr.Target != ".":
		target = rr.Target
	case rr.Priority != 0:
		target = rr.Hdr.Name // RFC 9460 2.5.2
	default:
		return "" // RFC 9460 2.5.1: there is no such service
	}
	if rr.Priority == 0 {
		for _, s := range only(z.available(target), rr.Hdr.Rrtype) {
			add(e, s)
		}
	}
	return target
}
