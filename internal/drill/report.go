package drill

import "time"

// Event is one line of what a running drill tells. One of its fields is set.
type Event struct {
	// Plan comes first. Refused: that was all, since names would lose their last
	// live node.
	Plan    *Plan   `json:"plan,omitempty"`
	Refused bool    `json:"refused,omitempty"`
	Begun   *State  `json:"begun,omitempty"`
	Tick    *Tick   `json:"tick,omitempty"`
	Report  *Report `json:"report,omitempty"`
}

// State is a drill that is on.
type State struct {
	Site  string    `json:"site"`
	Zone  string    `json:"zone"` // "": all that declare the site
	How   How       `json:"how"`
	Since time.Time `json:"since"`
	// Until is when it ends by itself.
	Until time.Time `json:"until"`
	// Over: the probes are sent again, and what returns is waited for.
	Over bool `json:"over"`
}

// Tick is how a drill is at a moment.
type Tick struct {
	// Seconds are since it began or, if Over, since it ended; Left are until it
	// ends, or is no longer waited for.
	Seconds float64 `json:"seconds"`
	Left    float64 `json:"left-seconds"`
	Over    bool    `json:"over"`
	// Gone is how many of the names are no longer answered with the site's
	// records, Back how many are answered from all again.
	Names int `json:"names"`
	Gone  int `json:"gone"`
	Back  int `json:"back"`
	// Answers are those of the last second.
	Answers []Answers `json:"answers"`
	// PerSecond is the rate of all clients' questions.
	PerSecond float64 `json:"per-second"`
}

// Answers is how many answers named a site first.
type Answers struct {
	Site string `json:"site"` // "": a record of no site; or "no data"
	N    uint64 `json:"n"`
}

// Report is what was measured.
type Report struct {
	State
	Ended time.Time `json:"ended"`
	// End is why it ended.
	End string `json:"end"`
	// Targets were lost, and Probes were not sent.
	Targets int        `json:"targets"`
	Probes  uint64     `json:"probes-not-sent"`
	Names   []Measured `json:"names"`
	// NamesAll is how many the loss is about: the first MaxWatched were watched.
	NamesAll int `json:"names-all"`
	// Held: each name that was to leave the site did, in its time. Back: each is
	// answered from as much as before.
	Held bool `json:"held"`
	Back bool `json:"back"`
}

// OK reports whether all was as promised.
func (r *Report) OK() bool { return r.Held && r.Back }

// The verdicts on a name.
const (
	Held      = "held"       // the site left its answers in time
	Broken    = "broken"     // it didn't
	NotJudged = "not-judged" // see Why
)

// Measured is what was measured of one type of a name. Times are in
// milliseconds, and null for what didn't come.
type Measured struct {
	Zone    string `json:"zone"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
	// Promise is how long after the beginning the last answer may lead there.
	Promise float64 `json:"promise-ms"`
	// FirstOut is when the first record was no longer live, Gone when the last
	// answer was over that leads there: after the beginning.
	FirstOut *float64 `json:"first-out-ms"`
	Gone     *float64 `json:"gone-ms"`
	// FirstBack is when an answer leads there again, Back when as many records
	// are live as before: after the end.
	FirstBack *float64 `json:"first-back-ms"`
	Back      *float64 `json:"back-ms"`
	// What was answered to the clients that were sampled, by site.
	Before []Answers `json:"before"`
	During []Answers `json:"during"`
	After  []Answers `json:"after"`
}
