package server

import (
	"time"

	"geodns/internal/live"
	"geodns/internal/resolver"
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
}

func newAnswerer(s *Server) *answerer {
	return &answerer{
		live:     s.cfg.Live,
		reply:    wire.NewReply(),
		response: wire.Response{UDPSize: uint16(s.cfg.Limits.UDPPayload), NSID: s.cfg.Identity.NSID},
		identity: &s.chaos,
		udpLimit: s.cfg.Limits.UDPPayload,
	}
}

// answer handles one request and appends the reply to out[:0]; an empty result
// means: send nothing. from is the client; udp tells the transport. It does not
// allocate, nor keep req or out, and cap(out) is the longest reply that the
// transport can carry.
func (w *worker) answer(req []byte, _ addr, udp bool, out []byte) []byte {
	a := w.answers
	q, r := &a.query, a.reply
	verdict := q.Parse(req, !udp)
	w.countQuestion(q)
	switch verdict {
	case wire.Drop:
		return nil
	case wire.Reject:
		r.Reset()
		r.Rcode = q.Rcode
		w.count(Rejected)
	default:
		asked := resolver.Asked{TCP: !udp, Draw: w.rng.Uint64(), Identity: a.identity}
		outcome := a.resolver.Resolve(a.live.Load(), q, asked, r)
		w.count(firstOutcome + Counter(outcome))
	}
	x := &a.response
	if udp {
		x.Limit = wire.UDPLimit(q, a.udpLimit)
	} else {
		x.Limit = maxMessage
		// RFC 7828 3.1: in units of 100 ms.
		x.Keepalive = uint16(min(w.idle/(100*time.Millisecond), 0xffff))
	}
	res := a.encoder.Append(out, req, q, r, x)
	w.countReply(r, res)
	return res
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
