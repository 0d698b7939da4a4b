package message

import (
	"encoding/binary"
	"strings"

	"geodns/internal/wire"
)

// shape says of what fields the RDATA of a type consists, so that it can be
// checked, and names in it be written out. Types that are not here are taken
// as they are (RFC 3597 3).
//
//	1-8  so many octets
//	c    a name that may be compressed: the types of RFC 1035, and those that
//	     RFC 3597 4 lists
//	n    a name that must not be
//	s    a character-string (RFC 1035 3.3), or anything else behind one octet
//	     of its length; S one or more of them, to the end
//	*    anything, to the end; + at least one octet of it
//	b    a bitmap of types, to the end (RFC 4034 4.1.2)
//	k    keys of SVCB, to the end (RFC 9460 2.2)
//	g    a gateway of the kind that the second octet of the RDATA says, to
//	     the end: an address, a name, or nothing, and a key (RFC 4025 2.1, RFC
//	     8777 4.2)
//	p    address prefixes, to the end (RFC 3123 4)
//	h    a HIT, its key and servers, to the end (RFC 8005 5)
func shape(t wire.Type) string {
	if int(t) < len(shapes) {
		return shapes[t]
	}
	switch t {
	case 32768, 32769: // TA, DLV
		return "211+"
	}
	return ""
}

// shapes is shape for the types up to AMTRELAY, by their numbers.
var shapes = [...]string{
	1: "4", 2: "c", 3: "c", 4: "c", 5: "c", // A NS MD MF CNAME
	6: "cc488", 7: "c", 8: "c", 9: "c", // SOA MB MG MR
	11: "41*", 12: "c", 13: "ss", 14: "cc", 15: "2c", // WKS PTR HINFO MINFO MX
	16: "S", 17: "cc", 18: "2c", 19: "s", 20: "S", 21: "2c", // TXT RP AFSDB X25 ISDN RT
	23: "n", 24: "2114442c+", 25: "211*", 26: "2cc", // NSAP-PTR SIG KEY PX
	27: "sss", 28: "8" + "8", 29: "8" + "8", 30: "c*", // GPOS AAAA LOC NXT
	33: "222c", 35: "22sssc", 36: "2n", 37: "221+", 39: "n", // SRV NAPTR KX CERT DNAME
	42: "p", 43: "211+", 44: "11+", 45: "111g", // APL DS SSHFP IPSECKEY
	46: "2114442n+", 47: "nb", 48: "211+", 49: "+", // RRSIG NSEC DNSKEY DHCID
	50: "112ssb", 51: "112s", 52: "111*", 53: "111*", 55: "h", // NSEC3 NSEC3PARAM TLSA SMIMEA HIP
	56: "S", 57: "211+", 58: "nn", 59: "211+", 60: "211+", // NINFO RKEY TALINK CDS CDNSKEY
	61: "+", 62: "42b", 63: "411+", 64: "2nk", 65: "2nk", // OPENPGPKEY CSYNC ZONEMD SVCB HTTPS
	66: "212n", 99: "S", 100: "s", 101: "4", 102: "4", // DSYNC SPF UINFO UID GID
	104: "28", 105: "24", 106: "28", 107: "2n", 108: "6", 109: "8", // NID L32 L64 LP EUI48 EUI64
	256: "22+", 257: "1s*", 258: "S", 260: "11g", 261: "S", // URI CAA AVC AMTRELAY RESINFO
}

// rdata returns the RDATA of a record with its names written out, in the case
// that they have. bad says what is wrong, empty: nothing.
func (r *Reader) rdata(rec *Record) (data []byte, bad string) {
	s := shape(rec.Type)
	plain := r.Raw(rec)
	if s == "" {
		return plain, ""
	}
	if strings.IndexByte(s, 'c') < 0 {
		return plain, r.fields(rec, s, nil)
	}
	r.data = r.data[:0]
	if bad := r.fields(rec, s, &r.data); bad != "" {
		return nil, bad
	}
	if len(r.data) > 0xffff {
		return nil, "is longer than 65535 octets, its names written out"
	}
	return r.data, ""
}

const tooShort = "ends too early"

// fields checks the fields of RDATA, and appends them to out, if that is not
// nil.
func (r *Reader) fields(rec *Record, s string, out *[]byte) (bad string) {
	at, end := rec.at, rec.end()
	for i := range len(s) {
		from := at
		switch f := s[i]; f {
		case 'c', 'n':
			// The name has to end within the RDATA, wherever its pointers lead.
			name, next, bad := expand(r.name[:0], r.msg[:end], at, f == 'c')
			if bad != "" {
				return "has " + bad
			}
			at = next
			if out != nil {
				*out = append(*out, name...)
				continue
			}
		default:
			n, bad := field(f, r.msg[at:end], r.Raw(rec))
			if bad != "" {
				return bad
			}
			at += n
		}
		if out != nil {
			*out = append(*out, r.msg[from:at]...)
		}
	}
	if at != end {
		return "is longer than its fields"
	}
	return ""
}

// field says how many octets of b, what is left of the RDATA data, the field of
// a kind takes.
func field(kind byte, b, data []byte) (n int, bad string) {
	switch kind {
	case 's':
		if len(b) == 0 || 1+int(b[0]) > len(b) {
			return 0, tooShort
		}
		return 1 + int(b[0]), ""
	case 'S':
		return len(b), stringsOf(b)
	case '*':
		return len(b), ""
	case '+':
		if len(b) == 0 {
			return 0, tooShort
		}
		return len(b), ""
	case 'b':
		return len(b), bitmap(b)
	case 'k':
		return len(b), serviceKeys(b)
	case 'g':
		return len(b), gateway(b, data)
	case 'p':
		return len(b), prefixes(b)
	case 'h':
		return len(b), hostIdentity(b)
	}
	if n = int(kind - '0'); n > len(b) {
		return 0, tooShort
	}
	return n, ""
}

// stringsOf checks one or more character-strings.
func stringsOf(b []byte) string {
	if len(b) == 0 {
		return tooShort
	}
	for len(b) > 0 {
		if 1+int(b[0]) > len(b) {
			return tooShort
		}
		b = b[1+int(b[0]):]
	}
	return ""
}

// bitmap checks the windows of RFC 4034 4.1.2.
func bitmap(b []byte) string {
	for last := -1; len(b) > 0; {
		if len(b) < 3 || b[1] == 0 || b[1] > 32 || 2+int(b[1]) > len(b) || int(b[0]) <= last {
			return "has a bitmap of types that cannot be read"
		}
		last = int(b[0])
		b = b[2+int(b[1]):]
	}
	return ""
}

// serviceKeys checks that keys rise (RFC 9460 2.2); their values are left
// alone.
func serviceKeys(b []byte) string {
	for last := -1; len(b) > 0; {
		if len(b) < 4 {
			return tooShort
		}
		key, n := int(binary.BigEndian.Uint16(b)), 4+int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return tooShort
		}
		if key <= last {
			return "has keys that are not in rising order"
		}
		last, b = key, b[n:]
	}
	return ""
}

// gateway checks the gateway that data[1] says the kind of, and that there is
// enough of it. Behind it stands a key, or nothing.
func gateway(b, data []byte) string {
	switch data[1] & 0x7f { // the top bit is AMTRELAY's discovery flag
	case 0:
		return ""
	case 1:
		if len(b) < 4 {
			return tooShort
		}
		return ""
	case 2:
		if len(b) < 16 {
			return tooShort
		}
		return ""
	case 3:
		if wire.NameLen(b) == 0 {
			return "has a gateway whose name cannot be read"
		}
		return ""
	}
	return "has a gateway of an unknown kind"
}

// prefixes checks the items of APL.
func prefixes(b []byte) string {
	for len(b) > 0 {
		if len(b) < 4 || 4+int(b[3]&0x7f) > len(b) {
			return tooShort
		}
		b = b[4+int(b[3]&0x7f):]
	}
	return ""
}

// hostIdentity checks HIP: the lengths of HIT and key, both, and names.
func hostIdentity(b []byte) string {
	if len(b) < 4 {
		return tooShort
	}
	n := 4 + int(b[0]) + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return tooShort
	}
	for b = b[n:]; len(b) > 0; {
		n := wire.NameLen(b)
		if n == 0 {
			return "has a server whose name cannot be read"
		}
		b = b[n:]
	}
	return ""
}
