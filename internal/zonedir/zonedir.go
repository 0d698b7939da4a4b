// Package zonedir owns the directory of zone files: which files there are,
// which zones they make, and what changed since they were last read.
//
// Invariant: a file that is broken, or that vanished while it was read, never
// takes away what was read from it before; it is told as a Result with
// findings. What $INCLUDE opens lies within the directory.
package zonedir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// Suffix is what the names of zone files end with.
const Suffix = ".zone"

// Dir is a directory of zone files. It is for one goroutine at a time.
type Dir struct {
	path  string
	files map[string]*file // by name
}

// file is what is known of one zone file.
type file struct {
	stamps []stamp // of the file and of what it includes; nil: to be read
	apex   []byte  // the zone that it made last, or was to make
	loaded bool    // there is a good version of it
}

// stamp tells whether a file changed.
type stamp struct {
	name  string
	size  int64
	mtime time.Time
	inode uint64
	// young: the file had just been written when it was read, so that it may
	// have been written again within the clock's grain.
	young bool
}

// New returns a Dir of which nothing has been read yet.
func New(path string) *Dir { return &Dir{path: path, files: map[string]*file{}} }

// Result is what became of one zone file.
type Result struct {
	File string // as it is named in findings
	// Apex is the zone: of the file's SOA, or if that wasn't found, the one
	// that the file's name and $ORIGIN promise.
	Apex []byte
	// Zone is the version that the file makes; nil if it makes none.
	Zone *zone.Zone
	// Gone: the file is no more, or makes another zone now.
	Gone bool
	// Kept: the file is broken, and an older version of its zone was good.
	Kept     bool
	Findings []zonefile.Finding
	Stats    zonefile.Stats
	Took     time.Duration
}

// Broken reports whether the file made no zone though it is there.
func (r *Result) Broken() bool { return r.Zone == nil && !r.Gone }

// Scan reads what changed, on all CPUs, and returns a Result for each file that
// was read or that is gone, by name. With all, every file is read. The error is
// for a directory that can't be read; then nothing changes.
func (d *Dir) Scan(all bool) ([]Result, error) {
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	var todo []string
	for _, name := range names {
		if f := d.files[name]; all || f == nil || d.changed(root, f) {
			todo = append(todo, name)
		}
	}
	results := d.read(root, todo)
	results = append(results, d.vanished(names)...)
	results = d.settle(results)
	slices.SortStableFunc(results, func(a, b Result) int { return strings.Compare(a.File, b.File) })
	return results, nil
}

// list names the zone files.
func (d *Dir) list() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the zones directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, Suffix) && name[0] != '.' && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}

// changed reports whether a file, or something that it includes, is not what
// it was.
func (d *Dir) changed(root *os.Root, f *file) bool {
	if len(f.stamps) == 0 {
		return true
	}
	for i, old := range f.stamps {
		var info fs.FileInfo
		var err error
		if i == 0 {
			info, err = os.Stat(filepath.Join(d.path, old.name))
		} else {
			info, err = root.Stat(old.name)
		}
		if err != nil || old.young || stampOf(old.name, info, time.Time{}) != old {
			return true
		}
	}
	return false
}

// read reads files on all CPUs.
func (d *Dir) read(root *os.Root, names []string) []Result {
	results := make([]Result, len(names))
	stamps := make([][]stamp, len(names))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		wg.Go(func() {
			l := newLoader(d.path, root)
			for i := range next {
				results[i], stamps[i] = l.load(names[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	for i, name := range names {
		f := d.files[name]
		if f == nil {
			f = &file{}
			d.files[name] = f
		}
		f.stamps = stamps[i]
	}
	return results
}

// vanished are the files that are there no more.
func (d *Dir) vanished(names []string) (gone []Result) {
	for name, f := range d.files {
		if _, found := slices.BinarySearch(names, name); !found {
			delete(d.files, name)
			if f.apex != nil {
				gone = append(gone, Result{File: filepath.Join(d.path, name), Apex: f.apex, Gone: true})
			}
		}
	}
	return gone
}

// settle compares what was read with what was there before: a zone has one
// file, and one that is broken keeps its last good version.
func (d *Dir) settle(results []Result) []Result {
	owners := map[string]string{} // apex -> file that makes it and was not read now
	read := map[string]bool{}
	for i := range results {
		read[filepath.Base(results[i].File)] = true
	}
	for name, f := range d.files {
		if !read[name] && f.apex != nil {
			owners[string(f.apex)] = name
		}
	}
	for i := range len(results) {
		r := &results[i]
		name := filepath.Base(r.File)
		f := d.files[name]
		if f == nil {
			continue // vanished
		}
		if r.Zone == nil && f.loaded {
			r.Apex, r.Kept = f.apex, true
		}
		if other, taken := owners[string(r.Apex)]; taken && other != name {
			r.Zone = nil
			r.Findings = append(r.Findings, zonefile.Finding{
				Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Rule: "zone-twice",
				Message: "the zone " + wire.NameString(r.Apex) + " is made by " + filepath.Join(d.path, other) + " already",
				Remedy:  "remove one of the two files",
			})
			r.Apex = nil
			f.stamps = nil // until the other one goes
			continue
		}
		owners[string(r.Apex)] = name
		if f.apex != nil && !bytes.Equal(f.apex, r.Apex) {
			results = append(results, Result{File: r.File, Apex: f.apex, Gone: true})
			r = &results[i]
		}
		f.apex = r.Apex
		f.loaded = r.Zone != nil || r.Kept
	}
	return results
}

// stampOf is the stamp of a file; now is when it was read.
func stampOf(name string, info fs.FileInfo, now time.Time) stamp {
	s := stamp{name: name, size: info.Size(), mtime: info.ModTime(), inode: inode(info)}
	s.young = !now.IsZero() && now.Sub(s.mtime) < clockGrain
	return s
}

// clockGrain is how far apart two writes have to be so that their times
// differ, with a margin: file systems count in steps of up to two seconds.
const clockGrain = 2 * time.Second

// loader reads zone files one after the other.
type loader struct {
	dir     string
	root    *os.Root
	builder *zone.Builder
}

func newLoader(dir string, root *os.Root) *loader {
	return &loader{dir: dir, root: root, builder: zone.NewBuilder()}
}

// load reads one file and compiles its zone.
func (l *loader) load(name string) (Result, []stamp) {
	start := time.Now()
	r := Result{File: filepath.Join(l.dir, name)}
	problem := func(rule, message, remedy string) {
		r.Findings = append(r.Findings, zonefile.Finding{Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Rule: rule, Message: message, Remedy: remedy})
	}
	origin, err := originOf(name)
	if err != nil {
		problem("file-name", err.Error(), "name the file after its zone, as in example.org.zone")
	}
	r.Apex = origin
	f, err := os.Open(r.File)
	if err != nil {
		problem("unreadable", message(err), "mind who may read it")
		return r, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		problem("unreadable", "not a regular file", "put the zone's text there")
		return r, nil
	}
	stamps := []stamp{stampOf(name, info, start)}
	open := func(name string) (io.ReadCloser, error) {
		in, info, err := l.include(name)
		if err == nil {
			stamps = append(stamps, stampOf(l.within(name), info, start))
		}
		return in, err
	}
	l.compile(&r, f, origin, info.Size(), open)
	r.Took = time.Since(start)
	return r, stamps
}

// compile parses a file and builds the zone.
func (l *loader) compile(r *Result, f io.Reader, origin []byte, size int64, open func(string) (io.ReadCloser, error)) {
	const lineLength = 24 // octets, about: only a hint for the first size
	l.builder.Reset(int(min(size/lineLength, 1<<20)))
	options := zonefile.Options{File: r.File, Origin: origin, Open: open}
	broken := false
	report := func(found zonefile.Finding) {
		broken = broken || found.Severity == zonefile.Error
		r.Findings = append(r.Findings, found)
	}
	stats, err := zonefile.Parse(f, options, func(rr *wire.RR, pos zonefile.Pos) error {
		if p := l.builder.Add(rr); p != nil {
			report(finding(pos, p))
		}
		return nil
	}, report)
	r.Stats = stats
	if err != nil {
		report(zonefile.Finding{Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Rule: "unreadable", Message: message(err), Remedy: "mend it and reload"})
	}
	if apex := l.builder.Apex(); apex != nil {
		r.Apex = apex
	}
	if stats.Records == 0 && broken {
		return // That it has no SOA is not worth saying.
	}
	z, problems := l.builder.Finish()
	for _, p := range problems {
		report(finding(zonefile.Pos{File: r.File, Line: 1, Column: 1}, p))
	}
	if !broken {
		r.Zone = z
	}
}

func finding(pos zonefile.Pos, p *zone.Problem) zonefile.Finding {
	f := zonefile.Finding{Pos: pos, Severity: zonefile.Error, Message: p.Message, Remedy: p.Remedy, Rule: p.Rule}
	if p.Warning {
		f.Severity = zonefile.Warning
	}
	return f
}

// within is the name of an included file below the directory.
func (l *loader) within(name string) string {
	if rel, err := filepath.Rel(l.dir, name); err == nil {
		return rel
	}
	return name
}

// include opens a file for $INCLUDE: within the directory only, so that who
// may write zones cannot read the rest of the machine.
func (l *loader) include(name string) (io.ReadCloser, fs.FileInfo, error) {
	f, err := l.root.Open(l.within(name))
	if err != nil {
		return nil, nil, errors.New(message(err) + " (only files in the zones directory can be included)")
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// message is an error without the path, which the finding says anyway.
func message(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// originOf is the origin that a file's name promises.
func originOf(name string) ([]byte, error) {
	base := strings.TrimSuffix(filepath.Base(name), Suffix)
	n, err := zonefile.ParseName(base+".", nil)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", base, err)
	}
	return wire.AppendLower(nil, n), nil
}

// ReadFile reads one zone file by itself, wherever it lies; $INCLUDE reaches
// what lies in the same directory or below.
func ReadFile(path string) Result {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		pos := zonefile.Pos{File: path, Line: 1, Column: 1}
		return Result{File: path, Findings: []zonefile.Finding{{Pos: pos, Rule: "unreadable", Message: message(err), Remedy: "mind the path"}}}
	}
	defer root.Close()
	r, _ := newLoader(filepath.Clean(dir), root).load(name)
	return r
}
