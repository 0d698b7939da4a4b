package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/health"
)

func newHolder(t testing.TB) *Holder {
	t.Helper()
	h, err := NewHolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// hold probes and keeps the connection; reasons come on the channel.
func hold(t testing.TB, h *Holder, to Target) (*Held, Result, <-chan string) {
	t.Helper()
	died := make(chan string, 2)
	ctx, cancel := context.WithTimeout(t.Context(), plenty)
	defer cancel()
	held, res := h.Hold(ctx, to, func(reason string) { died <- reason })
	return held, res, died
}

// relay stands before a server, notes what clients say, and cuts connections on
// command.
type relay struct {
	to    netip.AddrPort
	mu    sync.Mutex
	conns []*net.TCPConn
	said  []byte
	ended chan struct{} // one for each client that hung up
}

func (y *relay) handle(c net.Conn) {
	up, err := net.Dial("tcp", y.to.String())
	if err != nil {
		return
	}
	defer up.Close()
	y.mu.Lock()
	y.conns = append(y.conns, c.(*net.TCPConn))
	y.mu.Unlock()
	go func() {
		io.Copy(c, up)
		c.(*net.TCPConn).CloseWrite()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		y.mu.Lock()
		y.said = append(y.said, buf[:n]...)
		y.mu.Unlock()
		if err != nil {
			y.ended <- struct{}{}
			return
		}
		up.Write(buf[:n])
	}
}

func (y *relay) cut(reset bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, c := range y.conns {
		if reset {
			c.SetLinger(0)
		}
		c.Close()
	}
	y.conns = nil
}

func (y *relay) heard() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return string(y.said)
}

// holdables are servers of all types whose connections are held, and what the
// last words of their clients contain.
func holdables(t *testing.T) []struct {
	check string
	at    netip.AddrPort
	last  string
} {
	a := newAuthority(t)
	conf := a.config(t, time.Hour)
	secure := serveHTTP(t, loopback4, site(nil), a.config(t, time.Hour, "h2", "http/1.1"))
	mail := func(conf *tls.Config, turns ...turn) netip.AddrPort {
		return serve(t, loopback4, func(c net.Conn) { script(conf, turns, nil)(c) })
	}
	my := &mysqlServer{results: map[string][]string{"read_only": mysqlWritable}}
	pg := &postgresServer{row: []string{"f", "off", "0"}}
	return []struct {
		check string
		at    netip.AddrPort
		last  string
	}{
		{"type=tcp", serve(t, loopback4, block), ""},
		{"type=http", serveHTTP(t, loopback4, site(nil), nil), ""},
		{"type=http; path=/late", serveHTTP(t, loopback4, site(nil), nil), ""},
		{"type=https", secure, ""},
		{"type=https; http2=yes", secure, ""},
		{"type=smtp", mail(nil, turn{"", "220 mx\r\n"}, turn{"EHLO", "250 mx\r\n"}), "QUIT\r\n"},
		{"type=smtp; tls=starttls", mail(conf, turn{"", "220 mx\r\n"}, turn{"EHLO", "250 mx\r\n"}, turn{"STARTTLS", "220 go\r\n"}, turn{"", "TLS"}, turn{"EHLO", "250 mx\r\n"}), ""},
		{"type=imap", mail(nil, turn{"", "* OK\r\n"}), "a2 LOGOUT\r\n"},
		{"type=pop3", mail(nil, turn{"", "+OK\r\n"}), "QUIT\r\n"},
		{"type=mysql; use=db", serve(t, loopback4, my.handle), "\x01\x00\x00\x00\x01"},
		{"type=postgres; use=db", serve(t, loopback4, pg.handle), "X\x00\x00\x00\x04"},
		{"type=grpc", serveGRPC(t, loopback4, health.NewServer(), nil), ""},
		{"type=grpc; tls=yes", serveGRPC(t, loopback4, health.NewServer(), conf), ""},
	}
}

// Each type's connection outlasts its probe, is noticed when it dies in either
// way, and ends with the protocol's farewell when it is let go.
func TestHold(t *testing.T) {
	h := newHolder(t)
	for _, tt := range holdables(t) {
		y := &relay{to: tt.at, ended: make(chan struct{}, 9)}
		to := target(t, serve(t, loopback4, y.handle), tt.check)
		to.Entry = &Entry{Name: "db", User: "u", Password: mysqlPassword}
		for _, reset := range []bool{false, true} {
			held, res, died := hold(t, h, to)
			wantOK(t, res, "")
			if held == nil {
				t.Errorf("%s is not held: %s", tt.check, res.Reason)
				continue
			}
			select {
			case <-y.ended:
				t.Errorf("%s: the connection ended with the probe", tt.check)
			case reason := <-died:
				t.Errorf("%s: %s", tt.check, reason)
			case <-time.After(20 * time.Millisecond):
			}
			y.cut(reset)
			if reason := await(t, died); !strings.HasPrefix(reason, "the held connection was ") {
				t.Errorf("%s: %s", tt.check, reason)
			}
			<-y.ended
			held.Close()
		}
		held, _, died := hold(t, h, to)
		held.Close()
		held.Close()
		await(t, y.ended)
		if !strings.HasSuffix(y.heard(), tt.last) {
			t.Errorf("%s: the last words are %q", tt.check, y.heard())
		}
		if len(died) > 0 {
			t.Errorf("%s: died after Close: %s", tt.check, <-died)
		}
		if n := h.Len(); n != 0 {
			t.Errorf("%s: %d connections are still held", tt.check, n)
		}
	}
}

// A peer may send a little on a held connection, but not without end.
func TestHoldUnasked(t *testing.T) {
	h := newHolder(t)
	more := make(chan bool)
	ap := serve(t, loopback4, func(c net.Conn) {
		for endless := range more {
			if endless {
				flood(c, make([]byte, 1<<16))
				return
			}
			io.WriteString(c, "421 closing soon\r\n")
		}
	})
	defer close(more)
	held, res, died := hold(t, h, target(t, ap, "type=tcp"))
	wantOK(t, res, "connected")
	defer held.Close()
	more <- false
	select {
	case reason := <-died:
		t.Fatal(reason)
	case <-time.After(50 * time.Millisecond):
	}
	more <- true
	if reason := await(t, died); reason != "more than 64 KiB came on the held connection unasked" {
		t.Error(reason)
	}
}

// What can't be held is probed all the same.
func TestHoldNot(t *testing.T) {
	h := newHolder(t)
	closing := serveHTTP(t, loopback4, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") }), nil)
	endless := serveHTTP(t, loopback4, site(nil), nil)
	agent := serve(t, loopback4, func(c net.Conn) { io.WriteString(c, "up\n") })
	for _, tt := range []struct {
		to   Target
		says string
	}{
		{target(t, closing, "type=http"), "200 OK; not held: the server closes the connection after each response"},
		{target(t, endless, "type=http; path=/endless"), "200 OK; not held: the body is too long"},
		{target(t, agent, "type=agent"), "up"},
	} {
		held, res, _ := hold(t, h, tt.to)
		wantOK(t, res, tt.says)
		if held != nil {
			t.Errorf("%s is held", tt.says)
		}
		held.Close()
	}
	// Failures are never held.
	broken := serveHTTP(t, loopback4, site(nil), nil)
	held, res, _ := hold(t, h, target(t, broken, "type=http; path=/broken"))
	wantFail(t, res, "503")
	if held != nil || h.Len() != 0 {
		t.Errorf("%d connections of failures are held", h.Len())
	}
	h.Close()
	held, res, _ = hold(t, h, target(t, endless, "type=http"))
	wantOK(t, res, "not held: the server is stopping")
	if held != nil {
		t.Error("held after the end")
	}
}

// Many connections need one goroutine, and all their deaths are told.
func TestHoldMany(t *testing.T) {
	const many = 500
	h := newHolder(t)
	die := make(chan struct{})
	ap := serve(t, loopback4, func(net.Conn) { <-die })
	to := target(t, ap, "type=tcp")
	died := make(chan int, 2*many)
	for i := range many {
		if _, res := h.Hold(t.Context(), to, func(string) { died <- i }); !res.OK {
			t.Fatal(res.Reason)
		}
	}
	if h.Len() != many {
		t.Fatalf("%d are held", h.Len())
	}
	close(die)
	seen := map[int]bool{}
	for range many {
		i := await(t, died)
		if seen[i] {
			t.Fatalf("%d died twice", i)
		}
		seen[i] = true
	}
	if h.Len() != 0 {
		t.Errorf("%d are still held", h.Len())
	}
}

// Connections come and go at both ends at once.
func TestHoldChurn(t *testing.T) {
	h := newHolder(t)
	ap := serve(t, loopback4, func(c net.Conn) { c.Read(make([]byte, 1)) })
	short := serve(t, loopback4, func(c net.Conn) {})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				to := target(t, ap, "type=tcp")
				if i%2 == 0 {
					to = target(t, short, "type=tcp")
				}
				var mu sync.Mutex
				times := 0
				held, _ := h.Hold(t.Context(), to, func(string) { mu.Lock(); times++; mu.Unlock() })
				held.Close()
				mu.Lock()
				if times > 1 {
					t.Errorf("died %d times", times)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if h.Len() != 0 {
		t.Errorf("%d are still held", h.Len())
	}
}

func BenchmarkProbe(b *testing.B) {
	for _, check := range []string{"type=tcp", "type=http"} {
		b.Run(check, func(b *testing.B) {
			ap := serveHTTP(b, loopback4, site(nil), nil)
			to := target(b, ap, check)
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), plenty)
				if res := Probe(ctx, to); !res.OK {
					b.Fatal(res.Reason)
				}
				cancel()
			}
		})
	}
}
