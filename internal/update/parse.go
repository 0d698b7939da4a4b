package update

import (
	"errors"
	"fmt"

	"geodns/internal/transfer/message"
	"geodns/internal/wire"
)

// Parse takes an update apart (RFC 2136 2). What it returns has its own memory,
// at most some hundred times that of the message. Errors are Refusals.
//
// RDATA is checked by the fields that its type has, whatever the record's class;
// only what must be absent may be. Whether types, classes and TTLs are where they
// may be is for Do to say, since permission comes before it (RFC 2136 3.3 and
// 3.4.1). The signature, and EDNS, are not looked at.
func Parse(msg []byte) (*Request, error) {
	var r message.Reader
	if err := r.Open(msg); err != nil {
		return nil, malformed(err)
	}
	if r.Flags()&message.FlagQR != 0 || r.Opcode() != wire.OpcodeUpdate {
		return nil, malformed(errors.New("the message is not an update"))
	}
	apex, err := readZone(&r)
	if err != nil {
		return nil, err
	}
	req := &Request{Zone: apex}
	k := keeper{free: make([]byte, 0, len(msg)), most: len(msg) / leastRecord}
	if req.Prerequisites, err = k.section(&r, message.Prerequisites); err != nil {
		return nil, malformed(err)
	}
	if req.Updates, err = k.section(&r, message.Updates); err != nil {
		return nil, malformed(err)
	}
	if err := rest(&r); err != nil {
		return nil, malformed(err)
	}
	return req, nil
}

func malformed(err error) error {
	return &Refusal{wire.RcodeFormErr, err.Error()}
}

// readZone reads the zone section (RFC 2136 2.3 and 3.1).
func readZone(r *message.Reader) ([]byte, error) {
	if n := r.Questions(); n != 1 {
		return nil, malformed(fmt.Errorf("the update names %d zones, not one", n))
	}
	q, err := r.Question()
	if err != nil {
		return nil, malformed(err)
	}
	if q.Type != wire.TypeSOA {
		return nil, refuse(wire.RcodeFormErr, q.Name, "the zone of an update is of type SOA, not %d", q.Type)
	}
	// RFC 2136 3.1.2: name and class together say which zone it is.
	if q.Class != wire.ClassIN {
		return nil, refuse(wire.RcodeNotAuth, q.Name, "there are no zones of class %d here", q.Class)
	}
	return append([]byte(nil), q.Name...), nil
}

// keeper copies the records of a message.
type keeper struct {
	free  []byte
	most  int    // records that a message of its length can have
	owner []byte // the last one: records of a name often stand together
}

func (k *keeper) keep(b []byte) []byte {
	at := len(k.free)
	k.free = append(k.free, b...)
	return k.free[at:len(k.free):len(k.free)]
}

// leastRecord is how many octets a record takes, with the root as its owner and
// without RDATA. So many records as a message announces may not be in it.
const leastRecord = 11

// section reads the prerequisites or the updates.
func (k *keeper) section(r *message.Reader, section int) ([]Record, error) {
	list := make([]Record, 0, min(r.Left(section), k.most))
	for {
		var rec message.Record
		more, err := r.Next(section, &rec)
		if err != nil || !more {
			return list, err
		}
		rr := Record{Type: rec.Type, Class: rec.Class, TTL: rec.TTL}
		// RFC 2136 2.4 and 2.5: without data it is about an RRset or a name.
		bare := rec.Len == 0 && (rec.Class == wire.ClassANY || rec.Class == wire.ClassNONE)
		if !bare {
			data, err := r.Data(&rec)
			if err != nil {
				return nil, err
			}
			rr.Data = k.keep(data)
		}
		if rr.Class == wire.ClassIN && rr.TTL > wire.MaxTTL && section == message.Updates {
			rr.TTL = 0 // RFC 2181 8
		}
		if string(rec.Owner) != string(k.owner) {
			k.owner = k.keep(rec.Owner)
		}
		rr.Name = k.owner
		list = append(list, rr)
	}
}

// rest reads what is behind the updates.
func rest(r *message.Reader) error {
	for {
		var rec message.Record
		more, err := r.Next(message.Additional, &rec)
		if err != nil {
			return err
		}
		if !more {
			return r.End()
		}
	}
}
