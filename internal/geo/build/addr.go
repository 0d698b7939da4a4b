package build

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// addr is an address as a number; IPv4 addresses are less than 1<<32. It holds
// no pointer, as netip.Addr does, so millions of it cost the collector nothing.
type addr struct{ hi, lo uint64 }

func fromIP(a netip.Addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr) ip4() netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(a.lo))))
}

func (a addr) ip6() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func (a addr) compare(b addr) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi, a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

func (a addr) less(b addr) bool { return a.compare(b) < 0 }

// next is a+1; the last address of IPv6 has none and gives 0.
func (a addr) next() addr {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return addr{a.hi + carry, lo}
}

// prev is a-1; a is not 0.
func (a addr) prev() addr {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return addr{a.hi - borrow, lo}
}

// minus is a-b; b is not greater.
func (a addr) minus(b addr) addr {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return addr{hi, lo}
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) addr {
	a := fromIP(p.Addr())
	host := p.Addr().BitLen() - p.Bits()
	if host >= 64 {
		return addr{a.hi | (1<<(host-64) - 1), ^uint64(0)}
	}
	return addr{a.hi, a.lo | (1<<host - 1)}
}
