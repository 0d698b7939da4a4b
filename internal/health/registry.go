package health

import "slices"

// Registry gives every target one slot for as long as anything names it. It is
// for one goroutine at a time.
//
// A slot that nothing names any more may be given to another target; whoever
// publishes that must publish with the same step the verdicts in which the slot
// is unknown again.
type Registry[Key comparable] struct {
	slots map[Key]uint32
	used  []use[Key]
	free  []uint32
}

type use[Key comparable] struct {
	key   Key
	count int // how many name it; 0: free
}

// NewRegistry returns a Registry without targets.
func NewRegistry[Key comparable]() *Registry[Key] {
	return &Registry[Key]{slots: map[Key]uint32{}}
}

// Acquire names targets, and returns their slots. added are those slots that
// are new, or another target's than before.
func (r *Registry[Key]) Acquire(keys []Key) (slots, added []uint32) {
	slots = make([]uint32, len(keys))
	for i, k := range keys {
		slot, ok := r.slots[k]
		if !ok {
			slot = r.take(k)
			added = append(added, slot)
		}
		r.used[slot].count++
		slots[i] = slot
	}
	return slots, added
}

func (r *Registry[Key]) take(k Key) uint32 {
	slot := uint32(len(r.used))
	if n := len(r.free); n > 0 {
		slot = r.free[n-1]
		r.free = r.free[:n-1]
		r.used[slot] = use[Key]{key: k}
	} else {
		r.used = append(r.used, use[Key]{key: k})
	}
	r.slots[k] = slot
	return slot
}

// Release takes back what Acquire did, and returns the slots that nothing names
// any more.
func (r *Registry[Key]) Release(slots []uint32) (gone []uint32) {
	for _, s := range slots {
		u := &r.used[s]
		if u.count--; u.count > 0 {
			continue
		}
		delete(r.slots, u.key)
		gone = append(gone, s)
	}
	r.free = append(r.free, gone...)
	return slices.Clip(gone)
}

// Len is the number of slots, free ones included: verdicts are of that many.
func (r *Registry[Key]) Len() int { return len(r.used) }

// Key is the target of a slot that is in use.
func (r *Registry[Key]) Key(slot uint32) Key { return r.used[slot].key }

// Slot is that of a target, if something names it.
func (r *Registry[Key]) Slot(k Key) (uint32, bool) {
	s, ok := r.slots[k]
	return s, ok
}
