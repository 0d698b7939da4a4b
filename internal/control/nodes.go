package control

import "time"

// MaxListed is how many entries the lists of Nodes have, if not all are asked
// for: what is wrong comes first.
const MaxListed = 50

// Nodes is how the nodes are, and what the steered names are answered from.
type Nodes struct {
	Counts Counts `json:"counts"` // of targets
	// Isolation is null without anchors.
	Isolation *Isolation `json:"isolation"`
	Drains    []Drain    `json:"drains"`
	// Unstored is why the drains are lost at a restart; "": they are not.
	Unstored string `json:"drains-unstored"`
	// Sides are the failovers, those first that are in alarm, then those that
	// aren't on their first step; SidesUnstored is why they are lost at a restart.
	Sides         []Side `json:"sides"`
	SidesAll      int    `json:"sides-all"`
	SidesUnstored string `json:"sides-unstored"`
	// The lists may be shorter than there are entries: see MaxListed.
	Places     []Place  `json:"places"`
	PlacesAll  int      `json:"places-all"`
	Targets    []Target `json:"targets"`
	TargetsAll int      `json:"targets-all"`
	Names      []Name   `json:"names"`
	NamesAll   int      `json:"names-all"`
	// Loads are those of sites and nodes with a capacity, the fullest first; Ramps
	// what has returned and takes a part of its clients.
	Loads    []Load `json:"loads"`
	LoadsAll int    `json:"loads-all"`
	Ramps    []Ramp `json:"ramps"`
	RampsAll int    `json:"ramps-all"`
	// NamesTroubled are those of which not all records are live and undrained.
	NamesTroubled int `json:"names-troubled"`
}

// Counts is how many targets there are.
type Counts struct {
	Up      int `json:"up"`
	Down    int `json:"down"`
	Unknown int `json:"unknown"`
	Refused int `json:"refused"` // may not be probed
	Stale   int `json:"stale"`   // down, and without a result for long
	Joining int `json:"joining"` // new, and waited for; not among the unknown
	Damped  int `json:"damped"`  // flapped, and have to prove themselves for longer
	Probes  int `json:"probes"`  // under way
}

// Drain is a command that takes a site or node out of the answers.
type Drain struct {
	Name string `json:"name"`
	Zone string `json:"zone"` // that declares it; "": all that do
	// Active: it has begun. From is when it begins or has begun, Until when it
	// ends; the zero time: when it is taken back.
	Active bool `json:"active"`
	// Primary: the zone's primary says so, and this server obeys; else it was
	// commanded here.
	Primary bool      `json:"by-primary"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Reason  string    `json:"reason"`
}

// Records says how many records may be answered.
type Records struct {
	Live    int `json:"live"`    // live and not drained
	Drained int `json:"drained"` // whatever their verdict
	All     int `json:"all"`
}

// Well reports whether all of them may be.
func (r *Records) Well() bool { return r.Live == r.All }

// The kinds of places.
const (
	KindSite = "site"
	KindNode = "node"
)

// Place is a site or a node that a zone declares and policies use.
type Place struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Zone string `json:"zone"` // that declares it
	// Drained is who says so: "by the zone", "by command"; "": nobody.
	Drained string  `json:"drained-by"`
	Records Records `json:"records"`
}

// Load is how full a site or node with a capacity is, at this server.
type Load struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Zone string `json:"zone"` // that declares it
	// Measured: there was a whole interval. Rate is how many answers a second
	// named the place in the last one, Capacity how many it takes.
	Measured bool    `json:"measured"`
	Rate     float64 `json:"answers-per-second"`
	Capacity uint64  `json:"capacity"`
	// Spill is which part of its clients it passes over, in percent.
	Spill float64 `json:"spill-percent"`
}

// Ramp is a site or an address that has returned, and takes a share of its
// clients that grows.
type Ramp struct {
	Name string `json:"name"` // that is steered
	Zone string `json:"zone"`
	// Site is the site's label, or Address the record's; the other is "".
	Site    string `json:"site"`
	Address string `json:"address"`
	// Share is in percent, and whole Until then.
	Share float64   `json:"share-percent"`
	Until time.Time `json:"until"`
}

// Target is an address that is probed by a check.
type Target struct {
	Address string `json:"address"`
	Check   string `json:"check"` // its label
	Zone    string `json:"zone"`  // that declares the check
	Type    string `json:"type"`
	Text    string `json:"check-text"` // the whole check
	// Verdict is up, down, unknown or joining, and Since when it became that; the zero
	// time: it is as at the start.
	Verdict string    `json:"verdict"`
	Since   time.Time `json:"since"`
	Stale   bool      `json:"stale"`
	Joining bool      `json:"joining"`
	// Held: it would be down, if this server were not isolated.
	Held    bool   `json:"held"`
	Refused string `json:"refused"` // why it is not probed; "": it is
	// OK, Reason and Seconds are of the last probe, At is when it ended; the zero
	// time: there was none yet.
	OK      bool      `json:"ok"`
	Reason  string    `json:"reason"`
	Seconds float64   `json:"seconds"`
	At      time.Time `json:"at"`
	// Next is when the next probe begins; the zero time: one is under way.
	Next time.Time `json:"next"`
	// Fails and Successes are in a row; Fall and Rise are how many turn the
	// verdict now, Damped if Rise is raised because it flapped.
	Fails     int  `json:"fails"`
	Successes int  `json:"successes"`
	Fall      int  `json:"fall"`
	Rise      int  `json:"rise"`
	Damped    bool `json:"damped"`
}

// StageNormal is that of a name that is answered from live records.
const StageNormal = "normal"

// Name is one type of a steered name.
type Name struct {
	Name   string `json:"name"`
	Zone   string `json:"zone"`
	Type   string `json:"type"`
	Policy string `json:"policy"`
	// Stage is how far down the chain the answer is found: normal, below-floor,
	// held, as-if-live, as-if-undrained, last-resort, nothing or no-writer.
	Stage   string       `json:"stage"`
	Records Records      `json:"records"`
	Sites   []SiteRecord `json:"sites"`
}

// Well reports whether the name is answered from all its records.
func (n *Name) Well() bool { return n.Stage == StageNormal && n.Records.Well() }

// SiteRecord is what a name has at a site.
type SiteRecord struct {
	Site    string  `json:"site"`
	Records Records `json:"records"`
}

// DrainOrder is the body of POST /v1/drain.
type DrainOrder struct {
	Name string    `json:"name"`
	Zone string    `json:"zone"`
	At   time.Time `json:"at"` // zero: now
	// Seconds is how long it lasts; 0: until it is taken back.
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason"`
	Force   bool    `json:"force"`
	DryRun  bool    `json:"dry-run"`
}

// UndrainOrder is the body of POST /v1/undrain.
type UndrainOrder struct {
	Name   string `json:"name"`
	Zone   string `json:"zone"`
	DryRun bool   `json:"dry-run"`
}

// DrainResult is what a command made of the answers, or would make.
type DrainResult struct {
	Drains  []Drain      `json:"drains"` // those that were given, or taken back
	Places  []Place      `json:"places"` // what they are about
	Changed []NameChange `json:"changed"`
	// ChangedAll is how many there are: the list has at most MaxChanged, those
	// that lose their last live node first. Lost is how many do.
	ChangedAll int `json:"changed-all"`
	Lost       int `json:"lost"`
	// Refused: nothing was done, because of Lost.
	Refused  bool   `json:"refused"`
	DryRun   bool   `json:"dry-run"`
	Unstored string `json:"unstored"` // see Nodes
}

// MaxChanged is how many names a DrainResult lists.
const MaxChanged = 1000

// NameChange is what becomes of a steered name.
type NameChange struct {
	Before Name `json:"before"`
	After  Name `json:"after"`
	Lost   bool `json:"lost"` // its last live node
}
