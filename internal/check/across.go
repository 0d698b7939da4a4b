package check

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"net/netip"
	"slices"
	"strings"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// together is the zones of one run, by their names.
type together struct {
	zones   map[string]*checker
	reverse bool // some are reverse zones
	blank   *zone.Zone
	mail    map[mailNode]bool // those that were looked at
	posted  map[netip.Addr]bool
}

// across applies the rules that look from one zone into another.
func across(checks []*checker, o *Options) {
	t := together{zones: map[string]*checker{}, blank: blankZone(), mail: map[mailNode]bool{}, posted: map[netip.Addr]bool{}}
	for _, c := range checks {
		if c.z.soa == 0 {
			continue
		}
		if other, taken := t.zones[string(c.z.apex)]; taken {
			c.atPos(zoneTwice, c.z.start(), "the zone "+text(c.z.apex)+" is made by "+other.z.file+" already", "remove one of the two files")
			c.refused = true
			continue
		}
		t.zones[string(c.z.apex)] = c
		t.reverse = t.reverse || inReverse(c.z.apex)
	}
	t.steer(checks, o)
	if len(t.zones) < 2 {
		return
	}
	for _, c := range checks {
		if t.zones[string(c.z.apex)] == c {
			t.parent(c)
			t.targets(c)
			t.mailNodes(c)
		}
	}
	for _, c := range checks {
		if t.zones[string(c.z.apex)] == c {
			t.addresses(c)
		}
	}
}

// zoneOf is the zone of the run that a name lies in; nil: none.
func (t *together) zoneOf(name []byte) *checker {
	name = lowered(name)
	for ; name != nil; name = wire.Parent(name) {
		if c := t.zones[string(name)]; c != nil {
			return c
		}
	}
	return nil
}

// parent compares a zone with the delegation in its parent zone.
func (t *together) parent(child *checker) {
	up := wire.Parent(child.z.apex)
	if up == nil {
		return
	}
	p := t.zoneOf(up)
	if p == nil {
		return
	}
	k, cut := p.z.resolve(child.z.apex)
	if k != delegated {
		child.at(notDelegated, child.z.soa, "the zone "+text(child.z.apex)+" is not delegated in "+text(p.z.apex)+" ("+p.z.file+"), so that nobody finds it", "add its NS records, and DS records if it is signed, there")
		return
	}
	if !bytes.Equal(p.z.owner(cut), child.z.apex) {
		return // something between the two is delegated
	}
	t.sameServers(p, child, cut)
	t.sameGlue(p, child, cut)
	t.sameKeys(p, child, cut)
}

// sameServers compares the NS records of parent and child (RFC 1034 4.2.2).
func (t *together) sameServers(p, child *checker, cut nameID) {
	first := p.z.set(cut, wire.TypeNS)
	above, below := hostsOf(p.z, cut), hostsOf(child.z, child.apexNode.id)
	if len(below) == 0 || slices.Equal(above, below) {
		return
	}
	p.at(delegationDiffers, first, "the delegation of "+text(child.z.apex)+" names "+strings.Join(above, " ")+", the zone itself ("+child.z.file+") "+strings.Join(below, " "), "write the same NS records in both")
}

// hostsOf names the name servers of a name, sorted.
func hostsOf(z *zoneData, n nameID) (hosts []string) {
	for r := z.firstOf(n); r != 0; r = z.rec(r).next {
		if z.rec(r).typ == wire.TypeNS && !z.rec(r).dropped {
			hosts = append(hosts, text(lowered(z.data(r))))
		}
	}
	slices.Sort(hosts)
	return hosts
}

// sameGlue compares the addresses of name servers in the child.
func (t *together) sameGlue(p, child *checker, cut nameID) {
	for r := p.z.firstOf(cut); r != 0; r = p.z.rec(r).next {
		if p.z.rec(r).typ != wire.TypeNS || p.z.rec(r).dropped || !in(p.z.data(r), child.z.apex) {
			continue
		}
		glue := p.z.lookup(p.z.data(r))
		k, own := child.z.resolve(p.z.data(r))
		if k != exists || !p.z.has(glue, hasAddress) {
			continue
		}
		above, below := addressesOf(p.z, glue), addressesOf(child.z, own)
		if !slices.Equal(above, below) {
			at := p.z.set(glue, wire.TypeA)
			if at == 0 {
				at = p.z.set(glue, wire.TypeAAAA)
			}
			p.at(glueDiffers, at, "the glue of "+text(p.z.owner(glue))+" is "+list(above)+", the zone itself ("+child.z.file+") has "+list(below), "write the same addresses in both")
		}
	}
}

func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "no address"
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return strings.Join(out, " ")
}

// addressesOf are the addresses of a name, sorted.
func addressesOf(z *zoneData, n nameID) (addrs []netip.Addr) {
	for r := z.firstOf(n); r != 0; r = z.rec(r).next {
		if flagOf(z.rec(r).typ) != hasAddress || z.rec(r).dropped {
			continue
		}
		if a, ok := netip.AddrFromSlice(z.data(r)); ok {
			addrs = append(addrs, a)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// sameKeys looks whether one DS of a delegation at least fits a key of the
// child (RFC 4035 5.2).
func (t *together) sameKeys(p, child *checker, cut nameID) {
	first := p.z.set(cut, wire.TypeDS)
	if first == 0 {
		return
	}
	for r := first; r != 0; r = p.z.rec(r).next {
		if p.z.rec(r).typ != wire.TypeDS || p.z.rec(r).dropped {
			continue
		}
		for _, k := range child.apexNode.get(wire.TypeDNSKEY) {
			if fits, known := digests(p.z.data(r), child.z.apex, child.z.data(k)); fits || !known {
				return
			}
		}
	}
	what := "no DNSKEY of the zone itself (" + child.z.file + ") fits a DS of its delegation, so that validating resolvers refuse the whole zone"
	p.at(dsNoKey, first, what, "write the DS of a key that the zone is signed with, or remove the DS records")
}

// digests reports whether a DS is that of a key, and whether its digest type is
// known here (RFC 4034 5.1.4, RFC 4509, RFC 6605).
func digests(ds, owner, key []byte) (fits, known bool) {
	if len(ds) < 4 || len(key) < 4 {
		return false, true
	}
	message := append(bytes.Clone(owner), key...)
	var sum []byte
	switch ds[3] {
	case 1:
		s := sha1.Sum(message)
		sum = s[:]
	case 2:
		s := sha256.Sum256(message)
		sum = s[:]
	case 4:
		s := sha512.Sum384(message)
		sum = s[:]
	default:
		return false, false
	}
	return ds[2] == key[3] && bytes.Equal(ds[4:], sum), true
}

// targets looks at hosts in other zones of the run.
func (t *together) targets(c *checker) {
	z := c.z
	for i := range z.records {
		r := recID(i + 1)
		p := z.rec(r)
		if p.dropped || z.nm(p.owner).above != 0 {
			continue
		}
		what := ""
		switch p.typ {
		case wire.TypeNS:
			what = nsPointer.what
		case wire.TypeMX:
			what = mxPointer.what
		case wire.TypeSRV:
			what = srvPointer.what
		default:
			continue
		}
		target := targetOf(p.typ, z.data(r))
		other := t.zoneOf(target)
		if isRoot(target) || in(target, z.apex) || other == nil || other == c {
			continue
		}
		t.elsewhere(c, r, other, target, "the "+what+" "+text(target)+", in the zone "+text(other.z.apex)+" ("+other.z.file+"), ")
	}
}

func (t *together) elsewhere(c *checker, r recID, other *checker, target []byte, what string) {
	switch k, n := other.z.resolve(target); {
	case k == missing:
		c.at(targetElsewhere, r, what+"does not exist", "add its address there, or correct the name")
	case k == redirected, (k == exists || k == wildcard) && other.z.has(n, hasCNAME):
		c.at(targetElsewhere, r, what+"is an alias", "name the host itself (RFC 2181 10.3)")
	case (k == exists || k == wildcard) && !other.z.has(n, hasAddress):
		c.at(targetElsewhere, r, what+"has no address", "add its A or AAAA record there")
	}
}

// addresses compares addresses with the reverse zones of the run, and these
// with them.
func (t *together) addresses(c *checker) {
	if !t.reverse {
		return
	}
	z := c.z
	said := map[netip.Addr]bool{}
	for i := range z.records {
		r := recID(i + 1)
		p := z.rec(r)
		if p.dropped || z.nm(p.owner).above != 0 || z.cut(p.owner) {
			continue
		}
		switch {
		case p.typ == wire.TypePTR:
			t.forward(c, r)
		case flagOf(p.typ) == hasAddress && !inReverse(z.apex):
			if a, ok := netip.AddrFromSlice(z.data(r)); ok && !said[a] && !t.posted[a] {
				said[a] = true
				t.backward(c, r, a)
			}
		}
	}
}

// forward looks whether the name that a PTR leads to has the address.
func (t *together) forward(c *checker, r recID) {
	want, ok := addressOf(c.z.owner(c.z.rec(r).owner))
	target := c.z.data(r)
	other := t.zoneOf(target)
	if !ok || other == nil || in(target, c.z.apex) {
		return
	}
	k, n := other.z.resolve(target)
	if (k == exists || k == wildcard) && other.z.has(n, hasCNAME) {
		k, n = other.z.resolve(other.z.data(other.z.set(n, wire.TypeCNAME)))
	}
	switch {
	case k == missing:
		c.at(ptrNoAddress, r, text(target)+" does not exist in "+other.z.file, "add it there with the address "+want.String()+", or correct the PTR")
	case (k == exists || k == wildcard) && !slices.Contains(addressesOf(other.z, n), want):
		c.at(ptrNoAddress, r, text(target)+" does not have the address "+want.String()+" in "+other.z.file+", so that the PTR is not believed", "add the address there, or correct the PTR")
	}
}

// backward looks whether an address has a PTR.
func (t *together) backward(c *checker, r recID, a netip.Addr) {
	name := reverseOf(a)
	other := t.zoneOf(name)
	if other == nil || other == c || !inReverse(other.z.apex) {
		return
	}
	k, n := other.z.resolve(name)
	if k == missing || (k == exists || k == wildcard) && other.z.set(n, wire.TypePTR) == 0 && !other.z.has(n, hasCNAME) {
		c.at(addressNoPTR, r, "the "+zonefile.TypeString(c.z.rec(r).typ)+" record's address "+a.String()+" has no PTR in "+other.z.file, "add one: "+text(name)+" PTR "+text(c.z.owner(c.z.rec(r).owner)))
	}
}
