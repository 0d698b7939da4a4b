package send

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"geodns/internal/tsig"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of all tests.
var now = time.Unix(1_800_000_000, 0)

// hidden is what main hands over, for two subtrees.
func hidden(rel []byte) bool {
	text := string(rel)
	return strings.HasSuffix(text, "\x05_site") || strings.HasSuffix(text, "\x06_state")
}

// record is a record from its text.
func record(tb testing.TB, text string) wire.RR {
	tb.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		tb.Fatal(err)
	}
	return fromLibrary(tb, rr)
}

func fromLibrary(tb testing.TB, rr dns.RR) wire.RR {
	tb.Helper()
	buf := make([]byte, 70000)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		tb.Fatal(err)
	}
	n := wire.NameLen(buf)
	return wire.RR{
		Owner: wire.AppendLower(nil, buf[:n]), Type: rr.Header().Rrtype,
		TTL: rr.Header().Ttl, Data: bytes.Clone(buf[n+10 : end]),
	}
}

// soaText is the SOA of a version.
func soaText(serial uint32) string {
	return fmt.Sprintf("Example. 300 SOA NS1.example. host.Example. %d 3600 600 604800 60", serial)
}

// compile makes a zone out of records.
func compile(tb testing.TB, rrs []wire.RR) *zone.Zone {
	tb.Helper()
	b := zone.NewBuilder()
	for i := range rrs {
		if p := b.Add(&rrs[i]); p != nil && !p.Warning {
			tb.Fatalf("%s type %d: %v", wire.NameString(rrs[i].Owner), rrs[i].Type, p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		tb.Fatal(problems)
	}
	return z
}

// texts makes a zone example. out of records beside its SOA.
func texts(tb testing.TB, serial uint32, lines ...string) *zone.Zone {
	tb.Helper()
	rrs := []wire.RR{record(tb, soaText(serial)), record(tb, "example. 300 NS ns1.example.")}
	for _, l := range lines {
		rrs = append(rrs, record(tb, l))
	}
	return compile(tb, rrs)
}

// key is what tells records apart, the case of names and the TTL included.
func key(rr *wire.RR) string {
	return fmt.Sprintf("%s %d %d %x", wire.NameString(rr.Owner), rr.TTL, rr.Type, rr.Data)
}

// set is the records of a zone, without those that are hidden if strip.
func set(z *zone.Zone, strip bool) map[string]bool {
	all := map[string]bool{}
	z.Each(func(owner []byte, s *zone.RRset) bool {
		if strip && hidden(owner[:len(owner)-len(z.Apex())]) {
			return true
		}
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			all[key(&wire.RR{Owner: owner, Type: s.Type, TTL: s.TTL, Data: data})] = true
			r = rest
		}
	})
	return all
}

// journal is one in memory.
type journal struct {
	changes []Change
	broken  error // returned behind the changes
}

func (j *journal) Changes(_ []byte, from uint32, f func(*Change) error) error {
	at := slices.IndexFunc(j.changes, func(c Change) bool { return c.From == from })
	if at < 0 {
		return errors.New("the journal begins later")
	}
	for i := at; i < len(j.changes); i++ {
		// What the caller is given is gone afterwards.
		c := Change{From: j.changes[i].From, To: j.changes[i].To, Del: cloned(j.changes[i].Del), Add: cloned(j.changes[i].Add)}
		err := f(&c)
		for _, rr := range append(c.Del, c.Add...) {
			clear(rr.Owner)
			clear(rr.Data)
		}
		if err != nil {
			return err
		}
	}
	return j.broken
}

func cloned(list []wire.RR) []wire.RR {
	out := slices.Clone(list)
	for i := range out {
		out[i].Owner, out[i].Data = bytes.Clone(out[i].Owner), bytes.Clone(out[i].Data)
	}
	return out
}

// asked is how a client asks.
type asked struct {
	typ    uint16
	serial uint32
	udp    bool
	strip  bool
	signed bool
	edns   bool
	size   int
	name   string // as asked; empty: the apex as it is
}

// reply is what came.
type reply struct {
	out  Outcome
	msgs []*dns.Msg
	rrs  []wire.RR
	size []int
}

func keys(tb testing.TB) *tsig.Keyring {
	tb.Helper()
	r, err := tsig.NewKeyring([]tsig.Key{{Name: "xfer", Algorithm: "hmac-sha256", Secret: []byte("secret"), Trusted: true}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// request is a question, and what a server makes of it.
func request(tb testing.TB, z *zone.Zone, a asked) (*Request, *tsig.Exchange) {
	tb.Helper()
	m := new(dns.Msg)
	name := a.name
	if name == "" {
		name = wire.NameString(z.Apex())
	}
	m.SetQuestion(name, a.typ)
	m.Id, m.RecursionDesired = 0x1234, true
	if a.typ == dns.TypeIXFR {
		soa, _ := dns.NewRR(fmt.Sprintf("%s 0 SOA . . %d 0 0 0 0", name, a.serial))
		m.Ns = []dns.RR{soa}
	}
	if a.edns {
		m.SetEdns0(4096, true)
	}
	msg, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	req := &Request{Zone: z, UDP: a.udp, Strip: a.strip, MaxSize: a.size, Query: new(wire.Query)}
	var x *tsig.Exchange
	if a.signed {
		if msg, x, err = keys(tb).Ask(msg, "xfer.", now); err != nil {
			tb.Fatal(err)
		}
		if req.Session, err = keys(tb).Verify(msg, now); err != nil {
			tb.Fatal(err)
		}
	}
	if v := req.Query.Parse(msg, !a.udp); v != wire.Accept {
		tb.Fatalf("the question is not well-formed: %v", v)
	}
	if a.typ == dns.TypeIXFR {
		if req.Serial, err = ClientSerial(msg, req.Query); err != nil || req.Serial != a.serial {
			tb.Fatalf("the client's serial is read as %d, want %d: %v", req.Serial, a.serial, err)
		}
	}
	req.Message = msg
	return req, x
}

// newSender is a Sender at the time of all tests.
func newSender(j Journal) *Sender {
	s := New(j, hidden)
	s.now = func() time.Time { return now }
	return s
}

// transfer asks, checks everything about the form of the answer, and returns
// its records.
func transfer(tb testing.TB, s *Sender, z *zone.Zone, a asked) reply {
	tb.Helper()
	req, x := request(tb, z, a)
	var r reply
	octets := 0
	out, err := s.Serve(req, func(msg []byte) error {
		r.size = append(r.size, len(msg))
		octets += len(msg)
		if most := cmpOr(a.size, map[bool]int{true: 512, false: 65535}[a.udp]); len(msg) > most {
			tb.Errorf("a message has %d octets, at most %d are allowed", len(msg), most)
		}
		msg = bytes.Clone(msg)
		if x != nil {
			var err error
			var signed bool
			if msg, signed, err = x.Verify(msg, now); err != nil || !signed {
				tb.Errorf("message %d: signed %v, %v", len(r.msgs), signed, err)
			}
		}
		r.read(tb, msg, req)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if x != nil {
		if err := x.Finish(); err != nil {
			tb.Error(err)
		}
	}
	r.out = out
	if out.Messages != len(r.msgs) || out.Octets != octets || out.Records != len(r.rrs) || out.To != z.Serial() {
		tb.Errorf("%+v; %d messages, %d octets, %d records", out, len(r.msgs), octets, len(r.rrs))
	}
	return r
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// read takes a message apart by the library, and checks its form.
func (r *reply) read(tb testing.TB, msg []byte, req *Request) {
	tb.Helper()
	first := len(r.msgs) == 0
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		tb.Fatalf("message %d cannot be read: %v", len(r.msgs), err)
	}
	r.msgs = append(r.msgs, m)
	if m.Id != 0x1234 || !m.Response || !m.Authoritative || m.Truncated || !m.RecursionDesired || m.Rcode != 0 || len(m.Ns) > 0 {
		tb.Errorf("message %d has the header %+v", len(r.msgs), m.MsgHdr)
	}
	question := req.Message[wire.HeaderLen : wire.HeaderLen+req.Query.QuestionLen]
	if first != (len(m.Question) == 1) || first && !bytes.Equal(msg[wire.HeaderLen:wire.HeaderLen+len(question)], question) {
		tb.Errorf("message %d has the question %v", len(r.msgs), m.Question)
	}
	if opt := m.IsEdns0(); (opt != nil) != (first && req.Query.EDNS.Present) || opt != nil && (!opt.Do() || opt.UDPSize() != udpPayload) {
		tb.Errorf("message %d has the OPT %v", len(r.msgs), opt)
	}
	for _, rr := range m.Answer {
		if rr.Header().Class != dns.ClassINET {
			tb.Errorf("class of %v", rr)
		}
		r.rrs = append(r.rrs, fromLibrary(tb, rr))
	}
}

// apply is what a client does with an answer: it has got a version already, or
// none, and returns what it has afterwards. It does not forgive anything.
func (r *reply) apply(have map[string]bool) (map[string]bool, error) {
	rrs := r.rrs
	soa := func(i int) bool { return i < len(rrs) && rrs[i].Type == wire.TypeSOA }
	switch {
	case !soa(0) || !soa(len(rrs)-1) || key(&rrs[0]) != key(&rrs[len(rrs)-1]):
		return nil, errors.New("the answer is not between two equal SOAs")
	case len(rrs) == 1:
		return have, nil
	case !soa(1):
		got := map[string]bool{}
		for i := range rrs[:len(rrs)-1] {
			if k := key(&rrs[i]); got[k] {
				return nil, fmt.Errorf("%s comes twice", k)
			}
			got[key(&rrs[i])] = true
		}
		return got, nil
	}
	got, adding := maps.Clone(have), false
	for i := 1; i < len(rrs)-1; i++ {
		k := key(&rrs[i])
		adding = adding != (soa(i) && i > 1)
		if got[k] == adding {
			return nil, fmt.Errorf("%s comes %v, and the client has it: %v", k, adding, got[k])
		}
		if adding {
			got[k] = true
		} else {
			delete(got, k)
		}
	}
	return got, nil
}

// same reports how two contents differ.
func same(tb interface{ Fatalf(string, ...any) }, got, want map[string]bool) {
	for k := range want {
		if !got[k] {
			tb.Fatalf("missing: %s", k)
		}
	}
	for k := range got {
		if !want[k] {
			tb.Fatalf("too much: %s", k)
		}
	}
}
