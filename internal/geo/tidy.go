package geo

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCity bounds the names of cities, in octets. Longer ones are left out.
const maxCity = 128

// tidy returns the place with codes in upper case, without what can't be true,
// and with what follows from the country.
func (o Options) tidy(p Place) Place {
	p.Country, p.Continent, p.Subdivision = strings.ToUpper(p.Country), strings.ToUpper(p.Continent), strings.ToUpper(p.Subdivision)
	if !isCountry(p.Country) {
		p.Country, p.Subdivision = "", ""
	}
	if !isSubdivision(p.Subdivision) {
		p.Subdivision = ""
	}
	if !isContinent(p.Continent) {
		p.Continent = ""
	}
	if !printable(p.City) {
		p.City = ""
	}
	if p.Located && !(math.Abs(p.Lat) <= 90 && math.Abs(p.Lon) <= 180) {
		p.Located = false
	}
	if p.Country != "" && p.Continent == "" && o.Continent != nil {
		if c := o.Continent(p.Country); isContinent(c) {
			p.Continent = c
		}
	}
	if p.Country != "" && !p.Located && o.Centre != nil {
		p.Lat, p.Lon, p.Located = o.Centre(p.Country)
	}
	if !p.Located {
		p.Lat, p.Lon = 0, 0
	}
	return p
}

func isCountry(s string) bool {
	return len(s) == 2 && isLetter(s[0]) && isLetter(s[1])
}

func isSubdivision(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' }

func isContinent(s string) bool {
	switch s {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return true
	}
	return false
}

// printable reports whether a name can be shown to people as it is.
func printable(s string) bool {
	return len(s) <= maxCity && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
