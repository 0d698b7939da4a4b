package resolver

import (
	"crypto/sha1"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// MaxIterations is the most extra iterations of an NSEC3 hash that are
// computed for an answer: above that validators treat the zone as insecure
// anyway, and each query would cost what the zone likes (RFC 9276 3.2). The
// answer then goes without the proof.
const MaxIterations = 500

// hasher hashes names as NSEC3 does, in its own memory.
type hasher struct {
	buf [2*wire.MaxName + 2]byte
	out [1 + 32]byte
}

// target is a name to be hashed: star says that "*" stands before it.
type target struct {
	name []byte
	star bool
}

func (h *hasher) name(name []byte) target     { return target{name: name} }
func (h *hasher) wildcard(name []byte) target { return target{name: name, star: true} }

const base32hex = "0123456789abcdefghijklmnopqrstuv"

// label is the hashed name as a label with its length octet, in lower case
// (RFC 5155 3.1 and 5), by the zone's NSEC3PARAM.
func (h *hasher) label(z *zone.Zone, t target) ([]byte, bool) {
	set, ok := z.ApexNode().Set(wire.TypeNSEC3PARAM)
	if !ok {
		return nil, false
	}
	p, _, _ := wire.NextRecord(set.Records)
	// Algorithm, flags, iterations, salt (RFC 5155 4.2); 1 is SHA-1, the only
	// algorithm there is.
	if len(p) < 5 || p[0] != 1 || len(p) < 5+int(p[4]) {
		return nil, false
	}
	iterations, salt := int(p[2])<<8|int(p[3]), p[5:5+int(p[4])]
	if iterations > MaxIterations {
		return nil, false
	}
	b := h.buf[:0]
	if t.star {
		b = append(b, 1, '*')
	}
	b = append(append(b, t.name...), salt...)
	sum := sha1.Sum(b)
	for ; iterations > 0; iterations-- {
		b = append(append(h.buf[:0], sum[:]...), salt...)
		sum = sha1.Sum(b)
	}
	h.out[0] = 32
	for i := 0; i < 4; i++ { // 5 octets are 8 digits
		s := sum[5*i : 5*i+5]
		bits := uint64(s[0])<<32 | uint64(s[1])<<24 | uint64(s[2])<<16 | uint64(s[3])<<8 | uint64(s[4])
		for j := 0; j < 8; j++ {
			h.out[1+8*i+j] = base32hex[bits>>(35-5*j)&31]
		}
	}
	return h.out[:], true
}
