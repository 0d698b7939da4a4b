package converge

import (
	"errors"
	"fmt"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
)

// fate is what came of a question.
type fate uint8

const (
	// answer: the peer has told its serial.
	answer fate = iota
	// silence: the peer does not answer, whatever the zone.
	silence
	// missing: it answers that it doesn't have the zone, or may not tell.
	missing
	// unclear: its answer can't be used.
	unclear
	// unasked: it could not be asked, for a reason that lies here.
	unasked
)

// judge says what an error means, and in words what is wrong with the peer and
// what to do.
func judge(err error) (fate, string) {
	if err == nil {
		return answer, ""
	}
	var e *fetch.Error
	if !errors.As(err, &e) {
		return unasked, "it could not be asked: " + err.Error()
	}
	switch e.Cause {
	case fetch.Unreachable, fetch.Stalled, fetch.Cancelled:
		return silence, fmt.Sprintf("no answer from %s over UDP or TCP; see that the server runs there, and that no firewall is in between", e.From)
	case fetch.Denied:
		return missing, refusal(e.Rcode)
	case fetch.Signature:
		return unclear, "its answer is not signed as it must be: " + e.What + "; compare the key and the clock on both sides"
	case fetch.Local:
		return unasked, "it could not be asked: " + e.What
	}
	return unclear, "its answer cannot be read: " + e.What
}

// refusal says what an RCODE of a secondary tells of its copy.
func refusal(code wire.Rcode) string {
	switch code {
	case wire.RcodeNoError:
		return "it does not serve the zone: it answers without authority; see that it is a secondary of the zone there, and whether its copy has expired"
	case wire.RcodeServFail:
		return "it answers SERVFAIL: its copy has expired or never came; see in its log why the transfer fails"
	case wire.RcodeNXDomain:
		return "it answers NXDOMAIN: it does not have the zone; make it a secondary of it"
	case wire.RcodeRefused:
		return "it answers REFUSED: it does not have the zone, or does not answer this server; make it a secondary of the zone, and let it answer queries from here"
	case wire.RcodeNotAuth:
		return "it answers NOTAUTH: it does not have the zone, or not the key; compare both on both sides"
	}
	return fmt.Sprintf("it answers with the error code %d; look at its log", code)
}
