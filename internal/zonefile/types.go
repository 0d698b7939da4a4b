package zonefile

import (
	"errors"
	"strconv"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// TypeString is the mnemonic of a type, or TYPEnnn (RFC 3597 5).
func TypeString(t wire.Type) string {
	if s, ok := dns.TypeToString[t]; ok && t != 0 && t != dns.TypeReserved {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// ParseType reads a mnemonic of the IANA registry or TYPEnnn (RFC 3597 5), in
// any case.
func ParseType(text string) (wire.Type, error) {
	t, ok := typeOf([]byte(text))
	if !ok {
		return 0, errors.New(quote([]byte(text)) + " is no record type; write a mnemonic such as AAAA, or TYPE and a number up to 65535")
	}
	return t, nil
}

// typeOf is ParseType without an error to build.
func typeOf(b []byte) (wire.Type, bool) {
	var up [12]byte
	if len(b) == 0 || len(b) > len(up) {
		return 0, false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up[i] = c
	}
	switch string(up[:len(b)]) {
	case "A":
		return wire.TypeA, true
	case "AAAA":
		return wire.TypeAAAA, true
	case "NS":
		return wire.TypeNS, true
	case "CNAME":
		return wire.TypeCNAME, true
	case "TXT":
		return wire.TypeTXT, true
	case "MX":
		return wire.TypeMX, true
	case "RRSIG":
		return wire.TypeRRSIG, true
	}
	if t, ok := dns.StringToType[string(up[:len(b)])]; ok {
		return t, true
	}
	if len(b) > 4 && string(up[:4]) == "TYPE" {
		v, ok := number(b[4:], 65535)
		return wire.Type(v), ok
	}
	return 0, false
}

// classOf reads a class: a mnemonic, or CLASSnnn (RFC 3597 5).
func classOf(b []byte) (uint16, bool) {
	if len(b) < 2 || len(b) > 10 {
		return 0, false
	}
	var up [10]byte
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up[i] = c
	}
	switch string(up[:len(b)]) {
	case "IN":
		return wire.ClassIN, true
	case "CS":
		return dns.ClassCSNET, true
	case "CH", "CHAOS":
		return wire.ClassCH, true
	case "HS", "HESIOD":
		return dns.ClassHESIOD, true
	case "NONE":
		return wire.ClassNONE, true
	}
	if len(b) > 5 && string(up[:5]) == "CLASS" {
		v, ok := number(b[5:], 65535)
		return uint16(v), ok
	}
	return 0, false
}
