package check

import (
	"fmt"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// Sizes in octets.
const (
	udpSize     = 1232 // what fits everywhere: the EDNS size of most resolvers
	messageSize = 65535
	headerSize  = 12 + 4 + 11 // header, type and class of the question, OPT
	recordSize  = 2 + 10      // a pointer to the owner, type, class, TTL, length
)

// sizes looks whether a name's RRsets fit into answers.
func (c *checker) sizes(n *node) {
	if c.z.cut(n.id) {
		c.referral(n)
		return
	}
	for i := range n.sets {
		s := &n.sets[i]
		if s.typ == wire.TypeRRSIG || s.typ == wire.TypeNSEC3 {
			continue // asked for by nobody, as a set
		}
		size := headerSize + len(n.owner)
		for _, r := range s.recs {
			size += recordSize + int(c.z.rec(r).length)
		}
		if size > udpSize && compresses(s.typ) {
			size = c.compressed(n, s.recs)
		}
		if size <= udpSize {
			continue
		}
		what := fmt.Sprintf("an answer with the %d %s records of %s takes %d octets", len(s.recs), zonefile.TypeString(s.typ), text(n.owner), size)
		if size > messageSize {
			c.at(answerImpossible, s.recs[0], what+", more than any message can carry (65535)", "spread the records over several names")
		} else {
			c.at(answerLarge, s.recs[0], what+", more than the 1232 that fit over UDP: it is truncated, and asked for again over TCP", "remove what is not needed, or see that TCP works")
		}
	}
}

// compresses reports whether names in a type's RDATA are compressed (RFC 3597
// 4: those of RFC 1035 alone).
func compresses(t wire.Type) bool {
	switch t {
	case wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeMX:
		return true
	}
	return false
}

// compressor counts what names take, each suffix written once (RFC 1035 4.1.4).
type compressor map[string]struct{}

func (m compressor) size(name []byte) int {
	name = lowered(name)
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		if _, known := m[string(name[at:])]; known {
			return at + 2
		}
		m[string(name[at:])] = struct{}{}
	}
	return len(name)
}

// compressed is the size of an answer with these records.
func (c *checker) compressed(n *node, recs []recID) int {
	m := compressor{}
	size := headerSize + m.size(n.owner)
	for _, r := range recs {
		data := c.z.data(r)
		target := targetOf(c.z.rec(r).typ, data)
		size += recordSize + len(data) - len(target) + m.size(target)
	}
	return size
}

// referral looks whether a referral fits with the glue that it must have, that
// of the name servers within the zone that they serve (RFC 9471 3.1).
func (c *checker) referral(n *node) {
	z := c.z
	recs := n.get(wire.TypeNS)
	size := c.compressed(n, recs)
	for _, r := range recs {
		if !in(z.data(r), n.owner) {
			continue
		}
		for a := z.firstOf(z.lookup(z.data(r))); a != 0; a = z.rec(a).next {
			if flagOf(z.rec(a).typ) == hasAddress && !z.rec(a).dropped {
				size += recordSize + int(z.rec(a).length)
			}
		}
	}
	if size > udpSize && len(recs) > 0 {
		c.at(referralLarge, recs[0], fmt.Sprintf("a referral to %s takes %d octets with the glue that it needs, more than the 1232 that fit over UDP: it is truncated, and asked for again over TCP", text(n.owner), size), "name fewer servers, or servers elsewhere")
	}
}
