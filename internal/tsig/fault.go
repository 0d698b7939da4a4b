package tsig

import "geodns/internal/wire"

// Fault is what is wrong with a signature. It is an error.
type Fault uint16

// The faults. All but Malformed are TSIG errors (RFC 8945 3).
const (
	// Malformed: no TSIG at all, more than one, one that is not the last
	// record, or one that cannot be read. RFC 8945 5.1 and 5.2: FORMERR.
	Malformed Fault = 1
	// BadSig: the MAC is not what key and message make (RFC 8945 5.2.2).
	BadSig Fault = 16
	// BadKey: no key has this name and algorithm (RFC 8945 5.2.1).
	BadKey Fault = 17
	// BadTime: signed too long ago, or too far ahead (RFC 8945 5.2.3).
	BadTime Fault = 18
	// BadTrunc: the MAC is right but shorter than is accepted here (RFC 8945
	// 5.2.4).
	BadTrunc Fault = 22
)

// Error names the fault as RFC 8945 does.
func (f Fault) Error() string {
	switch f {
	case Malformed:
		return "TSIG FORMERR: the message has no TSIG as its last record, or one that cannot be read"
	case BadSig:
		return "TSIG BADSIG: the signature does not fit the message; compare the secrets of both sides"
	case BadKey:
		return "TSIG BADKEY: there is no key of this name and algorithm"
	case BadTime:
		return "TSIG BADTIME: the message was signed at another time; compare the clocks of both sides"
	case BadTrunc:
		return "TSIG BADTRUNC: the signature is truncated; use the algorithm at its full length"
	}
	return "TSIG error"
}

// Rcode is what the message is answered with.
func (f Fault) Rcode() wire.Rcode {
	if f == Malformed {
		return wire.RcodeFormErr
	}
	return wire.RcodeNotAuth
}

// Code is the error field of the TSIG in the answer, 0 if that has no TSIG.
func (f Fault) Code() uint16 {
	if f == Malformed {
		return 0
	}
	return uint16(f)
}
