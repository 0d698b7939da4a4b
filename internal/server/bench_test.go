package server

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchClient asks in batches of up to batchSize, over one connected socket,
// and allocates nothing either.
type batchClient struct {
	tb     testing.TB
	conn   *net.UDPConn
	raw    syscall.RawConn
	tx, rx [batchSize]mmsghdr
	txVec  [batchSize]unix.Iovec
	rxVec  [batchSize]unix.Iovec
	in     [batchSize][512]byte
	query  []byte
	onRead func(fd uintptr) bool
	onSend func(fd uintptr)
	want   int // how many to ask, and how many answers are left to come
	bad    int // answers that are none
}

func newBatchClient(tb testing.TB, to netip.AddrPort) *batchClient {
	tb.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	c := &batchClient{tb: tb, conn: conn, query: query(7)}
	if c.raw, err = conn.SyscallConn(); err != nil {
		tb.Fatal(err)
	}
	for i := range batchSize {
		c.txVec[i].Base = &c.query[0]
		c.txVec[i].SetLen(len(c.query))
		c.rxVec[i].Base = &c.in[i][0]
		c.rxVec[i].SetLen(len(c.in[i]))
		c.tx[i].hdr.Iov, c.rx[i].hdr.Iov = &c.txVec[i], &c.rxVec[i]
		c.tx[i].hdr.SetIovlen(1)
		c.rx[i].hdr.SetIovlen(1)
	}
	c.onRead, c.onSend = c.read, c.send
	return c
}

func (c *batchClient) send(fd uintptr) {
	for sent := 0; sent < c.want; {
		n, errno := sendmmsg(fd, &c.tx[sent], c.want-sent)
		if errno != 0 && errno != unix.EINTR {
			c.bad += c.want - sent
			return
		}
		sent += max(n, 0)
	}
}

func (c *batchClient) read(fd uintptr) bool {
	for c.want > 0 {
		n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&c.rx)), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EAGAIN {
			return false
		}
		if errno != 0 {
			c.bad++
			return true
		}
		for i := range int(n) {
			if c.rx[i].n < headerLen || c.in[i][2]&0x80 == 0 {
				c.bad++
			}
		}
		c.want -= int(n)
	}
	return true
}

// exchange asks n queries at once and waits for as many answers.
func (c *batchClient) exchange(n int) {
	c.want = n
	if err := c.raw.Control(c.onSend); err != nil {
		c.tb.Fatal(err)
	}
	if err := c.raw.Read(c.onRead); err != nil {
		c.tb.Fatalf("%d answers missing: %v", c.want, err)
	}
	if c.bad > 0 {
		c.tb.Fatalf("%d answers are none", c.bad)
	}
}

// Reading, answering and sending batches allocates nothing, on a socket of one
// address and on a wildcard socket, over IPv4 and IPv6.
func TestUDPAllocatesNothing(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(at, func(t *testing.T) {
			s := start(t, Config{Listen: listen(at), Workers: 1}, nil)
			c := newBatchClient(t, loopback(s.Addrs()[0]))
			if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			c.exchange(batchSize)
			if n := testing.AllocsPerRun(200, func() { c.exchange(batchSize) }); n != 0 {
				t.Errorf("%v allocations a batch of %d", n, batchSize)
			}
		})
	}
}

// BenchmarkUDP asks in batches over loopback: client and server share the CPUs,
// so this is the time for both and for the kernel's work, a query.
func BenchmarkUDP(b *testing.B) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0"} {
		b.Run(at, func(b *testing.B) {
			s := start(b, Config{Listen: listen(at), Workers: 1}, nil)
			c := newBatchClient(b, loopback(s.Addrs()[0]))
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= batchSize {
				c.exchange(min(left, batchSize))
			}
		})
	}
}

// BenchmarkTCP asks in pipelined batches over one connection.
func BenchmarkTCP(b *testing.B) {
	s := start(b, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, nil)
	c := dial(b, s.Addrs()[0])
	batch := []byte{}
	for range batchSize {
		batch = append(batch, framed(query(7))...)
	}
	got := make([]byte, len(batch))
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= batchSize {
		n := len(batch) / batchSize * min(left, batchSize)
		c.write(batch[:n])
		c.readFull(got[:n])
	}
}
