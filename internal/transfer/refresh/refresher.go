package refresh

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Refresher keeps copies of zones fresh. Its methods are for any goroutine.
type Refresher struct {
	o    Options
	wake chan struct{}

	setting sync.Mutex // held by SetZones

	mu      sync.Mutex
	zones   map[string]*entry
	peers   map[netip.AddrPort]*primary
	agenda  agenda
	ready   []*primary // those that have zones waiting and are free, in turn
	running int
	turned  bool // Options.Turned is to be called
}

// New returns a Refresher without zones. It does nothing before Run.
func New(o Options) *Refresher {
	return &Refresher{
		o: o.withDefaults(), wake: make(chan struct{}, 1),
		zones: map[string]*entry{}, peers: map[netip.AddrPort]*primary{},
	}
}

// poke has Run look again.
func (r *Refresher) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// SetZones says which zones there are: new ones are added, others kept as they
// are, with their new primaries, and those that are not named any more are
// removed. Copies of new zones that have expired while no process ran are
// expired before SetZones returns: Expire is called for them.
func (r *Refresher) SetZones(zones []Zone) {
	r.setting.Lock()
	defer r.setting.Unlock()
	fresh := r.found(zones)
	r.mu.Lock()
	now := time.Now()
	named := make(map[string]bool, len(zones))
	var expired []*entry
	for i := range zones {
		apex := string(zones[i].Apex)
		named[apex] = true
		if e := r.zones[apex]; e != nil {
			r.keep(e, zones[i].Primaries, now)
			continue
		}
		e := fresh[apex]
		r.zones[apex] = e
		r.count(e.primaries, 1)
		if e.state.Held && !now.Before(e.expires) {
			e.expired = true
			expired = append(expired, e)
		}
		e.due = now
		if !e.urgent() {
			e.due = now.Add(rand.N(spread*time.Duration(len(fresh)) + 1))
		}
		r.agenda.set(&e.item, e.key())
	}
	for apex, e := range r.zones {
		if !named[apex] {
			r.remove(e)
		}
	}
	r.mu.Unlock()
	for _, e := range expired {
		r.expire(e)
	}
	r.poke()
}

// found makes entries for the zones that are not there yet, with what the
// store knows of them.
func (r *Refresher) found(zones []Zone) map[string]*entry {
	r.mu.Lock()
	fresh := map[string]*entry{}
	for i := range zones {
		if apex := string(zones[i].Apex); r.zones[apex] == nil && fresh[apex] == nil {
			e := &entry{apex: []byte(apex), primaries: slices.Clone(zones[i].Primaries)}
			e.item.zone = e
			e.state.Apex = e.apex
			fresh[apex] = e
		}
	}
	r.mu.Unlock()
	now := time.Now()
	for _, e := range fresh {
		r.restore(e, now)
	}
	return fresh
}

// restore gives a new entry its copy, and its timers.
func (r *Refresher) restore(e *entry, now time.Time) {
	z := r.o.Have(e.apex)
	if z == nil {
		return
	}
	e.times = r.o.timesOf(z)
	e.state.Held, e.state.Serial = true, z.Serial()
	e.expires = now.Add(e.times.expire)
	if r.o.Timers == nil {
		return
	}
	t, ok := r.o.Timers.Load(e.apex)
	if !ok {
		return
	}
	// A clock that was wrong must not make a copy last longer than it may.
	if t.Expire.Before(e.expires) {
		e.expires = t.Expire
	}
	e.state.LastOK = t.Refreshed
	if addr, err := netip.ParseAddrPort(t.Primary); err == nil {
		e.state.Primary = addr
	}
}

// keep gives a zone that is there its primaries.
func (r *Refresher) keep(e *entry, primaries []fetch.Primary, now time.Time) {
	same := slices.EqualFunc(e.primaries, primaries, func(a, b fetch.Primary) bool {
		return a.Addr == b.Addr && a.Key == b.Key && a.Source == b.Source && (a.TLS == nil) == (b.TLS == nil)
	})
	r.count(primaries, 1)
	r.count(e.primaries, -1)
	e.primaries = slices.Clone(primaries)
	if !same {
		// What is under way is finished, but no other of the old ones asked.
		if rd := e.round; rd != nil && e.at == asking {
			rd.plan, rd.passed = rd.plan[:rd.next+1], nil
		}
		r.want(e, wish{set: true}, now)
	}
}

// count notes that so many more zones name these primaries.
func (r *Refresher) count(primaries []fetch.Primary, n int) {
	for i := range primaries {
		p := r.peer(primaries[i].Addr)
		p.zones += n
		r.forget(p)
	}
}

// peer is the primary of an address.
func (r *Refresher) peer(addr netip.AddrPort) *primary {
	p := r.peers[addr]
	if p == nil {
		p = &primary{addr: addr}
		p.peer = p
		r.peers[addr] = p
	}
	return p
}

// forget drops a primary that no zone names, and none asks.
func (r *Refresher) forget(p *primary) {
	if p.zones > 0 || p.running > 0 {
		return
	}
	r.agenda.set(&p.item, time.Time{})
	delete(r.peers, p.addr)
}

func (r *Refresher) remove(e *entry) {
	e.gone = true
	e.leave()
	if e.cancel != nil {
		e.cancel()
	}
	r.agenda.set(&e.item, time.Time{})
	delete(r.zones, string(e.apex))
	r.count(e.primaries, -1)
}

// Notified takes note of a NOTIFY (RFC 1996) from an address, with the serial
// that it told, nil: none. It reports whether it is to be answered as accepted:
// the zone is one of these, and the address that of one of its primaries (RFC
// 1996 3.10). The primaries are then asked, beginning with that one, unless
// the serial is none that is newer than what is here.
func (r *Refresher) Notified(apex []byte, from netip.Addr, serial *uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.zones[string(apex)]
	if e == nil {
		return false
	}
	i := slices.IndexFunc(e.primaries, func(p fetch.Primary) bool { return p.Addr.Addr().Unmap() == from.Unmap() })
	if i < 0 {
		return false
	}
	w := wish{set: true, first: e.primaries[i].Addr}
	if serial != nil {
		w.serial, w.known = *serial, true
	}
	// It lives.
	now := time.Now()
	p := r.peer(w.first)
	if p.answered() {
		r.o.Log.Info("primary is back: it sends NOTIFY", "primary", p.addr)
	}
	r.list(p, now)
	if !e.stale(&w) {
		r.want(e, w, now)
	}
	r.poke()
	return true
}

// Retransfer has a zone looked after at once: its primaries are asked for
// their serials, or, if full, for the whole zone by AXFR, whatever their serial.
func (r *Refresher) Retransfer(apex []byte, full bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.zones[string(apex)]
	if e == nil {
		return fmt.Errorf("%s is not a zone that is fetched from a primary; list it under secondary: in geodns.yaml", wire.NameString(apex))
	}
	r.want(e, wish{set: true, full: full}, time.Now())
	r.poke()
	return nil
}

// want has a zone looked after soon.
func (r *Refresher) want(e *entry, w wish, now time.Time) {
	e.wish = e.wish.and(w)
	if e.at == asking {
		return // behind the round under way
	}
	// A round that waits for its first answer begins anew, as is wished now.
	if e.at == waiting {
		e.wish.full = e.wish.full || e.round.full
		e.rest()
	}
	e.due = now
	if soonest := e.began.Add(notifyGap); !w.full && soonest.After(now) {
		e.due = soonest
	}
	r.agenda.set(&e.item, e.key())
}

// Heard reports whether some primary of a zone answered when they were last asked,
// whatever it said. It is false until they have been asked. Whoever wants to know
// that of a zone has them asked soon, and from then on as Options.Pulse says: what
// matters may have changed since they last were.
func (r *Refresher) Heard(apex []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.zones[string(apex)]
	if e == nil {
		return false
	}
	if soon := time.Now().Add(pulse); e.at == idle && e.state.Held && e.due.After(soon) {
		e.due = soon
		r.agenda.set(&e.item, e.key())
		r.poke()
	}
	return e.heard
}

// pulses reports whether it matters that some primary of a zone is heard.
func (r *Refresher) pulses(e *entry) bool {
	return r.o.Pulse != nil && e.state.Held && r.o.Pulse(e.apex)
}

// hear notes whether some primary of a zone was heard.
func (r *Refresher) hear(e *entry, heard bool) {
	if e.heard != heard {
		e.heard = heard
		r.turned = r.turned || r.pulses(e)
	}
}

// Status is how it stands with all zones, in the order of their names.
func (r *Refresher) Status() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]State, 0, len(r.zones))
	for _, e := range r.zones {
		s := e.state
		s.Apex = bytes.Clone(e.apex)
		s.Expires, s.Expired = e.expires, e.expired
		switch {
		case e.at == idle:
			s.Next = e.due
		case e.parked != nil && e.parked.until.Before(e.due):
			s.Next = e.parked.until
		case e.parked != nil:
			s.Next = e.due
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b State) int { return wire.CompareNames(a.Apex, b.Apex) })
	return list
}

// Run works until ctx ends, and returns when nothing is under way any more. It
// is to be called once.
func (r *Refresher) Run(ctx context.Context) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(r.step(ctx, &jobs))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// longest is how long Run sleeps if nothing is due.
const longest = time.Hour

// step does what is due, and returns how long nothing will be.
func (r *Refresher) step(ctx context.Context, jobs *sync.WaitGroup) time.Duration {
	r.mu.Lock()
	now := time.Now()
	var expired []*entry
	for len(r.agenda) > 0 && !r.agenda[0].at.After(now) {
		it := heap.Pop(&r.agenda).(*item)
		if it.peer != nil {
			r.list(it.peer, now)
			continue
		}
		if r.due(it.zone, now) {
			expired = append(expired, it.zone)
		}
	}
	r.dispatch(ctx, jobs, now)
	sleep := longest
	if len(r.agenda) > 0 {
		sleep = min(sleep, r.agenda[0].at.Sub(now))
	}
	turned := r.turned
	r.turned = false
	r.mu.Unlock()
	for _, e := range expired {
		r.o.Expire(e.apex)
		e.serving.Unlock()
	}
	if turned && r.o.Turned != nil {
		r.o.Turned()
	}
	return sleep
}

// expire is Expire for zones that nobody else knows of yet.
func (r *Refresher) expire(e *entry) {
	e.serving.Lock()
	defer e.serving.Unlock()
	r.mu.Lock()
	still := e.expired && !e.gone
	r.mu.Unlock()
	if still {
		r.o.Log.Warn("zone expired while no server ran: it is not served until a primary confirms it", "zone", wire.NameString(e.apex), "expired", e.expires)
		r.o.Expire(e.apex)
	}
}

// due does what is due of a zone, and reports whether its copy expires now: then
// its serving is locked.
func (r *Refresher) due(e *entry, now time.Time) (expired bool) {
	next := time.Time{}
	if !e.expires.IsZero() && !e.expired && !now.Before(e.expires) {
		// If a new copy is just being installed, that comes first.
		if expired = e.serving.TryLock(); expired {
			e.expired = true
			r.o.Log.Error("zone expired: it is not served until a primary confirms it", "zone", wire.NameString(e.apex), "refreshed", e.state.LastOK, "error", e.state.LastError)
		} else {
			next = now.Add(busy)
		}
	}
	if !now.Before(e.due) {
		switch {
		case e.at == idle:
			r.begin(e, now)
		case e.parked != nil:
			// It has waited as long as for a retry; others may live by now.
			rd := e.round
			e.rest()
			r.failed(e, rd, now)
			r.begin(e, now)
		}
	}
	if next.IsZero() {
		next = e.key()
	}
	r.agenda.set(&e.item, next)
	return expired
}

// current is the copy to ask with: none if the zone is wanted whole.
func (r *Refresher) current(e *entry, full bool) *zone.Zone {
	if full {
		return nil
	}
	return r.o.Have(e.apex)
}
