package transfer

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"geodns/internal/live"
	"geodns/internal/server"
	"geodns/internal/transfer/send"
	"geodns/internal/update"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// Options are what an Exchanger is made with.
type Options struct {
	Live *live.Holder
	// Sender answers transfers.
	Sender *send.Sender
	// Zone returns the rules of the zone of an apex (wire form, lower case), nil:
	// nobody may do anything with it. What it returns does not change.
	Zone func(apex []byte) *Zone
	// Kept, if not nil, waits until the versions of a zone that are served are
	// kept, with what led to them.
	Kept func(apex []byte)
	// Notified is told that a primary has announced a version of a zone that is
	// taken from it: its serial, if it was said.
	Notified func(apex []byte, from netip.Addr, serial *uint32)
	// Update does a request to a zone, and tells done what came of it, at once or
	// later.
	Update func(apex []byte, req *update.Request, key string, grants update.Grants, done func(wire.Rcode, error))
	Log    *slog.Logger
}

// Exchanger answers exchanges (server.Exchanges).
type Exchanger struct {
	o      Options
	counts [kinds]atomic.Uint64
}

// Kind is what became of an exchange.
type Kind int

// What exchanges are counted by.
const (
	SentWhole Kind = iota
	SentChanges
	SentCurrent
	TransferRefused
	TransferBroken
	NotifyTaken
	NotifyRefused
	UpdateDone
	UpdateRefused // for want of permission, or by its prerequisites or form
	UpdateFailed  // it could not be kept
	kinds
)

// String names the kind as metrics do.
func (k Kind) String() string {
	return [...]string{
		"axfr", "ixfr", "current", "transfer-refused", "transfer-broken",
		"notify", "notify-refused", "update", "update-refused", "update-failed",
	}[k]
}

// Count is how many exchanges of a kind there were.
func (e *Exchanger) Count(k Kind) uint64 { return e.counts[k].Load() }

// Kinds is how many kinds there are.
const Kinds = int(kinds)

// New returns an Exchanger.
func New(o Options) *Exchanger { return &Exchanger{o: o} }

// Answer is that of server.Exchanges.
func (e *Exchanger) Answer(x *server.Exchange) {
	apex := append([]byte(nil), x.Query.Name.Bytes()...)
	switch x.Query.Opcode {
	case wire.OpcodeNotify:
		e.notify(x, apex)
	case wire.OpcodeUpdate:
		e.update(x, apex)
	default:
		e.transfer(x, apex)
	}
}

// signer is the key that signed an exchange; "": none.
func signer(x *server.Exchange) string {
	if x.Session == nil {
		return ""
	}
	return x.Session.Key()
}

func (e *Exchanger) count(k Kind) { e.counts[k].Add(1) }

// reply answers with an RCODE; that the client has gone is nobody's trouble.
func (e *Exchanger) reply(x *server.Exchange, rcode wire.Rcode) {
	if err := x.Reply(rcode); err != nil {
		e.o.Log.Debug("an exchange could not be answered", "peer", x.From.String(), "error", err)
	}
}

// served is a zone whose apex is the very name that is asked for.
func (e *Exchanger) served(apex []byte) *world.Served { return e.o.Live.Load().Zones.Get(apex) }

// transfer answers AXFR and IXFR.
func (e *Exchanger) transfer(x *server.Exchange, apex []byte) {
	s, rules := e.served(apex), e.o.Zone(apex)
	allowed, strip := false, false
	if rules != nil {
		allowed, strip = rules.Allows(x.From.Addr(), signer(x))
	}
	switch {
	case x.Query.Type == wire.TypeAXFR && !x.TCP:
		e.deny(x, apex, wire.RcodeNotImp, "AXFR over UDP (RFC 5936 4.2)")
		return
	case s == nil:
		// RFC 5936 2.2.1: the server is not authoritative for it. Whether it is
		// is no secret: queries tell as well.
		e.deny(x, apex, wire.RcodeNotAuth, "the zone is not served here")
		return
	case !allowed:
		e.deny(x, apex, wire.RcodeRefused, "the peer is not among those whom transfer.allow names")
		return
	case s.Zone == nil:
		e.deny(x, apex, wire.RcodeServFail, "the zone can't be served now")
		return
	}
	if e.o.Kept != nil {
		e.o.Kept(apex)
	}
	req := &send.Request{Message: x.Msg, Query: x.Query, Zone: s.Zone, Session: x.Session, UDP: !x.TCP, Strip: strip}
	if !x.TCP {
		req.MaxSize = wire.UDPLimit(x.Query, maxUDP)
	}
	if x.Query.Type == wire.TypeIXFR {
		var err error
		if req.Serial, err = send.ClientSerial(x.Msg, x.Query); err != nil {
			e.deny(x, apex, wire.RcodeFormErr, err.Error())
			return
		}
	}
	e.send(x, apex, req)
}

// maxUDP is the longest answer over UDP, in octets.
const maxUDP = 1232

func (e *Exchanger) deny(x *server.Exchange, apex []byte, rcode wire.Rcode, why string) {
	e.count(TransferRefused)
	e.o.Log.Info("a transfer was refused", "zone", wire.NameString(apex), "peer", x.From.String(), "key", signer(x), "why", why)
	e.reply(x, rcode)
}

func (e *Exchanger) send(x *server.Exchange, apex []byte, req *send.Request) {
	out, err := e.o.Sender.Serve(req, x.Send)
	attrs := []any{
		"zone", wire.NameString(apex), "peer", x.From.String(), "key", signer(x), "kind", string(out.Kind),
		"serial", out.To, "records", out.Records, "messages", out.Messages, "octets", out.Octets,
	}
	if out.Why != "" {
		attrs = append(attrs, "whole", out.Why)
	}
	if err != nil {
		e.count(TransferBroken)
		e.o.Log.Warn("a transfer broke off", append(attrs, "error", err)...)
		if !x.Sent() {
			e.reply(x, wire.RcodeServFail)
		}
		return
	}
	switch out.Kind {
	case send.Whole:
		e.count(SentWhole)
	case send.Changes:
		e.count(SentChanges)
	default:
		e.count(SentCurrent)
		e.o.Log.Debug("a peer is up to date", attrs...)
		return
	}
	e.o.Log.Info("a zone was transferred", attrs...)
}

// notify takes an announcement (RFC 1996).
func (e *Exchanger) notify(x *server.Exchange, apex []byte) {
	rules := e.o.Zone(apex)
	if rules == nil || len(rules.Primaries) == 0 {
		e.count(NotifyRefused)
		e.reply(x, wire.RcodeNotAuth)
		return
	}
	if x.Query.Type != wire.TypeSOA || x.Query.Class != wire.ClassIN {
		e.count(NotifyRefused)
		e.reply(x, wire.RcodeNotImp) // RFC 1996 3.6 knows of others, and nobody has them
		return
	}
	if !rules.announces(x.From.Addr(), signer(x)) {
		e.count(NotifyRefused)
		e.o.Log.Info("an announcement came from somebody who is no primary of the zone",
			"zone", wire.NameString(apex), "peer", x.From.String(), "key", signer(x))
		e.reply(x, wire.RcodeRefused)
		return
	}
	e.count(NotifyTaken)
	e.o.Notified(apex, x.From.Addr().Unmap(), announced(x))
	e.reply(x, wire.RcodeNoError)
}

// announced is the serial that an announcement names (RFC 1996 3.7), nil: none.
func announced(x *server.Exchange) *uint32 {
	msg, at := x.Msg, wire.HeaderLen+x.Query.QuestionLen
	if binary.BigEndian.Uint16(msg[6:]) == 0 {
		return nil
	}
	for at < len(msg) && msg[at] != 0 && msg[at] < 0xc0 {
		at += 1 + int(msg[at])
	}
	if at >= len(msg) {
		return nil
	}
	if msg[at] >= 0xc0 {
		at++
	}
	at++
	const numbers = 20 // the octets of an SOA's numbers, the serial first
	if at+10 > len(msg) || binary.BigEndian.Uint16(msg[at:]) != wire.TypeSOA {
		return nil
	}
	end := at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	if end > len(msg) || end-at-10 < numbers {
		return nil
	}
	serial := binary.BigEndian.Uint32(msg[end-numbers:])
	return &serial
}

// update does a dynamic update (RFC 2136).
func (e *Exchanger) update(x *server.Exchange, apex []byte) {
	s, rules := e.served(apex), e.o.Zone(apex)
	var grants update.Grants
	if rules != nil {
		grants = rules.Updates[signer(x)]
	}
	switch {
	case s == nil:
		e.refuseUpdate(x, apex, wire.RcodeNotAuth, errors.New("the zone is not served here"))
		return
	case rules != nil && len(rules.Primaries) > 0:
		e.refuseUpdate(x, apex, wire.RcodeRefused, errors.New("the zone is a secondary here: send updates to its primary"))
		return
	case len(grants) == 0:
		e.refuseUpdate(x, apex, wire.RcodeRefused, errors.New("no updates: of the zone's entry names the key"))
		return
	case s.Zone == nil:
		e.refuseUpdate(x, apex, wire.RcodeServFail, errors.New("the zone can't be served now"))
		return
	}
	req, err := update.Parse(x.Msg)
	if err != nil {
		e.refuseUpdate(x, apex, rcodeOf(err), err)
		return
	}
	type result struct {
		rcode wire.Rcode
		err   error
	}
	done := make(chan result, 1)
	e.o.Update(apex, req, signer(x), grants, func(rcode wire.Rcode, err error) { done <- result{rcode, err} })
	// It is answered from here, since a client may be slow to read; over TCP the
	// next message waits for it.
	switch r := <-done; {
	case r.err == nil:
		e.count(UpdateDone)
		e.reply(x, r.rcode)
	case r.rcode == wire.RcodeServFail:
		e.count(UpdateFailed)
		e.reply(x, r.rcode)
	default:
		e.refuseUpdate(x, apex, r.rcode, r.err)
	}
}

func rcodeOf(err error) wire.Rcode {
	var r *update.Refusal
	if errors.As(err, &r) {
		return r.Rcode
	}
	return wire.RcodeServFail
}

func (e *Exchanger) refuseUpdate(x *server.Exchange, apex []byte, rcode wire.Rcode, err error) {
	e.count(UpdateRefused)
	e.o.Log.Info("an update was refused", "zone", wire.NameString(apex), "peer", x.From.String(), "key", signer(x), "why", err)
	e.reply(x, rcode)
}
