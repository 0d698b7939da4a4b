// Package publish owns the one road by which a zone changes: a version that
// was made elsewhere (from a file; later by transfer or update) is put into a
// new World, and the World is swapped in.
//
// Invariant: what is published is whole. All zones of one Publish appear at
// once, and whatever fails leaves the old World.
package publish

import (
	"geodns/internal/live"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// Change is what becomes of one zone.
type Change struct {
	// Apex is the zone's name in wire form, lower case.
	Apex []byte
	// Zone is its new version. Nil: see Vacant.
	Zone *zone.Zone
	// Vacant, without a Zone: the name is ours, but there is nothing to serve
	// (SERVFAIL). Neither: the zone is no longer served (REFUSED).
	Vacant bool
}

// Publisher publishes to one Holder.
type Publisher struct{ live *live.Holder }

// New returns a Publisher.
func New(h *live.Holder) *Publisher { return &Publisher{live: h} }

// Publish makes the changes, all at once.
func (p *Publisher) Publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	var c world.Change
	for _, ch := range changes {
		switch {
		case ch.Zone != nil:
			c.Put = append(c.Put, world.Serve(ch.Zone))
		case ch.Vacant:
			c.Put = append(c.Put, world.Vacant(ch.Apex))
		default:
			c.Remove = append(c.Remove, ch.Apex)
		}
	}
	p.live.Swap(func(w *world.World) *world.World {
		n := *w
		n.Zones = w.Zones.With(c)
		return &n
	})
}

// Serving returns the zone that is served at an apex (wire form, lower case),
// or nil.
func (p *Publisher) Serving(apex []byte) *zone.Zone {
	if s := p.live.Load().Zones.Get(apex); s != nil {
		return s.Zone
	}
	return nil
}
