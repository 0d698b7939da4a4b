// Package build owns the making of a geographic database: it reads the
// registries' statistics, geofeeds, Tor's files and CSV, lays them over each
// other, and writes an .mmdb file in the City layout.
//
// Invariant: what Read returns is disjoint and in order, and says of every
// address what the last source says that knows it. Nothing that stands in a
// file can make it use more memory than MaxRanges allows.
package build

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"
)

// MaxRanges is how many ranges all sources together may have; a range takes
// some 100 octets while it is being read. The whole Internet has about 700,000.
const MaxRanges = 1 << 22

// Kind is the format of a source.
type Kind uint8

// The formats.
const (
	Delegated Kind = iota // the statistics of AFRINIC, APNIC, ARIN, LACNIC, RIPE NCC
	Geofeed               // RFC 8805
	Tor                   // geoip and geoip6 of tor-geoipdb
	CSV                   // prefix,country,...
)

// String names the format as the command line does.
func (k Kind) String() string {
	switch k {
	case Delegated:
		return "delegated"
	case Geofeed:
		return "geofeed"
	case Tor:
		return "tor"
	case CSV:
		return "csv"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Source is a file to read.
type Source struct {
	Kind Kind
	Path string
}

// Options is what Read does, and how.
type Options struct {
	Sources  []Source                // later ones override earlier ones
	SkipBad  bool                    // leave out bad lines; else they are an error
	Progress func(done, total int64) // is told the octets that were read; nil: nobody is
}

// Place is what is known of a range. What isn't known is empty.
type Place struct {
	Country     string  // ISO 3166-1 alpha-2, or EU or XK
	Continent   string  // AF, AN, AS, EU, NA, OC or SA
	Subdivision string  // ISO 3166-2 without the country
	City        string  // for people
	Lat, Lon    float64 // degrees, if Located
	ASN         uint32  // 0: unknown
	Located     bool
}

// Range is the addresses from First to Last, of one family.
type Range struct {
	First, Last netip.Addr
	Place       Place
}

// Data is what the sources say, laid over each other.
type Data struct {
	Date     time.Time      // the newest that a source states, else the newest file's
	Files    []FileStats    // one a source
	Problems Problems       // the lines that were left out, if SkipBad
	Unplaced map[string]int // ranges by a code that is no country's, such as AP

	places []Place
	v4, v6 []span
}

// FileStats is what was found in a source.
type FileStats struct {
	Source Source
	Date   time.Time // that it states; zero: none
	Ranges int       // that it places
}

// Problem is a bad line. It is an error.
type Problem struct {
	File         string
	Line, Column int
	Message      string // what, and what to do
}

// Error gives "file:line:column: message".
func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// maxProblems is how many bad lines are told one by one.
const maxProblems = 20

// Problems is the bad lines of all files: the first ones, and how many there are.
type Problems struct {
	First []Problem
	Total int
}

// Error gives a line for each.
func (p Problems) Error() string {
	var s strings.Builder
	for i, one := range p.First {
		if i > 0 {
			s.WriteByte('\n')
		}
		s.WriteString(one.Error())
	}
	if more := p.Total - len(p.First); more > 0 {
		fmt.Fprintf(&s, "\nand %d more bad lines", more)
	}
	return s.String()
}

func (p *Problems) add(one Problem) {
	p.Total++
	if len(p.First) < maxProblems {
		p.First = append(p.First, one)
	}
}

// Read reads the sources. Bad lines are Problems as the error, unless SkipBad.
func Read(o Options) (*Data, error) {
	r := &reader{data: &Data{Unplaced: map[string]int{}}, known: map[Place]uint32{}, progress: newProgress(&o)}
	for i, s := range o.Sources {
		r.layer = uint32(i)
		if err := r.file(s); err != nil {
			return nil, err
		}
	}
	if r.data.Problems.Total > 0 && !o.SkipBad {
		return nil, r.data.Problems
	}
	// A list of own prefixes that was written today doesn't make old statistics new.
	if r.data.Date.IsZero() {
		r.data.Date = r.changed
	}
	r.data.v4, r.data.v6 = flatten(r.v4), flatten(r.v6)
	return r.data, nil
}

// Ranges are all addresses of which something is known: disjoint, equal
// neighbours joined, IPv4 first, in the addresses' order.
func (d *Data) Ranges() iter.Seq[Range] {
	return func(yield func(Range) bool) {
		for _, s := range d.v4 {
			if !yield(Range{s.first.ip4(), s.last.ip4(), d.places[s.place]}) {
				return
			}
		}
		for _, s := range d.v6 {
			if !yield(Range{s.first.ip6(), s.last.ip6(), d.places[s.place]}) {
				return
			}
		}
	}
}

// Len is the number of Ranges.
func (d *Data) Len() int { return len(d.v4) + len(d.v6) }

// Countries is the number of different countries in Ranges.
func (d *Data) Countries() int {
	used := make([]bool, len(d.places))
	for _, list := range [][]span{d.v4, d.v6} {
		for _, s := range list {
			used[s.place] = true
		}
	}
	codes := map[string]bool{}
	for i, p := range d.places {
		if used[i] && p.Country != "" {
			codes[p.Country] = true
		}
	}
	return len(codes)
}
