package update

import (
	"slices"
	"strings"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Grants are what somebody may change. No grant: nothing.
type Grants []Grant

// Grant lets a key change names and types.
type Grant struct {
	// Names are patterns below the apex, or with a final dot absolute: "*" is any
	// run of labels, one at least, at the front; "@" the apex. None: all names.
	Names []Pattern
	// Types are those that may be changed; none: all but SOA, NS, DNSKEY and DS at
	// the apex, which have to be named.
	Types []wire.Type
	// Steering: the records of the subtrees too, but for those below _state, which
	// commands make.
	Steering bool
}

// Pattern is a name, or all below one.
type Pattern struct {
	Name  []byte // wire form, lower case, absolute
	Below bool   // all names below it, not itself
}

// matches reports whether a name is meant.
func (p *Pattern) matches(name []byte) bool {
	if p.Below {
		return len(name) > len(p.Name) && wire.HasSuffix(name, p.Name)
	}
	return slices.Equal(name, p.Name)
}

// ParsePattern reads a pattern for a zone, with parse for the name behind what
// stands for "all below".
func ParsePattern(text string, apex []byte, parse func(text string, origin []byte) ([]byte, error)) (Pattern, error) {
	rest, below := text, false
	switch {
	case text == "*":
		return Pattern{apex, true}, nil
	case strings.HasPrefix(text, "*."):
		rest, below = text[2:], true
	}
	name, err := parse(rest, apex)
	if err == nil && !wire.HasSuffix(name, apex) {
		err = refuse(wire.RcodeNotZone, name, "is not in the zone %s", wire.NameString(apex))
	}
	return Pattern{name, below}, err
}

// byName are the types at the apex that a grant has to name.
var byName = [...]wire.Type{wire.TypeSOA, wire.TypeNS, wire.TypeDNSKEY, wire.TypeDS}

// allow reports whether each record may be done (RFC 2136 3.3).
func (g Grants) allow(z *zone.Zone, list []Record) error {
	for i := range list {
		rr := &list[i]
		if !z.Contains(rr.Name) {
			continue // prescan says so
		}
		if ours(z, rr.Name) {
			return refuse(wire.RcodeRefused, rr.Name, "records below _state are made by commands: use geodns drain, undrain and failback")
		}
		if rr.Class == wire.ClassANY && rr.Type == wire.TypeANY {
			if err := g.allowAll(z, rr.Name); err != nil {
				return err
			}
			continue
		}
		if !g.cover(z, rr.Name, rr.Type) {
			return notGranted(rr.Name, rr.Type)
		}
	}
	return nil
}

func notGranted(name []byte, t wire.Type) error {
	return refuse(wire.RcodeRefused, name, "the key may not change the type %d here", t)
}

// ours reports whether a name is in the subtree that commands make.
func ours(z *zone.Zone, name []byte) bool {
	const subtree = "\x06_state"
	at := len(name) - len(z.Apex()) - len(subtree)
	return at >= 0 && string(name[at:at+len(subtree)]) == subtree && wire.HasSuffix(name, name[at:])
}

// allowAll is allow for the deletion of all that a name has: all of it has to be
// granted, and where there is nothing, something of the name.
func (g Grants) allowAll(z *zone.Zone, name []byte) error {
	apex := slices.Equal(name, z.Apex())
	if !slices.ContainsFunc(g, func(x Grant) bool { return x.coversName(z, name) }) {
		return refuse(wire.RcodeRefused, name, "the key may change nothing here")
	}
	n, ok := z.Find(name)
	if !ok {
		return nil
	}
	for it := n.All(); it.Next(); {
		// RFC 2136 3.4.2.3: these stay anyway.
		if apex && (it.Set.Type == wire.TypeSOA || it.Set.Type == wire.TypeNS) {
			continue
		}
		if !g.cover(z, name, it.Set.Type) {
			return notGranted(name, it.Set.Type)
		}
	}
	return nil
}

// cover reports whether one of the grants is for a type at a name.
func (g Grants) cover(z *zone.Zone, name []byte, t wire.Type) bool {
	apex := slices.Equal(name, z.Apex())
	return slices.ContainsFunc(g, func(x Grant) bool { return x.coversType(t, apex) && x.coversName(z, name) })
}

func (g *Grant) coversName(z *zone.Zone, name []byte) bool {
	if !g.Steering && steer.Hidden(name[:len(name)-len(z.Apex())]) {
		return false
	}
	return len(g.Names) == 0 || slices.ContainsFunc(g.Names, func(p Pattern) bool { return p.matches(name) })
}

func (g *Grant) coversType(t wire.Type, apex bool) bool {
	if len(g.Types) > 0 {
		return slices.Contains(g.Types, t)
	}
	return !apex || !slices.Contains(byName[:], t)
}
