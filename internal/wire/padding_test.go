package wire_test

import (
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// RFC 7830 4, RFC 8467 4.1: messages are filled up to a multiple of the block where
// the client pads and the transport hides it, whatever else is in the OPT, with
// zeros; the limit holds.
func TestPadding(t *testing.T) {
	ask := func(options ...dns.EDNS0) []byte {
		m := new(dns.Msg)
		m.SetQuestion("www.example.", dns.TypeA)
		m.SetEdns0(4096, true)
		m.IsEdns0().Option = options
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	padding, nsid, keepalive := &dns.EDNS0_PADDING{Padding: make([]byte, 9)}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}
	for _, tt := range []struct {
		what       string
		msg        []byte
		pad, limit int
		want       int // octets
	}{
		{"no padding asked for", ask(nsid), 468, 65535, 12 + 17 + 11 + 8},
		{"an open transport", ask(padding), 0, 65535, 12 + 17 + 11},
		{"padding", ask(padding), 468, 65535, 468},
		{"other options, too", ask(nsid, padding, keepalive), 468, 65535, 468},
		{"a small block", ask(padding), 16, 65535, 48}, // 44 with the empty option
		{"a block that is full", ask(padding), 44, 65535, 44},
		{"one octet too many", ask(padding), 43, 65535, 86},
		{"no room", ask(padding), 468, 467, 12 + 17 + 11},
		{"just room", ask(padding), 468, 468, 468},
	} {
		q := &wire.Query{}
		q.Parse(tt.msg, true)
		r := wire.NewReply()
		r.Reset()
		x := &wire.Response{Limit: tt.limit, UDPSize: 1232, NSID: []byte("here"), Keepalive: 100, Pad: tt.pad}
		got := new(wire.Encoder).Append(make([]byte, 0, 65535), tt.msg, q, r, x)
		if len(got) != tt.want {
			t.Errorf("%s: %d octets, want %d", tt.what, len(got), tt.want)
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(got); err != nil || reply.IsEdns0() == nil {
			t.Errorf("%s: %v: %x", tt.what, err, got)
			continue
		}
		for _, o := range reply.IsEdns0().Option {
			p, ok := o.(*dns.EDNS0_PADDING)
			if ok && string(p.Padding) != string(make([]byte, len(p.Padding))) {
				t.Errorf("%s: padded with %x", tt.what, p.Padding)
			}
		}
	}
}
