package zonedir

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"geodns/internal/zone"
)

const manyZones = 100_000

// manyFiles makes a directory of zone files that nobody wrote just now, and
// reads it. The zones are kept, as a server does.
func manyFiles(b *testing.B) (*Dir, string, []*zone.Zone) {
	b.Helper()
	at := b.TempDir()
	for i := range manyZones {
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("z%d.test.zone", i)), []byte(text(1, 7)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(clockGrain)
	d := New(at)
	results, err := d.Scan(true)
	if err != nil || len(results) != manyZones {
		b.Fatal(len(results), err)
	}
	kept := make([]*zone.Zone, len(results))
	for i := range results {
		kept[i] = results[i].Zone
	}
	return d, at, kept
}

// BenchmarkScanUnchanged is what polling 100,000 zone files costs.
func BenchmarkScanUnchanged(b *testing.B) {
	d, _, kept := manyFiles(b)
	for b.Loop() {
		if results, err := d.Scan(false); err != nil || len(results) != 0 {
			b.Fatal(len(results), err)
		}
	}
	runtime.KeepAlive(kept)
}

// BenchmarkScanOne is one changed file among 100,000, by its name.
func BenchmarkScanOne(b *testing.B) {
	d, at, kept := manyFiles(b)
	for i := 2; b.Loop(); i++ {
		if err := os.WriteFile(filepath.Join(at, "z7.test.zone"), []byte(text(i, 7)), 0o644); err != nil {
			b.Fatal(err)
		}
		if results, err := d.ScanSome([]string{"z7.test.zone"}); err != nil || len(results) != 1 || results[0].Zone == nil {
			b.Fatal(len(results), err)
		}
	}
	runtime.KeepAlive(kept)
}

// BenchmarkScanAll is the first scan of 100,000 zone files, and the memory that
// is kept of them beside the zones.
func BenchmarkScanAll(b *testing.B) {
	d, at, kept := manyFiles(b)
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	runtime.KeepAlive(d)
	d = nil
	runtime.GC()
	runtime.ReadMemStats(&without)
	for b.Loop() {
		if results, err := New(at).Scan(true); err != nil || len(results) != manyZones {
			b.Fatal(len(results), err)
		}
	}
	runtime.KeepAlive(kept)
	b.ReportMetric(float64(with.HeapAlloc-without.HeapAlloc)/manyZones, "B-kept/zone")
}
