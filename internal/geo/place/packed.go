package place

import (
	"maps"
	"math"
	"strings"
)

// packed is a Place in 24 octets, since a database has half a million of them.
type packed struct {
	lat, lon  int32 // millionths of degrees
	asn       uint32
	city      uint32 // number in cities
	country   [2]byte
	continent [2]byte
	sub       [3]byte
	flags     uint8 // Source, and located
}

const located = 1 << 7

// gazetteer collects places and numbers them. Number 0 is the unknown place.
type gazetteer struct {
	places     []packed
	cities     []string // the first is ""
	codes      codes
	numbers    map[packed]uint32
	cityNumber map[string]uint32
}

// codes has the text of each code that some place has, so that places are
// unpacked without taking memory.
type codes map[[3]byte]string

func newGazetteer() *gazetteer {
	g := &gazetteer{codes: codes{}, numbers: map[packed]uint32{}, cityNumber: map[string]uint32{}}
	g.Place(Place{})
	return g
}

// extend returns a gazetteer in which the places given have their numbers.
func extend(places []packed, cities []string, c codes) *gazetteer {
	g := &gazetteer{codes: maps.Clone(c), places: places[:len(places):len(places)], cities: cities[:len(cities):len(cities)], numbers: map[packed]uint32{}, cityNumber: map[string]uint32{}}
	for i, name := range cities {
		g.cityNumber[name] = uint32(i)
	}
	return g
}

// Place returns the number of a place. Codes must be of the lengths that Place
// says, and positions within the Earth.
func (g *gazetteer) Place(p Place) uint32 {
	q := packed{asn: p.ASN, flags: uint8(p.Source)}
	copy(q.country[:], p.Country)
	copy(q.continent[:], p.Continent)
	copy(q.sub[:], p.Subdivision)
	if p.Located {
		q.flags |= located
		q.lat, q.lon = int32(math.Round(p.Lat*1e6)), int32(math.Round(p.Lon*1e6))
	}
	q.city = g.city(p.City)
	n, known := g.numbers[q]
	if !known {
		n = uint32(len(g.places))
		g.places = append(g.places, q)
		g.numbers[q] = n
		for _, code := range q.codes() {
			if g.codes[code] == "" {
				g.codes[code] = strings.TrimRight(string(code[:]), "\x00")
			}
		}
	}
	return n
}

func (g *gazetteer) city(name string) uint32 {
	n, known := g.cityNumber[name]
	if !known {
		name = strings.Clone(name) // It may be a piece of a large text.
		n = uint32(len(g.cities))
		g.cities = append(g.cities, name)
		g.cityNumber[name] = n
	}
	return n
}

// codes are those of country, continent and subdivision, filled up with zeros.
func (q packed) codes() [3][3]byte {
	return [...][3]byte{{q.country[0], q.country[1]}, {q.continent[0], q.continent[1]}, q.sub}
}

// unpack is the reverse of gazetteer.Place.
func (q packed) unpack(cities []string, c codes) Place {
	code := q.codes()
	p := Place{
		Country: c[code[0]], Continent: c[code[1]], Subdivision: c[code[2]],
		City: cities[q.city], ASN: q.asn, Source: Source(q.flags &^ located),
	}
	if q.flags&located != 0 {
		p.Located, p.Lat, p.Lon = true, float64(q.lat)/1e6, float64(q.lon)/1e6
	}
	return p
}
