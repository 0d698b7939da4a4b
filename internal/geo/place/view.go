package place

import "math/bits"

// View is a partition of all addresses into classes. It never changes.
type View struct {
	four four
	six  six
}

// bound4 is where a range of IPv4 addresses begins, which goes on to the next
// bound.
type bound4 struct{ start, class uint32 }

// four is the IPv4 addresses. The first bound is at 0; neighbours differ in
// class.
type four struct {
	bounds []bound4
	// index has for each value of an address's first bits the last bound that
	// isn't after the first such address, and one entry more for the end.
	index []uint32
	// shift leaves these first bits of an address: 32 less their number.
	shift uint8
}

// six is the IPv6 addresses. Nearly all bounds are between networks of /64, so
// that the first half of an address suffices; a /64 that is divided itself is a
// range of its own, and has a list of the bounds within. A divided
// /64 has two classes at least, others differ from their neighbours in class;
// the first and the last class in a list may go on outside of it.
type six struct {
	starts  []uint64 // first halves; the first is 0
	classes []uint32 // or divided | number of the list
	index   []uint32 // as in four, for 2000::/3
	shift   uint8    // leaves the first bits after the three of 2000::/3
	// lists has where each list of a divided /64 begins in subs, and the end of
	// the last one.
	lists []uint32
	subs  []bound6
}

// bound6 is where a range within a /64 begins; the first of a list is at 0.
type bound6 struct {
	start uint64 // the second half of the address
	class uint32
}

// divided marks a class of six that is the number of a list.
const divided = 1 << 31

// How many bits the indexes have at most, after those that all addresses share.
// More make them larger than caches, fewer leave more to search.
const (
	indexBits4 = 17
	indexBits6 = 17
)

// Find4 returns an IPv4 address's class, and as scope the length in bits of
// the widest prefix around it in which all addresses are of this class.
func (v *View) Find4(a uint32) (class uint32, scope uint8) {
	f := &v.four
	h := uint64(a) >> (f.shift & 63)
	i, n := f.index[h], f.index[h+1]-f.index[h]+1
	for n > 1 {
		half := n / 2
		// Whether a is below is as good as random; so this has no branch, which a
		// CPU would mispredict every other time.
		_, below := bits.Sub32(a, f.bounds[i+half].start, 0)
		i += half & (below - 1)
		n -= half
	}
	b := f.bounds[i]
	end := uint64(1) << 32
	if int(i)+1 < len(f.bounds) {
		end = uint64(f.bounds[i+1].start)
	}
	// A prefix around a lies within the range unless it holds the address before
	// the range or the one after it. It holds one of them if it is no longer than
	// the bits that this one has in common with a. Where there is none, the
	// difference is above the address's bits, and nothing is in common.
	differ := min(uint64(a)^(uint64(b.start)-1), uint64(a)^end)
	return b.class, uint8(max(bits.LeadingZeros64(differ)-31, 0))
}

// Find6 is Find4 for an IPv6 address of two halves, in the order of the octets.
func (v *View) Find6(hi, lo uint64) (class uint32, scope uint8) {
	s := &v.six
	i := s.search(hi)
	class = s.classes[i]
	if class&divided != 0 {
		return s.within(class&^divided, lo)
	}
	next, more := uint64(0), int(i)+1 < len(s.starts)
	if more {
		next = s.starts[i+1]
	}
	return class, widest(hi, s.starts[i], next, more)
}

// search returns the range of a first half of an address.
func (s *six) search(hi uint64) uint32 {
	var i, last uint32
	switch top := hi >> 61; {
	case top == 1: // 2000::/3, all addresses that are assigned to anybody
		h := (hi << 3) >> (s.shift & 63)
		i, last = s.index[h], s.index[h+1]
	case top < 1:
		last = s.index[0]
	default:
		i, last = s.index[len(s.index)-1], uint32(len(s.starts)-1)
	}
	for n := last - i + 1; n > 1; {
		half := n / 2
		_, below := bits.Sub64(hi, s.starts[i+half], 0)
		i += half & (uint32(below) - 1)
		n -= half
	}
	return i
}

// within finds the second half of an address in a divided /64.
func (s *six) within(list uint32, lo uint64) (class uint32, scope uint8) {
	i, end := s.lists[list], s.lists[list+1]
	for n := end - i; n > 1; {
		half := n / 2
		_, below := bits.Sub64(lo, s.subs[i+half].start, 0)
		i += half & (uint32(below) - 1)
		n -= half
	}
	next, more := uint64(0), i+1 < end
	if more {
		next = s.subs[i+1].start
	}
	// No wider prefix than the /64 comes into question: this has other classes.
	return s.subs[i].class, 64 + widest(lo, s.subs[i].start, next, more)
}

// widest returns the length of the widest prefix around a that holds nothing
// before start and, if there is more, nothing from next on. See Find4.
func widest(a, start, next uint64, more bool) uint8 {
	length := 0
	if start > 0 {
		length = bits.LeadingZeros64(a^(start-1)) + 1
	}
	if more {
		length = max(length, bits.LeadingZeros64(a^next)+1)
	}
	return uint8(length)
}

// Ranges returns how many ranges the addresses are divided into.
func (v *View) Ranges() (four, six int) {
	return len(v.four.bounds), len(v.six.starts) + len(v.six.subs) - max(len(v.six.lists)-1, 0)
}

// Size returns how much memory the View takes, in octets.
func (v *View) Size() int {
	return 8*len(v.four.bounds) + 4*len(v.four.index) +
		12*len(v.six.starts) + 4*len(v.six.index) + 4*len(v.six.lists) + 16*len(v.six.subs)
}
