package monitor

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// What status and metrics read.

// Target is one that is watched, as it is at the moment.
type Target struct {
	Key
	// Name is the check's label, and Zone the zone that declares it: of the
	// first that named the target.
	Name, Zone string
	Type       record.CheckType
	Rule       health.Rule
	Judged     health.Target
	Troubled   bool
	// Asks is how many successes in a row would make the target up.
	Asks int
	// Last is the last result, and LastAt when it came; zero: none has yet.
	Last   probe.Result
	LastAt time.Time
	// Next is when the next probe begins; zero: one is under way, or the target
	// is not probed.
	Next time.Time
	// Joining: the target is new, and waited for.
	Joining bool
	// Held: it would be down, if this server were not isolated, or were known not
	// to be.
	Held bool
	// Why it is refused.
	Why string
}

// Counts says how many targets there are, and of which kinds.
type Counts struct {
	// Targets are all, those that are not probed among them.
	Targets, Up, Down, Unknown, Refused int
	// Joining are new, and waited for; they are not among the unknown ones. Stale
	// are down without a result for long.
	Joining, Stale int
	// Damped ask for more successes than their check says, to be up again.
	Damped int
}

// Targets are those that are watched, what is wrong before what is well, at most
// limit of them; 0: all.
func (m *Monitor) Targets(limit int) (list []Target, all Counts) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	order := make([]*target, 0, len(m.targets))
	for _, t := range m.targets {
		if t != nil {
			order = append(order, t)
			all.add(t, now)
		}
	}
	slices.SortFunc(order, func(a, b *target) int {
		return cmp.Or(cmp.Compare(a.rank(now), b.rank(now)), a.key.Addr.Compare(b.key.Addr), cmp.Compare(a.key.Check, b.key.Check))
	})
	if limit > 0 {
		order = order[:min(limit, len(order))]
	}
	list = make([]Target, len(order))
	for i, t := range order {
		list[i] = m.tell(t, now)
	}
	return list, all
}

// Counts are those of Targets.
func (m *Monitor) Counts() (all Counts) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.targets {
		if t != nil {
			all.add(t, now)
		}
	}
	return all
}

func (c *Counts) add(t *target, now time.Time) {
	c.Targets++
	switch {
	case t.refused != "":
		c.Refused++
	case t.judged.State == health.Up:
		c.Up++
	case t.judged.State == health.Down:
		c.Down++
	case t.joining.After(now):
		c.Joining++
	default:
		c.Unknown++
	}
	if t.judged.Stale {
		c.Stale++
	}
	if t.judged.Asks(t.rule, now) > t.rule.Rise {
		c.Damped++
	}
}

// rank puts what somebody should look at first.
func (t *target) rank(now time.Time) int {
	switch {
	case t.judged.State == health.Down:
		return 0
	case t.refused != "":
		return 1
	case t.judged.State == health.Unknown:
		return 2
	case t.judged.Troubled(now):
		return 3
	}
	return 4
}

func (m *Monitor) tell(t *target, now time.Time) Target {
	out := Target{
		Key: t.key, Name: t.name, Zone: t.zone, Type: t.check.Type, Rule: t.rule,
		Judged: t.judged, Troubled: t.judged.Troubled(now), Asks: t.judged.Asks(t.rule, now),
		Last: t.last, LastAt: t.lastAt, Joining: t.joining.After(now), Why: t.refused,
		Held: !t.doubt.IsZero(),
	}
	if t.task != nil {
		out.Next = m.schedule.Next(t.task)
	}
	return out
}

// Stats are what was counted since the start.
type Stats struct {
	Types []TypeStats // that were probed
	// Turns are the verdicts that became another, by what they became.
	Up, Down, Unknown uint64
	// Publications are those of verdicts.
	Publications uint64
	UnderWay     int // probes, now
}

// TypeStats are those of one type of check.
type TypeStats struct {
	Type string
	// OK and Failed are results; Local those that only told of this machine.
	OK, Failed, Local uint64
	// Durations are how long probes took: one count for each of DurationBounds,
	// and one for what lies above; Sum is of all, in seconds.
	Durations []uint64
	Sum       float64
}

// DurationBounds are the upper bounds, in seconds, of TypeStats.Durations.
func DurationBounds() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// stats counts. What is not atomic is the Monitor's lock's.
type stats struct {
	underWay     atomic.Int64
	publications atomic.Uint64
	turns        [3]uint64 // by health.State
	types        map[record.CheckType]*TypeStats
	bounds       []float64
}

func newStats() stats {
	return stats{types: map[record.CheckType]*TypeStats{}, bounds: DurationBounds()}
}

func (s *stats) probed(kind record.CheckType, r *probe.Result, took time.Duration) {
	t := s.types[kind]
	if t == nil {
		t = &TypeStats{Type: string(kind), Durations: make([]uint64, len(s.bounds)+1)}
		s.types[kind] = t
	}
	switch {
	case r.Local:
		t.Local++
	case r.OK:
		t.OK++
	default:
		t.Failed++
	}
	at, _ := slices.BinarySearch(s.bounds, took.Seconds())
	t.Durations[at]++
	t.Sum += took.Seconds()
}

// Stats are what was counted since the start.
func (m *Monitor) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.stats
	out := Stats{
		Up: s.turns[health.Up], Down: s.turns[health.Down], Unknown: s.turns[health.Unknown],
		Publications: s.publications.Load(), UnderWay: int(s.underWay.Load()),
	}
	for _, t := range s.types {
		one := *t
		one.Durations = slices.Clone(t.Durations)
		out.Types = append(out.Types, one)
	}
	slices.SortFunc(out.Types, func(a, b TypeStats) int { return cmp.Compare(a.Type, b.Type) })
	return out
}
