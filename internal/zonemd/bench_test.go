package zonemd

import (
	"strconv"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// BenchmarkMillion digests a zone of a million owners with an A record each.
func BenchmarkMillion(b *testing.B) {
	apex := "\x03big\x07example\x00"
	builder := zone.NewBuilder()
	builder.Reset(1_000_000)
	builder.Add(&wire.RR{Owner: []byte(apex), Type: wire.TypeSOA, TTL: 300, Data: append([]byte("\x00\x00"), make([]byte, 20)...)})
	builder.Add(&wire.RR{Owner: []byte(apex), Type: wire.TypeNS, TTL: 300, Data: []byte{0}})
	for i := range 1_000_000 {
		label := "host" + strconv.Itoa(i)
		owner := append([]byte{byte(len(label))}, label+apex...)
		builder.Add(&wire.RR{Owner: owner, Type: wire.TypeA, TTL: 300, Data: []byte{192, byte(i >> 16), byte(i >> 8), byte(i)}})
	}
	z, problems := builder.Finish()
	if z == nil {
		b.Fatal(problems)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Digest(z, SchemeSimple, SHA384); err != nil {
			b.Fatal(err)
		}
	}
}
