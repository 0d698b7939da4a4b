package build

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"pgregory.net/rapid"
)

// entry is a line of a source for the naive map.
type entry struct {
	layer, line int
	first, last netip.Addr
	place       Place
}

// ask finds an address among all lines: the last source, then the narrowest
// range, then the last line.
func ask(all []entry, a netip.Addr) Place {
	var best *entry
	for i := range all {
		e := &all[i]
		if e.first.Is4() != a.Is4() || a.Less(e.first) || e.last.Less(a) {
			continue
		}
		if best == nil || e.layer > best.layer || e.layer == best.layer && narrower(e, best) {
			best = e
		}
	}
	if best == nil {
		return Place{}
	}
	return best.place
}

func narrower(a, b *entry) bool {
	x, y := fromIP(a.last).minus(fromIP(a.first)), fromIP(b.last).minus(fromIP(b.first))
	return x.less(y) || x == y && a.line > b.line
}

// random makes sources in all formats that crowd together in a few networks,
// and the entries that they mean.
func random(t *testing.T, rnd *rand.Rand) (sources []Source, all []entry) {
	codes := []string{"DE", "FR", "US", "SE", "BR"}
	ip := func(four bool) netip.Addr {
		if four {
			return netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(3)), byte(rnd.IntN(256))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(rnd.IntN(2)), 15: byte(rnd.IntN(256))})
	}
	for layer, kind := range []Kind{Delegated, Tor, Geofeed, CSV} {
		var s strings.Builder
		if kind == CSV {
			s.WriteString("country,prefix\n")
		}
		seen := map[netip.Prefix]bool{}
		for line := range 40 {
			four, code := rnd.IntN(2) == 0, codes[rnd.IntN(len(codes))]
			e := entry{layer: layer, line: line}
			e.place.Country = code
			first := ip(four)
			p, err := first.Prefix(first.BitLen() - rnd.IntN(10))
			if err != nil {
				t.Fatal(err)
			}
			e.first, e.last = p.Addr(), addrOf(lastOf(p), four)
			switch {
			case kind == Delegated && four: // not a power of two
				count := 1 + rnd.Uint64N(600)
				e.first, e.last = first, addrOf(addr{0, fromIP(first).lo + count - 1}, true)
				fmt.Fprintf(&s, "x|%s|ipv4|%s|%d|20200101|allocated|x\n", code, first, count)
			case kind == Delegated:
				fmt.Fprintf(&s, "x|%s|ipv6|%s|%d|20200101|allocated|x\n", code, p.Addr(), p.Bits())
			case kind == Tor:
				e.first, e.last = first, ip(four)
				if e.last.Less(e.first) {
					e.first, e.last = e.last, e.first
				}
				if four {
					fmt.Fprintf(&s, "%d,%d,%s\n", fromIP(e.first).lo, fromIP(e.last).lo, code)
				} else {
					fmt.Fprintf(&s, "%s,%s,%s\n", e.first, e.last, code)
				}
			case seen[p]:
				continue
			case kind == Geofeed && rnd.IntN(5) == 0: // hides what is below
				e.place.Country = ""
				fmt.Fprintf(&s, "%s\n", p)
			case kind == Geofeed:
				fmt.Fprintf(&s, "%s,%s,,,\n", p, code)
			default:
				fmt.Fprintf(&s, "%s,%s\n", code, p)
			}
			seen[p] = true
			all = append(all, e)
		}
		sources = append(sources, Source{kind, write(t, kind.String(), s.String())})
	}
	return sources, all
}

func addrOf(a addr, four bool) netip.Addr {
	if four {
		return a.ip4()
	}
	return a.ip6()
}

// What is read back of the file is what a naive map of all lines says.
func TestEqualsNaiveMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		sources, all := random(t, rnd)
		d, err := Read(Options{Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "out.mmdb")
		if err := d.WriteFile(path, "test", nil); err != nil {
			t.Fatal(err)
		}
		db, err := maxminddb.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			b := [16]byte{0x20, 1, 0xd, 0xb8, byte(rnd.IntN(3)), 14: byte(rnd.IntN(4)), 15: byte(rnd.IntN(256))}
			for _, a := range []netip.Addr{netip.AddrFrom16(b), netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(8)), byte(rnd.IntN(256))})} {
				var got string
				if err := db.Lookup(a).DecodePath(&got, "country", "iso_code"); err != nil {
					t.Fatal(err)
				}
				if want := ask(all, a); got != want.Country {
					t.Fatalf("%s is in %q, want %q", a, got, want.Country)
				}
			}
		}
		db.Close()
	}
}

// Flattened spans are disjoint, in order, and neighbours differ, at the ends of
// all addresses, too.
func TestFlatten(t *testing.T) {
	top := addr{^uint64(0), ^uint64(0)}
	rapid.Check(t, func(t *rapid.T) {
		var all []span
		place := func(n uint8) addr { // near either end
			if n < 128 {
				return addr{0, uint64(n)}
			}
			return addr{top.hi, top.lo - uint64(255-n)}
		}
		for i := range rapid.IntRange(0, 12).Draw(t, "spans") {
			a, b := rapid.Uint8().Draw(t, "a"), rapid.Uint8().Draw(t, "b")
			all = append(all, span{
				first: place(min(a, b)), last: place(max(a, b)), place: rapid.Uint32Range(0, 3).Draw(t, "place"),
				layer: rapid.Uint32Range(0, 2).Draw(t, "layer"), line: uint32(i),
			})
		}
		want := [256]uint32{}
		for n := range want {
			var best *span
			for i := range all {
				s, a := &all[i], place(uint8(n))
				if !a.less(s.first) && !s.last.less(a) && (best == nil || s.over(best)) {
					best = s
				}
			}
			if best != nil {
				want[n] = best.place
			}
		}
		out := flatten(all)
		for i, s := range out {
			if s.last.less(s.first) || s.place == 0 {
				t.Fatalf("span %+v", s)
			}
			if i == 0 {
				continue
			}
			if p := out[i-1]; !p.last.less(s.first) || p.last.next() == s.first && p.place == s.place {
				t.Fatalf("%+v comes after %+v", s, p)
			}
		}
		for n := range want {
			got, a := uint32(0), place(uint8(n))
			for _, s := range out {
				if !a.less(s.first) && !s.last.less(a) {
					got = s.place
				}
			}
			if got != want[n] {
				t.Fatalf("%v is at %d, want %d", a, got, want[n])
			}
		}
	})
}

// All of a place is in the file, where readers of the City layout look for it.
func TestLayout(t *testing.T) {
	feed := "prefix,country,subdivision,city,lat,lon,asn\n192.0.2.0/24,US,CA,San José,37.3,-121.9,64500\n2001:db8::/32,JP\n198.51.100.0/24,,,,,,64501\n::/0,BR\n"
	d, err := Read(Options{Sources: []Source{{CSV, write(t, "f", feed)}}})
	if err != nil {
		t.Fatal(err)
	}
	d.Date = time.Date(2026, 6, 25, 1, 2, 3, 4, time.UTC)
	path := filepath.Join(t.TempDir(), "out.mmdb")
	var stages []string
	if err := d.WriteFile(path, "what it is", func(s string) { stages = append(stages, s) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(stages, []string{"writing", "verifying"}) {
		t.Errorf("stages %v", stages)
	}
	db, err := maxminddb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m := db.Metadata
	if m.DatabaseType != "geodns-City" || m.Description["en"] != "what it is" || m.IPVersion != 6 ||
		time.Unix(int64(m.BuildEpoch), 0).UTC() != time.Date(2026, 6, 25, 1, 2, 3, 0, time.UTC) {
		t.Errorf("%+v", m)
	}
	tests := map[string]string{
		"192.0.2.77":   "map[city:map[names:map[en:San José]] continent:map[code:NA names:map[en:North America]] country:map[iso_code:US names:map[en:United States]] location:map[latitude:37.3 longitude:-121.9] registered_country:map[iso_code:US names:map[en:United States]] subdivisions:[map[iso_code:CA]] traits:map[autonomous_system_number:64500]]",
		"2001:db8::1":  "map[continent:map[code:AS names:map[en:Asia]] country:map[iso_code:JP names:map[en:Japan]] location:map[latitude:36.143 longitude:138.442] registered_country:map[iso_code:JP names:map[en:Japan]]]",
		"198.51.100.9": "map[traits:map[autonomous_system_number:64501]]",
		"203.0.113.1":  "<nil>", // ::/0 says nothing of IPv4
		"::2:0:0":      "map[continent:map[code:SA names:map[en:South America]] country:map[iso_code:BR names:map[en:Brazil]] location:map[latitude:-12.099 longitude:-49.559] registered_country:map[iso_code:BR names:map[en:Brazil]]]",
	}
	for a, want := range tests {
		var got any
		if err := db.Lookup(netip.MustParseAddr(a)).Decode(&got); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v\nwant %s", a, got, err, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v: the server must be able to read it", info.Mode(), err)
	}
}

// The same data give the same octets.
func TestReproducible(t *testing.T) {
	var files [2]bytes.Buffer
	path := write(t, "geoip", tor)
	for i := range files {
		d, err := Read(Options{Sources: []Source{{Tor, path}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.WriteMMDB(&files[i], "test"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("two builds differ")
	}
}

// A file that isn't what it should be doesn't come into the old one's place.
func TestVerify(t *testing.T) {
	read := func(text string) *Data {
		d, err := Read(Options{Sources: []Source{{Geofeed, write(t, "f", text)}}})
		if err != nil {
			t.Fatal(err)
		}
		d.Date = time.Unix(1e9, 0)
		return d
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "out.mmdb")
	if err := read("192.0.2.0/24,DE\n").WriteFile(path, "", nil); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"192.0.2.0/24,FR\n":                 "it is wrong about 192.0.2.0 to 192.0.2.255",
		"192.0.2.0/23,DE\n":                 "it is wrong about 192.0.2.0 to 192.0.3.255",
		"198.51.100.0/24,DE\n":              "it says nothing of 198.51.100.0",
		"192.0.2.0/24,DE\n2001:db8::1,DE\n": "it says nothing of 2001:db8::1",
	} {
		if err := read(text).verify(path); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if err := os.WriteFile(path, old[:len(old)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read("192.0.2.0/24,DE\n").verify(path); err == nil {
		t.Error("half a file is good")
	}
	err = read("192.0.2.0/24,DE\n").WriteFile(filepath.Join(dir, "none", "x.mmdb"), "", nil)
	if err == nil || !strings.HasSuffix(err.Error(), ": no such file or directory") {
		t.Error(err)
	}
	// The rename fails, and nothing is left lying about.
	if err := os.Mkdir(filepath.Join(dir, "d.mmdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := read("192.0.2.0/24,DE\n").WriteFile(filepath.Join(dir, "d.mmdb"), "", nil); err == nil {
		t.Error("a directory was replaced")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}

// Nothing that stands in a file makes reading fail but by its problems.
func FuzzRead(f *testing.F) {
	for kind, text := range map[Kind]string{Delegated: delegated, Tor: tor, Geofeed: geofeed, CSV: table8} {
		f.Add(uint8(kind), []byte(text))
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		d, err := Read(Options{Sources: []Source{{Kind(kind % 4), write(t, "f", string(text))}}, SkipBad: true})
		if err != nil {
			if _, ok := err.(Problem); !ok {
				t.Fatal(err)
			}
			return
		}
		if err := d.WriteMMDB(&bytes.Buffer{}, ""); err != nil {
			t.Fatal(err)
		}
	})
}
