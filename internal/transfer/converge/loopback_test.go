package converge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/transfer/fetch"
)

// secondary answers SOA over real sockets with a serial, or REFUSED if that is 0.
func secondary(t testing.TB, serial *atomic.Uint32) netip.AddrPort {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if n := serial.Load(); n == 0 {
			m.Rcode = dns.RcodeRefused
		} else {
			m.Authoritative = true
			m.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".", Serial: n}}
		}
		_ = w.WriteMsg(m)
	})}
	begun := make(chan struct{})
	s.NotifyStartedFunc = func() { close(begun) }
	ended := make(chan struct{})
	go func() { _ = s.ActivateAndServe(); close(ended) }()
	<-begun
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-ended
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// overUDP asks as the server does.
func overUDP(peers ...netip.AddrPort) Options {
	var list []Peer
	for _, p := range peers {
		list = append(list, Peer{Addr: p})
	}
	return Options{
		Peers: func([]byte) []Peer { return list },
		Serial: func(ctx context.Context, p Peer, apex []byte) (uint32, error) {
			seen, err := fetch.Serial(ctx, fetch.Primary{Addr: p.Addr, Key: p.Key}, apex, nil)
			return seen.Serial, err
		},
	}
}

func begin(t testing.TB, w *Watcher) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	for running := false; !running; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		running = w.running
		w.mu.Unlock()
	}
}

// Real sockets: one secondary that follows, one that refuses, one where nobody
// listens.
func TestLoopback(t *testing.T) {
	var follows, refuses atomic.Uint32
	follows.Store(1)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = closed.Close()
	one, two := secondary(t, &follows), secondary(t, &refuses)
	w := New(overUDP(one, two, nobody))
	begin(t, w)
	w.Served(zoneA, 1)
	w.Published(zoneA, 2)
	follows.Store(2)
	status := func() map[netip.AddrPort]PeerStatus {
		all := map[netip.AddrPort]PeerStatus{}
		for _, p := range w.Status(1).Peers {
			all[p.Addr] = p
		}
		return all
	}
	for {
		s := status()
		if s[one].InSync == 1 && s[two].Error != "" && !s[nobody].Silent.IsZero() {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	s := status()
	if s[one].Samples != 1 || s[one].Error != "" || !strings.Contains(s[two].Error, "REFUSED") || s[two].List[0].State != Missing ||
		!strings.Contains(s[nobody].Error, "no answer from "+nobody.String()) || s[nobody].List[0].State != Behind {
		t.Errorf("%+v", s)
	}
}

// BenchmarkQuestions is what a question costs, over real sockets, with what the
// other side takes.
func BenchmarkQuestions(b *testing.B) {
	var serial atomic.Uint32
	serial.Store(1)
	o := overUDP(secondary(b, &serial))
	o.Rate = 1 << 20
	w := New(o)
	begin(b, w)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		w.Published(apexOf(fmt.Sprint("z", n)), 1)
	}
	for w.Status(0).Peers[0].Behind > 0 {
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkStatus is what a scrape costs with 10,000 zones at 10 peers.
func BenchmarkStatus(b *testing.B) {
	var peers []netip.AddrPort
	for i := range 10 {
		peers = append(peers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 53))
	}
	w := New(overUDP(peers...))
	for i := range 10_000 {
		w.Published(apexOf(fmt.Sprint("z", i)), 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		if w.Status(20).Pairs != 100_000 {
			b.Fatal("pairs are missing")
		}
	}
}
