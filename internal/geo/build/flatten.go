package build

import (
	"cmp"
	"container/heap"
	"slices"
)

// span is a range as it was read or as it comes out.
type span struct {
	first, last addr
	place       uint32 // of Data.places; 0 is: nothing is known
	layer       uint32 // the source: greater ones override
	line        uint32 // in the source
}

func (s *span) size() addr { return s.last.minus(s.first) }

// over reports whether s overrides t where both hold: a later source does, in
// the same source a narrower range, and of two equal ones the later line.
func (s *span) over(t *span) bool {
	return cmp.Or(cmp.Compare(s.layer, t.layer), t.size().compare(s.size()), cmp.Compare(s.line, t.line)) > 0
}

// top is a heap of spans, the one on top that overrides all others.
type top []*span

func (t top) Len() int           { return len(t) }
func (t top) Less(i, j int) bool { return t[i].over(t[j]) }
func (t top) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *top) Push(x any)        { *t = append(*t, x.(*span)) }
func (t *top) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// flatten lays spans over each other. It sorts all in place, and returns spans
// that are disjoint, in order, and of which neighbours differ.
func flatten(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return a.first.compare(b.first) })
	f := flattener{}
	for i := range all {
		s := &all[i]
		f.until(s.first)
		f.at = s.first
		heap.Push(&f.open, s)
	}
	f.drain()
	return f.out
}

type flattener struct {
	open top  // begun before or at at; those that have ended are dropped late
	at   addr // everything before is done
	out  []span
}

// until brings out everything before end.
func (f *flattener) until(end addr) {
	for len(f.open) > 0 && f.at.less(end) {
		s := f.open[0]
		if s.last.less(f.at) {
			heap.Pop(&f.open)
			continue
		}
		last := s.last
		if !last.less(end) {
			last = end.prev()
		}
		f.emit(last, s.place)
	}
}

// drain brings out the rest. The last address has no successor, so the end is
// told by what is emitted.
func (f *flattener) drain() {
	for len(f.open) > 0 {
		s := f.open[0]
		if s.last.less(f.at) {
			heap.Pop(&f.open)
			continue
		}
		last := s.last
		f.emit(last, s.place)
		if f.at == (addr{}) {
			return
		}
	}
}

// emit brings out what is from at to last.
func (f *flattener) emit(last addr, place uint32) {
	first := f.at
	f.at = last.next()
	if place == 0 {
		return
	}
	if n := len(f.out); n > 0 && f.out[n-1].place == place && f.out[n-1].last.next() == first {
		f.out[n-1].last = last
		return
	}
	f.out = append(f.out, span{first: first, last: last, place: place})
}
