package spill

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"geodns/internal/publish"
	"geodns/internal/steer"
)

// Every is how often shares are judged.
const Every = 10 * time.Second

// Publisher is publish.Publisher.
type Publisher interface {
	Loads() []publish.Load
	SetSpill(shares map[steer.Unit]uint32)
	TickRamps()
}

// Controller keeps the shares. Its methods may be called from any goroutine.
type Controller struct {
	publisher Publisher
	log       *slog.Logger

	mu     sync.Mutex
	judged time.Time // when that was last done
	places map[steer.Unit]*place
}

// place is a site or node with a capacity.
type place struct {
	capacity, answers uint64
	state             State
	fresh             bool // nothing was judged yet
}

// New returns a Controller that has seen nothing yet.
func New(p Publisher, log *slog.Logger) *Controller {
	return &Controller{publisher: p, log: log, places: map[steer.Unit]*place{}}
}

// Run judges, and lets what has returned grow, until the context ends.
func (c *Controller) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.publisher.TickRamps()
			c.mu.Lock()
			due := now.Sub(c.judged) >= Every-time.Second/2
			c.mu.Unlock()
			if due {
				c.Step(now)
			}
		}
	}
}

// Step judges all places by what was counted since the last step, and publishes
// their shares. The first one only begins to count.
func (c *Controller) Step(now time.Time) {
	loads := c.publisher.Loads()
	c.mu.Lock()
	defer c.mu.Unlock()
	seconds := now.Sub(c.judged).Seconds()
	begun := !c.judged.IsZero()
	c.judged = now
	shares := map[steer.Unit]uint32{}
	seen := make(map[steer.Unit]bool, len(loads))
	for i := range loads {
		l := &loads[i]
		seen[l.Unit] = true
		p := c.places[l.Unit]
		switch {
		case p == nil:
			// It is counted from here on: its first interval was not a whole one.
			c.places[l.Unit] = &place{capacity: l.Capacity, answers: l.Answers, fresh: true}
			continue
		case l.Answers < p.answers || seconds <= 0 || !begun:
			p.answers = l.Answers // it went, and came back
		default:
			c.judge(l, p, seconds)
		}
		if p.state.Spills() {
			shares[l.Unit] = shareOf(p.state.Share)
		}
	}
	for u := range c.places {
		if !seen[u] {
			delete(c.places, u)
		}
	}
	c.publisher.SetSpill(shares)
}

// judge takes in what was counted of a place.
func (c *Controller) judge(l *publish.Load, p *place, seconds float64) {
	was := p.state
	p.state = Judge(was, float64(l.Capacity), float64(l.Answers-p.answers)/seconds, seconds)
	p.capacity, p.answers, p.fresh = l.Capacity, l.Answers, false
	switch {
	case p.state.Spills() && !was.Spills():
		c.log.Warn("full: clients are passed over, and go to what comes next for them", about(l, &p.state)...)
	case was.Spills() && !p.state.Spills():
		c.log.Info("no longer full: it takes all of its clients again", about(l, &p.state)...)
	}
}

func about(l *publish.Load, s *State) []any {
	kind := "site"
	if l.Node {
		kind = "node"
	}
	return []any{kind, l.Name, "zone", l.Zone, "answers-a-second", int64(s.Rate + 0.5), "capacity", l.Capacity}
}

// shareOf is a share as it is answered by: no share is nothing.
func shareOf(share float64) uint32 { return max(1, min(steer.Whole, uint32(share*steer.Whole))) }

// Place is a site or node with a capacity, for people.
type Place struct {
	steer.Unit
	Capacity uint64 // answers a second, at this server
	// Rate is how many answers a second named it in the last interval; Judged:
	// there was one.
	Rate   float64
	Judged bool
	Spill  float64 // the part of its clients that it passes over, from 0 to 1
}

// Places are all that are known, by their names.
func (c *Controller) Places() []Place {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Place, 0, len(c.places))
	for u, p := range c.places {
		one := Place{Unit: u, Capacity: p.capacity, Rate: p.state.Rate, Judged: !p.fresh}
		if p.state.Spills() {
			one.Spill = 1 - p.state.Share
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name))
	})
	return list
}
