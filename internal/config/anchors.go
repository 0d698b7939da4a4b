package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Anchor is something far away that answers as long as this server is connected
// with the world.
type Anchor struct {
	Kind AnchorKind
	// Addr is what is asked; its port is 0 for AnchorICMP.
	Addr netip.AddrPort
}

// AnchorKind is how an anchor is asked.
type AnchorKind string

// The ways to ask an anchor.
const (
	AnchorDNS  AnchorKind = "dns"  // by a query over UDP; any response will do
	AnchorTCP  AnchorKind = "tcp"  // by a connection
	AnchorICMP AnchorKind = "icmp" // by an echo request
)

// String is the anchor as it may be written.
func (a Anchor) String() string {
	switch a.Kind {
	case AnchorDNS:
		return a.Addr.String()
	case AnchorICMP:
		return string(a.Kind) + "://" + a.Addr.Addr().String()
	}
	return string(a.Kind) + "://" + a.Addr.String()
}

const (
	minAnchors = 2
	maxAnchors = 16
)

// anchors is the list of them: none, or two and more.
func anchors(name string, dst *[]Anchor) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(key, n, "must be a list such as [\"192.0.2.1:53\", \"tcp://198.51.100.1:443\", \"icmp://203.0.113.7\"], not %s", kindOf(n))
			return
		}
		before := len(r.errs)
		seen := map[Anchor]place{}
		for i, n := range list.Values {
			a, ok := r.anchor(item(key, i), n)
			if !ok {
				continue
			}
			if first, twice := seen[a]; twice {
				r.fail(key, n, "%s is given twice; the first is in line %d, column %d", a, first.line, first.column)
				continue
			}
			seen[a] = placeOf(n)
			*dst = append(*dst, a)
		}
		switch {
		case len(r.errs) > before:
		case len(*dst) > 0 && len(*dst) < minAnchors:
			r.fail(key, n, "one anchor is not enough: when it fails, nobody can tell whether it is gone or this server is cut off; name two or more in different networks, or none")
		case len(*dst) > maxAnchors:
			r.fail(key, n, "has %d anchors; name at most %d", len(*dst), maxAnchors)
		case len(*dst) > 0:
			r.warnAnchors(key, *dst)
		}
	}}
}

func (r *reader) anchor(key string, n ast.Node) (Anchor, bool) {
	r.places[key] = placeOf(n)
	s, ok := r.str(key, n)
	if !ok {
		return Anchor{}, false
	}
	a, err := parseAnchor(s)
	if err != nil {
		r.fail(key, n, "%v", err)
	}
	return a, err == nil
}

// parseAnchor reads IP:PORT for DNS, dns://IP:PORT, tcp://IP:PORT or icmp://IP.
func parseAnchor(s string) (a Anchor, err error) {
	kind, rest, ok := strings.Cut(s, "://")
	if !ok {
		kind, rest = string(AnchorDNS), s
	}
	a.Kind = AnchorKind(kind)
	switch a.Kind {
	case AnchorDNS:
		a.Addr, err = parseAddress(rest, 53)
	case AnchorTCP:
		a.Addr, err = parseAddress(rest, 443)
	case AnchorICMP:
		a.Addr, err = parseEchoer(rest)
	default:
		return a, fmt.Errorf("%s is not a way to ask an anchor; write dns://IP:PORT, tcp://IP:PORT or icmp://IP", quote(kind))
	}
	if err == nil && a.Addr.Addr().IsUnspecified() {
		err = fmt.Errorf("%s is nobody's address; name one that is far away", a.Addr.Addr())
	}
	return a, err
}

// parseEchoer reads an address without a port.
func parseEchoer(s string) (netip.AddrPort, error) {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPort{}, fmt.Errorf("%q has a port, which ICMP has not; write icmp://%s", s, p.Addr())
	}
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") && strings.Contains(s, ":") {
		bare = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s is not an IP address; write one such as icmp://192.0.2.1 or icmp://2001:db8::1", quote(s))
	}
	if addr.Is4In6() {
		return netip.AddrPort{}, fmt.Errorf("%q is an IPv4 address in IPv6 form; write icmp://%s", s, addr.Unmap())
	}
	return netip.AddrPortFrom(addr, 0), usable(bare, addr)
}

// warnAnchors warns of anchors that don't tell what they are there for.
func (r *reader) warnAnchors(key string, all []Anchor) {
	for i, a := range all {
		if a.Addr.Addr().IsLoopback() {
			r.warnKey(item(key, i), "%s is this machine, which answers however cut off it is; name something far away", a)
			return
		}
	}
	if !slices.ContainsFunc(all, func(a Anchor) bool { return a.Addr.Addr() != all[0].Addr.Addr() }) {
		r.warnKey(key, "all anchors are one machine; name others in different networks")
	}
}

// prefixes is a list of networks. What warn says of one is warned of; nil:
// nothing.
func prefixes(name string, dst *[]netip.Prefix, warn func(netip.Prefix) string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(key, n, "must be a list such as [10.0.0.0/8, \"fd00::/8\"], not %s", kindOf(n))
			return
		}
		seen := map[netip.Prefix]place{}
		for i, n := range list.Values {
			key := item(key, i)
			r.places[key] = placeOf(n)
			p, ok := r.prefix(key, n)
			if !ok {
				continue
			}
			if first, twice := seen[p]; twice {
				r.fail(key, n, "%s is given twice; the first is in line %d, column %d", p, first.line, first.column)
				continue
			}
			seen[p] = placeOf(n)
			if warn != nil {
				if text := warn(p); text != "" {
					r.warnKey(key, "%s", text)
				}
			}
			*dst = append(*dst, p)
		}
	}}
}

func (r *reader) prefix(key string, n ast.Node) (netip.Prefix, bool) {
	if _, isMap := n.(*ast.MappingNode); isMap {
		r.fail(key, n, "must be a text; write an address or prefix of IPv6 in quotes")
		return netip.Prefix{}, false
	}
	s, ok := n.(*ast.StringNode)
	if !ok {
		r.fail(key, n, "must be an address or a prefix, not %s", kindOf(n))
		return netip.Prefix{}, false
	}
	p, err := parsePrefix(s.Value)
	if errors.Is(err, errNoPrefix) {
		err = fmt.Errorf("%s is no address or prefix; write one such as 192.0.2.1, 192.0.2.0/24 or \"2001:db8::/32\"", quote(s.Value))
	}
	if err != nil {
		r.fail(key, n, "%v", err)
	}
	return p, err == nil
}

// warnProbes warns of networks that hold too much.
func warnProbes(p netip.Prefix) string {
	if p.Bits() == 0 {
		return p.String() + " lets whoever writes a zone have everything probed that this server can reach; name the networks where nodes are"
	}
	return ""
}

// label is the name of a site, as it stands before _site in a zone.
func label(name string, dst *string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		switch {
		case !ok:
		case len(s) > maxCheckName || strings.ContainsFunc(s, func(c rune) bool { return !isLabelRune(c) }):
			r.fail(key, n, "%s is not the name of a site; write the one label that stands before _site in the zones, of letters, digits, - and _", quote(s))
		default:
			*dst = strings.ToLower(s)
		}
	}}
}
