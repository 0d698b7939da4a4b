// Package monitor owns what lies between a probe and an answer: which targets
// are probed because some zone names them, what has been judged of each, and
// when the verdicts that answers are chosen by are replaced.
//
// Invariant: a target is probed once, however many zones name it, and only
// where that is allowed. A change of verdict is published at once, and then at
// most one each 20 ms, whatever the number of targets that turn.
package monitor

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
)

const (
	// quiet is the least time between two publications of verdicts.
	quiet = 20 * time.Millisecond
	// sweep is how often verdicts are looked at that time alone changes.
	sweep = time.Second
	// joinGrace is how long beyond its timeout a new target's first verdict is
	// waited for.
	joinGrace = time.Second
)

// Key is a target: an address under a check. Checks that say the same are the
// same, whatever zones call them.
type Key struct {
	Addr  netip.Addr
	Check string // in canonical form
	// Refused: it is not probed. Who may not have an address probed gets nothing
	// from another zone's probes of it either.
	Refused bool
}

// Options are what a Monitor is made with.
type Options struct {
	// Probe makes one attempt at a target.
	Probe func(context.Context, Key, *record.Check) probe.Result
	// Hold, if not nil, is Probe for checks that hold their connection: it
	// returns that, or nil, and tells died, without waiting, when the peer's end
	// is dead.
	Hold func(ctx context.Context, k Key, check *record.Check, died func(reason string)) (Held, probe.Result)
	// Allowed says whether a target may be probed; why not, else.
	Allowed func(a netip.Addr, own bool) (why string)
	// Publish makes the verdicts that Verdicts returns those that are answered
	// by.
	Publish func()
	// Most is how many probes may be under way at once.
	Most int
	// Anchors tell whether this server is cut off; less than two: nothing does.
	Anchors []Anchor
	// Site is the label of the site where this server stands, in lower case; "":
	// at none.
	Site string
	Log  *slog.Logger
}

// Monitor keeps the verdicts. Its methods may be called from any goroutine.
type Monitor struct {
	o        Options
	schedule *probe.Schedule
	dirty    chan struct{}

	mu       sync.Mutex
	registry *health.Registry[Key]
	targets  []*target // by slot; nil: nothing names it
	serving  bool      // what is new now joins others
	unseen   int       // targets that are probed and have no result yet
	first    chan struct{}
	swept    time.Time // when sweep last looked
	stats    stats
	kept     map[Key]health.Target // verdicts of before the start
	named    map[nameKey]uint32    // slots, by what zones call their targets
	resumed  time.Time             // when this process last ran again after a pause

	anchors   []*watch
	far       *probe.Schedule // of the anchors
	isolation *health.Isolation
	waiting   map[*target]bool // see target.doubt
	asked     time.Time        // when the anchors last were, by foresee
	expired   bool             // isolation has lasted for too long to hold anything
	vicinity  vicinity
	lengths   []int // the vicinity's

	eased bool // some agent asks for another share than is published
}

// target is one that some zone names.
type target struct {
	key     Key
	check   record.Check
	name    string // the check's label, and the zone that declares it: of the
	zone    string // first that named the target
	rule    health.Rule
	judged  health.Target
	last    probe.Result
	joining time.Time // it is not answered before that, unless it is seen
	refused string    // why it is not probed
	lastAt  time.Time // when last came
	wish    wish
	task    *probe.Task
	names   []nameKey // of Monitor.named
	met     bool      // nobody waits for its first verdict any more

	// elsewhere: not at the site where this server stands. doubt is when the probe
	// began whose failure would have taken it down, if the server were not
	// isolated, or were known not to be; zero: there is no doubt.
	elsewhere bool
	doubt     time.Time

	held    Held         // see attempt
	gone    bool         // nothing names it any more
	confirm atomic.Int32 // probes that are to follow at once
}

// New returns a Monitor that knows no targets.
func New(o Options) *Monitor {
	m := &Monitor{
		o: o, schedule: probe.NewSchedule(o.Most), dirty: make(chan struct{}, 1),
		registry: health.NewRegistry[Key](), first: make(chan struct{}), stats: newStats(), named: map[nameKey]uint32{},
		far: probe.NewSchedule(maxAnchorProbes), waiting: map[*target]bool{}, vicinity: newVicinity(o.Site),
	}
	m.watchAnchors(o.Anchors)
	return m
}

// Bind begins to probe what a program names, and returns where the verdicts of
// its local slots are. Unbind ends it.
func (m *Monitor) Bind(p *steer.Program) []uint32 {
	if len(p.Targets) == 0 {
		return nil
	}
	keys := make([]Key, len(p.Targets))
	texts := make([]string, len(p.Checks))
	for i := range p.Checks {
		texts[i] = p.Checks[i].Check.String()
	}
	why := make([]string, len(p.Targets))
	for i, t := range p.Targets {
		why[i] = m.o.Allowed(t.Addr, t.Own)
		keys[i] = Key{t.Addr, texts[t.Check], why[i] != ""}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	slots, added := m.registry.Acquire(keys)
	for len(m.targets) < m.registry.Len() {
		m.targets = append(m.targets, nil)
	}
	if m.vicinity.bind(slots, p) {
		m.relocate()
	}
	if len(added) > 0 {
		m.beginAll(p, keys, why, slots, added)
	}
	m.name(p, slots)
	return slots
}

// beginAll starts the probing of those targets of a program that are new.
func (m *Monitor) beginAll(p *steer.Program, keys []Key, why []string, slots, added []uint32) {
	local := make(map[uint32]int, len(slots))
	for i, s := range slots {
		local[s] = i
	}
	refused, reason := 0, ""
	for _, s := range added {
		at := local[s]
		m.begin(s, keys[at], &p.Checks[p.Targets[at].Check], why[at])
		if why[at] != "" {
			refused, reason = refused+1, why[at]
		}
	}
	if refused > 0 {
		m.o.Log.Warn("targets are not probed, and count as live: geodns status lists them", "targets", refused, "last", reason)
	}
}

// begin starts the probing of a target that was not there before.
func (m *Monitor) begin(slot uint32, key Key, check *steer.Check, refused string) {
	t := &target{
		key: key, check: check.Check, name: check.Name, zone: check.Zone, refused: refused,
		rule: health.Rule{Fall: check.Fall, Rise: check.Rise, Every: check.Every, Timeout: check.Timeout},
	}
	m.targets[slot] = t
	t.elsewhere = !m.vicinity.holds(key.Addr, m.lengths)
	if refused != "" {
		return
	}
	if now := time.Now(); m.recall(t, now) || m.inherit(t) {
		t.met = true
	} else {
		m.unseen++
		if m.serving {
			t.joining = now.Add(t.rule.Timeout + joinGrace)
		}
	}
	t.task = &probe.Task{
		Every: t.rule.Every, Timeout: t.rule.Timeout,
		Probe: func(ctx context.Context) probe.Result {
			m.stats.underWay.Add(1)
			defer m.stats.underWay.Add(-1)
			m.foresee(t)
			return m.attempt(ctx, t)
		},
		Report: func(r probe.Result, began time.Time) { m.report(slot, t, r, began) },
	}
	m.schedule.Add(t.task)
}

// Unbind takes back what Bind did.
func (m *Monitor) Unbind(slots []uint32) {
	m.mu.Lock()
	var gone []*target
	moved := m.vicinity.unbind(slots)
	for _, s := range m.registry.Release(slots) {
		t := m.targets[s]
		m.targets[s] = nil
		gone = append(gone, t)
		m.forget(s, t)
		if t.task != nil && !t.met {
			m.seen()
		}
	}
	if moved {
		m.relocate()
	}
	m.mu.Unlock()
	// Without the lock: the schedule may be about to report.
	for _, t := range gone {
		if t.task != nil {
			m.schedule.Remove(t.task)
			m.letGo(t)
		}
	}
}

// seen counts a target down that was waited for. m.mu is held.
func (m *Monitor) seen() {
	m.unseen--
	if m.unseen == 0 && !m.serving {
		select {
		case <-m.first:
		default:
			close(m.first)
		}
	}
}

// report judges one result.
func (m *Monitor) report(slot uint32, t *target, r probe.Result, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.targets[slot] != t {
		return
	}
	now := time.Now()
	m.stats.probed(t.check.Type, &r, now.Sub(began))
	t.last, t.lastAt = r, now
	// Not the target's fault, or who knows whose: nothing was learned of it.
	if r.Local || !r.OK && t.elsewhere && m.isolation.Outdated(began) {
		return
	}
	if r.OK && t.elsewhere {
		m.answered(t, began, now)
	}
	m.obey(t, &r)
	m.judge(t, r.OK, began, now)
	m.confirmed(t, r.OK)
}

// judge takes in one result.
func (m *Monitor) judge(t *target, ok bool, began, now time.Time) {
	next, turned := health.Judge(t.judged, ok, t.rule, now)
	if turned && next.State == health.Down && t.elsewhere {
		if !t.doubt.IsZero() {
			began = t.doubt
		}
		if ruling := m.rule(t, began, now); ruling != health.Counts {
			m.withhold(t, began, ruling, now)
			return
		}
	}
	m.settle(t, next, turned, now)
}

// settle makes a target what it was judged to be.
func (m *Monitor) settle(t *target, next health.Target, turned bool, now time.Time) {
	was, before := t.judged.State, t.judged.Troubled(now)
	t.judged = next
	m.sure(t)
	if turned {
		m.turned(t, was, t.last.Reason)
	}
	if m.meet(t) || turned || before != next.Troubled(now) {
		m.change()
	}
}

// turned tells that a target is another than it was.
func (m *Monitor) turned(t *target, was health.State, reason string) {
	m.stats.turns[t.judged.State]++
	m.o.Log.Info("a verdict turned", "address", t.key.Addr.String(), "check", t.key.Check,
		"from", was.String(), "to", t.judged.State.String(), "reason", reason)
}

// meet ends the waiting for a target's first verdict, and reports whether the
// target was to join others.
func (m *Monitor) meet(t *target) (joined bool) {
	joined = !t.joining.IsZero()
	t.joining = time.Time{}
	if !t.met {
		t.met = true
		m.seen()
	}
	return joined
}

// change asks for a publication.
func (m *Monitor) change() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// Verdicts are those of this moment.
func (m *Monitor) Verdicts() *health.Verdicts {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	states := make([]health.State, len(m.targets))
	troubled := make([]bool, len(m.targets))
	for i, t := range m.targets {
		if t == nil {
			continue
		}
		states[i], troubled[i] = t.judged.State, t.judged.Troubled(now)
		if t.joining.After(now) {
			states[i] = health.Joining
		}
	}
	return m.withAsked(health.NewVerdicts(states, troubled))
}

// Run probes and publishes until the context ends.
func (m *Monitor) Run(ctx context.Context) {
	var probing sync.WaitGroup
	probing.Go(func() { m.schedule.Run(ctx) })
	probing.Go(func() { m.far.Run(ctx) })
	defer probing.Wait()
	m.mu.Lock()
	m.swept = time.Now()
	m.mu.Unlock()
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.sweep()
		case <-m.dirty:
			m.stats.publications.Add(1)
			m.o.Publish()
			select {
			case <-ctx.Done():
				return
			case <-time.After(quiet):
			}
		}
	}
}

// sweep looks for what time alone has changed.
func (m *Monitor) sweep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, before := time.Now(), m.swept
	m.swept = now
	m.ease()
	// Who did not run could not hear anything.
	if now.Sub(before) > 2*sweep {
		m.resumed = now
	}
	for _, t := range m.targets {
		if t != nil {
			m.age(t, before, now)
		}
	}
	if since, _ := m.isolation.Since(); len(m.waiting) > 0 || !since.IsZero() {
		m.ask(now)
		m.resolve(now)
	}
}

// age looks at what time alone has made of a target since the last sweep, which
// may be long ago: ticks are left out while there is something to publish.
func (m *Monitor) age(t *target, before, now time.Time) {
	next, turned := health.Expire(t.judged, t.rule, now)
	if (turned || next.Stale) && now.Sub(m.resumed) <= t.rule.Lifetime() || turned && m.spared(t, now) {
		next, turned = t.judged, false
	}
	joined := !t.joining.IsZero() && !t.joining.After(now)
	calm := t.judged.Troubled(before) && !t.judged.Troubled(now)
	was := t.judged.State
	t.judged = next
	if turned {
		m.turned(t, was, "no result for long; the last one: "+t.last.Reason)
	}
	if joined {
		t.joining = time.Time{}
	}
	if turned || joined || calm {
		m.change()
	}
}

// Serve waits for the first results of all targets, at most for a time, and
// lets those that come later join the others. It returns how many are still
// without.
func (m *Monitor) Serve(ctx context.Context, most time.Duration) (late int) {
	m.mu.Lock()
	waiting := m.unseen > 0
	m.mu.Unlock()
	if waiting {
		select {
		case <-m.first:
		case <-time.After(most):
		case <-ctx.Done():
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serving = true
	return m.unseen
}
