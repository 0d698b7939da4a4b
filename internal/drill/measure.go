package drill

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
)

// What is watched while a drill is on.
const (
	// MaxWatched is of how many names the answers are sampled.
	MaxWatched = 200
	maxClients = 8 // of each
	fewDraws   = 4
	manyDraws  = 16
	// look is how often it is looked whether the World is another one, sample how
	// often answers are sampled of one that stays.
	lookEvery   = 10 * time.Millisecond
	sampleEvery = 100 * time.Millisecond
)

// phase of a drill.
type phase int

const (
	before phase = iota
	during
	after
	phases
)

// watch is one type of a name that is watched.
type watch struct {
	plan    *Name
	x       *subject
	clients []steer.Client
	// known is what a record's data tells.
	known  map[string]origin
	leaves bool // the plan says that no answer will lead there
	counts [phases]map[string]uint64
	recent map[string]uint64 // of the last second

	// draws is how often each client is asked at a time: what is left to chance
	// must not hide that somebody is led to the site.
	draws int

	firstOut, gone, firstBack, back time.Duration // negative: not yet
}

// origin is whence a record is.
type origin struct {
	site string
	lost bool // and its checks will say so
}

func newWatch(n *Name) *watch {
	w := &watch{
		plan: n, x: n.x, known: map[string]origin{}, recent: map[string]uint64{}, draws: fewDraws,
		firstOut: -1, gone: -1, firstBack: -1, back: -1,
	}
	for i := range w.counts {
		w.counts[i] = map[string]uint64{}
	}
	for i := range n.Moves {
		if i < maxClients {
			w.clients = append(w.clients, n.Moves[i].first)
		}
		if len(n.Moves[i].From.Sites) > 1 {
			w.draws = manyDraws
		}
	}
	if len(w.clients) == 0 {
		w.clients, w.draws = []steer.Client{{V4: true}}, manyDraws
	}
	records, _ := w.x.records()
	for i := 0; i < len(w.x.fates); i++ {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		records = rest
		f := &w.x.fates[i]
		w.known[string(data)] = origin{w.x.siteName(f.Site), f.Noticed}
	}
	w.leaves = n.After.Live > 0
	return w
}

// answers are the counts of sites, the greatest first.
func answersOf(counts map[string]uint64) []Answers {
	out := []Answers{}
	for site, n := range counts {
		out = append(out, Answers{site, n})
	}
	slices.SortFunc(out, func(a, b Answers) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Site, b.Site)) })
	return out
}

// sampler asks the resolver what is answered, as clients would.
type sampler struct {
	watches  []*watch
	resolver resolver.Resolver
	query    wire.Query
	reply    *wire.Reply
	chooser  *steer.Chooser
	last     *world.World
	lastAt   time.Time
}

func newSampler(p *Plan) *sampler {
	s := &sampler{reply: wire.NewReply(), chooser: steer.NewChooser()}
	for i := range p.Names {
		// Aliases are not probed: nothing of them would change.
		if n := &p.Names[i]; n.x.fates != nil && len(s.watches) < MaxWatched {
			s.watches = append(s.watches, newWatch(n))
		}
	}
	return s
}

// sample looks at a World, if there is something to see. since is how long the
// phase has lasted.
func (s *sampler) sample(w *world.World, now time.Time, since time.Duration, ph phase) {
	fresh := w != s.last
	if !fresh && now.Sub(s.lastAt) < sampleEvery {
		return
	}
	s.last, s.lastAt = w, now
	for _, x := range s.watches {
		leads := false
		for i := range x.draws * len(x.clients) {
			leads = s.ask(w, x, &x.clients[i/x.draws], ph) || leads
		}
		x.note(leads, since, ph)
		if fresh || since == 0 {
			x.noteLive(s.live(w, x), since, ph)
		}
	}
}

// note takes in whether some client was led to the site.
func (x *watch) note(leads bool, since time.Duration, ph phase) {
	switch {
	case ph == during && leads:
		x.gone = -1
	case ph == during && x.gone < 0:
		x.gone = since
	case ph == after && leads && x.firstBack < 0:
		x.firstBack = since
	}
}

// noteLive takes in how many records are live.
func (x *watch) noteLive(live int, since time.Duration, ph phase) {
	switch {
	case ph == during && live < x.plan.Before.Live && x.firstOut < 0:
		x.firstOut = since
	case ph == after && live < x.plan.Before.Live:
		x.back = -1
	case ph == after && x.back < 0:
		x.back = since
	}
}

// live is how many records of a name are, by the chain that serves.
func (s *sampler) live(w *world.World, x *watch) int {
	z := w.Zones.Get(x.x.served.Apex())
	if z == nil || z.Steering == nil || z.Zone == nil {
		return 0
	}
	rel := x.x.rule.Owner
	r := z.Steering.Find(z.Zone.Hash(rel), rel, x.x.typ)
	if r == nil {
		return 0
	}
	for _, c := range z.Steering.Census(r, w.Verdicts, s.chooser) {
		if c.Type == x.x.typ {
			return c.Live
		}
	}
	return 0
}

// ask asks for one client, counts what comes first, and reports whether any
// record leads to the site.
func (s *sampler) ask(w *world.World, x *watch, c *steer.Client, ph phase) (leads bool) {
	if !s.query.SetQuestion(x.x.owner, x.x.typ, wire.ClassIN) {
		return false
	}
	s.resolver.Resolve(w, &s.query, resolver.Asked{Source: *c, Draw: rand.Uint64()}, s.reply)
	first := true
	for i := range s.reply.Answer {
		set := &s.reply.Answer[i]
		if set.Type != x.x.typ {
			continue
		}
		each(set, func(data []byte) {
			o := x.known[string(data)]
			leads = leads || o.lost
			if first {
				x.counts[ph][o.site]++
				x.recent[o.site]++
				first = false
			}
		})
	}
	if first {
		x.counts[ph][noData]++
		x.recent[noData]++
	}
	return leads
}

// noData is in the place of a site where nothing was answered.
const noData = "no data"

// each calls f with the data of each record of a set, in the answer's order.
func each(set *wire.Set, f func(data []byte)) {
	var list [][]byte
	for records := set.Records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			break
		}
		list, records = append(list, data), rest
	}
	if set.Pick == nil {
		for i := range list {
			f(list[(set.First+i)%len(list)])
		}
		return
	}
	for _, i := range set.Pick {
		f(list[i])
	}
}

// recent are the answers since the last call, of all names together.
func (s *sampler) recent() []Answers {
	sum := map[string]uint64{}
	for _, x := range s.watches {
		for site, n := range x.recent {
			sum[site] += n
		}
		clear(x.recent)
	}
	return answersOf(sum)
}

// progress is how many names were judged, have left the site and are back.
func (s *sampler) progress() (names, gone, back int) {
	for _, x := range s.watches {
		if !x.judged() {
			continue
		}
		names++
		if x.gone >= 0 {
			gone++
		}
		if x.back >= 0 {
			back++
		}
	}
	return names, gone, back
}

// judged reports whether the name has a promise to keep.
func (x *watch) judged() bool { return x.leaves && x.plan.Converge.Server > 0 }

// backAll reports whether all names are answered from as much as before.
func (s *sampler) backAll() bool {
	return !slices.ContainsFunc(s.watches, func(x *watch) bool { return x.back < 0 })
}

// result judges one name; lasted is how long the site was lost.
func (x *watch) result(lasted time.Duration) Measured {
	n := x.plan
	promise := time.Duration(n.Converge.Server * float64(time.Second))
	m := Measured{
		Zone: n.Zone, Name: n.Name, Type: n.Type, Promise: millis(promise),
		FirstOut: millisOf(x.firstOut), Gone: millisOf(x.gone), FirstBack: millisOf(x.firstBack), Back: millisOf(x.back),
		Before: answersOf(x.counts[before]), During: answersOf(x.counts[during]), After: answersOf(x.counts[after]),
	}
	switch {
	case n.Converge.Server == 0:
		m.Verdict, m.Why = NotJudged, "no check notices that its records are gone"
	case !x.leaves:
		m.Verdict, m.Why = NotJudged, "nothing else is live: "+n.Then
	case x.gone >= 0 && x.gone <= promise:
		m.Verdict = Held
	case x.gone < 0 && lasted < promise:
		m.Verdict, m.Why = NotJudged, "the drill was over before its time was"
	default:
		m.Verdict = Broken
	}
	return m
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func millisOf(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	ms := millis(d)
	return &ms
}
