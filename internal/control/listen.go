package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	socketMode = 0o660
	dirMode    = 0o755
	// maxPath is what a sockaddr_un holds, in octets (unix(7)).
	maxPath = 107
)

// socket is the Unix socket in its directory.
type socket struct {
	net.Listener
	path string
	info fs.FileInfo
}

// listen takes the path, over the socket of a server that is dead.
func listen(path string) (*socket, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path has %d octets, and a socket's can have %d: choose a shorter one", len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, err
	}
	if err := clear(path); err != nil {
		return nil, err
	}
	// The mode that a socket has before it is bound is that of its file
	// (unix(7)), less the umask: it is never open to more.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(cerr, err)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	s := &socket{Listener: l, path: path}
	if err = os.Chmod(path, socketMode); err == nil { // against the umask
		s.info, err = os.Lstat(path)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return s, nil
}

// clear removes the socket of a dead server. One that lives, and any other
// file, is an error.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is not a socket: remove it, or choose another path", path)
	}
	conn, err := net.Dial("unix", path)
	if errors.Is(err, unix.ECONNREFUSED) {
		return os.Remove(path)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	who := "a program"
	if peer, err := peerOf(conn); err == nil {
		who = fmt.Sprintf("another geodns (pid %d)", peer.PID)
	}
	return fmt.Errorf("%s listens there: stop it, or choose another path", who)
}

// Close ends the listening and takes the file away, if it is still ours.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) {
		_ = os.Remove(s.path)
	}
	return s.Listener.Close()
}

// peer is the process at the other end.
type peer struct {
	PID int32
	UID uint32
}

func peerOf(c net.Conn) (peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}, errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(cerr, err); err != nil {
		return peer{}, err
	}
	return peer{PID: cred.Pid, UID: cred.Uid}, nil
}
