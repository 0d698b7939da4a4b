package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// site answers by its paths.
func site(seen func(*http.Request)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r)
		}
		io.WriteString(w, "all is ready here")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) { pad(w, maxBody-5); io.WriteString(w, "ready") })
	mux.HandleFunc("/across", func(w http.ResponseWriter, r *http.Request) { pad(w, 8190); io.WriteString(w, "ready") })
	mux.HandleFunc("/too-late", func(w http.ResponseWriter, r *http.Request) { pad(w, maxBody-4); io.WriteString(w, "ready") })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		for i := range 2000 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
		}
	})
	mux.HandleFunc("/interim", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); io.WriteString(w, "ready") })
	return mux
}

func pad(w io.Writer, n int) { w.Write(make([]byte, n)) }

// serveHTTP runs an HTTP server, with TLS if there is a configuration.
func serveHTTP(t testing.TB, at netip.Addr, h http.Handler, conf *tls.Config) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: conf}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conf != nil {
			srv.ServeTLS(l, "", "")
		} else {
			srv.Serve(l)
		}
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestHTTP(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		check string
		ok    bool
		says  string
	}{
		{"", true, "200 OK"},
		{"; method=HEAD", true, "200 OK"},
		{"; body=ready", true, "200 OK"},
		{"; body=steady", false, `200 OK, but the body does not contain "steady"`},
		{"; path=/moved", false, "status 302 Found, to /: redirects are not followed"},
		{"; path=/moved; status=200,300-302", true, "302"},
		{"; path=/broken", false, "status 503 Service Unavailable"},
		{"; path=/broken; status=503", true, "503"},
		{"; path=/late; body=ready", true, "200"},
		{"; path=/across; body=ready", true, "200"},
		{"; path=/too-late; body=ready", false, "does not contain"},
		{"; path=/endless", true, "200"},
		{"; path=/endless; body=ready", false, "does not contain"},
		{"; path=/headers", false, ""},
		{"; path=/interim; body=ready", true, "200"},
	}
	for _, at := range loopbacks(t) {
		plain := serveHTTP(t, at, site(nil), nil)
		secure := serveHTTP(t, at, site(nil), a.config(t, time.Hour, "h2", "http/1.1"))
		for _, tt := range tests {
			for _, to := range []Target{
				target(t, plain, "type=http"+tt.check), target(t, secure, "type=https"+tt.check), target(t, secure, "type=https; http2=yes"+tt.check),
			} {
				res := ask(t, to, plenty)
				if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
					t.Errorf("%s %t%s: %+v", to.Check.Type, to.Check.HTTP2, tt.check, res)
				}
				if to.Check.HTTP2 && res.OK != strings.HasPrefix(res.Reason, "HTTP/2") {
					t.Errorf("HTTP/2%s: %+v", tt.check, res)
				}
			}
		}
	}
}

func TestHTTPRequest(t *testing.T) {
	for _, at := range loopbacks(t) {
		requests := make(chan *http.Request, 1)
		handler := site(func(r *http.Request) { requests <- r })
		a := newAuthority(t)
		plain := serveHTTP(t, at, handler, nil)
		secure := serveHTTP(t, at, handler, a.config(t, time.Hour, "h2", "http/1.1"))
		tests := []struct {
			to              Target
			host, uri, name string
			major           int
		}{
			{target(t, plain, "type=http"), plain.String(), "/", "", 1},
			{target(t, plain, "type=http; host=www; path=/a?b=c%20d"), fmt.Sprintf("www.example:%d", plain.Port()), "/a?b=c%20d", "", 1},
			{target(t, secure, "type=https; host=www"), fmt.Sprintf("www.example:%d", secure.Port()), "/", "www.example", 1},
			{target(t, secure, "type=https; host=www; sni=sni"), fmt.Sprintf("www.example:%d", secure.Port()), "/", "sni.example", 1},
			{target(t, secure, "type=https; host=www; http2=yes; path=/a?b=c%20d"), fmt.Sprintf("www.example:%d", secure.Port()), "/a?b=c%20d", "www.example", 2},
		}
		for _, tt := range tests {
			wantOK(t, ask(t, tt.to, plenty), "200")
			r := <-requests
			name := ""
			if r.TLS != nil {
				name = r.TLS.ServerName
			}
			if r.Host != tt.host || r.RequestURI != tt.uri || name != tt.name || r.ProtoMajor != tt.major || r.UserAgent() != userAgent {
				t.Errorf("Host %s, path %s, SNI %s, HTTP/%d, want %s, %s, %s, %d", r.Host, r.RequestURI, name, r.ProtoMajor, tt.host, tt.uri, tt.name, tt.major)
			}
		}
	}
}

func TestAuthority(t *testing.T) {
	tests := []struct{ addr, check, want string }{
		{"192.0.2.1", "type=http; port=80", "192.0.2.1"},
		{"192.0.2.1", "type=http; port=443", "192.0.2.1:443"},
		{"2001:db8::1", "type=https", "[2001:db8::1]"},
		{"2001:db8::1", "type=https; port=80", "[2001:db8::1]:80"},
		{"::ffff:192.0.2.1", "type=http; port=80", "192.0.2.1"},
		{"fe80::1%1", "type=http; port=80; host=www", "www.example"},
	}
	for _, tt := range tests {
		to := target(t, netip.AddrPort{}, tt.check)
		to.Addr = netip.MustParseAddr(tt.addr)
		if got := begin(t.Context(), to, false).authority(); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.addr, tt.check, got, tt.want)
		}
	}
}

func TestCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	long := serveHTTP(t, loopback4, site(nil), a.config(t, 10*24*time.Hour+time.Hour, "h2", "http/1.1"))
	short := serveHTTP(t, loopback4, site(nil), a.config(t, time.Hour, "h2", "http/1.1"))
	expired := serveHTTP(t, loopback4, site(nil), a.config(t, -time.Hour, "h2", "http/1.1"))
	tests := []struct {
		ap    netip.AddrPort
		check string
		a     *authority
		ok    bool
		says  string
		days  int
	}{
		{long, "", other, true, "200", 10},
		{long, "; host=www; verify=yes", a, true, "200", 10},
		{long, "; host=www; verify=yes", other, false, "unknown authority", -1},
		{long, "; host=ftp; verify=yes", a, false, "ftp.example", -1},
		{long, "; cert-days=10", a, true, "200", 10},
		{long, "; cert-days=11", a, false, "in less than cert-days=11", 10},
		{short, "", a, true, "200", 0},
		{short, "; cert-days=1", a, false, "in less than cert-days=1", 0},
		{expired, "", a, true, "200", 0},
		{expired, "; cert-days=1", a, false, "the certificate expired on", 0},
		{expired, "; host=www; verify=yes", a, false, "expired", -1},
	}
	for _, tt := range tests {
		for _, kind := range []string{"type=https", "type=https; http2=yes", "type=tcp; tls=yes"} {
			check := tt.check
			if strings.HasPrefix(kind, "type=tcp") {
				check = strings.ReplaceAll(check, "host=", "sni=")
			}
			to := target(t, tt.ap, kind+check)
			to.Roots = tt.a.roots
			res := ask(t, to, plenty)
			says := tt.says
			if says == "200" && strings.HasPrefix(kind, "type=tcp") {
				says = "connected"
			}
			if res.OK != tt.ok || !strings.Contains(res.Reason, says) || res.CertDays != tt.days {
				t.Errorf("%s%s: %+v", kind, tt.check, res)
			}
		}
	}
	// A server that only speaks HTTP/1.1 is not taken for one of HTTP/2.
	old := serveHTTP(t, loopback4, site(nil), a.config(t, time.Hour, "http/1.1"))
	wantFail(t, ask(t, target(t, old, "type=https; http2=yes"), plenty), "HTTP/2")
	plain := serveHTTP(t, loopback4, site(nil), nil)
	wantFail(t, ask(t, target(t, plain, "type=https"), plenty), "TLS handshake")
}

// Raw responses that no library would send.
func TestHTTPResponses(t *testing.T) {
	tests := []struct {
		response, check string
		ok              bool
		says            string
	}{
		{"HTTP/1.1 200 OK\r\n\r\nready", "; body=ready", true, "200"},
		{"HTTP/1.0 200\r\n\r\n", "", true, "200"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsteady", "; body=ready", false, "connection closed while reading the body"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n", "; body=ready", true, "200"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "; body=ready", false, "chunk"},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", "", false, "status 101"},
		{strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), "", false, "without end"},
		{"HTTP/1.1 200 \x1b[31mred\r\n\r\n", "", true, "200 ?[31mred"},
		{"HTTP/1.1 abc\r\n\r\n", "", false, "malformed"},
		{"SSH-2.0-OpenSSH\r\n", "", false, "malformed"},
	}
	for _, tt := range tests {
		ap := serve(t, loopback4, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, tt.response)
			}
		})
		res := ask(t, target(t, ap, "type=http"+tt.check), plenty)
		if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
			t.Errorf("%q: %+v", tt.response, res)
		}
	}
}
