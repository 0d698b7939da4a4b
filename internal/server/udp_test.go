package server

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// askUDP sends msg from a socket of its own and returns the answer and who
// sent it.
func askUDP(t *testing.T, to netip.AddrPort, msg []byte) ([]byte, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IP(loopbackOf(to).AsSlice())})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.WriteToUDPAddrPort(msg, to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxMessage)
	n, from, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func loopbackOf(a netip.AddrPort) netip.Addr {
	if a.Addr().Is4() {
		return netip.MustParseAddr("127.0.0.1")
	}
	return netip.IPv6Loopback()
}

// On a wildcard address the answer comes from the address that was asked.
func TestUDPAnswersFromTheAddressAsked(t *testing.T) {
	s := start(t, Config{Listen: listen("0.0.0.0:0", "[::]:0"), Workers: 2}, nil)
	four, six := s.Addrs()[0], s.Addrs()[1]
	for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.9.8.7", "127.255.255.254"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(ip), four.Port())
		if _, from := askUDP(t, to, query(1)); from != to {
			t.Errorf("asked %s, answered from %s", to, from)
		}
	}
	to := netip.AddrPortFrom(netip.IPv6Loopback(), six.Port())
	if _, from := askUDP(t, to, query(1)); from != to {
		t.Errorf("asked %s, answered from %s", to, from)
	}
}

// The answerer is told the client's address and transport.
func TestFrom(t *testing.T) {
	type call struct {
		from addr
		udp  bool
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		calls := make(chan call, 1)
		s := start(t, Config{Listen: listen(at), Workers: 1}, func(req []byte, from addr, udp bool, out []byte) []byte {
			calls <- call{from, udp}
			return echo(req, from, udp, out)
		})
		u := newBatchClient(t, s.Addrs()[0])
		u.exchange(1)
		if got, want := <-calls, (call{addrOf(u.conn.LocalAddr().(*net.UDPAddr).AddrPort()), true}); got != want {
			t.Errorf("UDP: %v, want %v", got, want)
		}
		c := dial(t, s.Addrs()[0])
		c.write(framed(query(1)))
		c.expect(query(1))
		if got, want := <-calls, (call{addrOf(c.conn.LocalAddr().(*net.TCPAddr).AddrPort()), false}); got != want {
			t.Errorf("TCP: %v, want %v", got, want)
		}
	}
}

// 10,000 queries with different IDs, lengths and never more than 80 on the
// way: every one is answered, with its own answer.
func TestUDPAnswersAll(t *testing.T) {
	const total, window = 10000, 80
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 2}, nil)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	lengthOf := func(id int) int { return headerLen + id%600 }
	buf := make([]byte, maxMessage)
	seen := make([]bool, total)
	for sent, got := 0, 0; got < total; {
		for ; sent < total && sent-got < window; sent++ {
			msg := make([]byte, lengthOf(sent))
			binary.BigEndian.PutUint16(msg, uint16(sent))
			if _, err := conn.Write(msg); err != nil {
				t.Fatal(err)
			}
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d answers: %v", got, err)
		}
		id := int(binary.BigEndian.Uint16(buf))
		if id >= total || seen[id] || n != lengthOf(id) || buf[2]&0x80 == 0 {
			t.Fatalf("answer %d of %d octets is wrong or came twice", id, n)
		}
		seen[id] = true
		got++
	}
	eventually(t, s, "all are counted", func(c Counters) bool {
		return c[UDP4Queries] == total && c[UDP4Replies] == total && c[UDP4QueryBytes] == c[UDP4ReplyBytes]
	})
}

// What cannot be answered is dropped, from the middle of batches too, and the
// rest is answered to whom it belongs.
func TestUDPDrops(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		s := start(t, Config{Listen: listen(at), Workers: 1, Limits: Limits{UDPPayload: 600}},
			func(req []byte, from addr, udp bool, out []byte) []byte {
				if req[0] == 0xff {
					return nil
				}
				if req[0] == 0xfe { // against the contract: longer than out may be
					return make([]byte, 601)
				}
				return echo(req, from, udp, out)
			})
		to := loopback(s.Addrs()[0])
		var conns [4]*net.UDPConn
		for i := range conns {
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			conns[i] = conn
		}
		const rounds = 50
		for r := range rounds {
			for i, conn := range conns {
				for _, msg := range [][]byte{
					{}, {1, 2, 3}, make([]byte, headerLen-1), // short
					make([]byte, minUDPQuery+1), make([]byte, 60000), // long
					query(0xff00), query(0xfe00), // left without an answer
					query(uint16(r*len(conns) + i)),
				} {
					if _, err := conn.Write(msg); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i, conn := range conns {
				buf := make([]byte, 1024)
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatalf("%s, round %d: %v", at, r, err)
				}
				if id := int(binary.BigEndian.Uint16(buf)); n != len(query(0)) || id != r*len(conns)+i {
					t.Fatalf("%s: got answer %d, want %d", at, id, r*len(conns)+i)
				}
			}
		}
		sent := uint64(rounds * len(conns))
		eventually(t, s, "drops are counted", func(c Counters) bool {
			return c[Dropped] == 5*sent && c[Unanswered] == 2*sent &&
				c[UDP4Queries]+c[UDP6Queries] == 8*sent && c[UDP4Replies]+c[UDP6Replies] == sent
		})
	}
}

// A datagram that makes the answerer panic is dropped and counted, the others
// of its batch are answered.
func TestUDPPanic(t *testing.T) {
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, func(req []byte, from addr, udp bool, out []byte) []byte {
		if req[0] == 0xff {
			panic("a test's panic")
		}
		return echo(req, from, udp, out)
	})
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	const total = 100 // an unread socket of the default size holds as many
	for id := range uint16(total) {
		for _, q := range [][]byte{query(0xff00), query(id), query(0xff01)} {
			if _, err := conn.Write(q); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, 512)
	for id := range uint16(total) {
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("after %d answers: %v", id, err)
		}
		if got := binary.BigEndian.Uint16(buf); got != id {
			t.Fatalf("answer %d, want %d", got, id)
		}
	}
	eventually(t, s, "panics are counted", func(c Counters) bool { return c[Panics] == 2*total && c[UDP4Replies] == total })
}

// localSocket is a udpSocket without a server behind it.
func localSocket(t *testing.T, at string) *udpSocket {
	t.Helper()
	s, err := Listen(Config{Listen: listen(at), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	u := newUDPSocket(s, s.sockets[0], s.sockets[0].udp[0])
	return u
}

// A reply that the kernel refuses does not take the rest of the batch along:
// the first, middle and last one each.
func TestUDPSendErrorKeepsTheBatch(t *testing.T) {
	u := localSocket(t, "127.0.0.1:0")
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(listen("127.0.0.1:0")[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	port := conn.LocalAddr().(*net.UDPAddr).Port
	const n = 9
	for k := range n {
		// sockaddr_in; 127.0.0.1
		u.names[k] = [sockaddrSize]byte{unix.AF_INET, 0, byte(port >> 8), byte(port), 127, 0, 0, 1}
		if k%4 == 0 {
			u.names[k][0] = unix.AF_MAX - 1 // EAFNOSUPPORT
		}
		u.out[k*u.outGap] = byte(k)
		u.txVec[k].SetLen(1)
	}
	u.ready = n
	u.flush(uintptr(u.fd))
	buf := make([]byte, 16)
	for k := range byte(n) {
		if k%4 == 0 {
			continue
		}
		if got, err := conn.Read(buf); err != nil || got != 1 || buf[0] != k {
			t.Fatalf("reply %d: got % x, %v", k, buf[:got], err)
		}
	}
	if c := u.w.n; c[SendErrors] != 3 || c[UDP4Replies] != 6 || c[UDP4ReplyBytes] != 6 {
		t.Errorf("counters %v: want 3 errors, 6 replies of one octet", c)
	}
}

// A full socket is waited for while it has room again soon, and given up when
// it stays full. A pair of Unix sockets is full when it is not read.
func TestUDPSendToFullSocket(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil {
		t.Fatal(err)
	}
	u := localSocket(t, "127.0.0.1:0")
	fill := func() {
		for k := range batchSize {
			u.tx[k].hdr.Namelen = 0 // connected
			u.txVec[k].SetLen(512)
		}
		u.ready = batchSize
	}
	fill()
	u.flush(uintptr(pair[0]))
	first := u.w.n
	if first[SendDropped] == 0 || first[UDP4Replies] == 0 || first[SendDropped]+first[UDP4Replies] != batchSize {
		t.Fatalf("full socket: %d dropped, %d sent", first[SendDropped], first[UDP4Replies])
	}
	var got, stop atomic.Int64
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1024)
		for stop.Load() == 0 {
			if n, err := unix.Read(pair[1], buf); err == nil && n == 512 {
				got.Add(1)
			}
		}
	}()
	fill()
	u.flush(uintptr(pair[0]))
	for end := time.Now().Add(patience); uint64(got.Load()) != u.w.n[UDP4Replies] && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	stop.Store(1)
	<-read
	if c := u.w.n; c[SendDropped] != first[SendDropped] || uint64(got.Load()) != c[UDP4Replies] {
		t.Errorf("read socket: %d dropped, %d sent, %d arrived", c[SendDropped]-first[SendDropped], c[UDP4Replies], got.Load())
	}
}

// The pktinfo of a reply names no interface unless the address is link-local.
func TestPinSource(t *testing.T) {
	u := localSocket(t, "[::]:0")
	for _, c := range []struct {
		ip   string
		want uint32
	}{{"2001:db8::1", 0}, {"fe80::1", 7}, {"febf::1", 7}, {"fec0::1", 0}} {
		info := unix.Inet6Pktinfo{Addr: netip.MustParseAddr(c.ip).As16(), Ifindex: 7}
		msg := unix.PktInfo6(&info)
		for i := range msg {
			u.control[3][i/8] |= uint64(msg[i]) << (i % 8 * 8)
		}
		u.pinSource(3)
		if got := uint32(u.control[3][4]); got != c.want { // 16 octets of header, 16 of address
			t.Errorf("%s: interface %d, want %d", c.ip, got, c.want)
		}
		clear(u.control[3][:])
	}
}

// A datagram from port 0, or one whose address asked is not known, is not
// answered, and its slot is as good as new.
func TestUsable(t *testing.T) {
	u := localSocket(t, "0.0.0.0:0")
	m := &u.rx[0]
	m.n = headerLen
	u.names[0] = [sockaddrSize]byte{unix.AF_INET, 0, 0, 1}
	if !u.usable(0) {
		t.Error("port 1 is usable")
	}
	u.names[0][3] = 0
	if u.usable(0) {
		t.Error("port 0 is not usable")
	}
	u.names[0][3] = 1
	m.hdr.SetControllen(0)
	if u.usable(0) {
		t.Error("without pktinfo a datagram is not usable")
	}
	if int(m.hdr.Controllen) != u.controlLen {
		t.Error("the slot's control length was not restored")
	}
	m.hdr.Flags = unix.MSG_CTRUNC
	if u.usable(0) {
		t.Error("with half a pktinfo a datagram is not usable")
	}
}

// What has arrived before Shutdown is answered.
func TestUDPShutdownAnswersWhatArrived(t *testing.T) {
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	entered := make(chan struct{}, 1)
	s := start(t, Config{Listen: listen("127.0.0.1:0"), Workers: 1}, func(req []byte, from addr, udp bool, out []byte) []byte {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-hold
		return echo(req, from, udp, out)
	})
	t.Cleanup(release) // before the one that shuts down
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	send := func(id uint16) {
		if _, err := conn.Write(query(id)); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	<-entered
	const total = 100
	for id := uint16(1); id < total; id++ {
		send(id)
	}
	ended := make(chan error)
	go func() { ended <- s.Shutdown(t.Context()) }()
	<-s.done
	release()
	buf := make([]byte, 512)
	for id := range uint16(total) {
		if _, err := conn.Read(buf); err != nil || binary.BigEndian.Uint16(buf) != id {
			t.Fatalf("answer %d: % x, %v", id, buf[:2], err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
