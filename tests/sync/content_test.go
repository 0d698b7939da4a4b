package syncing

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// secrets are the keys that this side knows.
var secrets = map[string]string{keyName: secret, updName: updKey}

// content is a zone as a server has it: each record as text, without the SOA.
type content struct {
	serial  uint32
	records map[string]bool
}

// canonical is a record as text, by which records are compared.
func canonical(rr dns.RR) string {
	fields := strings.Fields(rr.String())
	fields[0] = strings.ToLower(fields[0])
	if fields[2] == "CLASS1" {
		fields[2] = "IN" // of types that have no name
	}
	return strings.Join(fields, " ")
}

// transfer asks for a zone, whole or from a serial on, and returns what comes.
func transfer(at, zone string, from *uint32) (list []dns.RR, err error) {
	m := new(dns.Msg)
	if from == nil {
		m.SetAxfr(zone)
	} else {
		m.SetIxfr(zone, *from, "ns1."+zone, "hostmaster."+zone)
	}
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	dialer := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}} // BIND is at 127.0.0.1
	conn, err := dialer.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	tr := &dns.Transfer{Conn: &dns.Conn{Conn: conn}, TsigSecret: secrets, ReadTimeout: 10 * time.Second}
	defer tr.Close()
	envelopes, err := tr.In(m, at)
	if err != nil {
		return nil, err
	}
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
		}
		list = append(list, e.RR...)
	}
	return list, err
}

// axfr is a server's version of a zone.
func axfr(at, zone string) (*content, error) {
	list, err := transfer(at, zone, nil)
	if err != nil {
		return nil, err
	}
	return wholeOf(list)
}

// wholeOf is what an AXFR says.
func wholeOf(list []dns.RR) (*content, error) {
	if len(list) < 2 {
		return nil, fmt.Errorf("a transfer of %d records", len(list))
	}
	first, ok := list[0].(*dns.SOA)
	last, ok2 := list[len(list)-1].(*dns.SOA)
	if !ok || !ok2 || canonical(first) != canonical(last) {
		return nil, errors.New("the transfer is not between two equal SOA records")
	}
	c := &content{serial: first.Serial, records: map[string]bool{}}
	for _, rr := range list[1 : len(list)-1] {
		text := canonical(rr)
		if c.records[text] {
			return nil, fmt.Errorf("%s came twice", text)
		}
		c.records[text] = true
	}
	return c, nil
}

// replay brings a version up to date by IXFR (RFC 1995 4), strictly: what is taken
// away has to be there, what is added has not. incremental says how it came.
func (c *content) replay(at, zone string) (incremental bool, err error) {
	list, err := transfer(at, zone, &c.serial)
	if err != nil {
		return false, err
	}
	newest, ok := list[0].(*dns.SOA)
	switch {
	case !ok:
		return false, errors.New("an IXFR without SOA")
	case len(list) == 1:
		if newest.Serial != c.serial {
			return false, fmt.Errorf("one SOA with %d for somebody with %d", newest.Serial, c.serial)
		}
		return true, nil
	}
	if _, ok := list[1].(*dns.SOA); !ok {
		whole, err := wholeOf(list)
		if err == nil {
			*c = *whole
		}
		return false, err
	}
	return true, c.apply(list[1:len(list)-1], newest.Serial)
}

func (c *content) apply(list []dns.RR, newest uint32) error {
	adding := true
	for _, rr := range list {
		if soa, ok := rr.(*dns.SOA); ok {
			adding = !adding
			if !adding && soa.Serial != c.serial {
				return fmt.Errorf("a change from %d behind %d", soa.Serial, c.serial)
			}
			c.serial = soa.Serial
			continue
		}
		text := canonical(rr)
		if c.records[text] == adding {
			return fmt.Errorf("up to %d: adding=%t, and it was there=%t: %s", c.serial, adding, c.records[text], text)
		}
		if adding {
			c.records[text] = true
		} else {
			delete(c.records, text)
		}
	}
	if !adding || c.serial != newest {
		return fmt.Errorf("the changes lead to %d, not to %d", c.serial, newest)
	}
	return nil
}

// differences between what should be and what is; none: "".
func differences(want, got map[string]bool) string {
	var lines []string
	for text := range want {
		if !got[text] {
			lines = append(lines, "missing: "+text)
		}
	}
	for text := range got {
		if !want[text] {
			lines = append(lines, "too much: "+text)
		}
	}
	slices.Sort(lines)
	if len(lines) > 20 {
		lines = append(lines[:20], fmt.Sprintf("and %d more", len(lines)-20))
	}
	return strings.Join(lines, "\n")
}

// has fails the test unless a server's zone is what it should be; it returns it.
// The others may take a moment: an NSD that is being replaced by its successor
// sends transfers that are cut off, or that belong to neither version.
func has(t *testing.T, s *server, zone string, want map[string]bool) *content {
	t.Helper()
	end := time.Now()
	if s.kind != harness.Geodns {
		end = end.Add(5 * time.Second)
	}
	for {
		c, err := axfr(s.at(), zone)
		if err != nil {
			err = fmt.Errorf("AXFR of %s from %s (%s): %w", zone, s.kind, s.addr(), err)
		} else if d := differences(want, c.records); d != "" {
			err = fmt.Errorf("%s at %s (%s), serial %d:\n%s", zone, s.kind, s.addr(), c.serial, d)
		}
		if err == nil {
			return c
		}
		if time.Now().After(end) {
			t.Error(err)
			return c
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// serialOf asks for a zone's serial; 0: there is none.
func serialOf(at, zone string) uint32 {
	client := &dns.Client{Timeout: time.Second}
	m := new(dns.Msg).SetQuestion(zone, dns.TypeSOA)
	m.RecursionDesired = false
	r, _, err := client.Exchange(m, at)
	for range 2 { // a datagram may be lost
		if err != nil {
			r, _, err = client.Exchange(m, at)
		}
	}
	if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
		return 0
	}
	if soa, ok := r.Answer[0].(*dns.SOA); ok {
		return soa.Serial
	}
	return 0
}

// reaches waits until a server has a version of a zone, or a newer one.
func reaches(t *testing.T, s *server, zone string, serial uint32) {
	t.Helper()
	until(t, fmt.Sprintf("%s (%s) has serial %d of %s", s.kind, s.addr(), serial, zone), func() bool {
		have := serialOf(s.at(), zone)
		return have != 0 && int32(have-serial) >= 0
	}, s.log)
}

// dialFrom asks over UDP from an address.
func dialFrom(addr string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(addr)}, Timeout: 5 * time.Second}
}
