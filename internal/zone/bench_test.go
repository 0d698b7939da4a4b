package zone

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"geodns/internal/wire"
)

// hosts is a zone of n owners with an A record each, host0 to hostN.
func hosts(b *Builder, n int) *Zone {
	apex := name("big", "example")
	b.Reset(n)
	for _, r := range basics(apex) {
		b.Add(&r)
	}
	r := wire.RR{Type: wire.TypeA, TTL: 300, Data: make([]byte, 4)}
	for i := range n {
		r.Owner = appendHost(r.Owner[:0], i, apex)
		copy(r.Data, address(i))
		b.Add(&r)
	}
	z, _ := b.Finish()
	return z
}

func appendHost(to []byte, i int, apex string) []byte {
	to = strconv.AppendInt(append(to, 0, 'h', 'o', 's', 't'), int64(i), 10)
	to[0] = byte(len(to) - 1)
	return append(to, apex...)
}

// heap is what is allocated on the heap after a collection, in octets.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

const million = 1_000_000

func BenchmarkLookup(b *testing.B) {
	z := hosts(NewBuilder(), million)
	for _, hit := range []bool{true, false} {
		b.Run(map[bool]string{true: "hit", false: "miss"}[hit], func(b *testing.B) {
			names := make([]wire.Name, 1<<14)
			for i := range names {
				n := rand.IntN(million)
				if !hit {
					n += million
				}
				names[i].Set(appendHost(nil, n, string(z.Apex())))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m := z.Lookup(&names[i&(len(names)-1)])
				if (m.Kind == Exact) != hit {
					b.Fatal("wrong answer")
				}
				i++
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("million/sizeKnown=%t", known), func(b *testing.B) {
			apex := name("big", "example")
			builder := NewBuilder()
			r := wire.RR{Type: wire.TypeA, TTL: 300, Data: make([]byte, 4)}
			b.ReportAllocs()
			for b.Loop() {
				n := million
				if !known {
					n = 0
				}
				builder.Reset(n)
				for _, r := range basics(apex) {
					builder.Add(&r)
				}
				for i := range million {
					r.Owner = appendHost(r.Owner[:0], i, apex)
					builder.Add(&r)
				}
				if z, _ := builder.Finish(); z.Names() != million+1 {
					b.Fatal("names are missing")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/record")
		})
	}
}

// bump is a changeset that raises the serial, and exchanges the address of one
// host.
func bump(z *Zone, host int, from, to int) *Changeset {
	apex := string(z.Apex())
	owner := string(appendHost(nil, host, apex))
	return &Changeset{
		Del: []wire.RR{rr(apex, wire.TypeSOA, 3600, soa(z.Serial())), rr(owner, wire.TypeA, 300, address(from))},
		Add: []wire.RR{rr(apex, wire.TypeSOA, 3600, soa(z.Serial()+1)), rr(owner, wire.TypeA, 300, address(to))},
	}
}

func BenchmarkApply(b *testing.B) {
	z := hosts(NewBuilder(), million)
	turn := make([]int, million) // how often a host's address changed
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		host := i * 7919 % million
		old := host + turn[host]%8<<20
		turn[host]++
		next, err := z.Apply(bump(z, host, old, host+turn[host]%8<<20))
		if err != nil {
			b.Fatal(err)
		}
		z = next
	}
}

// BenchmarkMemory reports what zones take, in MiB.
func BenchmarkMemory(b *testing.B) {
	b.Run("million", func(b *testing.B) {
		for b.Loop() {
			before := heap()
			z := hosts(NewBuilder(), million)
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
			b.ReportMetric(float64(z.Bytes())/(1<<20), "MiB-said")
			runtime.KeepAlive(z)
		}
	})
	b.Run("100000small", func(b *testing.B) {
		for b.Loop() {
			before := heap()
			builder := NewBuilder()
			zones := make([]*Zone, 100_000)
			for i := range zones {
				zones[i] = small(builder, i)
			}
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
			runtime.KeepAlive(zones)
		}
	})
}

// small is a zone of ten records at six names.
func small(b *Builder, i int) *Zone {
	apex := string(appendHost(nil, i, name("example")))
	in := func(label string) string { return string([]byte{byte(len(label))}) + label + apex }
	b.Reset(0)
	for _, r := range []wire.RR{
		rr(apex, wire.TypeSOA, 3600, in("ns1")+in("hostmaster")+soa(1)[10:]),
		rr(apex, wire.TypeNS, 3600, in("ns1")),
		rr(apex, wire.TypeNS, 3600, in("ns2")),
		rr(apex, wire.TypeMX, 3600, "\x00\x0a"+in("mail")),
		rr(in("ns1"), wire.TypeA, 3600, address(1)),
		rr(in("ns2"), wire.TypeA, 3600, address(2)),
		rr(in("mail"), wire.TypeA, 3600, address(3)),
		rr(in("www"), wire.TypeA, 3600, address(4)),
		rr(in("www"), wire.TypeAAAA, 3600, "0123456789abcdef"),
		rr(in("ftp"), wire.TypeCNAME, 3600, in("www")),
	} {
		b.Add(&r)
	}
	z, _ := b.Finish()
	return z
}
