package fetch

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apexText = "example."

// wireName is a name in wire form.
func wireName(text string) []byte {
	b := make([]byte, 255)
	n, err := dns.PackDomainName(text, b, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return b[:n]
}

// rr is a record from its text.
func rr(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

func soa(serial uint32) dns.RR {
	return rr(fmt.Sprintf("example. 300 IN SOA ns1.example. hostmaster.example. %d 3600 600 604800 60", serial))
}

// base is the zone of a serial, without its final SOA: a record differs from
// serial to serial.
func base(serial uint32) []dns.RR {
	return []dns.RR{
		soa(serial), rr("example. 300 IN NS ns1.example."), rr("example. 300 IN NS NS2.Example."),
		rr("ns1.example. 300 IN A 192.0.2.53"), rr("*.wild.example. 60 IN TXT \"a b\" \"c\""),
		rr(fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", serial)),
	}
}

// axfr is base with its final SOA.
func axfr(serial uint32) []dns.RR { return append(base(serial), soa(serial)) }

// step is what IXFR says of one serial to the next, in the case of base.
func step(from uint32) []dns.RR {
	return []dns.RR{
		soa(from), rr(fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", from)),
		soa(from + 1), rr(fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", from+1)),
	}
}

// toWire is a record as zones hold it.
func toWire(r dns.RR) wire.RR {
	buf := make([]byte, 70000)
	n, err := dns.PackRR(r, buf, 0, nil, false)
	if err != nil {
		panic(err)
	}
	l := wire.NameLen(buf)
	return wire.RR{
		Owner: wire.AppendLower(nil, buf[:l]), Type: binary.BigEndian.Uint16(buf[l:]),
		TTL: binary.BigEndian.Uint32(buf[l+4:]), Data: append([]byte(nil), buf[l+10:n]...),
	}
}

func build(records []dns.RR) *zone.Zone {
	b := zone.NewBuilder()
	for _, r := range records {
		w := toWire(r)
		if p := b.Add(&w); p != nil && !p.Warning {
			panic(p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		panic(problems)
	}
	return z
}

// contents is a zone as text to compare.
func contents(z *zone.Zone) map[string]int {
	m := map[string]int{}
	z.Each(func(owner []byte, s *zone.RRset) bool {
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			m[fmt.Sprintf("%s %d %d %x", wire.NameString(owner), s.Type, s.TTL, data)]++
			r = rest
		}
	})
	return m
}

func equalZones(t *testing.T, got, want *zone.Zone) {
	t.Helper()
	a, b := contents(got), contents(want)
	for k := range a {
		if b[k] != a[k] {
			t.Errorf("%s is there, and should not be", k)
		}
	}
	for k := range b {
		if b[k] != a[k] {
			t.Errorf("%s is missing", k)
		}
	}
}

// conversation is one connection of a peer: what a scenario talks with.
type conversation struct {
	net.Conn
	t   *testing.T
	req *dns.Msg
	raw []byte
	n   int // which connection of the peer it is, from 1 on
}

// reply sends records in a message, packed with compression.
func (c *conversation) reply(records ...dns.RR) error {
	return c.replyWith(func(*dns.Msg) {}, records...)
}

func (c *conversation) replyWith(change func(*dns.Msg), records ...dns.RR) error {
	m := new(dns.Msg)
	m.SetReply(c.req)
	m.Authoritative, m.Compress, m.Answer = true, true, records
	change(m)
	b, err := m.Pack()
	if err != nil {
		c.t.Error(err)
		return err
	}
	return c.send(b)
}

func (c *conversation) send(msg []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}

func (c *conversation) rcode(code int) error {
	return c.replyWith(func(m *dns.Msg) { m.Rcode = code })
}

// isIXFR reports whether that was asked for.
func (c *conversation) isIXFR() bool { return c.req.Question[0].Qtype == dns.TypeIXFR }

// peer listens on TCP and answers each connection's first question by serve.
// The connection is closed when serve returns.
type peer struct {
	Primary
	asked atomic.Int32
}

func listen(t *testing.T, serve func(*conversation)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l, serve)
}

func accept(t *testing.T, l net.Listener, serve func(*conversation)) *peer {
	p := &peer{Primary: Primary{Addr: l.Addr().(*net.TCPAddr).AddrPort()}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.converse(t, conn, serve)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return p
}

func (p *peer) converse(t *testing.T, conn net.Conn, serve func(*conversation)) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	raw, err := readMessage(conn)
	if err != nil {
		return
	}
	req := new(dns.Msg)
	if err := req.Unpack(raw); err != nil {
		t.Errorf("a question that cannot be read: %v", err)
		return
	}
	serve(&conversation{Conn: conn, t: t, req: req, raw: raw, n: int(p.asked.Add(1))})
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// hang waits until the other side closes.
func (c *conversation) hang() { _, _ = io.Copy(io.Discard, c) }

func fetchFrom(p *peer, have *zone.Zone, o Options) (*Got, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return Fetch(ctx, p.Primary, wireName(apexText), have, o)
}

// checkError holds an error to what every one must say: who, about what, what
// is wrong, and, where somebody can do something, what.
func checkError(t *testing.T, err error, from netip.AddrPort, cause Cause, what string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := CauseOf(err); got != cause {
		t.Errorf("cause %d, want %d: %v", got, cause, err)
	}
	for _, want := range []string{what, " of example. from " + from.String() + ": "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if cause != Cancelled && cause != OutOfSync && !strings.Contains(err.Error(), "; ") {
		t.Errorf("%q does not say what to do", err)
	}
}

// listenTLS is listen over TLS.
func listenTLS(t *testing.T, config *tls.Config, serve func(*conversation)) *peer {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l, serve)
}
