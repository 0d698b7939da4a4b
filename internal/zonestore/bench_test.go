package zonestore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"geodns/internal/wire"
)

const many = 1_000_000

// largeZone are n A records below an apex, its SOA first.
func largeZone(apex []byte, serial uint32, n int) Records {
	return func(yield func(*wire.RR) error) error {
		soa := soaOf(apex, serial)
		if err := yield(&soa); err != nil {
			return err
		}
		rr := wire.RR{Type: wire.TypeA, TTL: 300, Data: []byte{192, 0, 2, 0}}
		for i := range n - 1 {
			label := fmt.Sprintf("host%07d", i)
			rr.Owner = append(append(append(rr.Owner[:0], byte(len(label))), label...), apex...)
			rr.Data[2], rr.Data[3] = byte(i>>8), byte(i)
			if err := yield(&rr); err != nil {
				return err
			}
		}
		return nil
	}
}

func BenchmarkContent(b *testing.B) {
	var log logged
	path := filepath.Join(b.TempDir(), "geodns.db")
	s := mustOpen(b, path, &log)
	defer s.Close()
	apex := name("large.example.")
	records := collect(b, largeZone(apex, 1, many))
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			must(b, s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, listed(records)))
		}
		info, err := os.Stat(path)
		must(b, err)
		b.ReportMetric(float64(info.Size())/(1<<20), "file-MiB")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n := 0
			_, err := s.Content(apex, Current, func(*wire.RR) error { n++; return nil })
			must(b, err)
			if n != many {
				b.Fatalf("%d records", n)
			}
		}
		b.ReportMetric(residentFile(b), "mapped-MiB")
	})
}

// residentFile is how much of mapped files is in the memory of this process.
func residentFile(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/smaps_rollup")
	must(b, err)
	var kib float64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "Pss_File:"); ok {
			_, err := fmt.Sscan(rest, &kib)
			must(b, err)
		}
	}
	return kib / 1024
}

func BenchmarkAppend(b *testing.B) {
	for _, tt := range []struct{ writers, zones int }{{1, 1}, {64, 64}, {64, 1000}} {
		b.Run(fmt.Sprintf("%d writers, %d zones", tt.writers, tt.zones), func(b *testing.B) {
			var log logged
			s := mustOpen(b, filepath.Join(b.TempDir(), "geodns.db"), &log)
			defer s.Close()
			large := name("large.example.")
			must(b, s.PutContent(large, Current, Version{Serial: 1}, Hash{}, largeZone(large, 1, 100_000)))
			apexes := make([][]byte, tt.zones)
			for i := range apexes {
				apexes[i] = name(fmt.Sprintf("z%d.example.", i))
				must(b, s.PutContent(apexes[i], Current, Version{Serial: 1}, Hash{}, largeZone(apexes[i], 1, 10)))
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var group sync.WaitGroup
			for w := range tt.writers {
				group.Go(func() {
					serials := make([]uint32, tt.zones)
					for i := w; left.Add(-1) >= 0; i += tt.writers {
						if i >= tt.zones {
							i = w % tt.zones
						}
						serials[i]++
						if err := s.Append(apexes[i], step(apexes[i], serials[i], 1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// BenchmarkZones keeps many small zones, and opens a store that has them.
func BenchmarkZones(b *testing.B) {
	const zones = 10_000
	var log logged
	path := filepath.Join(b.TempDir(), "geodns.db")
	s := mustOpen(b, path, &log)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			var group sync.WaitGroup
			for w := range 32 {
				group.Go(func() {
					for i := w; i < zones; i += 32 {
						apex := name(fmt.Sprintf("z%d.example.", i))
						if err := s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, largeZone(apex, 1, 10)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
		}
	})
	mustClose(b, s)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			mustClose(b, mustOpen(b, path, &log))
		}
	})
	s = mustOpen(b, path, &log)
	defer s.Close()
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			for i := range zones {
				_, err := s.Load(name(fmt.Sprintf("z%d.example.", i)), ignoreRecord, ignoreChange)
				must(b, err)
			}
		}
	})
}
