package control

import (
	"context"
	"net/http"
	"time"
)

// Side is which step of a failover serves.
type Side struct {
	Name  string `json:"name"`
	Zone  string `json:"zone"`
	Types string `json:"types"` // A,AAAA
	// Step serves; "": none is known yet. First: it is the first of order=.
	Step  string    `json:"step"`
	First bool      `json:"first"`
	Since time.Time `json:"since"`
	// By is "command", "force", or "": by the verdicts. Reason is the command's.
	By     string `json:"by"`
	Reason string `json:"reason"`
	// Held: nothing is up that could serve, and the step goes on.
	Held bool `json:"held"`
	// Back is when an earlier step takes over if nothing turns; the zero time:
	// none will.
	Back time.Time `json:"back"`
	// Role: the check says role=writable. Writers are the steps that say that they
	// take writes; Alarm is since when those have not been exactly one, the zero
	// time: they are, or nothing is known yet.
	Role    bool      `json:"role"`
	Writers []string  `json:"writers"`
	Alarm   time.Time `json:"alarm"`
}

// Alarmed reports whether the writers are not exactly one.
func (s *Side) Alarmed() bool { return !s.Alarm.IsZero() }

// FailbackOrder is the body of POST /v1/failback.
type FailbackOrder struct {
	Name   string `json:"name"`
	Zone   string `json:"zone"`
	To     string `json:"to"` // a step; "": the first that is up
	Reason string `json:"reason"`
	Force  bool   `json:"force"`
	DryRun bool   `json:"dry-run"`
}

// FailbackResult is what a command made of the failovers of a name, or would
// make.
type FailbackResult struct {
	Failovers []Failback `json:"failovers"`
	// Refused: by one of them at least, and nothing was done.
	Refused  bool   `json:"refused"`
	DryRun   bool   `json:"dry-run"`
	Unstored string `json:"unstored"` // why it is lost at a restart; "": it isn't
}

// Failback is what becomes of one failover.
type Failback struct {
	// Policy is failback= as the zone has it: auto, manual or how long.
	Policy  string `json:"failback"`
	Before  Side   `json:"before"`
	After   Side   `json:"after"`
	Answers []Turn `json:"answers"`
	// Refused is why it is not obeyed, "": it is; Forcible: unless it is forced.
	Refused  string `json:"refused"`
	Forcible bool   `json:"forcible"`
	Same     bool   `json:"same"` // it served already
}

// Turn is what becomes of the answers of one type.
type Turn struct {
	Type   string   `json:"type"`
	Before Answered `json:"before"`
	After  Answered `json:"after"`
}

// Answered is what answers are chosen from.
type Answered struct {
	Stage     string   `json:"stage"` // as in Name
	Addresses []string `json:"addresses"`
}

// Failback makes another step of a failover the one that serves.
func (c *Client) Failback(ctx context.Context, o FailbackOrder) (r FailbackResult, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/failback", o, &r)
}

const wantFailback = `{"name": "www.example.org.", "to": "lon"}`

func (h *Handlers) failback(w http.ResponseWriter, r *http.Request) {
	var o FailbackOrder
	if !h.command(w, r, &o, wantFailback) {
		return
	}
	h.told(r, "failback", "name", o.Name, "zone", o.Zone, "to", o.To, "force", o.Force, "dry-run", o.DryRun)
	respond(w, o, h.Failback)
}
