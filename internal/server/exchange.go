package server

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// Exchanges answers what is more than a question about a zone's data: transfers
// (AXFR, IXFR), NOTIFY and UPDATE.
type Exchanges interface {
	// Answer answers x by its methods, before it returns. What it leaves without
	// an answer gets none. Over TCP it has the connection for itself; over UDP it
	// runs beside others, in no order.
	Answer(x *Exchange)
}

// maxExchanges is how many exchanges over UDP may be under way at once: one more
// is dropped, as if the datagram had been lost.
const maxExchanges = 1024

// Exchange is a well-formed message with an opcode or type that is not the
// resolver's, whose signature, if it has one, is right.
type Exchange struct {
	// Msg is the message as it came, its TSIG included.
	Msg   []byte
	Query *wire.Query
	From  netip.AddrPort
	TCP   bool
	// Session is who signed it; nil: nobody.
	Session *tsig.Session

	send func(msg []byte) error
	sent bool
}

// errTooLong: the message fits no transport that it could be sent over.
var errTooLong = errors.New("the message is longer than the transport carries")

// Send sends one message, which is whole and, where there is a Session, signed
// by it. Over UDP there can be one only.
func (x *Exchange) Send(msg []byte) error {
	if !x.TCP && x.sent {
		return errors.New("a second message over UDP")
	}
	x.sent = true
	return x.send(msg)
}

// Sent reports whether anything was sent.
func (x *Exchange) Sent() bool { return x.sent }

// Reply answers with an RCODE alone (RFC 1996 3.11, RFC 2136 3.8), signed if the
// request was.
func (x *Exchange) Reply(rcode wire.Rcode) error {
	msg := appendBare(make([]byte, 0, 512), x.Msg, x.Query, rcode)
	if x.Session != nil {
		var err error
		if msg, err = x.Session.Sign(msg, time.Now()); err != nil {
			return err
		}
	}
	return x.Send(msg)
}

// appendBare appends a response without records: header, question, and an OPT
// if the request had one.
func appendBare(out, req []byte, q *wire.Query, rcode wire.Rcode) []byte {
	out = append(out, req[:headerLen]...)
	out[2] = req[2]&0x79 | 0x80 // QR; the opcode and RD stay
	if q.Opcode == wire.OpcodeNotify && rcode == wire.RcodeNoError {
		out[2] |= 0x04 // RFC 1996 3.8: AA
	}
	out[3] = byte(rcode & 15)
	clear(out[4:headerLen])
	if q.QuestionLen > 0 {
		out[5] = 1
		out = append(out, req[headerLen:headerLen+q.QuestionLen]...)
	}
	if q.EDNS.Present {
		out[11] = 1
		out = append(out, 0, 0, byte(wire.TypeOPT), byte(defaultUDPPayload>>8), byte(defaultUDPPayload&0xff), byte(rcode>>4), 0, 0, 0, 0, 0)
	}
	return out
}

// special reports whether a message is for Exchanges.
func special(q *wire.Query) bool {
	return q.Opcode != wire.OpcodeQuery || q.Type-wire.TypeIXFR <= wire.TypeAXFR-wire.TypeIXFR && q.Class == wire.ClassIN
}

// hand leaves a request for Exchanges to whoever reads and writes the socket:
// there is nothing to send yet.
func (w *worker) hand(req []byte, from addr, session *tsig.Session) {
	w.count(Exchanged)
	w.handed = &Exchange{Msg: req, Query: &w.answers.query, From: from.addrPort(), Session: session}
}

// takeHanded returns what the last message left, nil: nothing.
func (w *worker) takeHanded() *Exchange {
	x := w.handed
	w.handed = nil
	return x
}

// exchange has x answered, while the connection waits.
func (c *tcpConn) exchange(w *worker, fd uintptr, x *Exchange) (ok bool) {
	x.TCP, ok = true, true
	var prefixed []byte
	x.send = func(msg []byte) error {
		if len(msg) > maxMessage {
			return errTooLong
		}
		prefixed = append(binary.BigEndian.AppendUint16(prefixed[:0], uint16(len(msg))), msg...)
		w.count(c.flow + offReplies)
		w.add(c.flow+offReplyBytes, uint64(len(msg)))
		w.count(firstTCPSize + sizeBucket(uint32(len(msg))))
		if ok = c.write(w, fd, prefixed); !ok {
			return errors.New("the client does not read, or is gone")
		}
		return nil
	}
	c.s.cfg.Exchanges.Answer(x)
	if !x.sent {
		w.count(Unanswered)
	}
	return ok && x.sent
}

// exchange has the datagram at hand answered beside the batch, since that may
// wait for a disk.
func (u *udpSocket) exchange(i int, x *Exchange) {
	select {
	case u.exchanging <- struct{}{}:
	default:
		u.w.count(Dropped)
		return
	}
	q := *x.Query
	x.Query, x.Msg = &q, append([]byte(nil), x.Msg...)
	x.send = u.replyLater(i, wire.UDPLimit(&q, u.outMax))
	u.beside.Go(func() {
		defer func() {
			if cause := recover(); cause != nil {
				u.w.log.Error("panic in an exchange; it got no answer", "cause", cause, "stack", string(debug.Stack()))
			}
			<-u.exchanging
		}()
		u.exchanges.Answer(x)
	})
}

// replyLater returns what sends one message to the sender of datagram i, from the
// address that it was sent to.
func (u *udpSocket) replyLater(i, limit int) func(msg []byte) error {
	name, control := u.names[i], u.control[i]
	return func(msg []byte) error {
		if len(msg) == 0 || len(msg) > limit {
			return errTooLong
		}
		vec := unix.Iovec{Base: &msg[0]}
		vec.SetLen(len(msg))
		m := mmsghdr{hdr: u.tx[0].hdr}
		m.hdr.Name, m.hdr.Iov = &name[0], &vec
		if u.wildcard {
			m.hdr.Control = (*byte)(unsafe.Pointer(&control))
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.fd < 0 {
			return errors.New("the server has ended")
		}
		if _, errno := sendmmsg(uintptr(u.fd), &m, 1); errno != 0 {
			return errno
		}
		return nil
	}
}
