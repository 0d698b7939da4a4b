package geo

import (
	"bytes"
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// write makes a database of networks and records.
func write(t *testing.T, o mmdbwriter.Options, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	o.DatabaseType, o.Description, o.IncludeReservedNetworks = "test", map[string]string{"en": "a test"}, true
	w, err := mmdbwriter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	// Wider networks first: later ones replace what lies within.
	for _, prefix := range slices.SortedFunc(maps.Keys(records), byLength) {
		record := records[prefix]
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func byLength(a, b string) int {
	return cmp.Compare(netip.MustParsePrefix(a).Bits(), netip.MustParsePrefix(b).Bits())
}

func countryRecord(key, code string) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(key): mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

func at(lat, lon float64) mmdbtype.Map {
	return mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon)}}
}

// Records as databases of many makers have them.
func TestRecords(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record mmdbtype.DataType
		want   Place
	}{
		{"registered only", countryRecord("registered_country", "DE"), Place{Country: "DE", Source: Database}},
		{"lower case", countryRecord("country", "de"), Place{Country: "DE", Source: Database}},
		{"no country", countryRecord("country", "A1"), Place{}},
		{"0,0", at(0, 0), Place{}},
		{"on the equator", at(0, 20.5), Place{Lon: 20.5, Located: true, Source: Database}},
		{"no longitude", mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(1)}}, Place{}},
		{"beyond the Earth", at(0, 181), Place{}},
		{"small floats", mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float32(0.5), "longitude": mmdbtype.Float32(1)}}, Place{Lat: 0.5, Lon: 1, Located: true, Source: Database}},
		{"too large a number", mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint64(1 << 32)}, Place{}},
		{"no subdivisions", mmdbtype.Map{"subdivisions": mmdbtype.Slice{}, "autonomous_system_number": mmdbtype.Uint32(7)}, Place{ASN: 7, Source: Database}},
		{"two subdivisions", mmdbtype.Map{
			"country":      mmdbtype.Map{"iso_code": mmdbtype.String("GB")},
			"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("ENG")}, mmdbtype.Map{"iso_code": mmdbtype.String("WBK")}},
		}, Place{Country: "GB", Subdivision: "ENG", Source: Database}},
	} {
		content := write(t, mmdbwriter.Options{}, map[string]mmdbtype.DataType{"1.0.0.0/24": tt.record, "2.0.0.0/24": countryRecord("country", "SE")})
		table, err := readDatabase("f", content, Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if n, _ := table.Find(netip.MustParseAddr("1.0.0.1")); table.Place(n) != tt.want {
			t.Errorf("%s: it is at %+v, want %+v", tt.name, table.Place(n), tt.want)
		}
	}
	// A record that looks like ours and isn't.
	for _, record := range []mmdbtype.Map{
		{"country": mmdbtype.String("DE")},
		{"location": mmdbtype.Map{"latitude": mmdbtype.String("1")}},
		{"subdivisions": mmdbtype.Map{}},
		{"subdivisions": mmdbtype.Slice{mmdbtype.String("CA")}},
		{"traits": mmdbtype.Map{"autonomous_system_number": mmdbtype.String("AS1")}},
	} {
		_, err := readDatabase("f", write(t, mmdbwriter.Options{}, map[string]mmdbtype.DataType{"1.0.0.0/24": record}), Options{})
		if err == nil || !strings.Contains(err.Error(), "records of an unknown layout") {
			t.Errorf("%v: error is %v", record, err)
		}
	}
}

// Databases of one family, of all sizes of records, and networks that are wider
// than all of IPv4.
func TestFamilies(t *testing.T) {
	de, se := countryRecord("country", "DE"), countryRecord("country", "SE")
	for _, tt := range []struct {
		name    string
		version int
		records map[string]mmdbtype.DataType
		want    map[string]string // countries, and scopes
	}{
		{"IPv4 only", 4, map[string]mmdbtype.DataType{"1.0.0.0/24": de, "255.255.255.255/32": se}, map[string]string{"1.0.0.9": "DE", "255.255.255.255": "SE", "::1.0.0.9": "", "2.0.0.0": ""}},
		{"IPv6 only", 6, map[string]mmdbtype.DataType{"2001:db8::/32": de}, map[string]string{"2001:db8::1": "DE", "1.0.0.0": "", "ffff::": ""}},
		{"both", 6, map[string]mmdbtype.DataType{"2001:db8::/32": de, "1.0.0.0/8": se, "2001:db8::1/128": se}, map[string]string{"2001:db8::2": "DE", "2001:db8::1": "SE", "1.0.0.0": "SE"}},
		{"one network around IPv4", 6, map[string]mmdbtype.DataType{"::/8": de, "2001:db8::/32": se}, map[string]string{"1.0.0.0": "DE", "::1.0.0.0": "DE", "00ff::": "DE", "100::": ""}},
	} {
		for _, size := range []int{24, 28, 32} {
			content := write(t, mmdbwriter.Options{IPVersion: tt.version, RecordSize: size, DisableIPv4Aliasing: true}, tt.records)
			table, err := readDatabase("f", content, Options{})
			if err != nil {
				t.Errorf("%s, %d bits: %v", tt.name, size, err)
				continue
			}
			for addr, want := range tt.want {
				if got := country(table, addr); got != want {
					t.Errorf("%s, %d bits: %s is in %q, want %q", tt.name, size, addr, got, want)
				}
			}
			checkCover(t, table)
		}
	}
}

// A date that can't be is none.
func TestBuildTime(t *testing.T) {
	for epoch, want := range map[uint]int{0: 1, 1 << 63: 1, 1767225600: 2026} {
		if got := buildTime(epoch).Year(); got != want {
			t.Errorf("%d is in the year %d, want %d", epoch, got, want)
		}
	}
}

// Without events it looks, and says so.
func TestWatchWithoutEvents(t *testing.T) {
	var log bytes.Buffer
	w := watcher{WatchOptions: WatchOptions{Log: slog.New(slog.NewTextHandler(&log, nil)), Interval: time.Second}}
	w.open()
	w.without(errors.New("no inotify"))
	if events, errs := w.channels(); events != nil || errs != nil {
		t.Error("there are events")
	}
	w.follow()
	if !strings.Contains(log.String(), "no inotify") || !strings.Contains(log.String(), "interval=1s") {
		t.Errorf("log is %s", log.String())
	}
}
