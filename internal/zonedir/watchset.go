package zonedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// notifier is what a Watcher needs of fsnotify.
type notifier interface {
	Add(path string) error
	Remove(path string) error
	WatchList() []string
	Close() error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
}

// inotify is fsnotify's Watcher as a notifier.
type inotify struct{ *fsnotify.Watcher }

func (n inotify) Events() <-chan fsnotify.Event { return n.Watcher.Events }
func (n inotify) Errors() <-chan error          { return n.Watcher.Errors }

// eventBuffer is for events that come while one is looked into.
const eventBuffer = 4096

func openNotifier() (notifier, error) {
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		return nil, err
	}
	return inotify{w}, nil
}

// watchSet is the directories that are watched. They have to be given without
// symbolic links, so that events come by the names under which they are looked
// up.
type watchSet struct {
	notifier
	dirs map[string]identity
	// blind is the kind of a watched file system that tells only of changes
	// made on this machine, if at all.
	blind string
	// unsure: a directory could not be watched since it is still watched by the
	// name that it had before. That name's end is about to be told.
	unsure bool
}

// identity tells directories apart that took each other's place.
type identity struct{ dev, inode uint64 }

func newWatchSet(n notifier) *watchSet { return &watchSet{notifier: n, dirs: map[string]identity{}} }

// sync watches these directories and no others, and reports whether one is
// watched that was not before. What is not there is left out.
func (s *watchSet) sync(dirs []string) (news bool, err error) {
	watching := map[string]bool{}
	for _, path := range s.WatchList() {
		watching[path] = true
	}
	for path := range s.dirs {
		if !slices.Contains(dirs, path) {
			if watching[path] {
				_ = s.Remove(path) // At worst it has gone by itself.
			}
			delete(s.dirs, path)
		}
	}
	s.blind, s.unsure = "", false
	for _, path := range dirs {
		if kind := blindSystem(path); kind != "" {
			s.blind = kind
		}
		id, ok := identify(path)
		if old, known := s.dirs[path]; !ok || known && old == id && watching[path] {
			continue
		}
		if watching[path] {
			_ = s.Remove(path)
		}
		switch err := s.Add(path); {
		case err == nil:
			s.dirs[path] = id
			news = true
			s.unsure = s.unsure || !slices.Contains(s.WatchList(), path)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			delete(s.dirs, path) // It went just now, or is not for us to read.
		default:
			return news, fmt.Errorf("cannot watch %s: %w", path, err)
		}
	}
	return news, nil
}

func (s *watchSet) close() { _ = s.Close() }

func identify(path string) (id identity, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return id, false
	}
	if sys, is := info.Sys().(*syscall.Stat_t); is {
		id = identity{sys.Dev, sys.Ino}
	}
	return id, true
}

// blindSystem names the file system of a path if it doesn't tell of all
// changes: those made by other machines, or below an overlay; "" for others.
func blindSystem(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return ""
	}
	return blindKind(int64(st.Type))
}

func blindKind(magic int64) string {
	switch uint32(magic) {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "SMB"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "AFS"
	case unix.CEPH_SUPER_MAGIC:
		return "Ceph"
	case unix.CODA_SUPER_MAGIC:
		return "Coda"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return ""
}

// remedyFor says what can be done for events to come.
func remedyFor(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "raise sysctl fs.inotify.max_user_watches, and restart the server"
	case errors.Is(err, unix.EMFILE):
		return "raise sysctl fs.inotify.max_user_instances, or the limit of open files, and restart the server"
	}
	return "none is needed, unless changes have to be served sooner"
}
