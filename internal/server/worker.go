package server

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"geodns/internal/steer"
)

const (
	// headerLen is the fixed part of every DNS message (RFC 1035 4.1.1), in
	// octets.
	headerLen = 12
	// maxMessage is the longest message that TCP can carry (RFC 1035 4.2.2).
	maxMessage = 65535
	lenPrefix  = 2
	// flushAt is how many octets of answers are gathered before they are
	// written, once there is no room for another message of any size.
	flushAt = 16 << 10
	// panicBytes is how much of a message that caused a panic is logged.
	panicBytes = 512
)

// addr is a client's address, as a plain value: the 4 octets of an IPv4
// address stand at the front of ip.
type addr struct {
	ip   [16]byte
	port uint16
	v4   bool
}

func addrOf(ap netip.AddrPort) addr {
	a := addr{port: ap.Port()}
	ip := ap.Addr().Unmap()
	if ip.Is4() {
		v := ip.As4()
		copy(a.ip[:], v[:])
		a.v4 = true
		return a
	}
	a.ip = ip.As16()
	return a
}

// steered is the address in the form that answers are chosen by.
func (a *addr) steered() steer.Client {
	if a.v4 {
		return steer.Client{V4: true, Lo: uint64(binary.BigEndian.Uint32(a.ip[:]))}
	}
	return steer.Client{Hi: binary.BigEndian.Uint64(a.ip[:]), Lo: binary.BigEndian.Uint64(a.ip[8:])}
}

// addrPort is the address as others know it.
func (a *addr) addrPort() netip.AddrPort {
	ip := netip.AddrFrom16(a.ip)
	if a.v4 {
		ip = netip.AddrFrom4([4]byte(a.ip[:4]))
	}
	return netip.AddrPortFrom(ip, a.port)
}

// answerFunc is the shape of worker.answer.
type answerFunc func(req []byte, from addr, udp bool, out []byte) []byte

// worker is what one goroutine needs to answer: buffers, random state and
// counters of its own. A UDP socket has one for life; TCP connections borrow
// one while they have something to read, answer or write.
type worker struct {
	tally
	rng     rand.PCG
	answers *answerer
	log     *slog.Logger
	// now is the Unix time in nanoseconds at which the batch was read.
	now int64
	// idle is how long a TCP connection may stay idle, for the keepalive
	// option of RFC 7828; 0 while the server is draining, which tells the
	// client to close.
	idle time.Duration
	// pad is to which multiple of octets answers are filled up where the client
	// asks for that; 0 where it could be seen anyway.
	pad int
	// in and out are for TCP alone: one message of any size with its length,
	// and the answers that wait to be written.
	in, out []byte
	// exchanges: there is somebody who answers them. handed is the one that the
	// last message was.
	exchanges bool
	handed    *Exchange
	// current is the TCP message at hand, for the report of a panic.
	current []byte
	// hook replaces answer in tests.
	hook answerFunc
}

func newWorker(s *Server) *worker {
	var seed [16]byte
	_, _ = crand.Read(seed[:]) // crypto/rand.Read never fails: it ends the process instead
	w := &worker{answers: newAnswerer(s), log: s.log, hook: s.hook, exchanges: s.cfg.Exchanges != nil}
	w.rng.Seed(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))
	return w
}

// respond is answer, or what a test put in its place.
func (w *worker) respond(req []byte, from addr, udp bool, out []byte) []byte {
	if w.hook != nil {
		return w.hook(req, from, udp, out)
	}
	return w.answer(req, from, udp, out)
}

// panicked counts and reports a panic that req caused. It reports the first,
// second, fourth, eighth and so on, so that a client who found such a message
// cannot fill the disk with it.
func (w *worker) panicked(cause any, req []byte) {
	w.count(Panics)
	if n := w.n[Panics]; bits.OnesCount64(n) != 1 {
		return
	}
	w.log.Error("panic while answering; the message was dropped",
		"cause", cause, "panics", w.n[Panics],
		"message", hex.EncodeToString(req[:min(len(req), panicBytes)]),
		"stack", string(debug.Stack()))
}

// pool lends workers to TCP connections. It keeps at most max idle ones, so
// that memory follows the connections that are busy, not those that are open.
type pool struct {
	s   *Server
	max int

	mu      sync.Mutex
	free    []*worker
	all     map[*worker]struct{}
	retired Counters // what workers had counted that are gone
}

func newPool(s *Server, limit int) *pool {
	return &pool{s: s, max: limit, all: map[*worker]struct{}{}}
}

// get never waits: clients that read slowly hold workers, and must not hold up
// others. How many are lent is bounded by the number of connections.
func (p *pool) get() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		w := p.free[n-1]
		p.free = p.free[:n-1]
		return w
	}
	w := newWorker(p.s)
	w.in = make([]byte, lenPrefix+maxMessage)
	w.out = make([]byte, flushAt+lenPrefix+maxMessage)
	p.all[w] = struct{}{}
	return w
}

func (p *pool) put(w *worker) {
	w.publish()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.max {
		p.free = append(p.free, w)
		return
	}
	delete(p.all, w)
	p.retired.add(&w.n)
}

func (p *pool) read(sum *Counters) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum.add(&p.retired)
	for w := range p.all {
		w.read(sum)
	}
}
