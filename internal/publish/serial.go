package publish

import (
	"fmt"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// raised is the serial of a version that follows current and says wanted: that
// one if it is newer, else the next (RFC 1982 3.1).
func raised(wanted, current uint32) uint32 {
	if wire.NewerSerial(wanted, current) {
		return wanted
	}
	return current + 1
}

// SOA is a zone's SOA record. Its Data is a copy.
func SOA(z *zone.Zone) wire.RR {
	set, _ := z.ApexNode().Set(wire.TypeSOA)
	data, _, _ := wire.NextRecord(set.Records)
	return wire.RR{Owner: z.Apex(), Type: wire.TypeSOA, TTL: set.TTL, Data: append([]byte(nil), data...)}
}

// soaWith is an SOA with another serial.
func soaWith(soa *wire.RR, serial uint32) wire.RR {
	next := *soa
	next.Data = wire.WithSOASerial(soa.Data, serial)
	return next
}

// WithSerial is the zone with another serial, and what that changes.
func WithSerial(z *zone.Zone, serial uint32) (*zone.Zone, *zone.Changeset, error) {
	if z.Serial() == serial {
		return z, &zone.Changeset{}, nil
	}
	soa := SOA(z)
	c := &zone.Changeset{Del: []wire.RR{soa}, Add: []wire.RR{soaWith(&soa, serial)}}
	next, err := z.Apply(c)
	return next, c, err
}

// Advance applies changes that leave the SOA alone, with the next serial: what a
// version by command, update or state is made by. What it returns as changes
// includes the SOA, first, as in IXFR (RFC 1995 4).
func Advance(z *zone.Zone, c *zone.Changeset) (*zone.Zone, *zone.Changeset, error) {
	soa := SOA(z)
	whole := &zone.Changeset{
		Del: append([]wire.RR{soa}, c.Del...),
		Add: append([]wire.RR{soaWith(&soa, z.Serial()+1)}, c.Add...),
	}
	next, err := z.Apply(whole)
	return next, whole, err
}

// SerialPolicy is what becomes of a file that changed while its serial was not
// raised.
type SerialPolicy uint8

// The policies: "serial:" in the configuration.
const (
	SerialAuto   SerialPolicy = iota // the serial is raised by us
	SerialStrict                     // the file is refused
)

// SerialError: a file's content changed, and its serial is not newer.
type SerialError struct {
	Apex         []byte
	File, Served uint32
}

// Error says what to do.
func (e *SerialError) Error() string {
	return fmt.Sprintf("the zone's content changed, and its serial is %d where %d is served", e.File, e.Served)
}

// Remedy is what the operator can do.
func (e *SerialError) Remedy() string {
	return fmt.Sprintf("raise the serial to %d or more, or let geodns number the versions (serial: auto)", e.Served+1)
}
