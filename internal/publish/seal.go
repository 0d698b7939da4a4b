package publish

import (
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonemd"
)

// seals reports whether versions of a zone carry a digest (RFC 8976).
func (p *Publisher) seals(apex []byte) bool { return p.o.Seal != nil && p.o.Seal(apex) }

// seal gives a version the digest of its own, instead of one that it has, and
// adds to changes, if they are not nil, what that changes. Zones that are not to
// have one are left as they are.
func (p *Publisher) seal(z *zone.Zone, changes *zone.Changeset) (*zone.Zone, error) {
	if z == nil || !p.seals(z.Apex()) || z.Signed() {
		return z, nil
	}
	rr, err := zonemd.Record(z, zonemd.SHA384)
	if err != nil {
		return nil, err
	}
	c := &zone.Changeset{Del: digests(z), Add: []wire.RR{rr}}
	next, err := z.Apply(c)
	if err != nil {
		return nil, err
	}
	if changes != nil {
		changes.Del = append(changes.Del, c.Del...)
		changes.Add = append(changes.Add, c.Add...)
	}
	return next, nil
}

// unsealed is a version without its digest, if it is we who make that.
func (p *Publisher) unsealed(z *zone.Zone) (*zone.Zone, error) {
	list := digests(z)
	if len(list) == 0 || !p.seals(z.Apex()) {
		return z, nil
	}
	return z.Apply(&zone.Changeset{Del: list})
}

func digests(z *zone.Zone) (list []wire.RR) {
	set, _ := z.ApexNode().Set(zonemd.Type)
	for records := set.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return list
		}
		list = append(list, wire.RR{Owner: z.Apex(), Type: zonemd.Type, TTL: set.TTL, Data: append([]byte(nil), data...)})
		records = rest
	}
}
