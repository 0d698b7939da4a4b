package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Transfer is who may have the primary's zones: the keys under transfer.
type Transfer struct {
	// Allow lists who may transfer, by address or by key (allow: []).
	Allow []Peer
	// Notify are the secondaries that are told of changes (notify: []).
	Notify []Target
	// Max is how many transfers may come in at once, 1 to 1,000 (max: 16).
	Max int
}

// Peer is one who may transfer: whoever has an address in Prefix, or, if that
// is the zero value, whoever signs with Key.
type Peer struct {
	Prefix netip.Prefix
	// Key is the Name of one of Config.Keys.
	Key string
	// Strip: the zones without their steering records (strip: false).
	Strip bool
}

// AllowsKey reports whether a key, by its Name, may transfer zones with their
// steering records.
func (t *Transfer) AllowsKey(name string) bool {
	return slices.ContainsFunc(t.Allow, func(p Peer) bool { return p.Key != "" && p.Key == name && !p.Strip })
}

// keyPrefix begins an entry that names a key.
const keyPrefix = "key:"

// peers is the list of who may transfer.
func peers(name string, dst *[]Peer) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(key, n, "must be a list such as [192.0.2.1, 192.0.2.0/24, \"key:xfer.\"], not %s", kindOf(n))
			return
		}
		seen := map[Peer]place{}
		for i, n := range list.Values {
			p, ok := r.peer(item(key, i), n)
			if !ok {
				continue
			}
			who := p
			who.Strip = false
			if first, twice := seen[who]; twice {
				r.fail(key, n, "%s is given twice; the first is in line %d, column %d", p, first.line, first.column)
				continue
			}
			seen[who] = placeOf(n)
			*dst = append(*dst, p)
		}
	}}
}

// String is the peer as it may be written.
func (p Peer) String() string {
	if p.Key != "" {
		return keyPrefix + p.Key
	}
	return p.Prefix.String()
}

func (r *reader) peer(key string, n ast.Node) (p Peer, ok bool) {
	r.places[key] = placeOf(n)
	s, ok := n.(*ast.StringNode)
	if m, isMap := n.(*ast.MappingNode); isMap {
		return r.peerMapping(key, m)
	}
	if !ok {
		r.fail(key, n, "must be an address, a prefix, or \"key:\" and the name of a key, not %s", kindOf(n))
		return p, false
	}
	var err error
	name, isKey := strings.CutPrefix(s.Value, keyPrefix)
	switch {
	case !isKey:
		p.Prefix, err = parsePrefix(s.Value)
	case strings.Contains(name, ":"):
		// As for dig -y, with the secret.
		err = errors.New("has more than the name of a key (not shown, it may be a secret); write \"key:\" and the name alone")
	default:
		if p.Key, err = keyName(name); err == nil {
			r.cited = append(r.cited, citation{"transfer.allow", p.Key, placeOf(n)})
		}
	}
	if errors.Is(err, errNoPrefix) {
		err = fmt.Errorf("%s is no address, prefix or key; write one such as 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 or \"key:xfer.\"", quote(s.Value))
	}
	if err != nil {
		r.fail(key, n, "%v", err)
		return p, false
	}
	if p.Key == "" && p.Prefix.Bits() == 0 {
		r.warnKey(key, "%s lets everyone transfer the zones; name those who shall", p.Prefix)
	}
	return p, true
}

// peerMapping reads {peer: 192.0.2.1, strip: true}.
func (r *reader) peerMapping(key string, m *ast.MappingNode) (p Peer, ok bool) {
	if len(m.Values) == 1 && find([]field{{name: "peer"}, {name: "strip"}}, m.Values[0].Key.String()) == nil {
		r.fail(key, m, "must be a text; write an address or prefix of IPv6, and \"key:\" with a name, in quotes")
		return p, false
	}
	var strip bool
	before := len(r.errs)
	r.mapping(key, m, []field{
		{name: "peer", read: func(r *reader, key string, n ast.Node) { p, ok = r.peer(key, n) }},
		boolean("strip", &strip),
	})
	if !ok && len(r.errs) == before {
		r.fail(key, m, "lacks a peer; write such as {peer: 192.0.2.1, strip: true}")
	}
	p.Strip = strip
	return p, ok
}

// errNoPrefix: what is written is something else altogether.
var errNoPrefix = errors.New("no address or prefix")

// parsePrefix reads a prefix, or an address for itself.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		switch {
		case addr.Zone() != "":
			return netip.Prefix{}, fmt.Errorf("%q has a scope (%%%s), which is not supported; write the address without", s, addr.Zone())
		case addr.Is4In6():
			return netip.Prefix{}, fmt.Errorf("%q is an IPv4 address in IPv6 form; write %s", s, addr.Unmap())
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, errNoPrefix
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 prefix in IPv6 form; write it as IPv4", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits beyond its length; write %s, or the address alone", s, p.Masked())
	}
	return p, nil
}

// citation is a key that some entry names.
type citation struct {
	by   string // the entry
	name string
	at   place
}

// checkTransferKeys reports keys that entries name and that are not there.
func (r *reader) checkTransferKeys(c *Config) {
	for _, p := range r.cited {
		if !slices.ContainsFunc(c.Keys, func(k Key) bool { return k.Name == p.name }) {
			r.failAt(p.at, "%s: there is no key called %s; %s", p.by, p.name, knownKeys(c.Keys))
		}
	}
}

// knownKeys says which keys there are.
func knownKeys(keys []Key) string {
	if len(keys) == 0 {
		return "add it under keys"
	}
	const most = 5
	var names []string
	for _, k := range keys[:min(len(keys), most)] {
		names = append(names, k.Name)
	}
	if len(keys) > most {
		names = append(names, "..")
	}
	return "there are " + strings.Join(names, ", ")
}
