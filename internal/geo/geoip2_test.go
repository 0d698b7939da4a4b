package geo

import (
	"math"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"geodns/internal/geo/place"
)

// What the Table says of every network of MaxMind's own test databases is what
// geoip2-golang reads there: fields that we take are taken as they stand.
func TestEqualsGeoIP2(t *testing.T) {
	for _, file := range []string{"GeoIP2-City-Test.mmdb", "GeoIP2-Country-Test.mmdb", "GeoIP2-Enterprise-Test.mmdb"} {
		path := filepath.Join("testdata", "maxmind", file)
		table, err := Load(Options{Database: path})
		if err != nil {
			t.Fatal(err)
		}
		db, err := geoip2.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		compared := 0
		for _, at := range addressesOf(t, path) {
			want, ok := geoip2Place(t, db, file, at)
			if !ok {
				continue
			}
			n, _ := table.Find(at)
			got := table.Place(n)
			// Of what geoip2 doesn't know, or we take no note of.
			got.Source, got.ASN, got.City = want.Source, want.ASN, want.City
			if !want.Located {
				got.Located, got.Lat, got.Lon = false, 0, 0
			}
			if math.Abs(got.Lat-want.Lat) > 1e-3 || math.Abs(got.Lon-want.Lon) > 1e-3 {
				t.Errorf("%s: %s is at %v,%v, geoip2 says %v,%v", file, at, got.Lat, got.Lon, want.Lat, want.Lon)
			}
			got.Lat, got.Lon = want.Lat, want.Lon
			if got != want {
				t.Errorf("%s: %s is %+v, geoip2 says %+v", file, at, got, want)
			}
			compared++
		}
		if compared < 20 {
			t.Errorf("%s: only %d networks were compared", file, compared)
		}
	}
}

// addressesOf are the first addresses of a database's networks.
func addressesOf(t *testing.T, path string) (list []netip.Addr) {
	t.Helper()
	r, err := maxminddb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for result := range r.Networks() {
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		list = append(list, result.Prefix().Addr())
	}
	return list
}

// geoip2Place is what geoip2-golang reads of an address.
func geoip2Place(t *testing.T, db *geoip2.Reader, file string, at netip.Addr) (p place.Place, ok bool) {
	t.Helper()
	if file == "GeoIP2-Country-Test.mmdb" {
		r, err := db.Country(at)
		if err != nil {
			t.Fatal(err)
		}
		p.Country, p.Continent = r.Country.ISOCode, r.Continent.Code
		return p, p.Country != ""
	}
	r, err := db.City(at)
	if err != nil {
		t.Fatal(err)
	}
	p.Country, p.Continent = r.Country.ISOCode, r.Continent.Code
	if len(r.Subdivisions) > 0 {
		p.Subdivision = r.Subdivisions[0].ISOCode
	}
	if r.Location.HasCoordinates() {
		p.Located, p.Lat, p.Lon = true, *r.Location.Latitude, *r.Location.Longitude
	}
	return p, p.Country != ""
}
