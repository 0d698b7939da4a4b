package publish

import (
	"hash/maphash"
	"sync"
)

// stripes is how many zones, at best, can change at the same time.
const stripes = 256

// locks makes the changes of one zone wait for each other. Zones that share a
// lock do too, which is seldom.
type locks struct {
	seed maphash.Seed
	list [stripes]sync.Mutex
}

func newLocks() *locks { return &locks{seed: maphash.MakeSeed()} }

// stripe is which lock a zone has.
func (l *locks) stripe(apex []byte) uint64 { return maphash.Bytes(l.seed, apex) % stripes }

// lock locks zones, and returns what unlocks them. Locks are taken in one order,
// so that nobody waits for who waits for them.
func (l *locks) lock(apexes ...[]byte) (unlock func()) {
	var wanted [stripes]bool
	for _, a := range apexes {
		wanted[l.stripe(a)] = true
	}
	for i, w := range wanted {
		if w {
			l.list[i].Lock()
		}
	}
	return func() {
		for i, w := range wanted {
			if w {
				l.list[i].Unlock()
			}
		}
	}
}
