package control

import "time"

// Isolation is what is known of the server's own connection.
type Isolation struct {
	Isolated bool `json:"isolated"`
	// Since is when that was found, and Until when the verdicts that are held take
	// effect; the zero time: the server is not isolated.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Held  int       `json:"held"` // targets that would be down
	// Site is where the server stands; "": nowhere that is configured.
	Site    string   `json:"site"`
	Anchors []Anchor `json:"anchors"`
}

// Anchor is something far away that always answers, and its last probe.
type Anchor struct {
	Anchor  string    `json:"anchor"` // as the configuration names it
	OK      bool      `json:"ok"`
	Reason  string    `json:"reason"`
	Seconds float64   `json:"seconds"`
	At      time.Time `json:"at"` // when it ended; the zero time: there was none yet
}

// Answering is how many anchors answer.
func (i *Isolation) Answering() (n int) {
	for k := range i.Anchors {
		if i.Anchors[k].OK {
			n++
		}
	}
	return n
}
