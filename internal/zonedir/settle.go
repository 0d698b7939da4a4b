package zonedir

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"

	"geodns/internal/wire"
)

// settling is what happens with the zones after files were read.
type settling struct {
	*scan
	freed map[string]string // zones that lost their file, and that file
	held  map[string]file   // files as they were when they lost their zone
}

// vanish drops files that are there no more.
func (t *settling) vanish(names []string) {
	for _, name := range names {
		t.forget(name)
	}
}

// settle compares what was read with what was there before, and returns what is
// to be told. A zone has one file, and one that is not taken keeps its last
// good version.
func (t *settling) settle(readings []reading) (results []Result) {
	t.accept(readings)
	order := make([]*reading, 0, len(readings))
	for i := range readings {
		r := &readings[i]
		if r.absent {
			t.forget(r.name())
			continue
		}
		t.judge(r)
		order = append(order, r)
	}
	// Who has the zone already comes first, then who has something to serve.
	slices.SortStableFunc(order, func(a, b *reading) int { return cmp.Compare(t.rank(a), t.rank(b)) })
	for _, r := range order {
		if t.take(r) {
			results = append(results, r.Result)
		}
	}
	return results
}

// accept lets others look at what was read.
func (t *settling) accept(readings []reading) {
	if t.Accept == nil {
		return
	}
	var list []*Result
	for i := range readings {
		if r := &readings[i]; r.Zone != nil && !r.absent {
			list = append(list, &r.Result)
		}
	}
	if len(list) > 0 {
		t.Accept(list)
	}
}

// gone are the zones that nobody makes any more.
func (t *settling) gone() (results []Result) {
	for apex, name := range t.freed {
		if _, again := t.owners[apex]; !again {
			results = append(results, Result{File: filepath.Join(t.path, name), Apex: []byte(apex), Gone: true})
		}
	}
	return results
}

// rank orders those who want a zone.
func (s *scan) rank(r *reading) int {
	f := s.files[r.name()]
	switch mine := f.apex != nil && bytes.Equal(f.apex, r.Apex); {
	case mine && (f.loaded || r.Zone != nil):
		return 0
	case r.Zone != nil:
		return 1
	case mine:
		return 2
	}
	return 3
}

// release takes the zone from a file.
func (t *settling) release(name string) {
	f := t.files[name]
	t.held[name] = *f
	t.freed[string(f.apex)] = name
	delete(t.owners, string(f.apex))
	f.apex, f.loaded, f.records = nil, false, 0
}

// forget drops a file that is no more.
func (t *settling) forget(name string) {
	f := t.files[name]
	if f == nil {
		return
	}
	if f.apex != nil {
		t.release(name)
	}
	delete(t.files, name)
	delete(t.waiting, name)
	t.places.set(name, nil)
	t.states.remove(name)
}

// judge decides whether a version is taken, as far as its file alone is
// concerned.
func (t *settling) judge(r *reading) {
	name := r.name()
	f := t.files[name]
	if f == nil {
		f = &file{}
		t.files[name] = f
	}
	f.stamps = r.stamps
	t.places.set(name, r.deps)
	if r.Zone != nil && f.loaded && bytes.Equal(r.Apex, f.apex) && f.told != (verdict{sum: r.sum, what: good}) {
		t.compare(f, r)
	}
	if r.Zone == nil && f.loaded {
		r.Apex, r.Kept = f.apex, true
	}
	if f.apex != nil && !bytes.Equal(f.apex, r.Apex) {
		t.release(name)
	}
}

// take gives a zone to the file that makes it, and reports whether there is
// something to tell that was not told before.
func (t *settling) take(r *reading) bool {
	name := r.name()
	f := t.files[name]
	now := verdict{sum: r.sum, what: good}
	delete(t.waiting, name)
	switch other, owned := t.owners[string(r.Apex)]; {
	case r.Apex == nil:
		now.what = broken
	case owned && other != name && !t.yields(other, r):
		now.what, now.also = taken, other
		t.waiting[name] = string(r.Apex)
		t.refuse(f, r, other)
	case r.Shrunk:
		now.what = shrunk
	case r.Zone == nil:
		now.what = broken
	}
	if r.Apex != nil {
		t.owners[string(r.Apex)] = name
		f.apex = r.Apex
	}
	if f.told == now && !t.o.All {
		return false
	}
	f.told = now
	if r.Zone != nil {
		f.loaded, f.records = true, r.Stats.Records
	}
	t.states.note(name, &r.Result)
	return true
}

// yields reports whether the file that has a zone gives it up: it makes nothing
// of it, and the other does.
func (t *settling) yields(owner string, r *reading) bool {
	f := t.files[owner]
	if f.loaded || r.Zone == nil {
		return false
	}
	t.release(owner)
	f.stamps = nil // The next scan tells of the other one.
	return true
}

// refuse is for a file whose zone belongs to another one. If it had another
// zone before, it keeps that, as broken files do.
func (t *settling) refuse(f *file, r *reading, other string) {
	r.problem("zone-twice",
		"the zone "+wire.NameString(r.Apex)+" is made by "+filepath.Join(t.path, other)+" already",
		"remove one of the two files")
	r.Zone, r.Apex, r.Shrunk, r.Kept = nil, nil, false, false
	had, ok := t.held[r.name()]
	if _, gone := t.owners[string(had.apex)]; !ok || gone || !had.loaded {
		return
	}
	r.Apex, r.Kept = had.apex, true
	f.loaded, f.records = had.loaded, had.records
}

// freed are the files that waited for a zone that nobody makes now, and that
// were not read in this pass.
func (s *scan) freed() (names []string) {
	for name := range s.waiting {
		if s.free(name) && !s.done[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
