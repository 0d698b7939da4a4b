package probe

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"geodns/internal/steer/record"
)

// overTCP are checks of all types over TCP, in each of their shapes.
var overTCP = []string{
	"type=tcp; expect=ready", "type=tcp; tls=yes", "type=http", "type=http; body=ready", "type=http; method=HEAD",
	"type=https", "type=https; http2=yes", "type=smtp", "type=smtp; tls=yes", "type=smtp; tls=starttls",
	"type=imap", "type=imap; tls=yes", "type=imap; tls=starttls", "type=pop3", "type=pop3; tls=yes", "type=pop3; tls=starttls",
	"type=dns; transport=tcp", "type=mysql; use=db", "type=postgres; use=db", "type=grpc", "type=grpc; tls=yes", "type=agent",
}

// stubborn are servers with which no probe succeeds, and what ends it.
var stubborn = []struct {
	name   string
	handle func(net.Conn)
	// greeted begins with what the protocol expects first.
	greeted bool
}{
	{"closes", func(c net.Conn) {}, false},
	{"resets", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, false},
	{"is silent", block, false},
	{"is silent after its greeting", block, true},
	{"one octet at a time", func(c net.Conn) { trickle(c, "x") }, false},
	{"one octet at a time after its greeting", func(c net.Conn) { trickle(c, "\x00") }, true},
	{"one endless line", func(c net.Conn) { flood(c, bytes.Repeat([]byte("x"), 1<<16)) }, false},
	{"endless lines", func(c net.Conn) { flood(c, bytes.Repeat([]byte("220-x\r\n"), 1<<13)) }, false},
	{"endless zeroes after its greeting", func(c net.Conn) { flood(c, make([]byte, 1<<16)) }, true},
	{"endless lines after its greeting", func(c net.Conn) { flood(c, bytes.Repeat([]byte("X-A: b\r\n"), 1<<13)) }, true},
	{"endless noise", func(c net.Conn) { flood(c, noise(1<<16)) }, false},
	{"endless highs", func(c net.Conn) { flood(c, bytes.Repeat([]byte{0xff}, 1<<16)) }, false},
	{"closes in the middle", func(c net.Conn) { c.Write([]byte("2")) }, false},
}

func block(c net.Conn) {
	var b [1]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
	}
}

func trickle(c net.Conn, octet string) {
	for {
		if _, err := c.Write([]byte(octet)); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// flood sends for as long as it is read.
func flood(c net.Conn, data []byte) {
	for {
		if _, err := c.Write(data); err != nil {
			return
		}
	}
}

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// greeting is how a server of a type begins.
func greeting(ct record.CheckType) string {
	switch ct {
	case record.CheckHTTP:
		return "HTTP/1.1 200 OK\r\n"
	case record.CheckSMTP:
		return "220 mx ESMTP\r\n"
	case record.CheckIMAP:
		return "* OK\r\n"
	case record.CheckPOP3:
		return "+OK\r\n"
	case record.CheckMySQL:
		return string(mysqlGreeting())
	case record.CheckGRPC:
		return "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // SETTINGS
	case record.CheckDNS:
		return "\xff\xff"
	}
	return ""
}

// Whatever a server does, a probe ends with its context and fails with a reason
// that gives nothing away.
func TestStubbornServers(t *testing.T) {
	for _, s := range stubborn {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup
			for _, check := range overTCP {
				to := stubbornTarget(t, check, s.handle, s.greeted)
				// Nothing but the greeting is asked of these.
				greets := s.greeted && (check == "type=pop3" || check == "type=imap")
				wg.Go(func() {
					if greets {
						wantOK(t, ask(t, to, plenty), "OK")
						return
					}
					res := ask(t, to, little)
					if res.OK || res.Local || strings.Contains(res.Reason, "127.0.0.1") || strings.Contains(res.Reason, "secret") {
						t.Errorf("%s: %+v", check, res)
					}
				})
			}
			wg.Wait()
		})
	}
}

func stubbornTarget(t *testing.T, check string, handle func(net.Conn), greeted bool) Target {
	ct := target(t, netip.AddrPortFrom(loopback4, 1), check).Check.Type
	if ct == record.CheckPostgres || strings.Contains(check, "tls=yes") || ct == record.CheckHTTPS {
		// They begin with a question of the client.
		greeted = false
	}
	to := target(t, serve(t, loopback4, func(c net.Conn) {
		if greeted {
			c.Write([]byte(greeting(ct)))
		}
		handle(c)
	}), check)
	to.Entry = &Entry{Name: "db", User: "u", Password: "secret"}
	return to
}

// The memory that a flood costs is bounded by the budgets.
func TestFloodMemory(t *testing.T) {
	for _, check := range overTCP {
		ap := serve(t, loopback4, func(c net.Conn) {
			c.Write([]byte(greeting(target(t, netip.AddrPortFrom(loopback4, 1), check).Check.Type)))
			flood(c, bytes.Repeat([]byte("220-a\r\n"), 1<<13))
		})
		to := target(t, ap, check)
		to.Entry = &Entry{Name: "db", User: "u", Password: "p"}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const times = 5
		for range times {
			ask(t, to, little)
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / times; used > 4<<20 {
			t.Errorf("%s: %d KiB a probe", check, used>>10)
		}
	}
}

// Nobody listens: the reason says so for each type, and the failure is the
// target's.
func TestRefused(t *testing.T) {
	for _, at := range loopbacks(t) {
		l, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		ap := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		for _, check := range append(slices.Clone(overTCP), "type=dns") {
			to := target(t, ap, check)
			to.Entry = &Entry{Name: "db", User: "u", Password: "p"}
			res := ask(t, to, plenty)
			wantFail(t, res, "connection refused")
			if res.Local {
				t.Errorf("%s: a refusal is local", check)
			}
		}
	}
}

// A context that is cancelled, without a deadline, ends every probe.
func TestCancelled(t *testing.T) {
	ap := serve(t, loopback4, block)
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ap))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	for _, check := range append(slices.Clone(overTCP), "type=dns", "type=exec; use=db") {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			to := target(t, ap, check)
			to.Entry = &Entry{Name: "db", User: "u", Command: []string{"/bin/sleep", "60"}}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if check == "type=tcp; tls=yes" {
				cancel() // before it begins
			}
			wantFail(t, Probe(ctx, to), "timeout after")
		})
	}
}

func TestNoEntry(t *testing.T) {
	for _, check := range []string{"type=mysql; use=db", "type=postgres; use=db", "type=exec; use=db", "type=file; use=db"} {
		res := ask(t, target(t, netip.AddrPortFrom(loopback4, 0), check), plenty)
		wantFail(t, res, `has no entry "db"`)
		if !res.Local {
			t.Errorf("%s: %+v", check, res)
		}
	}
}

// A password goes only where its entry says.
func TestNetworks(t *testing.T) {
	ap := serve(t, loopback4, func(net.Conn) { t.Error("connected") })
	for _, check := range []string{"type=mysql; use=db", "type=postgres; use=db"} {
		to := target(t, ap, check)
		to.Entry = &Entry{Name: "db", User: "u", Password: "p", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		res := ask(t, to, plenty)
		wantFail(t, res, "must not be sent to 127.0.0.1")
		if !res.Local {
			t.Errorf("%s: %+v", check, res)
		}
	}
}

// A network without a route says something of a target only if the machine has
// routes of that family at all.
func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		err    error
		routed bool
		local  bool
		says   string
	}{
		{syscall.ENETUNREACH, true, false, "no route to the network"},
		{syscall.ENETUNREACH, false, true, "has no route for IPv4"},
		{syscall.EHOSTUNREACH, true, false, "no route to the host"},
		{syscall.EMFILE, true, true, "too many open files on this machine"},
		{syscall.EADDRNOTAVAIL, true, true, "on this machine"},
		{syscall.ECONNRESET, true, false, "connection reset while testing"},
	} {
		r := begin(t.Context(), Target{Addr: loopback4}, false)
		r.routed = func(netip.Addr) bool { return tt.routed }
		err := r.failed("testing", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", tt.err)})
		if !strings.Contains(err.Error(), tt.says) || isLocal(err) != tt.local {
			t.Errorf("%v: %v, local %t", tt.err, err, isLocal(err))
		}
	}
}

// What breaks a library does not end the server.
func TestPanic(t *testing.T) {
	to := target(t, netip.AddrPortFrom(loopback4, 1), "type=dns")
	to.Check.Name = "\xff"
	wantFail(t, ask(t, to, plenty), "")
	r := begin(context.Background(), Target{}, false)
	wantFail(t, r.do(), "broke the probe")
}

func TestClean(t *testing.T) {
	long := strings.Repeat("é", 200)
	tests := []struct{ in, want string }{
		{"fine", "fine"},
		{"", "no reason given"},
		{" \r\n\t", "no reason given"},
		{"  two\r\n lines\t", "two lines"},
		{"\x1b[31mred\x00\x7f", "?[31mred??"},
		{"bad \xff\xfe utf-8", "bad ?? utf-8"},
		{"a\u202eb\u2028c", "a?b c"},
		{strings.Repeat("x", 200), strings.Repeat("x", 200)},
		{strings.Repeat("x", 201), strings.Repeat("x", 197) + "…"},
		{long, strings.Repeat("é", 98) + "…"},
	}
	for _, tt := range tests {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1bb\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > maxReason || strings.ContainsAny(got, "\r\n\x1b") || got == "" || got != clean(got) {
			t.Errorf("%q: %q", s, got)
		}
	})
}
