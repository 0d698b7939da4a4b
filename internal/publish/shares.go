package publish

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// shares is what makes sites and nodes take a part of their clients only.
type shares struct {
	// meters and spill are guarded by Publisher.mu.
	meters *steer.Meters
	spill  map[steer.Unit]uint32

	// These are touched only while the World is being replaced, one change at a
	// time. zones remember what was away, by the apex of the zone; ramping: some
	// of it is being ramped up; draining: some drain is to begin or end.
	zones             map[string]*steer.Ramps
	ramping, draining bool
}

// Load is what a site or node with a capacity is asked for.
type Load struct {
	steer.Unit
	Capacity uint64 // answers a second
	Answers  uint64 // since it is counted
}

// Loads are those of all sites and nodes that are counted, in no order. Counts of
// those that no zone uses any more are forgotten.
func (p *Publisher) Loads() (list []Load) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[steer.Unit]bool{}
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil || s.Steering.Cells == nil {
			return true
		}
		s.Steering.Metered(func(u steer.Unit, capacity, answers uint64) {
			if !seen[u] {
				seen[u] = true
				list = append(list, Load{u, capacity, answers})
			}
		})
		return true
	})
	if p.shares.meters != nil {
		p.shares.meters.Forget(func(u steer.Unit) bool { return seen[u] })
	}
	return list
}

// SetSpill makes sites and nodes take these shares of their clients, up to
// steer.Whole; those that are not in it take all.
func (p *Publisher) SetSpill(spill map[steer.Unit]uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.spill = spill
	var c world.Change
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil || s.Steering.Cells == nil {
			return true
		}
		if next := s.Steering.Spilled(spill); !slices.Equal(next, s.Steering.Spill) {
			c.Put = append(c.Put, s.With(func(b *steer.Bound) { b.Spill = next }))
		}
		return true
	})
	if len(c.Put) == 0 {
		return
	}
	p.live.Swap(func(w *world.World) *world.World {
		n := *w
		for i, s := range c.Put {
			// What was remembered meanwhile stays.
			spill := s.Steering.Spill
			c.Put[i] = w.Zones.Get(s.Apex()).With(func(b *steer.Bound) { b.Spill = spill })
		}
		n.Zones = w.Zones.With(c)
		return &n
	})
}

// share gives the steering of a zone its counts, and what spills. p.mu is held.
func (p *Publisher) share(b *steer.Bound) {
	if p.shares.meters == nil {
		p.shares.meters = steer.NewMeters(lanesEach * runtime.GOMAXPROCS(0))
	}
	b.Cells = p.shares.meters.Cells(b.Program)
	b.Spill = b.Spilled(p.shares.spill)
}

// lanesEach is how many workers a processor has, about: over UDP and TCP.
const lanesEach = 2

// rampUp puts into a World which of its sites and nodes have returned, by its
// verdicts and drains. put are the zones that are new in it.
func (p *Publisher) rampUp(w *world.World, put []*world.Served) {
	k := &p.shares
	for _, s := range put {
		if s.Steering == nil || !s.Steering.Ramped() {
			continue
		}
		if k.zones == nil {
			k.zones = map[string]*steer.Ramps{}
		}
		if _, known := k.zones[string(s.Apex())]; !known {
			k.zones[string(s.Apex())] = nil
		}
	}
	if len(k.zones) == 0 && !k.ramping {
		return
	}
	now := time.Now()
	was := k.ramping
	k.ramping = false
	var c world.Change
	for apex, before := range k.zones {
		s := w.Zones.Get([]byte(apex))
		if s != nil && s.Zone == nil {
			continue // for the moment: it will be the same zone again
		}
		if s == nil || s.Steering == nil || !s.Steering.Ramped() {
			delete(k.zones, apex)
			continue
		}
		next := s.Steering.Comebacks(w.Verdicts, before, now)
		k.zones[apex] = next
		k.ramping = k.ramping || next.Bound() != nil
		if !slices.Equal(next.Bound(), s.Steering.Ramps) {
			c.Put = append(c.Put, s.With(func(b *steer.Bound) { b.Ramps = next.Bound() }))
		}
	}
	if len(c.Put) > 0 {
		w.Zones = w.Zones.With(c)
	}
	switch {
	case k.ramping:
		w.Clock = max(w.Clock, clockAt(now))
	case was && !k.draining:
		w.Clock = 0
	}
}

// rampClock is what World.Clock is to be when the drains alone want clock: 0 if
// nothing is to begin or end. It is called while the World is being replaced.
func (p *Publisher) rampClock(clock int64, at time.Time) int64 {
	p.shares.draining = clock != 0
	if clock == 0 && p.shares.ramping {
		return clockAt(at)
	}
	return clock
}

// TickRamps lets shares grow that are to. It is to be called each second.
func (p *Publisher) TickRamps() {
	ramping := false
	p.live.Swap(func(w *world.World) *world.World {
		ramping = p.shares.ramping
		return w
	})
	if ramping {
		p.PublishVerdicts()
	}
}

// Ramping is a site, or a record, that is being ramped up.
type Ramping struct {
	Zone, Name string // of the policy's name, with their final dots
	// Site is the site's label, or Address the record's.
	Site, Address string
	Share         float64 // of its clients, from 0 to 1
	End           time.Time
}

// Ramping are all that are, in the order of zones and names.
func (p *Publisher) Ramping() (list []Ramping) {
	p.live.Swap(func(w *world.World) *world.World {
		for apex, k := range p.shares.zones {
			s := w.Zones.Get([]byte(apex))
			if k.Bound() == nil || s == nil || s.Steering == nil {
				continue
			}
			for _, r := range s.Steering.Ramping(k) {
				list = append(list, Ramping{
					Zone: wire.NameString(s.Apex()), Name: ownerOf(s, r.Rule),
					Site: r.Site, Address: r.Address, Share: r.Share, End: r.End,
				})
			}
		}
		return w
	})
	slices.SortFunc(list, func(a, b Ramping) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.Name, b.Name), strings.Compare(a.Site, b.Site), strings.Compare(a.Address, b.Address))
	})
	return list
}
