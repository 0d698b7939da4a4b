package publish

import (
	"bytes"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// merge makes a version of a zone that takes updates of its file: the store
// holds the truth, the file is its seed. What an edit of the file changed since it
// was last read is done to the zone as it is now; what updates have done since
// stays.
func (p *Publisher) merge(cur *zone.Zone, ch *Change) (settled, error) {
	if cur == nil {
		z, err := p.overlay(ch.Zone, ch.Steering)
		if err != nil {
			return settled{}, err
		}
		return p.settleFirst(z, ch)
	}
	seed, err := p.versions.Seed(ch.Apex)
	if err != nil {
		return settled{}, err
	}
	if seed == nil {
		// It was served before, but not as a zone that takes updates.
		seed = cur
	}
	edit := zone.Diff(seed, ch.Zone)
	c := toDo(cur, edit)
	if c.Empty() {
		if !edit.Empty() {
			// All of it was done before, but that the file says so was not kept.
			err = p.versions.KeepSeed(ch.Zone, ch.Source)
		}
		return settled{next: cur, from: cur}, err
	}
	if p.policy(ch.Apex) == SerialStrict && !wire.NewerSerial(ch.Zone.Serial(), cur.Serial()) {
		return settled{}, &SerialError{Apex: ch.Apex, File: ch.Zone.Serial(), Served: cur.Serial()}
	}
	soa, file := SOA(cur), SOA(ch.Zone)
	c.Del = append([]wire.RR{soa}, c.Del...)
	c.Add = append([]wire.RR{soaWith(&file, raised(ch.Zone.Serial(), cur.Serial()))}, c.Add...)
	next, err := cur.Apply(c)
	return settled{next: next, from: cur, changes: c, fresh: true}, err
}

// toDo is an edit of the file as far as it is still to be done to cur; without
// the SOA.
func toDo(cur *zone.Zone, edit *zone.Changeset) *zone.Changeset {
	c := &zone.Changeset{}
	gone := map[string]bool{}
	for _, rr := range edit.Del {
		if rr.Type == wire.TypeSOA || stateName(cur, rr.Owner) {
			continue
		}
		if ttl, ok := find(cur, &rr); ok {
			rr.TTL = ttl
			c.Del = append(c.Del, rr)
			gone[recordKey(&rr)] = true
		}
	}
	for _, rr := range edit.Add {
		if rr.Type == wire.TypeSOA {
			continue
		}
		if _, ok := find(cur, &rr); !ok || gone[recordKey(&rr)] {
			c.Add = append(c.Add, rr)
		}
	}
	return c
}

// recordKey tells records apart.
func recordKey(rr *wire.RR) string {
	return string(rr.Owner) + string([]byte{byte(rr.Type >> 8), byte(rr.Type)}) + string(rr.Data)
}

// find looks for a record, of any TTL.
func find(z *zone.Zone, rr *wire.RR) (ttl uint32, ok bool) {
	n, ok := z.Find(rr.Owner)
	if !ok {
		return 0, false
	}
	for it := n.All(); it.Next(); {
		if it.Set.Type != rr.Type {
			continue
		}
		for records := it.Set.Records; ; {
			data, rest, more := wire.NextRecord(records)
			if !more {
				break
			}
			if zone.SameData(rr.Type, data, rr.Data) {
				return it.Set.TTL, true
			}
			records = rest
		}
	}
	return 0, false
}

// stateLabel is the label of the subtree that holds the commands in force.
const stateLabel = "\x06_state"

// stateName reports whether a name is that subtree, or below it.
func stateName(z *zone.Zone, name []byte) bool {
	return bytes.HasSuffix(name, append([]byte(stateLabel), z.Apex()...))
}
