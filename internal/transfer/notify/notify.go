package notify

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// Peer is who is told.
type Peer struct {
	Addr netip.AddrPort
	// Key names the key that signs the NOTIFY, and that must have signed the
	// answer; empty: none.
	Key string
}

// Options are what a Notifier is made of.
type Options struct {
	// Keys returns the keys in force; nil: there are none.
	Keys func() *tsig.Keyring
	// Log tells of peers that don't answer, once a minute for each; nil: nowhere.
	Log *slog.Logger
	// Source4 and Source6 are where NOTIFYs come from, since peers may go by
	// that; the zero value leaves it to the system.
	Source4, Source6 netip.AddrPort
	// Listen opens the socket of a family ("udp4" or "udp6"); nil: the system's.
	Listen func(network string, source netip.AddrPort) (Conn, error)
}

// Status is how far one peer is with one zone.
type Status struct {
	Peer Peer
	// Serial is the version that the peer was last to be told of, Since when that
	// was asked for.
	Serial uint32
	Since  time.Time
	// Attempts counts the NOTIFYs sent for it, the last one at Sent.
	Attempts int
	Sent     time.Time
	// Pending: neither answered nor given up yet.
	Pending bool
	// Known: the peer has confirmed a version: Acked, at AckedAt. That it has
	// been told does not mean that it has transferred it.
	Known   bool
	Acked   uint32
	AckedAt time.Time
	// Error is what went wrong with Serial so far; empty: nothing.
	Error string
}

const (
	// burst NOTIFYs are sent at most in one pause: some 12,000 a second.
	burst = 64
	pause = 5 * time.Millisecond
	// apart is the least time between the NOTIFYs of two versions of one zone to
	// one peer; what changes meanwhile is told by the next one.
	apart = 100 * time.Millisecond
	// quiet is how long nothing more is logged about a peer.
	quiet = time.Minute
)

// backoff is how long an answer is waited for after each attempt (RFC 1996 3.6
// leaves it open, and proposes 60 s and 5 attempts).
func backoff(attempt int) time.Duration { return time.Second << (attempt - 1) }

// attempts is how many there are: the last one is given up after 31 s.
const attempts = 5

// Notifier sends NOTIFYs. Its methods are safe for any goroutine.
type Notifier struct {
	o    Options
	wake chan struct{}

	mu     sync.Mutex
	zones  map[string]*zoneState
	queue  queue
	asked  map[question]*target
	warned map[netip.AddrPort]time.Time
	news   []failure

	socks sockets
}

// zoneState is a zone of which peers are told. apex and soa are not written to
// once they are in it.
type zoneState struct {
	apex    []byte
	soa     wire.RR
	serial  uint32
	targets []*target
}

// target is a peer of a zone.
type target struct {
	zone *zoneState
	peer Peer
	due  time.Time
	at   int // in the queue; -1: not in it

	id       uint16
	hasID    bool
	exchange *tsig.Exchange // nil: not signed
	signed   time.Time
	state    Status // Peer and Pending are filled in when it is asked for
}

// question is by what an answer is recognised (RFC 1996 3.6: the ID, and where
// it comes from).
type question struct {
	addr netip.AddrPort
	id   uint16
}

// New returns a Notifier. It sends nothing until Run.
func New(o Options) *Notifier {
	if o.Keys == nil {
		o.Keys = func() *tsig.Keyring { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	return &Notifier{
		o: o, wake: make(chan struct{}, 1), zones: map[string]*zoneState{}, asked: map[question]*target{},
		warned: map[netip.AddrPort]time.Time{},
	}
}

// Notify has peers told of a version of a zone, whose SOA is given. It replaces
// what is under way for the zone; peers that are not listed any more are
// forgotten. It does not wait.
func (n *Notifier) Notify(apex []byte, soa wire.RR, peers []Peer) {
	now := time.Now()
	z := &zoneState{apex: slices.Clone(apex), soa: wire.RR{Type: wire.TypeSOA, TTL: soa.TTL, Data: slices.Clone(soa.Data)}}
	if len(soa.Data) >= 22 {
		z.serial = binary.BigEndian.Uint32(soa.Data[len(soa.Data)-20:])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	old := map[Peer]*target{}
	if was := n.zones[string(apex)]; was != nil {
		for _, t := range was.targets {
			old[t.peer] = t
		}
	}
	for _, p := range peers {
		p.Addr = netip.AddrPortFrom(p.Addr.Addr().Unmap(), p.Addr.Port())
		t := old[p]
		switch {
		case t == nil:
			t = &target{peer: p, at: -1}
		case t.zone == z:
			continue // listed twice
		default:
			n.release(t)
		}
		t.zone = z
		old[p] = t
		t.state.Serial, t.state.Since, t.state.Attempts, t.state.Error = z.serial, now, 0, ""
		z.targets = append(z.targets, t)
		n.schedule(t, latest(now, t.state.Sent.Add(apart)))
	}
	for _, t := range old {
		if t.zone != z {
			n.drop(t)
		}
	}
	n.zones[string(apex)] = z
	n.rouse()
}

// Again has one peer of a zone told once more of the version that it was last to be
// told of, unless that is under way: it was not there, or has forgotten.
func (n *Notifier) Again(apex []byte, peer netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	z := n.zones[string(apex)]
	if z == nil {
		return
	}
	now := time.Now()
	for _, t := range z.targets {
		if t.peer.Addr != peer {
			continue
		}
		if t.at < 0 || t.due.After(now.Add(apart)) {
			n.release(t)
			t.state.Since, t.state.Attempts, t.state.Error = now, 0, ""
			n.schedule(t, latest(now, t.state.Sent.Add(apart)))
			n.rouse()
		}
	}
}

// Forget drops a zone and what is under way for it.
func (n *Notifier) Forget(apex []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if z := n.zones[string(apex)]; z != nil {
		for _, t := range z.targets {
			n.drop(t)
		}
		delete(n.zones, string(apex))
	}
}

// Status is how far the peers of a zone are, in the order in which they were
// listed; nil if nothing was ever told of the zone.
func (n *Notifier) Status(apex []byte) []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	z := n.zones[string(apex)]
	if z == nil {
		return nil
	}
	list := make([]Status, 0, len(z.targets))
	for _, t := range z.targets {
		s := t.state
		s.Peer, s.Pending = t.peer, t.at >= 0
		list = append(list, s)
	}
	return list
}

// Pending counts the NOTIFYs that are neither answered nor given up.
func (n *Notifier) Pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queue)
}

// Run sends what is due until the context ends. It must be called once at most.
func (n *Notifier) Run(ctx context.Context) {
	defer n.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		letters, wait := n.compose(time.Now())
		for i := range letters {
			n.post(&letters[i])
		}
		n.tell()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
			// However often new versions come, bursts keep their distance.
			if len(letters) == burst && !sleep(ctx, pause) {
				return
			}
		case <-timer.C:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (n *Notifier) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// letter is a message that is to be sent.
type letter struct {
	to  question
	msg []byte
}

// idle is how long Run waits if nothing is under way.
const idle = time.Hour

// compose makes the messages that are due, a burst at most, and says when there
// will be more.
func (n *Notifier) compose(now time.Time) (letters []letter, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) > 0 && !n.queue[0].due.After(now) {
		if len(letters) == burst {
			return letters, pause
		}
		if l, ok := n.step(n.queue[0], now); ok {
			letters = append(letters, l)
		}
	}
	if len(n.queue) == 0 {
		return letters, idle
	}
	return letters, n.queue[0].due.Sub(now)
}

// step makes a target's next attempt, or gives up.
func (n *Notifier) step(t *target, now time.Time) (letter, bool) {
	s := &t.state
	if s.Attempts == attempts {
		n.fail(t, now, "no answer after "+fmt.Sprint(attempts)+" attempts", s.Error)
		return letter{}, false
	}
	if !t.hasID {
		if !n.name(t) {
			n.schedule(t, now.Add(time.Second))
			return letter{}, false
		}
		t.signed = now
	}
	msg, exchange, err := n.message(t)
	if err != nil {
		n.fail(t, now, err.Error(), "")
		return letter{}, false
	}
	t.exchange = exchange
	s.Attempts++
	s.Sent = now
	n.schedule(t, now.Add(backoff(s.Attempts)))
	return letter{to: question{t.peer.Addr, t.id}, msg: msg}, true
}

// name gives a target an ID that no other NOTIFY to its peer has. It reports
// false if none was found, since very many are under way to this peer.
func (n *Notifier) name(t *target) bool {
	for range 64 {
		q := question{t.peer.Addr, uint16(rand.Uint32())}
		if n.asked[q] == nil {
			t.id, t.hasID = q.id, true
			n.asked[q] = t
			return true
		}
	}
	return false
}

// release makes that no answer belongs to a target any more.
func (n *Notifier) release(t *target) {
	if t.hasID {
		delete(n.asked, question{t.peer.Addr, t.id})
	}
	t.id, t.hasID, t.exchange = 0, false, nil
}

// drop ends what is under way for a target.
func (n *Notifier) drop(t *target) {
	n.release(t)
	if t.at >= 0 {
		heap.Remove(&n.queue, t.at)
	}
}

// schedule puts a target into the queue.
func (n *Notifier) schedule(t *target, due time.Time) {
	t.due = due
	if t.at >= 0 {
		heap.Fix(&n.queue, t.at)
		return
	}
	heap.Push(&n.queue, t)
}

// fail ends a NOTIFY that did not arrive, as far as is known.
func (n *Notifier) fail(t *target, now time.Time, what, last string) {
	if last != "" {
		what += "; the last error: " + last
	}
	t.state.Error = what
	n.drop(t)
	if last, ok := n.warned[t.peer.Addr]; ok && now.Sub(last) < quiet {
		return
	}
	if len(n.warned) > 4096 {
		clear(n.warned) // peers that come and go for ever
	}
	n.warned[t.peer.Addr] = now
	n.news = append(n.news, failure{t.peer.Addr, t.zone.apex, t.zone.serial, what})
}

// failure is what is to be logged.
type failure struct {
	peer   netip.AddrPort
	apex   []byte
	serial uint32
	cause  string
}

// tell logs what fail noted, when nobody has to wait for that.
func (n *Notifier) tell() {
	n.mu.Lock()
	news := n.news
	n.news = nil
	n.mu.Unlock()
	for i := range news {
		f := &news[i]
		n.o.Log.Warn("a secondary could not be told of a new version; it finds it at its next refresh at the latest; nothing more is logged about this peer for a minute",
			"peer", f.peer, "zone", wire.NameString(f.apex), "serial", f.serial, "cause", f.cause)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// queue is a heap of targets by when they are due.
type queue []*target

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push is heap's.
func (q *queue) Push(x any) {
	t := x.(*target)
	t.at = len(*q)
	*q = append(*q, t)
}

// Pop is heap's.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.at = -1
	return t
}
