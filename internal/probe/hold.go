package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"geodns/internal/steer/record"
)

// maxUnasked is how much a peer may send on a held connection, in octets: a
// warning before it hangs up, or the housekeeping of HTTP/2.
const maxUnasked = 64 << 10

// Holder watches the connections that are held open between probes: one
// goroutine and one epoll instance for all of them.
type Holder struct {
	epoll, wake int
	done        chan struct{}
	buf         [4096]byte // for what comes unasked; of the goroutine

	mu     sync.Mutex
	held   map[heldKey]*Held
	next   int32
	closed bool
}

// heldKey names a connection to the kernel, by more than its descriptor: an
// event that is on its way when a descriptor is closed must not be taken for
// that of the next one with its number.
type heldKey struct{ fd, generation int32 }

// Held is one connection that is held open.
type Held struct {
	h        *Holder
	key      heldKey
	died     func(reason string)
	farewell []byte
	unasked  int
}

// NewHolder returns a Holder without connections. Close ends it.
func NewHolder() (*Holder, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err != nil {
		unix.Close(epoll)
		if wake >= 0 {
			unix.Close(wake)
		}
		return nil, os.NewSyscallError("eventfd", err)
	}
	h := &Holder{epoll: epoll, wake: wake, done: make(chan struct{}), held: map[heldKey]*Held{}}
	go h.watch()
	return h, nil
}

// Hold probes as Probe does, and keeps the connection of a success open. died is
// told, once, when the peer's end of it dies: closed, reset, or talking without
// end. It is called by the one goroutine that watches all connections, perhaps
// before Hold returns, and must not block.
//
// The Held is nil if the probe failed, if the check's type is not over TCP or
// its server closes connections, or if there was no room; Result.Reason says why
// a success is not held.
func (h *Holder) Hold(ctx context.Context, t Target, died func(reason string)) (*Held, Result) {
	r := begin(ctx, t, holdable(t.Check.Type))
	defer r.close()
	res := r.do()
	if !res.OK || !r.hold {
		return nil, res
	}
	held, err := h.take(r, died)
	if err != nil {
		res.Reason = clean(res.Reason + "; not held: " + err.Error())
	}
	return held, res
}

// holdable tells whether connections of a type outlast a probe.
func holdable(t record.CheckType) bool {
	return slices.Contains([]record.CheckType{
		record.CheckTCP, record.CheckHTTP, record.CheckHTTPS, record.CheckSMTP, record.CheckIMAP,
		record.CheckPOP3, record.CheckMySQL, record.CheckPostgres, record.CheckGRPC,
	}, t)
}

// take begins to watch the connection of an attempt that has succeeded.
func (h *Holder) take(r *attempt, died func(string)) (*Held, error) {
	c := r.connection()
	if r.unheld != "" || c == nil {
		return nil, errors.New(r.unheld)
	}
	// The library must have let go of it: it may read in a goroutine.
	c.Close()
	fd, farewell := c.take()
	if fd < 0 {
		return nil, errors.New("the connection is closed")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		unix.Close(fd)
		return nil, errors.New("the server is stopping")
	}
	h.next++
	held := &Held{h: h, key: heldKey{int32(fd), h.next}, died: died, farewell: slices.Clip(farewell)}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: held.key.fd, Pad: held.key.generation}
	if err := unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	h.held[held.key] = held
	return held, nil
}

// Close lets go of the connection, with what its protocol says in the end. died
// is not called any more, unless it is being called. More than one Close, and
// one of nil, do nothing.
func (c *Held) Close() {
	if c == nil {
		return
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if c.h.held[c.key] != c {
		return
	}
	c.sayGoodbye()
	c.h.drop(c)
}

// sayGoodbye sends the farewell, as far as it goes without waiting: there is
// nobody left to tell of a failure.
func (c *Held) sayGoodbye() {
	if len(c.farewell) > 0 {
		_ = unix.Send(int(c.key.fd), c.farewell, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
}

// drop forgets and closes a connection. The lock is held.
func (h *Holder) drop(c *Held) {
	delete(h.held, c.key)
	// Closing takes it out of the epoll instance too: this is its last
	// descriptor.
	unix.Close(int(c.key.fd))
}

// Len is the number of connections that are held.
func (h *Holder) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// Close lets go of all connections, and returns when the goroutine has ended.
func (h *Holder) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	for _, c := range h.held {
		c.sayGoodbye()
		h.drop(c)
	}
	h.mu.Unlock()
	// Eight octets are what an eventfd takes.
	_, _ = unix.Write(h.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-h.done
	unix.Close(h.epoll)
	unix.Close(h.wake)
}

func (h *Holder) watch() {
	defer close(h.done)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(h.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for i := range max(n, 0) {
			if events[i].Fd == int32(h.wake) {
				return
			}
			h.event(&events[i])
		}
	}
}

// event looks at what happened on a connection.
func (h *Holder) event(ev *unix.EpollEvent) {
	h.mu.Lock()
	c := h.held[heldKey{ev.Fd, ev.Pad}]
	if c == nil {
		h.mu.Unlock()
		return
	}
	reason := h.dead(c, ev.Events)
	if reason != "" {
		h.drop(c)
	}
	h.mu.Unlock()
	if reason != "" {
		c.died(reason)
	}
}

// dead says why a connection is dead; "": it is not.
func (h *Holder) dead(c *Held, events uint32) string {
	fd := int(c.key.fd)
	switch {
	case events&unix.EPOLLERR != 0:
		errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 && syscall.Errno(errno) != unix.ECONNRESET {
			return clean("the held connection broke: " + syscall.Errno(errno).Error())
		}
		return "the held connection was reset"
	case events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0:
		return "the held connection was closed"
	}
	n, err := unix.Read(fd, h.buf[:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return ""
	case err != nil:
		return "the held connection was reset"
	case n == 0:
		return "the held connection was closed"
	}
	if c.unasked += n; c.unasked > maxUnasked {
		return fmt.Sprintf("more than %d KiB came on the held connection unasked", maxUnasked>>10)
	}
	return ""
}
