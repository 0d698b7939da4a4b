package publish

import (
	"errors"
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// ErrNotServed: there is no zone to change.
var ErrNotServed = errors.New("the zone is not served")

// Edition is a version that an edit makes.
type Edition struct {
	Zone *zone.Zone
	// Changes lead to it from the version before, the SOA's among them.
	Changes  *zone.Changeset
	By, Note string
	// Apart: it is not what the zone's file says, nor is that to be merged into it,
	// so that the file is a version of its own when it is read again.
	Apart bool
}

// Edit changes a zone: by update or command. edit gets its newest version, and
// returns the ones that follow, one after the other; none: nothing changes. It
// may be called for one zone by many at once, who wait for each other.
//
// The versions are kept first, then served all at once. An error means that
// nothing changed.
func (p *Publisher) Edit(apex []byte, origin Origin, edit func(cur *zone.Zone) []Edition) error {
	defer p.locks.lock(apex)()
	s := p.live.Load().Zones.Get(apex)
	if s == nil || s.Zone == nil {
		return ErrNotServed
	}
	if p.versions != nil {
		p.commits.wait(apex) // edit may look at what is kept
	}
	editions := edit(s.Zone)
	if len(editions) == 0 {
		return nil
	}
	last := &editions[len(editions)-1]
	next, err := p.seal(last.Zone, last.Changes)
	if err != nil {
		return err
	}
	last.Zone = next
	program, err := p.programFor(next, s.Steering, editions)
	if err != nil {
		return err
	}
	if p.versions != nil {
		source := Source(0)
		if !last.Apart {
			_, source, _ = p.versions.Last(apex)
			source ^= commandsIn(next, editions)
		}
		if err := p.versions.Keep(apex, source, versionsOf(s.Zone, origin, editions)); err != nil {
			return err
		}
	}
	p.publish([]Change{{Apex: apex, Zone: next, Steering: program}})
	p.committed(next)
	return nil
}

// commandsIn is what editions change of a Source, by commands that come into force
// and go (see Publisher.source).
func commandsIn(z *zone.Zone, editions []Edition) (s Source) {
	for _, e := range editions {
		for _, list := range [...][]wire.RR{e.Changes.Del, e.Changes.Add} {
			for i := range list {
				if stateName(z, list[i].Owner) {
					s ^= Source(hashOf(list[i].Owner, list[i].Data))
				}
			}
		}
	}
	return s
}

// versionsOf are editions as they are kept.
func versionsOf(from *zone.Zone, origin Origin, editions []Edition) []Version {
	now := time.Now()
	list := make([]Version, len(editions))
	serial := from.Serial()
	for i, e := range editions {
		list[i] = Version{From: serial, To: e.Zone.Serial(), At: now, Origin: origin, By: e.By, Note: e.Note, Changes: e.Changes}
		serial = list[i].To
	}
	return list
}

// programFor is the steering of a version, compiled anew unless the editions
// leave alone all that it depends on.
func (p *Publisher) programFor(next *zone.Zone, old *steer.Bound, editions []Edition) (*steer.Program, error) {
	if old == nil && !concernSteering(next, editions) {
		return nil, nil
	}
	program, problems := p.Compile(next, nil)
	for i := range problems {
		if !problems[i].Warning {
			return nil, &SteeringError{problems[i]}
		}
	}
	return program, nil
}

// SteeringError: the steering of a version has a problem, and so it is not
// served.
type SteeringError struct{ Problem steer.Problem }

// Error is the problem's.
func (e *SteeringError) Error() string { return e.Problem.Error() }

// concernSteering reports whether the editions touch a subtree of steering
// records.
func concernSteering(z *zone.Zone, editions []Edition) bool {
	for _, e := range editions {
		for _, list := range [...][]wire.RR{e.Changes.Del, e.Changes.Add} {
			for i := range list {
				if steer.Hidden(list[i].Owner[:len(list[i].Owner)-len(z.Apex())]) {
					return true
				}
			}
		}
	}
	return false
}

// Install serves a version that did not come by a file, kept first. changes lead to it
// from the version that is served; nil: it came as a whole. The zone's steering
// is compiled for it; where that has a problem, tell hears of it, and the zone is
// served with what steering it had, or none.
func (p *Publisher) Install(z *zone.Zone, changes []*zone.Changeset, origin Origin, by string, tell func([]steer.Problem)) error {
	apex := z.Apex()
	defer p.locks.lock(apex)()
	cur := p.Serving(apex)
	program, problems := p.Compile(z, nil)
	if len(problems) > 0 && tell != nil {
		tell(problems)
	}
	if err := p.keepInstalled(z, cur, changes, Version{To: z.Serial(), At: time.Now(), Origin: origin, By: by}); err != nil {
		return err
	}
	p.publish([]Change{{Apex: apex, Zone: z, Steering: program}})
	p.committed(z)
	return nil
}

// maxDiff is how many records a version that came as a whole may differ in from
// the one before to be kept as a change.
const maxDiff = 100_000

func (p *Publisher) keepInstalled(z, cur *zone.Zone, changes []*zone.Changeset, v Version) error {
	if p.versions == nil {
		return nil
	}
	p.commits.wait(z.Apex())
	if cur != nil && len(changes) == 0 && wire.NewerSerial(z.Serial(), cur.Serial()) {
		// It came as a whole, and goes on as what changed: to those who have the
		// version before from us.
		if c := zone.Diff(cur, z); len(c.Del)+len(c.Add) <= maxDiff {
			c.SOAFirst()
			changes = []*zone.Changeset{c}
		}
	}
	if last, _, ok := p.versions.Last(z.Apex()); cur == nil || len(changes) == 0 || !ok || last != cur.Serial() {
		v.From = v.To
		return p.versions.KeepWhole(z, 0, v)
	}
	list := make([]Version, len(changes))
	for i, c := range changes {
		list[i] = v
		list[i].Changes = c
		list[i].From, list[i].To = serialIn(c.Del), serialIn(c.Add)
	}
	return p.versions.Keep(z.Apex(), 0, list)
}

// serialIn is the serial of the SOA among records; 0: there is none.
func serialIn(list []wire.RR) uint32 {
	for i := range list {
		if list[i].Type == wire.TypeSOA {
			serial, _ := wire.SOASerial(list[i].Data)
			return serial
		}
	}
	return 0
}

// Restore serves a version that was kept before, as it is. See Install for tell.
func (p *Publisher) Restore(z *zone.Zone, tell func([]steer.Problem)) {
	defer p.locks.lock(z.Apex())()
	program, problems := p.Compile(z, nil)
	if len(problems) > 0 && tell != nil {
		tell(problems)
	}
	p.publish([]Change{{Apex: z.Apex(), Zone: z, Steering: program}})
	p.committed(z)
}

// Vacate serves SERVFAIL for a zone: its copy has expired.
func (p *Publisher) Vacate(apex []byte) {
	defer p.locks.lock(apex)()
	p.publish([]Change{{Apex: apex, Vacant: true}})
}
