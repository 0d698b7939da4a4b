package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// handlers answer with fixed values.
func handlers(log *slog.Logger) Handlers {
	zone := Zone{Name: "example.org.", File: "zones/example.org.zone", State: StateServing, Serial: 7, Records: 3, Loaded: time.Unix(1800000000, 0).UTC()}
	known := func(name string) error {
		if name == "example.org." || name == "0/25.2.0.192.in-addr.arpa." {
			return nil
		}
		return fmt.Errorf("%s is not served here", name)
	}
	return Handlers{
		Status: func(bool) Status { return Status{Version: "v1", PID: 42, Zones: 1, Listen: []string{"127.0.0.1:53"}} },
		Zones: func(names []string) ([]Zone, error) {
			for _, n := range names {
				if err := known(n); err != nil {
					return nil, err
				}
			}
			return []Zone{zone}, nil
		},
		Reload: func(force bool) Reload {
			if force {
				return Reload{Changed: []Zone{zone}, ChangedAll: 1}
			}
			return Reload{Error: "geodns.yaml:1:1: bad"}
		},
		ReloadZone: func(name string, _ bool) (Reload, error) {
			return Reload{Changed: []Zone{zone}, ChangedAll: 1}, known(name)
		},
		Explain: func(q Question) (any, error) {
			if q.Name == "" {
				return nil, errors.New("a name is wanted")
			}
			return q, nil
		},
		Log: log,
	}
}

func start(t *testing.T, path string, h Handlers) *Server {
	t.Helper()
	s, err := Listen(path, h)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock") // the directory is missing
	var log buffer
	h := handlers(slog.New(slog.NewTextHandler(&log, nil)))
	start(t, path, h)
	c, ctx := NewClient(path), t.Context()

	status, err := c.Status(ctx, false)
	if err != nil || cmp.Diff(h.Status(false), status) != "" {
		t.Errorf("status: %v %+v", err, status)
	}
	want, _ := h.Zones(nil)
	zones, err := c.Zones(ctx)
	if err != nil || cmp.Diff(want, zones) != "" {
		t.Errorf("zones: %v %+v", err, zones)
	}
	// A name may hold what is special in URLs.
	for _, name := range []string{"example.org.", "0/25.2.0.192.in-addr.arpa."} {
		zone, err := c.Zone(ctx, name)
		if err != nil || cmp.Diff(want[0], zone) != "" {
			t.Errorf("zone %s: %v %+v", name, err, zone)
		}
		if r, err := c.ReloadZone(ctx, name, false); err != nil || !r.OK() || r.ChangedAll != 1 {
			t.Errorf("zone reload %s: %v %+v", name, err, r)
		}
	}
	const unknown = "other.example. is not served here"
	if _, err := c.Zone(ctx, "other.example."); err == nil || err.Error() != unknown {
		t.Errorf("zone: error %v, want %s", err, unknown)
	}
	if _, err := c.ReloadZone(ctx, "other.example.", true); err == nil || err.Error() != unknown {
		t.Errorf("zone reload: error %v, want %s", err, unknown)
	}
	for _, q := range []Question{
		{Name: `a\032&b=c.example.`, Type: "A", Client: "2001:db8::1", ECS: "192.0.2.0/24", Draw: "0x1"},
		{Name: ".", Type: "NS", Client: "192.0.2.1"},
	} {
		var got Question
		if err := c.Explain(ctx, q, &got); err != nil || got != q {
			t.Errorf("explain: %v %+v, want %+v", err, got, q)
		}
	}
	if err := c.Explain(ctx, Question{}, &struct{}{}); err == nil || err.Error() != "a name is wanted" {
		t.Errorf("explain nothing: error %v", err)
	}
	if r, err := c.Reload(ctx, false); err != nil || r.OK() {
		t.Errorf("reload: %v %+v, want one that failed", err, r)
	}
	if r, err := c.Reload(ctx, true); err != nil || !r.OK() {
		t.Errorf("reload --force: %v %+v", err, r)
	}
	for _, want := range []string{
		fmt.Sprintf(`command=reload force=true uid=%d pid=%d`, os.Getuid(), os.Getpid()),
		`command="zone reload" force=true`, `zone=other.example.`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "status") {
		t.Errorf("commands that only read are logged:\n%s", log.String())
	}
}

// What is no request of the protocol is told so, in its own form.
func TestBadRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	start(t, path, handlers(silent()))
	tests := []struct {
		method, path, contentType, body string
		status                          int
		want                            string
	}{
		{"GET", "/v1/nothing", "", "", 404, `{"error":"/v1/nothing is not known to this version of geodns"}`},
		{"GET", "/v2/status", "", "", 404, `{"error":"/v2/status is not known to this version of geodns"}`},
		{"POST", "/v1/status", "", "", 405, `{"error":"/v1/status cannot be asked for with POST"}`},
		{"GET", "/v1/reload", "", "", 405, `{"error":"/v1/reload cannot be asked for with GET"}`},
		{"POST", "/v1/reload", "application/json", `{"farce": true}`, 400, `{"error":"the body must be like`},
		{"POST", "/v1/reload", "application/json", `[`, 400, `{"error":"the body must be like`},
		{"POST", "/v1/reload", "application/json", `{"force":"` + strings.Repeat("x", maxBody) + `"}`, 400, `{"error":"the body must be like`},
		{"POST", "/v1/reload", "text/plain", `{}`, 415, `{"error":"the body must be application/json"}`},
		{"POST", "/v1/reload", "", "", 200, `{"at":`},
		{"GET", "/v1/explain", "", "", 400, `{"error":"a name is wanted"}`},
		{"POST", "/v1/explain", "", "", 405, `{"error":"/v1/explain cannot be asked for with POST"}`},
		{"GET", "/v1/zones/nothing.", "", "", 404, `{"error":"nothing. is not served here"}`},
	}
	c := NewClient(path)
	for _, tt := range tests {
		req, err := http.NewRequest(tt.method, "http://x"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tt.contentType)
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tt.status || !strings.HasPrefix(string(body), tt.want) || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %.20s: %d %.100s, want %d %s", tt.method, tt.path, tt.body, res.StatusCode, body, tt.status, tt.want)
		}
	}
}

// The socket is for its owner and group, whatever the umask.
func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := start(t, path, handlers(silent()))
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v; want %v", info.Mode(), err, os.FileMode(socketMode))
	}
	shutdown(t, s)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestPathInUse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	start(t, path, handlers(silent()))
	_, err := Listen(path, handlers(silent()))
	want := fmt.Sprintf("another geodns (pid %d) listens there", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a live socket: error %v, want %s", err, want)
	}
	if _, err := NewClient(path).Status(t.Context(), false); err != nil {
		t.Errorf("the live server is cut off: %v", err)
	}

	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := NewClient(stale).Status(t.Context(), false); err == nil || !strings.Contains(err.Error(), "is gone; start it again") {
		t.Errorf("a dead server: error %v", err)
	}
	start(t, stale, handlers(silent()))
	if _, err := NewClient(stale).Status(t.Context(), false); err != nil {
		t.Errorf("a dead server's socket is not taken over: %v", err)
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, handlers(silent())); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("a file: error %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Error("a file was taken for a dead socket")
	}
	long := filepath.Join(dir, strings.Repeat("x", maxPath))
	if _, err := Listen(long, handlers(silent())); err == nil || !strings.Contains(err.Error(), "choose a shorter one") {
		t.Errorf("a long path: error %v", err)
	}
	if _, err := Listen(filepath.Join(file, "s"), handlers(silent())); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a directory that cannot be made: error %v", err)
	}
}

// A server whose socket was replaced leaves the new one alone.
func TestCloseLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old := start(t, path, handlers(silent()))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	start(t, path, handlers(silent()))
	shutdown(t, old)
	if _, err := NewClient(path).Status(t.Context(), false); err != nil {
		t.Errorf("the second server's socket is gone: %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewClient(filepath.Join(dir, "none")).Status(t.Context(), false); err == nil || !strings.Contains(err.Error(), "start one with geodns serve") {
		t.Errorf("no socket: error %v", err)
	}
	denied := NewClient("/run/s").explain(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.Contains(denied.Error(), "you may not open") {
		t.Errorf("no permission: error %v", denied)
	}
	// Something else listens there.
	for name, text := range map[string]string{
		"stranger": "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
		"newer":    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
		"mute":     "",
	} {
		path := filepath.Join(dir, name)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}()
		_, err = NewClient(path).Status(t.Context(), false)
		want := map[string]string{"stranger": "is no geodns", "newer": "another version", "mute": "cannot talk to the server"}[name]
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
		_ = l.Close()
		<-done
	}
}
