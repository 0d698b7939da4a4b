package wire

// HeaderLen is the length of the header of a DNS message, in octets.
const HeaderLen = 12

// The flags of the header's second 16 bits (RFC 1035 4.1.1, RFC 4035 3.2).
const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
)

// Verdict says what is to be done with a message that was parsed.
type Verdict uint8

const (
	// Drop: send nothing.
	Drop Verdict = iota
	// Reject: answer with Query.Rcode and what the request had of question and
	// EDNS, without looking anything up.
	Reject
	// Accept: the request is well formed.
	Accept
)

// Query is a request taken apart. It is reused from request to request; its
// arrays are valid up to the lengths beside them only.
type Query struct {
	ID     uint16
	Opcode uint8
	RD     bool
	Type   Type
	Class  uint16

	// Rcode says why a message was rejected.
	Rcode Rcode
	// QuestionLen is how many octets the question takes from offset HeaderLen;
	// 0 if there is none that could be read, so that none is echoed.
	QuestionLen int

	// Name is the name that is asked for.
	Name Name

	EDNS EDNS
	// TSIG is the offset of the TSIG record in the message, 0 if there is none
	// (RFC 8945).
	TSIG int
}

// SetQuestion makes q a plain question that did not come by a message: for
// tools that ask the resolver themselves. It reports whether name is valid.
func (q *Query) SetQuestion(name []byte, t Type, class uint16) bool {
	q.ID, q.Opcode, q.RD, q.Rcode, q.TSIG = 0, OpcodeQuery, false, RcodeNoError, 0
	q.EDNS = EDNS{}
	q.Type, q.Class = t, class
	q.QuestionLen = len(name) + 4
	return q.Name.Set(name)
}

// Parse takes a request apart. tcp tells the transport, since some options
// mean nothing over UDP. The verdict is never Accept for a message that could
// not be read to its last octet.
func (q *Query) Parse(msg []byte, tcp bool) Verdict {
	if len(msg) < HeaderLen {
		return Drop
	}
	flags := be16(msg, 2)
	if flags&flagQR != 0 {
		return Drop // A response to a response would go on for ever.
	}
	q.ID = be16(msg, 0)
	q.Opcode = uint8(flags >> 11 & 15)
	q.RD = flags&flagRD != 0
	q.Rcode = RcodeNoError
	q.QuestionLen, q.Name.NLabels, q.Name.Len, q.TSIG = 0, 0, 0, 0
	q.EDNS = EDNS{}

	qdcount := be16(msg, 4)
	at := HeaderLen
	if qdcount == 1 {
		at = q.parseQuestion(msg)
	}
	switch q.Opcode {
	case OpcodeQuery, OpcodeNotify, OpcodeUpdate:
	default:
		return q.reject(RcodeNotImp)
	}
	if at == 0 || qdcount > 1 {
		return q.reject(RcodeFormErr)
	}
	if r := q.parseRecords(msg, at, tcp); r != RcodeNoError {
		return q.reject(r)
	}
	if qdcount == 0 {
		// RFC 7873 5.4: a query without a question that carries a COOKIE only
		// asks for a server cookie; all others are malformed.
		if !q.EDNS.Cookie || q.Opcode != OpcodeQuery {
			return q.reject(RcodeFormErr)
		}
		return q.reject(RcodeNoError)
	}
	return Accept
}

func (q *Query) reject(r Rcode) Verdict {
	q.Rcode = r
	return Reject
}

// parseQuestion reads the question at HeaderLen and returns where it ends, or
// 0 if it is malformed: cut short, compressed (there is nothing before it to
// point to), with an unknown label type, or too long.
func (q *Query) parseQuestion(msg []byte) int {
	at, n := HeaderLen, 0
	for {
		if at >= len(msg) {
			return 0
		}
		l := int(msg[at])
		if l == 0 {
			break
		}
		end := at + 1 + l
		// One octet of MaxName is the root's.
		if l > MaxLabel || end >= len(msg) || end-HeaderLen >= MaxName {
			return 0
		}
		q.Name.Labels[n] = uint8(at - HeaderLen)
		n++
		at = end
	}
	if at+5 > len(msg) {
		return 0
	}
	q.Name.Len = at - HeaderLen + 1
	copyLower(q.Name.Buf[:], msg[HeaderLen:at+1])
	q.Name.Labels[n] = uint8(at - HeaderLen)
	q.Name.NLabels = n
	q.Type = be16(msg, at+1)
	q.Class = be16(msg, at+3)
	q.QuestionLen = q.Name.Len + 4
	return at + 5
}

// parseRecords reads what follows the question: it skips ordinary records,
// and takes note of OPT and TSIG.
func (q *Query) parseRecords(msg []byte, at int, tcp bool) Rcode {
	other := int(be16(msg, 6)) + int(be16(msg, 8))
	total := other + int(be16(msg, 10))
	opt := 0
	for i := 0; i < total; i++ {
		start := at
		at = skipName(msg, at)
		if at == 0 || at+10 > len(msg) {
			return RcodeFormErr
		}
		typ := be16(msg, at)
		end := at + 10 + int(be16(msg, at+8))
		if end > len(msg) {
			return RcodeFormErr
		}
		switch typ {
		case TypeOPT:
			// RFC 6891 6.1.1: one OPT, in the additional section, at the root.
			if opt != 0 || i < other || msg[start] != 0 {
				return RcodeFormErr
			}
			opt = at
		case TypeTSIG:
			// RFC 8945 5.1: the last record of the additional section.
			if i < other || i != total-1 || be16(msg, at+2) != ClassANY {
				return RcodeFormErr
			}
			q.TSIG = start
		}
		at = end
	}
	if at != len(msg) {
		return RcodeFormErr
	}
	if opt != 0 {
		return q.EDNS.parse(msg, opt, tcp)
	}
	return RcodeNoError
}

// skipName returns where the possibly compressed name at msg[at:] ends, 0 if
// it is malformed. Pointers are not followed: nobody asks what such names are.
func skipName(msg []byte, at int) int {
	for n := 0; at < len(msg) && n < MaxName; {
		l := int(msg[at])
		switch {
		case l == 0:
			return at + 1
		case l >= 0xc0:
			if at+2 > len(msg) {
				return 0
			}
			return at + 2
		case l > MaxLabel:
			return 0
		}
		at += 1 + l
		n += 1 + l
	}
	return 0
}

func be16(b []byte, at int) uint16 { return uint16(b[at])<<8 | uint16(b[at+1]) }

func be32(b []byte, at int) uint32 {
	return uint32(b[at])<<24 | uint32(b[at+1])<<16 | uint32(b[at+2])<<8 | uint32(b[at+3])
}
