package zonefile

import (
	"strconv"
	"strings"
	"time"
)

// number reads a decimal number without sign that is at most limit.
func number(b []byte, limit uint64) (v uint64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
		if v > limit {
			return 0, false
		}
	}
	return v, true
}

// period reads a time in seconds, with or without units, such as 3600 or
// 1h30m, as BIND does: each unit follows a number, and a number without unit
// stands alone. ok is false for anything else, tooLarge says that it is written
// well but is 2^32 or more.
func period(b []byte) (v uint64, ok, tooLarge bool) {
	if len(b) == 0 || !isDigit(b[0]) {
		return 0, false, false
	}
	var n uint64
	digits, units := false, false
	for _, c := range b {
		if isDigit(c) {
			n, digits = n*10+uint64(c-'0'), true
			tooLarge = tooLarge || n > 1<<32-1
			n = min(n, 1<<32)
			continue
		}
		unit := unitSeconds(c)
		if unit == 0 || !digits {
			return 0, false, false
		}
		v, n, digits, units = v+n*unit, 0, false, true
		tooLarge = tooLarge || v > 1<<32-1
		v = min(v, 1<<32)
	}
	if digits && units {
		return 0, false, false
	}
	v += n
	return v, true, tooLarge || v > 1<<32-1
}

func unitSeconds(c byte) uint64 {
	switch c {
	case 's', 'S':
		return 1
	case 'm', 'M':
		return 60
	case 'h', 'H':
		return 3600
	case 'd', 'D':
		return 86400
	case 'w', 'W':
		return 7 * 86400
	}
	return 0
}

// signatureTime reads a time of RRSIG (RFC 4034 3.2): YYYYMMDDHHmmSS in UTC, or
// seconds since 1970 modulo 2^32.
func signatureTime(b []byte) (uint32, bool) {
	if len(b) != 14 {
		v, ok := number(b, 1<<32-1)
		return uint32(v), ok
	}
	v, ok := number(b, 99999999999999)
	if !ok {
		return 0, false
	}
	second, minute, hour := int(v%100), int(v/100%100), int(v/10000%100)
	day, month, year := int(v/1e6%100), int(v/1e8%100), int(v/1e10)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// time.Date carries what is too large over into the next field: then it
	// is no date.
	if t.Day() != day || int(t.Month()) != month || t.Hour() != hour || t.Minute() != minute || t.Second() != second {
		return 0, false
	}
	// RFC 4034 3.1.5: serial number arithmetic, so the low 32 bits.
	return uint32(t.Unix()), true
}

// ipv4 reads a dotted quad without leading zeros (they mean octal to some).
func ipv4(b []byte) (a [4]byte, ok bool) {
	field, v, digits := 0, 0, 0
	for _, c := range b {
		if c == '.' {
			if digits == 0 || field == 3 {
				return a, false
			}
			a[field] = byte(v)
			field, v, digits = field+1, 0, 0
			continue
		}
		if !isDigit(c) || digits > 0 && v == 0 {
			return a, false
		}
		v, digits = v*10+int(c-'0'), digits+1
		if v > 255 {
			return a, false
		}
	}
	if field != 3 || digits == 0 {
		return a, false
	}
	a[3] = byte(v)
	return a, true
}

// ipv6 reads an address as RFC 4291 2.2 has it, without zone.
func ipv6(b []byte) (a [16]byte, ok bool) {
	gap, n := -1, 0 // where "::" stands, how many octets are set
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		if n == 16 {
			return a, false
		}
		v, digits := 0, 0
		for digits < len(b) {
			d := hexDigit(b[digits])
			if d < 0 {
				break
			}
			if digits == 4 {
				return a, false
			}
			v, digits = v<<4|d, digits+1
		}
		if digits < len(b) && b[digits] == '.' {
			return ipv6Tail(a, b, n, gap)
		}
		if digits == 0 {
			return a, false
		}
		a[n], a[n+1] = byte(v>>8), byte(v)
		n, b = n+2, b[digits:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return a, false
		}
		b = b[1:]
		if b[0] == ':' {
			if gap >= 0 {
				return a, false
			}
			gap, b = n, b[1:]
		}
	}
	return ipv6Gap(a, n, gap)
}

// ipv6Tail ends an address with an IPv4 address.
func ipv6Tail(a [16]byte, b []byte, n, gap int) ([16]byte, bool) {
	v4, ok := ipv4(b)
	if !ok || n > 12 {
		return a, false
	}
	copy(a[n:], v4[:])
	return ipv6Gap(a, n+4, gap)
}

// ipv6Gap opens the "::" at gap, -1 for none, of an address of n octets.
func ipv6Gap(a [16]byte, n, gap int) ([16]byte, bool) {
	if n == 16 || gap < 0 {
		return a, n == 16 && gap < 0
	}
	moved := n - gap
	copy(a[16-moved:], a[gap:n])
	clear(a[gap : 16-moved])
	return a, true
}

// groups reads four groups of one to four hexadecimal digits with colons
// between (RFC 6742 2.1.2).
func groups(b []byte) (v uint64, ok bool) {
	group, digits := 0, 0
	var part uint64
	for _, c := range b {
		if c == ':' {
			if digits == 0 || group == 3 {
				return 0, false
			}
			v, part, digits, group = v<<16|part, 0, 0, group+1
			continue
		}
		d := hexDigit(c)
		if d < 0 || digits == 4 {
			return 0, false
		}
		part, digits = part<<4|uint64(d), digits+1
	}
	return v<<16 | part, group == 3 && digits > 0
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// quote shows text from a file in a message: printable, and not too long.
func quote(b []byte) string {
	const most = 60
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "..."
	}
	return strings.ReplaceAll(strconv.QuoteToASCII(string(b)), `\\`, `\`)
}
