package check

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"geodns/internal/steer"
	"geodns/internal/steer/positions"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// reader reads zone files one after the other.
type reader struct {
	builder *zone.Builder
	scratch node
}

func newReader() *reader { return &reader{builder: zone.NewBuilder()} }

// reading is what came of one file: its records, and what serve would say.
type reading struct {
	z        *zoneData
	text     []zonefile.Finding // of the file and its text
	compiled []zonefile.Finding // of the zone that is compiled from it
	told     map[string]int     // how many of them there were, by rule
	stats    zonefile.Stats
	places   *positions.Places
	zone     *zone.Zone // nil: serve would refuse it, or it has no steering
	names    int
	serial   uint32
	refused  bool // serve would refuse it
}

// read reads a file. Its $INCLUDEs reach what lies in its directory or below,
// as they do for serve. origin is the first one; nil: what the file is named
// after.
func (rd *reader) read(path string, origin []byte) *reading {
	r := &reading{z: newZoneData(path)}
	if origin == nil {
		var err error
		if origin, err = originOf(path); err != nil {
			r.fail("file-name", err.Error(), "name the file after its zone, as in example.org.zone, or say --origin")
		}
	}
	r.z.apex = origin
	f, root, err := open(path)
	if err != nil {
		r.fail("unreadable", reason(err), "mind the path, and who may read it")
		return r
	}
	defer root.Close()
	defer f.Close()
	r.places = positions.In(path)
	rd.parse(r, f, zonefile.Options{File: path, Origin: origin, Strings: r.places.Strings(), Open: func(name string) (io.ReadCloser, error) {
		return include(root, filepath.Dir(path), name)
	}})
	return r
}

// open opens a zone file, and its directory.
func open(path string) (*os.File, *os.Root, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var root *os.Root
	if err == nil {
		root, err = os.OpenRoot(filepath.Dir(path))
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, root, nil
}

// include opens a file for $INCLUDE, within the directory only.
func include(root *os.Root, dir, name string) (io.ReadCloser, error) {
	if rel, err := filepath.Rel(dir, name); err == nil {
		name = rel
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, errors.New(reason(err) + " (only files in the zones directory can be included)")
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// parse is the one reading: each record goes into the zone that serve would
// make, and into ours.
func (rd *reader) parse(r *reading, f io.Reader, o zonefile.Options) {
	rd.builder.Reset(0)
	var full error
	stats, err := zonefile.Parse(f, o, func(rr *wire.RR, pos zonefile.Pos) error {
		if p := rd.builder.Add(rr); p != nil {
			r.problem(pos, p)
		}
		if full = r.z.add(rr, pos); full != nil {
			return zonefile.ErrStop
		}
		r.places.Note(rr, pos)
		return nil
	}, func(f zonefile.Finding) { r.text = append(r.text, f) })
	r.stats = stats
	switch {
	case full != nil:
		r.fail("zone-too-large", full.Error(), "delegate a part of it")
	case err != nil:
		r.fail("unreadable", reason(err), "mend it and check again")
	}
	r.refused = r.refused || stats.Errors > 0
	if stats.Records == 0 && r.refused {
		return // That it has no SOA is not worth saying.
	}
	z, problems := rd.builder.Finish()
	for _, p := range problems {
		r.problem(r.z.start(), p)
	}
	if z != nil {
		r.serial, r.names = z.Serial(), z.Names()
		if steer.Declared(z) {
			r.zone = z
		}
	}
}

// fail notes what keeps a file from being read.
func (r *reading) fail(rule, message, remedy string) {
	r.refused = true
	r.text = append(r.text, zonefile.Finding{Pos: r.z.start(), Rule: rule, Message: message, Remedy: remedy})
}

// problem notes what the zone's builder says. Its rules are also ours, with the
// record's own place: see merge.
func (r *reading) problem(pos zonefile.Pos, p *zone.Problem) {
	f := zonefile.Finding{Pos: pos, Message: p.Message, Remedy: p.Remedy, Rule: p.Rule}
	if p.Warning {
		f.Severity = zonefile.Warning
	} else {
		r.refused = true
	}
	if r.told == nil {
		r.told = map[string]int{}
	}
	if r.told[f.Rule]++; r.told[f.Rule] <= maxOfRule {
		r.compiled = append(r.compiled, f)
	}
}

// originOf is the origin that a file's name promises.
func originOf(path string) ([]byte, error) {
	base := strings.TrimSuffix(filepath.Base(path), zonedir.Suffix)
	n, err := zonefile.ParseName(base+".", nil)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", base, err)
	}
	return wire.AppendLower(nil, n), nil
}

// reason is an error without the path, which the finding says anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
