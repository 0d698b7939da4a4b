package refresh

import (
	"container/heap"
	"container/list"
	"time"
)

// item is something that is due at a time: a zone or a primary.
type item struct {
	at    time.Time
	index int // in the heap, plus one; 0: it is not in it
	zone  *entry
	peer  *primary
}

// agenda is a heap of items, the first due on top.
type agenda []*item

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }

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

// set makes an item due at a time; the zero time: never.
func (a *agenda) set(it *item, at time.Time) {
	switch {
	case at.IsZero() && it.index > 0:
		heap.Remove(a, it.index-1)
	case at.IsZero():
	case it.index > 0:
		it.at = at
		heap.Fix(a, it.index-1)
	default:
		it.at = at
		heap.Push(a, it)
	}
}

// queue is a first-in first-out queue of zones.
type queue struct{ list.List }

func (q *queue) push(e *entry) { e.in, e.element = q, q.PushBack(e) }

// pop returns the next zone, nil: there is none.
func (q *queue) pop() *entry {
	front := q.Front()
	if front == nil {
		return nil
	}
	e := front.Value.(*entry)
	e.leave()
	return e
}

// leave takes a zone out of the queue that it is in, if it is in one.
func (e *entry) leave() {
	if e.in != nil {
		e.in.Remove(e.element)
		e.in, e.element = nil, nil
	}
}
