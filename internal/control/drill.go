package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// DrillOrder is the body of POST /v1/drill.
type DrillOrder struct {
	Site string `json:"site"`
	Zone string `json:"zone"` // "": all that declare it
	// Seconds is how long it lasts at most; 0: five minutes.
	Seconds float64 `json:"seconds"`
	// How probes fail: "timeout" or "refused"; "": timeout.
	How   string `json:"how"`
	Force bool   `json:"force"`
}

// DrillQuestion is the body of POST /v1/drill/plan.
type DrillQuestion struct {
	Site  string   `json:"site"`
	Zone  string   `json:"zone"`
	Names []string `json:"names"`
	// Log is what geodns drill plan has read of a log of questions, as the
	// handler knows it; null: none.
	Log json.RawMessage `json:"log"`
}

// DrillState is a drill that is on.
type DrillState struct {
	Site  string    `json:"site"`
	Zone  string    `json:"zone"`
	How   string    `json:"how"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Over: probes are sent again, and what returns is waited for.
	Over bool `json:"over"`
}

// Drills are the handlers of drills. What they answer is theirs; an error is for
// an order that makes no sense.
type Drills struct {
	Plan func(DrillQuestion) (any, error)
	// Run tells what happens until it is over. It ends the drill when ctx ends,
	// or tell fails: the client is gone.
	Run  func(ctx context.Context, o DrillOrder, tell func(any) error) error
	Stop func() (DrillState, error)
}

const (
	pathDrill     = "/v1/drill"
	pathDrillPlan = "/v1/drill/plan"
	pathDrillStop = "/v1/drill/stop"

	// maxPlanBody is how much a log may hold that a plan is made for, in octets.
	maxPlanBody = 64 << 20
	// tellTimeout is how long the client may take to hear one line.
	tellTimeout = 10 * time.Second

	wantDrill     = `{"site": "lon", "seconds": 300}`
	wantDrillPlan = `{"site": "lon"}`
)

func (h *Handlers) drillPlan(w http.ResponseWriter, r *http.Request) {
	// As long as a reload: a log of a large site is looked up name by name.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeTimeout))
	var q DrillQuestion
	if !h.command(w, r, &q, wantDrillPlan) {
		return
	}
	plan, err := h.Drills.Plan(q)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, plan)
}

// drillRun answers a line of JSON for each thing that happens.
func (h *Handlers) drillRun(w http.ResponseWriter, r *http.Request) {
	var o DrillOrder
	if !h.command(w, r, &o, wantDrill) {
		return
	}
	h.told(r, "drill run", "site", o.Site, "zone", o.Zone, "seconds", o.Seconds, "force", o.Force)
	c := http.NewResponseController(w)
	// That the client has gone is noticed by reading, which must not end before.
	_ = c.SetReadDeadline(time.Time{})
	begun := false
	lines := json.NewEncoder(w)
	err := h.Drills.Run(r.Context(), o, func(v any) error {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		_ = c.SetWriteDeadline(time.Now().Add(tellTimeout))
		return errors.Join(lines.Encode(v), c.Flush())
	})
	if err != nil && !begun {
		fail(w, http.StatusBadRequest, err.Error())
	}
}

func (h *Handlers) drillStop(w http.ResponseWriter, r *http.Request) {
	var o struct{}
	if !h.command(w, r, &o, "{}") {
		return
	}
	h.told(r, "drill stop")
	state, err := h.Drills.Stop()
	if err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, state)
}

// DrillPlan asks what the loss of a site would do. plan is filled in from the
// answer.
func (c *Client) DrillPlan(ctx context.Context, q DrillQuestion, plan any) error {
	return c.do(ctx, http.MethodPost, pathDrillPlan, q, plan)
}

// DrillStop ends the drill that is on.
func (c *Client) DrillStop(ctx context.Context) (s DrillState, err error) {
	return s, c.do(ctx, http.MethodPost, pathDrillStop, struct{}{}, &s)
}

// Drill begins one, and calls each with every line that the server tells, until
// the last one. The drill ends when ctx does, or each returns an error.
func (c *Client) Drill(ctx context.Context, o DrillOrder, each func(json.RawMessage) error) error {
	return c.ask(ctx, http.MethodPost, pathDrill, o, func(d *json.Decoder) error {
		for {
			var line json.RawMessage
			switch err := d.Decode(&line); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil && ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				return fmt.Errorf("the server at %s went away during the drill, which has ended with it: %w", c.path, plain(err))
			}
			if err := each(line); err != nil {
				return err
			}
		}
	})
}
