package publish

import (
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonemd"
)

// Rollback makes a version that says again what an older one said, with the next
// serial; undo leads from cur to that one (zone.Undo). The records of commands in
// force stay as they are: they are given and taken back as commands. So does a
// digest, which is of one serial only (RFC 8976 3.3.1). nil: cur says the same
// already.
func Rollback(cur *zone.Zone, undo *zone.Changeset) (*zone.Zone, *zone.Changeset, error) {
	soa := SOA(cur)
	again := soa
	c := &zone.Changeset{Del: []wire.RR{soa}}
	c.Del = append(c.Del, content(cur, undo.Del, nil)...)
	rest := content(cur, undo.Add, &again)
	next := soaWith(&again, cur.Serial()+1)
	c.Add = append([]wire.RR{next}, rest...)
	if same := soaWith(&again, cur.Serial()); len(c.Del) == 1 && len(rest) == 0 && recordKey(&same) == recordKey(&soa) && same.TTL == soa.TTL {
		return nil, nil, nil
	}
	z, err := cur.Apply(c)
	return z, c, err
}

// content are the records of a list that are not those of commands, no digest, and
// not the SOA, which is put into soa.
func content(z *zone.Zone, list []wire.RR, soa *wire.RR) (rest []wire.RR) {
	for i := range list {
		switch rr := &list[i]; {
		case rr.Type == wire.TypeSOA:
			if soa != nil {
				*soa = *rr
			}
		case !stateName(z, rr.Owner) && rr.Type != zonemd.Type:
			rest = append(rest, *rr)
		}
	}
	return rest
}
