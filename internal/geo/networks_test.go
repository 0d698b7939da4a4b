package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/internal/geo/place"
)

// loadNetworks loads own networks of a text.
func loadNetworks(t testing.TB, text string) (*Table, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Options{Networks: name, Centre: centre, Continent: func(c string) string {
		return map[string]string{"GB": "EU", "US": "NA"}[c]
	}})
}

// own is a place of own networks.
func own(p Place) Place {
	p.Source = Networks
	return p
}

func TestNetworks(t *testing.T) {
	inUS := own(Place{Country: "US", Continent: "NA", Lat: 39.5, Lon: -98.25, Located: true})
	inCA := inUS
	inCA.Subdivision = "CA"
	type places map[string]Place
	for _, tt := range []struct {
		name, text string
		want       places
	}{
		{
			"CSV", "prefix,country,subdivision,city,lat,lon,asn,continent\n" +
				"192.0.2.0/24,GB,ENG,London,51.51,-0.13,64500,EU\n" +
				"2001:db8::/32,US,US-CA,\"Paso, \"\"Robles\"\"\",,,AS64501,\n" +
				"198.51.100.7,,,,10.5,20,,\n",
			places{
				"192.0.2.1":    own(Place{Country: "GB", Continent: "EU", Subdivision: "ENG", City: "London", Lat: 51.51, Lon: -0.13, Located: true, ASN: 64500}),
				"2001:db8::1":  own(Place{Country: "US", Continent: "NA", Subdivision: "CA", City: `Paso, "Robles"`, Lat: 39.5, Lon: -98.25, Located: true, ASN: 64501}),
				"198.51.100.7": own(Place{Lat: 10.5, Lon: 20, Located: true}),
				"198.51.100.6": {},
			},
		},
		{
			"columns in any order, in any case, some missing", "Country, PREFIX\nus , 192.0.2.0/24\n\n# a comment\nGB,192.0.2.0/25 # another\n,10.0.0.0/8\n",
			places{"192.0.2.200": inUS, "192.0.2.1": own(Place{Country: "GB", Continent: "EU", Lat: 54, Lon: -2, Located: true}), "10.1.2.3": own(Place{})},
		},
		{
			"geofeed", "# RFC 8805\r\n192.0.2.0/24,US,US-CA,Los Angeles,\r\n2001:DB8:0::/48,us,us-ca,,,later,fields\r\n198.51.100.0/24,,,,\r\n203.0.113.1,US\r\n",
			places{
				"192.0.2.9":    own(Place{Country: "US", Continent: "NA", Subdivision: "CA", City: "Los Angeles", Lat: 39.5, Lon: -98.25, Located: true}),
				"2001:db8::9":  inCA,
				"198.51.100.1": own(Place{}), // is not to be located
				"203.0.113.1":  inUS, "203.0.113.2": {},
			},
		},
		{"a byte order mark", "\ufeffprefix,country\n192.0.2.0/24,US\n", places{"192.0.2.1": inUS}},
		{"no final line break", "192.0.2.0/24,US", places{"192.0.2.1": inUS}},
		{"equal lines twice", "192.0.2.0/24,US\n192.0.2.0/24, us\n", places{"192.0.2.1": inUS}},
		{"all addresses", "::/0,US\n0.0.0.0/0,US,US-CA\n", places{"::": inUS, "ffff::": inUS, "255.255.255.255": inCA}},
		{"the last addresses", "255.255.255.255,US\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,US\n", places{
			"255.255.255.255": inUS, "255.255.255.254": {}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": inUS, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe": {},
		}},
		{"IPv4 in IPv6 form", "::ffff:192.0.2.0/120,US\n", places{"192.0.2.1": inUS, "192.0.3.1": {}}},
		{"the country in the subdivision", "prefix,subdivision\n192.0.2.0/24,US-CA\n", places{"192.0.2.1": inCA}},
		{"the subdivision before the country", "subdivision,country,prefix\nCA,US,192.0.2.0/24\n", places{"192.0.2.1": inCA}},
		{"nothing", "# nothing\n", places{"192.0.2.1": {}}},
	} {
		table, err := loadNetworks(t, tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for addr, want := range tt.want {
			n, _ := table.Find(netip.MustParseAddr(addr))
			if got := table.Place(n); got != want {
				t.Errorf("%s: %s is at %+v, want %+v", tt.name, addr, got, want)
			}
		}
	}
}

// One invalid file a rule, with the place and the remedy.
func TestNetworksErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"192.0.2.1/24,US\n", "1:1: 192.0.2.1/24 has bits set beyond its length: write 192.0.2.0/24"},
		{"prefix,country\n2001:db8::1/32,US\n", "2:1: 2001:db8::1/32 has bits set beyond its length: write 2001:db8::/32"},
		{"network,country\n192.0.2.0/24,US\n", `1:1: "network" is no prefix: write one such as 192.0.2.0/24 or 2001:db8::/32, or begin the file with a line that names its columns: prefix,country,subdivision,city,lat,lon,asn,continent`},
		{"prefix\n192.0.2.0/33\n", `2:1: "192.0.2.0/33" is no prefix: write one such as 192.0.2.0/24 or 2001:db8::/32`},
		{"prefix\nfe80::1%eth0\n", `2:1: "fe80::1%eth0" is no prefix`},
		{"prefix\nfe80::%eth0/64\n", `2:1: "fe80::%eth0/64" is no prefix`},
		{"country,prefix\nUS,\n", `2:4: "" is no prefix`},
		{"country,prefix\nUS\n", "2:3: the line has no prefix: write one such as 192.0.2.0/24"},
		{"prefix,land\n", `1:8: there is no column "land": the columns are prefix, country,`},
		{"prefix,country,Prefix\n", `1:16: the column "prefix" stands here for the second time: leave one of them out`},
		{"prefix,city\n192.0.2.0/24,Paso, Robles\n", "2:20: the line has 3 fields, but the header names 2 columns: quote values that have commas"},
		{"prefix,city\n192.0.2.0/24,\"Paso\n", "2:14: the quote that begins here does not end in this line: end it with another one"},
		{"prefix,city\n192.0.2.0/24,\"Paso\" Robles\n", "2:14: after the value in quotes that begins here, a comma must follow"},
		{"prefix,city\n192.0.2.0/24,a\x1bb\n", "2:14: \"a\ufffdb\" can't be a city's name"},
		{"prefix,city,asn\n192.0.2.0/24,Århus,x\n", `2:20: "x" is no AS number: write one such as 64500 or AS64500`},
		{"prefix,asn\n192.0.2.0/24,0\n", `2:14: "0" is no AS number`},
		{"prefix,asn\n192.0.2.0/24,4294967296\n", `2:14: "4294967296" is no AS number`},
		{"192.0.2.0/24,USA\n", `1:14: "USA" is no country: write the two letters of ISO 3166-1, such as DE`},
		{"192.0.2.0/24,UK\n", "1:14: there is no country UK in ISO 3166-1 (the United Kingdom is GB): correct the two letters"},
		{"192.0.2.0/24,US,GB-ENG\n", "1:17: GB-ENG is no part of the country US: correct one of them"},
		{"prefix,subdivision,country\n192.0.2.0/24,GB-ENG,US\n", "2:14: GB-ENG is no part of the country US: correct one of them"},
		{"192.0.2.0/24,,CA\n", `1:15: "CA" says not of which country it is a part: write the country, as in US-CA`},
		{"192.0.2.0/24,US,California\n", `1:17: "California" is no subdivision: write the code of ISO 3166-2, such as US-CA`},
		{"prefix,continent\n192.0.2.0/24,Europe\n", `2:14: "Europe" is no continent: write AF, AN, AS, EU, NA, OC or SA`},
		{"prefix,lat,lon\n192.0.2.0/24,91,0\n", `2:14: "91" is no latitude: write degrees between -90 and 90, such as 51.51`},
		{"prefix,lat,lon\n192.0.2.0/24,0,NaN\n", `2:16: "NaN" is no longitude: write degrees between -180 and 180`},
		{"prefix,lat,lon\n192.0.2.0/24,1\n", "2:14: there is a latitude without a longitude: write both, or neither"},
		{"prefix,lat,lon\n192.0.2.0/24,,1\n", "2:15: there is a longitude without a latitude: write both, or neither"},
		{"country,prefix\nUS,192.0.2.0/24\nGB,10.0.0.0/8\nGB,192.0.2.0/24\n", "4:4: this prefix stands in line 2 with another place: leave one of them out"},
		{"::ffff:192.0.2.0/120,US\n192.0.2.0/24,GB\n", "2:1: this prefix stands in line 1 with another place"},
	} {
		_, err := loadNetworks(t, tt.text)
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != 1 {
			t.Errorf("%q: error is %v, want one", tt.text, err)
			continue
		}
		name, message, _ := strings.Cut(errs[0].Error(), ".csv:")
		if !strings.HasPrefix(message, tt.want) || name == "" {
			t.Errorf("%q: error is %v, want %s", tt.text, err, tt.want)
		}
	}
}

// All errors are told, in the order of the lines, up to a bound.
func TestNetworksAllErrors(t *testing.T) {
	_, err := loadNetworks(t, "prefix,country,asn\n10.0.0.0/8,US,1\nx,usa,y\n10.0.0.0/8,US,2\n")
	var errs Errors
	if !errors.As(err, &errs) || strings.Count(err.Error(), "\n") != 3 {
		t.Fatalf("error is %v", err)
	}
	for i, want := range []string{":3:1: ", ":3:3: ", ":3:7: ", ":4:1: "} {
		if !strings.Contains(errs[i].Error(), want) {
			t.Errorf("error %d is %v, want it at %s", i, errs[i], want)
		}
	}
	for _, line := range []string{"x,x,x\n", "10.0.0.0/8,US,%d\n"} {
		var b strings.Builder
		b.WriteString("prefix,country,asn\n")
		for i := range 1000 {
			fmt.Fprint(&b, strings.ReplaceAll(line, "%d", fmt.Sprint(i+1)))
		}
		if _, err := loadNetworks(t, b.String()); !errors.As(err, &errs) || len(errs) != maxErrors {
			t.Errorf("%q: %d errors, want %d", line, len(errs), maxErrors)
		}
	}
}

// Values of a file are shown short, and without what would upset a terminal.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "a\x00b\x1b[0m": "a\ufffdb\ufffd[0m", "a\xff": "a\ufffd",
		strings.Repeat("a", 70):       strings.Repeat("a", 64) + "...",
		"a" + strings.Repeat("ü", 70): "a" + strings.Repeat("ü", 31) + "...",
		strings.Repeat("\x80", 70):    strings.Repeat("\ufffd", 60) + "...",
	} {
		if got := clip(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Own networks win over a database, and replace a place as a whole.
func TestNetworksOverDatabase(t *testing.T) {
	name := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(name, []byte("prefix,country\n81.2.69.142,US\n2001:218::/33,US\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Load(Options{Database: database("GeoIP2-City-Test"), Networks: name})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr  string
		want  Place
		scope int
	}{
		{"81.2.69.142", own(Place{Country: "US"}), 32},
		{"81.2.69.143", london(), 32},
		{"89.160.20.112", linköping(), 28},
		{"2001:218:1::", own(Place{Country: "US"}), 33},
		{"2001:218:8000::", Place{Country: "JP", Continent: "AS", Lat: 35.68536, Lon: 139.75309, Located: true, Source: Database}, 33},
	} {
		n, scope := table.Find(netip.MustParseAddr(tt.addr))
		if got := table.Place(n); got != tt.want || scope != tt.scope {
			t.Errorf("%s is at %+v/%d, want %+v/%d", tt.addr, got, scope, tt.want, tt.scope)
		}
	}
	info := table.Describe()
	if len(info) != 2 || info[0].Source != Networks || info[0].Type != "CSV" || info[0].Networks != 2 || info[0].File != name ||
		time.Since(info[0].Built) > time.Hour || info[1].Source != Database {
		t.Errorf("described as %+v", info)
	}
}

// Whatever the text is, errors have a place in it, and what is taken covers all
// addresses.
func FuzzNetworks(f *testing.F) {
	f.Add("prefix,country,subdivision,city,lat,lon,asn,continent\n192.0.2.0/24,GB,ENG,London,51.51,-0.13,64500,EU\n")
	f.Add("192.0.2.0/24,US,US-CA,\"Los, \"\"Angeles\"\"\",\r\n2001:db8::1/128,,,, # x\n")
	f.Add("\ufeffcountry,prefix\n,::/0\n,0.0.0.0/0\n,::1\n,::1:0:0:0:0/80\n")
	f.Add("prefix,lat\nx,\"\n,,,\n\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		over := place.NewBuilder().Table().Overlay()
		list, err := readNetworks("f", text, over, Options{Centre: centre})
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || len(errs) > maxErrors {
				t.Fatalf("error is %v", err)
			}
			lines := strings.Split(text, "\n")
			for _, e := range errs {
				if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len(lines[e.Line-1])+1 {
					t.Fatalf("%v is not in the text", e)
				}
			}
			return
		}
		table := over.Table(list.four, list.six, Info{})
		checkCover(t, table)
		table.Places()
	})
}
