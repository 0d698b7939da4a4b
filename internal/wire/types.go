package wire

// Type is a DNS RR type (RFC 1035 3.2.2 and the IANA registry). Only the types
// that the server itself must know by name are listed.
type Type = uint16

// The RR types that have a meaning of their own somewhere in the server.
const (
	TypeA          Type = 1
	TypeNS         Type = 2
	TypeMD         Type = 3
	TypeMF         Type = 4
	TypeCNAME      Type = 5
	TypeSOA        Type = 6
	TypeMB         Type = 7
	TypeMG         Type = 8
	TypeMR         Type = 9
	TypePTR        Type = 12
	TypeHINFO      Type = 13
	TypeMINFO      Type = 14
	TypeMX         Type = 15
	TypeTXT        Type = 16
	TypeSIG        Type = 24
	TypeKEY        Type = 25
	TypeAAAA       Type = 28
	TypeNXT        Type = 30
	TypeSRV        Type = 33
	TypeDNAME      Type = 39
	TypeOPT        Type = 41
	TypeDS         Type = 43
	TypeRRSIG      Type = 46
	TypeNSEC       Type = 47
	TypeDNSKEY     Type = 48
	TypeNSEC3      Type = 50
	TypeNSEC3PARAM Type = 51
	TypeSVCB       Type = 64
	TypeHTTPS      Type = 65
	TypeTSIG       Type = 250
	TypeIXFR       Type = 251
	TypeAXFR       Type = 252
	TypeMAILB      Type = 253
	TypeMAILA      Type = 254
	TypeANY        Type = 255
)

// MetaType reports whether t can be asked for but never be stored in a zone:
// OPT, and the range 128-255 of QTYPEs and meta-TYPEs (RFC 6895 3.1), and 0.
func MetaType(t Type) bool {
	return t == 0 || t == TypeOPT || t >= 128 && t <= 255
}

// The classes of RFC 1035 3.2.4 and RFC 2136.
const (
	ClassIN   uint16 = 1
	ClassCH   uint16 = 3
	ClassNONE uint16 = 254
	ClassANY  uint16 = 255
)

// Rcode is a response code; values over 15 need EDNS (RFC 6891 6.1.3).
type Rcode uint16

// The response codes of RFC 1035 4.1.1, RFC 2136 2.2, RFC 6891 9 and RFC 8945 3.
const (
	RcodeNoError  Rcode = 0
	RcodeFormErr  Rcode = 1
	RcodeServFail Rcode = 2
	RcodeNXDomain Rcode = 3
	RcodeNotImp   Rcode = 4
	RcodeRefused  Rcode = 5
	RcodeYXDomain Rcode = 6
	RcodeYXRRSet  Rcode = 7
	RcodeNXRRSet  Rcode = 8
	RcodeNotAuth  Rcode = 9
	RcodeNotZone  Rcode = 10
	RcodeBadVers  Rcode = 16
)

// The opcodes of RFC 1035 4.1.1, RFC 1996 and RFC 2136.
const (
	OpcodeQuery  uint8 = 0
	OpcodeNotify uint8 = 4
	OpcodeUpdate uint8 = 5
)
