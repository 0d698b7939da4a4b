package zonedir

import (
	"slices"
	"strings"
	"sync"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// State is how one zone file stands.
type State struct {
	File string // as it is named in findings
	// Zone is the name of the zone, with its final dot; "" if the file has none.
	Zone    string
	Serial  uint32    // of the version in service
	Records int       // of the version in service, as the file counts them
	Loaded  time.Time // when that was read; zero: there is none
	Took    time.Duration
	// Broken is since when the file is not taken; zero: it is.
	Broken   time.Time
	Shrunk   bool             // it would be taken with Force
	Findings int              // how many there are, warnings too
	First    zonefile.Finding // if there are any: the first error, or warning
}

// Counts is how all files stand.
type Counts struct {
	Zones   int // with a version in service
	Records int // of those versions
	Broken  int // files that are not taken, with or without an older version
	Shrunk  int // those of them that Force would take
	// Since the start:
	Loads    uint64 // versions that were taken
	Failures uint64 // versions that were not
}

// states is read by any goroutine while scans change it.
type states struct {
	mu     sync.RWMutex
	byFile map[string]*State // what a pointer points to never changes
	counts Counts
	stale  string // see Stale
}

// States is how all files stand now, sorted by file.
func (d *Dir) States() []State {
	s := &d.states
	s.mu.RLock()
	list := make([]State, 0, len(s.byFile))
	for _, st := range s.byFile {
		list = append(list, *st)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b State) int { return strings.Compare(a.File, b.File) })
	return list
}

// Counts is how all files stand now, in numbers.
func (d *Dir) Counts() Counts {
	d.states.mu.RLock()
	defer d.states.mu.RUnlock()
	return d.states.counts
}

// Stale is the index.lock of git that the last scan found there and no longer
// waits for, since it outlasted Patience: of a git that died, or that takes
// long. "": none. While there is one, a zone and what it includes may be of two
// commits. Any goroutine may ask.
func (d *Dir) Stale() string {
	d.states.mu.RLock()
	defer d.states.mu.RUnlock()
	return d.states.stale
}

func (s *states) setStale(lock string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = lock
}

// note puts down what became of a file.
func (s *states) note(name string, r *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byFile == nil {
		s.byFile = map[string]*State{}
	}
	now := time.Now()
	st := &State{File: r.File, Took: r.Took, Findings: len(r.Findings), First: first(r.Findings)}
	if r.Apex != nil {
		st.Zone = wire.NameString(r.Apex)
	}
	old := s.byFile[name]
	if r.Zone != nil {
		st.Serial, st.Records, st.Loaded = r.Zone.Serial(), r.Stats.Records, now
		s.counts.Loads++
	} else {
		st.Broken, st.Shrunk = now, r.Shrunk
		if old != nil && !old.Broken.IsZero() {
			st.Broken = old.Broken
		}
		if r.Kept && old != nil {
			st.Serial, st.Records, st.Loaded = old.Serial, old.Records, old.Loaded
		}
		s.counts.Failures++
	}
	s.counts.add(old, -1)
	s.counts.add(st, 1)
	s.byFile[name] = st
}

func (s *states) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.add(s.byFile[name], -1)
	delete(s.byFile, name)
}

// add counts a state in, or out.
func (c *Counts) add(st *State, by int) {
	if st == nil {
		return
	}
	if !st.Loaded.IsZero() {
		c.Zones += by
		c.Records += by * st.Records
	}
	if !st.Broken.IsZero() {
		c.Broken += by
	}
	if st.Shrunk {
		c.Shrunk += by
	}
}

// first is the first error, or else the first warning.
func first(findings []zonefile.Finding) (f zonefile.Finding) {
	for i := range findings {
		if findings[i].Severity == zonefile.Error {
			return findings[i]
		}
	}
	if len(findings) > 0 {
		f = findings[0]
	}
	return f
}
