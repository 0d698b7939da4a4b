package zonefile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// million is a zone of n plain A records without TTL.
func million(n int) []byte {
	var b bytes.Buffer
	b.WriteString("$TTL 300\n@ IN SOA ns host 1 3600 600 604800 60\n")
	for i := range n {
		fmt.Fprintf(&b, "h%d IN A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	return b.Bytes()
}

// mixed is a zone of n records of several types, as people write them.
func mixed(n int) []byte {
	var b bytes.Buffer
	b.WriteString("$TTL 300\n@ IN SOA ns host 1 3600 600 604800 60\n")
	for i := range n / 8 {
		fmt.Fprintf(&b, "h%d 60 IN A 10.1.2.3\n  AAAA 2001:db8::%x\n  TXT \"v=spf1 -all\" ; none\n  MX 10 mail\n", i, i&0xffff)
		fmt.Fprintf(&b, "w%d CNAME h%d\n_sip._tcp.%d SRV 1 2 5060 h%d.Example.\nd%d NS ns.d%d\n  CAA 0 issue \"ca.example\"\n", i, i, i, i, i, i)
	}
	return b.Bytes()
}

func benchmarkParse(b *testing.B, text []byte) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_, err := Parse(bytes.NewReader(text), Options{File: "bench.zone", Origin: mustName("example.")}, func(rr *wire.RR, _ Pos) error {
			n += len(rr.Owner) + len(rr.Data)
			return nil
		}, func(f Finding) { b.Fatal(f) })
		if err != nil || n == 0 {
			b.Fatal(err, n)
		}
	}
}

func BenchmarkParse1M(b *testing.B)      { benchmarkParse(b, million(1000000)) }
func BenchmarkParseMixed1M(b *testing.B) { benchmarkParse(b, mixed(1000000)) }

// BenchmarkParseForeign is the road through the library.
func BenchmarkParseForeign10k(b *testing.B) {
	benchmarkParse(b, []byte("$TTL 300\n"+strings.Repeat("a HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1\n", 10000)))
}

// BenchmarkMiekgZoneParser1M reads the file of BenchmarkParse1M with the parser
// of miekg/dns, for comparison. It makes no wire form.
func BenchmarkMiekgZoneParser1M(b *testing.B) {
	text := million(1000000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		zp := dns.NewZoneParser(bytes.NewReader(text), "example.", "bench.zone")
		n := 0
		for _, ok := zp.Next(); ok; _, ok = zp.Next() {
			n++
		}
		if zp.Err() != nil || n != 1000001 {
			b.Fatal(zp.Err(), n)
		}
	}
}

func mustName(s string) []byte {
	name, err := ParseName(s, nil)
	if err != nil {
		panic(err)
	}
	return name
}
