package zonestore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	// lockWait is how long another process may take to end its use of the file,
	// which a server does that is being restarted.
	lockWait = 5 * time.Second
	// lockRetry is how often it is looked at.
	lockRetry = 50 * time.Millisecond
	// attempts bounds how often a file may turn up, vanish or be damaged while it
	// is being opened.
	attempts = 5

	fileMode = 0o600
	dirMode  = 0o750
)

// Open opens the file, and makes it, with its directories, if it is not there.
// One that is corrupted is moved aside and logged, and a new one takes its
// place. One that is in use by another process, of a newer layout or another
// program's, or that can't be written to, is an error, and left as it is.
func Open(path string, log *slog.Logger) (*Store, error) {
	return open(path, log, lockWait)
}

func open(path string, log *slog.Logger, wait time.Duration) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the store: %w", err)
	}
	var saved salvage
	for range attempts {
		s, found, err := existing(path, log, wait)
		if found.verdicts != nil || found.states != nil || found.zones {
			saved = found
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = create(path, log, wait, saved)
		}
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the store %s: %w", path, err)
		}
		s.settle()
		return s, nil
	}
	return nil, fmt.Errorf("cannot use the store %s: it keeps changing; is another program writing there?", path)
}

func newStore(path string, log *slog.Logger) *Store {
	s := &Store{path: path, log: log}
	s.gens.held, s.gens.dead = map[uint64]int{}, map[uint64]bool{}
	return s
}

// salvage is what was found intact in a file that was moved aside.
type salvage struct {
	contents
	aside string // where it is now
}

// errAgain: what is at the path is not what it was a moment ago.
var errAgain = errors.New("it has just been replaced")

// existing opens a file that is there. If it is damaged, it is moved aside, what
// of it is intact is returned, and errAgain.
func existing(path string, log *slog.Logger, wait time.Duration) (*Store, salvage, error) {
	s := newStore(path, log)
	c, err := s.load(wait)
	if err == nil {
		return s, salvage{}, nil
	}
	saved := salvage{contents: c}
	if isDamage(err) || errors.Is(err, errEmpty) {
		// Before the lock ends.
		saved.aside, err = moveAside(path, log, err, c)
	}
	s.abandon()
	return nil, saved, err
}

// load opens the file that is there and looks at everything in it. After an error
// it is still locked, until abandon.
func (s *Store) load(wait time.Duration) (c contents, err error) {
	err = s.open(s.path, func() (*os.File, error) {
		f, err := openLocked(s.path, 0, wait)
		if err != nil {
			return nil, err
		}
		s.file = f
		return f, inspect(f)
	})
	if err == nil {
		err = s.guard(func() error {
			return s.db.View(func(tx *bolt.Tx) (err error) {
				c, err = check(tx)
				return err
			})
		})
	}
	if s.broken.Load() {
		err = damagef("bbolt found it so: %v", err)
	}
	return c, err
}

// errEmpty: a file of no octets is none that this package left.
var errEmpty = errors.New("the file is empty")

// inspect looks at a file before bbolt does.
func inspect(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() == 0:
		return errEmpty
	}
	return verify(f, info.Size())
}

// open opens the database in a file, which file opens and locks: bbolt's own lock
// is of the same open file, and so no obstacle.
func (s *Store) open(path string, file func() (*os.File, error)) error {
	err := s.guard(func() (err error) {
		s.db, err = bolt.Open(path, fileMode, &bolt.Options{
			FreelistType: bolt.FreelistMapType,
			MaxSize:      maxFile,
			NoStatistics: true,
			// The list of free pages would be written by every transaction, and
			// grows with what was ever dropped: see Close.
			NoFreelistSync: true,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) {
				f, err := file()
				if err != nil {
					// bbolt would close it, and so end the lock.
					return nil, err
				}
				return f, nil
			},
		})
		return err
	})
	for _, bad := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, bad) {
			return damagef("bbolt found it so: %v", err)
		}
	}
	return err
}

// abandon closes whatever is open of a store that is not to be used.
func (s *Store) abandon() {
	if s.db != nil && !s.broken.Load() {
		_ = s.Close()
	} else if s.file != nil {
		_ = s.unlock()
	}
}

// create makes a new file beside its place and puts it there when it is whole, so
// that a process that dies meanwhile leaves nothing that looks damaged. It returns
// errAgain if that went well.
func create(path string, log *slog.Logger, wait time.Duration, saved salvage) error {
	draft := path + ".new"
	s := newStore(path, log)
	err := s.open(path, func() (*os.File, error) {
		f, err := openLocked(draft, os.O_CREATE, wait)
		if err != nil {
			return nil, err
		}
		s.file = f
		return f, f.Truncate(0)
	})
	if err == nil {
		err = s.update(func(tx *bolt.Tx) error { return initialise(tx, saved.contents) })
	}
	if err == nil && saved.zones && saved.aside != "" {
		if err := s.takeOver(saved.aside); err != nil {
			log.Error("the zones of the corrupted store could not be taken over: they are made anew from their files and primaries", "error", err)
		}
	}
	if err == nil {
		err = install(draft, path)
	}
	s.abandon()
	if err != nil {
		return err
	}
	return errAgain
}

// install gives the draft its name, unless another process was quicker.
func install(draft, path string) error {
	err := os.Link(draft, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		err = nil
	case err != nil:
		// Not every file system has links.
		return errors.Join(os.Rename(draft, path), syncDir(path))
	}
	return errors.Join(err, os.Remove(draft), syncDir(path))
}

// moveAside puts a damaged file out of the way, for whoever wants to know what
// became of it, and says so. It returns where it is, and errAgain if that went
// well.
func moveAside(path string, log *slog.Logger, why error, intact contents) (aside string, err error) {
	if errors.Is(why, errEmpty) {
		log.Warn("the store was an empty file; it is made anew", "file", path)
		if err := os.Remove(path); err != nil {
			return "", err
		}
		return "", errAgain
	}
	aside = fmt.Sprintf("%s.corrupt-%s", path, time.Now().UTC().Format("20060102T150405.000000Z"))
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("it is corrupted (%w), and cannot be moved aside: %w", why, err)
	}
	if err := syncDir(path); err != nil {
		return "", err
	}
	log.Error("THE STORE IS CORRUPTED: it has been moved aside, and a new one takes its place; give drains and other commands again if they are lost",
		"file", path, "moved to", aside, "damage", why.Error(),
		"verdicts", survival(intact.verdicts), "commands", survival(intact.states))
	return aside, errAgain
}

func survival(payload []byte) string {
	if payload == nil {
		return "lost"
	}
	return "taken over"
}

// syncDir makes the names in the directory of a file last.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}
