package refresh

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
)

// place is where a zone is.
type place uint8

const (
	idle    place = iota // until it is due
	waiting              // in the queue of a primary
	asking               // an attempt is under way
)

// entry is a zone. All of it belongs to Refresher.mu, but for serving.
type entry struct {
	item
	apex      []byte
	primaries []fetch.Primary

	// serving is held while the copy that is served is changed: by Install,
	// Revive or Expire, and the notes that are made of it. It is taken before
	// Refresher.mu, and only tried after.
	serving sync.Mutex

	at      place
	in      *queue // that it waits in, and where
	element *list.Element
	due     time.Time
	round   *round
	began   time.Time // the last round
	// parked: it waits for a primary that counts as dead; at due it gives up.
	parked *primary
	wish   wish // what is to be done at due, or behind the round under way
	cancel context.CancelFunc
	gone   bool // SetZones has removed it

	times   times
	expires time.Time // zero: there is no copy
	expired bool
	owed    bool  // a whole transfer was wished for, and has not come yet
	state   State // Serial, Held, Behind and all that is only told
	// behindOf is the primary that has something newer, if state.Behind.
	behindOf netip.AddrPort
	fails    int  // rounds in a row that brought nothing
	heard    bool // some primary answered in the last round
}

// wish is why a zone is to be looked after before it is due.
type wish struct {
	set   bool
	full  bool           // by AXFR, whatever is here
	first netip.AddrPort // who is to be asked first; zero: as configured
	// serial is what was announced, if known.
	serial uint32
	known  bool
}

// and is two wishes in one.
func (w wish) and(v wish) wish {
	if !w.set {
		return v
	}
	v.full = v.full || w.full
	if !v.first.IsValid() {
		v.first = w.first
	}
	// Of two serials the newer one; none where one of the two may be anything.
	if v.known = v.known && w.known; v.known && wire.NewerSerial(w.serial, v.serial) {
		v.serial = w.serial
	}
	return v
}

// round is one time of asking a zone's primaries, one after the other.
type round struct {
	plan   []fetch.Primary
	next   int // in plan
	full   bool
	urgent bool
	// passed are those that were passed over because they count as dead.
	passed []fetch.Primary
	ok     bool // one has confirmed the copy, or given a new one
	errs   []error
	heard  bool // one has answered, whatever
}

// key is when the heap is to bring the zone up: when it is due, or expires.
func (e *entry) key() time.Time {
	var at time.Time
	if e.at == idle || e.parked != nil {
		at = e.due
	}
	if !e.expires.IsZero() && !e.expired && (at.IsZero() || e.expires.Before(at)) {
		at = e.expires
	}
	return at
}

// stale reports whether a wish is met by what is here.
func (e *entry) stale(w *wish) bool {
	return w.known && !w.full && e.state.Held && !e.expired && !wire.NewerSerial(w.serial, e.state.Serial)
}

// rest takes the zone out of its round, if that has not been answered yet.
func (e *entry) rest() {
	e.leave()
	e.at, e.parked, e.round = idle, nil, nil
}

// urgent reports whether others can wait.
func (e *entry) urgent() bool { return e.wish.set || !e.state.Held || e.expired }
