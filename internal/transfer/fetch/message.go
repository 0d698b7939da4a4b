package fetch

import (
	"encoding/binary"

	"geodns/internal/transfer/message"
	"geodns/internal/wire"
)

// optExpire is the EDNS option of RFC 7314.
const optExpire = 9

// reader reads what a primary answers, one message after the other.
type reader struct{ message.Reader }

// open begins with a message. Its header has to be that of an answer to a query
// of that ID.
func (r *reader) open(msg []byte, id uint16) *Error {
	if err := r.Open(msg); err != nil {
		return broken("%v", err)
	}
	switch {
	case r.ID() != id:
		return broken("the answer has the ID %d, the question had %d", r.ID(), id)
	case r.Flags()&message.FlagQR == 0:
		return broken("a question came instead of an answer")
	case r.Opcode() != wire.OpcodeQuery:
		return broken("an answer of opcode %d came to a query", r.Opcode())
	}
	return nil
}

// question reads the question section: ours, or none (RFC 5936 2.2.1 and
// 2.2.2). apex is in lower case.
func (r *reader) question(apex []byte, t wire.Type) *Error {
	switch n := r.Questions(); {
	case n == 0:
		return nil
	case n > 1:
		return broken("the answer repeats %d questions", n)
	}
	q, err := r.Question()
	switch {
	case err != nil:
		return broken("%v", err)
	case string(q.Name) != string(apex):
		return broken("the answer is about another name, %s", wire.NameString(q.Name))
	case q.Type != t:
		return broken("the answer is to a question of type %d, not %d", q.Type, t)
	case q.Class != wire.ClassIN:
		return broken("the answer is to a question of class %d, not IN", q.Class)
	}
	return nil
}

// next reads the next record of the answer section; more is false at its end.
func (r *reader) next(rr *wire.RR) (more bool, err *Error) {
	var rec message.Record
	more, bad := r.Next(message.Answer, &rec)
	if bad != nil || !more {
		return false, brokenBy(bad)
	}
	if rec.Class != wire.ClassIN {
		return false, broken("a record of class %d at %s, not IN", rec.Class, wire.NameString(rec.Owner))
	}
	data, bad := r.Data(&rec)
	if bad != nil {
		return false, brokenBy(bad)
	}
	rr.Owner, rr.Type, rr.TTL, rr.Data = rec.Owner, rec.Type, rec.TTL, data
	if rr.TTL > wire.MaxTTL {
		rr.TTL = 0 // RFC 2181 8
	}
	return true, nil
}

// close reads what stands behind the answer section, which is of no interest
// but for the EXPIRE option (RFC 7314 3), and sees that the message ends where
// it says it does.
func (r *reader) close() (expire uint32, has bool, err *Error) {
	for _, section := range [...]int{message.Answer, message.Authority, message.Additional} {
		for {
			var rec message.Record
			more, bad := r.Next(section, &rec)
			if bad != nil {
				return 0, false, brokenBy(bad)
			}
			if !more {
				break
			}
			if rec.Type == wire.TypeOPT && section == message.Additional {
				expire, has = expireOption(r.Raw(&rec))
			}
		}
	}
	return expire, has, brokenBy(r.End())
}

// brokenBy is an error of package message; nil for nil.
func brokenBy(err error) *Error {
	if err == nil {
		return nil
	}
	return broken("%v", err)
}

// expireOption finds the EXPIRE option among those of an OPT record.
func expireOption(o []byte) (seconds uint32, ok bool) {
	for len(o) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(o[2:]))
		if n > len(o) {
			break
		}
		// RFC 7314 3.1: four octets.
		if binary.BigEndian.Uint16(o) == optExpire && n == 8 {
			return binary.BigEndian.Uint32(o[4:]), true
		}
		o = o[n:]
	}
	return 0, false
}
