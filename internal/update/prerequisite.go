package update

import (
	"encoding/binary"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// prerequisites reports whether they all hold (RFC 2136 3.2).
func prerequisites(z *zone.Zone, list []Record) error {
	var w wants
	for i := range list {
		rr := &list[i]
		if rr.TTL != 0 {
			return refuse(wire.RcodeFormErr, rr.Name, "a prerequisite has a TTL")
		}
		if !z.Contains(rr.Name) {
			return outside(z, rr)
		}
		if rr.Class == wire.ClassIN {
			if wire.MetaType(rr.Type) {
				return refuse(wire.RcodeFormErr, rr.Name, "a prerequisite has a type that can't be")
			}
			w.want(rr)
			continue
		}
		if err := exists(z, rr); err != nil {
			return err
		}
	}
	for _, s := range w.order {
		if !s.is(z) {
			return refuse(wire.RcodeNXRRSet, s.name, "the RRset of type %d is not what the prerequisites say", s.typ)
		}
	}
	return nil
}

// exists is about prerequisites that name no data (RFC 2136 3.2.1 and 3.2.2).
func exists(z *zone.Zone, rr *Record) error {
	if len(rr.Data) > 0 || rr.Type != wire.TypeANY && wire.MetaType(rr.Type) {
		return refuse(wire.RcodeFormErr, rr.Name, "a prerequisite has data where none belongs, or a type that can't be")
	}
	there := inUse(z, rr.Name, rr.Type)
	switch {
	case rr.Class != wire.ClassANY && rr.Class != wire.ClassNONE:
		return refuse(wire.RcodeFormErr, rr.Name, "class %d is not that of the zone", rr.Class)
	case there == (rr.Class == wire.ClassANY):
		return nil
	case rr.Type == wire.TypeANY && there:
		return refuse(wire.RcodeYXDomain, rr.Name, "the name is in use")
	case rr.Type == wire.TypeANY:
		return refuse(wire.RcodeNXDomain, rr.Name, "the name is not in use")
	case there:
		return refuse(wire.RcodeYXRRSet, rr.Name, "there is an RRset of type %d", rr.Type)
	}
	return refuse(wire.RcodeNXRRSet, rr.Name, "there is no RRset of type %d", rr.Type)
}

// inUse reports whether a name has an RRset of a type, or of any: an empty
// non-terminal is not in use (RFC 2136 2.4.4).
func inUse(z *zone.Zone, name []byte, t wire.Type) bool {
	n, ok := z.Find(name)
	if !ok {
		return false
	}
	for it := n.All(); it.Next(); {
		if t == wire.TypeANY || it.Set.Type == t {
			return true
		}
	}
	return false
}

// wants are the RRsets that prerequisites say are exactly so (RFC 2136 3.2.3).
type wants struct {
	order  []*want
	places map[string]*want
}

type want struct {
	name []byte
	typ  wire.Type
	data map[string]struct{} // keys of RDATA
}

// want adds a record to the RRset that it belongs to.
func (w *wants) want(rr *Record) {
	if w.places == nil {
		w.places = map[string]*want{}
	}
	which := string(binary.BigEndian.AppendUint16(nil, rr.Type)) + string(rr.Name)
	s := w.places[which]
	if s == nil {
		s = &want{name: rr.Name, typ: rr.Type, data: map[string]struct{}{}}
		w.places[which] = s
		w.order = append(w.order, s)
	}
	s.data[key(rr.Type, rr.Data)] = struct{}{}
}

// is reports whether the zone has all of it and nothing else.
func (s *want) is(z *zone.Zone) bool {
	n, ok := z.Find(s.name)
	if !ok {
		return false
	}
	count := 0
	for it := n.All(); it.Next(); {
		if it.Set.Type != s.typ {
			continue
		}
		for records := it.Set.Records; ; count++ {
			data, rest, ok := wire.NextRecord(records)
			if !ok {
				break
			}
			if _, ok := s.data[key(s.typ, data)]; !ok {
				return false
			}
			records = rest
		}
	}
	return count == len(s.data)
}
