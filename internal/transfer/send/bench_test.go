package send

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// hosts is a zone of n owners with a record each.
func hosts(tb testing.TB, n int, typ wire.Type) *zone.Zone {
	tb.Helper()
	b := zone.NewBuilder()
	b.Reset(n)
	soa, ns := record(tb, soaText(1)), record(tb, "example. 300 NS ns1.example.")
	b.Add(&soa)
	b.Add(&ns)
	rr := wire.RR{Type: typ, TTL: 300}
	for i := range n {
		label := fmt.Sprintf("host%d", i)
		rr.Owner = append(append(append(rr.Owner[:0], byte(len(label))), label...), "\x07example\x00"...)
		rr.Data = []byte{192, 0, byte(i >> 8), byte(i)}
		if typ == wire.TypeMX {
			rr.Data = append([]byte{0, 10, 5, 'm', 'a', 'i', 'l', '0' + byte(i%10)}, "\x07example\x00"...)
		}
		if p := b.Add(&rr); p != nil && !p.Warning {
			tb.Fatal(p)
		}
	}
	z, _ := b.Finish()
	return z
}

func BenchmarkWhole(b *testing.B) {
	const n = 1_000_000
	for _, typ := range []wire.Type{wire.TypeA, wire.TypeMX} {
		z := hosts(b, n, typ)
		for _, signed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/signed=%t", dns.TypeToString[typ], signed), func(b *testing.B) {
				s := newSender(nil)
				var out Outcome
				b.ReportAllocs()
				for b.Loop() {
					req, _ := request(b, z, asked{typ: dns.TypeAXFR, signed: signed})
					var err error
					if out, err = s.Serve(req, func([]byte) error { return nil }); err != nil || out.Records != n+3 {
						b.Fatalf("%+v, %v", out, err)
					}
				}
				b.ReportMetric(float64(out.Records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(float64(out.Octets)/float64(out.Records), "octets/record")
			})
		}
	}
}

func BenchmarkTenChanges(b *testing.B) {
	z := hosts(b, 1_000_000, wire.TypeA)
	j := &journal{}
	for i := range 10 {
		add := []string{fmt.Sprintf("new%d.example. 60 A 192.0.2.1", i)}
		j.changes = append(j.changes, change(b, z.Serial()-10+uint32(i), z.Serial()-9+uint32(i), nil, add))
	}
	s := newSender(j)
	b.ReportAllocs()
	for b.Loop() {
		req, _ := request(b, z, asked{typ: dns.TypeIXFR, serial: z.Serial() - 10})
		if out, err := s.Serve(req, func([]byte) error { return nil }); err != nil || out.Kind != Changes {
			b.Fatalf("%+v, %v", out, err)
		}
	}
}
