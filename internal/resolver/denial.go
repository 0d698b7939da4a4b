package resolver

import (
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// The proofs that a signed zone owes with what it doesn't have, from the NSEC
// (RFC 4035 3.1.3) or NSEC3 (RFC 5155 7.2) records that stand in it.

// proving reports whether proofs are wanted and the zone can give them.
func (v *Resolver) proving() bool { return v.q.EDNS.DO && v.z.Signed() }

// relative is a name without the apex.
func (v *Resolver) relative(name *wire.Name) []byte {
	return name.Buf[:name.Labels[name.NLabels-v.z.Labels()]]
}

// denyName proves that a name doesn't exist, and that no wildcard stands for
// it.
func (v *Resolver) denyName(name *wire.Name, m *zone.Match) {
	if !v.proving() {
		return
	}
	if v.z.NSEC3() {
		// RFC 5155 7.2.2.
		at := v.encloserProof(name, m.Label)
		v.nsec3(v.hash.wildcard(name.Suffix(at)), false)
		return
	}
	// RFC 4035 3.1.3.2.
	v.nsec(v.relative(name))
	var star [wire.MaxName + 1]byte
	v.nsec(append(append(star[:0], 1, '*'), m.Node.Rel()...))
}

// denyType proves that a name, or the wildcard that stands for it, doesn't have
// a type.
func (v *Resolver) denyType(name *wire.Name, n zone.Node, encloser *zone.Match) {
	if !v.proving() {
		return
	}
	if v.z.NSEC3() {
		if encloser != nil {
			// RFC 5155 7.2.5.
			at := v.encloserProof(name, encloser.Label)
			v.nsec3(v.hash.wildcard(name.Suffix(at)), true)
			return
		}
		// RFC 5155 7.2.3; 7.2.4 where opt-out leaves the name without one.
		if !v.nsec3(v.hash.name(name.Suffix(0)), true) {
			v.encloserProof(name, 1)
		}
		return
	}
	// RFC 4035 3.1.3.1, 3.1.3.4. An ENT has no NSEC: one covers it.
	if s, ok := n.Set(wire.TypeNSEC); ok {
		v.deny(v.ownerOf(n), n, &s)
	} else {
		v.nsec(n.Rel())
	}
	if encloser != nil {
		v.nsec(v.relative(name))
	}
}

// denyExpansion proves that a wildcard may stand for a name: that nothing
// closer exists (RFC 4035 3.1.3.3, RFC 5155 7.2.6).
func (v *Resolver) denyExpansion(name *wire.Name, m *zone.Match) {
	if !v.proving() {
		return
	}
	if v.z.NSEC3() {
		v.nsec3(v.hash.name(name.Suffix(m.Label-1)), false)
		return
	}
	v.nsec(v.relative(name))
}

// denyDS adds a cut's DS, or proves that it has none (RFC 4035 3.1.4,
// RFC 5155 7.2.7).
func (v *Resolver) denyDS(n zone.Node, cut []byte) {
	if !v.z.Signed() {
		return // What nobody signed proves nothing.
	}
	if s, ok := n.Set(wire.TypeDS); ok {
		v.r.Authority = put(v.r.Authority, cut, &s, s.TTL)
		v.r.Authority = signatures(v.r.Authority, cut, n, s.Type, s.TTL)
		return
	}
	if v.z.NSEC3() {
		if v.other.Set(cut) && !v.nsec3(v.hash.name(v.other.Bytes()), true) {
			v.encloserProof(&v.other, 1)
		}
		return
	}
	if s, ok := n.Set(wire.TypeNSEC); ok {
		v.deny(cut, n, &s)
	}
}

// encloserProof adds the closest encloser proof (RFC 5155 7.2.1): the NSEC3
// that matches the closest name above that has one, from label at upwards, and
// the one that covers the name a label longer. It returns where that closest
// provable encloser begins.
func (v *Resolver) encloserProof(name *wire.Name, at int) int {
	apex := name.NLabels - v.z.Labels()
	for ; at < apex; at++ {
		if v.nsec3(v.hash.name(name.Suffix(at)), true) {
			break
		}
	}
	if at == apex {
		v.nsec3(v.hash.name(name.Suffix(at)), true)
	}
	if at > 0 {
		v.nsec3(v.hash.name(name.Suffix(at-1)), false)
	}
	return at
}

// nsec adds the NSEC that matches or covers a name below the apex.
func (v *Resolver) nsec(rel []byte) {
	n, _, ok := v.z.Denial(rel)
	if !ok {
		return
	}
	if s, ok := n.Set(wire.TypeNSEC); ok {
		v.deny(v.ownerOf(n), n, &s)
	}
}

// nsec3 adds the NSEC3 for a hash, if the zone's parameters could make one. It
// is to match, or else to cover: one that does the other is left out, and the
// result false.
func (v *Resolver) nsec3(to target, match bool) bool {
	hash, ok := v.hash.label(v.z, to)
	if !ok {
		return false
	}
	n, exact, ok := v.z.Denial(hash)
	if !ok || exact != match {
		return false
	}
	s, ok := n.Set(wire.TypeNSEC3)
	if ok {
		v.deny(v.ownerOf(n), n, &s)
	}
	return ok
}

// deny adds an NSEC or NSEC3 with its signatures to the authority, once.
func (v *Resolver) deny(owner []byte, n zone.Node, s *zone.RRset) {
	if owner == nil {
		return
	}
	for i := range v.r.Authority {
		if a := &v.r.Authority[i]; a.Type == s.Type && &a.Records[0] == &s.Records[0] {
			return
		}
	}
	v.r.Authority = put(v.r.Authority, owner, s, s.TTL)
	v.r.Authority = signatures(v.r.Authority, owner, n, s.Type, s.TTL)
}

// ownerOf writes a node's whole name into the reply's scratch.
func (v *Resolver) ownerOf(n zone.Node) []byte {
	rel := n.Rel()
	owner := v.r.Scratch(len(rel) + len(v.z.Apex()))
	if owner != nil {
		copy(owner[copy(owner, rel):], v.z.Apex())
	}
	return owner
}
