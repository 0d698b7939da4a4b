package zonedir

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// stamp tells whether a file changed. Its zero value stands for no file.
type stamp struct {
	name         string
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
	dev, inode   uint64
	missing      bool // it was not there, or could not be opened
	// young: the file had just been written when it was read, so that it may
	// have been written again within the clock's grain.
	young bool
}

// clockGrain is how far apart two writes have to be so that their times
// differ, with a margin: file systems count in steps of up to two seconds.
const clockGrain = 2 * time.Second

// stampOf is the stamp of a file.
func stampOf(name string, info fs.FileInfo) stamp {
	s := stamp{name: name, size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode = sys.Dev, sys.Ino
		s.ctime = sys.Ctim.Nano()
	}
	return s
}

// stampWithin is the stamp of a file that may be included; of one that is not
// there, or not within the directory, it says so.
func stampWithin(root *os.Root, name string) stamp {
	info, err := root.Stat(name)
	if err != nil {
		return stamp{name: name, missing: true}
	}
	return stampOf(name, info)
}

// age is how long ago the file was written; 0 if that lies in the future, as
// clocks of file servers do.
func (s *stamp) age(now time.Time) time.Duration {
	return max(0, time.Duration(now.UnixNano()-max(s.mtime, s.ctime)))
}

// readAt notes when the file was read.
func (s stamp) readAt(now time.Time) stamp {
	s.young = !s.missing && s.age(now) < clockGrain
	return s
}

// same reports whether the file is as it was; young doesn't matter.
func (s stamp) same(other stamp) bool {
	s.young, other.young = false, false
	return s == other
}
