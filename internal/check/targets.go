package check

import (
	"fmt"

	"geodns/internal/wire"
)

// pointer is a type whose records point to hosts.
type pointer struct {
	what        string
	alias, none rule
	// mayAlias: an alias is as good as a host.
	mayAlias bool
}

var (
	nsPointer   = pointer{what: "name server", alias: nsCNAME, none: nsNoAddress}
	mxPointer   = pointer{what: "mail exchanger", alias: mxCNAME, none: mxNoAddress}
	srvPointer  = pointer{what: "SRV target", alias: srvCNAME, none: srvNoAddress}
	svcbPointer = pointer{what: "service target", alias: svcbNoAddress, none: svcbNoAddress, mayAlias: true}
)

// targetOf is the host that a record points to; nil: it points to none.
func targetOf(t wire.Type, data []byte) []byte {
	at := 0
	switch t {
	case wire.TypeNS, wire.TypePTR, wire.TypeCNAME, wire.TypeDNAME:
	case wire.TypeMX, wire.TypeSVCB, wire.TypeHTTPS:
		at = 2
	case wire.TypeSRV:
		at = 6
	default:
		return nil
	}
	if len(data) < at {
		return nil
	}
	return data[at : at+wire.NameLen(data[at:])]
}

// isRoot reports whether a target is ".", which says that there is none.
func isRoot(name []byte) bool { return len(name) == 1 }

// targets looks at the hosts that a name's records point to.
func (c *checker) targets(n *node) {
	for i := range n.sets {
		s := &n.sets[i]
		switch s.typ {
		case wire.TypeMX:
			c.pointers(s, mxPointer)
			c.nullAlone(s, mxNull, "a null MX says that there is no mail, but there is another MX beside it", "remove one of the two (RFC 7505 3)")
		case wire.TypeSRV:
			c.pointers(s, srvPointer)
			c.nullAlone(s, srvNull, "a SRV with the target . says that there is no such service, but there is another SRV beside it", "remove one of the two (RFC 2782)")
		case wire.TypePTR:
			for _, r := range s.recs {
				c.plain(r, "PTR target")
			}
		}
	}
}

func (c *checker) pointers(s *set, p pointer) {
	for _, r := range s.recs {
		target := targetOf(s.typ, c.z.data(r))
		if len(target) > 0 && !isRoot(target) {
			c.follow(r, target, p)
		}
	}
}

// nullAlone looks whether a record that says "none" stands beside others.
func (c *checker) nullAlone(s *set, r rule, message, remedy string) {
	for _, rec := range s.recs {
		if len(s.recs) > 1 && isRoot(targetOf(s.typ, c.z.data(rec))) {
			c.at(r, rec, message, remedy)
		}
	}
}

// follow looks whether a target is a host.
func (c *checker) follow(r recID, target []byte, p pointer) {
	if c.numeric(r, target, p.what) {
		return
	}
	z := c.z
	name := "the " + p.what + " " + text(target)
	switch k, n := z.resolve(target); {
	case k == redirected && !p.mayAlias:
		c.at(p.alias, r, name+" is below the DNAME "+text(z.owner(n))+", so that it is an alias", "name the host itself")
	case k == missing:
		c.at(p.none, r, name+" does not exist", c.dotOr(target, k, "add its A or AAAA record, or correct the name"))
	case k != exists && k != wildcard:
		c.hostTarget(r, target, p.what)
	case z.has(n, hasCNAME) && p.mayAlias:
	case z.has(n, hasCNAME):
		c.at(p.alias, r, name+" is an alias", "name what the CNAME at "+text(z.owner(n))+" leads to")
	case !z.has(n, hasAddress):
		c.at(p.none, r, name+" has no address", c.dotOr(target, k, "add its A or AAAA record"))
	default:
		c.plain(r, p.what)
	}
}

// plain looks at a target that is used as it stands.
func (c *checker) plain(r recID, what string) {
	target := targetOf(c.z.rec(r).typ, c.z.data(r))
	if c.numeric(r, target, what) {
		return
	}
	k, _ := c.z.resolve(target)
	if meant, ok := c.unfinished(target, k); ok {
		c.at(finalDot, r, "the "+what+" "+text(target)+" seems to lack its final dot", "write "+text(meant)+" if that is meant")
		return
	}
	c.hostTarget(r, target, what)
}

// numeric notes an address that stands for a name.
func (c *checker) numeric(r recID, target []byte, what string) bool {
	if !looksLikeAddress(target, c.z.apex) {
		return false
	}
	c.at(ipAsName, r, "the "+what+" "+text(target)+" looks like an address, but a name must stand there", "give the host a name with an A or AAAA record, and write that name")
	return true
}

// hostTarget looks whether a target can be a host's name.
func (c *checker) hostTarget(r recID, target []byte, what string) {
	p := c.z.rec(r)
	good := isHostName(target) && !(isRoot(target) && p.typ == wire.TypeNS)
	switch p.typ {
	case wire.TypeNS, wire.TypeMX, wire.TypeSRV:
	case wire.TypePTR:
		good = good || !inReverse(c.z.owner(p.owner))
	default:
		return // RFC 9460 2.3: a service may have any name
	}
	if good {
		return
	}
	c.at(targetName, r, "the "+what+" "+text(target)+" is no host name", "use letters, digits, and hyphens between them (RFC 1123 2.1)")
}

// maxAliases is how many CNAMEs in a row most resolvers follow without
// complaint.
const maxAliases = 8

// manyAliases is where following ends.
const manyAliases = 64

// aliases looks at where a name's CNAME or DNAME leads.
func (c *checker) aliases(n *node) {
	if recs := n.get(wire.TypeCNAME); recs != nil {
		c.alias(n, recs[0])
	}
	if recs := n.get(wire.TypeDNAME); recs != nil {
		target := c.z.data(recs[0])
		switch {
		case c.numeric(recs[0], target, "DNAME target"):
		case in(target, n.owner) && len(n.owner) > 1:
			// RFC 6672 2.2: each substitution would make the name longer.
			c.at(dnameLoop, recs[0], "the DNAME leads to "+text(target)+", which is not outside of "+text(n.owner)+" itself", "let it lead elsewhere")
		case c.repeats(target):
			c.plain(recs[0], "DNAME target")
		}
	}
}

func (c *checker) alias(n *node, r recID) {
	z := c.z
	target := z.data(r)
	if c.numeric(r, target, "CNAME target") {
		return
	}
	steps := 1
	for at := target; ; steps++ {
		k, next := z.resolve(at)
		if steps == 1 && c.dangling(r, target, k, next) {
			return
		}
		if k != exists && k != wildcard || !z.has(next, hasCNAME) {
			break
		}
		if next == n.id {
			c.at(cnameLoop, r, "the CNAME leads back to itself"+after(steps), "let it lead to a name with data")
			return
		}
		if steps == manyAliases {
			c.at(cnameChain, r, fmt.Sprintf("the CNAME begins a chain of %d CNAMEs, or one that loops", steps), "let it lead to the last name at once")
			return
		}
		at = z.data(z.set(next, wire.TypeCNAME))
	}
	if steps > maxAliases {
		c.at(cnameChain, r, fmt.Sprintf("the CNAME begins a chain of %d CNAMEs, and resolvers give up on long ones", steps), "let it lead to the last name at once")
		return
	}
	if c.repeats(target) {
		c.plain(r, "CNAME target")
	}
}

func after(steps int) string {
	if steps == 1 {
		return ""
	}
	return fmt.Sprintf(" after %d steps", steps)
}

// dangling looks whether the target of a CNAME has data in this zone.
func (c *checker) dangling(r recID, target []byte, k kind, n nameID) bool {
	z := c.z
	switch {
	case k == missing:
		c.at(cnameDangling, r, "the CNAME leads to "+text(target)+", which does not exist", c.dotOr(target, k, "add that name, or remove the CNAME"))
	case k == exists && z.firstOf(n) == 0:
		c.at(cnameDangling, r, "the CNAME leads to "+text(target)+", which has no data, only names below it", c.dotOr(target, k, "add the data, or remove the CNAME"))
	default:
		return false
	}
	return true
}
