package zonestore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// The buckets and keys of layout 1.0, and the layout itself.
const (
	bucketMeta     = "meta"
	bucketVerdicts = "verdicts"
	bucketState    = "state"

	keyLayout = "layout"
	keyAll    = "all"

	layoutMajor = 1
	layoutMinor = 0
)

// maxFile bounds the file, in octets: writing more is an error.
const maxFile = 1 << 30

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
}

// Close ends the use of the file, after the transactions that are under way.
func (s *Store) Close() error {
	if s.broken.Load() {
		return s.release()
	}
	return s.guard(s.db.Close)
}

// release ends the lock and closes the file of a database that can't be closed,
// whose memory map would hold the lock for as long as the process lives.
func (s *Store) release() error {
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
// error is nil.
func (s *Store) update(f func(*bolt.Tx) error) error {
	err := s.guard(func() error { return s.db.Update(f) })
	switch {
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		return fmt.Errorf("cannot write %s: it has reached %d MiB, the most that it may have", s.path, maxFile>>20)
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", s.path, err)
	}
	return nil
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
	return c, errors.Join(statesErr, verdictsErr)
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
	major, _, ok := strings.Cut(string(payload), ".")
	n, err := strconv.Atoi(major)
	switch {
	case !ok || err != nil:
		return damagef("its layout is called %q", payload)
	case n > layoutMajor:
		return fmt.Errorf("it has layout %s, of a newer release; this one knows layout %d.%d: run the newer one, or name another file as store in geodns.yaml", payload, layoutMajor, layoutMinor)
	case n < layoutMajor:
		return damagef("its layout is called %q", payload)
	}
	return nil
}

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
	layout := fmt.Sprintf("%d.%d", layoutMajor, layoutMinor)
	return errors.Join(
		put(tx, bucketMeta, keyLayout, []byte(layout)),
		put(tx, bucketVerdicts, keyAll, c.verdicts),
		put(tx, bucketState, keyAll, c.states),
	)
}
