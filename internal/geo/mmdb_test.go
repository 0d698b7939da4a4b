package geo

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"

	"geodns/internal/geo/place"
)

// centre is a country's centre, as Options want it, of a world of two.
func centre(country string) (lat, lon float64, ok bool) {
	switch country {
	case "GB":
		return 54, -2, true
	case "US":
		return 39.5, -98.25, true
	}
	return 0, 0, false
}

func london() Place {
	return Place{Country: "GB", Continent: "EU", Subdivision: "ENG", City: "London", Lat: 51.5142, Lon: -0.0931, Located: true, Source: Database}
}

func linköping() Place {
	return Place{Country: "SE", Continent: "EU", Subdivision: "E", City: "Linköping", Lat: 58.4167, Lon: 15.6167, Located: true, Source: Database}
}

func milton() Place {
	return Place{Country: "US", Continent: "NA", Subdivision: "WA", City: "Milton", Lat: 47.2513, Lon: -122.3149, Located: true, Source: Database}
}

// with is a place with the number of an autonomous system.
func with(p Place, asn uint32) Place {
	p.ASN = asn
	return p
}

// Each of MaxMind's layouts that says where addresses are.
func TestLayouts(t *testing.T) {
	type places map[string]Place
	for file, want := range map[string]places{
		"GeoIP2-City-Test": {"81.2.69.142": london(), "89.160.20.112": linköping(), "216.160.83.56": milton(), "10.0.0.1": {}, "2001:db8::": {}},
		"GeoLite2-City-Test": {
			"81.2.69.142": london(), "89.160.20.112": linköping(), "216.160.83.56": milton(),
			"2001:218::1": {Country: "JP", Continent: "AS", Lat: 35.68536, Lon: 139.75309, Located: true, Source: Database},
		},
		"GeoIP2-Country-Test": {
			"81.2.69.142":   {Country: "GB", Continent: "EU", Lat: 54, Lon: -2, Located: true, Source: Database},
			"89.160.20.112": {Country: "SE", Continent: "EU", Source: Database}, // a country without a known centre
		},
		"GeoLite2-Country-Test":            {"216.160.83.56": {Country: "US", Continent: "NA", Lat: 39.5, Lon: -98.25, Located: true, Source: Database}},
		"GeoLite2-ASN-Test":                {"1.128.0.1": {ASN: 1221, Source: Database}, "2600:6000::": {ASN: 237, Source: Database}},
		"GeoIP2-ISP-Test":                  {"1.128.0.1": {ASN: 1221, Source: Database}, "1.0.128.1": {}},
		"GeoIP2-Enterprise-Test":           {"89.160.20.112": with(linköping(), 29518), "216.160.83.56": with(milton(), 209)},
		"GeoIP2-Precision-Enterprise-Test": {"81.2.69.142": london(), "89.160.20.112": with(linköping(), 29518)},
	} {
		table, err := Load(Options{Database: database(file), Centre: centre})
		if err != nil {
			t.Error(err)
			continue
		}
		for addr, place := range want {
			n, _ := table.Find(netip.MustParseAddr(addr))
			if got := table.Places()[n]; got != place {
				t.Errorf("%s: %s is at %+v, want %+v", file, addr, got, place)
			}
		}
		info := table.Describe()
		if len(info) != 1 || info[0].Source != Database || info[0].Built.Year() != 2026 || info[0].Networks == 0 ||
			info[0].File != database(file) || info[0].Type != strings.TrimSuffix(file, "-Test") {
			t.Errorf("%s is described as %+v", file, info)
		}
	}
}

func database(name string) string { return filepath.Join("testdata", "maxmind", name+".mmdb") }

// A Table equals the reader's own look-ups, on both sides of each network's
// edges, and aliases of IPv4 don't leak.
func TestEqualsReader(t *testing.T) {
	for _, name := range []string{"GeoIP2-City-Test", "GeoLite2-ASN-Test", "GeoIP2-Enterprise-Test"} {
		table, err := Load(Options{Database: database(name)})
		if err != nil {
			t.Fatal(err)
		}
		reader, err := maxminddb.Open(database(name))
		if err != nil {
			t.Fatal(err)
		}
		aliases := []netip.Prefix{netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("::/96")}
		n := 0
		for r := range reader.Networks() {
			last := lastOf(r.Prefix())
			for _, a := range []netip.Addr{r.Prefix().Addr().Prev(), r.Prefix().Addr(), last, last.Next()} {
				if !a.IsValid() || a.Is4In6() || slices.ContainsFunc(aliases, func(p netip.Prefix) bool { return p.Contains(a) }) {
					continue
				}
				n++
				at, _ := table.Find(a)
				if got, want := table.Place(at), readPlace(t, reader, a); got.Country != want.Country || got.ASN != want.ASN || math.Abs(got.Lat-want.Lat) > 1e-6 {
					t.Fatalf("%s: %v is at %+v, want %+v", name, a, got, want)
				}
			}
		}
		if n < 50 {
			t.Errorf("%s: only %d addresses were compared", name, n)
		}
		for _, a := range []string{"2002:5102:458e::1", "2001:0:5102:458e::", "::81.2.69.142"} {
			if at, _ := table.Find(netip.MustParseAddr(a)); at != 0 {
				t.Errorf("%s: %s is at %+v", name, a, table.Place(at))
			}
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
}

// readPlace is a place by reflection, as most programs read it.
func readPlace(t *testing.T, reader *maxminddb.Reader, a netip.Addr) (p Place) {
	var r struct {
		Country struct {
			ISO string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Registered struct {
			ISO string `maxminddb:"iso_code"`
		} `maxminddb:"registered_country"`
		Location struct {
			Lat float64 `maxminddb:"latitude"`
		} `maxminddb:"location"`
		ASN    uint32 `maxminddb:"autonomous_system_number"`
		Traits struct {
			ASN uint32 `maxminddb:"autonomous_system_number"`
		} `maxminddb:"traits"`
	}
	if err := reader.Lookup(a).Decode(&r); err != nil {
		t.Fatal(err)
	}
	p = Place{Country: r.Country.ISO, ASN: max(r.ASN, r.Traits.ASN), Lat: r.Location.Lat}
	if p.Country == "" {
		p.Country = r.Registered.ISO
	}
	return p
}

// What is no database of places, and what is broken, is refused, with the file
// and a remedy.
func TestRefused(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"GeoIP2-Anonymous-IP-Test", `of type "GeoIP2-Anonymous-IP", has no network with a country, a position or an AS number; take one with the layout City`},
		{"GeoIP2-Connection-Type-Test", "take one with the layout"},
		{"GeoIP2-Domain-Test", "take one with the layout"},
		{"GeoIP2-DensityIncome-Test", "take one with the layout"},
		{"MaxMind-DB-test-ipv4-24", "take one with the layout"},
		{"MaxMind-DB-test-ipv4-28", "take one with the layout"},
		{"MaxMind-DB-test-ipv4-32", "take one with the layout"},
		{"MaxMind-DB-test-mixed-24", "take one with the layout"},
		{"MaxMind-DB-test-mixed-28", "take one with the layout"},
		{"MaxMind-DB-test-mixed-32", "take one with the layout"},
		{"MaxMind-DB-test-nested", "take one with the layout"},
		{"MaxMind-DB-test-decoder", "take one with the layout"},
		{"MaxMind-DB-no-ipv4-search-tree", "records of an unknown layout"},
		{"MaxMind-DB-string-value-entries", "records of an unknown layout"},
		{"GeoIP2-City-Test-Broken-Double-Format", "damaged"},
		{"GeoIP2-City-Test-Invalid-Node-Count", "only a part of one"},
		{"MaxMind-DB-test-broken-pointers-24", "damaged"},
		{"MaxMind-DB-test-broken-search-tree-24", "cycle"},
	} {
		_, err := Load(Options{Database: database(tt.file)})
		if err == nil || !strings.HasPrefix(err.Error(), database(tt.file)+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", tt.file, err, tt.want)
		}
	}
	bad, err := filepath.Glob(database("bad/*"))
	if err != nil || len(bad) != 21 {
		t.Fatalf("%d broken databases, %v", len(bad), err)
	}
	for _, name := range bad {
		if _, err := Load(Options{Database: name}); err == nil || !strings.Contains(err.Error(), "download it again") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A file that ends anywhere before its end is refused.
func TestTruncated(t *testing.T) {
	content := read(t, database("GeoLite2-City-Test"))
	for n := 0; n < len(content)-1; n += 1 + n/20 {
		if _, err := readDatabase("f", slices.Clone(content[:n]), Options{}); err == nil {
			t.Errorf("%d octets of %d are taken", n, len(content))
		}
	}
	// A new file's beginning over an old file's end, as while it is overwritten.
	other := read(t, database("GeoIP2-City-Test"))
	for _, n := range []int{1000, 5000, 12000, 20000} {
		if _, err := readDatabase("f", append(slices.Clone(other[:n]), content[n:]...), Options{}); err == nil {
			t.Errorf("a mixture at %d is taken", n)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Places and files that can't be read.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.mmdb")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge.mmdb")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Database: empty}, empty + ": the file is empty; download it again"},
		{Options{Database: huge}, "take a smaller one"},
		{Options{Database: dir}, dir + ": is not a regular file"},
		{Options{Networks: filepath.Join(dir, "none.csv")}, "none.csv: cannot be read: there is no such file; correct the path"},
		{Options{BuiltIn: func() (World, error) { return World{}, errors.New("no world") }}, "(no world): this program is damaged"},
		{Options{BuiltIn: worldOf(Range{First: netip.MustParseAddr("1.0.0.9"), Last: netip.MustParseAddr("1.0.0.1")})}, "from 1.0.0.9 to 1.0.0.1"},
		{Options{BuiltIn: worldOf(Range{First: netip.MustParseAddr("1.0.0.0"), Last: netip.MustParseAddr("1::")})}, "from 1.0.0.0 to 1::"},
		{Options{BuiltIn: worldOf(
			Range{First: netip.MustParseAddr("1.0.0.0"), Last: netip.MustParseAddr("255.255.255.255")},
			Range{First: netip.MustParseAddr("0.0.0.0"), Last: netip.MustParseAddr("0.0.0.0")})}, "out of order"},
		{Options{BuiltIn: worldOf(
			Range{First: netip.MustParseAddr("1::"), Last: netip.MustParseAddr("2::")},
			Range{First: netip.MustParseAddr("2::"), Last: netip.MustParseAddr("3::")})}, "out of order"},
	} {
		if _, err := Load(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error is %v, want one with %q", err, tt.want)
		}
	}
}

func worldOf(ranges ...Range) func() (World, error) {
	return func() (World, error) { return World{Type: "test", Ranges: slices.Values(ranges)}, nil }
}

// The built-in world stands in for a database, and countries bring what follows
// from them.
func TestBuiltIn(t *testing.T) {
	table, err := Load(Options{
		BuiltIn:   worldOf(Range{netip.MustParseAddr("1.0.0.0"), netip.MustParseAddr("1.0.0.255"), "gb"}, Range{netip.MustParseAddr("1.0.1.0"), netip.MustParseAddr("1.0.1.255"), "??"}),
		Centre:    centre,
		Continent: func(country string) string { return map[string]string{"GB": "EU"}[country] },
	})
	if err != nil {
		t.Fatal(err)
	}
	at, scope := table.Find(netip.MustParseAddr("1.0.0.7"))
	if want := (Place{Country: "GB", Continent: "EU", Lat: 54, Lon: -2, Located: true, Source: BuiltIn}); table.Place(at) != want || scope != 24 {
		t.Errorf("it is at %+v/%d, want %+v", table.Place(at), scope, want)
	}
	if at, _ := table.Find(netip.MustParseAddr("1.0.1.7")); at != 0 {
		t.Errorf("a country that is none is at %+v", table.Place(at))
	}
	if info := table.Describe(); len(info) != 1 || info[0] != (Info{Source: BuiltIn, Type: "test", Networks: 2}) {
		t.Errorf("it is described as %+v", info)
	}
	// With no source at all, everything is unknown.
	table, err = Load(Options{})
	if err != nil || table.Len() != 1 || len(table.Describe()) != 0 || table.Place(0) != (Place{}) {
		t.Errorf("%v, %+v", err, table)
	}
}

// A tree whose branches grow together again would have 2^96 networks.
func TestSharedBranches(t *testing.T) {
	const nodes = 96
	content := make([]byte, nodes*6)
	for i := range nodes {
		next := i + 1 // the last one: no data
		for _, at := range []int{i * 6, i*6 + 3} {
			content[at+1], content[at+2] = byte(next>>8), byte(next)
		}
	}
	leaves := 0
	count := func(bool, place.Key, uint32) error { leaves++; return nil }
	tr := tree{content: content, nodes: nodes, record: 24, leaf: count}
	if err := tr.walk6(); !errors.Is(err, errShared) {
		t.Errorf("error is %v", err)
	}
	if leaves > shares*nodes {
		t.Errorf("%d leaves were visited", leaves)
	}
	// In a tree for IPv4 it is too deep besides.
	tr = tree{content: content, nodes: nodes, record: 24, leaf: count}
	if err := tr.walk4(); err == nil {
		t.Error("a tree of 96 levels is taken for IPv4")
	}
}

// Records of all sizes are read as the specification says.
func TestChildren(t *testing.T) {
	b := []byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}
	for _, tt := range []struct {
		record      uint
		left, right uint32
	}{{24, 0x123456, 0x789abc}, {28, 0x7123456, 0x89abcde}, {32, 0x12345678, 0x9abcdef0}} {
		tr := tree{content: b, record: tt.record}
		if left, right := tr.children(0); left != tt.left || right != tt.right {
			t.Errorf("%d: %x and %x, want %x and %x", tt.record, left, right, tt.left, tt.right)
		}
	}
}

// What a database says is checked before anybody relies on it.
func TestTidy(t *testing.T) {
	for _, tt := range []struct{ in, want Place }{
		{Place{Country: "us", Continent: "na", Subdivision: "ca"}, Place{Country: "US", Continent: "NA", Subdivision: "CA"}},
		{Place{Country: "U1", Subdivision: "CA"}, Place{}},
		{Place{Country: "SE", Subdivision: "TOOLONG"}, Place{Country: "SE"}},
		{Place{Continent: "XX"}, Place{}},
		{Place{City: "a\x1b[31m"}, Place{}},
		{Place{City: "a\xff"}, Place{}},
		{Place{City: strings.Repeat("a", maxCity+1)}, Place{}},
		{Place{City: strings.Repeat("a", maxCity)}, Place{City: strings.Repeat("a", maxCity)}},
		{Place{Located: true, Lat: 91}, Place{}},
		{Place{Located: true, Lat: math.Inf(1)}, Place{}},
		{Place{Located: true, Lon: -180.1}, Place{}},
		{Place{Located: true, Lat: -90, Lon: 180}, Place{Located: true, Lat: -90, Lon: 180}},
	} {
		if got := (Options{}).tidy(tt.in); got != tt.want {
			t.Errorf("%+v becomes %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

// Whatever the octets are, a database is taken or refused, but never ends the
// program; a Table that comes of it covers all addresses.
func FuzzDatabase(f *testing.F) {
	for _, name := range []string{"GeoLite2-ASN-Test", "GeoIP2-Enterprise-Test", "MaxMind-DB-test-broken-pointers-24", "bad/libmaxminddb-deep-nesting"} {
		content, err := os.ReadFile(database(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, uint32(0), uint32(0))
		f.Add(content, uint32(len(content)/3), uint32(0xffffffff))
	}
	f.Fuzz(func(t *testing.T, content []byte, at, flip uint32) {
		content = slices.Clone(content)
		for i := range 4 {
			if int(at)+i < len(content) {
				content[int(at)+i] ^= byte(flip >> (8 * i))
			}
		}
		table, err := readDatabase("f", content, Options{})
		if err != nil {
			return
		}
		checkCover(t, table)
	})
}

// checkCover checks that the scopes of a Table, one after the other, cover all
// addresses, and that each one's last address is of its place and scope.
func checkCover(t *testing.T, table *Table) {
	t.Helper()
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		for n := 0; a.IsValid(); n++ {
			if a.Is4In6() { // That is looked up as IPv4.
				a = netip.MustParseAddr("::1:0:0:0")
			}
			at, scope := table.Find(a)
			p, err := a.Prefix(scope)
			if err != nil || p.Addr() != a || int(at) >= table.Len() || n > 1_000_000 {
				t.Fatalf("%v is at place %d of %d with scope %d", a, at, table.Len(), scope)
			}
			last := lastOf(p)
			if end, s := table.Find(last); (end != at || s != scope) && !last.Is4In6() {
				t.Fatalf("%v is at place %d with scope %d, %v in its scope at %d with %d", a, at, scope, last, end, s)
			}
			a = last.Next()
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
