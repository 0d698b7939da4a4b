package tsig

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// maxUnsigned is how many messages in a row of one answer may lack a TSIG, if
// those before and behind them have one (RFC 8945 5.3.1).
const maxUnsigned = 99

// Exchange is a request that was signed here, and what is needed to check the
// messages that answer it, in their order. It is for one goroutine.
type Exchange struct {
	key *key
	id  uint16
	// mac is what the next signed message is chained to: the request's MAC,
	// then that of the last signed one (RFC 8945 5.3.1).
	mac []byte
	// first is set until a signed message was accepted.
	first bool
	// between holds the messages since then that were not signed.
	between  *stream
	unsigned int
	broken   error
}

// AnswerError is why an answer is not accepted. It unwraps to its Fault:
// BadSig, BadTime and so on, whether found here or reported by the peer, and
// Malformed where a signature is missing.
type AnswerError struct {
	Fault Fault
	text  string
}

func (e *AnswerError) Error() string { return e.text }

// Unwrap is the Fault.
func (e *AnswerError) Unwrap() error { return e.Fault }

func refuse(f Fault, format string, args ...any) error {
	return &AnswerError{Fault: f, text: fmt.Sprintf(format, args...)}
}

// Ask signs a request with one of the ring's keys at a time. name is as in
// Key.Name. The result shares msg's memory if that has room. The Exchange
// checks the answers. It is an error if there is no such key, or if msg is no
// DNS message, or too long afterwards.
func (r *Keyring) Ask(msg []byte, name string, now time.Time) (signed []byte, x *Exchange, err error) {
	k := r.named(name)
	if k == nil {
		return nil, nil, fmt.Errorf("there is no key %q; add it to keys: in geodns.yaml", name)
	}
	if len(msg) < wire.HeaderLen {
		return nil, nil, fmt.Errorf("a message of %d octets cannot be signed", len(msg))
	}
	s := &Session{key: k, id: binary.BigEndian.Uint16(msg[atID:])}
	if signed, err = s.sign(msg, now, s.request); err != nil {
		return nil, nil, err
	}
	return signed, &Exchange{key: k, id: s.id, mac: s.mac, first: true}, nil
}

// named returns the key of a name in presentation form; nil if there is none.
func (r *Keyring) named(name string) *key {
	if r == nil || name == "" {
		return nil
	}
	canonical, err := packName(name)
	if err != nil {
		return nil
	}
	return r.keys[string(canonical)]
}

// request is the MAC of a request: nothing comes before it (RFC 8945 4.3.3).
func (s *Session) request(msg []byte, rr *dns.TSIG) []byte {
	return s.key.mac(msg, variables(s.key.name, s.key.alg.name, rr.Hdr.Ttl, rr.TimeSigned, rr.Fudge, rr.Error, nil))
}

// Key is the name of the key that signed the request, in presentation form and
// lower case, with the final dot.
func (x *Exchange) Key() string { return x.key.text }

// Verify checks a message of the answer; they come in their order. It returns
// the message without its TSIG, and whether it had one. A message without is
// accepted, for the time being, only between signed ones (RFC 8945 5.3.1), and
// given back as it is; whether it is genuine shows when the next signed one is
// accepted, so nothing may be made of it before that, and Finish must be asked
// at the end. msg is not changed, nor kept; plain is a copy if signed.
//
// An error before the first accepted message leaves the Exchange as it was, so
// that over UDP a forged answer can be passed over and the right one awaited
// (RFC 8945 5.4). Later errors are final. Errors are AnswerErrors.
func (x *Exchange) Verify(msg []byte, now time.Time) (plain []byte, signed bool, err error) {
	if x.broken != nil {
		return nil, false, x.broken
	}
	plain, signed, err = x.verify(msg, now)
	if err != nil && !x.first {
		x.broken = err
	}
	return plain, signed, err
}

func (x *Exchange) verify(msg []byte, now time.Time) (plain []byte, signed bool, err error) {
	if len(msg) < wire.HeaderLen {
		return nil, false, refuse(Malformed, "the answer has %d octets, which is no DNS message", len(msg))
	}
	if id := binary.BigEndian.Uint16(msg[atID:]); id != x.id {
		return nil, false, refuse(Malformed, "the answer has the ID %d, and the question had %d", id, x.id)
	}
	none, err := unsigned(msg)
	if err != nil {
		return nil, false, refuse(Malformed, "the answer cannot be read: %v", err)
	}
	if none {
		if err := x.pass(msg); err != nil {
			return nil, false, err
		}
		return msg, false, nil
	}
	rec, err := parse(msg)
	if err != nil {
		return nil, false, refuse(Malformed, "the answer is signed in a form that cannot be read: %v", err)
	}
	if err := x.check(msg, rec, now); err != nil {
		return nil, false, err
	}
	x.mac, x.first, x.between, x.unsigned = rec.mac, false, nil, 0
	plain = bytes.Clone(msg[:rec.at])
	copy(plain[atARCount:], rec.header[atARCount:])
	return plain, true, nil
}

// pass takes a message that is not signed.
func (x *Exchange) pass(msg []byte) error {
	// RFC 8945 5.3.1: the first message must be signed.
	if x.first {
		return refuse(Malformed, "the peer answered %s without a signature, though the question was signed with key %s; give the peer this key", rcodeName(msg), x.key.text)
	}
	if x.unsigned == maxUnsigned {
		return refuse(Malformed, "more than %d messages of the answer in a row are not signed", maxUnsigned)
	}
	if x.between == nil {
		x.between = x.key.stream(length(x.mac), x.mac)
	}
	x.between.write(msg)
	x.unsigned++
	return nil
}

// check looks at a signed message, in the order of RFC 8945 5.2: key, MAC,
// time, truncation; then at the error that it reports.
func (x *Exchange) check(msg []byte, rec *record, now time.Time) error {
	if !bytes.Equal(rec.name, x.key.name) || !bytes.Equal(rec.alg, x.key.alg.name) {
		return refuse(BadKey, "the answer is signed with key %s (%s), and the question was with %s (%s)", wire.NameString(rec.name), wire.NameString(rec.alg), x.key.text, x.key.alg.text)
	}
	// RFC 8945 5.3.2: answers of BADKEY and BADSIG have no MAC. What they say
	// is not proven, but an answer is not to be had either.
	if len(rec.mac) == 0 && rec.rr.Error != 0 {
		return x.reported(rec, now)
	}
	if len(rec.mac) > x.key.alg.size || len(rec.mac) < max(10, x.key.alg.size/2) {
		return refuse(Malformed, "the signature of the answer has %d octets, and %s makes %d", len(rec.mac), x.key.alg.text, x.key.alg.size)
	}
	if want := x.digest(msg, rec); !hmac.Equal(rec.mac, want[:len(rec.mac)]) {
		return refuse(BadSig, "TSIG BADSIG: the answer's signature with key %s does not fit it: another secret, or it was changed on its way", x.key.text)
	}
	if rec.rr.Error != 0 {
		return x.reported(rec, now)
	}
	t, at := seconds(now), rec.rr.TimeSigned
	if t > at+uint64(rec.rr.Fudge) || t+uint64(rec.rr.Fudge) < at {
		return refuse(BadTime, "TSIG BADTIME: the peer signed the answer at %s by its clock, and it is %s here; set the clocks of both sides", stamp(at), stamp(t))
	}
	if len(rec.mac) < x.key.alg.size {
		return refuse(BadTrunc, "TSIG BADTRUNC: the answer's signature is truncated to %d octets; let the peer use %s at its full length", len(rec.mac), x.key.alg.text)
	}
	return nil
}

// digest is what the MAC of a message must be (RFC 8945 5.3 and 5.3.1).
func (x *Exchange) digest(msg []byte, rec *record) []byte {
	if x.first {
		return x.key.mac(length(x.mac), x.mac, rec.header[:], msg[wire.HeaderLen:rec.at], rec.variables())
	}
	s := x.between
	if s == nil {
		s = x.key.stream(length(x.mac), x.mac)
	}
	s.write(rec.header[:])
	s.write(msg[wire.HeaderLen:rec.at])
	s.write(timers(rec.rr.TimeSigned, rec.rr.Fudge))
	return s.sum()
}

// reported is the error that the peer puts into its TSIG.
func (x *Exchange) reported(rec *record, now time.Time) error {
	f := Fault(rec.rr.Error)
	switch f {
	case BadKey:
		return refuse(f, "the peer answered BADKEY: it has no key %s with %s; compare name and algorithm on both sides", x.key.text, x.key.alg.text)
	case BadSig:
		return refuse(f, "the peer answered BADSIG: it has another secret for key %s; compare the secrets of both sides", x.key.text)
	case BadTrunc:
		return refuse(f, "the peer answered BADTRUNC: it wants a longer signature with key %s", x.key.text)
	case BadTime:
		there := "is not told"
		if len(rec.other) == 6 { // RFC 8945 5.2.3: the server's time
			there = "says " + stamp(read48(rec.other))
		}
		return refuse(f, "the peer answered BADTIME: its clock %s, and it is %s here; set the clocks of both sides", there, stamp(seconds(now)))
	}
	name, ok := dns.RcodeToString[int(f)]
	if !ok {
		name = strconv.Itoa(int(f))
	}
	return refuse(f, "the peer answered the TSIG error %s for key %s", name, x.key.text)
}

// Finish reports, after the last message, whether that was signed (RFC 8945
// 5.3.1); an answer for which it is an error must be thrown away whole.
func (x *Exchange) Finish() error {
	switch {
	case x.broken != nil:
		return x.broken
	case x.first:
		return refuse(Malformed, "no signed answer came")
	case x.unsigned > 0:
		return refuse(Malformed, "the last message of the answer is not signed, so it may be cut short")
	}
	return nil
}

// length is the octets that stand before a MAC in what is signed.
func length(mac []byte) []byte {
	return binary.BigEndian.AppendUint16(nil, uint16(len(mac)))
}

func stamp(seconds uint64) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

func read48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func rcodeName(msg []byte) string {
	code := int(msg[3] & 0x0f)
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return strconv.Itoa(code)
}

// errCut is why a message cannot be walked through.
var errCut = errors.New("it ends in the middle of a record")

// errPlace is a TSIG where none may be.
var errPlace = errors.New("its TSIG is not the last record")

// unsigned reports whether a message has no TSIG in it. A message that breaks
// off, or has one elsewhere than at the end, is an error (RFC 8945 5.1).
func unsigned(msg []byte) (bool, error) {
	if _, ok := last(msg); ok {
		return false, nil
	}
	questions, records := counts(msg)
	at, ok := skipQuestions(msg, questions)
	if !ok {
		return false, errCut
	}
	for range records {
		if at = skipName(msg, at); at == 0 || at+10 > len(msg) {
			return false, errCut
		}
		if binary.BigEndian.Uint16(msg[at:]) == dns.TypeTSIG {
			return false, errPlace
		}
		at += 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	}
	if at != len(msg) {
		return false, errCut
	}
	return true, nil
}
