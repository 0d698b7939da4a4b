package send

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// change is a Change with its SOAs, out of text.
func change(tb testing.TB, from, to uint32, del, add []string) Change {
	tb.Helper()
	c := Change{From: from, To: to, Del: []wire.RR{record(tb, soaText(from))}, Add: []wire.RR{record(tb, soaText(to))}}
	for _, l := range del {
		c.Del = append(c.Del, record(tb, l))
	}
	for _, l := range add {
		c.Add = append(c.Add, record(tb, l))
	}
	return c
}

// list is the records of an answer by their owners and types, for comparing.
func list(r reply) string {
	var b strings.Builder
	for i := range r.rrs {
		rr := &r.rrs[i]
		switch rr.Type {
		case wire.TypeSOA:
			fmt.Fprintf(&b, "SOA%d ", binary.BigEndian.Uint32(rr.Data[len(rr.Data)-20:]))
		case wire.TypeA:
			fmt.Fprintf(&b, "%s%d/%d ", strings.TrimSuffix(wire.NameString(rr.Owner), "example."), rr.Data[3], rr.TTL)
		default:
			fmt.Fprintf(&b, "%s%s ", strings.TrimSuffix(wire.NameString(rr.Owner), "example."), dns.TypeToString[rr.Type])
		}
	}
	return strings.TrimSpace(b.String())
}

// The form of answers to IXFR, octet for octet as RFC 1995 7 shows it.
func TestIncrementalForm(t *testing.T) {
	a := func(name string, n, ttl int) []string {
		return []string{fmt.Sprintf("%s.example. %d A 192.0.2.%d", name, ttl, n)}
	}
	end := func(serial uint32, lines ...string) *zone.Zone { return texts(t, serial, lines...) }
	tests := []struct {
		name    string
		zone    *zone.Zone
		changes []Change
		strip   bool
		want    string
	}{
		{"one change", end(2, a("b", 2, 60)...), []Change{change(t, 1, 2, a("a", 1, 60), a("b", 2, 60))}, false, "SOA2 SOA1 a.1/60 SOA2 b.2/60 SOA2"},
		{"several become one", end(4, a("b", 2, 60)...), []Change{change(t, 1, 2, a("a", 1, 60), nil), change(t, 2, 4, nil, a("b", 2, 60))}, false, "SOA4 SOA1 a.1/60 SOA4 b.2/60 SOA4"},
		{"comes and goes", end(3), []Change{change(t, 1, 2, nil, a("a", 1, 60)), change(t, 2, 3, a("a", 1, 60), nil)}, false, "SOA3 SOA1 SOA3 SOA3"},
		{"goes and comes", end(3, a("a", 1, 60)...), []Change{change(t, 1, 2, a("a", 1, 60), nil), change(t, 2, 3, nil, a("a", 1, 60))}, false, "SOA3 SOA1 SOA3 SOA3"},
		{"another TTL, and back", end(3, a("a", 1, 60)...), []Change{change(t, 1, 2, a("a", 1, 60), a("a", 1, 90)), change(t, 2, 3, a("a", 1, 90), a("a", 1, 60))}, false, "SOA3 SOA1 SOA3 SOA3"},
		{"another TTL", end(3, a("a", 1, 70)...), []Change{change(t, 1, 2, a("a", 1, 60), a("a", 1, 90)), change(t, 2, 3, a("a", 1, 90), a("a", 1, 70))}, false, "SOA3 SOA1 a.1/60 SOA3 a.1/70 SOA3"},
		{"deleted with a TTL that it had not", end(3), []Change{change(t, 1, 2, nil, a("a", 1, 60)), change(t, 2, 3, a("a", 1, 0), nil)}, false, "SOA3 SOA1 SOA3 SOA3"},
		{"the serial goes round", end(1), []Change{change(t, 0xffffffff, 0, a("a", 1, 60), nil), change(t, 0, 1, a("b", 2, 60), nil)}, false, "SOA1 SOA4294967295 a.1/60 b.2/60 SOA1 SOA1"},
		{"only hidden names", end(2, a("b", 2, 60)...), []Change{change(t, 1, 2, a("lon._site", 1, 60), a("_state", 2, 60))}, true, "SOA2 SOA1 SOA2 SOA2"},
		{"hidden names and others", end(2, a("b", 2, 60)...), []Change{change(t, 1, 2, append(a("lon._site", 1, 60), a("_site.b", 1, 60)...), a("_state", 2, 60))}, true, "SOA2 SOA1 _site.b.1/60 SOA2 SOA2"},
		{"hidden names shown", end(2, a("_state", 2, 60)...), []Change{change(t, 1, 2, a("lon._site", 1, 60), a("_state", 2, 60))}, false, "SOA2 SOA1 lon._site.1/60 SOA2 _state.2/60 SOA2"},
		{"the journal goes on", end(2), []Change{change(t, 1, 2, a("a", 1, 60), nil), change(t, 2, 3, nil, a("b", 2, 60))}, false, "SOA2 SOA1 a.1/60 SOA2 SOA2"},
		{"names in another case", texts(t, 3, "m.example. 60 PTR Foo.example."), []Change{change(t, 1, 2, nil, []string{"m.example. 60 PTR foo.example."}), change(t, 2, 3, []string{"m.example. 60 PTR FOO.example."}, []string{"m.example. 60 PTR Foo.example."})}, false, "SOA3 SOA1 SOA3 m.PTR SOA3"},
	}
	for _, tt := range tests {
		j := &journal{changes: tt.changes}
		r := transfer(t, newSender(j), tt.zone, asked{typ: dns.TypeIXFR, serial: tt.changes[0].From, strip: tt.strip})
		if got := list(r); got != tt.want || r.out.Kind != Changes || r.out.Why != "" || r.out.From != tt.changes[0].From {
			t.Errorf("%s: %+v\ngot  %s\nwant %s", tt.name, r.out, got, tt.want)
		}
		// Those that are too many to hold go out as they are in the journal.
		s := newSender(j)
		s.maxHeld = 0
		r = transfer(t, s, tt.zone, asked{typ: dns.TypeIXFR, serial: tt.changes[0].From, strip: tt.strip})
		if got := list(r); r.out.Kind != Changes || len(tt.changes) == 1 && got != tt.want {
			t.Errorf("%s, passed on: %+v\ngot  %s\nwant %s", tt.name, r.out, got, tt.want)
		}
	}
}

// Each change by itself, where they are not condensed.
func TestPassedOnForm(t *testing.T) {
	s := newSender(&journal{changes: []Change{
		change(t, 1, 2, nil, []string{"a.example. 60 A 192.0.2.1", "x._site.example. 60 A 192.0.2.9"}),
		change(t, 2, 5, []string{"a.example. 60 A 192.0.2.1"}, []string{"b.example. 60 A 192.0.2.2"}),
	}})
	s.maxHeld = 0
	z := texts(t, 5, "b.example. 60 A 192.0.2.2")
	want := "SOA5 SOA1 SOA2 a.1/60 SOA2 a.1/60 SOA5 b.2/60 SOA5"
	if got := list(transfer(t, s, z, asked{typ: dns.TypeIXFR, serial: 1, strip: true})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r := transfer(t, s, z, asked{typ: dns.TypeIXFR, serial: 1, udp: true, size: 1232})
	if r.out.Kind != UseTCP || list(r) != "SOA5" {
		t.Errorf("over UDP: %+v: %s", r.out, list(r))
	}
}

// What can't be answered by changes is answered by the zone over TCP, and by the
// SOA over UDP.
func TestIncrementalFallsBack(t *testing.T) {
	z := texts(t, 5)
	var huge []string
	for i := range 400 {
		huge = append(huge, fmt.Sprintf("h%d.example. 60 TXT %s", i, strings.Repeat("x", 100)))
	}
	fine := change(t, 1, 2, nil, []string{"a.example. 60 A 192.0.2.1"})
	tests := []struct {
		name    string
		journal Journal
		held    int
		why     string
	}{
		{"no journal", nil, maxHeld, "there is no journal"},
		{"begins later", &journal{changes: []Change{change(t, 4, 5, nil, nil)}}, maxHeld, "the journal begins later"},
		{"ends before", &journal{changes: []Change{fine}}, maxHeld, "leads from serial 1 to 2, not to 5"},
		{"has a gap", &journal{changes: []Change{fine, change(t, 3, 5, nil, nil)}}, maxHeld, "a change from serial 3 where one from 2 belongs"},
		{"breaks", &journal{changes: []Change{fine}, broken: errors.New("page 7 is damaged")}, maxHeld, "page 7 is damaged"},
		{"has no SOA to go", &journal{changes: []Change{{From: 1, To: 5, Add: fine.Add}}}, maxHeld, "without its SOAs"},
		{"has no SOA to come", &journal{changes: []Change{{From: 1, To: 5, Del: fine.Del}}}, maxHeld, "without its SOAs"},
		{"more than the zone", &journal{changes: []Change{change(t, 1, 5, huge, nil)}}, maxHeld, "are more than the zone"},
		{"more than the zone, and than is held", &journal{changes: []Change{change(t, 1, 2, huge, nil), change(t, 2, 3, nil, huge), change(t, 3, 5, huge, nil)}}, 0, "are more than the zone"},
	}
	for _, tt := range tests {
		s := newSender(tt.journal)
		s.maxHeld = tt.held
		r := transfer(t, s, z, asked{typ: dns.TypeIXFR, serial: 1, signed: true})
		got, err := r.apply(nil)
		if err != nil || r.out.Kind != Whole || !strings.Contains(r.out.Why, tt.why) {
			t.Errorf("%s: %+v, %v; want %q", tt.name, r.out, err, tt.why)
		}
		same(t, got, set(z, false))
		r = transfer(t, s, z, asked{typ: dns.TypeIXFR, serial: 1, udp: true})
		if r.out.Kind != UseTCP || list(r) != "SOA5" || !strings.Contains(r.out.Why, tt.why) {
			t.Errorf("%s over UDP: %+v: %s", tt.name, r.out, list(r))
		}
	}
}

// A large deletion and addition that cancel out are not taken for large.
func TestCondensedIsSmall(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("h%d.example. 60 TXT %s", i, strings.Repeat("x", 100)))
	}
	for _, c := range [][]Change{
		{change(t, 1, 2, many, nil), change(t, 2, 3, nil, many)},
		{change(t, 1, 2, nil, many), change(t, 2, 3, many, nil)},
	} {
		r := transfer(t, newSender(&journal{changes: c}), texts(t, 3), asked{typ: dns.TypeIXFR, serial: 1})
		if list(r) != "SOA3 SOA1 SOA3 SOA3" {
			t.Errorf("%+v: %d records", r.out, len(r.rrs))
		}
	}
}

// Who has our version or a newer one is told so by the SOA (RFC 1995 2, RFC 1982).
func TestCurrent(t *testing.T) {
	z := texts(t, 5, "a.example. 60 A 192.0.2.1")
	for _, tt := range []struct {
		client uint32
		kind   Kind
	}{{5, Current}, {6, Current}, {5 + 1<<31 - 1, Current}, {5 + 1<<31, Whole}, {4, Whole}, {5 + 1<<31 + 1, Whole}} {
		for _, udp := range []bool{false, true} {
			r := transfer(t, newSender(nil), z, asked{typ: dns.TypeIXFR, serial: tt.client, udp: udp})
			want := tt.kind
			if udp && want == Whole {
				want = UseTCP
			}
			if r.out.Kind != want || (len(r.rrs) == 1) != (want != Whole) {
				t.Errorf("serial %d, UDP %v: %+v, want %s", tt.client, udp, r.out, want)
			}
		}
	}
}

// Over UDP changes come if they fit, to the octet (RFC 1995 2).
func TestDatagramFits(t *testing.T) {
	text := func(n int) []string { return []string{"t.example. 60 TXT " + strings.Repeat("x", n)} }
	kinds := map[Kind]int{}
	for n := 1; n < 255; n++ {
		for _, signed := range []bool{false, true} {
			s := newSender(&journal{changes: []Change{change(t, 1, 2, text(n), text(n)[:0])}})
			over := transfer(t, s, texts(t, 2), asked{typ: dns.TypeIXFR, serial: 1, signed: signed})
			r := transfer(t, s, texts(t, 2), asked{typ: dns.TypeIXFR, serial: 1, signed: signed, udp: true, size: 512})
			if fits := over.size[0] <= 512; fits != (r.out.Kind == Changes) {
				t.Errorf("%d octets over TCP: %+v over UDP", over.size[0], r.out)
			}
			kinds[r.out.Kind]++
		}
	}
	if kinds[Changes] == 0 || kinds[UseTCP] == 0 {
		t.Errorf("the sizes are not on both sides of the limit: %v", kinds)
	}
}

// Everything is in a whole zone: glue, what is occluded, other subtrees; the
// apex right behind the SOA.
func TestWhole(t *testing.T) {
	lines := []string{
		"ns1.example. 60 A 192.0.2.53", "sub.example. 60 NS ns.sub.example.", "ns.sub.example. 60 A 192.0.2.1", "deep.er.sub.example. 60 TXT occluded",
		"lon._site.example. 60 TXT v=site1", "*.example. 60 TXT star", "x.example. 60 CNAME y.example.",
		`\000\032\255.example. 60 TXT odd`, "example. 60 MX 10 ns1.example.", "d.example. 60 DNAME example.", "a.d.example. 60 A 192.0.2.7",
	}
	z := texts(t, 9, lines...)
	r := transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR, edns: true, signed: true})
	got, err := r.apply(nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, set(z, false))
	if len(r.rrs) != len(lines)+3 || r.out.Records != len(r.rrs) || r.out.Messages != 1 {
		t.Errorf("%d records, %+v", len(r.rrs), r.out)
	}
	if !strings.HasPrefix(list(r), "SOA9 NS MX ") && !strings.HasPrefix(list(r), "SOA9 MX NS ") {
		t.Errorf("the apex does not come first: %s", list(r))
	}
	r = transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR, strip: true})
	if len(r.rrs) != len(lines)+2 || strings.Contains(list(r), "_site") {
		t.Errorf("stripped: %s", list(r))
	}
}

// The case of names in RDATA survives the compression (RFC 5936 3.4).
func TestCaseKept(t *testing.T) {
	z := texts(t, 1, "a.example. 60 MX 1 Mail.Example.", "b.example. 60 MX 1 mail.example.", "c.example. 60 MX 1 MAIL.example.", "d.example. 60 NS eXAMPLE.")
	for _, name := range []string{"example.", "EXAMPLE."} {
		r := transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR, name: name})
		got, err := r.apply(nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, set(z, false))
	}
}

// The root zone, whose apex no pointer can say.
func TestRootZone(t *testing.T) {
	rrs := []wire.RR{
		record(t, ". 300 SOA a.root. host. 1 3600 600 604800 60"), record(t, ". 300 NS a.root."), record(t, "a.root. 60 A 192.0.2.1"),
		record(t, "test. 60 NS ns.test."), record(t, "ns.test. 60 A 192.0.2.1"), record(t, "m.test. 60 MX 0 ."),
	}
	z := compile(t, rrs)
	r := transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR})
	got, err := r.apply(nil)
	if err != nil || len(got) != len(rrs) {
		t.Fatal(len(got), err)
	}
	same(t, got, set(z, false))
}

// Messages are filled, and names stay right where pointers don't reach.
func TestManyMessages(t *testing.T) {
	b := []string{}
	for i := range 6000 {
		b = append(b, fmt.Sprintf("host%d.dept%d.example. 60 MX 10 mail%d.Dept%d.example.", i, i%50, i%700, i%7))
	}
	z := texts(t, 1, b...)
	for _, size := range []int{0, 16384, 20000, 600} {
		r := transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR, size: size, signed: true})
		got, err := r.apply(nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, set(z, false))
		most := slices.Max(r.size)
		if least := slices.Min(r.size[:len(r.size)-1]); least < most-100 || most > cmpOr(size, 65535) {
			t.Errorf("size %d: messages have from %d to %d octets", size, least, most)
		}
		if size == 0 && r.out.Octets > 6000*40 {
			t.Errorf("%d octets for 6000 records: names are not compressed", r.out.Octets)
		}
	}
}

// A name of the most labels, again and again, fills the table of names but
// breaks nothing.
func TestManyLabels(t *testing.T) {
	var lines []string
	for i := range 200 {
		n := strings.Repeat("a.", 60) + fmt.Sprintf("%c.%c.", 'a'+i%26, 'a'+i/26) + strings.Repeat("b.", 53)
		lines = append(lines, "x.example. 60 MX 10 "+n+"example.", fmt.Sprintf("%sexample. 60 MX %d %sexample.", strings.Repeat(fmt.Sprintf("%c.", 'a'+i%26), 100+i/26), i, n))
	}
	z := texts(t, 1, lines...)
	r := transfer(t, newSender(nil), z, asked{typ: dns.TypeAXFR})
	got, err := r.apply(nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, set(z, false))
}

// big is a record of that many octets of RDATA.
func big(owner string, n int) wire.RR {
	name := append([]byte{byte(len(owner))}, owner+"\x07example\x00"...)
	return wire.RR{Owner: name, Type: 65280, TTL: 60, Data: bytes.Repeat([]byte{7}, n)}
}

// The largest record that a message can hold goes out in one of its own, and a
// larger one is an error that says which.
func TestLargeRecords(t *testing.T) {
	base := []wire.RR{record(t, soaText(1)), record(t, "example. 300 NS ns1.example.")}
	// The header, the owner and ten octets take 37; the signature is asked.
	for n := 65535 - 40; n <= 65533; n++ {
		z := compile(t, append(slices.Clone(base), big("large", n)))
		for _, signed := range []bool{false, true} {
			req, _ := request(t, z, asked{typ: dns.TypeAXFR, signed: signed})
			room := 65535 - 12 - 15 - 10
			if signed {
				room -= req.Session.Size()
			}
			var largest int
			_, err := newSender(nil).Serve(req, func(msg []byte) error { largest = max(largest, len(msg)); return nil })
			if fits := n <= room; fits != (err == nil) || fits && largest != 65535-(room-n) {
				t.Fatalf("%d octets of RDATA in %d, the largest message has %d: %v", n, room, largest, err)
			}
			if err != nil && !strings.Contains(err.Error(), "large.example.: a record of type 65280") {
				t.Fatal(err)
			}
		}
	}
}

// A SOA alone at the beginning of an answer to IXFR would be another answer.
func TestNeverBeginsWithSOAAlone(t *testing.T) {
	large := big("x", 30000)
	large.Owner = []byte("\x07example\x00")
	z := compile(t, []wire.RR{record(t, soaText(2)), large, record(t, "example. 300 NS ns1.example.")})
	r := transfer(t, newSender(nil), z, asked{typ: dns.TypeIXFR, serial: 1})
	if r.out.Kind != Whole || len(r.msgs[0].Answer) < 2 || r.rrs[1].Type != 65280 {
		t.Errorf("%+v: the first message has %d records", r.out, len(r.msgs[0].Answer))
	}
}

// A client that is gone ends the transfer at once, and nothing is tried instead.
func TestWriteFails(t *testing.T) {
	gone := errors.New("gone")
	var lines []string
	for i := range 9000 {
		lines = append(lines, fmt.Sprintf("h%d.example. 60 A 192.0.2.1", i))
	}
	z := texts(t, 2, lines...)
	j := &journal{changes: []Change{change(t, 1, 2, lines, lines[:1000])}}
	for _, a := range []asked{{typ: dns.TypeAXFR}, {typ: dns.TypeIXFR, serial: 1}, {typ: dns.TypeIXFR, serial: 2}, {typ: dns.TypeIXFR, serial: 1, udp: true}} {
		for _, held := range []int{0, maxHeld} {
			for after := range 2 {
				s := newSender(j)
				s.maxHeld = held
				req, _ := request(t, z, a)
				calls := 0
				out, err := s.Serve(req, func([]byte) error {
					if calls++; calls > after {
						return gone
					}
					return nil
				})
				if one := a.serial == 2 || a.udp; one && after == 1 {
					if err != nil || calls != 1 {
						t.Errorf("%+v: %d calls, %v", a, calls, err)
					}
					continue
				}
				if !errors.Is(err, gone) || calls != after+1 || out.Messages != after {
					t.Errorf("%+v: %d calls, %+v, %v", a, calls, out, err)
				}
			}
		}
	}
}

// A journal that breaks when it is read again gives an error if something has
// been sent, else the zone.
func TestPassedOnBreaks(t *testing.T) {
	var lines []string
	for i := range 9000 {
		lines = append(lines, fmt.Sprintf("h%d.example. 60 A 192.0.2.1", i))
	}
	z := texts(t, 3, lines...)
	for _, n := range []int{1, 5000} {
		j := &flaky{journal: journal{changes: []Change{change(t, 1, 2, nil, lines[:n]), change(t, 2, 3, nil, nil)}}}
		s := newSender(j)
		s.maxHeld = 0
		req, _ := request(t, z, asked{typ: dns.TypeIXFR, serial: 1})
		out, err := s.Serve(req, func([]byte) error { return nil })
		if n == 1 && (err != nil || out.Kind != Whole || out.Why != "lost") || n > 1 && (err == nil || out.Messages == 0) {
			t.Errorf("%d records: %+v, %v", n, out, err)
		}
	}
}

// flaky breaks off after one change, the second time.
type flaky struct {
	journal
	calls int
}

func (f *flaky) Changes(apex []byte, from uint32, each func(*Change) error) error {
	if f.calls++; f.calls > 1 {
		f.changes, f.broken = f.changes[:1], errors.New("lost")
	}
	return f.journal.Changes(apex, from, each)
}

func TestServeErrors(t *testing.T) {
	z := texts(t, 1)
	for _, a := range []asked{{typ: dns.TypeAXFR, udp: true}, {typ: dns.TypeA}} {
		req, _ := request(t, z, a)
		_, err := newSender(nil).Serve(req, func([]byte) error { t.Error("something is sent"); return nil })
		if err == nil {
			t.Errorf("%+v: no error", a)
		}
	}
}

func TestClientSerial(t *testing.T) {
	req, _ := request(t, texts(t, 1), asked{typ: dns.TypeIXFR, serial: 0xdeadbeef, signed: true, edns: true})
	good := req.Message
	if got, err := ClientSerial(good, req.Query); err != nil || got != 0xdeadbeef {
		t.Fatalf("%x, %v", got, err)
	}
	with := func(f func(msg []byte) []byte) []byte { return f(bytes.Clone(good)) }
	rr := wire.HeaderLen + req.Query.QuestionLen + len("\x07example\x00") // behind the owner
	for name, msg := range map[string][]byte{
		"nothing in the authority section": with(func(m []byte) []byte { m[9] = 0; return m }),
		"two in it":                        with(func(m []byte) []byte { m[9] = 2; return m }),
		"an answer before it":              with(func(m []byte) []byte { m[7] = 1; return m }),
		"no SOA":                           with(func(m []byte) []byte { m[rr+1] = 1; return m }),
		"RDATA too short":                  with(func(m []byte) []byte { m[rr+9] = 21; return m }),
		"RDATA beyond the end":             with(func(m []byte) []byte { m[rr+8] = 9; return m }),
		"cut in the record":                good[:rr+5],
		"cut in the owner":                 good[:rr-1],
		"cut in the question":              good[:rr-9],
	} {
		if got, err := ClientSerial(msg, req.Query); err == nil {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func FuzzClientSerial(f *testing.F) {
	req, _ := request(f, texts(f, 1), asked{typ: dns.TypeIXFR, serial: 77})
	f.Add(req.Message)
	f.Fuzz(func(t *testing.T, msg []byte) {
		q := new(wire.Query)
		if q.Parse(msg, true) == wire.Accept {
			_, _ = ClientSerial(msg, q)
		}
	})
}
