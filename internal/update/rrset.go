package update

import (
	"bytes"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// rrset is an RRset as it is becoming. Signatures are one set for each type that
// they cover, as in zones.
type rrset struct {
	typ, covered wire.Type
	old, ttl     uint32 // the TTL that it had, and that it has
	records      []record
	count        int // of records that are there
	// places is where each record is, by its key, if there are many that were looked
	// through often (scans): so that n changes of a set of n records cost n, not its
	// square, and one change costs no map.
	places map[string]int
	scans  int
}

// record is one that was there, or is, or both. What was and what is differ by the
// case of a name at most.
type record struct {
	old, now []byte
	was, is  bool
}

const (
	// longSet is up to how many records a set is always looked through.
	longSet = 16
	// maxScans is how often a longer one is before its keys are kept.
	maxScans = 8
)

// load takes an RRset of a zone apart.
func load(from *zone.RRset) rrset {
	s := rrset{typ: from.Type, covered: from.Covered(), old: from.TTL, ttl: from.TTL}
	s.records = make([]record, 0, from.Count())
	for records := from.Records; ; s.count++ {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return s
		}
		s.records = append(s.records, record{old: data, now: data, was: true, is: true})
		records = rest
	}
}

func coveredBy(t wire.Type, data []byte) wire.Type {
	if t == wire.TypeRRSIG || t == wire.TypeSIG {
		return wire.Covered(data)
	}
	return 0
}

// any is the RDATA of a record, wherever it is.
func (r *record) any() []byte {
	if r.is {
		return r.now
	}
	return r.old
}

// key is what two RDATA share if zone.SameData holds for them: names are compared
// without case.
func key(t wire.Type, data []byte) string {
	at, ok := zone.NameIn(t)
	if !ok || len(data) < at {
		return string(data)
	}
	return string(wire.AppendLower(append(make([]byte, 0, len(data)), data[:at]...), data[at:]))
}

// find is where a record is, or was; -1: nowhere.
func (s *rrset) find(data []byte) int {
	if len(s.records) > longSet && s.scans >= maxScans {
		if s.places == nil {
			s.index()
		}
		if i, ok := s.places[key(s.typ, data)]; ok {
			return i
		}
		return -1
	}
	s.scans++
	for i := range s.records {
		if zone.SameData(s.typ, s.records[i].any(), data) {
			return i
		}
	}
	return -1
}

// index notes the keys of all records.
func (s *rrset) index() {
	s.places = make(map[string]int, len(s.records)+1)
	for i := range s.records {
		s.places[key(s.typ, s.records[i].any())] = i
	}
}

// add adds a record, which takes the place of those that can't be beside it (RFC
// 2136 3.4.2.2).
func (s *rrset) add(ttl uint32, data []byte) {
	// RFC 2181 5.2: one TTL for the whole RRset.
	s.ttl = ttl
	switch {
	case zone.Single(s.typ) != "":
		s.clear()
	case s.typ == typeWKS:
		s.dropService(data)
	}
	i := s.find(data)
	if i < 0 {
		i = len(s.records)
		s.records = append(s.records, record{})
		if s.places != nil {
			s.places[key(s.typ, data)] = i
		}
	}
	r := &s.records[i]
	if !r.is {
		s.count++
	}
	r.now, r.is = data, true
}

// RFC 2136 1.1.1: of WKS there is one record for an address and a protocol, which
// take up the first octets of its RDATA (RFC 1035 3.4.2).
const (
	typeWKS    wire.Type = 11
	serviceLen int       = 5
)

func (s *rrset) dropService(data []byte) {
	for i := range s.records {
		if r := &s.records[i]; bytes.Equal(r.any()[:serviceLen], data[:serviceLen]) {
			s.remove(r)
		}
	}
}

func (s *rrset) remove(r *record) {
	if r.is {
		r.is = false
		s.count--
	}
}

// drop deletes a record, if it is there.
func (s *rrset) drop(data []byte) {
	if i := s.find(data); i >= 0 {
		s.remove(&s.records[i])
	}
}

// clear deletes all records.
func (s *rrset) clear() {
	for i := range s.records {
		s.remove(&s.records[i])
	}
}

// changes appends what became different.
func (s *rrset) changes(c *zone.Changeset, owner []byte) {
	for i := range s.records {
		r := &s.records[i]
		if r.was && r.is && s.old == s.ttl && bytes.Equal(r.old, r.now) {
			continue
		}
		if r.was {
			c.Del = append(c.Del, wire.RR{Owner: owner, Type: s.typ, TTL: s.old, Data: r.old})
		}
		if r.is {
			c.Add = append(c.Add, wire.RR{Owner: owner, Type: s.typ, TTL: s.ttl, Data: r.now})
		}
	}
}
