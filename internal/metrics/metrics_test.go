package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func traffic() Traffic {
	return Traffic{
		Flows: []Flow{
			{Proto: "udp", Family: "ipv4", Requests: 11, RequestBytes: 400, Responses: 10, ResponseBytes: 900},
			{Proto: "tcp", Family: "ipv6", Requests: 3, RequestBytes: 90, Responses: 3, ResponseBytes: 4000},
		},
		Types:     []Count{{"A", 9}, {"other", 2}},
		Features:  []Count{{"edns", 8}, {"do", 1}},
		Rcodes:    []Count{{"NOERROR", 9}, {"NXDOMAIN", 4}},
		Outcomes:  []Count{{"answer", 9}, {"nxdomain", 4}},
		Dropped:   []Count{{"malformed", 1}},
		Errors:    []Count{{"send", 5}},
		TCPEvents: []Count{{"accepted", 2}},
		Truncated: 6,
		Sizes:     []Histogram{{Label: "udp", Bounds: []float64{64, 128}, Counts: []uint64{4, 6}, Sum: 900}},
		Durations: []Histogram{{Label: "udp", Bounds: []float64{1e-5, 1e-3}, Counts: []uint64{7, 2, 1}, Sum: 0.5}},
		TCPOpen:   1, TCPLimit: 1024,
		TLS:              &TLS{Requests: 2, Handshakes: []Count{{"failed", 7}}, NotAfter: time.Unix(1800000000, 0)},
		ListenersRunning: 3, ListenersStarted: 4,
	}
}

func zones(n int) func(int) Zones {
	return func(limit int) Zones {
		z := Zones{Serving: n, Broken: 1, Records: 10 * n, Shrunk: 1, Loads: 8, Failures: 3, Copies: []Count{{"serving", 1}, {"expired", 2}}, Exchanges: []Count{{"ixfr", 5}}}
		if n < limit {
			z.List = append(z.List, Zone{Name: "copy.example.", Serial: 7, Records: 4, Expires: time.Unix(1, 0)})
		}
		for i := 0; i < n && n <= limit; i++ {
			z.List = append(z.List, Zone{Name: fmt.Sprintf("zone%d.example.", i), Serial: uint32(2026112000 + i), Records: 10, Loaded: time.Unix(1800000000, 5e8)})
		}
		return z
	}
}

func nodes(n int) func(int) Nodes {
	return func(limit int) Nodes {
		all := Nodes{
			Targets: []Count{{"up", 7}, {"down", 2}, {"unknown", 1}, {"refused", 0}},
			Turns:   []Count{{"up", 3}, {"down", 5}},
			Damped:  1, Drill: true,
			Probes: []Probes{{
				Type: "http", Results: []Count{{"ok", 40}, {"failed", 3}},
				Durations: Histogram{Label: "http", Bounds: []float64{0.01, 0.1}, Counts: []uint64{30, 10, 3}, Sum: 2.5},
			}},
			UnderWay: 6, Publications: 9,
			Drains: []Count{{"active", 1}, {"scheduled", 2}}, Names: []Count{{"reduced", 3}}, StoreErrors: 8,
			Loads: []Load{{"site", "lon", "a.example.", 950, 1000, 0.25}}, Ramps: 4,
			Failovers: []Count{{"held", 2}}, Writers: []Writers{{"example.", "db.example.", "A", 2}},
			Isolated: true, Held: 4, Anchors: []Count{{"failing", 2}},
		}
		for i := 0; i < n && n <= limit; i++ {
			all.List = append(all.List, Target{
				Address: fmt.Sprintf("192.0.2.%d", i), Check: "type=http; path=/\"é\"", Up: float64(i), Seconds: 0.25, At: time.Unix(1800000000, 0),
			})
		}
		return all
	}
}

func sources(n int) Sources {
	return Sources{
		Traffic: traffic,
		Zones:   zones(n),
		Reloads: func() Reloads {
			return Reloads{Results: []Count{{"ok", 2}, {"failed", 1}}, Last: time.Unix(1700000000, 0), OK: true}
		},
		Nodes: nodes(2),
		Build: Build{Version: "v1.2", GoVersion: "go1.26"},
	}
}

func start(t testing.TB, e Endpoints) *Server {
	t.Helper()
	if e.Metrics == nil {
		e.Metrics = NewRegistry(sources(2))
	}
	if e.Health == nil {
		e.Health = func() error { return nil }
	}
	if e.Ready == nil {
		e.Ready = func() []string { return nil }
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), e)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return s
}

func get(t testing.TB, s *Server, path string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

func TestMetrics(t *testing.T) {
	s := start(t, Endpoints{})
	status, body, header := get(t, s, "/metrics")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Fatalf("status %d, %v", status, header)
	}
	for _, want := range []string{
		`geodns_requests_total{family="ipv4",proto="udp"} 11`,
		`geodns_request_bytes_total{family="ipv4",proto="udp"} 400`,
		`geodns_responses_sent_total{family="ipv6",proto="tcp"} 3`,
		`geodns_response_bytes_total{family="ipv6",proto="tcp"} 4000`,
		`geodns_questions_total{type="A"} 9`,
		`geodns_request_features_total{feature="edns"} 8`,
		`geodns_responses_total{rcode="NXDOMAIN"} 4`,
		`geodns_outcomes_total{outcome="answer"} 9`,
		`geodns_dropped_total{reason="malformed"} 1`,
		`geodns_socket_errors_total{call="send"} 5`,
		`geodns_responses_truncated_total 6`,
		`geodns_response_size_bytes_bucket{proto="udp",le="64"} 4`,
		`geodns_response_size_bytes_bucket{proto="udp",le="128"} 10`,
		`geodns_response_size_bytes_bucket{proto="udp",le="+Inf"} 10`,
		`geodns_response_size_bytes_sum{proto="udp"} 900`,
		`geodns_request_duration_seconds_bucket{proto="udp",le="0.001"} 9`,
		`geodns_request_duration_seconds_bucket{proto="udp",le="+Inf"} 10`,
		`geodns_request_duration_seconds_count{proto="udp"} 10`,
		`geodns_tcp_connections 1`,
		`geodns_tcp_connections_limit 1024`,
		`geodns_tcp_connection_events_total{event="accepted"} 2`,
		`geodns_tls_requests_total 2`,
		`geodns_tls_handshakes_total{result="failed"} 7`,
		`geodns_tls_certificate_expiry_timestamp_seconds 1.8e+09`,
		`geodns_listeners_running 3`,
		`geodns_listeners_started 4`,
		`geodns_zones 2`,
		`geodns_zone_failures 1`,
		`geodns_zone_shrunk 1`,
		`geodns_zone_loads_total{result="taken"} 8`,
		`geodns_zone_loads_total{result="refused"} 3`,
		`geodns_records 20`,
		`geodns_zone_serial{zone="zone1.example."} 2.026112001e+09`,
		`geodns_zone_records{zone="zone0.example."} 10`,
		`geodns_zone_loaded_timestamp_seconds{zone="zone0.example."} 1.8000000005e+09`,
		`geodns_zone_serial{zone="copy.example."} 7`,
		`geodns_secondary_zones{state="expired"} 2`,
		`geodns_transfers_total{kind="ixfr"} 5`,
		`geodns_reloads_total{result="ok"} 2`,
		`geodns_last_reload_timestamp_seconds 1.7e+09`,
		`geodns_last_reload_success 1`,
		`geodns_targets{state="down"} 2`,
		`geodns_verdict_turns_total{state="down"} 5`,
		`geodns_targets_damped 1`, `geodns_drill 1`,
		`geodns_isolated 1`,
		`geodns_verdicts_held 4`,
		`geodns_anchors{state="failing"} 2`,
		`geodns_drains{state="scheduled"} 2`,
		`geodns_steered_names{state="reduced"} 3`,
		`geodns_store_errors_total 8`,
		`geodns_place_answers_per_second{kind="site",place="lon",zone="a.example."} 950`,
		`geodns_place_capacity{kind="site",place="lon",zone="a.example."} 1000`,
		`geodns_place_spill_ratio{kind="site",place="lon",zone="a.example."} 0.25`,
		`geodns_ramps 4`,
		`geodns_failovers{step="held"} 2`,
		`geodns_writers{name="db.example.",type="A",zone="example."} 2`,
		`geodns_verdict_publications_total 9`,
		`geodns_probes_total{result="failed",type="http"} 3`,
		`geodns_probe_duration_seconds_bucket{type="http",le="0.1"} 40`,
		`geodns_probe_duration_seconds_count{type="http"} 43`,
		`geodns_probes_running 6`,
		`geodns_target_up{address="192.0.2.1",check="type=http; path=/\"é\""} 1`,
		`geodns_target_probe_seconds{address="192.0.2.0",check="type=http; path=/\"é\""} 0.25`,
		`geodns_target_probe_timestamp_seconds{address="192.0.2.0",check="type=http; path=/\"é\""} 1.8e+09`,
		`geodns_build_info{goversion="go1.26",version="v1.2"} 1`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(body, `geodns_zone_loaded_timestamp_seconds{zone="copy.example."}`) {
		t.Error("a copy was read from no file")
	}
	for _, prefix := range []string{`geodns_zone_expires_seconds{zone="copy.example."} -`, "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, "\n"+prefix) {
			t.Errorf("/metrics lacks %s", prefix)
		}
	}
	_, body, header = get(t, s, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("OpenMetrics: %v, %d octets", header, len(body))
	}
	_, body, header = get(t, s, "/metrics", "Accept-Encoding", "gzip")
	if header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(body, "\x1f\x8b") {
		t.Errorf("gzip: %v", header)
	}
}

// Prometheus' own tool finds nothing to complain about.
func TestPromtool(t *testing.T) {
	_, body, _ := get(t, start(t, Endpoints{}), "/metrics")
	var problems []string
	// What client_golang's collectors say is not ours to name.
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			problems = append(problems, line)
		}
	}
	if len(problems) > 0 || err != nil && len(out) == 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, strings.Join(problems, ""))
	}
}

// Above the limit, zones have no series of their own.
func TestManyZones(t *testing.T) {
	for n, want := range map[int]int{MaxZones: 3 * MaxZones, MaxZones + 1: 0} {
		_, body, _ := get(t, start(t, Endpoints{Metrics: NewRegistry(sources(n))}), "/metrics")
		if got := strings.Count(body, "{zone="); got != want {
			t.Errorf("%d zones have %d series, want %d", n, got, want)
		}
		if !strings.Contains(body, fmt.Sprintf("\ngeodns_zones %d\n", n)) {
			t.Errorf("%d zones are not counted", n)
		}
	}
}

// Above the limit, targets have no series of their own.
func TestManyTargets(t *testing.T) {
	for n, want := range map[int]int{MaxTargets: 3 * MaxTargets, MaxTargets + 1: 0} {
		from := sources(0)
		from.Nodes = nodes(n)
		_, body, _ := get(t, start(t, Endpoints{Metrics: NewRegistry(from)}), "/metrics")
		if got := strings.Count(body, "{address="); got != want {
			t.Errorf("%d targets have %d series, want %d", n, got, want)
		}
		if !strings.Contains(body, "\ngeodns_targets{state=\"up\"} 7\n") {
			t.Errorf("%d targets are not counted", n)
		}
	}
}

// One value that can't be shown does not take the others with it, and is
// logged.
func TestBadLabel(t *testing.T) {
	from := sources(0)
	from.Zones = func(int) Zones { return Zones{Serving: 1, List: []Zone{{Name: "\xff."}}} }
	var log bytes.Buffer
	s := start(t, Endpoints{Metrics: NewRegistry(from), Log: slog.New(slog.NewTextHandler(&log, nil))})
	status, body, _ := get(t, s, "/metrics")
	if status != 200 || !strings.Contains(body, "\ngeodns_zones 1\n") {
		t.Errorf("status %d:\n%s", status, body)
	}
	if !strings.Contains(log.String(), "a scrape was not complete") {
		t.Errorf("logged: %s", &log)
	}
}

func TestHealth(t *testing.T) {
	var sick atomic.Bool
	s := start(t, Endpoints{
		Health: func() error {
			if sick.Load() {
				return errors.New("a worker\nended")
			}
			return nil
		},
		Ready: func() []string {
			if sick.Load() {
				return []string{"draining", "zone a. is broken"}
			}
			return nil
		},
	})
	tests := []struct {
		path, accept string
		sick         bool
		status       int
		body         string
	}{
		{"/healthz", "", false, 200, "ok\n"},
		{"/readyz", "", false, 200, "ok\n"},
		{"/readyz", "application/json", false, 200, `{"ok":true,"reasons":[]}` + "\n"},
		{"/healthz", "", true, 503, "a worker ended\n"},
		{"/readyz", "*/*", true, 503, "draining\nzone a. is broken\n"},
		{"/readyz", "application/json", true, 503, `{"ok":false,"reasons":["draining","zone a. is broken"]}` + "\n"},
		{"/nothing", "", false, 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		sick.Store(tt.sick)
		status, body, _ := get(t, s, tt.path, "Accept", tt.accept)
		if status != tt.status || body != tt.body {
			t.Errorf("%s (%s), sick %v: %d %q; want %d %q", tt.path, tt.accept, tt.sick, status, body, tt.status, tt.body)
		}
	}
	if status, body, _ := get(t, s, "/"); status != 200 || !strings.Contains(body, "/metrics") {
		t.Errorf("/: %d %q", status, body)
	}
	res, err := http.Post("http://"+s.Addr().String()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", res.StatusCode)
	}
}

func TestAddressTaken(t *testing.T) {
	s := start(t, Endpoints{})
	_, err := Listen(s.Addr(), Endpoints{Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("error %v", err)
	}
}

// A server that never served can be shut down.
func TestShutdownUnserved(t *testing.T) {
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Endpoints{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	again, err := Listen(s.Addr(), Endpoints{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("the port is not free again: %v", err)
	}
	_ = again.Shutdown(context.Background())
}

// No more than so many connections are served at once; the next one waits
// until one goes.
func TestLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(inner, 1)
	accepted := make(chan net.Conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var clients []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("a second connection is served beside the first")
	case <-time.After(20 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // gives one place back, not two
	second := <-accepted
	if len(l.places) != 1 {
		t.Errorf("%d places are taken, want 1", len(l.places))
	}
	_ = l.Close() // while Accept waits for a place
	<-ended
	for _, c := range append(clients, second) {
		_ = c.Close()
	}
}

// BenchmarkScrape collects and writes, as a scrape does, but for HTTP.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{0, MaxZones, 100_000} {
		b.Run(fmt.Sprintf("zones=%d", n), func(b *testing.B) {
			s := start(b, Endpoints{Metrics: NewRegistry(sources(n))})
			client := http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get("http://" + s.Addr().String() + "/metrics")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
}
