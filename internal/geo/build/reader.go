package build

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"geodns/internal/geo/country"
)

// reader reads all sources into spans.
type reader struct {
	data     *Data
	known    map[Place]uint32 // places by number, from 1
	v4, v6   []span           // of all sources
	progress *progress
	changed  time.Time // when a file was written last

	// Of the file at hand:
	name  string
	layer uint32
	line  int
	text  string    // of the line
	date  time.Time // that the file states
	units int       // ranges that it places
	fatal error     // why nothing in it can be understood
}

// file reads one source.
func (r *reader) file(s Source) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return fmt.Errorf("%s: cannot be read: %w", s.Path, plain(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%s: cannot be read: %w", s.Path, plain(err))
	}
	if info.IsDir() {
		return fmt.Errorf("%s: is a directory; name the file in it", s.Path)
	}
	r.name, r.line, r.date, r.units = s.Path, 0, time.Time{}, 0
	begun4, begun6 := len(r.v4), len(r.v6)
	if err := r.lines(f, r.parser(s.Kind)); err != nil {
		return err
	}
	if s.Kind == Geofeed || s.Kind == CSV {
		r.v4 = r.unique(r.v4, begun4, addr.ip4, 32)
		r.v6 = r.unique(r.v6, begun6, addr.ip6, 128)
	}
	if r.date.After(r.data.Date) {
		r.data.Date = r.date
	}
	if at := info.ModTime(); at.After(r.changed) {
		r.changed = at
	}
	r.data.Files = append(r.data.Files, FileStats{s, r.date, r.units})
	return nil
}

// parser returns what reads a line of a format.
func (r *reader) parser(k Kind) func(line string) {
	switch k {
	case Delegated:
		return r.delegated
	case Tor:
		return r.tor
	default:
		return (&table{reader: r}).row
	}
}

// lines hands a file's lines to parse, empty ones apart.
func (r *reader) lines(f io.Reader, parse func(line string)) error {
	l := newLines(r.progress.reader(f))
	for {
		text, err := l.next()
		r.line, r.text = l.line, ""
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errLong):
			r.bad(1, "%v", err)
		case err != nil:
			return fmt.Errorf("%s: cannot be read: %w", r.name, plain(err))
		case len(text) > 0:
			r.text = string(text)
			parse(r.text)
		}
		if r.fatal != nil {
			return r.fatal
		}
		if len(r.v4)+len(r.v6) > MaxRanges {
			return fmt.Errorf("%s:%d:1: more than %d ranges; leave out a source, or join its neighbouring prefixes", r.name, r.line, MaxRanges)
		}
	}
}

// bad notes that the line at hand is wrong at a column, in octets, and what to
// do.
func (r *reader) bad(column int, format string, args ...any) {
	r.badAt(r.line, column, format, args...)
}

// refuse notes that the file cannot be read on after the line at hand.
func (r *reader) refuse(column int, format string, args ...any) {
	if r.fatal == nil {
		r.fatal = Problem{r.name, r.line, r.characters(column), fmt.Sprintf(format, args...)}
	}
}

func (r *reader) badAt(line, column int, format string, args ...any) {
	r.data.Problems.add(Problem{r.name, line, r.characters(column), fmt.Sprintf(format, args...)})
}

// characters makes a column in characters, which people count, of one in octets.
func (r *reader) characters(column int) int {
	return utf8.RuneCountInString(r.text[:min(max(column-1, 0), len(r.text))]) + 1
}

// clip makes a value short enough to be repeated in a message.
func clip(s string) string {
	const enough = 64
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "..."
	}
	return s
}

// add notes a range of the line at hand. A Place without anything hides what
// earlier sources say.
func (r *reader) add(first, last addr, four bool, p Place) {
	n := uint32(0)
	if p != (Place{}) {
		if n = r.known[p]; n == 0 {
			if len(r.data.places) == 0 {
				r.data.places = append(r.data.places, Place{})
			}
			n = uint32(len(r.data.places))
			r.data.places = append(r.data.places, p)
			r.known[p] = n
		}
		r.units++
	}
	s := span{first: first, last: last, place: n, layer: r.layer, line: uint32(r.line)}
	if four {
		r.v4 = append(r.v4, s)
	} else {
		r.v6 = append(r.v6, s)
	}
}

// inCountry is the Place of which only the country is known.
func inCountry(c country.Country) Place {
	return Place{Country: c.Code, Continent: c.Continent, Lat: c.Lat, Lon: c.Lon, Located: true}
}

// registered is the place of a country code as registries and Tor's files have
// them. That a range isn't in any country is no mistake there: it is counted,
// and ok is false. A malformed code is bad.
func (r *reader) registered(code field) (p Place, ok bool) {
	cc := strings.ToUpper(code.text)
	if cc == "UK" { // reserved in ISO 3166-1 for what has the code GB
		cc = "GB"
	}
	if c, ok := country.Lookup(cc); ok {
		return inCountry(c), true
	}
	switch {
	case cc == "" || cc == "??" || cc == "ZZ":
	case len(cc) == 2 && alphanumeric(cc):
		r.data.Unplaced[cc]++
	default:
		r.bad(code.column, "%q is no country code; write its two letters (ISO 3166-1), such as DE", clip(code.text))
	}
	return Place{}, false
}

func alphanumeric(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') }) < 0
}

// prefix reads a prefix, or an address, which is a prefix of full length (RFC
// 8805 section 2.1.1.1). IPv4 in IPv6 form is IPv4.
func (r *reader) prefix(f field) (p netip.Prefix, ok bool) {
	var err error
	var zone string
	if strings.Contains(f.text, "/") {
		p, err = netip.ParsePrefix(f.text)
	} else {
		var a netip.Addr
		a, err = netip.ParseAddr(f.text)
		p = netip.PrefixFrom(a, a.BitLen()) // without a zone
		zone = a.Zone()
	}
	if err != nil || zone != "" {
		r.bad(max(f.column, 1), "%q is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32", clip(f.text))
		return p, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case p.Masked() != p:
		// RFC 4632 section 3.1: the bits after the prefix are zero.
		r.bad(f.column, "%s has bits after its length; write %s", p, p.Masked())
	case p.Addr().Is6() && p.Bits() >= 96 && fromIP(p.Addr()).less(lowest6):
		// RFC 4291 section 2.5.5.1: ::/96 held IPv4 addresses once, and in the
		// .mmdb format it still does.
		r.bad(f.column, "%s: no host has an address in ::/96; leave the line out", p)
	default:
		return p, true
	}
	return p, false
}

// lowest6 is the address after ::/96.
var lowest6 = addr{0, 1 << 32}

// addPrefix notes a prefix.
func (r *reader) addPrefix(p netip.Prefix, place Place) {
	r.add(fromIP(p.Addr()), lastOf(p), p.Addr().Is4(), place)
}

// plain is the reason of an error of a file without the file's name.
func plain(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

// progress tells how much of all files has been read.
type progress struct {
	done, total int64
	tell        func(done, total int64)
}

func newProgress(o *Options) *progress {
	p := &progress{tell: o.Progress}
	for _, s := range o.Sources {
		if info, err := os.Stat(s.Path); err == nil {
			p.total += info.Size()
		}
	}
	return p
}

func (p *progress) reader(f io.Reader) io.Reader {
	if p.tell == nil {
		return f
	}
	return io.TeeReader(f, p)
}

// Write counts what is read.
func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	p.tell(p.done, max(p.total, p.done))
	return len(b), nil
}
