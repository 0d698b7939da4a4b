package fetch

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/tsig"
)

// closedPort is one where nobody listens on UDP or TCP.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// both listens on one port of UDP and TCP: udp is handed each datagram and
// gives what is to be sent back.
func both(t *testing.T, udp func(req *dns.Msg, raw []byte) [][]byte, tcp func(*conversation)) *peer {
	t.Helper()
	p := listen(t, tcp)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(p.Addr))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			req := new(dns.Msg)
			if err := req.Unpack(buf[:n]); err != nil {
				t.Errorf("a question that cannot be read: %v", err)
				return
			}
			for _, b := range udp(req, buf[:n]) {
				_, _ = conn.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p
}

func answerTo(req *dns.Msg, change func(*dns.Msg), records ...dns.RR) []byte {
	m := new(dns.Msg)
	m.SetReply(req)
	m.Authoritative, m.Answer = true, records
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func askSerial(p *peer, keys *tsig.Keyring) (Seen, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return Serial(ctx, p.Primary, wireName(apexText), keys)
}

func noTCP(c *conversation) { c.t.Error("asked over TCP") }

// TestSerial: the question, its EXPIRE option, and the answer.
func TestSerial(t *testing.T) {
	p := both(t, func(req *dns.Msg, _ []byte) [][]byte {
		opt := req.IsEdns0()
		if opt == nil || opt.UDPSize() != 1232 || len(opt.Option) != 1 || opt.Option[0].Option() != dns.EDNS0EXPIRE || req.RecursionDesired {
			t.Errorf("asked %v", req)
		}
		return [][]byte{answerTo(req, func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Expire: 4711}}
			m.Ns = []dns.RR{base(1)[1]}
		}, rr("eXample. 300 IN SOA ns1.example. hostmaster.example. 42 3600 600 604800 60"))}
	}, noTCP)
	seen, err := askSerial(p, nil)
	if err != nil || seen != (Seen{Serial: 42, Expire: 4711, HasExpire: true}) {
		t.Errorf("%+v %v", seen, err)
	}
}

// TestSerialWithoutEDNS: servers that do not know EDNS are asked without.
func TestSerialWithoutEDNS(t *testing.T) {
	p := both(t, func(req *dns.Msg, _ []byte) [][]byte {
		if req.IsEdns0() != nil {
			return [][]byte{answerTo(req, func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError; m.Question = nil })}
		}
		return [][]byte{answerTo(req, nil, soa(42))}
	}, noTCP)
	if seen, err := askSerial(p, nil); err != nil || seen != (Seen{Serial: 42}) {
		t.Errorf("%+v %v", seen, err)
	}
}

// TestSerialForged: what isn't the answer to the question is passed over, and
// the answer waited for.
func TestSerialForged(t *testing.T) {
	p := both(t, func(req *dns.Msg, raw []byte) [][]byte {
		other := req.Copy()
		other.Question[0].Name = "other."
		return [][]byte{
			{1, 2, 3},
			raw,
			answerTo(req, func(m *dns.Msg) { m.Id++ }, soa(99)),
			answerTo(other, nil, soa(99)),
			answerTo(req, nil, soa(42)),
		}
	}, noTCP)
	if seen, err := askSerial(p, nil); err != nil || seen.Serial != 42 {
		t.Errorf("%+v %v", seen, err)
	}
}

// TestSerialOverTCP: an answer that is truncated, or does not come, is asked
// for over TCP.
func TestSerialOverTCP(t *testing.T) {
	var questions atomic.Int32
	for name, udp := range map[string]func(*dns.Msg, []byte) [][]byte{
		"truncated": func(req *dns.Msg, _ []byte) [][]byte {
			questions.Add(1)
			return [][]byte{answerTo(req, func(m *dns.Msg) { m.Truncated = true })}
		},
		"silent": func(*dns.Msg, []byte) [][]byte { return nil },
	} {
		p := both(t, udp, func(c *conversation) { _ = c.reply(soa(42)) })
		if seen, err := askSerial(p, nil); err != nil || seen.Serial != 42 || p.asked.Load() != 1 {
			t.Errorf("%s: %+v %v, asked %d times over TCP", name, seen, err, p.asked.Load())
		}
	}
	if n := questions.Load(); n != 1 {
		t.Errorf("asked %d times over UDP, and the first answer was truncated", n)
	}
}

// TestSerialErrors: what cannot be used, and what is said of it.
func TestSerialErrors(t *testing.T) {
	tests := []struct {
		name  string
		cause Cause
		says  string
		make  func(*dns.Msg) []byte
	}{
		{"REFUSED", Denied, "REFUSED", func(q *dns.Msg) []byte {
			return answerTo(q, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused })
		}},
		{"no authority", Denied, "with authority", func(q *dns.Msg) []byte {
			return answerTo(q, func(m *dns.Msg) { m.Authoritative = false }, soa(42))
		}},
		{"no SOA", Denied, "no SOA", func(q *dns.Msg) []byte { return answerTo(q, nil) }},
		{"another zone's SOA", Denied, "no SOA", func(q *dns.Msg) []byte {
			return answerTo(q, nil, rr("other. 60 IN SOA a. b. 1 2 3 4 5"))
		}},
		{"malformed", Broken, "ends in a name", func(q *dns.Msg) []byte {
			b := answerTo(q, nil, soa(42))
			binary.BigEndian.PutUint16(b[6:], 2)
			return b
		}},
		{"octets behind", Broken, "behind the last", func(q *dns.Msg) []byte { return append(answerTo(q, nil, soa(42)), 0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := both(t, func(req *dns.Msg, _ []byte) [][]byte { return [][]byte{test.make(req)} }, noTCP)
			_, err := askSerial(p, nil)
			checkError(t, err, p.Addr, test.cause, test.says)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		p := &peer{Primary: Primary{Addr: closedPort(t)}}
		_, err := askSerial(p, nil)
		checkError(t, err, p.Addr, Unreachable, "no TCP connection")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		p := both(t, func(*dns.Msg, []byte) [][]byte { cancel(); return nil }, noTCP)
		_, err := Serial(ctx, p.Primary, wireName(apexText), nil)
		checkError(t, err, p.Addr, Cancelled, "given up")
	})
}
