package server

import (
	"sync/atomic"
	"time"

	"geodns/internal/live"
	"geodns/internal/resolver"
	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// answerer is what a worker answers with: everything that a query is taken
// apart into and put together from, reused from query to query.
type answerer struct {
	live     *live.Holder
	query    wire.Query
	resolver resolver.Resolver
	reply    *wire.Reply
	encoder  wire.Encoder
	response wire.Response
	identity *resolver.Identity
	udpLimit int
	keys     *atomic.Pointer[tsig.Keyring] // the server's; nil in it: none
}

func newAnswerer(s *Server) *answerer {
	return &answerer{
		live:     s.cfg.Live,
		resolver: resolver.Resolver{Lane: int(s.lanes.Add(1))},
		reply:    wire.NewReply(),
		response: wire.Response{UDPSize: uint16(s.cfg.Limits.UDPPayload), NSID: s.cfg.Identity.NSID},
		identity: &s.chaos,
		udpLimit: s.cfg.Limits.UDPPayload,
		keys:     &s.keys,
	}
}

// answer handles one request and appends the reply to out[:0]; an empty result
// means: send nothing. from is the client; udp tells the transport. It does not
// allocate, but for requests with a TSIG, nor keep req or out, and cap(out) is
// the longest reply that the transport can carry.
func (w *worker) answer(req []byte, from addr, udp bool, out []byte) []byte {
	a := w.answers
	q := &a.query
	verdict := q.Parse(req, !udp)
	if verdict == wire.Drop {
		return nil
	}
	w.countQuestion(q)
	if q.TSIG != 0 {
		return w.answerSigned(req, verdict, from, udp, out)
	}
	switch {
	case verdict == wire.Reject:
		w.rejected()
	case w.exchanges && special(q):
		w.hand(req, from, nil)
		return nil
	default:
		asked := resolver.Asked{TCP: !udp, Source: from.steered(), Draw: w.rng.Uint64(), Identity: a.identity}
		w.resolved(a.resolver.Resolve(a.live.Load(), q, asked, a.reply))
	}
	res := a.encoder.Append(out, req, q, a.reply, w.respondTo(udp))
	w.countReply(a.reply, res)
	return res
}

// resolved counts what became of a question.
func (w *worker) resolved(outcome resolver.Outcome) { w.count(firstOutcome + Counter(outcome)) }

// rejected makes the reply to a request that is not well formed.
func (w *worker) rejected() {
	a := w.answers
	a.reply.Reset()
	a.reply.Rcode = a.query.Rcode
	w.count(Rejected)
}

// respondTo is what the encoder has to know of the transport.
func (w *worker) respondTo(udp bool) *wire.Response {
	a := w.answers
	x := &a.response
	if udp {
		x.Limit = wire.UDPLimit(&a.query, a.udpLimit)
		return x
	}
	x.Limit, x.Pad = maxMessage, w.pad
	// RFC 7828 3.1: in units of 100 ms.
	x.Keepalive = uint16(min(w.idle/(100*time.Millisecond), 0xffff))
	return x
}

// flagTC is TC in the third octet of the header (RFC 1035 4.1.1).
const flagTC = 1 << 1

// countQuestion counts what a request asked for and with.
func (w *worker) countQuestion(q *wire.Query) {
	if q.QuestionLen > 0 {
		w.count(typeCounter(q.Type))
	}
	if !q.EDNS.Present {
		return
	}
	w.count(EDNS)
	if q.EDNS.DO {
		w.count(DNSSEC)
	}
	if q.EDNS.ECS.Present {
		w.count(Subnet)
	}
}

// countReply counts what is answered.
func (w *worker) countReply(r *wire.Reply, res []byte) {
	w.count(firstRcode + Counter(r.Rcode&(Rcodes-1)))
	if len(res) >= headerLen && res[2]&flagTC != 0 {
		w.count(Truncated)
	}
}

// chaosText packs a text as a TXT RRset of one string (RFC 1035 3.3.14); none
// for an empty one.
func chaosText(s string) []byte {
	if s == "" {
		return nil
	}
	s = s[:min(len(s), 255)]
	return wire.AppendRecord(nil, append([]byte{byte(len(s))}, s...))
}
