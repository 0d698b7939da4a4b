package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/resolver"
	"geodns/internal/server"
)

// What the control socket and the HTTP server are handed to read.

const (
	maxReasons = 20  // broken zones that readiness names
	maxBroken  = 100 // broken zones that status lists
)

// rcodeNames are the RCODEs by number (RFC 6895 2.3); the rest has none.
var rcodeNames = [server.Rcodes]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
	16: "BADVERS", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC", 23: "BADCOOKIE",
}

// health is why the process is not worth keeping.
func (d *instance) health() error {
	if d.draining.Load() {
		return errors.New("shutting down")
	}
	if running, started := d.server.Loops(); running < started {
		return fmt.Errorf("%d of %d socket loops have ended", started-running, started)
	}
	return nil
}

// reasons are why not all is as configured, for readiness and status.
func (d *instance) reasons() []string {
	reasons := []string{}
	if err := d.health(); err != nil {
		reasons = append(reasons, err.Error())
	}
	if text := d.isolated(); text != "" {
		reasons = append(reasons, text)
	}
	if text := d.history.lastError(); text != "" {
		reasons = append(reasons, "the last reload failed: "+strings.ReplaceAll(text, "\n", " "))
	}
	reasons = append(reasons, d.certificateReasons()...)
	reasons = append(reasons, d.copyReasons()...)
	broken := d.allBroken()
	for i := range broken {
		if i == maxReasons {
			reasons = append(reasons, fmt.Sprintf("%d more zone files are broken", len(broken)-i))
			break
		}
		reasons = append(reasons, brokenReason(&broken[i]))
	}
	return reasons
}

func brokenReason(z *control.Zone) string {
	what := "zone " + z.Name
	if z.Name == "" {
		what = z.File
	}
	text := what + " is broken since " + z.Since.UTC().Format("2006-01-02T15:04:05Z")
	if z.State == control.StateKept {
		text += fmt.Sprintf(", serial %d stays in service", z.Serial)
	}
	if len(z.Findings) > 0 {
		text += ": " + z.Findings[0].String()
	}
	return text
}

// status is for the control socket.
func (d *instance) status(all bool) control.Status {
	zones, broken := d.zones.Counts(), d.allBroken()
	c := d.server.Counters()
	s := control.Status{
		Version:   thisVersion(),
		PID:       os.Getpid(),
		Started:   d.started,
		Config:    d.configPath,
		Listen:    []string{},
		TLS:       []string{},
		Watch:     d.watcher.How(),
		Draining:  d.draining.Load(),
		Zones:     zones.Zones,
		Records:   zones.Records,
		Broken:    slices.Clone(broken[:min(len(broken), maxBroken)]),
		BrokenAll: len(broken),
		Queries: control.Queries{
			UDP:            c[server.UDP4Queries] + c[server.UDP6Queries],
			TCP:            c[server.TCP4Queries] + c[server.TCP6Queries],
			Responses:      c[server.UDP4Replies] + c[server.UDP6Replies] + c[server.TCP4Replies] + c[server.TCP6Replies],
			Dropped:        c[server.Dropped] + c[server.Unanswered] + c[server.Panics] + c[server.SendDropped],
			TCPConnections: int(c[server.TCPOpen]),
		},
		Reasons:    d.reasons(),
		LastReload: d.history.last(),
		Nodes:      d.nodes(all),
		Drill:      d.drillState(),
	}
	beside, records := d.servedBeside()
	s.Zones, s.Records = s.Zones+beside, s.Records+records
	for i := range s.Broken {
		d.servedAs(&s.Broken[i]) // updates go on while a file is broken
	}
	s.Queries.Total = s.Queries.UDP + s.Queries.TCP
	s.Queries.PerSecond, s.Queries.Seconds = d.rate.mean()
	for _, a := range d.server.Addrs() {
		s.Listen = append(s.Listen, a.String())
	}
	for _, a := range d.server.TLSAddrs() {
		s.TLS = append(s.TLS, a.String())
	}
	if d.http != nil {
		s.HTTP = d.http.Addr().String()
	}
	return s
}

// queries is how many requests there were, for the rate.
func (d *instance) queries() uint64 {
	c := d.server.Counters()
	return c[server.UDP4Queries] + c[server.UDP6Queries] + c[server.TCP4Queries] + c[server.TCP6Queries]
}

// traffic is for metrics.
func (d *instance) traffic() metrics.Traffic {
	c := d.server.Counters()
	t := metrics.Traffic{
		Flows: []metrics.Flow{
			flow(&c, "udp", "ipv4", server.UDP4Queries), flow(&c, "udp", "ipv6", server.UDP6Queries),
			flow(&c, "tcp", "ipv4", server.TCP4Queries), flow(&c, "tcp", "ipv6", server.TCP6Queries),
		},
		Features: []metrics.Count{{Label: "edns", N: c[server.EDNS]}, {Label: "do", N: c[server.DNSSEC]}, {Label: "ecs", N: c[server.Subnet]}},
		Dropped: []metrics.Count{
			{Label: "unusable", N: c[server.Dropped]},
			{Label: "unanswered", N: c[server.Unanswered]},
			{Label: "panic", N: c[server.Panics]},
			{Label: "socket-full", N: c[server.SendDropped]},
		},
		Errors: []metrics.Count{
			{Label: "receive", N: c[server.ReceiveErrors]},
			{Label: "send", N: c[server.SendErrors]},
			{Label: "accept", N: c[server.TCPAcceptErrors]},
		},
		TCPEvents: []metrics.Count{
			{Label: "accepted", N: c[server.TCPAccepted]},
			{Label: "refused", N: c[server.TCPRefused]},
			{Label: "evicted", N: c[server.TCPEvicted]},
			{Label: "timeout", N: c[server.TCPTimeouts]},
		},
		Truncated: c[server.Truncated],
		TCPOpen:   int(c[server.TCPOpen]),
		TCPLimit:  d.cfg.Limits.TCPClients,
	}
	t.ListenersRunning, t.ListenersStarted = d.server.Loops()
	t.TLS = d.tlsMetrics(&c)
	t.Outcomes = append(t.Outcomes, metrics.Count{Label: "rejected", N: c[server.Rejected]})
	for o := range resolver.Outcome(resolver.Outcomes) {
		t.Outcomes = append(t.Outcomes, metrics.Count{Label: o.String(), N: c.Outcome(o)})
	}
	for slot := range server.Types {
		t.Types = append(t.Types, metrics.Count{Label: server.TypeName(slot), N: c.Type(slot)})
	}
	t.Rcodes = rcodes(&c)
	addHistograms(&t, &c)
	return t
}

func flow(c *server.Counters, proto, family string, first server.Counter) metrics.Flow {
	return metrics.Flow{
		Proto: proto, Family: family,
		Requests: c[first], RequestBytes: c[first+1], Responses: c[first+2], ResponseBytes: c[first+3],
	}
}

// rcodes has those that have a name, and the rest together.
func rcodes(c *server.Counters) []metrics.Count {
	var out []metrics.Count
	other := uint64(0)
	for i, name := range rcodeNames {
		if name == "" {
			other += c.Rcode(i)
			continue
		}
		out = append(out, metrics.Count{Label: name, N: c.Rcode(i)})
	}
	return append(out, metrics.Count{Label: "other", N: other})
}

func addHistograms(t *metrics.Traffic, c *server.Counters) {
	for _, p := range []struct {
		name      string
		transport server.Transport
		octets    uint64
	}{
		{"udp", server.OverUDP, c[server.UDP4ReplyBytes] + c[server.UDP6ReplyBytes]},
		{"tcp", server.OverTCP, c[server.TCP4ReplyBytes] + c[server.TCP6ReplyBytes]},
	} {
		t.Sizes = append(t.Sizes, metrics.Histogram{
			Label: p.name, Bounds: server.SizeBounds(), Counts: c.Sizes(p.transport), Sum: float64(p.octets),
		})
		counts, sum := c.Durations(p.transport)
		t.Durations = append(t.Durations, metrics.Histogram{
			Label: p.name, Bounds: server.DurationBounds(), Counts: counts, Sum: sum,
		})
	}
}

// thisVersion is this build's.
func thisVersion() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(version, info)
}

func build() metrics.Build {
	return metrics.Build{Version: thisVersion(), GoVersion: runtime.Version()}
}
