package tsig

import (
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// Places in the header of a message (RFC 1035 4.1.1).
const (
	atID      = 0
	atARCount = 10
)

// Verify checks the signature of a request at a time. The order of the checks
// is that of RFC 8945 5.2: key, MAC, time, truncation.
//
// Without an error the Session says who signed and signs the answers. Errors
// are Faults. With BadTime and BadTrunc there is a Session too, which signs
// the error (RFC 8945 5.3.2); with all others there is none, since nothing is
// known of who asks. msg is not changed, nor kept.
func (r *Keyring) Verify(msg []byte, now time.Time) (*Session, error) {
	rec, err := parse(msg)
	if err != nil {
		return nil, Malformed
	}
	k := r.find(rec.name, rec.alg)
	if k == nil {
		return nil, BadKey
	}
	// RFC 8945 5.2.2.1: longer than the algorithm's output, or shorter than
	// both 10 octets and half of it, is no MAC.
	if len(rec.mac) > k.alg.size || len(rec.mac) < max(10, k.alg.size/2) {
		return nil, Malformed
	}
	want := k.mac(rec.header[:], msg[wire.HeaderLen:rec.at], rec.variables())
	if !hmac.Equal(rec.mac, want[:len(rec.mac)]) {
		return nil, BadSig
	}
	s := &Session{key: k, id: rec.rr.OrigId, mac: rec.mac}
	// RFC 8945 5.2.3: the time signed, plus or minus the fudge.
	t := seconds(now)
	if t > rec.rr.TimeSigned+uint64(rec.rr.Fudge) || t+uint64(rec.rr.Fudge) < rec.rr.TimeSigned {
		s.fault, s.signed, s.fudge = BadTime, rec.rr.TimeSigned, rec.rr.Fudge
		return s, BadTime
	}
	// RFC 8945 5.2.4: the policy here is the full length, as the names of the
	// algorithms say.
	if len(rec.mac) < k.alg.size {
		s.fault = BadTrunc
		return s, BadTrunc
	}
	return s, nil
}

// seconds is a time as TSIG counts it: 48 bits, from 1970 on.
func seconds(t time.Time) uint64 { return uint64(max(0, t.Unix())) & (1<<48 - 1) }

// record is the TSIG of a message.
type record struct {
	at        int // where it begins
	rr        *dns.TSIG
	name, alg []byte // canonical
	mac       []byte
	other     []byte
	// header is the message's as it was before it was signed: with the
	// original ID, and without the TSIG (RFC 8945 4.3.1).
	header [wire.HeaderLen]byte
}

// errRecord is any reason why a message has no TSIG that can be read.
var errRecord = errors.New("no TSIG")

// parse finds the TSIG at the end of a message.
func parse(msg []byte) (*record, error) {
	rec := &record{}
	var ok bool
	if rec.at, ok = last(msg); !ok {
		return nil, errRecord
	}
	rr, end, err := dns.UnpackRR(msg, rec.at)
	if err != nil {
		return nil, err
	}
	if rec.rr, ok = rr.(*dns.TSIG); !ok || end != len(msg) || rec.rr.Hdr.Class != dns.ClassANY {
		return nil, errRecord
	}
	if rec.name, err = packName(rec.rr.Hdr.Name); err != nil {
		return nil, err
	}
	if rec.alg, err = packName(rec.rr.Algorithm); err != nil {
		return nil, err
	}
	if rec.mac, err = hex.DecodeString(rec.rr.MAC); err != nil {
		return nil, err
	}
	if rec.other, err = hex.DecodeString(rec.rr.OtherData); err != nil {
		return nil, err
	}
	copy(rec.header[:], msg)
	binary.BigEndian.PutUint16(rec.header[atID:], rec.rr.OrigId)
	binary.BigEndian.PutUint16(rec.header[atARCount:], binary.BigEndian.Uint16(msg[atARCount:])-1)
	return rec, nil
}

// variables are the TSIG variables that are signed with a message (RFC 8945
// 4.3.3).
func (r *record) variables() []byte {
	return variables(r.name, r.alg, r.rr.Hdr.Ttl, r.rr.TimeSigned, r.rr.Fudge, r.rr.Error, r.other)
}

func variables(name, alg []byte, ttl uint32, signed uint64, fudge, code uint16, other []byte) []byte {
	b := make([]byte, 0, len(name)+len(alg)+18+len(other))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, dns.ClassANY)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = append(b, alg...)
	b = append(b, timers(signed, fudge)...)
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(other)))
	return append(b, other...)
}

// timers are the time signed in 48 bits and the fudge.
func timers(signed uint64, fudge uint16) []byte {
	b := append48(make([]byte, 0, 8), signed)
	return binary.BigEndian.AppendUint16(b, fudge)
}

func append48(b []byte, v uint64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// last returns where the last record of a message begins, which must be its
// only TSIG and stand in the additional section. It steps over the others
// without a look into them.
func last(msg []byte) (at int, ok bool) {
	if len(msg) < wire.HeaderLen || binary.BigEndian.Uint16(msg[atARCount:]) == 0 {
		return 0, false
	}
	questions, records := counts(msg)
	if at, ok = skipQuestions(msg, questions); !ok {
		return 0, false
	}
	for i := range records {
		start := at
		if at = skipName(msg, at); at == 0 || at+10 > len(msg) {
			return 0, false
		}
		isTSIG := binary.BigEndian.Uint16(msg[at:]) == dns.TypeTSIG
		// RFC 8945 5.1: one TSIG, the last record.
		if isTSIG != (i == records-1) {
			return 0, false
		}
		if isTSIG {
			return start, true
		}
		at += 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	}
	return 0, false
}

// counts are how many questions and records a message says that it has.
func counts(msg []byte) (questions, records int) {
	for i := 6; i <= atARCount; i += 2 {
		records += int(binary.BigEndian.Uint16(msg[i:]))
	}
	return int(binary.BigEndian.Uint16(msg[4:])), records
}

// skipQuestions returns where the records of a message begin.
func skipQuestions(msg []byte, questions int) (at int, ok bool) {
	at = wire.HeaderLen
	for ; questions > 0; questions-- {
		if at = skipName(msg, at) + 4; at == 4 || at > len(msg) {
			return 0, false
		}
	}
	return at, true
}

// skipName returns where the possibly compressed name at msg[at:] ends, 0 if it
// is cut short or has labels of an unknown type.
func skipName(msg []byte, at int) int {
	for at < len(msg) {
		n := int(msg[at])
		switch {
		case n == 0:
			return at + 1
		case n >= 0xc0 && at+2 <= len(msg):
			return at + 2
		case n > wire.MaxLabel:
			return 0
		}
		at += 1 + n
	}
	return 0
}
