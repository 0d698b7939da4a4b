package steer

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
}

const (
	whyNoRecord = "has no record of this family"
	whyNothing  = "has no record to give"
	whyFloor    = "is below its floor"
	whyOther    = "is not live in its other family"
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
