package update

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// model is a zone as a set of records, and the pseudocode of RFC 2136 3.2.5 and
// 3.4.2.7 on it, word by word. Do must equal it.
type model struct {
	apex    string
	records []modelRecord
}

type modelRecord struct {
	name, data string
	typ        wire.Type
	ttl        uint32
}

func modelOf(z *zone.Zone) *model {
	m := &model{apex: string(z.Apex())}
	z.Each(func(owner []byte, s *zone.RRset) bool {
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			m.records = append(m.records, modelRecord{string(owner), string(data), s.Type, s.TTL})
			r = rest
		}
	})
	return m
}

// same compares RDATA (RFC 2136 1.1.1 and RFC 4343: names without case). All
// names of the test are ASCII, and no number in front of one is a letter.
func same(t wire.Type, a, b string) bool {
	switch t {
	case wire.TypeNS, wire.TypeCNAME, wire.TypeDNAME, wire.TypeMX:
		return strings.EqualFold(a, b)
	}
	return a == b
}

func (m *model) has(match func(*modelRecord) bool) bool {
	return slices.ContainsFunc(m.records, func(r modelRecord) bool { return match(&r) })
}

func (m *model) remove(match func(*modelRecord) bool) {
	m.records = slices.DeleteFunc(m.records, func(r modelRecord) bool { return match(&r) })
}

// prerequisites is RFC 2136 3.2.5. Names are in the zone, classes and TTLs right.
func (m *model) prerequisites(list []Record) wire.Rcode {
	for i := range list {
		rr := &list[i]
		any := m.has(func(r *modelRecord) bool { return r.name == string(rr.Name) })
		set := m.has(func(r *modelRecord) bool { return r.name == string(rr.Name) && r.typ == rr.Type })
		switch {
		case rr.Class == wire.ClassANY && rr.Type == wire.TypeANY && !any:
			return wire.RcodeNXDomain
		case rr.Class == wire.ClassANY && rr.Type != wire.TypeANY && !set:
			return wire.RcodeNXRRSet
		case rr.Class == wire.ClassNONE && rr.Type == wire.TypeANY && any:
			return wire.RcodeYXDomain
		case rr.Class == wire.ClassNONE && rr.Type != wire.TypeANY && set:
			return wire.RcodeYXRRSet
		}
	}
	for i := range list {
		if rr := &list[i]; rr.Class == wire.ClassIN && !m.exactly(list, rr) {
			return wire.RcodeNXRRSet
		}
	}
	return wire.RcodeNoError
}

// exactly reports whether the RRset of rr is what the list says of it.
func (m *model) exactly(list []Record, rr *Record) bool {
	wanted := func(data string) bool {
		return slices.ContainsFunc(list, func(w Record) bool {
			return w.Class == wire.ClassIN && w.Type == rr.Type && bytes.Equal(w.Name, rr.Name) && same(rr.Type, string(w.Data), data)
		})
	}
	more := m.has(func(r *modelRecord) bool {
		return r.name == string(rr.Name) && r.typ == rr.Type && !wanted(r.data)
	})
	return !more && m.has(func(r *modelRecord) bool {
		return r.name == string(rr.Name) && r.typ == rr.Type && same(r.typ, r.data, string(rr.Data))
	})
}

// do is RFC 2136 3.4.2.7.
func (m *model) do(rr *Record) {
	name := string(rr.Name)
	switch rr.Class {
	case wire.ClassIN:
		m.add(rr)
	case wire.ClassANY:
		m.remove(func(r *modelRecord) bool {
			if r.name != name || name == m.apex && (r.typ == wire.TypeSOA || r.typ == wire.TypeNS) {
				return false
			}
			return rr.Type == wire.TypeANY || r.typ == rr.Type
		})
	case wire.ClassNONE:
		if rr.Type == wire.TypeSOA {
			return
		}
		others := m.has(func(r *modelRecord) bool {
			return r.name == name && r.typ == wire.TypeNS && !same(r.typ, r.data, string(rr.Data))
		})
		if name == m.apex && rr.Type == wire.TypeNS && !others {
			return
		}
		m.remove(func(r *modelRecord) bool {
			return r.name == name && r.typ == rr.Type && same(r.typ, r.data, string(rr.Data))
		})
	}
}

func (m *model) add(rr *Record) {
	name, data := string(rr.Name), string(rr.Data)
	at := func(which func(wire.Type) bool) bool {
		return m.has(func(r *modelRecord) bool { return r.name == name && which(r.typ) })
	}
	switch {
	case rr.Type == wire.TypeCNAME && at(func(t wire.Type) bool { return t != wire.TypeCNAME && t != wire.TypeKEY }):
		return
	case rr.Type != wire.TypeCNAME && rr.Type != wire.TypeKEY && at(func(t wire.Type) bool { return t == wire.TypeCNAME }):
		return
	case rr.Type == wire.TypeSOA && (name != m.apex || int32(serial(rr.Data)-m.serial()) <= 0):
		return
	}
	m.remove(func(r *modelRecord) bool {
		if r.name != name || r.typ != rr.Type {
			return false
		}
		switch r.typ {
		case wire.TypeCNAME, wire.TypeSOA, wire.TypeDNAME:
			return true
		case 11: // WKS: address and protocol
			return r.data[:5] == data[:5]
		}
		return same(r.typ, r.data, data)
	})
	m.records = append(m.records, modelRecord{name, data, rr.Type, rr.TTL})
	for i := range m.records {
		if r := &m.records[i]; r.name == name && r.typ == rr.Type {
			r.ttl = rr.TTL
		}
	}
}

func (m *model) soa() *modelRecord {
	return &m.records[slices.IndexFunc(m.records, func(r modelRecord) bool { return r.typ == wire.TypeSOA })]
}

func (m *model) serial() uint32 { return serial([]byte(m.soa().data)) }

// serial is that of an SOA, by which the model does not rely on what it judges.
func serial(soa []byte) uint32 { return binary.BigEndian.Uint32(soa[len(soa)-20:]) }

func (m *model) texts() (list []string) {
	for _, r := range m.records {
		list = append(list, textOf([]byte(r.name), r.typ, r.ttl, []byte(r.data)))
	}
	slices.Sort(list)
	return list
}

// breaks reports whether the zone breaks a rule that RFC 2136 doesn't know: DNAME
// and NS at one name below the apex (RFC 6672 2.3).
func (m *model) breaks() bool {
	for _, r := range m.records {
		if r.typ == wire.TypeDNAME && r.name != m.apex &&
			m.has(func(o *modelRecord) bool { return o.name == r.name && o.typ == wire.TypeNS }) {
			return true
		}
	}
	return false
}

// update does a request to a copy, with what is answered.
func (m *model) update(req *Request) (*model, wire.Rcode) {
	if rcode := m.prerequisites(req.Prerequisites); rcode != wire.RcodeNoError {
		return m, rcode
	}
	n := &model{m.apex, slices.Clone(m.records)}
	for i := range req.Updates {
		n.do(&req.Updates[i])
	}
	if n.breaks() {
		return m, wire.RcodeRefused
	}
	if !slices.Equal(n.texts(), m.texts()) && n.serial() == m.serial() {
		data := []byte(n.soa().data)
		binary.BigEndian.PutUint32(data[len(data)-20:], n.serial()+1)
		n.soa().data = string(data)
	}
	return n, wire.RcodeNoError
}

// genRecord makes records that meet each other often.
func genRecord(z *zone.Zone) *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		owner := rapid.SampledFrom([]string{"example.", "a.example.", "b.example.", "c.b.example.", "*.b.example.", "x._steer.example."}).Draw(t, "owner")
		pick := func(texts ...string) string { return rapid.SampledFrom(texts).Draw(t, "data") }
		var data string
		switch typ := rapid.SampledFrom([]string{"A", "A", "A", "TXT", "NS", "CNAME", "MX", "SOA", "DNAME", "KEY", "WKS"}).Draw(t, "type"); typ {
		case "A":
			data = "A 192.0.2." + pick("1", "2", "3")
		case "TXT":
			data = "TXT " + pick("x", "X")
		case "NS", "CNAME", "DNAME":
			data = typ + " " + pick("ns1.example.", "NS1.example.", "n.example.")
		case "MX":
			data = "MX " + pick("1 a.", "1 A.", "2 a.")
		case "SOA":
			data = fmt.Sprintf("SOA a. b. %d 1 1 1 %s", z.Serial()+rapid.Uint32Range(0, 3).Draw(t, "newer")-1, pick("1", "2"))
		case "KEY":
			data = "KEY 512 3 8 " + pick("AQ==", "Ag==")
		case "WKS":
			data = `TYPE11 \# 6 c00002` + pick("010680", "010640", "020680")
		}
		return recordOf(t, fmt.Sprintf("%s %d %s", owner, rapid.Uint32Range(1, 2).Draw(t, "TTL"), data))
	})
}

// genRequest makes updates; mostly such whose prerequisites have a chance.
func genRequest(z *zone.Zone) *rapid.Generator[*Request] {
	return rapid.Custom(func(t *rapid.T) *Request {
		req := &Request{Zone: z.Apex()}
		for range rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2}).Draw(t, "prerequisites") {
			rr := genRecord(z).Draw(t, "prerequisite")
			rr.TTL = 0
			if rr.Class = rapid.SampledFrom([]uint16{wire.ClassIN, wire.ClassANY, wire.ClassNONE}).Draw(t, "class"); rr.Class != wire.ClassIN {
				rr.Data = nil
				if rapid.Bool().Draw(t, "name") {
					rr.Type = wire.TypeANY
				}
			}
			req.Prerequisites = append(req.Prerequisites, rr)
		}
		for range rapid.IntRange(0, 8).Draw(t, "updates") {
			rr := genRecord(z).Draw(t, "update")
			rr.Class = rapid.SampledFrom([]uint16{wire.ClassIN, wire.ClassIN, wire.ClassIN, wire.ClassANY, wire.ClassNONE, wire.ClassNONE}).Draw(t, "class")
			if rr.Class != wire.ClassIN {
				rr.TTL = 0
			}
			if rr.Class == wire.ClassANY {
				rr.Data = nil
				if rapid.Bool().Draw(t, "name") {
					rr.Type = wire.TypeANY
				}
			}
			req.Updates = append(req.Updates, rr)
		}
		return req
	})
}

// TestEqualsModel: one update after the other, by messages.
func TestEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := zoneOf(t, some...)
		m := modelOf(z)
		for range rapid.IntRange(1, 12).Draw(t, "messages") {
			drawn := genRequest(z).Draw(t, "request")
			req, err := Parse(messageOf(drawn.Zone, drawn.Prerequisites, drawn.Updates))
			if err != nil {
				t.Fatalf("%v", err)
			}
			next, want := m.update(req)
			if want != wire.RcodeNoError {
				if _, _, err := Do(z, req, all); rcodeOf(t, err) != want {
					t.Fatalf("%v, want RCODE %d", err, want)
				}
				continue
			}
			before := m
			z, _ = done(t, z, req, all)
			m = next
			if got, want := textsOf(z), m.texts(); !slices.Equal(got, want) {
				t.Fatalf("the zone is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if changed := !slices.Equal(before.texts(), m.texts()); changed == (z.Serial() == before.serial()) {
				t.Fatalf("serial %d after %d; changed: %v", z.Serial(), before.serial(), changed)
			}
		}
	})
}
