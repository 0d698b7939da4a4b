package place

import (
	"cmp"
	"math"
	"slices"
)

// Network is a prefix with the number of its place.
type Network struct {
	First Key    // its first address
	Place uint32 // as Overlay.Place gives it
	// Line and Column are where it was read, for messages.
	Line   uint32
	Column uint16
	Bits   uint8 // its length
}

// family is what differs between IPv4 and IPv6 where addresses are keys.
type family struct {
	width uint8 // bits of an address
	end   Key   // the last address
}

func ipv4() family { return family{32, Key{0, math.MaxUint32}} }
func ipv6() family { return family{128, Key{math.MaxUint64, math.MaxUint64}} }

// last returns the last address of a prefix.
func (f family) last(first Key, bits uint8) Key {
	switch rest := f.width - bits; {
	case rest >= 64:
		return Key{first.Hi | (1<<(rest-64) - 1), math.MaxUint64}
	default:
		return Key{first.Hi, first.Lo | (1<<rest - 1)}
	}
}

// SortNetworks puts a prefix before those within it, and equal ones in the
// order of their lines.
func SortNetworks(list []Network) {
	slices.SortFunc(list, func(a, b Network) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.Bits, b.Bits), cmp.Compare(a.Line, b.Line))
	})
}

// overlay lays sorted networks over the ranges of a lower layer.
type overlay struct {
	family
	lower cursor
	add   func(start Key, class uint32)
	below uint32 // the lower layer's class where we are
	// covered: a network holds the address where we are.
	covered bool
}

// cover is a network that holds the address where we are.
type cover struct {
	last  Key
	place uint32
}

// run adds the bounds of both layers. The longest prefix wins: as networks are
// sorted, those that hold an address are nested, and the innermost is the last.
func (o *overlay) run(networks []Network) {
	var stack []cover
	for i := range networks {
		n := &networks[i]
		stack = o.leave(stack, &n.First)
		stack = append(stack, cover{o.last(n.First, n.Bits), n.Place})
		o.bound(n.First, stack)
	}
	o.leave(stack, nil)
	o.advance(nil)
}

// leave ends the networks that end before an address, or all of them.
func (o *overlay) leave(stack []cover, before *Key) []cover {
	for len(stack) > 0 {
		last := stack[len(stack)-1].last
		if before != nil && last.Compare(*before) >= 0 {
			break
		}
		stack = stack[:len(stack)-1]
		if last != o.end {
			o.bound(last.Next(), stack)
		}
	}
	return stack
}

// bound is where the innermost network is another one, or none.
func (o *overlay) bound(at Key, stack []cover) {
	o.advance(&at)
	o.covered = len(stack) > 0
	class := o.below
	if o.covered {
		class = stack[len(stack)-1].place
	}
	o.add(at, class)
}

// advance goes on in the lower layer to an address, or to the end.
func (o *overlay) advance(to *Key) {
	for o.lower.more && (to == nil || o.lower.start.Compare(*to) <= 0) {
		o.below = o.lower.class
		if !o.covered {
			o.add(o.lower.start, o.below)
		}
		o.lower.next()
	}
}

// cursor walks through the bounds of a View, in one family.
type cursor struct {
	v     *View
	six   bool
	start Key
	class uint32
	more  bool
	i     int // the next range
	sub   int // and the next bound in its list
}

// walk returns a cursor at the first bound.
func (v *View) walk(six bool) cursor {
	c := cursor{v: v, six: six}
	c.next()
	return c
}

func (c *cursor) next() {
	if !c.six {
		if c.more = c.i < len(c.v.four.bounds); c.more {
			b := c.v.four.bounds[c.i]
			c.start, c.class = Key{0, uint64(b.start)}, b.class
			c.i++
		}
		return
	}
	s := &c.v.six
	if c.more = c.i < len(s.starts); !c.more {
		return
	}
	c.start, c.class = Key{s.starts[c.i], 0}, s.classes[c.i]
	if c.class&divided == 0 {
		c.i++
		return
	}
	list := c.class &^ divided
	b := s.subs[int(s.lists[list])+c.sub]
	c.start.Lo, c.class = b.start, b.class
	if c.sub++; int(s.lists[list])+c.sub == int(s.lists[list+1]) {
		c.i, c.sub = c.i+1, 0
	}
}

// over returns the View with networks laid over it.
func (v *View) over(four, six []Network) *View {
	var b builder
	b.v.four.bounds = make([]bound4, 0, len(v.four.bounds)+len(four))
	o := overlay{family: ipv4(), lower: v.walk(false), add: func(start Key, class uint32) { b.add4(uint32(start.Lo), class) }}
	o.run(four)
	b.v.six.starts = make([]uint64, 0, len(v.six.starts)+len(six))
	b.v.six.classes = make([]uint32, 0, len(v.six.starts)+len(six))
	o = overlay{family: ipv6(), lower: v.walk(true), add: b.add6}
	o.run(six)
	return b.finish()
}

// Overlay makes a Table of another one and networks that win over it.
type Overlay struct {
	*gazetteer
	table *Table
}

// Overlay begins a Table of this one and networks over it.
func (t *Table) Overlay() *Overlay { return &Overlay{extend(t.places, t.cities, t.codes), t} }

// Table returns the Table with networks of both families laid over it, which
// must be sorted by SortNetworks. The longest prefix wins; info describes them.
func (o *Overlay) Table(four, six []Network, info Info) *Table {
	return &Table{
		all: o.table.all.over(four, six), places: o.places, cities: o.cities, codes: o.codes,
		infos: append([]Info{info}, o.table.infos...),
	}
}
