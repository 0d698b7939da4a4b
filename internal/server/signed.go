package server

import (
	"time"

	"geodns/internal/resolver"
	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// SetKeys replaces the keys for all queries from now on; nil takes them all
// away. It may be called at any time.
func (s *Server) SetKeys(keys *tsig.Keyring) { s.keys.Store(keys) }

// answerSigned is answer for a request with a TSIG, of which Parse thinks
// verdict. It may allocate: what a request costs here is bounded by its length
// and that of the answer.
func (w *worker) answerSigned(req []byte, verdict wire.Verdict, from addr, udp bool, out []byte) []byte {
	a := w.answers
	now := time.Unix(0, w.now)
	session, err := a.keys.Load().Verify(req, now)
	switch {
	case err != nil:
		w.refuseSignature(err)
	case verdict == wire.Reject:
		w.rejected()
	case w.exchanges && special(&a.query):
		w.hand(req, from, session)
		return nil
	default:
		asked := resolver.Asked{
			TCP: !udp, Source: from.steered(), Signed: true, Trusted: session.Trusted(),
			Draw: w.rng.Uint64(), Identity: a.identity,
		}
		w.resolved(a.resolver.Resolve(a.live.Load(), &a.query, asked, a.reply))
	}
	x := w.respondTo(udp)
	if session == nil {
		// RFC 8945 5.3.2: BADKEY and BADSIG are answered without a signature.
		res := a.encoder.Append(out, req, &a.query, a.reply, x)
		w.countReply(a.reply, res)
		return res
	}
	// RFC 8945 5.3: what does not fit together with the TSIG is truncated.
	x.Limit -= session.Size()
	res := a.encoder.Append(out, req, &a.query, a.reply, x)
	if len(res) > x.Limit {
		return nil // tsig.MaxName sees to it that no message comes to this
	}
	if res, err = session.Sign(res, now); err != nil {
		return nil
	}
	w.countReply(a.reply, res)
	return res
}

// refuseSignature makes the reply to a request whose signature is not accepted.
func (w *worker) refuseSignature(err error) {
	fault, _ := err.(tsig.Fault) // Verify has no other errors
	r := w.answers.reply
	r.Reset()
	r.Rcode = fault.Rcode()
	switch fault {
	case tsig.Malformed:
		w.count(Rejected)
		return
	case tsig.BadKey, tsig.BadSig:
		r.TSIGError = fault.Code()
	}
	w.resolved(resolver.BadKey)
}
