package geo

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/geo/place"
)

// benchTable is of the database that GEODNS_BENCH_MMDB names, else generated:
// 600,000 networks, nested and side by side.
func benchTable(tb testing.TB) *Table {
	tb.Helper()
	name := os.Getenv("GEODNS_BENCH_MMDB")
	if name == "" {
		return benchTableOf(tb, 600_000)
	}
	t, err := Load(Options{Database: name})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func benchTableOf(tb testing.TB, networks int) *Table {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "networks.csv")
	if err := os.WriteFile(name, []byte(manyNetworks(networks, 20_000)), 0o644); err != nil {
		tb.Fatal(err)
	}
	t, err := Load(Options{Networks: name})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// manyNetworks is the text of n random networks at some places.
func manyNetworks(n, places int) string {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	var b strings.Builder
	b.WriteString("prefix,country,city,lat,lon\n")
	for len(seen) < n {
		var prefix string
		if len(seen)%2 == 0 {
			bits := 16 + r.IntN(13)
			a := r.Uint32() >> (32 - bits) << (32 - bits)
			prefix = fmt.Sprintf("%d.%d.%d.%d/%d,", a>>24, a>>16&255, a>>8&255, a&255, bits)
		} else {
			bits := 28 + r.IntN(21)
			a := (1<<61 | r.Uint64()>>8) >> (64 - bits) << (64 - bits)
			prefix = fmt.Sprintf("%x:%x:%x:%x::/%d,", a>>48, a>>32&0xffff, a>>16&0xffff, a&0xffff, bits)
		}
		if seen[prefix] {
			continue
		}
		seen[prefix] = true
		place := r.IntN(places)
		b.WriteString(prefix)
		fmt.Fprintf(&b, "DE,City %d,%.2f,%.2f\n", place, float64(place%90), float64(place%180))
	}
	return b.String()
}

// clientsOf are addresses in ranges of the View, one of so many of each family,
// which has to be a power of two.
func clientsOf(v *place.View, n int) (four []uint32, six []uint64) {
	r := rand.New(rand.NewPCG(3, 4))
	for a := uint64(0); a < 1<<32; {
		four = append(four, uint32(a))
		_, scope := v.Find4(uint32(a))
		a += 1 << (32 - scope)
	}
	for a := uint64(1 << 61); a>>61 == 1; {
		six = append(six, a)
		_, scope := v.Find6(a, 0)
		a += 1 << (64 - min(scope, 64))
	}
	r.Shuffle(len(four), func(i, j int) { four[i], four[j] = four[j], four[i] })
	r.Shuffle(len(six), func(i, j int) { six[i], six[j] = six[j], six[i] })
	return four[:n], six[:n]
}

// fourClasses are places in four quarters of the world, as of four sites.
func fourClasses(t *Table) []uint32 {
	class := make([]uint32, t.Len())
	for i, p := range t.Each() {
		if p.Lon > 0 {
			class[i] |= 1
		}
		if p.Lat > 30 {
			class[i] |= 2
		}
	}
	return class
}

func BenchmarkFind(b *testing.B) {
	t := benchTable(b)
	v := t.View(fourClasses(t))
	four, six := clientsOf(v, 4096)
	n4, n6 := v.Ranges()
	b.Logf("table: %d places, %d octets; view: %d + %d ranges, %d octets", t.Len(), t.Size(), n4, n6, v.Size())
	for _, n := range []int{16, 256, len(four)} { // how much of the caches they need
		b.Run(fmt.Sprintf("4/%dclients", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				v.Find4(four[i&(n-1)])
			}
		})
		b.Run(fmt.Sprintf("6/%dclients", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				v.Find6(six[i&(n-1)], 1)
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	t := benchTable(b)
	class := fourClasses(t)
	n4, n6 := t.Ranges()
	b.Logf("%d + %d ranges", n4, n6)
	for b.Loop() {
		t.View(class)
	}
}

func BenchmarkNetworks(b *testing.B) {
	for _, places := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("1000000/%dplaces", places), func(b *testing.B) {
			o := Options{Networks: filepath.Join(b.TempDir(), "networks.csv")}
			if err := os.WriteFile(o.Networks, []byte(manyNetworks(1_000_000, places)), 0o644); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDatabase(b *testing.B) {
	name := os.Getenv("GEODNS_BENCH_MMDB")
	if name == "" {
		name = "testdata/maxmind/GeoIP2-City-Test.mmdb"
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(Options{Database: name}); err != nil {
			b.Fatal(err)
		}
	}
}
