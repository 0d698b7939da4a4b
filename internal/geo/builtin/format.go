package builtin

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"net/netip"

	"geodns/internal/geo"
)

// The file is
//
//	magic
//	length of the head, uvarint; the head, an Info as JSON
//	the rest, deflated (RFC 1951):
//	    number of countries, a byte; their codes, two octets each
//	    for IPv4, then IPv6: number of segments, uvarint, and three columns:
//	        the country of each segment, a byte: 0 for none, else its number from 1
//	        the trailing zero bits of its length, a byte
//	        the length without these and the 1 that follows them, uvarint of 128 bits
//
// Segments follow each other from address 0 on, so a length is all that is
// needed; most lengths are powers of two, so their third column is 0. Each
// column is alike in itself, which deflates better than segments one by one.
const magic = "geodns world 1\n"

// maxBody is how large the inflated rest may be: twice of what the Internet
// has today, with a segment of 12 octets.
const maxBody = 16 << 20

// number is an unsigned integer of 128 bits.
type number struct{ hi, lo uint64 }

func (a number) plus(b number) (sum number, overflow bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, carry := bits.Add64(a.hi, b.hi, carry)
	return number{hi, lo}, carry != 0
}

func (a number) minus(b number) number {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return number{hi, lo}
}

func (a number) less(b number) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a number) zeros() uint {
	if a.lo != 0 {
		return uint(bits.TrailingZeros64(a.lo))
	}
	return 64 + uint(bits.TrailingZeros64(a.hi))
}

// right is a >> n, left is a << n. In Go a shift by 64 and more gives 0, so that
// n may be 0, too.
func (a number) right(n uint) number {
	if n >= 64 {
		return number{0, a.hi >> (n - 64)}
	}
	return number{a.hi >> n, a.lo>>n | a.hi<<(64-n)}
}

func (a number) left(n uint) number {
	if n >= 64 {
		return number{a.lo << (n - 64), 0}
	}
	return number{a.hi<<n | a.lo>>(64-n), a.lo << n}
}

func (a number) append(b []byte) []byte {
	for a.hi != 0 || a.lo >= 0x80 {
		b = append(b, byte(a.lo)|0x80)
		a = a.right(7)
	}
	return append(b, byte(a.lo))
}

// uvarint reads what append wrote; n is its length, 0 if it is malformed.
func uvarint(b []byte) (a number, n int) {
	for i, c := range b {
		if i == 19 || i == 18 && c > 3 { // 18*7 bits and two more
			return number{}, 0
		}
		part := number{0, uint64(c & 0x7f)}.left(uint(7 * i))
		a.hi |= part.hi
		a.lo |= part.lo
		if c < 0x80 {
			return a, i + 1
		}
	}
	return number{}, 0
}

func numberOf(a netip.Addr) number {
	if a.Is4() {
		b := a.As4()
		return number{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a number) addr(four bool) netip.Addr {
	if four {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(a.lo))))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

// columns is the segments of a family.
type columns struct {
	countries, zeros, lengths []byte
	segments                  uint64
	at                        number // where the next segment begins
}

func (c *columns) add(length number, country byte) {
	zeros := length.zeros()
	c.countries = append(c.countries, country)
	c.zeros = append(c.zeros, byte(zeros))
	c.lengths = length.right(zeros).right(1).append(c.lengths)
	c.segments++
}

// Encode writes a file of ranges, which are disjoint, in the addresses' order,
// IPv4 before IPv6. Ranges without a country are left out.
func Encode(w io.Writer, info Info, ranges iter.Seq[geo.Range]) error {
	var codes []byte
	known := map[string]byte{}
	var families [2]columns
	for r := range ranges {
		if r.Country == "" {
			continue
		}
		if len(r.Country) != 2 {
			return fmt.Errorf("%q is no country code of two letters", r.Country)
		}
		c, ok := known[r.Country]
		if !ok {
			if len(known) == 255 {
				return errors.New("more than 255 countries")
			}
			codes = append(codes, r.Country...)
			c = byte(len(known) + 1)
			known[r.Country] = c
		}
		f := &families[0]
		if r.First.Is6() {
			f = &families[1]
		}
		if err := f.put(r, c); err != nil {
			return err
		}
	}
	return write(w, info, append([]byte{byte(len(known))}, codes...), families[:])
}

// put adds a range, and the gap before it.
func (c *columns) put(r geo.Range, country byte) error {
	first, last := numberOf(r.First), numberOf(r.Last)
	if first.less(c.at) || last.less(first) || r.First.Is4() != r.Last.Is4() {
		return fmt.Errorf("the range from %s to %s is out of order", r.First, r.Last)
	}
	if first != c.at {
		c.add(first.minus(c.at), 0)
	}
	length, _ := last.minus(first).plus(number{0, 1})
	if length == (number{}) {
		return errors.New("a range of all addresses has no place in this format")
	}
	c.add(length, country)
	c.at, _ = last.plus(number{0, 1})
	return nil
}

func write(w io.Writer, info Info, codes []byte, families []columns) error {
	head, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.AppendUvarint([]byte(magic), uint64(len(head))), head...)); err != nil {
		return err
	}
	z, err := flate.NewWriter(w, flate.BestCompression)
	if err != nil {
		return err
	}
	parts := [][]byte{codes}
	for _, c := range families {
		parts = append(parts, binary.AppendUvarint(nil, c.segments), c.countries, c.zeros, c.lengths)
	}
	if _, err := z.Write(bytes.Join(parts, nil)); err != nil {
		return err
	}
	return z.Close()
}

var errDamaged = errors.New("the built-in world is damaged; install geodns again")

// readHead reads the head, and returns what follows it.
func readHead(file []byte) (info Info, rest []byte, err error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	length, n := binary.Uvarint(rest)
	if !ok || n <= 0 || length > uint64(len(rest)-n) {
		return info, nil, errDamaged
	}
	rest = rest[n:]
	if json.Unmarshal(rest[:length], &info) != nil || info.Date.IsZero() || info.Source == "" || info.Licence == "" {
		return Info{}, nil, errDamaged
	}
	return info, rest[length:], nil
}

// decode reads a file as a whole, and returns it if nothing in it is wrong.
func decode(file []byte) (geo.World, error) {
	info, rest, err := readHead(file)
	if err != nil {
		return geo.World{}, err
	}
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(rest)), maxBody+1))
	if err != nil || len(body) > maxBody || len(body) == 0 || len(body) < 1+2*int(body[0]) {
		return geo.World{}, errDamaged
	}
	codes := body[1 : 1+2*int(body[0])]
	names := make([]string, 1+len(codes)/2)
	for i := range names[1:] {
		names[i+1] = string(codes[2*i : 2*i+2])
	}
	body = body[1+len(codes):]
	var families [2]columns
	for i := range families {
		if body, err = families[i].read(body, i == 0, len(names)); err != nil {
			return geo.World{}, err
		}
	}
	if len(body) > 0 {
		return geo.World{}, errDamaged
	}
	return geo.World{Type: info.Source, Built: info.Date, Ranges: func(yield func(geo.Range) bool) {
		more := true
		for i := range families {
			families[i].each(func(first, last number, country byte) bool {
				if country != 0 {
					more = yield(geo.Range{First: first.addr(i == 0), Last: last.addr(i == 0), Country: names[country]})
				}
				return more
			})
			if !more {
				return
			}
		}
	}}, nil
}

// read takes a family from the body and checks it; countries is how many
// there may be, the none among them.
func (c *columns) read(body []byte, four bool, countries int) (rest []byte, err error) {
	n, length := binary.Uvarint(body)
	if length <= 0 || n > uint64(len(body)-length)/3 {
		return nil, errDamaged
	}
	body = body[length:]
	c.segments, c.countries, c.zeros, c.lengths = n, body[:n], body[n:2*n], body[2*n:]
	limit := number{^uint64(0), ^uint64(0)}
	if four {
		limit = number{0, 1<<32 - 1}
	}
	read, done := uint64(0), number{}
	used := c.each(func(first, last number, country byte) bool {
		ok := !last.less(first) && !limit.less(last) && int(country) < countries && (read == 0 || done.less(first))
		done = last
		read++
		return ok
	})
	// The last one may have been refused.
	if read != n || used < 0 {
		return nil, errDamaged
	}
	c.lengths = c.lengths[:used]
	return body[2*n+uint64(used):], nil
}

// each yields all segments, and returns how many octets of lengths they took,
// -1 if it was stopped or a length is malformed.
func (c *columns) each(yield func(first, last number, country byte) bool) int {
	at, used := number{}, 0
	for i := range c.segments {
		var m number
		var n int
		if b := c.lengths[used:]; len(b) > 0 && b[0] < 0x80 { // most
			m, n = number{0, uint64(b[0])}, 1
		} else {
			m, n = uvarint(b)
		}
		if n == 0 || c.zeros[i] > 127 {
			return -1
		}
		used += n
		odd := m.left(1)
		odd.lo |= 1
		length := odd.left(uint(c.zeros[i]))
		end, _ := at.plus(length)
		if !yield(at, end.minus(number{0, 1}), c.countries[i]) {
			return -1
		}
		at = end
	}
	return used
}
