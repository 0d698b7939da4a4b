package fetch

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/transfer/message"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// FuzzMessages: any messages at all, split as their first octets say, in answer
// to an AXFR and to an IXFR. Nothing panics; what is taken is a zone that holds
// what its records and lengths promise, and the copy stays as it was.
func FuzzMessages(f *testing.F) {
	seed := func(records ...dns.RR) {
		m := new(dns.Msg)
		m.SetQuestion(apexText, dns.TypeIXFR)
		m.Id, m.Response, m.Compress, m.Answer = 0, true, true, records
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		m.Question[0].Qtype = dns.TypeAXFR
		if b, err = m.Pack(); err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	seed(axfr(7)...)
	seed(slices.Concat([]dns.RR{soa(6)}, step(5), []dns.RR{soa(6)})...)
	seed(append(base(7), rr("m.example. 1 IN MX 1 a.example."), rr("s.example. 1 IN SVCB 1 . port=1"),
		rr("n.example. 1 IN NSEC a.example. A NS"), rr("l.example. 1 IN APL 1:10.0.0.0/8"), soa(7))...)
	have := build(base(5))
	before := have.Records()
	f.Fuzz(func(t *testing.T, msg []byte, incremental bool) {
		o := Options{MaxRecords: 1000}.withDefaults()
		fetch := fetching{p: &Primary{}, apex: wireName(apexText), o: &o, kind: wire.TypeAXFR}
		if incremental {
			fetch.have, fetch.kind = have, wire.TypeIXFR
		}
		fetch.in = intake{apex: fetch.apex, have: fetch.have, o: &o, incremental: incremental}
		if err := fetch.message(&reader{}, msg); err != nil || fetch.in.phase != atEnd {
			return
		}
		got, err := fetch.in.finish(context.Background())
		if err != nil {
			return
		}
		if have.Records() != before || have.Serial() != 5 {
			t.Fatal("the copy changed")
		}
		checkZone(t, got.Zone)
	})
}

// checkZone sees that all that a zone holds can be read by somebody else, and
// is without pointers.
func checkZone(t *testing.T, z *zone.Zone) {
	z.Each(func(owner []byte, s *zone.RRset) bool {
		if wire.NameLen(owner) != len(owner) || !wire.HasSuffix(owner, z.Apex()) {
			t.Fatalf("owner %x", owner)
		}
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			r = rest
			if at, ok := zone.NameIn(s.Type); ok && wire.NameLen(data[at:]) != len(data)-at {
				t.Fatalf("type %d: %x", s.Type, data)
			}
			// All that is read out of it has to be the same without a message
			// around it.
			out, err := again(s.Type, data)
			if err != nil || !bytes.Equal(out, data) {
				t.Fatalf("type %d: %x, read again: %x %v", s.Type, data, out, err)
			}
		}
	})
}

// again reads RDATA as it would stand in a message of its own.
func again(t wire.Type, data []byte) ([]byte, error) {
	msg := make([]byte, wire.HeaderLen, wire.HeaderLen+11+len(data))
	msg[7] = 1
	msg = append(msg, 0, byte(t>>8), byte(t), 0, 1, 0, 0, 0, 0)
	msg = wire.AppendRecord(msg, data)
	var r message.Reader
	var rec message.Record
	if err := r.Open(msg); err != nil {
		return nil, err
	}
	if _, err := r.Next(message.Answer, &rec); err != nil {
		return nil, err
	}
	return r.Data(&rec)
}
