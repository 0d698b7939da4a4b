package fetch

import (
	"bytes"
	"context"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// phase is where an intake is.
type phase uint8

const (
	atStart   phase = iota // the first SOA is to come
	atSecond               // the record that tells an IXFR from an AXFR is
	inZone                 // records of the zone come, until its SOA does again
	inDeleted              // records come that go, until a SOA does
	inAdded                // records come that come, until a SOA does
	atEnd
)

// intake makes a zone of the records that come in answer to an AXFR or IXFR.
type intake struct {
	apex []byte // lower case
	have *zone.Zone
	// incremental: IXFR was asked for.
	incremental bool
	o           *Options

	phase   phase
	current bool   // the first SOA isn't newer than what is here
	soa     []byte // the first SOA's RDATA
	serial  uint32 // and serial
	records int
	octets  int64 // of the records, their names written out

	builder *zone.Builder
	log     changelog
}

// take takes the next record, whose memory stays the caller's.
func (in *intake) take(rr *wire.RR) *Error {
	in.records++
	in.octets += int64(len(rr.Owner) + 10 + len(rr.Data))
	switch {
	case in.records > in.o.MaxRecords:
		return fault(TooLarge, seeLimits, "more than %d records came", in.o.MaxRecords)
	case in.octets > in.o.MaxOctets:
		return tooManyOctets(in.o.MaxOctets)
	case wire.MetaType(rr.Type):
		return broken("a record of type %d came at %s, which can only be asked for", rr.Type, wire.NameString(rr.Owner))
	case !wire.HasSuffix(rr.Owner, in.apex):
		return fault(BadZone, seeSource, "a record at %s came, which is not in the zone", wire.NameString(rr.Owner))
	case rr.Type == wire.TypeSOA && len(rr.Owner) != len(in.apex):
		return fault(BadZone, seeSource, "a SOA at %s came, below the apex", wire.NameString(rr.Owner))
	}
	switch in.phase {
	case atStart:
		return in.start(rr)
	case atSecond:
		return in.second(rr)
	case inZone:
		return in.whole(rr)
	case inDeleted, inAdded:
		return in.change(rr)
	}
	return broken("records came behind the final SOA: type %d at %s", rr.Type, wire.NameString(rr.Owner))
}

func tooManyOctets(most int64) *Error {
	return fault(TooLarge, seeLimits, "more than %d octets came", most)
}

// start takes the first record.
func (in *intake) start(rr *wire.RR) *Error {
	if rr.Type != wire.TypeSOA {
		return broken("the first record is of type %d at %s, not the zone's SOA", rr.Type, wire.NameString(rr.Owner))
	}
	soa, ok := ParseSOA(rr.Data)
	if !ok {
		return broken("the SOA cannot be read")
	}
	in.soa, in.serial = bytes.Clone(rr.Data), soa.Serial
	// RFC 1995 2: a server that has nothing newer answers with its SOA alone;
	// nothing else of it is of interest.
	if in.have != nil && !wire.NewerSerial(in.serial, in.have.Serial()) {
		in.current, in.phase = true, atEnd
		return nil
	}
	if in.incremental {
		// The TTL is wanted by an AXFR-style answer.
		in.log.owner, in.log.ttl = in.apex, rr.TTL
		in.phase = atSecond
		return nil
	}
	return in.begin(rr)
}

// begin begins with a whole zone, with its SOA.
func (in *intake) begin(soa *wire.RR) *Error {
	in.phase = inZone
	in.builder = zone.NewBuilder()
	if in.have != nil {
		in.builder.Reset(in.have.Names())
	}
	return in.add(soa)
}

// second takes the record behind the first SOA of an answer to an IXFR (RFC
// 1995 4): a SOA begins with what changed, anything else is a whole zone.
func (in *intake) second(rr *wire.RR) *Error {
	if rr.Type == wire.TypeSOA {
		soa, ok := ParseSOA(rr.Data)
		if !ok {
			return broken("the second SOA cannot be read")
		}
		if soa.Serial != in.serial {
			return in.delta(rr)
		}
	}
	first := wire.RR{Owner: in.apex, Type: wire.TypeSOA, TTL: in.log.ttl, Data: in.soa}
	if err := in.begin(&first); err != nil {
		return err
	}
	return in.whole(rr)
}

// whole takes a record of a whole zone.
func (in *intake) whole(rr *wire.RR) *Error {
	if rr.Type != wire.TypeSOA {
		return in.add(rr)
	}
	// RFC 5936 2.2: the SOA comes again, the same, at the end.
	if !sameSOA(rr.Data, in.soa) {
		soa, _ := ParseSOA(rr.Data)
		return broken("a second SOA came, of serial %d, that is not the first one, of serial %d: the zone may have changed meanwhile", soa.Serial, in.serial)
	}
	in.phase = atEnd
	return nil
}

// add hands a record to the Builder.
func (in *intake) add(rr *wire.RR) *Error {
	if p := in.builder.Add(rr); p != nil && !p.Warning {
		return fault(BadZone, seeSource, "the zone breaks a rule (%s) at %s: %v", p.Rule, wire.NameString(rr.Owner), p)
	}
	return nil
}

// finish makes the zone, after the last record.
func (in *intake) finish(ctx context.Context) (*Got, *Error) {
	if in.current {
		return &Got{UpToDate: true, Serial: in.serial, Zone: in.have, Kind: KindSOA, Records: in.records}, nil
	}
	if in.builder == nil {
		return in.apply(ctx)
	}
	z, problems := in.builder.Finish()
	for _, p := range problems {
		if !p.Warning {
			return nil, fault(BadZone, seeSource, "the zone breaks a rule (%s): %v", p.Rule, p)
		}
	}
	return &Got{Serial: in.serial, Zone: z, Kind: KindAXFR, Records: in.records}, nil
}
