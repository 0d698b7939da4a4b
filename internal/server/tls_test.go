package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// certificate is a new one with a serial, which tells them apart.
func certificate(tb testing.TB, serial int64) *tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"ns1.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// startTLS serves over TLS at the addresses, and over TCP at one more.
func startTLS(t *testing.T, l Limits, hook answerFunc, at ...string) *Server {
	t.Helper()
	return start(t, Config{
		Listen: listen("127.0.0.1:0"), ListenTLS: listen(at...), Certificate: certificate(t, 1), Workers: 1, Limits: l,
	}, hook)
}

const loopback4 = "127.0.0.1:0"

// tlsClient is a client whose failures end the test.
type tlsClient struct {
	tb   testing.TB
	tcp  *net.TCPConn
	conn *tls.Conn
}

func clientConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}} //nolint:gosec // The server's is made by the test.
}

func dialTLS(tb testing.TB, to netip.AddrPort) *tlsClient {
	tb.Helper()
	tcp := dial(tb, to).conn
	c := &tlsClient{tb, tcp, tls.Client(tcp, clientConfig())}
	if err := c.conn.Handshake(); err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *tlsClient) write(b []byte) {
	c.tb.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.tb.Fatal(err)
	}
}

// next reads one message.
func (c *tlsClient) next() []byte {
	c.tb.Helper()
	var prefix [lenPrefix]byte
	if _, err := io.ReadFull(c.conn, prefix[:]); err != nil {
		c.tb.Fatal(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(prefix[:]))
	if _, err := io.ReadFull(c.conn, msg); err != nil {
		c.tb.Fatal(err)
	}
	return msg
}

// expect reads one message that must be the answer to q.
func (c *tlsClient) expect(q []byte) {
	c.tb.Helper()
	want := bytes.Clone(q)
	want[2] |= 0x80
	if got := c.next(); !bytes.Equal(got, want) {
		c.tb.Fatalf("got %d octets % x, want %d octets % x", len(got), got[:min(len(got), 40)], len(want), want[:min(len(want), 40)])
	}
}

// expectEnd fails unless the server says that it closes, and does.
func (c *tlsClient) expectEnd() {
	c.tb.Helper()
	if n, err := c.conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		c.tb.Fatalf("read %d octets, error %v; want the end", n, err)
	}
	if n, err := c.tcp.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		c.tb.Fatalf("below TLS: read %d octets, error %v; want the end", n, err)
	}
}

// Queries in any number a record, with any part of them in it, are answered in
// their order, and counted.
func TestTLS(t *testing.T) {
	s := startTLS(t, Limits{}, nil, loopback4, "[::1]:0")
	long := make([]byte, maxMessage)
	for i := range long {
		long[i] = byte(i*7 + i>>8)
	}
	var msgs [][]byte
	for id := range uint16(1000) {
		msgs = append(msgs, query(id))
	}
	msgs = append(msgs, long, query(1), long, long, query(2))
	for _, at := range s.TLSAddrs() {
		c := dialTLS(t, at)
		if v := c.conn.ConnectionState(); v.Version != tls.VersionTLS13 || v.NegotiatedProtocol != "dot" {
			t.Errorf("version %x, protocol %q", v.Version, v.NegotiatedProtocol)
		}
		var all []byte
		for _, m := range msgs {
			all = append(all, framed(m)...)
		}
		go func() { _, _ = c.conn.Write(all) }()
		for _, m := range msgs {
			c.expect(m)
		}
		for _, b := range append(framed(query(3)), framed(query(4))...) {
			c.write([]byte{b})
		}
		c.expect(query(3))
		c.expect(query(4))
	}
	n := uint64(len(msgs) + 2)
	eventually(t, s, "all are counted", func(c Counters) bool {
		return c[TCP4Queries] == n && c[TCP6Queries] == n && c[TLSQueries] == 2*n && c[TLSHandshakes] == 2 && c[TLSFailed] == 0 && c[TCPOpen] == 2
	})
	plain := dial(t, s.Addrs()[0])
	plain.write(framed(query(1)))
	plain.expect(query(1))
	eventually(t, s, "TCP is no TLS", func(c Counters) bool { return c[TCP4Queries] == n+1 && c[TLSQueries] == 2*n })
}

// trickle writes an octet at a time.
type trickle struct{ *net.TCPConn }

func (c trickle) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.TCPConn.Write(b[i : i+1]); err != nil {
			return i, err
		}
		if i%16 == 0 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	return len(b), nil
}

// Records may come in any pieces, those of the handshake too.
func TestTLSPieces(t *testing.T) {
	s := startTLS(t, Limits{}, nil, loopback4)
	tcp := dial(t, s.TLSAddrs()[0]).conn
	_ = tcp.SetNoDelay(true)
	c := &tlsClient{t, tcp, tls.Client(trickle{tcp}, clientConfig())}
	for id := range uint16(20) {
		c.write(framed(query(id)))
		c.expect(query(id))
	}
}

// RFC 9103 7.1: "dot" by ALPN, and TLS 1.3.
func TestTLSRefused(t *testing.T) {
	s := startTLS(t, Limits{}, nil, loopback4)
	for _, tt := range []struct {
		what   string
		change func(*tls.Config)
		want   string
	}{
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, "remote error: tls: no application protocol"},
		{"HTTP", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, "remote error: tls: no application protocol"},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "remote error: tls: protocol version not supported"},
	} {
		config := clientConfig()
		tt.change(config)
		conn := tls.Client(dial(t, s.TLSAddrs()[0]).conn, config)
		if err := conn.Handshake(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: error %v, want %s", tt.what, err, tt.want)
		}
	}
	c := dial(t, s.TLSAddrs()[0])
	c.write(framed(query(1))) // not TLS
	_, _ = io.Copy(io.Discard, c.conn)
	eventually(t, s, "all are counted and closed", func(c Counters) bool { return c[TLSFailed] == 4 && c[TCPOpen] == 0 && c[TLSHandshakes] == 0 })
}

// A new certificate is for new connections; the old ones go on.
func TestTLSCertificate(t *testing.T) {
	s := startTLS(t, Limits{}, nil, loopback4)
	old := dialTLS(t, s.TLSAddrs()[0])
	s.SetCertificate(certificate(t, 2))
	now := dialTLS(t, s.TLSAddrs()[0])
	for i, c := range []*tlsClient{old, now} {
		if got := c.conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != int64(i+1) {
			t.Errorf("connection %d has certificate %d", i, got)
		}
		c.write(framed(query(1)))
		c.expect(query(1))
	}
	if _, err := Listen(Config{Listen: listen(loopback4), ListenTLS: listen(loopback4)}); err == nil {
		t.Error("no certificate: no error")
	}
}

// What is no query, or no TLS, closes the connection, after the answers to what
// came before; a panic costs no more than that.
func TestTLSGarbage(t *testing.T) {
	s := startTLS(t, Limits{}, func(req []byte, from addr, udp bool, out []byte) []byte {
		if req[0] == 0xff {
			panic("a test's panic")
		}
		return echo(req, from, udp, out)
	}, loopback4)
	for name, garbage := range map[string][]byte{
		"empty message": {0, 0},
		"short message": framed(make([]byte, headerLen-1)),
		"panic":         framed(query(0xff00)),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTLS(t, s.TLSAddrs()[0])
			c.write(append(framed(query(1)), garbage...))
			if name != "panic" {
				c.expect(query(1))
			}
			c.expectEnd()
		})
	}
	for _, tt := range []struct{ what, octets, want string }{
		{"forged record", "\x17\x03\x03\x00\x20" + strings.Repeat("x", 32), "bad record MAC"},
		{"oversized record", "\x17\x03\x03\xff\xff", "record overflow"},
		{"no record", "GET / HTTP/1.1\r\n\r\n", ""},
	} {
		c := dialTLS(t, s.TLSAddrs()[0])
		c.write(framed(query(1)))
		c.expect(query(1))
		if _, err := c.tcp.Write([]byte(tt.octets)); err != nil {
			t.Fatal(err)
		}
		n, err := c.conn.Read(make([]byte, 1))
		if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: read %d, error %v", tt.what, n, err)
		}
	}
	half := dialTLS(t, s.TLSAddrs()[0])
	half.write(framed(query(1)))
	if err := half.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	half.expect(query(1))
	half.expectEnd()
	cut := dialTLS(t, s.TLSAddrs()[0])
	_ = cut.tcp.Close()
	eventually(t, s, "all are closed", func(c Counters) bool { return c[TCPOpen] == 0 && c[Panics] == 1 && c[TLSHandshakes] == 8 })
}

// Who does not shake hands, asks nothing, or asks too slowly, is let go.
func TestTLSTimeouts(t *testing.T) {
	s := startTLS(t, Limits{TCPIdle: 400 * time.Millisecond}, nil, loopback4)
	silent, half := dial(t, s.TLSAddrs()[0]), dial(t, s.TLSAddrs()[0])
	half.write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	idle, slow, asked := dialTLS(t, s.TLSAddrs()[0]), dialTLS(t, s.TLSAddrs()[0]), dialTLS(t, s.TLSAddrs()[0])
	asked.write(framed(query(1)))
	asked.expect(query(1))
	slow.write(framed(query(1))[:5])
	silent.expectClosed()
	half.expectClosed()
	idle.expectEnd()
	slow.expectEnd()
	asked.expectEnd()
	eventually(t, s, "all are counted", func(c Counters) bool {
		return c[TCPTimeouts] == 5 && c[TLSFailed] == 2 && c[TLSHandshakes] == 3 && c[TCPOpen] == 0
	})
}

// A client that does not read what it asked for is cut off.
func TestTLSSlowReader(t *testing.T) {
	s := startTLS(t, Limits{TCPIdle: 150 * time.Millisecond}, nil, loopback4)
	c := dialTLS(t, s.TLSAddrs()[0])
	_ = c.tcp.SetReadBuffer(4 << 10)
	long := framed(make([]byte, maxMessage))
	for {
		if _, err := c.conn.Write(long); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection stayed open")
			}
			break
		}
	}
	eventually(t, s, "it is counted", func(c Counters) bool { return c[SendErrors] == 1 && c[TCPOpen] == 0 })
}

// The limits are those of TCP, and for both together.
func TestTLSLimits(t *testing.T) {
	s := startTLS(t, Limits{TCPPerClient: 2, TCPQueries: 3}, nil, loopback4)
	plain := dial(t, s.Addrs()[0])
	plain.write(framed(query(1)))
	plain.expect(query(1)) // else others, by another socket, could be first
	c := dialTLS(t, s.TLSAddrs()[0])
	expectRefused(t, s.TLSAddrs()[0])
	expectRefused(t, s.Addrs()[0])
	for id := range uint16(3) {
		c.write(framed(query(id)))
		c.expect(query(id))
	}
	c.expectEnd()
	plain.write(framed(query(1)))
	plain.expect(query(1))
	eventually(t, s, "they are counted", func(c Counters) bool { return c[TCPRefused] == 2 && c[TCPOpen] == 1 })
}

// Whoever waits longest goes first, be it in the middle of a handshake.
func TestTLSEviction(t *testing.T) {
	s := startTLS(t, Limits{TCPClients: 2}, nil, loopback4)
	shaking := dial(t, s.TLSAddrs()[0])
	shaking.write([]byte{0x16, 3, 1})
	eventually(t, s, "it has a place", func(c Counters) bool { return c[TCPOpen] == 1 })
	first := dialTLS(t, s.TLSAddrs()[0])
	first.write(framed(query(1)))
	first.expect(query(1))
	eventually(t, s, "both are idle", func(Counters) bool { return idleCount(s) == 2 })
	dialTLS(t, s.TLSAddrs()[0])
	shaking.expectClosed()
	dialTLS(t, s.TLSAddrs()[0])
	first.expectEnd()
	if c := s.Counters(); c[TCPEvicted] != 2 || c[TLSFailed] != 0 {
		t.Errorf("%d evicted, %d failed", c[TCPEvicted], c[TLSFailed])
	}
}

// Shutdown answers what has been asked, and ends what is idle or has not begun.
func TestTLSShutdown(t *testing.T) {
	entered, busy := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(busy) })
	s := startTLS(t, Limits{}, func(req []byte, from addr, udp bool, out []byte) []byte {
		if req[0] == 0xff {
			close(entered)
			<-busy
		}
		return echo(req, from, udp, out)
	}, loopback4)
	t.Cleanup(release)
	shaking, idle, asked := dial(t, s.TLSAddrs()[0]), dialTLS(t, s.TLSAddrs()[0]), dialTLS(t, s.TLSAddrs()[0])
	asked.write(append(framed(query(0xff00)), framed(query(2))...))
	<-entered
	ended := make(chan error)
	go func() { ended <- s.Shutdown(t.Context()) }()
	shaking.expectClosed()
	idle.expectEnd()
	if conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.TLSAddrs()[0])); err == nil {
		_ = conn.Close()
		t.Error("a new connection was accepted")
	}
	release()
	asked.expect(query(0xff00))
	asked.expect(query(2))
	asked.expectEnd()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Transfers go over TLS as over TCP, between ordinary questions (RFC 9103 6.1).
func TestTLSExchange(t *testing.T) {
	s, err := Listen(Config{
		Listen: listen(loopback4), ListenTLS: listen(loopback4), Certificate: certificate(t, 1), Workers: 1,
		Live: signedWorld(t), Keys: allKeys(t), Exchanges: exchanger{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	c := dialTLS(t, s.TLSAddrs()[0])
	var all []byte
	for _, typ := range []uint16{dns.TypeSOA, dns.TypeIXFR, dns.TypeTXT} {
		all = append(all, framed(packed(t, newQuestion("example.", typ, 0)))...)
	}
	c.write(all)
	for i, want := range []uint16{dns.TypeSOA, dns.TypeIXFR, dns.TypeIXFR, dns.TypeIXFR, 0, dns.TypeTXT} {
		msg := c.next()
		if want == 0 {
			if string(msg) != "no more" {
				t.Errorf("message %d: %x", i, msg)
			}
			continue
		}
		if got := unpacked(t, msg).Question[0].Qtype; got != want {
			t.Errorf("message %d is about type %d, want %d", i, got, want)
		}
	}
	m := new(dns.Msg)
	m.SetUpdate("example.")
	signed, mac := signedQuery(t, m, "hmac-sha256", time.Now())
	c.write(framed(signed))
	if err := dns.TsigVerify(c.next(), secretOf("hmac-sha256"), mac, false); err != nil {
		t.Errorf("the signature of an update's answer: %v", err)
	}
	eventually(t, s, "they are counted", func(c Counters) bool { return c[Exchanged] == 2 && c[TLSQueries] == 4 })
}

// RFC 7830 4, RFC 8467 4.1: who pads gets padding, in blocks of 468 octets, unless
// everybody could read the answer.
func TestTLSPadding(t *testing.T) {
	s, err := Listen(Config{Listen: listen(loopback4), ListenTLS: listen(loopback4), Certificate: certificate(t, 1), Workers: 1, Live: signedWorld(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	secure, plain := dialTLS(t, s.TLSAddrs()[0]), dial(t, s.Addrs()[0])
	ask := func(c interface{ write([]byte) }, next func() []byte, name string, pad bool) int {
		m := newQuestion(name, dns.TypeTXT, 1232)
		if pad {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 20)})
		}
		c.write(framed(packed(t, m)))
		msg := next()
		if reply := unpacked(t, msg); reply.Rcode != dns.RcodeSuccess || reply.IsEdns0() == nil {
			t.Errorf("answered %v", reply)
		}
		return len(msg)
	}
	for _, name := range []string{"n1.example.", "n39.example.", "many.example."} {
		bare := ask(secure, secure.next, name, false)
		if got := ask(secure, secure.next, name, true); got%468 != 0 || got < bare+4 || got >= bare+4+468 {
			t.Errorf("%s: %d octets, %d without padding", name, got, bare)
		}
		overTCP := func() []byte {
			var prefix [lenPrefix]byte
			plain.readFull(prefix[:])
			msg := make([]byte, binary.BigEndian.Uint16(prefix[:]))
			plain.readFull(msg)
			return msg
		}
		if got := ask(plain, overTCP, name, true); got != bare {
			t.Errorf("%s: %d octets over TCP, %d without padding", name, got, bare)
		}
	}
}

// An idle connection that has asked costs the server less than 64 KiB.
func TestTLSIdleMemory(t *testing.T) {
	const conns = 100
	s := startTLS(t, Limits{TCPClients: conns, TCPPerClient: conns, TCPIdle: time.Minute}, nil, loopback4)
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	// Full records leave the longest buffers.
	ask := func() int {
		c := dialTLS(t, s.TLSAddrs()[0])
		c.write(bytes.Repeat(framed(query(1)), 600))
		for range 600 {
			c.expect(query(1))
		}
		raw, err := c.tcp.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		// Only the server's memory counts: the client keeps a file descriptor.
		fd := -1
		_ = raw.Control(func(old uintptr) { fd, err = unix.Dup(int(old)) })
		if err != nil {
			t.Fatal(err)
		}
		_ = c.tcp.Close()
		return fd
	}
	_ = unix.Close(ask())
	eventually(t, s, "it is closed", func(c Counters) bool { return c[TCPOpen] == 0 })
	before := memory()
	for range conns {
		fd := ask()
		defer func() { _ = unix.Close(fd) }()
	}
	eventually(t, s, "all are idle", func(c Counters) bool { return c[TCPOpen] == conns && idleCount(s) == conns })
	each := (int64(memory()) - int64(before)) / conns
	t.Logf("%d octets an idle connection", each)
	if each > 64<<10 {
		t.Errorf("%d octets an idle connection", each)
	}
}
