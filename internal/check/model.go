package check

import (
	"bytes"
	"errors"
	"hash/maphash"
	"math"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// nameID and recID count from 1; 0 is none.
type (
	nameID uint32
	recID  uint32
)

// record is one record of a file.
type record struct {
	data         uint32 // where its RDATA stands in the arena
	length       uint16 // of the RDATA, in octets
	typ          wire.Type
	ttl          uint32 // seconds
	owner        nameID
	next         recID // of the same owner
	line, column uint32
	file         uint16 // in zoneData.files
	dropped      bool   // not in the zone: a duplicate, or refused
}

// name is an owner, or an empty non-terminal.
type name struct {
	text        uint32 // where it stands in the arena
	length      uint8  // octets
	flags       nameFlags
	first, last recID
	parent      nameID
	// above is the topmost zone cut or DNAME above the name, which hides it
	// (RFC 1034 4.2.1, RFC 6672 2.4); 0: none.
	above nameID
}

type nameFlags uint8

const (
	hasAddress nameFlags = 1 << iota // A or AAAA
	hasNS
	hasCNAME
	hasDNAME
	outOfZone
	nsTarget // some NS record of the zone names it
	linked
	visible // it exists in the sense of DNS: see zoneData.reveal
)

// zoneData is one zone file's records in the order of the file, by name.
type zoneData struct {
	file    string
	files   []string // file, and what it includes
	apex    []byte   // the owner of the first SOA, else what the file promises
	soa     recID    // the first one; 0: none
	signed  bool     // there are RRSIG and DNSKEY at the apex
	records []record
	names   []name
	slots   []nameID // a hash table; its size is a power of two
	seed    maphash.Seed
	mem     memory
}

// memory is octets in chunks of 1 MiB; the first one grows to that size, so
// that small zones are small.
type memory struct{ chunks [][]byte }

const chunkBits = 20

// errTooLarge: places are 32 bits.
var errTooLarge = errors.New("the zone's names and data take more than 4 GiB")

func (m *memory) put(b []byte) (uint32, error) {
	last := len(m.chunks) - 1
	if last < 0 || len(m.chunks[last])+len(b) > 1<<chunkBits {
		if last+1 >= 1<<(32-chunkBits) {
			return 0, errTooLarge
		}
		size := 0
		if last >= 0 {
			size = 1 << chunkBits
		}
		m.chunks = append(m.chunks, make([]byte, 0, size))
		last++
	}
	at := len(m.chunks[last])
	m.chunks[last] = append(m.chunks[last], b...)
	return uint32(last<<chunkBits | at), nil
}

func (m *memory) get(at uint32, length int) []byte {
	c := m.chunks[at>>chunkBits]
	at &= 1<<chunkBits - 1
	return c[at : int(at)+length : int(at)+length]
}

func newZoneData(file string) *zoneData {
	return &zoneData{file: file, files: []string{file}, seed: maphash.MakeSeed(), slots: make([]nameID, 16)}
}

func (z *zoneData) rec(r recID) *record { return &z.records[r-1] }
func (z *zoneData) nm(n nameID) *name   { return &z.names[n-1] }

// data is a record's RDATA.
func (z *zoneData) data(r recID) []byte {
	p := z.rec(r)
	return z.mem.get(p.data, int(p.length))
}

// owner is a name in wire form, lower case.
func (z *zoneData) owner(n nameID) []byte {
	p := z.nm(n)
	return z.mem.get(p.text, int(p.length))
}

func (z *zoneData) has(n nameID, f nameFlags) bool { return n != 0 && z.nm(n).flags&f != 0 }

// pos is where a record stands.
func (z *zoneData) pos(r recID) zonefile.Pos {
	p := z.rec(r)
	return zonefile.Pos{File: z.files[p.file], Line: int(p.line), Column: int(p.column)}
}

// start is the place of what has no other.
func (z *zoneData) start() zonefile.Pos { return zonefile.Pos{File: z.file, Line: 1, Column: 1} }

// add keeps a record.
func (z *zoneData) add(rr *wire.RR, pos zonefile.Pos) error {
	if len(z.records) >= math.MaxUint32-1 {
		return errTooLarge
	}
	n, err := z.intern(rr.Owner)
	if err != nil {
		return err
	}
	at, err := z.mem.put(rr.Data)
	if err != nil {
		return err
	}
	z.records = append(z.records, record{
		data: at, length: uint16(len(rr.Data)), typ: rr.Type, ttl: rr.TTL, owner: n,
		line: clamp32(pos.Line), column: clamp32(pos.Column), file: z.fileIndex(pos.File),
	})
	id := recID(len(z.records))
	p := z.nm(n)
	if p.last == 0 {
		p.first = id
	} else {
		z.rec(p.last).next = id
	}
	p.last = id
	p.flags |= flagOf(rr.Type)
	if rr.Type == wire.TypeSOA && z.soa == 0 {
		z.soa, z.apex = id, bytes.Clone(rr.Owner)
	}
	return nil
}

func clamp32(n int) uint32 { return uint32(min(n, math.MaxUint32)) }

func flagOf(t wire.Type) nameFlags {
	switch t {
	case wire.TypeA, wire.TypeAAAA:
		return hasAddress
	case wire.TypeNS:
		return hasNS
	case wire.TypeCNAME:
		return hasCNAME
	case wire.TypeDNAME:
		return hasDNAME
	}
	return 0
}

// fileIndex is where file stands in z.files, mostly last or first.
func (z *zoneData) fileIndex(file string) uint16 {
	for i := len(z.files) - 1; i >= 0; i-- {
		if z.files[i] == file {
			return uint16(i)
		}
	}
	if len(z.files) > math.MaxUint16 {
		return 0
	}
	z.files = append(z.files, file)
	return uint16(len(z.files) - 1)
}

// slot is where a name stands in the hash table, or would.
func (z *zoneData) slot(text []byte) int {
	mask := len(z.slots) - 1
	for i := int(maphash.Bytes(z.seed, text)) & mask; ; i = (i + 1) & mask {
		if n := z.slots[i]; n == 0 || bytes.Equal(z.owner(n), text) {
			return i
		}
	}
}

// find looks a name up, in lower case; 0: it is neither an owner nor, once the
// zone is linked, an empty non-terminal.
func (z *zoneData) find(text []byte) nameID { return z.slots[z.slot(text)] }

// intern is find, and makes the name if there is none.
func (z *zoneData) intern(text []byte) (nameID, error) {
	// The records of a name mostly stand together.
	if n := len(z.records); n > 0 {
		if last := z.records[n-1].owner; bytes.Equal(z.owner(last), text) {
			return last, nil
		}
	}
	if n := z.find(text); n != 0 {
		return n, nil
	}
	at, err := z.mem.put(text)
	if err != nil {
		return 0, err
	}
	return z.make(text, at), nil
}

// parentOf is the name above another one, which is made if there is none: it
// shares the other's text.
func (z *zoneData) parentOf(n nameID) nameID {
	text, at := z.owner(n), z.nm(n).text
	up := wire.Parent(text)
	if p := z.find(up); p != 0 {
		return p
	}
	return z.make(up, at+uint32(len(text)-len(up)))
}

// make enters a new name whose text stands in the arena.
func (z *zoneData) make(text []byte, at uint32) nameID {
	z.names = append(z.names, name{text: at, length: uint8(len(text))})
	n := nameID(len(z.names))
	z.slots[z.slot(text)] = n
	if len(z.names) > len(z.slots)/4*3 {
		z.grow()
	}
	return n
}

func (z *zoneData) grow() {
	z.slots = make([]nameID, 2*len(z.slots))
	for i := range z.names {
		n := nameID(i + 1)
		z.slots[z.slot(z.owner(n))] = n
	}
}
