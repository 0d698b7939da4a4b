// Package place owns what is known of addresses once it is loaded: a Table of
// disjoint ranges that cover all addresses, each with a Place.
//
// For answering, a Table is reduced to a View: places become classes, such as
// the site that serves them, and equal neighbours are merged. A View gives for
// an address its class and the scope of an answer, the widest aligned prefix
// around the address in which every address has that class. So an answer's
// scope is exact, and scopes of different answers never overlap (RFC 7871
// section 7.2.1).
//
// What holds: Tables and Views never change. A look-up in a View takes integers,
// allocates nothing, and can't fail. The package reads no files: geo does.
package place

import "fmt"

// Source tells which source decided a place.
type Source uint8

// The sources. Networks win over the Database; the BuiltIn world stands in for
// a database where none is configured.
const (
	Nowhere  Source = iota // no source knows the address
	Networks               // the operator's own networks
	Database               // a database in MaxMind's format
	BuiltIn                // the world that the program carries
)

// String names the source for people: "own networks", "database", ...
func (s Source) String() string {
	switch s {
	case Nowhere:
		return "no source"
	case Networks:
		return "own networks"
	case Database:
		return "database"
	case BuiltIn:
		return "built-in world"
	}
	return fmt.Sprintf("source %d", uint8(s))
}

// Place is what is known of an address. What isn't known is empty. Places can
// be compared with ==.
type Place struct {
	Country     string  // ISO 3166-1 alpha-2 in upper case: "US"
	Continent   string  // AF, AN, AS, EU, NA, OC or SA
	Subdivision string  // ISO 3166-2 without the country: "CA" of US-CA
	City        string  // a name in English, for people only
	Lat, Lon    float64 // degrees, if Located
	ASN         uint32  // autonomous system; 0: unknown
	Located     bool
	Source      Source // who says so
}
