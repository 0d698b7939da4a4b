package publish

import (
	"maps"
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// leads remembers which steps of failovers serve, and what is held, by the apex
// of the zone. It is touched only while the World is being replaced, one change
// at a time.
type leads struct {
	zones map[string]*steer.Lead
	// told are the sides that are known of zones that are not served yet, by the
	// zone's name as it is shown, and the key of the side.
	told map[string]map[sideKey]ActiveSide
	// due is when it is looked at again although nothing turns: what returns only
	// when it was up for long (failback=10m) is then.
	due *time.Timer
}

// ActiveSide is which step of a failover serves.
type ActiveSide struct {
	// Zone and Owner are names as they are shown, with their final dots; Types is
	// what is steered, as type= writes it: A,AAAA.
	Zone, Owner, Types string
	steer.Side
}

// sideKey tells the sides of a zone apart.
type sideKey struct{ owner, types string }

// ActiveSides are those of all failovers, and of those that SetActiveSides has
// told of and that are not served yet; in no order.
func (p *Publisher) ActiveSides() (list []ActiveSide) {
	p.live.Swap(func(w *world.World) *world.World {
		for apex, lead := range p.leads.zones {
			list = append(list, sidesOf([]byte(apex), lead)...)
		}
		for _, of := range p.leads.told {
			for _, s := range of {
				list = append(list, s)
			}
		}
		return w
	})
	return list
}

func sidesOf(apex []byte, lead *steer.Lead) (list []ActiveSide) {
	zone := wire.NameString(apex)
	lead.EachSide(func(owner []byte, types steer.TypeSet, s steer.Side) {
		list = append(list, ActiveSide{Zone: zone, Owner: wire.NameString(append(owner, apex...)), Types: types.String(), Side: s})
	})
	return list
}

// SetActiveSides makes these the steps that serve, as somebody says who knows:
// the store at the start, the primary later. Verdicts go on from there: what is
// down does not serve for that. Those of zones that are not served yet are kept
// for them; failovers that the list does not name stay as they are.
func (p *Publisher) SetActiveSides(list []ActiveSide) {
	of := map[string]map[sideKey]ActiveSide{}
	for _, s := range list {
		if of[s.Zone] == nil {
			of[s.Zone] = map[sideKey]ActiveSide{}
		}
		of[s.Zone][sideKey{s.Owner, s.Types}] = s
	}
	p.live.Swap(func(w *world.World) *world.World {
		for apex, lead := range p.leads.zones {
			if s := w.Zones.Get([]byte(apex)); s != nil && s.Steering != nil {
				zone := wire.NameString([]byte(apex))
				p.leads.zones[apex] = tell(s, lead, of[zone])
				delete(of, zone)
			}
		}
		if p.leads.told == nil {
			p.leads.told = map[string]map[sideKey]ActiveSide{}
		}
		maps.Copy(p.leads.told, of)
		n := *w
		p.follow(&n, nil)
		return &n
	})
}

// tell is a zone's Lead with some sides; those of an owner that are for other
// types than its rule is now are the rule's all the same.
func tell(s *world.Served, was *steer.Lead, sides map[sideKey]ActiveSide) *steer.Lead {
	if len(sides) == 0 {
		return was
	}
	return s.Steering.Told(was, func(r *steer.Rule) (steer.Side, bool) {
		owner := ownerOf(s, r)
		for _, types := range []string{r.Types().String(), "A,AAAA", "A", "AAAA", ""} {
			if side, ok := sides[sideKey{owner, types}]; ok {
				return side.Side, true
			}
		}
		return steer.Side{}, false
	})
}

// ownerOf is the name that a rule steers, as it is shown.
func ownerOf(s *world.Served, r *steer.Rule) string {
	return wire.NameString(append(append([]byte(nil), r.Owner...), s.Apex()...))
}

// follow puts into a World what its verdicts and drains make of the failovers,
// and what is held. put are the zones that are new in it.
func (p *Publisher) follow(w *world.World, put []*world.Served) {
	p.rampUp(w, put)
	p.meet(put)
	var c world.Change
	var next time.Time
	now := time.Now()
	turned := false
	for apex, was := range p.leads.zones {
		s := w.Zones.Get([]byte(apex))
		if s != nil && s.Zone == nil {
			continue // for the moment: it will be the same zone again
		}
		if s == nil || s.Steering == nil || !s.Steering.Remembers() {
			delete(p.leads.zones, apex)
			turned = true
			continue
		}
		if alone := p.alone(s); alone != s.Steering.Alone {
			s = s.With(func(b *steer.Bound) { b.Alone = alone })
			c.Put = append(c.Put, s)
		}
		lead, again := s.Steering.Lead(w.Verdicts, was, now)
		p.leads.zones[apex] = lead
		turned = turned || lead != was
		if !again.IsZero() && (next.IsZero() || again.Before(next)) {
			next = again
		}
		if !s.Steering.Follows(lead) {
			c.Put = append(c.Put, s.WithLead(lead))
		}
	}
	if len(c.Put) > 0 {
		w.Zones = w.Zones.With(c)
	}
	if turned && p.o.Turned != nil {
		p.o.Turned()
	}
	p.lookAgain(next, now)
}

// alone reports whether a zone is a copy whose answers depend on whether its
// primary is heard, and it is not.
func (p *Publisher) alone(s *world.Served) bool {
	return s.Steering.Copy && p.o.Alone != nil && s.Steering.LeadsSelf() && p.o.Alone(s.Apex())
}

// meet begins to follow zones that are new.
func (p *Publisher) meet(put []*world.Served) {
	if p.leads.zones == nil {
		p.leads.zones = map[string]*steer.Lead{}
	}
	for _, s := range put {
		apex := string(s.Apex())
		if _, known := p.leads.zones[apex]; known || s.Steering == nil || !s.Steering.Remembers() {
			continue
		}
		zone := wire.NameString(s.Apex())
		p.leads.zones[apex] = tell(s, nil, p.leads.told[zone])
		delete(p.leads.told, zone)
	}
}

// lookAgain has the failovers looked at again at a time, zero: not before
// something turns.
func (p *Publisher) lookAgain(next, now time.Time) {
	if next.IsZero() {
		return
	}
	if p.leads.due == nil {
		p.leads.due = time.AfterFunc(next.Sub(now), p.PublishVerdicts)
	} else {
		p.leads.due.Reset(next.Sub(now))
	}
}
