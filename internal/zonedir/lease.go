package zonedir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writing reports whether somebody has the file open for writing. Linux tells
// it in passing: a read lease (fcntl(2)) is refused with EAGAIN while there are
// writers. known is false where leases are not to be had: on some file
// systems, and for files of other users without CAP_LEASE.
//
// The lease is given back at once; who opens the file for writing in between
// waits for these microseconds.
func writing(f *os.File) (open, known bool) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, false
	}
	var leased error
	err = conn.Control(func(fd uintptr) {
		if _, leased = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); leased == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	if err != nil {
		return false, false
	}
	return errors.Is(leased, unix.EAGAIN), leased == nil || errors.Is(leased, unix.EAGAIN)
}
