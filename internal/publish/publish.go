// Package publish owns the one road by which a zone changes: a version that
// was made elsewhere (from a file; later by transfer or update) is put into a
// new World with its steering, and the World is swapped in.
//
// Invariant: what is published is whole. All zones of one Publish appear at
// once, each with steering that was compiled for it and for the geography in
// force, and whatever fails leaves the old World.
package publish

import (
	"sync"
	"time"

	"geodns/internal/health"
	"geodns/internal/live"
	"geodns/internal/steer"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// Change is what becomes of one zone.
type Change struct {
	// Apex is the zone's name in wire form, lower case.
	Apex []byte
	// Zone is its new version. Nil: see Vacant.
	Zone *zone.Zone
	// Steering is what Compile made of it; nil: it has none.
	Steering *steer.Program
	// Source tells what files Zone was made of, and By which one; 0: it was not.
	Source Source
	By     string
	// Vacant, without a Zone: the name is ours, but there is nothing to serve
	// (SERVFAIL). Neither: the zone is no longer served (REFUSED).
	Vacant bool
}

// Health knows the nodes: internal/monitor.
type Health interface {
	// Bind begins to watch what a program names, and returns where the verdicts
	// of its targets are; Unbind ends that.
	Bind(p *steer.Program) (slots []uint32)
	Unbind(slots []uint32)
	// Verdicts are those of this moment, of all slots that are bound.
	Verdicts() *health.Verdicts
}

// Options are what a Publisher is made with.
type Options struct {
	// Rankings is the geography that steering is compiled for; nil: none.
	Rankings *steer.Rankings
	// Health, if not nil, is told what to watch.
	Health Health
	// Told, if not nil, hears of zones whose steering could not be compiled
	// again after something that it depends on changed; they keep what they had.
	Told func(apex []byte, problems []steer.Problem)

	// Turned, if not nil, hears that ActiveSides may have become others. It must
	// not wait for anything: the World is being replaced.
	Turned func()

	// Versions, if not nil, keeps what is served.
	Versions Versions
	// State, if not nil, are the commands in force, as records of a zone.
	State State
	// Serial, if not nil, is how the files of a zone are numbered, and Takes
	// whether the zone takes updates, so that its file is but its seed.
	Serial func(apex []byte) SerialPolicy
	Takes  func(apex []byte) bool
	// Seal, if not nil, reports whether a zone of ours carries a digest that we
	// make (RFC 8976).
	Seal func(apex []byte) bool
	// Copy, if not nil, reports whether a zone is taken from another server.
	Copy func(apex []byte) bool
	// Alone, if not nil, reports whether none of the servers that a zone is taken
	// from is heard. It is asked while the World is being replaced: what it says
	// counts from the next PublishVerdicts on.
	Alone func(apex []byte) bool
	// Committed, if not nil, hears of versions that are served, and kept, if
	// anything is; Unkept of those that can't be kept, and Refused of files that
	// can't be served.
	Committed       func(z *zone.Zone)
	Unkept, Refused func(apex []byte, err error)
}

// Publisher publishes to one Holder.
type Publisher struct {
	live   *live.Holder
	health Health
	told   func(apex []byte, problems []steer.Problem)

	o        Options
	versions Versions // nil: none
	commits  *commits
	locks    *locks

	mu        sync.Mutex // held while a World is put together
	rankings  *steer.Rankings
	drains    health.Drains
	drainedAt time.Time // as of when
	leads     leads
	shares    shares
}

// New returns a Publisher.
func New(h *live.Holder, o Options) *Publisher {
	p := &Publisher{live: h, rankings: o.Rankings, health: o.Health, told: o.Told, o: o, versions: o.Versions, locks: newLocks()}
	p.commits = newCommits(p)
	return p
}

// Compile compiles the steering of a zone that is to be published together with
// others, by apex. The zone can't be if a problem is no warning.
func (p *Publisher) Compile(z *zone.Zone, others map[string]*zone.Zone) (*steer.Program, []steer.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.compile(z, others)
}

func (p *Publisher) compile(z *zone.Zone, others map[string]*zone.Zone) (*steer.Program, []steer.Problem) {
	o := steer.Options{Rankings: p.rankings, With: func(apex []byte) *zone.Zone {
		if z := others[string(apex)]; z != nil {
			return z
		}
		return p.Serving(apex)
	}}
	if o.Lenient = p.o.Copy != nil && p.o.Copy(z.Apex()); o.Lenient {
		o.Last = func(owner []byte) string {
			if s := p.live.Load().Zones.Get(z.Apex()); s != nil && s.Steering != nil {
				return s.Steering.TextOf(owner)
			}
			return ""
		}
	}
	return steer.Compile(z, o)
}

// Publish makes the changes, all at once. Zones are files' versions: they get the
// serial of their own and what commands add, are served, and are kept behind.
func (p *Publisher) Publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	apexes := make([][]byte, len(changes))
	for i := range changes {
		apexes[i] = changes[i].Apex
	}
	defer p.locks.lock(apexes...)()
	list := make([]Change, 0, len(changes))
	fresh := map[string]*zone.Zone{}
	for _, ch := range changes {
		fresh[string(ch.Apex)] = ch.Zone
	}
	var kept []func()
	for _, ch := range changes {
		if ch.Zone != nil {
			s, err := p.settle(&ch)
			if err == nil {
				s.program, err = p.steering(&ch, &s, fresh)
			}
			if err != nil {
				if p.o.Refused != nil {
					p.o.Refused(ch.Apex, err)
				}
				continue
			}
			kept = append(kept, p.keeping(ch, s))
			ch.Zone, ch.Steering = s.next, s.program
		}
		list = append(list, ch)
	}
	p.publish(list)
	for _, keep := range kept {
		keep()
	}
}

// keeping returns what keeps a settled version, once it is served.
func (p *Publisher) keeping(ch Change, s settled) func() {
	if p.versions == nil || !s.fresh {
		return func() {
			switch {
			case s.fresh:
				p.committed(s.next)
			case s.from != nil && p.versions != nil && !p.takes(ch.Apex):
				p.commits.add(ch.Apex, commit{to: s.next, source: p.source(&ch), same: true})
			}
		}
	}
	return func() {
		job := commit{
			from: s.from, to: s.next, changes: s.changes, seed: ch.Zone, source: p.source(&ch),
			version: Version{At: time.Now(), Origin: FromFile, By: ch.By},
		}
		p.commits.add(ch.Apex, job)
	}
}

// publish swaps changes in as they are. The zones' locks are held.
func (p *Publisher) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var c world.Change
	fresh := map[string]*zone.Zone{}
	for _, ch := range changes {
		switch {
		case ch.Zone != nil:
			fresh[string(ch.Apex)] = ch.Zone
		case ch.Vacant:
			c.Put = append(c.Put, world.Vacant(ch.Apex))
		default:
			c.Remove = append(c.Remove, ch.Apex)
		}
	}
	for _, ch := range changes {
		if ch.Zone == nil {
			continue
		}
		program := ch.Steering
		if program != nil && (program.Rankings() != p.rankings || p.overtaken(program, fresh)) {
			program = p.again(ch.Zone, program, fresh)
		}
		c.Put = append(c.Put, p.serve(ch.Zone, program))
	}
	c.Put = append(c.Put, p.dependents(fresh)...)
	p.swap(c)
}

// again compiles a zone's steering anew, or else keeps it.
func (p *Publisher) again(z *zone.Zone, old *steer.Program, fresh map[string]*zone.Zone) *steer.Program {
	program, problems := p.compile(z, fresh)
	if program != nil {
		return program
	}
	if p.told != nil {
		p.told(z.Apex(), problems)
	}
	return old
}

// overtaken reports whether a zone that a program takes names from has changed
// since it was compiled: such as two copies that came at the same moment.
func (p *Publisher) overtaken(program *steer.Program, fresh map[string]*zone.Zone) bool {
	for i, apex := range program.With() {
		if fresh[string(apex)] == nil && p.Serving(apex) != program.CompiledWith(i) {
			return true
		}
	}
	return false
}

// dependents are the zones that are served and whose steering takes names from
// zones that change.
func (p *Publisher) dependents(fresh map[string]*zone.Zone) (list []*world.Served) {
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering == nil || s.Zone == nil || fresh[string(s.Apex())] != nil {
			return true
		}
		for _, apex := range s.Steering.With() {
			if fresh[string(apex)] != nil {
				list = append(list, p.serve(s.Zone, p.again(s.Zone, s.Steering.Program, fresh)))
				break
			}
		}
		return true
	})
	return list
}

// SetRankings changes the geography: the steering of all zones is compiled
// anew, and appears at once.
func (p *Publisher) SetRankings(r *steer.Rankings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rankings = r
	var c world.Change
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Steering != nil && s.Zone != nil {
			c.Put = append(c.Put, p.serve(s.Zone, p.again(s.Zone, s.Steering.Program, nil)))
		}
		return true
	})
	p.swap(c)
}

// serve is a zone in its place: its targets are watched.
func (p *Publisher) serve(z *zone.Zone, program *steer.Program) *world.Served {
	s := world.Serve(z, program)
	if program == nil {
		return s
	}
	s.Steering.Copy = p.o.Copy != nil && p.o.Copy(z.Apex())
	s.Steering.Alone = p.alone(s)
	s.Steering.Drained, s.Steering.Until = p.drained(program)
	p.share(s.Steering)
	if p.health != nil {
		s.Steering.Slots = p.health.Bind(program)
	}
	return s
}

// Rankings is the geography in force; nil: none.
func (p *Publisher) Rankings() *steer.Rankings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rankings
}

// swap puts a change into effect. The slots of what was replaced are given back
// only after that: until then somebody may look at them.
func (p *Publisher) swap(c world.Change) {
	before := p.live.Load().Zones
	p.live.Swap(func(w *world.World) *world.World {
		n := *w
		n.Zones = w.Zones.With(c)
		if p.health != nil {
			n.Verdicts = p.health.Verdicts()
		}
		p.follow(&n, c.Put)
		return &n
	})
	if p.health == nil {
		return
	}
	for _, s := range c.Put {
		p.unbind(before.Get(s.Apex()))
	}
	for _, apex := range c.Remove {
		p.unbind(before.Get(apex))
	}
}

func (p *Publisher) unbind(s *world.Served) {
	if s != nil && s.Steering != nil && s.Steering.Slots != nil {
		p.health.Unbind(s.Steering.Slots)
	}
}

// PublishVerdicts makes the verdicts of this moment those that are answered by.
func (p *Publisher) PublishVerdicts() {
	p.live.Swap(func(w *world.World) *world.World {
		n := *w
		if p.health != nil {
			n.Verdicts = p.health.Verdicts()
		}
		p.follow(&n, nil)
		return &n
	})
}

// Serving returns the zone that is served at an apex (wire form, lower case),
// or nil.
func (p *Publisher) Serving(apex []byte) *zone.Zone {
	if s := p.live.Load().Zones.Get(apex); s != nil {
		return s.Zone
	}
	return nil
}
