package zone

import (
	"bytes"
	"encoding/binary"
	"slices"

	"geodns/internal/wire"
)

// Undo gathers the changes that led from an older version of a zone to a newer
// one, and gives what leads back. The zero Undo has none yet. Memory grows with
// the records that were touched, not with how often.
type Undo struct {
	index map[string]int // into list, by what tells records apart
	list  []fate         // in the order in which records were first touched
}

// fate is a record as it was before all changes, and as it is after them; Data
// is nil where there was, or is, none.
type fate struct{ before, after wire.RR }

// Take adds a change, which has to follow the one before. The records are kept.
func (u *Undo) Take(c *Changeset) {
	if u.index == nil {
		u.index = map[string]int{}
	}
	for i := range c.Del {
		rr := &c.Del[i]
		f, fresh := u.of(rr)
		if fresh {
			f.before = keep(rr)
		}
		f.after = wire.RR{}
	}
	for i := range c.Add {
		rr := &c.Add[i]
		f, _ := u.of(rr)
		f.after = keep(rr)
	}
}

// Changes is what makes the older version of the newer one: Apply of it to the
// newer one gives the older one, its SOA included.
func (u *Undo) Changes() *Changeset {
	c := &Changeset{}
	for i := range u.list {
		f := &u.list[i]
		if sameRecord(&f.before, &f.after) {
			continue
		}
		if f.after.Data != nil {
			c.Del = append(c.Del, f.after)
		}
		if f.before.Data != nil {
			c.Add = append(c.Add, f.before)
		}
	}
	return c
}

func sameRecord(a, b *wire.RR) bool {
	if a.Data == nil || b.Data == nil {
		return a.Data == nil && b.Data == nil
	}
	return a.TTL == b.TTL && bytes.Equal(a.Data, b.Data)
}

// of is the fate of a record. Which one is meant neither the TTL has a say in (RFC
// 1995 4) nor the case of names (RFC 4343 3).
func (u *Undo) of(rr *wire.RR) (f *fate, fresh bool) {
	key := append(binary.BigEndian.AppendUint16(nil, rr.Type), rr.Owner...)
	if at, ok := NameIn(rr.Type); ok && at <= len(rr.Data) {
		key = wire.AppendLower(append(key, rr.Data[:at]...), rr.Data[at:])
	} else {
		key = append(key, rr.Data...)
	}
	i, ok := u.index[string(key)]
	if !ok {
		i = len(u.list)
		u.list = append(u.list, fate{})
		u.index[string(key)] = i
	}
	return &u.list[i], !ok
}

// keep copies a record. Its Data is not nil, whatever its length.
func keep(rr *wire.RR) wire.RR {
	return wire.RR{Owner: slices.Clone(rr.Owner), Type: rr.Type, TTL: rr.TTL, Data: append([]byte{}, rr.Data...)}
}
