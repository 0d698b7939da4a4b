package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func serveTCP(t *testing.T, l Limits) *Server {
	return start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1, Limits: l}, nil)
}

// 1,000 queries in one write are answered in their order (RFC 7766 6.2.1.1).
func TestTCPPipelining(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := start(t, Config{Listen: listen(at), Workers: 1}, nil)
		c := dial(t, s.Addrs()[0])
		var all []byte
		const n = 1000
		for id := range uint16(n) {
			all = append(all, framed(query(id))...)
		}
		go func() { _, _ = c.conn.Write(all) }()
		for id := range uint16(n) {
			c.expect(query(id))
		}
	}
}

// A query may come in any pieces, its length prefix too (RFC 7766 8).
func TestTCPPieces(t *testing.T) {
	s := serveTCP(t, Limits{})
	c := dial(t, s.Addrs()[0])
	stream := append(append(framed(query(1)), framed(query(2))...), framed(query(3))...)
	for _, b := range stream {
		c.write([]byte{b})
		time.Sleep(100 * time.Microsecond)
	}
	for id := uint16(1); id <= 3; id++ {
		c.expect(query(id))
	}
	// One whole and a part of the next; the rest of it and one more.
	cut := len(framed(query(1))) + 5
	c.write(stream[:cut])
	c.expect(query(1))
	c.write(stream[cut:])
	c.expect(query(2))
	c.expect(query(3))
}

// Messages of 64 KiB go both ways, several at once, mixed with short ones.
func TestTCPLongMessages(t *testing.T) {
	s := serveTCP(t, Limits{})
	c := dial(t, s.Addrs()[0])
	long := make([]byte, maxMessage)
	for i := range long {
		long[i] = byte(i*7 + i>>8)
	}
	msgs := [][]byte{query(1), long, query(2), long, long, query(3), long[:maxMessage-1], query(4)}
	go func() {
		var all []byte
		for _, m := range msgs {
			all = append(all, framed(m)...)
		}
		_, _ = c.conn.Write(all)
	}()
	for _, m := range msgs {
		want := bytes.Clone(m)
		got := make([]byte, lenPrefix+len(m))
		c.readFull(got)
		want[2] |= 0x80
		if !bytes.Equal(got, framed(want)) {
			t.Fatalf("a message of %d octets came back wrong", len(m))
		}
	}
}

// What is no query closes the connection, after the answers to what came
// before.
func TestTCPGarbage(t *testing.T) {
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, func(req []byte, from addr, udp bool, out []byte) []byte {
		switch req[0] {
		case 0xff:
			panic("a test's panic")
		case 0xfe:
			return nil
		case 0xfd:
			return make([]byte, maxMessage+1)
		}
		return echo(req, from, udp, out)
	})
	for name, garbage := range map[string][]byte{
		"empty message":     {0, 0},
		"short message":     framed(make([]byte, headerLen-1)),
		"no answer":         framed(query(0xfe00)),
		"too long answer":   framed(query(0xfd00)),
		"panic":             framed(query(0xff00)),
		"end after nothing": nil,
		"end in prefix":     {0},
		"end in message":    framed(query(1))[:9],
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s.Addrs()[0])
			c.write(framed(query(1)))
			c.expect(query(1))
			c.write(garbage)
			if len(garbage) < headerLen && len(garbage) != 2 {
				_ = c.conn.CloseWrite()
			}
			c.expectClosed()
		})
	}
	eventually(t, s, "all is counted and closed", func(c Counters) bool {
		return c[Panics] == 1 && c[Unanswered] == 2 && c[Dropped] == 2 && c[TCPOpen] == 0 && c[TCPAccepted] == 8
	})
	c := dial(t, s.Addrs()[0])
	c.write(append(framed(query(1)), 0, 0))
	c.expect(query(1))
	c.expectClosed()
}

// A client that closes its side after asking gets its answers; one that closes
// before it reads them does no harm.
func TestTCPClientCloses(t *testing.T) {
	s := serveTCP(t, Limits{})
	c := dial(t, s.Addrs()[0])
	c.write(append(framed(query(1)), framed(query(2))...))
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expect(query(1))
	c.expect(query(2))
	c.expectClosed()
	for range 50 {
		c := dial(t, s.Addrs()[0])
		for range 20 {
			if _, err := c.conn.Write(framed(query(1))); err != nil {
				break // reset by the server, whose answers met a closed socket
			}
		}
		_ = c.conn.SetLinger(0)
		_ = c.conn.Close()
	}
	c = dial(t, s.Addrs()[0])
	c.write(framed(query(3)))
	c.expect(query(3))
	_ = c.conn.Close()
	eventually(t, s, "all are closed", func(c Counters) bool { return c[TCPOpen] == 0 })
}

// Idle connections end, and so do those that send a byte now and then: only a
// whole query earns more time.
func TestTCPTimeouts(t *testing.T) {
	s := serveTCP(t, Limits{TCPIdle: 500 * time.Millisecond})
	silent, asked, slow := dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0])
	asked.write(framed(query(1)))
	asked.expect(query(1))
	stop := make(chan struct{})
	trickled := make(chan struct{})
	go func() {
		defer close(trickled)
		q := append([]byte{0xff, 0xff}, make([]byte, maxMessage)...)
		for _, b := range q {
			if _, err := slow.conn.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	silent.expectClosed()
	asked.expectClosed()
	slow.expectClosed()
	close(stop)
	<-trickled
	eventually(t, s, "timeouts are counted", func(c Counters) bool { return c[TCPTimeouts] == 3 && c[TCPOpen] == 0 })
}

// A client that does not read what it asked for is cut off, and the server
// holds no more for it than the kernel's buffers and its own.
func TestTCPSlowReader(t *testing.T) {
	s := serveTCP(t, Limits{TCPIdle: 150 * time.Millisecond})
	c := dial(t, s.Addrs()[0])
	_ = c.conn.SetReadBuffer(4 << 10)
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

func TestTCPQueriesLimit(t *testing.T) {
	s := serveTCP(t, Limits{TCPQueries: 3})
	c := dial(t, s.Addrs()[0])
	var all []byte
	for id := range uint16(4) {
		all = append(all, framed(query(id))...)
	}
	c.write(all)
	for id := range uint16(3) {
		c.expect(query(id))
	}
	c.expectClosed()
}

// expectRefused connects and must be reset, be it before connect returns.
func expectRefused(t *testing.T, to netip.AddrPort) {
	t.Helper()
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	(&tcpClient{t, conn}).expectClosed()
}

// One client gets its places and no more; others still get theirs.
func TestTCPPerClient(t *testing.T) {
	s := start(t, Config{Listen: listen("0.0.0.0:0"), Workers: 1, Limits: Limits{TCPPerClient: 3}}, nil)
	to := loopback(s.Addrs()[0])
	var held []*tcpClient
	for id := range uint16(3) {
		c := dial(t, to)
		c.write(framed(query(id)))
		c.expect(query(id))
		held = append(held, c)
	}
	expectRefused(t, to)
	other, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, net.TCPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_ = other.SetDeadline(time.Now().Add(patience))
	o := &tcpClient{t, other}
	o.write(framed(query(9)))
	o.expect(query(9))
	// A place that is given back can be had again.
	_ = held[0].conn.Close()
	eventually(t, s, "the place is free", func(c Counters) bool { return c[TCPOpen] == 3 })
	again := dial(t, to)
	again.write(framed(query(4)))
	again.expect(query(4))
	eventually(t, s, "it is counted", func(c Counters) bool {
		return c[TCPAccepted] == 5 && c[TCPRefused] == 1 && c[TCPOpen] == 4 && c[TCPEvicted] == 0
	})
}

// One connection over the total takes the place of the longest idle one; where
// none is idle it is refused.
func TestTCPTotal(t *testing.T) {
	busy := make(chan struct{})
	release := sync.OnceFunc(func() { close(busy) })
	var entered atomic.Int64
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1, Limits: Limits{TCPClients: 3}},
		func(req []byte, from addr, udp bool, out []byte) []byte {
			if req[0] == 0xff {
				entered.Add(1)
				<-busy
			}
			return echo(req, from, udp, out)
		})
	t.Cleanup(release) // before the one that shuts down
	ask := func(c *tcpClient, id uint16) {
		t.Helper()
		c.write(framed(query(id)))
		c.expect(query(id))
		// An answer can be here before its connection is idle again.
		eventually(t, s, "all are idle", func(c Counters) bool { return uint64(idleCount(s)) == c[TCPOpen] })
	}
	a, b, c := dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0])
	ask(a, 1)
	ask(b, 2)
	ask(c, 3)
	ask(a, 4)
	d := dial(t, s.Addrs()[0])
	ask(d, 5)
	b.expectClosed()
	ask(a, 6)
	ask(c, 7)
	// Now all three are busy.
	for _, x := range []*tcpClient{a, c, d} {
		x.write(framed(query(0xff00)))
	}
	eventually(t, s, "three are busy", func(Counters) bool { return entered.Load() == 3 })
	expectRefused(t, s.Addrs()[0])
	release()
	for _, x := range []*tcpClient{a, c, d} {
		x.expect(query(0xff00))
	}
	if c := s.Counters(); c[TCPEvicted] != 1 || c[TCPRefused] != 1 || c[TCPAccepted] != 4 {
		t.Errorf("counters %v: want one evicted, one refused, four accepted", c)
	}
}

func idleCount(s *Server) (n int) {
	s.tcp.mu.Lock()
	defer s.tcp.mu.Unlock()
	for c := s.tcp.oldest; c != nil; c = c.next {
		n++
	}
	return n
}

// Evicting a connection that is just being served, over and over, neither
// deadlocks nor loses count.
func TestTCPEvictionUnderLoad(t *testing.T) {
	s := serveTCP(t, Limits{TCPClients: 4})
	done := make(chan struct{})
	const askers = 16
	for i := range askers {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 100 {
				conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.Addrs()[0]))
				if err != nil {
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = conn.Write(framed(query(uint16(i))))
				_, _ = conn.Read(make([]byte, 64))
				_ = conn.Close()
			}
		}()
	}
	for range askers {
		<-done
	}
	eventually(t, s, "all are closed", func(c Counters) bool { return c[TCPOpen] == 0 })
	if n := idleCount(s); n != 0 || len(s.tcp.clients) != 0 {
		t.Errorf("%d idle, %d clients left in the table", n, len(s.tcp.clients))
	}
}

// Shutdown answers what has been asked, closes idle connections at once, and
// accepts nothing new.
func TestTCPShutdownDrains(t *testing.T) {
	entered, busy := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(busy) })
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, func(req []byte, from addr, udp bool, out []byte) []byte {
		if req[0] == 0xff {
			close(entered)
			<-busy
		}
		return echo(req, from, udp, out)
	})
	t.Cleanup(release) // before the one that shuts down
	idle, half, asked := dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0])
	idle.write(framed(query(1)))
	idle.expect(query(1))
	half.write(framed(query(1))[:5])
	asked.write(append(framed(query(0xff00)), framed(query(2))...))
	<-entered
	ended := make(chan error)
	go func() { ended <- s.Shutdown(t.Context()) }()
	idle.expectClosed()
	half.expectClosed()
	select {
	case err := <-ended:
		t.Fatalf("shutdown did not wait: %v", err)
	default:
	}
	if conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.Addrs()[0])); err == nil {
		_ = conn.Close()
		t.Error("a new connection was accepted")
	}
	release()
	asked.expect(query(0xff00))
	asked.expect(query(2))
	asked.expectClosed()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// When its time is up Shutdown cuts off who does not read.
func TestTCPShutdownTimeIsUp(t *testing.T) {
	s := serveTCP(t, Limits{TCPIdle: time.Hour})
	c := dial(t, s.Addrs()[0])
	_ = c.conn.SetReadBuffer(4 << 10)
	for {
		_ = c.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.conn.Write(framed(make([]byte, maxMessage))); err != nil {
			break // the server is stuck writing
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if n := s.Counters()[TCPOpen]; n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// exhausted is a listener on a machine without file descriptors, until it is
// one without a listener.
type exhausted struct {
	fails int
	err   error
}

func (e *exhausted) AcceptTCP() (*net.TCPConn, error) {
	if e.fails == 0 {
		return nil, net.ErrClosed
	}
	e.fails--
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", e.err)}
}

func (e *exhausted) Addr() net.Addr { return &net.TCPAddr{} }

// Out of file descriptors, accepting goes on later, and idle connections make
// room; other failures cost nobody a connection.
func TestTCPAcceptFails(t *testing.T) {
	s := serveTCP(t, Limits{})
	c := dial(t, s.Addrs()[0])
	c.write(framed(query(1)))
	c.expect(query(1))
	s.accept(&exhausted{2, unix.EPROTO}, s.admit)
	c.write(framed(query(2)))
	c.expect(query(2))
	eventually(t, s, "the connection is idle", func(Counters) bool { return idleCount(s) == 1 })
	s.accept(&exhausted{2, unix.EMFILE}, s.admit)
	c.expectClosed()
	if n := s.Counters(); n[TCPAcceptErrors] != 4 || n[TCPEvicted] != 1 {
		t.Errorf("counters %v: want 4 errors, 1 evicted", n)
	}
}

// An idle connection that has asked costs the server less than 16 KiB.
func TestTCPIdleMemory(t *testing.T) {
	const conns = 400
	s := serveTCP(t, Limits{TCPClients: conns, TCPPerClient: conns, TCPIdle: time.Minute})
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	ask := func() int {
		fd, err := dialRaw(s.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		q, buf := framed(query(1)), make([]byte, 64)
		if _, err := unix.Write(fd, q); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, buf); err != nil || n != len(q) {
			t.Fatalf("read %d: %v", n, err)
		}
		return fd
	}
	_ = unix.Close(ask()) // what the first one needs stays
	eventually(t, s, "it is closed", func(c Counters) bool { return c[TCPOpen] == 0 })
	before := memory()
	for range conns {
		fd := ask()
		defer func() { _ = unix.Close(fd) }()
	}
	eventually(t, s, "all are idle", func(c Counters) bool { return c[TCPOpen] == conns && idleCount(s) == conns })
	each := (int64(memory()) - int64(before)) / conns
	t.Logf("%d octets an idle connection", each)
	if each > 16<<10 {
		t.Errorf("%d octets an idle connection", each)
	}
}

// dialRaw connects without a net.Conn, so that only the server's memory counts.
func dialRaw(to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	return fd, err
}

// The counters of workers that are gone stay.
func TestPoolKeepsCounts(t *testing.T) {
	s := &Server{}
	p := newPool(s, 2)
	var lent []*worker
	for i := range 5 {
		w := p.get()
		w.add(Dropped, uint64(i))
		lent = append(lent, w)
	}
	for _, w := range lent {
		p.put(w)
	}
	w := p.get()
	w.add(Dropped, 100)
	p.put(w)
	var sum Counters
	if p.read(&sum); sum[Dropped] != 110 {
		t.Errorf("%d counted, want 110", sum[Dropped])
	}
	if len(p.free) != 2 || len(p.all) != 2 {
		t.Errorf("%d free of %d workers, want 2", len(p.free), len(p.all))
	}
}
