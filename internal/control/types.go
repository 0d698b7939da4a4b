package control

import "time"

// Status is what GET /v1/status answers.
type Status struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Config    string    `json:"config"`
	Listen    []string  `json:"listen"`
	TLS       []string  `json:"tls"`   // where TLS is spoken
	HTTP      string    `json:"http"`  // where, "" if nowhere
	Watch     string    `json:"watch"` // how zone files are watched: events, polling .., off
	Draining  bool      `json:"draining"`
	Zones     int       `json:"zones"`   // that are answered from
	Records   int       `json:"records"` // of all zones
	Broken    []Zone    `json:"broken"`  // zone files, the first 100
	BrokenAll int       `json:"broken-all"`
	Queries   Queries   `json:"queries"`
	Nodes     Nodes     `json:"nodes"`
	// Drill is the one that is on; null: none.
	Drill *DrillState `json:"drill"`
	// Reasons are those of readyz: why not all is as configured.
	Reasons    []string `json:"reasons"`
	LastReload *Reload  `json:"last-reload"` // null before the first
}

// Queries is what was asked since the start.
type Queries struct {
	Total     uint64  `json:"total"`
	UDP       uint64  `json:"udp"`
	TCP       uint64  `json:"tcp"`
	Responses uint64  `json:"responses"`
	Dropped   uint64  `json:"dropped"` // received and left without a response
	PerSecond float64 `json:"per-second"`
	// Seconds is how long the time is of which PerSecond is the mean.
	Seconds        float64 `json:"seconds"`
	TCPConnections int     `json:"tcp-connections"` // open now
}

// The states of a zone.
const (
	StateServing = "serving" // its file is good and served
	StateKept    = "kept"    // its file is broken, an older version is served
	StateBroken  = "broken"  // its file is broken and makes no zone: SERVFAIL
)

// Zone is one zone, or a file that makes none.
type Zone struct {
	Name    string `json:"zone"` // with a final dot; "" if the file tells none
	File    string `json:"file"` // "" of a zone that is taken from primaries
	State   string `json:"state"`
	Serial  uint32 `json:"serial"`  // that is served
	Records int    `json:"records"` // of what is served; where it is its file's: as that was read
	// Loaded is when the version that is served was read; the zero time if none
	// is.
	Loaded time.Time `json:"loaded"`
	// Since is when the file was found to be broken.
	Since    time.Time `json:"since"`
	Findings []Finding `json:"findings"` // the first 20
	// FindingsAll is how many there are.
	FindingsAll int `json:"findings-all"`
	// Copy is how it stands with a zone that is taken from primaries; null: it is
	// ours.
	Copy *Copy `json:"copy"`
	// Told are those who are told of its versions.
	Told []Told `json:"told"`
}

// Broken reports whether the zone's file is.
func (z *Zone) Broken() bool { return z.State == StateKept || z.State == StateBroken }

// Finding is one thing that is wrong in a file.
type Finding struct {
	At       string `json:"at"`       // file:line:column
	Severity string `json:"severity"` // error or warning
	Message  string `json:"message"`
	Remedy   string `json:"remedy"`
	Rule     string `json:"rule"`
}

// String is the finding in one line, as geodns check prints it.
func (f Finding) String() string {
	s := f.At + ": "
	if f.Severity == "warning" {
		s += "warning: "
	}
	s += f.Message
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

// Reload is what a reload did.
type Reload struct {
	At      time.Time `json:"at"`      // when it ended
	Seconds float64   `json:"seconds"` // how long it took
	// Error: nothing was reloaded, because of this.
	Error   string   `json:"error"`
	Changed []Zone   `json:"changed"` // zones of which a version was published
	Gone    []string `json:"gone"`    // zones that are no longer served
	Broken  []Zone   `json:"broken"`  // files that are broken now
	// The lists have at most 1000 entries; these are how many there are.
	ChangedAll int `json:"changed-all"`
	GoneAll    int `json:"gone-all"`
	BrokenAll  int `json:"broken-all"`
	// Warnings are about the configuration.
	Warnings []string `json:"warnings"`
}

// OK reports whether the reload left nothing broken.
func (r *Reload) OK() bool { return r.Error == "" && r.BrokenAll == 0 }

// Question is what GET /v1/explain asks about, each part as it is written on
// the command line.
type Question struct {
	Name, Type string
	Client     string // the address that asks
	ECS        string // a prefix; "": no client subnet
	Draw       string // the random number; "": a new one
}

// options is the body of POST requests.
type options struct {
	Force bool `json:"force"`
}

// failure is the body of every answer that is not 200.
type failure struct {
	Error string `json:"error"`
}
