package fetch

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/miekg/dns"
)

// envelopes is an AXFR of n hosts, each message behind its length, as servers
// send it: compressed, some 16 KiB a message. The ID is 0.
func envelopes(n int) []byte {
	var out []byte
	m := new(dns.Msg)
	flush := func() {
		m.SetQuestion(apexText, dns.TypeAXFR)
		m.Id, m.Response, m.Authoritative, m.Compress = 0, true, true, true
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
		m.Answer = m.Answer[:0]
	}
	m.Answer = append(m.Answer, base(7)...)
	for i := range n {
		a := &dns.A{Hdr: dns.RR_Header{Name: fmt.Sprintf("host%d.example.", i), Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}
		if m.Answer = append(m.Answer, a); len(m.Answer) == 600 {
			flush()
		}
	}
	m.Answer = append(m.Answer, soa(7))
	flush()
	return out
}

// BenchmarkAXFR is a transfer of 1,000,000 records over loopback.
func BenchmarkAXFR(b *testing.B) {
	const n = 1_000_000
	all := envelopes(n)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if q, err := readMessage(conn); err == nil {
				for at := 0; at < len(all); {
					copy(all[at+2:], q[:2])
					at += 2 + int(binary.BigEndian.Uint16(all[at:]))
				}
				_, _ = conn.Write(all)
				_, _ = io.Copy(io.Discard, conn)
			}
			_ = conn.Close()
		}
	}()
	p := Primary{Addr: l.Addr().(*net.TCPAddr).AddrPort()}
	b.SetBytes(int64(len(all)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := Fetch(context.Background(), p, wireName(apexText), nil, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if got.Records != n+7 {
			b.Fatal(got.Records)
		}
	}
}
