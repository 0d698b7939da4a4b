package refresh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// begin begins a round.
func (r *Refresher) begin(e *entry, now time.Time) {
	rd := &round{plan: slices.Clone(e.primaries), full: e.wish.full || e.owed, urgent: e.urgent()}
	e.owed = rd.full
	// RFC 1996 3.11 has the one asked that notified; it goes first, the others
	// follow.
	i := slices.IndexFunc(rd.plan, func(p fetch.Primary) bool { return p.Addr == e.wish.first })
	if i > 0 {
		first := rd.plan[i]
		copy(rd.plan[1:i+1], rd.plan[:i])
		rd.plan[0] = first
	}
	e.wish, e.round, e.began = wish{}, rd, now
	r.advance(e, now)
}

// advance has the zone wait for the next primary of its round, or ends the
// round.
func (r *Refresher) advance(e *entry, now time.Time) {
	rd := e.round
	for rd.next < len(rd.plan) {
		p := r.peer(rd.plan[rd.next].Addr)
		if !p.shunned(now) {
			r.enqueue(e, p, now)
			return
		}
		rd.passed = append(rd.passed, rd.plan[rd.next])
		rd.next++
	}
	if rd.ok || len(rd.passed) == 0 {
		r.finishRound(e, now)
		return
	}
	// All that might know more count as dead: the zone waits for the one that
	// is tried first again, but not beyond the time for a retry.
	rd.plan = []fetch.Primary{slices.MinFunc(rd.passed, func(a, b fetch.Primary) int {
		return r.peer(a.Addr).until.Compare(r.peer(b.Addr).until)
	})}
	rd.next = 0
	p := r.peer(rd.plan[0].Addr)
	rd.errs = append(rd.errs, fmt.Errorf("%s has not answered about other zones, and is asked again in a while; see that it runs, and that no firewall is in between", p.addr))
	e.state.LastError = joined(rd.errs)
	e.parked = p
	e.due = now.Add(r.retry(e))
	r.enqueue(e, p, now)
}

func (r *Refresher) enqueue(e *entry, p *primary, now time.Time) {
	e.at = waiting
	if e.round.urgent {
		p.urgent.push(e)
	} else {
		p.routine.push(e)
	}
	r.list(p, now)
	r.agenda.set(&e.item, e.key())
}

// list puts a primary among those that are ready, if it is.
func (r *Refresher) list(p *primary, now time.Time) {
	if p.waiting() == 0 || p.listed {
		return
	}
	if p.free(now, r.o.PerPrimary) {
		p.listed = true
		r.ready = append(r.ready, p)
		return
	}
	if p.resting(now) {
		r.agenda.set(&p.item, p.until)
	}
}

// dispatch begins attempts, a primary after the other, as many as may be.
func (r *Refresher) dispatch(ctx context.Context, jobs *sync.WaitGroup, now time.Time) {
	for r.running < r.o.Most && len(r.ready) > 0 {
		p := r.ready[0]
		r.ready = slices.Delete(r.ready, 0, 1)
		p.listed = false
		if !p.free(now, r.o.PerPrimary) {
			r.list(p, now)
			continue
		}
		e := p.take()
		if e == nil {
			continue
		}
		p.running++
		r.running++
		e.at, e.parked = asking, nil
		e.state.LastTry = now
		r.agenda.set(&e.item, e.key())
		a := attempt{r: r, e: e, peer: p, primary: e.round.plan[e.round.next], full: e.round.full}
		a.ctx, e.cancel = context.WithCancel(ctx)
		jobs.Go(a.run)
		r.list(p, now)
	}
}

// attempt is one primary being asked about one zone.
type attempt struct {
	r       *Refresher
	e       *entry
	ctx     context.Context
	peer    *primary
	primary fetch.Primary
	full    bool
}

// run asks, and goes on with the round.
func (a *attempt) run() {
	ok, done, err := a.try()
	r, e := a.r, a.e
	r.mu.Lock()
	defer r.poke()
	defer r.mu.Unlock()
	now := time.Now()
	e.cancel()
	e.cancel = nil
	r.running--
	a.peer.running--
	r.judge(a.peer, e, err, now)
	r.list(a.peer, now)
	r.forget(a.peer)
	if e.gone || a.ctx.Err() != nil && fetch.CauseOf(err) == fetch.Cancelled {
		e.at = idle
		return
	}
	rd := e.round
	rd.ok = rd.ok || ok
	if err != nil {
		rd.errs = append(rd.errs, err)
		r.o.Log.Debug("zone not refreshed from one of its primaries", "zone", wire.NameString(e.apex), "primary", a.primary.Addr, "error", err)
	}
	rd.next++
	if done {
		rd.next = len(rd.plan)
		rd.passed = nil
	}
	r.advance(e, now)
}

// judge notes whether a primary lives.
func (r *Refresher) judge(p *primary, e *entry, err error, now time.Time) {
	var f *fetch.Error
	cause := fetch.Denied // it answered, with whatever is not a failure to ask
	if errors.As(err, &f) {
		cause = f.Cause
	}
	switch cause {
	case fetch.Cancelled, fetch.Stalled, fetch.Local:
		// These tell nothing of it.
	case fetch.Unreachable:
		if p.silent(e, now) {
			r.o.Log.Warn("primary does not answer: its zones wait, or ask others", "primary", p.addr, "error", err)
			r.scatter(p, now)
		}
	default:
		if e.round != nil {
			e.round.heard = true
		}
		if p.answered() {
			r.o.Log.Info("primary is back", "primary", p.addr)
		}
	}
}

// scatter has the zones that wait for a primary that has just turned out to be
// dead look for another.
func (r *Refresher) scatter(p *primary, now time.Time) {
	var all []*entry
	for _, q := range []*queue{&p.urgent, &p.routine} {
		for e := q.pop(); e != nil; e = q.pop() {
			all = append(all, e)
		}
	}
	for _, e := range all {
		r.advance(e, now)
	}
}

// try asks. ok: the copy is fresh. done: no other primary need be asked.
func (a *attempt) try() (ok, done bool, err error) {
	// A fault in what is called for one zone is no reason to stop all.
	defer func() {
		if p := recover(); p != nil {
			ok, done = false, false
			err = fmt.Errorf("a fault of this program: %v; please report it, with the log", p)
			a.r.o.Log.Error("panic while a zone was refreshed", "zone", wire.NameString(a.e.apex), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	have := a.r.current(a.e, a.full)
	var seen *fetch.Seen
	if have != nil {
		s, err := a.serial()
		if err != nil {
			return false, false, err
		}
		if seen = &s; !wire.NewerSerial(s.Serial, have.Serial()) {
			return a.compare(have, seen)
		}
		a.r.behind(a.e, a.primary.Addr, s.Serial)
	}
	got, err := a.r.o.Fetch(a.ctx, a.primary, a.e.apex, have)
	if err != nil {
		return false, false, err
	}
	if got.UpToDate {
		return a.compare(have, &fetch.Seen{Serial: got.Serial})
	}
	// What is installed is judged by whether its primary is heard.
	a.r.mu.Lock()
	a.r.hear(a.e, true)
	a.r.mu.Unlock()
	if err := a.install(got, seen); err != nil {
		return false, false, err
	}
	return true, true, nil
}

// serial asks for the SOA; not for long, if it matters that the primary is heard.
func (a *attempt) serial() (fetch.Seen, error) {
	a.r.mu.Lock()
	pulses := a.r.pulses(a.e)
	a.r.mu.Unlock()
	if !pulses {
		return a.r.o.Serial(a.ctx, a.primary, a.e.apex)
	}
	ctx, cancel := context.WithTimeout(a.ctx, pulseWait)
	defer cancel()
	seen, err := a.r.o.Serial(ctx, a.primary, a.e.apex)
	if err != nil && ctx.Err() != nil && a.ctx.Err() == nil {
		err = &fetch.Error{
			Cause: fetch.Unreachable, From: a.primary.Addr, Apex: a.e.apex, Asked: "SOA",
			What: fmt.Sprintf("no answer came in %v", pulseWait), Remedy: "see that the primary runs, and that no firewall is in between",
		}
	}
	return seen, err
}

// behind notes that a primary has something newer.
func (r *Refresher) behind(e *entry, of netip.AddrPort, serial uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.state.Behind, e.state.SeenSerial, e.behindOf = true, serial, of
}

// abreast notes that a primary has nothing newer.
func (r *Refresher) abreast(e *entry, of netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.behindOf == of {
		e.state.Behind, e.state.SeenSerial = false, 0
	}
}

// compare is for a primary that has nothing newer. If it has the same, the copy
// is fresh; the others are asked too, whether they have something newer.
func (a *attempt) compare(have *zone.Zone, seen *fetch.Seen) (ok, done bool, err error) {
	a.r.abreast(a.e, a.primary.Addr)
	if seen.Serial != have.Serial() {
		return false, false, older(a.primary, a.e.apex, seen.Serial, have.Serial())
	}
	e := a.e
	e.serving.Lock()
	defer e.serving.Unlock()
	revive, t, gone := a.r.fresh(a, have, seen, "")
	if gone {
		return false, false, nil
	}
	if revive {
		a.r.o.Log.Info("zone is served again: a primary has confirmed it", "zone", wire.NameString(e.apex), "serial", have.Serial(), "primary", a.primary.Addr)
		a.r.o.Revive(e.apex)
	}
	a.save(t)
	return true, false, nil
}

func older(p fetch.Primary, apex []byte, there, here uint32) error {
	return fmt.Errorf("%s has serial %d of %s, which is not newer than the %d that is here, so the copy stays as it is; raise the serial there above %d, or fetch the zone as it is there with geodns zone retransfer",
		p.Addr, there, wire.NameString(apex), here, here)
}

// install serves a new version.
func (a *attempt) install(got *fetch.Got, seen *fetch.Seen) error {
	e, r := a.e, a.r
	e.serving.Lock()
	defer e.serving.Unlock()
	r.mu.Lock()
	gone := e.gone
	r.mu.Unlock()
	if gone {
		return nil
	}
	if err := r.o.Install(e.apex, got); err != nil {
		return fmt.Errorf("%s of %s from %s came with serial %d, and was refused: %w", got.Kind, wire.NameString(e.apex), a.primary.Addr, got.Serial, err)
	}
	if seen != nil && seen.Serial != got.Serial {
		seen = nil // what was said of another version
	}
	_, t, _ := r.fresh(a, got.Zone, seen, got.Kind)
	attrs := []any{"zone", wire.NameString(e.apex), "serial", got.Serial, "primary", a.primary.Addr, "kind", got.Kind, "octets", got.Octets}
	if got.Fallback != nil {
		attrs = append(attrs, "ixfr", got.Fallback.Error())
	}
	r.o.Log.Info("zone transferred", attrs...)
	a.save(t)
	return nil
}

// fresh notes that a zone's copy is z, and that a primary has just confirmed it
// or, by way of kind, given it. e.serving is held.
func (r *Refresher) fresh(a *attempt, z *zone.Zone, seen *fetch.Seen, kind string) (revive bool, t Timers, gone bool) {
	times := r.o.timesOf(z)
	r.mu.Lock()
	defer r.mu.Unlock()
	e, now := a.e, time.Now()
	if e.gone {
		return false, t, true
	}
	e.times = times
	e.expires = expiry(now, e.expires, &times, seen, kind == "")
	revive, e.expired = e.expired, false
	s := &e.state
	s.Held, s.Serial, s.Primary, s.LastOK = true, z.Serial(), a.primary.Addr, now
	s.Behind = s.Behind && wire.NewerSerial(s.SeenSerial, s.Serial)
	if !s.Behind {
		s.SeenSerial = 0
	}
	if kind != "" {
		s.Kind = kind
	}
	r.agenda.set(&e.item, e.key())
	return revive, Timers{Serial: s.Serial, Refreshed: now, Refresh: now.Add(times.refresh), Expire: e.expires, Primary: a.primary.Addr.String()}, false
}

func (a *attempt) save(t Timers) {
	if a.r.o.Timers != nil {
		a.r.o.Timers.Save(a.e.apex, t)
	}
}

// finishRound ends a round, and says when the next one is to begin.
func (r *Refresher) finishRound(e *entry, now time.Time) {
	rd := e.round
	e.at, e.round, e.parked = idle, nil, nil
	r.hear(e, rd.heard)
	if rd.ok {
		e.owed = false
		e.fails, e.state.LastError = 0, ""
		e.due = now.Add(early(e.times.refresh))
		if r.pulses(e) {
			e.due = earlier(e.due, now.Add(early(pulse)))
		}
		if text := joined(rd.errs); text != e.state.Warning {
			e.state.Warning = text
			if text != "" {
				r.o.Log.Warn("zone is fresh, but not by all of its primaries", "zone", wire.NameString(e.apex), "error", text)
			}
		}
	} else {
		r.failed(e, rd, now)
	}
	if e.wish.set && !e.stale(&e.wish) {
		r.want(e, e.wish, now)
		return
	}
	e.wish = wish{}
	r.agenda.set(&e.item, e.key())
}

// failed is the end of a round that brought nothing.
func (r *Refresher) failed(e *entry, rd *round, now time.Time) {
	e.due = now.Add(r.retry(e))
	e.fails++
	if len(rd.plan) == 0 {
		rd.errs = []error{errors.New("the zone has no primaries; list them under secondary: in geodns.yaml")}
	}
	text := joined(rd.errs)
	log := r.o.Log.Warn
	if text == e.state.LastError {
		log = r.o.Log.Debug // it was said before
	}
	e.state.LastError, e.state.Warning = text, ""
	log("zone not refreshed", "zone", wire.NameString(e.apex), "error", text, "next", e.due, "expires", e.expires)
}

// retry is how long to wait after a round that brought nothing.
func (r *Refresher) retry(e *entry) time.Duration {
	if e.state.Held {
		retry := early(e.times.retry)
		if r.pulses(e) {
			retry = min(retry, early(pulseRetry))
		}
		return retry
	}
	return early(r.o.bounded(doubled(firstRetry, mostRetry, e.fails)))
}

// joined is errors as one line.
func joined(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, " | ")
}
