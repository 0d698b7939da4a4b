package notify

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Conn is a UDP socket.
type Conn interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	Close() error
}

func listen(network string, source netip.AddrPort) (Conn, error) {
	var at *net.UDPAddr
	if source.IsValid() {
		at = net.UDPAddrFromAddrPort(source)
	}
	return net.ListenUDP(network, at)
}

// sockets are the open ones, one a family, and their readers. Only Run's
// goroutine opens and closes them.
type sockets struct {
	conn    [2]Conn // IPv4, IPv6
	readers sync.WaitGroup
}

// post sends a message. What goes wrong stands in the status, and the next
// attempt comes as if there had been no answer.
func (n *Notifier) post(l *letter) {
	c, err := n.conn(l.to.addr.Addr())
	if err == nil {
		_, err = c.WriteToUDPAddrPort(l.msg, l.to.addr)
	}
	if err == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.asked[l.to]; t != nil {
		t.state.Error = "sending failed: " + err.Error()
	}
}

// conn is the socket for an address. It is opened when it is first needed, so
// that a machine without IPv6 can do without.
func (n *Notifier) conn(to netip.Addr) (Conn, error) {
	i, network, source := 0, "udp4", n.o.Source4
	if !to.Is4() {
		i, network, source = 1, "udp6", n.o.Source6
	}
	if n.socks.conn[i] != nil {
		return n.socks.conn[i], nil
	}
	c, err := n.o.Listen(network, source)
	if err != nil {
		return nil, err
	}
	n.socks.conn[i] = c
	n.socks.readers.Go(func() { n.read(c) })
	return c, nil
}

// read takes what comes at a socket until that is closed.
func (n *Notifier) read(c Conn) {
	// One octet more than any message that is accepted tells what was cut off.
	buf := make([]byte, maxAnswer+1)
	for {
		size, from, err := c.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Such as an ICMP error: it passes.
			time.Sleep(pause)
		case size <= maxAnswer:
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			n.receive(buf[:size], from, time.Now())
			n.tell()
		}
	}
}

// maxAnswer is the longest answer that is looked at, in octets.
const maxAnswer = 4096

// close closes the sockets and waits for their readers.
func (n *Notifier) close() {
	for _, c := range n.socks.conn {
		if c != nil {
			_ = c.Close()
		}
	}
	n.socks.readers.Wait()
}
