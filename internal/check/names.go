package check

import (
	"bytes"
	"strconv"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// The types that have rules of their own here, beside those of wire.
const (
	typeTLSA    wire.Type = 52
	typeCDS     wire.Type = 59
	typeCDNSKEY wire.Type = 60
	typeSPF     wire.Type = 99
	typeCAA     wire.Type = 257
)

// labelsOf calls f for each label of a name until it returns false.
func labelsOf(name []byte, f func(i int, label []byte) bool) {
	for i, at := 0, 0; at < len(name) && name[at] != 0; i++ {
		end := at + 1 + int(name[at])
		if !f(i, name[at+1:end]) {
			return
		}
		at = end
	}
}

// labelAt is the i-th label of a name, nil if it has fewer.
func labelAt(name []byte, i int) (found []byte) {
	labelsOf(name, func(at int, label []byte) bool {
		found = label
		return at < i
	})
	if wire.Labels(name) <= i {
		return nil
	}
	return found
}

// isHostName reports whether a name is one that a host may have: letters,
// digits, and hyphens between them (RFC 952, RFC 1123 2.1).
func isHostName(name []byte) bool {
	good := true
	labelsOf(name, func(_ int, l []byte) bool {
		good = l[0] != '-' && l[len(l)-1] != '-'
		for _, ch := range l {
			good = good && (ch == '-' || ch >= '0' && ch <= '9' || ch|0x20 >= 'a' && ch|0x20 <= 'z')
		}
		return good
	})
	return good
}

// excused are owners of addresses that are no host names by design: those of
// Active Directory's global catalog, and of SPF's exists: mechanism.
func excused(owner []byte) bool {
	if wire.EqualFold(labelAt(owner, 0), []byte("gc")) && wire.EqualFold(labelAt(owner, 1), []byte("_msdcs")) {
		return true
	}
	found := false
	labelsOf(owner, func(_ int, l []byte) bool {
		found = bytes.HasPrefix(l, []byte("_spf"))
		return !found
	})
	return found
}

// hostNames looks at owners that are to be host names.
func (c *checker) hostNames(n *node) {
	owner := n.owner
	if isWildcard(owner) {
		owner = wire.Parent(owner)
	}
	if isHostName(owner) || excused(n.owner) || bytes.IndexByte(owner, '*') > 0 {
		return // of other asterisks ownerName says more
	}
	for _, t := range []wire.Type{wire.TypeA, wire.TypeAAAA, wire.TypeMX} {
		if recs := n.get(t); recs != nil {
			c.at(hostName, recs[0], "the owner of this "+zonefile.TypeString(t)+" record, "+text(n.owner)+", is no host name", "use letters, digits, and hyphens between them (RFC 1123 2.1): some programs refuse all else")
			return
		}
	}
}

// ownerName looks at the name itself.
func (c *checker) ownerName(n *node) {
	rel := n.owner[:len(n.owner)-len(c.z.apex)]
	if c.repeats(n.owner) {
		c.at(finalDot, n.recs[0], "the owner "+text(n.owner)+" ends in the zone's name twice", "write a final dot behind it, or leave the zone's name out")
		return
	}
	if n.get(wire.TypeNSEC3) != nil {
		return
	}
	odd := false
	labelsOf(rel, func(i int, l []byte) bool {
		odd = bytes.IndexByte(l, '*') >= 0 && (i > 0 || len(l) > 1)
		return !odd
	})
	if odd {
		c.at(wildcardShape, n.recs[0], "an asterisk in "+text(n.owner)+" is no wildcard", "a wildcard is a first label that is just an asterisk (RFC 4592 2.1.1)")
	}
	if !isWildcard(rel) {
		return
	}
	if recs := n.get(wire.TypeNS); recs != nil {
		c.at(wildcardNS, recs[0], "a wildcard cannot delegate: what NS means here is undefined", "delegate each name by its own NS records (RFC 4592 4.2)")
	}
	if recs := n.get(wire.TypeDNAME); recs != nil {
		c.at(wildcardDNAME, recs[0], "a DNAME at a wildcard redirects nothing that resolvers agree on", "write the DNAME at each name (RFC 6672 3.3)")
	}
}

// repeats reports whether a name ends in the zone's name twice, as it does when
// a final dot is missing.
func (c *checker) repeats(name []byte) bool {
	apex := c.z.apex
	if wire.Labels(apex) < 2 || len(name) < 2*len(apex)-1 || !in(name, apex) {
		return false
	}
	return in(append(bytes.Clone(name[:len(name)-len(apex)]), 0), apex)
}

// unfinished returns the name that was meant if a target, which came to k here,
// looks as if its final dot were missing.
func (c *checker) unfinished(target []byte, k kind) (meant []byte, ok bool) {
	apex := c.z.apex
	if len(apex) == 1 || len(target) <= len(apex) || !in(target, apex) {
		return nil, false
	}
	meant = append(bytes.Clone(target[:len(target)-len(apex)]), 0)
	if c.repeats(target) {
		return meant, true
	}
	labels := wire.Labels(meant)
	return meant, (k == missing || k == wildcard && inReverse(apex)) && labels > 1 && topLevel(labelAt(meant, labels-1))
}

// topLevel knows the most common last labels of names.
func topLevel(label []byte) bool {
	switch string(lowered(label)) {
	case "com", "net", "org", "edu", "gov", "mil", "int", "arpa", "info", "biz", "io", "app", "dev", "cloud",
		"eu", "de", "uk", "fr", "nl", "at", "ch", "it", "es", "pl", "se", "us", "ca", "au", "jp", "cn", "in", "br", "ru",
		"example", "test":
		return true
	}
	return false
}

// dotOr is the remedy for a target that does not do: the final dot, if that
// seems to be missing, else the one given.
func (c *checker) dotOr(target []byte, k kind, remedy string) string {
	if meant, ok := c.unfinished(target, k); ok {
		return "write " + text(meant) + " with its final dot"
	}
	return remedy
}

// looksLikeAddress reports whether a name is an IPv4 address that somebody
// wrote where a name is wanted, with or without a final dot, or an IPv6 one.
func looksLikeAddress(name, apex []byte) bool {
	if bytes.IndexByte(name, ':') > 0 {
		return true
	}
	labels := wire.Labels(name)
	if labels != 4 && (labels != 4+wire.Labels(apex) || !in(name, apex) || inReverse(apex)) {
		return false
	}
	numeric := true
	labelsOf(name, func(i int, l []byte) bool {
		if i == 4 {
			return false
		}
		numeric = allDigits(l) // also 256: nothing else looks like that
		return numeric
	})
	return numeric
}

// octet reads a decimal number of 0 to 255 without leading zeros.
func octet(label []byte) (byte, bool) {
	if len(label) > 1 && label[0] == '0' {
		return 0, false
	}
	for _, ch := range label {
		if ch < '0' || ch > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(string(label), 10, 8)
	return byte(v), err == nil
}
