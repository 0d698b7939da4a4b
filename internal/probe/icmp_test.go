package probe

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

func TestICMP(t *testing.T) {
	for _, at := range loopbacks(t) {
		to := target(t, netip.AddrPortFrom(at, 0), "type=icmp")
		res := ask(t, to, plenty)
		// Where the test may not send ICMP, the probe must say what is missing.
		if res.OK == res.Local || res.Local && !strings.Contains(res.Reason, "CAP_NET_RAW") {
			t.Errorf("%s: %+v", at, res)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if res := Probe(ctx, to); res.OK && !res.Local {
			t.Errorf("%s, after the end: %+v", at, res)
		}
	}
}

// echoed is the reply to a request.
func echoed(r *attempt, req []byte) []byte {
	b := append([]byte(nil), req...)
	b[0] = echoReply4
	if r.t.Addr.Is6() {
		b[0] = echoReply6
	}
	return b
}

func TestICMPReply(t *testing.T) {
	for _, at := range []string{"192.0.2.1", "2001:db8::1"} {
		r := begin(t.Context(), Target{Addr: netip.MustParseAddr(at)}, false)
		req := r.echo()
		reply := echoed(r, req)
		change := func(i int) []byte { b := append([]byte(nil), reply...); b[i]++; return b }
		tests := []struct {
			name string
			msg  []byte
			want bool
		}{
			{"reply", reply, true},
			{"with another identifier, as the kernel chose it", change(4), true},
			{"request", req, false},
			{"another's data", change(10), false},
			{"a code", change(1), false},
			{"cut off", reply[:len(reply)-1], false},
			{"nothing", nil, false},
			{"longer", append(append([]byte(nil), reply...), 0), true},
		}
		for _, tt := range tests {
			if r.isReply(tt.msg, req, false) != tt.want {
				t.Errorf("%s, %s", at, tt.name)
			}
			if !r.t.Addr.Is4() {
				continue
			}
			// With IP headers of both sizes.
			for _, words := range []int{5, 15} {
				header := make([]byte, words*4)
				header[0] = 0x40 | byte(words)
				if r.isReply(append(header, tt.msg...), req, true) != tt.want {
					t.Errorf("%s, with a header of %d words", tt.name, words)
				}
			}
		}
		for n := range 40 {
			r.isReply(noise(n), req, true)
		}
	}
}

// RFC 1071: the sum over a message with its checksum is all ones.
func TestChecksum(t *testing.T) {
	r := begin(t.Context(), Target{Addr: loopback4}, false)
	for range 100 {
		b := r.echo()
		var sum uint32
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Fatalf("%x", sum)
		}
	}
}
