package server

import (
	"sync"
	"time"
)

// client is whom a limit counts: an IPv4 address or an IPv6 /64, which is what
// one customer has.
type client struct {
	prefix [8]byte
	v4     bool
}

func (a *addr) client() client {
	c := client{v4: a.v4}
	copy(c.prefix[:], a.ip[:8]) // behind the 4 octets of IPv4 are zeros
	return c
}

// tcpTable gives places to connections and knows which of them are idle,
// longest first.
type tcpTable struct {
	limits Limits

	mu       sync.Mutex
	all      map[*tcpConn]struct{}
	clients  map[client]int
	oldest   *tcpConn // of the idle ones
	newest   *tcpConn
	draining bool
	n        Counters
}

func newTCPTable(l Limits) *tcpTable {
	return &tcpTable{limits: l, all: map[*tcpConn]struct{}{}, clients: map[client]int{}}
}

// add gives c a place, as an idle connection; false if there is none.
func (t *tcpTable) add(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	who := c.from.client()
	switch {
	case t.draining,
		t.clients[who] >= t.limits.TCPPerClient,
		len(t.all) >= t.limits.TCPClients && !t.evict():
		t.n[TCPRefused]++
		return false
	}
	t.n[TCPAccepted]++
	t.all[c] = struct{}{}
	t.clients[who]++
	t.pushIdle(c)
	if c.tls != nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(min(t.limits.TCPIdle, handshakeWait)))
	}
	return true
}

// shaken notes how c's handshake ended, and starts its idle time; false if it has
// lost its place meanwhile.
func (t *tcpTable) shaken(c *tcpConn, ok bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok {
		t.n[TLSFailed]++
		return false
	}
	t.n[TLSHandshakes]++
	if t.draining || c.gone {
		return false
	}
	t.popIdle(c)
	t.pushIdle(c)
	return true
}

// begin takes c out of the idle ones; false if it has lost its place.
func (t *tcpTable) begin(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.gone {
		return false
	}
	t.popIdle(c)
	return true
}

// park puts c behind the idle ones; false if it shall close instead.
func (t *tcpTable) park(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining || c.gone {
		return false
	}
	t.pushIdle(c)
	return true
}

// remove takes c's place away. It may be called again.
func (t *tcpTable) remove(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(c)
}

func (t *tcpTable) drop(c *tcpConn) {
	if c.gone {
		return
	}
	c.gone = true
	t.popIdle(c)
	delete(t.all, c)
	who := c.from.client()
	if t.clients[who]--; t.clients[who] == 0 {
		delete(t.clients, who)
	}
}

// evict takes the place of the connection that has been idle longest, if there
// is one, and tells it so by its deadline. Closing it here would wait for its
// goroutine, which may be waiting for the lock.
func (t *tcpTable) evict() bool {
	c := t.oldest
	if c == nil {
		return false
	}
	t.drop(c)
	t.n[TCPEvicted]++
	_ = c.conn.SetReadDeadline(longAgo)
	return true
}

// acceptFailed counts a failed accept, and frees a file descriptor for the
// next one if they are what is missing.
func (t *tcpTable) acceptFailed(exhausted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n[TCPAcceptErrors]++
	if exhausted {
		t.evict()
	}
}

// timedOut reports whether c, whose deadline has passed, was too slow; else it
// was told to go.
func (t *tcpTable) timedOut(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.gone || t.draining {
		return false
	}
	t.n[TCPTimeouts]++
	return true
}

// drain wakes the idle connections, which then answer what has arrived, and
// close; the busy ones close when they want to park. There are no new ones.
func (t *tcpTable) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for c := t.oldest; c != nil; c = c.next {
		_ = c.conn.SetReadDeadline(longAgo)
	}
}

// closeAll cuts off what is left, without the lock, because closing waits.
func (t *tcpTable) closeAll() {
	t.mu.Lock()
	left := make([]*tcpConn, 0, len(t.all))
	for c := range t.all {
		left = append(left, c)
	}
	t.mu.Unlock()
	for _, c := range left {
		_ = c.conn.Close()
	}
}

func (t *tcpTable) read(sum *Counters) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum.add(&t.n)
	sum[TCPOpen] += uint64(len(t.all))
}

// pushIdle makes c the newest of the idle ones and starts its idle time. The
// deadline is set under the lock, or drain's could be overwritten.
func (t *tcpTable) pushIdle(c *tcpConn) {
	_ = c.conn.SetReadDeadline(time.Now().Add(t.limits.TCPIdle))
	c.idle = true
	c.prev, c.next = t.newest, nil
	if t.newest != nil {
		t.newest.next = c
	} else {
		t.oldest = c
	}
	t.newest = c
}

func (t *tcpTable) popIdle(c *tcpConn) {
	if !c.idle {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		t.newest = c.prev
	}
	c.idle, c.prev, c.next = false, nil, nil
}
