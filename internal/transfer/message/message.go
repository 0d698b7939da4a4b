package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"geodns/internal/wire"
)

// The bits of a header's second 16 bits (RFC 1035 4.1.1).
const (
	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9

	opcodeShift = 11
	fieldMask   = 15 // of opcode and RCODE
)

// The sections behind the question, in their order. Updates call them by other
// names (RFC 2136 2).
const (
	Answer = iota
	Authority
	Additional
	sections

	Prerequisites = Answer
	Updates       = Authority
)

// Reader takes one message apart after the other: Open, then the questions, then
// the records of the sections in their order, then End. What it hands out lies in
// its own memory or in the message's, and is valid until the next call.
type Reader struct {
	msg       []byte
	at        int
	questions int           // left
	counts    [sections]int // records left
	name      [wire.MaxName + 1]byte
	owner     [wire.MaxName + 1]byte
	data      []byte // RDATA whose names were written out
}

func (r *Reader) u16(at int) int { return int(binary.BigEndian.Uint16(r.msg[at:])) }

// Open begins with a message, and reads its header. It fails if there is none.
func (r *Reader) Open(msg []byte) error {
	r.msg, r.at = msg, wire.HeaderLen
	if len(msg) < wire.HeaderLen {
		return fmt.Errorf("a message of %d octets is shorter than a header", len(msg))
	}
	r.questions = r.u16(4)
	for i := range r.counts {
		r.counts[i] = r.u16(6 + 2*i)
	}
	return nil
}

// ID is the header's.
func (r *Reader) ID() uint16 { return uint16(r.u16(0)) }

// Flags are the header's second 16 bits.
func (r *Reader) Flags() int { return r.u16(2) }

// Opcode is the header's.
func (r *Reader) Opcode() uint8 { return uint8(r.Flags() >> opcodeShift & fieldMask) }

// Rcode is the header's, without what EDNS adds to it.
func (r *Reader) Rcode() wire.Rcode { return wire.Rcode(r.Flags() & fieldMask) }

// Questions is how many questions are still to be read, and Left how many records
// of a section.
func (r *Reader) Questions() int { return r.questions }

// Left is how many records of a section are still to be read.
func (r *Reader) Left(section int) int { return r.counts[section] }

// Question is a question, or the zone of an update (RFC 2136 2.3).
type Question struct {
	Name  []byte // lower case
	Type  wire.Type
	Class uint16
}

// Question reads the next question, of which there has to be one.
func (r *Reader) Question() (Question, error) {
	name, next, bad := expand(r.name[:0], r.msg, r.at, true)
	if bad != "" {
		return Question{}, fmt.Errorf("the question cannot be read: %s", bad)
	}
	if next+4 > len(r.msg) {
		return Question{}, errors.New("the message ends in its question")
	}
	r.questions--
	r.at = next + 4
	return Question{wire.AppendLower(r.owner[:0], name), wire.Type(r.u16(next)), uint16(r.u16(next + 2))}, nil
}

// Record is a record, all but its RDATA.
type Record struct {
	Owner []byte // lower case
	Type  wire.Type
	Class uint16
	TTL   uint32 // as it stands there: see wire.MaxTTL
	Len   int    // of the RDATA, as it stands there, in octets
	at    int    // where the RDATA begins in the message
}

func (rec *Record) end() int { return rec.at + rec.Len }

// Next reads the next record of a section; more is false at its end. The sections
// before it have to be at theirs.
func (r *Reader) Next(section int, rec *Record) (more bool, err error) {
	if r.counts[section] == 0 {
		return false, nil
	}
	name, next, bad := expand(r.name[:0], r.msg, r.at, true)
	if bad != "" {
		return false, fmt.Errorf("the owner of a record cannot be read: %s", bad)
	}
	if next+10 > len(r.msg) {
		return false, errors.New("the message ends in the middle of a record")
	}
	rec.Owner = wire.AppendLower(r.owner[:0], name)
	rec.Type, rec.Class = wire.Type(r.u16(next)), uint16(r.u16(next+2))
	rec.TTL = binary.BigEndian.Uint32(r.msg[next+4:])
	rec.at, rec.Len = next+10, r.u16(next+8)
	if rec.end() > len(r.msg) {
		return false, fmt.Errorf("the data of a record of type %d at %s is announced with %d octets, and the message ends after %d",
			rec.Type, wire.NameString(rec.Owner), rec.Len, len(r.msg)-rec.at)
	}
	r.counts[section]--
	r.at = rec.end()
	return true, nil
}

// Data is the RDATA of the record that Next has read, checked by the fields that
// its type has, with its names written out, in the case that they have.
func (r *Reader) Data(rec *Record) ([]byte, error) {
	data, bad := r.rdata(rec)
	if bad != "" {
		return nil, fmt.Errorf("the data of the record of type %d at %s %s", rec.Type, wire.NameString(rec.Owner), bad)
	}
	return data, nil
}

// Raw is the RDATA of the record that Next has read, as it stands there.
func (r *Reader) Raw(rec *Record) []byte { return r.msg[rec.at:rec.end()] }

// End sees that the message ends where it says it does: behind its last record,
// which has been read.
func (r *Reader) End() error {
	if r.at != len(r.msg) {
		return fmt.Errorf("%d octets stand behind the last record of a message", len(r.msg)-r.at)
	}
	return nil
}

// expand appends the name at msg[at:] to dst, uncompressed, and says where what
// follows it begins. bad says what is wrong, empty: nothing.
//
// A pointer leads to an earlier occurrence (RFC 1035 4.1.4): each has to lead
// to before all that was read of the name so far, which is why this ends.
func expand(dst, msg []byte, at int, pointers bool) (name []byte, next int, bad string) {
	begin, first := len(dst), at
	for {
		if at >= len(msg) {
			return dst, 0, "the message ends in a name"
		}
		n := int(msg[at])
		switch {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			return append(dst, 0), next, ""
		case n >= 0xc0:
			if !pointers {
				return dst, 0, "a compressed name, where none may be"
			}
			if at+2 > len(msg) {
				return dst, 0, "the message ends in a name"
			}
			if next == 0 {
				next = at + 2
			}
			to := (n&0x3f)<<8 | int(msg[at+1])
			if to >= first || to < wire.HeaderLen {
				return dst, 0, fmt.Sprintf("a pointer of a name at octet %d leads to octet %d, not to an earlier name", at, to)
			}
			at, first = to, to
		case n > wire.MaxLabel:
			return dst, 0, "a label of an unknown type"
		case at+1+n > len(msg):
			return dst, 0, "the message ends in a name"
		case len(dst)-begin+n+2 > wire.MaxName:
			return dst, 0, "a name of more than 255 octets"
		default:
			dst = append(dst, msg[at:at+1+n]...)
			at += 1 + n
		}
	}
}
