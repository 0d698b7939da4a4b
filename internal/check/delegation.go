package check

import (
	"bytes"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// hidden reports whether a name is below a cut or a DNAME, and notes what is
// not answered there, nor glue (RFC 1034 4.2.1, RFC 6672 2.4).
func (c *checker) hidden(n *node) bool {
	z := c.z
	top := z.nm(n.id).above
	if top == 0 {
		return false
	}
	for i := range n.sets {
		s := &n.sets[i]
		switch {
		case z.hiddenBy(top) == redirected:
			c.at(occludedByDNAME, s.recs[0], "this "+zonefile.TypeString(s.typ)+" record is never answered: the DNAME at "+text(z.owner(top))+" redirects all names below it", "remove it, or move it to where the DNAME leads")
		case !c.glue(n, s):
			why := ""
			if flagOf(s.typ) == hasAddress {
				why = ", and no NS record names " + text(n.owner)
			}
			c.at(occludedByCut, s.recs[0], "this "+zonefile.TypeString(s.typ)+" record is never answered: "+text(z.owner(top))+" is delegated"+why, "move it to the zone "+text(z.owner(top)))
		}
	}
	return true
}

// glue reports whether an RRset is the address of a name server.
func (c *checker) glue(n *node, s *set) bool {
	return (s.typ == wire.TypeA || s.typ == wire.TypeAAAA) && c.z.has(n.id, nsTarget)
}

// delegation looks at a zone cut, and at DS records elsewhere.
func (c *checker) delegation(n *node) {
	z := c.z
	if ds := n.get(wire.TypeDS); ds != nil && !z.cut(n.id) {
		if len(n.owner) == len(z.apex) {
			c.at(dsApex, ds[0], "the DS record of a zone belongs into its parent zone; here nobody asks for it", "give it to the parent zone, and remove it here (RFC 4035 2.4)")
		} else {
			c.at(dsWithoutNS, ds[0], "there is a DS record, but "+text(n.owner)+" is not delegated", "add the NS records of the delegation, or remove it (RFC 4035 2.4)")
		}
	}
	if !z.cut(n.id) {
		return
	}
	for i := range n.sets {
		switch s := &n.sets[i]; s.typ {
		case wire.TypeNS, wire.TypeDS, wire.TypeNSEC, wire.TypeRRSIG:
		case wire.TypeDNAME: // dname-ns says so
		default:
			if !c.glue(n, s) {
				c.at(occludedByCut, s.recs[0], "this "+zonefile.TypeString(s.typ)+" record is never answered: "+text(n.owner)+" is delegated", "move it to the zone "+text(n.owner)+", or remove the NS records")
			}
		}
	}
	for _, r := range n.get(wire.TypeNS) {
		c.delegate(n, r)
	}
}

// delegate looks at one name server of a delegation.
func (c *checker) delegate(n *node, r recID) {
	z := c.z
	target := z.data(r)
	host := z.lookup(target)
	k, top := z.resolve(target)
	switch {
	case z.has(host, hasAddress) && k == delegated:
		c.plain(r, nsPointer.what)
	case in(target, n.owner) && k == delegated && len(n.owner) > len(z.apex):
		if !c.numeric(r, target, nsPointer.what) {
			// RFC 9471 2.1: nobody can ask the child where its servers are.
			c.at(glueMissing, r, "the name server "+text(target)+" is inside "+text(n.owner)+" itself and has no glue, so that nobody can find it", c.dotOr(target, k, "add its address here: "+text(target)+" A ..."))
		}
	case k == delegated:
		c.at(glueSibling, r, "the name server "+text(target)+" is below the delegation of "+text(z.owner(top))+" and has no glue, so that resolvers need one more step, or fail if the two depend on each other", "add its address here: "+text(target)+" A ... (RFC 9471 2.2)")
	default:
		c.follow(r, target, nsPointer)
	}
}

// nameServers looks at the NS records of the apex.
func (c *checker) nameServers() {
	recs := c.apexNode.get(wire.TypeNS)
	for _, r := range recs {
		c.delegate(&c.apexNode, r)
	}
	switch {
	case len(recs) == 1:
		c.at(nsSingle, recs[0], "the zone has one name server: while that is away, the whole zone is", "name two at least, in different places (RFC 2182 5)")
	case len(recs) > 1 && c.oneAddress(recs):
		c.at(nsOneAddress, recs[1], "all name servers of the zone have the same address: while that is away, the whole zone is", "give one of them another address, in another place (RFC 2182 5)")
	}
}

// oneAddress reports whether all these name servers are in the zone, and have
// one address of each family at most between them.
func (c *checker) oneAddress(recs []recID) bool {
	z := c.z
	var addr [2][]byte
	for _, r := range recs {
		if k, _ := z.resolve(z.data(r)); k == outside {
			return false
		}
		host := z.lookup(z.data(r))
		if !z.has(host, hasAddress) {
			return false
		}
		for a := z.firstOf(host); a != 0; a = z.rec(a).next {
			family := 0
			switch z.rec(a).typ {
			case wire.TypeAAAA:
				family = 1
			case wire.TypeA:
			default:
				continue
			}
			if addr[family] != nil && !bytes.Equal(addr[family], z.data(a)) {
				return false
			}
			addr[family] = z.data(a)
		}
	}
	return true
}
