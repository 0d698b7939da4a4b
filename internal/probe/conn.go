package probe

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How much a target may send in one probe, in octets.
const (
	budgetDialog = 64 << 10 // protocols of lines
	budgetLogin  = 1 << 20  // databases, gRPC
	budgetHTTP   = 2 << 20  // headers, the part of the body that is looked at, TLS
)

// conn is the one connection of a probe. It reads no more than its budget, no
// library can move its deadline behind the context's, and it can be kept open
// when the library that used it closes it.
type conn struct {
	tcp    *net.TCPConn
	ctx    context.Context
	stop   func() bool
	budget int64
	used   atomic.Int64

	mu       sync.Mutex // libraries read and write from goroutines of their own
	kept     int        // a second descriptor of the socket, -1: none
	farewell []byte     // what was written since it is kept
	failure  error      // of the first read or write that failed
}

// maxFarewell bounds what is noted of a farewell: QUIT in its several forms,
// within TLS.
const maxFarewell = 512

// dial connects to the target, once for each probe: a library that wants a
// second connection (to cancel a query, say) gets none.
func (r *attempt) dial(budget int64) (*conn, error) {
	r.mu.Lock()
	again := r.conn != nil || r.cause != nil
	r.mu.Unlock()
	if again {
		return nil, errOnce
	}
	d := net.Dialer{KeepAlive: -1}
	// Not DialTCP: with no local address given it binds to none in particular, which
	// takes a port from all other targets, too.
	dialed, err := d.DialContext(r.ctx, "tcp", r.addrPort().String())
	if err != nil {
		return nil, r.because(r.failed("connecting", err))
	}
	tcp := dialed.(*net.TCPConn)
	c := &conn{tcp: tcp, ctx: r.ctx, budget: budget, kept: -1}
	c.stop = context.AfterFunc(r.ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		c.Close()
		return nil, errOnce
	}
	r.conn = c
	r.mu.Unlock()
	return c, c.SetDeadline(time.Time{})
}

var errOnce = errors.New("a probe makes one connection")

// because notes why there is no connection, and returns what was noted first:
// libraries tell it in many words.
func (r *attempt) because(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause == nil {
		r.cause = err
	}
	return r.cause
}

// library is the error of a library that connects by dial.
func (r *attempt) library(doing string, err error) error {
	r.mu.Lock()
	cause := r.cause
	r.mu.Unlock()
	if cause != nil {
		return cause
	}
	return r.failed(doing, err)
}

func (c *conn) Read(p []byte) (int, error) {
	left := c.budget - c.used.Load()
	if left <= 0 {
		return 0, c.failing(tooMuch(c.budget))
	}
	n, err := c.tcp.Read(p[:min(int64(len(p)), left)])
	c.used.Add(int64(n))
	if err != nil {
		c.failing(err)
	}
	return n, err
}

func (c *conn) failing(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
	return err
}

// broken is what failed first, for libraries that don't tell; nil: nothing did.
func (c *conn) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Write sends, or only notes what is sent after the connection was kept: that
// is the farewell, for when it ends.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept < 0 {
		n, err := c.tcp.Write(p)
		if err != nil && c.failure == nil {
			c.failure = err
		}
		return n, err
	}
	if len(c.farewell)+len(p) <= maxFarewell {
		c.farewell = append(c.farewell, p...)
	}
	return len(p), nil
}

// keep makes the socket survive Close.
func (c *conn) keep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept >= 0 {
		return nil
	}
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return bare(err)
	}
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		var kept int
		if kept, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
			c.kept = kept
		}
	})
	return errors.Join(dupErr, err)
}

// take hands over the kept socket, -1 if there is none, and what is to be said
// when it ends.
func (c *conn) take() (fd int, farewell []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd, c.kept = c.kept, -1
	return fd, c.farewell
}

// end closes all that is open and not taken. It may follow Close.
func (c *conn) end() {
	c.Close()
	if fd, _ := c.take(); fd >= 0 {
		unix.Close(fd)
	}
}

func (c *conn) Close() error {
	c.stop()
	return c.tcp.Close()
}

func (c *conn) LocalAddr() net.Addr  { return c.tcp.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.tcp.RemoteAddr() }

// SyscallConn lets libraries look at the socket.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.tcp.SyscallConn() }

func (c *conn) SetDeadline(t time.Time) error      { return c.limit(c.tcp.SetDeadline, t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.limit(c.tcp.SetReadDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.limit(c.tcp.SetWriteDeadline, t) }

// limit sets a deadline, but none behind the context's.
func (c *conn) limit(set func(time.Time) error, t time.Time) error {
	if at, ok := c.ctx.Deadline(); ok && (t.IsZero() || t.After(at)) {
		t = at
	}
	err := set(t)
	// The context may have ended in between.
	if c.ctx.Err() != nil {
		err = set(time.Unix(1, 0))
	}
	return err
}
