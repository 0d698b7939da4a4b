package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts text into a file of a directory that goes away.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// show is what Read makes of a text: its ranges, a line each.
func show(d *Data) string {
	var s strings.Builder
	for r := range d.Ranges() {
		p := r.Place
		fmt.Fprintf(&s, "%s %s %s", r.First, r.Last, p.Country)
		for _, more := range []string{p.Subdivision, p.City} {
			if more != "" {
				fmt.Fprintf(&s, " %s", more)
			}
		}
		if p.ASN != 0 {
			fmt.Fprintf(&s, " AS%d", p.ASN)
		}
		s.WriteByte('\n')
	}
	return s.String()
}

const delegated = `2|ripencc|20260625|7|19830705|20260624|+0200
# a comment
ripencc|*|ipv4|*|4|summary
ripencc|DE|ipv4|192.0.2.0|256|20200101|allocated|x
ripencc|FR|ipv4|198.51.100.0|768|20200101|assigned|x|e-stats
ripencc|UK|ipv4|203.0.113.3|5|20200101|allocated
ripencc|EU|ipv6|2001:db8::|32|20200101|allocated|x
ripencc|ZZ|ipv4|10.0.0.0|256||allocated|x
ripencc|AP|ipv4|10.1.0.0|256||allocated|x
ripencc||ipv4|10.2.0.0|256||available|
ripencc|DE|ipv4|10.3.0.0|256||reserved|
ripencc|DE|asn|7|1|19930901|allocated|x

ripencc|SE|ipv4|255.255.255.0|256|20200101|allocated|x
`

func TestDelegated(t *testing.T) {
	d, err := Read(Options{Sources: []Source{{Delegated, write(t, "d", delegated)}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `192.0.2.0 192.0.2.255 DE
198.51.100.0 198.51.102.255 FR
203.0.113.3 203.0.113.7 GB
255.255.255.0 255.255.255.255 SE
2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff EU
`
	if got := show(d); got != want {
		t.Errorf("got\n%s", got)
	}
	if date := time.Date(2026, 6, 24, 0, 0, 0, 0, time.UTC); !d.Date.Equal(date) || !d.Files[0].Date.Equal(date) {
		t.Errorf("date %v", d.Date)
	}
	if d.Files[0].Ranges != 5 || d.Len() != 5 || d.Countries() != 5 || len(d.Unplaced) != 1 || d.Unplaced["AP"] != 1 {
		t.Errorf("%+v, %d ranges, %d countries, %v", d.Files, d.Len(), d.Countries(), d.Unplaced)
	}
}

const tor = `# Generated: Thu, 25 Jun 2026 04:33:59 GMT
16777216,16777471,AU
16777472,16777479,??
16777480,16777480,de
16777481,16777481,DE
2001:db8::,2001:db8::ffff,NL
2001:db8:0:0:0:0:1:0,2001:db8::1:0,XK
`

func TestTor(t *testing.T) {
	// As Windows writes it, too: with a byte order mark and CR LF.
	for _, text := range []string{tor, "\ufeff" + strings.ReplaceAll(tor, "\n", "\r\n")} {
		d, err := Read(Options{Sources: []Source{{Tor, write(t, "geoip", text)}}})
		if err != nil {
			t.Fatal(err)
		}
		want := `1.0.0.0 1.0.0.255 AU
1.0.1.8 1.0.1.9 DE
2001:db8:: 2001:db8::ffff NL
2001:db8::1:0 2001:db8::1:0 XK
`
		if got := show(d); got != want {
			t.Errorf("got\n%s", got)
		}
		if !d.Date.Equal(time.Date(2026, 6, 25, 4, 33, 59, 0, time.UTC)) {
			t.Errorf("date %v", d.Date)
		}
	}
}

const geofeed = `# of example.net
192.0.2.0/24,DE,DE-BE,Berlin,10115
192.0.2.128/25,DE,DE-HH,"Hamburg, Altona",  # inline
192.0.2.200,us,,
198.51.100.0/24,,US-CA
203.0.113.0/24
::ffff:203.0.113.0/120
2001:db8::/32,FR , FR-75C,Paris,,what comes later

2001:db8::/32,FR,FR-75C,Paris
`

func TestGeofeed(t *testing.T) {
	d, err := Read(Options{Sources: []Source{{Geofeed, write(t, "feed", geofeed)}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `192.0.2.0 192.0.2.127 DE BE Berlin
192.0.2.128 192.0.2.199 DE HH Hamburg, Altona
192.0.2.200 192.0.2.200 US
192.0.2.201 192.0.2.255 DE HH Hamburg, Altona
198.51.100.0 198.51.100.255 US CA
2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff FR 75C Paris
`
	if got := show(d); got != want {
		t.Errorf("got\n%s", got)
	}
	if d.Date.IsZero() || time.Since(d.Date) > time.Hour {
		t.Errorf("a geofeed has no date but its file's: %v", d.Date)
	}
	d, err = Read(Options{Sources: []Source{{Tor, write(t, "geoip", tor)}, {Geofeed, write(t, "feed", geofeed)}}})
	if err != nil || d.Date.Format(time.DateOnly) != "2026-06-25" {
		t.Errorf("a geofeed of today makes Tor's file one of %v, %v", d.Date, err)
	}
}

const table8 = `ASN, Prefix, country,subdivision,city,lat,lon,continent
64500,192.0.2.0/24,GB,,London,51.51,-0.13,
AS64501,198.51.100.0/24,,,,,,as
,203.0.113.0/24,US,CA,"a ""quoted"" city"
`

func TestCSV(t *testing.T) {
	d, err := Read(Options{Sources: []Source{{CSV, write(t, "t.csv", table8)}}})
	if err != nil {
		t.Fatal(err)
	}
	var got []Place
	for r := range d.Ranges() {
		got = append(got, r.Place)
	}
	want := []Place{
		{Country: "GB", Continent: "EU", City: "London", Lat: 51.51, Lon: -0.13, Located: true, ASN: 64500},
		{Continent: "AS", ASN: 64501},
		{Country: "US", Continent: "NA", Subdivision: "CA", City: `a "quoted" city`, Lat: 39.538, Lon: -97.483, Located: true},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	plain, err := Read(Options{Sources: []Source{{CSV, write(t, "t.csv", "192.0.2.0/24,DE\n192.0.3.0/24,DE\n")}}})
	if err != nil || show(plain) != "192.0.2.0 192.0.3.255 DE\n" {
		t.Errorf("%v, %v", plain, err)
	}
}

// Each bad line is told with its place, and left out if that is asked for.
func TestBadLines(t *testing.T) {
	long := "192.0.2.0/24," + strings.Repeat("x", maxLine)
	tests := []struct {
		kind Kind
		line string
		want string // column: message
	}{
		{Delegated, "ripencc|DE|ipv4|192.0.2.0|256", "1: 5 fields, and registry|cc|type|start|value|date|status are 7; is this a delegated-extended file?"},
		{Delegated, "2|ripencc|20260625", "1: 3 fields, and registry|cc|type|start|value|date|status are 7; is this a delegated-extended file?"},
		{Delegated, "ripencc|DE|ipv4|192.0.2.0|256|20200101|lent|x", `40: the status "lent" is not known; it is allocated, assigned, available or reserved`},
		{Delegated, "ripencc|DE|ipx|192.0.2.0|256|20200101|allocated|x", `12: the type "ipx" is not known; it is asn, ipv4 or ipv6`},
		{Delegated, "ripencc|DE|ipv4|192.0.2|256|20200101|allocated|x", `17: "192.0.2" is no address of ipv4`},
		{Delegated, "ripencc|DE|ipv6|192.0.2.0|24|20200101|allocated|x", `17: "192.0.2.0" is no address of ipv6`},
		{Delegated, "ripencc|DE|ipv6|::ffff:1.2.3.0|120|20200101|allocated|x", `17: "::ffff:1.2.3.0" is no address of ipv6`},
		{Delegated, "ripencc|DE|ipv4|192.0.2.0|0|20200101|allocated|x", `27: "0" is no number of addresses from 192.0.2.0 on; it goes from 1 to 1073741312`},
		{Delegated, "ripencc|DE|ipv4|255.255.255.0|257|20200101|allocated|x", `31: "257" is no number of addresses from 255.255.255.0 on; it goes from 1 to 256`},
		{Delegated, "ripencc|DE|ipv4|192.0.2.0|-1|20200101|allocated|x", `27: "-1" is no number of addresses from 192.0.2.0 on; it goes from 1 to 1073741312`},
		{Delegated, "ripencc|DE|ipv6|2001:db8::|129|20200101|allocated|x", `28: "129" is no prefix length of IPv6; it goes from 1 to 128`},
		{Delegated, "ripencc|DE|ipv6|2001:db8::1|32|20200101|allocated|x", `17: 2001:db8::1/32 has bits after its length; write 2001:db8::/32`},
		{Delegated, "ripencc|DEU|ipv4|192.0.2.0|256|20200101|allocated|x", `9: "DEU" is no country code; write its two letters (ISO 3166-1), such as DE`},
		{Tor, "1,2", "1: 2 fields instead of start,end,country; is this a geoip or geoip6 file of Tor?"},
		{Tor, "1,4294967296,DE", `3: "4294967296" is no IPv4 address as a number from 0 to 4294967295`},
		{Tor, "2,1,DE", "3: the range ends before it begins; exchange start and end"},
		{Tor, "2001:db8::,5,DE", `12: "5" is no address of IPv6 that a host can have`},
		{Tor, "::1,::2,DE", `1: "::1" is no address of IPv6 that a host can have`},
		{Tor, "1,2,D-", `5: "D-" is no country code; write its two letters (ISO 3166-1), such as DE`},
		{Tor, "1,2," + strings.Repeat("é", 99), `5: "` + strings.Repeat("é", 32) + `..." is no country code; write its two letters (ISO 3166-1), such as DE`},
		{Geofeed, "192.0.2.0/33,DE", `1: "192.0.2.0/33" is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32`},
		{Geofeed, ",DE", `1: "" is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32`},
		{Geofeed, "fe80::1%eth0,DE", `1: "fe80::1%eth0" is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32`},
		{Geofeed, "192.0.2.1/24,DE", "1: 192.0.2.1/24 has bits after its length; write 192.0.2.0/24"},
		{Geofeed, "::1,DE", "1: ::1/128: no host has an address in ::/96; leave the line out"},
		{Geofeed, "192.0.2.0/24,UK", `14: "UK" is no country (the United Kingdom's is GB); write its two letters (ISO 3166-1), such as DE`},
		{Geofeed, "192.0.2.0/24,,XX-1", `15: "XX" is no country; write its two letters (ISO 3166-1), such as DE`},
		{Geofeed, "192.0.2.0/24,DE,FR-75", `17: the subdivision "FR-75" is not in the country DE; correct one of the two`},
		{Geofeed, "192.0.2.0/24,,BE", `15: the subdivision "BE" does not say of which country; write the country too, as in US-CA`},
		{Geofeed, "192.0.2.0/24,DE,DE-BERLIN", `17: "DE-BERLIN" is no subdivision; write its code (ISO 3166-2), such as US-CA`},
		{Geofeed, "192.0.2.0/24,DE,,a\x01b", "18: this is no name of a city: it must be UTF-8 without control characters, of at most 255 octets"},
		{Geofeed, "192.0.2.0/24,DE,,\xff", "18: this is no name of a city: it must be UTF-8 without control characters, of at most 255 octets"},
		{Geofeed, `192.0.2.0/24,DE,,"Berlin`, "18: a quote is not closed, or something follows it; double quotes inside a quoted field"},
		{Geofeed, `192.0.2.0/24,DE,,"é" x`, "22: a quote is not closed, or something follows it; double quotes inside a quoted field"},
		{Geofeed, long, "1: the line is longer than 65,536 octets; is this the right file?"},
		{CSV, "192.0.2.0/24,DE,,,91,0", `19: "91" is not degrees from -90 to 90; write them such as 51.51`},
		{CSV, "192.0.2.0/24,DE,,,1,NaN", `21: "NaN" is not degrees from -180 to 180; write them such as 51.51`},
		{CSV, "192.0.2.0/24,DE,,,1,", "19: lat and lon need each other; write both, or neither for the middle of the country"},
		{CSV, "192.0.2.0/24,DE,,,,,AS", `21: "AS" is no autonomous system; write its number, such as 64500`},
		{CSV, "192.0.2.0/24,DE,,,,,,XX", `22: "XX" is no continent; it is AF, AN, AS, EU, NA, OC or SA`},
		{CSV, "192.0.2.0/24,DE,,,,,,,x", "23: 9 fields, and the head names 8 columns; quote a field that has a comma"},
	}
	good := map[Kind]string{
		Delegated: "ripencc|SE|ipv4|203.0.113.0|256|20200101|allocated|x\n", Tor: "3405803776,3405804031,SE\n",
		Geofeed: "203.0.113.0/24,SE\n",
		CSV:     "prefix,country,subdivision,city,lat,lon,asn,continent\n203.0.113.0/24,SE\n",
	}
	for _, tt := range tests {
		path := write(t, "file", good[tt.kind]+tt.line+"\n")
		line := strings.Count(good[tt.kind], "\n") + 1
		want := fmt.Sprintf("%s:%d:%s", path, line, tt.want)
		_, err := Read(Options{Sources: []Source{{tt.kind, path}}})
		if p, ok := errors.AsType[Problems](err); !ok || p.Total != 1 || err.Error() != want {
			t.Errorf("%s %q:\n got %v\nwant %s", tt.kind, tt.line[:min(len(tt.line), 80)], err, want)
		}
		d, err := Read(Options{Sources: []Source{{tt.kind, path}}, SkipBad: true})
		if err != nil || show(d) != "203.0.113.0 203.0.113.255 SE\n" || d.Problems.Error() != want {
			t.Errorf("%s %q, skipped: %v, %v", tt.kind, tt.line[:min(len(tt.line), 80)], d, err)
		}
	}
}

// What spoils the file as a whole is not skipped.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ path, want string }{
		{write(t, "a", "prefix,land\n"), `:1:8: there is no column "land"; the columns are prefix, country, subdivision, city, lat, lon, asn and continent`},
		{write(t, "b", "\nprefix,country,COUNTRY\n"), ":2:16: the column country stands here twice; leave out one"},
		{write(t, "c", "country,city\n"), ":1:1: the column prefix is missing; name it in the first line"},
		{dir, ": is a directory; name the file in it"},
		{filepath.Join(dir, "none"), ": cannot be read: no such file or directory"},
	}
	for _, tt := range tests {
		_, err := Read(Options{Sources: []Source{{CSV, tt.path}}, SkipBad: true})
		if err == nil || err.Error() != tt.path+tt.want {
			t.Errorf("got %v\nwant %s%s", err, tt.path, tt.want)
		}
	}
}

// A prefix may stand twice only if it says the same.
func TestDuplicates(t *testing.T) {
	path := write(t, "feed", "2001:db8::/32,DE\n192.0.2.0/24,DE\n192.0.2.0/24,FR\n192.0.2.0/25,FR\n192.0.2.0/24,DE\n2001:db8::/32,SE\n")
	want := path + ":3:1: 192.0.2.0/24 stands in line 2 already, with another place; leave out one\n" +
		path + ":6:1: 2001:db8::/32 stands in line 1 already, with another place; leave out one"
	_, err := Read(Options{Sources: []Source{{Geofeed, path}}})
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	d, err := Read(Options{Sources: []Source{{Geofeed, path}}, SkipBad: true})
	if err != nil || show(d) != "192.0.2.0 192.0.2.127 FR\n192.0.2.128 192.0.2.255 DE\n2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff DE\n" {
		t.Errorf("%v\n%s", err, show(d))
	}
}

// However many bad lines a file has, few are kept.
func TestManyProblems(t *testing.T) {
	path := write(t, "feed", strings.Repeat("x,y\n", 1000))
	_, err := Read(Options{Sources: []Source{{Geofeed, path}, {Geofeed, path}}})
	p, ok := errors.AsType[Problems](err)
	if !ok || p.Total != 2000 || len(p.First) != maxProblems || !strings.HasSuffix(err.Error(), "\nand 1980 more bad lines") {
		t.Errorf("%v", err)
	}
}

func TestProgress(t *testing.T) {
	a, b := write(t, "a", tor), write(t, "b", delegated)
	var last, total int64
	_, err := Read(Options{Sources: []Source{{Tor, a}, {Delegated, b}}, Progress: func(done, all int64) {
		if done <= last || total != 0 && all != total {
			t.Errorf("%d of %d after %d of %d", done, all, last, total)
		}
		last, total = done, all
	}})
	if want := int64(len(tor) + len(delegated)); err != nil || last != want || total != want {
		t.Errorf("%d of %d, %v", last, total, err)
	}
}
