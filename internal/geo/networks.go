package geo

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"geodns/internal/geo/place"
)

// networksFile is own networks, sorted, by family.
type networksFile struct {
	four, six []place.Network
	format    string
}

// networksReader reads the text of own networks.
type networksReader struct {
	Options
	*place.Overlay
	name    string
	out     networksFile
	columns []column // what a line's fields are
	// lenient: fields beyond the columns are ignored (RFC 8805 section 2.1.4).
	lenient bool
	line    int
	text    string // of the line
	fields  []field
	// seen has the places by the text of all fields but the prefix, which is the
	// same for many lines.
	seen    map[string]uint32
	scratch []byte
	errs    Errors
}

// column is what a field of a line says.
type column uint8

const (
	colPrefix column = iota
	colCountry
	colSubdivision
	colCity
	colLat
	colLon
	colASN
	colContinent
	colIgnored
)

// header is the names of the columns, by column.
func header() []string {
	return []string{"prefix", "country", "subdivision", "city", "lat", "lon", "asn", "continent"}
}

// readNetworks reads own networks from text. Errors are of type Errors.
func readNetworks(name, text string, over *place.Overlay, o Options) (networksFile, error) {
	r := networksReader{Options: o, Overlay: over, name: name, seen: map[string]uint32{}}
	text = strings.TrimPrefix(text, "\ufeff") // as some spreadsheets begin a file
	for text != "" && len(r.errs) < maxErrors {
		r.text, text, _ = strings.Cut(text, "\n")
		r.text = strings.TrimSuffix(r.text, "\r")
		if r.line++; r.line == math.MaxUint32 {
			r.fail(0, "there are too many lines; a file can have four thousand million of them")
			break
		}
		r.readLine()
	}
	for _, list := range [][]place.Network{r.out.four, r.out.six} {
		place.SortNetworks(list)
		r.findDuplicates(list)
	}
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, func(a, b Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return networksFile{}, r.errs[:min(len(r.errs), maxErrors)]
	}
	return r.out, nil
}

// fail notes an error at an offset of the line.
func (r *networksReader) fail(at int, format string, args ...any) {
	column := utf8.RuneCountInString(r.text[:at]) + 1
	r.errs = append(r.errs, Error{File: r.name, Line: r.line, Column: column, Message: fmt.Sprintf(format, args...)})
}

func (r *networksReader) readLine() {
	var at int
	var problem string
	r.fields, at, problem = split(r.text, r.fields[:0])
	switch {
	case problem != "":
		r.fail(at, "%s", problem)
	case len(r.fields) == 0: // blank, or only a comment
	case r.columns == nil && r.readHeader():
	default:
		r.readRow()
	}
}

// readHeader finds out the format by the first line, and reports whether this
// is a header.
func (r *networksReader) readHeader() bool {
	isPrefix := func(f field) bool { return strings.EqualFold(f.text, "prefix") }
	if !slices.ContainsFunc(r.fields, isPrefix) {
		// RFC 8805 section 2.1.1: prefix, country, region, city, postal code.
		r.columns, r.lenient, r.out.format = []column{colPrefix, colCountry, colSubdivision, colCity, colIgnored}, true, "geofeed (RFC 8805)"
		return false
	}
	r.out.format = "CSV"
	names := header()
	for i, f := range r.fields {
		n := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, f.text) })
		switch {
		case n < 0:
			r.fail(f.at, "there is no column %q: the columns are %s", clip(f.text), strings.Join(names, ", "))
			n = int(colIgnored)
		case slices.Contains(r.columns[:i], column(n)):
			r.fail(f.at, "the column %q stands here for the second time: leave one of them out", names[n])
			n = int(colIgnored)
		}
		r.columns = append(r.columns, column(n))
	}
	return true
}

// readRow reads a prefix and its place.
func (r *networksReader) readRow() {
	if extra := len(r.columns); len(r.fields) > extra && !r.lenient {
		r.fail(r.fields[extra].at, "the line has %d fields, but the header names %d columns: quote values that have commas", len(r.fields), extra)
		return
	}
	prefix := slices.Index(r.columns, colPrefix)
	if prefix >= len(r.fields) {
		r.fail(len(r.text), "the line has no prefix: write one such as 192.0.2.0/24")
		return
	}
	mayBeHeader := r.headerHint() != ""
	n, six, ok := r.readPrefix(r.fields[prefix])
	if !ok && mayBeHeader {
		return // Its other fields mean nothing.
	}
	at, placed := r.readPlace()
	if !ok || !placed {
		return
	}
	n.Place, n.Line = at, uint32(r.line)
	n.Column = uint16(min(utf8.RuneCountInString(r.text[:r.fields[prefix].at])+1, math.MaxUint16))
	if six {
		r.out.six = append(r.out.six, n)
	} else {
		r.out.four = append(r.out.four, n)
	}
}

// readPrefix reads a prefix, or an address, which stands for itself alone (RFC
// 8805 section 2.1.1.1). IPv4 in IPv6 form is IPv4.
func (r *networksReader) readPrefix(f field) (n place.Network, six, ok bool) {
	var p netip.Prefix
	var err error
	if strings.Contains(f.text, "/") {
		p, err = netip.ParsePrefix(f.text)
	} else {
		var a netip.Addr
		if a, err = netip.ParseAddr(f.text); a.Zone() == "" {
			p = netip.PrefixFrom(a, a.BitLen())
		}
	}
	switch {
	case err != nil || !p.IsValid():
		r.fail(f.at, "%q is no prefix: write one such as 192.0.2.0/24 or 2001:db8::/32%s", clip(f.text), r.headerHint())
		return n, false, false
	case p != p.Masked():
		r.fail(f.at, "%s has bits set beyond its length: write %v", clip(f.text), p.Masked())
		return n, false, false
	}
	a, length := p.Addr(), p.Bits()
	if a.Is4In6() && length >= 96 {
		a, length = a.Unmap(), length-96
	}
	return place.Network{First: keyOf(a), Bits: uint8(length)}, a.Is6(), true
}

// headerHint is for a first line that isn't what it was meant to be.
func (r *networksReader) headerHint() string {
	if !r.lenient || len(r.out.four)+len(r.out.six) > 0 || len(r.errs) > 0 {
		return ""
	}
	return ", or begin the file with a line that names its columns: " + strings.Join(header(), ",")
}

// findDuplicates finds prefixes that are there twice with different places, in
// a sorted list.
func (r *networksReader) findDuplicates(list []place.Network) {
	for i := 1; i < len(list) && len(r.errs) < maxErrors; i++ {
		a, b := &list[i-1], &list[i]
		if a.First != b.First || a.Bits != b.Bits || a.Place == b.Place {
			continue
		}
		r.errs = append(r.errs, Error{File: r.name, Line: int(b.Line), Column: int(b.Column), Message: fmt.Sprintf(
			"this prefix stands in line %d with another place: leave one of them out", a.Line)})
	}
}
