package check

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

const soon = 3 * day // seconds

// tally is one finding for many records: a zone whose signatures are too old
// has one fault, not thousands.
type tally struct {
	rule  rule
	count int
	first recID
	when  time.Time // the earliest
}

func (t *tally) add(r recID) {
	if t.count++; t.count == 1 || r < t.first {
		t.first = r
	}
}

// tell notes the finding, at the first record.
func (c *checker) tell(t *tally, format string, remedy string) {
	if t.count > 0 {
		c.at(t.rule, t.first, fmt.Sprintf(format, t.count, plural(t.count)), remedy)
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// signatures looks at a zone that was signed before it was read. Signatures are
// not verified.
func (c *checker) signatures() {
	if !c.z.signed {
		return
	}
	s := &signing{
		checker: c,
		tags:    c.keyTags(),
		expired: tally{rule: rrsigExpired}, expires: tally{rule: rrsigExpires}, future: tally{rule: rrsigFuture},
		foreign: tally{rule: rrsigKey}, bare: tally{rule: rrsetUnsigned}, orphan: tally{rule: rrsigOrphan},
	}
	for i := range c.z.names {
		n := nameID(i + 1)
		if c.z.firstOf(n) != 0 && !c.z.has(n, outOfZone) {
			c.cur.load(c.z, n)
			s.name(&c.cur)
		}
	}
	const again = "sign the zone again"
	c.tell(&s.expired, "%d signature%s expired, the first of them on "+stamp(s.expired.when)+": validating resolvers refuse what they cover", again)
	c.tell(&s.expires, "%d signature%s will expire within three days, the first of them on "+stamp(s.expires.when), again+" in time")
	c.tell(&s.future, "%d signature%s will be valid only later, the first of them on "+stamp(s.future.when), "mind the clock of the machine that signs")
	c.tell(&s.foreign, "%d signature%s made by a key that the apex has no DNSKEY of", again+", or add the DNSKEY")
	c.tell(&s.bare, "%d RRset%s of this signed zone without signature: something was added after signing", again)
	c.tell(&s.orphan, "%d signature%s of RRsets that are not there: something was removed after signing", again)
	c.chain()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// signing is what is found of a zone's signatures.
type signing struct {
	*checker
	tags                                            map[uint16]bool
	expired, expires, future, foreign, bare, orphan tally
}

// name looks at the signatures of one name.
func (s *signing) name(n *node) {
	z := s.z
	below := z.nm(n.id).above != 0
	signed := map[wire.Type]bool{}
	for _, r := range n.get(wire.TypeRRSIG) {
		data := z.data(r)
		if len(data) < 19 {
			continue
		}
		covered := wire.Covered(data)
		signed[covered] = true
		s.signature(r, data)
		if n.get(covered) == nil {
			s.orphan.add(r)
		}
	}
	if below {
		return
	}
	for i := range n.sets {
		set := &n.sets[i]
		// RFC 4035 2.2: neither signatures nor what a cut delegates is signed.
		if set.typ == wire.TypeRRSIG || z.cut(n.id) && set.typ != wire.TypeDS && set.typ != wire.TypeNSEC {
			continue
		}
		if !signed[set.typ] {
			s.bare.add(set.recs[0])
		}
	}
}

// signature looks at the times and the key of one (RFC 4034 3.1).
func (s *signing) signature(r recID, data []byte) {
	expiration, inception := binary.BigEndian.Uint32(data[8:]), binary.BigEndian.Uint32(data[12:])
	now := uint32(s.o.Now.Unix())
	// RFC 4034 3.1.5: times are serial numbers (RFC 1982).
	switch left := int32(expiration - now); {
	case left < 0:
		s.expired.timed(r, s.o.Now.Add(time.Duration(left)*time.Second))
	case left < soon:
		s.expires.timed(r, s.o.Now.Add(time.Duration(left)*time.Second))
	}
	if ahead := int32(inception - now); ahead > 0 {
		s.future.timed(r, s.o.Now.Add(time.Duration(ahead)*time.Second))
	}
	if len(data) > 18 && !s.tags[binary.BigEndian.Uint16(data[16:])] {
		s.foreign.add(r)
	}
}

func (t *tally) timed(r recID, when time.Time) {
	t.add(r)
	if t.count == 1 || when.Before(t.when) {
		t.when = when
	}
}

// keyTags are those of the keys at the apex.
func (c *checker) keyTags() map[uint16]bool {
	tags := map[uint16]bool{}
	for _, r := range c.apexNode.get(wire.TypeDNSKEY) {
		tags[keyTag(c.z.data(r))] = true
	}
	return tags
}

// keyTag is RFC 4034 appendix B.
func keyTag(key []byte) uint16 {
	// Algorithm 1 is long gone: its tag is made otherwise.
	sum := uint32(0)
	for i, b := range key {
		if i&1 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return uint16(sum + sum>>16&0xffff)
}

// chain looks whether the NSECs, or NSEC3s, lead from one to the next through
// all of them and back (RFC 4034 4.1.1, RFC 5155 3.1.7).
func (c *checker) chain() {
	c.nsecs()
	c.nsec3s()
}

// nsecs walks over the NSEC chain.
func (c *checker) nsecs() {
	z := c.z
	total, without := 0, recID(0)
	for i := range z.names {
		n := nameID(i + 1)
		if z.firstOf(n) == 0 || z.nm(n).above != 0 || z.has(n, outOfZone) {
			continue
		}
		r := z.set(n, wire.TypeNSEC)
		if r == 0 {
			if without == 0 {
				without = z.firstOf(n)
			}
			continue
		}
		total++
		c.bitmap(n, r)
	}
	if total == 0 {
		return
	}
	if without != 0 {
		c.at(nsecChain, without, "the name "+text(z.owner(z.rec(without).owner))+" has no NSEC record, as the others have", "sign the zone again")
	}
	c.walk(wire.TypeNSEC, z.find(z.apex), total, func(r recID) nameID { return z.lookup(z.data(r)[:wire.NameLen(z.data(r))]) })
}

// nsec3s walks over the NSEC3 chain, from its first record.
func (c *checker) nsec3s() {
	z := c.z
	total, first := 0, nameID(0)
	for i := range z.names {
		if n := nameID(i + 1); z.set(n, wire.TypeNSEC3) != 0 {
			if total++; total == 1 {
				first = n
			}
		}
	}
	if total == 0 {
		return
	}
	c.walk(wire.TypeNSEC3, first, total, func(r recID) nameID {
		label := nextHash(z.data(r))
		if label == nil {
			return 0
		}
		return z.find(append(append([]byte{byte(len(label))}, label...), z.apex...))
	})
}

// nextHash is the label of the name that follows in an NSEC3 chain (RFC 5155
// 3.2, 3.3).
func nextHash(data []byte) []byte {
	const salt = 4
	if len(data) <= salt || len(data) <= salt+1+int(data[salt]) {
		return nil
	}
	rest := data[salt+1+int(data[salt]):]
	if len(rest) <= int(rest[0]) {
		return nil
	}
	return base32Hex(rest[1 : 1+int(rest[0])])
}

// walk follows a chain of total records from a name until it is there again.
func (c *checker) walk(t wire.Type, from nameID, total int, next func(recID) nameID) {
	z := c.z
	const again = "sign the zone again"
	steps := 0
	for at := from; ; {
		r := z.set(at, t)
		if r == 0 {
			return // the start has none, which was said
		}
		steps++
		to := next(r)
		switch {
		case z.set(to, t) == 0:
			c.at(nsecChain, r, "the chain of "+zonefile.TypeString(t)+" records leads from here to a name that has none", again)
			return
		case to == from && steps == total:
			return
		case to == from || steps > total:
			c.at(nsecChain, r, fmt.Sprintf("the chain of %s records ends here after %d of %d", zonefile.TypeString(t), min(steps, total), total), again)
			return
		}
		at = to
	}
}

// bitmap compares the types that an NSEC lists with those that the name has
// (RFC 4034 4.1.2).
func (c *checker) bitmap(n nameID, r recID) {
	z := c.z
	data := z.data(r)
	listed := typesOf(data[wire.NameLen(data):])
	has := map[wire.Type]bool{}
	for at := z.firstOf(n); at != 0; at = z.rec(at).next {
		t := z.rec(at).typ
		if z.rec(at).dropped || z.cut(n) && flagOf(t) == hasAddress {
			continue // glue
		}
		has[t] = true
	}
	if len(listed) != len(has) || !subset(listed, has) {
		c.at(nsecTypes, r, "the NSEC record lists other types than "+text(z.owner(n))+" has", "sign the zone again")
	}
}

func subset(a, b map[wire.Type]bool) bool {
	for t := range a {
		if !b[t] {
			return false
		}
	}
	return true
}

// typesOf reads a type bitmap.
func typesOf(b []byte) map[wire.Type]bool {
	out := map[wire.Type]bool{}
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		for i, bits := range b[2 : 2+int(b[1])] {
			for j := range 8 {
				if bits&(0x80>>j) != 0 {
					out[wire.Type(b[0])<<8|wire.Type(i*8+j)] = true
				}
			}
		}
		b = b[2+int(b[1]):]
	}
	return out
}

// base32Hex is RFC 4648 7 in lower case, without padding.
func base32Hex(b []byte) []byte {
	return bytes.ToLower([]byte(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b)))
}
