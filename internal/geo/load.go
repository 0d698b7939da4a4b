package geo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"geodns/internal/geo/place"
)

// maxFile bounds the files that are read, in octets.
const maxFile = 1 << 30

// Load reads all sources and flattens them into a Table. Errors name the file,
// where possible the place in it, and a remedy.
func Load(o Options) (*Table, error) {
	t, _, err := NewKeeper(o).Reload()
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Keeper keeps a Table that is as the files are. Its methods may be called from
// several goroutines.
type Keeper struct {
	o Options

	mu       sync.Mutex
	table    *Table
	base     *Table // what the own networks are laid over
	database stamp  // the files as they were when they were last tried
	networks stamp
	refused  error // of the database
	err      error // of the last Reload
}

// NewKeeper returns a Keeper that has loaded nothing.
func NewKeeper(o Options) *Keeper { return &Keeper{o: o} }

// Reload reads what has changed since the last time. It returns the Table that
// is good now, and whether it is another one than before. An error tells of a
// file that was refused, and whose last good content still stands; a Table can
// have changed nonetheless, by the other file. The Table is nil as long as not
// all files have been good.
func (k *Keeper) Reload() (t *Table, changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	database, networks := stampOf(k.o.Database), stampOf(k.o.Networks)
	if (k.table != nil || k.err != nil) && database == k.database && networks == k.networks {
		return k.table, false, k.err
	}
	fresh := networks != k.networks || k.table == nil
	if k.base == nil && k.refused == nil || database != k.database {
		base, stamp, err := k.readBase()
		k.database, k.refused = stamp, err
		if err == nil {
			k.base, fresh = base, true
		}
	}
	k.err, k.networks = k.refused, networks
	if fresh && k.base != nil {
		t, stamp, err := k.lay()
		k.networks, k.err = stamp, errors.Join(k.refused, err)
		if err == nil {
			k.table, changed = t, true
		}
	}
	return k.table, changed, k.err
}

// stale reports whether a file isn't as it was when it was last tried.
func (k *Keeper) stale() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return stampOf(k.o.Database) != k.database || stampOf(k.o.Networks) != k.networks
}

// readBase reads the database, or what stands in for it.
func (k *Keeper) readBase() (*Table, stamp, error) {
	if k.o.Database == "" {
		t, err := readBuiltIn(k.o)
		return t, stamp{}, err
	}
	content, s, err := readFile(k.o.Database)
	if err != nil {
		return nil, s, err
	}
	t, err := readDatabase(k.o.Database, content, k.o)
	if err != nil {
		return nil, s, Error{File: k.o.Database, Message: err.Error()}
	}
	return t, s, nil
}

func readBuiltIn(o Options) (*Table, error) {
	if o.BuiltIn == nil {
		return place.NewBuilder().Table(), nil
	}
	world, err := o.BuiltIn()
	if err != nil {
		return nil, fmt.Errorf("the built-in world can't be read (%w): this program is damaged, install it again", err)
	}
	return readWorld(world, o)
}

// lay makes a Table of the base and the own networks.
func (k *Keeper) lay() (*Table, stamp, error) {
	if k.o.Networks == "" {
		return k.base, stamp{}, nil
	}
	content, s, err := readFile(k.o.Networks)
	if err != nil {
		return nil, s, err
	}
	over := k.base.Overlay()
	list, err := readNetworks(k.o.Networks, string(content), over, k.o)
	if err != nil {
		return nil, s, err
	}
	info := Info{Source: Networks, File: k.o.Networks, Type: list.format, Built: time.Unix(0, s.mtime).UTC(), Networks: len(list.four) + len(list.six)}
	return over.Table(list.four, list.six, info), s, nil
}

// stamp tells whether a file changed. Its zero value stands for no file.
type stamp struct {
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
	dev, inode   uint64
}

func stampOf(name string) stamp {
	if name == "" {
		return stamp{}
	}
	info, err := os.Stat(name)
	if err != nil {
		return stamp{size: -1}
	}
	return stampOfInfo(info)
}

func stampOfInfo(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode, s.ctime = sys.Dev, sys.Ino, sys.Ctim.Nano()
	}
	return s
}

// readFile reads a file into memory. It isn't mapped: one that is overwritten
// or cut off in place would end the server by a signal, or change under it.
func readFile(name string) (content []byte, s stamp, err error) {
	fail := func(message string) ([]byte, stamp, error) { return nil, s, Error{File: name, Message: message} }
	// Opening a pipe would wait for who writes to it.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		s = stampOf(name)
		return fail("cannot be read: " + reason(err))
	}
	defer f.Close() //nolint:errcheck // It was only read.
	info, err := f.Stat()
	if err != nil {
		return fail("cannot be read: " + reason(err))
	}
	s = stampOfInfo(info)
	switch {
	case !info.Mode().IsRegular():
		return fail("is not a regular file: name one that is")
	case s.size > maxFile:
		return fail(fmt.Sprintf("is larger than %d octets: take a smaller one", maxFile))
	}
	var b bytes.Buffer
	b.Grow(int(s.size) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return fail("cannot be read: " + reason(err))
	}
	if info, err = f.Stat(); err != nil || stampOfInfo(info) != s || int64(b.Len()) != s.size {
		return fail("was written to while it was read: it is read again when that has ended; better replace it by renaming")
	}
	return b.Bytes(), s, nil
}

// reason is an error of the system with what to do about it.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file; correct the path, or put the file there"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied; let this program's user read the file and enter its directories"
	}
	return err.Error()
}
