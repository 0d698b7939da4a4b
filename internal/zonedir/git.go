package zonedir

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// gitTree watches the git work tree that the directory lies in, if it does.
// Git holds index.lock from before it changes the first file of the work tree
// until after the last, and then renames it to index: what is read while there
// is no lock, and the index stays the same, is of one commit.
//
// While a scan's loaders run, it is only read.
type gitTree struct {
	dir   string // that of the index; "": there is none
	stale stamp  // a lock that outlived a wait: left behind by a git that died
}

// gitState is what there is to see of git's doings at one moment.
type gitState struct{ lock, index stamp }

// find looks for the work tree that a directory, without symbolic links, lies
// in.
func (g *gitTree) find(path string) {
	g.dir = ""
	for at := path; filepath.IsAbs(at); at = filepath.Dir(at) {
		info, err := os.Lstat(filepath.Join(at, ".git"))
		switch {
		case err == nil && info.IsDir():
			g.dir = filepath.Join(at, ".git")
			return
		case err == nil && info.Mode().IsRegular():
			g.dir = gitFile(at)
			return
		}
		if at == filepath.Dir(at) {
			return
		}
	}
}

// gitFile reads the .git of a linked work tree or a submodule: a file that
// says where the directory is (gitrepository-layout(5)).
func gitFile(at string) string {
	f, err := os.Open(filepath.Join(at, ".git"))
	if err != nil {
		return ""
	}
	defer f.Close()
	var buf [8 + 4096]byte // PATH_MAX
	n, _ := f.Read(buf[:])
	dir, ok := strings.CutPrefix(string(buf[:n]), "gitdir: ")
	if !ok {
		return ""
	}
	dir = strings.TrimRight(dir, "\r\n")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(at, dir)
	}
	return dir
}

// state is how things are now.
func (g *gitTree) state() (s gitState) {
	if g.dir == "" {
		return s
	}
	if info, err := os.Lstat(filepath.Join(g.dir, "index.lock")); err == nil {
		s.lock = stampOf("index.lock", info)
	}
	if info, err := os.Lstat(filepath.Join(g.dir, "index")); err == nil {
		s.index = stampOf("index", info)
	}
	return s
}

// locked reports whether git is at work.
func (g *gitTree) locked(s gitState) bool { return s.lock != stamp{} && s.lock != g.stale }

// await waits until git is done, or deadline. A lock that was there all the
// time isn't waited for again; locks that come and go are those of a git that
// lives.
func (g *gitTree) await(deadline time.Time) {
	var first stamp
	for {
		s := g.state()
		if !g.locked(s) {
			return
		}
		if first == (stamp{}) {
			first = s.lock
		}
		if time.Now().After(deadline) {
			if s.lock == first {
				g.stale = first
			}
			return
		}
		time.Sleep(retryEvery)
	}
}

// outlived is the lock that the last wait for it gave up; "": none.
func (g *gitTree) outlived() string {
	if g.stale == (stamp{}) || g.state().lock != g.stale {
		return ""
	}
	return filepath.Join(g.dir, "index.lock")
}
