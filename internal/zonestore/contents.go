package zonestore

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

const (
	// blobSize is where a blob of records ends: with the first record that
	// reaches it.
	blobSize = 256 << 10
	// stageSize is how much is gathered for one transaction.
	stageSize = 4 << 20
	// largeRead is from how many octets on memory that maps the file is given
	// back after reading.
	largeRead = 1 << 20
)

// Records are what a zone consists of: a function that hands each to yield, in any
// order, and returns the first error that it or yield has.
type Records func(yield func(*wire.RR) error) error

// PutContent keeps a zone as a whole, instead of what was kept as that before.
// Records are taken one by one, and their number is not bounded by memory. The
// serial of the SOA among them must be that of the version. source is what it was
// made of.
//
// For Current, history begins anew with this version: the changes before it are
// dropped. If the zone changed while the records came, the error is ErrChanged.
// After any error, and if the process dies, what was kept before stays.
func (s *Store) PutContent(apex []byte, kind Kind, v Version, source Hash, each Records) error {
	if kind >= kinds {
		return fmt.Errorf("a zone has no contents of kind %d", kind)
	}
	before, err := s.lookup(apex)
	if err != nil {
		return err
	}
	w, err := s.gather(apex, each)
	if err == nil && w.serial != v.Serial {
		err = fmt.Errorf("the zone %s cannot be kept: its SOA has serial %d, not %d", wire.NameString(apex), w.serial, v.Serial)
	}
	journal := s.newGeneration()
	if err == nil {
		err = s.commit(w.size, func(b *batch) error {
			h, err := b.headOrNew(apex)
			switch {
			case isDamage(err):
				// What is damaged is replaced; what it led to is dropped when
				// the store is opened again.
				h = head{}
			case err != nil:
				return err
			case kind == Current && (h.journal != before.journal || h.next != before.next):
				return faultf(ErrChanged, "the zone %s was changed while its contents were written: they are not kept", wire.NameString(apex))
			}
			b.replace(&h, kind, w.finish(b, v, source))
			if kind == Current {
				b.dead = append(b.dead, h.begins(v, source, journal)...)
			}
			b.setHead(apex, &h)
			return nil
		})
	}
	if err == nil {
		s.told.Delete(wire.NameString(apex))
	}
	return w.end(err)
}

// replace makes contents those of a zone.
func (b *batch) replace(h *head, kind Kind, c stored) {
	if h.has(kind) {
		b.dead = append(b.dead, h.contents[kind].gen)
	}
	h.contents[kind] = c
}

// lookup returns what leads to a zone; nothing if nothing is kept of it, or if it
// is damaged.
func (s *Store) lookup(apex []byte) (h head, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		found, err := readHead(tx, apex)
		switch {
		case err == nil:
			h = *found
		case isDamage(err), errors.Is(err, ErrNotThere):
			err = nil
		}
		return err
	})
	return h, err
}

// gatherer writes the records of a zone under a generation to which nothing leads
// yet.
type gatherer struct {
	s      *Store
	packer packer
	gen    uint64
	// full are the blobs that are not written yet, with room for checksums; the
	// first of them has the number written.
	full    [][]byte
	written uint32
	blob    []byte
	size    int // of full and blob, in octets

	records int
	octets  int64 // of those written
	serial  uint32
	hasSOA  bool
}

// gather takes all records. What it returns is to be ended, whatever the error.
func (s *Store) gather(apex []byte, each Records) (*gatherer, error) {
	w := &gatherer{s: s, gen: s.newGeneration(), packer: packer{apex: apex}}
	if wire.NameLen(apex) != len(apex) {
		return w, fmt.Errorf("%q is no zone's name", apex)
	}
	err := each(w.add)
	if err == nil && !w.hasSOA {
		err = fmt.Errorf("the zone %s cannot be kept: it has no SOA", wire.NameString(apex))
	}
	return w, err
}

func (w *gatherer) add(rr *wire.RR) error {
	if w.blob == nil {
		// Most zones are small; those that are not get room at once.
		size := sealSize + 1<<10
		if w.records > 0 {
			size = blobSize + 4<<10
		}
		w.blob = make([]byte, sealSize, size)
		w.packer.reset()
	}
	if rr.Type == wire.TypeSOA && bytes.Equal(rr.Owner, w.packer.apex) {
		if w.serial, w.hasSOA = wire.SOASerial(rr.Data); !w.hasSOA {
			return fmt.Errorf("the SOA of %s is no SOA", wire.NameString(rr.Owner))
		}
	}
	var err error
	if w.blob, err = w.packer.append(w.blob, rr, 0); err != nil {
		return err
	}
	w.records++
	if len(w.blob) >= blobSize {
		w.close()
		if w.size >= stageSize {
			return w.stage()
		}
	}
	return nil
}

// close ends a blob.
func (w *gatherer) close() {
	if w.blob != nil {
		w.full, w.size, w.blob = append(w.full, w.blob), w.size+len(w.blob), nil
	}
}

// stage writes the blobs that there are.
func (w *gatherer) stage() error {
	err := w.s.commit(w.size, func(b *batch) error {
		w.put(b)
		return nil
	})
	if err != nil {
		return err
	}
	w.octets += int64(w.size)
	w.written += uint32(len(w.full))
	w.full, w.size = nil, 0
	return nil
}

func (w *gatherer) put(b *batch) {
	for i, blob := range w.full {
		b.put(bucketContents, contentKey(w.gen, w.written+uint32(i)), blob)
	}
}

// finish writes what is left in the transaction that makes something lead to it.
func (w *gatherer) finish(b *batch, v Version, source Hash) stored {
	w.close()
	w.put(b)
	return stored{
		Content: Content{Version: v, Source: source, Records: w.records, Octets: w.octets + int64(w.size)},
		gen:     w.gen, blobs: w.written + uint32(len(w.full)),
	}
}

// end drops what was written in vain, and returns the error.
func (w *gatherer) end(err error) error {
	if err != nil && w.written > 0 {
		w.s.bury([]uint64{w.gen})
	}
	if w.octets > 0 {
		w.s.relax()
	}
	return err
}

// Content reads what is kept as a whole: rec gets each record, which is valid only
// during the call. After an error, what rec got is not to be used: nothing of a
// blob that is damaged is handed out, but what is before it was. ErrNotThere: there
// are no such contents.
func (s *Store) Content(apex []byte, kind Kind, rec func(*wire.RR) error) (Content, error) {
	h, err := s.hold(apex)
	if err != nil {
		return Content{}, err
	}
	defer s.release(h)
	if kind >= kinds || !h.has(kind) {
		return Content{}, s.cannotRead(apex, ErrNotThere)
	}
	return s.read(apex, &h.contents[kind], rec)
}

func (s *Store) read(apex []byte, c *stored, rec func(*wire.RR) error) (Content, error) {
	if c.Octets >= largeRead {
		defer s.relax()
	}
	u := &unpacker{apex: apex}
	var buf []byte
	var rr wire.RR
	records := 0
	for i := range c.blobs {
		var err error
		if buf, err = s.blob(apex, bucketContents, contentKey(c.gen, i), buf[:0]); err != nil {
			return Content{}, err
		}
		for u.reset(buf); len(u.rest) > 0; records++ {
			if _, err := u.next(&rr); err != nil {
				return Content{}, s.cannotRead(apex, err)
			}
			if err := rec(&rr); err != nil {
				return Content{}, err
			}
		}
	}
	if records != c.Records {
		return Content{}, s.cannotRead(apex, damagef("%d of %d records are there", records, c.Records))
	}
	return c.Content, nil
}

// blob appends the payload of a blob of a zone: it is copied, so that nobody who
// reads for long stops those who write.
func (s *Store) blob(apex []byte, bucket string, key, to []byte) ([]byte, error) {
	err := s.guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			payload, err := get(tx, bucket, string(key))
			to = append(to, payload...)
			return err
		})
	})
	if err != nil {
		return nil, s.cannotRead(apex, err)
	}
	return to, nil
}

// cannotRead says what could not be read of a zone.
func (s *Store) cannotRead(apex []byte, err error) error {
	switch {
	case isDamage(err):
		return s.damaged(apex, err)
	case errors.Is(err, ErrNotThere):
		return faultf(ErrNotThere, "%s keeps no such contents or changes of %s", s.path, wire.NameString(apex))
	}
	return fmt.Errorf("cannot read %s of %s: %w", wire.NameString(apex), s.path, err)
}

// damaged says that what is kept of a zone can't be used, and logs it, once a
// zone.
func (s *Store) damaged(apex []byte, err error) error {
	name := wire.NameString(apex)
	if _, told := s.told.LoadOrStore(name, true); !told {
		s.log.Error("THE STORE IS CORRUPTED: what it keeps of a zone is not used; the zone is made anew from its file or its primary, changes that stand in neither are lost",
			"zone", name, "file", s.path, "damage", err.Error())
	}
	return fmt.Errorf("what %s keeps of %s is corrupted: %w", s.path, name, err)
}
