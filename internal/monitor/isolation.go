package monitor

import (
	"context"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
)

const (
	// anchorEvery is the time from one probe of an anchor to the next while there
	// is nothing to find out.
	anchorEvery = 5 * time.Second
	// anchorTimeout is how long an anchor may take to answer: so much later than
	// usual a target turns at most, if the anchors say nothing.
	anchorTimeout = time.Second
	// askGap is the least time between two askings ahead of a turn.
	askGap = 50 * time.Millisecond
	// maxAnchorProbes is how many probes of anchors are under way at most. They
	// never wait for those of targets.
	maxAnchorProbes = 32
)

// Anchor is something far away that always answers.
type Anchor struct {
	Name  string // for people
	Probe func(context.Context) probe.Result
}

// watch is an anchor that is watched.
type watch struct {
	name   string
	task   *probe.Task
	began  time.Time // of the last probe that ended
	last   probe.Result
	at     time.Time // when that came
	warned bool      // that this machine can't ask it
}

// watchAnchors makes the tasks for the anchors.
func (m *Monitor) watchAnchors(list []Anchor) {
	m.isolation = health.NewIsolation(len(list))
	for i, a := range list {
		w := &watch{name: a.Name}
		w.task = &probe.Task{
			Every: anchorEvery, Timeout: anchorTimeout, Probe: a.Probe,
			Report: func(r probe.Result, began time.Time) { m.anchored(i, r, began) },
		}
		m.anchors = append(m.anchors, w)
		m.far.Add(w.task)
	}
}

// anchored takes in a probe of an anchor.
func (m *Monitor) anchored(i int, r probe.Result, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, w := time.Now(), m.anchors[i]
	w.began, w.last, w.at = began, r, now
	if r.Local && !w.warned {
		w.warned = true
		m.o.Log.Warn("an anchor can't be asked by this machine", "anchor", w.name, "reason", r.Reason)
	}
	if m.isolation.Asked(i, r.OK, r.Local, began, now) {
		m.reunited("anchor "+w.name, now)
	}
	m.resolve(now)
}

// answered takes in a success of a target outside.
func (m *Monitor) answered(t *target, began, now time.Time) {
	if len(m.anchors) == 0 {
		return
	}
	if m.isolation.Answered(began, now) {
		m.reunited(t.key.Addr.String(), now)
	}
	m.resolve(now)
}

// foresee has the anchors asked while a probe begins that may take a target
// down, so that they have answered by then.
func (m *Monitor) foresee(t *target) {
	if len(m.anchors) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, j := time.Now(), &t.judged
	if t.elsewhere && t.doubt.IsZero() && j.State != health.Down && j.Fails > 0 && j.Fails+1 >= t.rule.Fall && now.Sub(m.asked) >= askGap {
		m.asked = now
		m.ask(now)
	}
}

// ask has all anchors asked of which no probe has ended that began after a time.
func (m *Monitor) ask(since time.Time) {
	for _, w := range m.anchors {
		if w.began.Before(since) {
			m.far.Soon(w.task)
		}
	}
}

// rule says what becomes of a target outside that failures would take down.
func (m *Monitor) rule(t *target, began, now time.Time) health.Ruling {
	was, _ := m.isolation.Since()
	ruling := m.isolation.Rule(began, now)
	if since, until := m.isolation.Since(); was.IsZero() && !since.IsZero() {
		m.expired = false
		m.o.Log.Warn("this server is isolated: no anchor answers, and no node outside its own site; what fails there is not taken for down",
			"first", t.key.Addr.String(), "until", until.UTC().Format(time.RFC3339), "remedy", "see to this server's network; geodns status tells what is held")
	}
	return ruling
}

// withhold takes in a failure that would take a target down, without that.
func (m *Monitor) withhold(t *target, began time.Time, ruling health.Ruling, now time.Time) {
	before := t.judged.Troubled(now)
	t.judged = health.Withhold(t.judged, now)
	if t.doubt.IsZero() {
		t.doubt = began
	}
	m.waiting[t] = true
	met := false
	if ruling == health.Pending {
		m.ask(t.doubt)
	} else {
		met = m.meet(t)
	}
	if met || before != t.judged.Troubled(now) {
		m.change()
	}
}

// spared reports whether a target of which nothing is heard keeps its verdict,
// because this server is isolated, or that is not known yet.
func (m *Monitor) spared(t *target, now time.Time) bool {
	if !t.elsewhere {
		return false
	}
	expired := t.judged.Seen.Add(t.rule.Lifetime())
	ruling := m.rule(t, expired, now)
	if ruling == health.Pending {
		m.ask(expired)
	}
	return ruling != health.Counts
}

// sure ends that it is open what a target is.
func (m *Monitor) sure(t *target) {
	t.doubt = time.Time{}
	delete(m.waiting, t)
}

// resolve decides about the targets that wait for it, as far as it can be
// decided now.
func (m *Monitor) resolve(now time.Time) {
	fell := 0
	for t := range m.waiting {
		switch m.rule(t, t.doubt, now) {
		case health.Counts:
			fell++
			m.settle(t, health.Fall(t.judged, now), true, now)
		case health.Pending:
			m.ask(t.doubt)
		case health.Withheld:
			if m.meet(t) {
				m.change()
			}
		}
	}
	if since, _ := m.isolation.Since(); fell > 0 && !since.IsZero() && !m.expired {
		m.expired = true
		m.o.Log.Warn("this server is still isolated: what was held takes effect now", "down", fell, "since", since.UTC().Format(time.RFC3339))
	}
}

// reunited is called when isolation has ended: what failed meanwhile has to fail
// anew, as often as its check says, before it is down.
func (m *Monitor) reunited(by string, now time.Time) {
	m.o.Log.Warn("this server is no longer isolated", "answered", by, "held", len(m.waiting))
	clear(m.waiting)
	for _, t := range m.targets {
		if t != nil && t.elsewhere {
			before := t.judged.Troubled(now)
			t.judged, t.doubt = health.Forgive(t.judged), time.Time{}
			if before != t.judged.Troubled(now) {
				m.change()
			}
		}
	}
}

// relocate finds out anew which targets are at the server's own site.
func (m *Monitor) relocate() {
	m.lengths = m.vicinity.lengths()
	for _, t := range m.targets {
		if t == nil {
			continue
		}
		if t.elsewhere = !m.vicinity.holds(t.key.Addr, m.lengths); !t.elsewhere {
			m.sure(t)
		}
	}
}

// Isolation is what is known of this server's own connection.
type Isolation struct {
	Anchors []AnchorState
	// Since is when the server was found to be isolated, and Until when what is
	// held takes effect; zero: it is not.
	Since, Until time.Time
	// Held are the targets that would be down, but for that.
	Held int
}

// AnchorState is the last probe of an anchor.
type AnchorState struct {
	Name string
	Last probe.Result
	At   time.Time // when it ended; zero: none has yet
}

// Isolation tells it.
func (m *Monitor) Isolation() (i Isolation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.anchors {
		i.Anchors = append(i.Anchors, AnchorState{w.name, w.last, w.at})
	}
	if len(m.anchors) == 0 {
		return i
	}
	if i.Since, i.Until = m.isolation.Since(); !i.Since.IsZero() {
		i.Held = len(m.waiting)
	}
	return i
}

// SiteDeclared reports whether a program that is bound declares the site where
// this server stands.
func (m *Monitor) SiteDeclared() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.vicinity.declared()
}
