package notify

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Real sockets of both families, one of which loses the first NOTIFY.
func TestLoopback(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		peer, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
		if err != nil {
			t.Fatal(err)
		}
		addr := peer.LocalAddr().(*net.UDPAddr).AddrPort()
		n := New(Options{Keys: keys, Source4: netip.MustParseAddrPort("127.0.0.1:0"), Source6: netip.MustParseAddrPort("[::1]:0")})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		n.Notify(apex, soa(42), []Peer{{Addr: addr, Key: "xfer"}})
		buf := make([]byte, 600)
		for i := range 2 {
			size, from, err := peer.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				continue
			}
			s, err := keys().Verify(buf[:size], time.Now())
			if err != nil {
				t.Fatal(err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(buf[:size]); err != nil {
				t.Fatal(err)
			}
			m.Extra = nil
			out, _ := new(dns.Msg).SetReply(m).Pack()
			if out, err = s.Sign(out, time.Now()); err != nil {
				t.Fatal(err)
			}
			if _, err := peer.WriteToUDPAddrPort(out, from); err != nil {
				t.Fatal(err)
			}
		}
		for n.Pending() > 0 {
			time.Sleep(time.Millisecond)
		}
		if s := n.Status(apex)[0]; !s.Known || s.Acked != 42 || s.Attempts != 2 || s.Error != "" {
			t.Errorf("%s: %+v", host, s)
		}
		cancel()
		<-done
		_ = peer.Close()
	}
}

// Anything at all may come to the socket.
func FuzzReceive(f *testing.F) {
	begin := func() (*Notifier, []byte) {
		n := New(Options{Keys: keys})
		n.Notify(apex, soa(1), []Peer{{Addr: one, Key: "xfer"}})
		letters, _ := n.compose(time.Now())
		return n, letters[0].msg
	}
	_, msg := begin()
	msg[2] |= 0x80
	f.Add(msg)
	f.Add(msg[:21])
	f.Fuzz(func(t *testing.T, data []byte) {
		n, msg := begin()
		if len(data) > 2 {
			copy(data, msg[:2])
		}
		n.receive(data, one, time.Now())
		if s := n.Status(apex)[0]; s.Known || !s.Pending {
			t.Fatalf("nobody signed this: %x", data)
		}
	})
}
