package zone

import (
	"sort"

	"geodns/internal/wire"
)

// order is the canonical order of the nodes that hold NSEC (RFC 4034 6.1), or
// of those that hold NSEC3: below one apex these are single labels of base32hex,
// whose canonical order is that of the hashes (RFC 5155 1.3).
type order struct {
	nsec3 bool
	// chunks hold places, in order, none empty. A change copies the chunks
	// that it writes to.
	chunks [][]uint32
}

const orderChunk = 512

// denialType is the type of the records that o orders.
func (o *order) denialType() wire.Type {
	if o.nsec3 {
		return wire.TypeNSEC3
	}
	return wire.TypeNSEC
}

// chainOf says which chain a zone has, by its apex: NSEC3 where there is an
// NSEC3PARAM (RFC 5155 4), NSEC where there is an NSEC.
func chainOf(apex Node) (nsec3, signed bool) {
	if _, ok := apex.Set(wire.TypeNSEC3PARAM); ok {
		return true, true
	}
	_, ok := apex.Set(wire.TypeNSEC)
	return false, ok
}

// reorder makes the order anew from all nodes.
func (z *Zone) reorder() {
	nsec3, signed := chainOf(z.node)
	if !signed {
		z.order = nil
		return
	}
	o := &order{nsec3: nsec3}
	var all []uint32
	z.index.each(func(pos uint32) bool {
		if o.holds(Node{z.at(pos)}) {
			all = append(all, pos)
		}
		return true
	})
	sort.Slice(all, func(i, j int) bool { return compareRel(z.rel(all[i]), z.rel(all[j])) < 0 })
	for len(all) > orderChunk/2 {
		o.chunks = append(o.chunks, all[:orderChunk/2:orderChunk/2])
		all = all[orderChunk/2:]
	}
	if len(all) > 0 {
		o.chunks = append(o.chunks, all)
	}
	z.order = o
}

func (o *order) holds(n Node) bool {
	if n.flags()&flagNSEC == 0 {
		return false
	}
	_, ok := n.Set(o.denialType())
	return ok
}

func (z *Zone) rel(pos uint32) []byte { return Node{z.at(pos)}.Rel() }

// search returns the chunk and the index of the last name that is not after
// rel; index -1 in chunk 0 if all are.
func (z *Zone) search(rel []byte) (chunk, i int) {
	c := z.order.chunks
	chunk = sort.Search(len(c), func(k int) bool { return compareRel(z.rel(c[k][0]), rel) > 0 }) - 1
	if chunk < 0 {
		return 0, -1
	}
	in := c[chunk]
	return chunk, sort.Search(len(in), func(k int) bool { return compareRel(z.rel(in[k]), rel) > 0 }) - 1
}

// Denial returns the node whose NSEC, or NSEC3, matches or covers a name below
// the apex: the last that is not after it, or of all the last. For NSEC3, rel
// is the hash as a label in lower case. ok is false if there is no chain.
func (z *Zone) Denial(rel []byte) (n Node, exact, ok bool) {
	if z.order == nil || len(z.order.chunks) == 0 {
		return Node{}, false, false
	}
	c := z.order.chunks
	chunk, i := z.search(rel)
	if i < 0 {
		chunk = len(c) - 1
		i = len(c[chunk]) - 1
	}
	n = Node{z.at(c[chunk][i])}
	return n, compareRel(n.Rel(), rel) == 0, true
}

// NSEC3 reports whether the zone's chain is NSEC3 (else NSEC).
func (z *Zone) NSEC3() bool { return z.order != nil && z.order.nsec3 }

// reordering collects what a change does to the order.
type reordering struct {
	z     *Zone
	owned map[*uint32]bool // chunks that are this change's own, by their first place
}

// changeOrder makes z's order its own, to be changed.
func (z *Zone) changeOrder() reordering {
	o := *z.order
	o.chunks = append([][]uint32(nil), o.chunks...)
	z.order = &o
	return reordering{z: z, owned: map[*uint32]bool{}}
}

// own returns a chunk that may be written to.
func (r *reordering) own(chunk int) []uint32 {
	c := r.z.order.chunks[chunk]
	if !r.owned[&c[0]] {
		c = append(make([]uint32, 0, len(c)+1), c...)
		r.owned[&c[0]] = true
		r.z.order.chunks[chunk] = c
	}
	return c
}

// put enters a node's place, instead of the one of the same name if there is
// one.
func (r *reordering) put(rel []byte, pos uint32) {
	o := r.z.order
	if len(o.chunks) == 0 {
		o.chunks = [][]uint32{{pos}}
		return
	}
	chunk, i := r.z.search(rel)
	c := r.own(chunk)
	if i >= 0 && compareRel(r.z.rel(c[i]), rel) == 0 {
		c[i] = pos
		return
	}
	delete(r.owned, &c[0])
	c = append(c, 0)
	copy(c[i+2:], c[i+1:])
	c[i+1] = pos
	o.chunks[chunk] = c
	r.owned[&c[0]] = true
	if len(c) > orderChunk {
		half := append([]uint32(nil), c[orderChunk/2:]...)
		r.owned[&half[0]] = true
		o.chunks[chunk] = c[:orderChunk/2]
		o.chunks = append(o.chunks, nil)
		copy(o.chunks[chunk+2:], o.chunks[chunk+1:])
		o.chunks[chunk+1] = half
	}
}

// remove takes a name out.
func (r *reordering) remove(rel []byte) {
	o := r.z.order
	if len(o.chunks) == 0 {
		return
	}
	chunk, i := r.z.search(rel)
	if i < 0 || compareRel(r.z.rel(o.chunks[chunk][i]), rel) != 0 {
		return
	}
	c := r.own(chunk)
	delete(r.owned, &c[0])
	c = append(c[:i], c[i+1:]...)
	if len(c) == 0 {
		o.chunks = append(o.chunks[:chunk], o.chunks[chunk+1:]...)
		return
	}
	o.chunks[chunk] = c
	r.owned[&c[0]] = true
}
