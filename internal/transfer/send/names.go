package send

import (
	"bytes"
	"hash/maphash"

	"geodns/internal/wire"
)

// names are where the labels of names stand in the message under way, for
// compression (RFC 1035 4.1.4). They make a tree: an entry is a label, found by
// what it is and by where the rest of its name stands.
//
// Only what is equal octet by octet is shared: wire's encoder compares without
// case, and so would change the case of names in RDATA, which a transfer has to
// keep (RFC 5936 3.4).
type names struct {
	seed  maphash.Seed
	table [tableSize]label
	used  int
	apex  []byte
	// apexAt is where the apex stands, which ends most names; 0: not yet.
	apexAt uint16
	// The last owner, and where it stands; 0: beyond what a pointer can say.
	owner    [wire.MaxName]byte
	ownerLen int
	ownerAt  uint16
}

const (
	tableBits = 12
	tableSize = 1 << tableBits
	tableMost = tableSize * 3 / 4
	// maxPointer is the largest offset that 14 bits can say.
	maxPointer = 1<<14 - 1
)

// label is an entry; at is 0 where there is none.
type label struct {
	parent uint16 // where the rest of the name stands; 0: it is the root
	at     uint16
}

func (n *names) forget() {
	if n.used > 0 {
		clear(n.table[:])
	}
	n.used, n.apexAt, n.ownerLen, n.ownerAt = 0, 0, 0, 0
}

// find returns where a label, with its length octet, stands below parent in buf,
// or 0 and the slot for it (-1: the table is full).
func (n *names) find(buf []byte, parent uint16, lab []byte) (at uint16, slot int) {
	h := (maphash.Bytes(n.seed, lab) ^ uint64(parent)) * 0x9e3779b97f4a7c15
	for i := h >> (64 - tableBits); ; i = (i + 1) & (tableSize - 1) {
		e := n.table[i]
		if e.at == 0 {
			if n.used >= tableMost {
				return 0, -1
			}
			return 0, int(i)
		}
		if e.parent == parent && bytes.HasPrefix(buf[e.at:], lab) {
			return e.at, int(i)
		}
	}
}

// appendName appends a valid name, compressed, and returns where it stands if a
// pointer can say that, else 0.
func (n *names) appendName(buf, name []byte) ([]byte, uint16) {
	var offs [wire.MaxLabels]uint8
	count, end, tail := 0, len(name)-1, uint16(0)
	apex := -1 // where the apex begins in name
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		if i == len(name)-len(n.apex) && bytes.Equal(name[i:], n.apex) {
			if apex = i; n.apexAt != 0 {
				end, tail = i, n.apexAt
				break
			}
		}
		offs[count] = uint8(i)
		count++
	}
	slot := -1
	for count > 0 {
		var at uint16
		first := int(offs[count-1])
		if at, slot = n.find(buf, tail, name[first:end]); at == 0 {
			break
		}
		count, end, tail = count-1, first, at
	}
	start := len(buf)
	if buf = append(buf, name[:end]...); tail == 0 {
		buf = append(buf, 0)
	} else {
		buf = append(buf, 0xc0|byte(tail>>8), byte(tail))
	}
	if n.apexAt == 0 && apex == end {
		n.apexAt = tail
	} else if at := start + apex; n.apexAt == 0 && apex >= 0 && at <= maxPointer {
		n.apexAt = uint16(at)
	}
	if end == 0 {
		return buf, tail // nothing but a pointer, or the root
	}
	n.enter(buf, offs[:count], start, end, tail, slot)
	if start > maxPointer {
		return buf, 0
	}
	return buf, uint16(start)
}

// enter notes the labels that were written out at start, from the one nearest to
// the root on, whose slot is known.
func (n *names) enter(buf []byte, offs []uint8, start, end int, parent uint16, slot int) {
	for i := len(offs) - 1; i >= 0; i-- {
		at := start + int(offs[i])
		if at > maxPointer {
			return
		}
		if i < len(offs)-1 {
			_, slot = n.find(buf, parent, buf[at:start+end])
		}
		if slot < 0 {
			return
		}
		n.table[slot] = label{parent: parent, at: uint16(at)}
		n.used++
		parent, end = uint16(at), int(offs[i])
	}
}

// appendOwner is appendName for owners, which mostly are the one before.
func (n *names) appendOwner(buf, owner []byte) []byte {
	if n.ownerAt != 0 && bytes.Equal(owner, n.owner[:n.ownerLen]) {
		return append(buf, 0xc0|byte(n.ownerAt>>8), byte(n.ownerAt))
	}
	buf, n.ownerAt = n.appendName(buf, owner)
	n.ownerLen = copy(n.owner[:], owner)
	return buf
}
