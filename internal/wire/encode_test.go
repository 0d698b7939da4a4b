package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// sample is a reply to be encoded, with what it is to become.
type sample struct {
	req   []byte
	query wire.Query
	reply *wire.Reply
	resp  wire.Response
	// sets are the records of each set of each section, in order.
	sets [3][][]record
}

// record is one record, its RDATA without compression.
type record struct {
	owner []byte
	typ   wire.Type
	class uint16
	ttl   uint32
	data  []byte
}

var encodedTypes = rapid.SampledFrom([]wire.Type{
	wire.TypeA, wire.TypeA, wire.TypeAAAA, wire.TypeNS, wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeMX, wire.TypeMX, wire.TypeSOA, wire.TypeMINFO, wire.TypeMG,
	wire.TypeTXT, wire.TypeSRV, wire.TypeDNAME, wire.TypeRRSIG, wire.TypeHTTPS, 65400,
})

// names are drawn anew or built upon those before.
type names struct {
	t    *rapid.T
	pool [][]byte
}

func (p *names) draw() []byte {
	n := rapid.SampledFrom(p.pool).Draw(p.t, "name")
	for range rapid.SampledFrom([]int{0, 0, 1, 1, 2, 5}).Draw(p.t, "more") {
		l := []byte(rapid.SampledFrom([]string{"\x01a", "\x01A", "\x01b", "\x03www", "\x01\x00", "\x01\xc0", "\x3f" + strings.Repeat("x", 63)}).Draw(p.t, "label"))
		if len(l)+len(n) <= wire.MaxName {
			n = append(l, n...)
		}
	}
	p.pool = append(p.pool, n)
	return n
}

func (p *names) data(t wire.Type) []byte {
	switch t {
	case wire.TypeA:
		return rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(p.t, "a")
	case wire.TypeAAAA:
		return rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(p.t, "aaaa")
	case wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeMG, wire.TypeDNAME:
		return bytes.Clone(p.draw())
	case wire.TypeMX:
		return append([]byte{0, 10}, p.draw()...)
	case wire.TypeSRV:
		return append([]byte{0, 0, 0, 0, 1, 1}, p.draw()...)
	case wire.TypeHTTPS:
		return append([]byte{0, 1}, p.draw()...)
	case wire.TypeMINFO:
		return append(bytes.Clone(p.draw()), p.draw()...)
	case wire.TypeSOA:
		return append(append(bytes.Clone(p.draw()), p.draw()...), make([]byte, 20)...)
	case wire.TypeRRSIG:
		return append(append(make([]byte, 18), p.draw()...), make([]byte, 64)...)
	case wire.TypeTXT:
		n := rapid.SampledFrom([]int{1, 10, 100, 250}).Draw(p.t, "text")
		one := append([]byte{byte(n)}, bytes.Repeat([]byte("\x03"), n)...)
		return bytes.Repeat(one, rapid.SampledFrom([]int{1, 1, 1, 2, 30}).Draw(p.t, "strings"))
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(p.t, "data")
}

// set draws a Set and the records that it stands for.
func (p *names) set(class uint16, asked []byte) (s wire.Set, want []record) {
	s.Type = encodedTypes.Draw(p.t, "type")
	s.TTL = rapid.SampledFrom([]uint32{0, 300, 1<<31 - 1}).Draw(p.t, "ttl")
	owner := asked
	if rapid.Bool().Draw(p.t, "another owner") {
		s.Owner = p.draw()
		owner = s.Owner
	}
	n := rapid.SampledFrom([]int{1, 1, 2, 3, 20}).Draw(p.t, "records")
	if s.Type == wire.TypeSOA || s.Type == wire.TypeCNAME || s.Type == wire.TypeDNAME {
		n = 1
	}
	for range n {
		data := p.data(s.Type)
		s.Records = wire.AppendRecord(s.Records, data)
		want = append(want, record{owner, s.Type, class, s.TTL, data})
	}
	if rapid.IntRange(0, 3).Draw(p.t, "pick") == 0 {
		s.Pick = []uint16{}
		all := want
		want = nil
		for _, i := range rapid.Permutation(indexes(n)).Draw(p.t, "order")[:rapid.IntRange(0, n).Draw(p.t, "picks")] {
			s.Pick = append(s.Pick, uint16(i))
			want = append(want, all[i])
		}
		return s, want
	}
	s.First = rapid.IntRange(0, n-1).Draw(p.t, "first")
	return s, append(slices.Clone(want[s.First:]), want[:s.First]...)
}

func indexes(n int) (l []int) {
	for i := range n {
		l = append(l, i)
	}
	return l
}

// drawSample draws a reply, and the question that it answers.
func drawSample(t *rapid.T) *sample {
	s := &sample{reply: wire.NewReply()}
	s.reply.Reset()
	p := &names{t: t, pool: [][]byte{{0}, []byte("\x07example\x00")}}
	name := p.draw()
	s.req = append(header(0x0100, 1), name...)
	s.req = append(s.req, 0, 1, 0, 1)
	if rapid.IntRange(0, 2).Draw(t, "edns") > 0 {
		s.req[11] = 1
		options := option(8, "\x00\x01\x18\x00\xc0\x00\x02")
		if rapid.Bool().Draw(t, "ask nsid") {
			options += option(3, "")
		}
		if rapid.Bool().Draw(t, "ask version") {
			options += option(19, "")
		}
		s.req = append(s.req, opt(0, 0, options)...)
	}
	if verdict := s.query.Parse(s.req, false); verdict != wire.Accept {
		t.Fatalf("%x: verdict %d", s.req, verdict)
	}
	r := s.reply
	r.AA, r.Rcode = rapid.Bool().Draw(t, "aa"), wire.Rcode(rapid.SampledFrom([]int{0, 3, 16}).Draw(t, "rcode"))
	for section, sets := range []*[]wire.Set{&r.Answer, &r.Authority, &r.Additional} {
		for range rapid.SampledFrom([]int{0, 1, 1, 2, 5}).Draw(t, "sets") {
			set, want := p.set(wire.ClassIN, s.query.Name.Bytes())
			*sets = append(*sets, set)
			s.sets[section] = append(s.sets[section], want)
		}
	}
	r.Required = rapid.IntRange(0, len(r.Additional)).Draw(t, "required")
	if rapid.Bool().Draw(t, "ede") {
		r.SetEDE(wire.EDEOther, strings.Repeat("e", rapid.IntRange(0, 200).Draw(t, "ede text")))
	}
	r.HasVersion, r.ZoneLabels, r.ZoneSerial = rapid.Bool().Draw(t, "version"), 1, rapid.Uint32().Draw(t, "serial")
	s.resp = wire.Response{UDPSize: 1232, NSID: bytes.Repeat([]byte("n"), rapid.SampledFrom([]int{0, 4, 300}).Draw(t, "nsid"))}
	return s
}

// encode encodes the sample; the query and the reply are left as they were.
func (s *sample) encode(e *wire.Encoder, limit int) []byte {
	q, r, x := s.query, *s.reply, s.resp
	x.Limit = limit
	return e.Append(make([]byte, 0, limit), s.req, &q, &r, &x)
}

// property: whatever the reply, the message holds it, as far as the limit
// allows.
func property(t *rapid.T) {
	s := drawSample(t)
	e := new(wire.Encoder)
	whole := s.encode(e, 65535)
	s.check(t, whole, 65535, true)
	limit := rapid.SampledFrom([]int{512, 600, 1232, 4096, 20000}).Draw(t, "limit")
	if near := rapid.IntRange(-3, 3).Draw(t, "near"); near != 3 && len(whole) < 60000 {
		limit = max(512, len(whole)+near)
	}
	s.check(t, s.encode(e, limit), limit, len(whole) <= limit)
	if again := s.encode(e, 65535); !bytes.Equal(whole, again) {
		t.Fatalf("what was encoded before matters: %x, then %x", whole, again)
	}
}

func (s *sample) check(t *rapid.T, msg []byte, limit int, fits bool) {
	t.Helper()
	if len(msg) > limit {
		t.Fatalf("%d octets, more than %d", len(msg), limit)
	}
	m := &dns.Msg{}
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("%v: %x", err, msg)
	}
	if (m.IsEdns0() != nil) != s.query.EDNS.Present {
		t.Fatalf("OPT: %v", m.IsEdns0())
	}
	if got, want := zoneVersion(m), s.query.EDNS.Version && s.reply.HasVersion; (got != nil) != want || want && (got.LabelCount != 1 || got.Type != 0 || got.Version != string(binary.BigEndian.AppendUint32(nil, s.reply.ZoneSerial))) {
		t.Fatalf("ZONEVERSION: %+v", got)
	}
	if rcode := int(s.reply.Rcode); m.Authoritative != s.reply.AA || m.Rcode != rcode && (m.IsEdns0() != nil || m.Rcode != rcode&15) {
		t.Fatalf("header %+v", m.MsgHdr)
	}
	got := walk(t, msg)
	missing := false // something that needs TC
	for section := range s.sets {
		for i, set := range s.sets[section] {
			if n := len(set); n <= len(got[section]) && sameRecords(got[section][:n], set) && !missing {
				got[section] = got[section][n:]
				continue
			}
			if fits {
				t.Fatalf("section %d lacks set %d, %v, which fits: %v", section, i, set, got[section])
			}
			if len(set) > 0 {
				missing = missing || section < 2 || i < s.reply.Required
			}
		}
		if len(got[section]) > 0 {
			t.Fatalf("section %d has records too many, or in part: %v", section, got[section])
		}
	}
	if m.Truncated != missing {
		t.Fatalf("TC is %t", m.Truncated)
	}
}

// zoneVersion is the ZONEVERSION option of a message.
func zoneVersion(m *dns.Msg) *dns.EDNS0_ZONEVERSION {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if v, ok := option.(*dns.EDNS0_ZONEVERSION); ok {
				return v
			}
		}
	}
	return nil
}

func sameRecords(a, b []record) bool {
	return slices.EqualFunc(a, b, func(a, b record) bool {
		return wire.EqualFold(a.owner, b.owner) && a.typ == b.typ && a.class == b.class && a.ttl == b.ttl && sameData(a, b)
	})
}

// sameData: names may come in the case of another place in the message, in
// types whose names are compressed.
func sameData(a, b record) bool {
	if _, ok := namesAt(a.typ); ok {
		return wire.EqualFold(a.data, b.data)
	}
	return bytes.Equal(a.data, b.data)
}

// namesAt says where names stand that may be compressed: RFC 1035 types only.
func namesAt(t wire.Type) (at int, ok bool) {
	switch t {
	case 2, 3, 4, 5, 6, 7, 8, 9, 12, 14:
		return 0, true
	case 15:
		return 2, true
	}
	return 0, false
}

// walk takes a message apart, and checks its pointers.
func walk(t *rapid.T, msg []byte) (sections [3][]record) {
	t.Helper()
	_, at := expand(t, msg, 12)
	at += 4
	for section := range 3 {
		for range int(msg[6+2*section])<<8 | int(msg[7+2*section]) {
			var r record
			r.owner, at = expand(t, msg, at)
			u16 := func(i int) int { return int(msg[at+i])<<8 | int(msg[at+i+1]) }
			r.typ, r.class, r.ttl = wire.Type(u16(0)), uint16(u16(2)), uint32(u16(4))<<16|uint32(u16(6))
			end := at + 10 + u16(8)
			at += 10
			if i, ok := namesAt(r.typ); ok {
				r.data = append(r.data, msg[at:at+i]...)
				at += i
				for range map[bool]int{true: 2, false: 1}[r.typ == wire.TypeSOA || r.typ == wire.TypeMINFO] {
					var name []byte
					name, at = expand(t, msg, at)
					r.data = append(r.data, name...)
				}
			}
			r.data = append(r.data, msg[at:end]...)
			at = end
			if r.typ != wire.TypeOPT {
				sections[section] = append(sections[section], r)
			}
		}
	}
	if at != len(msg) {
		t.Fatalf("%d octets are left", len(msg)-at)
	}
	return sections
}

// expand reads a name, whose pointers have to lead to names before it.
func expand(t *rapid.T, msg []byte, at int) (name []byte, end int) {
	t.Helper()
	for before := at; ; {
		l := int(msg[at])
		if l&0xc0 == 0xc0 {
			to := l&0x3f<<8 | int(msg[at+1])
			if to >= before {
				t.Fatalf("the pointer at %d leads to %d, not before %d", at, to, before)
			}
			if end == 0 {
				end = at + 2
			}
			before, at = to, to
			continue
		}
		name = append(name, msg[at:at+1+l]...)
		at += 1 + l
		if l == 0 {
			if end == 0 {
				end = at
			}
			if len(name) > wire.MaxName {
				t.Fatalf("a name of %d octets", len(name))
			}
			return name, end
		}
	}
}

func TestEncode(t *testing.T) { rapid.Check(t, property) }

// TestFullTable: more names than the table holds, far more than pointers can
// lead to.
func TestFullTable(t *testing.T) {
	for _, n := range []int{100, 1000, 2000} {
		rapid.Check(t, func(t *rapid.T) {
			first := rapid.IntRange(0, 9999).Draw(t, "first")
			s := &sample{reply: wire.NewReply(), req: append(header(0, 1), askA...)}
			s.query.Parse(s.req, true)
			s.reply.Reset()
			set := wire.Set{Type: wire.TypeNS, TTL: 1}
			var want []record
			for i := range n {
				data := []byte(fmt.Sprintf("\x05%05d\x05%05d\x03net\x00", (first+i)%n, i/3))
				set.Records = wire.AppendRecord(set.Records, data)
				want = append(want, record{[]byte("\x03www\x07example\x00"), wire.TypeNS, 1, 1, data})
			}
			s.reply.Answer = append(s.reply.Answer, set)
			s.sets[0] = [][]record{want}
			e := new(wire.Encoder)
			s.check(t, s.encode(e, 65535), 65535, true)
			s.check(t, s.encode(e, 512), 512, false)
		})
	}
}

// TestFarNames: names are pointed to as far as 14 bits reach, and not beyond.
func TestFarNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(1<<14-20, 1<<14+20).Draw(t, "where the name stands")
		s := &sample{reply: wire.NewReply(), req: append(header(0, 1), askA...)}
		s.query.Parse(s.req, true)
		s.reply.Reset()
		owner := s.query.Name.Bytes()
		pad := make([]byte, at-len(s.req)-12-12)
		target := []byte("\x01x\x04test\x00")
		for _, r := range []record{{owner, 65400, 1, 0, pad}, {owner, wire.TypeNS, 1, 0, target}, {owner, wire.TypePTR, 1, 0, target}} {
			s.reply.Answer = append(s.reply.Answer, wire.Set{Type: r.typ, Records: wire.AppendRecord(nil, r.data)})
			s.sets[0] = append(s.sets[0], []record{r})
		}
		msg := s.encode(new(wire.Encoder), 65535)
		s.check(t, msg, 65535, true)
		// Labels are entered from the right; the second stands two octets on.
		want := at + len(target) + 12 + len(target)
		if at+2 < 1<<14 {
			want = at + len(target) + 12 + 2
		}
		if len(msg) != want {
			t.Fatalf("a name at %d: %d octets, want %d", at, len(msg), want)
		}
	})
}

// TestForgottenNames: nothing points to a name of a set that was taken back.
func TestForgottenNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sample{reply: wire.NewReply(), req: append(header(0, 1), askA...)}
		s.query.Parse(s.req, true)
		s.reply.Reset()
		owner := s.query.Name.Bytes()
		large := wire.Set{Type: wire.TypeNS}
		var lost []record
		for i := range 30 {
			lost = append(lost, record{owner, wire.TypeNS, 1, 0, []byte(fmt.Sprintf("\x08server%02d\x04test\x00", i))})
			large.Records = wire.AppendRecord(large.Records, lost[i].data)
		}
		again := lost[rapid.IntRange(0, 29).Draw(t, "again")].data
		s.reply.Additional = append(s.reply.Additional, large, wire.Set{Type: wire.TypePTR, Records: wire.AppendRecord(nil, again)})
		s.sets[2] = [][]record{lost, {{owner, wire.TypePTR, 1, 0, again}}}
		msg := s.encode(new(wire.Encoder), 512)
		s.check(t, msg, 512, false)
		if msg[11] != 1 {
			t.Fatalf("%d additional records, want 1", msg[11])
		}
	})
}

// TestGenerations: an Encoder forgets, also after more messages than its
// counter counts.
func TestGenerations(t *testing.T) {
	msg := append(header(0, 1), askA...)
	q := &wire.Query{}
	q.Parse(msg, false)
	r := wire.NewReply()
	r.Answer = append(r.Answer, wire.Set{Type: wire.TypeNS, Records: wire.AppendRecord(nil, []byte("\x01n\x07example\x00"))})
	e, out, x := new(wire.Encoder), make([]byte, 0, 512), &wire.Response{Limit: 512}
	first := bytes.Clone(e.Append(out, msg, q, r, x))
	for i := range 1<<16 + 10 {
		if got := e.Append(out, msg, q, r, x); !bytes.Equal(got, first) {
			t.Fatalf("message %d is %x, want %x", i, got, first)
		}
	}
}

// TestLostSignature: what is left out of the additional section takes its
// signature with it, and TC is not set (RFC 4035 3.1.1).
func TestLostSignature(t *testing.T) {
	msg := append(header(0, 1), askA...)
	q := &wire.Query{}
	q.Parse(msg, false)
	r := wire.NewReply()
	r.Reset()
	text := wire.AppendRecord(nil, bytes.Repeat([]byte("\x01x"), 250))
	signature := wire.AppendRecord(nil, []byte("\x00\x10 and so on"))
	r.Additional = append(r.Additional,
		wire.Set{Type: wire.TypeTXT, Records: text}, wire.Set{Type: wire.TypeRRSIG, Records: signature}, wire.Set{Type: wire.TypeRRSIG, Records: signature},
		wire.Set{Type: wire.TypeA, Records: wire.AppendRecord(nil, []byte("1234"))}, wire.Set{Type: wire.TypeRRSIG, Records: signature})
	res := new(wire.Encoder).Append(make([]byte, 0, 512), msg, q, r, &wire.Response{Limit: 512})
	if res[2]&2 != 0 || res[11] != 2 || !bytes.Contains(res, []byte("1234")) {
		t.Errorf("%x: TC, or not exactly an address and its signature", res)
	}
}

// TestScratch: scratch is bounded, and what was handed out stays.
func TestScratch(t *testing.T) {
	r := wire.NewReply()
	r.Reset()
	a := r.Scratch(4)
	copy(a, "keep")
	total := 4
	for b := r.Scratch(100); b != nil; b = r.Scratch(100) {
		total += len(b)
		clear(b)
	}
	if string(a) != "keep" || total < 16000 || total > 1<<14 {
		t.Errorf("%q, %d octets", a, total)
	}
	if r.Reset(); r.Scratch(total) == nil {
		t.Error("Reset does not give back what was handed out")
	}
}
