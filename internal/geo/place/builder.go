package place

import (
	"math"
	"math/bits"
	"slices"
)

// builder makes a View of bounds that come in the addresses' order, each
// family for itself. Before the first bound everything is of class 0.
type builder struct {
	v View
	// The last bounds given, which another one at the same address replaces.
	pending4 bound4
	pending6 pending6
	last     uint32 // class of the last IPv6 bound that was put
	open     bool   // the last range of v.six is a /64 whose list isn't finished
}

type pending6 struct {
	Key
	class uint32
}

// Key is an address of 128 bits as a number, or of 32 bits with Hi 0.
type Key struct{ Hi, Lo uint64 }

// Compare orders keys as addresses: it returns -1, 0 or 1.
func (k Key) Compare(o Key) int {
	switch {
	case k.Hi < o.Hi, k.Hi == o.Hi && k.Lo < o.Lo:
		return -1
	case k == o:
		return 0
	}
	return 1
}

// Next is the address after k; after the last one it is 0.
func (k Key) Next() Key {
	lo, carry := bits.Add64(k.Lo, 1, 0)
	return Key{k.Hi + carry, lo}
}

// add4 says that the addresses from start on are of a class.
func (b *builder) add4(start, class uint32) {
	if start != b.pending4.start {
		b.v.four.put(b.pending4)
	}
	b.pending4 = bound4{start, class}
}

// put appends a bound, which must be after the one before.
func (f *four) put(b bound4) {
	if n := len(f.bounds); n == 0 || f.bounds[n-1].class != b.class {
		f.bounds = append(f.bounds, b)
	}
}

// add6 is add4 for IPv6.
func (b *builder) add6(start Key, class uint32) {
	if start != b.pending6.Key {
		b.put6(b.pending6.Hi, b.pending6.Lo, b.pending6.class)
	}
	b.pending6 = pending6{start, class}
}

// put6 appends a bound, which must be after the one before.
func (b *builder) put6(hi, lo uint64, class uint32) {
	s := &b.v.six
	n := len(s.starts)
	if n > 0 && class == b.last {
		return
	}
	if b.open && hi > s.starts[n-1] {
		b.close(Key{hi, lo})
		n = len(s.starts)
	}
	if lo == 0 {
		s.starts, s.classes = append(s.starts, hi), append(s.classes, class)
		b.last = class
		return
	}
	if !b.open {
		list := divided | uint32(len(s.lists))
		s.lists = append(s.lists, uint32(len(s.subs)))
		s.subs = append(s.subs, bound6{0, b.last})
		if s.starts[n-1] == hi {
			s.classes[n-1] = list
		} else {
			s.starts, s.classes = append(s.starts, hi), append(s.classes, list)
		}
		b.open = true
	}
	s.subs = append(s.subs, bound6{lo, class})
	b.last = class
}

// close ends the list of a divided /64, after which a range begins, unless a
// new one begins just there.
func (b *builder) close(next Key) {
	s := &b.v.six
	b.open = false
	if after := s.starts[len(s.starts)-1] + 1; next != (Key{after, 0}) {
		s.starts, s.classes = append(s.starts, after), append(s.classes, b.last)
	}
}

// finish returns the View of what was added by add4 and add6.
func (b *builder) finish() *View {
	b.v.four.put(b.pending4)
	b.put6(b.pending6.Hi, b.pending6.Lo, b.pending6.class)
	return b.seal()
}

// seal returns the View of what was put.
func (b *builder) seal() *View {
	v := &b.v
	if b.open && v.six.starts[len(v.six.starts)-1] != math.MaxUint64 {
		b.close(Key{})
	}
	if len(v.six.lists) > 0 {
		v.six.lists = append(v.six.lists, uint32(len(v.six.subs)))
	}
	v.four.bounds = fit(v.four.bounds)
	v.six.starts, v.six.classes = fit(v.six.starts), fit(v.six.classes)
	v.six.lists, v.six.subs = fit(v.six.lists), fit(v.six.subs)
	v.four.makeIndex()
	v.six.makeIndex()
	return v
}

// fit returns the list without much room to grow.
func fit[T any](list []T) []T {
	if cap(list)-len(list) > len(list)/16 {
		return slices.Clone(list)
	}
	return list
}

// makeIndex sizes the index by the number of bounds, so that a small View stays
// small.
func (f *four) makeIndex() {
	size := min(bits.Len(uint(len(f.bounds)))-1, indexBits4)
	f.shift = uint8(32 - size)
	f.index = make([]uint32, 1<<size+1)
	i := 0
	for h := range f.index {
		for i+1 < len(f.bounds) && uint64(f.bounds[i+1].start) <= uint64(h)<<f.shift {
			i++
		}
		f.index[h] = uint32(i)
	}
}

func (s *six) makeIndex() {
	// One bit at least, so that a shift is below a word's length.
	size := min(max(bits.Len(uint(len(s.starts)))-1, 1), indexBits6)
	s.shift = uint8(64 - size)
	s.index = make([]uint32, 1<<size+1)
	i := 0
	for h := range s.index {
		first := 1<<61 + uint64(h)<<(s.shift-3)
		for i+1 < len(s.starts) && s.starts[i+1] <= first {
			i++
		}
		s.index[h] = uint32(i)
	}
}

// Builder makes a Table of bounds between places, which come in the addresses'
// order, each family for itself. Before the first bound, and from the first
// one of place 0 on, addresses are at the unknown place.
type Builder struct {
	*gazetteer
	bounds builder
}

// NewBuilder returns a Builder of a Table that knows nothing yet.
func NewBuilder() *Builder { return &Builder{gazetteer: newGazetteer()} }

// Len returns how many places there are, the unknown one among them.
func (b *Builder) Len() int { return len(b.places) }

// Four says that the IPv4 addresses from start on are at a place.
func (b *Builder) Four(start, place uint32) { b.bounds.add4(start, place) }

// Six says that the IPv6 addresses from start on are at a place.
func (b *Builder) Six(start Key, place uint32) { b.bounds.add6(start, place) }

// Table returns the Table, and ends the building. Infos describe the sources.
func (b *Builder) Table(infos ...Info) *Table {
	return &Table{all: b.bounds.finish(), places: b.places, cities: b.cities, codes: b.codes, infos: infos}
}
