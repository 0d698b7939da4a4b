package zonestore

import (
	"errors"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Limits bound what is kept. Zero: the default.
type Limits struct {
	// ZoneJournal is what the changes of a zone may take, in octets; by default
	// 64 MiB, or what the zone as a whole takes if that is more.
	ZoneJournal int64
	// Total is what the file may have, in octets; by default 8 GiB. When it is
	// reached, the changes that only history needs make room, the largest
	// journals first, and then what is to be written is refused.
	Total int64
	// Changes is how many changes of a zone are kept; by default 200,000.
	Changes int
}

const (
	defaultJournal = 64 << 20
	defaultChanges = 200_000
	// maxFile bounds the file by default, in octets.
	maxFile = min(8<<30, math.MaxInt>>1)

	// maxBehind is how many times the limit of a journal the changes behind a
	// zone's contents may take until the zone is compacted.
	maxBehind = 4
	// cutAtOnce bounds how many changes are cut off for one that is appended.
	cutAtOnce = 1024
)

// SetLimits changes the limits, from the next change on.
func (s *Store) SetLimits(l Limits) {
	s.limit.Store(&l)
	// bbolt reads it while it writes.
	_ = s.write(func(*bolt.Tx) error {
		s.db.MaxSize = s.total()
		return errUnchanged
	})
}

// errUnchanged ends a transaction that writes nothing.
var errUnchanged = errors.New("nothing is to be written")

// total is what the file may have, in octets.
func (s *Store) total() int {
	if l := s.limit.Load(); l != nil && l.Total > 0 {
		return int(min(l.Total, math.MaxInt>>1))
	}
	return maxFile
}

// bounds are the limits of one zone.
type bounds struct {
	octets  int64
	changes uint64
}

func (s *Store) limits(h *head) bounds {
	b := bounds{max(defaultJournal, h.contents[Current].Octets), defaultChanges}
	if l := s.limit.Load(); l != nil {
		if l.ZoneJournal > 0 {
			b.octets = l.ZoneJournal
		}
		if l.Changes > 0 {
			b.changes = uint64(l.Changes)
		}
	}
	return b
}

// Due reports whether a zone should be compacted: to read the changes behind its
// contents would take longer than what compacting saves. From a few times that on,
// Append refuses changes.
func (s *Store) Due(apex []byte) (bool, error) {
	h, err := s.lookup(apex)
	if err != nil || !h.has(Current) {
		return false, err
	}
	l := s.limits(&h)
	return s.due(&h, l), nil
}

func (s *Store) due(h *head, l bounds) bool {
	return h.has(Current) && (h.behind > min(max(4<<20, h.contents[Current].Octets), l.octets/2) ||
		h.next-h.replay > max(20_000, l.changes/2) || h.tail.Serial-h.contents[Current].Serial >= 1<<30)
}

// trim cuts changes off at the oldest end, as far as the limits demand and nobody
// needs them to load the zone. Those that are being read stay for a while.
func (b *batch) trim(h *head, l bounds) {
	most := l
	if b.s.isHeld(h.journal) {
		most.octets, most.changes = 2*l.octets, 2*l.changes
	}
	for i := 0; h.first < h.replay; i++ {
		// Serials can only be compared within half of all (RFC 1982 3.2).
		far := h.tail.Serial-h.oldest >= 1<<31
		tooMuch := h.octets > most.octets || h.next-h.first > most.changes
		if !far && (!tooMuch || i == cutAtOnce) || !b.cutOldest(h) {
			return
		}
	}
}

// cutOldest drops the oldest change.
func (b *batch) cutOldest(h *head) bool {
	e, err := readEntry(b.tx, h.journal, h.first)
	if err != nil {
		// It is of no use, whatever it was; what follows it may be.
		b.delete(bucketChanges, changeKey(h.journal, h.first, 0))
		h.first++
		h.oldest = h.tail.Serial
		if h.first < h.next {
			if next, err := readEntry(b.tx, h.journal, h.first); err == nil {
				h.oldest = next.From
			}
		}
		return b.err == nil
	}
	for i := range e.parts {
		b.delete(bucketChanges, changeKey(h.journal, h.first, i))
	}
	h.first++
	h.oldest = e.Serial
	h.octets = max(h.octets-e.size, 0)
	return b.err == nil
}

// shed cuts off what only history needs until need octets are free, the largest
// journals first. It reports whether there was anything.
func (s *Store) shed(need int64) bool {
	type candidate struct {
		apex []byte
		h    head
	}
	var list []candidate
	err := s.view(func(tx *bolt.Tx) error {
		return eachHead(tx, func(apex []byte, h *head, err error) error {
			if err == nil && h.octets > h.behind && h.first < h.replay {
				list = append(list, candidate{slices.Clone(apex), *h})
			}
			return nil
		})
	})
	if err != nil {
		return false
	}
	slices.SortFunc(list, func(a, b candidate) int { return int(b.h.octets - b.h.behind - a.h.octets + a.h.behind) })
	// A page is written beside its older version.
	need += shedMore
	did := false
	for i := range list {
		apex, before := list[i].apex, list[i].h.octets
		for need > 0 {
			h, err := s.shedZone(apex)
			if err != nil || h.octets >= before {
				break
			}
			need -= before - h.octets
			before, did = h.octets, true
		}
	}
	return did
}

// shedMore is what more than needed is freed, so that the next one need not do
// the same, in octets.
const shedMore = 1 << 20

// shedZone cuts off some of a zone's history.
func (s *Store) shedZone(apex []byte) (h head, err error) {
	err = s.write(func(tx *bolt.Tx) (err error) {
		b := &batch{s: s, tx: tx, heads: map[string]*head{}}
		if h, err = b.head(apex); err != nil {
			return err
		}
		for range cutAtOnce {
			if h.first >= h.replay || !b.cutOldest(&h) {
				break
			}
		}
		b.setHead(apex, &h)
		return b.finish()
	})
	return h, err
}
