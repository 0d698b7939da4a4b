package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// alpnDoT is the protocol that is spoken over TLS (RFC 7858 7.4, RFC 9103
	// 7.1).
	alpnDoT = "dot"
	// handshakeWait is how long a handshake may take at most.
	handshakeWait = 10 * time.Second
	// padBlock is to which multiple of octets replies are padded (RFC 8467 4.1).
	padBlock = 468
)

// errNoDoT: the client does not say that it wants DNS.
var errNoDoT = errors.New("the client does not offer the protocol \"dot\" by ALPN (RFC 9103 7.1)")

// alertNoProtocol is the record of a fatal no_application_protocol alert, as it is
// sent before anything is encrypted (RFC 8446 5.1 and 6, RFC 7301 3.2).
const alertNoProtocol = "\x15\x03\x03\x00\x02\x02\x78"

// SetCertificate replaces the certificate, with its key, for all handshakes from
// now on. It may be called at any time.
func (s *Server) SetCertificate(cert *tls.Certificate) { s.cert.Store(cert) }

// TLSAddrs returns the bound addresses in the order of Config.ListenTLS, with the
// port that was taken where 0 was asked.
func (s *Server) TLSAddrs() []netip.AddrPort {
	return append([]netip.AddrPort(nil), s.secure...)
}

// tlsConfig is how handshakes are done.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		// RFC 9103 7.1: TLS 1.3 or later. Nobody is asked for a certificate:
		// who may transfer a zone is told by address or TSIG.
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpnDoT},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			// RFC 9103 7.1: "dot" MUST be selected. crypto/tls refuses other
			// protocols, but lets those pass who name none.
			if len(hello.SupportedProtos) > 0 {
				return nil, nil
			}
			_, _ = hello.Conn.Write([]byte(alertNoProtocol))
			return nil, errNoDoT
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
		// Small records help browsers, which show what they have. A DNS message
		// is of no use before its end.
		DynamicRecordSizingDisabled: true,
	}
}

// admitTLS serves conn over TLS if the limits have a place for it.
func (s *Server) admitTLS(conn *net.TCPConn) {
	c := s.newTCPConn(conn)
	if c == nil {
		return
	}
	below := &records{TCPConn: conn, raw: c.raw}
	c.tls = &secured{conn: tls.Server(below, s.tls), below: below, patience: s.cfg.Limits.TCPIdle}
	s.begin(c)
}

// secured is the TLS of a connection. After the handshake it is read as the socket
// of a plain connection is: what has arrived is taken, and nothing is waited for.
type secured struct {
	conn     *tls.Conn
	below    *records
	patience time.Duration // of a write
	broken   bool          // half a record has been written: nothing can follow
}

// handshake does it, in the time that the table gives; false if the connection is to
// be closed.
func (c *tcpConn) handshake() (ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			c.s.log.Error("panic in a TLS handshake; the connection was closed", "cause", cause, "stack", string(debug.Stack()))
			ok = c.s.tcp.shaken(c, false)
		}
	}()
	_ = c.conn.SetWriteDeadline(time.Now().Add(min(c.tls.patience, handshakeWait)))
	err := c.tls.conn.Handshake()
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.s.tcp.timedOut(c) {
		return false // told to go
	}
	if err != nil {
		c.s.log.Debug("a TLS handshake failed", "peer", c.conn.RemoteAddr().String(), "error", err)
	}
	c.tls.below.polled = true
	acknowledge(c.raw)
	return c.s.tcp.shaken(c, err == nil)
}

// acknowledge sends the acknowledgement of the client's last words, which nothing
// answers. A client that leaves Nagle's algorithm on (BIND) waits for it with its
// first query: 40 ms.
func acknowledge(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

// padding is what the worker's pad becomes.
func (c *tcpConn) padding() int {
	if c.tls == nil {
		return 0
	}
	return padBlock
}

// read decrypts what has arrived: EAGAIN tells that a record's end is still to
// come.
func (t *secured) read(fd uintptr, b []byte) (int, syscall.Errno) {
	t.below.fd = fd
	// A client may have TLS itself answer (RFC 8446 4.6.3), and not read that.
	_ = t.below.SetWriteDeadline(time.Now().Add(t.patience))
	n, err := t.conn.Read(b)
	switch {
	case n > 0 || err == nil, errors.Is(err, io.EOF):
		return n, 0 // an error comes again
	case errors.Is(err, notYet{}):
		return 0, unix.EAGAIN
	}
	return 0, unix.EIO
}

// writeTLS sends out. A client that does not read gets as long as an idle one.
func (c *tcpConn) writeTLS(w *worker, out []byte) bool {
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.tls.patience))
	if _, err := c.tls.conn.Write(out); err != nil {
		w.count(SendErrors)
		c.tls.broken = true
		return false
	}
	return true
}

// bye tells the client that nothing follows (RFC 8446 6.1), if that can be told at
// once.
func (t *secured) bye() {
	if !t.broken {
		t.below.ending = true
		_ = t.conn.Close()
	}
}

// records is the connection below TLS. It waits during the handshake. Then (polled)
// it only takes what has arrived, so that whoever reads borrows a worker when there
// is something to read: crypto/tls keeps the part of a record for which it gets a
// temporary error.
type records struct {
	*net.TCPConn
	raw    syscall.RawConn
	polled bool
	fd     uintptr // valid while a read is under way, if polled
	ending bool
}

// Read is that of net.Conn.
func (r *records) Read(b []byte) (int, error) {
	if !r.polled {
		return r.TCPConn.Read(b)
	}
	for {
		n, errno := read(r.fd, b)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return 0, notYet{}
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Write is that of net.Conn. The last words are said without waiting.
func (r *records) Write(b []byte) (int, error) {
	if r.ending {
		return len(b), r.raw.Control(func(fd uintptr) { _, _ = write(fd, b) })
	}
	return r.TCPConn.Write(b)
}

// notYet is an error that crypto/tls takes for a deadline that has passed.
type notYet struct{}

func (notYet) Error() string   { return "nothing has arrived yet" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }
