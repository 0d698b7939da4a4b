package drill

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"geodns/internal/geo/place"
	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// Plan is the forecast of a loss. Its JSON form is read by scripts: fields are
// added, never changed.
type Plan struct {
	Site string `json:"site"`
	Zone string `json:"zone"` // "": of all zones
	// Zones declare the site, and Nets are its prefixes.
	Zones []string `json:"zones"`
	Nets  []string `json:"nets"`
	// Source is what was looked at: "server" or "files".
	Source string    `json:"source"`
	At     time.Time `json:"at"`
	// Targets is how many are probed and would no longer be reached.
	Targets int `json:"targets"`
	// Names are those that the loss is about, and those that were asked for:
	// what is worst first, at most MaxNames of NamesAll.
	Names    []Name `json:"names"`
	NamesAll int    `json:"names-all"`
	// Lost is how many names lose their last live node. Unnoticed is how many
	// have records at the site that no check watches. Unaffected is how many
	// steered names have nothing there.
	Lost       int `json:"lost"`
	Unnoticed  int `json:"unnoticed"`
	Unaffected int `json:"unaffected"`
	// Sites is where the answers come from before and after.
	Sites []Load `json:"sites"`
	// PerSecond is the rate that loads are reckoned with, in questions a second,
	// and RateOf says whence it is; 0: not known.
	PerSecond float64 `json:"per-second"`
	RateOf    string  `json:"rate-of"`
	// Weighed is by what clients are weighed.
	Weighed string   `json:"weighed-by"`
	Worst   Converge `json:"worst"`
	Log     *Summary `json:"log"` // null: there is none
}

// MaxNames is how many names a Plan lists.
const MaxNames = 1000

// Summary is what was made of a log.
type Summary struct {
	Questions uint64 `json:"questions"`
	// Steered were for names that some policy steers.
	Steered uint64 `json:"steered"`
	Skipped uint64 `json:"skipped"`
	Why     string `json:"why"`
	LeftOut uint64 `json:"left-out"`
}

// Name is one type of a steered name in a Plan.
type Name struct {
	Zone   string `json:"zone"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Policy string `json:"policy"`
	Before Count  `json:"before"`
	After  Count  `json:"after"`
	// At is how many records are at the site, Unnoticed how many of them no check
	// watches: those go on being answered.
	At        int `json:"at-site"`
	Unnoticed int `json:"unnoticed"`
	// Lost: its last live node is at the site. Then is what is done if nothing is
	// live; "": something is.
	Lost bool   `json:"lost"`
	Then string `json:"then"`
	// Moves is what becomes of the clients; of addresses only.
	Moves    []Move   `json:"moves"`
	Converge Converge `json:"converge"`

	x *subject
}

// Count says what a name may be answered from.
type Count struct {
	Live  int    `json:"live"` // and not drained
	All   int    `json:"all"`
	Stage string `json:"stage"`
}

// Converge is the worst time from a loss until nobody is led there any more.
type Converge struct {
	Name string `json:"name"`
	// Server is until no answer leads there, in seconds: fall x every + timeout
	// + 0.1. TTL is how long resolvers may keep the last such answer.
	Server float64 `json:"server-seconds"`
	TTL    uint32  `json:"ttl"`
	Total  float64 `json:"total-seconds"`
}

// Load is a site's part of the answers.
type Load struct {
	Site string `json:"site"` // "": records of no site
	Zone string `json:"zone"`
	Lost bool   `json:"lost"`
	// Before and After are in percent of the answers to the names of the Plan.
	Before float64 `json:"before-percent"`
	After  float64 `json:"after-percent"`
	// RateBefore and RateAfter are in answers a second, 0 if no rate is known.
	RateBefore float64 `json:"before-per-second"`
	RateAfter  float64 `json:"after-per-second"`
	// Capacity is what the zone declares, 0: nothing. Over: more would come.
	Capacity uint64 `json:"capacity"`
	Over     bool   `json:"over"`
}

// Options are what a Plan is made of, beside the world.
type Options struct {
	Whence
	Site Site
	// Names are further names to look at; nil: those that lose something.
	Names []string
	// Table is the geography; nil: there is none.
	Table *place.Table
	// PerSecond is the measured rate of all questions; 0: not known.
	PerSecond float64
	// Log, if not nil, has the clients; else countries stand for them.
	Log *Log
}

// Make makes a Plan.
func Make(o *Options) (*Plan, error) {
	wanted, err := filter(o.Names)
	if err != nil {
		return nil, err
	}
	s, err := look(&o.Whence, o.Site, o.Log != nil || len(o.Names) > 0)
	if err != nil {
		return nil, err
	}
	p := &planner{o: o, s: s, f: forecaster{s, steer.NewChooser()}, loads: loads{}}
	p.plan = &Plan{
		Site: o.Site.Name, Zone: o.Site.Zone, Zones: []string{}, Nets: []string{}, At: o.Now, Targets: s.targets,
		Names: []Name{}, Sites: []Load{}, PerSecond: o.PerSecond, RateOf: "measured at this server",
		Weighed: "the addresses of each country",
	}
	p.declared()
	clients := worldClients(o.Table)
	if len(clients) == 0 {
		clients = []Client{{Prefix: "0.0.0.0/0", Weight: 1, at: steer.Client{V4: true}}}
	}
	var logged map[asked][]Client
	if o.Log != nil {
		logged = p.readLog()
	}
	p.names(s.subjects(wanted), clients, logged)
	p.plan.Unaffected = s.unaffected
	p.plan.Sites = p.loads.list(p.plan.PerSecond)
	if p.plan.PerSecond == 0 {
		p.plan.RateOf = ""
	}
	return p.plan, nil
}

// filter makes of names what lets them through.
func filter(names []string) (func(*subject) bool, error) {
	set := map[string]bool{}
	for _, text := range names {
		n, err := zonefile.ParseName(text, []byte{0})
		if err != nil {
			return nil, fmt.Errorf("%q is no domain name: %w", text, err)
		}
		set[strings.ToLower(wire.NameString(n))] = true
	}
	return func(x *subject) bool { return set[x.name()] }, nil
}

// planner puts a Plan together.
type planner struct {
	o     *Options
	s     *scene
	f     forecaster
	plan  *Plan
	loads loads
}

// declared says which zones declare the site, and where it is.
func (p *planner) declared() {
	for _, st := range p.s.zones {
		for i, lost := range st.loss.Sites {
			if !lost {
				continue
			}
			x := &st.before.Sites[i]
			p.plan.Zones = addNew(p.plan.Zones, x.Zone)
			for _, n := range x.Nets {
				p.plan.Nets = addNew(p.plan.Nets, n.String())
			}
		}
	}
}

func addNew(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// names fills in the names and the loads.
func (p *planner) names(subjects []*subject, clients []Client, logged map[asked][]Client) {
	list := make([]Name, len(subjects))
	asks := 0 // names whose clients count
	for i, x := range subjects {
		list[i] = p.name(x)
		if x.rule.Kind() == steer.Addresses {
			asks++
		}
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(list[a].rank(), list[b].rank()) })
	for n, i := range order {
		x, one := subjects[i], &list[i]
		p.count(one)
		if n >= MaxNames && logged == nil {
			continue
		}
		if x.rule.Kind() == steer.Addresses {
			who, weight := clients, 1/float64(min(asks, MaxNames))
			if logged != nil {
				who = logged[asked{x.rule, x.typ}]
				weight = 0
				for j := range who {
					weight += who[j].Weight
				}
			}
			one.Moves = p.f.moves(x, who)
			p.loads.add(x, one.Moves, weight)
		}
		if n < MaxNames {
			p.plan.Names = append(p.plan.Names, *one)
		}
	}
	p.plan.NamesAll = len(list)
	if logged != nil {
		p.others(subjects, logged)
	}
}

// others adds to the loads what a log asks of names that lose nothing.
func (p *planner) others(subjects []*subject, logged map[asked][]Client) {
	for _, x := range subjects {
		delete(logged, asked{x.rule, x.typ})
	}
	for _, st := range p.s.zones {
		for _, r := range st.before.Rules() {
			for _, t := range typesOf(r) {
				who := logged[asked{r, t}]
				if len(who) == 0 {
					continue
				}
				x, weight := st.subject(r, t), 0.0
				for j := range who {
					weight += who[j].Weight
				}
				p.loads.add(x, p.f.moves(x, who), weight)
			}
		}
	}
}

// rank puts what somebody should look at first.
func (n *Name) rank() int {
	switch {
	case n.Lost:
		return 0
	case n.Then != "" && n.At > 0:
		return 1
	case n.Unnoticed > 0:
		return 2
	case n.At > 0:
		return 3
	}
	return 4
}

func (p *planner) count(n *Name) {
	if n.Lost {
		p.plan.Lost++
	}
	if n.Unnoticed > 0 {
		p.plan.Unnoticed++
	}
	if n.Converge.Total > p.plan.Worst.Total {
		p.plan.Worst = n.Converge
	}
}

// name is all that doesn't depend on clients.
func (p *planner) name(x *subject) Name {
	before, after := x.census(p.s, p.f.chooser)
	n := Name{
		x: x, Zone: wire.NameString(x.served.Apex()), Name: x.name(), Type: zonefile.TypeString(x.typ), Policy: x.rule.PolicyName(),
		Before: countOf(&before), After: countOf(&after), Moves: []Move{},
	}
	n.At, n.Unnoticed = x.at()
	// An alias has the ordinary CNAME to fall back to.
	n.Lost = before.Live > 0 && after.Live == 0 && x.rule.Kind() != steer.Aliases
	if after.Live == 0 && x.rule.Kind() != steer.Aliases {
		n.Then = then(x.rule.Spec, &after)
	}
	n.Converge = x.converge(n.Name + " " + n.Type)
	return n
}

func countOf(c *steer.Census) Count { return Count{Live: c.Live, All: c.All, Stage: c.Stage.String()} }

// then is what empty= makes of a name of which nothing is live.
func then(spec *record.Steer, c *steer.Census) string {
	switch {
	case c.Stage == steer.Nothing:
		return "empty=none: no data is answered"
	case c.Stage == steer.LastResort:
		return "the last resort of empty= is answered"
	case spec.Empty == record.EmptyHold:
		return "empty=hold: what was answered last goes on being answered"
	case c.Stage == steer.AsIfUndrained:
		return "empty=all: all are answered, even drained ones, as if they lived"
	}
	return "empty=all: all are answered as if they lived"
}

// converge is the worst time until no cache leads to what is lost.
func (x *subject) converge(name string) Converge {
	c := Converge{Name: name}
	within := time.Duration(0)
	for i := range x.fates {
		if f := &x.fates[i]; f.Noticed {
			within = max(within, f.Within)
		}
	}
	if within == 0 {
		return c
	}
	_, ttl := x.records()
	c.Server, c.TTL = within.Seconds(), x.rule.TTL(ttl, false)
	c.Total = c.Server + float64(c.TTL)
	return c
}

// asked is which rule answers a question.
type asked struct {
	rule *steer.Rule
	typ  wire.Type
}

// readLog finds by the resolver which names of a log are steered, and gives each
// its clients, weighed by their part of all steered questions.
func (p *planner) readLog() map[asked][]Client {
	l := p.o.Log
	sum := &Summary{Questions: l.Lines, Skipped: l.Skipped, Why: l.Why, LeftOut: l.LeftOut}
	p.plan.Log, p.plan.Weighed = sum, "the questions of the log"
	type question struct{ name, typ string }
	known := map[question]asked{}
	out := map[asked][]Client{}
	var q prober
	for i := range l.Queries {
		x := &l.Queries[i]
		a, ok := known[question{x.Name, x.Type}]
		if !ok {
			a = q.rule(p.o, x)
			known[question{x.Name, x.Type}] = a
		}
		if a.rule == nil {
			continue
		}
		sum.Steered += x.Count
		c := Client{Prefix: x.Client.String(), Questions: x.Count, at: clientOf(x.Client.Addr())}
		if p.o.Table != nil {
			n, _ := p.o.Table.Find(x.Client.Addr())
			at := p.o.Table.Place(n)
			c.Country, c.City = at.Country, at.City
		}
		out[a] = append(out[a], c)
	}
	for _, list := range out {
		for i := range list {
			list[i].Weight = float64(list[i].Questions) / float64(sum.Steered)
		}
	}
	part := float64(sum.Steered) / float64(max(l.Lines, 1))
	if r := l.rate(); r > 0 {
		p.plan.PerSecond, p.plan.RateOf = r*part, "of the log"
	} else {
		p.plan.PerSecond *= part
	}
	return out
}

// prober asks the resolver.
type prober struct {
	resolver resolver.Resolver
	query    wire.Query
	reply    *wire.Reply
}

// rule is the one that a question of a log comes to in the end.
func (q *prober) rule(o *Options, x *Query) (a asked) {
	name, err := zonefile.ParseName(x.Name, []byte{0})
	if err != nil {
		return a
	}
	t, err := zonefile.ParseType(x.Type)
	if err != nil || !q.query.SetQuestion(name, t, wire.ClassIN) {
		return a
	}
	if q.reply == nil {
		q.reply = wire.NewReply()
	}
	var trace resolver.Trace
	q.resolver.Resolve(o.World, &q.query, resolver.Asked{Source: clientOf(x.Client.Addr()), Trace: &trace}, q.reply)
	for i := range trace.Choices {
		if c := &trace.Choices[i]; !c.Hint && c.Type == t {
			a = asked{c.Rule, c.Type}
		}
	}
	return a
}

// loads adds up what sites answer.
type loads map[loadKey]*Load

type loadKey struct{ site, zone string }

func (l loads) add(x *subject, moves []Move, weight float64) {
	for i := range moves {
		m := &moves[i]
		for _, side := range [...]struct {
			o     *Outcome
			after bool
		}{{&m.From, false}, {&m.To, true}} {
			for site, share := range side.o.shares {
				part := weight * m.Percent / 100 * share
				one := l.at(x, site)
				if side.after {
					one.After += part
				} else {
					one.Before += part
				}
			}
		}
	}
}

func (l loads) at(x *subject, site int) *Load {
	k := loadKey{}
	if site >= 0 {
		k = loadKey{x.before.Sites[site].Name, x.before.Sites[site].Zone}
	}
	if l[k] == nil {
		l[k] = &Load{Site: k.site, Zone: k.zone}
		if site >= 0 {
			l[k].Capacity, l[k].Lost = x.before.Sites[site].Capacity, x.loss.Sites[site]
		}
	}
	return l[k]
}

// list is in the order of what comes to each afterwards.
func (l loads) list(perSecond float64) []Load {
	out := []Load{}
	for _, one := range l {
		one.RateBefore, one.RateAfter = one.Before/100*perSecond, one.After/100*perSecond
		one.Over = one.Capacity > 0 && one.RateAfter > float64(one.Capacity)
		out = append(out, *one)
	}
	slices.SortFunc(out, func(a, b Load) int {
		return cmp.Or(cmp.Compare(b.After, a.After), cmp.Compare(b.Before, a.Before), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Zone, b.Zone))
	})
	return out
}
