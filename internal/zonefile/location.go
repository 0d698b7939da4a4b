package zonefile

import (
	"bytes"

	"github.com/miekg/dns"
)

// The units and bounds of LOC (RFC 1876 2), in thousandths of an arc second and
// in centimetres.
const (
	locDegree   = 60 * 60 * 1000
	locMinute   = 60 * 1000
	locCentre   = 1 << 31 // the equator, or the prime meridian
	locAltitude = 10000000
)

const locForm = `write degrees, minutes, seconds and N or S, the same and E or W, the altitude, and at most size and precisions, such as: 51 30 26 N 0 7 39 W 15m 20m 10m 10m`

// location reads a LOC record (RFC 1876 3). Minutes, seconds, size and
// precisions can be left out.
func (p *parser) location(at int) bool {
	latitude, at, ok := p.angle(at, 90, 'N', 'S')
	if !ok {
		return false
	}
	longitude, at, ok := p.angle(at, 180, 'E', 'W')
	if !ok {
		return false
	}
	if at == len(p.lx.toks) {
		return p.locationFault(at, "the LOC record has no altitude")
	}
	tok := &p.lx.toks[at]
	text, below := bytes.CutPrefix(p.text(tok), []byte("-"))
	cm, ok := metres(text)
	// RFC 1876 2: from 100 km below to 42849 km above the spheroid.
	if !ok || tok.quoted || below && cm > locAltitude || !below && cm > 1<<32-1-locAltitude {
		return p.locationFault(at, "the altitude "+quote(p.text(tok))+" is not a number of metres from -100000.00 to 42849672.95")
	}
	altitude := locAltitude + cm
	if below {
		altitude = locAltitude - cm
	}
	at++
	// RFC 1876 3: 1 m, 10000 m and 10 m are the defaults.
	sizes := [3]byte{0x12, 0x16, 0x13}
	for i := 0; i < 3 && at < len(p.lx.toks); i, at = i+1, at+1 {
		tok := &p.lx.toks[at]
		cm, ok := metres(p.text(tok))
		if !ok || tok.quoted || cm > 9000000000 {
			return p.locationFault(at, "the size or precision "+quote(p.text(tok))+" is not a number of metres from 0 to 90000000.00")
		}
		sizes[i] = powerOfTen(cm)
	}
	p.data = append(p.data, 0, sizes[0], sizes[1], sizes[2])
	for _, v := range [3]uint32{latitude, longitude, uint32(altitude)} {
		p.data = append(p.data, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return p.nothingBehind(dns.TypeLOC, at)
}

func (p *parser) locationFault(at int, message string) bool {
	toks := p.lx.toks
	if at >= len(toks) {
		last := &toks[len(toks)-1]
		return p.fail(last, int(last.end-last.start), "rdata-missing", message, locForm)
	}
	return p.fail(&toks[at], 0, "location", message, locForm)
}

// angle reads d [m [s[.fff]]] and a letter, and returns where it ends.
func (p *parser) angle(at int, most uint64, plus, minus byte) (stored uint32, next int, ok bool) {
	var v uint64
	limits := [3]uint64{most, 59, 59}
	units := [3]uint64{locDegree, locMinute, 1000}
	for i := 0; at < len(p.lx.toks); i, at = i+1, at+1 {
		tok := &p.lx.toks[at]
		text := p.text(tok)
		if i > 0 && len(text) == 1 && !tok.quoted {
			switch text[0] &^ 0x20 {
			case plus, minus:
				if v > most*locDegree {
					return 0, at, p.locationFault(at-i, "the angle is over "+itoa(int(most))+" degrees")
				}
				if text[0]&^0x20 == plus {
					return uint32(locCentre + v), at + 1, true
				}
				return uint32(locCentre - v), at + 1, true
			}
		}
		decimals := 0
		if i == 2 {
			decimals = 3
		}
		var n uint64
		read := i < 3 && !tok.quoted
		if read {
			n, read = decimal(text, decimals)
		}
		if !read || decimals == 0 && n > limits[i] || decimals > 0 && n >= (limits[i]+1)*1000 {
			return 0, at, p.locationFault(at, quote(text)+" is not what stands there in a LOC record")
		}
		if decimals > 0 {
			v += n
		} else {
			v += n * units[i]
		}
	}
	return 0, at, p.locationFault(at, "the LOC record ends within an angle, before "+string(plus)+" or "+string(minus))
}

// decimal reads a number with at most so many decimals, and gives it times ten
// to their power.
func decimal(text []byte, decimals int) (v uint64, ok bool) {
	point, digits := -1, 0
	for i, c := range text {
		if c == '.' && point < 0 && decimals > 0 {
			point = i
			continue
		}
		if !isDigit(c) || v > 1<<40 || point >= 0 && i-point > decimals {
			return 0, false
		}
		v, digits = v*10+uint64(c-'0'), digits+1
	}
	if digits == 0 {
		return 0, false
	}
	after := 0
	if point >= 0 {
		after = len(text) - point - 1
	}
	for ; after < decimals; after++ {
		v *= 10
	}
	return v, true
}

// metres reads a length with at most two decimals, with or without m behind it,
// and gives it in centimetres.
func metres(text []byte) (uint64, bool) {
	if n := len(text); n > 0 && text[n-1]&^0x20 == 'M' {
		text = text[:n-1]
	}
	return decimal(text, 2)
}

// powerOfTen packs centimetres as RFC 1876 2 does: a digit and an exponent.
func powerOfTen(cm uint64) byte {
	e := byte(0)
	for cm >= 10 {
		cm /= 10
		e++
	}
	return byte(cm)<<4 | e
}
