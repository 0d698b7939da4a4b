package country

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// iso is the list of ISO 3166-1 alpha-2, in 249 codes.
const iso = `
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG
UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW`

func TestComplete(t *testing.T) {
	want := append(strings.Fields(iso), "EU", "XK")
	slices.Sort(want)
	if len(want) != 251 {
		t.Fatalf("the test lists %d codes", len(want))
	}
	var got []string
	for c := range All() {
		got = append(got, c.Code)
		if c.Name == "" || !utf8.ValidString(c.Name) || ContinentName(c.Continent) == "" {
			t.Errorf("%+v", c)
		}
		if c.Lat < -90 || c.Lat > 90 || c.Lon < -180 || c.Lon > 180 || c.Lat == 0 && c.Lon == 0 {
			t.Errorf("%s is nowhere: %v %v", c.Code, c.Lat, c.Lon)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the codes are %v", got)
	}
}

// A country lies in the box that its continent spans.
func TestContinentsContain(t *testing.T) {
	boxes := map[string][4]float64{ // south, north, west, east; east < west: across 180 degrees
		"AF": {-36, 38, -26, 64}, "AN": {-90, -49, -180, 180}, "AS": {-13, 56, 25, 151},
		"EU": {34, 81, -32, 66}, "NA": {7, 84, -170, -11}, "OC": {-48, 29, 110, -109}, "SA": {-57, 13, -93, -32},
	}
	for c := range All() {
		b := boxes[c.Continent]
		in := c.Lon >= b[2] && c.Lon <= b[3]
		if b[3] < b[2] {
			in = c.Lon >= b[2] || c.Lon <= b[3]
		}
		if !in || c.Lat < b[0] || c.Lat > b[1] {
			t.Errorf("%s at %v %v is not in %s", c.Code, c.Lat, c.Lon, c.Continent)
		}
	}
}

func TestLookup(t *testing.T) {
	c, ok := Lookup("GB")
	if !ok || c.Name != "United Kingdom" || c.Continent != "EU" {
		t.Errorf("GB: %+v %t", c, ok)
	}
	if lat, lon, ok := Centre("NZ"); !ok || lat > -34 || lat < -47 || lon < 166 || lon > 179 {
		t.Errorf("NZ: %v %v %t", lat, lon, ok)
	}
	for _, code := range []string{"", "gb", "UK", "ZZ", "AAA", "\xff\xff"} {
		if c, ok := Lookup(code); ok || c != (Country{}) {
			t.Errorf("%q: %+v", code, c)
		}
		if _, _, ok := Centre(code); ok || Continent(code) != "" {
			t.Errorf("%q has a centre or a continent", code)
		}
	}
	if ContinentName("XX") != "" || Continent("BR") != "SA" {
		t.Error("continents")
	}
}
