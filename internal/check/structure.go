package check

import (
	"fmt"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// longName is from how many records on a name's are compared by a map.
const longName = 16

// seenSet is what is known of an RRset while its name's records are read in the
// order of the file.
type seenSet struct {
	typ, covered wire.Type
	ttl          uint32
	size, count  int
}

// seenName is likewise for a name.
type seenName struct {
	sets         []seenSet
	keys         map[string]struct{} // of the records; nil: there are few
	kept         []recID
	cname, other bool
}

// structure says what the builder of zones says, with its rules and words, but
// for every record at its own place. Records that it would refuse, or leave
// out, are dropped.
func (c *checker) structure() {
	z := c.z
	if z.soa == 0 {
		c.atPos(noSOA, z.start(), "the zone has no SOA", "begin it with one: `@ SOA ns1 hostmaster 1 3600 600 604800 300`")
	}
	var s seenName
	for i := range z.names {
		n := nameID(i + 1)
		first := z.firstOf(n)
		if first == 0 || z.rec(first).next == 0 && z.nm(n).flags&outOfZone == 0 && z.rec(first).typ != wire.TypeSOA {
			continue // one record cannot be at odds with another
		}
		s.reset(z, first)
		flags := z.nm(n).flags & outOfZone
		if z.soa != 0 && z.rec(z.soa).owner == n {
			c.fits(&s, z.soa) // what stands above it cannot displace it
		}
		for r := first; r != 0; r = z.rec(r).next {
			if p := z.rec(r); r == z.soa || c.fits(&s, r) {
				flags |= flagOf(p.typ)
			} else {
				p.dropped = true
			}
		}
		z.nm(n).flags = flags
	}
	if z.soa != 0 && z.set(z.find(z.apex), wire.TypeNS) == 0 {
		c.at(noNS, z.soa, "the apex has no NS record", "name the zone's name servers: `@ NS ns1`")
	}
}

func (s *seenName) reset(z *zoneData, first recID) {
	*s = seenName{sets: s.sets[:0], kept: s.kept[:0]}
	n := 0
	for r := first; r != 0 && n <= longName; r = z.rec(r).next {
		n++
	}
	if n > longName {
		s.keys = map[string]struct{}{}
	}
}

// fits says whether a record can stand beside those of its name before it.
func (c *checker) fits(s *seenName, r recID) bool {
	z, p := c.z, c.z.rec(r)
	owner := z.owner(p.owner)
	switch {
	case z.has(p.owner, outOfZone):
		c.at(outOfZoneRule, r, text(owner)+" is not in the zone "+text(z.apex), "move it to its own zone, or mind the final dot")
		return false
	case p.typ == wire.TypeSOA && len(owner) > len(z.apex):
		c.at(soaBelowApex, r, "a SOA below the apex "+text(z.apex), "a zone has one SOA, at its apex (RFC 1035 5.2): put the other zone into a file of its own")
		return false
	}
	if s.double(z, r) {
		c.at(duplicate, r, "the record stands twice", "one of them is left out")
		return false
	}
	set := s.find(z, r)
	if set == nil {
		return s.begin(c, r)
	}
	if why := zone.Single(p.typ); why != "" {
		c.at(single, r, "a second record: "+why, "keep one of them")
		return false
	}
	if set.size += 2 + int(p.length); set.size > zone.MaxRecords {
		c.at(setTooLong, r, "the RRset is longer than any message can carry (64 KiB)", "spread its records over several names")
		return false
	}
	if p.ttl != set.ttl {
		c.at(ttlDiffers, r, fmt.Sprintf("TTL %d differs from the %d of the records before it in this RRset", p.ttl, set.ttl), "the lower one is used for all of them (RFC 2181 5.2)")
		set.ttl = min(set.ttl, p.ttl)
	}
	s.keep(z, r)
	return true
}

// begin takes the first record of an RRset.
func (s *seenName) begin(c *checker, r recID) bool {
	z, p := c.z, c.z.rec(r)
	if len(s.sets) >= zone.MaxSets {
		return false // the builder says so
	}
	if 2+int(p.length) > zone.MaxRecords {
		c.at(setTooLong, r, "the RRset is longer than any message can carry (64 KiB)", "spread its records over several names")
		return false
	}
	cname := p.typ == wire.TypeCNAME
	other := !cname && !zone.BesideCNAME(p.typ)
	if cname && s.other || other && s.cname {
		c.at(cnameAndOther, r, "a CNAME beside other data", "a name that has a CNAME has nothing else (RFC 2181 10.1): remove one of them")
		return false
	}
	s.cname, s.other = s.cname || cname, s.other || other
	if owner := z.owner(p.owner); len(owner) > len(z.apex) && s.odd(p.typ) {
		c.at(dnameNS, r, text(owner)+": DNAME and NS at one name below the apex", "a name is delegated or redirected, not both (RFC 6672 2.3)")
	}
	s.sets = append(s.sets, seenSet{typ: p.typ, covered: coveredBy(z, r), ttl: p.ttl, size: 2 + int(p.length), count: 1})
	s.keep(z, r)
	return true
}

// odd reports whether a type is NS where there is a DNAME, or the other way
// round.
func (s *seenName) odd(t wire.Type) bool {
	for i := range s.sets {
		if have := s.sets[i].typ; have == wire.TypeNS && t == wire.TypeDNAME || have == wire.TypeDNAME && t == wire.TypeNS {
			return true
		}
	}
	return false
}

func (s *seenName) find(z *zoneData, r recID) *seenSet {
	p := z.rec(r)
	covered := coveredBy(z, r)
	for i := range s.sets {
		if s.sets[i].typ == p.typ && s.sets[i].covered == covered {
			return &s.sets[i]
		}
	}
	return nil
}

// keep notes a record that is taken.
func (s *seenName) keep(z *zoneData, r recID) {
	if s.keys != nil {
		s.keys[key(z, r)] = struct{}{}
		return
	}
	s.kept = append(s.kept, r)
}

// double reports whether a record was taken before.
func (s *seenName) double(z *zoneData, r recID) bool {
	if s.keys != nil {
		_, ok := s.keys[key(z, r)]
		return ok
	}
	p, data := z.rec(r), z.data(r)
	for _, k := range s.kept {
		if q := z.rec(k); q.typ == p.typ && q.length == p.length && zone.SameData(p.typ, z.data(k), data) {
			return true
		}
	}
	return false
}

// key is the same for records that are the same.
func key(z *zoneData, r recID) string {
	p, data := z.rec(r), z.data(r)
	k := append(make([]byte, 0, 2+len(data)), byte(p.typ>>8), byte(p.typ))
	at, ok := zone.NameIn(p.typ)
	if !ok || len(data) < at {
		return string(append(k, data...))
	}
	return string(wire.AppendLower(append(k, data[:at]...), data[at:]))
}

func coveredBy(z *zoneData, r recID) wire.Type {
	if t := z.rec(r).typ; t == wire.TypeRRSIG || t == wire.TypeSIG {
		return wire.Covered(z.data(r))
	}
	return 0
}
