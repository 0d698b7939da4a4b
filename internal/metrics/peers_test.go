package metrics

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func peers(n int) func(int) Peers {
	return func(int) Peers {
		p := Peers{States: []Count{{"in-sync", 4}, {"silent", 1}}}
		for i := range n {
			addr := fmt.Sprintf("192.0.2.%d:53", i)
			p.List = append(p.List, Peer{Address: addr, Behind: i, Lag: 1.5, Errors: 7, Convergence: Histogram{
				Label: addr, Bounds: []float64{0.25, 1}, Counts: []uint64{3, 2, 1}, Sum: 9,
			}})
		}
		return p
	}
}

// Secondaries have series of their own, unless there are very many.
func TestPeers(t *testing.T) {
	from := sources(0)
	from.Peers = peers(3)
	s := start(t, Endpoints{Metrics: NewRegistry(from)})
	_, body, _ := get(t, s, "/metrics")
	for _, want := range []string{
		`geodns_peers{state="in-sync"} 4`,
		`geodns_peers{state="silent"} 1`,
		`geodns_peer_zones_behind{peer="192.0.2.2:53"} 2`,
		`geodns_peer_lag_seconds{peer="192.0.2.0:53"} 1.5`,
		`geodns_peer_errors_total{peer="192.0.2.0:53"} 7`,
		`geodns_peer_convergence_seconds_bucket{peer="192.0.2.1:53",le="1"} 5`,
		`geodns_peer_convergence_seconds_count{peer="192.0.2.1:53"} 6`,
		`geodns_peer_convergence_seconds_sum{peer="192.0.2.1:53"} 9`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	out, _ := cmd.CombinedOutput()
	if strings.Contains(string(out), "geodns_peer") {
		t.Errorf("promtool: %s", out)
	}
	for n, want := range map[int]int{MaxPeers: MaxPeers, MaxPeers + 1: 0} {
		from.Peers = peers(n)
		_, body, _ := get(t, start(t, Endpoints{Metrics: NewRegistry(from)}), "/metrics")
		if got := strings.Count(body, "geodns_peer_lag_seconds{"); got != want {
			t.Errorf("%d secondaries have %d lags, want %d", n, got, want)
		}
	}
}
