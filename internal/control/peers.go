package control

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Peers is what GET /v1/peers answers: how far the secondaries are.
type Peers struct {
	Pairs int `json:"pairs"` // copies that are watched: zones times their peers
	// SweepSeconds is in how long each of them is asked once, though nothing
	// changes.
	SweepSeconds float64 `json:"sweep-seconds"`
	Peers        []Peer  `json:"peers"` // those with something wrong first
}

// Peer is how far one secondary is.
type Peer struct {
	Address string `json:"address"` // with the port
	// Zones is how many it is to have. Each is in one of the states.
	Zones   int `json:"zones"`
	InSync  int `json:"in-sync"`
	Behind  int `json:"behind"` // it lacks a version, or the zone
	Ahead   int `json:"ahead"`
	Unknown int `json:"unknown"`
	// LagSeconds is the age of the oldest version that it does not have yet; where
	// it has no copy, for how long; 0: it lacks nothing.
	LagSeconds float64   `json:"lag-seconds"`
	Answered   time.Time `json:"answered"` // when it last did
	Silent     time.Time `json:"silent"`   // since when it doesn't; zero: it does
	// Error is what is wrong now, "": nothing; LastError what was wrong last.
	Error       string      `json:"error"`
	LastError   string      `json:"last-error"`
	LastErrorAt time.Time   `json:"last-error-at"`
	Errors      uint64      `json:"errors"` // since the start
	Convergence Convergence `json:"convergence"`
	// List are zones that are not in sync, or can't be asked for, the worst first;
	// at most 20, unless all are asked for. ListAll is how many there are.
	List    []PeerZone `json:"list"`
	ListAll int        `json:"list-all"`
}

// Convergence is how long versions took to reach a secondary.
type Convergence struct {
	Seconds float64   `json:"seconds"` // the last one
	At      time.Time `json:"at"`      // when it was seen there; zero: none was
	P50     float64   `json:"p50"`     // of the last Samples, at most 1000
	P99     float64   `json:"p99"`
	Samples int       `json:"samples"`
}

// The states of a zone at a secondary.
const (
	PeerInSync  = "in-sync"
	PeerBehind  = "behind"
	PeerMissing = "missing" // it has no copy
	PeerAhead   = "ahead"   // its version is newer than ours
	PeerUnknown = "unknown" // it has not told yet
)

// PeerZone is a zone at a secondary.
type PeerZone struct {
	Zone   string    `json:"zone"` // with a final dot
	State  string    `json:"state"`
	Serial *uint32   `json:"serial"` // that it serves; null: that is not known
	Ours   uint32    `json:"ours"`
	Since  time.Time `json:"since"` // when it is so
	Error  string    `json:"error"` // what is wrong with its last answer
}

// Peers asks how far the secondaries are; all: with all zones that are not in
// sync.
func (c *Client) Peers(ctx context.Context, all bool) (p Peers, err error) {
	return p, c.do(ctx, http.MethodGet, "/v1/peers?all="+strconv.FormatBool(all), nil, &p)
}

func (h *Handlers) peers(w http.ResponseWriter, r *http.Request) {
	if h.Peers == nil {
		fail(w, http.StatusNotFound, "this server watches no secondaries")
		return
	}
	answer(w, h.Peers(r.URL.Query().Get("all") == "true"))
}
