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
// until it returns false. owner and s are valid only during the call.
func (z *Zone) Each(f func(owner []byte, s *RRset) bool) {
	w := walk{z: z, f: f}
	z.index.each(func(pos uint32) bool {
		w.places[w.n] = pos
		w.n++
		return w.n < len(w.places) || w.visit()
	})
	w.visit()
}

// walk is a walk over all nodes. The index has them in no order, and large zones
// are in no cache: the nodes of many places are asked for before the first is
// read, so that memory brings them at once instead of one after the other.
type walk struct {
	z      *Zone
	f      func(owner []byte, s *RRset) bool
	places [64]uint32
	n      int
	ended  bool
	owner  [wire.MaxName + 1]byte
	sets   Sets
}

// visit calls f for the nodes of the places at hand.
func (w *walk) visit() bool {
	var any byte
	for _, pos := range w.places[:w.n] {
		any |= w.z.at(pos)[0]
	}
	w.owner[0] = any // so that the reads are not left out
	for _, pos := range w.places[:w.n] {
		n := Node{w.z.at(pos)}
		o := append(append(w.owner[:0], n.Rel()...), w.z.apex...)
		for w.sets = n.All(); !w.ended && w.sets.Next(); {
			w.ended = !w.f(o, &w.sets.Set)
		}
	}
	w.n = 0
	return !w.ended
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
