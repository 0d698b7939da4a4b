package notify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"geodns/internal/tsig"
	"geodns/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	apex = []byte("\x07example\x00")
	one  = netip.MustParseAddrPort("192.0.2.1:53")
	two  = netip.MustParseAddrPort("[2001:db8::2]:5300")
)

// soa is a SOA with a serial.
func soa(serial uint32) wire.RR {
	data := append([]byte("\x03ns1\x07example\x00\x00"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(data[len(data)-4:], serial)
	return wire.RR{Owner: apex, Type: wire.TypeSOA, TTL: 300, Data: append(data, make([]byte, 16)...)}
}

func keys() *tsig.Keyring {
	r, err := tsig.NewKeyring([]tsig.Key{{Name: "xfer", Algorithm: "hmac-sha256", Secret: []byte("secret")}})
	if err != nil {
		panic(err)
	}
	return r
}

// sent is a message that the world got, and when, since it began.
type sent struct {
	to  netip.AddrPort
	msg *dns.Msg
	raw []byte
	at  time.Duration
}

func (s *sent) serial() uint32 { return s.msg.Answer[0].(*dns.SOA).Serial }

// world stands for the network, in fake time. answer says what comes back, and
// from where.
type world struct {
	mu     sync.Mutex
	begin  time.Time
	sent   []sent
	answer func(s *sent) (reply []byte, from netip.AddrPort)
	broken error // of writing
	opened []string
}

type socket struct {
	w      *world
	in     chan sent
	closed chan struct{}
}

func (w *world) listen(network string, _ netip.AddrPort) (Conn, error) {
	w.opened = append(w.opened, network)
	return &socket{w: w, in: make(chan sent, 300_000), closed: make(chan struct{})}, nil
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.broken != nil {
		return 0, s.w.broken
	}
	m := sent{to: to, msg: new(dns.Msg), raw: bytes.Clone(b), at: time.Since(s.w.begin)}
	if err := m.msg.Unpack(b); err != nil {
		return 0, err
	}
	s.w.sent = append(s.w.sent, m)
	if s.w.answer != nil {
		if reply, from := s.w.answer(&m); reply != nil {
			s.in <- sent{to: from, raw: reply}
		}
	}
	return len(b), nil
}

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case m := <-s.in:
		return copy(b, m.raw), m.to, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) Close() error { close(s.closed); return nil }

// accept answers as a secondary does.
func accept(s *sent) ([]byte, netip.AddrPort) { return reply(s, 0), s.to }

func reply(s *sent, rcode int) []byte {
	m := new(dns.Msg)
	m.SetRcode(s.msg, rcode)
	m.Authoritative = true
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

// run runs a Notifier in fake time.
func run(t *testing.T, o Options, f func(t *testing.T, w *world, n *Notifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{begin: time.Now()}
		o.Listen = w.listen
		n := New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		f(t, w, n)
		cancel()
		<-done
	})
}

// times are when messages were sent to a peer.
func (w *world) times(to netip.AddrPort) (at []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		if s.to == to {
			at = append(at, s.at)
		}
	}
	return at
}

func TestAcknowledged(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
		w.answer = accept
		n.Notify(apex, soa(7), []Peer{{Addr: one}, {Addr: two}, {Addr: one}, {Addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")}})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.sent) != 2 || n.Pending() != 0 || !slices.Equal(w.opened, []string{"udp4", "udp6"}) {
			t.Fatalf("%d messages, %d pending, sockets %v", len(w.sent), n.Pending(), w.opened)
		}
		m := w.sent[0].msg
		if m.Opcode != dns.OpcodeNotify || m.Response || !m.Authoritative || m.RecursionDesired || len(m.Extra)+len(m.Ns) > 0 || len(m.Question) != 1 ||
			m.Question[0] != (dns.Question{Name: "example.", Qtype: dns.TypeSOA, Qclass: dns.ClassINET}) || w.sent[0].serial() != 7 {
			t.Errorf("the message is %v", m)
		}
		status := n.Status(apex)
		if len(status) != 2 || status[0].Peer.Addr != one || status[1].Peer.Addr != two {
			t.Fatalf("%+v", status)
		}
		for _, s := range status {
			if !s.Known || s.Acked != 7 || s.Pending || s.Attempts != 1 || s.Error != "" || !s.AckedAt.Equal(w.begin) || !s.Sent.Equal(w.begin) {
				t.Errorf("%+v", s)
			}
		}
		if n.Status([]byte("\x05other\x00")) != nil {
			t.Error("an unknown zone has a status")
		}
	})
}

// The attempts and their distances, and what a lost answer and a late one do.
func TestRetries(t *testing.T) {
	seconds := func(at []time.Duration) string { return fmt.Sprint(at) }
	tests := []struct {
		answered int // the attempt that is answered, 0: none
		want     string
	}{{0, "[0s 1s 3s 7s 15s]"}, {1, "[0s]"}, {3, "[0s 1s 3s]"}, {5, "[0s 1s 3s 7s 15s]"}}
	for _, tt := range tests {
		var log bytes.Buffer
		run(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, w *world, n *Notifier) {
			w.answer = func(s *sent) ([]byte, netip.AddrPort) {
				if len(w.sent) == tt.answered {
					return accept(s)
				}
				return nil, one
			}
			n.Notify(apex, soa(7), []Peer{{Addr: one}})
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if s := n.Status(apex)[0]; s.Pending != (tt.answered == 0) || s.Known == s.Pending {
				t.Errorf("answered %d: %+v", tt.answered, s)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			s := n.Status(apex)[0]
			if got := seconds(w.times(one)); got != tt.want || s.Pending || s.Known != (tt.answered > 0) || strings.Contains(s.Error, "no answer after 5 attempts") != (tt.answered == 0) {
				t.Errorf("answered %d: sent at %s, want %s; %+v", tt.answered, got, tt.want, s)
			}
			for i := range w.sent {
				if !bytes.Equal(w.sent[i].raw, w.sent[0].raw) {
					t.Errorf("attempt %d is another message", i+1)
				}
			}
		})
		if (tt.answered == 0) != strings.Contains(log.String(), "zone=example. serial=7") {
			t.Errorf("the log is %s", log.String())
		}
	}
}

// Who was not there is told again when somebody knows that it is back: once, and at
// once, however long the next attempt would be away; others are left in peace.
func TestAgain(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
		there := false
		w.answer = func(s *sent) ([]byte, netip.AddrPort) {
			if there {
				return accept(s)
			}
			return nil, one
		}
		n.Again(apex, one) // of a zone that nobody was told of
		n.Notify(apex, soa(7), []Peer{{Addr: one}, {Addr: two}})
		sleep := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		sleep(8 * time.Second) // the next one would be at 15s
		n.Again(apex, one)
		sleep(time.Minute)
		if got := fmt.Sprint(w.times(one)); got != "[0s 1s 3s 7s 8s 9s 11s 15s 23s]" {
			t.Errorf("sent at %s", got)
		}
		if got := fmt.Sprint(w.times(two)); got != "[0s 1s 3s 7s 15s]" {
			t.Errorf("to the other one at %s", got)
		}
		there = true
		n.Again(apex, one) // given up
		n.Again(apex, one) // under way
		n.Again(apex, netip.MustParseAddrPort("192.0.2.77:53"))
		sleep(time.Minute)
		if s := n.Status(apex)[0]; len(w.times(one)) != 10 || !s.Known || s.Acked != 7 || s.Pending || s.Error != "" {
			t.Errorf("%d NOTIFYs; %+v", len(w.times(one)), s)
		}
	})
}

// A newer version replaces the older one, whose answer does not count any more;
// many at once are told of once.
func TestNewerReplaces(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
		peers := []Peer{{Addr: one}}
		n.Notify(apex, soa(1), peers)
		time.Sleep(10 * time.Millisecond)
		for serial := uint32(2); serial <= 50; serial++ {
			n.Notify(apex, soa(serial), peers)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		w.mu.Lock()
		late := reply(&w.sent[0], 0)
		w.mu.Unlock()
		n.receive(late, one, time.Now())
		if s := n.Status(apex)[0]; s.Known || !s.Pending || s.Serial != 50 {
			t.Errorf("the answer to the older one counts: %+v", s)
		}
		w.mu.Lock()
		w.answer = accept
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if at := fmt.Sprint(w.times(one)); at != "[0s 100ms]" || w.sent[1].serial() != 50 || w.sent[1].msg.Id == w.sent[0].msg.Id {
			t.Errorf("sent at %s: %v", at, w.sent)
		}
		if s := n.Status(apex)[0]; s.Acked != 50 || s.Pending {
			t.Errorf("%+v", s)
		}
		// The same again, as a command may want it.
		n.Notify(apex, soa(50), peers)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.sent) != 3 {
			t.Errorf("%d messages", len(w.sent))
		}
	})
}

func TestPeersGo(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
		n.Notify(apex, soa(1), []Peer{{Addr: one}, {Addr: two}})
		time.Sleep(500 * time.Millisecond)
		n.Notify(apex, soa(2), []Peer{{Addr: two}})
		time.Sleep(500 * time.Millisecond)
		if s := n.Status(apex); len(s) != 1 || s[0].Peer.Addr != two || n.Pending() != 1 {
			t.Errorf("%+v, %d pending", s, n.Pending())
		}
		n.Forget(apex)
		n.Forget(apex)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n.Status(apex) != nil || n.Pending() != 0 || len(n.asked) != 0 || len(w.times(one)) != 1 || len(w.times(two)) != 2 {
			t.Errorf("%d pending, sent %v %v", n.Pending(), w.times(one), w.times(two))
		}
	})
}

// What is no answer to this NOTIFY does not end it.
func TestForeignAnswers(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("192.0.2.1:54")
	tests := []struct {
		name   string
		ends   bool
		change func(s *sent, m []byte) ([]byte, netip.AddrPort)
	}{
		{"right", true, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return m, one }},
		{"right, in upper case", true, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[13] = 'E'; return m, one }},
		{"without a question", true, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[5] = 0; return m[:12], one }},
		{"from a mapped address", true, func(s *sent, m []byte) ([]byte, netip.AddrPort) {
			return m, netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")
		}},
		{"another ID", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[0]++; return m, one }},
		{"another address", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return m, two }},
		{"another port", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return m, elsewhere }},
		{"another zone", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[13] = 'f'; return m, one }},
		{"another type", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[22] = 1; return m, one }},
		{"no response", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return s.raw, one }},
		{"another opcode", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { m[2] &^= 0x20; return m, one }},
		{"cut short", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return m[:11], one }},
		{"cut in the question", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return m[:len(m)-1], one }},
		{"too long", false, func(s *sent, m []byte) ([]byte, netip.AddrPort) { return append(m, make([]byte, 9000)...), one }},
	}
	for _, tt := range tests {
		run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
			w.answer = func(s *sent) ([]byte, netip.AddrPort) {
				m := new(dns.Msg)
				m.SetReply(s.msg)
				out, _ := m.Pack()
				return tt.change(s, out)
			}
			n.Notify(apex, soa(1), []Peer{{Addr: one}})
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if s := n.Status(apex)[0]; s.Known != tt.ends || s.Pending == tt.ends {
				t.Errorf("%s: %+v", tt.name, s)
			}
		})
	}
}

// An answer of any kind ends it, but only NOERROR says that the peer knows.
func TestRefused(t *testing.T) {
	for code, want := range map[int]string{dns.RcodeRefused: "REFUSED: make it a secondary", dns.RcodeNotAuth: "NOTAUTH", dns.RcodeNotImplemented: "NOTIMP: it knows no NOTIFY", 15: "RCODE 15"} {
		run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
			w.answer = func(s *sent) ([]byte, netip.AddrPort) { return reply(s, code), one }
			n.Notify(apex, soa(1), []Peer{{Addr: one}})
			time.Sleep(time.Minute)
			synctest.Wait()
			if s := n.Status(apex)[0]; s.Known || s.Pending || len(w.sent) != 1 || !strings.Contains(s.Error, "answered "+want) {
				t.Errorf("%d: %+v, %d sent", code, s, len(w.sent))
			}
		})
	}
}

// Signed NOTIFYs want signed answers.
func TestSigned(t *testing.T) {
	other, err := tsig.NewKeyring([]tsig.Key{{Name: "xfer", Algorithm: "hmac-sha256", Secret: []byte("another")}})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(ring *tsig.Keyring) func(s *sent) ([]byte, netip.AddrPort) {
		return func(s *sent) ([]byte, netip.AddrPort) {
			session, err := ring.Verify(s.raw, time.Now())
			if err != nil {
				m := new(dns.Msg)
				m.SetRcode(s.msg, dns.RcodeNotAuth)
				out, _ := m.Pack()
				return out, s.to
			}
			m := new(dns.Msg)
			m.SetReply(s.msg)
			out, _ := m.Pack()
			if out, err = session.Sign(out, time.Now()); err != nil {
				panic(err)
			}
			return out, s.to
		}
	}
	tests := []struct {
		name   string
		key    string
		answer func(s *sent) ([]byte, netip.AddrPort)
		sent   int
		want   string // empty: it is confirmed
	}{
		{"right", "xfer.", sign(keys()), 1, ""},
		{"peer has another secret", "xfer.", sign(other), 5, "the last error: the peer answered NOTAUTH without a signature"},
		{"not signed", "xfer.", func(s *sent) ([]byte, netip.AddrPort) {
			m := new(dns.Msg)
			m.SetReply(s.msg)
			out, _ := m.Pack()
			return out, one
		}, 5, "without a signature"},
		{"no such key", "nobody.", accept, 0, `no key "nobody."`},
	}
	for _, tt := range tests {
		run(t, Options{Keys: keys}, func(t *testing.T, w *world, n *Notifier) {
			w.answer = tt.answer
			n.Notify(apex, soa(9), []Peer{{Addr: one, Key: tt.key}})
			time.Sleep(time.Minute)
			synctest.Wait()
			s := n.Status(apex)[0]
			if len(w.sent) != tt.sent || s.Pending || s.Known != (tt.want == "") || !strings.Contains(s.Error, tt.want) {
				t.Errorf("%s: %d sent, %+v", tt.name, len(w.sent), s)
			}
		})
	}
	// The first answer is lost and comes after the second question: it will do.
	run(t, Options{Keys: keys}, func(t *testing.T, w *world, n *Notifier) {
		var first []byte
		w.answer = func(s *sent) ([]byte, netip.AddrPort) {
			if first == nil {
				first, _ = sign(keys())(s)
				return nil, one
			}
			return first, one
		}
		n.Notify(apex, soa(9), []Peer{{Addr: one, Key: "xfer."}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := n.Status(apex)[0]; !s.Known || s.Attempts != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// What can't be sent is tried again, and told.
func TestSendingFails(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world, n *Notifier) {
		w.broken = errors.New("network is unreachable")
		n.Notify(apex, soa(1), []Peer{{Addr: one}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := n.Status(apex)[0]; !s.Pending || s.Error != "sending failed: network is unreachable" {
			t.Errorf("%+v", s)
		}
		w.mu.Lock()
		w.broken, w.answer = nil, accept
		w.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := n.Status(apex)[0]; !s.Known || s.Error != "" || s.Attempts != 3 {
			t.Errorf("%+v", s)
		}
	})
	// No socket of this family.
	synctest.Test(t, func(t *testing.T) {
		n := New(Options{Listen: func(string, netip.AddrPort) (Conn, error) { return nil, errors.New("no IPv6 here") }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		n.Notify(apex, soa(1), []Peer{{Addr: two}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := n.Status(apex)[0]; s.Pending || !strings.Contains(s.Error, "no IPv6 here") {
			t.Errorf("%+v", s)
		}
		cancel()
		<-done
	})
}

// A long name and a long SOA: then the SOA is left out (RFC 1996 3.7).
func TestLongNames(t *testing.T) {
	label := append([]byte{60}, bytes.Repeat([]byte("x"), 60)...)
	long := append(slices.Concat(label, label, label, label), 0)
	rr := wire.RR{Type: wire.TypeSOA, TTL: 1, Data: append(slices.Concat(long, long), make([]byte, 20)...)}
	run(t, Options{Keys: keys}, func(t *testing.T, w *world, n *Notifier) {
		n.Notify(long, rr, []Peer{{Addr: one, Key: "xfer."}, {Addr: two}})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		for _, s := range w.sent {
			if len(s.raw) > 512 || len(s.msg.Answer) != 0 || len(s.msg.Question) != 1 {
				t.Errorf("%d octets: %v", len(s.raw), s.msg)
			}
		}
		if len(w.sent) != 2 {
			t.Errorf("%d messages", len(w.sent))
		}
	})
}

// Very many zones and peers, half of which are dead: the others have all been
// told within seconds, nothing is left over, and the log stays short.
func TestMany(t *testing.T) {
	const zones, peers = 2000, 20
	var log bytes.Buffer
	run(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, w *world, n *Notifier) {
		var list []Peer
		for i := range peers {
			list = append(list, Peer{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 53)})
		}
		w.answer = func(s *sent) ([]byte, netip.AddrPort) {
			if s.to.Addr().As4()[3]%2 == 0 {
				return nil, one
			}
			return accept(s)
		}
		name := func(i int) []byte {
			label := fmt.Sprintf("z%d", i)
			return append(append([]byte{byte(len(label))}, label...), 0)
		}
		for i := range zones {
			n.Notify(name(i), soa(3), list)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		acked := 0
		for i := range zones {
			for _, s := range n.Status(name(i)) {
				if s.Known {
					acked++
				}
			}
		}
		if acked != zones*peers/2 || n.Pending() != zones*peers/2 {
			t.Errorf("%d are told, %d are pending", acked, n.Pending())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n.Pending() != 0 || len(n.asked) != 0 || len(w.sent) != zones*peers/2*(1+attempts) {
			t.Errorf("%d pending, %d IDs in use, %d sent", n.Pending(), len(n.asked), len(w.sent))
		}
		perTick := map[time.Duration]int{}
		for _, s := range w.sent {
			perTick[s.at]++
			if perTick[s.at] > burst {
				t.Fatalf("more than %d messages at %s", burst, s.at)
			}
		}
	})
	if lines := strings.Count(log.String(), "\n"); lines > peers {
		t.Errorf("%d lines are logged", lines)
	}
}

// More zones to one peer than there are IDs: none gets lost, the last ones wait.
func TestIDsRunOut(t *testing.T) {
	n := New(Options{})
	for i := range 1 << 16 {
		n.asked[question{one, uint16(i)}] = &target{}
	}
	n.Notify(apex, soa(1), []Peer{{Addr: one}})
	now := time.Now()
	if letters, wait := n.compose(now); len(letters) != 0 || wait < 900*time.Millisecond {
		t.Fatalf("%d messages, wait %s", len(letters), wait)
	}
	clear(n.asked)
	if letters, _ := n.compose(now.Add(2 * time.Second)); len(letters) != 1 || n.Status(apex)[0].Attempts != 1 {
		t.Errorf("%d messages", len(letters))
	}
}
