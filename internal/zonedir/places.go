package zonedir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// places is what a Watcher has to know of the directory: where things lie, with
// all symbolic links followed, and which zone files they concern. Scans write
// it, the Watcher reads it.
type places struct {
	mu    sync.Mutex
	root  string   // the directory, without symbolic links
	links []string // the links on the way to it

	// uses names the zone files that a place concerns: one that they include,
	// or a link on the way to that, or to themselves.
	uses map[string][]string
	deps map[string][]string // the other way round
	dirs map[string]int      // directories that hold such places, and how many

	took   time.Duration   // of the last scan
	follow []chan struct{} // told after each scan
}

// real is the directory, without symbolic links.
func (p *places) real() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.root
}

// setRoot notes where the directory is now.
func (p *places) setRoot(path string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	links, root := hops("/", strings.TrimPrefix(abs, "/"))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links, p.root = links, root
}

// set notes the places that a zone file depends on.
func (p *places) set(name string, deps []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.deps[name]
	if slices.Equal(old, deps) {
		return
	}
	for _, at := range old {
		p.drop(at, name)
	}
	if p.deps == nil {
		p.deps, p.uses, p.dirs = map[string][]string{}, map[string][]string{}, map[string]int{}
	}
	for _, at := range deps {
		if len(p.uses[at]) == 0 {
			p.dirs[filepath.Dir(at)]++
		}
		p.uses[at] = append(p.uses[at], name)
	}
	if p.deps[name] = deps; deps == nil {
		delete(p.deps, name)
	}
}

func (p *places) drop(at, name string) {
	if i := slices.Index(p.uses[at], name); i >= 0 {
		p.uses[at] = slices.Delete(p.uses[at], i, i+1)
	}
	if len(p.uses[at]) > 0 {
		return
	}
	delete(p.uses, at)
	dir := filepath.Dir(at)
	if p.dirs[dir]--; p.dirs[dir] == 0 {
		delete(p.dirs, dir)
	}
}

// scanned tells the Watcher of what may have moved.
func (p *places) scanned(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = took
	for _, c := range p.follow {
		select {
		case c <- struct{}{}:
		default: // It has not yet looked after the last time.
		}
	}
}

// lastTook is how long the last scan took.
func (p *places) lastTook() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took
}

// tell has c told after each scan, until stop is called.
func (p *places) tell(c chan struct{}) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follow = append(p.follow, c)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.follow = slices.DeleteFunc(p.follow, func(other chan struct{}) bool { return other == c })
	}
}

// concern says what a change at a path concerns: some zone files, or anything.
func (p *places) concern(path string) (names []string, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if path == p.root || slices.Contains(p.links, path) || p.dirs[path] > 0 {
		return nil, true
	}
	names = slices.Clone(p.uses[path])
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	inside := dir == p.root
	if inside && zoneFile(name) && !slices.Contains(names, name) {
		names = append(names, name)
	}
	if names != nil || !inside && p.dirs[dir] == 0 {
		return names, false
	}
	// Something else that lies there: a link or a directory may be on the way
	// to something that could not be opened; files in between are temporary.
	info, err := os.Lstat(path)
	return nil, err == nil && !info.Mode().IsRegular()
}

// watched lists the directories in which something may change that concerns
// zones, those only that are there.
func (p *places) watched() (dirs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirs = append(dirs, nearest(p.root), nearest(filepath.Dir(p.root)))
	for _, l := range p.links {
		dirs = append(dirs, nearest(filepath.Dir(l)))
	}
	for dir := range p.dirs {
		dirs = append(dirs, nearest(dir))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// nearest is a directory, or if that isn't there, the one in which it, or one
// above it, would appear.
func nearest(dir string) string {
	for dir != filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// maxHops is how many symbolic links Linux follows (path_resolution(7)).
const maxHops = 40

// hops follows a path that is relative to a directory without symbolic links,
// and returns the symbolic links on the way, and where it ends. What isn't
// there is taken as written.
func hops(from, path string) (links []string, end string) {
	end = from
	for rest := path; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		at := filepath.Join(end, part)
		to, err := os.Readlink(at)
		if err != nil || len(links) == maxHops {
			end = at
			continue
		}
		links = append(links, at)
		if filepath.IsAbs(to) {
			end = "/"
		}
		rest = to + "/" + rest
	}
	return links, end
}

// depsOf lists the places that a zone file in root depends on beside its own,
// sorted. The file may be a symbolic link; includes are below root.
func depsOf(root, name string, includes []string) (deps []string) {
	if links, end := hops(root, name); len(links) > 0 {
		deps = append(append(deps, links...), end)
	}
	for _, inc := range includes {
		links, end := hops(root, inc)
		deps = append(append(deps, links...), end)
	}
	slices.Sort(deps)
	return slices.Compact(deps)
}
