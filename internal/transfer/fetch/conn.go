package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// dialTimeout is how long a connection may take to come about.
const dialTimeout = 5 * time.Second

// stream is a connection to a primary, by which messages go and come.
type stream struct {
	conn  net.Conn
	meter *meter
	in    *bufio.Reader
	buf   []byte // the message at hand
	stop  func() bool
}

// meter counts what comes, and sees that it comes fast enough: in each window
// at least least octets.
type meter struct {
	net.Conn
	window time.Duration
	least  int64
	octets int64 // in all

	opened int64     // octets when the window began
	until  time.Time // when it ends; zero: none has begun
	// waiting: nothing has come since what was sent last. The first octet
	// begins a new window, so that only what comes is measured, not how long
	// the answer took to make.
	waiting bool
}

// errStalled is what Read says if too little came in a window.
var errStalled = errors.New("too slow")

// Read reads, and waits on if the window ends and enough came in it.
func (m *meter) Read(b []byte) (int, error) {
	for {
		if m.until.IsZero() {
			m.open()
		}
		if err := m.SetReadDeadline(m.until); err != nil {
			return 0, err
		}
		n, err := m.Conn.Read(b)
		m.octets += int64(n)
		if n > 0 && m.waiting {
			m.waiting = false
			m.open()
			return n, nil
		}
		late := errors.Is(err, os.ErrDeadlineExceeded) || err == nil && time.Now().After(m.until)
		if !late {
			return n, err
		}
		if m.octets-m.opened < m.least {
			return n, errStalled
		}
		m.open()
		if n > 0 {
			return n, nil
		}
	}
}

// open begins a window.
func (m *meter) open() { m.opened, m.until = m.octets, time.Now().Add(m.window) }

// dial connects to a primary. The connection is closed when ctx ends.
func dial(ctx context.Context, p *Primary, o *Options) (*stream, *Error) {
	d := net.Dialer{Timeout: min(dialTimeout, o.Stall)}
	if p.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Source, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", p.Addr.String())
	if err != nil {
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		return nil, because(err, fault(Unreachable, seeNetwork, "no TCP connection: %v", err))
	}
	m := &meter{Conn: conn, window: o.Stall, least: max(1, int64(o.Stall.Seconds()*float64(o.MinRate)))}
	s := &stream{conn: m, meter: m}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if p.TLS != nil {
		if err := s.secure(ctx, p); err != nil {
			s.close()
			return nil, err
		}
	}
	s.in = bufio.NewReaderSize(s.conn, 64<<10)
	return s, nil
}

// secure makes TLS of a connection. RFC 9103 7.1: version 1.3, and ALPN dot.
func (s *stream) secure(ctx context.Context, p *Primary) *Error {
	c := p.TLS.Clone()
	c.NextProtos = []string{"dot"}
	c.MinVersion = tls.VersionTLS13
	if c.ServerName == "" {
		c.ServerName = p.Addr.Addr().WithZone("").String()
	}
	t := tls.Client(s.meter, c)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return because(err, fault(Unreachable, "see that the primary offers transfers over TLS at this port, and that its certificate is what is expected here", "no TLS connection: %v", err))
	}
	if got := t.ConnectionState().NegotiatedProtocol; got != "dot" {
		return fault(Unreachable, "see that this is the primary's port for DNS over TLS (853)", "the primary does not confirm DNS over TLS (ALPN %q, not \"dot\")", got)
	}
	s.conn = t
	return nil
}

func (s *stream) close() {
	s.stop()
	_ = s.conn.Close()
}

// send sends a message behind its length (RFC 1035 4.2.2).
func (s *stream) send(ctx context.Context, msg []byte) *Error {
	if err := s.meter.SetWriteDeadline(time.Now().Add(s.meter.window)); err != nil {
		return s.fault(ctx, err)
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg)))
	_, err := s.conn.Write(append(out, msg...))
	if err != nil {
		return s.fault(ctx, err)
	}
	s.meter.open()
	s.meter.waiting = true
	return nil
}

// receive reads the next message, which is valid until the next call.
func (s *stream) receive(ctx context.Context) ([]byte, *Error) {
	var length [2]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil {
		return nil, s.fault(ctx, err)
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > len(s.buf) {
		s.buf = make([]byte, max(n, min(2*len(s.buf), 64<<10)))
	}
	if _, err := io.ReadFull(s.in, s.buf[:n]); err != nil {
		return nil, s.fault(ctx, err)
	}
	return s.buf[:n], nil
}

// fault says why no message came, or went.
func (s *stream) fault(ctx context.Context, err error) *Error {
	cause := Stalled
	if s.meter.octets == 0 {
		cause = Unreachable
	}
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case errors.Is(err, errStalled), errors.Is(err, os.ErrDeadlineExceeded):
		return because(err, fault(cause, seeSpeed, "%d octets came, and then less than %d in %v", s.meter.opened, s.meter.least, s.meter.window))
	}
	if cause == Stalled {
		cause = Broken
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return because(err, fault(cause, seeLog, "the primary closed the connection after %d octets, before the answer was complete", s.meter.octets))
	}
	return because(err, fault(cause, seeNetwork, "the connection broke after %d octets: %v", s.meter.octets, err))
}

// ended is why a context did.
func ended(ctx context.Context) *Error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return because(err, fault(Stalled, seeSpeed, "it took longer than it may"))
	}
	return because(err, fault(Cancelled, "", "it was given up here: %v", err))
}

func because(err error, e *Error) *Error {
	e.err = err
	return e
}

// messageNumber says in an error which message it is about.
func messageNumber(n int, err *Error) *Error {
	err.What = fmt.Sprintf("message %d: %s", n, err.What)
	return err
}
