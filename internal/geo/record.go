package geo

import (
	"math"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// record is what is read of a database's record. Layouts differ in which of
// these they have. It is read field by field, which is four times as fast as
// decoding by reflection; a database has half a million of them.
type record struct {
	country, registered, continent, subdivision, city string
	lat, lon                                          float64 // NaN: not there
	asn                                               uint64
}

// read reads the record at a cursor of a database that has been verified.
func (r *record) read(c mmdbdata.Cursor) error {
	*r = record{lat: math.NaN(), lon: math.NaN()}
	_, err := each(c, r.field)
	return err
}

// visitor reads a value of a map and returns the cursor after it.
type visitor func(key []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error)

// each visits the entries of a map and returns the cursor after it.
func each(c mmdbdata.Cursor, visit visitor) (mmdbdata.Cursor, error) {
	m, err := c.Map()
	if err != nil {
		return c, err
	}
	var next mmdbdata.Cursor
	for {
		key, value, more := m.Next(next)
		if !more {
			return m.End()
		}
		if next, err = visit(key, value); err != nil {
			return c, err
		}
	}
}

func (r *record) field(key []byte, v mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	switch string(key) {
	case "country":
		return each(v, only("iso_code", &r.country))
	case "registered_country":
		return each(v, only("iso_code", &r.registered))
	case "continent":
		return each(v, only("code", &r.continent))
	case "subdivisions":
		return r.largest(v)
	case "city":
		return each(v, func(key []byte, v mmdbdata.Cursor) (mmdbdata.Cursor, error) {
			if string(key) == "names" {
				return each(v, only("en", &r.city))
			}
			return v.Skip()
		})
	case "location":
		return each(v, r.location)
	case "traits": // of Enterprise
		return each(v, r.system)
	}
	return r.system(key, v) // of ASN and ISP
}

// only reads the value of one key, which is a string.
func only(name string, to *string) visitor {
	return func(key []byte, v mmdbdata.Cursor) (next mmdbdata.Cursor, err error) {
		if string(key) != name {
			return v.Skip()
		}
		*to, next, err = v.ReadString()
		return next, err
	}
}

// largest reads the first subdivision: smaller ones within it follow.
func (r *record) largest(v mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	list, err := v.Slice()
	if err != nil {
		return v, err
	}
	var next mmdbdata.Cursor
	for {
		i, value, more := list.Next(next)
		if !more {
			return list.End()
		}
		if i == 0 {
			next, err = each(value, only("iso_code", &r.subdivision))
		} else {
			next, err = value.Skip()
		}
		if err != nil {
			return v, err
		}
	}
}

func (r *record) location(key []byte, v mmdbdata.Cursor) (next mmdbdata.Cursor, err error) {
	switch string(key) {
	case "latitude":
		r.lat, next, err = v.ReadFloat()
	case "longitude":
		r.lon, next, err = v.ReadFloat()
	default:
		next, err = v.Skip()
	}
	return next, err
}

func (r *record) system(key []byte, v mmdbdata.Cursor) (next mmdbdata.Cursor, err error) {
	if string(key) != "autonomous_system_number" {
		return v.Skip()
	}
	r.asn, next, err = v.ReadUint()
	return next, err
}

// place is what the record says.
func (r *record) place() Place {
	p := Place{Country: r.country, Continent: r.continent, Subdivision: r.subdivision, City: r.city, Lat: r.lat, Lon: r.lon, Source: Database}
	if r.asn <= math.MaxUint32 {
		p.ASN = uint32(r.asn)
	}
	// Databases that don't know a position leave it out, or write 0,0, where
	// there is only sea.
	p.Located = !math.IsNaN(p.Lat) && !math.IsNaN(p.Lon) && (p.Lat != 0 || p.Lon != 0)
	if p.Country == "" {
		// The country in which the network is registered is a better guess than
		// none.
		p.Country = r.registered
	}
	return p
}

// says reports whether a place says anything.
func says(p *Place) bool {
	return p.Country != "" || p.Continent != "" || p.ASN != 0 || p.Located
}
