package send

import (
	"errors"
	"fmt"

	"geodns/internal/wire"
)

// smallDelta is how many octets of changes are sent as changes, however small
// the zone is: to send that instead would save nothing.
const smallDelta = 16 << 10

// errEnough ends a walk through the journal.
var errEnough = errors.New("that is all of it")

// changes answers IXFR (RFC 1995 2 and 4).
func (s *Sender) changes(t *stream) error {
	req := t.req
	t.out.From = req.Serial
	// RFC 1995 2: the client has this version, or a newer one (RFC 1982).
	if int32(req.Serial-req.Zone.Serial()) >= 0 {
		return t.alone(Current)
	}
	d, why := s.collect(t)
	var err error
	switch {
	case why != "":
	case d.tooMany:
		err = s.passOn(t)
	default:
		err = t.delta(d)
	}
	if why == "" && err == nil {
		return nil
	}
	if err != nil {
		if t.out.Messages > 0 || t.broken {
			return err
		}
		why = err.Error()
	}
	t.out.Why = why
	// RFC 1995 2: over UDP the SOA alone tells the client to come by TCP.
	if req.UDP {
		return t.alone(UseTCP)
	}
	t.restart()
	return t.whole()
}

// collect reads the changes from the client's version to ours, and condenses
// them. why says why they can't be had or aren't worth it; empty: they are.
func (s *Sender) collect(t *stream) (d *condensed, why string) {
	if s.journal == nil {
		return nil, "there is no journal"
	}
	d = newCondensed(s.maxHeld, len(t.soa.Owner))
	most := max(t.req.Zone.Bytes(), smallDelta)
	err := s.walk(t, func(c *Change) error {
		if err := d.take(c, t.hides); err != nil {
			return err
		}
		// What is held may still shrink; what is only counted doesn't.
		if d.tooMany && d.octets > most {
			return fmt.Errorf("the changes since serial %d are more than the zone", t.req.Serial)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err.Error()
	case d.octets > most:
		return nil, fmt.Sprintf("the changes since serial %d are more than the zone", t.req.Serial)
	}
	return d, ""
}

// walk calls f for each change from the client's version to ours.
func (s *Sender) walk(t *stream, f func(c *Change) error) error {
	at, to := t.req.Serial, t.req.Zone.Serial()
	err := s.journal.Changes(t.req.Zone.Apex(), at, func(c *Change) error {
		if c.From != at {
			return fmt.Errorf("the journal has a change from serial %d where one from %d belongs", c.From, at)
		}
		if err := f(c); err != nil {
			return err
		}
		// What the journal has beyond our version was published since.
		if at = c.To; at == to {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("the journal leads from serial %d to %d, not to %d", t.req.Serial, at, to)
}

// delta sends changes as one (RFC 1995 4 and 5): our SOA; the client's and what
// goes; ours and what comes; ours.
func (t *stream) delta(d *condensed) error {
	t.out.Kind = Changes
	err := t.record(&t.soa)
	if err == nil {
		err = t.record(&d.soa)
	}
	for i := 0; err == nil && i < len(d.list); i++ {
		if rr := &d.list[i].del; rr.Data != nil {
			err = t.record(rr)
		}
	}
	if err == nil {
		err = t.record(&t.soa)
	}
	for i := 0; err == nil && i < len(d.list); i++ {
		if rr := &d.list[i].add; rr.Data != nil {
			err = t.record(rr)
		}
	}
	if err == nil {
		err = t.record(&t.soa)
	}
	if err != nil {
		return err
	}
	return t.flush()
}

// passOn sends changes one after the other, as the journal has them: there are
// too many to hold them.
func (s *Sender) passOn(t *stream) error {
	t.out.Kind = Changes
	if t.req.UDP {
		return errNoRoom
	}
	if err := t.record(&t.soa); err != nil {
		return err
	}
	err := s.walk(t, func(c *Change) error {
		if err := t.half(c.Del); err != nil {
			return err
		}
		return t.half(c.Add)
	})
	if err != nil {
		return err
	}
	if err := t.record(&t.soa); err != nil {
		return err
	}
	return t.flush()
}

// half sends what goes, or what comes, behind its SOA.
func (t *stream) half(list []wire.RR) error {
	soa, err := soaOf(list)
	if err != nil {
		return err
	}
	if err := t.record(soa); err != nil {
		return err
	}
	for i := range list {
		if rr := &list[i]; rr.Type != wire.TypeSOA && !t.hides(rr.Owner, rr.Type) {
			if err := t.record(rr); err != nil {
				return err
			}
		}
	}
	return nil
}

// soaOf is the SOA among the records that go, or come.
func soaOf(list []wire.RR) (*wire.RR, error) {
	for i := range list {
		if list[i].Type == wire.TypeSOA {
			return &list[i], nil
		}
	}
	return nil, errors.New("the journal has a change without its SOAs")
}
