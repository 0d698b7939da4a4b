package fetch

import (
	"bytes"
	"context"
	"slices"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// changelog keeps the changes of an IXFR in its own memory.
type changelog struct {
	list []*zone.Changeset
	// last is the SOA that the changes so far lead to, as it is in a zone that
	// they are applied to.
	last []byte
	size int64 // octets of memory
	// owner is the last one that was kept: records of a name stand together.
	owner []byte
	ttl   uint32 // the first SOA's
	free  []byte
	chunk int // octets of the last chunk of memory
}

const (
	leastChunk = 1 << 10
	mostChunk  = 64 << 10
	// rrSize and changesetSize are what is kept of a record, or of a change,
	// beside its octets.
	rrSize        = 64
	changesetSize = 64
)

// keep copies b.
func (l *changelog) keep(b []byte) []byte {
	if len(b) > len(l.free) {
		l.chunk = min(max(2*l.chunk, leastChunk), mostChunk)
		l.free = make([]byte, max(l.chunk, len(b)))
	}
	kept := l.free[:len(b):len(b)]
	copy(kept, b)
	l.free = l.free[len(b):]
	l.size += int64(len(b))
	return kept
}

// record copies a record.
func (l *changelog) record(rr *wire.RR) wire.RR {
	if !bytes.Equal(rr.Owner, l.owner) {
		l.owner = l.keep(rr.Owner)
	}
	l.size += rrSize
	return wire.RR{Owner: l.owner, Type: rr.Type, TTL: rr.TTL, Data: l.keep(rr.Data)}
}

// delta begins with a change from one serial to the next: with the SOA of the
// version that it is from, which has to be the one that is here, or that the
// changes so far have led to (RFC 1995 4).
func (in *intake) delta(rr *wire.RR) *Error {
	if in.log.last == nil {
		in.log.last = apexSOA(in.have)
	}
	if !sameSOA(rr.Data, in.log.last) {
		from, _ := ParseSOA(rr.Data)
		at, _ := ParseSOA(in.log.last)
		return fault(OutOfSync, "", "a change from serial %d came, where one from %d was to come", from.Serial, at.Serial)
	}
	// Compression may have changed the case of the SOA's names; what goes has
	// to be what is there.
	c := &zone.Changeset{Del: []wire.RR{in.log.record(&wire.RR{Owner: rr.Owner, Type: rr.Type, TTL: rr.TTL, Data: in.log.last})}}
	in.log.list = append(in.log.list, c)
	in.log.size += changesetSize
	in.phase = inDeleted
	return in.bounded()
}

// bounded holds the changes to their bound.
func (in *intake) bounded() *Error {
	if in.log.size > in.o.MaxChanges {
		return fault(TooLarge, seeLimits, "the changes take more than %d octets of memory", in.o.MaxChanges)
	}
	return nil
}

// change takes a record of a change.
func (in *intake) change(rr *wire.RR) *Error {
	c := in.log.list[len(in.log.list)-1]
	switch {
	case rr.Type == wire.TypeSOA && in.phase == inDeleted:
		return in.added(c, rr)
	case rr.Type == wire.TypeSOA:
		return in.nextDelta(rr)
	case in.phase == inDeleted:
		c.Del = append(c.Del, in.log.record(rr))
	default:
		c.Add = append(c.Add, in.log.record(rr))
	}
	return in.bounded()
}

// added begins with the records that come: with the SOA of the version that
// the change leads to. Versions have to rise, and not beyond the newest: else
// the answer could go round for ever.
func (in *intake) added(c *zone.Changeset, rr *wire.RR) *Error {
	from, _ := ParseSOA(in.log.last)
	to, ok := ParseSOA(rr.Data)
	if !ok {
		return broken("a SOA cannot be read")
	}
	if !wire.NewerSerial(to.Serial, from.Serial) || wire.NewerSerial(to.Serial, in.serial) {
		return broken("a change from serial %d to %d came, in an answer that leads to %d", from.Serial, to.Serial, in.serial)
	}
	kept := in.log.record(rr)
	c.Add = append(c.Add, kept)
	in.log.last = kept.Data
	in.phase = inAdded
	return in.bounded()
}

// nextDelta takes the SOA behind a change: it is the final one, or the next
// change begins.
func (in *intake) nextDelta(rr *wire.RR) *Error {
	at, _ := ParseSOA(in.log.last)
	if at.Serial != in.serial {
		return in.delta(rr)
	}
	if !sameSOA(rr.Data, in.soa) {
		soa, _ := ParseSOA(rr.Data)
		return broken("a SOA of serial %d came where the final one, of serial %d, was to come", soa.Serial, in.serial)
	}
	in.phase = atEnd
	return nil
}

// apply makes the new version of the changes, all of them or none.
func (in *intake) apply(ctx context.Context) (*Got, *Error) {
	z := in.have
	for _, c := range in.log.list {
		if err := ctx.Err(); err != nil {
			return nil, ended(ctx)
		}
		from := z.Serial()
		known(z, c)
		next, err := z.Apply(c)
		if err != nil {
			e := fault(OutOfSync, "", "the change from serial %d does not fit the copy that is here: %v", from, err)
			e.err = err
			return nil, e
		}
		z = next
	}
	if z.Serial() != in.serial {
		return nil, fault(OutOfSync, "", "the changes lead to serial %d, not %d", z.Serial(), in.serial)
	}
	return &Got{Serial: in.serial, Zone: z, Changes: in.log.list, Kind: KindIXFR, Records: in.records}, nil
}

// known takes out of a change what comes and is there already, with the same TTL,
// and does not go: NSD 4.6 (create-ixfr) sends such records, of owners that have
// several types. The zone that the change leads to is the same.
func known(z *zone.Zone, c *zone.Changeset) {
	var going map[string]bool
	key := func(rr *wire.RR) string {
		return string(rr.Owner) + string([]byte{byte(rr.Type >> 8), byte(rr.Type)}) + string(rr.Data)
	}
	c.Add = slices.DeleteFunc(c.Add, func(rr wire.RR) bool {
		if rr.Type == wire.TypeSOA || !holds(z, &rr) {
			return false
		}
		if going == nil {
			going = make(map[string]bool, len(c.Del))
			for i := range c.Del {
				going[key(&c.Del[i])] = true
			}
		}
		return !going[key(&rr)]
	})
}

// holds reports whether a record is in a zone, octet by octet.
func holds(z *zone.Zone, rr *wire.RR) bool {
	n, ok := z.Find(rr.Owner)
	if !ok {
		return false
	}
	set, ok := n.Set(rr.Type)
	if !ok || set.TTL != rr.TTL {
		return false
	}
	for records := set.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok || bytes.Equal(data, rr.Data) {
			return ok
		}
		records = rest
	}
}

// apexSOA is the RDATA of a zone's SOA.
func apexSOA(z *zone.Zone) []byte {
	set, _ := z.ApexNode().Set(wire.TypeSOA)
	data, _, _ := wire.NextRecord(set.Records)
	return data
}
