package resolver

import (
	"encoding/binary"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// The SvcParamKeys of addresses (RFC 9460 7.3).
const (
	keyIPv4Hint = 4
	keyIPv6Hint = 6
)

// hints makes the address hints of an HTTPS or SVCB set that was just answered
// follow what is chosen for the name that it leads to: hints that name a dead
// node, or another site, would undo the steering. A set without such hints
// stays as it is.
//
// RFC 7871 7.2.1: hints that depend on the client make the set one that does, so
// that an alias that leads to it is answered alone, as in steered.
func (v *Resolver) hints(owner []byte, n zone.Node, s *zone.RRset) {
	if v.in.Trusted {
		return
	}
	total := 0
	var found hinting
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		records = rest
		total += 2 + len(data) + v.hintRoom(n, data, &found)
	}
	if owner != nil && found.depends && v.q.EDNS.ECS.Present {
		v.traceAlone(owner, s.Type)
		v.r.Answer = v.r.Answer[:len(v.r.Answer)-1]
		return
	}
	if !found.steered || total > len(s.Records)+maxHintRoom {
		return
	}
	out := v.r.Scratch(total)
	if out == nil {
		return
	}
	out = out[:0]
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		records = rest
		at := len(out)
		out = append(out, 0, 0)
		out = v.hinted(out, n, data)
		binary.BigEndian.PutUint16(out[at:], uint16(len(out)-at-2))
	}
	v.r.Answer[len(v.r.Answer)-1].Records = out
}

// maxHintRoom bounds what new hints add to a set, in octets.
const maxHintRoom = 4096

// serviceNode finds the node whose addresses a record's hints are: the owner's
// for ".", else the target's (RFC 9460 2.5.2).
func (v *Resolver) serviceNode(n zone.Node, data []byte) (zone.Node, []byte, bool) {
	if len(data) < 3 || data[0]|data[1] == 0 {
		return zone.Node{}, nil, false // too short, or in alias mode
	}
	size := wire.NameLen(data[2:])
	if size <= 0 || 2+size > len(data) {
		return zone.Node{}, nil, false
	}
	params := data[2+size:]
	if size == 1 {
		return n, params, true
	}
	if !v.other.Set(data[2:2+size]) || !v.z.Contains(v.other.Bytes()) {
		return zone.Node{}, nil, false
	}
	m := v.z.Lookup(&v.other)
	return m.Node, params, m.Kind == zone.Exact
}

// hinting is what hintRoom notes of a set's hints.
type hinting struct{ steered, depends bool }

// hintRoom is by how many octets a record can grow.
func (v *Resolver) hintRoom(n zone.Node, data []byte, found *hinting) (room int) {
	n, params, ok := v.serviceNode(n, data)
	if !ok {
		return 0
	}
	hash := v.z.Hash(n.Rel())
	for len(params) >= 4 {
		key, size := param(params)
		params = params[min(4+size, len(params)):]
		t := hintType(key)
		s, held := n.Set(t)
		if t == 0 || !held {
			continue
		}
		if rule := v.steering.Find(hash, n.Rel(), t); rule != nil {
			found.steered = true
			found.depends = found.depends || rule.Depends()
			room += len(s.Records)
		}
	}
	return room
}

func param(params []byte) (key uint16, size int) {
	return binary.BigEndian.Uint16(params), int(binary.BigEndian.Uint16(params[2:]))
}

// hintType is the address type of a hint; 0: the key is no hint.
func hintType(key uint16) wire.Type {
	switch key {
	case keyIPv4Hint:
		return wire.TypeA
	case keyIPv6Hint:
		return wire.TypeAAAA
	}
	return 0
}

// hinted appends a record's data with the hints that are chosen.
func (v *Resolver) hinted(out []byte, n zone.Node, data []byte) []byte {
	n, params, ok := v.serviceNode(n, data)
	if !ok {
		return append(out, data...)
	}
	out = append(out, data[:len(data)-len(params)]...)
	hash := v.z.Hash(n.Rel())
	for len(params) >= 4 {
		key, size := param(params)
		size = min(size, len(params)-4)
		one := params[:4+size]
		params = params[4+size:]
		t := hintType(key)
		if t == 0 {
			out = append(out, one...)
			continue
		}
		rule := v.steering.Find(hash, n.Rel(), t)
		if s, ok := n.Set(t); ok && rule != nil {
			out = v.hint(out, one, n, rule, &s)
		} else {
			out = append(out, one...)
		}
	}
	return out
}

// hint appends the parameter with the chosen addresses. If there are none it
// stays as it is: the parameter may be mandatory (RFC 9460 8).
func (v *Resolver) hint(out, was []byte, n zone.Node, rule *steer.Rule, s *zone.RRset) []byte {
	f := steer.V4
	if s.Type == wire.TypeAAAA {
		f = steer.V6
	}
	m := v.moment(false)
	t := v.traceHint(n, s.Type)
	res := v.chooser.Address(m, rule, f, t.choice())
	t.done(m, v.byECS(), res)
	if rule.Metered() {
		v.count(rule, s.Type, &res)
	}
	// Hints are addresses, and kept no longer than those.
	a := &v.r.Answer[len(v.r.Answer)-1]
	a.TTL = min(a.TTL, v.ttl(rule, s, &res))
	if res.Stage >= steer.LastResort {
		return append(out, was...)
	}
	if v.byECS() {
		// Both families are ranked alike; a record may lead to several names.
		v.r.Scope = max(v.r.Scope, res.Scope)
	}
	at := len(out)
	out = append(out, was[0], was[1], 0, 0)
	if res.Pick != nil {
		for _, i := range res.Pick {
			out = append(out, recordAt(s.Records, i)...)
		}
	} else {
		for records := s.Records; ; {
			data, rest, ok := wire.NextRecord(records)
			if !ok {
				break
			}
			out = append(out, data...)
			records = rest
		}
	}
	binary.BigEndian.PutUint16(out[at+2:], uint16(len(out)-at-4))
	return out
}

// recordAt is the data of a packed set's record.
func recordAt(records []byte, i uint16) []byte {
	for ; i > 0; i-- {
		_, records, _ = wire.NextRecord(records)
	}
	data, _, _ := wire.NextRecord(records)
	return data
}
