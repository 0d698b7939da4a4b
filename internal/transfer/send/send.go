package send

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"geodns/internal/tsig"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Change is what made one version of a zone out of the one before. The SOAs
// stand in both lists, as in zone.Changeset. Its slices are read during the call
// only.
type Change struct {
	From, To uint32 // serials
	Del, Add []wire.RR
}

// Journal knows how zones changed.
type Journal interface {
	// Changes calls f for the change whose From is a serial, and for each one
	// that follows it, until f returns an error, which it returns. It is an
	// error if there is no such change.
	Changes(apex []byte, from uint32, f func(*Change) error) error
}

// Sender answers requests for transfers. It is safe for any goroutine.
type Sender struct {
	journal Journal
	hidden  func(rel []byte) bool
	now     func() time.Time
	// maxHeld bounds the octets of changes that are held to be condensed.
	maxHeld int
	streams sync.Pool
}

// maxHeld is enough for some 80,000 records.
const maxHeld = 8 << 20

// New returns a Sender. journal may be nil: then all changes are sent as whole
// zones. hidden says of a name below the apex (see zone.Node.Rel) whether a
// request with Strip goes without it.
func New(journal Journal, hidden func(rel []byte) bool) *Sender {
	s := &Sender{journal: journal, hidden: hidden, now: time.Now, maxHeld: maxHeld}
	s.streams.New = func() any { return new(stream) }
	return s
}

// Request is a well-formed question for a transfer by somebody who may have it.
type Request struct {
	// Message is the request as it came, and Query what Parse made of it: ID,
	// question, RD and EDNS are answered in kind.
	Message []byte
	Query   *wire.Query
	// Zone is the version to send.
	Zone *zone.Zone
	// Serial is the client's, for IXFR: see ClientSerial.
	Serial uint32
	// Session signs every message (RFC 8945 5.3.1); nil: unsigned.
	Session *tsig.Session
	// UDP: the answer is one message.
	UDP bool
	// MaxSize is the most octets that a message may have, its signature
	// included; 0: 65535 over TCP, 512 over UDP.
	MaxSize int
	// Strip leaves out the hidden subtrees, and what changes in them.
	Strip bool
}

// Kind is how a request was answered.
type Kind string

// The kinds of answers.
const (
	Whole   Kind = "AXFR"    // the whole zone, whatever was asked for
	Changes Kind = "IXFR"    // changes
	Current Kind = "current" // the SOA alone: the client has this version, or a newer one
	UseTCP  Kind = "use-tcp" // the SOA alone: more does not fit into a datagram (RFC 1995 2)
)

// Outcome is what was sent.
type Outcome struct {
	Kind Kind
	// From is the client's serial, if it told it; To the zone's.
	From, To uint32
	Records  int // SOAs that frame others included
	Messages int
	Octets   int // of messages, their signatures included
	// Why says why IXFR was not answered by changes; empty else.
	Why string
}

// maxMessage is the longest DNS message, in octets (RFC 1035 4.2.2).
const maxMessage = 65535

// errNoRoom: an answer over UDP does not fit into its message.
var errNoRoom = errors.New("the answer does not fit into one message")

// Serve answers a request by messages, each of which is given to write, and is
// valid only during that call. After an error the client has got part of a
// transfer at most, which it takes for broken if the connection is closed. The
// Outcome counts what was written until then.
func (s *Sender) Serve(req *Request, write func(msg []byte) error) (Outcome, error) {
	t := s.streams.Get().(*stream)
	defer s.release(t)
	if err := t.begin(req, write, s.now); err != nil {
		return t.out, err
	}
	if req.Strip && s.hidden != nil {
		t.hidden = s.hidden
	}
	var err error
	switch {
	case req.Query.Type == wire.TypeIXFR:
		err = s.changes(t)
	case req.Query.Type == wire.TypeAXFR && !req.UDP:
		err = t.whole()
	case req.Query.Type == wire.TypeAXFR:
		err = errors.New("AXFR is not defined over UDP (RFC 5936 4.2)")
	default:
		err = fmt.Errorf("type %d is not a transfer", req.Query.Type)
	}
	return t.out, err
}

// release keeps a stream's buffers for the next request, and nothing else.
func (s *Sender) release(t *stream) {
	t.req, t.write, t.hidden, t.now, t.soa = nil, nil, nil, nil, wire.RR{}
	t.m.names.apex = nil
	s.streams.Put(t)
}

// ClientSerial reads the serial of the client's version out of an IXFR request:
// that of the SOA in its authority section (RFC 1995 3).
func ClientSerial(msg []byte, q *wire.Query) (uint32, error) {
	bad := errors.New("the IXFR request has no SOA of the client's version in its authority section (RFC 1995 3)")
	at := wire.HeaderLen + q.QuestionLen
	if len(msg) < at || binary.BigEndian.Uint16(msg[6:]) != 0 || binary.BigEndian.Uint16(msg[8:]) != 1 {
		return 0, bad
	}
	at = skipName(msg, at)
	if at == 0 || at+10 > len(msg) || binary.BigEndian.Uint16(msg[at:]) != wire.TypeSOA {
		return 0, bad
	}
	size := int(binary.BigEndian.Uint16(msg[at+8:]))
	end := at + 10 + size
	// Two names of one octet at least, and five numbers of which the serial is
	// the first (RFC 1035 3.3.13).
	if size < 22 || end > len(msg) {
		return 0, bad
	}
	return binary.BigEndian.Uint32(msg[end-20:]), nil
}

// skipName returns where the possibly compressed name at msg[at:] ends, 0 if it
// is cut short.
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
