package zone

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"geodns/internal/wire"
)

// Problem is what is wrong with a record, or with a zone as a whole. Where it
// stands is for the caller to say.
type Problem struct {
	Rule    string // a short, stable word for the rule
	Message string
	Remedy  string
	Warning bool // the record is taken nevertheless, as Remedy says
}

// Error joins message and remedy.
func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Message
	}
	return p.Message + "; " + p.Remedy
}

// The bounds of one name. More types at one name, or a set that no message can
// carry, are mistakes or attacks.
const (
	MaxSets    = 512
	MaxRecords = 65535 // octets of a packed RRset
)

// draft is a node taken apart, to be changed.
type draft struct {
	rel      []byte
	children uint32
	wildcard bool
	// reuse: the sets' records are this draft's own memory, to be filled anew.
	reuse bool
	sets  []draftSet
}

type draftSet struct {
	typ, covered wire.Type
	ttl          uint32
	records      []byte
	count        int
	// own: the records are the draft's own memory, not a node's.
	own bool
	// seen are the keys of the records of a long set that was looked through
	// often (scans), so that a set of n records costs n, not its square.
	scans int
	seen  map[string]struct{}
}

const (
	// longSet is up to how many records a set is always looked through.
	longSet = 16
	// maxScans is how often a longer one is before its keys are kept.
	maxScans = 8
)

// load makes d the contents of a node. The records stay the node's: they are
// copied when they change (their capacity is cut to their length).
func (d *draft) load(n Node) {
	d.rel = append(d.rel[:0], n.Rel()...)
	d.children = n.children()
	d.wildcard = n.flags()&flagWildcard != 0
	d.sets = d.sets[:0]
	for it := n.All(); it.Next(); {
		s := &it.Set
		d.sets = append(d.sets, draftSet{
			typ: s.Type, covered: s.Covered(), ttl: s.TTL,
			records: s.Records[:len(s.Records):len(s.Records)], count: s.Count(),
		})
	}
}

func (d *draft) find(t, covered wire.Type) int {
	for i := range d.sets {
		if d.sets[i].typ == t && d.sets[i].covered == covered {
			return i
		}
	}
	return -1
}

func coveredBy(rr *wire.RR) wire.Type {
	if rr.Type == wire.TypeRRSIG || rr.Type == wire.TypeSIG {
		return wire.Covered(rr.Data)
	}
	return 0
}

// BesideCNAME reports whether a type may stand beside a CNAME (RFC 2181 10.1,
// RFC 4034 2.5 and 3, RFC 3007 4.1).
func BesideCNAME(t wire.Type) bool {
	switch t {
	case wire.TypeRRSIG, wire.TypeNSEC, wire.TypeSIG, wire.TypeKEY, wire.TypeNXT:
		return true
	}
	return false
}

// Single says why there may be but one record of a type at a name; empty: there
// may be many.
func Single(t wire.Type) string {
	switch t {
	case wire.TypeSOA:
		return "a zone has exactly one SOA (RFC 1035 5.2)"
	case wire.TypeCNAME:
		return "a name has at most one CNAME (RFC 2181 10.1)"
	case wire.TypeDNAME:
		return "a name has at most one DNAME (RFC 6672 2.4)"
	}
	return ""
}

func second(t wire.Type) *Problem {
	return &Problem{Rule: "single", Message: "a second record: " + Single(t), Remedy: "keep one of them"}
}

// add puts a record into the draft. A record that is there already is left
// alone, with a warning. lowest: of two TTLs in one set the lower one holds,
// with a warning (RFC 2181 5.2); else the record's.
func (d *draft) add(rr *wire.RR, lowest bool) *Problem {
	if 2+len(rr.Data) > MaxRecords {
		return setTooLong
	}
	covered := coveredBy(rr)
	i := d.find(rr.Type, covered)
	if i < 0 {
		if len(d.sets) >= MaxSets {
			return &Problem{Rule: "too-many-types", Message: fmt.Sprintf("the name has more than %d types", MaxSets), Remedy: "spread them over several names"}
		}
		if n := len(d.sets); n < cap(d.sets) {
			d.sets = d.sets[:n+1]
		} else {
			d.sets = append(d.sets, draftSet{})
		}
		i = len(d.sets) - 1
		s := &d.sets[i]
		records := s.records[:0]
		if !d.reuse {
			records = nil
		}
		*s = draftSet{typ: rr.Type, covered: covered, ttl: rr.TTL, records: wire.AppendRecord(records, rr.Data), count: 1, own: true}
		return nil
	}
	s := &d.sets[i]
	if s.has(rr.Data) {
		return duplicate
	}
	if Single(rr.Type) != "" {
		return second(rr.Type)
	}
	if len(s.records)+2+len(rr.Data) > MaxRecords {
		return setTooLong
	}
	s.records = wire.AppendRecord(s.records, rr.Data)
	s.own = true
	s.count++
	if s.seen != nil {
		s.seen[string(dataKey(nil, s.typ, rr.Data))] = struct{}{}
	}
	if s.ttl == rr.TTL {
		return nil
	}
	if !lowest {
		s.ttl = rr.TTL
		return nil
	}
	p := &Problem{Rule: "ttl-differs", Warning: true, Message: fmt.Sprintf("TTL %d differs from the %d of the records before it in this RRset", rr.TTL, s.ttl), Remedy: "the lower one is used for all of them (RFC 2181 5.2)"}
	s.ttl = min(s.ttl, rr.TTL)
	return p
}

var (
	duplicate  = &Problem{Rule: "duplicate", Warning: true, Message: "the record stands twice", Remedy: "one of them is left out"}
	setTooLong = &Problem{Rule: "set-too-long", Message: "the RRset is longer than any message can carry (64 KiB)", Remedy: "spread its records over several names"}
)

// has reports whether a record is in the set.
func (s *draftSet) has(data []byte) bool {
	if s.count > longSet && s.seen == nil {
		if s.scans++; s.scans > maxScans {
			s.keep()
		}
	}
	if s.seen != nil {
		var buf [wire.MaxName + 1]byte
		_, ok := s.seen[string(dataKey(buf[:0], s.typ, data))]
		return ok
	}
	for r := s.records; ; {
		have, rest, ok := wire.NextRecord(r)
		if !ok {
			return false
		}
		if SameData(s.typ, have, data) {
			return true
		}
		r = rest
	}
}

// keep notes the keys of all records.
func (s *draftSet) keep() {
	s.seen = make(map[string]struct{}, s.count+1)
	for r := s.records; ; {
		data, rest, ok := wire.NextRecord(r)
		if !ok {
			return
		}
		s.seen[string(dataKey(nil, s.typ, data))] = struct{}{}
		r = rest
	}
}

// NameIn says where in a type's RDATA a name begins that takes up its rest, and
// that DNS compares without case; ok is false for types without such a name.
func NameIn(t wire.Type) (at int, ok bool) {
	switch t {
	case wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeDNAME:
		return 0, true
	case wire.TypeMX:
		return 2, true
	case wire.TypeSRV:
		return 6, true
	}
	return 0, false
}

// SameData compares RDATA. Of the types with a name, the numbers in front of it
// are compared as they are: they are no letters.
func SameData(t wire.Type, a, b []byte) bool {
	at, ok := NameIn(t)
	if !ok || len(a) < at || len(b) < at {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(a[:at], b[:at]) && wire.EqualFold(a[at:], b[at:])
}

// dataKey is a key that two RDATA share if sameData holds for them: data
// itself, or a copy in dst.
func dataKey(dst []byte, t wire.Type, data []byte) []byte {
	at, ok := NameIn(t)
	if !ok || len(data) < at {
		return data
	}
	return wire.AppendLower(append(dst, data[:at]...), data[at:])
}

// del takes a record out, and reports whether it was there. The TTL does not
// matter (RFC 1995 4, RFC 2136 3.4.2.4).
func (d *draft) del(rr *wire.RR) bool {
	i := d.find(rr.Type, coveredBy(rr))
	if i < 0 {
		return false
	}
	s := &d.sets[i]
	for at := 0; at < len(s.records); {
		data, _, ok := wire.NextRecord(s.records[at:])
		if !ok {
			return false
		}
		end := at + 2 + len(data)
		if SameData(s.typ, data, rr.Data) {
			s.cut(at, end)
			if s.count == 0 {
				d.sets = append(d.sets[:i], d.sets[i+1:]...)
			}
			return true
		}
		at = end
	}
	return false
}

// cut takes the record out that stands at records[at:end].
func (s *draftSet) cut(at, end int) {
	if s.seen != nil {
		delete(s.seen, string(dataKey(nil, s.typ, s.records[at+2:end])))
	}
	if !s.own {
		s.records = bytes.Clone(s.records)
		s.own = true
	}
	s.records = append(s.records[:at], s.records[end:]...)
	s.count--
}

// conflict says what rules the sets of one name break together.
func (d *draft) conflict() *Problem {
	cname, dname, ns, other := false, false, false, false
	for i := range d.sets {
		switch t := d.sets[i].typ; {
		case t == wire.TypeCNAME:
			cname = true
		case !BesideCNAME(t):
			other = true
			dname = dname || t == wire.TypeDNAME
			ns = ns || t == wire.TypeNS
		}
	}
	if cname && other {
		return cnameConflict
	}
	// RFC 6672 2.3.
	if dname && ns && len(d.rel) > 0 {
		return &Problem{Rule: "dname-ns", Message: "DNAME and NS at one name below the apex", Remedy: "a name is delegated or redirected, not both (RFC 6672 2.3)"}
	}
	return nil
}

var cnameConflict = &Problem{Rule: "cname-and-other", Message: "a CNAME beside other data", Remedy: "a name that has a CNAME has nothing else (RFC 2181 10.1): remove one of them"}

// stored reports whether the draft needs a node.
func (d *draft) stored() bool { return d.children > 0 || len(d.sets) > 0 }

// visible reports whether the name exists in the sense of DNS: names that hold
// only NSEC3 don't (RFC 5155 7.2.8).
func (d *draft) visible() bool {
	if d.children > 0 || len(d.rel) == 0 {
		return true
	}
	for i := range d.sets {
		if s := &d.sets[i]; s.typ != wire.TypeNSEC3 && s.covered != wire.TypeNSEC3 {
			return true
		}
	}
	return false
}

func (d *draft) flags() byte {
	f := byte(0)
	if d.wildcard {
		f |= flagWildcard
	}
	if d.children > 0 {
		f |= flagChildren
	}
	if !d.visible() {
		f |= flagHidden
	}
	for i := range d.sets {
		switch d.sets[i].typ {
		case wire.TypeNS:
			if len(d.rel) > 0 {
				f |= flagCut
			}
		case wire.TypeDNAME:
			f |= flagDNAME
		case wire.TypeCNAME:
			f |= flagCNAME
		case wire.TypeNSEC, wire.TypeNSEC3:
			f |= flagNSEC
		}
	}
	return f
}

// size is how many octets encode needs.
func (d *draft) size() int {
	n := 2 + len(d.rel) + 2
	if d.children > 0 {
		n += 4
	}
	for i := range d.sets {
		n += setHeader + len(d.sets[i].records)
	}
	return n
}

// encode writes the node into b, which has size octets at least.
func (d *draft) encode(b []byte) {
	b[0], b[1] = byte(len(d.rel)), d.flags()
	at := 2
	if d.children > 0 {
		binary.BigEndian.PutUint32(b[2:], d.children)
		at = 6
	}
	at += copy(b[at:], d.rel)
	for i := range d.sets {
		s := &d.sets[i]
		binary.BigEndian.PutUint16(b[at:], s.typ)
		binary.BigEndian.PutUint32(b[at+2:], s.ttl)
		binary.BigEndian.PutUint16(b[at+6:], uint16(len(s.records)))
		at += setHeader + copy(b[at+setHeader:], s.records)
	}
	binary.BigEndian.PutUint16(b[at:], 0)
}
