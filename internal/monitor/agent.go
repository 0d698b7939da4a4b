package monitor

import (
	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// wish is what the agent at a target asked for with its last good answer. The
// zero wish asks for nothing.
type wish struct {
	drain bool
	less  uint8 // than the whole share, in percent
}

// obey takes in what an agent asks for beside up and down. It holds until the next
// answer; a probe that fails says nothing about it. m.mu is held.
func (m *Monitor) obey(t *target, r *probe.Result) {
	if !r.OK || t.check.Type != record.CheckAgent {
		return
	}
	next := wish{drain: r.Drain}
	if r.Weight >= 0 && r.Weight < health.WholeShare {
		next.less = uint8(health.WholeShare - r.Weight)
	}
	was := t.wish
	t.wish = next
	if next.drain != was.drain {
		m.o.Log.Info("an agent asks for another state", "address", t.key.Addr.String(), "check", t.key.Check, "drain", next.drain, "reason", r.Reason)
		m.change()
	}
	// Agents that tell their load say another percentage each time: that can wait
	// for the sweep.
	m.eased = m.eased || next.less != was.less
}

// withAsked adds what agents ask for. m.mu is held.
func (m *Monitor) withAsked(v *health.Verdicts) *health.Verdicts {
	var list []health.Asked
	for slot, t := range m.targets {
		if t != nil && t.wish != (wish{}) {
			list = append(list, health.Asked{Slot: uint32(slot), Drain: t.wish.drain, Share: health.WholeShare - t.wish.less})
		}
	}
	return v.WithAsked(list)
}

// ease publishes, once a second, what agents ask for. m.mu is held.
func (m *Monitor) ease() {
	if m.eased {
		m.eased = false
		m.change()
	}
}
