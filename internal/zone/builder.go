package zone

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"geodns/internal/wire"
)

// Builder compiles a zone from its records in any order. It can be used for
// many zones, one after the other, and keeps its buffers between them.
//
// A name's records mostly stand together: they go straight into a node. Records
// of a name that comes up again are put aside, and merged once, by Finish, so
// that no order of records makes the work grow with its square.
type Builder struct {
	arena   arena
	scratch []byte   // the first chunk, kept from zone to zone
	slots   []uint32 // the first index, likewise
	index   index
	apex    []byte // nil until the SOA came
	cur     draft  // the name at hand, which has no node yet
	hash    uint64 // of cur's name
	records int
	// places are where nodes were written, in that order, those that are dead by
	// now among them: what walks over all goes through memory from one end to the
	// other.
	places []uint32

	// early holds the records before the SOA, which is what says where the
	// apex is.
	early []wire.RR
	aside []byte // see putAside
	late  map[string]*later
}

// later is what came of a name after its node had been written.
type later struct {
	head         int // the last entry in Builder.aside, plus one
	cname, other bool
	only         map[wire.Type][]byte // see keep
}

const (
	firstChunk = 64 << 10 // octets
	// keptPlaces is how many places a Builder keeps room for between zones.
	keptPlaces = 64 << 10
)

// NewBuilder returns a Builder.
func NewBuilder() *Builder {
	b := &Builder{scratch: make([]byte, firstChunk), slots: make([]uint32, pageSize)}
	b.cur.reuse = true
	b.Reset(0)
	return b
}

// Reset forgets everything. names is about how many names are to come; 0: not
// known.
func (b *Builder) Reset(names int) {
	b.arena = newArena(0)
	b.scratch[gone*unit] = 0xff
	b.arena.chunks[0] = b.scratch
	if names > pageSize/2 {
		b.index = newIndex(rand.Uint64(), names, 0)
	} else {
		clear(b.slots)
		b.index = index{seed: rand.Uint64(), slots: pageSize, place: tagPlaces, flat: b.slots}
	}
	b.apex, b.records = nil, 0
	b.cur.rel, b.cur.sets = b.cur.rel[:0], b.cur.sets[:0]
	b.early, b.aside, b.late = nil, nil, nil
	if cap(b.places) > keptPlaces {
		b.places = nil
	}
	b.places = b.places[:0]
}

// Apex is the zone's name once its SOA has come, else nil.
func (b *Builder) Apex() []byte { return b.apex }

// maxEarly bounds the records before the SOA.
const maxEarly = 10000

// Add takes a record. A Problem that is no Warning means that the record was
// refused; the Builder goes on as if it hadn't come.
func (b *Builder) Add(rr *wire.RR) *Problem {
	if wire.MetaType(rr.Type) {
		return &Problem{Rule: "meta-type", Message: "a type that can only be asked for", Remedy: "remove the record (RFC 6895 3.1)"}
	}
	if b.apex == nil {
		return b.addEarly(rr)
	}
	return b.add(rr)
}

// addEarly keeps records until the SOA tells the apex. What is wrong with them
// is told when the SOA comes, by its Problem.
func (b *Builder) addEarly(rr *wire.RR) *Problem {
	if rr.Type != wire.TypeSOA {
		if len(b.early) >= maxEarly {
			return &Problem{Rule: "no-soa", Message: "many records and no SOA yet", Remedy: "begin the zone with its SOA"}
		}
		b.early = append(b.early, wire.RR{Owner: bytes.Clone(rr.Owner), Type: rr.Type, TTL: rr.TTL, Data: bytes.Clone(rr.Data)})
		return nil
	}
	b.apex = bytes.Clone(rr.Owner)
	p := b.add(rr)
	for i := range b.early {
		if q := b.add(&b.early[i]); q != nil && (p == nil || p.Warning) {
			p = &Problem{Rule: q.Rule, Warning: q.Warning, Message: "before the SOA, at " + wire.NameString(b.early[i].Owner) + ": " + q.Message, Remedy: q.Remedy}
		}
	}
	b.early = nil
	return p
}

func (b *Builder) add(rr *wire.RR) *Problem {
	if len(b.arena.chunks) >= maxChunks {
		return zoneTooLarge
	}
	if 2+len(rr.Data) > MaxRecords {
		return setTooLong
	}
	if !wire.HasSuffix(rr.Owner, b.apex) {
		return &Problem{Rule: "out-of-zone", Message: wire.NameString(rr.Owner) + " is not in the zone " + wire.NameString(b.apex), Remedy: "move it to its own zone, or mind the final dot"}
	}
	rel := rr.Owner[:len(rr.Owner)-len(b.apex)]
	if rr.Type == wire.TypeSOA && len(rel) > 0 {
		return &Problem{Rule: "soa-below-apex", Message: "a SOA below the apex " + wire.NameString(b.apex), Remedy: "a zone has one SOA, at its apex (RFC 1035 5.2): put the other zone into a file of its own"}
	}
	if !bytes.Equal(rel, b.cur.rel) || b.records == 0 {
		b.flush()
		b.cur.rel = append(b.cur.rel[:0], rel...)
	}
	b.records++
	// The name may have been written before: then its rules are checked
	// against what is known of that.
	if len(b.cur.sets) == 0 {
		b.hash = b.index.hashRel(rel)
		if _, _, pos, ok := b.index.find(&b.arena, b.hash, nil, rel); ok {
			return b.putAside(pos, rel, rr)
		}
	}
	p := b.cur.add(rr, true)
	if p != nil && !p.Warning {
		return p
	}
	if b.cur.mixed() {
		b.cur.takeBack(rr)
		return cnameConflict
	}
	return p
}

func (b *Builder) place(rel []byte) (uint32, bool) {
	_, _, pos, ok := b.index.find(&b.arena, b.index.hashRel(rel), nil, rel)
	return pos, ok
}

// mixed is conflict's first rule, for a name to which a record was just added.
func (d *draft) mixed() bool {
	if len(d.sets) < 2 {
		return false
	}
	p := d.conflict()
	return p == cnameConflict
}

// takeBack undoes the add of a record that began a set.
func (d *draft) takeBack(rr *wire.RR) {
	if last := len(d.sets) - 1; d.sets[last].typ == rr.Type && d.sets[last].count == 1 {
		d.sets = d.sets[:last]
	}
}

// putAside keeps a record of a name that has a node already. An entry is the
// place of the entry before it (8 octets), the type, the TTL, the length, and
// the RDATA.
func (b *Builder) putAside(pos uint32, rel []byte, rr *wire.RR) *Problem {
	if b.late == nil {
		b.late = map[string]*later{}
	}
	l := b.late[string(rel)]
	if l == nil {
		l = &later{}
		for it := (Node{b.arena.at(pos)}).All(); it.Next(); {
			data, _, _ := wire.NextRecord(it.Set.Records)
			l.note(it.Set.Type)
			l.keep(it.Set.Type, data)
		}
		b.late[string(rel)] = l
	}
	if have, ok := l.only[rr.Type]; ok {
		if SameData(rr.Type, have, rr.Data) {
			return duplicate
		}
		return second(rr.Type)
	}
	before := *l
	l.note(rr.Type)
	if l.cname && l.other {
		*l = before
		return cnameConflict
	}
	at := len(b.aside)
	b.aside = binary.BigEndian.AppendUint64(b.aside, uint64(l.head))
	b.aside = binary.BigEndian.AppendUint16(b.aside, rr.Type)
	b.aside = binary.BigEndian.AppendUint32(b.aside, rr.TTL)
	b.aside = wire.AppendRecord(b.aside, rr.Data)
	l.head = at + 1
	l.keep(rr.Type, rr.Data)
	return nil
}

// keep remembers the record of a type that may stand once, to compare others
// with.
func (l *later) keep(t wire.Type, data []byte) {
	if Single(t) == "" {
		return
	}
	if l.only == nil {
		l.only = map[wire.Type][]byte{}
	}
	l.only[t] = bytes.Clone(data)
}

func (l *later) note(t wire.Type) {
	switch {
	case t == wire.TypeCNAME:
		l.cname = true
	case !BesideCNAME(t):
		l.other = true
	}
}

// flush writes the node of the name at hand.
func (b *Builder) flush() {
	if len(b.cur.sets) == 0 {
		return
	}
	pos := b.append(&b.cur)
	w := writer{x: &b.index, a: &b.arena}
	w.putNew(b.hash, pos)
	b.cur.sets = b.cur.sets[:0]
}

// append writes a draft's node, and sees that there is room for it in the
// index.
func (b *Builder) append(d *draft) uint32 {
	mem, pos := b.arena.alloc(d.size())
	d.encode(mem)
	if b.index.full(1) || pos > b.index.place {
		b.index = indexOf(b.places, &b.arena, b.index.seed, int(b.index.names)*2)
	}
	b.places = append(b.places, pos)
	return pos
}

// write appends the node of a draft, whose name has that hash, and leads the
// index to it.
func (b *Builder) write(d *draft, h uint64) {
	pos := b.append(d)
	old, slot, _, ok := b.index.find(&b.arena, h, nil, d.rel)
	if ok {
		b.arena.live -= old.size()
		old.b[1] |= flagDead
	} else {
		b.index.used++
		b.index.names++
	}
	w := writer{x: &b.index, a: &b.arena}
	w.set(slot, b.index.entry(h, pos))
}

// Finish returns the zone. The Builder is to be Reset before it is used again.
func (b *Builder) Finish() (*Zone, []*Problem) {
	b.flush()
	if b.apex == nil {
		return nil, []*Problem{noSOA}
	}
	problems := b.merge()
	problems = append(problems, b.link()...)
	z := &Zone{arena: b.arena, index: b.index, apex: b.apex, labels: wire.Labels(b.apex)}
	if p := z.refresh(); p != nil {
		return nil, append(problems, p)
	}
	if _, ok := z.node.Set(wire.TypeNS); !ok {
		return nil, append(problems, noNS)
	}
	z.settle(b.places)
	z.reorder()
	b.arena = arena{}
	for _, p := range problems {
		if !p.Warning {
			return nil, problems
		}
	}
	return z, problems
}

var zoneTooLarge = &Problem{Rule: "zone-too-large", Message: "the zone is larger than 16 GiB", Remedy: "delegate a part of it"}

var noNS = &Problem{Rule: "no-ns", Message: "the apex has no NS record", Remedy: "name the zone's name servers: `@ NS ns1`"}

// merge adds what was put aside to the nodes.
func (b *Builder) merge() (problems []*Problem) {
	var d draft
	var chain []int
	for rel, l := range b.late {
		pos, _ := b.place([]byte(rel))
		d.load(Node{b.arena.at(pos)})
		chain = chain[:0]
		for at := l.head; at != 0; at = int(binary.BigEndian.Uint64(b.aside[at-1:])) {
			chain = append(chain, at-1)
		}
		for i := len(chain) - 1; i >= 0; i-- {
			e := b.aside[chain[i]:]
			data, _, _ := wire.NextRecord(e[14:])
			rr := wire.RR{Type: binary.BigEndian.Uint16(e[8:]), TTL: binary.BigEndian.Uint32(e[10:]), Data: data}
			if p := d.add(&rr, true); p != nil {
				problems = append(problems, at(rel, b.apex, p))
			}
		}
		b.write(&d, b.index.hashRel(d.rel))
	}
	b.late, b.aside = nil, nil
	return problems
}

// at is a Problem with its owner named.
func at(rel string, apex []byte, p *Problem) *Problem {
	q := *p
	q.Message = wire.NameString(append([]byte(rel), apex...)) + ": " + p.Message
	return &q
}

// link finds the parents of all names, makes those that are missing (ENTs,
// RFC 4592 2.2.2), counts children, notes wildcards, and checks each name as a
// whole.
func (b *Builder) link() (problems []*Problem) {
	var apex, d draft
	var s suffixes
	b.places = slices.DeleteFunc(b.places, func(pos uint32) bool {
		return Node{b.arena.at(pos)}.flags()&flagDead != 0
	})
	for _, pos := range b.places { // not those that are written meanwhile
		n := Node{b.arena.at(pos)}
		if f := n.flags(); f&flagDNAME != 0 || f&flagCNAME != 0 {
			d.load(n)
			if p := d.conflict(); p != nil {
				problems = append(problems, at(string(d.rel), b.apex, p))
			}
		}
		if n.flags()&flagHidden != 0 {
			continue
		}
		rel := n.Rel()
		labels := b.index.hashes(rel, &s)
		for i := range labels {
			at := int(s.offs[i])
			star := rel[at] == 1 && rel[at+1] == '*'
			if i == labels-1 {
				apex.children++
				apex.wildcard = apex.wildcard || star
				break
			}
			// A parent that is new is itself a child of its own parent.
			if b.adopt(rel[s.offs[i+1]:], s.hash[i+1], star, &d) {
				break
			}
		}
	}
	if pos, ok := b.place(nil); ok && apex.children > 0 {
		d.load(Node{b.arena.at(pos)})
		d.children, d.wildcard = apex.children, apex.wildcard
		b.write(&d, b.index.seed)
	}
	return problems
}

// adopt gives a name, of that hash, one more child, and reports whether the name existed. A
// node that has children already counts on in its place: nobody but the Builder
// has seen it.
func (b *Builder) adopt(rel []byte, h uint64, star bool, d *draft) (existed bool) {
	n, _, _, ok := b.index.find(&b.arena, h, nil, rel)
	if !ok {
		*d = draft{rel: append(d.rel[:0], rel...), sets: d.sets[:0], children: 1, wildcard: star}
		b.write(d, h)
		return false
	}
	if n.flags()&flagChildren != 0 {
		binary.BigEndian.PutUint32(n.b[2:], n.children()+1)
		if star {
			n.b[1] |= flagWildcard
		}
		return true
	}
	existed = n.flags()&flagHidden == 0
	d.load(n)
	d.children, d.wildcard = 1, star
	b.write(d, h)
	return existed
}

// settle brings a finished zone into its final form: without the nodes that
// were written anew, in chunks and with an index of the right size. places are
// where nodes were written, dead ones among them.
func (z *Zone) settle(places []uint32) {
	if z.total < chunkSize/4 || z.wasteful() {
		z.compact()
		return
	}
	// The builder's own first chunk and slots are not given away.
	z.chunks[0] = bytes.Clone(z.chunks[0])
	names := int(z.index.names)
	if z.index.pages == nil || z.index.slots > newIndexSlots(names)*5/4 {
		z.index = indexOf(places, &z.arena, z.index.seed, names)
	}
	z.refresh()
}

// wasteful reports whether over a quarter of the arena is nodes that are no
// more.
func (z *Zone) wasteful() bool { return z.live < z.total/4*3 }

// compact copies the nodes that can be reached into new memory.
func (z *Zone) compact() {
	to := newArena(min(reserved+z.live, chunkSize))
	places := make([]uint32, 0, z.index.names)
	z.index.each(func(pos uint32) bool {
		n := Node{z.at(pos)}
		size := n.size()
		mem, place := to.alloc(size)
		copy(mem, n.b[:size])
		places = append(places, place)
		return true
	})
	z.index = indexOf(places, &to, z.index.seed, len(places))
	z.arena = to
	z.refresh()
}
