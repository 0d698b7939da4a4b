package steer

import (
	"slices"

	"geodns/internal/health"
	"geodns/internal/steer/record"
)

// Stage is how far down the chain an answer was found.
type Stage uint8

// The stages, from what is wanted to what is left.
const (
	Normal        Stage = iota // live records of sites at their floor
	BelowFloor                 // live records, floors left aside
	Held                       // nothing is live: what was live last (empty=hold)
	AsIfLive                   // nothing is live: what is not drained, as if it were
	AsIfUndrained              // and all of that is drained: all, as if nothing were
	LastResort                 // what empty= names
	Nothing                    // empty=none: no data
	NoWriter                   // role=writable: nobody is known that might take writes
)

// String is the stage as explanations name it.
func (s Stage) String() string {
	return [...]string{"normal", "below-floor", "held", "as-if-live", "as-if-undrained", "last-resort", "nothing", "no-writer"}[s]
}

// Result is what was chosen.
type Result struct {
	Stage Stage
	// Pick lists records by their index, in the order of the answer. If it is
	// nil all are answered, beginning with the one at index First. It is the
	// Chooser's, until its next Reset.
	Pick  []uint16
	First int
	// Site is the one that answers, rule-local; NoSite: several, or none.
	Site SiteID
	// Scope is the prefix length around the client for which the choice holds,
	// verdicts and draws aside; 0: for everybody of its family (RFC 7871 7.2.1).
	Scope uint8
	// Unsteady: the answer is to be kept for the short time of ttl= only.
	Unsteady bool
}

// Moment is what is chosen by, beside the question.
type Moment struct {
	*Bound
	Verdicts *health.Verdicts
	Client   Client
	// Nobody: there is no client; what is chosen must not depend on one, as in
	// additional data (RFC 7871 7.2.1).
	Nobody bool
	Draw   uint64
}

// Chooser holds what choosing needs to write to: a worker's own.
type Chooser struct {
	candidates []uint16
	picks      []uint16
	scratch    scratch
	scores     [MaxMembers]uint64
	// passed are the sites that passed the client over, passing how many: see
	// passes. seen are the units that an answer was counted for: see Count.
	passed  [MaxSites]SiteID
	passing int
	seen    [seenWords]uint64
}

// NewChooser returns a Chooser with room for the longest lists.
func NewChooser() *Chooser {
	return &Chooser{candidates: make([]uint16, 0, MaxMembers), picks: make([]uint16, 0, 4*MaxMembers)}
}

// Reset takes back what was handed out for the last question.
func (c *Chooser) Reset() { c.picks = c.picks[:0] }

// Address chooses among an owner's records of a family. t is nil when serving.
func (c *Chooser) Address(m *Moment, r *Rule, f Family, t *Trace) Result {
	res := Result{Site: NoSite, Unsteady: r.unsteady(m)}
	fam := &r.family[f]
	t.begin(r, f)
	order, all := c.where(m, r, &res, t)
	spread := r.spread != nil && m.passing(r, &res)
	if !t.on() && !spread && c.quick(m, r, fam, order, all, &res) {
		return res
	}
	// The stages that the verdicts allow, then what empty= says.
	if c.collect(m, r, f, pass{Normal, true, spread}, order, all, &res, t) || c.collect(m, r, f, pass{BelowFloor, false, spread}, order, all, &res, t) {
		c.pick(m, r, fam, &res, t)
		return res
	}
	t.note("empty", "nothing is live")
	switch forced := m.forced(r); {
	case r.Spec.Empty == record.EmptyNone && !forced:
		res.Stage, res.Scope = Nothing, 0
		return res
	case (r.Spec.Empty == record.EmptyAddress || r.Spec.Empty == record.EmptyHost) && !forced:
		res.Stage, res.Scope = LastResort, 0
		return res
	case m.holds(r, int(f)) && c.collect(m, r, f, pass{Held, false, false}, order, all, &res, t):
		c.pick(m, r, fam, &res, t)
		return res
	}
	// The whole chain as if more were live: floors, and one site for both
	// families, hold here too as long as some site can keep them.
	for stage := AsIfLive; stage <= AsIfUndrained; stage++ {
		if c.collect(m, r, f, pass{stage, true, false}, order, all, &res, t) || c.collect(m, r, f, pass{stage, false, false}, order, all, &res, t) {
			c.pick(m, r, fam, &res, t)
			return res
		}
	}
	// A failover none of whose steps has a record of this family.
	res.Stage, res.Scope = Nothing, 0
	if r.blocked || r.unled(m) && r.holdsFamily(&r.steps[0], f) {
		res.Stage = NoWriter
	}
	return res
}

// pass is one way through the chain: what counts as live, whether a site has to
// be up by its floors, and whether something may pass the client over.
type pass struct {
	stage          Stage
	floors, spread bool
}

// where says in which order sites are tried, and what scope that has; all:
// those that are up together.
func (c *Chooser) where(m *Moment, r *Rule, res *Result, t *Trace) (order []SiteID, all bool) {
	if r.policy != record.PolicyNearest {
		return nil, r.policy == record.PolicyAll
	}
	if m.Nobody {
		return nil, true
	}
	order, res.Scope = r.ranking.order(&m.Client, &c.scratch)
	t.ranked(order, res.Scope)
	return order, order == nil
}

// collect finds the candidates of one pass; false: there are none.
func (c *Chooser) collect(m *Moment, r *Rule, f Family, p pass, order []SiteID, all bool, res *Result, t *Trace) bool {
	c.candidates, c.passing = c.candidates[:0], 0
	res.Stage, res.Site = p.stage, NoSite
	t.stage(p.stage)
	switch {
	case r.policy == record.PolicyFailover:
		return c.failover(m, r, f, p, res, t)
	case all:
		return c.everywhere(m, r, f, p, res, t)
	}
	for _, s := range order {
		if c.take(m, r, f, s, p, res, t) {
			return true
		}
	}
	if len(order) < len(r.sites) {
		// All of the nearest are down: those beyond, for the client's own place.
		near := len(order)
		order, res.Scope = r.ranking.rest(&m.Client, &c.scratch)
		t.ranked(order, res.Scope)
		if r.spread != nil {
			res.Scope = max(res.Scope, stickyScope(&m.Client))
		}
		for _, s := range order[near:] {
			if c.take(m, r, f, s, p, res, t) {
				return true
			}
		}
	}
	if c.overflow(m, r, f, p, res, t) {
		return true
	}
	// Records of no site come last.
	for i := range r.family[f].members {
		if r.family[f].members[i].site == NoSite {
			c.candidate(m, r, f, i, p.stage, t)
		}
	}
	return len(c.candidates) > 0
}

// everywhere takes what is eligible at all sites: policy all, and clients of
// unknown place, who get the default site if there is one.
func (c *Chooser) everywhere(m *Moment, r *Rule, f Family, p pass, res *Result, t *Trace) bool {
	if r.def != NoSite && !m.Nobody && c.take(m, r, f, r.def, p, res, t) {
		return true
	}
	fam := &r.family[f]
	spread := p.spread
	p.spread = false // not site by site
	if p.floors && r.hasFloor() {
		for s := range r.sites {
			c.take(m, r, f, SiteID(s), p, res, t)
		}
		for i := range fam.members {
			if fam.members[i].site == NoSite {
				c.candidate(m, r, f, i, p.stage, t)
			}
		}
		// In the zone's order again: rotation, and all of them, go by it.
		slices.Sort(c.candidates)
		res.Site = NoSite
	} else {
		for i := range fam.members {
			c.candidate(m, r, f, i, p.stage, t)
		}
	}
	if spread {
		c.everybody(m, r, f, t)
	}
	return len(c.candidates) > 0
}

// untroubled reports that every member is live and undrained.
func (r *Rule) untroubled(m *Moment, fam *family) bool {
	return !fam.drained && m.Drained == nil && (!fam.probed || m.Slots == nil || r.certain == nil && m.Verdicts.Quiet())
}

// take adds a site's eligible records, if the site is up.
func (c *Chooser) take(m *Moment, r *Rule, f Family, s SiteID, p pass, res *Result, t *Trace) bool {
	fam := &r.family[f]
	g := &fam.bySite[s]
	if len(g.members) == 0 {
		t.site(s, whyNoRecord)
		return false
	}
	if p.floors && !r.up(m, s, p.stage, t) {
		return false
	}
	had := len(c.candidates)
	for _, i := range g.members {
		c.candidate(m, r, f, int(i), p.stage, t)
	}
	if len(c.candidates) == had {
		t.site(s, whyNothing)
		return false
	}
	if p.spread && c.passes(m, r, f, s, had, t) {
		return false
	}
	res.Site = s
	t.site(s, "")
	return true
}

// candidate adds a record if it is eligible.
func (c *Chooser) candidate(m *Moment, r *Rule, f Family, i int, stage Stage, t *Trace) {
	w := r.eligible(m, &r.family[f].members[i], stage)
	if stage == Held && !m.wasLive(r, int(f), i) {
		w = wasNotLive
	}
	t.member(f, i, w)
	if w == eligible {
		c.candidates = append(c.candidates, uint16(i))
	}
}

// up reports whether a site meets its floor in each family that it holds: so
// that A and AAAA lead to one place.
func (r *Rule) up(m *Moment, s SiteID, stage Stage, t *Trace) bool {
	for f := range r.family {
		fam := &r.family[f]
		if !fam.held {
			continue
		}
		g := &fam.bySite[s]
		if len(g.members) == 0 {
			continue
		}
		if len(g.members) >= g.floor && r.untroubled(m, fam) {
			continue
		}
		live := 0
		for _, i := range g.members {
			if r.eligible(m, &fam.members[i], stage) == eligible {
				live++
			}
		}
		if live < g.floor {
			t.belowFloor(s, Family(f), live, g.floor)
			return false
		}
	}
	return true
}

func (r *Rule) hasFloor() bool { return r.Spec.Floor != record.Floor{} }

// failover takes the first step that is up, beginning with the active one.
func (c *Chooser) failover(m *Moment, r *Rule, f Family, p pass, res *Result, t *Trace) bool {
	if active := r.active(m); active >= 0 {
		if c.step(m, r, f, &r.steps[active], p, res, t) {
			return true
		}
		if r.certain != nil || m.forced(r) {
			// It is held although it is no writer, or not the only one: another
			// one might be the second. Or it is forced.
			return false
		}
	}
	steps := r.steps
	if r.certain != nil {
		// Nobody was ever known to be the writer: that is the first one, or no one.
		steps = steps[:1]
	}
	for i := range steps {
		if c.step(m, r, f, &r.steps[i], p, res, t) {
			return true
		}
	}
	return false
}

// active is the step that an operator's word or an earlier failure made the
// active one; -1: none.
func (r *Rule) active(m *Moment) int {
	if r.Number >= len(m.Active) {
		return -1
	}
	if a := int(m.Active[r.Number]); a <= len(r.steps) {
		return a - 1
	}
	return -1
}

// forced reports whether the active step serves whatever its verdict is.
func (m *Moment) forced(r *Rule) bool {
	return m.Forced != nil && bit(m.Forced, uint32(r.Number))
}

// unled reports whether the rule looks for a writer, and none was ever known.
func (r *Rule) unled(m *Moment) bool {
	return r.certain != nil && r.policy == record.PolicyFailover && r.active(m) < 0
}

// holdsFamily reports whether a step has a record of a family.
func (r *Rule) holdsFamily(s *step, f Family) bool {
	if s.site != NoSite {
		return len(r.family[f].bySite[s.site].members) > 0
	}
	return s.record[f] >= 0
}

// step takes a site, or one record.
func (c *Chooser) step(m *Moment, r *Rule, f Family, s *step, p pass, res *Result, t *Trace) bool {
	if s.site != NoSite {
		return c.take(m, r, f, s.site, p, res, t)
	}
	i := s.record[f]
	if i < 0 {
		t.note(s.name, whyNoRecord)
		return false
	}
	if p.floors {
		// A and AAAA lead to one node.
		if o := s.record[1-f]; o >= 0 && r.eligible(m, &r.family[1-f].members[o], p.stage) != eligible {
			t.note(s.name, whyOther)
			return false
		}
	}
	c.candidate(m, r, f, i, p.stage, t)
	if len(c.candidates) == 0 {
		return false
	}
	res.Site = r.family[f].members[i].site
	return true
}

// whether is why a member is a candidate, or not.
type whether uint8

const (
	eligible whether = iota
	isDown
	isUncertain // unknown, where only what is up counts
	isDrained
	wasNotLive // and others were, when the last of them went
)

func (w whether) String() string {
	return [...]string{"", "down", "not known to be up", "drained", "not among those that were live last"}[w]
}

// eligible reports whether a member may be answered at a stage.
func (r *Rule) eligible(m *Moment, x *member, stage Stage) whether {
	if stage < AsIfUndrained && (x.drained || m.Drained != nil && (bit(m.Drained, x.unit) || bit(m.Drained, x.siteUnit))) {
		return isDrained
	}
	if m.Slots != nil && stage < AsIfUndrained && m.Verdicts.Drains() && m.drainedByAgent(x) {
		return isDrained
	}
	if stage >= Held && r.unled(m) && m.Slots != nil && r.live(m, x) == isDown {
		// No client is sent to a node that said that it takes no writes, but
		// where it is the one that did.
		return isDown
	}
	if stage >= Held || m.Slots == nil {
		return eligible
	}
	return r.live(m, x)
}

// drainedByAgent reports whether agents want no new clients for so many of a
// member's targets that too few are left for one of its checks.
func (m *Moment) drainedByAgent(x *member) bool {
	if x.checks == 0 {
		return false
	}
	probes := len(x.targets) / int(x.checks)
	for at := 0; at < len(x.targets); at += probes {
		left := 0
		for _, local := range x.targets[at : at+probes] {
			if !m.Verdicts.Drained(m.Slots[local]) {
				left++
			}
		}
		if left < int(x.need) {
			return true
		}
	}
	return false
}

// live reports what the verdicts make of a member: for each check, enough of
// its targets have to be live.
func (r *Rule) live(m *Moment, x *member) whether {
	probes := 0
	if x.checks > 0 {
		probes = len(x.targets) / int(x.checks)
	}
	for at := 0; at < len(x.targets); at += probes {
		sure, maybe := 0, 0
		for _, local := range x.targets[at : at+probes] {
			switch m.Verdicts.State(m.Slots[local]) {
			case health.Up:
				sure++
			case health.Unknown:
				maybe++
			case health.Joining:
				if r.certain != nil && r.certain[at/probes] {
					maybe++ // nothing is known of it, which is not that it takes no writes
				}
			}
		}
		need := int(x.need)
		switch {
		case sure >= need:
		case sure+maybe < need:
			return isDown
		case r.certain != nil && r.certain[at/probes]:
			return isUncertain
		}
	}
	return eligible
}

// Alias chooses the CNAME of a policy with cname=: packed, or nil for the
// ordinary one. Sites that are drained are passed over; what stands behind a
// name of others is theirs to know.
func (c *Chooser) Alias(m *Moment, r *Rule, t *Trace) (records []byte, res Result) {
	res = Result{Site: NoSite}
	t.begin(r, V4)
	var order []SiteID
	if r.policy == record.PolicyNearest && r.ranking != nil {
		if order, res.Scope = r.ranking.order(&m.Client, &c.scratch); len(order) < len(r.sites) && order != nil {
			order, res.Scope = r.ranking.rest(&m.Client, &c.scratch)
		}
		t.ranked(order, res.Scope)
		if order == nil && r.def != NoSite && c.aliasAt(m, r, r.def, &res, t) {
			return r.cnames[r.def], res
		}
	}
	for _, s := range order {
		if c.aliasAt(m, r, s, &res, t) {
			return r.cnames[s], res
		}
	}
	for i := range r.steps {
		if s := r.steps[i].site; c.aliasAt(m, r, s, &res, t) {
			return r.cnames[s], res
		}
	}
	return nil, res
}

func (c *Chooser) aliasAt(m *Moment, r *Rule, s SiteID, res *Result, t *Trace) bool {
	if r.cnames[s] == nil {
		t.site(s, whyNoRecord)
		return false
	}
	at := r.sites[s]
	if m.Sites[at].Drain || bit(m.Drained, m.SiteUnit(at)) {
		t.site(s, isDrained.String())
		return false
	}
	res.Site = s
	t.site(s, "")
	return true
}

// unsteady reports whether one of the targets of a rule with ttl= is troubled.
func (r *Rule) unsteady(m *Moment) bool {
	if r.Spec.TTLHigh == 0 || m.Slots == nil || m.Verdicts.Calm() {
		return false
	}
	for f := range r.family {
		for i := range r.family[f].members {
			if m.troubled(&r.family[f].members[i]) {
				return true
			}
		}
	}
	for i := range r.hosts {
		for j := range r.hosts[i].members {
			if m.troubled(&r.hosts[i].members[j]) {
				return true
			}
		}
	}
	return false
}

func (m *Moment) troubled(x *member) bool {
	for _, local := range x.targets {
		if m.Verdicts.Troubled(m.Slots[local]) {
			return true
		}
	}
	return false
}

// Depends reports whether the answer depends on who asks.
func (r *Rule) Depends() bool {
	return r.policy == record.PolicyNearest || r.pick == record.PickSticky || r.spread != nil
}

// TTL is how long an answer may be kept, in seconds: that of the zone, unless
// ttl= says otherwise.
func (r *Rule) TTL(zone uint32, unsteady bool) uint32 {
	switch {
	case r.Spec.TTLHigh == 0:
		return zone
	case unsteady:
		return r.Spec.TTLLow
	}
	return r.Spec.TTLHigh
}

// Last is what is answered when nothing is live: packed records, or the name
// (wire form) of a host whose records are.
func (r *Rule) Last(f Family) (records, host []byte) { return r.lastResort[f], r.lastHost }

// SiteName is a site of the rule by its label; "" for NoSite.
func (p *Program) SiteName(r *Rule, s SiteID) string {
	if int(s) >= len(r.sites) {
		return ""
	}
	return p.Sites[r.sites[s]].Name
}
