package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// raw is an answer to an AXFR of example., of so many records, which follow as
// octets.
func (c *conversation) rawMessage(count int, records ...[]byte) []byte {
	m := new(dns.Msg)
	m.SetReply(c.req)
	b, err := m.Pack()
	if err != nil {
		c.t.Error(err)
	}
	binary.BigEndian.PutUint16(b[6:], uint16(count))
	return append(b, slices.Concat(records...)...)
}

// packed is records without compression.
func packed(records ...dns.RR) []byte {
	var out []byte
	buf := make([]byte, 70000)
	for _, r := range records {
		n, err := dns.PackRR(r, buf, 0, nil, false)
		if err != nil {
			panic(err)
		}
		out = append(out, buf[:n]...)
	}
	return out
}

// header of a record, for RDATA that lies.
func recordHead(owner []byte, t uint16, length int) []byte {
	b := append([]byte(nil), owner...)
	b = binary.BigEndian.AppendUint16(b, t)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, 60)
	return binary.BigEndian.AppendUint16(b, uint16(length))
}

// first is a record behind the zone's first two, as octets, and the final SOA.
func (c *conversation) around(record []byte) {
	_ = c.send(c.rawMessage(4, packed(base(7)[:2]...), record, packed(soa(7))))
}

// hostile is a peer that does something wrong: what, and what is said of it.
type hostile struct {
	name  string
	cause Cause
	says  string
	serve func(*conversation)
}

func wrongAnswers() []hostile {
	with := func(change func(*dns.Msg)) func(*conversation) {
		return func(c *conversation) { _ = c.replyWith(change, axfr(7)...) }
	}
	records := func(r ...dns.RR) func(*conversation) {
		return func(c *conversation) { _ = c.reply(r...) }
	}
	inserted := func(text string) func(*conversation) {
		return records(append(base(7), rr(text), soa(7))...)
	}
	return []hostile{
		{"REFUSED", Denied, "REFUSED", func(c *conversation) { _ = c.rcode(dns.RcodeRefused) }},
		{"SERVFAIL", Denied, "SERVFAIL", func(c *conversation) { _ = c.rcode(dns.RcodeServerFailure) }},
		{"NOTAUTH", Denied, "NOTAUTH", func(c *conversation) { _ = c.rcode(dns.RcodeNotAuth) }},
		{"NXDOMAIN", Denied, "NXDOMAIN", func(c *conversation) { _ = c.rcode(dns.RcodeNameError) }},
		{"error code 11", Denied, "error code 11", func(c *conversation) { _ = c.rcode(11) }},
		{"other ID", Broken, "the ID", with(func(m *dns.Msg) { m.Id++ })},
		{"a question", Broken, "a question came", with(func(m *dns.Msg) { m.Response = false })},
		{"other opcode", Broken, "opcode 4", with(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })},
		{"other name", Broken, "another name, other.", with(func(m *dns.Msg) { m.Question[0].Name = "other." })},
		{"other type", Broken, "type 251", with(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeIXFR })},
		{"other class", Broken, "class 3", with(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })},
		{"two questions", Broken, "2 questions", with(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })},
		{"truncated by TC", Broken, "truncates", with(func(m *dns.Msg) { m.Truncated = true })},
		{"no records", Broken, "without records", records()},
		{"no SOA first", Broken, "first record", records(base(7)[1:]...)},
		{"wrong owner first", BadZone, "other.", records(rr("other. 60 IN SOA a. b. 1 2 3 4 5"))},
		{"parent's SOA", BadZone, "not in the zone", records(rr(". 60 IN SOA a. b. 1 2 3 4 5"))},
		{"wrong owner", BadZone, "www.example.net.", inserted("www.example.net. 60 IN A 192.0.2.1")},
		{"not quite the zone", BadZone, "notexample.", inserted("notexample. 60 IN A 192.0.2.1")},
		{"SOA below", BadZone, "below the apex", inserted("sub.example. 60 IN SOA a. b. 7 2 3 4 5")},
		{"mid-stream SOA", Broken, "serial 8", records(append(base(7), soa(8), soa(7))...)},
		{"final SOA differs", Broken, "a second SOA", inserted("example. 300 IN SOA ns1.example. hostmaster.example. 7 3601 600 604800 60")},
		{"behind the final SOA", Broken, "behind the final SOA", records(append(axfr(7), base(7)[3])...)},
		{"SOA thrice", Broken, "behind the final SOA", records(append(axfr(7), soa(7))...)},
		{"only SOAs", BadZone, "no NS", records(soa(7), soa(7))},
		{"CNAME and other", BadZone, "cname-and-other", inserted("ns1.example. 60 IN CNAME x.example.")},
		{"two CNAMEs", BadZone, "single", records(append(base(7), rr("c.example. 60 IN CNAME a."), rr("c.example. 60 IN CNAME b."), soa(7))...)},
		{"other class of a record", Broken, "class 3", inserted("x.example. 60 CH TXT \"a\"")},
		{"no final SOA", Broken, "closed the connection", records(base(7)...)},
		{"nothing", Unreachable, "closed the connection", func(*conversation) {}},
	}
}

func malformed() []hostile {
	ns := wireName("x.example.")
	apexPointer := []byte{0xc0, 12}
	raw := func(record []byte) func(*conversation) { return func(c *conversation) { c.around(record) } }
	data := func(t uint16, length int, octets string) func(*conversation) {
		return raw(append(recordHead(ns, t, length), octets...))
	}
	return []hostile{
		{"shorter than a header", Broken, "shorter than a header", func(c *conversation) { _ = c.send([]byte{0, 1, 2}) }},
		{"empty message", Broken, "shorter than a header", func(c *conversation) { _ = c.send(nil) }},
		{"cut in the length", Broken, "closed the connection", func(c *conversation) { _, _ = c.Write([]byte{1}) }},
		{"cut in a message", Broken, "closed the connection", func(c *conversation) {
			b := c.rawMessage(2, packed(base(7)[:2]...))
			_, _ = c.Write(append([]byte{0, byte(len(b) + 10)}, b...))
		}},
		{"counts lie", Broken, "ends in a name", func(c *conversation) { _ = c.send(c.rawMessage(9, packed(base(7)...))) }},
		{"cut in a record", Broken, "middle of a record", func(c *conversation) {
			_ = c.send(c.rawMessage(2, packed(base(7)[0]), recordHead(ns, dns.TypeA, 4)[:14]))
		}},
		{"octets behind", Broken, "behind the last record", func(c *conversation) {
			_ = c.send(append(c.rawMessage(7, packed(axfr(7)...)), 1, 2, 3))
		}},
		{"length beyond the message", Broken, "announced with 40000", func(c *conversation) {
			_ = c.send(c.rawMessage(2, packed(base(7)[0]), recordHead(ns, dns.TypeTXT, 40000), []byte("\x01a")))
		}},
		{"A of 5", Broken, "longer than its fields", data(dns.TypeA, 5, "\x01\x02\x03\x04\x05")},
		{"A of 3", Broken, "ends too early", data(dns.TypeA, 3, "\x01\x02\x03")},
		{"AAAA of 4", Broken, "ends too early", data(dns.TypeAAAA, 4, "\x01\x02\x03\x04")},
		{"MX without name", Broken, "ends in a name", data(dns.TypeMX, 2, "\x00\x01")},
		{"MX too long", Broken, "longer than its fields", data(dns.TypeMX, 4, "\x00\x01\x00\x00")},
		{"name leaves its data", Broken, "ends in a name", data(dns.TypeNS, 3, "\x05ab")},
		{"TXT overruns", Broken, "ends too early", data(dns.TypeTXT, 3, "\x09ab")},
		{"TXT of nothing", Broken, "ends too early", data(dns.TypeTXT, 0, "")},
		{"SRV compressed wrongly", Broken, "leads to octet", data(dns.TypeSRV, 8, "\x00\x01\x00\x01\x00\x01\xff\xff")},
		{"RRSIG compressed", Broken, "compressed name", data(dns.TypeRRSIG, 21, "\x00\x01\x08\x02\x00\x00\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc0\x0c\x01")},
		{"NSEC with a broken bitmap", Broken, "bitmap", data(dns.TypeNSEC, 4, "\x00\x00\x21\x01")},
		{"SVCB keys fall", Broken, "rising", data(dns.TypeSVCB, 11, "\x00\x01\x00\x00\x03\x00\x00\x00\x01\x00\x00")},
		{"HIP overruns", Broken, "ends too early", data(dns.TypeHIP, 4, "\x10\x02\x00\x20")},
		{"unknown gateway", Broken, "gateway", data(dns.TypeIPSECKEY, 3, "\x01\x09\x02")},
		{"APL overruns", Broken, "ends too early", data(dns.TypeAPL, 5, "\x00\x01\x18\x04\x01")},
		{"pointer to itself", Broken, "not to an earlier name", func(c *conversation) {
			head := c.rawMessage(2, packed(base(7)[0]))
			at := len(head)
			_ = c.send(slices.Concat(head, recordHead([]byte{0xc0 | byte(at>>8), byte(at)}, dns.TypeA, 4), []byte{1, 2, 3, 4}))
		}},
		{"pointer forward", Broken, "not to an earlier name", raw(append(recordHead([]byte{0xc1, 0xff}, dns.TypeA, 4), 1, 2, 3, 4))},
		{"pointer into the header", Broken, "not to an earlier name", raw(append(recordHead([]byte{0xc0, 4}, dns.TypeA, 4), 1, 2, 3, 4))},
		{"pointers in a circle", Broken, "not to an earlier name", func(c *conversation) {
			head := c.rawMessage(3, packed(base(7)[0]), recordHead(apexPointer, 65280, 4))
			at := len(head)
			loop := []byte{0xc0 | byte((at+2)>>8), byte(at + 2), 0xc0 | byte(at>>8), byte(at)}
			_ = c.send(slices.Concat(head, loop, recordHead([]byte{0xc0 | byte(at>>8), byte(at + 2)}, dns.TypeA, 4), []byte{1, 2, 3, 4}))
		}},
		{"name over 255", Broken, "more than 255", raw(append(recordHead([]byte(strings.Repeat("\x3f"+strings.Repeat("a", 63), 4)+"\x00"), dns.TypeA, 4), 1, 2, 3, 4))},
		{"label of type 01", Broken, "unknown type", raw(append(recordHead([]byte("\x41a\x00"), dns.TypeA, 4), 1, 2, 3, 4))},
		{"a question type as record", Broken, "only be asked for", data(dns.TypeANY, 0, "")},
		{"OPT in the answer", Broken, "only be asked for", data(dns.TypeOPT, 0, "")},
		{"type 0", Broken, "only be asked for", data(0, 0, "")},
		{"record too long for a set", BadZone, "set-too-long", func(c *conversation) {
			_ = c.send(c.rawMessage(2, packed(soa(7), base(7)[1])))
			for i := range 3 {
				d := make([]byte, 30000)
				d[0] = byte(i)
				_ = c.send(c.rawMessage(1, recordHead(ns, 65280, len(d)), d))
			}
			_ = c.reply(soa(7))
		}},
	}
}

// TestHostile: whatever a primary does wrong, the error says it, and the copy
// is untouched.
func TestHostile(t *testing.T) {
	for _, test := range append(wrongAnswers(), malformed()...) {
		t.Run(test.name, func(t *testing.T) {
			p := listen(t, test.serve)
			got, err := fetchFrom(p, nil, Options{})
			if err == nil {
				t.Fatalf("it was taken: %+v", got)
			}
			checkError(t, err, p.Addr, test.cause, test.says)
		})
	}
}

// TestHostileKeepsCopy: the same, with a copy, to which IXFR and AXFR go wrong.
func TestHostileKeepsCopy(t *testing.T) {
	for _, test := range append(wrongAnswers(), malformed()...) {
		p := listen(t, test.serve)
		have := build(base(5))
		got, err := fetchFrom(p, have, Options{})
		switch {
		case test.name == "other type": // that is the answer to an IXFR
			continue
		case err == nil:
			t.Errorf("%s: it was taken: %+v", test.name, got)
		}
		equalZones(t, have, build(base(5)))
	}
}

// endless sends valid records for ever, and counts its octets.
func endless(sent *atomic.Int64, first ...dns.RR) func(*conversation) {
	return func(c *conversation) {
		if c.reply(first...) != nil {
			return
		}
		for i := 0; ; i++ {
			records := make([]dns.RR, 100)
			for j := range records {
				records[j] = rr(fmt.Sprintf("h%d.example. 60 IN A 192.0.2.1", i*100+j))
			}
			if c.reply(records...) != nil {
				return
			}
			sent.Add(100 * 27)
		}
	}
}

// TestTooLarge: who sends without end is cut off at the bounds: of octets, of
// records, of memory for changes.
func TestTooLarge(t *testing.T) {
	const bound = 256 << 10
	tests := []struct {
		name  string
		first []dns.RR
		have  bool
		o     Options
		says  string
	}{
		{"octets", base(7), false, Options{MaxOctets: bound}, "octets"},
		{"records", base(7), false, Options{MaxRecords: 5000}, "5000 records"},
		{"records of an IXFR", []dns.RR{soa(7), soa(5), soa(7)}, true, Options{MaxRecords: 5000}, "5000 records"},
		{"changes", []dns.RR{soa(7), soa(5), soa(7)}, true, Options{MaxChanges: bound}, "records came at"},
		{"deletions", []dns.RR{soa(7), soa(5)}, true, Options{MaxOctets: bound}, "octets"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var sent atomic.Int64
			p := listen(t, func(c *conversation) {
				if test.have && !c.isIXFR() {
					_ = c.rcode(dns.RcodeRefused)
					return
				}
				endless(&sent, test.first...)(c)
			})
			if !test.have {
				_, err := fetchFrom(p, nil, test.o)
				checkError(t, err, p.Addr, TooLarge, test.says)
			} else {
				have := build(base(5))
				_, err := fetchFrom(p, have, test.o)
				checkError(t, err, p.Addr, Denied, "the IXFR before failed: message")
				equalZones(t, have, build(base(5)))
			}
			// What lies in the buffers of sockets was sent too, so a wide berth.
			if n := sent.Load(); n > 64<<20 {
				t.Errorf("it was let send %d octets", n)
			}
		})
	}
}

// TestExpansion: names that compression makes short count as long as they are.
func TestExpansion(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + "example."
	p := listen(t, func(c *conversation) {
		if c.reply(base(7)...) != nil {
			return
		}
		for i := 0; ; i++ {
			head := c.rawMessage(1001, packed(rr(fmt.Sprintf("%s 60 IN A 192.0.2.1", long))))
			at := wireLen(c)
			for j := range 1000 {
				head = append(head, recordHead([]byte{0xc0, byte(at)}, dns.TypeA, 4)...)
				head = append(head, byte(i>>8), byte(i), byte(j>>8), byte(j))
			}
			if c.send(head) != nil {
				return
			}
		}
	})
	// 1000 records: 16 KB as they come, 215 KB written out.
	got, err := fetchFrom(p, nil, Options{MaxOctets: 200 << 10})
	checkError(t, err, p.Addr, TooLarge, "message 2: ")
	if got != nil {
		t.Error("a zone came")
	}
}

// wireLen is where the first record of rawMessage begins.
func wireLen(c *conversation) int { return len(c.rawMessage(0)) }

// TestSlow: who drips, or falls silent, at any place, is not waited for.
func TestSlow(t *testing.T) {
	drip := func(c *conversation) {
		b := c.rawMessage(7, packed(axfr(7)...))
		b = append([]byte{0, byte(len(b))}, b...)
		for _, octet := range b {
			if _, err := c.Write([]byte{octet}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	tests := []struct {
		name  string
		cause Cause
		serve func(*conversation)
	}{
		{"silent from the start", Unreachable, (*conversation).hang},
		{"silent later", Stalled, func(c *conversation) { _ = c.reply(base(7)...); c.hang() }},
		{"silent in a message", Stalled, func(c *conversation) { _, _ = c.Write([]byte{9, 9, 9}); c.hang() }},
		{"one octet after the other", Stalled, drip},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := listen(t, test.serve)
			_, err := fetchFrom(p, nil, Options{Stall: 200 * time.Millisecond, MinRate: 1000})
			checkError(t, err, p.Addr, test.cause, "less than 200 in 200ms")
		})
	}
	t.Run("over all", func(t *testing.T) {
		p := listen(t, drip)
		_, err := fetchFrom(p, nil, Options{Timeout: 100 * time.Millisecond, MinRate: 1})
		checkError(t, err, p.Addr, Stalled, "longer than it may")
	})
}

// TestMeter: windows begin with the first octet, and each has to bring enough.
func TestMeter(t *testing.T) {
	tests := []struct {
		name  string
		wait  time.Duration // before the first octet
		every time.Duration
		good  bool
	}{
		{"fast", 0, 50 * time.Millisecond, true},
		{"late", 9 * time.Second, 50 * time.Millisecond, true},
		{"too late", 11 * time.Second, 50 * time.Millisecond, false},
		{"just enough", 9 * time.Second, 90 * time.Millisecond, true},
		{"just not enough", 0, 110 * time.Millisecond, false},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			m := &meter{Conn: near, window: 10 * time.Second, least: 100, waiting: true}
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { _ = far.Close() }()
				time.Sleep(test.wait)
				for range 1000 {
					if _, err := far.Write([]byte{1}); err != nil {
						return
					}
					time.Sleep(test.every)
				}
			})
			n, err := io.Copy(io.Discard, struct{ io.Reader }{m})
			_ = near.Close()
			wg.Wait()
			if good := err == nil && n == 1000; good != test.good || !good && !errors.Is(err, errStalled) {
				t.Errorf("%s: %d octets, %v", test.name, n, err)
			}
		})
	}
}

// TestCancelled: who asks can give up at any time.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := listen(t, func(c *conversation) {
		_ = c.reply(base(7)...)
		cancel()
		c.hang()
	})
	_, err := Fetch(ctx, p.Primary, wireName(apexText), nil, Options{})
	checkError(t, err, p.Addr, Cancelled, "given up")
	_, err = Fetch(ctx, p.Primary, wireName(apexText), build(base(1)), Options{})
	checkError(t, err, p.Addr, Cancelled, "given up")
}

// TestNobody: no primary listens.
func TestNobody(t *testing.T) {
	p := listen(t, func(*conversation) {})
	p.Addr = closedPort(t)
	_, err := fetchFrom(p, build(base(1)), Options{})
	checkError(t, err, p.Addr, Unreachable, "no TCP connection")
}
