package converge

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"geodns/internal/wire"
)

// Watcher knows how far the secondaries are. Its methods are for any goroutine.
type Watcher struct {
	o    Options
	wake chan struct{}

	mu     sync.Mutex
	zones  map[string]*zoneState
	peers  map[netip.AddrPort]*peerState
	agenda agenda
	turn   []*peerState // those that have pairs to be asked and are free, in turn
	ring   []*pair      // all, in the order of the sweep
	cursor int
	sweep  time.Time // when the next pair of the ring is
	fresh  time.Time // until when questions for new pairs are planned
	tokens bucket
	active int // questions under way
	// running: Run has begun; what is published before was there at the start.
	running bool
}

// New returns a Watcher without zones. It asks nothing before Run.
func New(o Options) *Watcher {
	o = o.withDefaults()
	return &Watcher{
		o: o, wake: make(chan struct{}, 1), tokens: bucket{apart: time.Second / time.Duration(o.Rate)},
		zones: map[string]*zoneState{}, peers: map[netip.AddrPort]*peerState{},
	}
}

// rouse has Run look again.
func (w *Watcher) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Published says that a new version of a zone is served (apex in wire form, lower
// case), and that its peers have been told: they are asked whether they have it
// until they do. It does not wait. Before Run it is Served: what is found at the
// start is not new.
func (w *Watcher) Published(apex []byte, serial uint32) { w.serves(apex, serial, true) }

// Served says which version of a zone is served, though it is not new: at the
// start, or again. The peers are asked for theirs in their turn.
func (w *Watcher) Served(apex []byte, serial uint32) { w.serves(apex, serial, false) }

func (w *Watcher) serves(apex []byte, serial uint32, fresh bool) {
	peers := w.o.Peers(apex)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	fresh = fresh && w.running
	z := w.zones[string(apex)]
	if z == nil {
		z = &zoneState{apex: slices.Clone(apex)}
		w.zones[string(apex)] = z
	}
	news := len(z.versions) == 0 || z.serial() != serial
	if news {
		z.append(serial, now)
	}
	w.setPeers(z, peers)
	for _, p := range z.pairs {
		if !news {
			break
		}
		w.change(p, func() { p.published(fresh, now) })
		if fresh && !p.lacks.IsZero() {
			w.hasten(p, now)
		}
	}
	z.prune()
	w.plan(z, now)
	w.rouse()
}

// hasten has a peer asked for a new version soon.
func (w *Watcher) hasten(p *pair, now time.Time) {
	first := p.pause == 0
	if first {
		p.pause = firstPause
	}
	p.pause = min(p.pause, newsPause)
	if p.queued || p.running {
		return
	}
	at := now.Add(p.pause)
	if p.index == 0 || first || at.Before(p.at) {
		w.agenda.set(&p.item, at)
	}
}

// Forget drops a zone that is not served any more.
func (w *Watcher) Forget(apex []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if z := w.zones[string(apex)]; z != nil {
		for _, p := range z.pairs {
			w.remove(p)
		}
		delete(w.zones, string(apex))
	}
}

// Renew asks Options.Peers anew for all zones: the configuration has changed.
func (w *Watcher) Renew() {
	w.mu.Lock()
	all := make([]*zoneState, 0, len(w.zones))
	for _, z := range w.zones {
		all = append(all, z)
	}
	w.mu.Unlock()
	for _, z := range all {
		peers := w.o.Peers(z.apex)
		w.mu.Lock()
		if w.zones[string(z.apex)] == z {
			w.setPeers(z, peers)
			w.plan(z, time.Now())
		}
		w.mu.Unlock()
	}
	w.rouse()
}

// setPeers makes pairs of a zone and its peers. Those that are named already stay
// as they are.
func (w *Watcher) setPeers(z *zoneState, peers []Peer) {
	old := z.pairs
	z.pairs = make([]*pair, 0, len(peers))
	for _, named := range peers {
		addr := netip.AddrPortFrom(named.Addr.Addr().Unmap(), named.Addr.Port())
		at := func(p *pair) bool { return p.peer.addr == addr }
		if slices.ContainsFunc(z.pairs, at) {
			continue
		}
		i := slices.IndexFunc(old, at)
		if i < 0 {
			z.pairs = append(z.pairs, w.add(z, addr, named.Key))
			continue
		}
		old[i].key = named.Key
		z.pairs = append(z.pairs, old[i])
		old = slices.Delete(old, i, i+1)
	}
	for _, p := range old {
		w.remove(p)
	}
}

// add makes a pair.
func (w *Watcher) add(z *zoneState, addr netip.AddrPort, key string) *pair {
	peer := w.peers[addr]
	if peer == nil {
		peer = &peerState{addr: addr}
		peer.item.peer = peer
		w.peers[addr] = peer
	}
	p := &pair{zone: z, peer: peer, key: key, ringAt: len(w.ring)}
	p.item.pair = p
	w.ring = append(w.ring, p)
	peer.pairs++
	peer.wanting++
	return p
}

// plan has new pairs asked, in their turn, that are not going to be asked anyway.
func (w *Watcher) plan(z *zoneState, now time.Time) {
	for _, p := range z.pairs {
		if p.known || p.reason != "" || p.index > 0 || p.queued || p.running {
			continue
		}
		if w.fresh.Before(now) {
			w.fresh = now
		}
		w.fresh = w.fresh.Add(time.Second / time.Duration(w.o.SweepRate))
		w.agenda.set(&p.item, w.fresh)
	}
}

// remove drops a pair. A question that is under way ends by itself.
func (w *Watcher) remove(p *pair) {
	p.gone = true
	w.agenda.drop(&p.item)
	last := len(w.ring) - 1
	w.ring[p.ringAt] = w.ring[last]
	w.ring[p.ringAt].ringAt = p.ringAt
	w.ring[last] = nil
	w.ring = w.ring[:last]
	p.peer.pairs--
	if p.wanting() {
		p.peer.wanting--
	}
	w.forget(p.peer)
}

// forget drops a peer that has no zones, and is not being asked.
func (w *Watcher) forget(p *peerState) {
	if p.pairs == 0 && p.running == 0 && w.peers[p.addr] == p {
		w.agenda.drop(&p.item)
		delete(w.peers, p.addr)
	}
}

// change does something to a pair, and keeps its peer's count right.
func (w *Watcher) change(p *pair, do func()) {
	was := p.wanting()
	do()
	switch is := p.wanting(); {
	case is && !was:
		p.peer.wanting++
	case was && !is:
		p.peer.wanting--
	}
}

// Run asks until ctx ends, and returns when nothing is under way any more. It is
// to be called once, when all zones of the start are there.
func (w *Watcher) Run(ctx context.Context) {
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	w.Renew() // addresses of peers may stand in zones that came later than theirs
	var jobs sync.WaitGroup
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(w.step(ctx, &jobs))
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// longest is how long Run sleeps if nothing is due.
const longest = time.Hour

// step does what is due, and returns how long nothing will be.
func (w *Watcher) step(ctx context.Context, jobs *sync.WaitGroup) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for it := w.agenda.due(now); it != nil; it = w.agenda.due(now) {
		if it.peer != nil {
			w.list(it.peer, now)
			continue
		}
		w.enqueue(it.pair, now)
	}
	sleep := min(longest, w.sweepOn(now))
	if limited := w.dispatch(ctx, jobs, now); limited > 0 {
		sleep = min(sleep, limited)
	}
	if len(w.agenda) > 0 {
		sleep = min(sleep, w.agenda[0].at.Sub(now))
	}
	return max(0, sleep)
}

// every is how far apart the questions of the sweep are.
func (w *Watcher) every() time.Duration {
	return max(time.Second/time.Duration(w.o.SweepRate), w.o.Period/time.Duration(max(1, len(w.ring))))
}

// sweepOn has those pairs asked whose turn it is, and returns when the next one's
// will be. Pairs that are asked anyway are passed over, as are peers that are
// left alone, or busy.
func (w *Watcher) sweepOn(now time.Time) time.Duration {
	if len(w.ring) == 0 {
		w.sweep = time.Time{}
		return longest
	}
	every := w.every()
	if w.sweep.IsZero() || w.sweep.After(now.Add(every)) {
		w.sweep = now.Add(every)
	}
	if w.sweep.Before(now.Add(-time.Second)) {
		w.sweep = now.Add(-time.Second) // the process was stopped: no burst
	}
	for !w.sweep.After(now) {
		w.cursor = (w.cursor + 1) % len(w.ring)
		w.sweep = w.sweep.Add(every)
		p := w.ring[w.cursor]
		if p.index == 0 && !p.queued && !p.running && !p.peer.resting() && p.peer.ready.Len() == 0 {
			w.enqueue(p, now)
		}
	}
	return w.sweep.Sub(now)
}

// enqueue has a pair asked as soon as its peer is free.
func (w *Watcher) enqueue(p *pair, now time.Time) {
	p.queued = true
	p.peer.ready.PushBack(p)
	w.list(p.peer, now)
}

// list gives a peer its turn, if it has pairs to be asked and is free.
func (w *Watcher) list(p *peerState, now time.Time) {
	if !p.listed && p.ready.Len() > 0 && p.free(now, w.share()) {
		p.listed = true
		w.turn = append(w.turn, p)
	}
}

// share is how many questions a peer is asked at once: so few that if all others
// are silent, there are workers left for it.
func (w *Watcher) share() int {
	return min(mostShare, max(1, w.o.Workers/max(1, len(w.peers))))
}

// dispatch begins questions as long as there are workers. It returns how long
// the rate forbids another one; 0: it doesn't.
func (w *Watcher) dispatch(ctx context.Context, jobs *sync.WaitGroup, now time.Time) time.Duration {
	for w.active < w.o.Workers && len(w.turn) > 0 {
		if wait := w.tokens.wait(now); wait > 0 {
			return wait
		}
		peer := w.turn[0]
		w.turn = w.turn[1:]
		peer.listed = false
		if !peer.free(now, w.share()) {
			continue // until an answer, or the end of its rest, lists it
		}
		p := peer.take()
		if p == nil {
			continue
		}
		w.tokens.take(now)
		w.active++
		peer.running++
		p.running = true
		w.list(peer, now)
		whom := Peer{Addr: peer.addr, Key: p.key}
		jobs.Go(func() { w.ask(ctx, p, whom) })
	}
	return 0
}

// ask asks a peer for its version of a zone.
func (w *Watcher) ask(ctx context.Context, p *pair, whom Peer) {
	limit, cancel := context.WithTimeout(ctx, w.o.Timeout)
	serial, err := w.o.Serial(limit, whom, p.zone.apex)
	cancel()
	w.mu.Lock()
	now := time.Now()
	p.running = false
	p.peer.running--
	w.active--
	var tell func()
	if ctx.Err() == nil {
		tell = w.outcome(p, serial, err, now)
	}
	w.forget(p.peer)
	w.mu.Unlock()
	if tell != nil {
		tell()
	}
	w.rouse()
}

// outcome takes note of what came of a question. It returns what is to be logged,
// which may take its time, without the lock; nil: nothing.
func (w *Watcher) outcome(p *pair, serial uint32, err error, now time.Time) (tell func()) {
	kind, why := judge(err)
	if kind != answer {
		p.peer.failed(why, now)
	}
	switch {
	case kind == silence:
		return w.unanswered(p, why, now)
	case kind == unasked && p.peer.resting():
		// Somebody has to try whether it still is silent.
		p.peer.until = now.Add(firstRest)
		w.agenda.set(&p.peer.item, p.peer.until)
	case kind != unasked && p.peer.spoke(now):
		w.agenda.drop(&p.peer.item)
		tell = func() { w.o.Log.Info("a secondary answers again", "peer", p.peer.addr) }
	}
	w.list(p.peer, now)
	if p.gone {
		return tell
	}
	if kind == missing && p.missing.IsZero() {
		tell = w.lost(p, why, now, tell)
	}
	progress := false
	w.change(p, func() {
		switch kind {
		case answer:
			var took time.Duration
			if took, progress = p.told(serial, now); took > 0 {
				p.peer.arrived(took, now)
			}
		case missing:
			p.lost(why, now)
		default:
			p.reason = why
		}
	})
	w.again(p, progress, now)
	return w.welcome(p, tell)
}

// welcome has it said that a peer which is back lacks something: what it was told
// meanwhile it has not heard, and its next refresh may be hours away.
func (w *Watcher) welcome(p *pair, also func()) (tell func()) {
	back := p.peer.back
	if w.o.Returned == nil || back.IsZero() || p.returned.Equal(back) {
		return also
	}
	p.returned = back
	if p.behind().IsZero() {
		return also
	}
	return func() {
		if also != nil {
			also()
		}
		w.o.Returned(p.zone.apex, p.peer.addr)
	}
}

// unanswered leaves a peer alone for a while that did not answer; the pair is
// the first that is asked then.
func (w *Watcher) unanswered(p *pair, why string, now time.Time) (tell func()) {
	peer := p.peer
	if peer.fell(why, now) {
		tell = func() { w.o.Log.Warn("a secondary does not answer", "peer", peer.addr, "error", why) }
	}
	if !p.gone {
		p.queued = true
		peer.ready.PushFront(p)
	}
	// Those that are asked at the same moment have no say in when it ends.
	w.agenda.set(&peer.item, peer.until)
	return tell
}

// lost has it logged, not too often, that a peer does not have a zone.
func (w *Watcher) lost(p *pair, why string, now time.Time, also func()) (tell func()) {
	if peer := p.peer; peer.warned.IsZero() || now.Sub(peer.warned) >= quiet {
		peer.warned = now
		return func() {
			if also != nil {
				also()
			}
			w.o.Log.Warn("a secondary does not serve a zone", "peer", peer.addr, "zone", wire.NameString(p.zone.apex), "error", why)
		}
	}
	return also
}

// again plans when a peer is asked for a zone the next time: in the sweep, unless
// something is wrong.
func (w *Watcher) again(p *pair, progress bool, now time.Time) {
	if p.index > 0 || p.queued {
		return
	}
	if !p.wanting() {
		p.pause = 0
		return
	}
	if progress || p.pause == 0 {
		p.pause = firstPause
	} else {
		p.pause = min(2*p.pause, p.peer.mostPauseOf())
	}
	w.agenda.set(&p.item, now.Add(p.pause))
}
