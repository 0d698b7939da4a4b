package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"geodns/internal/geo/place"
	"geodns/internal/world"
)

// These bound how long a drill lasts.
const (
	DefaultFor = 5 * time.Minute
	MinFor     = time.Second
	MaxFor     = time.Hour
	// maxReturn is how long what was lost is waited for at most.
	maxReturn = 10 * time.Minute
)

// Order is what is to be rehearsed.
type Order struct {
	Site Site
	For  time.Duration
	How  How
	// Force: even if a name loses its last live node.
	Force bool
}

// check says what is wrong with an order.
func (o *Order) check() error {
	switch {
	case o.For < MinFor || o.For > MaxFor:
		return fmt.Errorf("a drill lasts from %v to %v, and not %v: say it with --for, such as --for 5m", MinFor, MaxFor, o.For)
	case o.How != HowTimeout && o.How != HowRefused:
		return fmt.Errorf("--how %q is not known: it must be timeout or refused", o.How)
	}
	return nil
}

// Server is what a Runner asks of the server that it is part of.
type Server struct {
	World   func() *world.World
	Refused func(a netip.Addr, own bool) bool // see Whence
	Table   func() *place.Table               // nil: there is no geography
	// PerSecond is the measured rate of questions; 0: not known.
	PerSecond func() float64
	Log       *slog.Logger
}

// Runner makes drills, one at a time.
type Runner struct {
	loss   *Loss
	server Server

	mu     sync.Mutex
	now    *drill // nil: none
	closed string // why there are no more; "": there may be
}

// drill is one that is on.
type drill struct {
	state State
	plan  *Plan
	sampler
	stop   chan string // why it is to end; the first is taken
	events chan Event
}

// NewRunner makes a Runner of drills that lose things by a Loss.
func NewRunner(l *Loss, s Server) *Runner { return &Runner{loss: l, server: s} }

// Plan forecasts what would be lost now.
func (r *Runner) Plan(site Site, names []string, log *Log) (*Plan, error) {
	p, err := Make(&Options{
		Whence: r.whence(), Site: site, Names: names, Table: r.server.Table(), PerSecond: r.server.PerSecond(), Log: log,
	})
	if p != nil {
		p.Source = "server"
	}
	return p, err
}

func (r *Runner) whence() Whence {
	return Whence{World: r.server.World(), Refused: r.server.Refused, Now: time.Now()}
}

// Now is the drill that is on; false: none is.
func (r *Runner) Now() (State, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return State{}, false
	}
	return r.now.state, true
}

// Stop ends the drill that is on, and returns it; false: none is. Who started it
// is told the report.
func (r *Runner) Stop(why string) (State, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return State{}, false
	}
	select {
	case r.now.stop <- why:
	default: // it ends already
	}
	return r.now.state, true
}

// Close ends the drill that is on without waiting for what returns, and refuses
// others.
func (r *Runner) Close(why string) {
	r.mu.Lock()
	r.closed = why
	r.mu.Unlock()
	// Twice: the second one ends the waiting.
	r.Stop(why)
	r.Stop(why)
}

// Run loses a site for a while, and tells how that goes. It ends when the time
// is over, when Stop or the end of ctx end it, or when tell fails; whatever ends
// it, the site is back when it returns.
func (r *Runner) Run(ctx context.Context, o Order, tell func(Event) error) error {
	if err := o.check(); err != nil {
		return err
	}
	whence := r.whence()
	scene, err := look(&whence, o.Site, false)
	if err != nil {
		return err
	}
	plan, err := r.Plan(o.Site, nil, nil)
	if err != nil {
		return err
	}
	if plan.Targets == 0 {
		return fmt.Errorf("no check watches anything at %s: its loss would not be noticed, and nothing can be rehearsed; give its names a check=, and see geodns status for what may not be probed", o.Site.Name)
	}
	if plan.Lost > 0 && !o.Force {
		return tell(Event{Plan: plan, Refused: true})
	}
	d := &drill{
		plan: plan, sampler: *newSampler(plan), stop: make(chan string, 2), events: make(chan Event, 4),
		state: State{Site: o.Site.Name, Zone: o.Site.Zone, How: o.How},
	}
	lost := scene.lose(o.How)
	if err := r.begin(d, lost, o.For); err != nil {
		return err
	}
	return r.follow(ctx, d, lost, tell)
}

// begin loses the site, unless there is a drill already.
func (r *Runner) begin(d *drill, x *lost, lasts time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed != "":
		return errors.New("no drill can begin: " + r.closed)
	case r.now != nil:
		return fmt.Errorf("a drill is on already: %s; geodns drill stop ends it", r.now.state.Site)
	}
	for range sampleEvery / lookEvery {
		d.last = nil // each looks anew
		d.sample(r.server.World(), time.Now(), 0, before)
	}
	d.state.Since = time.Now()
	d.state.Until = d.state.Since.Add(lasts)
	if !r.loss.begin(x) {
		return errors.New("a drill is on already")
	}
	r.now = d
	r.server.Log.Warn("a drill has begun: probes of the site are not sent, and fail", "site", d.state.Site, "how", string(d.state.How),
		"until", d.state.Until.UTC().Format(time.RFC3339), "targets", d.plan.Targets)
	return nil
}

// follow tells what happens, beside what makes it happen: who doesn't listen
// delays nothing.
func (r *Runner) follow(ctx context.Context, d *drill, x *lost, tell func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var going sync.WaitGroup
	defer going.Wait()
	defer cancel()
	begun := d.state
	going.Go(func() {
		defer close(d.events)
		r.happen(ctx, d, x)
	})
	if err := tell(Event{Plan: d.plan}); err != nil {
		return err
	}
	if err := tell(Event{Begun: &begun}); err != nil {
		return err
	}
	for e := range d.events {
		if err := tell(e); err != nil {
			return err
		}
	}
	return nil
}

// happen is the drill itself.
func (r *Runner) happen(ctx context.Context, d *drill, x *lost) {
	end := r.phase(ctx, d, during, d.state.Until)
	ended := time.Now()
	r.loss.finish(x)
	r.mu.Lock()
	d.state.Over = true
	r.mu.Unlock()
	r.server.Log.Warn("the drill has ended: probes are sent again", "site", d.state.Site, "why", end,
		"lasted", ended.Sub(d.state.Since).Round(time.Millisecond).String(), "probes-not-sent", x.kept.Load())
	d.last = nil
	r.phase(ctx, d, after, ended.Add(d.returnTime()))
	report := d.report(ended, end, x.kept.Load())
	if report.Back {
		r.loss.forget()
	}
	r.server.Log.Info("the drill was judged", "site", d.state.Site, "held", report.Held, "back", report.Back)
	r.mu.Lock()
	r.now = nil
	r.mu.Unlock()
	d.events <- Event{Report: report}
}

// phase samples until a time, or until something ends it: it returns what.
func (r *Runner) phase(ctx context.Context, d *drill, ph phase, until time.Time) string {
	begin := time.Now()
	if ph == during {
		begin = d.state.Since
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	next := begin.Add(time.Second)
	for {
		now := time.Now()
		d.sample(r.server.World(), now, now.Sub(begin), ph)
		switch {
		case !now.Before(until):
			return "its time was over"
		case ph == after && d.backAll():
			return "all is back"
		case !now.Before(next):
			next = next.Add(time.Second)
			d.tell(now.Sub(begin), until.Sub(now), ph, r.server.PerSecond())
		}
		select {
		case <-tick.C:
		case why := <-d.stop:
			// What turned right before that has turned.
			d.sample(r.server.World(), time.Now(), time.Since(begin), ph)
			return why
		case <-ctx.Done():
			return "who ran it has gone"
		}
	}
}

// tell hands over a tick, unless nobody takes them.
func (d *drill) tell(since, left time.Duration, ph phase, perSecond float64) {
	t := Tick{Seconds: since.Seconds(), Left: left.Seconds(), Over: ph == after, Answers: d.recent(), PerSecond: perSecond}
	t.Names, t.Gone, t.Back = d.progress()
	if len(d.events) < cap(d.events)-1 { // one is the report's
		d.events <- Event{Tick: &t}
	}
}

// returnTime is how long what was lost may take to return: as long as the worst
// damping asks for.
func (d *drill) returnTime() (most time.Duration) {
	for _, w := range d.watches {
		for i, away := range w.x.loss.Targets {
			if !away {
				continue
			}
			c := &w.x.before.Checks[w.x.before.Targets[i].Check]
			most = max(most, time.Duration(c.Rise)<<4*c.Every+c.Timeout+time.Second)
		}
	}
	return min(most, maxReturn)
}

// report judges the drill.
func (d *drill) report(ended time.Time, end string, probes uint64) *Report {
	rep := &Report{
		State: d.state, Ended: ended, End: end, Targets: d.plan.Targets, Probes: probes,
		Names: []Measured{}, NamesAll: d.plan.NamesAll, Held: true, Back: d.backAll(),
	}
	lasted := ended.Sub(d.state.Since)
	for _, x := range d.watches {
		m := x.result(lasted)
		// What had a promise to keep and could not be judged did not keep it.
		if x.judged() && m.Verdict != Held {
			rep.Held = false
		}
		rep.Names = append(rep.Names, m)
	}
	return rep
}
