package git

import (
	"fmt"
	"slices"
	"sync"
)

// history is which versions of each zone the work tree went through, and so
// what may be served, in this order.
type history struct {
	mu  sync.Mutex
	seq [zones][]int
}

// add notes that the work tree is about to become so. It has to be called
// before it does.
func (h *history) add(v *versions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range zones {
		if n := len(h.seq[k]); n == 0 || h.seq[k][n-1] != v[k] {
			h.seq[k] = append(h.seq[k], v[k])
		}
	}
}

// observer is one client, which is answered in the order in which it asks. What
// it sees of a zone has to go the way that the work tree went, though it may
// miss some of it.
type observer struct {
	h  *history
	at [zones]int // how far that is certain
}

// see notes that a zone was answered from a version.
func (o *observer) see(k, version int) error {
	o.h.mu.Lock()
	defer o.h.mu.Unlock()
	// The first place that fits leaves open all that can come after.
	rest := o.h.seq[k][o.at[k]:]
	i := slices.Index(rest, version)
	if i < 0 {
		return fmt.Errorf("%s was answered from version %d after version %d; git went through %v since then", zoneName(k), version, rest[0], rest)
	}
	o.at[k] += i
	return nil
}
