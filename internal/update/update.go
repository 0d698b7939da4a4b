package update

import (
	"fmt"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Record is one of the records of an update: of class IN what there is or is to
// come, of ANY and NONE what must be or go (RFC 2136 2.4 and 2.5).
type Record struct {
	Name  []byte // wire form, lower case
	Type  wire.Type
	Class uint16
	TTL   uint32 // seconds
	// Data is RDATA, its names uncompressed. Of class IN it has the fields of its
	// type: Parse sees to that.
	Data []byte
}

// Request is an update, taken apart.
type Request struct {
	Zone                   []byte // wire form, lower case
	Prerequisites, Updates []Record
}

// Refusal is why an update is not done.
type Refusal struct {
	Rcode wire.Rcode
	Why   string
}

// Error is why.
func (r *Refusal) Error() string { return r.Why }

func refuse(rcode wire.Rcode, name []byte, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if name != nil {
		text = wire.NameString(name) + ": " + text
	}
	return &Refusal{rcode, text}
}

// Do does an update to a zone: what it returns as changes leads to next, the SOA
// with the next serial among them, unless there are none. Errors are Refusals.
func Do(z *zone.Zone, req *Request, grants Grants) (next *zone.Zone, changes *zone.Changeset, err error) {
	if z.Signed() {
		return nil, nil, refuse(wire.RcodeRefused, z.Apex(), "the zone came signed, and a change would make its signatures wrong")
	}
	if err := prerequisites(z, req.Prerequisites); err != nil {
		return nil, nil, err
	}
	// RFC 2136 3.3: who may not gets to know what he could find out by asking,
	// and nothing else.
	if err := grants.allow(z, req.Updates); err != nil {
		return nil, nil, err
	}
	if err := prescan(z, req.Updates); err != nil {
		return nil, nil, err
	}
	e := newEdit(z)
	for i := range req.Updates {
		e.do(&req.Updates[i])
	}
	changes = e.changes()
	if changes.Empty() {
		return z, changes, nil
	}
	if next, err = z.Apply(changes); err != nil {
		return nil, nil, refuse(wire.RcodeRefused, nil, "%v", err)
	}
	// It could not be changed any more.
	if next.Signed() {
		return nil, nil, refuse(wire.RcodeRefused, z.Apex(), "the update would make it a signed zone, and those come from whoever signs them")
	}
	return next, changes, nil
}

func outside(z *zone.Zone, rr *Record) error {
	return refuse(wire.RcodeNotZone, rr.Name, "is not in the zone %s", wire.NameString(z.Apex()))
}

// prescan holds the rules of form for all records before any is done (RFC 2136
// 3.4.1).
func prescan(z *zone.Zone, list []Record) error {
	for i := range list {
		rr := &list[i]
		if !z.Contains(rr.Name) {
			return outside(z, rr)
		}
		switch rr.Class {
		case wire.ClassIN:
			if wire.MetaType(rr.Type) {
				return refuse(wire.RcodeFormErr, rr.Name, "a record of type %d can't be added", rr.Type)
			}
		case wire.ClassANY:
			if rr.TTL != 0 || len(rr.Data) > 0 || rr.Type != wire.TypeANY && wire.MetaType(rr.Type) {
				return refuse(wire.RcodeFormErr, rr.Name, "the deletion of an RRset has a TTL, data, or a type that can't be")
			}
		case wire.ClassNONE:
			if rr.TTL != 0 || wire.MetaType(rr.Type) {
				return refuse(wire.RcodeFormErr, rr.Name, "the deletion of a record has a TTL, or a type that can't be")
			}
		default:
			return refuse(wire.RcodeFormErr, rr.Name, "class %d is not that of the zone", rr.Class)
		}
	}
	return nil
}
