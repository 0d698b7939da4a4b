package geo

import (
	"errors"

	"geodns/internal/geo/place"
)

// tree walks through a database's search tree in the addresses' order
// (MaxMind DB specification, "Binary Search Tree Section"). The reader's own
// walk would do, were it bounded for trees whose branches grow together again.
type tree struct {
	content []byte
	nodes   uint32
	record  uint // bits of a record; a node has two
	leaf    func(four bool, first place.Key, offset uint32) error
	// four is the node where IPv4 begins, in a tree of both families, or nodes
	// and above if there is none.
	four uint32
	left int // how many nodes may yet be visited
}

// errShared is of a tree that isn't one.
var errShared = errors.New("branches of the search tree are shared")

// shares is how often a node may be visited on average. A tree visits each one
// once; databases in which equal branches are stored once are bearable too.
const shares = 8

func (t *tree) walk4() error {
	t.four, t.left = t.nodes, shares*int(t.nodes)
	return t.down(0, 0, place.Key{}, 32)
}

// walk6 walks through a tree of both families, where IPv4 is at ::/96.
func (t *tree) walk6() error {
	node, depth := uint32(0), 0
	for ; depth < 96 && node < t.nodes; depth++ {
		node, _ = t.children(node)
	}
	t.four, t.left = node, shares*int(t.nodes)
	if err := t.down(node, 0, place.Key{}, 32); err != nil {
		return err
	}
	if depth < 96 {
		// All of IPv4 lies in one network that is wider, or in none. It is a
		// network of IPv6 as well.
		t.four = t.nodes
	}
	return t.down(0, 0, place.Key{}, 128)
}

// down visits what is below a node: the networks with these first bits.
func (t *tree) down(node uint32, depth uint8, first place.Key, width uint8) error {
	if node >= t.nodes {
		return t.end(node, first, width)
	}
	if width == 128 && node == t.four {
		// IPv4 itself, or one of its aliases, such as 2002::/16 for 6to4. They say
		// where the IPv4 address is, and hide that an IPv6 network is unknown.
		return t.leaf(false, first, noRecord)
	}
	if depth == width {
		return errors.New("the search tree is deeper than an address is long")
	}
	if t.left--; t.left < 0 {
		return errShared
	}
	left, right := t.children(node)
	if err := t.down(left, depth+1, first, width); err != nil {
		return err
	}
	switch rest := width - depth - 1; {
	case rest >= 64:
		first.Hi |= 1 << (rest - 64)
	default:
		first.Lo |= 1 << rest
	}
	return t.down(right, depth+1, first, width)
}

// end is a record that is no node: nodes itself stands for no data, what is
// above for an offset, after a separator of 16.
func (t *tree) end(node uint32, first place.Key, width uint8) error {
	offset := uint32(noRecord)
	if node > t.nodes {
		if node-t.nodes < 16 {
			return errors.New("the search tree points between the tree and the data")
		}
		offset = node - t.nodes - 16
	}
	return t.leaf(width == 32, first, offset)
}

// children returns both records of a node. The reader has verified that the
// file has all nodes, and that records have 24, 28 or 32 bits.
func (t *tree) children(node uint32) (left, right uint32) {
	size := t.record / 4
	b := t.content[uint(node)*size:][:size]
	three := func(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
	switch t.record {
	case 24:
		return three(b), three(b[3:])
	case 28:
		return three(b) | uint32(b[3]>>4)<<24, three(b[4:]) | uint32(b[3]&15)<<24
	}
	return three(b)<<8 | uint32(b[3]), three(b[4:])<<8 | uint32(b[7])
}
