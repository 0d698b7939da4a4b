package probe

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// serveDNS answers over UDP and TCP at one address.
func serveDNS(t *testing.T, at netip.Addr, h dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	var l net.Listener
	var pc net.PacketConn
	for range 20 {
		var err error
		if l, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String()); err != nil {
			t.Fatal(err)
		}
		if pc, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
	}
	for _, s := range []*dns.Server{{Listener: l, Handler: h}, {PacketConn: pc, Handler: h}} {
		started, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(done); s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { s.Shutdown(); <-done })
	}
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// zone is a small one; big.example does not fit into a datagram.
func zone(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	add := func(text string) {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == q.Question[0].Qtype || rr.Header().Rrtype == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	switch strings.ToLower(q.Question[0].Name) {
	case "example.":
		add("example. 60 SOA ns1.example. hostmaster.example. 7 3600 600 86400 60")
		add("example. 60 MX 10 MX1.example.")
		add(`example. 60 TXT "v=spf1" "-all"`)
	case "www.example.":
		add("www.example. 60 A 192.0.2.1")
		add("www.example. 60 A 192.0.2.2")
		add("www.example. 60 AAAA 2001:db8::1")
	case "big.example.":
		m.Truncated = udp
		if !udp {
			add("big.example. 60 A 192.0.2.9")
		}
	case "empty.example.":
	case "refused.example.":
		m.Rcode = dns.RcodeRefused
	case "bare.example.":
		m.Rcode = dns.RcodeServerFailure
		m.Question = nil
	case "other.example.":
		m.Question[0].Name = "another.example."
	case "question.example.":
		m.Response = false
	default:
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(m)
}

func TestDNS(t *testing.T) {
	tests := []struct {
		check string
		ok    bool
		says  string
	}{
		{"", true, "answered NOERROR, 1 records"},
		{"; name=www; qtype=A", true, "2 records"},
		{"; name=www; qtype=A; answer=192.0.2.2", true, "NOERROR"},
		{"; name=www; qtype=A; answer=192.0.2.2; answer=192.0.2.1", true, "NOERROR"},
		{"; name=www; qtype=A; answer=192.0.2.3", false, `answered NOERROR without "192.0.2.3"`},
		{"; name=www; qtype=AAAA; answer=2001:DB8:0::1", true, "NOERROR"},
		{"; qtype=MX; answer=10 mx1.example.", true, "NOERROR"},
		{"; qtype=MX; answer=20 mx1.example.", false, "without"},
		{`; qtype=TXT; answer="v=spf1" "-all"`, true, "NOERROR"},
		{"; qtype=TXT; answer=v=spf1", false, "without"},
		{`; qtype=MX; answer=not an mx`, false, "without"},
		{"; name=big; qtype=A; answer=192.0.2.9", true, "NOERROR"},
		{"; name=big; qtype=A", true, "NOERROR"},
		{"; name=empty; qtype=A", false, "NOERROR without a record"},
		{"; name=refused; qtype=A", false, "answered REFUSED"},
		{"; name=refused; qtype=A; rcode=REFUSED", true, "REFUSED"},
		{"; name=bare", false, "answered SERVFAIL"},
		{"; name=none", false, "answered NXDOMAIN"},
		{"; name=none; rcode=NXDOMAIN", true, "NXDOMAIN"},
		{"; name=other", false, "to another question"},
		{"; name=question", false, "itself a question"},
	}
	for _, at := range loopbacks(t) {
		ap := serveDNS(t, at, zone)
		for _, tt := range tests {
			for _, transport := range []string{"", "; transport=tcp"} {
				if strings.Contains(tt.check, "big") && transport != "" && !strings.Contains(tt.check, "answer") {
					continue
				}
				res := ask(t, target(t, ap, "type=dns"+tt.check+transport), plenty)
				if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
					t.Errorf("%s%s: %+v", tt.check, transport, res)
				}
			}
		}
	}
}

// Datagrams that answer nothing, before and instead of the answer.
func TestDNSDatagrams(t *testing.T) {
	answer := func(q []byte) []byte {
		in := new(dns.Msg)
		if in.Unpack(q) != nil {
			return nil
		}
		m := new(dns.Msg)
		m.SetReply(in)
		rr, _ := dns.NewRR("example. 60 SOA ns1.example. hostmaster.example. 7 3600 600 86400 60")
		m.Answer = []dns.RR{rr}
		b, _ := m.Pack()
		return b
	}
	other := func(q []byte) []byte { b := answer(q); b[0]++; return b }
	tests := []struct {
		name  string
		reply func(q []byte) [][]byte
		ok    bool
		says  string
	}{
		{"answer", func(q []byte) [][]byte { return [][]byte{answer(q)} }, true, "NOERROR"},
		{"strays first", func(q []byte) [][]byte { return [][]byte{nil, {1}, other(q), make([]byte, 1200), answer(q)} }, true, "NOERROR"},
		{"strays only", func(q []byte) [][]byte { return [][]byte{{1}, other(q)} }, false, "timeout after"},
		{"silence", func(q []byte) [][]byte { return nil }, false, "timeout after 150ms while waiting for the answer"},
		{"cut off", func(q []byte) [][]byte { b := answer(q); return [][]byte{b[:len(b)-3]} }, false, "no DNS message"},
		{"garbage", func(q []byte) [][]byte { return [][]byte{append(q[:2:2], noise(500)...)} }, false, "the answer is"},
		{"echo", func(q []byte) [][]byte { return [][]byte{q} }, false, "itself a question"},
	}
	for _, tt := range tests {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 1500)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				for _, r := range tt.reply(buf[:n:n]) {
					pc.WriteTo(r, from)
				}
			}
		}()
		wait := plenty
		if strings.Contains(tt.says, "timeout") {
			wait = little
		}
		res := ask(t, target(t, pc.LocalAddr().(*net.UDPAddr).AddrPort(), "type=dns"), wait)
		if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
			t.Errorf("%s: %+v", tt.name, res)
		}
		pc.Close()
		<-done
	}
}
