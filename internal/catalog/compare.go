package catalog

import (
	"bytes"
	"slices"

	"geodns/internal/wire"
)

// Changes is what a new version of a catalog asks of those who follow it. All
// lists are sorted by name.
type Changes struct {
	// Came are zones to be set up.
	Came []Member
	// Gone are zones to be removed with all that is kept of them, if it was this
	// catalog that had them set up (RFC 9432 5.3).
	Gone []Member
	// Reset are zones that have another label now: all that is kept of them goes,
	// and they are set up like new ones (RFC 9432 5.4). The new Member.
	Reset []Member
	// Changed are zones whose groups or change of ownership are others now. The
	// new Member.
	Changed []Member
}

// Empty reports whether there is nothing to be done.
func (c *Changes) Empty() bool {
	return len(c.Came) == 0 && len(c.Gone) == 0 && len(c.Reset) == 0 && len(c.Changed) == 0
}

// Compare tells what changed from one version of a catalog to the next. old is nil
// for a catalog that is new. A broken catalog is not to be compared with: keep the
// last good one.
func Compare(old, new *Catalog) Changes {
	var c Changes
	var a []Member
	if old != nil {
		a = old.Members
	}
	b := new.Members
	for len(a) > 0 || len(b) > 0 {
		switch order(a, b) {
		case -1:
			c.Gone = append(c.Gone, a[0])
			a = a[1:]
		case 1:
			c.Came = append(c.Came, b[0])
			b = b[1:]
		default:
			switch {
			case a[0].ID != b[0].ID:
				c.Reset = append(c.Reset, b[0])
			case !slices.Equal(a[0].Groups, b[0].Groups) || !bytes.Equal(a[0].Coo, b[0].Coo):
				c.Changed = append(c.Changed, b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	return c
}

// order says whose first member comes first: -1 a's, 1 b's, 0 they are the same.
func order(a, b []Member) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	switch c := wire.CompareNames(a[0].Name, b[0].Name); {
	case c < 0:
		return -1
	case c > 0:
		return 1
	}
	return 0
}

// Handover says whether a zone that belongs to one catalog may go to another that
// lists it, too: only if the old one says so now (RFC 9432 4.4.1). reset: what is
// kept of the zone has to go, since its label is another. If ok is false the zone
// stays where it is, and the new listing is a clash, to be ignored and reported
// (RFC 9432 5.2).
func Handover(from, to *Catalog, name []byte) (ok, reset bool) {
	a, inOld := from.Find(name)
	b, inNew := to.Find(name)
	if !inOld || !inNew || !bytes.Equal(a.Coo, to.Apex) {
		return false, false
	}
	return true, a.ID != b.ID
}
