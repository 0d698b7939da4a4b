package converge

import (
	"container/heap"
	"time"
)

// agenda has what becomes due, the next one first.
type agenda []*item

// Len is for container/heap.
func (a agenda) Len() int { return len(a) }

// Less is for container/heap.
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }

// Swap is for container/heap.
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i+1, j+1
}

// Push is for container/heap.
func (a *agenda) Push(x any) {
	it := x.(*item)
	*a = append(*a, it)
	it.index = len(*a)
}

// Pop is for container/heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	it := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	it.index = 0
	return it
}

// set makes an item due at a time, which replaces the one before.
func (a *agenda) set(it *item, at time.Time) {
	it.at = at
	if it.index > 0 {
		heap.Fix(a, it.index-1)
		return
	}
	heap.Push(a, it)
}

// drop takes an item out.
func (a *agenda) drop(it *item) {
	if it.index > 0 {
		heap.Remove(a, it.index-1)
	}
}

// due takes out an item that is due; nil: none is.
func (a *agenda) due(now time.Time) *item {
	if len(*a) == 0 || (*a)[0].at.After(now) {
		return nil
	}
	return heap.Pop(a).(*item)
}

// bucket lets so many questions begin, evenly but for a burst.
type bucket struct {
	apart time.Duration // on average
	full  time.Time     // when a burst may begin again
}

// wait is how long no question may begin; 0: one may now.
func (b *bucket) wait(now time.Time) time.Duration {
	return max(0, b.full.Add(-burst*b.apart).Sub(now))
}

// take begins one.
func (b *bucket) take(now time.Time) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.apart)
}
