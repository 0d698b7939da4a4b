package zonestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

// Change leads from one version of a zone to the next.
type Change struct {
	From uint32 // the serial before; Version has that after
	Version
	// Source is what the version was made of.
	Source Hash
	// Del and Add are what goes and what comes, the SOAs among them, as in
	// zone.Changeset.
	Del, Add []wire.RR
}

// Summary says what a change did, without its records.
type Summary struct {
	From uint32 // the serial before
	Version
	Source   Hash
	Del, Add int // records that went and came, SOAs included
	// Whole: history begins here, with a zone that was kept as a whole or read
	// from its file. From is the Version's serial.
	Whole bool
	// Cut: the records are not kept, so that no transfer can begin here or
	// before.
	Cut bool
}

// entry is what stands before the records of a change.
type entry struct {
	Summary
	parts uint32 // blobs
	size  int64  // what the change takes, in octets, about
}

const (
	// perChange is about what a change takes beside its records, in octets.
	perChange = 128

	entryCut = 1
)

// packed is a change as it is kept.
type packed struct {
	entry
	blobs [][]byte // packed records
}

// pack packs a change, and looks at what every change must be.
func pack(apex []byte, c *Change) (*packed, error) {
	p := &packed{entry: entry{Summary: Summary{From: c.From, Version: c.Version, Source: c.Source, Del: len(c.Del), Add: len(c.Add)}}}
	if wire.NameLen(apex) != len(apex) {
		return nil, fmt.Errorf("%q is no zone's name", apex)
	}
	if !wire.NewerSerial(c.Serial, c.From) {
		return nil, faultf(ErrNotNext, "the change of %s cannot be kept: serial %d is not newer than %d", wire.NameString(apex), c.Serial, c.From)
	}
	if !hasSOA(apex, c.Del, c.From) || !hasSOA(apex, c.Add, c.Serial) {
		return nil, fmt.Errorf("the change of %s cannot be kept: the SOA of serial %d must go in it, and that of serial %d come", wire.NameString(apex), c.From, c.Serial)
	}
	records := &packer{apex: apex}
	var blob []byte
	for i := range len(c.Del) + len(c.Add) {
		var err error
		if i < len(c.Del) {
			blob, err = records.append(blob, &c.Del[i], 0)
		} else {
			blob, err = records.append(blob, &c.Add[i-len(c.Del)], isAdded)
		}
		if err != nil {
			return nil, err
		}
		if len(blob) >= blobSize {
			p.blobs, blob = append(p.blobs, blob), make([]byte, 0, blobSize+4<<10)
			records.reset()
		}
	}
	p.blobs = append(p.blobs, blob)
	p.size = perChange + int64(len(c.By)+len(c.Note))
	for _, blob := range p.blobs {
		p.size += int64(len(blob))
	}
	p.parts = uint32(len(p.blobs))
	return p, nil
}

// hasSOA looks for the SOA of a serial; it stands first by custom.
func hasSOA(apex []byte, list []wire.RR, serial uint32) bool {
	for i := range list {
		if rr := &list[i]; rr.Type == wire.TypeSOA && bytes.Equal(rr.Owner, apex) {
			s, ok := wire.SOASerial(rr.Data)
			return ok && s == serial
		}
	}
	return false
}

// cut leaves the records out.
func (p *packed) cut() {
	p.Cut, p.size, p.blobs, p.parts = true, perChange+int64(len(p.By)+len(p.Note)), [][]byte{nil}, 1
}

// putChange writes a change under a number.
func (b *batch) putChange(journal, n uint64, p *packed) {
	for i, records := range p.blobs {
		blob := make([]byte, sealSize, sealSize+perChange+len(records))
		if i == 0 {
			e := encodeEntry(&p.entry)
			blob = append(binary.AppendUvarint(blob, uint64(len(e))), e...)
		}
		b.put(bucketChanges, changeKey(journal, n, uint32(i)), append(blob, records...))
	}
}

func encodeEntry(e *entry) []byte {
	flags := byte(0)
	if e.Cut {
		flags = entryCut
	}
	b := binary.AppendUvarint([]byte{flags}, uint64(e.From))
	b = append(appendVersion(b, &e.Version), e.Source[:]...)
	for _, n := range []uint64{uint64(e.Del), uint64(e.Add), uint64(e.parts), uint64(e.size)} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// decodeEntry reads what stands before the records; those follow in rest.
func decodeEntry(payload []byte) (e entry, rest []byte, err error) {
	d := &decoder{rest: payload}
	in := d.entry()
	e.Cut = in.octet()&entryCut != 0
	e.From, e.Version, e.Source = in.number32(), in.version(), in.hash()
	e.Del, e.Add, e.parts, e.size = int(in.size()), int(in.size()), in.number32(), in.size()
	if in.err == nil && (e.parts == 0 || !wire.NewerSerial(e.Serial, e.From)) {
		return e, nil, damagef("a change leads from %d to %d", e.From, e.Serial)
	}
	return e, d.rest, in.err
}

// readEntry reads about a change.
func readEntry(tx *bolt.Tx, journal, n uint64) (entry, error) {
	payload, err := get(tx, bucketChanges, string(changeKey(journal, n, 0)))
	if err != nil {
		return entry{}, err
	}
	e, _, err := decodeEntry(payload)
	return e, err
}

// unpack reads the records of a change behind what is known of it. They lie in
// the blobs.
func unpack(apex []byte, e *entry, blobs [][]byte) (*Change, error) {
	total := 0
	for _, b := range blobs {
		total += len(b)
	}
	// No record takes less than two octets.
	if e.Del > total/2 || e.Add > total/2-e.Del {
		return nil, damagef("a change of %d octets has %d records", total, e.Del+e.Add)
	}
	all := make([]wire.RR, 0, e.Del+e.Add)
	u := &unpacker{apex: apex, keep: true}
	for _, blob := range blobs {
		for u.reset(blob); len(u.rest) > 0; {
			var rr wire.RR
			flags, err := u.next(&rr)
			if err != nil {
				return nil, err
			}
			if len(all) == cap(all) || (flags&isAdded != 0) != (len(all) >= e.Del) {
				return nil, damagef("a change has other records than it says")
			}
			all = append(all, rr)
		}
	}
	if len(all) != cap(all) {
		return nil, damagef("%d of %d records of a change are there", len(all), cap(all))
	}
	return &Change{From: e.From, Version: e.Version, Source: e.Source, Del: slices.Clip(all[:e.Del]), Add: all[e.Del:]}, nil
}
