// Package drains owns the commands by which operators take sites and nodes out
// of the answers: the list of them, when each begins and ends, and that they
// outlive the process.
//
// Invariant: what is in force is what the list says, at every moment. A drain
// that would take the last live node from a steered name is refused unless it is
// forced; one that was accepted is in force even if it can't be stored.
package drains

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"geodns/internal/health"
	"geodns/internal/publish"
)

// MaxReason is how long a reason may be, in octets.
const MaxReason = 200

// Store keeps drains beyond the end of the process.
type Store interface {
	Load() ([]health.Drain, error)
	Save([]health.Drain) error
}

// Publisher is publish.Publisher.
type Publisher interface {
	SetDrains(list health.Drains, at time.Time)
	Tick(at time.Time)
	WouldDrain(list health.Drains, at time.Time) []publish.Effect
	Places() []publish.Place
}

// Options are what a Manager is made with.
type Options struct {
	Publisher Publisher
	// Store, if not nil, is where the list is kept.
	Store Store
	// Changed, if not nil, is told that the list may have become another. It must
	// not wait.
	Changed func()
	Log     *slog.Logger
}

// Manager keeps the list. Its methods may be called from any goroutine.
type Manager struct {
	o    Options
	wake chan struct{}

	mu       sync.Mutex
	list     health.Drains
	foreign  map[string]health.Drains // see SetForeign
	next     time.Time                // when one begins or ends next; zero: never
	unstored string                   // why the list is not stored; "": it is
}

// New returns a Manager without drains.
func New(o Options) *Manager { return &Manager{o: o, wake: make(chan struct{}, 1)} }

// Start puts those drains into force that are stored. If they can't be read
// there are none, and the error says so.
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
		return fmt.Errorf("the drains that were in force can't be read, and none is now: %w", err)
	}
	now := clock()
	for _, d := range list {
		if !d.Over(now) {
			m.list = m.list.With(d)
			m.o.Log.Info("a drain is in force again", about(&d)...)
		}
	}
	m.apply(now)
	return nil
}

// apply puts all that is commanded into force. m.mu is held.
func (m *Manager) apply(now time.Time) {
	all := m.with(m.list)
	m.o.Publisher.SetDrains(all, now)
	m.next = all.Next(now)
	if m.o.Changed != nil {
		m.o.Changed()
	}
}

// with are the drains of a list, and those that zones bring with them. m.mu is
// held.
func (m *Manager) with(list health.Drains) health.Drains {
	if len(m.foreign) == 0 {
		return list
	}
	all, now := slices.Clone(list), clock()
	for _, zone := range slices.Sorted(maps.Keys(m.foreign)) {
		for _, d := range m.foreign[zone] {
			// One that is over stays in the zone until its primary takes it out.
			if !d.Over(now) {
				all = append(all, d)
			}
		}
	}
	return all
}

// SetForeign puts those drains into force that a zone brings with it, from the
// server that commands them, instead of those that it brought before. They end
// on time even if that server is never heard of again.
func (m *Manager) SetForeign(zone string, list health.Drains) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Equal(m.foreign[zone], list) {
		return
	}
	if m.foreign == nil {
		m.foreign = map[string]health.Drains{}
	}
	if m.foreign[zone] = list; len(list) == 0 {
		delete(m.foreign, zone)
	}
	m.o.Log.Info("the drains that a zone brings with it changed", "zone", zone, "drains", len(list))
	m.apply(clock())
	m.wakeUp()
}

// Foreign are the drains that zones bring with them.
func (m *Manager) Foreign() health.Drains {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.with(nil)
}

func (m *Manager) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// clock is the time. Without Go's steady clock: what is commanded for two
// o'clock is meant by the clock on the wall, however that is set.
func clock() time.Time { return time.Now().Round(0) }

// Run makes drains begin and end until the context ends.
func (m *Manager) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		timer.Reset(m.step(clock()))
	}
}

// idle is how long to wait if nothing is to come.
const idle = time.Hour

// step does what is due, and says how long nothing will be.
func (m *Manager) step(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next.IsZero() {
		return idle
	}
	if now.Before(m.next) {
		m.o.Publisher.Tick(now)
		return min(m.next.Sub(now), time.Second)
	}
	before := m.list
	m.list = nil
	for i := range before {
		d := &before[i]
		switch {
		case d.Over(now):
			m.o.Log.Info("a drain has ended", about(d)...)
			continue
		case !d.From.Before(m.next) && d.Active(now):
			m.o.Log.Info("a drain has begun", about(d)...)
		}
		m.list = append(m.list, *d)
	}
	m.apply(now)
	if len(m.list) < len(before) {
		m.save()
	}
	if m.next.IsZero() {
		return idle
	}
	return min(m.next.Sub(now), time.Second)
}

// about is a drain for the log.
func about(d *health.Drain) []any {
	attrs := []any{"name", d.Name}
	if d.Zone != "" {
		attrs = append(attrs, "zone", d.Zone)
	}
	attrs = append(attrs, "from", d.From.UTC().Format(time.RFC3339))
	if !d.Until.IsZero() {
		attrs = append(attrs, "until", d.Until.UTC().Format(time.RFC3339))
	}
	if d.Reason != "" {
		attrs = append(attrs, "reason", d.Reason)
	}
	return attrs
}

// save stores the list. m.mu is held.
func (m *Manager) save() {
	if m.o.Store == nil {
		return
	}
	if err := m.o.Store.Save(slices.Clone(m.list)); err != nil {
		m.unstored = err.Error()
		m.o.Log.Error("the drains can't be stored: they are in force, and lost at a restart", "error", err)
		return
	}
	m.unstored = ""
}

// List are the drains that are in force or will be, and why they would be lost
// at a restart; "": they would not.
func (m *Manager) List() (list health.Drains, unstored string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list), m.unstored
}

// Order is a command to drain.
type Order struct {
	// Zone, which may be "", and Name say what: see health.Drain.
	Zone, Name string
	// At is when it begins; zero: now. For is how long it lasts; 0: until it is
	// taken back.
	At     time.Time
	For    time.Duration
	Reason string
	// Force: even if a steered name loses its last live node.
	Force bool
	// DryRun: only say what would be.
	DryRun bool
}

// Outcome is what a command did, or would do.
type Outcome struct {
	// Drains are those that the command gave, or took back.
	Drains []health.Drain
	// Places are what they are about.
	Places []publish.Place
	// Effects are what becomes of the steered names when they begin.
	Effects []publish.Effect
	// Refused: some name would lose its last live node, and nothing was done.
	Refused bool
	// Unstored is why the command is lost at a restart; "": it isn't.
	Unstored string
}

// Drain drains a site or node. An error is for a command that makes no sense.
func (m *Manager) Drain(o Order) (out Outcome, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock()
	d, err := o.drain(now)
	if err != nil {
		return out, err
	}
	if out.Places, err = find(m.o.Publisher.Places(), o.Zone, d.Name); err != nil {
		return out, err
	}
	if o.Zone != "" {
		d.Zone = out.Places[0].Zone
	}
	out.Drains = []health.Drain{d}
	list := m.list.With(d)
	out.Effects = m.o.Publisher.WouldDrain(m.with(list), d.From)
	out.Unstored = m.unstored
	lost := slices.ContainsFunc(out.Effects, func(e publish.Effect) bool { return e.Lost })
	if out.Refused = lost && !o.Force; out.Refused || o.DryRun {
		return out, nil
	}
	m.o.Log.Info("a drain was commanded", append(about(&d), "force", o.Force)...)
	m.set(list, now)
	out.Unstored = m.unstored
	return out, nil
}

// drain checks a command.
func (o *Order) drain(now time.Time) (d health.Drain, err error) {
	d = health.Drain{Name: strings.ToLower(o.Name), From: o.At, Reason: o.Reason}
	switch {
	case d.From.IsZero():
		d.From = now
	case d.From.Before(now):
		return d, fmt.Errorf("%s is over; leave --at away to drain now", d.From.UTC().Format(time.RFC3339))
	}
	switch {
	case o.For < 0:
		return d, errors.New("a drain can't last less than no time")
	case len(o.Reason) > MaxReason:
		return d, fmt.Errorf("the reason has %d octets, more than %d; shorten it", len(o.Reason), MaxReason)
	case o.For > 0:
		d.Until = d.From.Add(o.For)
	}
	return d, nil
}

// set puts another list into force. m.mu is held.
func (m *Manager) set(list health.Drains, now time.Time) {
	m.list = list
	m.apply(now)
	m.save()
	m.wakeUp()
}

// Undrain takes drains back: that of a zone, or all of the name.
func (m *Manager) Undrain(zone, name string, dryRun bool) (out Outcome, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock()
	name, zone = strings.ToLower(name), canonical(zone)
	list := m.list.Without(zone, name)
	for _, d := range m.list {
		if d.Name == name && (zone == "" || strings.EqualFold(d.Zone, zone)) {
			out.Drains = append(out.Drains, d)
		}
	}
	places := m.o.Publisher.Places()
	if len(out.Drains) == 0 {
		return out, m.notDrained(places, zone, name)
	}
	// Whether or not anything has it now: the zone may have gone since.
	out.Places, _ = find(places, zone, name)
	out.Effects = m.o.Publisher.WouldDrain(m.with(list), now)
	if dryRun {
		return out, nil
	}
	for i := range out.Drains {
		m.o.Log.Info("a drain was taken back", about(&out.Drains[i])...)
	}
	m.set(list, now)
	if m.o.Store != nil {
		out.Unstored = m.unstored // and what was taken back is there again
	}
	return out, nil
}

// notDrained says why there is nothing to take back.
func (m *Manager) notDrained(places []publish.Place, zone, name string) error {
	for _, d := range m.with(nil) {
		if d.Name == name && (zone == "" || strings.EqualFold(d.Zone, zone)) {
			return fmt.Errorf("%s is drained by the primary of %s; take that back there", name, d.Zone)
		}
	}
	for _, d := range m.list {
		if d.Name == name && d.Zone == "" {
			return fmt.Errorf("%s is drained in all zones; take that back without --zone", name)
		}
	}
	found, err := find(places, zone, name)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].Declared {
			return fmt.Errorf("the zone %s itself says drain=yes of %s, and no command does; take it out of the zone", found[i].Zone, name)
		}
	}
	return fmt.Errorf("%s is not drained", name)
}
