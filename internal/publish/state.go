package publish

import (
	"bytes"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// SyncState makes the records below _state of all zones that are ours those of
// the commands in force: what secondaries obey. The zones get a new serial each.
// own says which are ours.
func (p *Publisher) SyncState(own func(apex []byte) bool) {
	var list [][]byte
	p.live.Load().Zones.Each(func(s *world.Served) bool {
		if s.Zone != nil && s.Steering != nil && own(s.Apex()) {
			if c := p.stateChange(s); !c.Empty() {
				list = append(list, s.Apex())
			}
		}
		return true
	})
	for _, apex := range list {
		err := p.Edit(apex, FromCommand, func(cur *zone.Zone) []Edition {
			s := p.live.Load().Zones.Get(apex)
			if s == nil || s.Zone != cur {
				return nil
			}
			c := p.stateChange(s)
			if c.Empty() {
				return nil
			}
			next, whole, err := Advance(cur, c)
			if err != nil {
				p.unkept(apex, err)
				return nil
			}
			return []Edition{{Zone: next, Changes: whole, Note: "commands in force"}}
		})
		if err != nil {
			p.unkept(apex, err)
		}
	}
}

// stateChange is what makes the records below _state those that they should be.
func (p *Publisher) stateChange(s *world.Served) *zone.Changeset {
	var have []wire.RR
	if s.Steering != nil {
		for i := range s.Steering.Commands {
			c := &s.Steering.Commands[i]
			owner := append(append(append([]byte(nil), c.Name...), stateLabel...), s.Apex()...)
			have = append(have, wire.RR{Owner: owner, Type: wire.TypeTXT, TTL: c.TTL, Data: c.Data})
		}
	}
	var program *steer.Program
	if s.Steering != nil {
		program = s.Steering.Program
	}
	want := p.stateOf(s.Zone, program)
	return &zone.Changeset{Del: without(have, want), Add: without(want, have)}
}

// without are the records of a list that are not in another.
func without(list, other []wire.RR) (rest []wire.RR) {
next:
	for i := range list {
		for j := range other {
			if a, b := &list[i], &other[j]; bytes.Equal(a.Owner, b.Owner) && a.TTL == b.TTL && bytes.Equal(a.Data, b.Data) {
				continue next
			}
		}
		rest = append(rest, list[i])
	}
	return rest
}
