package transfer

import (
	"net/netip"

	"geodns/internal/update"
)

// Peer is one who may transfer: whoever has an address in Prefix, or, if that is
// the zero value, whoever signs with Key.
type Peer struct {
	Prefix netip.Prefix
	Key    string // in lower case with the final dot
	// Strip: the zone without its steering records.
	Strip bool
}

func (p *Peer) is(from netip.Addr, key string) bool {
	if p.Key != "" {
		return p.Key == key
	}
	return p.Prefix.Contains(from)
}

// Zone are the rules of one zone.
type Zone struct {
	// Allow are those who may transfer it.
	Allow []Peer
	// Primaries are the addresses of those from whom it comes: who may announce
	// it. None: it is ours.
	Primaries []netip.Addr
	// NotifyKey is the key that announcements have to be signed with; "": none.
	NotifyKey string
	// Updates are what keys may change, by their name. nil: nobody may change
	// anything.
	Updates map[string]update.Grants
}

// Allows reports whether a peer may transfer the zone, and if so, whether without
// its steering records. Who is allowed twice gets the more.
func (z *Zone) Allows(from netip.Addr, key string) (ok, strip bool) {
	from = from.Unmap()
	strip = true
	for i := range z.Allow {
		if p := &z.Allow[i]; p.is(from, key) {
			ok, strip = true, strip && p.Strip
		}
	}
	return ok, ok && strip
}

// announces reports whether a peer may say that the zone has changed. The port
// means nothing: announcements come from any (RFC 1996 3.10).
func (z *Zone) announces(from netip.Addr, key string) bool {
	if z.NotifyKey != "" && key != z.NotifyKey {
		return false
	}
	from = from.Unmap()
	for _, a := range z.Primaries {
		if a.Unmap() == from {
			return true
		}
	}
	return false
}
