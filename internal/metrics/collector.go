package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// collector makes the metrics of Sources at every scrape.
type collector struct {
	from Sources
	d    descs
}

// descs names all metrics.
type descs struct {
	requests, requestBytes, responsesSent, responseBytes   *prometheus.Desc
	types, features, rcodes, outcomes, dropped, errors     *prometheus.Desc
	truncated, sizes, durations                            *prometheus.Desc
	tcpOpen, tcpLimit, tcpEvents, listeners, listenersWant *prometheus.Desc
	tlsRequests, tlsHandshakes, tlsNotAfter                *prometheus.Desc
	zones, broken, records, serial, zoneRecords, loaded    *prometheus.Desc
	shrunk, loads, copies, exchanges, expires              *prometheus.Desc
	reloads, lastReload, lastReloadOK, build               *prometheus.Desc
	targets, turns, damped, drains, drill, publications    *prometheus.Desc
	names, storeErrors, failovers, writers                 *prometheus.Desc
	rate, capacity, spill, ramps                           *prometheus.Desc
	probes, probeSeconds, underWay                         *prometheus.Desc
	targetUp, targetSeconds, targetAt                      *prometheus.Desc
	isolated, held, anchors                                *prometheus.Desc
	peer                                                   peerDescs
}

func newDescs() descs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("geodns_"+name, help, labels, nil)
	}
	flow := []string{"proto", "family"}
	return descs{
		peer: newPeerDescs(desc),

		requests:      desc("requests_total", "Requests received, whatever was in them.", flow...),
		requestBytes:  desc("request_bytes_total", "Octets of requests, without the headers of the transport.", flow...),
		responsesSent: desc("responses_sent_total", "Responses sent.", flow...),
		responseBytes: desc("response_bytes_total", "Octets of responses, without the headers of the transport.", flow...),

		types:     desc("questions_total", "Questions that could be read, by QTYPE.", "type"),
		features:  desc("request_features_total", "Requests by what their EDNS holds.", "feature"),
		rcodes:    desc("responses_total", "Responses made, by RCODE.", "rcode"),
		outcomes:  desc("outcomes_total", "Questions by what became of them.", "outcome"),
		dropped:   desc("dropped_total", "Requests left without a response, by reason.", "reason"),
		errors:    desc("socket_errors_total", "System calls on sockets that failed, by call.", "call"),
		truncated: desc("responses_truncated_total", "Responses with TC set."),
		sizes:     desc("response_size_bytes", "Length of responses in octets.", "proto"),
		durations: desc("request_duration_seconds", "Time from reading a request to having sent its response; over UDP that of its batch.", "proto"),

		tcpOpen:       desc("tcp_connections", "Open TCP connections of clients."),
		tcpLimit:      desc("tcp_connections_limit", "How many TCP connections may be open."),
		tcpEvents:     desc("tcp_connection_events_total", "What happened to TCP connections.", "event"),
		tlsRequests:   desc("tls_requests_total", "Requests received over TLS; they count as TCP, too. Left out, as the others about TLS, if it is spoken nowhere."),
		tlsHandshakes: desc("tls_handshakes_total", "TLS handshakes, by result: ok, failed.", "result"),
		tlsNotAfter:   desc("tls_certificate_expiry_timestamp_seconds", "When the certificate that is served with expires, in Unix time."),
		listeners:     desc("listeners_running", "Loops that read the sockets and run."),
		listenersWant: desc("listeners_started", "Loops that read the sockets and should run."),

		zones:       desc("zones", "Zones that are answered from."),
		broken:      desc("zone_failures", "Zone files that are broken now."),
		shrunk:      desc("zone_shrunk", "Zone files that are refused because they lost too many records."),
		loads:       desc("zone_loads_total", "Versions of zone files that were read, by result: taken, refused.", "result"),
		records:     desc("records", "Records of all zones."),
		serial:      desc("zone_serial", "Serial of the SOA that is served; left out if there are very many zones.", "zone"),
		zoneRecords: desc("zone_records", "Records of a zone.", "zone"),
		loaded:      desc("zone_loaded_timestamp_seconds", "When the version of a zone that is served was read, in Unix time.", "zone"),

		copies:    desc("secondary_zones", "Zones that are taken from primaries, by state: serving, failing (served, but no primary can be asked), expired, waiting (nothing has come yet).", "state"),
		exchanges: desc("transfers_total", "Transfers out, NOTIFYs in and updates, by what became of them.", "kind"),
		expires:   desc("zone_expires_seconds", "Time until a zone that is taken from primaries expires, unless one confirms it; negative: it has; left out if there are very many zones.", "zone"),

		reloads:       desc("reloads_total", "Reloads by result: ok, broken (some zone is), failed (nothing was reloaded).", "result"),
		lastReload:    desc("last_reload_timestamp_seconds", "When the last reload ended, in Unix time; 0 before the first."),
		targets:       desc("targets", "Targets of probes, by state: up, down, unknown, refused (may not be probed).", "state"),
		turns:         desc("verdict_turns_total", "Verdicts that became another, by what they became.", "state"),
		drill:         desc("drill", "Whether a site is lost for a drill now: its probes are not sent."),
		damped:        desc("targets_damped", "Targets that flapped, and need more successes than their check says to be up again."),
		drains:        desc("drains", "Drains that are commanded, by state: active, scheduled.", "state"),
		names:         desc("steered_names", "Types of steered names, by how much is live: whole, reduced (something of it), nothing-live; left out if there are very many.", "state"),
		failovers:     desc("failovers", "Failovers, by which step serves: first, other, held (none is up, and the last one goes on).", "step"),
		writers:       desc("writers", "Nodes of a failover that say that they take writes: all but 1 is an alarm; left out if there are very many failovers.", "zone", "name", "type"),
		storeErrors:   desc("store_errors_total", "How often something could not be read from the store or written to it."),
		isolated:      desc("isolated", "Whether the server is cut off: no anchor answers, and no node outside its own site."),
		held:          desc("verdicts_held", "Targets that would be down, if the server were not isolated."),
		anchors:       desc("anchors", "Anchors, by state: answering, failing; left out if there are none.", "state"),
		rate:          desc("place_answers_per_second", "Answers a second that named a site or node with a capacity, in the last ten seconds; left out if there are very many.", "kind", "place", "zone"),
		capacity:      desc("place_capacity", "Capacity of a site or node, in answers a second of this server.", "kind", "place", "zone"),
		spill:         desc("place_spill_ratio", "Part of its clients that a site or node with a capacity passes over, from 0 to 1.", "kind", "place", "zone"),
		ramps:         desc("ramps", "Sites and records that have returned and take a part of their clients."),
		publications:  desc("verdict_publications_total", "How often verdicts were put into the answers."),
		probes:        desc("probes_total", "Probes that ended, by type and result: ok, failed, local (told of this machine only).", "type", "result"),
		probeSeconds:  desc("probe_duration_seconds", "Time that probes took.", "type"),
		underWay:      desc("probes_running", "Probes under way."),
		targetUp:      desc("target_up", "Verdict of a target: 1 up, 0 down, NaN unknown; left out if there are very many targets.", "address", "check"),
		targetSeconds: desc("target_probe_seconds", "Time that the last probe of a target took.", "address", "check"),
		targetAt:      desc("target_probe_timestamp_seconds", "When the last probe of a target ended, in Unix time; 0 before the first.", "address", "check"),

		lastReloadOK: desc("last_reload_success", "Whether the last reload left nothing broken."),
		build:        desc("build_info", "Which program this is; always 1.", "version", "goversion"),
	}
}

// NewRegistry returns a registry with the metrics of from, of the Go runtime and
// of the process.
func NewRegistry(from Sources) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{from: from, d: newDescs()},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	d := &c.d
	for _, desc := range []*prometheus.Desc{
		d.requests, d.requestBytes, d.responsesSent, d.responseBytes,
		d.types, d.features, d.rcodes, d.outcomes, d.dropped, d.errors,
		d.truncated, d.sizes, d.durations,
		d.tcpOpen, d.tcpLimit, d.tcpEvents, d.tlsRequests, d.tlsHandshakes, d.tlsNotAfter, d.listeners, d.listenersWant,
		d.zones, d.broken, d.shrunk, d.loads, d.records, d.serial, d.zoneRecords, d.loaded,
		d.copies, d.exchanges, d.expires,
		d.reloads, d.lastReload, d.lastReloadOK, d.build,
		d.targets, d.turns, d.damped, d.drill, d.drains, d.names, d.failovers, d.writers, d.storeErrors, d.publications,
		d.rate, d.capacity, d.spill, d.ramps,
		d.isolated, d.held, d.anchors, d.probes, d.probeSeconds, d.underWay, d.targetUp, d.targetSeconds, d.targetAt,
	} {
		out <- desc
	}
	for _, desc := range d.peer.all() {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sink{out}
	c.traffic(s)
	c.zones(s)
	c.reloads(s)
	c.nodes(s)
	c.peers(s)
	s.gauge(c.d.build, 1, c.from.Build.Version, c.from.Build.GoVersion)
}

func (c *collector) traffic(s sink) {
	d, t := &c.d, c.from.Traffic()
	for _, f := range t.Flows {
		s.counter(d.requests, f.Requests, f.Proto, f.Family)
		s.counter(d.requestBytes, f.RequestBytes, f.Proto, f.Family)
		s.counter(d.responsesSent, f.Responses, f.Proto, f.Family)
		s.counter(d.responseBytes, f.ResponseBytes, f.Proto, f.Family)
	}
	s.counts(d.types, t.Types)
	s.counts(d.features, t.Features)
	s.counts(d.rcodes, t.Rcodes)
	s.counts(d.outcomes, t.Outcomes)
	s.counts(d.dropped, t.Dropped)
	s.counts(d.errors, t.Errors)
	s.counts(d.tcpEvents, t.TCPEvents)
	s.counter(d.truncated, t.Truncated)
	for _, h := range t.Sizes {
		s.histogram(d.sizes, h)
	}
	for _, h := range t.Durations {
		s.histogram(d.durations, h)
	}
	s.gauge(d.tcpOpen, float64(t.TCPOpen))
	s.gauge(d.tcpLimit, float64(t.TCPLimit))
	if t.TLS != nil {
		s.counter(d.tlsRequests, t.TLS.Requests)
		s.counts(d.tlsHandshakes, t.TLS.Handshakes)
		s.gauge(d.tlsNotAfter, float64(t.TLS.NotAfter.Unix()))
	}
	s.gauge(d.listeners, float64(t.ListenersRunning))
	s.gauge(d.listenersWant, float64(t.ListenersStarted))
}

func (c *collector) zones(s sink) {
	d, z := &c.d, c.from.Zones(MaxZones)
	s.gauge(d.zones, float64(z.Serving))
	s.gauge(d.broken, float64(z.Broken))
	s.gauge(d.shrunk, float64(z.Shrunk))
	s.counts(d.loads, []Count{{"taken", z.Loads}, {"refused", z.Failures}})
	s.gauge(d.records, float64(z.Records))
	s.counts(d.exchanges, z.Exchanges)
	for _, n := range z.Copies {
		s.gauge(d.copies, float64(n.N), n.Label)
	}
	if len(z.List) > MaxZones {
		return
	}
	for i := range z.List {
		one := &z.List[i]
		s.gauge(d.serial, float64(one.Serial), one.Name)
		s.gauge(d.zoneRecords, float64(one.Records), one.Name)
		if !one.Loaded.IsZero() {
			s.gauge(d.loaded, float64(one.Loaded.UnixMilli())/1e3, one.Name)
		}
		if !one.Expires.IsZero() {
			s.gauge(d.expires, time.Until(one.Expires).Seconds(), one.Name)
		}
	}
}

func (c *collector) reloads(s sink) {
	d, r := &c.d, c.from.Reloads()
	s.counts(d.reloads, r.Results)
	at, ok := 0.0, 0.0
	if !r.Last.IsZero() {
		at = float64(r.Last.UnixMilli()) / 1e3
	}
	if r.OK {
		ok = 1
	}
	s.gauge(d.lastReload, at)
	s.gauge(d.lastReloadOK, ok)
}

func (c *collector) nodes(s sink) {
	d, n := &c.d, c.from.Nodes(MaxTargets)
	for _, t := range n.Targets {
		s.gauge(d.targets, float64(t.N), t.Label)
	}
	for _, t := range n.Drains {
		s.gauge(d.drains, float64(t.N), t.Label)
	}
	for _, t := range n.Names {
		s.gauge(d.names, float64(t.N), t.Label)
	}
	for _, t := range n.Failovers {
		s.gauge(d.failovers, float64(t.N), t.Label)
	}
	for i := range n.Writers {
		if x := &n.Writers[i]; len(n.Writers) <= MaxWriters {
			s.gauge(d.writers, float64(x.N), x.Zone, x.Name, x.Type)
		}
	}
	s.counter(d.storeErrors, n.StoreErrors)
	s.counts(d.turns, n.Turns)
	s.gauge(d.ramps, float64(n.Ramps))
	if len(n.Loads) <= MaxTargets {
		for i := range n.Loads {
			l := &n.Loads[i]
			s.gauge(d.rate, l.Rate, l.Kind, l.Name, l.Zone)
			s.gauge(d.capacity, l.Capacity, l.Kind, l.Name, l.Zone)
			s.gauge(d.spill, l.Spill, l.Kind, l.Name, l.Zone)
		}
	}
	s.gauge(d.damped, float64(n.Damped))
	c.isolation(s, &n)
	lost := 0.0
	if n.Drill {
		lost = 1
	}
	s.gauge(d.drill, lost)
	s.counter(d.publications, n.Publications)
	s.gauge(d.underWay, float64(n.UnderWay))
	for i := range n.Probes {
		p := &n.Probes[i]
		for _, r := range p.Results {
			s.counter(d.probes, r.N, p.Type, r.Label)
		}
		s.histogram(d.probeSeconds, p.Durations)
	}
	if len(n.List) > MaxTargets {
		return
	}
	for i := range n.List {
		t, at := &n.List[i], 0.0
		if !t.At.IsZero() {
			at = float64(t.At.UnixMilli()) / 1e3
		}
		s.gauge(d.targetUp, t.Up, t.Address, t.Check)
		s.gauge(d.targetSeconds, t.Seconds, t.Address, t.Check)
		s.gauge(d.targetAt, at, t.Address, t.Check)
	}
}

func (c *collector) isolation(s sink, n *Nodes) {
	isolated := 0.0
	if n.Isolated {
		isolated = 1
	}
	s.gauge(c.d.isolated, isolated)
	s.gauge(c.d.held, float64(n.Held))
	for _, a := range n.Anchors {
		s.gauge(c.d.anchors, float64(a.N), a.Label)
	}
}

// sink makes metrics of values. A value that makes none (its label is no UTF-8)
// becomes an error of the scrape, which leaves the others alone.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) value(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(desc, kind, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	s.out <- m
}

func (s sink) gauge(desc *prometheus.Desc, v float64, labels ...string) {
	s.value(desc, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(desc *prometheus.Desc, v uint64, labels ...string) {
	s.value(desc, prometheus.CounterValue, float64(v), labels...)
}

func (s sink) counts(desc *prometheus.Desc, list []Count) {
	for _, c := range list {
		s.counter(desc, c.N, c.Label)
	}
}

func (s sink) histogram(desc *prometheus.Desc, h Histogram) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	total := uint64(0)
	for i, n := range h.Counts {
		total += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = total
		}
	}
	m, err := prometheus.NewConstHistogram(desc, total, h.Sum, buckets, h.Label)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	s.out <- m
}
