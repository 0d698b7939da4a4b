package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Every version of a zone writes its number into all its records, so that an
// answer tells of which versions it is made.
const (
	zones   = 100 // z0.test. to z99.test.
	inSet   = 40  // addresses at set, all from the zone's file
	inBoth  = 40  // addresses at both, one half from the file, one from the include
	inInc   = 20  // addresses at inc, all from the include
	hosts   = 40  // h0 to h39, one address each
	absent  = 0   // the version of a zone that is not there
	maxVers = 1<<16 - 1
)

// Main commits change the first zones, topics the next, and the last come and go.
const (
	firstTopic  = 80
	firstToggle = 95
)

// versions is what a work tree holds: the version of each zone.
type versions [zones]int

func zoneName(k int) string { return fmt.Sprintf("z%d.test.", k) }

func zonePath(k int) string { return fmt.Sprintf("zones/z%d.test.zone", k) }

func includePath(k int) string { return fmt.Sprintf("zones/inc/z%d.txt", k) }

// addresses writes those of a name that number from..to-1 of a version.
func addresses(b *strings.Builder, name string, version, from, to int) {
	for i := from; i < to; i++ {
		fmt.Fprintf(b, "%s A 10.%d.%d.%d\n", name, version>>8, version&255, i)
	}
}

// zoneText is a version of any zone. The SOA's refresh tells it, too: its serial is
// raised by the server where git goes back.
func zoneText(k, version int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL 5\n@ SOA ns1 hostmaster %d %d 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n", version, version)
	addresses(&b, "set", version, 0, inSet)
	addresses(&b, "both", version, 0, inBoth/2)
	fmt.Fprintf(&b, "$INCLUDE inc/z%d.txt\n", k)
	for i := range hosts {
		addresses(&b, fmt.Sprintf("h%d", i), version, i, i+1)
	}
	return b.String()
}

func includeText(version int) string {
	var b strings.Builder
	addresses(&b, "both", version, inBoth/2, inBoth)
	addresses(&b, "inc", version, 0, inInc)
	return b.String()
}

// question is one of those that are asked of each zone.
type question struct {
	name   string
	qtype  uint16
	first  int // the first address
	expect int // how many records
	packed []byte
}

// questionsOf are all questions about a zone.
func questionsOf(k int) []question {
	list := []question{
		{name: "", qtype: dns.TypeSOA, expect: 1},
		{name: "set.", qtype: dns.TypeA, expect: inSet},
		{name: "both.", qtype: dns.TypeA, expect: inBoth},
		{name: "inc.", qtype: dns.TypeA, expect: inInc},
	}
	for i := range hosts {
		list = append(list, question{name: fmt.Sprintf("h%d.", i), qtype: dns.TypeA, first: i, expect: 1})
	}
	for i := range list {
		m := new(dns.Msg).SetQuestion(list[i].name+zoneName(k), list[i].qtype)
		m.RecursionDesired = false
		m.SetEdns0(1232, false)
		packed, err := m.Pack()
		if err != nil {
			panic(err) // The names are the test's own.
		}
		list[i].packed = packed
	}
	return list
}

const headerLen = 12

// check reads the version out of a reply, and reports what is wrong with it: a
// mixture of versions, too few or too many records, or another failure.
func (q *question) check(reply []byte) (version int, err error) {
	if len(reply) < headerLen || reply[2]&0x80 == 0 {
		return 0, errors.New("not a reply")
	}
	if reply[2]&2 != 0 {
		return 0, errors.New("truncated")
	}
	count := int(binary.BigEndian.Uint16(reply[6:]))
	switch rcode := int(reply[3] & 15); {
	case rcode == dns.RcodeRefused && count == 0:
		return absent, nil
	case rcode != dns.RcodeSuccess:
		return 0, errors.New(dns.RcodeToString[rcode])
	case count != q.expect:
		return 0, fmt.Errorf("%d records, want %d", count, q.expect)
	}
	end := skipName(reply, headerLen)
	if end < 0 || !bytes.EqualFold(reply[headerLen:end], q.packed[headerLen:headerLen+end-headerLen]) {
		return 0, errors.New("another question")
	}
	return q.records(reply, end+4, count)
}

// records reads the records from at on. All have to be of one version, and each
// address there only once.
func (q *question) records(reply []byte, at, count int) (version int, err error) {
	var seen [256]bool
	for i := range count {
		at = skipName(reply, at)
		if at < 0 || at+10 > len(reply) {
			return 0, errors.New("a record is cut")
		}
		qtype, length := binary.BigEndian.Uint16(reply[at:]), int(binary.BigEndian.Uint16(reply[at+8:]))
		data := at + 10
		if at = data + length; at > len(reply) || qtype != q.qtype || length < 4 {
			return 0, errors.New("a record is cut, or of another type")
		}
		is := 0
		if qtype == dns.TypeSOA {
			is = int(binary.BigEndian.Uint32(reply[at-16:]))
		} else {
			last := int(reply[data+3])
			if reply[data] != 10 || length != 4 || last < q.first || last >= q.first+q.expect || seen[last] {
				return 0, fmt.Errorf("unexpected address %v", reply[data:at])
			}
			seen[last] = true
			is = int(binary.BigEndian.Uint16(reply[data+1:]))
		}
		if i > 0 && is != version {
			return 0, fmt.Errorf("versions %d and %d in one answer", version, is)
		}
		version = is
	}
	return version, nil
}

// skipName returns where a name ends, or -1.
func skipName(msg []byte, at int) int {
	for at < len(msg) {
		switch n := int(msg[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0:
			return at + 2
		default:
			at += 1 + n
		}
	}
	return -1
}
