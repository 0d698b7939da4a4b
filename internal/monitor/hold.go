package monitor

import (
	"context"

	"geodns/internal/probe"
)

// Held is a connection that stays open between probes.
type Held interface{ Close() }

// attempt probes a target once. Where the check holds its connection, that of
// the last success is kept until the next probe has its own: when it dies, the
// target is probed at once, and again until it is known to be down or well.
func (m *Monitor) attempt(ctx context.Context, t *target) probe.Result {
	if !t.check.Hold || m.o.Hold == nil {
		return m.o.Probe(ctx, t.key, &t.check)
	}
	held, r := m.o.Hold(ctx, t.key, &t.check, func(string) { m.died(t) })
	m.mu.Lock()
	old := t.held
	t.held = held
	gone := t.gone
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if gone {
		m.letGo(t)
	}
	return r
}

// died is told by the one goroutine that watches all connections: it must not
// wait.
func (m *Monitor) died(t *target) {
	t.confirm.Store(int32(t.rule.Fall))
	m.schedule.Soon(t.task)
}

// confirmed decides, after a result, whether the next probe follows at once:
// after the death of a held connection, as long as failures are being counted.
func (m *Monitor) confirmed(t *target, ok bool) {
	if left := t.confirm.Load(); left > 0 {
		if ok {
			t.confirm.Store(0)
			return
		}
		t.confirm.Store(left - 1)
		if left > 1 {
			m.schedule.Soon(t.task)
		}
	}
}

// letGo closes the connection of a target that is no more.
func (m *Monitor) letGo(t *target) {
	m.mu.Lock()
	held := t.held
	t.held, t.gone = nil, true
	m.mu.Unlock()
	if held != nil {
		held.Close()
	}
}
