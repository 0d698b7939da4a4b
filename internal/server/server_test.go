package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come before it fails.
const patience = 20 * time.Second

func listen(at ...string) (all []netip.AddrPort) {
	for _, a := range at {
		all = append(all, netip.MustParseAddrPort(a))
	}
	return all
}

// loopback is where a client reaches the server at a.
func loopback(a netip.AddrPort) netip.AddrPort {
	switch a.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	}
	return a
}

// echo answers every message with itself and QR set, so that the tests of the
// sockets do not depend on what the server knows.
func echo(req []byte, _ addr, _ bool, out []byte) []byte {
	if len(req) > cap(out) {
		return nil
	}
	out = append(out[:0], req...)
	out[2] |= 0x80
	return out
}

// start serves with hook as the answerer (echo if nil) until the test ends.
func start(tb testing.TB, cfg Config, hook answerFunc) *Server {
	tb.Helper()
	s, err := Listen(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if s.hook = hook; hook == nil {
		s.hook = echo
	}
	s.Serve()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
	})
	return s
}

// query asks for example. A with the given ID.
func query(id uint16) []byte {
	q := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(q, id)
	return q
}

func framed(msg []byte) []byte {
	return append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
}

// eventually waits until the server's counters satisfy ok.
func eventually(tb testing.TB, s *Server, what string, ok func(c Counters) bool) {
	tb.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok(s.Counters()) {
			return
		}
	}
	tb.Fatalf("never: %s; counters: %v", what, s.Counters())
}

// client is a TCP client whose failures end the test.
type tcpClient struct {
	tb   testing.TB
	conn *net.TCPConn
}

func dial(tb testing.TB, to netip.AddrPort) *tcpClient {
	tb.Helper()
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &tcpClient{tb, conn}
}

func (c *tcpClient) write(b []byte) {
	c.tb.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *tcpClient) readFull(b []byte) {
	c.tb.Helper()
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.tb.Fatal(err)
	}
}

// expect reads one message that must be the answer to q.
func (c *tcpClient) expect(q []byte) {
	c.tb.Helper()
	got := make([]byte, lenPrefix+len(q))
	c.readFull(got)
	want := framed(q)
	want[4] |= 0x80
	if !bytes.Equal(got, want) {
		c.tb.Fatalf("got % x, want % x", got[:min(len(got), 40)], want[:min(len(want), 40)])
	}
}

// expectClosed reads until the server closes and fails if anything comes
// before that.
func (c *tcpClient) expectClosed() {
	c.tb.Helper()
	n, err := c.conn.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, unix.ETIMEDOUT) {
		c.tb.Fatalf("connection is open: read %d octets, error %v", n, err)
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.tb.Fatal("connection stayed open")
	}
}

func TestListenErrors(t *testing.T) {
	if _, err := Listen(Config{}); err == nil {
		t.Error("no address: no error")
	}
	if _, err := Listen(Config{Listen: []netip.AddrPort{{}}}); err == nil {
		t.Error("empty address: no error")
	}
	for _, l := range []Limits{{UDPPayload: 511}, {UDPPayload: 4097}, {TCPClients: -1}, {TCPIdle: -1}, {TCPQueries: -1}, {TCPPerClient: -1}} {
		if s, err := Listen(Config{Listen: listen("127.0.0.1:0"), Limits: l}); err == nil {
			_ = s.Shutdown(t.Context())
			t.Errorf("limits %+v: no error", l)
		}
	}
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, nil)
	free := listen("127.0.0.2:0")[0]
	_, err := Listen(Config{Listen: []netip.AddrPort{free, s.Addrs()[0]}})
	var ae *AddrError
	if !errors.As(err, &ae) || !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("taken address: error %v", err)
	}
	if ae.Network != "tcp" || ae.Addr != s.Addrs()[0] || !strings.Contains(err.Error(), s.Addrs()[0].String()) {
		t.Errorf("error %q names %s %s, want tcp %s", err, ae.Network, ae.Addr, s.Addrs()[0])
	}
	// RFC 5737: not on any machine.
	_, err = Listen(Config{Listen: listen("203.0.113.77:0")})
	if !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("foreign address: error %v", err)
	}
}

// A UDP port that someone else holds is an error, and leaves no TCP socket
// behind.
func TestListenIsAllOrNothing(t *testing.T) {
	for range portTries {
		holder, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(listen("127.0.0.1:0")[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		at := holder.LocalAddr().(*net.UDPAddr).AddrPort()
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		if err != nil {
			continue // TCP has another use for this port
		}
		_ = l.Close()
		_, err = Listen(Config{Listen: []netip.AddrPort{at}})
		var ae *AddrError
		if !errors.As(err, &ae) || ae.Network != "udp" || ae.Addr != at {
			t.Fatalf("error %v, want one for udp %s", err, at)
		}
		if l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at)); err != nil {
			t.Fatalf("a TCP socket was left: %v", err)
		}
		_ = l.Close()
		return
	}
	t.Fatal("no port is free for TCP and UDP")
}

// 0.0.0.0 and [::] are two addresses, with the same port too, and port 0 gives
// UDP and TCP one port.
func TestAddrs(t *testing.T) {
	s := start(t, Config{Listen: listen("0.0.0.0:0"), Workers: 2}, nil)
	port := s.Addrs()[0].Port()
	if port == 0 {
		t.Fatal("port 0")
	}
	six := start(t, Config{Listen: []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), port)}, Workers: 2}, nil)
	for _, at := range []netip.AddrPort{s.Addrs()[0], six.Addrs()[0]} {
		at = loopback(at)
		newBatchClient(t, at).exchange(1)
		c := dial(t, at)
		c.write(framed(query(1)))
		c.expect(query(1))
	}
	eventually(t, s, "IPv4 is counted", func(c Counters) bool { return c[UDP4Replies] == 1 && c[TCP4Replies] == 1 })
	eventually(t, six, "IPv6 is counted", func(c Counters) bool { return c[UDP6Replies] == 1 && c[TCP6Replies] == 1 })
	n := uint64(len(query(1)))
	if c := s.Counters(); c[UDP4QueryBytes] != n || c[UDP4ReplyBytes] != n || c[TCP4QueryBytes] != n || c[TCP4ReplyBytes] != n || c[UDP6Queries] != 0 {
		t.Errorf("counters %v: want %d octets each way", c, n)
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	s, err := Listen(Config{Listen: listen("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	at := s.Addrs()
	for range 2 {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	s.Serve() // does nothing any more
	again, err := Listen(Config{Listen: at})
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	_ = again.Shutdown(t.Context())
}

// Panics are counted, and logged with the message, but not all of them.
func TestPanicReport(t *testing.T) {
	var log bytes.Buffer
	w := &worker{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 {
		w.panicked("boom", []byte{0xab, 0xcd})
	}
	if w.n[Panics] != 100 {
		t.Errorf("%d panics counted", w.n[Panics])
	}
	if n := strings.Count(log.String(), "message=abcd"); n != 7 { // 1, 2, 4, .. 64
		t.Errorf("%d reports:\n%s", n, log.String())
	}
}

// Without zones every query is refused over both transports, with its ID and
// question, RA, Z, AD and CD off, and responses are left alone.
func TestWithoutZones(t *testing.T) {
	s, err := Listen(Config{Listen: listen("127.0.0.1:0"), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	defer func() { _ = s.Shutdown(context.Background()) }()
	req := query(0x1234)
	req[3] = 0x70
	want := append([]byte{0x12, 0x34, 0x81, 0x05}, req[4:]...)
	response := query(1)
	response[2] |= 0x80
	got, _ := askUDP(t, s.Addrs()[0], req)
	if !bytes.Equal(got, want) {
		t.Errorf("UDP: got % x, want % x", got, want)
	}
	c := dial(t, s.Addrs()[0])
	c.write(append(framed(req), framed(response)...))
	got = make([]byte, lenPrefix+len(want))
	c.readFull(got)
	if !bytes.Equal(got, framed(want)) {
		t.Errorf("TCP: got % x, want % x", got, framed(want))
	}
	c.expectClosed()
}

func TestAddrOf(t *testing.T) {
	four := addrOf(netip.MustParseAddrPort("192.0.2.1:53"))
	if four != (addr{ip: [16]byte{192, 0, 2, 1}, port: 53, v4: true}) {
		t.Errorf("IPv4: %v", four)
	}
	if mapped := addrOf(netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")); mapped != four {
		t.Errorf("mapped: %v", mapped)
	}
	six := addrOf(netip.MustParseAddrPort("[2001:db8::1]:53"))
	if six != (addr{ip: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, port: 53}) {
		t.Errorf("IPv6: %v", six)
	}
	neighbour := addrOf(netip.MustParseAddrPort("[2001:db8::ffff]:9"))
	stranger := addrOf(netip.MustParseAddrPort("[2001:db8:0:1::1]:53"))
	if six.client() != neighbour.client() || six.client() == stranger.client() {
		t.Error("an IPv6 client is its /64")
	}
}
