package fetch

import (
	"bytes"
	"encoding/binary"

	"geodns/internal/wire"
)

// SOA is what a SOA's RDATA says (RFC 1035 3.3.13). Times are in seconds.
type SOA struct {
	Serial, Refresh, Retry, Expire, Minimum uint32

	names int // octets of its two names
}

// ParseSOA reads RDATA in wire form, names uncompressed.
func ParseSOA(data []byte) (s SOA, ok bool) {
	n := wire.NameLen(data)
	if n == 0 {
		return s, false
	}
	m := wire.NameLen(data[n:])
	if m == 0 || len(data) != n+m+20 {
		return s, false
	}
	u32 := func(i int) uint32 { return binary.BigEndian.Uint32(data[n+m+4*i:]) }
	return SOA{Serial: u32(0), Refresh: u32(1), Retry: u32(2), Expire: u32(3), Minimum: u32(4), names: n + m}, true
}

// sameSOA compares two SOAs: names without case, since compression may change
// it on the way.
func sameSOA(a, b []byte) bool {
	x, okA := ParseSOA(a)
	y, okB := ParseSOA(b)
	return okA && okB && x.names == y.names && wire.EqualFold(a[:x.names], b[:y.names]) &&
		bytes.Equal(a[x.names:], b[y.names:])
}
