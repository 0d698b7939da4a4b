// Package country owns what geodns knows of a country by its code alone: its
// name, its continent and where its middle is.
//
// The table is constant, in the order of the codes, and every country in it has
// a name, a continent and a middle.
package country

import (
	"cmp"
	"iter"
	"slices"
)

// Country is a country, or a part of one that has a code of its own.
type Country struct {
	Code      string  // ISO 3166-1 alpha-2 in upper case, or EU or XK
	Continent string  // AF, AN, AS, EU, NA, OC or SA
	Name      string  // in English
	Lat, Lon  float64 // degrees: where a map writes the name
}

// Lookup finds a country by its code, which has to be in upper case.
func Lookup(code string) (Country, bool) {
	i, ok := slices.BinarySearchFunc(countries[:], code, func(c Country, code string) int {
		return cmp.Compare(c.Code, code)
	})
	if !ok {
		return Country{}, false
	}
	return countries[i], true
}

// Centre is the middle of a country, in degrees.
func Centre(code string) (lat, lon float64, ok bool) {
	c, ok := Lookup(code)
	return c.Lat, c.Lon, ok
}

// Continent is the code of a country's continent, "" for what is no country.
func Continent(code string) string {
	c, _ := Lookup(code)
	return c.Continent
}

// ContinentName is the English name of a continent by its code, "" for what is
// none.
func ContinentName(code string) string {
	switch code {
	case "AF":
		return "Africa"
	case "AN":
		return "Antarctica"
	case "AS":
		return "Asia"
	case "EU":
		return "Europe"
	case "NA":
		return "North America"
	case "OC":
		return "Oceania"
	case "SA":
		return "South America"
	}
	return ""
}

// All lists the countries in the order of their codes.
func All() iter.Seq[Country] { return slices.Values(countries[:]) }
