package update

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"geodns/internal/transfer/message"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// nameOf is a name in wire form, lower case.
func nameOf(t fataler, text string) []byte {
	t.Helper()
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(text, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return wire.AppendLower(nil, buf[:n])
}

// recordOf is a record from its text.
func recordOf(t fataler, text string) Record {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	buf := make([]byte, 70000)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	n := wire.NameLen(buf)
	h := rr.Header()
	return Record{wire.AppendLower(nil, buf[:n]), h.Rrtype, h.Class, h.Ttl, bytes.Clone(buf[n+10 : end])}
}

const soaFormat = "example. 300 SOA ns1.example. host.example. %d 3600 600 604800 60"

// base is what zoneOf gives a zone beside its SOA.
var base = []string{"example. 300 NS ns1.example.", "ns1.example. 300 A 192.0.2.53"}

// zoneOf compiles a zone example. of serial 1.
func zoneOf(t fataler, lines ...string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	for _, l := range slices.Concat([]string{fmt.Sprintf(soaFormat, 1)}, base, lines) {
		r := recordOf(t, l)
		if p := b.Add(&wire.RR{Owner: r.Name, Type: r.Type, TTL: r.TTL, Data: r.Data}); p != nil {
			t.Fatalf("%s: %v", l, p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatalf("%v", problems)
	}
	return z
}

// textOf is a record as text.
func textOf(owner []byte, typ wire.Type, ttl uint32, data []byte) string {
	msg := append([]byte(nil), owner...)
	msg = binary.BigEndian.AppendUint16(msg, typ)
	msg = binary.BigEndian.AppendUint16(msg, wire.ClassIN)
	msg = binary.BigEndian.AppendUint32(msg, ttl)
	rr, _, err := dns.UnpackRR(wire.AppendRecord(msg, data), 0)
	if err != nil {
		return fmt.Sprintf("%s %d %d %x: %v", wire.NameString(owner), ttl, typ, data, err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(rr.String(), "\tIN\t", " "), "\t", " ")
}

// textsOf is a zone as text, in order.
func textsOf(z *zone.Zone) (list []string) {
	z.Each(func(owner []byte, s *zone.RRset) bool {
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			list = append(list, textOf(owner, s.Type, s.TTL, data))
			r = rest
		}
	})
	slices.Sort(list)
	return list
}

// opOf is a record of an update and the section that it is in, from what is like
// nsupdate's words: "?" in use or there, "!" not, "=" exactly so, "+" add, "-"
// delete; behind them a name, a type, data; "+" has a TTL too.
func opOf(t fataler, text string) (Record, int) {
	t.Helper()
	kind, rest := text[:1], text[2:]
	words := strings.SplitN(rest, " ", 3)
	var rr Record
	switch {
	case kind == "+":
		return recordOf(t, rest), message.Updates
	case len(words) == 3:
		rr = recordOf(t, words[0]+" 0 "+words[1]+" "+words[2])
	case len(words) == 2:
		rr = Record{Name: nameOf(t, words[0]), Type: dns.StringToType[words[1]]}
	default:
		rr = Record{Name: nameOf(t, words[0]), Type: wire.TypeANY}
	}
	switch {
	case kind == "-" && len(words) == 3:
		rr.Class = wire.ClassNONE
	case kind == "-", kind == "?":
		rr.Class = wire.ClassANY
	case kind == "!":
		rr.Class = wire.ClassNONE
	}
	if kind == "-" {
		return rr, message.Updates
	}
	return rr, message.Prerequisites
}

// messageOf is an update of a zone, of records as they are.
func messageOf(zone []byte, prerequisites, updates []Record) []byte {
	msg := make([]byte, wire.HeaderLen)
	msg[2] = wire.OpcodeUpdate << 3
	msg[5] = 1
	binary.BigEndian.PutUint16(msg[6:], uint16(len(prerequisites)))
	binary.BigEndian.PutUint16(msg[8:], uint16(len(updates)))
	msg = append(append(msg, zone...), 0, byte(wire.TypeSOA), 0, byte(wire.ClassIN))
	for _, r := range slices.Concat(prerequisites, updates) {
		msg = append(msg, r.Name...)
		msg = binary.BigEndian.AppendUint16(msg, r.Type)
		msg = binary.BigEndian.AppendUint16(msg, r.Class)
		msg = binary.BigEndian.AppendUint32(msg, r.TTL)
		msg = wire.AppendRecord(msg, r.Data)
	}
	return msg
}

// requestOf is an update of example. that has been sent and read.
func requestOf(t fataler, ops ...string) *Request {
	t.Helper()
	var sections [2][]Record
	for _, op := range ops {
		rr, section := opOf(t, op)
		sections[section] = append(sections[section], rr)
	}
	req, err := Parse(messageOf(nameOf(t, "example."), sections[0], sections[1]))
	if err != nil {
		t.Fatalf("%v: %v", ops, err)
	}
	return req
}

// all are the grants of who may do anything.
var all = Grants{
	{Steering: true},
	{Types: []wire.Type{wire.TypeSOA, wire.TypeNS, wire.TypeDNSKEY, wire.TypeDS}},
}

// rcodeOf is that of an error of Parse or Do.
func rcodeOf(t fataler, err error) wire.Rcode {
	t.Helper()
	var r *Refusal
	switch {
	case err == nil:
		return wire.RcodeNoError
	case !errors.As(err, &r):
		t.Fatalf("not a Refusal: %v", err)
	case r.Why == "" || strings.Contains(r.Why, "%!"):
		t.Fatalf("what does %q mean?", r.Why)
	}
	return r.Rcode
}

// done does an update that is to succeed, and sees that its changes lead to what
// it gives, that nothing goes only to come again, and that the version before is
// as it was.
func done(t fataler, z *zone.Zone, req *Request, grants Grants) (*zone.Zone, *zone.Changeset) {
	t.Helper()
	before := textsOf(z)
	next, changes, err := Do(z, req, grants)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if changes.Empty() != (next == z) {
		t.Fatalf("a new version without changes, or changes without one: %v", changes)
	}
	checkChanges(t, changes)
	again, err := z.Apply(changes)
	if err != nil {
		t.Fatalf("the changes can't be made: %v", err)
	}
	if got, want := textsOf(again), textsOf(next); !slices.Equal(got, want) {
		t.Fatalf("the changes lead to\n%q, not\n%q", got, want)
	}
	if !slices.Equal(before, textsOf(z)) {
		t.Fatalf("the version before changed")
	}
	return next, changes
}

func checkChanges(t fataler, c *zone.Changeset) {
	t.Helper()
	if c.Empty() {
		return
	}
	seen := map[string]bool{}
	for _, list := range [...][]wire.RR{c.Del, c.Add} {
		if len(list) == 0 || list[0].Type != wire.TypeSOA {
			t.Fatalf("the SOA is not first: %v", list)
		}
		for i := range list {
			text := fmt.Sprintf("%s %d %d %x", wire.NameString(list[i].Owner), list[i].TTL, list[i].Type, list[i].Data)
			if seen[text] {
				t.Fatalf("%s goes and comes, or does so twice", text)
			}
			seen[text] = true
		}
	}
}
