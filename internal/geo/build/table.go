package build

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"geodns/internal/geo/country"
)

// maxCity is how long the name of a city may be, in octets.
const maxCity = 255

// column is one of a CSV file.
type column int

// The columns, in the order that docs/geo.md gives them.
const (
	colPrefix column = iota
	colCountry
	colSubdivision
	colCity
	colLat
	colLon
	colASN
	colContinent
	columns    // their number
	colIgnored // what stands there says nothing of the place
)

func (c column) String() string {
	return [columns]string{"prefix", "country", "subdivision", "city", "lat", "lon", "asn", "continent"}[c]
}

// table reads CSV and geofeeds. A first line that names the columns makes it CSV.
type table struct {
	*reader
	order   []column // of the fields; nil before the first line
	lenient bool     // fields beyond the columns are ignored
}

// row reads a line.
func (t *table) row(line string) {
	var buf [columns]field
	f, column := splitCSV(line, buf[:])
	switch {
	case column > 0:
		t.bad(column, "a quote is not closed, or something follows it; double quotes inside a quoted field")
		return
	case len(f) == 1 && f[0].text == "":
		return
	case t.order == nil && t.head(f):
		return
	case len(f) > len(t.order) && !t.lenient:
		t.bad(f[len(t.order)].column, "%d fields, and the head names %d columns; quote a field that has a comma", len(f), len(t.order))
		return
	}
	row := row{}
	for i, value := range f[:min(len(f), len(t.order))] {
		if c := t.order[i]; c != colIgnored {
			row.fields[c] = value
		}
	}
	if p, ok := t.prefix(row.fields[colPrefix]); ok {
		row.prefix = p
		t.reader.row(&row)
	}
}

// head reports whether the first line names the columns. Without such a line
// the file is a geofeed.
func (t *table) head(f []field) bool {
	known := func(name field) (column, bool) {
		for c := range columns {
			if strings.EqualFold(name.text, c.String()) {
				return c, true
			}
		}
		return 0, false
	}
	if !slices.ContainsFunc(f, func(name field) bool { _, ok := known(name); return ok }) {
		// RFC 8805 section 2.1.1: prefix, country, region, city, postal code, of
		// which the last ones may be missing. The postal code is to be ignored
		// (section 2.1.1.5), and so is what future editions append (section 2.1.4).
		t.order, t.lenient = []column{colPrefix, colCountry, colSubdivision, colCity}, true
		return false
	}
	for _, name := range f {
		c, ok := known(name)
		switch {
		case !ok:
			t.refuse(name.column, "there is no column %q; the columns are prefix, country, subdivision, city, lat, lon, asn and continent", clip(name.text))
		case slices.Contains(t.order, c):
			t.refuse(name.column, "the column %s stands here twice; leave out one", c)
		}
		t.order = append(t.order, c)
	}
	if !slices.Contains(t.order, colPrefix) {
		t.refuse(1, "the column prefix is missing; name it in the first line")
	}
	return true
}

// row is a line of a geofeed or of CSV.
type row struct {
	prefix netip.Prefix
	fields [columns]field
}

// row makes a place of the fields.
func (r *reader) row(row *row) {
	var p Place
	if code := row.fields[colCountry]; code.text != "" {
		c, ok := country.Lookup(strings.ToUpper(code.text))
		if !ok {
			r.noCountry(code, code.text)
			return
		}
		p = inCountry(c)
	}
	if r.subdivision(&p, row.fields[colSubdivision]) && r.city(&p, row.fields[colCity]) &&
		r.position(&p, row.fields[colLat], row.fields[colLon]) &&
		r.system(&p, row.fields[colASN]) && r.continent(&p, row.fields[colContinent]) {
		r.addPrefix(row.prefix, p)
	}
}

func (r *reader) noCountry(f field, code string) {
	hint := ""
	if strings.EqualFold(code, "UK") {
		hint = " (the United Kingdom's is GB)"
	}
	r.bad(f.column, "%q is no country%s; write its two letters (ISO 3166-1), such as DE", clip(code), hint)
}

// subdivision takes US-CA, and CA if the country says that it is of the US.
func (r *reader) subdivision(p *Place, f field) bool {
	if f.text == "" {
		return true
	}
	of, code, both := strings.Cut(strings.ToUpper(f.text), "-")
	if !both {
		of, code = p.Country, of
	}
	if both && p.Country == "" {
		c, ok := country.Lookup(of)
		if !ok {
			r.noCountry(f, of)
			return false
		}
		*p = inCountry(c)
	}
	switch {
	case of == "":
		r.bad(f.column, "the subdivision %q does not say of which country; write the country too, as in US-CA", clip(f.text))
	case of != p.Country:
		// RFC 8805 section 2.1.1.3: the region is one of the country.
		r.bad(f.column, "the subdivision %q is not in the country %s; correct one of the two", clip(f.text), p.Country)
	case code == "" || len(code) > 3 || !alphanumeric(code):
		r.bad(f.column, "%q is no subdivision; write its code (ISO 3166-2), such as US-CA", clip(f.text))
	default:
		p.Subdivision = code
		return true
	}
	return false
}

func (r *reader) city(p *Place, f field) bool {
	if len(f.text) > maxCity || !printable(f.text) {
		r.bad(f.column, "this is no name of a city: it must be UTF-8 without control characters, of at most %d octets", maxCity)
		return false
	}
	p.City = f.text
	return true
}

// position takes both latitude and longitude, or neither.
func (r *reader) position(p *Place, lat, lon field) bool {
	if lat.text == "" && lon.text == "" {
		return true
	}
	if lat.text == "" || lon.text == "" {
		there := lat
		if there.text == "" {
			there = lon
		}
		r.bad(there.column, "lat and lon need each other; write both, or neither for the middle of the country")
		return false
	}
	y, ok := r.degrees(lat, 90)
	if !ok {
		return false
	}
	x, ok := r.degrees(lon, 180)
	if !ok {
		return false
	}
	p.Lat, p.Lon, p.Located = y, x, true
	return true
}

func (r *reader) degrees(f field, limit float64) (float64, bool) {
	v, err := strconv.ParseFloat(f.text, 64)
	if err != nil || math.IsNaN(v) || math.Abs(v) > limit {
		r.bad(f.column, "%q is not degrees from -%v to %v; write them such as 51.51", clip(f.text), limit, limit)
		return 0, false
	}
	return v + 0, true // no -0, so that equal places are equal
}

func (r *reader) system(p *Place, f field) bool {
	if f.text == "" {
		return true
	}
	digits := f.text
	if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
		digits = digits[2:]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 {
		r.bad(f.column, "%q is no autonomous system; write its number, such as 64500", clip(f.text))
		return false
	}
	p.ASN = uint32(n)
	return true
}

func (r *reader) continent(p *Place, f field) bool {
	if f.text == "" {
		return true
	}
	code := strings.ToUpper(f.text)
	if country.ContinentName(code) == "" {
		r.bad(f.column, "%q is no continent; it is AF, AN, AS, EU, NA, OC or SA", clip(f.text))
		return false
	}
	p.Continent = code
	return true
}

// unique tells prefixes that the file at hand has twice with different places,
// and leaves out all but the first: in a geofeed "Duplicate prefix entries MUST
// be considered an error" (RFC 8805 section 2.1.2). The file's spans begin at
// begun.
func (r *reader) unique(all []span, begun int, ip func(addr) netip.Addr, full int) []span {
	list := all[begun:]
	slices.SortFunc(list, func(a, b span) int {
		return cmp.Or(a.first.compare(b.first), a.last.compare(b.last), cmp.Compare(a.line, b.line))
	})
	kept := list[:0]
	var twice [][2]span
	for _, s := range list {
		if n := len(kept); n > 0 && kept[n-1].first == s.first && kept[n-1].last == s.last {
			if kept[n-1].place != s.place {
				twice = append(twice, [2]span{s, kept[n-1]})
			}
			continue
		}
		kept = append(kept, s)
	}
	slices.SortFunc(twice, func(a, b [2]span) int { return cmp.Compare(a[0].line, b[0].line) })
	for _, s := range twice {
		r.text = ""
		r.badAt(int(s[0].line), 1, "%s stands in line %d already, with another place; leave out one", prefixOf(s[0], ip, full), s[1].line)
	}
	return all[:begun+len(kept)]
}

// prefixOf is the prefix that a span was made of; full is the length of an
// address in bits.
func prefixOf(s span, ip func(addr) netip.Addr, full int) netip.Prefix {
	p := netip.PrefixFrom(ip(s.first), full)
	for bits := 0; bits < full; bits++ {
		if wide := netip.PrefixFrom(ip(s.first), bits); lastOf(wide) == s.last {
			return wide
		}
	}
	return p
}
