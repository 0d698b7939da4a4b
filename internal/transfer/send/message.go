package send

import (
	"encoding/binary"
	"hash/maphash"

	"geodns/internal/wire"
)

// message is one message under way: a header, perhaps the question, and records
// in the answer section.
type message struct {
	buf []byte
	// limit is how many octets there shall be, and most how many there may be,
	// without what comes behind the answer section.
	limit, most int
	records     int
	names       names
}

// filled is up to where messages are filled, in octets: all of it is in reach
// of pointers, and some readers (dig) take time that grows with the square of a
// message's records.
const filled = maxPointer + 1

// begin makes the message empty: a header that is still to be filled in, and a
// question.
//
// most is how many octets a message may have, and behind what stands behind the
// answer section.
func (m *message) begin(question []byte, most, behind int) {
	if m.buf == nil {
		m.buf = make([]byte, 0, maxMessage+1024)
		m.names.seed = maphash.MakeSeed()
	}
	m.names.forget()
	m.limit, m.most, m.records = min(most, filled)-behind, most-behind, 0
	m.buf = append(m.buf[:0], make([]byte, wire.HeaderLen)...)
	if len(question) > 4 {
		// What is equal to the octet can point into the question.
		m.buf, _ = m.names.appendName(m.buf, question[:len(question)-4])
		m.buf = append(m.buf, question[len(question)-4:]...)
	}
}

// add appends a record to the answer section. It reports false if it does not
// fit; then begin has to follow.
func (m *message) add(owner []byte, t wire.Type, ttl uint32, data []byte) bool {
	start, limit := len(m.buf), m.limit
	if m.records < 2 {
		// A large record gets a message of its own, but for the SOA before it:
		// that alone at the beginning of an answer would be another answer.
		limit = m.most
	}
	// So that a huge record doesn't make the buffer grow: even compressed,
	// RDATA saves no more than its names have.
	if start+len(data) > limit+2*wire.MaxName {
		return false
	}
	b := m.names.appendOwner(m.buf, owner)
	b = append(b, byte(t>>8), byte(t), 0, byte(wire.ClassIN),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(len(data)>>8), byte(len(data)))
	if named, at := wire.Compressible(t); named > 0 {
		b = m.names.appendData(b, data, named, at)
	} else {
		b = append(b, data...)
	}
	if len(b) > limit {
		m.buf = b[:start]
		return false
	}
	m.buf = b
	m.records++
	return true
}

// appendData appends RDATA that has names in it, from octet at on, and corrects
// the length before it.
func (n *names) appendData(b, data []byte, named, at int) []byte {
	length := len(b) - 2
	b = append(b, data[:min(at, len(data))]...)
	for ; named > 0 && at < len(data); named-- {
		size := wire.NameLen(data[at:])
		if size == 0 {
			break // not as its type says: as it is
		}
		b, _ = n.appendName(b, data[at:at+size])
		at += size
	}
	if at < len(data) {
		b = append(b, data[at:]...)
	}
	binary.BigEndian.PutUint16(b[length:], uint16(len(b)-length-2))
	return b
}
