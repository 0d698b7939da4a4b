package metrics

import "time"

// MaxZones is how many zones may be served for each to have series of its own.
// With more there are only sums: a scrape stays quick, and the monitoring
// system's memory is not filled by one server. 300 zones make 900 series.
const MaxZones = 300

// MaxTargets is the same for the targets of probes.
const MaxTargets = 500

// MaxWriters is the same for failovers that look for a writer.
const MaxWriters = 300

// Sources are where the values come from. All are called at every scrape, from
// any goroutine.
type Sources struct {
	Traffic func() Traffic
	// Zones is asked to list the zones one by one if there are no more than
	// limit of them.
	Zones   func(limit int) Zones
	Reloads func() Reloads
	// Nodes is asked to list the targets one by one if there are no more than
	// limit of them.
	Nodes func(limit int) Nodes
	// Peers is asked to list the secondaries one by one if there are no more than
	// limit of them; nil: none are watched.
	Peers func(limit int) Peers
	Build Build
}

// Traffic is what the sockets have counted since the start.
type Traffic struct {
	Flows     []Flow
	Types     []Count // questions by type
	Features  []Count // requests by what their EDNS holds
	Rcodes    []Count // responses by RCODE
	Outcomes  []Count // questions by what became of them
	Dropped   []Count // requests left without a response, by reason
	Errors    []Count // system calls that failed, by call
	TCPEvents []Count // what happened to TCP connections
	Truncated uint64  // responses with TC set

	Sizes     []Histogram // of responses, in octets
	Durations []Histogram // in seconds

	TCPOpen, TCPLimit int // connections now, and at most

	// TLS is nil if it is spoken nowhere.
	TLS *TLS

	// Listeners are the loops that read the sockets.
	ListenersRunning, ListenersStarted int
}

// TLS is what there was over TLS; all of it counts as TCP, too.
type TLS struct {
	Requests   uint64
	Handshakes []Count   // by result
	NotAfter   time.Time // when the certificate expires
}

// Count is a value with its label.
type Count struct {
	Label string
	N     uint64
}

// Flow is what passed over one transport and address family.
type Flow struct {
	Proto, Family            string
	Requests, RequestBytes   uint64
	Responses, ResponseBytes uint64
}

// Histogram is a distribution, of what is so labelled (a transport, a type of
// probes). Bounds are the upper bounds
// of the buckets, rising. Counts has one value a bucket, not yet summed up, and
// may have one more for what lies above all bounds.
type Histogram struct {
	Label  string
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Zones is what is served.
type Zones struct {
	Serving int // zones that are answered from
	Broken  int // zone files that are broken, whether an older version is served or none
	Records int // of all zones as their files were read
	Shrunk  int // those of the broken files that lost too many records
	// Since the start: versions that were taken, and that were not.
	Loads, Failures uint64
	List            []Zone
	// Copies are the zones that are taken from primaries, by state.
	Copies []Count
	// Exchanges are the transfers out, NOTIFYs in and updates since the start, by
	// what became of them.
	Exchanges []Count
}

// Zone is one zone that is served.
type Zone struct {
	Name    string // with a final dot
	Serial  uint32
	Records int
	// Loaded is when this version was read from its file, Expires when a copy is not
	// to be served any more; the zero time: it is no such zone.
	Loaded, Expires time.Time
}

// Reloads is what became of reloads since the start.
type Reloads struct {
	Results []Count   // by result
	Last    time.Time // when the last one ended; the start is none
	// OK: the last one found a valid configuration and no broken zone; true if
	// there was none yet.
	OK bool
}

// Nodes is what is known of the nodes.
type Nodes struct {
	Targets []Count // targets by state
	Turns   []Count // verdicts that became another, by what they became
	Drill   bool    // a site is lost for a drill
	Damped  int     // targets that flapped, and have to prove themselves for longer
	Probes  []Probes
	// UnderWay are the probes of this moment.
	UnderWay     int
	Publications uint64 // of verdicts
	Drains       []Count
	// Isolated: the server is cut off, and the verdicts of Held targets are held.
	// Anchors are by whether they answer; nil: there are none.
	Isolated bool
	Held     int
	Anchors  []Count
	// Names are the types of steered names, by how much of each is live; nil if
	// there are too many to look at.
	Names []Count
	// Failovers are by which step serves. Writers are those that look for one.
	Failovers []Count
	Writers   []Writers
	// StoreErrors is how often something could not be stored.
	StoreErrors uint64
	// Loads are those of sites and nodes with a capacity; more than MaxTargets are
	// left out. Ramps is how many sites and records are being ramped up.
	Loads []Load
	Ramps int
	List  []Target
}

// Load is how full a site or node with a capacity is.
type Load struct {
	Kind, Name, Zone string
	Rate, Capacity   float64 // answers a second
	Spill            float64 // the part of its clients that is passed over, from 0 to 1
}

// Writers is how many nodes of a failover say that they take writes.
type Writers struct {
	Zone, Name, Type string
	N                int
}

// Probes are those of one type.
type Probes struct {
	Type      string
	Results   []Count // by result
	Durations Histogram
}

// Target is an address that is probed by a check.
type Target struct {
	Address, Check string
	// Up is 1, 0 if it is down, and not a number while it is unknown.
	Up      float64
	Seconds float64   // that the last probe took
	At      time.Time // when it ended; zero: there was none
}

// Build is which program this is.
type Build struct{ Version, GoVersion string }
