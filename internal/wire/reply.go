package wire

// Set is an RRset, or a part of one, as it is to be answered.
type Set struct {
	// Owner is the name in wire form; nil stands for the name that was asked.
	Owner []byte
	Type  Type
	TTL   uint32 // seconds
	// Records is the packed RRset (see NextRecord).
	Records []byte
	// Pick lists which records to answer, by their index in Records, in this
	// order; nil: all of them, beginning with the one at index First.
	Pick  []uint16
	First int
}

// Reply is what is to be answered. It is reused: Reset keeps the memory that
// its sections have grown to.
type Reply struct {
	Rcode Rcode
	AA    bool
	TC    bool
	// Class of all records; IN but for CHAOS answers.
	Class uint16
	// Sections. Their sets' slices belong to the zone, to the question, or to
	// this Reply's own scratch; they stay valid until the next Reset.
	Answer, Authority, Additional []Set
	// Required is how many sets of Additional, from its first, have to fit: if
	// they don't, the reply is truncated (RFC 9471 3.1).
	Required int

	// EDE is an extended error (RFC 8914), sent if HasEDE and the request had
	// an OPT.
	HasEDE  bool
	EDE     uint16
	EDEText string
	// HasVersion: the answer is of the zone whose name is the last ZoneLabels labels
	// of what was asked, the root not counted, at serial ZoneSerial. It is sent when
	// asked for (RFC 9660).
	HasVersion bool
	ZoneLabels uint8
	ZoneSerial uint32
	// Scope is the prefix length for which the answer holds (RFC 7871 7.2.1).
	Scope uint8
	// TSIGError answers a TSIG that was not accepted, without signing
	// (RFC 8945 5.3.2); 0: none.
	TSIGError uint16

	scratch []byte
}

// scratchSize bounds what a resolution may compose by itself: synthesised
// names (one a step of a chain) and records.
const scratchSize = 16 << 10

// NewReply returns a Reply with room for what real answers hold, so that a
// worker that owns one allocates no more.
func NewReply() *Reply {
	return &Reply{
		Answer:     make([]Set, 0, 64),
		Authority:  make([]Set, 0, 32),
		Additional: make([]Set, 0, 128),
		scratch:    make([]byte, 0, scratchSize),
	}
}

// Reset makes r an empty NOERROR answer of class IN.
func (r *Reply) Reset() {
	r.Rcode, r.AA, r.TC, r.Class, r.Required = RcodeNoError, false, false, ClassIN, 0
	r.Answer, r.Authority, r.Additional, r.scratch = r.Answer[:0], r.Authority[:0], r.Additional[:0], r.scratch[:0]
	r.HasEDE, r.EDE, r.EDEText, r.Scope, r.TSIGError, r.HasVersion = false, 0, "", 0, 0, false
}

// Scratch returns n octets that live until the next Reset, or nil when too
// much was asked for by one reply. What was handed out before never moves.
func (r *Reply) Scratch(n int) []byte {
	if len(r.scratch)+n > cap(r.scratch) {
		return nil
	}
	at := len(r.scratch)
	r.scratch = r.scratch[:at+n]
	return r.scratch[at : at+n : at+n]
}

// SetEDE notes an extended DNS error for clients that sent an OPT.
func (r *Reply) SetEDE(code uint16, text string) {
	r.HasEDE, r.EDE, r.EDEText = true, code, text
}

// The extended DNS errors in use (RFC 8914 4).
const (
	EDEOther            uint16 = 0
	EDENotReady         uint16 = 14
	EDENotAuthoritative uint16 = 20
	EDENotSupported     uint16 = 21
	EDEInvalidData      uint16 = 24
)

// TSIGBadKey is the TSIG error for a key that is not known (RFC 8945 3).
const TSIGBadKey uint16 = 17
