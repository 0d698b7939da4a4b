package zonemd

import (
	"bytes"
	"cmp"
	"hash"
	"slices"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// digester feeds the records of a zone to hashes, in canonical form and order
// (RFC 8976 3.3.1, RFC 4034 6). It is used once.
type digester struct {
	hashes  []hash.Hash
	buf     []byte // records that the hashes have not seen yet
	sets    []zone.RRset
	records []record
	lowered []byte // the RDATA of records whose names had to be written anew
}

type record struct {
	ttl  uint32
	data []byte
}

// flushAt is how many octets are gathered for the hashes.
const flushAt = 32 << 10

// zone digests all records (RFC 8976 3.3.1.1): glue and what lies below zone cuts
// included, since that is in the zone too.
func (d *digester) zone(z *zone.Zone) {
	ns := sortedNames(z)
	var rel [wire.MaxName + 1]byte
	var owner [wire.MaxName + 1]byte
	for _, e := range ns.entries {
		o := append(append(owner[:0], appendRel(rel[:], ns.key(e.at))...), z.Apex()...)
		if n, ok := z.Find(o); ok {
			d.node(o, n, len(o) == len(z.Apex()))
		}
	}
	d.flush()
}

// node digests the RRsets of a name in the order of their types.
func (d *digester) node(owner []byte, n zone.Node, apex bool) {
	d.sets = d.sets[:0]
	for it := n.All(); it.Next(); {
		// RFC 8976 3.3.1.1: not the apex' ZONEMD, nor its signature. One below
		// the apex is a record like others.
		if apex && (it.Set.Type == Type || it.Set.Type == wire.TypeRRSIG && it.Set.Covered() == Type) {
			continue
		}
		d.sets = append(d.sets, it.Set)
	}
	slices.SortFunc(d.sets, func(a, b zone.RRset) int { return cmp.Compare(a.Type, b.Type) })
	for sets := d.sets; len(sets) > 0; {
		// A zone keeps RRSIGs by what they cover. Here they are one RRset.
		same := 1
		for same < len(sets) && sets[same].Type == sets[0].Type {
			same++
		}
		d.rrset(owner, sets[:same])
		sets = sets[same:]
	}
}

// rrset digests the records of one type in the order of their RDATA (RFC 4034
// 6.3), each once.
func (d *digester) rrset(owner []byte, sets []zone.RRset) {
	t := sets[0].Type
	d.records = d.records[:0]
	room := 0
	for i := range sets {
		room += len(sets[i].Records)
	}
	// The records point into it: it must not move.
	d.lowered = slices.Grow(d.lowered[:0], room)
	for i := range sets {
		for packed := sets[i].Records; ; {
			data, rest, ok := wire.NextRecord(packed)
			if !ok {
				break
			}
			d.records = append(d.records, record{sets[i].TTL, d.canonical(t, data)})
			packed = rest
		}
	}
	if len(d.records) > 1 {
		slices.SortFunc(d.records, func(a, b record) int { return bytes.Compare(a.data, b.data) })
	}
	for i, r := range d.records {
		if i == 0 || !bytes.Equal(r.data, d.records[i-1].data) {
			d.record(owner, t, r)
		}
	}
}

// record hands one record over, in the form of RFC 4034 6.2.
func (d *digester) record(owner []byte, t wire.Type, r record) {
	d.buf = append(d.buf, owner...)
	d.buf = append(d.buf, byte(t>>8), byte(t), byte(wire.ClassIN>>8), byte(wire.ClassIN),
		byte(r.ttl>>24), byte(r.ttl>>16), byte(r.ttl>>8), byte(r.ttl), byte(len(r.data)>>8), byte(len(r.data)))
	d.buf = append(d.buf, r.data...)
	if len(d.buf) >= flushAt {
		d.flush()
	}
}

func (d *digester) flush() {
	for _, h := range d.hashes {
		h.Write(d.buf)
	}
	d.buf = d.buf[:0]
}

// canonical is RDATA with its names in lower case, if it is of a type where that
// is canonical: data itself, or a copy.
func (d *digester) canonical(t wire.Type, data []byte) []byte {
	at, count := namesIn(t, data)
	if count == 0 || at > len(data) {
		return data
	}
	start := len(d.lowered)
	d.lowered = append(d.lowered, data[:at]...)
	for ; count > 0; count-- {
		// RDATA that is not what its type says is digested as it is.
		n := wire.NameLen(data[at:])
		if n == 0 {
			break
		}
		d.lowered = wire.AppendLower(d.lowered, data[at:at+n])
		at += n
	}
	d.lowered = append(d.lowered, data[at:]...)
	return d.lowered[start:len(d.lowered):len(d.lowered)]
}

// The types of RFC 4034 6.2 that stand nowhere else in the server.
const (
	typeRP    wire.Type = 17
	typeAFSDB wire.Type = 18
	typeRT    wire.Type = 21
	typePX    wire.Type = 26
	typeNAPTR wire.Type = 35
	typeKX    wire.Type = 36
	typeA6    wire.Type = 38
)

// namesIn says where the names begin that are lower-cased in a type's RDATA, and
// how many follow one another (RFC 4034 6.2 as RFC 6840 5.1 corrects it: RRSIG
// yes, NSEC no). The types are a closed list: names of all others keep their case
// (RFC 3597 7).
func namesIn(t wire.Type, data []byte) (at, count int) {
	switch t {
	case wire.TypeNS, wire.TypeMD, wire.TypeMF, wire.TypeCNAME, wire.TypeMB, wire.TypeMG, wire.TypeMR, wire.TypePTR, wire.TypeDNAME, wire.TypeNXT:
		return 0, 1
	case wire.TypeSOA, wire.TypeMINFO, typeRP:
		return 0, 2
	case wire.TypeMX, typeAFSDB, typeRT, typeKX:
		return 2, 1
	case typePX:
		return 2, 2
	case wire.TypeSRV:
		return 6, 1
	case wire.TypeRRSIG, wire.TypeSIG:
		return 18, 1
	case typeNAPTR:
		return afterStrings(data, 4, 3), 1
	case typeA6:
		// RFC 2874 3.1: the length of the prefix in bits, what of the address is
		// not prefix, and a name unless there is no prefix.
		if len(data) == 0 || data[0] == 0 || data[0] > 128 {
			return 0, 0
		}
		return 1 + (128-int(data[0])+7)/8, 1
	}
	return 0, 0
}

// afterStrings is where n character-strings end that begin at data[at:]; behind
// data's end if they don't.
func afterStrings(data []byte, at, n int) int {
	for ; n > 0; n-- {
		if at >= len(data) {
			return len(data) + 1
		}
		at += 1 + int(data[at])
	}
	return at
}
