package zonestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// openLocked opens a file for reading and writing, and waits for the lock that
// bbolt uses, too. It returns errAgain if another file has taken the name
// meanwhile.
func openLocked(path string, flag int, wait time.Duration) (*os.File, error) {
	// Before it is opened, which a device may notice.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file; name another one as store in geodns.yaml")
	}
	f, err := os.OpenFile(path, os.O_RDWR|flag, fileMode)
	if err != nil {
		return nil, err
	}
	if err = lock(f, wait); err == nil {
		err = sameFile(f, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func lock(f *os.File, wait time.Duration) error {
	for began := time.Now(); ; time.Sleep(lockRetry) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("it cannot be locked: %w", err)
		case time.Since(began) >= wait:
			return fmt.Errorf("it is in use by %s; end that, or name another file as store in geodns.yaml", holder(f))
		}
	}
}

// sameFile reports errAgain if a path leads to another file by now.
func sameFile(f *os.File, path string) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, now) {
		return errAgain
	}
	return err
}

// holder names the process that has the lock of a file, as well as the system
// tells.
func holder(f *os.File) string {
	const unknown = "another process"
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return unknown
	}
	locks, err := readSome("/proc/locks", 1<<20)
	if err != nil {
		return unknown
	}
	pid := lockOwner(locks, stat.Ino)
	if pid == 0 {
		return unknown
	}
	// Whatever the process calls itself is shown as one line.
	name, err := readSome(fmt.Sprintf("/proc/%d/comm", pid), 64)
	if err != nil {
		return fmt.Sprintf("the process with pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", strings.Trim(strconv.Quote(strings.TrimSpace(name)), `"`), pid)
}

func readSome(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most))
	return string(data), err
}

// lockOwner finds who holds the lock of an inode in the text of /proc/locks; 0 if
// nobody, or somebody who is not visible from here. Its lines are such as
//
//	4: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
//
// The numbers of devices are not those of stat on every file system, so that
// only the inode is compared.
func lockOwner(locks string, inode uint64) int {
	for line := range strings.Lines(locks) {
		words := strings.Fields(line)
		if len(words) != 8 || words[1] != "FLOCK" {
			continue
		}
		if i := strings.LastIndexByte(words[5], ':'); words[5][i+1:] != strconv.FormatUint(inode, 10) {
			continue
		}
		if pid, err := strconv.Atoi(words[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
