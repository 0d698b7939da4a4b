package check

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/wire"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// The size that is told of an answer is what another encoder makes of it.
func TestCompressedSize(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom([]string{"a", "mail", "x-long-label-of-a-name", "example", `\200\255`})
		m := new(dns.Msg)
		m.SetQuestion("box.example.", dns.TypeMX)
		m.Compress = true
		m.SetEdns0(1232, false)
		text := "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 300\n  NS ns1\n"
		seen := map[string]bool{}
		for i := range rapid.IntRange(1, 40).Draw(t, "records") {
			target := strings.Join(rapid.SliceOfN(label, 1, 4).Draw(t, "target"), ".") + rapid.SampledFrom([]string{".", ".example.", ".net."}).Draw(t, "end")
			line := fmt.Sprintf("box.example. 300 MX %d %s", i, target)
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			if !seen[line] {
				seen[line] = true
				text += line + "\n"
				m.Answer = append(m.Answer, rr)
			}
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "example.zone")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c := newReader().check(file, &Options{Now: today()})
		var n node
		n.load(c.z, c.z.lookup([]byte("\x03box\x07example\x00")))
		if got := c.compressed(&n, n.get(wire.TypeMX)); got != len(packed) {
			t.Errorf("%d octets, want %d:\n%s", got, len(packed), text)
		}
	})
}

// A reverse name is that of its address and of no other, as miekg/dns makes it.
func TestReverseNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
		a, ok := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
		if !ok {
			t.Fatal("no address")
		}
		name := reverseOf(a)
		want, err := dns.ReverseAddr(a.String())
		// It takes ::ffff:192.0.2.1 for an IPv4 address.
		if (err != nil || text(name) != want) && !a.Is4In6() {
			t.Errorf("%s: %s, want %s, %v", a, text(name), want, err)
		}
		if back, ok := addressOf(name); !ok || back != a {
			t.Errorf("%s is that of %s", text(name), back)
		}
	})
	for _, odd := range []string{"\x011\x012" + inAddrArpa, "\x03256\x011\x011\x011" + inAddrArpa, "\x011" + ip6Arpa, "\x011\x03org\x00"} {
		if a, ok := addressOf([]byte(odd)); ok {
			t.Errorf("%s is that of %s", text([]byte(odd)), a)
		}
	}
}

func BenchmarkFiles(b *testing.B) {
	const names = 100_000
	var s strings.Builder
	s.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 300\n  NS ns1\n  NS ns2\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n")
	for i := range names {
		fmt.Fprintf(&s, "h%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	file := write(b, "example.zone", s.String())
	b.ReportAllocs()
	for b.Loop() {
		if r := Files([]string{file}, Options{Now: today()}); len(r.Findings) > 0 {
			b.Fatal(r.Findings)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/names, "ns/record")
}
