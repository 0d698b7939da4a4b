package place

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Table says where each address is. It never changes.
type Table struct {
	all    *View // classes are numbers of places
	places []packed
	cities []string
	codes  codes
	infos  []Info
}

// Info describes a source of a Table.
type Info struct {
	Source Source
	File   string // "" for the built-in world
	// Type is the database's type in its own words, such as GeoLite2-City, or
	// the format of own networks.
	Type string
	// Built is when a database or the built-in world was made, and when the file
	// of own networks was changed. It is zero where it is not known.
	Built time.Time
	// Networks is how many prefixes or ranges the source has.
	Networks int
}

// Describe returns what the Table was made from, those that win first.
func (t *Table) Describe() []Info { return slices.Clone(t.infos) }

// Len returns how many places there are, the unknown one among them.
func (t *Table) Len() int { return len(t.places) }

// Place returns the place of a number below Len. Number 0 is the unknown place.
func (t *Table) Place(n uint32) Place { return t.places[n].unpack(t.cities, t.codes) }

// Places returns all places by number. There may be half a million of them,
// which a Table holds in a quarter of the memory: Each needs none.
func (t *Table) Places() []Place {
	list := make([]Place, len(t.places))
	for i, p := range t.Each() {
		list[i] = p
	}
	return list
}

// Each yields all places by number, in order.
func (t *Table) Each() iter.Seq2[uint32, Place] {
	return func(yield func(uint32, Place) bool) {
		for i, q := range t.places {
			if !yield(uint32(i), q.unpack(t.cities, t.codes)) {
				return
			}
		}
	}
}

// Find returns the number of an address's place, and as scope the length of
// the widest prefix around the address in which every address has this place,
// in bits of its family. An IPv4 address in IPv6 form is one of IPv4. What is
// no address is at the unknown place, with scope 0.
func (t *Table) Find(a netip.Addr) (place uint32, scope int) {
	class, bits := t.all.Find(a)
	return class, bits
}

// Find is Find4 or Find6 for an address of either family, as Table.Find.
func (v *View) Find(a netip.Addr) (class uint32, scope int) {
	var bits uint8
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		class, bits = v.Find4(binary.BigEndian.Uint32(b[:]))
	case a.Is6():
		b := a.As16()
		class, bits = v.Find6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
	}
	return class, int(bits)
}

// ByPlace returns the View of which the classes are the places themselves. It
// is the Table's own, and takes no more memory.
func (t *Table) ByPlace() *View { return t.all }

// Ranges returns how many ranges the addresses are divided into.
func (t *Table) Ranges() (four, six int) { return t.all.Ranges() }

// Size returns how much memory the Table takes, in octets, without the names of
// cities.
func (t *Table) Size() int { return t.all.Size() + 24*len(t.places) }

// View returns the partition of the addresses by classes of their places:
// class[i], below 1<<31, is the class of place i, and len(class) must be Len.
func (t *Table) View(class []uint32) *View {
	if len(class) != len(t.places) {
		panic("place: a View needs a class for each place")
	}
	var b builder
	b.v.four.bounds = mergeFour(t.all.four.bounds, class)
	s := &t.all.six
	// Most places are of their neighbours' class; half is a good guess, and
	// what is too much is given back.
	b.v.six.starts, b.v.six.classes = make([]uint64, 0, len(s.starts)/2+1), make([]uint32, 0, len(s.starts)/2+1)
	for i, c := range s.classes {
		if c&divided == 0 {
			if c = class[c]; c != b.last || i == 0 {
				b.put6(s.starts[i], 0, c)
			}
			continue
		}
		list := c &^ divided
		for _, sub := range s.subs[s.lists[list]:s.lists[list+1]] {
			b.put6(s.starts[i], sub.start, class[sub.class])
		}
	}
	return b.seal()
}

// mergeFour counts first, so that it allocates no more than is needed.
func mergeFour(bounds []bound4, class []uint32) []bound4 {
	n, last := 1, class[bounds[0].class]
	for _, b := range bounds {
		if c := class[b.class]; c != last {
			n, last = n+1, c
		}
	}
	merged := make([]bound4, 1, n)
	merged[0] = bound4{0, class[bounds[0].class]}
	last = merged[0].class
	for _, b := range bounds {
		if c := class[b.class]; c != last {
			merged, last = append(merged, bound4{b.start, c}), c
		}
	}
	return merged
}
