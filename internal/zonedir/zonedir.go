// Package zonedir owns the directory of zone files: which files there are,
// which zones they make, what changed since they were last read, and when it is
// time to look again.
//
// Invariant: a file that is broken, half written, or that vanished while it was
// read, never takes away what was read from it before; it is told as a Result
// with findings. A version is read from files that did not change meanwhile,
// so that a zone and what it includes are of one moment. A zone belongs to one
// file. What $INCLUDE opens lies within the directory.
package zonedir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"geodns/internal/steer"
	"geodns/internal/steer/positions"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// Suffix is what the names of zone files end with.
const Suffix = ".zone"

// The defaults of Dir's fields.
const (
	DefaultShrinkLimit = 50
	DefaultPatience    = 5 * time.Second
	DefaultQuiet       = 100 * time.Millisecond
)

// ShrinkFrom is how many records a zone must have had for the shrink limit to
// apply: small zones change by large parts every day.
const ShrinkFrom = 10

// Dir is a directory of zone files. It is for one goroutine at a time, but for
// States, Counts and Stale, which any may call at any time.
type Dir struct {
	// ShrinkLimit refuses a file whose zone has lost more than that many
	// percent of its records, if it had ShrinkFrom or more. 0: off. It may be
	// changed between scans.
	ShrinkLimit int
	// Patience is how long a scan waits, all in all, for those who are writing:
	// who has a file open for writing, and git.
	Patience time.Duration
	// Quiet is how long a file must have been left alone where nobody can tell
	// whether it is open for writing, and how long one must have been away to
	// be gone. The first scan doesn't wait.
	Quiet time.Duration

	// Accept, if not nil, looks at the versions of one pass before they are
	// taken. It may note its Steering in a Result, add findings, and refuse a
	// version by taking its Zone away.
	Accept func([]*Result)

	path    string
	files   map[string]*file  // by name
	owners  map[string]string // the file that makes a zone, by apex
	waiting map[string]string // the apex that belongs to another file, by file
	scanned bool              // at least once
	git     gitTree
	states  states
	places  places
}

// file is what is known of one zone file.
type file struct {
	stamps  []stamp // of the file and of what it includes; nil: to be read
	apex    []byte  // the zone that it owns; nil: none
	records int     // of the version that was taken
	told    verdict // what was last said of it
	loaded  bool    // there is a good version of it
}

// verdict says what became of a reading, so that the same is not told twice.
type verdict struct {
	sum  uint64 // of what was read, or of why it could not be
	what outcome
	also string // the other file, for taken
}

type outcome uint8

const (
	unread outcome = iota
	good
	broken
	shrunk // refused by the shrink limit
	taken  // refused since the zone belongs to another file
)

// New returns a Dir of which nothing has been read yet.
func New(path string) *Dir {
	return &Dir{
		ShrinkLimit: DefaultShrinkLimit, Patience: DefaultPatience, Quiet: DefaultQuiet,
		path: path, files: map[string]*file{}, owners: map[string]string{}, waiting: map[string]string{},
	}
}

// Result is what became of one zone file.
type Result struct {
	File string // as it is named in findings
	// Apex is the zone: of the file's SOA, or if that wasn't found, the one
	// that the file's name and $ORIGIN promise. Nil: it has none of its own.
	Apex []byte
	// Zone is the version that the file makes; nil if it makes none.
	Zone *zone.Zone
	// Steering is what Accept has made of the zone's steering records; Places
	// is where they stand.
	Steering *steer.Program
	Places   *positions.Places
	// Source is a hash of the file and of what it includes: the same in every
	// process.
	Source uint64
	// Gone: the file is no more, or makes another zone now.
	Gone bool
	// Kept: the file is not taken, and an older version of its zone was good.
	Kept bool
	// Shrunk: it would be taken with Force.
	Shrunk   bool
	Findings []zonefile.Finding
	Stats    zonefile.Stats
	Took     time.Duration
}

// Broken reports whether the file made no zone though it is there.
func (r *Result) Broken() bool { return r.Zone == nil && !r.Gone }

// name is the file's name in the directory.
func (r *Result) name() string { return filepath.Base(r.File) }

// ScanOptions says what a scan is about.
type ScanOptions struct {
	// All reads every file, changed or not, and tells of every one.
	All bool
	// Names are files in the directory to look at, all that are there or were
	// if nil. Names that are no zone files are passed over.
	Names []string
	// Force takes what the shrink limit would refuse, or has refused.
	Force bool
}

// Scan looks at all files and reads those that changed, or with all every one.
// See ScanWith.
func (d *Dir) Scan(all bool) ([]Result, error) { return d.ScanWith(ScanOptions{All: all}) }

// ScanSome looks at the files of a Batch and reads those that changed. See
// ScanWith.
func (d *Dir) ScanSome(names []string) ([]Result, error) {
	return d.ScanWith(ScanOptions{Names: names})
}

// ScanWith reads what changed, on all CPUs, and returns a Result for each file
// that makes something else than before, or that is gone, by name. It may wait
// for those who are writing, Patience at most. The error is for a directory
// that can't be read; then nothing changes.
func (d *Dir) ScanWith(o ScanOptions) ([]Result, error) {
	s, err := d.begin(o)
	if err != nil {
		return nil, err
	}
	defer s.root.Close()
	there, err := s.list()
	if err != nil {
		return nil, err
	}
	t := &settling{s, map[string]string{}, map[string]file{}}
	t.vanish(s.away(there))
	results := t.settle(s.read(s.todo(there)))
	for more := s.freed(); len(more) > 0; more = s.freed() {
		results = append(results, t.settle(s.read(more))...)
	}
	results = append(results, t.gone()...)
	d.scanned = true
	d.states.setStale(d.git.outlived())
	d.places.scanned(time.Since(s.start))
	slices.SortStableFunc(results, func(a, b Result) int { return strings.Compare(a.File, b.File) })
	return results, nil
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
	l := newLoader(filepath.Clean(dir), root, &gitTree{}, 0)
	r := l.load(name, time.Now())
	return r.Result
}
