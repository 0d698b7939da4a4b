package zonestore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// The buckets and keys of the layout, and the layout itself.
const (
	bucketMeta     = "meta"
	bucketVerdicts = "verdicts"
	bucketState    = "state"
	// Since layout 1.1.
	bucketZones    = "zones"
	bucketContents = "contents"
	bucketChanges  = "changes"
	bucketTimers   = "timers"

	keyLayout = "layout"
	keyZones  = "zones" // since layout 1.1
	keyAll    = "all"

	layoutMajor = 1
	layoutMinor = 1
)

// Store is the open file. Its methods may be called from any goroutine. What
// they return as errors leaves the file as it was; the caller goes on serving.
type Store struct {
	db   *bolt.DB
	file *os.File // that of db, which locks it
	path string
	log  *slog.Logger
	// broken: something went wrong inside bbolt, after which it can't be used,
	// nor closed.
	broken atomic.Bool
	inUse  bool // it was found to be sound and of a known layout

	limit   atomic.Pointer[Limits] // nil: the defaults
	commits commits
	gens    generations
	timers  waitingTimers
	told    sync.Map // names of zones that were logged as damaged
}

// Close ends the use of the file, after the transactions that are under way.
func (s *Store) Close() error {
	s.timers.close()
	err := s.FlushTimers()
	if s.broken.Load() {
		return s.unlock()
	}
	if s.inUse {
		// bbolt need not read the whole file to find the free pages when it is
		// opened again. Where there is no room for their list, it does.
		_ = s.write(func(*bolt.Tx) error {
			s.db.NoFreelistSync = false
			return nil
		})
	}
	return errors.Join(err, s.guard(s.db.Close))
}

// unlock ends the lock and closes the file of a database that can't be closed,
// whose memory map would hold the lock for as long as the process lives.
func (s *Store) unlock() error {
	return errors.Join(unix.Flock(int(s.file.Fd()), unix.LOCK_UN), s.file.Close())
}

// view runs a transaction that reads.
func (s *Store) view(f func(*bolt.Tx) error) error {
	err := s.guard(func() error { return s.db.View(f) })
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", s.path, err)
	}
	return nil
}

// update runs a transaction that writes. It is done, and on the disk, if the
// error is nil. f may be called twice: before and after history made room.
func (s *Store) update(f func(*bolt.Tx) error) error {
	err := s.write(f)
	if errors.Is(err, bolterrors.ErrMaxSizeReached) && s.shed(0) {
		return s.updateOnce(f)
	}
	if err != nil {
		return s.cannotWrite(err)
	}
	return nil
}

// updateOnce is update for what can't be done twice.
func (s *Store) updateOnce(f func(*bolt.Tx) error) error {
	if err := s.write(f); err != nil {
		return s.cannotWrite(err)
	}
	return nil
}

// write runs a transaction that writes. It does what bbolt's Update does but for
// one thing: after a panic, that would read the whole file, which may be what
// panicked, in a goroutine where nothing catches it.
func (s *Store) write(f func(*bolt.Tx) error) error {
	return s.guard(func() error {
		tx, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		ended := false
		defer func() {
			if !ended {
				// Whoever waits for the lock must see it.
				s.broken.Store(true)
				_ = tx.Rollback()
			}
		}()
		if s.broken.Load() {
			err = errBroken
		} else {
			err = f(tx)
		}
		if err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
		ended = true
		return err
	})
}

// errBroken is what a store says after a panic in bbolt.
var errBroken = errors.New("it is corrupted, or was changed by something else while this server had it open; a restart moves it aside, and begins a new one")

// guard runs what uses bbolt, which panics when its file is not as it should be.
// It also turns faults in its memory map into errors: a file that somebody else
// cuts short has no memory behind it.
func (s *Store) guard(f func() error) (err error) {
	if s.broken.Load() {
		return errBroken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			s.broken.Store(true)
			s.log.Error("the store cannot be used any more; nothing is kept until a restart", "file", s.path, "panic", p, "stack", string(debug.Stack()))
			err = errBroken
		}
	}()
	return f()
}

// get returns the payload of a blob, which is valid until the transaction ends.
func get(tx *bolt.Tx, bucket, key string) ([]byte, error) {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil, damagef("the bucket %s is missing", bucket)
	}
	return unseal(bucket, key, b.Get([]byte(key)))
}

// put writes a blob, in a bucket that need not be there.
func put(tx *bolt.Tx, bucket, key string, payload []byte) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	return b.Put([]byte(key), seal(bucket, key, payload))
}

// contents are all that a store holds.
type contents struct {
	verdicts []byte // as encoded; nil: damaged
	states   []byte
	// zones: what leads to zones can be read, but for that of single ones.
	zones bool
}

// check reads all that there is. Of a file that is damaged it returns what is
// not.
func check(tx *bolt.Tx) (contents, error) {
	var c contents
	if err := checkLayout(tx); err != nil {
		return c, err
	}
	payload, verdictsErr := get(tx, bucketVerdicts, keyAll)
	if verdictsErr == nil {
		if _, verdictsErr = decodeVerdicts(payload); verdictsErr == nil {
			c.verdicts = append([]byte{}, payload...)
		}
	}
	payload, statesErr := get(tx, bucketState, keyAll)
	if statesErr == nil {
		if _, statesErr = decodeStates(payload); statesErr == nil {
			c.states = append([]byte{}, payload...)
		}
	}
	c.zones = true
	return c, errors.Join(statesErr, verdictsErr, checkZones(tx))
}

// checkZones looks at what leads to zones.
func checkZones(tx *bolt.Tx) error {
	n := 0
	err := eachHead(tx, func(_ []byte, _ *head, err error) error {
		n++
		return err
	})
	if err != nil || tx.Bucket([]byte(bucketZones)) == nil {
		return err
	}
	want, err := countOfZones(tx)
	if err == nil && n != want {
		return damagef("%d of %d zones are there", n, want)
	}
	return err
}

// checkLayout refuses what is of a newer major layout, and what is somebody
// else's.
func checkLayout(tx *bolt.Tx) error {
	ours := false
	for _, name := range []string{bucketMeta, bucketVerdicts, bucketState} {
		ours = ours || tx.Bucket([]byte(name)) != nil
	}
	if !ours {
		return errors.New("it is a bbolt database of another program; name another file as store in geodns.yaml")
	}
	payload, err := get(tx, bucketMeta, keyLayout)
	if err != nil {
		return err
	}
	major, minor, ok := strings.Cut(string(payload), ".")
	n, err := strconv.Atoi(major)
	m, minorErr := strconv.Atoi(minor)
	switch {
	case !ok || err != nil || minorErr != nil:
		return damagef("its layout is called %q", payload)
	case n > layoutMajor:
		return fmt.Errorf("it has layout %s, of a newer release; this one knows layout %d.%d: run the newer one, or name another file as store in geodns.yaml", payload, layoutMajor, layoutMinor)
	case n < layoutMajor:
		return damagef("its layout is called %q", payload)
	}
	for _, name := range zoneBuckets() {
		if m >= 1 && tx.Bucket([]byte(name)) == nil {
			return damagef("the bucket %s is missing", name)
		}
	}
	return nil
}

// zoneBuckets are those that came with layout 1.1.
func zoneBuckets() []string {
	return []string{bucketZones, bucketContents, bucketChanges, bucketTimers}
}

// upgrade makes a file of layout 1.0, or a new one, one of this.
func upgrade(tx *bolt.Tx) error {
	for _, name := range zoneBuckets() {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return errors.Join(putCountOfZones(tx, 0), put(tx, bucketMeta, keyLayout, []byte(layout())))
}

// isOlder reports whether a file that is sound has an older minor.
func isOlder(tx *bolt.Tx) bool {
	payload, err := get(tx, bucketMeta, keyLayout)
	if err != nil {
		return false
	}
	_, minor, _ := strings.Cut(string(payload), ".")
	m, err := strconv.Atoi(minor)
	return err == nil && m < layoutMinor
}

func layout() string { return fmt.Sprintf("%d.%d", layoutMajor, layoutMinor) }

// initialise writes the first transaction of a new file: everything that a
// layout has is there from the beginning, so that what is missing was lost.
func initialise(tx *bolt.Tx, c contents) error {
	if c.verdicts == nil {
		var err error
		if c.verdicts, err = encodeVerdicts(nil); err != nil {
			return err
		}
	}
	if c.states == nil {
		c.states = encodeStates(nil)
	}
	return errors.Join(
		upgrade(tx),
		put(tx, bucketVerdicts, keyAll, c.verdicts),
		put(tx, bucketState, keyAll, c.states),
	)
}
