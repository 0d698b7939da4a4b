package server

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/tsig"
	"geodns/internal/wire"
)

// exchanger answers UPDATE with YXDOMAIN, IXFR with three messages over TCP and
// one over UDP, and leaves NOTIFY without an answer.
type exchanger struct{ t *testing.T }

func (e exchanger) Answer(x *Exchange) {
	switch {
	case x.Query.Opcode == wire.OpcodeUpdate:
		if err := x.Reply(wire.RcodeYXDomain); err != nil {
			e.t.Error(err)
		}
	case x.Query.Type == wire.TypeIXFR:
		n := 1
		if x.TCP {
			n = 3
		}
		for i := range n {
			msg := appendBare(nil, x.Msg, x.Query, wire.RcodeNoError)
			msg[1] = byte(i)
			if err := x.Send(msg); err != nil {
				e.t.Error(err)
			}
		}
		if err := x.Send([]byte("no more")); !x.TCP && err == nil {
			e.t.Error("a second message was sent over UDP")
		}
	}
}

func startExchanging(t *testing.T, at string) *Server {
	t.Helper()
	s, err := Listen(Config{Listen: listen(at), Workers: 1, Live: signedWorld(t), Keys: allKeys(t), Exchanges: exchanger{t}})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	return s
}

func packed(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Updates are answered from the address that was asked, with their question, and
// signed if they were.
func TestExchangeUpdate(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		s := startExchanging(t, at)
		m := new(dns.Msg)
		m.SetUpdate("Example.")
		m.SetEdns0(1232, false)
		got, from := askUDP(t, loopback(s.Addrs()[0]), packed(t, m))
		reply := unpacked(t, got)
		if reply.Rcode != dns.RcodeYXDomain || reply.Id != m.Id || reply.Opcode != dns.OpcodeUpdate || !reply.Response {
			t.Errorf("%s: %v", at, reply)
		}
		if len(reply.Question) != 1 || reply.Question[0].Name != "Example." || reply.IsEdns0() == nil {
			t.Errorf("%s: question %v, OPT %v", at, reply.Question, reply.IsEdns0())
		}
		if from.Addr() != loopback(s.Addrs()[0]).Addr() {
			t.Errorf("%s: answered by %s", at, from)
		}
		signed, mac := signedQuery(t, m, "hmac-sha256", time.Now())
		got, _ = askUDP(t, loopback(s.Addrs()[0]), signed)
		if err := dns.TsigVerify(got, secretOf("hmac-sha256"), mac, false); err != nil {
			t.Errorf("%s: the answer's signature: %v", at, err)
		}
	}
}

// What is forged is answered before anybody else sees it.
func TestExchangeForged(t *testing.T) {
	s := startExchanging(t, "127.0.0.1:0")
	m := new(dns.Msg)
	m.SetUpdate("example.")
	signed, _ := signedBy(t, m, "hmac-sha256.key.", "hmac-sha256", "d3Jvbmc=", time.Now())
	got, _ := askUDP(t, s.Addrs()[0], signed)
	if reply := unpacked(t, got); reply.Rcode != dns.RcodeNotAuth || reply.IsTsig().Error != uint16(tsig.BadSig) {
		t.Errorf("a forged update is answered %v", reply)
	}
	if c := s.Counters(); c[Exchanged] != 0 {
		t.Error("a forged update was handed on")
	}
}

// Answers of an exchange come between those of what was asked before and after.
func TestExchangeOverTCP(t *testing.T) {
	s := startExchanging(t, "127.0.0.1:0")
	c := dial(t, s.Addrs()[0])
	var all []byte
	for _, typ := range []uint16{dns.TypeA, dns.TypeIXFR, dns.TypeAAAA} {
		m := newQuestion("www.example.", typ, 0)
		m.Id = 0x700
		all = append(all, framed(packed(t, m))...)
	}
	c.write(all)
	for i, want := range []uint16{dns.TypeA, dns.TypeIXFR, dns.TypeIXFR, dns.TypeIXFR, 0, dns.TypeAAAA} {
		var prefix [2]byte
		c.readFull(prefix[:])
		msg := make([]byte, binary.BigEndian.Uint16(prefix[:]))
		c.readFull(msg)
		if want == 0 {
			if !bytes.Equal(msg, []byte("no more")) {
				t.Fatalf("message %d: %x", i, msg)
			}
			continue
		}
		reply := unpacked(t, msg)
		if reply.Question[0].Qtype != want {
			t.Fatalf("message %d answers %v, want %d", i, reply.Question[0], want)
		}
		if want == dns.TypeIXFR && reply.Id != 0x700+uint16(i-1) {
			t.Errorf("message %d has ID %x", i, reply.Id)
		}
	}
}

// Over UDP there is one message; what gets none is as if it had been lost.
func TestExchangeOverUDP(t *testing.T) {
	s := startExchanging(t, "127.0.0.1:0")
	got, _ := askUDP(t, s.Addrs()[0], packed(t, newQuestion("example.", dns.TypeIXFR, 0)))
	if reply := unpacked(t, got); reply.Question[0].Qtype != dns.TypeIXFR {
		t.Errorf("answered %v", reply)
	}
	m := newQuestion("example.", dns.TypeSOA, 0)
	m.Opcode = dns.OpcodeNotify
	c := dial(t, s.Addrs()[0])
	c.write(framed(packed(t, m)))
	c.expectClosed()
	eventually(t, s, "both are counted", func(c Counters) bool { return c[Exchanged] == 2 && c[Unanswered] == 1 })
}

// Ordinary questions cost nothing more.
func TestExchangeAllocations(t *testing.T) {
	s := startExchanging(t, "127.0.0.1:0")
	w := newWorker(s)
	q := packed(t, newQuestion("www.example.", dns.TypeA, 1232))
	out := make([]byte, 0, 1232)
	if n := testing.AllocsPerRun(100, func() { w.answer(q, addr{v4: true}, true, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
