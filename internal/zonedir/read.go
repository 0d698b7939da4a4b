package zonedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"geodns/internal/steer/positions"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// reading is what one zone file was when it was read.
type reading struct {
	Result
	stamps []stamp // nil: could not be read, to be read again
	// includes are the names below the directory that $INCLUDE gave, also of
	// files that could not be opened.
	includes []string
	deps     []string // see places
	sum      uint64   // of what was read and of the findings
	busy     bool     // somebody is writing: nothing was read, or not all of one moment
	absent   bool     // the file went after it was listed
}

// loader reads zone files one after the other.
type loader struct {
	dir     string
	real    string // dir without symbolic links
	root    *os.Root
	git     *gitTree
	quiet   time.Duration
	builder *zone.Builder
	hash    *xxhash.Digest
}

func newLoader(dir string, root *os.Root, git *gitTree, quiet time.Duration) *loader {
	l := &loader{dir: dir, root: root, git: git, quiet: quiet, builder: zone.NewBuilder(), hash: xxhash.New()}
	return l
}

// openFlags make opening a pipe return at once, not wait for its writer.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK

// attempt is one reading of one file.
type attempt struct {
	*loader
	r      reading
	start  time.Time
	past   bool // the deadline: no more waiting for writers
	writer bool // somebody has a file open for writing
}

// load reads one file and compiles its zone, again and again until nobody wrote
// meanwhile. After the deadline it takes what it can get, if that is at least
// not being changed right then.
func (l *loader) load(name string, deadline time.Time) reading {
	for begin := time.Now(); ; {
		a := &attempt{loader: l, start: time.Now()}
		a.past = !deadline.IsZero() && a.start.After(deadline)
		before := l.git.state()
		if a.past || !l.git.locked(before) {
			a.read(name)
			changed := !steady(l.dir, l.root, a.r.stamps)
			again := changed || a.r.absent && a.start.Sub(begin) < l.quiet
			a.r.busy = again || !a.past && (a.writer || l.git.state() != before)
			if !a.r.busy {
				return a.r
			}
		}
		switch {
		case a.past:
			return a.unsteady(name)
		case deadline.IsZero():
			a.r.busy = true
			return a.r
		}
		time.Sleep(retryEvery)
	}
}

// unsteady is the result for a file that never stood still.
func (a *attempt) unsteady(name string) reading {
	r := reading{Result: Result{File: filepath.Join(a.dir, name), Apex: a.r.Apex, Took: a.r.Took}}
	a.hash.Reset()
	r.problem("being-written", "the file was being written all the time", "write another file, and rename it to this name when it is whole")
	r.sum = a.sumOf(&r)
	return r
}

// problem adds an error that concerns the file as a whole.
func (r *Result) problem(rule, message, remedy string) {
	r.Findings = append(r.Findings, zonefile.Finding{
		Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Rule: rule, Message: message, Remedy: remedy,
	})
}

// read opens one file and compiles its zone.
func (a *attempt) read(name string) {
	r := &a.r
	r.File = filepath.Join(a.dir, name)
	a.hash.Reset()
	defer func() {
		r.sum = a.sumOf(r)
		r.deps = depsOf(a.real, name, r.includes)
		r.Took = time.Since(a.start)
	}()
	origin, err := originOf(name)
	if err != nil {
		r.problem("file-name", err.Error(), "name the file after its zone, as in example.org.zone")
	}
	r.Apex = origin
	f, err := os.OpenFile(r.File, openFlags, 0)
	if err != nil {
		_, gone := os.Lstat(r.File)
		r.absent = errors.Is(gone, fs.ErrNotExist)
		r.problem("unreadable", message(err), "mind who may read it")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		r.problem("unreadable", "not a regular file", "put the zone's text there")
		return
	}
	if a.note(f, name, info); !a.writer {
		a.compile(f, origin, info.Size())
	}
}

// note stamps a file that is to be read, and looks whether somebody writes it.
func (a *attempt) note(f *os.File, name string, info fs.FileInfo) {
	s := stampOf(name, info).readAt(a.start)
	a.r.stamps = append(a.r.stamps, s)
	if a.past {
		return
	}
	open, known := writing(f)
	a.writer = a.writer || open || !known && s.age(a.start) < a.quiet
}

// compile parses a file and builds the zone.
func (a *attempt) compile(f io.Reader, origin []byte, size int64) {
	const lineLength = 24 // octets, about: only a hint for the first size
	r, b := &a.r, a.builder
	r.Places = positions.In(r.File)
	b.Reset(int(min(size/lineLength, 1<<20)))
	options := zonefile.Options{File: r.File, Origin: origin, Open: a.include, Strings: r.Places.Strings()}
	broken := false
	report := func(found zonefile.Finding) {
		broken = broken || found.Severity == zonefile.Error
		r.Findings = append(r.Findings, found)
	}
	stats, err := zonefile.Parse(io.TeeReader(f, a.hash), options, func(rr *wire.RR, pos zonefile.Pos) error {
		if p := b.Add(rr); p != nil {
			report(finding(pos, p))
		}
		r.Places.Note(rr, pos)
		return nil
	}, report)
	r.Stats = stats
	if err != nil {
		report(zonefile.Finding{Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Rule: "unreadable", Message: message(err), Remedy: "mend it and reload"})
	}
	if apex := b.Apex(); apex != nil {
		r.Apex = apex
	}
	if stats.Records == 0 && broken {
		return // That it has no SOA is not worth saying.
	}
	z, problems := b.Finish()
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

// sumOf is what tells two readings apart. It also notes what was read.
func (a *attempt) sumOf(r *reading) uint64 {
	r.Source = a.hash.Sum64()
	for _, f := range r.Findings {
		_, _ = a.hash.WriteString(f.String())
	}
	return a.hash.Sum64()
}

// within is the name of an included file below the directory.
func (l *loader) within(name string) string {
	if rel, err := filepath.Rel(l.dir, name); err == nil {
		return rel
	}
	return name
}

// hashed is an included file that adds to the sum what is read of it.
type hashed struct {
	io.Reader
	io.Closer
}

// include opens a file for $INCLUDE: within the directory only, so that who
// may write zones cannot read the rest of the machine. One that cannot be
// opened is remembered too: it may come.
func (a *attempt) include(name string) (io.ReadCloser, error) {
	rel := a.within(name)
	a.r.includes = append(a.r.includes, rel)
	f, info, err := a.openWithin(rel)
	if err != nil {
		a.r.stamps = append(a.r.stamps, stampWithin(a.root, rel))
		return nil, err
	}
	a.note(f, rel, info)
	return hashed{io.TeeReader(f, a.hash), f}, nil
}

func (a *attempt) openWithin(rel string) (*os.File, fs.FileInfo, error) {
	f, err := a.root.OpenFile(rel, openFlags, 0)
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
