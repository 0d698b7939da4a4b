package resolver_test

import (
	"testing"

	"geodns/internal/resolver"
)

// BenchmarkQuery answers questions to a zone of 10,000 hosts, from the packed
// request to the packed reply.
func BenchmarkQuery(b *testing.B) {
	paths := loadPaths(b, 10_000)
	for i := range loads {
		l := &loads[i]
		b.Run(l.name, func(b *testing.B) {
			p, reqs := paths[l.zone], l.requests(b)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if len(p.answer(reqs[n%len(reqs)], resolver.Asked{TCP: l.tcp, Draw: uint64(n)})) == 0 {
					b.Fatal("no reply")
				}
			}
		})
	}
}
