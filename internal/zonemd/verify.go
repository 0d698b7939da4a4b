package zonemd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Status is what Verify found.
type Status uint8

const (
	// None: the apex has no ZONEMD; there is nothing to verify.
	None Status = iota
	// OK: a digest matches the zone's contents.
	OK
	// Unsupported: none of the records can be used: their schemes or hashes are
	// not known here, or a pair of those stands twice.
	Unsupported
	// SerialMismatch: the digests are those of another version of the zone.
	SerialMismatch
	// Mismatch: a digest of this version does not match the contents, which were
	// changed or damaged; or the record is malformed.
	Mismatch
)

// String is the status in a word or two.
func (s Status) String() string {
	switch s {
	case None:
		return "none"
	case OK:
		return "ok"
	case Unsupported:
		return "unsupported"
	case SerialMismatch:
		return "serial mismatch"
	case Mismatch:
		return "mismatch"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// Result is what came of verifying a zone.
type Result struct {
	Status Status
	// Text says in plain English what is the matter and, unless the zone is
	// in order, what to do.
	Text string
}

// Verify compares the digests that a zone carries with its contents (RFC 8976 4,
// but for the signatures, which it does not look at). One that matches suffices;
// if none does, the result is the most serious of them: a digest that differs,
// one of another serial, one that cannot be computed.
func Verify(z *zone.Zone) Result {
	set, ok := z.ApexNode().Set(Type)
	if !ok {
		return Result{None, "the zone has no ZONEMD record"}
	}
	v := verification{z: z, serial: z.Serial(), worst: Result{Unsupported, "the ZONEMD record cannot be read"}}
	all := parseSet(set.Records)
	for i := range all {
		v.look(&all[i], all)
	}
	if len(v.usable) > 0 && v.compare() {
		return Result{OK, fmt.Sprintf("the %s digest matches", algorithmName(v.matched))}
	}
	return v.worst
}

// digest is a ZONEMD's RDATA taken apart.
type digest struct {
	serial            uint32
	scheme, algorithm uint8
	sum               []byte // nil: the RDATA is too short
}

func parseSet(records []byte) (all []digest) {
	for {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return all
		}
		records = rest
		// RFC 8976 2.2.4.
		if len(data) < header+minDigest {
			all = append(all, digest{})
			continue
		}
		all = append(all, digest{binary.BigEndian.Uint32(data), data[4], data[5], data[header:]})
	}
}

// verification is a Verify under way.
type verification struct {
	z      *zone.Zone
	serial uint32
	usable []*digest // digests to be compared with what is computed
	worst  Result
	// matched is the algorithm of the digest that matched.
	matched uint8
}

func (v *verification) note(s Status, format string, args ...any) {
	if s >= v.worst.Status {
		v.worst = Result{s, fmt.Sprintf(format, args...)}
	}
}

// look sorts out what a record is worth before anything is computed.
func (v *verification) look(d *digest, all []digest) {
	if d.sum == nil {
		v.note(Mismatch, "a ZONEMD record is shorter than %d octets; have the zone published anew (RFC 8976 2.2.4)", header+minDigest)
		return
	}
	// RFC 8976 2: each pair of scheme and hash is there once; 4: those that are
	// not say nothing.
	if n := count(all, d.scheme, d.algorithm); n > 1 {
		v.note(Unsupported, "%d ZONEMD records have scheme %d and hash algorithm %d; the primary should keep one of them", n, d.scheme, d.algorithm)
		return
	}
	// RFC 8976 4: what is not known is no verification, neither good nor bad.
	if why := unsupported(d.scheme, d.algorithm); why != "" {
		v.note(Unsupported, "of the ZONEMD record, %s here; ask the primary for scheme 1 with hash 1 or 2", why)
		return
	}
	// RFC 8976 4: the serials have to be the same.
	if d.serial != v.serial {
		v.note(SerialMismatch, "the ZONEMD record is of serial %d, the SOA's is %d; the primary has to make the digest anew for each version", d.serial, v.serial)
		return
	}
	if want := newHash(d.algorithm).Size(); len(d.sum) != want {
		v.note(Mismatch, "the %s digest has %d octets instead of %d; have the zone published anew", algorithmName(d.algorithm), len(d.sum), want)
		return
	}
	v.usable = append(v.usable, d)
}

func count(all []digest, scheme, algorithm uint8) (n int) {
	for i := range all {
		if all[i].sum != nil && all[i].scheme == scheme && all[i].algorithm == algorithm {
			n++
		}
	}
	return n
}

// compare computes the digests and reports whether one is right.
func (v *verification) compare() bool {
	algorithms := make([]uint8, len(v.usable))
	for i, d := range v.usable {
		algorithms[i] = d.algorithm
	}
	for i, sum := range digests(v.z, algorithms...) {
		if d := v.usable[i]; bytes.Equal(sum, d.sum) {
			v.matched = d.algorithm
			return true
		}
	}
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = algorithmName(a)
	}
	v.note(Mismatch, "the contents of serial %d do not match the %s digest: %s", v.serial, strings.Join(names, " or the "), v.reason())
	return false
}

// reason guesses why contents do not match, for the operator.
func (v *verification) reason() string {
	apex := v.z.ApexNode()
	_, nsec := apex.Set(wire.TypeNSEC)
	_, nsec3 := apex.Set(wire.TypeNSEC3PARAM)
	_, signed := apex.Signatures(wire.TypeSOA)
	if (nsec || nsec3) && !signed {
		return "the zone was signed and its RRSIG records are missing, which the digest covers; take it with them"
	}
	return "records were changed, added or lost after it was made; transfer the zone again, and look at whoever is between this server and the primary"
}

func algorithmName(a uint8) string {
	if a == SHA512 {
		return "SHA-512"
	}
	return "SHA-384"
}
