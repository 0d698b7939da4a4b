package zonestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// settle gets a store that has been opened ready for use. That the disk is full is
// no obstacle: what can't be written now is written later.
func (s *Store) settle() {
	s.inUse = true
	older := false
	var orphans []uint64
	err := s.view(func(tx *bolt.Tx) error {
		older = isOlder(tx)
		var last uint64
		orphans, last = findOrphans(tx)
		s.gens.mu.Lock()
		defer s.gens.mu.Unlock()
		s.gens.last = max(s.gens.last, last)
		return nil
	})
	if err == nil && older {
		err = s.update(upgrade)
	}
	if err != nil {
		s.log.Warn("the store is used as it is, and could not be brought up to this release", "error", err)
	}
	s.bury(orphans)
	s.relax()
}

// findOrphans returns the generations to which nothing leads: what a process wrote
// that died, or replaced. last is the largest of all.
func findOrphans(tx *bolt.Tx) (orphans []uint64, last uint64) {
	used := map[uint64]bool{}
	_ = eachHead(tx, func(_ []byte, h *head, err error) error {
		if err == nil {
			for _, gen := range h.generations() {
				used[gen] = true
				last = max(last, gen)
			}
		}
		return nil
	})
	for _, name := range []string{bucketContents, bucketChanges} {
		b := tx.Bucket([]byte(name))
		if b == nil {
			continue
		}
		c := b.Cursor()
		for k, _ := c.First(); len(k) >= 8; {
			gen := binary.BigEndian.Uint64(k)
			if last = max(last, gen); !used[gen] {
				orphans = append(orphans, gen)
			}
			if gen+1 == 0 {
				break
			}
			k, _ = c.Seek(binary.BigEndian.AppendUint64(nil, gen+1))
		}
	}
	return orphans, last
}

// relax gives the memory back that maps the file: what was read once stays in the
// system's cache, but need not count as this process's.
func (s *Store) relax() {
	_ = s.guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			// Nothing is unmapped while a transaction lasts.
			page := int64(unix.Getpagesize())
			size := uintptr(tx.Size() / page * page)
			_, _, no := unix.Syscall(unix.SYS_MADVISE, s.db.Info().Data, size, unix.MADV_DONTNEED)
			if no != 0 {
				return no
			}
			return nil
		})
	})
}

// takeOver copies what is kept of zones from a file that was moved aside. Blobs
// are taken as they are: they are looked at when they are read.
func (s *Store) takeOver(aside string) error {
	var old *bolt.DB
	err := s.guard(func() (err error) {
		old, err = bolt.Open(aside, fileMode, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		return err
	})
	if err != nil {
		return err
	}
	zones, lost := 0, 0
	err = s.guard(func() error {
		return old.View(func(tx *bolt.Tx) error {
			return eachHead(tx, func(apex []byte, h *head, err error) error {
				if err != nil {
					lost++
					return nil
				}
				zones++
				return s.takeOverZone(tx, apex, h)
			})
		})
	})
	if s.broken.Load() {
		return err
	}
	err = errors.Join(err, s.update(func(tx *bolt.Tx) error {
		n := 0
		_ = eachHead(tx, func([]byte, *head, error) error {
			n++
			return nil
		})
		return putCountOfZones(tx, n)
	}))
	if zones+lost > 0 {
		s.log.Error("of the zones that the corrupted store kept, those that are intact have been taken over",
			"file", s.path, "from", filepath.Base(aside), "zones", zones, "lost", lost)
	}
	return errors.Join(err, s.guard(old.Close))
}

func (s *Store) takeOverZone(tx *bolt.Tx, apex []byte, h *head) error {
	for _, gen := range h.generations() {
		prefix := binary.BigEndian.AppendUint64(nil, gen)
		for _, name := range []string{bucketContents, bucketChanges} {
			if b := tx.Bucket([]byte(name)); b != nil {
				if err := s.copyBlobs(b, name, prefix); err != nil {
					return err
				}
			}
		}
	}
	return s.updateOnce(func(to *bolt.Tx) error {
		if b := tx.Bucket([]byte(bucketTimers)); b != nil {
			if blob := b.Get(apex); blob != nil {
				if err := putRaw(to, bucketTimers, apex, blob); err != nil {
					return err
				}
			}
		}
		return putRaw(to, bucketZones, apex, tx.Bucket([]byte(bucketZones)).Get(apex))
	})
}

func putRaw(to *bolt.Tx, bucket string, key, blob []byte) error {
	b := to.Bucket([]byte(bucket))
	if b == nil {
		return fmt.Errorf("the bucket %s is missing", bucket)
	}
	return b.Put(key, blob)
}

// copyBlobs copies those of a generation, some in each transaction.
func (s *Store) copyBlobs(from *bolt.Bucket, bucket string, prefix []byte) error {
	c := from.Cursor()
	k, blob := c.Seek(prefix)
	for more := true; more; {
		err := s.updateOnce(func(tx *bolt.Tx) error {
			for size := 0; size < stageSize; k, blob = c.Next() {
				if more = len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix); !more {
					return nil
				}
				if err := putRaw(tx, bucket, k, blob); err != nil {
					return err
				}
				size += len(blob) + perChange
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
