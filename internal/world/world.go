// Package world owns the snapshot from which every query is answered: which
// zones there are, and what belongs to each. Answering is a pure function of a
// World, the question, the client and a draw.
//
// Invariant: a World, and a Table, never change. With and Without return new
// ones that share with the old what did not change, so that one zone among
// 100,000 costs a few pages.
package world

import (
	"hash/maphash"
	"math/bits"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// World is what is served at one moment.
type World struct {
	Zones *Table
	// Verdicts are what is known of the nodes; nil: nothing.
	Verdicts *health.Verdicts
	// Clock is the time until which this World is answered from, in Unix
	// milliseconds, while some answers change at a set time (steer.Bound.Until);
	// else it may be 0. So answers can count down to that time without reading a
	// clock.
	Clock int64
}

// New returns a World without zones.
func New() *World { return &World{Zones: NewTable()} }

// Served is a zone in its place, with what the answers need beside its data.
type Served struct {
	apex []byte
	// Zone is nil if the name is configured but there is nothing to serve: not
	// loaded yet, broken, or expired. Such names are answered SERVFAIL.
	Zone *zone.Zone
	// Steering is what chooses among the zone's records; nil: nothing does.
	Steering *steer.Bound
}

// Serve returns a Served for a zone and its steering, which may be nil.
func Serve(z *zone.Zone, p *steer.Program) *Served {
	s := &Served{apex: z.Apex(), Zone: z}
	if p != nil {
		s.Steering = &steer.Bound{Program: p}
	}
	return s
}

// WithDrains returns s with other units of its steering drained, and other
// times until which its rules' answers stay as they are (steer.Bound).
func (s *Served) WithDrains(units []uint64, until []int64) *Served {
	n := *s
	steering := *s.Steering
	steering.Drained, steering.Until = units, until
	n.Steering = &steering
	return &n
}

// With returns s with its steering changed.
func (s *Served) With(change func(*steer.Bound)) *Served {
	n := *s
	steering := *s.Steering
	change(&steering)
	n.Steering = &steering
	return &n
}

// WithLead returns s choosing by what a Lead remembers.
func (s *Served) WithLead(l *steer.Lead) *Served {
	n := *s
	steering := *s.Steering
	steering.Follow(l)
	n.Steering = &steering
	return &n
}

// Vacant returns a Served for an apex (wire form, lower case) whose zone cannot
// be served now.
func Vacant(apex []byte) *Served { return &Served{apex: apex} }

// Apex is the zone's name, in wire form, lower case.
func (s *Served) Apex() []byte { return s.apex }

const buckets = 1024

// Table finds the zone of a name: two levels of hash table, of which a change
// copies the first and one part of the second.
type Table struct {
	seed    maphash.Seed
	buckets [buckets]*bucket
	// labels has a bit for each number of labels that some apex has, so that a
	// look-up tries only those.
	labels [2]uint64
	counts [wire.MaxLabels + 1]uint32 // apexes by their number of labels
	count  int
}

// bucket is open addressing over a power of two of slots, half of them empty.
type bucket struct {
	count int
	slots []slot
}

type slot struct {
	hash uint64
	zone *Served
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{seed: maphash.MakeSeed()} }

// Len is how many zones there are.
func (t *Table) Len() int { return t.count }

// Find returns the zone that a name, or its parent if above, is in, by the
// longest match (RFC 1034 4.3.2 step 2), and the label at which its apex
// begins; nil if there is none. above leaves out the zone whose apex the name
// itself is.
func (t *Table) Find(name *wire.Name, above bool) (s *Served, label int) {
	if above {
		label = 1
	}
	for ; label <= name.NLabels; label++ {
		n := name.NLabels - label
		if t.labels[n/64]>>(n%64)&1 == 0 {
			continue
		}
		if s := t.get(name.Suffix(label)); s != nil {
			return s, label
		}
	}
	return nil, 0
}

// Get returns the zone of that apex (wire form, lower case), or nil.
func (t *Table) Get(apex []byte) *Served { return t.get(apex) }

func (t *Table) get(apex []byte) *Served {
	h := maphash.Bytes(t.seed, apex)
	b := t.buckets[h%buckets]
	if b == nil {
		return nil
	}
	for i := h / buckets; ; i++ {
		s := &b.slots[i&uint64(len(b.slots)-1)]
		if s.zone == nil {
			return nil
		}
		if s.hash == h && string(s.zone.apex) == string(apex) {
			return s.zone
		}
	}
}

// Each calls f for every zone, in no order, until it returns false.
func (t *Table) Each(f func(*Served) bool) {
	for _, b := range t.buckets {
		if b == nil {
			continue
		}
		for i := range b.slots {
			if z := b.slots[i].zone; z != nil && !f(z) {
				return
			}
		}
	}
}

// Change is what is to be different in a table: zones that come or replace
// those of the same apex, and apexes that go.
type Change struct {
	Put    []*Served
	Remove [][]byte
}

// With returns the table with a change made. Parts that do not change are
// shared.
func (t *Table) With(c Change) *Table {
	n := *t
	owned := map[uint64]bool{}
	for _, apex := range c.Remove {
		n.remove(apex, owned)
	}
	for _, s := range c.Put {
		n.put(s, owned)
	}
	return &n
}

// own returns the bucket of a hash, to be written to, with room for one more.
func (t *Table) own(h uint64, owned map[uint64]bool) *bucket {
	i := h % buckets
	old := t.buckets[i]
	if old == nil {
		old = &bucket{slots: make([]slot, 2)}
	} else if owned[i] && old.count*2 < len(old.slots) {
		return old
	}
	b := &bucket{count: old.count}
	b.slots = make([]slot, 1<<bits.Len(uint(old.count*2+1)))
	if len(b.slots) == len(old.slots) {
		copy(b.slots, old.slots)
	} else {
		b.insertAll(old.slots)
	}
	t.buckets[i] = b
	owned[i] = true
	return b
}

func (b *bucket) insert(s slot) {
	for i := s.hash / buckets; ; i++ {
		if at := &b.slots[i&uint64(len(b.slots)-1)]; at.zone == nil {
			*at = s
			return
		}
	}
}

func (b *bucket) insertAll(slots []slot) {
	for _, s := range slots {
		if s.zone != nil {
			b.insert(s)
		}
	}
}

func (t *Table) put(s *Served, owned map[uint64]bool) {
	h := maphash.Bytes(t.seed, s.apex)
	b := t.own(h, owned)
	for i := h / buckets; ; i++ {
		at := &b.slots[i&uint64(len(b.slots)-1)]
		if at.zone == nil {
			break
		}
		if at.hash == h && string(at.zone.apex) == string(s.apex) {
			at.zone = s
			return
		}
	}
	b.insert(slot{h, s})
	b.count++
	t.tally(s.apex, 1)
}

func (t *Table) remove(apex []byte, owned map[uint64]bool) {
	if t.get(apex) == nil {
		return
	}
	h := maphash.Bytes(t.seed, apex)
	i := h % buckets
	old := t.buckets[i]
	b := &bucket{count: old.count - 1, slots: make([]slot, len(old.slots))}
	for _, s := range old.slots {
		if s.zone != nil && (s.hash != h || string(s.zone.apex) != string(apex)) {
			b.insert(s)
		}
	}
	t.buckets[i] = b
	owned[i] = true
	t.tally(apex, -1)
}

// tally counts an apex in, or out.
func (t *Table) tally(apex []byte, by int) {
	n := wire.Labels(apex)
	t.count += by
	t.counts[n] += uint32(by)
	if t.counts[n] > 0 {
		t.labels[n/64] |= 1 << (n % 64)
	} else {
		t.labels[n/64] &^= 1 << (n % 64)
	}
}
