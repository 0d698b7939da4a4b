package publish

import (
	"slices"
	"time"

	"geodns/internal/steer"
	"geodns/internal/world"
)

// leads remembers which steps of failovers serve, by the apex of their zone. It
// is touched only while the World is being replaced, one change at a time.
type leads struct {
	zones map[string]*steer.Lead
	// due is when it is looked at again although nothing turns: what returns only
	// when it was up for long (failback=10m) is then.
	due *time.Timer
}

// follow puts into a World what its verdicts and drains make of the failovers.
// put are the zones that are new in it.
func (p *Publisher) follow(w *world.World, put []*world.Served) {
	if p.leads.zones == nil {
		p.leads.zones = map[string]*steer.Lead{}
	}
	for _, s := range put {
		if _, known := p.leads.zones[string(s.Apex())]; !known && s.Steering != nil && s.Steering.FailsOver() {
			p.leads.zones[string(s.Apex())] = nil
		}
	}
	var c world.Change
	var next time.Time
	now := time.Now()
	for apex, was := range p.leads.zones {
		s := w.Zones.Get([]byte(apex))
		if s == nil || s.Steering == nil || !s.Steering.FailsOver() {
			delete(p.leads.zones, apex)
			continue
		}
		lead, again := s.Steering.Lead(w.Verdicts, was, now)
		p.leads.zones[apex] = lead
		if !again.IsZero() && (next.IsZero() || again.Before(next)) {
			next = again
		}
		if active := lead.Active(); !slices.Equal(active, s.Steering.Active) {
			c.Put = append(c.Put, s.WithActive(active))
		}
	}
	if len(c.Put) > 0 {
		w.Zones = w.Zones.With(c)
	}
	if next.IsZero() {
		return
	}
	if p.leads.due == nil {
		p.leads.due = time.AfterFunc(next.Sub(now), p.PublishVerdicts)
	} else {
		p.leads.due.Reset(next.Sub(now))
	}
}
