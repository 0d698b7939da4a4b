package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkStore reports a store that can't be there. The default may be: whoever
// has not named one is served without, and warned.
func (r *reader) checkStore(file string) {
	if _, given := r.places["store"]; !given || file == "" || r.failed["store"] {
		return
	}
	info, err := os.Stat(file)
	switch {
	case err == nil && !info.Mode().IsRegular():
		r.failKey("store", "%s: is not a file; name the file of the database, or leave it empty (\"\") to keep nothing", file)
	case err == nil, errors.Is(err, fs.ErrPermission):
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		r.checkCreatable(filepath.Dir(file))
	default:
		r.failKey("store", "%s: %v", file, plain(err, ""))
	}
}

// checkCreatable reports a directory that is not there and can't be made.
func (r *reader) checkCreatable(dir string) {
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			r.failKey("store", "%s: is not a directory; name another file for the database", at)
		case err == nil && at != dir:
			if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
				r.failKey("store", "%s: there is no such directory, and it cannot be made in %s (%v); make it, or name another file for the database", dir, at, err)
			}
		// Who may not even look there is not the one who will serve.
		case err != nil && !errors.Is(err, fs.ErrPermission) && at != filepath.Dir(at):
			continue
		}
		return
	}
}
