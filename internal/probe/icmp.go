package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The types of echo messages (RFC 792, RFC 4443 4).
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129

	echoHeader = 8
)

// icmp sends an echo request and waits for the reply. The socket is connected,
// so that the kernel hands it no other host's messages, however many probes are
// under way.
func (r *attempt) icmp() (string, error) {
	f, raw, err := r.icmpSocket()
	if err != nil {
		return "", err
	}
	defer f.Close()
	stop := context.AfterFunc(r.ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := r.echo()
	if _, err := f.Write(req); err != nil {
		return "", r.failed("sending the echo request", err)
	}
	buf := make([]byte, 1500)
	for range maxStray {
		n, err := f.Read(buf)
		if err != nil {
			return "", r.failed("waiting for the echo reply", err)
		}
		if r.isReply(buf[:n], req, raw) {
			return "echo reply", nil
		}
	}
	return "", fmt.Errorf("%d messages came that are no reply", maxStray)
}

// icmpSocket opens whichever socket the system allows: one for pings only
// (net.ipv4.ping_group_range), or a raw one (CAP_NET_RAW).
func (r *attempt) icmpSocket() (f *os.File, raw bool, err error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if r.t.Addr.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|flags, proto)
	if err != nil {
		raw = true
		fd, err = unix.Socket(family, unix.SOCK_RAW|flags, proto)
	}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, false, local("no right to send ICMP: let net.ipv4.ping_group_range hold the server's group, or give it CAP_NET_RAW")
	case err != nil:
		return nil, false, local("no socket for ICMP: %v", err)
	}
	if err := unix.Connect(fd, sockaddr(r.t.Addr)); err != nil {
		unix.Close(fd)
		return nil, false, r.failed("sending the echo request", err)
	}
	return os.NewFile(uintptr(fd), "icmp"), raw, nil
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	s := &unix.SockaddrInet6{Addr: a.As16()}
	if zone := a.Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			s.ZoneId = uint32(i.Index)
		} else if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			s.ZoneId = uint32(n)
		}
	}
	return s
}

// echo is an echo request with random data, by which its reply is known: on a
// socket for pings the kernel chooses the identifier.
func (r *attempt) echo() []byte {
	b := make([]byte, echoHeader+24)
	rand.Read(b[4:])
	b[0] = echoRequest4
	if r.t.Addr.Is6() {
		// The kernel computes the checksum, which covers addresses (RFC 4443 2.3).
		b[0] = echoRequest6
		return b
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// isReply reports whether a message is the reply to a request.
func (r *attempt) isReply(msg, req []byte, raw bool) bool {
	want := byte(echoReply6)
	if r.t.Addr.Is4() {
		want = echoReply4
		// A raw socket for IPv4 gets the IP header too (raw(7)).
		if raw {
			if len(msg) == 0 || len(msg) < int(msg[0]&0xf)*4 {
				return false
			}
			msg = msg[int(msg[0]&0xf)*4:]
		}
	}
	return len(msg) >= len(req) && msg[0] == want && msg[1] == 0 && bytes.Equal(msg[echoHeader:len(req)], req[echoHeader:])
}
