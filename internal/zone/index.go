package zone

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"geodns/internal/wire"
)

// pageSize is how many slots a page of the index has: 4 KiB.
const pageSize = 1024

type page [pageSize]uint32

// index is a hash table from names to places in the arena: open addressing,
// linear probing. Small ones are one flat slice of the exact size, large ones
// pages, of which a change copies those that it writes to.
type index struct {
	seed  uint64 // random, so that nobody can choose names that collide
	slots uint32
	used  uint32 // slots that are not empty, gone ones included
	names uint32 // slots that lead to a node
	// place masks an entry's place; the bits above are a tag of the hash, so
	// that a slot of another name seldom costs a look into the arena.
	place uint32
	flat  []uint32 // nil if there are pages
	pages []*page
}

const tagPlaces = 1<<26 - 1

// newIndex makes an empty index for n names in an arena of that many units.
func newIndex(seed uint64, n, units int) index {
	x := index{seed: seed, place: ^uint32(0)}
	if units <= tagPlaces {
		x.place = tagPlaces
	}
	x.slots = newIndexSlots(n)
	if x.slots <= pageSize {
		x.flat = make([]uint32, x.slots)
		return x
	}
	n = (int(x.slots) + pageSize - 1) / pageSize
	x.slots = uint32(n * pageSize)
	x.pages = make([]*page, n)
	for i := range x.pages {
		// Each by itself, so that a page that was replaced can be freed.
		x.pages[i] = new(page)
	}
	return x
}

// newIndexSlots is how many slots n names take: filled to two thirds, it is
// about two probes for a hit, under five for a miss.
func newIndexSlots(n int) uint32 { return uint32(max(n+n/2+1, 4)) }

// indexOf is an index, for that many names, of the nodes at places that are not
// dead. In the order of places, it goes through memory from one end to the
// other.
func indexOf(places []uint32, a *arena, seed uint64, names int) index {
	x := newIndex(seed, names, a.units())
	w := writer{x: &x, a: a}
	for _, pos := range places {
		if n := (Node{a.at(pos)}); n.flags()&flagDead == 0 {
			w.putNew(x.hashRel(n.Rel()), pos)
		}
	}
	return x
}

// rebuilt is the index in a new size.
func (x *index) rebuilt(a *arena, names int) index {
	n := newIndex(x.seed, names, a.units())
	w := writer{x: &n, a: a}
	x.each(func(pos uint32) bool {
		w.putNew(n.hashRel(Node{a.at(pos)}.Rel()), pos)
		return true
	})
	return n
}

func (x *index) slot(i uint32) uint32 {
	if x.pages == nil {
		return x.flat[i]
	}
	return x.pages[i/pageSize][i%pageSize]
}

// start is the slot where the search for a hash begins.
func (x *index) start(h uint64) uint32 {
	hi, _ := bits.Mul64(h, uint64(x.slots))
	return uint32(hi)
}

// entry is what a slot holds for a hash and a place.
func (x *index) entry(h uint64, pos uint32) uint32 {
	return uint32(h)&^x.place | pos
}

// full reports whether n more names make the index slow.
func (x *index) full(n int) bool {
	return uint64(x.used)+uint64(n) > uint64(x.slots)*4/5
}

// find returns the node whose name below the apex is head followed by tail,
// and its slot and place; ok is false if there is none.
func (x *index) find(a *arena, h uint64, head, tail []byte) (n Node, slot, pos uint32, ok bool) {
	tag := uint32(h) &^ x.place
	i := x.start(h)
	size := len(head) + len(tail)
	for {
		e := x.slot(i)
		if e == 0 {
			return Node{}, i, 0, false
		}
		if e&^x.place == tag {
			b := a.at(e & x.place)
			if int(b[0]) == size {
				rel := Node{b}.Rel()
				if string(rel[len(head):]) == string(tail) && string(rel[:len(head)]) == string(head) {
					return Node{b}, i, e & x.place, true
				}
			}
		}
		if i++; i == x.slots {
			i = 0
		}
	}
}

// hashLabel continues a hash by one label without its length octet: names are
// hashed from the right, so that each step down costs one label.
func hashLabel(h uint64, lab []byte) uint64 {
	h ^= uint64(len(lab)) << 56
	for len(lab) >= 8 {
		h = mix(h ^ binary.LittleEndian.Uint64(lab))
		lab = lab[8:]
	}
	var rest uint64
	switch {
	case len(lab) >= 4:
		rest = uint64(binary.LittleEndian.Uint32(lab)) | uint64(binary.LittleEndian.Uint32(lab[len(lab)-4:]))<<32
	default:
		for i, c := range lab {
			rest |= uint64(c) << (8 * i)
		}
	}
	return mix(h ^ rest)
}

func mix(h uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, 0xa0761d6478bd642f)
	return hi ^ lo
}

// suffixes are the places where the labels of a name below the apex begin, and
// the hashes of the names that begin there.
type suffixes struct {
	offs [wire.MaxLabels + 1]uint8
	hash [wire.MaxLabels + 1]uint64
}

// hashes fills in s and returns how many labels there are.
func (x *index) hashes(rel []byte, s *suffixes) int {
	n := 0
	for i := 0; i < len(rel); i += 1 + int(rel[i]) {
		s.offs[n] = uint8(i)
		n++
	}
	h := x.seed
	for i := n - 1; i >= 0; i-- {
		at := int(s.offs[i])
		h = hashLabel(h, rel[at+1:at+1+int(rel[at])])
		s.hash[i] = h
	}
	return n
}

// hashRel hashes a name below the apex.
func (x *index) hashRel(rel []byte) uint64 {
	if n := len(rel); n > 0 && 1+int(rel[0]) == n {
		return hashLabel(x.seed, rel[1:])
	}
	var s suffixes
	if x.hashes(rel, &s) == 0 {
		return x.seed
	}
	return s.hash[0]
}

// writer changes an index that may be shared: it copies the pages that it
// writes to, once.
type writer struct {
	x     *index
	a     *arena
	owned []bool // pages that are this writer's own; nil: everything is
}

// change returns a writer for a copy of x that shares its pages.
func (x *index) change(a *arena) writer {
	if x.pages == nil {
		x.flat = cloneSlots(x.flat)
		return writer{x: x, a: a}
	}
	x.pages = append([]*page(nil), x.pages...)
	return writer{x: x, a: a, owned: make([]bool, len(x.pages))}
}

func cloneSlots(s []uint32) []uint32 { return append(make([]uint32, 0, len(s)), s...) }

func (w *writer) set(i, e uint32) {
	x := w.x
	if x.pages == nil {
		x.flat[i] = e
		return
	}
	p := i / pageSize
	if w.owned != nil && !w.owned[p] {
		c := *x.pages[p]
		x.pages[p] = &c
		w.owned[p] = true
	}
	x.pages[p][i%pageSize] = e
}

// put enters a node, in the place of the one of that name if there is one.
func (w *writer) put(rel []byte, pos uint32) {
	h := w.x.hashRel(rel)
	_, slot, _, ok := w.x.find(w.a, h, nil, rel)
	if !ok {
		w.x.used++
		w.x.names++
	}
	w.set(slot, w.x.entry(h, pos))
}

// putNew enters a node of a name that is known not to be there.
func (w *writer) putNew(h uint64, pos uint32) {
	i := w.x.start(h)
	for w.x.slot(i) != 0 {
		if i++; i == w.x.slots {
			i = 0
		}
	}
	w.x.used++
	w.x.names++
	w.set(i, w.x.entry(h, pos))
}

// remove takes a name out.
func (w *writer) remove(rel []byte) {
	_, slot, _, ok := w.x.find(w.a, w.x.hashRel(rel), nil, rel)
	if ok {
		w.x.names--
		w.set(slot, gone)
	}
}

// each calls f for every place, in no order, until it returns false.
func (x *index) each(f func(pos uint32) bool) {
	for i := uint32(0); i < x.slots; i++ {
		if e := x.slot(i); e != 0 && e != gone && !f(e&x.place) {
			return
		}
	}
}

// compareRel orders two names below one apex canonically (RFC 4034 6.1).
func compareRel(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	return wire.CompareNames(a, b)
}
