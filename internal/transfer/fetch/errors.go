package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"geodns/internal/wire"
)

// Cause is what kind of failure an Error is.
type Cause uint8

const (
	// Local: this side's configuration does not let it ask.
	Local Cause = iota
	// Unreachable: no octet of an answer came. All other zones of the primary
	// are likely to fare the same.
	Unreachable
	// Stalled: the primary began and did not go on, or was too slow.
	Stalled
	// Denied: the primary answered with an error code.
	Denied
	// Broken: what came is not what the protocol allows, or broke off.
	Broken
	// OutOfSync: an IXFR that does not fit the copy that is here.
	OutOfSync
	// Signature: it isn't signed as it must be.
	Signature
	// TooLarge: it is more than Options allow.
	TooLarge
	// BadZone: it came as it should, but breaks a rule of zones.
	BadZone
	// Cancelled: the context ended before the transfer did.
	Cancelled
)

// Error is why a primary's answer could not be used.
type Error struct {
	Cause Cause
	From  netip.AddrPort
	Apex  []byte
	// Asked is what was asked for: SOA, IXFR or AXFR.
	Asked string
	// What is wrong, and what to do about it, in plain English.
	What, Remedy string
	// Rcode is the primary's, if Cause is Denied.
	Rcode wire.Rcode

	err error
}

// Error says what was asked of whom, what is wrong and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s from %s: %s", e.Asked, wire.NameString(e.Apex), e.From, e.What)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap is the error of the system, of TSIG or of the zone beneath; nil if
// there is none.
func (e *Error) Unwrap() error { return e.err }

// CauseOf is what kind of failure err is; Local for errors of other packages.
func CauseOf(err error) Cause {
	var e *Error
	if errors.As(err, &e) {
		return e.Cause
	}
	return Local
}

// fault is an Error that does not know yet whom it is about.
func fault(c Cause, remedy, format string, args ...any) *Error {
	return &Error{Cause: c, What: fmt.Sprintf(format, args...), Remedy: remedy}
}

const (
	seeLog     = "look at the primary's log, and at what dig shows when it asks for the same"
	seeSource  = "correct the zone on the primary"
	seeNetwork = "see that the primary runs, and that no firewall is in between"
	seeLimits  = "if the zone is meant to be so large, raise the limits of transfers"
	seeSpeed   = "see whether the primary or the network is overloaded"
)

// broken is what the protocol does not allow.
func broken(format string, args ...any) *Error { return fault(Broken, seeLog, format, args...) }

// about completes an error with whom it is about.
func about(err error, p *Primary, apex []byte, asked string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Cause: Local, What: err.Error(), err: err}
	}
	e.From, e.Apex, e.Asked = p.Addr, apex, asked
	return e
}

// denied is an answer with an error code.
func denied(code wire.Rcode) *Error {
	e := &Error{Cause: Denied, Rcode: code, Remedy: seeLog}
	switch code {
	case wire.RcodeFormErr:
		e.What = "the primary answers FORMERR: it does not understand the question"
	case wire.RcodeServFail:
		e.What, e.Remedy = "the primary answers SERVFAIL", "see whether the zone is loaded there, and has not expired"
	case wire.RcodeNXDomain:
		e.What, e.Remedy = "the primary answers NXDOMAIN: it does not have the zone", "add the zone there, or correct the address of the primary here"
	case wire.RcodeNotImp:
		e.What = "the primary answers NOTIMP: it does not do this"
	case wire.RcodeRefused:
		e.What, e.Remedy = "the primary answers REFUSED", "allow this server's address or key to transfer the zone there, and see that the zone is served there"
	case wire.RcodeNotAuth:
		e.What, e.Remedy = "the primary answers NOTAUTH: it is not authoritative for the zone, or does not accept the signature", "compare the zone and the key on both sides"
	default:
		e.What = fmt.Sprintf("the primary answers with the error code %d", code)
	}
	return e
}

// asError is err as an Error, for faults that functions hand on.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Cause: Local, What: err.Error(), err: err}
}
