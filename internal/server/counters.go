package server

import (
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

	Rejected // messages that were malformed, or of an unknown opcode or EDNS version

	// From firstOutcome on stand the questions by what became of them, from
	// firstRcode on the replies by their RCODE; see Counters.Outcome and Rcode.
	firstOutcome
	firstRcode = firstOutcome + Counter(resolver.Outcomes)

	// NumCounters is how many there are.
	NumCounters = firstRcode + Rcodes
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

// tally is one worker's counters. Its owner counts in n with plain additions
// and publishes once a batch: an atomic store costs as much as ten additions,
// and readers do not mind being one batch behind. The padding keeps the
// neighbours in memory off the owner's cache lines.
type tally struct {
	_         [cacheLine]byte
	n         Counters
	_         [cacheLine]byte
	published [NumCounters]atomic.Uint64
	_         [cacheLine]byte
}

// publish makes what was counted visible to read. Only the owner calls it.
func (t *tally) publish() {
	for i := range t.n {
		if v := t.n[i]; v != t.published[i].Load() {
			t.published[i].Store(v)
		}
	}
}

// read adds what was published to sum, from any goroutine.
func (t *tally) read(sum *Counters) {
	for i := range sum {
		sum[i] += t.published[i].Load()
	}
}
