package zone

import (
	"encoding/binary"

	"geodns/internal/wire"
)

// Zone is one version of a zone. It is safe for any number of readers.
type Zone struct {
	arena
	index  index
	apex   []byte
	labels int // of the apex
	node   Node
	serial uint32
	signed bool // the SOA has an RRSIG
	// order is the canonical order of the names with NSEC, or of the NSEC3
	// owners; nil for unsigned zones.
	order *order
}

// Apex is the zone's name in wire form, lower case.
func (z *Zone) Apex() []byte { return z.apex }

// Serial is the SOA's (RFC 1982).
func (z *Zone) Serial() uint32 { return z.serial }

// Names counts the names that are stored, ENTs included.
func (z *Zone) Names() int { return int(z.index.names) }

// Bytes is how much memory the zone's data and its index take, what older
// versions share included.
func (z *Zone) Bytes() int {
	n := int(z.index.slots)*4 + len(z.index.pages)*8
	for _, c := range z.chunks {
		n += len(c)
	}
	return n
}

// Signed reports whether the zone can prove what it says and what it hasn't: it
// has signatures, and an NSEC or NSEC3 chain.
func (z *Zone) Signed() bool { return z.signed && z.order != nil }

// ApexNode is the node of the apex.
func (z *Zone) ApexNode() Node { return z.node }

// soaSerial reads the serial out of a SOA's RDATA: two names and five numbers.
func soaSerial(data []byte) uint32 {
	if len(data) < 22 {
		return 0
	}
	return binary.BigEndian.Uint32(data[len(data)-20:])
}

// Each calls f for every RRset, in no order but that a name's stand together,
// until it returns false. owner is in wire form, and valid only during the
// call.
func (z *Zone) Each(f func(owner []byte, s *RRset) bool) {
	var owner [wire.MaxName + 1]byte
	z.index.each(func(pos uint32) bool {
		n := Node{z.at(pos)}
		o := append(append(owner[:0], n.Rel()...), z.apex...)
		for it := n.All(); it.Next(); {
			if !f(o, &it.Set) {
				return false
			}
		}
		return true
	})
}

// Records counts the zone's records. It walks over all of them.
func (z *Zone) Records() int {
	n := 0
	z.Each(func(_ []byte, s *RRset) bool {
		n += s.Count()
		return true
	})
	return n
}

// refresh reads what is kept beside the nodes out of the apex again.
func (z *Zone) refresh() *Problem {
	n, _, _, ok := z.index.find(&z.arena, z.index.seed, nil, nil)
	if !ok {
		return noSOA
	}
	soa, ok := n.Set(wire.TypeSOA)
	if !ok {
		return noSOA
	}
	data, _, _ := wire.NextRecord(soa.Records)
	z.node, z.serial = n, soaSerial(data)
	_, z.signed = n.Signatures(wire.TypeSOA)
	return nil
}

var noSOA = &Problem{Rule: "no-soa", Message: "the zone has no SOA", Remedy: "begin it with one: `@ SOA ns1 hostmaster 1 3600 600 604800 300`"}
