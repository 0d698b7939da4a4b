package server

import (
	"math/bits"
	"sync/atomic"

	"geodns/internal/resolver"
)

// Counter names one of the Counters.
type Counter int

// What is counted. Bytes are DNS messages, without the length prefix of TCP
// and without the headers of UDP and IP.
const (
	UDP4Queries    Counter = iota // datagrams received, whatever was in them
	UDP4QueryBytes                // as far as they fitted into the buffer
	UDP4Replies                   // datagrams that the kernel took
	UDP4ReplyBytes
	UDP6Queries
	UDP6QueryBytes
	UDP6Replies
	UDP6ReplyBytes
	TCP4Queries // whole messages received
	TCP4QueryBytes
	TCP4Replies // messages queued to be written
	TCP4ReplyBytes
	TCP6Queries
	TCP6QueryBytes
	TCP6Replies
	TCP6ReplyBytes

	Dropped       // received but unusable: truncated, too short, from port 0, without the address asked
	Unanswered    // messages that the answerer chose to leave without a reply
	Panics        // messages that made the answerer panic; not answered
	ReceiveErrors // failed recvmmsg calls
	SendErrors    // replies that the kernel refused, and TCP connections that broke while writing
	SendDropped   // UDP replies given up because the socket stayed full

	TCPAccepted     // connections that got a place
	TCPRefused      // connections closed at once: over a limit
	TCPEvicted      // idle connections closed to make a place
	TCPTimeouts     // connections closed for being idle or too slow
	TCPAcceptErrors // failed accept calls
	TCPOpen         // connections that have a place now: the only one that can fall

	TLSQueries    // those of the TCP queries that came over TLS
	TLSHandshakes // of connections that may ask
	TLSFailed     // handshakes that failed, or took too long

	Rejected // messages that were malformed, or of an unknown opcode or EDNS version

	Exchanged // transfers, NOTIFY and UPDATE, handed to those who answer them

	Truncated // replies with TC set (RFC 2181 9)
	EDNS      // messages with a valid OPT (RFC 6891)
	DNSSEC    // those of them with DO set (RFC 3225)
	Subnet    // those of them with a client subnet (RFC 7871)

	// From firstOutcome on stand the questions by what became of them, from
	// firstRcode on the replies by their RCODE, from firstType on the questions
	// by their type; then the histograms. See the methods of Counters.
	firstOutcome
	firstRcode = firstOutcome + Counter(resolver.Outcomes)
	firstType  = firstRcode + Rcodes

	firstUDPSize     = firstType + Types
	firstTCPSize     = firstUDPSize + sizeBuckets
	firstUDPDuration = firstTCPSize + sizeBuckets
	firstTCPDuration = firstUDPDuration + durationBuckets
	udpNanoseconds   = firstTCPDuration + durationBuckets
	tcpNanoseconds   = udpNanoseconds + 1

	// NumCounters is how many there are.
	NumCounters = tcpNanoseconds + 1
)

// Rcodes is how many response codes are told apart: up to BADCOOKIE and a few
// more (RFC 6895 2.3), a power of two.
const Rcodes = 32

// Outcome is how many questions came to an outcome.
func (c *Counters) Outcome(o resolver.Outcome) uint64 { return c[firstOutcome+Counter(o)] }

// Rcode is how many replies had an RCODE.
func (c *Counters) Rcode(rcode int) uint64 { return c[firstRcode+Counter(rcode&(Rcodes-1))] }

// Where the four counters of one transport and family lie behind the first.
const (
	offQueries Counter = iota
	offQueryBytes
	offReplies
	offReplyBytes
)

// Counters are values indexed by Counter, all since the start.
type Counters [NumCounters]uint64

func (c *Counters) add(o *Counters) {
	for i := range c {
		c[i] += o[i]
	}
}

const cacheLine = 64

// dirtyWords is how many words have a bit for each counter.
const dirtyWords = (int(NumCounters) + 63) / 64

// tally is one worker's counters. Its owner counts in n with plain additions
// and publishes once a batch: an atomic store costs as much as ten additions,
// and readers do not mind being one batch behind. A bit in dirty says that a
// counter has changed since, so that a batch of one query pays for the ten
// counters that it moved and not for all. The padding keeps the neighbours in
// memory off the owner's cache lines.
type tally struct {
	_         [cacheLine]byte
	n         Counters
	dirty     [dirtyWords]uint64
	_         [cacheLine]byte
	published [NumCounters]atomic.Uint64
	_         [cacheLine]byte
}

// count adds one to a counter. Only the owner calls it, and what follows.
func (t *tally) count(c Counter) { t.add(c, 1) }

func (t *tally) add(c Counter, n uint64) {
	t.n[c] += n
	t.dirty[c/64] |= 1 << (c % 64)
}

// publish makes what was counted visible to read.
func (t *tally) publish() {
	for i := range t.dirty {
		d := t.dirty[i]
		if d == 0 {
			continue
		}
		t.dirty[i] = 0
		for ; d != 0; d &= d - 1 {
			c := i*64 + bits.TrailingZeros64(d)
			t.published[c].Store(t.n[c])
		}
	}
}

// read adds what was published to sum, from any goroutine.
func (t *tally) read(sum *Counters) {
	for i := range sum {
		sum[i] += t.published[i].Load()
	}
}
