package publish

import (
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// SetDrains puts drains into force, as they stand at a time. Zones whose
// answers they don't change are left as they are.
func (p *Publisher) SetDrains(list health.Drains, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drains, p.drainedAt = list, at
	var c world.Change
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		if bits := p.drained(s.Steering.Program); !equal(bits, s.Steering.Drained) {
			c.Put = append(c.Put, s.WithDrains(bits))
		}
		return true
	})
	if len(c.Put) > 0 {
		p.live.Swap(func(w *world.World) *world.World {
			n := *w
			n.Zones = w.Zones.With(c)
			return &n
		})
	}
}

func (p *Publisher) drained(program *steer.Program) []uint64 {
	if len(p.drains) == 0 {
		return nil
	}
	return program.DrainedUnits(func(zone, name string) bool { return p.drains.Covers(zone, name, p.drainedAt) })
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Effect is what drains would make of one steered RRset.
type Effect struct {
	Name string // with its final dot
	Type string
	// Before and After are how many records may be answered; Lost: there were
	// live ones, and there would be none.
	Before, After int
	Lost          bool
}

// WouldDrain says what drains would change, without putting them into force:
// each steered RRset that would be answered from fewer records.
func (p *Publisher) WouldDrain(list health.Drains, at time.Time) (effects []Effect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.live.Load()
	w.Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil {
			return true
		}
		program := s.Steering.Program
		bits := program.DrainedUnits(func(zone, name string) bool { return list.Covers(zone, name, at) })
		if equal(bits, s.Steering.Drained) {
			return true
		}
		after := s.WithDrains(bits)
		for _, r := range program.Rules() {
			for _, f := range [...]steer.Family{steer.V4, steer.V6} {
				b, all := s.Steering.Eligible(r, f, w.Verdicts)
				a, _ := after.Steering.Eligible(r, f, w.Verdicts)
				if all > 0 && a < b {
					effects = append(effects, Effect{
						Name: wire.NameString(append(append([]byte(nil), r.Owner...), s.Apex()...)),
						Type: [...]string{"A", "AAAA"}[f], Before: b, After: a, Lost: a == 0,
					})
				}
			}
		}
		return true
	})
	return effects
}
