package update

import (
	"bytes"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// edit is an update under way: the names that it touches, as they are becoming.
type edit struct {
	z     *zone.Zone
	names map[string]*name
	order []*name // as they were touched
	soa   bool    // the update brought an SOA of its own
}

// name is a name and its RRsets, those included that have gone.
type name struct {
	owner []byte
	apex  bool
	sets  []rrset
}

func newEdit(z *zone.Zone) *edit { return &edit{z: z, names: map[string]*name{}} }

// touch returns a name as it is now.
func (e *edit) touch(owner []byte) *name {
	if n := e.names[string(owner)]; n != nil {
		return n
	}
	n := &name{owner: owner, apex: bytes.Equal(owner, e.z.Apex())}
	e.names[string(owner)] = n
	e.order = append(e.order, n)
	node, ok := e.z.Find(owner)
	if !ok {
		return n
	}
	for it := node.All(); it.Next(); {
		n.sets = append(n.sets, load(&it.Set))
	}
	return n
}

// do does one record (RFC 2136 3.4.2).
func (e *edit) do(rr *Record) {
	n := e.touch(rr.Name)
	switch rr.Class {
	case wire.ClassIN:
		e.add(n, rr)
	case wire.ClassANY:
		n.dropSets(rr.Type)
	case wire.ClassNONE:
		n.drop(rr)
	}
}

// add adds a record (RFC 2136 3.4.2.2).
func (e *edit) add(n *name, rr *Record) {
	switch {
	case rr.Type == wire.TypeSOA:
		if !n.apex || !newer(n, rr) {
			return
		}
		e.soa = true
	case rr.Type == wire.TypeCNAME:
		if n.holds(func(t wire.Type) bool { return t != wire.TypeCNAME && !zone.BesideCNAME(t) }) {
			return
		}
	case !zone.BesideCNAME(rr.Type):
		if n.holds(func(t wire.Type) bool { return t == wire.TypeCNAME }) {
			return
		}
	}
	n.set(rr).add(rr.TTL, rr.Data)
}

// newer reports whether an SOA may take the place of the one that is there: its
// serial must be newer (RFC 2136 3.4.2.2, RFC 1982 3.2).
func newer(n *name, rr *Record) bool {
	set := n.set(rr)
	for i := range set.records {
		if r := &set.records[i]; r.is {
			next, _ := wire.SOASerial(rr.Data)
			now, _ := wire.SOASerial(r.now)
			return wire.NewerSerial(next, now)
		}
	}
	return false
}

// set is the RRset that a record belongs to.
func (n *name) set(rr *Record) *rrset {
	covered := coveredBy(rr.Type, rr.Data)
	for i := range n.sets {
		if s := &n.sets[i]; s.typ == rr.Type && s.covered == covered {
			return s
		}
	}
	n.sets = append(n.sets, rrset{typ: rr.Type, covered: covered})
	return &n.sets[len(n.sets)-1]
}

// dropSets deletes the RRset of a type, or all of them (RFC 2136 3.4.2.3). The
// apex keeps its SOA and NS.
func (n *name) dropSets(t wire.Type) {
	for i := range n.sets {
		s := &n.sets[i]
		if n.apex && (s.typ == wire.TypeSOA || s.typ == wire.TypeNS) {
			continue
		}
		if t == wire.TypeANY || s.typ == t {
			s.clear()
		}
	}
}

// drop deletes a record (RFC 2136 3.4.2.4), but neither an SOA nor the last NS of
// the apex.
func (n *name) drop(rr *Record) {
	s := n.set(rr)
	if rr.Type == wire.TypeSOA || n.apex && rr.Type == wire.TypeNS && s.count == 1 {
		return
	}
	s.drop(rr.Data)
}

// holds reports whether the name has records of some type.
func (n *name) holds(which func(wire.Type) bool) bool {
	for i := range n.sets {
		if s := &n.sets[i]; s.count > 0 && which(s.typ) {
			return true
		}
	}
	return false
}

// changes are what became different. If anything did, the serial is the next,
// unless the update brought one. The SOAs stand in front, as in IXFR (RFC 1995 4).
func (e *edit) changes() *zone.Changeset {
	c := &zone.Changeset{}
	for _, n := range e.order {
		for i := range n.sets {
			n.sets[i].changes(c, n.owner)
		}
	}
	if c.Empty() {
		return c
	}
	if !e.soa {
		e.advance(c)
	}
	c.SOAFirst()
	return c
}

// advance gives the zone the next serial (RFC 2136 3.6).
func (e *edit) advance(c *zone.Changeset) {
	soa, _ := e.z.ApexNode().Set(wire.TypeSOA)
	data, _, _ := wire.NextRecord(soa.Records)
	next := wire.WithSOASerial(data, e.z.Serial()+1)
	c.Del = append(c.Del, wire.RR{Owner: e.z.Apex(), Type: wire.TypeSOA, TTL: soa.TTL, Data: data})
	c.Add = append(c.Add, wire.RR{Owner: e.z.Apex(), Type: wire.TypeSOA, TTL: soa.TTL, Data: next})
}
