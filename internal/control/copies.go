package control

import "time"

// The states of a zone that is taken from primaries; also StateServing.
const (
	StateExpired = "expired" // no primary has confirmed it for too long: SERVFAIL
	StateWaiting = "waiting" // nothing has come yet: SERVFAIL
)

// Copy is how it stands with a zone that is taken from primaries.
type Copy struct {
	// Primary confirmed or gave the copy last; "": none has.
	Primary string `json:"primary"`
	// Kind is how it came: AXFR or IXFR; "": before this process.
	Kind string `json:"kind"`
	// Confirmed is when a primary last did, Asked when one was last asked; the
	// zero time: never.
	Confirmed time.Time `json:"confirmed"`
	Asked     time.Time `json:"asked"`
	// Next is when one is to be asked; the zero time: that is under way, or comes
	// as soon as others have been asked.
	Next time.Time `json:"next"`
	// Expires is when the copy does, or did; the zero time: there is none.
	Expires time.Time `json:"expires"`
	// Behind: a primary has said that it has the serial Seen, which is newer.
	Behind bool   `json:"behind"`
	Seen   uint32 `json:"seen"`
	// Error is why asking all primaries brought nothing, Warning what one of them
	// answered wrongly; "": all is well.
	Error   string `json:"error"`
	Warning string `json:"warning"`
}

// Told is how far one server is that is told of a zone's versions (NOTIFY).
type Told struct {
	Server string `json:"server"`
	Key    string `json:"key"`    // that signs; "": none
	Serial uint32 `json:"serial"` // of which it was last to be told, and when
	// Since is when it was to be told, Sent when the last of the Attempts was made.
	Since    time.Time `json:"since"`
	Sent     time.Time `json:"sent"`
	Attempts int       `json:"attempts"`
	// Pending: it has neither answered nor been given up.
	Pending bool `json:"pending"`
	// Acknowledged is the newest serial that it has acknowledged, if Known: that
	// it was told, not that it has it.
	Acknowledged uint32    `json:"acknowledged"`
	Known        bool      `json:"known"`
	At           time.Time `json:"at"`
	Error        string    `json:"error"`
}
