package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
)

// runGeo runs a command line in which DIR stands for a directory, and again in
// what is printed.
func runGeo(dir, line string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	args := strings.Fields(line)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	code = run(args, &out, &errs)
	return code, strings.ReplaceAll(out.String(), dir, "DIR"), strings.ReplaceAll(errs.String(), dir, "DIR")
}

// geoFiles writes the files of the tests into a new directory.
func geoFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		// A geofeed has no date but its file's.
		if at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC); os.Chtimes(path, at, at) != nil {
			t.Fatal("cannot set the time of a file")
		}
	}
	return dir
}

var geoSources = map[string]string{
	"ripe":    "2|ripencc|20260625|2|19830705|20260624|+0200\nripencc|DE|ipv4|192.0.2.0|256|20200101|allocated|x\nripencc|AP|ipv4|192.0.3.0|256|20200101|allocated|x\n",
	"arin":    "2|arin|20260625|2|19830705|20260623|-0400\narin|US|ipv6|2001:db8::|32|20200101|allocated|x\n",
	"feed":    "192.0.2.128/25,FR,FR-75C,Paris,\n",
	"geoip":   "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n3221225984,3221226239,SE\n",
	"own.csv": "prefix,country,subdivision,city,lat,lon,asn\n192.0.2.128/26,GB,,London,51.51,-0.13,64500\n192.0.2.192/26,EU\n",
	"bad":     "192.0.2.0/24,DE\n192.0.2.1/24,DE\nx,DE\n",
	"empty":   "",
	"a.yaml":  "geo: {database: a.mmdb, networks: own.csv}\n",
	"b.yaml":  "geo: [\n",
	"c.yaml":  "geo: {database: none.mmdb}\n",
	"d.yaml":  "geo: {networks: bad}\n",
}

func TestGeoBuildAndLookup(t *testing.T) {
	dir := geoFiles(t, geoSources)
	code, out, errs := runGeo(dir, "geo build --out DIR/a.mmdb --delegated DIR/ripe --geofeed DIR/feed --delegated DIR/arin")
	want := `DIR/ripe: 1 range, of 24 June 2026
DIR/feed: 1 range, undated
DIR/arin: 1 range, of 23 June 2026
left out, for their codes are no country's: 1 range (AP 1)
wrote DIR/a.mmdb: 3 ranges in 3 countries, dated 24 June 2026
`
	if code != exitOK || out != want || errs != "" {
		t.Fatalf("build: %d\n%s%s", code, out, errs)
	}
	code, out, errs = runGeo(dir, "geo lookup --config DIR/a.yaml 192.0.2.1 192.0.2.130 192.0.2.200 2001:db8::1 ::ffff:203.0.113.1")
	want = `address   192.0.2.1
place     Germany (DE), Europe (EU)
position  50.962 N 9.678 E
scope     192.0.2.0/25
source    database, DIR/a.mmdb, geodns-City of 24 June 2026

address     192.0.2.130
place       London, United Kingdom (GB), Europe (EU)
position    51.510 N 0.130 W
network of  AS64500
scope       192.0.2.128/26
source      own networks, DIR/own.csv, CSV of 4 March 2026

address   192.0.2.200
place     Europe (EU)
position  49.843 N 9.902 E
scope     192.0.2.192/26
source    own networks, DIR/own.csv, CSV of 4 March 2026

address   2001:db8::1
place     United States (US), North America (NA)
position  39.538 N 97.483 W
scope     2001:db8::/32
source    database, DIR/a.mmdb, geodns-City of 24 June 2026

address  203.0.113.1
place    unknown
scope    200.0.0.0/5
source   none: no source knows this address
`
	if code != exitOK || out != want || errs != "" {
		t.Errorf("lookup: %d\n%s%s", code, out, errs)
	}
	// The later source overrides the earlier one: the feed's Paris is gone.
	code, out, errs = runGeo(dir, "geo build --out DIR/b.mmdb --geofeed DIR/feed --tor DIR/geoip")
	want = "DIR/feed: 1 range, undated\nDIR/geoip: 1 range, of 25 June 2026\nwrote DIR/b.mmdb: 1 range in 1 country, dated 25 June 2026\n" +
		"Tor's files are the IPFire Location Database: who passes the result on names it and its licence, CC BY-SA 4.0\n"
	if code != exitOK || out != want || errs != "" {
		t.Errorf("build: %d\n%s%s", code, out, errs)
	}
	code, out, _ = runGeo(dir, "geo lookup --database DIR/b.mmdb --config DIR/a.yaml --networks DIR/feed 192.0.2.130 192.0.2.1")
	if code != exitOK || !strings.Contains(out, "Paris, FR-75C, France (FR)") || !strings.Contains(out, "Sweden (SE)") {
		t.Errorf("lookup: %d\n%s", code, out)
	}
}

func TestGeoLookupJSON(t *testing.T) {
	dir := geoFiles(t, geoSources)
	if code, _, errs := runGeo(dir, "geo build --out DIR/a.mmdb --delegated DIR/arin DIR/ripe"); code != exitOK {
		t.Fatal(errs)
	}
	code, out, errs := runGeo(dir, "geo lookup -o json --config DIR/a.yaml 192.0.2.130 203.0.113.1")
	want := `[
  {
    "address": "192.0.2.130",
    "known": true,
    "country": "GB",
    "country_name": "United Kingdom",
    "continent": "EU",
    "subdivision": "",
    "city": "London",
    "lat": 51.51,
    "lon": -0.13,
    "asn": 64500,
    "scope": "192.0.2.128/26",
    "source": {
      "kind": "own networks",
      "file": "DIR/own.csv",
      "type": "CSV",
      "date": "2026-03-04T05:06:07Z",
      "licence": "",
      "networks": 2
    }
  },
  {
    "address": "203.0.113.1",
    "known": false,
    "country": "",
    "country_name": "",
    "continent": "",
    "subdivision": "",
    "city": "",
    "lat": null,
    "lon": null,
    "asn": 0,
    "scope": "200.0.0.0/5",
    "source": null
  }
]
`
	if code != exitOK || out != want || errs != "" {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}

// Without a configuration it is the built-in world, and it is named with its
// date and licence.
func TestGeoLookupBuiltIn(t *testing.T) {
	info, err := builtin.About()
	if err != nil {
		t.Fatal(err)
	}
	dir := geoFiles(t, map[string]string{"e.yaml": "zones: nowhere\n"})
	code, out, errs := runGeo(dir, "geo lookup --config DIR/e.yaml -o json 193.0.6.139 2001:67c:2e8:22::c100:68b 127.0.0.1")
	var found []foundJSON
	if err := json.Unmarshal([]byte(out), &found); code != exitOK || err != nil || len(found) != 3 {
		t.Fatalf("%d, %v\n%s%s", code, err, out, errs)
	}
	if stale := strings.Contains(errs, "more than a year old"); stale != info.Stale(time.Now()) {
		t.Errorf("stderr: %q", errs)
	}
	for _, f := range found[:2] {
		if f.Country != "NL" || f.Lat == nil || f.Source == nil || f.Source.Kind != "built-in world" ||
			f.Source.Licence != "CC BY-SA 4.0" || f.Source.Type != "IPFire Location Database" || !f.Source.Date.Equal(info.Date) {
			t.Errorf("%+v %+v", f, f.Source)
		}
		p, err := netip.ParsePrefix(f.Scope)
		if err != nil || !p.Contains(netip.MustParseAddr(f.Address)) {
			t.Errorf("%s has scope %s", f.Address, f.Scope)
		}
	}
	if found[2].Known || found[2].Source != nil {
		t.Errorf("%+v", found[2])
	}
}

// What is said of an old world names a remedy.
func TestFindWords(t *testing.T) {
	table, err := geo.Load(geo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := find(table, builtin.Info{}, netip.MustParseAddr("2001:db8::1"))
	if f.Known || f.Scope != "::/0" || f.place() != "unknown" || f.Source.String() != "none: no source knows this address" {
		t.Errorf("%+v", f)
	}
	f = foundJSON{Country: "QQ", Subdivision: "X"}
	if got := f.place(); got != "QQ-X, (QQ)" {
		t.Error(got)
	}
}

func TestGeoErrors(t *testing.T) {
	dir := geoFiles(t, geoSources)
	if err := os.WriteFile(filepath.Join(dir, "old.mmdb"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := "DIR/bad:2:1: 192.0.2.1/24 has bits after its length; write 192.0.2.0/24\nDIR/bad:3:1: \"x\" is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/32\n"
	tests := []struct {
		line   string
		code   int
		stderr string // begins with this
	}{
		{"geo", exitUsage, "geodns geo: a command is missing; see geodns geo --help\n"},
		{"geo lokup", exitUsage, "geodns geo: unknown command \"lokup\", did you mean lookup?; see geodns geo --help\n"},
		{"geo lookup", exitUsage, "geodns geo lookup: an address is missing; see"},
		{"geo lookup 192.0.2", exitUsage, "geodns geo lookup: \"192.0.2\" is no address; write one such as 192.0.2.1 or 2001:db8::1; see"},
		{"geo lookup fe80::1%eth0", exitUsage, "geodns geo lookup: \"fe80::1%eth0\" is no address"},
		{"geo lookup -o yaml ::1", exitUsage, "geodns geo lookup: --output \"yaml\" is neither text nor json; see"},
		{"geo lookup --config DIR/b.yaml ::1", exitConfig, "DIR/b.yaml:"},
		{"geo lookup --config DIR/none.yaml ::1", exitConfig, "DIR/none.yaml: cannot be read: no such file or directory; name another file with --config\n"},
		{"geo lookup --config DIR/c.yaml ::1", exitFailure, "DIR/none.mmdb: cannot be read: there is no such file"},
		{"geo lookup --config DIR/d.yaml ::1", exitFailure, "DIR/bad:2:1: "},
		{"geo lookup --database DIR/old.mmdb ::1", exitFailure, "DIR/old.mmdb: "},
		{"geo build --csv DIR/feed", exitUsage, "geodns geo build: --out is missing: name the database to write; see"},
		{"geo build --out DIR/x.mmdb", exitUsage, "geodns geo build: there is nothing to build of: name files with --delegated, --geofeed, --tor or --csv; see"},
		{"geo build --out DIR/x.mmdb DIR/feed", exitUsage, "geodns geo build: of which format is \"DIR/feed\"? Write --delegated, --geofeed, --tor or --csv before it; see"},
		{"geo build --out DIR/x.mmdb --csv DIR/feed --tor DIR/geoip DIR/ripe", exitUsage, "geodns geo build: of which format is \"DIR/ripe\"?"},
		{"geo build --out DIR/feed --csv DIR/./feed", exitUsage, "geodns geo build: --out DIR/feed is one of the files to read; see"},
		{"geo build --out DIR/no/x.mmdb --csv DIR/feed", exitFailure, "geodns geo build: cannot write DIR/no/x.mmdb: there is no directory DIR/no; create it, or choose another\n"},
		{"geo build --out DIR/x.mmdb --csv DIR/none", exitFailure, "DIR/none: cannot be read: no such file or directory\n"},
		{"geo build --out DIR/x.mmdb --csv=", exitUsage, "geodns geo build: invalid argument \"\" for \"--csv\" flag: the name of a file is missing"},
		{"geo build --out DIR/old.mmdb --geofeed DIR/bad", exitFailure, bad + "nothing was written: correct 2 bad lines, or leave out such lines with --skip-bad\n"},
		{"geo build --out DIR/old.mmdb --geofeed DIR/empty", exitFailure, "geodns geo build: the files place no address anywhere, so nothing was written"},
		{"geo build --out DIR/old.mmdb --delegated DIR/feed", exitFailure, "DIR/feed:1:1: 1 fields, and registry|cc|"},
	}
	for _, tt := range tests {
		code, out, errs := runGeo(dir, tt.line)
		if code != tt.code || out != "" || !strings.HasPrefix(errs, tt.stderr) {
			t.Errorf("geodns %s: %d, %q, stderr\n%s\nwant %d,\n%s", tt.line, code, out, errs, tt.code, tt.stderr)
		}
	}
	if old, err := os.ReadFile(filepath.Join(dir, "old.mmdb")); err != nil || string(old) != "old" {
		t.Errorf("what was there is lost: %q, %v", old, err)
	}
	code, out, errs := runGeo(dir, "geo build --out DIR/x.mmdb --skip-bad --geofeed DIR/bad")
	if code != exitOK || errs != bad+"warning: 2 bad lines left out\n" || !strings.Contains(out, "wrote DIR/x.mmdb: 1 range in 1 country, dated 4 March 2026\n") {
		t.Errorf("--skip-bad: %d\n%s%s", code, out, errs)
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(names) != 0 {
		t.Errorf("left lying about: %v, %v", names, err)
	}
}
