package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/miekg/dns"
)

// Zone is what differs for one zone: an entry under zone.
type Zone struct {
	// Name is the zone's, in lower case with the final dot.
	Name string
	// Serial is what becomes of a file that changed while its serial was not
	// raised (serial: auto).
	Serial Serial
	// ZONEMD: a digest of the zone is made and kept true, RFC 8976 (zonemd: off).
	ZONEMD bool
	// Updates are who may change what by dynamic update (updates: []).
	Updates []Updates
}

// Serial is how the versions that files make are numbered.
type Serial string

// The ways to number versions.
const (
	SerialAuto   Serial = "auto"   // we raise what the file does not
	SerialStrict Serial = "strict" // a file that changed without is refused
)

// Updates lets a key change names and types (RFC 2136).
type Updates struct {
	// Key is the Name of one of Config.Keys.
	Key string
	// Names are those that may be changed, relative to the zone or absolute; a
	// "*" in front means all below; none: every name.
	Names []string
	// Types are those that may be changed, by their mnemonics; none: every type,
	// but at the apex SOA, NS, DNSKEY and DS.
	Types []string
	// Steering: the records below _site, _node, _check and _steer, too.
	Steering bool
}

// Secondary is a zone that is taken from others: an entry under secondary, or
// under catalog.consume.
type Secondary struct {
	// Zone is its name, in lower case with the final dot.
	Zone string
	// Primaries are who it is taken from, one at least.
	Primaries []Primary
}

// Primary is one of whom a zone is taken.
type Primary struct {
	Addr netip.AddrPort
	// Key signs what is asked, by the Name of one of Config.Keys; "": none.
	Key string
	// TLS is how the way is protected (tls: off), RFC 9103. TLSName is the name
	// that the certificate must have; "": the address.
	TLS     CheckTLS
	TLSName string
}

// Catalog is the keys under catalog (RFC 9432).
type Catalog struct {
	// Produce is the name of the catalog zone that lists the zones of the zones
	// directory; "": none.
	Produce string
	// Consume are the catalogs whose members are served as secondary.
	Consume []Secondary
}

// TLS is the keys under tls.
type TLS struct {
	// Listen are the addresses for transfers over TLS (RFC 9103).
	Listen []netip.AddrPort
	// Certificate and Key are files in PEM.
	Certificate, Key string
}

// Target is one who is told of changes.
type Target struct {
	Addr netip.AddrPort
	// Key signs what he is told; "": none.
	Key string
}

// ZoneOf is what differs for a zone of a name, in lower case with the final dot;
// nil: nothing.
func (c *Config) ZoneOf(name string) *Zone {
	i, ok := slices.BinarySearchFunc(c.ZoneList, name, func(z Zone, name string) int { return strings.Compare(z.Name, name) })
	if !ok {
		return nil
	}
	return &c.ZoneList[i]
}

// zoneName is the canonical form of a zone's name.
func zoneName(s string) (string, error) {
	var wire [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(s), wire[:], 0, nil, false)
	if err == nil && s != "" {
		var name string
		if name, _, err = dns.UnpackDomainName(wire[:n], 0); err == nil {
			return dns.CanonicalName(name), nil
		}
	}
	return "", errors.New(quote(s) + " is not a domain name; write one such as example.org")
}

// domain is the name of a zone.
func domain(name string, dst *string, mayBeEmpty bool) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		if !ok || s == "" && mayBeEmpty {
			return
		}
		z, err := zoneName(s)
		if err != nil {
			r.fail(key, n, "%v", err)
			return
		}
		*dst = z
	}}
}

// each calls read for each entry of a list.
func (r *reader) each(key string, n ast.Node, example string, read func(key string, n ast.Node)) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(key, n, "must be a list such as %s, not %s", example, kindOf(n))
		return
	}
	for i, n := range list.Values {
		r.places[item(key, i)] = placeOf(n)
		read(item(key, i), n)
	}
}

// zones is a mapping from zones to what differs for them.
func zones(name string, dst *[]Zone) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		m, ok := n.(*ast.MappingNode)
		if !ok {
			r.fail(key, n, "must be a mapping such as {example.org: {serial: strict}}, not %s", kindOf(n))
			return
		}
		seen := map[string]place{}
		for _, kv := range m.Values {
			word, ok := kv.Key.(*ast.StringNode)
			if !ok {
				r.fail(key, kv.Key, "the name of a zone must be a text, not %s; write it in quotes", kindOf(kv.Key))
				continue
			}
			z := Zone{Serial: SerialAuto}
			var err error
			if z.Name, err = zoneName(word.Value); err != nil {
				r.fail(key, kv.Key, "%v", err)
				continue
			}
			if first, twice := seen[z.Name]; twice {
				r.fail(key, kv.Key, "%s is given twice; the first is in line %d, column %d", z.Name, first.line, first.column)
				continue
			}
			seen[z.Name] = placeOf(word)
			if kv.Value.Type() != ast.NullType {
				r.zone(key+"."+word.Value, kv.Value, &z)
			}
			*dst = append(*dst, z)
		}
		slices.SortFunc(*dst, func(a, b Zone) int { return strings.Compare(a.Name, b.Name) })
	}}
}

func (r *reader) zone(key string, n ast.Node, z *Zone) {
	r.mapping(key, n, []field{
		choice("serial", []string{string(SerialAuto), string(SerialStrict)}, func(i int) {
			z.Serial = [...]Serial{SerialAuto, SerialStrict}[i]
		}),
		choice("zonemd", []string{"off", "make"}, func(i int) { z.ZONEMD = i == 1 }),
		{name: "updates", read: func(r *reader, key string, n ast.Node) {
			r.each(key, n, "[{key: farm., names: [\"*.farm\"], types: [A, AAAA]}]", func(key string, n ast.Node) {
				if u, ok := r.updates(key, n); ok {
					z.Updates = append(z.Updates, u)
				}
			})
		}},
	})
}

func (r *reader) updates(key string, n ast.Node) (u Updates, ok bool) {
	before := len(r.errs)
	r.mapping(key, n, []field{
		r.citedKey("key", &u.Key),
		words("names", &u.Names, "[\"*.farm\", www]", func(s string) error {
			name := strings.TrimPrefix(s, "*.")
			if name == "@" || name == "*" {
				return nil
			}
			if _, valid := dns.IsDomainName(name); !valid || name == "" {
				return fmt.Errorf("%s is not a domain name; write one such as www, \"*.farm\" or \"@\"", quote(s))
			}
			return nil
		}),
		words("types", &u.Types, "[A, AAAA, TXT]", func(s string) error {
			if _, known := dns.StringToType[s]; !known {
				return fmt.Errorf("%s is not a type of records; write one such as A, AAAA or TXT", quote(s))
			}
			return nil
		}),
		boolean("steering", &u.Steering),
	})
	if len(r.errs) == before && u.Key == "" {
		r.fail(key, n, "lacks a key; write key: with the name of the one that signs these updates")
	}
	return u, len(r.errs) == before
}

// words is a list of texts that check approves of.
func words(name string, dst *[]string, example string, check func(string) error) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		r.each(key, n, example, func(key string, n ast.Node) {
			s, ok := r.str(key, n)
			if !ok {
				return
			}
			if err := check(s); err != nil {
				r.fail(key, n, "%v", err)
				return
			}
			*dst = append(*dst, s)
		})
	}}
}

// citedKey is the name of a key that has to be there.
func (r *reader) citedKey(name string, dst *string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		if !ok {
			return
		}
		k, err := keyName(s)
		if err != nil {
			r.fail(key, n, "%v", err)
			return
		}
		*dst = k
		r.cited = append(r.cited, citation{key, k, placeOf(n)})
	}}
}

const secondaryExample = "[{zone: example.org, primaries: [\"192.0.2.53:53\"], key: xfer.}]"

// secondaryZones is the list of zones that are taken from others.
func secondaryZones(name string, dst *[]Secondary) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		r.each(key, n, secondaryExample, func(key string, n ast.Node) {
			s, ok := r.secondary(key, n)
			if !ok {
				return
			}
			if slices.ContainsFunc(*dst, func(o Secondary) bool { return o.Zone == s.Zone }) {
				r.fail(key, n, "%s is given twice; give it one entry with all its primaries", s.Zone)
				return
			}
			*dst = append(*dst, s)
		})
	}}
}

func (r *reader) secondary(key string, n ast.Node) (s Secondary, ok bool) {
	before := len(r.errs)
	all := Primary{TLS: TLSOff}
	var own []Primary
	r.mapping(key, n, append([]field{
		domain("zone", &s.Zone, false),
		{name: "primaries", read: func(r *reader, key string, n ast.Node) {
			r.each(key, n, "[\"192.0.2.53:53\", {at: \"192.0.2.54:853\", tls: verify}]", func(key string, n ast.Node) {
				own = append(own, r.primary(key, n))
			})
		}},
	}, r.way(&all)...))
	switch {
	case len(r.errs) > before:
		return s, false
	case s.Zone == "":
		r.fail(key, n, "lacks a zone; write such as zone: example.org")
	case len(own) == 0:
		r.fail(key, n, "lacks primaries; write such as primaries: [\"192.0.2.53:53\"]")
	}
	open := false
	for _, p := range own {
		if p.Key == "" {
			p.Key = all.Key
		}
		if p.TLS == "" {
			p.TLS = all.TLS
		}
		if p.TLSName == "" {
			p.TLSName = all.TLSName
		}
		s.Primaries = append(s.Primaries, p)
		open = open || p.Key == "" && p.TLS != TLSVerify && !p.Addr.Addr().IsLoopback()
	}
	if open {
		r.warnKey(key, "the zone comes unsigned: whoever is on the way can change it; share a key with its primaries, and name it as key")
	}
	return s, len(r.errs) == before
}

// way is how a primary is asked.
func (r *reader) way(p *Primary) []field {
	return []field{
		r.citedKey("key", &p.Key),
		choice("tls", []string{string(TLSOff), string(TLSOn), string(TLSVerify)}, func(i int) {
			p.TLS = [...]CheckTLS{TLSOff, TLSOn, TLSVerify}[i]
		}),
		text("tls-name", &p.TLSName, maxString),
	}
}

func (r *reader) primary(key string, n ast.Node) (p Primary) {
	if _, ok := n.(*ast.MappingNode); !ok {
		p.Addr, _ = r.address(key, n, 53)
		return p
	}
	r.mapping(key, n, append([]field{oneAddress("at", &p.Addr)}, r.way(&p)...))
	if !p.Addr.IsValid() && !r.failed[key+".at"] {
		r.fail(key, n, "lacks an address; write such as at: \"192.0.2.53:53\"")
	}
	return p
}

// size is a number of octets, with a unit or without.
func size(name string, dst *int64, low, high int64) field {
	units := map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		text := n.GetToken().Value
		switch n.(type) {
		case *ast.StringNode, *ast.IntegerNode:
		default:
			r.fail(key, n, "must be a size such as 64MiB, not %s", kindOf(n))
			return
		}
		digits := strings.TrimRight(text, "KMGTiB")
		unit, known := units[text[len(digits):]]
		v, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case !known || err != nil || v < 0:
			r.fail(key, n, "%s is not a size; write a whole number of KiB, MiB or GiB, such as 64MiB", quote(text))
		case v > high/unit || v*unit < low:
			r.fail(key, n, "%s is out of range; it must be from %s to %s", text, sizeText(low), sizeText(high))
		default:
			*dst = v * unit
		}
	}}
}

// sizeText is a size as it may be written.
func sizeText(n int64) string {
	for _, u := range []struct {
		bits uint
		name string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n>>u.bits > 0 && n%(1<<u.bits) == 0 {
			return strconv.FormatInt(n>>u.bits, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func oneAddress(name string, dst *netip.AddrPort) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		if a, ok := r.address(key, n, 53); ok {
			*dst = a
		}
	}}
}

// notified is the list of who is told of changes.
func notified(name string, dst *[]Target) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		r.each(key, n, "[\"192.0.2.1:53\", {to: \"192.0.2.2:53\", key: xfer.}]", func(key string, n ast.Node) {
			var t Target
			if _, ok := n.(*ast.MappingNode); ok {
				r.mapping(key, n, []field{oneAddress("to", &t.Addr), r.citedKey("key", &t.Key)})
				if !t.Addr.IsValid() && !r.failed[key+".to"] {
					r.fail(key, n, "lacks an address; write such as to: \"192.0.2.1:53\"")
				}
			} else {
				t.Addr, _ = r.address(key, n, 53)
			}
			switch {
			case !t.Addr.IsValid():
			case t.Addr.Addr().IsUnspecified():
				r.fail(key, n, "%s is nobody's address; name that of a secondary", t.Addr)
			case slices.ContainsFunc(*dst, func(o Target) bool { return o.Addr == t.Addr }):
				r.fail(key, n, "%s is given twice", t.Addr)
			default:
				*dst = append(*dst, t)
			}
		})
	}}
}

// checkSync reports what does not go together.
func (r *reader) checkSync(c *Config) {
	for i := range c.Catalog.Consume {
		name := c.Catalog.Consume[i].Zone
		if name == c.Catalog.Produce || slices.ContainsFunc(c.Secondary, func(s Secondary) bool { return s.Zone == name }) {
			r.failKey(item("catalog.consume", i), "%s is something else already; one name is one zone", name)
		}
	}
	if slices.ContainsFunc(c.Secondary, func(s Secondary) bool { return s.Zone == c.Catalog.Produce }) {
		r.failKey("catalog.produce", "%s is a secondary zone; one name is one zone", c.Catalog.Produce)
	}
	for i := range c.ZoneList {
		z := &c.ZoneList[i]
		if len(z.Updates) > 0 && c.Store == "" {
			r.failKey("store", "%s takes updates, which have to be kept: name a file for the database", z.Name)
		}
	}
	if len(c.TLS.Listen) > 0 && (c.TLS.Certificate == "" || c.TLS.Key == "") {
		r.failKey("tls.listen", "takes a certificate and a key: write tls: {certificate: cert.pem, key: key.pem}")
	}
	for _, at := range c.TLS.Listen {
		if slices.Contains(c.Listen, at) {
			r.failKey("tls.listen", "%s is one of listen's, which takes DNS without TLS; choose another port, such as 853", at)
		}
	}
}
