package catalog

import (
	"bytes"
	"encoding/binary"
	"slices"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// changes finds what is different in the version before.
func (m *maker) changes() {
	m.kept = make([]bool, len(m.wanted))
	for i := range m.wanted {
		w := &m.wanted[i]
		if s, ok := m.oldSet(m.node("", w), wire.TypePTR); ok && s.Count() == 1 {
			name, _ := target(&s)
			m.kept[i] = bytes.Equal(name, w.Name)
		}
	}
	m.remove()
	m.differ(m.versionOwner(), wire.TypeTXT, [][]byte{[]byte("\x012")})
	for i := range m.wanted {
		w := &m.wanted[i]
		if !m.kept[i] {
			m.addMember(w)
			continue
		}
		m.differ(m.node(group, w), wire.TypeTXT, w.groupData())
		var to [][]byte
		if w.Coo != nil {
			to = [][]byte{w.Coo}
		}
		m.differ(m.node(coo, w), wire.TypePTR, to)
	}
}

func (m *maker) oldSet(owner []byte, t wire.Type) (zone.RRset, bool) {
	n, ok := m.old.Find(owner)
	if !ok {
		return zone.RRset{}, false
	}
	return n.Set(t)
}

// remove takes out what stands at and below the nodes of members that are no more,
// or whose label is that of another zone now.
func (m *maker) remove() {
	m.old.Each(func(owner []byte, s *zone.RRset) bool {
		id, ok := memberLabel(owner, m.zones)
		if !ok {
			return true
		}
		if i, wanted := m.byID[string(id)]; wanted && m.kept[i] {
			return true
		}
		o := bytes.Clone(owner)
		for _, data := range split(s.Records) {
			m.c.Del = append(m.c.Del, wire.RR{Owner: o, Type: s.Type, TTL: s.TTL, Data: data})
		}
		return true
	})
}

// memberLabel is the label in front of zones in a name below it.
func memberLabel(owner, zones []byte) (id []byte, ok bool) {
	if len(owner) <= len(zones) || !bytes.HasSuffix(owner, zones) {
		return nil, false
	}
	end := len(owner) - len(zones)
	for at := 0; at < end; at += 1 + int(owner[at]) {
		if next := at + 1 + int(owner[at]); next == end {
			return owner[at+1 : end], true
		}
	}
	return nil, false
}

func split(records []byte) (list [][]byte) {
	for {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return list
		}
		list = append(list, data)
		records = rest
	}
}

// differ makes the RRset of a name hold the given records.
func (m *maker) differ(owner []byte, t wire.Type, want [][]byte) {
	s, _ := m.oldSet(owner, t)
	have := split(s.Records)
	same := func(list [][]byte, data []byte) bool {
		return slices.ContainsFunc(list, func(d []byte) bool { return zone.SameData(t, d, data) })
	}
	for _, data := range have {
		if !same(want, data) {
			m.c.Del = append(m.c.Del, wire.RR{Owner: owner, Type: t, TTL: s.TTL, Data: data})
		}
	}
	for _, data := range want {
		if !same(have, data) {
			// An RRset has one TTL.
			m.add(owner, t, s.TTL, data)
		}
	}
}

// raise gives the new version its serial (RFC 9432 4.1).
func (m *maker) raise(serial uint32) {
	old := m.old.Serial()
	if serial == 0 || !wire.NewerSerial(serial, old) {
		serial = old + 1
	}
	// Some take the serial 0 for none.
	if serial == 0 {
		serial = 1
	}
	s, _ := m.oldSet(m.apex, wire.TypeSOA)
	data, _, _ := wire.NextRecord(s.Records)
	next := bytes.Clone(data)
	binary.BigEndian.PutUint32(next[len(next)-20:], serial)
	m.c.Del = slices.Insert(m.c.Del, 0, wire.RR{Owner: m.apex, Type: wire.TypeSOA, TTL: s.TTL, Data: data})
	m.c.Add = slices.Insert(m.c.Add, 0, wire.RR{Owner: m.apex, Type: wire.TypeSOA, TTL: s.TTL, Data: next})
}
