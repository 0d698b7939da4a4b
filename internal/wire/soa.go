package wire

import "encoding/binary"

// soaNumbers is how long the five numbers at the end of an SOA's RDATA are, in
// octets; the serial is the first of them (RFC 1035 3.3.13).
const soaNumbers = 20

// SOASerial is the serial in an SOA's RDATA; false if that is too short for one.
func SOASerial(data []byte) (serial uint32, ok bool) {
	if len(data) < soaNumbers+2 {
		return 0, false
	}
	return binary.BigEndian.Uint32(data[len(data)-soaNumbers:]), true
}

// WithSOASerial is a copy of an SOA's RDATA, which has a serial, with another one.
func WithSOASerial(data []byte, serial uint32) []byte {
	data = append([]byte(nil), data...)
	binary.BigEndian.PutUint32(data[len(data)-soaNumbers:], serial)
	return data
}

// NewerSerial reports whether serial a is newer than b (RFC 1982 3.2). Of two that
// are half of all numbers apart, which the RFC leaves undefined, none is.
func NewerSerial(a, b uint32) bool { return int32(a-b) > 0 }

// AppendText appends a text as the RDATA of a TXT record, in strings of at most 255
// octets (RFC 1035 3.3.14); the empty text is one empty string.
func AppendText(dst []byte, text string) []byte {
	for {
		n := min(len(text), 255)
		dst = append(append(dst, byte(n)), text[:n]...)
		if text = text[n:]; text == "" {
			return dst
		}
	}
}
