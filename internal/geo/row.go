package geo

import (
	"math"
	"strconv"
	"strings"
)

// field is a value of a line, and where it begins, in octets.
type field struct {
	text string
	at   int
}

// split divides a line at commas. Blanks around a value don't count, a value
// may stand in double quotes, and what follows a # outside of them is a comment
// (RFC 8805 section 2.1: anywhere in a line). A problem is at an offset.
func split(line string, fields []field) (_ []field, at int, problem string) {
	for {
		at = skipBlanks(line, at)
		if at < len(line) && line[at] == '"' {
			f, end, problem := quoted(line, at)
			if problem != "" {
				return fields, at, problem
			}
			fields, at = append(fields, f), end
		} else {
			end := at
			for end < len(line) && line[end] != ',' && line[end] != '#' {
				end++
			}
			fields = append(fields, field{strings.TrimRight(line[at:end], " \t"), at})
			at = end
		}
		if at == len(line) || line[at] == '#' {
			break
		}
		at++ // the comma
	}
	if len(fields) == 1 && fields[0].text == "" {
		return fields[:0], 0, ""
	}
	return fields, 0, ""
}

func skipBlanks(line string, at int) int {
	for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
		at++
	}
	return at
}

// quoted reads a value in quotes, which is followed by a comma, a comment or
// the end of the line. A quote within is doubled (RFC 4180 section 2).
func quoted(line string, at int) (f field, end int, problem string) {
	end, doubled := at+1, false
	for ; ; end++ {
		if end == len(line) {
			return f, at, "the quote that begins here does not end in this line: end it with another one"
		}
		if line[end] != '"' {
			continue
		}
		if end+1 == len(line) || line[end+1] != '"' {
			break
		}
		doubled = true
		end++
	}
	f = field{line[at+1 : end], at}
	if doubled {
		f.text = strings.ReplaceAll(f.text, `""`, `"`)
	}
	if end = skipBlanks(line, end+1); end < len(line) && line[end] != ',' && line[end] != '#' {
		return f, at, "after the value in quotes that begins here, a comma must follow: double the quotes that are part of it"
	}
	return f, end, ""
}

// maxSeen bounds the places that are remembered by their text: where there are
// more, lines seldom repeat one, and remembering costs more than it saves.
const maxSeen = 1 << 15

// readPlace returns the number of the line's place. Lines that say the same are
// read once.
func (r *networksReader) readPlace() (n uint32, ok bool) {
	r.scratch = r.scratch[:0]
	for i, f := range r.fields {
		if i < len(r.columns) && r.columns[i] != colPrefix && r.columns[i] != colIgnored {
			r.scratch = append(r.scratch, f.text...)
		}
		r.scratch = append(r.scratch, '\n') // which no field has
	}
	if n, ok = r.seen[string(r.scratch)]; ok {
		return n, true
	}
	before := len(r.errs)
	row := row{networksReader: r, place: Place{Source: Networks, Lat: math.NaN(), Lon: math.NaN()}}
	for i, f := range r.fields[:min(len(r.fields), len(r.columns))] {
		if f.text != "" {
			row.read(r.columns[i], f)
		}
	}
	row.position()
	if len(r.errs) > before {
		return 0, false
	}
	n = r.Place(r.tidy(row.place))
	if len(r.seen) < maxSeen {
		r.seen[string(r.scratch)] = n
	}
	return n, true
}

// row is a line while its place is read.
type row struct {
	*networksReader
	place    Place
	lat, lon field
}

// read takes a value into the place, or notes what is wrong with it.
func (r *row) read(c column, f field) {
	p := &r.place
	switch c {
	case colCountry:
		p.Country = r.country(f, f.text)
	case colSubdivision:
		r.subdivision(f)
	case colCity:
		if !printable(f.text) {
			r.fail(f.at, "%q can't be a city's name: it must be UTF-8 without control characters, %d octets at most", clip(f.text), maxCity)
		}
		p.City = f.text
	case colLat:
		r.lat, p.Lat = f, r.degrees(f, 90, "latitude")
	case colLon:
		r.lon, p.Lon = f, r.degrees(f, 180, "longitude")
	case colASN:
		r.asn(f)
	case colContinent:
		p.Continent = strings.ToUpper(f.text)
		if !isContinent(p.Continent) {
			r.fail(f.at, "%q is no continent: write AF, AN, AS, EU, NA, OC or SA", clip(f.text))
		}
	}
}

// country checks a country's code, which begins in the field.
func (r *row) country(f field, text string) string {
	code := strings.ToUpper(text)
	if !isCountry(code) {
		r.fail(f.at, "%q is no country: write the two letters of ISO 3166-1, such as DE", clip(text))
		return ""
	}
	if r.Centre != nil {
		if _, _, known := r.Centre(code); !known {
			hint := ""
			if code == "UK" {
				hint = " (the United Kingdom is GB)"
			}
			r.fail(f.at, "there is no country %s in ISO 3166-1%s: correct the two letters", code, hint)
		}
	}
	return code
}

// subdivision reads US-CA, or CA where the country stands in its own column.
func (r *row) subdivision(f field) {
	code := strings.ToUpper(f.text)
	country, part, full := strings.Cut(code, "-")
	if !full {
		country, part = r.place.Country, code
	}
	own := r.place.Country
	if i := r.indexOf(colCountry); i >= 0 {
		own = strings.ToUpper(r.fields[i].text)
	}
	switch {
	case !isSubdivision(part) || full && !isCountry(country):
		r.fail(f.at, "%q is no subdivision: write the code of ISO 3166-2, such as US-CA", clip(f.text))
	case full && own == "":
		r.place.Country = r.country(f, country)
	case full && own != country:
		r.fail(f.at, "%s is no part of the country %s: correct one of them", clip(f.text), clip(own))
	case own == "":
		r.fail(f.at, "%q says not of which country it is a part: write the country, as in US-CA", clip(f.text))
	}
	r.place.Subdivision = part
}

// indexOf returns which field of the line is a column's, or -1.
func (r *row) indexOf(c column) int {
	for i := range min(len(r.fields), len(r.columns)) {
		if r.columns[i] == c {
			return i
		}
	}
	return -1
}

// degrees reads a number between -limit and limit.
func (r *row) degrees(f field, limit float64, what string) float64 {
	d, err := strconv.ParseFloat(f.text, 64)
	if err != nil || !(math.Abs(d) <= limit) {
		r.fail(f.at, "%q is no %s: write degrees between -%g and %g, such as 51.51", clip(f.text), what, limit, limit)
	}
	return d
}

// position checks that latitude and longitude are there both, or neither.
func (r *row) position() {
	switch {
	case r.lat.text != "" && r.lon.text != "":
		r.place.Located = true
	case r.lat.text != "":
		r.fail(r.lat.at, "there is a latitude without a longitude: write both, or neither")
	case r.lon.text != "":
		r.fail(r.lon.at, "there is a longitude without a latitude: write both, or neither")
	}
}

// asn reads 64500 or AS64500.
func (r *row) asn(f field) {
	text := f.text
	if len(text) > 2 && strings.EqualFold(text[:2], "AS") {
		text = text[2:]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		r.fail(f.at, "%q is no AS number: write one such as 64500 or AS64500", clip(f.text))
	}
	r.place.ASN = uint32(n)
}
