package wire

import "encoding/binary"

// Encoder appends replies to buffers. It holds the table of names for
// compression (RFC 1035 4.1.4), which is forgotten from message to message by
// raising gen.
//
// The names that stand in the message make a tree: an entry is a label, found
// by what it is and by where its parent (the rest of the name) stands.
type Encoder struct {
	table [tableSize]tableEntry
	used  int
	gen   uint16

	msg []byte // the message so far; its capacity is never exceeded
	max int    // octets that the message may have, what is reserved for the end left out
	req []byte // the request, for its question
	q   *Query
	// seeded: the question's name is in the table.
	seeded bool
}

const (
	tableBits = 9
	tableSize = 1 << tableBits
	tableMost = tableSize * 3 / 4
	// maxPointer is the largest offset that 14 bits can say.
	maxPointer = 1<<14 - 1
	noParent   = 0
)

type tableEntry struct {
	gen    uint16
	parent uint16 // where the rest of the name stands; noParent: it is the root
	off    uint16 // where the label stands
}

// forget empties the table.
func (e *Encoder) forget() {
	e.gen++
	if e.gen == 0 {
		e.table = [tableSize]tableEntry{}
		e.gen = 1
	}
	e.used, e.seeded = 0, false
}

// hashLabel hashes a label below a parent, without case. Setting the bit that
// tells a from A makes some other octets the same too, which find tells apart.
func hashLabel(parent uint16, lab []byte) uint32 {
	const fold = 0x2020202020202020
	h := uint64(parent)<<8 | uint64(len(lab))
	for ; len(lab) >= 8; lab = lab[8:] {
		h = (h ^ (binary.LittleEndian.Uint64(lab) | fold)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	rest := uint64(0)
	if len(lab) >= 4 {
		rest = uint64(binary.LittleEndian.Uint32(lab))<<32 | uint64(binary.LittleEndian.Uint32(lab[len(lab)-4:]))
	} else {
		for _, c := range lab {
			rest = rest<<8 | uint64(c)
		}
	}
	h = (h ^ (rest | fold)) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// find returns where the label stands below parent, or 0 and the free slot
// where it would be entered (-1: the table is full).
func (e *Encoder) find(parent uint16, lab []byte) (off uint16, slot int) {
	h := hashLabel(parent, lab)
	for i := h >> (32 - tableBits); ; i = (i + 1) & (tableSize - 1) {
		t := &e.table[i&(tableSize-1)]
		if t.gen != e.gen {
			if e.used >= tableMost {
				return 0, -1
			}
			return 0, int(i)
		}
		if t.parent == parent {
			at := int(t.off)
			if n := int(e.msg[at]); n == len(lab) && EqualFold(e.msg[at+1:at+1+n], lab) {
				return t.off, int(i)
			}
		}
	}
}

func (e *Encoder) enter(slot int, parent uint16, off int) {
	e.table[slot] = tableEntry{gen: e.gen, parent: parent, off: uint16(off)}
	e.used++
}

// seed enters the question's name. Most replies never need it: their owners
// are the question's name itself, a pointer to HeaderLen.
func (e *Encoder) seed() {
	e.seeded = true
	if e.q.QuestionLen == 0 {
		return
	}
	parent := uint16(noParent)
	for i := e.q.Name.NLabels - 1; i >= 0; i-- {
		at := HeaderLen + int(e.q.Name.Labels[i])
		off, slot := e.find(parent, e.msg[at+1:at+1+int(e.msg[at])])
		if off == 0 {
			if slot < 0 {
				return
			}
			e.enter(slot, parent, at)
			off = uint16(at)
		}
		parent = off
	}
}

// name appends a valid name, compressed. It reports false if it does not fit.
func (e *Encoder) name(name []byte) bool {
	if !e.seeded {
		e.seed()
	}
	var offs [MaxLabels + 1]uint8
	n := labelOffsets(name, &offs)
	parent := uint16(noParent)
	slot := -1
	for n > 0 {
		var off uint16
		off, slot = e.find(parent, label(name, offs[n-1]))
		if off == 0 {
			break
		}
		parent = off
		n--
	}
	start := len(e.msg)
	head := 0 // octets of name that are written out
	if n > 0 {
		head = int(offs[n-1]) + 1 + int(name[offs[n-1]])
	}
	end := start + head + 2
	if parent == noParent {
		end-- // the root's octet instead of a pointer
	}
	if end > e.max {
		return false
	}
	e.msg = append(e.msg, name[:head]...)
	tail := parent
	for i := n - 1; i >= 0; i-- {
		at := start + int(offs[i])
		if slot < 0 || at > maxPointer {
			break
		}
		e.enter(slot, parent, at)
		parent = uint16(at)
		if i > 0 {
			_, slot = e.find(parent, label(name, offs[i-1]))
		}
	}
	if tail == noParent {
		e.msg = append(e.msg, 0)
	} else {
		e.msg = append(e.msg, 0xc0|byte(tail>>8), byte(tail))
	}
	return true
}

// plain appends octets as they are. It reports false if they do not fit.
func (e *Encoder) plain(b []byte) bool {
	if len(e.msg)+len(b) > e.max {
		return false
	}
	e.msg = append(e.msg, b...)
	return true
}
