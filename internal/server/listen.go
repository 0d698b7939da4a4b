package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer holds what arrives while a worker is busy, in octets: some
	// 5,000 queries, as the kernel accounts for them.
	receiveBuffer = 4 << 20
	// sendBuffer holds several batches of replies of the usual size.
	sendBuffer = 1 << 20
	// ipv6MinMTU is what every IPv6 link carries (RFC 8200 5), in octets.
	ipv6MinMTU = 1280
	// portTries is how often a free port is looked for that both TCP and UDP
	// can have.
	portTries = 32
)

// AddrError is an address that cannot be listened on. It wraps the error of
// the system call: errors.Is(err, syscall.EADDRINUSE) works.
type AddrError struct {
	Network string // "tcp" or "udp"
	Addr    netip.AddrPort
	Err     error
}

func (e *AddrError) Error() string {
	msg := fmt.Sprintf("cannot listen on %s %s: ", e.Network, e.Addr)
	switch {
	case errors.Is(e.Err, unix.EADDRINUSE):
		return msg + "address already in use: stop the program that has it, or listen elsewhere"
	case errors.Is(e.Err, unix.EADDRNOTAVAIL):
		return msg + "no interface of this machine has this address: add it, or listen elsewhere"
	case errors.Is(e.Err, unix.EACCES):
		return msg + "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE"
	}
	return msg + e.Err.Error()
}

func (e *AddrError) Unwrap() error { return e.Err }

// binding is the sockets of one listen address.
type binding struct {
	addr netip.AddrPort // with the real port
	tcp  *net.TCPListener
	tls  bool  // what tcp accepts speaks TLS
	udp  []int // blocking file descriptors
}

func (b *binding) close() {
	if b.tcp != nil {
		_ = b.tcp.Close()
	}
	for _, fd := range b.udp {
		_ = unix.Close(fd)
	}
}

func (b *binding) v4() bool { return b.addr.Addr().Is4() }

// bind binds TCP and workers UDP sockets to at, or nothing.
func bind(at netip.AddrPort, workers int, log *slog.Logger) (*binding, error) {
	if !at.IsValid() {
		return nil, errors.New("cannot listen on an empty address")
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	for try := 1; ; try++ {
		b, err := bindOnce(at, workers, log)
		if err == nil {
			return b, nil
		}
		// A port that is free for TCP may be taken for UDP.
		if at.Port() != 0 || try == portTries || !errors.Is(err, unix.EADDRINUSE) {
			return nil, err
		}
	}
}

// bindOnce takes TCP first. Its port is exclusive, while SO_REUSEPORT would let
// a second server of the same user join the UDP port unnoticed and take half
// of the queries.
func bindOnce(at netip.AddrPort, workers int, log *slog.Logger) (_ *binding, err error) {
	b := &binding{addr: at}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	lc := net.ListenConfig{Control: controlTCP, KeepAlive: -1} // idle ones are closed long before a probe
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network("tcp", at), at.String())
	if err != nil {
		return nil, &AddrError{"tcp", at, err}
	}
	b.tcp = l.(*net.TCPListener)
	b.addr = netip.AddrPortFrom(at.Addr(), uint16(b.tcp.Addr().(*net.TCPAddr).Port))
	lc = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return controlUDP(c, at.Addr(), log)
	}}
	for range workers {
		c, err := lc.ListenPacket(context.Background(), network("udp", at), b.addr.String())
		if err != nil {
			return nil, &AddrError{"udp", b.addr, err}
		}
		fd, err := takeOut(c.(*net.UDPConn))
		if err != nil {
			return nil, &AddrError{"udp", b.addr, err}
		}
		b.udp = append(b.udp, fd)
	}
	return b, nil
}

// takeOut takes the socket out of the runtime's poller: it returns a blocking
// file descriptor of it, which is the caller's, and closes conn.
func takeOut(conn *net.UDPConn) (fd int, err error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = withFD(raw, func(old int) error {
		fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	// O_NONBLOCK belongs to the socket, not to the descriptor.
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// network narrows "tcp" or "udp" to one family, so that 0.0.0.0 and [::] are
// two addresses.
func network(name string, at netip.AddrPort) string {
	if at.Addr().Is4() {
		return name + "4"
	}
	return name + "6"
}

func controlTCP(network, _ string, c syscall.RawConn) error {
	if network != "tcp6" {
		return nil
	}
	return withFD(c, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	})
}

func controlUDP(c syscall.RawConn, ip netip.Addr, log *slog.Logger) error {
	return withFD(c, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("SO_REUSEPORT: %w", err)
		}
		setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
		setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
		if ip.Is4() {
			return controlUDP4(fd, ip.IsUnspecified(), log)
		}
		return controlUDP6(fd, ip.IsUnspecified(), log)
	})
}

// withFD runs f with the file descriptor of c.
func withFD(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// setBuffer asks for a buffer beyond net.core.rmem_max or wmem_max, which
// needs CAP_NET_ADMIN, or else for as much of it as the system gives everyone.
// Less than asked for is no reason not to serve.
func setBuffer(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

// controlUDP4 makes the socket ignore path MTU news, which anyone can forge to
// have replies cut in fragments of their choice: DF is never set, and only the
// interface's MTU counts. A wildcard socket also asks which address each query
// was sent to.
func controlUDP4(fd int, wildcard bool, log *slog.Logger) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	if err != nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
	if err != nil {
		log.Warn("cannot keep path MTU discovery off the UDP socket; forged ICMP can fragment replies", "error", err)
	}
	if !wildcard {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return fmt.Errorf("IP_PKTINFO: %w", err)
	}
	return nil
}

// controlUDP6 does the same for IPv6, where only the sender can fragment: what
// is over the least MTU is fragmented to that, so that no ICMP is needed
// (RFC 3542 11.1, IPV6_USE_MIN_MTU, in Linux's terms).
func controlUDP6(fd int, wildcard bool, log *slog.Logger) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		return fmt.Errorf("IPV6_V6ONLY: %w", err)
	}
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU, ipv6MinMTU)
	}
	if err != nil {
		log.Warn("cannot fix the MTU of the UDP socket; long replies over IPv6 depend on ICMP", "error", err)
	}
	if !wildcard {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
		return fmt.Errorf("IPV6_RECVPKTINFO: %w", err)
	}
	return nil
}
