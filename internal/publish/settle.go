package publish

import (
	"fmt"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// settled is what becomes of a version that a file makes.
type settled struct {
	// next is what is to be served: the file's records and those of the commands
	// in force, with the serial of its own.
	next *zone.Zone
	// from is the version that it follows; nil: none is known. changes lead from
	// it to next; nil: not found out yet.
	from    *zone.Zone
	changes *zone.Changeset
	program *steer.Program // of next
	// fresh: next is a version that was never there before.
	fresh bool
}

// settle numbers the version that a file makes, and seals it. The zone's lock is
// held.
func (p *Publisher) settle(ch *Change) (settled, error) {
	s, err := p.number(ch)
	if err != nil || s.next == s.from {
		return s, err
	}
	s.next, err = p.seal(s.next, s.changes)
	return s, err
}

func (p *Publisher) number(ch *Change) (settled, error) {
	cur := p.Serving(ch.Apex)
	if p.takes(ch.Apex) {
		return p.merge(cur, ch)
	}
	z, err := p.unsealed(ch.Zone)
	if err == nil {
		z, err = p.overlay(z, ch.Steering)
	}
	if err != nil {
		return settled{}, err
	}
	if cur == nil {
		return p.settleFirst(z, ch)
	}
	if wire.NewerSerial(z.Serial(), cur.Serial()) {
		return settled{next: z, from: cur, fresh: true}, nil
	}
	same, _, err := WithSerial(z, cur.Serial())
	if err != nil {
		return settled{}, err
	}
	plain, err := p.unsealed(cur)
	if err != nil {
		return settled{}, err
	}
	changes := zone.Diff(plain, same)
	if changes.Empty() {
		return settled{next: cur, from: cur}, nil
	}
	if p.policy(ch.Apex) == SerialStrict {
		return settled{}, &SerialError{Apex: ch.Apex, File: ch.Zone.Serial(), Served: cur.Serial()}
	}
	next, _, err := WithSerial(z, cur.Serial()+1)
	return settled{next: next, from: cur, fresh: true}, err
}

// Check reports whether a version that a file makes can be published: a
// *SerialError says that it is to have a newer serial.
func (p *Publisher) Check(ch Change) error {
	defer p.locks.lock(ch.Apex)()
	_, err := p.settle(&ch)
	return err
}

// steering is that of a settled version. What was compiled for the file holds for
// it too, but for the commands that it brings with it; unless updates have made
// another zone of it.
func (p *Publisher) steering(ch *Change, s *settled, fresh map[string]*zone.Zone) (*steer.Program, error) {
	if !p.takes(ch.Apex) {
		return ch.Steering.WithCommands(ch.Apex, p.stateOf(s.next, ch.Steering)), nil
	}
	program, problems := p.Compile(s.next, fresh)
	for i := range problems {
		if !problems[i].Warning {
			return nil, &SteeringError{problems[i]}
		}
	}
	return program, nil
}

// settleFirst numbers the first version since the start.
func (p *Publisher) settleFirst(z *zone.Zone, ch *Change) (settled, error) {
	if p.versions == nil {
		return settled{next: z, fresh: true}, nil
	}
	serial, source, ok := p.versions.Last(ch.Apex)
	switch {
	case !ok, wire.NewerSerial(z.Serial(), serial):
		return settled{next: z, fresh: true}, nil
	case source == p.source(ch):
		// The very same: serials may have been raised by us since it was written.
		next, _, err := WithSerial(z, serial)
		return settled{next: next}, err
	case p.policy(ch.Apex) == SerialStrict && serial != z.Serial():
		return settled{}, &SerialError{Apex: ch.Apex, File: ch.Zone.Serial(), Served: serial}
	}
	next, _, err := WithSerial(z, raised(z.Serial(), serial))
	return settled{next: next, fresh: true}, err
}

// source is what a version is made of: files and commands.
func (p *Publisher) source(ch *Change) Source {
	s := ch.Source
	for _, rr := range p.stateOf(ch.Zone, ch.Steering) {
		s ^= Source(hashOf(rr.Owner, rr.Data))
	}
	return s
}

// hashOf is FNV-1a of both, 64 bits.
func hashOf(a, b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, list := range [...][]byte{a, b} {
		for _, c := range list {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	return h
}

// stateOf are the records that the commands in force make in a zone.
func (p *Publisher) stateOf(z *zone.Zone, program *steer.Program) []wire.RR {
	if p.o.State == nil || z.Signed() {
		return nil
	}
	return p.o.State(z, program)
}

// overlay adds the records of the commands in force.
func (p *Publisher) overlay(z *zone.Zone, program *steer.Program) (*zone.Zone, error) {
	list := p.stateOf(z, program)
	if len(list) == 0 {
		return z, nil
	}
	next, err := z.Apply(&zone.Changeset{Add: list})
	if err != nil {
		return nil, fmt.Errorf("the commands in force can't be added to the zone: %w; take the records below _state out of the file", err)
	}
	return next, nil
}

func (p *Publisher) policy(apex []byte) SerialPolicy {
	if p.o.Serial == nil {
		return SerialAuto
	}
	return p.o.Serial(apex)
}

// takes reports whether a zone takes updates, so that its file is but its seed.
func (p *Publisher) takes(apex []byte) bool {
	return p.versions != nil && p.o.Takes != nil && p.o.Takes(apex)
}
