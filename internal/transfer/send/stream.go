package send

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// stream is an answer under way. It is reused.
type stream struct {
	m      message
	req    *Request
	write  func(msg []byte) error
	now    func() time.Time
	hidden func(rel []byte) bool // nil: nothing is
	soa    wire.RR               // of the version that is sent
	// broken: a message could not be written, so that no more may follow.
	broken bool
	out    Outcome
}

func (t *stream) begin(req *Request, write func(msg []byte) error, now func() time.Time) error {
	t.req, t.write, t.now, t.broken = req, write, now, false
	t.out = Outcome{To: req.Zone.Serial()}
	soa, ok := req.Zone.ApexNode().Set(wire.TypeSOA)
	data, _, has := wire.NextRecord(soa.Records)
	if !ok || !has {
		return errors.New("the zone has no SOA")
	}
	t.soa = wire.RR{Owner: req.Zone.Apex(), Type: wire.TypeSOA, TTL: soa.TTL, Data: data}
	t.m.names.apex = req.Zone.Apex()
	t.next()
	return nil
}

// optSize is what an OPT without options takes, in octets (RFC 6891 6.1.2).
const optSize = 11

// udpPayload is what our OPT offers to take over UDP, in octets.
const udpPayload = 1232

// withOPT reports whether the message under way has an OPT: the first one, if
// the request had (RFC 5936 2.2.5).
func (t *stream) withOPT() bool { return t.out.Messages == 0 && t.req.Query.EDNS.Present }

// next begins a message. The question stands in the first one only (RFC 5936
// 2.2.1 leaves that open for the others).
func (t *stream) next() {
	most, behind := t.req.MaxSize, 0
	switch {
	case most <= 0 && t.req.UDP:
		most = wire.MinUDPSize
	case most <= 0 || most > maxMessage:
		most = maxMessage
	}
	if t.withOPT() {
		behind += optSize
	}
	if t.req.Session != nil {
		behind += t.req.Session.Size()
	}
	var question []byte
	if t.out.Messages == 0 {
		question = t.req.Message[wire.HeaderLen : wire.HeaderLen+t.req.Query.QuestionLen]
	}
	t.m.begin(question, most, behind)
}

// add puts a record into the message under way, or into the next one.
func (t *stream) add(owner []byte, typ wire.Type, ttl uint32, data []byte) error {
	if t.m.add(owner, typ, ttl, data) {
		t.out.Records++
		return nil
	}
	if t.req.UDP {
		return errNoRoom
	}
	if t.m.records > 0 {
		if err := t.flush(); err != nil {
			return err
		}
		t.next()
		if t.m.add(owner, typ, ttl, data) {
			t.out.Records++
			return nil
		}
	}
	return fmt.Errorf("%s: a record of type %d and %d octets fits into no message; make it smaller", wire.NameString(owner), typ, len(data))
}

func (t *stream) record(rr *wire.RR) error { return t.add(rr.Owner, rr.Type, rr.TTL, rr.Data) }

// set puts a whole RRset into messages.
func (t *stream) set(owner []byte, s *zone.RRset) error {
	for records := s.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return nil
		}
		if err := t.add(owner, s.Type, s.TTL, data); err != nil {
			return err
		}
		records = rest
	}
}

// flush sends the message under way.
func (t *stream) flush() error {
	b, req := t.m.buf, t.req
	copy(b[:2], req.Message)                 // the ID
	b[2] = req.Message[2]&0x01 | 0x80 | 0x04 // QR, AA (RFC 5936 2.2.1), and RD as it came
	b[3] = 0                                 // NOERROR
	if t.out.Messages == 0 {
		b[5] = byte(min(1, req.Query.QuestionLen))
	}
	binary.BigEndian.PutUint16(b[6:], uint16(t.m.records))
	if t.withOPT() {
		b = append(b, 0, 0, byte(wire.TypeOPT), byte(udpPayload>>8), byte(udpPayload&0xff), 0, 0, byte(dnssecOK(req)), 0, 0, 0)
		b[11] = 1
	}
	t.m.buf = b
	if req.Session != nil {
		signed, err := req.Session.Sign(b, t.now())
		if err != nil {
			t.broken = true
			return err
		}
		b = signed
	}
	if err := t.write(b); err != nil {
		t.broken = true
		return err
	}
	t.out.Messages++
	t.out.Octets += len(b)
	return nil
}

// dnssecOK is the octet of the OPT with the DO bit as it was asked with (RFC
// 3225 3).
func dnssecOK(req *Request) int {
	if req.Query.EDNS.DO {
		return 0x80
	}
	return 0
}

// whole sends all of the zone (RFC 5936 2.2): the SOA, everything else once,
// glue and what is occluded too, and the SOA again. What else the apex holds
// comes first: readers of transfers look for it there.
func (t *stream) whole() error {
	t.out.Kind = Whole
	err := t.record(&t.soa)
	apex := t.req.Zone.Apex()
	for it := t.req.Zone.ApexNode().All(); err == nil && it.Next(); {
		if it.Set.Type != wire.TypeSOA && !t.hides(apex, it.Set.Type) {
			err = t.set(apex, &it.Set)
		}
	}
	if err != nil {
		return err
	}
	t.req.Zone.Each(func(owner []byte, s *zone.RRset) bool {
		if len(owner) == len(apex) || t.hides(owner, s.Type) {
			return true
		}
		err = t.set(owner, s)
		return err == nil
	})
	if err != nil {
		return err
	}
	if err := t.record(&t.soa); err != nil {
		return err
	}
	return t.flush()
}

// typeZONEMD is a digest of the whole zone (RFC 8976 2.1).
const typeZONEMD wire.Type = 63

// hides reports whether a record is left out: one of a hidden name, and, beside
// those, the digest that they are part of.
func (t *stream) hides(owner []byte, typ wire.Type) bool {
	return t.hidden != nil && (typ == typeZONEMD || t.hidden(owner[:len(owner)-len(t.soa.Owner)]))
}

// alone sends nothing but the SOA.
func (t *stream) alone(kind Kind) error {
	t.restart()
	t.out.Kind = kind
	if err := t.record(&t.soa); err != nil {
		return err
	}
	return t.flush()
}

// restart takes back what was composed of an answer of which nothing is sent.
func (t *stream) restart() {
	t.out.Records = 0
	t.next()
}
