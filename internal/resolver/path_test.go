package resolver_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wireRR takes a record apart into wire form.
func wireRR(t fataler, rr dns.RR) *wire.RR {
	t.Helper()
	buf := make([]byte, 70000)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%v: %v", rr, err)
	}
	owner := wire.NameLen(buf)
	return &wire.RR{
		Owner: wire.AppendLower(nil, buf[:owner]), Type: rr.Header().Rrtype,
		TTL: rr.Header().Ttl, Data: buf[owner+10 : n],
	}
}

// compiled makes the zone that is served.
func compiled(t fataler, z *plainZone) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	for _, rr := range z.rrs {
		if p := b.Add(wireRR(t, rr)); p != nil {
			t.Fatalf("%v: %v", rr, p)
		}
	}
	c, problems := b.Finish()
	if c == nil || len(problems) > 0 {
		t.Fatalf("%s: %v", z.apex, problems)
	}
	return c
}

// path is the way of a query through the server, without sockets.
type path struct {
	world    *world.World
	query    wire.Query
	resolver resolver.Resolver
	reply    *wire.Reply
	encoder  wire.Encoder
	outcome  resolver.Outcome
	response wire.Response
	out      []byte
}

const udpPayload = 1232

func newPath(t fataler, zones ...*plainZone) *path {
	t.Helper()
	w := world.New()
	var c world.Change
	for _, z := range zones {
		c.Put = append(c.Put, world.Serve(compiled(t, z), nil))
	}
	w.Zones = w.Zones.With(c)
	return &path{world: w, reply: wire.NewReply(), response: wire.Response{UDPSize: udpPayload}, out: make([]byte, 0, 65535)}
}

// answer takes a packed request, and returns the packed reply.
func (p *path) answer(req []byte, in resolver.Asked) []byte {
	switch p.query.Parse(req, in.TCP) {
	case wire.Drop:
		return nil
	case wire.Reject:
		p.reply.Reset()
		p.reply.Rcode = p.query.Rcode
	default:
		p.outcome = p.resolver.Resolve(p.world, &p.query, in, p.reply)
	}
	p.response.Limit = 65535
	if !in.TCP {
		p.response.Limit = wire.UDPLimit(&p.query, udpPayload)
	}
	return p.encoder.Append(p.out, req, &p.query, p.reply, &p.response)
}

// ask sends a message through, and returns the reply and its length.
func (p *path) ask(t fataler, m *dns.Msg, in resolver.Asked) (*dns.Msg, int) {
	t.Helper()
	req, err := m.Pack()
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	res := p.answer(req, in)
	reply := &dns.Msg{}
	if err := reply.Unpack(res); err != nil {
		t.Fatalf("%v: the reply does not unpack: %v (%x)", m.Question, err, res)
	}
	if reply.Id != m.Id || !reply.Response || len(reply.Question) != 1 || reply.Question[0] != m.Question[0] {
		t.Fatalf("%v is no reply to %v", reply, m)
	}
	return reply, len(res)
}

// question makes a request. size 0 is one without EDNS.
func question(name string, t, class uint16, size uint16, do bool) *dns.Msg {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: 4711}, Question: []dns.Question{{Name: name, Qtype: t, Qclass: class}}}
	if size > 0 {
		m.SetEdns0(size, do)
	}
	return m
}

// lines is a section in a form that can be compared. Letters are in lower case:
// names may come in the case of another place in the message.
func lines(section []dns.RR) (l []string) {
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			l = append(l, strings.ToLower(rr.String()))
		}
	}
	slices.Sort(l)
	return l
}

// sets is a section as its RRsets; RRSIGs are told apart by what they cover.
func sets(section []dns.RR) map[string][]string {
	by := map[string][]dns.RR{}
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == dns.TypeOPT {
			continue
		}
		key := fmt.Sprintf("%s %d", strings.ToLower(h.Name), h.Rrtype)
		if sig, ok := rr.(*dns.RRSIG); ok {
			key += fmt.Sprintf(" %d", sig.TypeCovered)
		}
		by[key] = append(by[key], rr)
	}
	m := map[string][]string{}
	for key, rrs := range by {
		m[key] = lines(rrs)
	}
	return m
}

// partOf reports what is in part that is not in whole, or not as whole RRsets.
func partOf(part, whole []dns.RR) string {
	w := sets(whole)
	for key, set := range sets(part) {
		if !slices.Equal(set, w[key]) {
			return fmt.Sprintf("%s: %q is not the RRset %q", key, set, w[key])
		}
	}
	return ""
}

// lacks reports whether a section lacks a record.
func lacks(section, of []dns.RR) bool {
	have := lines(section)
	return slices.ContainsFunc(lines(of), func(l string) bool { return !slices.Contains(have, l) })
}

// text is a master file. Knot knows the class by its name only.
func (z *plainZone) text() string {
	var b strings.Builder
	for _, rr := range z.rrs {
		b.WriteString(strings.Replace(rr.String(), "\tCLASS1\t", "\tIN\t", 1) + "\n")
	}
	return b.String()
}
