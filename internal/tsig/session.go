package tsig

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// fudge is how far the clock of who reads a signature may differ, in seconds
// (RFC 8945 10: 300 is recommended).
const fudge = 300

// maxMessage is the longest DNS message, in octets (RFC 1035 4.2.2).
const maxMessage = 65535

// Session is a request that was verified, and what is needed to sign the
// messages that answer it, one after the other. It is for one goroutine.
type Session struct {
	key *key
	id  uint16
	// mac is what the next message is chained to: the request's MAC, then that
	// of the message before (RFC 8945 5.3.1).
	mac []byte
	// messages counts those that were signed.
	messages int

	fault  Fault  // 0: none
	signed uint64 // of the request, for BadTime
	fudge  uint16
}

// Key is the name of the key that signed the request, in presentation form and
// lower case, with the final dot.
func (s *Session) Key() string { return s.key.text }

// Algorithm is the key's, as in Key.Algorithm.
func (s *Session) Algorithm() string { return s.key.alg.text }

// Trusted reports whether the request was signed rightly by a key that may
// transfer or update.
func (s *Session) Trusted() bool { return s.fault == 0 && s.key.trusted }

// Size is how many octets Sign appends to a message.
func (s *Session) Size() int {
	n := len(s.key.name) + 10 + len(s.key.alg.name) + 16 + s.key.alg.size
	if s.fault == BadTime {
		n += 6
	}
	return n
}

// Sign signs a reply at a time: it appends a TSIG of Size octets, and counts it
// in the header. A request that is answered by many messages has all of them
// signed in their order, by one Session. The result shares msg's memory if that
// has room. It is an error if msg is no DNS message, or too long afterwards.
func (s *Session) Sign(msg []byte, now time.Time) ([]byte, error) {
	return s.sign(msg, now, s.digest)
}

// sign is Sign with the digest that a request or an answer has.
func (s *Session) sign(msg []byte, now time.Time, digest func(msg []byte, rr *dns.TSIG) []byte) ([]byte, error) {
	if len(msg) < wire.HeaderLen || len(msg)+s.Size() > maxMessage {
		return nil, fmt.Errorf("a message of %d octets cannot be signed", len(msg))
	}
	count := binary.BigEndian.Uint16(msg[atARCount:])
	if count == 0xffff {
		return nil, errors.New("a message with 65535 additional records cannot be signed")
	}
	rr := s.unsigned(now)
	mac := digest(msg, rr)
	rr.MACSize, rr.MAC = uint16(len(mac)), hex.EncodeToString(mac)
	out, err := appendRecord(msg, rr, s.Size())
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(out[atARCount:], count+1)
	s.mac = mac
	s.messages++
	return out, nil
}

// unsigned is the TSIG of the next message without its MAC.
func (s *Session) unsigned(now time.Time) *dns.TSIG {
	rr := &dns.TSIG{
		Hdr:        dns.RR_Header{Name: s.key.text, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm:  wire.NameString(s.key.alg.name),
		TimeSigned: seconds(now), Fudge: fudge, OrigId: s.id, Error: s.fault.Code(),
	}
	if s.fault == BadTime {
		// RFC 8945 5.2.3: the times of the client, and the server's in the
		// other data.
		rr.TimeSigned, rr.Fudge = s.signed, s.fudge
		rr.OtherData, rr.OtherLen = hex.EncodeToString(append48(nil, seconds(now))), 6
	}
	return rr
}

// digest is the MAC over the request's or the last message's MAC, the message
// and the variables, of which only the timers count after the first message
// (RFC 8945 5.3 and 5.3.1).
func (s *Session) digest(msg []byte, rr *dns.TSIG) []byte {
	before := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(s.mac)), uint16(len(s.mac)))
	before = append(before, s.mac...)
	vars := timers(rr.TimeSigned, rr.Fudge)
	if s.messages == 0 {
		other, _ := hex.DecodeString(rr.OtherData) // which unsigned encoded
		vars = variables(s.key.name, s.key.alg.name, rr.Hdr.Ttl, rr.TimeSigned, rr.Fudge, rr.Error, other)
	}
	// RFC 8945 4.3.1: the original ID is signed, whatever a forwarder made of it.
	id := binary.BigEndian.AppendUint16(nil, s.id)
	return s.key.mac(before, id, msg[2:], vars)
}

// appendRecord packs a record of size octets behind a message.
func appendRecord(msg []byte, rr dns.RR, size int) ([]byte, error) {
	n := len(msg)
	if cap(msg) < n+size {
		msg = append(make([]byte, 0, n+size), msg...)
	}
	end, err := dns.PackRR(rr, msg[:n+size], n, nil, false)
	if err != nil {
		return nil, err
	}
	return msg[:end], nil
}
