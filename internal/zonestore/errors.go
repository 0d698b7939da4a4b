package zonestore

import (
	"errors"
	"fmt"
	"strings"

	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// What the errors of this package are, for errors.Is. Their texts say more.
var (
	// ErrNotThere: the store does not have it: the zone, its contents, or changes
	// that reach back as far as is asked for.
	ErrNotThere = errors.New("the store does not have it")
	// ErrNotNext: a change does not follow what is kept.
	ErrNotNext = errors.New("the change does not follow what is kept of the zone")
	// ErrChanged: the zone was changed by somebody else meanwhile.
	ErrChanged = errors.New("the zone was changed meanwhile")
	// ErrFull: there is no room, on the disk or below the limits.
	ErrFull = errors.New("there is no room")
	// ErrDamaged: what was read is not what was written.
	ErrDamaged = errors.New("the store is corrupted")
)

// Is makes damage an ErrDamaged.
func (d damage) Is(target error) bool { return target == ErrDamaged }

// fault is one of the errors above, with a text of its own.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string        { return f.text }
func (f *fault) Is(target error) bool { return target == f.kind }

func faultf(kind error, format string, args ...any) error {
	return &fault{kind, fmt.Sprintf(format, args...)}
}

// cannotWrite says why a transaction was not done, and what to do.
func (s *Store) cannotWrite(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		return faultf(ErrFull, "cannot write %s: it has reached %d MiB, the most that it may have; raise the limit of the store, or lower those of the journals", s.path, s.total()>>20)
	case noSpace(err):
		return faultf(ErrFull, "cannot write %s: there is no room on its disk: %v; nothing was changed: free some room and try again", s.path, err)
	}
	return fmt.Errorf("cannot write %s: %w", s.path, err)
}

// noSpace reports whether an error is that of a disk that is full. bbolt gives
// some as texts only.
func noSpace(err error) bool {
	for _, no := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}
