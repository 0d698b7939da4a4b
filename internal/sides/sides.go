// Package sides owns what becomes known of the sides of failovers: the command
// that changes one, that they outlive the process, and that a change and an
// alarm are told once.
//
// Invariant: which side serves is publish's to say, from one World to the next;
// this package asks it, and never waits for the store in its way. A command that
// was accepted is in force even if it can't be stored.
package sides

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"geodns/internal/publish"
)

// MaxReason is how long a reason may be, in octets.
const MaxReason = 200

// MaxStored is how many sides are stored, of those of which a server that
// remembers nothing would do something else.
const MaxStored = 5000

// Store keeps sides beyond the end of the process.
type Store interface {
	Load() ([]publish.ActiveSide, error)
	// Save keeps some, instead of those of the same zone, owner and types, and
	// forgets others.
	Save(keep, forget []publish.ActiveSide) error
}

// Publisher is publish.Publisher.
type Publisher interface {
	ActiveSides() []publish.ActiveSide
	SetActiveSides([]publish.ActiveSide)
	Failback(publish.FailbackOrder) ([]publish.Failback, error)
}

// Options are what a Manager is made with.
type Options struct {
	Publisher Publisher
	// Store, if not nil, is where the sides are kept.
	Store Store
	Log   *slog.Logger
}

// Manager keeps and tells the sides. Its methods may be called from any
// goroutine.
type Manager struct {
	o    Options
	wake chan struct{}

	mu       sync.Mutex
	told     map[key]publish.ActiveSide // as they were last looked at
	stored   map[key]publish.ActiveSide // as they are stored
	telling  bool                       // the first verdicts are there
	unstored string                     // why they are lost at a restart; "": they are not
}

// key tells sides apart.
type key struct{ zone, owner, types string }

func keyOf(s *publish.ActiveSide) key { return key{s.Zone, s.Owner, s.Types} }

// New returns a Manager.
func New(o Options) *Manager {
	return &Manager{o: o, wake: make(chan struct{}, 1), told: map[key]publish.ActiveSide{}, stored: map[key]publish.ActiveSide{}}
}

// Start makes the sides that are stored the ones that serve: before any zone is
// served. If they can't be read there are none, and the error says so.
func (m *Manager) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.o.Store == nil {
		m.unstored = "there is no store"
		return nil
	}
	list, err := m.o.Store.Load()
	if err != nil {
		m.unstored = err.Error()
		return fmt.Errorf("the active sides of failovers can't be read: each begins with the first step that is up: %w", err)
	}
	for _, s := range list {
		m.stored[keyOf(&s)], m.told[keyOf(&s)] = s, s
		m.o.Log.Info("an active side is known from before", "name", s.Owner, "type", s.Types, "step", s.Step, "since", s.Since.UTC(), "by", s.By, "reason", s.Reason)
	}
	m.o.Publisher.SetActiveSides(list)
	return nil
}

// Turned hears that some side may have changed. It waits for nothing.
func (m *Manager) Turned() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run tells and stores what changes, until the context ends. It is to begin when
// the first verdicts are there: what is not known before is no alarm.
func (m *Manager) Run(ctx context.Context) {
	m.mu.Lock()
	m.telling = true
	m.mu.Unlock()
	for {
		m.look()
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
	}
}

// look tells and stores what has changed.
func (m *Manager) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := map[key]publish.ActiveSide{}
	for _, s := range m.o.Publisher.ActiveSides() {
		now[keyOf(&s)] = s
	}
	if m.telling {
		for k, s := range now {
			m.tell(m.told[k], &s)
		}
		for k, s := range m.told {
			if _, still := now[k]; !still && !s.Alarm.IsZero() {
				m.o.Log.Info("the alarm about writers ended: the failover is gone", "name", s.Owner, "type", s.Types)
			}
		}
		m.told = now
	}
	m.save(now)
}

// tell logs what has become of a side.
func (m *Manager) tell(was publish.ActiveSide, s *publish.ActiveSide) {
	about := []any{"name", s.Owner, "zone", s.Zone, "type", s.Types}
	if was.Step != "" && was.Step != s.Step {
		attrs := append(slices.Clone(about), "from", was.Step, "to", s.Step, "by", whoBy(s.By))
		if s.Reason != "" {
			attrs = append(attrs, "reason", s.Reason)
		}
		m.o.Log.Warn("a failover changed sides", attrs...)
	}
	writers := strings.ReplaceAll(s.Writers, ",", " ")
	switch {
	case !s.Alarm.IsZero() && (was.Alarm.IsZero() || was.Writers != s.Writers):
		m.o.Log.Error(alarmText(s), append(about, "writers", writers, "answered", s.Step)...)
	case s.Alarm.IsZero() && !was.Alarm.IsZero():
		m.o.Log.Warn("one node takes writes again: the alarm ended", append(about, "writers", writers, "answered", s.Step)...)
	}
}

func whoBy(by string) string {
	if by == "" {
		return "verdict"
	}
	return by
}

// alarmText is what is wrong with the writers of a failover, and what is done.
func alarmText(s *publish.ActiveSide) string {
	what := "no node says that it takes writes"
	if s.Writers != "" {
		what = "several nodes say that they take writes"
	}
	switch {
	case s.Step != "":
		return what + ": what was answered is held"
	case s.Writers == "":
		return what + ", and none is known to have: SERVFAIL unless the first step may be one"
	}
	return what + ", and none is known to be right: the first step is answered, if it is one of them, else SERVFAIL"
}

// save stores what has changed of the sides that have to be. m.mu is held.
func (m *Manager) save(now map[key]publish.ActiveSide) {
	if m.o.Store == nil {
		return
	}
	var keep, forget []publish.ActiveSide
	wanted := map[key]publish.ActiveSide{}
	over := 0
	for k, s := range now {
		if s.Step == "" || s.Plain {
			continue
		}
		if len(wanted) == MaxStored {
			over++
			continue
		}
		wanted[k] = s
	}
	for k, s := range wanted {
		if old, ok := m.stored[k]; !ok || !same(&old, &s) {
			keep = append(keep, s)
		}
	}
	for k, s := range m.stored {
		if _, ok := wanted[k]; !ok {
			forget = append(forget, s)
		}
	}
	if len(keep)+len(forget) > 0 {
		if err := m.o.Store.Save(keep, forget); err != nil {
			if m.unstored == "" {
				m.o.Log.Error("the active sides of failovers can't be stored: they are lost at a restart", "error", err)
			}
			m.unstored = err.Error()
			return
		}
		m.stored = wanted
	}
	if m.unstored = ""; over > 0 {
		m.unstored = fmt.Sprintf("%d of %d active sides are not stored: there is room for %d", over, len(wanted)+over, MaxStored)
	}
}

// same reports whether nothing differs that is stored.
func same(a, b *publish.ActiveSide) bool {
	return a.Step == b.Step && a.Since.Equal(b.Since) && a.By == b.By && a.Reason == b.Reason
}

// List are the sides of all failovers, in no order, and why they would be lost
// at a restart; "": they would not.
func (m *Manager) List() (list []publish.ActiveSide, unstored string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.o.Publisher.ActiveSides(), m.unstored
}

// Outcome is what a command did, or would do.
type Outcome struct {
	Failovers []publish.Failback
	// Refused: by one of them at least, and nothing was done.
	Refused bool
	// Unstored is why the command is lost at a restart; "": it isn't.
	Unstored string
}

// Failback makes another step of a failover the one that serves. An error is for
// a command that makes no sense.
func (m *Manager) Failback(o publish.FailbackOrder) (out Outcome, err error) {
	if len(o.Reason) > MaxReason {
		return out, fmt.Errorf("the reason has %d octets, more than %d; shorten it", len(o.Reason), MaxReason)
	}
	if out.Failovers, err = m.o.Publisher.Failback(o); err != nil {
		return out, err
	}
	changed := false
	for i := range out.Failovers {
		x := &out.Failovers[i]
		out.Refused = out.Refused || x.Refused != nil
		changed = changed || !x.Same
	}
	if changed && !out.Refused && !o.DryRun {
		m.commanded(out.Failovers, o.Force)
	}
	m.mu.Lock()
	out.Unstored = m.unstored
	m.mu.Unlock()
	return out, nil
}

// commanded logs a command that was obeyed, and has it stored.
func (m *Manager) commanded(list []publish.Failback, force bool) {
	for i := range list {
		if x := &list[i]; !x.Same {
			m.o.Log.Info("a failback was commanded", "name", x.Name, "zone", x.Zone, "type", x.Types,
				"from", x.Before.Step, "to", x.After.Step, "force", force, "reason", x.After.Reason)
		}
	}
	m.look()
}
