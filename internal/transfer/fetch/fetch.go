package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"geodns/internal/transfer/message"
	"geodns/internal/tsig"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Fetch asks a primary for a zone. have is the copy that is here, nil: none; it
// is asked what changed since then (IXFR), and for the whole zone (AXFR) if it
// doesn't do that, or does it wrong. apex is in wire form and lower case.
// Errors are *Error; have is as it was, with or without one.
func Fetch(ctx context.Context, p Primary, apex []byte, have *zone.Zone, o Options) (*Got, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if have == nil {
		f := fetching{p: &p, apex: apex, o: &o, kind: wire.TypeAXFR}
		return f.run(ctx)
	}
	f := fetching{p: &p, apex: apex, have: have, o: &o, kind: wire.TypeIXFR}
	got, err := f.run(ctx)
	if err == nil || !f.fallback(asError(err)) {
		return got, err
	}
	g := fetching{p: &p, apex: apex, have: have, o: &o, kind: wire.TypeAXFR}
	got, again := g.run(ctx)
	if again != nil {
		e := asError(again)
		e.What += fmt.Sprintf(" (the IXFR before failed: %s)", asError(err).What)
		return nil, again
	}
	got.Fallback = err
	got.Octets += f.octets
	got.Messages += f.messages
	return got, nil
}

// fetching is one attempt to get a zone.
type fetching struct {
	p    *Primary
	apex []byte
	have *zone.Zone
	o    *Options
	kind wire.Type // AXFR or IXFR

	id       uint16
	sent     bool // the question is
	x        *tsig.Exchange
	in       intake
	octets   int64
	messages int
}

// fallback reports whether an AXFR may succeed where this IXFR failed with err.
func (f *fetching) fallback(err *Error) bool {
	switch err.Cause {
	case Denied, Broken, OutOfSync, TooLarge, BadZone:
		return true
	case Unreachable:
		// It took the connection and closed it at the question.
		return f.sent && isEnd(err)
	case Stalled:
		// A newer SOA and nothing behind it: RFC 1995 4 has that over UDP only,
		// as a hint to ask for the whole zone.
		return f.in.phase == atSecond && !errors.Is(err, context.DeadlineExceeded)
	}
	return false
}

func (f *fetching) asked() string {
	if f.kind == wire.TypeIXFR {
		return KindIXFR
	}
	return KindAXFR
}

func (f *fetching) run(ctx context.Context) (*Got, error) {
	got, err := f.exchange(ctx)
	if err != nil {
		return nil, about(err, f.p, f.apex, f.asked())
	}
	got.Octets, got.Messages = f.octets, f.messages
	return got, nil
}

// exchange asks and takes in what is answered.
func (f *fetching) exchange(ctx context.Context) (*Got, error) {
	id := uint16(rand.Uint32())
	msg, x, err := sign(f.o.Keys, f.p, f.query(id))
	if err != nil {
		return nil, err
	}
	s, bad := dial(ctx, f.p, f.o)
	if bad != nil {
		return nil, bad
	}
	defer s.close()
	defer func() { f.octets = s.meter.octets }()
	if bad := s.send(ctx, msg); bad != nil {
		return nil, bad
	}
	f.id, f.x, f.sent = id, x, true
	f.in = intake{apex: f.apex, have: f.have, o: f.o, incremental: f.kind == wire.TypeIXFR}
	var r reader
	for f.in.phase != atEnd {
		msg, bad := s.receive(ctx)
		if bad != nil {
			return nil, bad
		}
		f.messages++
		if s.meter.octets > f.o.MaxOctets {
			return nil, tooManyOctets(f.o.MaxOctets)
		}
		if bad := f.message(&r, msg); bad != nil {
			return nil, messageNumber(f.messages, bad)
		}
	}
	if x != nil {
		if err := x.Finish(); err != nil {
			return nil, unsigned(err)
		}
	}
	got, bad := f.in.finish(ctx)
	if bad != nil {
		return nil, bad
	}
	return got, nil
}

// message takes in one message.
func (f *fetching) message(r *reader, msg []byte) *Error {
	if f.x != nil {
		plain, _, err := f.x.Verify(msg, time.Now())
		if err != nil {
			return unsigned(err)
		}
		msg = plain
	}
	if err := r.open(msg, f.id); err != nil {
		return err
	}
	if r.Rcode() != wire.RcodeNoError {
		return denied(r.Rcode())
	}
	if r.Flags()&message.FlagTC != 0 {
		return broken("the primary truncates an answer over TCP")
	}
	if err := r.question(f.apex, f.kind); err != nil {
		return err
	}
	if r.Left(message.Answer) == 0 {
		return broken("a message without records came")
	}
	var rr wire.RR
	for {
		more, err := r.next(&rr)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := f.in.take(&rr); err != nil {
			return err
		}
		if f.in.current {
			return nil
		}
	}
	_, _, err := r.close()
	return err
}

// query is the question: with the SOA of what is here in the authority section
// for IXFR (RFC 1995 3).
func (f *fetching) query(id uint16) []byte {
	msg := question(id, f.apex, f.kind)
	if f.kind != wire.TypeIXFR {
		return msg
	}
	soa := apexSOA(f.have)
	binary.BigEndian.PutUint16(msg[8:], 1)
	msg = append(msg, 0xc0, wire.HeaderLen) // the question's name
	msg = binary.BigEndian.AppendUint16(msg, wire.TypeSOA)
	msg = binary.BigEndian.AppendUint16(msg, wire.ClassIN)
	msg = binary.BigEndian.AppendUint32(msg, 0)
	return wire.AppendRecord(msg, soa)
}

// question is a query with one question and nothing else.
func question(id uint16, apex []byte, t wire.Type) []byte {
	msg := make([]byte, wire.HeaderLen, 512)
	binary.BigEndian.PutUint16(msg, id)
	binary.BigEndian.PutUint16(msg[4:], 1)
	msg = append(msg, apex...)
	msg = binary.BigEndian.AppendUint16(msg, t)
	return binary.BigEndian.AppendUint16(msg, wire.ClassIN)
}

// sign signs a query with the primary's key, if it has one.
func sign(keys *tsig.Keyring, p *Primary, msg []byte) ([]byte, *tsig.Exchange, error) {
	if p.Key == "" {
		return msg, nil, nil
	}
	signed, x, err := keys.Ask(msg, p.Key, time.Now())
	if err != nil {
		return nil, nil, because(err, fault(Local, "", "the question cannot be signed: %v", err))
	}
	return signed, x, nil
}

// unsigned is a signature that is not accepted.
func unsigned(err error) *Error {
	e := because(err, fault(Signature, "", "%v", err))
	if !strings.Contains(e.What, "; ") { // most say themselves what to do
		e.Remedy = "compare name, algorithm and secret of the key on both sides"
	}
	return e
}
