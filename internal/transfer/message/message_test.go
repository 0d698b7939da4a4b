package message

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// pack is a message of records as a library writes it, compressed.
func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	m.Compress = true
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// bare is the RDATA of a record without compression.
func bare(t testing.TB, r dns.RR) []byte {
	t.Helper()
	buf := make([]byte, 70000)
	end, err := dns.PackRR(r, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf[wire.NameLen(buf)+10 : end])
}

// TestReader reads a message of all sections, twice with one Reader.
func TestReader(t *testing.T) {
	m := new(dns.Msg)
	m.SetQuestion("Sub.Example.", dns.TypeIXFR)
	m.Id, m.Response, m.Authoritative, m.Rcode, m.Opcode = 4711, true, true, dns.RcodeYXDomain, dns.OpcodeNotify
	texts := [...]string{
		"sub.example. 60 IN SOA Ns.sub.example. host.sub.example. 1 2 3 4 5", "www.Sub.example. 4294967295 IN A 192.0.2.1",
		"sub.example. 60 IN MX 5 mail.sub.example.", "x.example. 60 CH TXT \"a\" \"b\"",
	}
	m.Answer = []dns.RR{rr(t, texts[0]), rr(t, texts[1])}
	m.Ns = []dns.RR{rr(t, texts[2])}
	m.Extra = []dns.RR{rr(t, texts[3])}
	msg := pack(t, m)
	sectionOf := [...]int{Answer, Answer, Authority, Additional}
	var r Reader
	for range 2 {
		if err := r.Open(msg); err != nil {
			t.Fatal(err)
		}
		if r.ID() != 4711 || r.Flags()&(FlagQR|FlagAA|FlagTC) != FlagQR|FlagAA || r.Opcode() != wire.OpcodeNotify || r.Rcode() != wire.RcodeYXDomain {
			t.Errorf("header: %d %x %d %d", r.ID(), r.Flags(), r.Opcode(), r.Rcode())
		}
		if r.Questions() != 1 || r.Left(Answer) != 2 || r.Left(Authority) != 1 || r.Left(Additional) != 1 {
			t.Error("the numbers of records are wrong")
		}
		q, err := r.Question()
		if err != nil || string(q.Name) != "\x03sub\x07example\x00" || q.Type != wire.TypeIXFR || q.Class != wire.ClassIN || r.Questions() != 0 {
			t.Fatalf("question %v: %v", q, err)
		}
		for i, text := range texts {
			want := rr(t, text)
			var rec Record
			if more, err := r.Next(sectionOf[i], &rec); err != nil || !more {
				t.Fatalf("%s: %v, %v", text, more, err)
			}
			h := want.Header()
			if wire.NameString(rec.Owner) != strings.ToLower(h.Name) || rec.Type != h.Rrtype || rec.Class != h.Class || rec.TTL != h.Ttl || rec.Len != len(r.Raw(&rec)) {
				t.Errorf("%s: %+v", text, rec)
			}
			if data, err := r.Data(&rec); err != nil || !bytes.Equal(data, bare(t, want)) {
				t.Errorf("%s: %x: %v", text, data, err)
			}
			if r.Left(sectionOf[i]) > 0 {
				continue
			}
			if more, err := r.Next(sectionOf[i], &rec); more || err != nil {
				t.Fatalf("behind the section of %s: %v, %v", text, more, err)
			}
		}
		if err := r.End(); err != nil {
			t.Error(err)
		}
	}
}

// message is one that says it has one record in the answer section.
func message(record ...byte) []byte {
	return append([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, record...)
}

// record is one at the root, of class IN.
func record(typ wire.Type, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0}, typ)
	return wire.AppendRecord(append(b, 0, 1, 0, 0, 0, 60), data)
}

// only reads the one record of a message to the end.
func only(msg []byte) ([]byte, error) {
	var r Reader
	var rec Record
	if err := r.Open(msg); err != nil {
		return nil, err
	}
	if _, err := r.Next(Answer, &rec); err != nil {
		return nil, err
	}
	data, err := r.Data(&rec)
	if err != nil {
		return nil, err
	}
	return data, r.End()
}

// TestBroken: messages that aren't what they say.
func TestBroken(t *testing.T) {
	long := bytes.Repeat([]byte("\x3faaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffgggggggghhhhhhh"), 4)
	for _, test := range []struct {
		name, says string
		msg        []byte
	}{
		{"empty", "0 octets", nil},
		{"short header", "11 octets", message()[:11]},
		{"no record", "owner of a record cannot be read: the message ends", message()},
		{"no type", "ends in the middle of a record", message(0)},
		{"no length", "ends in the middle of a record", message(record(1)[:10]...)},
		{"no data", "announced with 4 octets", message(record(1, 1, 2, 3, 4)[:14]...)},
		{"octets behind", "1 octets stand behind", message(append(record(1, 1, 2, 3, 4), 0)...)},
		{"name ends early", "ends in a name", message(3, 'a', 'b')},
		{"name without end", "ends in a name", message(1, 'a')},
		{"pointer ends early", "ends in a name", message(0xc0)},
		{"pointer to itself", "octet 12 leads to octet 12", message(0xc0, 12)},
		{"pointer forwards", "leads to octet 14", message(0xc0, 14, 0)},
		{"pointer into the header", "leads to octet 0", message(0xc0, 0)},
		{"loop by a label", "leads to octet 12", message(1, 'a', 0xc0, 12)},
		{"label type 01", "unknown type", message(0x41, 0)},
		{"label type 10", "unknown type", message(0x81, 0)},
		{"name too long", "more than 255", message(append(long, 0)...)},
		{"A too short", "type 1 at . ends too early", message(record(1, 1, 2, 3)...)},
		{"A too long", "longer than its fields", message(record(1, 1, 2, 3, 4, 5)...)},
		{"NS empty", "type 2 at . has the message ends in a name", message(record(2)...)},
		{"NS beyond its data", "ends in a name", append(message(record(2, 1)...), 'a', 0)},
		{"NS and more", "longer than its fields", message(record(2, 0, 0)...)},
		{"DNAME compressed", "compressed name, where none may be", message(record(39, 0xc0, 12)...)},
		{"TXT empty", "ends too early", message(record(16)...)},
		{"TXT string", "ends too early", message(record(16, 2, 'a')...)},
		{"HINFO with one string", "ends too early", message(record(13, 0)...)},
		{"NSEC window 0 long", "bitmap", message(record(47, 0, 0, 0)...)},
		{"NSEC windows falling", "bitmap", message(record(47, 0, 1, 1, 1, 0, 1, 1)...)},
		{"NSEC bitmap short", "bitmap", message(record(47, 0, 0, 2, 1)...)},
		{"SVCB keys falling", "rising order", message(record(64, 0, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0)...)},
		{"SVCB key short", "ends too early", message(record(64, 0, 1, 0, 0, 2, 0, 1)...)},
		{"IPSECKEY gateway", "unknown kind", message(record(45, 0, 4, 0)...)},
		{"IPSECKEY address", "ends too early", message(record(45, 0, 1, 0, 1, 2, 3)...)},
		{"IPSECKEY IPv6", "ends too early", message(record(45, 0, 2, 0, 1, 2, 3)...)},
		{"IPSECKEY name", "gateway whose name", message(record(45, 0, 3, 0, 0xc0, 12)...)},
		{"APL", "ends too early", message(record(42, 0, 1, 8, 4, 1)...)},
		{"HIP", "ends too early", message(record(55, 4, 1, 0, 4, 1)...)},
		{"HIP server", "server whose name", message(record(55, 0, 1, 0, 0, 1)...)},
		{"TA", "ends too early", message(record(32768, 0, 0, 0, 0)...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := only(test.msg)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%x, %v; want: %s", data, err, test.says)
			}
		})
	}
}

// TestQuestionBroken: questions that can't be read.
func TestQuestionBroken(t *testing.T) {
	for _, b := range [][]byte{{}, {0}, {0, 0, 1, 0}, {1, 'a', 0, 0, 6, 0}, {0xc0, 12, 0, 1, 0, 1}, {0x41, 0, 0, 1, 0, 1}} {
		var r Reader
		if err := r.Open(append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, b...)); err != nil {
			t.Fatal(err)
		}
		if q, err := r.Question(); err == nil {
			t.Errorf("%x is the question %v", b, q)
		}
	}
}

// TestData: types of all shapes that a library writes are read as it writes them
// without compression.
func TestData(t *testing.T) {
	for _, text := range []string{
		"A 192.0.2.1", "NS ns.a.example.", "CNAME A.example.", "SOA a.example. b.example. 1 2 3 4 5", "PTR a.example.",
		"HINFO a b", "MINFO a.example. b.example.", "MX 1 a.example.", "TXT a b", "RP a.example. b.example.", "AFSDB 1 a.example.",
		"KEY 256 3 8 AQ==", "PX 1 a.example. b.example.", "AAAA 2001:db8::1", "LOC 51 30 12.748 N 0 7 39.612 W 0.00m", "SRV 1 2 3 a.example.",
		`NAPTR 1 2 "u" "s" "" a.example.`, "KX 1 a.example.", "CERT 1 1 1 AQ==", "DNAME a.example.", "APL 1:10.0.0.0/8 !2:2001:db8::/32",
		"DS 1 8 2 aabb", "SSHFP 1 1 aabb", "IPSECKEY 10 0 2 . AQ==", "IPSECKEY 10 1 2 192.0.2.1 AQ==", "IPSECKEY 10 3 2 a.example. AQ==",
		"RRSIG A 8 1 60 20300101000000 20200101000000 1 a.example. AQ==", "NSEC a.example. A NS TYPE65280", "DNSKEY 256 3 8 AQ==",
		"NSEC3 1 0 1 aa 2vptu5timamqttgl4luu9kg21e0aor3s A", "NSEC3PARAM 1 0 1 aa", "TLSA 1 1 1 aa", "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdx a.example.",
		"OPENPGPKEY AQ==", "CSYNC 1 3 A NS", "ZONEMD 1 1 1 " + strings.Repeat("aa", 48), "SVCB 1 a.example. alpn=h2 port=1", "HTTPS 0 a.example.",
		"SPF a", "NID 1 0014:4fff:ff20:ee64", "L32 1 192.0.2.1", "L64 1 2001:0DB8:1140:1000", "LP 1 a.example.", "EUI48 00-00-5e-00-53-2a", "EUI64 00-00-5e-ef-10-00-00-2a",
		`URI 1 2 "http://a"`, `CAA 0 issue "a"`, "AVC a", "AMTRELAY 1 0 3 a.example.", `TYPE65280 \# 3 c00c00`, `NULL \# 2 c00c`,
	} {
		want := rr(t, "example. 60 IN "+text)
		m := new(dns.Msg)
		m.Answer = []dns.RR{want, want} // so that there is something to point to
		msg := pack(t, m)
		var r Reader
		var rec Record
		if err := r.Open(msg); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := r.Next(Answer, &rec); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if data, err := r.Data(&rec); err != nil || !bytes.Equal(data, bare(t, want)) {
				t.Errorf("%s is %x, want %x: %v", text, data, bare(t, want), err)
			}
		}
		if err := r.End(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestDataTooLong: RDATA that fits only as long as its names are compressed.
func TestDataTooLong(t *testing.T) {
	name := append(bytes.Repeat([]byte("\x3faaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffgggggggghhhhhhh"), 3), 0)
	nxt := append([]byte{0xc0, 12}, make([]byte, 65400)...) // NXT: a name, and anything
	msg := message(name...)
	msg = append(msg, 0, byte(wire.TypeNXT), 0, 1, 0, 0, 0, 0)
	if data, err := only(wire.AppendRecord(msg, nxt)); err == nil || !strings.Contains(err.Error(), "65535") {
		t.Errorf("%d octets: %v", len(data), err)
	}
	nxt = nxt[:65535-len(name)+2]
	if data, err := only(wire.AppendRecord(msg, nxt)); err != nil || len(data) != 65535 {
		t.Errorf("%d octets: %v", len(data), err)
	}
}

// FuzzReader: whatever comes, it is read to its end or refused, and RDATA that was
// read once is read the same again without the message.
func FuzzReader(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("example.", dns.TypeAXFR)
	for _, text := range []string{"SOA a.example. b.example. 1 2 3 4 5", "MX 1 a.example.", "SVCB 1 . port=1", "NSEC a.example. A", "APL 1:10.0.0.0/8", "HIP 2 2001 AwEA a.example."} {
		m.Answer = append(m.Answer, rr(f, "example. 60 IN "+text))
	}
	m.Ns, m.Extra = m.Answer[:2], m.Answer[2:]
	m.SetEdns0(1232, false)
	f.Add(pack(f, m))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var r Reader
		if r.Open(msg) != nil {
			return
		}
		for r.Questions() > 0 {
			q, err := r.Question()
			if err != nil {
				return
			}
			if wire.NameLen(q.Name) != len(q.Name) {
				t.Fatalf("name %x", q.Name)
			}
		}
		for section := range sections {
			for {
				var rec Record
				more, err := r.Next(section, &rec)
				if err != nil {
					return
				}
				if !more {
					break
				}
				if wire.NameLen(rec.Owner) != len(rec.Owner) || !bytes.Equal(rec.Owner, wire.AppendLower(nil, rec.Owner)) {
					t.Fatalf("owner %x", rec.Owner)
				}
				data, err := r.Data(&rec)
				if err != nil {
					continue
				}
				data = bytes.Clone(data)
				again, err := only(message(record(rec.Type, data...)...))
				if err != nil || !bytes.Equal(again, data) {
					t.Fatalf("type %d: %x, read again %x: %v", rec.Type, data, again, err)
				}
			}
		}
		if r.End() == nil && r.at != len(msg) {
			t.Fatal("the end is not the end")
		}
	})
}
