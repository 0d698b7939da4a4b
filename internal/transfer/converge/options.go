package converge

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// Peer is who has copies of zones.
type Peer struct {
	Addr netip.AddrPort
	// Key names the key that signs what it is asked; empty: none.
	Key string
}

// The defaults of Options.
const (
	DefaultWorkers   = 64
	DefaultRate      = 1000
	DefaultSweepRate = 200
	DefaultPeriod    = 5 * time.Minute
	DefaultTimeout   = 5 * time.Second
)

// Options are what a Watcher works with. The functions are called from any
// goroutine, without any lock of the Watcher.
type Options struct {
	// Peers are those who shall have a zone (apex in wire form, lower case). One
	// that is listed twice counts once.
	Peers func(apex []byte) []Peer
	// Serial asks a peer for the serial of a zone, as fetch.Serial does; errors
	// are fetch's, by whose causes the peer is known to be silent.
	Serial func(ctx context.Context, p Peer, apex []byte) (uint32, error)
	// Returned, if not nil, hears that a peer which had not answered does again, and
	// lacks a version of a zone, or the zone: once for each that it lacks.
	Returned func(apex []byte, peer netip.AddrPort)
	// Log tells of peers that fall silent, that are back, and that have lost a
	// zone; nil: nowhere.
	Log *slog.Logger

	// Workers is how many questions may be under way at once.
	Workers int
	// Rate is how many questions may begin in a second, of whatever kind;
	// SweepRate how many of them ask for what was in order last time, or has
	// never been asked.
	Rate, SweepRate int
	// Period is in how long all pairs of a zone and a peer are asked once; with
	// more of them than SweepRate allows it is longer: see Status.Sweep.
	Period time.Duration
	// Timeout is how long an answer may take.
	Timeout time.Duration
}

func (o Options) withDefaults() Options {
	for _, n := range []struct {
		value *int
		def   int
	}{{&o.Workers, DefaultWorkers}, {&o.Rate, DefaultRate}, {&o.SweepRate, DefaultSweepRate}} {
		if *n.value <= 0 {
			*n.value = n.def
		}
	}
	if o.Period <= 0 {
		o.Period = DefaultPeriod
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// firstPause is when a peer is first asked for a version, and the first pause
	// until it is asked again; pauses double up to mostPause.
	firstPause = 100 * time.Millisecond
	mostPause  = 30 * time.Second
	// newsPause bounds the pause of a peer that lacks an older version already
	// when there is a new one: its trouble may be over.
	newsPause = time.Second
	// slowRate is how often in a second one peer is asked at most for what it has
	// lacked for long: with many zones, pauses are longer than mostPause.
	slowRate = 50
	// firstRest is how long a peer is left alone that did not answer; it doubles
	// up to mostRest: so short that one that was cut off has what it lacks a few
	// seconds after its return.
	firstRest = time.Second
	mostRest  = 2 * time.Second
	// mostShare is how many questions one peer is asked at once, at most.
	mostShare = 16
	// burst is how many questions may begin at once.
	burst = 50
	// quiet is how long nothing more is logged of the zones that a peer has lost.
	quiet = time.Minute
	// maxSamples is of how many convergences a peer's percentiles are.
	maxSamples = 1000
	// maxVersions is how many versions of a zone are told apart that some peer
	// lacks; older ones are taken together.
	maxVersions = 16
)
