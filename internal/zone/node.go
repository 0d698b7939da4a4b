package zone

import (
	"encoding/binary"

	"geodns/internal/wire"
)

// The layout of a node in the arena, at a place that is a multiple of four:
//
//	1  length of the name below the apex, in octets
//	1  flags
//	4  count of children, big endian, if flagChildren
//	n  the name below the apex: lower case, in wire form, without a root octet
//	   sets, each:
//	     2  type
//	     4  TTL, in seconds
//	     2  length of the records
//	     n  packed records (wire.NextRecord)
//	2  zero, a type that no set has
//
// RRSIGs are one set for each type that they cover, since that is how they are
// asked for: an RRset's own TTL and its signatures' go together.
const (
	flagCut      = 1 << iota // NS, not at the apex: RFC 1034 4.2
	flagDNAME                // RFC 6672
	flagWildcard             // there is a child "*"
	flagChildren             // names exist below
	flagCNAME
	flagNSEC   // has an NSEC, or NSEC3
	flagHidden // holds nothing but NSEC3: no name of the zone (RFC 5155 7.2.8)
	flagDead   // written anew elsewhere; only while a Builder is at work
)

const setHeader = 8

// Node is a name of a zone and what it holds. The zero Node is no node.
type Node struct{ b []byte }

// Valid reports whether there is a node.
func (n Node) Valid() bool { return n.b != nil }

func (n Node) flags() byte { return n.b[1] }

// Cut reports whether the node is a zone cut below the apex.
func (n Node) Cut() bool { return n.b[1]&flagCut != 0 }

// HasDNAME reports whether the node holds a DNAME.
func (n Node) HasDNAME() bool { return n.b[1]&flagDNAME != 0 }

// HasCNAME reports whether the node holds a CNAME.
func (n Node) HasCNAME() bool { return n.b[1]&flagCNAME != 0 }

// Rel is the name below the apex, without the root octet; empty for the apex.
func (n Node) Rel() []byte {
	at := 2
	if n.b[1]&flagChildren != 0 {
		at = 6
	}
	return n.b[at : at+int(n.b[0])]
}

func (n Node) children() uint32 {
	if n.b[1]&flagChildren == 0 {
		return 0
	}
	return binary.BigEndian.Uint32(n.b[2:])
}

func (n Node) sets() []byte {
	at := 2 + int(n.b[0])
	if n.b[1]&flagChildren != 0 {
		at += 4
	}
	return n.b[at:]
}

// RRset is one RRset of a node. Records is packed (see wire.NextRecord).
type RRset struct {
	Type    wire.Type
	TTL     uint32 // seconds
	Records []byte
}

// Covered is the type that an RRSIG set covers, else 0.
func (s *RRset) Covered() wire.Type {
	if s.Type != wire.TypeRRSIG && s.Type != wire.TypeSIG {
		return 0
	}
	data, _, _ := wire.NextRecord(s.Records)
	return wire.Covered(data)
}

// Count is how many records the set has.
func (s *RRset) Count() int {
	n := 0
	for r := s.Records; len(r) >= 2; n++ {
		r = r[2+int(binary.BigEndian.Uint16(r)):]
	}
	return n
}

// Set returns the node's RRset of a type. For RRSIG see Signatures.
func (n Node) Set(t wire.Type) (s RRset, ok bool) {
	for b := n.sets(); ; {
		typ := binary.BigEndian.Uint16(b)
		if typ == 0 {
			return RRset{}, false
		}
		size := int(binary.BigEndian.Uint16(b[6:]))
		if typ == t {
			return RRset{typ, binary.BigEndian.Uint32(b[2:]), b[setHeader : setHeader+size]}, true
		}
		b = b[setHeader+size:]
	}
}

// Signatures returns the node's RRSIGs that cover a type.
func (n Node) Signatures(t wire.Type) (s RRset, ok bool) {
	for it := n.All(); it.Next(); {
		if it.Set.Type == wire.TypeRRSIG && it.Set.Covered() == t {
			return it.Set, true
		}
	}
	return RRset{}, false
}

// Sets walks over a node's RRsets.
type Sets struct {
	Set RRset
	b   []byte
}

// All returns a walk over all RRsets of the node: call Next, then read Set.
func (n Node) All() Sets { return Sets{b: n.sets()} }

// Next steps to the next RRset, false at the end.
func (s *Sets) Next() bool {
	typ := binary.BigEndian.Uint16(s.b)
	if typ == 0 {
		return false
	}
	size := int(binary.BigEndian.Uint16(s.b[6:]))
	s.Set = RRset{typ, binary.BigEndian.Uint32(s.b[2:]), s.b[setHeader : setHeader+size]}
	s.b = s.b[setHeader+size:]
	return true
}

// size is how many octets the node takes, padding included.
func (n Node) size() int {
	at := len(n.b) - len(n.sets())
	for {
		if binary.BigEndian.Uint16(n.b[at:]) == 0 {
			return (at + 2 + 3) &^ 3
		}
		at += setHeader + int(binary.BigEndian.Uint16(n.b[at+6:]))
	}
}
