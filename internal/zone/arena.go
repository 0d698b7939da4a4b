package zone

import "sync/atomic"

// Places in the arena count units of four octets. An index entry has 26 bits
// for a place and 6 for a tag of the name (256 MiB of nodes); larger zones go
// without tags, and reach 16 GiB.
const (
	unit       = 4
	chunkShift = 18 // a chunk's units, as a power of two
	chunkSize  = 1 << chunkShift * unit
	chunkMask  = 1<<chunkShift - 1
	// reserved are the first octets of the arena, so that no node has the
	// places 0 (an empty slot) and 1 (one whose node is gone).
	reserved = 8
	gone     = 1
	// maxChunks is what places of 32 bits can say.
	maxChunks = 1 << (32 - chunkShift)
)

// arena holds nodes in chunks of 1 MiB; a node that is larger has a chunk of
// its own. A chunk's slice is as long as its memory, so that the versions of a
// zone can share it: each sees only what its own index leads to.
type arena struct {
	chunks [][]byte
	// tail is how much of the last chunk has been written by whichever version
	// shares it. One that finds more than its own used was overtaken: it goes
	// on in a chunk of its own.
	tail  *atomic.Int64
	used  int // octets of the last chunk that this version knows to be written
	live  int // octets of nodes that this version can reach
	total int // octets of all nodes in the chunks
}

func (a *arena) at(pos uint32) []byte {
	return a.chunks[pos>>chunkShift][pos&chunkMask*unit:]
}

// newArena begins an arena whose first chunk has the given size in octets.
func newArena(size int) arena {
	first := make([]byte, max(size, reserved))
	// A slot whose node is gone leads here: to a name length that no node has.
	first[gone*unit] = 0xff
	a := arena{chunks: [][]byte{first}, tail: new(atomic.Int64), used: reserved}
	a.tail.Store(reserved)
	return a
}

// alloc returns room for a node of n octets, all zero, and its place.
func (a *arena) alloc(n int) ([]byte, uint32) {
	n = (n + unit - 1) &^ (unit - 1)
	last := len(a.chunks) - 1
	if a.used+n > len(a.chunks[last]) || !a.tail.CompareAndSwap(int64(a.used), int64(a.used+n)) {
		// The step grows with the zone, so that small zones stay small.
		size := min(max(a.total/4&^(unit-1), 256), chunkSize)
		a.chunks = append(a.chunks[:len(a.chunks):len(a.chunks)], make([]byte, max(size, n)))
		last++
		a.used = 0
		a.tail = new(atomic.Int64)
		a.tail.Store(int64(n))
	}
	b := a.chunks[last][a.used : a.used+n : a.used+n]
	pos := uint32(last)<<chunkShift | uint32(a.used/unit)
	a.used += n
	a.total += n
	a.live += n
	return b, pos
}

// units is how many places the arena has, the ones in use and the ones before.
func (a *arena) units() int { return len(a.chunks) << chunkShift }
