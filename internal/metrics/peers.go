package metrics

import "github.com/prometheus/client_golang/prometheus"

// MaxPeers is how many secondaries may be watched for each to have series of its
// own: one has some 20.
const MaxPeers = 100

// Peers is how far the secondaries are.
type Peers struct {
	States []Count // secondaries by state
	// List are the secondaries one by one; nil if there are very many.
	List []Peer
}

// Peer is one secondary.
type Peer struct {
	Address string
	Behind  int     // zones
	Lag     float64 // seconds
	Errors  uint64  // since the start
	// Convergence is how long versions took, in seconds; its label is Address.
	Convergence Histogram
}

// peerDescs names their metrics.
type peerDescs struct{ peers, behind, lag, convergence, errors *prometheus.Desc }

func newPeerDescs(desc func(name, help string, labels ...string) *prometheus.Desc) peerDescs {
	return peerDescs{
		peers:       desc("peers", "Secondaries, by state: in-sync, behind (of some zone, or ahead), silent (they don't answer), unknown (not all has been asked yet).", "state"),
		behind:      desc("peer_zones_behind", "Zones of which a secondary lacks a version, or all; left out if there are very many secondaries.", "peer"),
		lag:         desc("peer_lag_seconds", "Age of the oldest version that a secondary does not have yet; 0 if it lacks nothing.", "peer"),
		convergence: desc("peer_convergence_seconds", "Time from a version being served here to its being seen at a secondary.", "peer"),
		errors:      desc("peer_errors_total", "Questions to a secondary for its version that it did not answer, or not with one.", "peer"),
	}
}

func (d *peerDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.peers, d.behind, d.lag, d.convergence, d.errors}
}

func (c *collector) peers(s sink) {
	if c.from.Peers == nil {
		return
	}
	d, p := &c.d.peer, c.from.Peers(MaxPeers)
	for _, n := range p.States {
		s.gauge(d.peers, float64(n.N), n.Label)
	}
	if len(p.List) > MaxPeers {
		return
	}
	for i := range p.List {
		one := &p.List[i]
		s.gauge(d.behind, float64(one.Behind), one.Address)
		s.gauge(d.lag, one.Lag, one.Address)
		s.counter(d.errors, one.Errors, one.Address)
		s.histogram(d.convergence, one.Convergence)
	}
}
