package syncing

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// liar is a primary that answers transfers as a test says.
type liar struct {
	mu     sync.Mutex
	serial uint32
	answer func(l *liar, w dns.ResponseWriter, req *dns.Msg) // nil: the truth
	asked  int                                               // transfers since answer was set
}

const lied = "lied.example."

func rrs(lines ...string) (list []dns.RR) {
	for _, line := range lines {
		rr, err := dns.NewRR(strings.ReplaceAll(line, "ZONE", lied))
		if err != nil {
			panic(err)
		}
		list = append(list, rr)
	}
	return list
}

func soaOf(serial uint32) dns.RR {
	return rrs(fmt.Sprintf("ZONE 300 IN SOA ns1.ZONE h.ZONE %d 3600 2 604800 60", serial))[0]
}

// truth is the zone of a serial.
func truth(serial uint32) []dns.RR {
	return append([]dns.RR{soaOf(serial)}, rrs("ZONE 300 IN NS ns1.ZONE", "ns1.ZONE 300 IN A 127.0.0.8", fmt.Sprintf("v.ZONE 300 IN TXT \"%d\"", serial))...)
}

func (l *liar) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	l.mu.Lock()
	serial, answer := l.serial, l.answer
	l.mu.Unlock()
	if t := req.Question[0].Qtype; t != dns.TypeAXFR && t != dns.TypeIXFR {
		l.reply(w, req, soaOf(serial))
		return
	}
	defer func() {
		l.mu.Lock()
		l.asked++
		l.mu.Unlock()
	}()
	if answer != nil {
		answer(&liar{serial: serial}, w, req)
		return
	}
	l.reply(w, req, append(truth(serial), soaOf(serial))...)
}

// reply sends one message, signed. It reports whether that could be.
func (l *liar) reply(w dns.ResponseWriter, req *dns.Msg, list ...dns.RR) bool {
	m := new(dns.Msg).SetReply(req)
	m.Authoritative, m.Answer = true, list
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	return w.WriteMsg(m) == nil
}

var lies = map[string]func(l *liar, w dns.ResponseWriter, req *dns.Msg){
	"ends in the middle": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		l.reply(w, req, truth(l.serial)...)
		_ = w.Close()
	},
	"a SOA in the middle": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		list := truth(l.serial)
		l.reply(w, req, append(list, soaOf(l.serial-1), rrs("x.ZONE 300 IN A 192.0.2.1")[0], soaOf(l.serial))...)
	},
	"another zone's": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		list := truth(l.serial)
		list = append(list, rrs("www.elsewhere.test. 300 IN A 192.0.2.1")...)
		l.reply(w, req, append(list, soaOf(l.serial))...)
	},
	"the SOA of another name": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		soa := soaOf(l.serial)
		soa.Header().Name = "elsewhere.test."
		l.reply(w, req, slices.Concat([]dns.RR{soa}, truth(l.serial)[1:], []dns.RR{soa})...)
	},
	"changes that go round": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		for list := []dns.RR{soaOf(l.serial)}; ; list = nil {
			for i := range 50 {
				list = append(list, soaOf(1+uint32(i)), soaOf(2+uint32(i)))
			}
			if !l.reply(w, req, append(list, soaOf(50), soaOf(1))...) {
				return
			}
		}
	},
	"changes of what is not there": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		if req.Question[0].Qtype == dns.TypeAXFR {
			_ = w.Close()
			return
		}
		l.reply(w, req, soaOf(l.serial), soaOf(1), rrs("nobody.ZONE 300 IN A 192.0.2.1")[0], soaOf(l.serial), soaOf(l.serial))
	},
	"an endless name": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg).SetReply(req)
		m.Answer = []dns.RR{soaOf(l.serial)}
		packed, err := m.Pack()
		if err != nil {
			panic(err)
		}
		at := len(packed)
		packed[7] = 2 // one record more, whose name points to itself
		_, _ = w.Write(append(packed, 0xc0|byte(at>>8), byte(at), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4))
	},
	"without a signature": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg).SetReply(req)
		m.Answer = append(truth(l.serial), soaOf(l.serial))
		_ = w.WriteMsg(m)
	},
	"garbage": func(_ *liar, w dns.ResponseWriter, _ *dns.Msg) {
		_, _ = w.Write(slices.Repeat([]byte{0xff, 0xc0, 0x01}, 3000))
		_ = w.Close()
	},
	"without NS": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		l.reply(w, req, soaOf(l.serial), rrs("x.ZONE 300 IN A 192.0.2.1")[0], soaOf(l.serial))
	},
	"an older one": func(l *liar, w dns.ResponseWriter, req *dns.Msg) {
		list := truth(l.serial - 2)
		l.reply(w, req, append(list, soaOf(l.serial-2))...)
	},
}

// Whatever a primary sends, the secondary keeps its good copy, does not grow, and
// takes the next version that is right.
func TestHostilePrimary(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	l := &liar{serial: 1}
	for _, s := range []*dns.Server{{Net: "udp", PacketConn: listenUDP(t, n.at(1))}, {Net: "tcp", Listener: listenTCP(t, n.at(1))}} {
		s.Handler, s.TsigSecret = l, secrets
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	g := n.geodns(2, setup{secondary: map[string][]int{lied: {1}}})
	reaches(t, g, lied, 1)
	before := resident(t, g)
	for what, lie := range lies {
		good := l.set(0, nil)
		l.set(2, lie)
		n.tell(t, g)
		until(t, "geodns asks for the zone: "+what, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.asked > 0 }, g.log)
		// The next thing that it does with the zone comes after it is through with this.
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			c, err := axfr(g.at(), lied)
			if err != nil || c.serial != good || !c.records[fmt.Sprintf("v.%s 300 IN TXT \"%d\"", lied, good)] || len(c.records) != 3 {
				t.Fatalf("%s: instead of serial %d it has %+v, %v\n%s", what, good, c, err, g.log())
			}
		}
		next := l.set(1, nil)
		n.tell(t, g)
		reaches(t, g, lied, next)
	}
	if after := resident(t, g); after > before+64<<10 {
		t.Errorf("its memory grew from %d to %d KiB", before, after)
	}
}

// resident is a server's memory, in KiB.
func resident(t *testing.T, s *server) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// set changes the answer, and raises the serial.
func (l *liar) set(raise uint32, answer func(*liar, dns.ResponseWriter, *dns.Msg)) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial += raise
	l.answer, l.asked = answer, 0
	return l.serial
}

// tell sends a NOTIFY in the primary's name.
func (n *network) tell(t *testing.T, to *server) {
	t.Helper()
	m := new(dns.Msg).SetNotify(lied)
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	r, _, err := (&dns.Client{Timeout: 5 * time.Second, TsigSecret: secrets, Dialer: dialFrom(n.addr(1))}).Exchange(m, to.at())
	if err != nil || r.Rcode != dns.RcodeSuccess {
		t.Fatalf("NOTIFY: %v, %v", err, r)
	}
}

func listenUDP(t *testing.T, at string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listenTCP(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
