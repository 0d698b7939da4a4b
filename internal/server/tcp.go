package server

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long to wait after accept failed: doubled from the first to the second.
const (
	acceptRetry    = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

// acceptor is *net.TCPListener, or what a test needs.
type acceptor interface {
	AcceptTCP() (*net.TCPConn, error)
	Addr() net.Addr
}

// accept takes connections until the server stops. Where the machine is out of
// file descriptors or memory it closes the longest idle connection and tries
// again a little later. admit takes what was accepted.
func (s *Server) accept(l acceptor, admit func(*net.TCPConn)) {
	wait := acceptRetry
	for {
		conn, err := l.AcceptTCP()
		switch {
		case err == nil:
			wait = acceptRetry
			admit(conn)
			continue
		case s.stop.Load() || errors.Is(err, net.ErrClosed):
			return
		}
		s.tcp.acceptFailed(errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
			errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM))
		if wait == acceptRetry {
			s.log.Warn("cannot accept TCP connections", "address", l.Addr().String(), "error", err)
		}
		select {
		case <-s.done:
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, acceptRetryMax)
	}
}

// admit serves conn if the limits have a place for it.
func (s *Server) admit(conn *net.TCPConn) {
	if c := s.newTCPConn(conn); c != nil {
		s.begin(c)
	}
}

// newTCPConn is nil if conn is gone already.
func (s *Server) newTCPConn(conn *net.TCPConn) *tcpConn {
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil
	}
	c := &tcpConn{s: s, conn: conn, raw: raw, from: addrOf(conn.RemoteAddr().(*net.TCPAddr).AddrPort()), flow: TCP6Queries}
	if c.from.v4 {
		c.flow = TCP4Queries
	}
	return c
}

// begin serves c if the limits have a place for it.
func (s *Server) begin(c *tcpConn) {
	if !s.tcp.add(c) {
		// A reset leaves no TIME_WAIT behind, of which a flood would make
		// many.
		_ = c.conn.SetLinger(0)
		_ = c.conn.Close()
		return
	}
	s.serving.Go(c.serve)
}

// tcpConn is one connection. While nothing arrives it costs its goroutine, its
// place in the table and what has come of an unfinished query: the buffers
// belong to the worker, which it borrows for as long as there is work.
type tcpConn struct {
	s    *Server
	conn *net.TCPConn
	raw  syscall.RawConn
	tls  *secured // nil: plain TCP
	from addr
	flow Counter // the first of the four counters of this family
	rest []byte  // the beginning of a query, with its length prefix

	queries int

	// Of the table.
	prev, next *tcpConn
	idle       bool // in the list of idle ones
	gone       bool // has lost its place
}

// serve answers until the client closes, breaks a rule or a limit, or the
// server stops.
func (c *tcpConn) serve() {
	defer func() {
		c.s.tcp.remove(c)
		c.close()
	}()
	if c.tls != nil && !c.handshake() {
		return
	}
	err := c.raw.Read(c.onReady)
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.s.tcp.timedOut(c) {
		return
	}
	// The deadline told that the place is gone (then this does nothing) or
	// that the server stops: what the client sent before gets its answers.
	_ = c.raw.Control(func(fd uintptr) { c.onReady(fd) })
}

// onReady reads and answers until nothing is left to read (false: wait) or the
// connection is to be closed (true).
func (c *tcpConn) onReady(fd uintptr) (closing bool) {
	w := c.s.pool.get()
	defer c.s.pool.put(w)
	// A panic costs the connection, whose other queries can be asked again.
	defer func() {
		if cause := recover(); cause != nil {
			w.panicked(cause, w.current)
			closing = true
		}
	}()
	n := copy(w.in, c.rest)
	active := false
	for {
		// There is always room: a whole message would have been answered.
		got, errno := c.read(fd, w.in[n:])
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return !c.wait(active, w.in[:n])
		case errno != 0 || got == 0:
			return true
		}
		n += got
		if messageLen(w.in[:n]) >= 0 && !active {
			if active = c.s.tcp.begin(c); !active {
				return true
			}
		}
		used, ok := c.answerAll(w, fd, n)
		if !ok || c.s.stop.Load() {
			return true
		}
		n = copy(w.in, w.in[used:n])
	}
}

// messageLen returns the length of the message that starts b behind its
// prefix, and -1 if it is not all there.
func messageLen(b []byte) int {
	if len(b) < lenPrefix {
		return -1
	}
	n := int(b[0])<<8 | int(b[1])
	if len(b) < lenPrefix+n {
		return -1
	}
	return n
}

// answerAll answers the whole messages in w.in[:n], in their order, with as few
// writes as the buffer allows (RFC 7766 6.2.1.1: pipelined queries are answered
// without waiting for each other). It returns how much of the input it used
// up, and false if the connection is to be closed.
func (c *tcpConn) answerAll(w *worker, fd uintptr, n int) (used int, ok bool) {
	began := time.Now()
	w.now = began.UnixNano()
	w.idle, w.pad = c.s.cfg.Limits.TCPIdle, c.padding()
	if c.s.stop.Load() {
		w.idle = 0
	}
	limit := c.s.cfg.Limits.TCPQueries
	pending, replies := 0, 0
	for ok = true; ok; {
		size := messageLen(w.in[used:n])
		if size < 0 {
			break
		}
		req := w.in[used+lenPrefix:][:size:size]
		used += lenPrefix + size
		reply := c.answerOne(w, req, w.out[pending:])
		if reply > 0 {
			pending += reply
			replies++
		}
		x := w.takeHanded()
		c.queries++
		// A peer that sends what is no query is out of step with the length
		// prefixes or no DNS client: nothing good can follow.
		ok = (reply > 0 || x != nil) && (limit == 0 || c.queries < limit)
		if pending > flushAt || x != nil && pending > 0 {
			if !c.write(w, fd, w.out[:pending]) {
				return used, false
			}
			w.took(firstTCPDuration, tcpNanoseconds, replies, int64(time.Since(began)))
			pending, replies = 0, 0
		}
		if x != nil && !c.exchange(w, fd, x) {
			return used, false
		}
	}
	if pending > 0 {
		if c.write(w, fd, w.out[:pending]) {
			w.took(firstTCPDuration, tcpNanoseconds, replies, int64(time.Since(began)))
		} else {
			ok = false
		}
	}
	w.publish() // a client that never pauses keeps its worker
	return used, ok
}

// answerOne puts the answer with its length prefix at the start of out, and
// returns the length of both, 0 for none.
func (c *tcpConn) answerOne(w *worker, req, out []byte) int {
	w.count(c.flow + offQueries)
	w.add(c.flow+offQueryBytes, uint64(len(req)))
	if c.tls != nil {
		w.count(TLSQueries)
	}
	if len(req) < headerLen {
		w.count(Dropped)
		return 0
	}
	w.current = req
	res := w.respond(req, c.from, false, out[lenPrefix:lenPrefix:lenPrefix+maxMessage])
	if len(res) == 0 || len(res) > maxMessage {
		if w.handed == nil {
			w.count(Unanswered)
		}
		return 0
	}
	out[0], out[1] = byte(len(res)>>8), byte(len(res))
	w.count(c.flow + offReplies)
	w.add(c.flow+offReplyBytes, uint64(len(res)))
	w.count(firstTCPSize + sizeBucket(uint32(len(res))))
	return lenPrefix + len(res)
}

// write sends out. A client that does not read gets as long as an idle one.
func (c *tcpConn) write(w *worker, fd uintptr, out []byte) bool {
	if c.tls != nil {
		return c.writeTLS(w, out)
	}
	for len(out) > 0 {
		n, errno := write(fd, out)
		switch errno {
		case 0:
			out = out[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			_ = c.conn.SetWriteDeadline(time.Now().Add(c.s.cfg.Limits.TCPIdle))
			_, err := c.conn.Write(out)
			if err != nil {
				w.count(SendErrors)
			}
			return err == nil
		default:
			w.count(SendErrors)
			return false
		}
	}
	return true
}

// wait keeps the beginning of a query for later, gets a new deadline if queries
// were answered, and returns false if the connection is to be closed instead.
// Part of a query earns no new deadline: else a byte a second would hold a
// place for ever.
func (c *tcpConn) wait(active bool, rest []byte) bool {
	if len(rest) == 0 {
		c.rest = nil
	} else {
		c.rest = append(c.rest[:0], rest...)
	}
	return !active || c.s.tcp.park(c)
}

// read returns what has arrived, as the system call does.
func (c *tcpConn) read(fd uintptr, b []byte) (int, syscall.Errno) {
	if c.tls != nil {
		return c.tls.read(fd, b)
	}
	return read(fd, b)
}

func (c *tcpConn) close() {
	if c.tls != nil {
		c.tls.bye()
	}
	_ = c.conn.Close()
}

// read and write are the system calls without a wait: the socket is
// non-blocking.
func read(fd uintptr, b []byte) (int, syscall.Errno) {
	n, err := syscall.Read(int(fd), b)
	return n, errnoOf(err)
}

func write(fd uintptr, b []byte) (int, syscall.Errno) {
	n, err := syscall.Write(int(fd), b)
	return n, errnoOf(err)
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return unix.EIO
}
