package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// header makes one of ID 0x1234, with flags and counts.
func header(flags uint16, counts ...uint16) []byte {
	b := []byte{0x12, 0x34, byte(flags >> 8), byte(flags), 0, 0, 0, 0, 0, 0, 0, 0}
	for i, n := range counts {
		b[4+2*i], b[5+2*i] = byte(n>>8), byte(n)
	}
	return b
}

// opt is an OPT record of 4096 octets of payload.
func opt(version, flags uint8, rdata string) string {
	return "\x00\x00\x29\x10\x00\x00" + string([]byte{version, flags}) + "\x00" + string([]byte{byte(len(rdata) >> 8), byte(len(rdata))}) + rdata
}

// option is an EDNS option.
func option(code uint8, data string) string {
	return string([]byte{0, code, byte(len(data) >> 8), byte(len(data))}) + data
}

const (
	askA = "\x03wWw\x07example\x00\x00\x01\x00\x01"
	aRR  = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04"
	tsig = "\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x1d\x0bhmac-sha256\x00\x00\x00\x00\x00\x00\x01\x01\x2c\x00\x00\x12\x34\x00\x00\x00\x00"
)

// reply parses and, if there is an answer to be sent without looking anything
// up, encodes it.
func reply(t testing.TB, msg []byte, tcp bool) (*wire.Query, wire.Verdict, []byte) {
	t.Helper()
	q := &wire.Query{}
	verdict := q.Parse(msg, tcp)
	if verdict == wire.Drop {
		return q, verdict, nil
	}
	r := wire.NewReply()
	r.Reset()
	r.Rcode = q.Rcode
	x := &wire.Response{Limit: 65535, UDPSize: 1232, NSID: []byte("here"), Keepalive: 100}
	if !tcp {
		x.Limit = wire.UDPLimit(q, 1232)
	}
	return q, verdict, new(wire.Encoder).Append(make([]byte, 0, 65535), msg, q, r, x)
}

// Points 11 to 18 of the list of what naive servers get wrong.
func TestParse(t *testing.T) {
	msg := func(flags uint16, counts []uint16, parts ...string) string {
		return string(header(flags, counts...)) + strings.Join(parts, "")
	}
	one := []uint16{1}
	edns := []uint16{1, 0, 0, 1}
	withOption := func(o string) string { return msg(0, edns, askA, opt(0, 0, o)) }
	deep := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)
	tests := []struct {
		name    string
		msg     string
		tcp     bool
		verdict wire.Verdict
		rcode   wire.Rcode
		opt     bool // the reply has an OPT
	}{
		{"plain", msg(0x0100, one, askA), false, wire.Accept, 0, false},
		{"empty", "", false, wire.Drop, 0, false},
		{"short header", msg(0, one)[:11], false, wire.Drop, 0, false},
		{"a response", msg(0x8000, one, askA), false, wire.Drop, 0, false},
		{"a short response", msg(0x8000, one), false, wire.Drop, 0, false},
		{"all other flags", msg(0x07f0, one, askA), false, wire.Accept, 0, false},
		{"no question", msg(0, nil), false, wire.Reject, wire.RcodeFormErr, false},
		{"no question, COOKIE", msg(0, []uint16{0, 0, 0, 1}, opt(0, 0, option(10, "8 octets"))), false, wire.Reject, wire.RcodeNoError, true},
		{"no question, NSID", msg(0, []uint16{0, 0, 0, 1}, opt(0, 0, option(3, ""))), false, wire.Reject, wire.RcodeFormErr, true},
		{"no question, NOTIFY with COOKIE", msg(4<<11, []uint16{0, 0, 0, 1}, opt(0, 0, option(10, "8 octets"))), false, wire.Reject, wire.RcodeFormErr, true},
		{"two questions", msg(0, []uint16{2}, askA, askA), false, wire.Reject, wire.RcodeFormErr, false},
		{"no question where one is said", msg(0, one), false, wire.Reject, wire.RcodeFormErr, false},
		{"name cut", msg(0, one, askA[:8]), false, wire.Reject, wire.RcodeFormErr, false},
		{"name without root", msg(0, one, askA[:12]), false, wire.Reject, wire.RcodeFormErr, false},
		{"class cut", msg(0, one, askA[:len(askA)-1]), false, wire.Reject, wire.RcodeFormErr, false},
		{"pointer loop", msg(0, one, "\xc0\x0c\x00\x01\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"pointer behind a label", msg(0, one, "\x01a\xc0\x0c\x00\x01\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"label of 64", msg(0, one, "\x40"+strings.Repeat("a", 64)+"\x00\x00\x01\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"name of 255", msg(0, one, deep+"\x3d"+strings.Repeat("a", 61)+"\x00\x00\x01\x00\x01"), false, wire.Accept, 0, false},
		{"name of 256", msg(0, one, deep+"\x3e"+strings.Repeat("a", 62)+"\x00\x00\x01\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"127 labels", msg(0, one, strings.Repeat("\x01a", 127)+"\x00\x00\x01\x00\x01"), false, wire.Accept, 0, false},
		{"128 labels", msg(0, one, strings.Repeat("\x01a", 128)+"\x00\x00\x01\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"the root", msg(0, one, "\x00\x00\x02\x00\x01"), false, wire.Accept, 0, false},
		{"garbage behind", msg(0, one, askA, "x"), false, wire.Reject, wire.RcodeFormErr, false},

		{"IQUERY", msg(1<<11, one, askA), false, wire.Reject, wire.RcodeNotImp, false},
		{"STATUS with all flags", msg(0x17f0, one, askA), false, wire.Reject, wire.RcodeNotImp, false},
		{"opcode 15 and nothing", msg(15<<11, nil), false, wire.Reject, wire.RcodeNotImp, false},
		{"opcode 3, malformed", msg(3<<11, one, "\x3f"), false, wire.Reject, wire.RcodeNotImp, false},
		{"NOTIFY with a SOA", msg(4<<11, []uint16{1, 1}, askA, aRR), false, wire.Accept, 0, false},
		{"UPDATE", msg(5<<11, []uint16{1, 0, 1}, askA, aRR), false, wire.Accept, 0, false},

		{"record cut", msg(0, []uint16{1, 0, 0, 1}, askA, aRR[:12]), false, wire.Reject, wire.RcodeFormErr, false},
		{"record header cut", msg(0, []uint16{1, 0, 0, 1}, askA, aRR[:9]), false, wire.Reject, wire.RcodeFormErr, false},
		{"record name cut", msg(0, []uint16{1, 0, 0, 1}, askA, "\xc0"), false, wire.Reject, wire.RcodeFormErr, false},
		{"record name of a strange kind", msg(0, []uint16{1, 0, 0, 1}, askA, "\x80\x0c"+aRR[2:]), false, wire.Reject, wire.RcodeFormErr, false},
		{"record name too long", msg(0, []uint16{1, 0, 0, 1}, askA, strings.Repeat("\x01a", 128)+"\x00"+aRR[2:]), false, wire.Reject, wire.RcodeFormErr, false},
		{"65535 records said", msg(0, []uint16{1, 65535, 65535, 65535}, askA), false, wire.Reject, wire.RcodeFormErr, false},
		{"an additional record", msg(0, []uint16{1, 0, 0, 1}, askA, aRR), false, wire.Accept, 0, false},

		{"EDNS", msg(0, edns, askA, opt(0, 0, "")), false, wire.Accept, 0, true},
		{"EDNS with unknown flags", msg(0, edns, askA, opt(0, 0x7f, "")), false, wire.Accept, 0, true},
		{"EDNS before another record", msg(0, []uint16{1, 0, 0, 2}, askA, opt(0, 0, ""), aRR), false, wire.Accept, 0, true},
		{"EDNS version 1", msg(0, edns, askA, opt(1, 0, "")), false, wire.Reject, wire.RcodeBadVers, true},
		{"EDNS version 1, options of its own", msg(0, edns, askA, opt(1, 0, "xyz")), false, wire.Reject, wire.RcodeBadVers, true},
		{"two OPTs", msg(0, []uint16{1, 0, 0, 2}, askA, opt(0, 0, ""), opt(0, 0, "")), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT as answer", msg(0, []uint16{1, 1}, askA, opt(0, 0, "")), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT as authority", msg(0, []uint16{1, 0, 1}, askA, opt(0, 0, "")), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT not at the root", msg(0, edns, askA, "\x01a"+opt(0, 0, "")), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT overrun by its option", withOption("\x00\x03\x00\x01"), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT with half an option", withOption("\x00\x03\x00"), false, wire.Reject, wire.RcodeFormErr, false},
		{"OPT longer than the message", msg(0, edns, askA, opt(0, 0, "")[:10]+"\x05"), false, wire.Reject, wire.RcodeFormErr, false},
		{"unknown option", withOption(option(200, "what")), false, wire.Accept, 0, true},
		{"NSID", withOption(option(3, "")), false, wire.Accept, 0, true},
		{"NSID with data", withOption(option(3, "x")), false, wire.Accept, 0, true},
		{"EXPIRE", withOption(option(9, "")), false, wire.Accept, 0, true},
		{"ZONEVERSION", withOption(option(19, "")), false, wire.Accept, 0, true},
		{"ZONEVERSION with a payload", withOption(option(19, "\x01")), false, wire.Accept, 0, true},
		{"keepalive over UDP", withOption(option(11, "xxx")), false, wire.Accept, 0, true},
		{"keepalive over TCP", withOption(option(11, "")), true, wire.Accept, 0, true},
		{"keepalive with a time over TCP", withOption(option(11, "\x00\x64")), true, wire.Reject, wire.RcodeFormErr, true},
		{"COOKIE of 7", withOption(option(10, "7 octet")), false, wire.Reject, wire.RcodeFormErr, true},
		{"COOKIE of 8", withOption(option(10, "8 octets")), false, wire.Accept, 0, true},
		{"COOKIE of 9", withOption(option(10, "9 octets!")), false, wire.Reject, wire.RcodeFormErr, true},
		{"COOKIE of 15", withOption(option(10, strings.Repeat("x", 15))), false, wire.Reject, wire.RcodeFormErr, true},
		{"COOKIE of 16", withOption(option(10, strings.Repeat("x", 16))), false, wire.Accept, 0, true},
		{"COOKIE of 40", withOption(option(10, strings.Repeat("x", 40))), false, wire.Accept, 0, true},
		{"COOKIE of 41", withOption(option(10, strings.Repeat("x", 41))), false, wire.Reject, wire.RcodeFormErr, true},

		{"ECS /24", withOption(option(8, "\x00\x01\x18\x00\xc0\x00\x02")), false, wire.Accept, 0, true},
		{"ECS /0", withOption(option(8, "\x00\x01\x00\x00")), false, wire.Accept, 0, true},
		{"ECS /33", withOption(option(8, "\x00\x01\x21\x00\xc0\x00\x02\x01\x00")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS /129 of IPv6", withOption(option(8, "\x00\x02\x81\x00"+strings.Repeat("\x00", 17))), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS /128 of IPv6", withOption(option(8, "\x00\x02\x80\x00"+strings.Repeat("\x01", 16))), false, wire.Accept, 0, true},
		{"ECS /24 with 4 octets", withOption(option(8, "\x00\x01\x18\x00\xc0\x00\x02\x00")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS /24 with 2 octets", withOption(option(8, "\x00\x01\x18\x00\xc0\x00")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS of 3 octets", withOption(option(8, "\x00\x01\x00")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS with bits beyond /20", withOption(option(8, "\x00\x01\x14\x00\xc0\x00\x08")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS with a last bit within /20", withOption(option(8, "\x00\x01\x14\x00\xc0\x00\x10")), false, wire.Accept, 0, true},
		{"ECS with a scope", withOption(option(8, "\x00\x01\x18\x18\xc0\x00\x02")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS of family 0", withOption(option(8, "\x00\x00\x00\x00")), false, wire.Accept, 0, true},
		{"ECS of family 0 with a prefix", withOption(option(8, "\x00\x00\x08\x00\x01")), false, wire.Reject, wire.RcodeFormErr, true},
		{"ECS of family 3 with a prefix", withOption(option(8, "\x00\x03\x08\x00\x01")), false, wire.Reject, wire.RcodeFormErr, true},

		{"TSIG", msg(0, edns, askA, tsig), false, wire.Accept, 0, false},
		{"TSIG behind OPT", msg(0, []uint16{1, 0, 0, 2}, askA, opt(0, 0, ""), tsig), false, wire.Accept, 0, true},
		{"TSIG before OPT", msg(0, []uint16{1, 0, 0, 2}, askA, tsig, opt(0, 0, "")), false, wire.Reject, wire.RcodeFormErr, false},
		{"TSIG as answer", msg(0, []uint16{1, 1}, askA, tsig), false, wire.Reject, wire.RcodeFormErr, false},
		{"TSIG of class IN", msg(0, edns, askA, strings.Replace(tsig, "\xfa\x00\xff", "\xfa\x00\x01", 1)), false, wire.Reject, wire.RcodeFormErr, false},
	}
	for _, tt := range tests {
		q, verdict, res := reply(t, []byte(tt.msg), tt.tcp)
		if verdict != tt.verdict || verdict != wire.Drop && q.Rcode != tt.rcode {
			t.Errorf("%s: verdict %d, RCODE %d; want %d, %d", tt.name, verdict, q.Rcode, tt.verdict, tt.rcode)
			continue
		}
		if verdict != wire.Drop {
			checkReply(t, tt.name, tt.msg, res, tt.opt)
		}
	}
}

// checkReply checks what all replies have in common: only ID, opcode and RD are
// echoed, and the question if it could be read.
func checkReply(t *testing.T, name, req string, res []byte, opt bool) {
	t.Helper()
	m := &dns.Msg{}
	if err := m.Unpack(res); err != nil {
		t.Errorf("%s: the reply does not unpack: %v", name, err)
		return
	}
	if m.Id != 0x1234 || !m.Response || m.Opcode != int(req[2]>>3&15) || m.RecursionDesired != (req[2]&1 != 0) ||
		m.Authoritative || m.Truncated || m.RecursionAvailable || m.Zero || m.AuthenticatedData || m.CheckingDisabled {
		t.Errorf("%s: header %+v", name, m.MsgHdr)
	}
	if len(m.Question) > 0 && !strings.HasPrefix(req[12:], string(res[12:12+len(askA)])) && len(m.Question[0].Name) < 100 && m.Question[0].Name != "." {
		t.Errorf("%s: question %v", name, m.Question)
	}
	if (m.IsEdns0() != nil) != opt {
		t.Errorf("%s: OPT %v", name, m.IsEdns0())
	}
}

// TestParsed: what Parse makes of a question.
func TestParsed(t *testing.T) {
	msg := append(header(0x0100, 1, 0, 0, 1), askA+opt(0, 0x80, option(3, "")+option(9, "")+option(11, "")+option(19, "")+option(8, "\x00\x02\x14\x00\x20\x01\x10"))...)
	for _, tcp := range []bool{false, true} {
		q, verdict, _ := reply(t, msg, tcp)
		if verdict != wire.Accept || q.ID != 0x1234 || !q.RD || q.Opcode != wire.OpcodeQuery || q.Type != 1 || q.Class != 1 ||
			q.QuestionLen != len(askA) || string(q.Name.Bytes()) != "\x03www\x07example\x00" || q.Name.NLabels != 2 {
			t.Errorf("%+v", q)
		}
		e := &q.EDNS
		if !e.Present || !e.DO || !e.NSID || !e.Expire || !e.Version || e.Cookie || e.Keepalive != tcp || e.Size != 4096 {
			t.Errorf("TCP %t: %+v", tcp, e)
		}
		if c := e.ECS; !c.Present || c.Family != wire.FamilyIPv6 || c.Source != 20 || c.Addr != [16]byte{0x20, 1, 0x10} {
			t.Errorf("%+v", c)
		}
		if want := q.EDNS; !q.SetQuestion([]byte("\x01A\x00"), 28, 1) || q.EDNS == want || q.QuestionLen != 7 || string(q.Name.Bytes()) != "\x01a\x00" || q.Type != 28 {
			t.Errorf("SetQuestion: %+v", q)
		}
	}
}

// TestOptions: the options of replies.
func TestOptions(t *testing.T) {
	ecs := func(data string) string { return option(8, data) }
	tests := []struct {
		name string
		ask  string
		tcp  bool
		want string // the OPT's RDATA
	}{
		{"nothing asked", "", false, ""},
		{"unknown", option(200, "what") + option(5, "\x08"), false, ""},
		{"NSID", option(3, ""), false, option(3, "here")},
		{"NSID twice", option(3, "") + option(3, ""), false, option(3, "here")},
		{"EXPIRE: only secondaries know", option(9, ""), false, ""},
		{"ZONEVERSION: no zone answered", option(19, ""), false, ""},
		{"COOKIE: not supported", option(10, "8 octets"), false, ""},
		{"keepalive over UDP", option(11, ""), false, ""},
		{"keepalive over TCP", option(11, ""), true, option(11, "\x00\x64")},
		{"ECS", ecs("\x00\x01\x14\x00\xc0\x00\x10"), false, ecs("\x00\x01\x14\x00\xc0\x00\x10")},
		{"ECS of family 0", ecs("\x00\x00\x00\x00"), false, ecs("\x00\x00\x00\x00")},
		{"two ECS", ecs("\x00\x01\x08\x00\x0a") + ecs("\x00\x01\x08\x00\x0b"), false, ecs("\x00\x01\x08\x00\x0a")},
		{"all", ecs("\x00\x01\x00\x00") + option(11, "") + option(3, ""), true, option(3, "here") + ecs("\x00\x01\x00\x00") + option(11, "\x00\x64")},
	}
	for _, tt := range tests {
		msg := append(header(0, 1, 0, 0, 1), askA+opt(0, 0x80, tt.ask)...)
		_, _, res := reply(t, msg, tt.tcp)
		want := string(header(0x8000, 1, 0, 0, 1)) + askA + "\x00\x00\x29\x04\xd0\x00\x00\x80\x00" + string([]byte{0, byte(len(tt.want))}) + tt.want
		if string(res) != want {
			t.Errorf("%s:\n%x, want\n%x", tt.name, res, want)
		}
	}
}

// TestScope: the scope of an answer is sent back, but none for source 0
// (RFC 7871 7.2.1).
func TestScope(t *testing.T) {
	for source, scope := range map[byte]byte{24: 17, 0: 0} {
		addr := "\xc0\x00\x02"[:(source+7)/8]
		msg := append(header(0, 1, 0, 0, 1), askA+opt(0, 0, option(8, "\x00\x01"+string([]byte{source})+"\x00"+addr))...)
		q := &wire.Query{}
		if q.Parse(msg, false) != wire.Accept {
			t.Fatal("not accepted")
		}
		r := wire.NewReply()
		r.Reset()
		r.Scope = 17
		res := new(wire.Encoder).Append(make([]byte, 0, 1232), msg, q, r, &wire.Response{Limit: 1232, UDPSize: 1232})
		if want := option(8, "\x00\x01"+string([]byte{source, scope})+addr); !bytes.HasSuffix(res, []byte(want)) {
			t.Errorf("source %d: %x, want at the end %x", source, res, want)
		}
	}
}

func TestUDPLimit(t *testing.T) {
	tests := []struct {
		edns bool
		size uint16
		want int
	}{{false, 0, 512}, {true, 0, 512}, {true, 100, 512}, {true, 512, 512}, {true, 513, 513}, {true, 1232, 1232}, {true, 65535, 1232}}
	for _, tt := range tests {
		msg := append(header(0, 1), askA...)
		if tt.edns {
			o := []byte(opt(0, 0, ""))
			o[3], o[4] = byte(tt.size>>8), byte(tt.size)
			msg = append(append(header(0, 1, 0, 0, 1), askA...), o...)
		}
		q := &wire.Query{}
		q.Parse(msg, false)
		if got := wire.UDPLimit(q, 1232); got != tt.want {
			t.Errorf("EDNS %t of %d: %d, want %d", tt.edns, tt.size, got, tt.want)
		}
	}
}
