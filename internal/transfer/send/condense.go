package send

import (
	"bytes"
	"encoding/binary"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// condensed is several changes made one (RFC 1995 5): a record that came and
// went again is in none of its lists.
type condensed struct {
	soa  wire.RR // of the version before
	list []net   // in the order in which records were first touched
	// octets is about what the changes take in messages.
	octets int
	// tooMany: they are only counted, since more than maxHeld would be held.
	tooMany bool

	index map[string]int32 // into list
	mem   []byte           // where copies of records lie; a full one is left to them
	key   []byte
	apex  int // its length
	held  int // octets that list, index and copies take
	max   int
}

// net is what becomes of one record: it goes, it comes, both (with another TTL,
// or in another case), or neither. Data is nil where it doesn't.
type net struct{ del, add wire.RR }

// heldEach is about what a record takes beside its octets.
const heldEach = 250

func newCondensed(most, apex int) *condensed {
	return &condensed{index: map[string]int32{}, max: most, apex: apex}
}

// take adds a change, but for records whose owners are hidden.
func (d *condensed) take(c *Change, hides func(owner []byte, typ wire.Type) bool) error {
	old, err := soaOf(c.Del)
	if err != nil {
		return err
	}
	if _, err := soaOf(c.Add); err != nil {
		return err
	}
	if d.soa.Data == nil {
		d.soa = d.copy(old)
	}
	for _, half := range []struct {
		list []wire.RR
		note func(rr *wire.RR)
	}{{c.Del, d.goes}, {c.Add, d.comes}} {
		for i := range half.list {
			rr := &half.list[i]
			switch {
			case rr.Type == wire.TypeSOA || hides(rr.Owner, rr.Type):
			case d.tooMany:
				d.octets += d.size(rr)
			default:
				half.note(rr)
			}
		}
	}
	if d.held > d.max && !d.tooMany {
		d.tooMany = true
		d.list, d.index, d.mem = nil, nil, nil
	}
	return nil
}

// size is about what a record takes in a message, in octets.
func (d *condensed) size(rr *wire.RR) int {
	return len(rr.Owner) - d.apex + 2 + 10 + len(rr.Data)
}

// goes notes that a record is deleted. Which one is meant the TTL has no say in
// (RFC 1995 4), nor has the case of names.
func (d *condensed) goes(rr *wire.RR) {
	switch n := d.of(rr); {
	case n.add.Data != nil:
		d.octets -= d.size(&n.add)
		n.add = wire.RR{}
	case n.del.Data == nil:
		n.del = d.copy(rr)
		d.octets += d.size(rr)
	}
}

// comes notes that a record is added.
func (d *condensed) comes(rr *wire.RR) {
	n := d.of(rr)
	if n.del.Data != nil && n.del.TTL == rr.TTL && bytes.Equal(n.del.Data, rr.Data) {
		d.octets -= d.size(rr)
		n.del = wire.RR{}
		return
	}
	if n.add.Data == nil {
		d.octets += d.size(rr)
	}
	n.add = d.copy(rr)
}

// of is what becomes of a record.
func (d *condensed) of(rr *wire.RR) *net {
	d.key = append(binary.BigEndian.AppendUint16(d.key[:0], rr.Type), rr.Owner...)
	if at, ok := zone.NameIn(rr.Type); ok && at <= len(rr.Data) {
		d.key = wire.AppendLower(append(d.key, rr.Data[:at]...), rr.Data[at:])
	} else {
		d.key = append(d.key, rr.Data...)
	}
	i, ok := d.index[string(d.key)]
	if !ok {
		i = int32(len(d.list))
		d.list = append(d.list, net{})
		d.index[string(d.key)] = i
		d.held += heldEach + len(d.key)
	}
	return &d.list[i]
}

// copy keeps a record beyond the call that it came with. Its Data is not nil.
func (d *condensed) copy(rr *wire.RR) wire.RR {
	n := len(rr.Owner) + len(rr.Data)
	if cap(d.mem)-len(d.mem) < n {
		d.mem = make([]byte, 0, max(n, 4<<10))
	}
	at := len(d.mem)
	d.mem = append(append(d.mem, rr.Owner...), rr.Data...)
	d.held += n
	data := at + len(rr.Owner)
	return wire.RR{Owner: d.mem[at:data:data], Type: rr.Type, TTL: rr.TTL, Data: d.mem[data:len(d.mem):len(d.mem)]}
}
