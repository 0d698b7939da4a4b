package wire

// The EDNS options that the server knows (IANA DNS EDNS0 Option Codes).
const (
	optNSID      = 3  // RFC 5001
	optECS       = 8  // RFC 7871
	optExpire    = 9  // RFC 7314
	optCookie    = 10 // RFC 7873
	optKeepalive = 11 // RFC 7828
	optPadding   = 12 // RFC 7830
	optEDE       = 15 // RFC 8914
	optVersion   = 19 // ZONEVERSION, RFC 9660
)

// The families of ECS (RFC 7871 6, IANA Address Family Numbers).
const (
	FamilyNone uint16 = 0
	FamilyIPv4 uint16 = 1
	FamilyIPv6 uint16 = 2
)

// MinUDPSize is the payload that every client takes (RFC 1035 4.2.1); smaller
// sizes in an OPT mean this one (RFC 6891 6.2.3).
const MinUDPSize = 512

// ECS is a client subnet option (RFC 7871 6). Addr holds the address from its
// first octet, zero beyond Source bits.
type ECS struct {
	Present bool
	Family  uint16
	Source  uint8 // prefix length, in bits
	Addr    [16]byte
}

// EDNS is what a request's OPT record says.
type EDNS struct {
	Present   bool
	DO        bool // RFC 3225: DNSSEC records are wanted
	NSID      bool
	Cookie    bool
	Keepalive bool // only over TCP
	Expire    bool
	Padding   bool
	Version   bool   // the zone's is wanted: ZONEVERSION
	Size      uint16 // the UDP payload that the client takes, at least MinUDPSize
	ECS       ECS
}

// parse reads the OPT record whose type stands at msg[at:]; parseRecords has
// checked that it lies within msg.
func (e *EDNS) parse(msg []byte, at int, tcp bool) Rcode {
	rdata := msg[at+10 : at+10+int(be16(msg, at+8))]
	e.Size = max(be16(msg, at+2), MinUDPSize)
	ttl := be32(msg, at+4)
	e.DO = ttl>>15&1 != 0
	if ttl>>16&0xff != 0 {
		// RFC 6891 6.1.3: only version 0 exists. What the options of another
		// version look like is not known.
		e.Present = true
		return RcodeBadVers
	}
	// An OPT whose options overrun it is no OPT: the FORMERR goes without one.
	for o := rdata; len(o) > 0; {
		if len(o) < 4 || 4+int(be16(o, 2)) > len(o) {
			return RcodeFormErr
		}
		o = o[4+int(be16(o, 2)):]
	}
	e.Present = true
	for o := rdata; len(o) > 0; {
		n := int(be16(o, 2))
		if !e.option(be16(o, 0), o[4:4+n], tcp) {
			return RcodeFormErr
		}
		o = o[4+n:]
	}
	return RcodeNoError
}

// option takes note of one option and reports whether it is well formed.
// Unknown ones are ignored (RFC 6891 6.1.2).
func (e *EDNS) option(code uint16, data []byte, tcp bool) bool {
	switch code {
	case optNSID:
		// RFC 5001 2.1: empty in a query; whatever else there is, is ignored.
		e.NSID = true
	case optPadding:
		e.Padding = true
	case optExpire:
		e.Expire = true
	case optVersion:
		// RFC 9660 3.1: empty in a query; whatever else there is, is ignored.
		e.Version = true
	case optCookie:
		// RFC 7873 5.2.2: a client cookie of 8 octets, then none or a server
		// cookie of 8 to 32.
		if len(data) != 8 && (len(data) < 16 || len(data) > 40) {
			return false
		}
		e.Cookie = true
	case optKeepalive:
		// RFC 7828 3.2.1: over UDP it is ignored; 3.3.1: a client sends no
		// timeout.
		if tcp {
			if len(data) != 0 {
				return false
			}
			e.Keepalive = true
		}
	case optECS:
		if e.ECS.Present {
			return true // The first one counts.
		}
		return e.ECS.parse(data)
	}
	return true
}

// parse reads an ECS option by RFC 7871 6 and 7.1.2 and reports whether it is
// well formed.
func (c *ECS) parse(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	family, source, scope := be16(data, 0), data[2], data[3]
	addr := data[4:]
	var most uint8
	switch family {
	case FamilyNone:
		most = 0 // RFC 7871 7.2.1: allowed with a source of 0 only.
	case FamilyIPv4:
		most = 32
	case FamilyIPv6:
		most = 128
	default:
		// A prefix of a family that we do not know cannot be checked, and must
		// not be echoed unchecked.
		most = 0
	}
	if source > most || scope != 0 || len(addr) != int(source+7)/8 {
		return false
	}
	if rest := source % 8; rest != 0 && addr[len(addr)-1]<<rest != 0 {
		return false // bits beyond the prefix
	}
	*c = ECS{Present: true, Family: family, Source: source}
	copy(c.Addr[:], addr)
	return true
}
