package steer

import (
	"fmt"
	"strings"
)

// Trace gathers what a choice was made of, for explanations. The nil Trace
// gathers nothing: it is what serving hands over.
type Trace struct {
	Rule   *Rule
	Family Family
	// Ranked is the order of sites for the client, rule-local, as far as it was
	// needed; nil if the policy has none, or the client's place is unknown.
	// Scope is that of the ranking.
	Ranked []SiteID
	Scope  uint8
	Steps  []TraceStep
	// Candidates are the records between which the pick decides, by their index.
	Candidates []uint16
	// Picked are the records that were chosen, by their index, in order.
	Picked []uint16

	now Stage
}

// TraceStep is one thing that was considered.
type TraceStep struct {
	Stage Stage
	// Site and Member say what was considered: a site (rule-local), a record
	// (its index), or neither: What says it.
	Site   SiteID // or NoSite
	Member int    // or -1
	What   string
	// Why is why it was left out; "": it was let in.
	Why string
	// Live and Floor are of a site that is below its floor, in Family.
	Live, Floor int
	Family      Family
	// Passed: it is live, and passed this client over: it takes Share percent of
	// its clients.
	Passed bool
	Share  int
}

// Overflow is what a TraceStep is about that lets somebody serve whom all pass
// over.
const Overflow = "overflow"

const (
	whyNoRecord = "has no record of this family"
	whyNothing  = "has no record to give"
	whyFloor    = "is below its floor"
	whyOther    = "is not live in its other family"
	whyNodes    = "all of its nodes pass this client over"
	whyOverflow = "all that is up passes this client over, and one of them serves it all the same"
)

func (t *Trace) on() bool { return t != nil }

func (t *Trace) begin(r *Rule, f Family) {
	if t != nil {
		*t = Trace{Rule: r, Family: f}
	}
}

func (t *Trace) stage(s Stage) {
	if t != nil {
		t.now = s
	}
}

func (t *Trace) ranked(order []SiteID, scope uint8) {
	if t != nil {
		t.Ranked, t.Scope = append([]SiteID(nil), order...), scope
	}
}

func (t *Trace) site(s SiteID, why string) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: s, Member: -1, Why: why})
	}
}

func (t *Trace) member(f Family, i int, w whether) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: NoSite, Member: i, Family: f, Why: w.String()})
	}
}

func (t *Trace) belowFloor(s SiteID, f Family, live, floor int) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: s, Member: -1, Why: whyFloor, Live: live, Floor: floor, Family: f})
	}
}

func (t *Trace) passedSite(s SiteID, p part) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: s, Member: -1, Why: p.String(), Passed: true, Share: percent(p.share())})
	}
}

func (t *Trace) passedMember(f Family, i int, p part) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: NoSite, Member: i, Family: f, Why: p.String(), Passed: true, Share: percent(p.share())})
	}
}

// String says why a place does not take all of its clients.
func (p part) String() string {
	var why []string
	if p.spill < Whole {
		why = append(why, fmt.Sprintf("spills %d %%", percent(Whole-p.spill)))
	}
	if p.ramp < Whole {
		why = append(why, fmt.Sprintf("is ramped up to %d %%", percent(p.ramp)))
	}
	if p.agent < Whole {
		why = append(why, fmt.Sprintf("asks for %d %% by its agent", percent(p.agent)))
	}
	return strings.Join(why, ", ") + ": this client is passed over"
}

func (t *Trace) note(what, why string) {
	if t != nil {
		t.Steps = append(t.Steps, TraceStep{Stage: t.now, Site: NoSite, Member: -1, What: what, Why: why})
	}
}

func (t *Trace) candidates(list []uint16) {
	if t != nil {
		t.Candidates = append([]uint16(nil), list...)
	}
}

func (t *Trace) picked(a, b []uint16) {
	if t != nil {
		t.Picked = append(append([]uint16(nil), a...), b...)
	}
}
