package probe

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/steer/record"
)

// reach asks once.
func reach(t *testing.T, how record.CheckType, at netip.AddrPort) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), plenty)
	defer cancel()
	return Reach(ctx, how, at)
}

// Whatever is answered shows that there is a way.
func TestReachDNS(t *testing.T) {
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeFormatError, 23} {
		asked := make(chan dns.Question, 1)
		at := serveDNS(t, netip.MustParseAddr("127.0.0.1"), func(w dns.ResponseWriter, q *dns.Msg) {
			asked <- q.Question[0]
			m := new(dns.Msg)
			m.SetRcode(q, rcode)
			if rcode > 15 {
				m.SetEdns0(1232, false)
			}
			w.WriteMsg(m)
		})
		wantOK(t, reach(t, record.CheckDNS, at), "answered ")
		if q := await(t, asked); q.Name != "." || q.Qtype != dns.TypeSOA {
			t.Errorf("it asked for %s %d", q.Name, q.Qtype)
		}
	}
}

// Silence, and a port that nobody listens at, show nothing.
func TestReachNobody(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantFail(t, Reach(ctx, record.CheckDNS, silent.LocalAddr().(*net.UDPAddr).AddrPort()), "timeout")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	wantOK(t, reach(t, record.CheckTCP, at), "connected")
	l.Close()
	wantFail(t, reach(t, record.CheckTCP, at), "connection refused")
	wantFail(t, reach(t, record.CheckDNS, at), "connection refused")
}

func TestReachICMP(t *testing.T) {
	for _, at := range loopbacks(t) {
		r := reach(t, record.CheckICMP, netip.AddrPortFrom(at, 0))
		if r.OK == r.Local || r.Local && !strings.Contains(r.Reason, "CAP_NET_RAW") {
			t.Errorf("%s: %+v", at, r)
		}
	}
}
