package builtin

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"geodns/internal/geo"
	"geodns/internal/geo/country"
)

// sizeBudget is what the world may add to the program, in octets.
const sizeBudget = 800_000

func TestWorld(t *testing.T) {
	if len(world) > sizeBudget {
		t.Errorf("the file has %d octets, and the budget is %d", len(world), sizeBudget)
	}
	w, err := World()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"8.8.8.8": "US", "193.0.6.139": "NL", "1.1.1.1": "AU", "200.160.2.3": "BR", "133.11.0.1": "JP",
		"197.224.66.40": "MU", "81.2.69.142": "GB", "89.160.20.112": "SE", "217.72.192.1": "DE",
		"10.0.0.1": "", "127.0.0.1": "", "192.0.2.1": "", "224.0.0.1": "",
		"2001:67c:2e8:22::c100:68b": "NL", "2001:4860:4860::8888": "US", "2001:dc0:2001:11::194": "AU",
		"2001:12ff:0:2::3": "BR", "2a01:e00::1": "FR", "::1": "", "2001:db8::1": "", "fe80::1": "",
	}
	asked, got := map[string]netip.Addr{}, map[string]string{}
	for a := range want {
		asked[a] = netip.MustParseAddr(a)
	}
	n, six, used := 0, 0, map[string]bool{}
	last := netip.Addr{}
	for r := range w.Ranges {
		n++
		if r.First.Is6() {
			six++
		}
		used[r.Country] = true
		if !last.Less(r.First) || r.Last.Less(r.First) {
			t.Fatalf("%v comes after %v", r, last)
		}
		last = r.Last
		for a, ip := range asked {
			if !ip.Less(r.First) && !r.Last.Less(ip) {
				got[a] = r.Country
			}
		}
	}
	for a, c := range want {
		if got[a] != c {
			t.Errorf("%s is in %q, want %q", a, got[a], c)
		}
	}
	if n < 500_000 || six < 200_000 || len(used) < 240 {
		t.Errorf("%d ranges, %d of IPv6, %d countries", n, six, len(used))
	}
	for c := range used {
		if _, ok := country.Lookup(c); !ok {
			t.Errorf("%q is no country", c)
		}
	}
}

func TestAbout(t *testing.T) {
	info, err := About()
	if err != nil {
		t.Fatal(err)
	}
	if info.Source != "IPFire Location Database" || info.Licence != "CC BY-SA 4.0" || info.Date.Year() < 2026 {
		t.Errorf("%+v", info)
	}
	w, err := World()
	if err != nil || !w.Built.Equal(info.Date) || w.Type != info.Source {
		t.Errorf("%+v, %v", w, err)
	}
	made := Info{Date: time.Date(2026, 6, 25, 4, 0, 0, 0, time.UTC)}
	for _, tt := range []struct {
		now   time.Time
		stale bool
	}{
		{made.Date, false},
		{made.Date.AddDate(-1, 0, 0), false}, // a wrong clock
		{time.Date(2027, 6, 25, 3, 59, 59, 0, time.UTC), false},
		{time.Date(2027, 6, 25, 4, 0, 0, 0, time.UTC), false},
		{time.Date(2027, 6, 25, 4, 0, 1, 0, time.UTC), true},
		{time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC), true},
	} {
		if made.Stale(tt.now) != tt.stale {
			t.Errorf("at %v stale is not %t", tt.now, tt.stale)
		}
	}
}

func testInfo() Info {
	return Info{Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: "test", Licence: "none"}
}

func encoded(t interface{ Fatal(...any) }, list []geo.Range) []byte {
	var b bytes.Buffer
	if err := Encode(&b, testInfo(), slices.Values(list)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is encoded comes out again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []geo.Range
		for _, four := range []bool{true, false} {
			top := number{^uint64(0), ^uint64(0)}
			if four {
				top = number{0, 1<<32 - 1}
			}
			var ends []number
			for range 2 * rapid.IntRange(0, 6).Draw(t, "ranges") {
				n := number{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
				keep := rapid.UintRange(0, 128).Draw(t, "keep")
				if keep < 128 {
					n = n.right(keep).left(keep) // round ones, too
				}
				if top.less(n) {
					n = number{0, n.lo >> 32}
				}
				ends = append(ends, n)
			}
			slices.SortFunc(ends, func(a, b number) int { return a.addr(false).Compare(b.addr(false)) })
			ends = slices.Compact(ends)
			for i := 0; i+1 < len(ends); i += 2 {
				code := rapid.SampledFrom([]string{"DE", "FR", "US"}).Draw(t, "country")
				list = append(list, geo.Range{First: ends[i].addr(four), Last: ends[i+1].addr(four), Country: code})
			}
		}
		w, err := decode(encoded(t, list))
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(w.Ranges); !slices.Equal(got, list) {
			t.Fatalf("got %v, want %v", got, list)
		}
	})
}

func TestEncodeErrors(t *testing.T) {
	ip := netip.MustParseAddr
	tests := []struct {
		list []geo.Range
		want string
	}{
		{[]geo.Range{{First: ip("1.0.0.2"), Last: ip("1.0.0.1"), Country: "DE"}}, "the range from 1.0.0.2 to 1.0.0.1 is out of order"},
		{[]geo.Range{{First: ip("1.0.0.0"), Last: ip("1.0.0.9"), Country: "DE"}, {First: ip("1.0.0.9"), Last: ip("1.0.0.9"), Country: "DE"}}, "the range from 1.0.0.9 to 1.0.0.9 is out of order"},
		{[]geo.Range{{First: ip("1.0.0.2"), Last: ip("2001::"), Country: "DE"}}, "the range from 1.0.0.2 to 2001:: is out of order"},
		{[]geo.Range{{First: ip("1.0.0.2"), Last: ip("1.0.0.2"), Country: "DEU"}}, `"DEU" is no country code of two letters`},
		{[]geo.Range{{First: ip("::"), Last: ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Country: "DE"}}, "a range of all addresses has no place in this format"},
	}
	for _, tt := range tests {
		if err := Encode(&bytes.Buffer{}, testInfo(), slices.Values(tt.list)); err == nil || err.Error() != tt.want {
			t.Errorf("%v: %v, want %s", tt.list, err, tt.want)
		}
	}
	var many []geo.Range
	for i := range 256 {
		a := netip.AddrFrom4([4]byte{1, 0, 0, byte(i)})
		many = append(many, geo.Range{First: a, Last: a, Country: string([]byte{'A' + byte(i/16), 'A' + byte(i%16)})})
	}
	if err := Encode(&bytes.Buffer{}, testInfo(), slices.Values(many)); err == nil || err.Error() != "more than 255 countries" {
		t.Error(err)
	}
}

// A reader may stop early.
func TestStop(t *testing.T) {
	w, err := World()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range w.Ranges {
		if n++; n == 7 {
			break
		}
	}
	if n != 7 {
		t.Errorf("%d ranges", n)
	}
}

// A damaged file is refused, and nothing that it says makes the program fail.
func FuzzDecode(f *testing.F) {
	ip := netip.MustParseAddr
	good := encoded(f, []geo.Range{
		{First: ip("1.0.0.0"), Last: ip("1.0.2.255"), Country: "DE"},
		{First: ip("2001:db8::"), Last: ip("2001:db8::ffff"), Country: "FR"},
	})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(magic))
	f.Add([]byte(magic + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, file []byte) {
		w, err := decode(file)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		last := netip.Addr{}
		for r := range w.Ranges {
			if !last.Less(r.First) || r.Last.Less(r.First) || r.First.Is4() != r.Last.Is4() {
				t.Fatalf("%v comes after %v", r, last)
			}
			last = r.Last
		}
	})
}

// Bodies that inflate, but aren't right.
func TestDamaged(t *testing.T) {
	one := columns{segments: 1, countries: []byte{1}, zeros: []byte{8}, lengths: []byte{0}}
	none := columns{}
	file := func(codes string, families ...columns) []byte {
		var b bytes.Buffer
		if err := write(&b, testInfo(), []byte(codes), families); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if _, err := decode(file("\x01DE", one, one)); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*columns)) columns {
		c := one
		change(&c)
		return c
	}
	tests := map[string][]byte{
		"no countries":     file(""),
		"countries short":  file("\x02DE"),
		"no such country":  file("\x01DE", with(func(c *columns) { c.countries = []byte{2} }), none),
		"beyond IPv4":      file("\x01DE", with(func(c *columns) { c.zeros = []byte{33} }), none),
		"beyond IPv6":      file("\x01DE", none, with(func(c *columns) { c.zeros = []byte{128} })),
		"overflow":         file("\x01DE", none, with(func(c *columns) { c.zeros, c.lengths = []byte{127}, []byte{1} }), none),
		"wraps around":     file("\x01DE", none, columns{segments: 3, countries: []byte{1, 1, 1}, zeros: []byte{127, 127, 3}, lengths: []byte{0, 0, 0}}),
		"segments missing": file("\x01DE", with(func(c *columns) { c.segments = 1 << 60 }), none),
		"length missing":   file("\x01DE", none, with(func(c *columns) { c.lengths = []byte{0x80} })),
		"length too long":  file("\x01DE", none, with(func(c *columns) { c.lengths = bytes.Repeat([]byte{0x80}, 30) })),
		"something after":  file("\x01DE", one, one, one),
		"too large":        file("\x01DE"+strings.Repeat("\x00", maxBody), none, none),
	}
	for name, f := range tests {
		if _, err := decode(f); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkWorld(b *testing.B) {
	for b.Loop() {
		w, err := World()
		if err != nil {
			b.Fatal(err)
		}
		for range w.Ranges {
		}
	}
}
