package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseListen reads an address to listen on: "192.0.2.1:53" or
// "[2001:db8::1]:53". All addresses of a family are written 0.0.0.0:53 and
// [::]:53; short forms such as ":53" are errors because they leave open which
// families they mean. The port is from 1 to 65535.
func ParseListen(s string) (netip.AddrPort, error) {
	return parseAddress(s, 53)
}

// parseAddress reads IP:PORT; usual is the port for advice.
func parseAddress(s string, usual uint16) (netip.AddrPort, error) {
	host, port, err := splitAddress(s, usual)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" || host == "*" {
		return netip.AddrPort{}, fmt.Errorf("%q names no address; write 0.0.0.0:%s and [::]:%s for all of them", s, port, port)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address; write one such as 127.0.0.1:%d or [::1]:%d", host, usual, usual)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port; it must be a number from 1 to 65535", port)
	}
	if addr.Is4In6() && addr.Zone() == "" {
		return netip.AddrPort{}, fmt.Errorf("%q is an IPv4 address in IPv6 form; write %s", host, netip.AddrPortFrom(addr.Unmap(), uint16(n)))
	}
	if err := usable(host, addr); err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// usable says what is wrong with an address that is written as host.
func usable(host string, addr netip.Addr) error {
	switch {
	case addr.Zone() != "":
		return fmt.Errorf("%q has a scope (%%%s), which is not supported; use an address that needs none", host, addr.Zone())
	case addr.IsMulticast():
		return fmt.Errorf("%q is a multicast address, which cannot be used here", host)
	}
	return nil
}

// splitAddress takes host and port apart and says what is missing, with the
// form that would be right if that can be told.
func splitAddress(s string, usual uint16) (host, port string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("is empty; write IP:PORT, such as 127.0.0.1:%d", usual)
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok = strings.Cut(rest, "]")
		if !ok {
			return "", "", fmt.Errorf("%q lacks the closing bracket; write [ADDRESS]:PORT", s)
		}
		port, ok = strings.CutPrefix(port, ":")
		if !ok {
			return "", "", fmt.Errorf("%q lacks a port; write [%s]:%d", s, host, usual)
		}
		if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
			return "", "", fmt.Errorf("%q: brackets are for IPv6; write %s:%s", s, host, port)
		}
		return host, port, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return "", "", fmt.Errorf("%q lacks a port; write %s", s, netip.AddrPortFrom(a, usual))
	}
	i := strings.LastIndexByte(s, ':')
	switch {
	case i < 0:
		return "", "", fmt.Errorf("%q lacks a port; write IP:PORT, such as 127.0.0.1:%d", s, usual)
	case strings.Contains(s[:i], ":"):
		return "", "", fmt.Errorf("%q lacks brackets; write [%s]:%s", s, s[:i], s[i+1:])
	}
	return s[:i], s[i+1:], nil
}
