package zonestore

import (
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// ZoneInfo says what is kept of a zone.
type ZoneInfo struct {
	Apex []byte // wire form
	// Newest is the newest version; its zero value: only a seed is kept. Source
	// is what it was made of.
	Newest Version
	Source Hash
	// Current and Seed are nil if there are none.
	Current, Seed *Content
	// Changes is how many are kept, which take Octets; they lead from Oldest to
	// the newest serial.
	Changes int
	Octets  int64
	Oldest  uint32
	// Due: the zone should be compacted.
	Due bool
}

// Zones lists the zones of which something is kept, in no order. Those whose entry
// is damaged are left out, and logged.
func (s *Store) Zones() (list []ZoneInfo, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		list = nil
		return eachHead(tx, func(apex []byte, h *head, err error) error {
			if err != nil {
				_ = s.damaged(apex, err)
				return nil
			}
			list = append(list, s.info(apex, h))
			return nil
		})
	})
	return list, err
}

// Zone says what is kept of one zone; ErrNotThere: nothing.
func (s *Store) Zone(apex []byte) (ZoneInfo, error) {
	h, err := s.hold(apex)
	if err != nil {
		return ZoneInfo{}, err
	}
	defer s.release(h)
	return s.info(apex, h), nil
}

func (s *Store) info(apex []byte, h *head) ZoneInfo {
	z := ZoneInfo{
		Apex: slices.Clone(apex), Newest: h.tail, Source: h.source,
		Changes: int(h.next - h.first), Octets: h.octets, Oldest: h.oldest,
		Due: s.due(h, s.limits(h)),
	}
	if h.has(Current) {
		z.Current = &h.contents[Current].Content
	}
	if h.has(Seed) {
		z.Seed = &h.contents[Seed].Content
	}
	return z
}

// eachHead reads what leads to each zone, or why that can't be read.
func eachHead(tx *bolt.Tx, f func(apex []byte, h *head, err error) error) error {
	b := tx.Bucket([]byte(bucketZones))
	if b == nil {
		return nil
	}
	return b.ForEach(func(apex, blob []byte) error {
		var h *head
		payload, err := unseal(bucketZones, string(apex), blob)
		if err == nil {
			h, err = decodeHead(payload)
		}
		return f(apex, h, err)
	})
}

// Forget drops all that is kept of a zone but commands; that there is nothing is
// no error.
func (s *Store) Forget(apex []byte) error {
	s.timers.forget(apex)
	return s.commit(perChange, func(b *batch) error {
		h, err := b.headOrNew(apex)
		if err != nil && !isDamage(err) {
			return err
		}
		b.dead = append(b.dead, h.generations()...)
		delete(b.heads, string(apex))
		if b.keeps(apex) {
			b.more--
		}
		b.delete(bucketZones, apex)
		b.delete(bucketTimers, apex)
		return nil
	})
}

// RecordsOf are those of a zone, its SOA first.
func RecordsOf(z *zone.Zone) Records {
	return func(yield func(*wire.RR) error) error {
		soa, _ := z.ApexNode().Set(wire.TypeSOA)
		err := eachOf(z.Apex(), &soa, yield)
		z.Each(func(owner []byte, set *zone.RRset) bool {
			if err == nil && set.Type != wire.TypeSOA {
				err = eachOf(owner, set, yield)
			}
			return err == nil
		})
		return err
	}
}

func eachOf(owner []byte, set *zone.RRset, yield func(*wire.RR) error) error {
	for rest := set.Records; ; {
		data, more, ok := wire.NextRecord(rest)
		if !ok {
			return nil
		}
		if err := yield(&wire.RR{Owner: owner, Type: set.Type, TTL: set.TTL, Data: data}); err != nil {
			return err
		}
		rest = more
	}
}

// LoadZone makes the newest version of a zone of its contents and the changes
// behind them.
func (s *Store) LoadZone(apex []byte) (*zone.Zone, error) {
	b := zone.NewBuilder()
	var z *zone.Zone
	_, err := s.Load(apex, adder(b), func(c *Change) (err error) {
		if z == nil {
			z, err = finish(b)
		}
		if err == nil {
			z, err = z.Apply(&zone.Changeset{Del: c.Del, Add: c.Add})
		}
		return err
	})
	if err == nil && z == nil {
		z, err = finish(b)
	}
	return s.loaded(apex, z, err)
}

// ContentZone makes a zone of contents alone.
func (s *Store) ContentZone(apex []byte, kind Kind) (*zone.Zone, Content, error) {
	b := zone.NewBuilder()
	c, err := s.Content(apex, kind, adder(b))
	if err != nil {
		return nil, Content{}, err
	}
	z, err := finish(b)
	z, err = s.loaded(apex, z, err)
	return z, c, err
}

// loaded says of what zone an error is.
func (s *Store) loaded(apex []byte, z *zone.Zone, err error) (*zone.Zone, error) {
	if err == nil {
		return z, nil
	}
	if errors.Is(err, ErrNotThere) || errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return nil, fmt.Errorf("what %s keeps of %s makes no zone: %w", s.path, wire.NameString(apex), err)
}

func adder(b *zone.Builder) func(*wire.RR) error {
	return func(rr *wire.RR) error {
		if p := b.Add(rr); p != nil && !p.Warning {
			return p
		}
		return nil
	}
}

func finish(b *zone.Builder) (*zone.Zone, error) {
	z, problems := b.Finish()
	for _, p := range problems {
		if !p.Warning {
			return nil, p
		}
	}
	return z, nil
}
