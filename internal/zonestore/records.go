package zonestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"geodns/internal/wire"
)

// Records are packed one behind the other, each beginning with an octet that says
// what it shares with the one before (at the beginning: the apex, type 0, TTL 0):
//
//	bit 0  the owner            bit 2  the TTL
//	bit 1  the type             bit 3  no sharing: in changes, the record comes
//
// What is not shared follows: of the owner, without the apex at its end, how many
// octets it has in common with the beginning and then with the end of the one
// before, and those between, behind their length; the type as 16 bits, least
// significant first; the TTL as a varint. The RDATA stands last, behind its length
// as a varint.
const (
	sharesOwner = 1 << iota
	sharesType
	sharesTTL
	isAdded

	knownFlags = sharesOwner | sharesType | sharesTTL | isAdded
)

// packer packs records of one zone.
type packer struct {
	apex  []byte
	owner []byte // of the one before, without the apex
	typ   wire.Type
	ttl   uint32
}

// reset begins anew: what follows can be read by itself.
func (p *packer) reset() { p.owner, p.typ, p.ttl = p.owner[:0], 0, 0 }

// append packs a record; flags is isAdded or 0.
func (p *packer) append(to []byte, rr *wire.RR, flags byte) ([]byte, error) {
	if wire.NameLen(rr.Owner) != len(rr.Owner) || !wire.HasSuffix(rr.Owner, p.apex) {
		return to, fmt.Errorf("the record of %q cannot be kept: it is not in the zone %s", rr.Owner, wire.NameString(p.apex))
	}
	if len(rr.Data) > 0xFFFF {
		return to, fmt.Errorf("the record of type %d of %s cannot be kept: its RDATA has %d octets", rr.Type, wire.NameString(rr.Owner), len(rr.Data))
	}
	owner := rr.Owner[:len(rr.Owner)-len(p.apex)]
	at := len(to)
	to = append(to, flags)
	if bytes.Equal(owner, p.owner) {
		to[at] |= sharesOwner
	} else {
		to = appendOwner(to, p.owner, owner)
		p.owner = append(p.owner[:0], owner...)
	}
	if rr.Type == p.typ {
		to[at] |= sharesType
	} else {
		to = binary.LittleEndian.AppendUint16(to, rr.Type)
		p.typ = rr.Type
	}
	if rr.TTL == p.ttl {
		to[at] |= sharesTTL
	} else {
		to = binary.AppendUvarint(to, uint64(rr.TTL))
		p.ttl = rr.TTL
	}
	to = binary.AppendUvarint(to, uint64(len(rr.Data)))
	return append(to, rr.Data...), nil
}

func appendOwner(to, before, owner []byte) []byte {
	most := min(len(before), len(owner))
	head := 0
	for head < most && before[head] == owner[head] {
		head++
	}
	tail := 0
	for tail < most-head && before[len(before)-1-tail] == owner[len(owner)-1-tail] {
		tail++
	}
	to = append(to, byte(head), byte(tail), byte(len(owner)-head-tail))
	return append(to, owner[head:len(owner)-tail]...)
}

// unpacker takes packed records apart.
type unpacker struct {
	decoder
	apex []byte
	// owner is that of the one before, with the apex, in one of two buffers.
	owner   []byte
	buffers [2][wire.MaxName + 1]byte
	which   int
	typ     wire.Type
	ttl     uint32
	// keep: every owner gets memory of its own.
	keep bool
}

// reset begins to read records.
func (u *unpacker) reset(packed []byte) {
	u.decoder = decoder{rest: packed}
	u.owner, u.typ, u.ttl = append(u.buffers[0][:0], u.apex...), 0, 0
	u.which = 0
	if u.keep {
		u.owner = slices.Clone(u.owner)
	}
}

// next reads a record. Its RDATA lies in what is read; its owner is valid until
// the next, if owners aren't kept.
func (u *unpacker) next(rr *wire.RR) (flags byte, err error) {
	flags = u.octet()
	if flags&^knownFlags != 0 {
		return 0, damagef("a record begins with %#x", flags)
	}
	if flags&sharesOwner == 0 {
		if err := u.nextOwner(); err != nil {
			return 0, err
		}
	}
	if flags&sharesType == 0 {
		u.typ = wire.Type(u.octet()) | wire.Type(u.octet())<<8
	}
	if flags&sharesTTL == 0 {
		ttl := u.uvarint()
		if ttl > 1<<32-1 {
			return 0, damagef("a record has a TTL of %d", ttl)
		}
		u.ttl = uint32(ttl)
	}
	data := u.octets()
	if u.err == nil && len(data) > 0xFFFF {
		return 0, damagef("a record has %d octets", len(data))
	}
	*rr = wire.RR{Owner: u.owner, Type: u.typ, TTL: u.ttl, Data: data}
	return flags, u.err
}

func (u *unpacker) nextOwner() error {
	head, tail := int(u.octet()), int(u.octet())
	middle := u.octets8()
	before := u.owner[:len(u.owner)-len(u.apex)]
	if u.err != nil {
		return u.err
	}
	n := head + len(middle) + tail
	if head+tail > len(before) || n+len(u.apex) > wire.MaxName {
		return damagef("a record's owner is wrong")
	}
	var next []byte
	if u.keep {
		next = make([]byte, 0, n+len(u.apex))
	} else {
		u.which ^= 1
		next = u.buffers[u.which][:0]
	}
	next = append(append(next, before[:head]...), middle...)
	next = append(append(next, before[len(before)-tail:]...), u.apex...)
	if wire.NameLen(next) != len(next) || !wire.HasSuffix(next, u.apex) {
		return damagef("a record's owner is wrong")
	}
	u.owner = next
	return nil
}
