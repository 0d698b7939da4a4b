package update

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

func in(rr Record, class uint16, ttl uint32) Record {
	rr.Class, rr.TTL = class, ttl
	return rr
}

// TestForm: what RFC 2136 3.2 and 3.4.1 allow of classes, types, TTLs and data;
// anything else is refused before anything is done.
func TestForm(t *testing.T) {
	a := recordOf(t, "n.example. 0 A 192.0.2.1")
	bare := func(typ wire.Type) Record { return Record{Name: nameOf(t, "n.example."), Type: typ} }
	outside := recordOf(t, "n.example.net. 0 A 192.0.2.1")
	type form struct {
		name  string
		rr    Record
		rcode wire.Rcode
	}
	for _, test := range []form{
		{"class IN", in(a, wire.ClassIN, 0), wire.RcodeNXRRSet},
		{"class IN, TTL", in(a, wire.ClassIN, 1), wire.RcodeFormErr},
		{"class IN, TTL too large", in(a, wire.ClassIN, 1<<32-1), wire.RcodeFormErr},
		{"class IN, ANY", in(bare(wire.TypeANY), wire.ClassIN, 0), wire.RcodeFormErr},
		{"class IN, AXFR", in(bare(wire.TypeAXFR), wire.ClassIN, 0), wire.RcodeFormErr},
		{"class IN, without data", in(bare(wire.TypeA), wire.ClassIN, 0), wire.RcodeFormErr},
		{"class ANY, TTL", in(bare(wire.TypeA), wire.ClassANY, 1), wire.RcodeFormErr},
		{"class ANY, data", in(a, wire.ClassANY, 0), wire.RcodeFormErr},
		{"class ANY, AXFR", in(bare(wire.TypeAXFR), wire.ClassANY, 0), wire.RcodeFormErr},
		{"class ANY, TSIG", in(bare(wire.TypeTSIG), wire.ClassANY, 0), wire.RcodeFormErr},
		{"class NONE, TTL", in(bare(wire.TypeA), wire.ClassNONE, 1), wire.RcodeFormErr},
		{"class NONE, data", in(a, wire.ClassNONE, 0), wire.RcodeFormErr},
		{"class NONE, MAILB", in(bare(wire.TypeMAILB), wire.ClassNONE, 0), wire.RcodeFormErr},
		{"class CH", in(a, wire.ClassCH, 0), wire.RcodeFormErr},
		{"class CH, without data", in(Record{Name: a.Name, Type: 65280}, wire.ClassCH, 0), wire.RcodeFormErr},
		{"class 0", in(a, 0, 0), wire.RcodeFormErr},
		{"outside", in(outside, wire.ClassIN, 0), wire.RcodeNotZone},
	} {
		t.Run("prerequisite/"+test.name, func(t *testing.T) { checkForm(t, []Record{test.rr}, nil, test.rcode) })
	}
	for _, test := range []form{
		{"class IN", in(a, wire.ClassIN, 60), wire.RcodeNoError},
		{"class IN, ANY", in(bare(wire.TypeANY), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, AXFR", in(bare(wire.TypeAXFR), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, MAILA", in(bare(wire.TypeMAILA), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, MAILB", in(bare(wire.TypeMAILB), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, OPT", in(bare(wire.TypeOPT), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, type 0", in(bare(0), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class IN, without data", in(bare(wire.TypeA), wire.ClassIN, 60), wire.RcodeFormErr},
		{"class ANY", in(bare(wire.TypeA), wire.ClassANY, 0), wire.RcodeNoError},
		{"class ANY, ANY", in(bare(wire.TypeANY), wire.ClassANY, 0), wire.RcodeNoError},
		{"class ANY, TTL", in(bare(wire.TypeA), wire.ClassANY, 1), wire.RcodeFormErr},
		{"class ANY, data", in(a, wire.ClassANY, 0), wire.RcodeFormErr},
		{"class ANY, broken data", in(Record{Name: a.Name, Type: wire.TypeA, Data: []byte{1}}, wire.ClassANY, 0), wire.RcodeFormErr},
		{"class ANY, IXFR", in(bare(wire.TypeIXFR), wire.ClassANY, 0), wire.RcodeFormErr},
		{"class NONE", in(a, wire.ClassNONE, 0), wire.RcodeNoError},
		{"class NONE, without data", in(bare(wire.TypeA), wire.ClassNONE, 0), wire.RcodeNoError},
		{"class NONE, TTL", in(a, wire.ClassNONE, 1), wire.RcodeFormErr},
		{"class NONE, ANY", in(bare(wire.TypeANY), wire.ClassNONE, 0), wire.RcodeFormErr},
		{"class NONE, broken data", in(Record{Name: a.Name, Type: wire.TypeA, Data: []byte{1}}, wire.ClassNONE, 0), wire.RcodeFormErr},
		{"class CH", in(a, wire.ClassCH, 60), wire.RcodeFormErr},
		{"class 0", in(a, 0, 60), wire.RcodeFormErr},
		{"outside", in(outside, wire.ClassIN, 60), wire.RcodeNotZone},
	} {
		// Behind one that would change something.
		first := recordOf(t, "first.example. 60 A 192.0.2.1")
		t.Run("update/"+test.name, func(t *testing.T) { checkForm(t, nil, []Record{first, test.rr}, test.rcode) })
	}
}

func checkForm(t *testing.T, prerequisites, updates []Record, want wire.Rcode) {
	t.Helper()
	req, err := Parse(messageOf(nameOf(t, "example."), prerequisites, updates))
	if err == nil {
		_, _, err = Do(zoneOf(t), req, all)
	}
	if got := rcodeOf(t, err); got != want {
		t.Errorf("RCODE %d, want %d: %v", got, want, err)
	}
}

// TestParse: what a library writes, with compression, EDNS and TSIG, is read.
func TestParse(t *testing.T) {
	m := new(dns.Msg)
	m.SetUpdate("ExaMple.")
	m.Compress = true
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	m.NameNotUsed([]dns.RR{rr("New.example. 0 IN A 0.0.0.0")})
	m.Used([]dns.RR{rr("mail.example. 0 IN MX 10 Mx.mail.example.")})
	m.RemoveRRset([]dns.RR{rr("old.example. 0 IN A 0.0.0.0")})
	m.Remove([]dns.RR{rr("mail.example. 0 IN SRV 1 2 3 host.mail.example.")})
	m.Insert([]dns.RR{
		rr("new.example. 60 IN SOA ns1.new.example. Host.example. 1 2 3 4 5"),
		rr("new.example. 4294967295 IN TXT a b"),
	})
	m.SetEdns0(1232, true)
	m.SetTsig("key.", dns.HmacSHA256, 300, 1_800_000_000)
	msg, _, err := dns.TsigGenerate(m, "c2VjcmV0c2VjcmV0", "", false)
	if err != nil {
		t.Fatal(err)
	}
	req, err := Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	clear(msg) // it is the caller's
	name := func(s string) []byte { return nameOf(t, s) }
	data := func(s string) []byte { return recordOf(t, ". 0 "+s).Data }
	want := &Request{
		Zone: name("example."),
		Prerequisites: []Record{
			{name("new.example."), wire.TypeANY, wire.ClassNONE, 0, nil},
			{name("mail.example."), wire.TypeMX, wire.ClassIN, 0, data("MX 10 Mx.mail.example.")},
		},
		Updates: []Record{
			{name("old.example."), wire.TypeA, wire.ClassANY, 0, nil},
			{name("mail.example."), wire.TypeSRV, wire.ClassNONE, 0, data("SRV 1 2 3 host.mail.example.")},
			{name("new.example."), wire.TypeSOA, wire.ClassIN, 60, data("SOA ns1.new.example. Host.example. 1 2 3 4 5")},
			{name("new.example."), wire.TypeTXT, wire.ClassIN, 0, data("TXT a b")},
		},
	}
	if !bytes.Equal(req.Zone, want.Zone) {
		t.Errorf("zone %q", req.Zone)
	}
	for i, list := range [][2][]Record{{req.Prerequisites, want.Prerequisites}, {req.Updates, want.Updates}} {
		if len(list[0]) != len(list[1]) {
			t.Fatalf("section %d: %v", i, list[0])
		}
		for j := range list[0] {
			got, want := list[0][j], list[1][j]
			// Names keep their case in data.
			if !bytes.Equal(got.Name, want.Name) || got.Type != want.Type || got.Class != want.Class || got.TTL != want.TTL || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("section %d, record %d: %v, want %v", i, j, got, want)
			}
		}
	}
}

// TestParseRefuses: messages that are no updates, or broken.
func TestParseRefuses(t *testing.T) {
	good := messageOf(nameOf(t, "example."), nil, []Record{recordOf(t, "n.example. 60 MX 1 a.")})
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	const zoneEnd = wire.HeaderLen + 9
	for _, test := range []struct {
		name  string
		msg   []byte
		rcode wire.Rcode
	}{
		{"good", good, wire.RcodeNoError},
		{"empty", nil, wire.RcodeFormErr},
		{"short header", good[:11], wire.RcodeFormErr},
		{"header alone", good[:12], wire.RcodeFormErr},
		{"a response", with(func(b []byte) { b[2] |= 0x80 }), wire.RcodeFormErr},
		{"a query", with(func(b []byte) { b[2] = 0 }), wire.RcodeFormErr},
		{"no zone", with(func(b []byte) { b[5] = 0 }), wire.RcodeFormErr},
		{"two zones", with(func(b []byte) { b[5] = 2 }), wire.RcodeFormErr},
		{"zone of type NS", with(func(b []byte) { b[zoneEnd+1] = 2 }), wire.RcodeFormErr},
		{"zone of class CH", with(func(b []byte) { b[zoneEnd+3] = 3 }), wire.RcodeNotAuth},
		{"zone of class ANY", with(func(b []byte) { b[zoneEnd+3] = 255 }), wire.RcodeNotAuth},
		{"zone ends early", good[:zoneEnd+3], wire.RcodeFormErr},
		{"more announced", with(func(b []byte) { b[9] = 2 }), wire.RcodeFormErr},
		{"many more announced", with(func(b []byte) { b[8] = 255 }), wire.RcodeFormErr},
		{"an additional record announced", with(func(b []byte) { b[11] = 1 }), wire.RcodeFormErr},
		{"less announced", with(func(b []byte) { b[9] = 0 }), wire.RcodeFormErr},
		{"octets behind", append(bytes.Clone(good), 0), wire.RcodeFormErr},
		{"cut", good[:len(good)-1], wire.RcodeFormErr},
		{"pointer to itself", with(func(b []byte) { b[zoneEnd+4], b[zoneEnd+5] = 0xc0, zoneEnd+4 }), wire.RcodeFormErr},
		{"label of an unknown type", with(func(b []byte) { b[zoneEnd+4] = 0x41 }), wire.RcodeFormErr},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := Parse(test.msg)
			if got := rcodeOf(t, err); got != test.rcode {
				t.Fatalf("RCODE %d, want %d: %v", got, test.rcode, err)
			}
			if (req == nil) != (err != nil) {
				t.Fatalf("%v with %v", req, err)
			}
		})
	}
}

// TestParseBounded: a message that is announced, or points, to be large is as
// large as it is.
func TestParseBounded(t *testing.T) {
	msg := messageOf(nameOf(t, "example."), nil, nil)
	binary.BigEndian.PutUint16(msg[6:], 65535)
	binary.BigEndian.PutUint16(msg[8:], 65535)
	one := testing.AllocsPerRun(10, func() {
		if _, err := Parse(msg); err == nil {
			t.Fatal("records that are not there were read")
		}
	})
	if one > 20 {
		t.Errorf("%v allocations", one)
	}
	// The longest name, and then as many MINFO as a message takes, of two of it.
	long := append(bytes.Repeat([]byte("\x3faaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffgggggggghhhhhhh"), 3), 0)
	msg = append(messageOf(long, nil, nil), 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4)
	n := 1
	for ; len(msg) < 65520; n++ {
		msg = append(msg, 0xc0, 12, 0, 14, 0, 1, 0, 0, 0, 0, 0, 4, 0xc0, 12, 0xc0, 12)
	}
	binary.BigEndian.PutUint16(msg[8:], uint16(n))
	req, err := Parse(msg)
	if err != nil || len(req.Updates) != n {
		t.Fatalf("%d records of %d: %v", len(req.Updates), n, err)
	}
	size := 0
	for i := range req.Updates {
		size += len(req.Updates[i].Data)
	}
	if size != 4+(n-1)*2*len(long) {
		t.Errorf("%d octets of data", size)
	}
}

// FuzzParse: whatever comes, nothing panics, what is taken can be read without the
// message, and if it can be done its changes lead to the result.
func FuzzParse(f *testing.F) {
	for _, ops := range [][]string{
		{"! n.example.", "= a.example. A 192.0.2.1", "? m.example. MX", "+ n.example. 60 A 192.0.2.1", "- a.example. A 192.0.2.2", "- c.example."},
		{"- a.example.", "+ a.example. 60 CNAME b.example.", "+ example. 60 SOA a. b. 9 1 1 1 1", "- example. NS ns1.example."},
		{"+ s.example. 60 SVCB 1 . port=1", "+ n.example. 60 NSEC a.example. A", "+ l.example. 60 APL 1:10.0.0.0/8", "+ a._site.example. 60 TXT v=site1"},
	} {
		var sections [2][]Record
		for _, op := range ops {
			rr, section := opOf(f, op)
			sections[section] = append(sections[section], rr)
		}
		f.Add(messageOf(nameOf(f, "example."), sections[0], sections[1]))
	}
	z := zoneOf(f, some...)
	f.Fuzz(func(t *testing.T, msg []byte) {
		req, err := Parse(msg)
		if err != nil {
			rcodeOf(t, err)
			return
		}
		for _, list := range [...][]Record{req.Prerequisites, req.Updates} {
			for i := range list {
				if rr := &list[i]; wire.NameLen(rr.Name) != len(rr.Name) {
					t.Fatalf("owner %x", rr.Name)
				}
			}
		}
		again, err := Parse(messageOf(req.Zone, req.Prerequisites, req.Updates))
		if err != nil || len(again.Updates) != len(req.Updates) {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if _, _, err := Do(z, req, all); err != nil {
			rcodeOf(t, err)
			return
		}
		done(t, z, req, all)
	})
}
