package geo

import (
	"iter"
	"net/netip"
	"time"
)

// Options says where geography comes from.
type Options struct {
	// Database is the path of an .mmdb file of MaxMind's layouts City, Country,
	// ASN, ISP or Enterprise; "": the built-in world.
	Database string
	// Networks is the path of the own networks, as CSV or as RFC 8805 geofeed,
	// which win over the database; "": none.
	Networks string
	// BuiltIn gives the world that is taken where there is no Database. Nil:
	// every address is unknown.
	BuiltIn func() (World, error)
	// Centre is the middle of a country, in degrees, for places of which only
	// the country is known. Nil: they have no position. A country that Centre
	// does not know is an error in Networks.
	Centre func(country string) (lat, lon float64, ok bool)
	// Continent is the continent of a country, "" if it is not known. Nil:
	// continents are known only where a source gives them.
	Continent func(country string) string
}

// World is a list of ranges of addresses with their countries, such as the one
// that the program carries.
type World struct {
	Type   string    // what it is, for people
	Built  time.Time // when it was made
	Ranges iter.Seq[Range]
}

// Range is the addresses from First to Last, both of them included and of one
// family. The ranges of a family are disjoint and come in the addresses' order.
type Range struct {
	First, Last netip.Addr
	Country     string // ISO 3166-1 alpha-2
}
