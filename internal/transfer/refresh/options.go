package refresh

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/zone"
)

// Zone is a zone that is kept as a copy.
type Zone struct {
	Apex []byte // wire form, lower case
	// Primaries are asked in this order, but for one that has just notified.
	Primaries []fetch.Primary
}

// Timers are what of a zone's state outlives the process. Where they are lost,
// a copy counts as fresh when it is found.
type Timers struct {
	Serial    uint32
	Refreshed time.Time // when a primary last confirmed the copy, or gave it
	Refresh   time.Time // when it is to be asked again
	Expire    time.Time // when the copy must not be served any more
	Primary   string    // which one it was
}

// Store keeps Timers. It is called from any goroutine.
type Store interface {
	Load(apex []byte) (Timers, bool)
	Save(apex []byte, t Timers)
}

// The defaults of Options.
const (
	DefaultMost = 32
	DefaultMin  = time.Second
	DefaultMax  = 7 * 24 * time.Hour
)

// Options are what a Refresher works with. The functions are called from any
// goroutine, for different zones at the same time, and without any lock of the
// Refresher that they could meet when they call it.
type Options struct {
	// Serial and Fetch ask one primary: fetch.Serial and fetch.Fetch.
	Serial func(ctx context.Context, p fetch.Primary, apex []byte) (fetch.Seen, error)
	Fetch  func(ctx context.Context, p fetch.Primary, apex []byte, have *zone.Zone) (*fetch.Got, error)

	// Have is the copy that is here, expired or not; nil: none.
	Have func(apex []byte) *zone.Zone
	// Install checks and serves what came. An error refuses it: what was
	// served goes on being served, and the next primary is asked. It may still
	// be under way for a zone that SetZones has just removed.
	Install func(apex []byte, got *fetch.Got) error
	// Expire ends the serving of a copy (SERVFAIL); the copy may be kept, for
	// Have.
	Expire func(apex []byte)
	// Revive serves an expired copy again, since a primary has confirmed it.
	Revive func(apex []byte)
	// Pulse, if not nil, reports whether it matters for a zone, whose copy is here,
	// that some primary is heard: then they are asked every two seconds. It is
	// called under a lock of the Refresher.
	Pulse func(apex []byte) bool
	// Turned, if not nil, is called when what Heard reports has changed for some
	// zone for which Pulse is true.
	Turned func()
	// Timers outlive the process; nil: nothing does.
	Timers Store

	// Most is how many attempts may be under way at once; 0: DefaultMost.
	Most int
	// PerPrimary is how many of them may ask one primary; 0: a quarter of Most.
	PerPrimary int
	// Min and Max bound what SOAs say of refresh and retry; 0: DefaultMin and
	// DefaultMax.
	Min, Max time.Duration
	Log      *slog.Logger // nil: slog.Default
}

func (o Options) withDefaults() Options {
	if o.Most <= 0 {
		o.Most = DefaultMost
	}
	if o.PerPrimary <= 0 {
		o.PerPrimary = max(1, o.Most/4)
	}
	if o.Min <= 0 {
		o.Min = DefaultMin
	}
	if o.Max <= 0 {
		o.Max = max(o.Min, DefaultMax)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// State is how it stands with one zone.
type State struct {
	Apex []byte
	// Serial is of the copy that is here, if Held.
	Serial uint32
	Held   bool
	// Expired: the copy is not served.
	Expired bool
	// Behind: a primary has said that it has SeenSerial, which is newer.
	Behind     bool
	SeenSerial uint32
	// Primary is the one that last confirmed or gave the copy.
	Primary netip.AddrPort
	// Kind is how the copy came: AXFR or IXFR; empty: before this process.
	Kind string
	// LastOK is when a primary last confirmed or gave the copy, LastTry when
	// one was last asked; zero: never.
	LastOK, LastTry time.Time
	// LastError is why the last round of asking all primaries brought nothing;
	// empty: it did.
	LastError string
	// Warning is what some primary answered wrongly in the last round, though
	// another confirmed or gave the copy; empty: nothing.
	Warning string
	// Next is when a primary is to be asked next; zero: one is being asked, or
	// as soon as others have been.
	Next time.Time
	// Expires is when the copy does, or did; zero: there is none.
	Expires time.Time
}
