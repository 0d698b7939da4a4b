package zonedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// retryEvery is how often a scan looks whether somebody has done writing.
const retryEvery = 2 * time.Millisecond

// scan is one pass over the directory.
type scan struct {
	*Dir
	o        ScanOptions
	root     *os.Root
	start    time.Time
	deadline time.Time // for all waiting
	quiet    time.Duration
	serving  bool            // what was read before is being served meanwhile
	names    map[string]bool // of o.Names; nil: all
	done     map[string]bool // files that were read in this pass
}

// begin opens the directory.
func (d *Dir) begin(o ScanOptions) (*scan, error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the zones directory: %w", err)
	}
	now := time.Now()
	s := &scan{Dir: d, o: o, root: root, start: now, deadline: now.Add(d.Patience), done: map[string]bool{}}
	if d.scanned {
		s.serving = true
		s.quiet = d.Quiet
	}
	if o.Names != nil {
		s.names = make(map[string]bool, len(o.Names))
		for _, name := range o.Names {
			if zoneFile(name) {
				s.names[name] = true
			}
		}
	}
	d.places.setRoot(d.path)
	d.git.find(d.places.real())
	return s, nil
}

// zoneFile reports whether a name is that of a zone file.
func zoneFile(name string) bool {
	return strings.HasSuffix(name, Suffix) && name[0] != '.' && !strings.ContainsRune(name, '/')
}

// list names the zone files that are there, sorted, among those that the scan
// is about. While git checks out, files go and come again: it waits.
func (s *scan) list() (names []string, err error) {
	for {
		s.git.await(s.deadline)
		before := s.git.state()
		if names, err = s.listOnce(); err != nil {
			return nil, err
		}
		if s.git.state() == before || time.Now().After(s.deadline) {
			return s.confirm(names)
		}
	}
}

func (s *scan) listOnce() (names []string, err error) {
	if s.names != nil {
		for name := range s.names {
			if info, err := os.Lstat(filepath.Join(s.path, name)); err == nil && !info.IsDir() {
				names = append(names, name)
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("cannot read the zones directory: %w", err)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the zones directory: %w", err)
	}
	for _, e := range entries {
		if zoneFile(e.Name()) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// confirm looks again for the files that seem to be gone, if that can have
// happened just now: many programs write a file by putting a new one in the
// place of the old one that they took away before.
func (s *scan) confirm(names []string) ([]string, error) {
	if len(s.away(names)) == 0 {
		return names, nil
	}
	if info, err := os.Stat(s.path); err == nil {
		dir := stampOf("", info)
		if age := dir.age(time.Now()); age < s.quiet {
			time.Sleep(s.quiet - age)
			return s.listOnce()
		}
	}
	return names, nil
}

// away are the files known from before that are not among those there.
func (s *scan) away(there []string) (names []string) {
	missing := func(name string) {
		if _, found := slices.BinarySearch(there, name); !found && s.files[name] != nil {
			names = append(names, name)
		}
	}
	if s.names != nil {
		for name := range s.names {
			missing(name)
		}
	} else {
		for name := range s.files {
			missing(name)
		}
	}
	slices.Sort(names)
	return names
}

// todo are the files that have to be read.
func (s *scan) todo(there []string) (names []string) {
	for _, name := range there {
		f := s.files[name]
		if s.o.All || f == nil || s.o.Force && f.told.what == shrunk || s.free(name) || s.changed(f) {
			names = append(names, name)
		}
	}
	return names
}

// free reports whether the zone that a file waits for has no owner now.
func (s *scan) free(name string) bool {
	apex, waits := s.waiting[name]
	_, owned := s.owners[apex]
	return waits && !owned
}

// changed reports whether a file, or something that it includes, is not what
// it was.
func (s *scan) changed(f *file) bool {
	if len(f.stamps) == 0 {
		return true
	}
	return slices.ContainsFunc(f.stamps, func(st stamp) bool { return st.young }) || !steady(s.path, s.root, f.stamps)
}

// steady reports whether files are as their stamps say. The first is that of
// the zone file, which may be a symbolic link to anywhere; the others are of
// what it includes.
func steady(dir string, root *os.Root, stamps []stamp) bool {
	for i, old := range stamps {
		var now stamp
		if i == 0 {
			info, err := os.Stat(filepath.Join(dir, old.name))
			if err != nil {
				return false
			}
			now = stampOf(old.name, info)
		} else {
			now = stampWithin(root, old.name)
		}
		if !now.same(old) {
			return false
		}
	}
	return true
}

// read reads files on all CPUs: first those that nobody is writing, then, with
// patience, the others.
func (s *scan) read(names []string) []reading {
	readings := make([]reading, len(names))
	s.each(len(names), func(l *loader, i int) { readings[i] = l.load(names[i], time.Time{}) })
	var busy []int
	for i := range readings {
		s.done[names[i]] = true
		if readings[i].busy {
			busy = append(busy, i)
		}
	}
	if len(busy) > 0 {
		s.git.await(s.deadline)
		s.each(len(busy), func(l *loader, i int) { readings[busy[i]] = l.load(names[busy[i]], s.deadline) })
	}
	return readings
}

// each calls f for 0 to n-1 on all CPUs.
func (s *scan) each(n int, f func(l *loader, i int)) {
	next := make(chan int)
	at := s.places.real()
	var threads readers
	defer time.AfterFunc(lowFor, threads.raise).Stop()
	var wg sync.WaitGroup
	for range min(runtime.NumCPU(), n) {
		wg.Go(func() {
			if s.serving {
				defer threads.leave(threads.yield())
			}
			l := newLoader(s.path, s.root, &s.git, s.quiet)
			l.real = at
			for i := range next {
				f(l, i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
