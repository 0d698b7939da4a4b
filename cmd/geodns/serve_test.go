package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"geodns/internal/control"
	"geodns/internal/server"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// site is a running server in a directory of its own.
type site struct {
	t      *testing.T
	dir    string
	config string
	http   string
	log    *lockedBuffer
	end    func() error // shuts the server down
}

// freePort is one that nobody has now, for TCP and UDP.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

func zoneText(serial, records int) string {
	text := fmt.Sprintf("@ 60 SOA ns1 hostmaster %d 60 60 60 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n", serial)
	for i := range records - 3 {
		text += fmt.Sprintf("n%d 60 A 192.0.2.1\n", i)
	}
	return text
}

func (s *site) write(name, text string) {
	s.t.Helper()
	// As editors do it, so that no one reads half of it.
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// unwatched is for tests that say themselves when files are read.
const unwatched = "watch: off\n"

// startSite serves one good zone, a.example, until the test ends. more is
// further configuration.
func startSite(t *testing.T, more string) *site {
	t.Helper()
	at := freePort(t).String()
	s := startSiteWith(t, fmt.Sprintf("control: run/control.sock\nhttp: %q\n%s", at, more))
	s.http = at
	return s
}

// startSiteWith is startSite with the HTTP address and the control socket in
// more, and with further files: their names and texts.
func startSiteWith(t *testing.T, more string, files ...[2]string) *site {
	t.Helper()
	s := newSite(t)
	s.write("zones/a.example.zone", zoneText(1, 5))
	for _, f := range files {
		s.write(f[0], f[1])
	}
	if !strings.Contains(more, "store: ") {
		more += "store: \"\"\n" // not the machine's own
	}
	s.write("geodns.yaml", fmt.Sprintf("listen: [%q]\n%s", freePort(t), more))
	s.begin()
	return s
}

// newSite is one without a configuration, which does not run yet.
func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "geodns.yaml"), log: &lockedBuffer{}}
	if err := os.Mkdir(filepath.Join(dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// begin starts the server, and waits until it serves.
func (s *site) begin() {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	d := &instance{configPath: s.config, stderr: s.log}
	result := make(chan error, 1)
	go func() { result <- d.run(ctx) }()
	stop := errors.New("the test is over")
	s.end = sync.OnceValue(func() error {
		cancel(stop)
		if err := <-result; !errors.Is(err, stop) {
			return err
		}
		return nil
	})
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Errorf("the server ended with %v; its log:\n%s", err, s.log)
		}
	})
	for end := time.Now().Add(patience); !strings.Contains(s.log.String(), `"serving"`); time.Sleep(time.Millisecond) {
		if time.Now().After(end) || len(result) > 0 {
			t.Fatalf("the server does not serve; its log:\n%s", s.log)
		}
	}
}

// geodns runs a command against the site.
func (s *site) geodns(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append(args, "--config", s.config), &out, &errs)
	return code, out.String(), errs.String()
}

func (s *site) status() (st control.Status) {
	s.t.Helper()
	code, out, errs := s.geodns("status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &st); code != exitOK || err != nil {
		s.t.Fatalf("status: %d %v %s", code, err, errs)
	}
	return st
}

func (s *site) get(path string) (int, string) {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + s.http + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A zone breaks, and is mended: the commands, readiness and metrics tell so,
// and the good version stays in service.
func TestOperate(t *testing.T) {
	s := startSite(t, unwatched)
	if st := s.status(); st.Zones != 1 || st.Records != 5 || st.BrokenAll != 0 || st.LastReload != nil || st.PID != os.Getpid() || st.HTTP != s.http {
		t.Errorf("status is %+v", st)
	}
	if code, body := s.get("/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("readyz: %d %s", code, body)
	}

	s.write("zones/a.example.zone", "@ 60 SOA ns1 hostmaster 2 60 60 60 60\nwww 60 A 192.0.2.256\n")
	s.write("zones/b.example.zone", zoneText(7, 4))
	s.geodns("reload")
	code, out, _ := s.geodns("reload") // says the same though nothing changed in between
	for _, want := range []string{"a.example.zone:2:10: ", "a.example.: broken, serial 1 stays in service\n", "nothing changed, 1 broken"} {
		if code != exitFailure || !strings.Contains(out, want) {
			t.Errorf("reload of a broken zone: code %d, lacks %q:\n%s", code, want, out)
		}
	}
	st := s.status()
	if st.Zones != 2 || st.Records != 9 || st.BrokenAll != 1 || len(st.Broken) != 1 || len(st.Broken[0].Findings) == 0 {
		t.Errorf("status is %+v", st)
	}
	if st.LastReload == nil || st.LastReload.OK() {
		t.Errorf("last reload is %+v", st.LastReload)
	}
	if code, body := s.get("/readyz"); code != 503 || !strings.Contains(body, "zone a.example. is broken since ") || !strings.Contains(body, "serial 1 stays in service") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, body := s.get("/healthz"); code != 200 {
		t.Errorf("healthz: %d %s", code, body)
	}
	_, body := s.get("/metrics")
	for _, want := range []string{"geodns_zones 2", "geodns_zone_failures 1", `geodns_zone_serial{zone="a.example."} 1`, "geodns_last_reload_success 0", `geodns_reloads_total{result="broken"} 2`} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}

	s.write("zones/a.example.zone", zoneText(3, 6))
	if code, out, _ = s.geodns("zone", "reload", "A.example"); code != exitOK || !strings.Contains(out, "a.example.: serial 3, 6 records\n1 zone read, in ") {
		t.Errorf("zone reload: %d\n%s", code, out)
	}
	if code, body := s.get("/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
	if err := os.Remove(filepath.Join(s.dir, "zones/b.example.zone")); err != nil {
		t.Fatal(err)
	}
	if code, out, _ = s.geodns("reload"); code != exitOK || !strings.Contains(out, "b.example.: no longer served\n") {
		t.Errorf("reload of a zone that is gone: %d\n%s", code, out)
	}
	if code, out, _ = s.geodns("zone", "status"); code != exitOK || !strings.HasPrefix(out, "ZONE ") || !strings.Contains(out, "a.example.") || strings.Contains(out, "b.example.") {
		t.Errorf("zone status: %d\n%s", code, out)
	}
	if code, _, errs := s.geodns("zone", "status", "b.example"); code != exitFailure || !strings.Contains(errs, "the zone b.example. is not served here") {
		t.Errorf("zone status of what is gone: %d %s", code, errs)
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := s.geodns("status"); code != exitFailure || !strings.Contains(errs, "start one with geodns serve") {
		t.Errorf("status without a server: %d %s", code, errs)
	}
}

// A file that lost most of its records is not taken, unless it is forced.
func TestReloadForce(t *testing.T) {
	s := startSite(t, unwatched)
	s.write("zones/a.example.zone", zoneText(2, 40))
	if code, out, _ := s.geodns("reload"); code != exitOK {
		t.Fatalf("reload: %d\n%s", code, out)
	}
	s.write("zones/a.example.zone", zoneText(3, 4))
	code, out, _ := s.geodns("reload")
	if code != exitFailure || !strings.Contains(out, "serial 2 stays in service") || !strings.Contains(out, "--force") {
		t.Errorf("reload of a zone that shrank: %d\n%s", code, out)
	}
	if code, out, _ := s.geodns("reload", "--force"); code != exitOK || !strings.Contains(out, "serial 3, 4 records") {
		t.Errorf("reload --force: %d\n%s", code, out)
	}
}

// With nobody asking, a file that changed is read, and one that is broken is
// told by readiness.
func TestWatched(t *testing.T) {
	s := startSite(t, "")
	until := func(what string, ok func(control.Status) bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(s.status()); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s; status %+v", what, s.status())
			}
		}
	}
	s.write("zones/a.example.zone", zoneText(2, 9))
	until("a change is read", func(st control.Status) bool { return st.Records == 9 })
	s.write("zones/b.example.zone", zoneText(2, 9))
	until("a new zone is read", func(st control.Status) bool { return st.Zones == 2 })
	s.write("zones/b.example.zone", "nothing\n")
	until("a broken zone is told", func(st control.Status) bool { return len(st.Reasons) == 1 && st.Zones == 2 })
	if err := os.Remove(filepath.Join(s.dir, "zones/b.example.zone")); err != nil {
		t.Fatal(err)
	}
	until("a zone goes", func(st control.Status) bool { return st.Zones == 1 && len(st.Reasons) == 0 })
}

// An invalid configuration is told, keeps what is served, and is what readiness
// is about until it is mended. What only a restart changes is said.
func TestReloadConfiguration(t *testing.T) {
	s := startSite(t, unwatched)
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("geodns.yaml", "wrokers: 3\n")
	var errs bytes.Buffer
	socket := filepath.Join(s.dir, "run/control.sock")
	code := run([]string{"reload", "--socket", socket}, io.Discard, &errs)
	if code != exitFailure || !strings.Contains(errs.String(), "geodns.yaml:1:1: ") || !strings.Contains(errs.String(), "nothing was reloaded") {
		t.Errorf("reload: %d %s", code, &errs)
	}
	if code, body := s.get("/readyz"); code != 503 || !strings.Contains(body, "the last reload failed: the configuration is invalid: ") {
		t.Errorf("readyz: %d %s", code, body)
	}
	// To find the socket, the configuration has to be valid.
	if code, _, errs := s.geodns("status"); code != exitConfig || !strings.Contains(errs, "geodns.yaml:1:1: ") {
		t.Errorf("status: %d %s", code, errs)
	}
	s.write("geodns.yaml", string(good)+"workers: 3\n")
	if code, _, errs := s.geodns("reload"); code != exitOK || !strings.Contains(errs, "only a restart makes it so: workers") {
		t.Errorf("reload: %d %s", code, errs)
	}
	if code, body := s.get("/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
}

// What cannot be had beside DNS is logged with what can be done, and DNS is
// served all the same.
func TestServicesFail(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	first := startSite(t, "")
	second := startSiteWith(t, fmt.Sprintf("http: %q\ncontrol: %s/run/control.sock\n", taken.Addr(), first.dir))
	for _, want := range []string{
		"there will be no metrics", fmt.Sprintf("(pid %d)", os.Getpid()), "to another address",
		"there will be no control socket", fmt.Sprintf("another geodns (pid %d) listens there", os.Getpid()), "to another path",
	} {
		if !strings.Contains(second.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, second.log)
		}
	}
	if first.status().Config != first.config {
		t.Error("the second server took the first one's socket")
	}
	locked := filepath.Join(first.dir, "file")
	first.write("file", "")
	third := startSiteWith(t, fmt.Sprintf("http: \"\"\ncontrol: %s/control.sock\n", locked))
	if !strings.Contains(third.log.String(), "there will be no control socket") {
		t.Errorf("the log lacks that there is no control socket:\n%s", third.log)
	}
}

// What is in the way of an address is told with what can be done.
func TestExplainBind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().(*net.TCPAddr).AddrPort()
	_, err = server.Listen(server.Config{Listen: []netip.AddrPort{at}})
	want := fmt.Sprintf("cannot listen on %s over TCP: address already in use, held by ", at)
	if got := explainBind(err); got == nil || !strings.HasPrefix(got.Error(), want) || !strings.Contains(got.Error(), fmt.Sprintf("(pid %d); stop it", os.Getpid())) || !errors.Is(got, syscall.EADDRINUSE) {
		t.Errorf("a port that is taken: %v; want %s", got, want)
	}
	// TEST-NET-1 is nobody's own (RFC 5737).
	_, err = server.Listen(server.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5353")}})
	if got := explainBind(err); got == nil || !strings.Contains(got.Error(), "this machine does not have that address") {
		t.Errorf("an address of others: %v", got)
	}
	six := netip.MustParseAddrPort("[::1]:53")
	tests := []struct {
		err  *server.AddrError
		want string
	}{
		{&server.AddrError{Network: "udp", Addr: six, Err: unix.EACCES}, "cannot listen on [::1]:53 over UDP: permission denied; ports below 1024 need root"},
		{&server.AddrError{Network: "udp", Addr: six, Err: unix.EIO}, "input/output error"},
	}
	for _, tt := range tests {
		if got := explainBind(fmt.Errorf("start: %w", tt.err)); !strings.Contains(got.Error(), tt.want) {
			t.Errorf("%v is explained as %q, want %q", tt.err.Err, got, tt.want)
		}
	}
	if explainBind(nil) != nil {
		t.Error("nothing is explained")
	}
	for _, tt := range []struct {
		six  bool
		want string
	}{{false, "this machine has no IPv6: take the address out of listen, or serve with --listen 127.0.0.1:53 alone"}, {true, "this machine does not have that address"}} {
		if got := explainMissing("cannot listen", unix.EAFNOSUPPORT, six, tt.six); !strings.Contains(got.Error(), tt.want) {
			t.Errorf("IPv6 %v: %v, want %s", tt.six, got, tt.want)
		}
	}
}
