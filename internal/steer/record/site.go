package record

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// maxCapacity is the greatest capacity=, in answers a second.
const maxCapacity = 1e9

// ParseSite reads a _site record. The Site is whole only if no problem is an
// error.
func ParseSite(text []byte, o Origin) (Site, []Problem) {
	p := newParser(site, text, o)
	s := Site{Must: p.must, Tags: p.all}
	nets, words := map[netip.Prefix]bool{}, map[string]bool{}
	for i := range p.tags {
		t := &p.tags[i]
		switch t.Key {
		case "net":
			if n, ok := p.prefix(t); ok && once(p, t, nets, n) {
				s.Nets = append(s.Nets, n)
			}
		case "at":
			s.Lat, s.Lon, s.Placed = p.place(t)
		case "country":
			if c, ok := p.country(t.Key, item{t.Value, t.ValueAt}); ok && once(p, t, words, c) {
				s.Countries = append(s.Countries, c)
			}
		case "subdivision":
			if c, ok := p.subdivision(t); ok && once(p, t, words, c) {
				s.Subdivisions = append(s.Subdivisions, c)
			}
		case "continent":
			if c, ok := p.continent(t); ok && once(p, t, words, "continent "+c) {
				s.Continents = append(s.Continents, c)
			}
		case "asn":
			if n, ok := p.asn(t); ok && once(p, t, words, "AS"+strconv.FormatUint(uint64(n), 10)) {
				s.ASNs = append(s.ASNs, n)
			}
		case "drain":
			s.Drain = p.yes(t)
		case "capacity":
			s.Capacity, _ = p.number(t, 1, maxCapacity)
		}
	}
	return s, p.done()
}

// once notes a value that stands in two tags of the same key.
func once[V comparable](p *parser, t *Tag, seen map[V]bool, v V) bool {
	if seen[v] {
		p.twice(t.ValueAt, t.Key, t.Key+"="+t.Value+" stands twice", "keep one of them")
		return false
	}
	seen[v] = true
	return true
}

// place reads latitude and longitude in degrees.
func (p *parser) place(t *Tag) (lat, lon float64, ok bool) {
	items := t.items()
	if len(items) != 2 {
		p.bad(t, t.Key+"="+quote(t.Value)+" is not a latitude and a longitude", "write two numbers with a comma in between, north and east positive, as in at=51.51,-0.13")
		return 0, 0, false
	}
	lat, okLat := p.degrees(items[0], "latitude", 90)
	lon, okLon := p.degrees(items[1], "longitude", 180)
	return lat, lon, okLat && okLon
}

func (p *parser) degrees(it item, what string, most float64) (float64, bool) {
	// Neither exponents nor hexadecimal numbers, infinities and underscores.
	plain := strings.Trim(it.text, "0123456789.+-") == "" && len(it.text) <= 32
	f, err := strconv.ParseFloat(it.text, 64)
	limit := strconv.FormatFloat(most, 'f', -1, 64)
	switch {
	case !plain || err != nil:
		p.fail(it.at, "at", quote(it.text)+" is not a "+what, "write decimal degrees, as in 51.51 or -0.13")
	case math.Abs(f) > most:
		p.fail(it.at, "at", "the "+what+" "+it.text+" is not from -"+limit+" to "+limit, "write latitude (north) before longitude (east)")
	default:
		return f + 0, true // -0 is 0
	}
	return 0, false
}

// subdivision reads an ISO 3166-2 code.
func (p *parser) subdivision(t *Tag) (string, bool) {
	c, sub, _ := strings.Cut(strings.ToUpper(t.Value), "-")
	ok := len(sub) >= 1 && len(sub) <= 3 && len(c) == 2
	for _, b := range []byte(sub) {
		ok = ok && (letter(b) || digit(b))
	}
	if !ok {
		p.bad(t, quote(t.Value)+" is not the code of a subdivision", "write ISO 3166-2, as in US-CA")
		return "", false
	}
	c, ok = p.country(t.Key, item{c, t.ValueAt})
	return c + "-" + sub, ok
}

func (p *parser) continent(t *Tag) (string, bool) {
	switch c := strings.ToUpper(t.Value); c {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return c, true
	}
	p.bad(t, quote(t.Value)+" is not the code of a continent", "write AF, AN, AS, EU, NA, OC or SA")
	return "", false
}

func (p *parser) asn(t *Tag) (uint32, bool) {
	digits := t.Value
	if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
		digits = digits[2:]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	// RFC 7607: AS 0 is nobody's.
	if err != nil || n == 0 {
		p.bad(t, quote(t.Value)+" is not the number of an autonomous system", "write a number from 1 to 4294967295")
		return 0, false
	}
	return uint32(n), true
}
