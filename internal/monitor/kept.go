package monitor

import (
	"time"

	"geodns/internal/health"
)

// keptFor is for how many intervals a verdict from before a restart counts as
// the first result.
const keptFor = 3

// Kept is a verdict that outlives the process.
type Kept struct {
	Key
	Target health.Target
}

// Restore hands over the verdicts of before, for targets that are bound from
// now on. Those that are too old by then count for nothing.
func (m *Monitor) Restore(list []Kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = make(map[Key]health.Target, len(list))
	for _, k := range list {
		m.kept[k.Key] = k.Target
	}
}

// recall takes the verdict of before for a new target, if there is one that is
// young enough, and reports whether. m.mu is held.
func (m *Monitor) recall(t *target, now time.Time) bool {
	old, ok := m.kept[t.key]
	if !ok || old.State == health.Unknown || now.Sub(old.Seen) > keptFor*t.rule.Every || old.Seen.After(now) {
		return false
	}
	t.judged = old
	return true
}

// Keep returns all verdicts, to be restored after a restart.
func (m *Monitor) Keep() (list []Kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.targets {
		if t != nil && t.judged.State != health.Unknown {
			list = append(list, Kept{t.key, t.judged})
		}
	}
	return list
}
