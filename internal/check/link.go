package check

import (
	"bytes"
	"cmp"
	"slices"

	"geodns/internal/wire"
)

// link makes the empty non-terminals (RFC 4592 2.2.2) and leads every name to
// its parent, once all records are there.
func (z *zoneData) link() error {
	if _, err := z.intern(z.apex); err != nil {
		return err
	}
	for i := 0; i < len(z.names); i++ { // grows
		n := nameID(i + 1)
		text := z.owner(n)
		if !wire.HasSuffix(text, z.apex) {
			z.nm(n).flags |= outOfZone
			continue
		}
		if len(text) == len(z.apex) {
			continue
		}
		// A chain of new names is linked as it is met, further on in the loop.
		up := z.parentOf(n)
		z.nm(n).parent = up
	}
	return nil
}

// settle finds what is hidden by zone cuts and DNAMEs, and what is glue, once
// it is known which records are dropped.
func (z *zoneData) settle() {
	apex := z.find(z.apex)
	z.nm(apex).flags |= visible
	for i := range z.names {
		z.hide(nameID(i + 1))
		z.reveal(nameID(i + 1))
	}
	z.noteTargets()
	z.signed = z.set(apex, wire.TypeRRSIG) != 0 && z.set(apex, wire.TypeDNSKEY) != 0
}

// reveal marks a name that has data, and those above it, as existing. Names
// that hold nothing but NSEC3 do not exist (RFC 5155 7.2.8).
func (z *zoneData) reveal(n nameID) {
	if z.has(n, outOfZone) {
		return
	}
	for r := z.firstOf(n); r != 0; r = z.rec(r).next {
		if p := z.rec(r); p.dropped || p.typ == wire.TypeNSEC3 || coveredBy(z, r) == wire.TypeNSEC3 {
			continue
		}
		for ; n != 0 && !z.has(n, visible); n = z.nm(n).parent {
			z.nm(n).flags |= visible
		}
		return
	}
}

// hide settles name.above, of the names above it first.
func (z *zoneData) hide(n nameID) {
	var path []nameID // at most as many as a name has labels
	for ; n != 0 && z.nm(n).flags&(linked|outOfZone) == 0; n = z.nm(n).parent {
		path = append(path, n)
	}
	for i := len(path) - 1; i >= 0; i-- {
		p := z.nm(path[i])
		p.flags |= linked
		if p.parent == 0 {
			continue
		}
		up := z.nm(p.parent)
		switch {
		case up.above != 0:
			p.above = up.above
		case z.cut(p.parent) || up.flags&hasDNAME != 0:
			p.above = p.parent
		}
	}
}

// cut reports whether a name is delegated, if nothing above hides it.
func (z *zoneData) cut(n nameID) bool { return z.has(n, hasNS) && len(z.owner(n)) > len(z.apex) }

// noteTargets marks the names that NS records name: their addresses below cuts
// are glue.
func (z *zoneData) noteTargets() {
	var lower [wire.MaxName]byte
	for i := range z.records {
		if z.records[i].typ == wire.TypeNS {
			if n := z.find(wire.AppendLower(lower[:0], z.data(recID(i+1)))); n != 0 {
				z.nm(n).flags |= nsTarget
			}
		}
	}
}

// set is the first record of a type at a name; 0: none.
func (z *zoneData) set(n nameID, t wire.Type) recID {
	for r := z.firstOf(n); r != 0; r = z.rec(r).next {
		if p := z.rec(r); p.typ == t && !p.dropped {
			return r
		}
	}
	return 0
}

func (z *zoneData) firstOf(n nameID) recID {
	if n == 0 {
		return 0
	}
	return z.nm(n).first
}

// kind says what a name in a record comes to in this zone.
type kind uint8

const (
	outside    kind = iota // not in the zone
	missing                // NXDOMAIN
	exists                 // a name, or an empty non-terminal
	wildcard               // made by the wildcard found
	delegated              // at or below the cut found
	redirected             // below the DNAME found
)

// resolve says what a name comes to (RFC 1034 4.3.2), and the node that says
// so. The name may be in any case.
func (z *zoneData) resolve(text []byte) (kind, nameID) {
	var lower [wire.MaxName]byte
	text = wire.AppendLower(lower[:0], text)
	if !wire.HasSuffix(text, z.apex) {
		return outside, 0
	}
	at := text
	n := z.find(at)
	for !z.has(n, visible) {
		at = wire.Parent(at)
		n = z.find(at)
	}
	if top := z.nm(n).above; top != 0 {
		return z.hiddenBy(top), top
	}
	if z.cut(n) {
		return delegated, n
	}
	if len(at) == len(text) {
		return exists, n
	}
	if z.has(n, hasDNAME) {
		return redirected, n
	}
	// RFC 4592 3.3.1: the wildcard directly below the closest encloser.
	var star [wire.MaxName + 2]byte
	if w := z.find(append(append(star[:0], 1, '*'), at...)); z.has(w, visible) {
		return wildcard, w
	}
	return missing, 0
}

func (z *zoneData) hiddenBy(top nameID) kind {
	if z.cut(top) {
		return delegated
	}
	return redirected
}

// lookup is find for a name in any case.
func (z *zoneData) lookup(text []byte) nameID {
	var lower [wire.MaxName]byte
	return z.find(wire.AppendLower(lower[:0], text))
}

// set is one RRset: the records of a type at a name, in the order of the file.
type set struct {
	typ  wire.Type
	recs []recID
}

// node is a name with its RRsets, for the rules to look at.
type node struct {
	id    nameID
	owner []byte
	sets  []set
	recs  []recID // all of them
}

// get returns the records of a type.
func (n *node) get(t wire.Type) []recID {
	for i := range n.sets {
		if n.sets[i].typ == t {
			return n.sets[i].recs
		}
	}
	return nil
}

// load makes n the node of a name, without the records that were dropped.
func (n *node) load(z *zoneData, id nameID) {
	n.id, n.owner = id, z.owner(id)
	n.sets, n.recs = n.sets[:0], n.recs[:0]
	types := 0
	for r := z.firstOf(id); r != 0; r = z.rec(r).next {
		if !z.rec(r).dropped {
			if len(n.recs) == 0 || z.rec(n.recs[len(n.recs)-1]).typ != z.rec(r).typ {
				types++
			}
			n.recs = append(n.recs, r)
		}
	}
	if types > 1 {
		z.sortByType(n.recs)
	}
	for i := 0; i < len(n.recs); {
		t, j := z.rec(n.recs[i]).typ, i
		for j < len(n.recs) && z.rec(n.recs[j]).typ == t {
			j++
		}
		n.sets = append(n.sets, set{t, n.recs[i:j]})
		i = j
	}
}

// isWildcard reports whether the first label of a name is an asterisk
// (RFC 4592 2.1.1).
func isWildcard(text []byte) bool { return bytes.HasPrefix(text, []byte{1, '*'}) }

// sortByType brings the records of one name into the order of their types, and
// leaves those of one type in the order of the file.
func (z *zoneData) sortByType(recs []recID) {
	slices.SortFunc(recs, func(a, b recID) int {
		return cmp.Or(cmp.Compare(z.rec(a).typ, z.rec(b).typ), cmp.Compare(a, b))
	})
}
