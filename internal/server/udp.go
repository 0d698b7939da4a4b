package server

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call reads or sends at most.
	batchSize = 64
	// minUDPQuery is the least length of a query that fits into a buffer, in
	// octets; longer datagrams are dropped.
	minUDPQuery = 2048
	// bufferGap staggers the buffers of a batch over the sets of the CPU's
	// caches: at a distance of a power of two they would all compete for one.
	bufferGap = 128
	// drainBatches bounds what a closing socket still answers.
	drainBatches = 64
	// receiveRetry is the pause after recvmmsg failed for want of memory.
	receiveRetry = 10 * time.Millisecond
	// sendWait bounds one wait for room in a full socket, in milliseconds; a
	// batch may wait in vain sendTimeouts times, and sendWaits times in all.
	sendWait     = 10
	sendTimeouts = 5
	sendWaits    = 2 * batchSize

	sockaddrSize = 32 // room for a sockaddr_in6 of 28 octets
	controlSize  = 64 // room for a cmsghdr with an in6_pktinfo, 40 octets
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// udpSocket is one socket with all that a batch needs, set up once.
//
// Slot i of rx reads the datagram to in[i], its sender to names[i] and the
// address it was sent to to control[i]. Slot k of tx sends out[k] to names[k]
// from control[k]: sockaddr and pktinfo go back as they came, and are copied
// only once a datagram of the batch was dropped and k falls behind i. So
// nothing but a length needs to be set for a reply.
type udpSocket struct {
	w    *worker
	stop *atomic.Bool
	// What is answered beside the batch: by whom, how many at once for the whole
	// server, and until when the server has ended.
	exchanges  Exchanges
	exchanging chan struct{}
	beside     *sync.WaitGroup

	mu sync.Mutex // guards fd against being closed while wake uses it
	fd int        // blocking; -1 once closed

	v4       bool
	wildcard bool
	flow     Counter // the first of the four counters of this family

	rx, tx         [batchSize]mmsghdr
	rxVec, txVec   [batchSize]unix.Iovec
	names          [batchSize][sockaddrSize]byte
	control        [batchSize][controlSize / 8]uint64 // aligned as cmsghdr needs
	in, out        []byte
	inGap, outGap  int // from one buffer to the next
	inMax, outMax  int
	controlLen     int // what recvmmsg and sendmmsg are told
	controlPayload int // where in_pktinfo begins

	// The batch at hand. It lives here and not on the stack because it
	// outlives a panic.
	got, at, ready int
	began          time.Time // when it was read

	poll [1]unix.PollFd
}

func newUDPSocket(s *Server, b *binding, fd int) *udpSocket {
	u := &udpSocket{
		w: newWorker(s), stop: &s.stop, fd: fd, exchanges: s.cfg.Exchanges, exchanging: s.exchanging, beside: &s.serving,
		v4: b.v4(), wildcard: b.addr.Addr().IsUnspecified(), flow: UDP6Queries,
	}
	if u.v4 {
		u.flow = UDP4Queries
	}
	u.outMax = s.cfg.Limits.UDPPayload
	u.inMax = max(minUDPQuery, u.outMax)
	u.inGap, u.outGap = u.inMax+bufferGap, (u.outMax+63)&^63+bufferGap
	u.in = make([]byte, batchSize*u.inGap)
	u.out = make([]byte, batchSize*u.outGap)
	u.setHeaders()
	return u
}

// setHeaders points the message headers to their buffers, for good.
func (u *udpSocket) setHeaders() {
	nameLen, info := uint32(unix.SizeofSockaddrInet6), unix.SizeofInet6Pktinfo
	if u.v4 {
		nameLen, info = unix.SizeofSockaddrInet4, unix.SizeofInet4Pktinfo
	}
	if u.wildcard {
		u.controlLen, u.controlPayload = unix.CmsgSpace(info), unix.CmsgLen(0)
	}
	for i := range batchSize {
		u.rxVec[i].Base = &u.in[i*u.inGap]
		u.rxVec[i].SetLen(u.inMax)
		u.txVec[i].Base = &u.out[i*u.outGap]
		for _, m := range [...]*mmsghdr{&u.rx[i], &u.tx[i]} {
			m.hdr.Name = &u.names[i][0]
			m.hdr.Namelen = nameLen
			m.hdr.SetIovlen(1)
			if u.wildcard {
				m.hdr.Control = (*byte)(unsafe.Pointer(&u.control[i]))
				m.hdr.SetControllen(u.controlLen)
			}
		}
		u.rx[i].hdr.Iov = &u.rxVec[i]
		u.tx[i].hdr.Iov = &u.txVec[i]
	}
}

// serve answers until the server stops, then what had arrived by then.
//
// It blocks in recvmmsg, in a thread of its own, instead of waiting in the
// runtime's poller: a socket that an epoll instance watches costs the kernel a
// callback for each datagram, whether or not anyone waits.
func (u *udpSocket) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer u.close()
	fd := uintptr(u.fd)
	for u.batches(fd, 0) != endStopped {
		// After a panic the rest of the batch is still there.
	}
	u.drain(fd)
	u.w.publish()
}

// wake ends the wait of serve. The caller has set stop. What shutdown(2)
// returns is ENOTCONN, but it wakes the reader all the same (inet_shutdown),
// and what has arrived can still be read.
func (u *udpSocket) wake() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fd >= 0 {
		_ = unix.Shutdown(u.fd, unix.SHUT_RD)
	}
}

func (u *udpSocket) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = unix.Close(u.fd)
	u.fd = -1
}

// drain answers what is in the socket's buffer when the server stops, so that
// a restart loses as little as possible.
func (u *udpSocket) drain(fd uintptr) {
	for range drainBatches {
		if u.batches(fd, 1) == endEmpty {
			return
		}
	}
}

// end is why batches returned.
type end int

const (
	endEmpty   end = iota // nothing to read
	endStopped            // the server stops, or limit batches are done
	endPanic              // a datagram caused a panic; call again
)

// batches serves batches of datagrams: limit of them, or if limit is 0 until
// the server stops. Its recover is the only one on the way of a datagram; the
// deferred call costs once a wait, not once a packet.
func (u *udpSocket) batches(fd uintptr, limit int) (why end) {
	defer func() {
		if cause := recover(); cause != nil {
			i := max(0, u.at-1)
			u.w.panicked(cause, u.in[i*u.inGap:][:min(int(u.rx[i].n), u.inMax)])
			why = endPanic
		}
	}()
	w := u.w
	for done := 0; ; done++ {
		// What a panic left over comes first.
		u.process()
		u.flush(fd)
		w.publish()
		if limit > 0 && done == limit || limit == 0 && u.stop.Load() {
			return endStopped
		}
		n, errno := recvmmsg(fd, &u.rx, limit == 0)
		if n == 1 && u.rx[0].n == 0 && u.stop.Load() {
			return endStopped // woken, not sent to
		}
		if errno != 0 {
			if errno == unix.EAGAIN {
				return endEmpty
			}
			u.receiveFailed(errno)
			continue
		}
		u.began = time.Now()
		w.now = u.began.UnixNano()
		w.add(u.flow+offQueries, uint64(n))
		u.got, u.at = n, 0
	}
}

// receiveFailed counts an error that is not "nothing there". On a socket that
// is neither connected nor asked for ICMP errors that means: out of memory.
func (u *udpSocket) receiveFailed(errno syscall.Errno) {
	if errno == unix.EINTR {
		return
	}
	u.w.count(ReceiveErrors)
	time.Sleep(receiveRetry)
}

// process answers what is left of the batch into the slots of tx.
func (u *udpSocket) process() {
	w := u.w
	for u.at < u.got {
		i, k := u.at, u.ready
		u.at++ // first, so that after a panic the next datagram follows
		m := &u.rx[i]
		n := int(m.n)
		w.add(u.flow+offQueryBytes, uint64(n))
		if !u.usable(i) {
			w.count(Dropped)
			continue
		}
		from := u.sender(i)
		at, to := i*u.inGap, k*u.outGap
		res := w.respond(u.in[at:at+n:at+n], from, true, u.out[to:to:to+u.outMax])
		if len(res) == 0 || len(res) > u.outMax {
			if x := w.takeHanded(); x != nil {
				u.exchange(i, x)
				continue
			}
			w.count(Unanswered)
			continue
		}
		if k != i {
			u.names[k] = u.names[i]
			if u.wildcard {
				u.control[k] = u.control[i]
			}
		}
		u.txVec[k].SetLen(len(res))
		u.ready = k + 1
	}
}

// usable reports whether datagram i can be answered. It makes its slot ready
// for the next recvmmsg, and its pktinfo for the reply.
func (u *udpSocket) usable(i int) bool {
	m := &u.rx[i]
	if u.wildcard {
		short := int(m.hdr.Controllen) != u.controlLen
		m.hdr.SetControllen(u.controlLen)
		if short {
			return false
		}
		u.pinSource(i)
	}
	name := &u.names[i]
	return m.hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0 &&
		m.n >= headerLen &&
		// Nobody can receive on port 0: a reply would only be an error.
		name[2]|name[3] != 0
}

// pinSource leaves of the pktinfo what decides the source address of the
// reply, and takes away the interface: the way back is for the routing table
// to find. Link-local addresses mean nothing without an interface and keep it.
func (u *udpSocket) pinSource(i int) {
	info := unsafe.Add(unsafe.Pointer(&u.control[i]), u.controlPayload)
	if u.v4 {
		(*unix.Inet4Pktinfo)(info).Ifindex = 0
		return
	}
	p := (*unix.Inet6Pktinfo)(info)
	if p.Addr[0] != 0xfe || p.Addr[1]&0xc0 != 0x80 {
		p.Ifindex = 0
	}
}

// sender decodes the sockaddr of datagram i.
func (u *udpSocket) sender(i int) (a addr) {
	name := &u.names[i]
	a.port = uint16(name[2])<<8 | uint16(name[3])
	if u.v4 {
		a.v4 = true
		copy(a.ip[:4], name[4:8])
		return a
	}
	copy(a.ip[:], name[8:24])
	return a
}

// flush sends the replies that are ready, and counts how long the batch took.
func (u *udpSocket) flush(fd uintptr) {
	if u.ready == 0 {
		return
	}
	taken := u.send(fd, u.ready)
	u.ready = 0
	u.w.took(firstUDPDuration, udpNanoseconds, taken, int64(time.Since(u.began)))
}

// send sends the first n replies and returns how many the kernel took. An error
// concerns the first one that has not been sent: it is counted and left out,
// the others follow.
func (u *udpSocket) send(fd uintptr, n int) (taken int) {
	waits, timeouts := 0, 0
	for sent := 0; sent < n; {
		done, errno := sendmmsg(fd, &u.tx[sent], n-sent)
		switch errno {
		case 0:
			u.countSent(sent, done)
			sent += done
			taken += done
		case unix.EINTR:
		case unix.EAGAIN:
			waits++
			if !u.awaitRoom(fd) {
				timeouts++
			}
			if timeouts == sendTimeouts || waits == sendWaits {
				u.w.add(SendDropped, uint64(n-sent))
				return taken
			}
		default:
			u.w.count(SendErrors)
			sent++
		}
	}
	return taken
}

func (u *udpSocket) countSent(from, n int) {
	u.w.add(u.flow+offReplies, uint64(n))
	octets := uint64(0)
	for k := from; k < from+n; k++ {
		size := u.txVec[k].Len
		octets += size
		u.w.count(firstUDPSize + sizeBucket(uint32(size)))
	}
	u.w.add(u.flow+offReplyBytes, octets)
}

// awaitRoom waits until the socket takes datagrams again, but not for long: a
// DNS reply that is late is worth less than the queries that wait behind it. It
// reports whether there may be room now.
func (u *udpSocket) awaitRoom(fd uintptr) bool {
	u.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(u.poll[:], sendWait)
	return n > 0 || err == unix.EINTR
}

// recvmmsg reads what is there; if nothing is and wait is set it waits for the
// first datagram.
func recvmmsg(fd uintptr, m *[batchSize]mmsghdr, wait bool) (int, syscall.Errno) {
	flags := uintptr(unix.MSG_DONTWAIT)
	if wait {
		flags = unix.MSG_WAITFORONE
	}
	n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(m)), batchSize, flags, 0, 0)
	return int(n), errno
}

// sendmmsg sends n messages that begin with m.
func sendmmsg(fd uintptr, m *mmsghdr, n int) (int, syscall.Errno) {
	done, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(m)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(done), errno
}
