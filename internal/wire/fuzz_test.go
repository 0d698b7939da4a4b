package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// FuzzParse: no message does harm; what is accepted means to miekg/dns what it
// means to us; what is answered can be read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", string(header(0x8000, 1)), string(header(0x0100, 1)) + askA, string(header(1<<11, 1)) + askA, string(header(0, 2)) + askA + askA,
		string(header(4<<11, 1, 1)) + askA + aRR, string(header(0, 1, 0, 0, 1)) + askA + opt(0, 0x80, option(8, "\x00\x01\x18\x00\xc0\x00\x02")),
		string(header(0, 1, 0, 0, 1)) + askA + opt(1, 0, ""), string(header(0, 1, 0, 0, 2)) + askA + opt(0, 0, option(3, "")) + tsig,
		string(header(0, 0, 0, 0, 1)) + opt(0, 0, option(10, "8 octets")), string(header(0, 1)) + "\xc0\x0c\x00\x01\x00\x01",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		before := bytes.Clone(msg)
		q, verdict, res := reply(t, msg, tcp)
		if !bytes.Equal(msg, before) {
			t.Fatal("the request was changed")
		}
		if verdict == wire.Drop {
			if len(msg) >= wire.HeaderLen && msg[2]&0x80 == 0 {
				t.Fatal("a request was dropped")
			}
			return
		}
		if unknownFamily(t, q, res) {
			return
		}
		m := &dns.Msg{}
		if err := m.Unpack(res); err != nil {
			t.Fatalf("the reply does not unpack: %v: %x", err, res)
		}
		if m.Id != q.ID || !m.Response || m.Opcode != int(q.Opcode) || m.Rcode != int(q.Rcode) && m.Rcode != int(q.Rcode)&15 || (m.IsEdns0() != nil) != q.EDNS.Present {
			t.Fatalf("%+v answers %+v", m, q)
		}
		if !tcp && len(res) > max(512, int(q.EDNS.Size)) {
			t.Fatalf("a reply of %d octets", len(res))
		}
		theirs := &dns.Msg{}
		if verdict != wire.Accept || theirs.Unpack(msg) != nil {
			return
		}
		compareParsed(t, q, theirs)
		if len(m.Question) != 1 || m.Question[0] != theirs.Question[0] {
			t.Fatalf("the question was not echoed: %v", m.Question)
		}
	})
}

func compareParsed(t *testing.T, q *wire.Query, m *dns.Msg) {
	t.Helper()
	if len(m.Question) != 1 || m.Response || int(q.Opcode) != m.Opcode || q.RD != m.RecursionDesired {
		t.Fatalf("%+v is not %+v", q, m)
	}
	name := make([]byte, 300)
	n, err := dns.PackDomainName(m.Question[0].Name, name, 0, nil, false)
	if err != nil || !wire.EqualFold(name[:n], q.Name.Bytes()) || q.Type != m.Question[0].Qtype || q.Class != m.Question[0].Qclass {
		t.Fatalf("question %q %d %d is not %v", q.Name.Bytes(), q.Type, q.Class, m.Question[0])
	}
	o := m.IsEdns0()
	if (o != nil) != q.EDNS.Present {
		t.Fatalf("OPT: %v, %+v", o, q.EDNS)
	}
	if (m.IsTsig() != nil) != (q.TSIG != 0) {
		t.Fatalf("TSIG: %v, at %d", m.IsTsig(), q.TSIG)
	}
	if o == nil {
		return
	}
	e := &q.EDNS
	if o.Version() != 0 || o.Do() != e.DO || max(o.UDPSize(), 512) != e.Size {
		t.Fatalf("OPT: %v, %+v", o, e)
	}
	has := func(code uint16) bool {
		return slices.ContainsFunc(o.Option, func(o dns.EDNS0) bool { return o.Option() == code })
	}
	if has(dns.EDNS0NSID) != e.NSID || has(dns.EDNS0COOKIE) != e.Cookie || has(dns.EDNS0EXPIRE) != e.Expire || has(dns.EDNS0ZONEVERSION) != e.Version || has(dns.EDNS0SUBNET) != e.ECS.Present || e.Keepalive && !has(dns.EDNS0TCPKEEPALIVE) {
		t.Fatalf("OPT: %v, %+v", o, e)
	}
	i := slices.IndexFunc(o.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0SUBNET })
	if i < 0 {
		return
	}
	c := o.Option[i].(*dns.EDNS0_SUBNET)
	addr := c.Address
	if c.Family == wire.FamilyIPv4 {
		addr = addr.To4()
	}
	if c.Family != e.ECS.Family || c.SourceNetmask != e.ECS.Source || c.Family != 0 && !bytes.Equal(addr, e.ECS.Addr[:len(addr)]) {
		t.Fatalf("ECS: %v, %+v", c, e.ECS)
	}
}

// FuzzEDNS: whatever an OPT holds, the reply's OPT has only what the server
// knows, and of ECS what was sent.
func FuzzEDNS(f *testing.F) {
	for _, seed := range []string{
		"", option(3, ""), option(8, "\x00\x01\x14\x00\xc0\x00\x10"), option(8, "\x00\x02\x00\x00"), option(8, "\x00\x00\x00\x00"), option(8, "\x00\x03\x08\x00\x01"),
		option(10, "8 octets"), option(11, "") + option(9, "") + option(200, "x"), "\x00\x08\x00", "\x00\x08\x00\x09\x00",
	} {
		f.Add([]byte(seed), uint16(0), false)
		f.Add([]byte(seed), uint16(0x8000), true)
	}
	f.Fuzz(func(t *testing.T, rdata []byte, flags uint16, tcp bool) {
		if len(rdata) > 4000 {
			return
		}
		o := []byte(opt(0, byte(flags>>8), ""))
		o[8], o[9], o[10] = byte(flags), byte(len(rdata)>>8), byte(len(rdata))
		msg := append(append(append(header(0, 1, 0, 0, 1), askA...), o...), rdata...)
		q, verdict, res := reply(t, msg, tcp)
		if unknownFamily(t, q, res) {
			return
		}
		m := &dns.Msg{}
		if err := m.Unpack(res); err != nil {
			t.Fatalf("the reply does not unpack: %v: %x", err, res)
		}
		if verdict != wire.Accept {
			if q.Rcode != wire.RcodeFormErr {
				t.Fatalf("RCODE %d", q.Rcode)
			}
			return
		}
		back := m.IsEdns0()
		if back.Do() != (flags&0x8000 != 0) || back.Z() != 0 || back.UDPSize() != 1232 {
			t.Fatalf("OPT %v", back)
		}
		var codes []uint16
		for _, o := range back.Option {
			codes = append(codes, o.Option())
			if c, ok := o.(*dns.EDNS0_SUBNET); ok && c.SourceScope != 0 {
				t.Fatalf("ECS %v", c)
			}
		}
		var want []uint16
		for code, asked := range map[uint16]bool{dns.EDNS0NSID: q.EDNS.NSID, dns.EDNS0SUBNET: q.EDNS.ECS.Present, dns.EDNS0TCPKEEPALIVE: q.EDNS.Keepalive} {
			if asked {
				want = append(want, code)
			}
		}
		slices.Sort(want)
		if !slices.Equal(codes, want) {
			t.Fatalf("options %v, want %v", codes, want)
		}
		if i := bytes.Index(rdata, []byte(option(8, string(ecsData(q)))[:4])); q.EDNS.ECS.Present && i < 0 {
			t.Fatalf("ECS %+v comes from nowhere", q.EDNS.ECS)
		}
	})
}

// unknownFamily reports whether there is an ECS of a family that miekg/dns does
// not read. With source 0 it is echoed like others.
func unknownFamily(t *testing.T, q *wire.Query, res []byte) bool {
	t.Helper()
	if q.EDNS.ECS.Family <= wire.FamilyIPv6 {
		return false
	}
	if !bytes.Contains(res, []byte(option(8, string(ecsData(q))))) {
		t.Fatalf("ECS %+v is not echoed: %x", q.EDNS.ECS, res)
	}
	return true
}

// ecsData is a client subnet as it stands in an option.
func ecsData(q *wire.Query) []byte {
	c := &q.EDNS.ECS
	return append([]byte{byte(c.Family >> 8), byte(c.Family), c.Source, 0}, c.Addr[:(c.Source+7)/8]...)
}

// FuzzEncode: see property.
func FuzzEncode(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte("geodns, geodns. "), 200))
	f.Fuzz(rapid.MakeFuzz(property))
}
