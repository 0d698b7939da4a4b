package monitor

import (
	"net/netip"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
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

// nameKey is an address under a check by its name, which may come to say
// something else.
type nameKey struct {
	addr        netip.Addr
	check, zone string
	refused     bool
}

// name notes what a program calls its targets.
func (m *Monitor) name(p *steer.Program, slots []uint32) {
	for i, slot := range slots {
		c := &p.Checks[p.Targets[i].Check]
		k := nameKey{p.Targets[i].Addr, c.Name, c.Zone, m.targets[slot].refused != ""}
		if old, ok := m.named[k]; !ok || old != slot {
			m.named[k] = slot
			m.targets[slot].names = append(m.targets[slot].names, k)
		}
	}
}

// forget takes back what name noted of a target that is gone.
func (m *Monitor) forget(slot uint32, t *target) {
	for _, k := range t.names {
		if m.named[k] == slot {
			delete(m.named, k)
		}
	}
	m.sure(t)
}

// inherit takes over what was judged of the same address under the same check
// before its record changed, and reports whether: who edits a check wants no node
// to leave the answers until it is probed anew. Only a role is never taken over:
// it must not be believed of whom another question was asked.
func (m *Monitor) inherit(t *target) bool {
	slot, ok := m.named[nameKey{addr: t.key.Addr, check: t.name, zone: t.zone}]
	if !ok || m.targets[slot] == nil || m.targets[slot] == t {
		return false
	}
	old := m.targets[slot]
	if old.judged.State == health.Unknown || old.check.Role != t.check.Role && t.check.Role != record.RoleAny {
		return false
	}
	t.judged = old.judged
	t.judged.Fails, t.judged.Successes, t.judged.Stale = 0, 0, false
	return true
}
