package zonemd

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Type is the RR type ZONEMD (RFC 8976 2.1).
const Type wire.Type = 63

// The schemes and hash algorithms of RFC 8976 5.2 and 5.3 that are computed here.
const (
	SchemeSimple uint8 = 1

	SHA384 uint8 = 1
	SHA512 uint8 = 2
)

const (
	// header is what stands in front of the digest: the serial, the scheme, the
	// hash algorithm (RFC 8976 2.2).
	header = 4 + 1 + 1
	// minDigest is the shortest digest that a record may have, in octets
	// (RFC 8976 2.2.4).
	minDigest = 12
)

// Digest computes the digest of a zone, 48 octets for SHA384, 64 for SHA512. What
// ZONEMD the apex has, and its signature, is left out, so that it does not matter
// whether the record stands in the zone yet. It is an error to ask for a scheme
// other than SchemeSimple, or for another hash.
//
// Time grows with the zone, all names of which are sorted; memory is some 32
// octets a name.
func Digest(z *zone.Zone, scheme, algorithm uint8) ([]byte, error) {
	if why := unsupported(scheme, algorithm); why != "" {
		return nil, fmt.Errorf("zone %s: %s; use scheme 1 with hash 1 (SHA-384) or 2 (SHA-512)", wire.NameString(z.Apex()), why)
	}
	return digests(z, algorithm)[0], nil
}

// Record makes the ZONEMD record for a zone: its apex, its serial, the TTL of its
// SOA. The zone must have the serial with which it is going to be published, and
// need not have a ZONEMD. algorithm is SHA384 or SHA512.
func Record(z *zone.Zone, algorithm uint8) (wire.RR, error) {
	sum, err := Digest(z, SchemeSimple, algorithm)
	if err != nil {
		return wire.RR{}, err
	}
	data := binary.BigEndian.AppendUint32(make([]byte, 0, header+len(sum)), z.Serial())
	data = append(append(data, SchemeSimple, algorithm), sum...)
	soa, _ := z.ApexNode().Set(wire.TypeSOA)
	return wire.RR{Owner: append([]byte(nil), z.Apex()...), Type: Type, TTL: soa.TTL, Data: data}, nil
}

// unsupported says why a digest cannot be computed; empty: it can.
func unsupported(scheme, algorithm uint8) string {
	switch {
	case scheme != SchemeSimple:
		return fmt.Sprintf("scheme %d is not known", scheme)
	case algorithm != SHA384 && algorithm != SHA512:
		return fmt.Sprintf("hash algorithm %d is not known", algorithm)
	}
	return ""
}

func newHash(algorithm uint8) hash.Hash {
	if algorithm == SHA384 {
		return sha512.New384()
	}
	return sha512.New()
}

// digests computes the digests by several algorithms in one walk.
func digests(z *zone.Zone, algorithms ...uint8) [][]byte {
	var d digester
	for _, a := range algorithms {
		d.hashes = append(d.hashes, newHash(a))
	}
	d.zone(z)
	sums := make([][]byte, len(d.hashes))
	for i, h := range d.hashes {
		sums[i] = h.Sum(nil)
	}
	return sums
}
