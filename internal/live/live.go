// Package live owns the one pointer from which all queries are answered.
//
// Invariant: there is always a World, complete and immutable. Readers load it
// once a query, and wait for nobody; changes are made one after the other.
package live

import (
	"sync"
	"sync/atomic"

	"geodns/internal/world"
)

// Holder holds the World that is served.
type Holder struct {
	world atomic.Pointer[world.World]
	swap  sync.Mutex
}

// New returns a Holder of a World without zones.
func New() *Holder {
	h := &Holder{}
	h.world.Store(world.New())
	return h
}

// Load returns the World of this moment.
func (h *Holder) Load() *world.World { return h.world.Load() }

// Swap replaces the World by what change makes of it. Changes wait for each
// other, so change should only put together what was made before.
func (h *Holder) Swap(change func(*world.World) *world.World) {
	h.swap.Lock()
	defer h.swap.Unlock()
	h.world.Store(change(h.world.Load()))
}
