package zonestore

import (
	"bytes"
	"errors"
	"sort"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

// Append keeps changes behind those that are kept: all of them, or none. It
// returns when they are on the disk; those who wait meanwhile share the next
// transaction. The error is ErrNotNext if the first does not begin where what is
// kept ends, or another where the one before it does; ErrNotThere if nothing is
// kept of the zone, which Begin and PutContent change.
//
// What grows beyond the limits is cut off at the oldest end, but never what Load
// needs: see Due.
func (s *Store) Append(apex []byte, changes ...*Change) error {
	list := make([]*packed, len(changes))
	size := 0
	for i, c := range changes {
		p, err := pack(apex, c)
		if err != nil {
			return err
		}
		if i > 0 && c.From != changes[i-1].Serial {
			return faultf(ErrNotNext, "a change of %s begins with serial %d, and the one before it ends with %d", wire.NameString(apex), c.From, changes[i-1].Serial)
		}
		list[i] = p
		size += int(p.size)
	}
	if len(list) == 0 {
		return nil
	}
	err := s.commit(size, func(b *batch) error { return b.append(apex, list) })
	if size >= stageSize {
		s.relax()
	}
	return err
}

func (b *batch) append(apex []byte, list []*packed) error {
	h, err := b.head(apex)
	switch {
	case err == nil && !h.known, errors.Is(err, ErrNotThere):
		return b.s.cannotRead(apex, ErrNotThere)
	case err != nil:
		return err
	case h.tail.Serial != list[0].From:
		return faultf(ErrNotNext, "the change of %s that begins with serial %d cannot be kept: what is kept ends with %d", wire.NameString(apex), list[0].From, h.tail.Serial)
	}
	l := b.s.limits(&h)
	size := int64(0)
	for _, p := range list {
		size += p.size
	}
	if h.has(Current) && (h.behind+size > maxBehind*l.octets && h.behind > 0 || list[len(list)-1].Serial-h.contents[Current].Serial >= 1<<31) {
		return faultf(ErrFull, "the changes of %s since it was last kept as a whole take more than is allowed: compact it first", wire.NameString(apex))
	}
	for _, p := range list {
		if !h.has(Current) && p.size > l.octets {
			// No transfer can begin before it, so that it is the oldest one.
			p.cut()
			b.dead = append(b.dead, h.journal)
			h.journal, h.first, h.oldest, h.octets = b.s.newGeneration(), h.next, p.From, 0
		}
		b.putChange(h.journal, h.next, p)
		h.next++
		h.octets += p.size
		if h.has(Current) {
			h.behind += p.size
		} else {
			h.replay = h.next
		}
	}
	last := list[len(list)-1]
	h.tail, h.source = last.Version, last.Source
	b.trim(&h, l)
	b.setHead(apex, &h)
	return nil
}

// Begin has the history of a zone begin with a version, of which no contents are
// kept: Load has nothing, but Journal and History go on from here. Current
// contents, if there were any, are dropped. Changes are kept if they lead to just
// that serial.
func (s *Store) Begin(apex []byte, v Version, source Hash) error {
	journal := s.newGeneration()
	return s.commit(perChange, func(b *batch) error {
		h, err := b.headOrNew(apex)
		if err != nil {
			return err
		}
		if h.has(Current) {
			b.replace(&h, Current, stored{})
		}
		if h.known && h.tail.Serial == v.Serial {
			h.source, h.replay, h.behind = source, h.next, 0
		} else {
			b.dead = append(b.dead, h.begins(v, source, journal)...)
		}
		b.setHead(apex, &h)
		return nil
	})
}

// Compact keeps the zone as a whole, as it was at the serial of the SOA among the
// records: one that the changes kept lead to. They stay, for transfers and for
// history, as far as the limits allow. Changes may be appended meanwhile.
func (s *Store) Compact(apex []byte, each Records) error {
	w, err := s.gather(apex, each)
	if err == nil {
		err = s.commit(w.size, func(b *batch) error { return b.compact(apex, w) })
	}
	return w.end(err)
}

func (b *batch) compact(apex []byte, w *gatherer) error {
	h, err := b.head(apex)
	if err != nil {
		return err
	}
	n, err := findChange(b.tx, &h, w.serial)
	if err != nil {
		return b.s.cannotRead(apex, err)
	}
	v, source := h.tail, h.source
	switch {
	case n < h.next && n > h.first:
		e, err := readEntry(b.tx, h.journal, n-1)
		if err != nil {
			return b.s.cannotRead(apex, err)
		}
		v, source = e.Version, e.Source
	case n < h.next && h.has(Current) && h.contents[Current].Serial == w.serial:
		v, source = h.contents[Current].Version, h.contents[Current].Source
	case n < h.next && h.begin.Serial == w.serial:
		v, source = h.begin, Hash{}
	case n < h.next:
		v, source = Version{Serial: w.serial}, Hash{}
	}
	behind := int64(0)
	for i := n; i < h.next; i++ {
		e, err := readEntry(b.tx, h.journal, i)
		if err != nil {
			return b.s.cannotRead(apex, err)
		}
		if e.Cut {
			return b.s.cannotRead(apex, ErrNotThere)
		}
		behind += e.size
	}
	b.replace(&h, Current, w.finish(b, v, source))
	h.replay, h.behind = n, behind
	b.trim(&h, b.s.limits(&h))
	b.setHead(apex, &h)
	return nil
}

// findChange returns the number of the change that leads from a serial, or the one to
// come if it is the newest. Serials ascend from each change to the next, all of
// them within half of all serials (see trim), so that they can be searched
// (RFC 1982 3.2).
func findChange(tx *bolt.Tx, h *head, from uint32) (uint64, error) {
	way := from - h.oldest
	switch {
	case !h.known || way > h.tail.Serial-h.oldest:
		return 0, ErrNotThere
	case from == h.tail.Serial:
		return h.next, nil
	}
	var failed error
	var found entry
	i := sort.Search(int(h.next-h.first), func(i int) bool {
		e, err := readEntry(tx, h.journal, h.first+uint64(i))
		if err != nil {
			failed = err
			return true
		}
		if e.From-h.oldest < way {
			return false
		}
		found = e
		return true
	})
	switch {
	case failed != nil:
		return 0, failed
	case i == int(h.next-h.first) || found.From != from:
		return 0, ErrNotThere
	}
	return h.first + uint64(i), nil
}

// Journal hands over the changes from that which leads from a serial to the
// newest; none if that serial is the newest. They are read one by one, and f may
// keep them. Those that are appended meanwhile don't come. ErrNotThere: the
// changes do not reach back to the serial.
func (s *Store) Journal(apex []byte, from uint32, f func(*Change) error) error {
	h, err := s.hold(apex)
	if err != nil {
		return err
	}
	defer s.release(h)
	var n uint64
	err = s.guard(func() error {
		return s.db.View(func(tx *bolt.Tx) (err error) {
			n, err = findChange(tx, h, from)
			return err
		})
	})
	if err != nil {
		return s.cannotRead(apex, err)
	}
	return s.changes(apex, h, n, from, f)
}

// Load reads what is current of a zone: the contents that are kept as a whole, and
// the changes behind them. See Content and Journal. What it returns is about the
// contents, without the changes.
func (s *Store) Load(apex []byte, rec func(*wire.RR) error, change func(*Change) error) (Content, error) {
	h, err := s.hold(apex)
	if err != nil {
		return Content{}, err
	}
	defer s.release(h)
	if !h.has(Current) {
		return Content{}, s.cannotRead(apex, ErrNotThere)
	}
	c, err := s.read(apex, &h.contents[Current], rec)
	if err == nil {
		err = s.changes(apex, h, h.replay, c.Serial, change)
	}
	return c, err
}

// changes reads those from a number on, the first of which leads from a serial.
func (s *Store) changes(apex []byte, h *head, n uint64, from uint32, f func(*Change) error) error {
	r := changeReader{s: s, apex: apex, h: h, n: n}
	if h.octets >= largeRead {
		defer s.relax()
	}
	for r.n < h.next {
		next, err := r.next()
		if err != nil {
			return err
		}
		e := &next.entry
		if e.From != from {
			return s.cannotRead(apex, damagef("a change leads from %d where %d was reached", e.From, from))
		}
		if e.Cut {
			return s.cannotRead(apex, ErrNotThere)
		}
		c, err := unpack(apex, e, next.blobs)
		if err != nil {
			return s.cannotRead(apex, err)
		}
		if err := f(c); err != nil {
			return err
		}
		from = e.Serial
	}
	if from != h.tail.Serial {
		return s.cannotRead(apex, damagef("the changes lead to %d instead of %d", from, h.tail.Serial))
	}
	return nil
}

// readAhead is how many octets of changes are read at once.
const readAhead = blobSize

// changeReader reads changes one after the other, in short transactions.
type changeReader struct {
	s     *Store
	apex  []byte
	h     *head
	n     uint64 // the next one
	ahead []found
}

// found is a change as it was read.
type found struct {
	entry
	blobs [][]byte // packed records
}

func (r *changeReader) next() (found, error) {
	if len(r.ahead) == 0 {
		if err := r.fill(); err != nil {
			return found{}, err
		}
	}
	f := r.ahead[0]
	r.ahead = r.ahead[1:]
	r.n++
	return f, nil
}

// fill reads ahead.
func (r *changeReader) fill() error {
	err := r.s.guard(func() error {
		return r.s.db.View(func(tx *bolt.Tx) error {
			if gone, err := r.gone(tx); gone || err != nil {
				return errors.Join(err, ErrNotThere)
			}
			size := int64(0)
			for n := r.n; n < r.h.next && size < readAhead; n++ {
				f, err := readChange(tx, r.h.journal, n)
				if err != nil {
					return err
				}
				r.ahead = append(r.ahead, f)
				size += f.size
			}
			return nil
		})
	})
	if err != nil {
		return r.s.cannotRead(r.apex, err)
	}
	return nil
}

// readChange reads a change and its records. They are copied, so that nobody who
// reads for long stops those who write, and whoever keeps one keeps nothing else.
func readChange(tx *bolt.Tx, journal, n uint64) (found, error) {
	payload, err := get(tx, bucketChanges, string(changeKey(journal, n, 0)))
	if err != nil {
		return found{}, err
	}
	e, records, err := decodeEntry(payload)
	f := found{e, [][]byte{bytes.Clone(records)}}
	for i := uint32(1); i < e.parts && err == nil; i++ {
		records, err = get(tx, bucketChanges, string(changeKey(journal, n, i)))
		f.blobs = append(f.blobs, bytes.Clone(records))
	}
	return f, err
}

// gone reports whether the next change was cut off since the zone's head was read.
func (r *changeReader) gone(tx *bolt.Tx) (bool, error) {
	h, err := readHead(tx, r.apex)
	if errors.Is(err, ErrNotThere) {
		return false, nil
	}
	return err == nil && h.journal == r.h.journal && r.n < h.first, err
}

// History returns at most n summaries of what led to the newest version, the
// newest first.
func (s *Store) History(apex []byte, n int) (list []Summary, err error) {
	h, err := s.hold(apex)
	if err != nil {
		return nil, err
	}
	defer s.release(h)
	err = s.guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			list = nil
			for i := h.next; i > h.first && len(list) < n; i-- {
				e, err := readEntry(tx, h.journal, i-1)
				if err != nil {
					// Whatever was cut off meanwhile ends history.
					if gone, _ := (&changeReader{s: s, apex: apex, h: h, n: i - 1}).gone(tx); gone {
						return nil
					}
					return err
				}
				list = append(list, e.Summary)
			}
			return nil
		})
	})
	if err != nil {
		return nil, s.cannotRead(apex, err)
	}
	if h.known && h.begin.Serial == h.oldest && len(list) == int(h.next-h.first) && len(list) < n {
		list = append(list, Summary{From: h.begin.Serial, Version: h.begin, Whole: true})
	}
	return list, nil
}
