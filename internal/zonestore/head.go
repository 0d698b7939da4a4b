package zonestore

import (
	"encoding/binary"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Origin says how a version of a zone came to be.
type Origin string

// The origins.
const (
	FromFile     Origin = "file"
	FromTransfer Origin = "transfer"
	FromUpdate   Origin = "update"
	FromCommand  Origin = "command"
)

// Version is one version of a zone.
type Version struct {
	Serial uint32
	At     time.Time // when it was made; kept to the microsecond
	Origin Origin
	// By is who made it: a key, a peer or a file; Note is a word about it.
	By, Note string
}

// Hash is what a version was made of, as its maker computes it; zero: nothing
// that could be compared.
type Hash [32]byte

// Kind says which contents of a zone are meant.
type Kind uint8

const (
	// Current is what is served: this, and the changes behind it.
	Current Kind = iota
	// Seed is the zone's file as it was last read, for zones that also take
	// updates.
	Seed

	kinds = 2
)

// Content says what is kept as a whole of a zone.
type Content struct {
	Version
	Source  Hash
	Records int
	Octets  int64 // as packed
}

// stored is a Content and where it is.
type stored struct {
	Content
	gen   uint64 // 0: there is none
	blobs uint32
}

// head is what leads to all that is kept of one zone.
type head struct {
	// tail is the newest version; known tells whether there is one. source is
	// what it was made of.
	known  bool
	tail   Version
	source Hash
	// begin is the version before the first change of all. If its serial is not
	// oldest any more, changes have been cut off.
	begin    Version
	contents [kinds]stored

	// journal is the generation of the changes, first the number of the oldest
	// one, next that of the one to come, replay that of the first one behind the
	// current contents, or next if there are none.
	journal             uint64
	first, next, replay uint64
	// oldest is the serial from which the oldest change leads.
	oldest uint32
	// octets is what all changes take, behind what those from replay on do.
	octets, behind int64

	newer []byte // fields that a newer release wrote
}

func (h *head) has(k Kind) bool { return h.contents[k].gen != 0 }

// generations are those that the head leads to.
func (h *head) generations() (list []uint64) {
	for _, gen := range []uint64{h.contents[Current].gen, h.contents[Seed].gen, h.journal} {
		if gen != 0 {
			list = append(list, gen)
		}
	}
	return list
}

// begins makes a version, without changes, the first one of all. It returns the
// generations that are of no use any more.
func (h *head) begins(v Version, source Hash, journal uint64) (dead []uint64) {
	if h.journal != 0 {
		dead = append(dead, h.journal)
	}
	h.known, h.tail, h.source, h.begin = true, v, source, v
	h.journal, h.first, h.next, h.replay = journal, 0, 0, 0
	h.oldest, h.octets, h.behind = v.Serial, 0, 0
	return dead
}

func appendVersion(b []byte, v *Version) []byte {
	b = binary.AppendUvarint(b, uint64(v.Serial))
	b = appendTime(b, v.At)
	return appendText(appendText(appendText(b, string(v.Origin)), v.By), v.Note)
}

func (d *decoder) version() Version {
	return Version{Serial: d.number32(), At: d.time(), Origin: Origin(d.text()), By: d.text(), Note: d.text()}
}

func (d *decoder) number32() uint32 {
	n := d.uvarint()
	if n > 1<<32-1 {
		d.fail()
	}
	return uint32(n)
}

// size reads a number of octets or entries.
func (d *decoder) size() int64 {
	n := d.uvarint()
	if n > 1<<62 {
		d.fail()
		return 0
	}
	return int64(n)
}

func (d *decoder) hash() (h Hash) {
	for i := range h {
		h[i] = d.octet()
	}
	return h
}

const (
	headKnown   = 1
	headCurrent = 2 // and Seed is the next bit
)

func encodeHead(h *head) []byte {
	flags := byte(0)
	if h.known {
		flags |= headKnown
	}
	for k := range h.contents {
		if h.has(Kind(k)) {
			flags |= headCurrent << k
		}
	}
	b := []byte{flags}
	b = append(appendVersion(b, &h.tail), h.source[:]...)
	b = appendVersion(b, &h.begin)
	for k := range h.contents {
		if c := &h.contents[k]; h.has(Kind(k)) {
			b = append(appendVersion(b, &c.Version), c.Source[:]...)
			for _, n := range []uint64{uint64(c.Records), uint64(c.Octets), c.gen, uint64(c.blobs)} {
				b = binary.AppendUvarint(b, n)
			}
		}
	}
	for _, n := range []uint64{h.journal, h.first, h.next, h.replay, uint64(h.oldest), uint64(h.octets), uint64(h.behind)} {
		b = binary.AppendUvarint(b, n)
	}
	return append(b, h.newer...)
}

func decodeHead(payload []byte) (*head, error) {
	d := &decoder{rest: payload}
	flags := d.octet()
	h := &head{known: flags&headKnown != 0, tail: d.version(), source: d.hash(), begin: d.version()}
	for k := range h.contents {
		if flags&(headCurrent<<k) == 0 {
			continue
		}
		c := &h.contents[k]
		c.Content = Content{Version: d.version(), Source: d.hash(), Records: int(d.size()), Octets: d.size()}
		c.gen, c.blobs = d.uvarint(), d.number32()
		if d.err == nil && c.gen == 0 {
			return nil, damagef("a zone's contents are nowhere")
		}
	}
	h.journal, h.first, h.next, h.replay = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	h.oldest, h.octets, h.behind = d.number32(), d.size(), d.size()
	if d.err != nil {
		return nil, d.err
	}
	if h.first > h.next || h.replay > h.next || h.journal == 0 && h.next > 0 {
		return nil, damagef("a zone's changes are numbered from %d to %d", h.first, h.next)
	}
	h.newer = slices.Clone(d.rest)
	return h, nil
}

// countOfZones is how many zones something should lead to: that one is missing
// shows in nothing else.
func countOfZones(tx *bolt.Tx) (int, error) {
	payload, err := get(tx, bucketMeta, keyZones)
	if err != nil {
		return 0, err
	}
	d := &decoder{rest: payload}
	n := d.size()
	return int(n), d.err
}

func putCountOfZones(tx *bolt.Tx, n int) error {
	return put(tx, bucketMeta, keyZones, binary.AppendUvarint(nil, uint64(n)))
}

// readHead returns what leads to a zone; ErrNotThere if nothing is kept of it.
func readHead(tx *bolt.Tx, apex []byte) (*head, error) {
	b := tx.Bucket([]byte(bucketZones))
	if b == nil {
		return nil, ErrNotThere
	}
	blob := b.Get(apex)
	if blob == nil {
		return nil, ErrNotThere
	}
	payload, err := unseal(bucketZones, string(apex), blob)
	if err != nil {
		return nil, err
	}
	return decodeHead(payload)
}
