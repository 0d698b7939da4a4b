package resolver

import (
	"slices"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// These bound the names for which additional data is looked up: no datagram
// holds more.
const (
	maxExtraUDP = 64
	maxExtraTCP = 512
)

// enough reports whether no more additional data is to be looked up.
func (v *Resolver) enough() bool {
	return v.extra >= maxExtraTCP || v.extra >= maxExtraUDP && !v.in.TCP
}

// additional adds the addresses of the names that the answer leads to
// (RFC 1035 3.3.9, RFC 2782, RFC 9460 4.1), as far as the zone has them.
func (v *Resolver) additional() {
	for i := 0; i < len(v.r.Answer); i++ {
		s := &v.r.Answer[i]
		switch s.Type {
		case wire.TypeNS:
			v.targets(s, 0)
		case wire.TypeMX:
			v.targets(s, 2)
		case wire.TypeSRV:
			v.targets(s, 6)
		case wire.TypeSVCB, wire.TypeHTTPS:
			v.service(*s)
		}
	}
	// What aliases lead to may lead on.
	for i := 0; i < len(v.r.Additional); i++ {
		if s := &v.r.Additional[i]; s.Type == wire.TypeSVCB || s.Type == wire.TypeHTTPS {
			v.service(*s)
		}
	}
}

// targets adds the addresses of the names that stand at an offset in the
// records of an answer.
func (v *Resolver) targets(s *wire.Set, at int) {
	records := s.Records
	for i := uint16(0); ; i++ {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return
		}
		if len(data) > at && (s.Pick == nil || slices.Contains(s.Pick, i)) {
			v.addresses(data[at:])
		}
		records = rest
	}
}

// addresses adds the A and AAAA of a name, synthesised ones too, unless they
// are there already.
func (v *Resolver) addresses(target []byte) {
	n, ok := v.lookup(target)
	if !ok {
		return
	}
	v.extraSet(target, n, wire.TypeA)
	v.extraSet(target, n, wire.TypeAAAA)
}

// lookup finds the node that holds a target's data: its own, or a wildcard's.
// Below a cut that is glue.
func (v *Resolver) lookup(target []byte) (zone.Node, bool) {
	if v.enough() || !v.other.Set(target) || !v.z.Contains(v.other.Bytes()) {
		return zone.Node{}, false
	}
	v.extra++
	m := v.z.Lookup(&v.other)
	if v.steering != nil {
		v.hide(&v.other, &m)
	}
	switch m.Kind {
	case zone.Exact:
		return m.Node, true
	case zone.Missing:
		// What stands beside the NS of a wildcard is not ours to say.
		n, ok := v.z.Wildcard(&m)
		return n, ok && !n.Cut()
	case zone.Cut:
		return v.z.Find(v.other.Bytes())
	}
	return zone.Node{}, false
}

// extraSet adds a node's set of a type to the additional section, once.
func (v *Resolver) extraSet(owner []byte, n zone.Node, t wire.Type) {
	s, ok := n.Set(t)
	if !ok || v.present(owner, &s) {
		return
	}
	if v.steering != nil && v.extraSteered(owner, n, &s) {
		return
	}
	v.r.Additional = put(v.r.Additional, owner, &s, s.TTL)
	if v.q.EDNS.DO {
		v.r.Additional = signatures(v.r.Additional, owner, n, t, s.TTL)
	}
}

// present reports whether an RRset is in the reply already: a record is sent
// once (RFC 2181 5.5 has duplicates suppressed).
func (v *Resolver) present(owner []byte, s *zone.RRset) bool {
	for i := range v.r.Answer {
		if v.same(&v.r.Answer[i], owner, s) {
			return true
		}
	}
	for i := range v.r.Additional {
		if v.same(&v.r.Additional[i], owner, s) {
			return true
		}
	}
	return false
}

func (v *Resolver) same(a *wire.Set, owner []byte, s *zone.RRset) bool {
	if a.Type != s.Type || &a.Records[0] != &s.Records[0] {
		return false
	}
	have := a.Owner
	if have == nil {
		have = v.q.Name.Bytes()
	}
	return wire.EqualFold(have, owner)
}

// service adds what a SVCB or HTTPS set leads to (RFC 9460 4.1): the addresses
// of its targets, and in alias mode the targets' own records. A loop of aliases
// ends where a set is there already.
func (v *Resolver) service(s wire.Set) {
	owner := s.Owner
	if owner == nil {
		owner = v.q.Name.Bytes()
	}
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return
		}
		records = rest
		if len(data) < 3 {
			continue
		}
		alias := data[0]|data[1] == 0
		target := data[2 : 2+wire.NameLen(data[2:])]
		if len(target) == 1 {
			// RFC 9460 2.5: "." is the owner itself; in alias mode, that the
			// service isn't there.
			if alias {
				continue
			}
			target = owner
		}
		n, ok := v.lookup(target)
		if !ok {
			continue
		}
		if alias {
			v.extraSet(target, n, s.Type)
		}
		v.extraSet(target, n, wire.TypeA)
		v.extraSet(target, n, wire.TypeAAAA)
	}
}

// glue adds the addresses of a cut's name servers: first those at or below the
// cut itself, without which nobody could go on (RFC 9471 3.1), then the others
// that the zone has (sibling glue). What stands outside the zone is not ours
// to say.
func (v *Resolver) glue(cut []byte, s *zone.RRset) {
	for pass := 0; pass < 2; pass++ {
		for records := s.Records; ; {
			target, rest, ok := wire.NextRecord(records)
			if !ok {
				break
			}
			records = rest
			if v.enough() {
				v.r.TC = v.r.TC || pass == 0 && !v.in.TCP
				break
			}
			if below(target, cut) == (pass == 0) {
				v.addresses(target)
			}
		}
		if pass == 0 {
			v.r.Required = len(v.r.Additional)
		}
	}
}

// below reports whether a name is at or below another, in any case of letters.
func below(name, above []byte) bool {
	at := len(name) - len(above)
	if at < 0 || !wire.EqualFold(name[at:], above) {
		return false
	}
	i := 0
	for i < at {
		i += 1 + int(name[i])
	}
	return i == at
}
