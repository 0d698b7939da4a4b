package check

import (
	"net/netip"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// The tops of the reverse trees (RFC 1035 3.5, RFC 3596 2.5), in wire form.
const (
	inAddrArpa = "\x07in-addr\x04arpa\x00"
	ip6Arpa    = "\x03ip6\x04arpa\x00"
)

func inReverse(name []byte) bool { return in(name, []byte(inAddrArpa)) || in(name, []byte(ip6Arpa)) }

// reverse looks at PTR records outside of reverse zones, and at what is odd in
// them.
func (c *checker) reverse(n *node) {
	ptr := n.get(wire.TypePTR)
	if !inReverse(n.owner) {
		if ptr != nil && !hasUnderscore(n.owner) {
			c.at(ptrForward, ptr[0], "nobody asks for a PTR record at "+text(n.owner), "it belongs into a zone below in-addr.arpa or ip6.arpa")
		}
		return
	}
	for _, t := range []wire.Type{wire.TypeA, wire.TypeAAAA} {
		if recs := n.get(t); recs != nil && !c.z.has(n.id, nsTarget) {
			c.at(addressReverse, recs[0], "there is an "+zonefile.TypeString(t)+" record in the reverse tree, at "+text(n.owner), "move it to the zone of the host's name, or write PTR")
		}
	}
	if ptr == nil || hasUnderscore(n.owner) || len(n.owner) == len(c.z.apex) || isWildcard(n.owner) {
		return
	}
	if odd := oddReverse(n.owner); odd != "" {
		c.at(reverseName, ptr[0], "no address has the reverse name "+text(n.owner)+": "+odd, "write "+unit(n.owner)+" of the address, from the last to the first, and mind the $ORIGIN")
	}
}

func unit(owner []byte) string {
	if in(owner, []byte(ip6Arpa)) {
		return "all 32 hexadecimal digits"
	}
	return "all four octets"
}

// hasUnderscore reports whether a label of a name begins with an underscore, as
// those of DNS-SD do (RFC 6763).
func hasUnderscore(name []byte) (found bool) {
	labelsOf(name, func(_ int, l []byte) bool {
		found = l[0] == '_'
		return !found
	})
	return found
}

// oddReverse says why a name is the reverse of no address; empty: it is one, or
// is one of those that RFC 2317 allows.
func oddReverse(owner []byte) (odd string) {
	labels := wire.Labels(owner) - 2
	if in(owner, []byte(ip6Arpa)) {
		labelsOf(owner, func(i int, l []byte) bool {
			if i < labels && (len(l) != 1 || !isHex(l[0])) {
				odd = "the label " + zonefileQuote(string(l)) + " is no hexadecimal digit"
			}
			return odd == "" && i < labels
		})
		if odd == "" && labels != 32 {
			odd = "it has not 32 digits"
		}
		return odd
	}
	classless := false
	labelsOf(owner, func(i int, l []byte) bool {
		if i >= labels {
			return false
		}
		if !allDigits(l) {
			classless = true // RFC 2317 4: such a label may have any form
			return false
		}
		if _, ok := octet(l); !ok {
			odd = "the label " + zonefileQuote(string(l)) + " is no octet"
		}
		return odd == ""
	})
	if odd == "" && !classless && labels != 4 {
		odd = "it has not four octets"
	}
	return odd
}

func isHex(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch|0x20 >= 'a' && ch|0x20 <= 'f'
}

func allDigits(label []byte) bool {
	for _, ch := range label {
		if ch < '0' || ch > '9' {
			return false
		}
	}
	return true
}

// addressOf is the address that a reverse name stands for.
func addressOf(owner []byte) (a netip.Addr, ok bool) {
	labels := wire.Labels(owner) - 2
	if !inReverse(owner) || oddReverse(owner) != "" {
		return a, false
	}
	switch {
	case labels == 4 && in(owner, []byte(inAddrArpa)):
		var b [4]byte
		whole := true
		labelsOf(owner, func(i int, l []byte) bool {
			v, isOctet := octet(l)
			whole = whole && isOctet
			b[3-i] = v
			return i < 3
		})
		return netip.AddrFrom4(b), whole
	case labels == 32:
		var b [16]byte
		labelsOf(owner, func(i int, l []byte) bool {
			b[15-i/2] |= hexDigit(l[0]) << (4 * (i % 2))
			return i < 31
		})
		return netip.AddrFrom16(b), true
	}
	return a, false
}

func hexDigit(ch byte) byte {
	if ch <= '9' {
		return ch - '0'
	}
	return (ch | 0x20) - 'a' + 10
}

// reverseOf is the name that stands for an address.
func reverseOf(a netip.Addr) []byte {
	var out []byte
	if a.Is4() {
		b := a.As4()
		for i := 3; i >= 0; i-- {
			digits := appendUint(nil, b[i])
			out = append(append(out, byte(len(digits))), digits...)
		}
		return append(out, inAddrArpa...)
	}
	const hex = "0123456789abcdef"
	b := a.As16()
	for i := 15; i >= 0; i-- {
		out = append(out, 1, hex[b[i]&15], 1, hex[b[i]>>4])
	}
	return append(out, ip6Arpa...)
}

func appendUint(dst []byte, v byte) []byte {
	if v >= 100 {
		dst = append(dst, '0'+v/100)
	}
	if v >= 10 {
		dst = append(dst, '0'+v/10%10)
	}
	return append(dst, '0'+v%10)
}
