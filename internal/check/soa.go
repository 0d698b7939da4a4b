package check

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"geodns/internal/wire"
)

const (
	day  = 24 * 60 * 60 // seconds
	week = 7 * day
)

// soaData is the RDATA of a SOA taken apart (RFC 1035 3.3.13).
type soaData struct {
	mname, rname                            []byte
	serial, refresh, retry, expire, minimum uint32 // seconds
}

func parseSOA(data []byte) (s soaData, ok bool) {
	m := wire.NameLen(data)
	if m == 0 {
		return s, false
	}
	r := wire.NameLen(data[m:])
	if r == 0 || len(data) != m+r+20 {
		return s, false
	}
	s.mname, s.rname = data[:m], data[m:m+r]
	for i, v := range []*uint32{&s.serial, &s.refresh, &s.retry, &s.expire, &s.minimum} {
		*v = binary.BigEndian.Uint32(data[m+r+4*i:])
	}
	return s, true
}

// soa looks at the fields of the SOA (RFC 1912 2.2, RIPE-203).
func (c *checker) soa() {
	rec := c.z.soa
	if rec == 0 {
		return
	}
	s, ok := parseSOA(c.z.data(rec))
	if !ok {
		return
	}
	c.soaNames(rec, &s)
	c.serialNumber(rec, s.serial)
	switch {
	case s.refresh < 60:
		c.at(soaRefresh, rec, fmt.Sprintf("REFRESH is %d seconds: every secondary asks that often", s.refresh), "write at least 60, and let NOTIFY do the rest")
	case s.refresh > week:
		c.at(soaRefresh, rec, fmt.Sprintf("REFRESH is %s: a secondary that missed a NOTIFY is old for as long", span(s.refresh)), "write at most 7d; 86400 is common (RIPE-203)")
	}
	switch {
	case s.retry == 0:
		c.at(soaRetry, rec, "RETRY is 0 seconds: secondaries ask without pause while the primary is away", "write a fraction of REFRESH, such as 600")
	case s.retry >= s.refresh:
		c.at(soaRetry, rec, fmt.Sprintf("RETRY, %d seconds, is not below REFRESH, %d seconds", s.retry, s.refresh), "write a fraction of REFRESH (RFC 1912 2.2)")
	}
	switch {
	case uint64(s.expire) <= uint64(s.refresh)+uint64(s.retry):
		c.at(soaExpire, rec, fmt.Sprintf("EXPIRE, %d seconds, is not above REFRESH and RETRY together: one missed refresh takes the secondaries out of service", s.expire), "write weeks, such as 604800 to 3600000 (RFC 1912 2.2)")
	case s.expire < 2*day:
		c.at(soaExpire, rec, fmt.Sprintf("EXPIRE is %s: a primary that is away for a week-end takes the zone down", span(s.expire)), "write weeks, such as 604800 to 3600000 (RFC 1912 2.2)")
	}
	if s.minimum > day {
		c.at(soaMinimum, rec, fmt.Sprintf("MINIMUM is %s: for so long resolvers remember that a name does not exist, also after it was added", span(s.minimum)), "write one to three hours, and put the default TTL into a $TTL line (RFC 2308 4, 5)")
	}
}

func (c *checker) soaNames(rec recID, s *soaData) {
	switch k, n := c.z.resolve(s.mname); {
	case looksLikeAddress(s.mname, c.z.apex):
		c.at(soaMName, rec, "the primary server in the SOA, "+text(s.mname)+", looks like an address", "write the name of the primary server")
	case k == missing || k == exists && c.z.firstOf(n) == 0:
		c.at(soaMName, rec, "the primary server in the SOA, "+text(s.mname)+", does not exist", c.dotOr(s.mname, k, "write the name of the primary server, with a final dot if it is in another zone"))
	}
	switch {
	// RFC 1035 8: the first label is the local part.
	case bytes.IndexByte(s.rname, '@') > 0:
		c.at(soaRName, rec, "the mail address in the SOA, "+text(s.rname)+", has an @", "write a dot in its place, and a final dot: hostmaster.example.org. (RFC 1035 8)")
	case wire.Labels(s.rname) < 2 && len(c.z.apex) > 1:
		c.at(soaRName, rec, "the mail address in the SOA, "+text(s.rname)+", has no domain", "write one as a name, such as hostmaster.example.org. (RFC 1035 8)")
	case same(s.rname, c.z.apex):
		c.at(soaRName, rec, "the mail address in the SOA, "+text(s.rname)+", is the zone's own name", "write a mailbox in front of it: hostmaster (RFC 2142 7)")
	case c.repeats(s.rname):
		c.at(soaRName, rec, "the mail address in the SOA, "+text(s.rname)+", ends in the zone's name twice", "write a final dot behind it")
	}
}

// serialNumber looks at a serial as the date that it may be.
func (c *checker) serialNumber(rec recID, serial uint32) {
	if serial == 0 {
		c.at(serialZero, rec, "the serial is 0, which some software takes for none", "begin with 1, or with a date such as 2026112001")
		return
	}
	date, err := time.Parse("20060102", fmt.Sprint(serial/100))
	// RFC 1912 2.2: YYYYMMDDnn. Elsewhere on Earth it may be tomorrow.
	if err == nil && serial >= 1990010100 && date.After(c.o.Now.Add(day*time.Second)) {
		c.at(serialFuture, rec, fmt.Sprintf("the serial %d is a date in the future, so that the serials of the days until then would be older", serial), "write today's date if no secondary has this one yet; else count on from it (RFC 1912 3.1)")
	}
}

// span is a time in words.
func span(seconds uint32) string {
	d := time.Duration(seconds) * time.Second
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", seconds/day)
	}
	return d.String()
}

// ttls looks at the TTLs of a name's RRsets.
func (c *checker) ttls(n *node) {
	for i := range n.sets {
		s := &n.sets[i]
		r := s.recs[0]
		if s.typ == wire.TypeRRSIG || s.typ == wire.TypeNSEC3PARAM {
			continue // that of what they sign; and 0, as nobody asks for it
		}
		switch ttl := c.z.rec(r).ttl; {
		case ttl == 0:
			c.at(ttlZero, r, "the TTL is 0: no resolver keeps the answer, every use of it is a query", "write a TTL such as 60, unless that is what is wanted")
		case ttl > week:
			c.at(ttlLong, r, "the TTL is "+span(ttl)+": a mistake in these data lives as long, and many resolvers cap it at a week", "write at most 604800")
		}
	}
}
