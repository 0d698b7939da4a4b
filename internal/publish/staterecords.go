package publish

import (
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// stateTTL is the TTL of records below _state, in seconds. Nobody caches them:
// they travel by transfer.
const stateTTL = 60

// StateRecords are the records that drains make in a zone: those of the sites
// and nodes that it declares.
func StateRecords(z *zone.Zone, list health.Drains) (records []wire.RR) {
	name := wire.NameString(z.Apex())
	for i := range list {
		d := &list[i]
		if d.Zone != "" && !strings.EqualFold(d.Zone, name) || len(d.Name) > wire.MaxLabel || !declares(z, d.Name) {
			continue
		}
		// To the second: begun when it has begun, and ended when it has ended.
		s := record.State{Drain: true, From: d.From.Truncate(time.Second), Reason: d.Reason}
		if !d.Until.IsZero() {
			s.Until = d.Until.Add(time.Second - 1).Truncate(time.Second)
		}
		records = append(records, stateRecord(z, label(d.Name), &s))
	}
	return records
}

// SideRecords are the records that say which steps of a zone's failovers serve, of
// those that go back by command only: the copies of the zone follow them.
func (p *Publisher) SideRecords(z *zone.Zone, program *steer.Program) (records []wire.RR) {
	if program == nil || !program.FailsOver() {
		return nil
	}
	steps := p.stepsOf(z)
	for _, r := range program.Rules() {
		owner := wire.NameString(append(append([]byte(nil), r.Owner...), z.Apex()...))
		if step := steps[owner]; r.Manual() && step != "" && len(r.Owner)+len(stateLabel)+len(z.Apex()) <= wire.MaxName {
			records = append(records, stateRecord(z, r.Owner, &record.State{Active: step}))
			delete(steps, owner) // one for both families
		}
	}
	return records
}

// stepsOf are the steps that serve, or that are to as soon as the zone does, by
// the names that are steered.
func (p *Publisher) stepsOf(z *zone.Zone) map[string]string {
	steps := map[string]string{}
	p.live.Swap(func(w *world.World) *world.World {
		for _, s := range p.leads.told[wire.NameString(z.Apex())] {
			steps[s.Owner] = s.Step
		}
		for _, s := range sidesOf(z.Apex(), p.leads.zones[string(z.Apex())]) {
			steps[s.Owner] = s.Step
		}
		return w
	})
	return steps
}

func label(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// declares reports whether a zone declares a site or node.
func declares(z *zone.Zone, name string) bool {
	for _, subtree := range [...]string{"\x05_site", "\x05_node"} {
		if n, ok := z.Find(append(append(label(name), subtree...), z.Apex()...)); ok {
			if _, ok := n.Set(wire.TypeTXT); ok {
				return true
			}
		}
	}
	return false
}

// stateRecord is a command as a record. what is the labels that it is about.
func stateRecord(z *zone.Zone, what []byte, s *record.State) wire.RR {
	owner := append(append(append([]byte(nil), what...), stateLabel...), z.Apex()...)
	return wire.RR{Owner: owner, Type: wire.TypeTXT, TTL: stateTTL, Data: wire.AppendText(nil, s.String())}
}

// DrainsOf are the drains that a zone brings with it.
func DrainsOf(p *steer.Program, zone string) (list health.Drains) {
	if p == nil {
		return nil
	}
	for i := range p.Commands {
		c := &p.Commands[i]
		if name := c.Label(); c.Drain && name != "" {
			list = list.With(health.Drain{Zone: zone, Name: name, From: c.From, Until: c.Until, Reason: c.Reason})
		}
	}
	return list
}
