package converge

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"time"

	"geodns/internal/wire"
)

// Status is how far the secondaries are.
type Status struct {
	// Pairs is how many copies are watched: zones times their peers.
	Pairs int
	// Sweep is in how long each of them is asked once, though nothing changes.
	Sweep time.Duration
	// Peers are those with something wrong first, then by their addresses.
	Peers []PeerStatus
}

// PeerStatus is how far one of them is.
type PeerStatus struct {
	Addr netip.AddrPort
	// Zones is how many it is to have. Each is one of the others: it has our
	// version; it lacks one, or the zone; it serves a version that is newer than
	// ours; it has not told yet.
	Zones, InSync, Behind, Ahead, Unknown int
	// Lag is the age of the oldest version that it does not have yet, as far as is
	// known; where it has no copy at all, for how long; 0: it lacks nothing.
	Lag time.Duration
	// Answered is when it last did; zero: never. Silent is since when it doesn't;
	// zero: it does, or was not asked yet.
	Answered, Silent time.Time
	// Error is what is wrong now: with all of it, or the zone that is behind for
	// the longest time; "": nothing. LastError is what was wrong last, at
	// LastErrorAt; Errors counts since the start.
	Error       string
	LastError   string
	LastErrorAt time.Time
	Errors      uint64

	// Took is how long the last version that arrived took from being served here
	// to being seen there; ConvergedAt is when that was, zero: never yet. P50 and
	// P99 are of the last Samples ones. Since it is known by asking, at doubling
	// pauses, such times are up to twice too long.
	Took        time.Duration
	ConvergedAt time.Time
	P50, P99    time.Duration
	Samples     int
	// Counts are how many convergences fell into each of Buckets, and above all of
	// them, since the start; nil: none. Sum is how long they took together.
	Counts []uint64
	Sum    time.Duration

	// List are zones that are not in sync, or whose last answer was wrong, those
	// that are behind for the longest time first. ListAll is how many there are.
	List    []ZoneStatus
	ListAll int
}

// State is how a peer is with a zone.
type State uint8

// The states.
const (
	InSync State = iota
	Behind
	Missing
	Ahead
	Unknown
)

// String is the word for users.
func (s State) String() string {
	return [...]string{"in-sync", "behind", "missing", "ahead", "unknown"}[s]
}

// ZoneStatus is a zone at a peer.
type ZoneStatus struct {
	Apex  []byte // wire form
	State State
	// Known: the peer serves Serial, as it last told; Ours is the one served here.
	Known        bool
	Serial, Ours uint32
	// Since is since when it lacks a version or the zone, or is ahead; zero: it
	// has not told what it has.
	Since time.Time
	Error string // what is wrong with its last answer; "": nothing
}

func (p *pair) state() State {
	switch {
	case !p.missing.IsZero():
		return Missing
	case !p.lacks.IsZero():
		return Behind
	case !p.known:
		return Unknown
	case !p.ahead.IsZero():
		return Ahead
	}
	return InSync
}

// Status is how far the secondaries are, each with at most limit zones in its
// List.
func (w *Watcher) Status(limit int) Status {
	s, samples := w.status(max(0, limit))
	for i := range s.Peers {
		p := &s.Peers[i]
		slices.Sort(samples[p.Addr])
		p.P50, p.P99 = percentile(samples[p.Addr], 50), percentile(samples[p.Addr], 99)
	}
	slices.SortFunc(s.Peers, func(a, b PeerStatus) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.Addr.Compare(b.Addr))
	})
	return s
}

// rank is 0 for peers with something wrong.
func (p *PeerStatus) rank() int {
	if p.Behind > 0 || p.Ahead > 0 || p.Error != "" {
		return 0
	}
	return 1
}

// percentile is that of sorted values; 0 if there are none.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

func (w *Watcher) status(limit int) (Status, map[netip.AddrPort][]time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	samples := make(map[netip.AddrPort][]time.Duration, len(w.peers))
	index := make(map[*peerState]*PeerStatus, len(w.peers))
	s := Status{Pairs: len(w.ring), Sweep: w.every() * time.Duration(len(w.ring)), Peers: make([]PeerStatus, 0, len(w.peers))}
	for _, p := range w.peers {
		if p.pairs == 0 {
			continue // its last question is under way
		}
		s.Peers = append(s.Peers, p.status())
		index[p] = &s.Peers[len(s.Peers)-1]
		samples[p.addr] = slices.Clone(p.samples)
	}
	wrong := map[*PeerStatus][]*pair{}
	for _, p := range w.ring {
		to := index[p.peer]
		if to.count(p, now) {
			wrong[to] = append(wrong[to], p)
		}
	}
	for to, pairs := range wrong {
		to.listOf(pairs, limit)
	}
	return s, samples
}

// status is what is known of the peer itself.
func (p *peerState) status() PeerStatus {
	return PeerStatus{
		Addr: p.addr, Answered: p.answered, Silent: p.silent, Error: p.silence,
		LastError: p.lastError, LastErrorAt: p.lastAt, Errors: p.errors,
		Took: p.took, ConvergedAt: p.seen, Samples: len(p.samples),
		Counts: slices.Clone(p.counts), Sum: p.sum,
	}
}

// count adds a pair, and reports whether it is to be listed.
func (s *PeerStatus) count(p *pair, now time.Time) bool {
	s.Zones++
	switch p.state() {
	case InSync:
		s.InSync++
	case Behind, Missing:
		s.Behind++
		s.Lag = max(s.Lag, now.Sub(p.behind()))
	case Ahead:
		s.Ahead++
	case Unknown:
		s.Unknown++
	}
	return p.wanting() || !p.ahead.IsZero()
}

// listOf lists pairs, and has the first error that there is.
func (s *PeerStatus) listOf(pairs []*pair, limit int) {
	slices.SortFunc(pairs, func(a, b *pair) int {
		return cmp.Or(cmp.Compare(a.order(), b.order()), a.shownSince().Compare(b.shownSince()), bytes.Compare(a.zone.apex, b.zone.apex))
	})
	for _, p := range pairs {
		if s.Error == "" && p.reason != "" {
			s.Error = wire.NameString(p.zone.apex) + " " + p.reason
			break
		}
	}
	s.ListAll = len(pairs)
	for _, p := range pairs[:min(limit, len(pairs))] {
		s.List = append(s.List, ZoneStatus{
			Apex: bytes.Clone(p.zone.apex), State: p.state(), Known: p.known, Serial: p.serial, Ours: p.zone.serial(),
			Since: p.shownSince(), Error: p.reason,
		})
	}
}

// order is what comes first in a list.
func (p *pair) order() int {
	switch p.state() {
	case Missing, Behind:
		return 0
	case Ahead:
		return 1
	}
	return 2
}

// shownSince is since when it is as it is.
func (p *pair) shownSince() time.Time {
	if since := p.behind(); !since.IsZero() {
		return since
	}
	return p.ahead
}
