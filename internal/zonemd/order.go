package zonemd

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// names are the names of a zone to be brought into canonical order (RFC 4034
// 6.1). A name is kept as a key, whose octets compare as the names do: the labels
// below the apex from the right, each ended by endLabel.
type names struct {
	keys    []byte // each behind its length, 2 octets
	entries []entry
}

type entry struct {
	first uint64 // the first octets of the key, which decide nearly always
	at    uint64 // where the key's length stands
}

// A label's end has to come before all that a label can go on with: so the two
// smallest octets are written as two.
const (
	endLabel = 0
	escape   = 1
)

func appendKey(key []byte, rel []byte) []byte {
	var offs [wire.MaxLabels + 1]uint8
	n := 0
	for i := 0; i < len(rel); i += 1 + int(rel[i]) {
		offs[n] = uint8(i)
		n++
	}
	for n--; n >= 0; n-- {
		at := int(offs[n])
		for _, c := range rel[at+1 : at+1+int(rel[at])] {
			if c <= escape {
				key = append(key, escape, c+1)
			} else {
				key = append(key, c)
			}
		}
		key = append(key, endLabel)
	}
	return key
}

// appendRel makes of a key the name that it is of, below the apex. It fills dst
// from its end, which has to have room for the longest name, and returns what it
// filled.
func appendRel(dst, key []byte) []byte {
	at, n := len(dst), 0
	var label [wire.MaxLabel]byte
	for i := 0; i < len(key); i++ {
		switch c := key[i]; c {
		case endLabel:
			at -= 1 + n
			dst[at] = byte(n)
			copy(dst[at+1:], label[:n])
			n = 0
		case escape:
			i++
			label[n] = key[i] - 1
			n++
		default:
			label[n] = c
			n++
		}
	}
	return dst[at:]
}

func (ns *names) key(at uint64) []byte {
	n := uint64(binary.BigEndian.Uint16(ns.keys[at:]))
	return ns.keys[at+2 : at+2+n]
}

// sortedNames collects the names of all RRsets and sorts them.
func sortedNames(z *zone.Zone) *names {
	ns := &names{entries: make([]entry, 0, z.Names()), keys: make([]byte, 0, 16*z.Names())}
	apex := len(z.Apex())
	var last [wire.MaxName + 1]byte
	lastLen := -1
	z.Each(func(owner []byte, _ *zone.RRset) bool {
		// A name's RRsets come together.
		if rel := owner[:len(owner)-apex]; lastLen != len(rel) || !bytes.Equal(last[:lastLen], rel) {
			lastLen = copy(last[:], rel)
			ns.add(rel)
		}
		return true
	})
	slices.SortFunc(ns.entries, func(a, b entry) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return bytes.Compare(ns.key(a.at), ns.key(b.at))
	})
	return ns
}

func (ns *names) add(rel []byte) {
	at := len(ns.keys)
	ns.keys = appendKey(append(ns.keys, 0, 0), rel)
	key := ns.keys[at+2:]
	binary.BigEndian.PutUint16(ns.keys[at:], uint16(len(key)))
	var first [8]byte
	copy(first[:], key)
	ns.entries = append(ns.entries, entry{binary.BigEndian.Uint64(first[:]), uint64(at)})
}
