package check

import (
	"bytes"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// childKeys looks at CDS and CDNSKEY records, by which a zone tells its parent
// zone what its DS records shall be (RFC 7344).
func (c *checker) childKeys(n *node) {
	for _, t := range []wire.Type{typeCDS, typeCDNSKEY} {
		name := zonefile.TypeString(t)
		for _, r := range n.get(t) {
			data := c.z.data(r)
			switch {
			case n.id != c.apexNode.id:
				// RFC 7344 4.1: at the apex, and nowhere else.
				c.at(cdsNoKey, r, "nobody looks for a "+name+" record below the apex", "write it at "+text(c.z.apex)+", or remove it")
			case !asksToRemove(t, data) && !c.fitsKey(t, data):
				c.at(cdsNoKey, r, "the "+name+" record fits no DNSKEY of the zone: a parent zone that takes it breaks the zone", "write that of a key at the apex, or remove it (RFC 7344 4.1)")
			}
		}
	}
}

// asksToRemove reports whether a CDS or CDNSKEY asks that the parent zone remove
// the DS records: its algorithm is 0 (RFC 8078 4).
func asksToRemove(t wire.Type, data []byte) bool {
	at := 2
	if t == typeCDNSKEY {
		at = 3
	}
	return len(data) > at && data[at] == 0
}

// fitsKey reports whether a CDS or CDNSKEY is that of a key at the apex.
func (c *checker) fitsKey(t wire.Type, data []byte) bool {
	for _, k := range c.apexNode.get(wire.TypeDNSKEY) {
		if t == typeCDNSKEY {
			if bytes.Equal(data, c.z.data(k)) {
				return true
			}
		} else if fits, known := digests(data, c.z.apex, c.z.data(k)); fits || !known {
			return true
		}
	}
	return false
}
