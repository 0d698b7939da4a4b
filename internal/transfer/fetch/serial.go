package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"geodns/internal/transfer/message"
	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// Seen is what a primary says of its version of a zone.
type Seen struct {
	Serial uint32
	// Expire is after how many seconds the primary's own copy expires, if it
	// says so: of copies of copies it tells how old they are (RFC 7314).
	Expire    uint32
	HasExpire bool
}

// udpWaits is how long each question over UDP waits for its answer; then TCP is
// tried.
var udpWaits = [...]time.Duration{time.Second, 2 * time.Second}

// udpSize is the payload that is offered (RFC 6891 6.2.5; no fragments on any
// usual path), and read.
const udpSize = 1232

// errTruncated asks for TCP.
var errTruncated = errors.New("truncated")

// Serial asks a primary for the serial of a zone: over UDP, and over TCP if the
// answer is truncated, not signed as it should be, or none comes; over TLS only if the primary is asked over
// TLS. apex is in wire form and lower case. Errors are *Error.
func Serial(ctx context.Context, p Primary, apex []byte, keys *tsig.Keyring) (Seen, error) {
	a := asking{p: &p, apex: apex, keys: keys, edns: true}
	seen, err := a.ask(ctx)
	// RFC 6891 7: servers without EDNS answer FORMERR (or NOTIMP).
	var e *Error
	if errors.As(err, &e) && e.Cause == Denied && (e.Rcode == wire.RcodeFormErr || e.Rcode == wire.RcodeNotImp) {
		a.edns = false
		seen, err = a.ask(ctx)
	}
	if err != nil {
		return Seen{}, about(err, &p, apex, "SOA")
	}
	return seen, nil
}

// asking is one question for a SOA.
type asking struct {
	p    *Primary
	apex []byte
	keys *tsig.Keyring
	edns bool

	id uint16
	x  *tsig.Exchange
}

// query makes a new question.
func (a *asking) query() ([]byte, error) {
	a.id = uint16(rand.Uint32())
	msg := question(a.id, a.apex, wire.TypeSOA)
	if a.edns {
		binary.BigEndian.PutUint16(msg[10:], 1)
		msg = append(msg, 0, 0, byte(wire.TypeOPT), udpSize>>8, udpSize&0xff, 0, 0, 0, 0,
			0, 4, 0, optExpire, 0, 0) // RFC 7314 2: empty in a query
	}
	msg, x, err := sign(a.keys, a.p, msg)
	a.x = x
	return msg, err
}

func (a *asking) ask(ctx context.Context) (Seen, error) {
	if a.p.TLS != nil {
		return a.overTCP(ctx)
	}
	var err error
	for _, wait := range udpWaits {
		var seen Seen
		seen, err = a.overUDP(ctx, wait)
		var e *Error
		switch {
		case err == nil:
			return seen, nil
		case ctx.Err() != nil:
			return Seen{}, ended(ctx)
		case errors.As(err, &e) && e.Cause != Unreachable && e.Cause != Signature:
			return Seen{}, err
		}
		// Where nobody listens, that is not going to change in a second, nor is
		// an answer without the right signature.
		if e == nil || e.Cause == Signature || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errTruncated) {
			break
		}
	}
	if CauseOf(err) != Signature {
		return a.overTCP(ctx)
	}
	// Knot refuses questions for its catalog zones over UDP, without a signature,
	// and answers them over TCP.
	if seen, failed := a.overTCP(ctx); failed == nil {
		return seen, nil
	}
	return Seen{}, err
}

// overUDP asks once. Answers that are not to this question are passed over:
// anybody may have sent them.
func (a *asking) overUDP(ctx context.Context, wait time.Duration) (Seen, error) {
	msg, err := a.query()
	if err != nil {
		return Seen{}, err
	}
	var d net.Dialer
	if a.p.Source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.p.Source, 0))
	}
	conn, err := d.DialContext(ctx, "udp", a.p.Addr.String())
	if err != nil {
		return Seen{}, because(err, fault(Unreachable, seeNetwork, "no question can be sent over UDP: %v", err))
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return Seen{}, noAnswer(err)
	}
	if _, err := conn.Write(msg); err != nil {
		return Seen{}, noAnswer(err)
	}
	buf := make([]byte, 4096)
	var doubt error // why what came so far was not accepted
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if doubt != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				return Seen{}, doubt
			}
			return Seen{}, noAnswer(err)
		}
		seen, ours, err := a.answer(buf[:n])
		if ours {
			return seen, err
		}
		doubt = err
	}
}

func noAnswer(err error) *Error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return because(err, fault(Unreachable, seeNetwork, "no answer came over UDP"))
	}
	return because(err, fault(Unreachable, seeNetwork, "no answer came over UDP: %v", err))
}

// overTCP asks over TCP or TLS.
func (a *asking) overTCP(ctx context.Context) (Seen, error) {
	msg, err := a.query()
	if err != nil {
		return Seen{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	o := Options{Stall: dialTimeout, MinRate: 1}.withDefaults()
	s, bad := dial(ctx, a.p, &o)
	if bad != nil {
		return Seen{}, bad
	}
	defer s.close()
	if bad := s.send(ctx, msg); bad != nil {
		return Seen{}, bad
	}
	reply, bad := s.receive(ctx)
	if bad != nil {
		return Seen{}, bad
	}
	seen, _, err := a.answer(reply)
	if errors.Is(err, errTruncated) {
		err = broken("the primary truncates an answer over TCP")
	}
	return seen, err
}

// answer reads an answer. ours is false if it may be somebody else's: then the
// error says why.
func (a *asking) answer(msg []byte) (seen Seen, ours bool, err error) {
	var r reader
	if err := r.open(msg, a.id); err != nil {
		return Seen{}, false, err
	}
	if a.x != nil {
		plain, _, err := a.x.Verify(msg, time.Now())
		if err != nil {
			return Seen{}, false, unsigned(err)
		}
		if err := r.open(plain, a.id); err != nil {
			return Seen{}, false, err
		}
	}
	if err := r.question(a.apex, wire.TypeSOA); err != nil {
		return Seen{}, false, err
	}
	seen, err = a.read(&r)
	return seen, true, err
}

// read reads what an answer to the question says.
func (a *asking) read(r *reader) (Seen, error) {
	if r.Rcode() != wire.RcodeNoError {
		return Seen{}, denied(r.Rcode())
	}
	if r.Flags()&message.FlagTC != 0 {
		return Seen{}, because(errTruncated, fault(Unreachable, "", "the answer over UDP is truncated"))
	}
	if r.Flags()&message.FlagAA == 0 {
		return Seen{}, fault(Denied, "see that the zone is loaded there and has not expired", "the primary does not answer with authority")
	}
	var seen Seen
	found := false
	var rr wire.RR
	for {
		more, err := r.next(&rr)
		if err != nil {
			return Seen{}, err
		}
		if !more {
			break
		}
		if rr.Type == wire.TypeSOA && string(rr.Owner) == string(a.apex) {
			soa, ok := ParseSOA(rr.Data)
			if !ok {
				return Seen{}, broken("the SOA cannot be read")
			}
			seen.Serial, found = soa.Serial, true
		}
	}
	if !found {
		return Seen{}, fault(Denied, "see that the zone is served there, under this name", "the primary's answer has no SOA of the zone")
	}
	var err *Error
	if seen.Expire, seen.HasExpire, err = r.close(); err != nil {
		return Seen{}, err
	}
	return seen, nil
}

// isEnd reports whether a connection was closed by the other side.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
