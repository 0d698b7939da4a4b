package geo

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"geodns/internal/geo/place"
)

// worldReader makes a Table of ranges.
type worldReader struct {
	Options
	*place.Builder
	countries map[string]uint32
	next      [2]place.Key // after the last range, by family
	full      [2]bool      // nothing is after it
}

// readWorld makes a Table of the built-in world.
func readWorld(world World, o Options) (*Table, error) {
	w := worldReader{Options: o, Builder: place.NewBuilder(), countries: map[string]uint32{}}
	networks := 0
	for r := range world.Ranges {
		if err := w.add(r); err != nil {
			return nil, err
		}
		networks++
	}
	return w.Table(Info{Source: BuiltIn, Type: world.Type, Built: world.Built, Networks: networks}), nil
}

func (w *worldReader) add(r Range) error {
	first, last := keyOf(r.First), keyOf(r.Last)
	family := r.First.BitLen() / 128
	switch {
	case !r.First.IsValid() || r.First.BitLen() != r.Last.BitLen() || r.Last.Less(r.First):
		return fmt.Errorf("the built-in world has a range from %v to %v: this program is damaged, install it again", r.First, r.Last)
	case w.full[family] || first.Compare(w.next[family]) < 0:
		return fmt.Errorf("the built-in world has the range from %v to %v out of order: this program is damaged, install it again", r.First, r.Last)
	}
	at, known := w.countries[r.Country]
	if !known {
		at = w.country(r.Country)
	}
	w.bound(family, first, at)
	after := r.Last.Next()
	if w.full[family] = !after.IsValid(); !w.full[family] {
		w.next[family] = last.Next()
		w.bound(family, last.Next(), 0)
	}
	return nil
}

// country returns the number of a country's place.
func (w *worldReader) country(code string) (n uint32) {
	if p := w.tidy(Place{Country: code, Source: BuiltIn}); says(&p) {
		n = w.Place(p)
	}
	w.countries[code] = n
	return n
}

func (w *worldReader) bound(family int, start place.Key, at uint32) {
	if family == 0 {
		w.Four(uint32(start.Lo), at)
	} else {
		w.Six(start, at)
	}
}

// keyOf is an address as a number; of what is no address it is 0.
func keyOf(a netip.Addr) place.Key {
	if a.Is4() {
		b := a.As4()
		return place.Key{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return place.Key{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}
