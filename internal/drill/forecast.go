package drill

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
)

// Outcome is what some clients are answered.
type Outcome struct {
	// Sites answer, each with its share in percent of what comes first; empty: no
	// record of the name is answered.
	Sites []SiteShare `json:"sites"`
	// Stage is how far down the chain the answer is found: see geodns explain.
	Stage string `json:"stage"`
	// Records are those that may be answered, sorted; of one client, as an
	// example, if they depend on more than the site.
	Records []string `json:"records"`

	shares map[int]float64 // by site of Program.Sites; -1: of no site
}

// SiteShare is the part that a site has.
type SiteShare struct {
	Site    string  `json:"site"` // "": records of no site
	Percent float64 `json:"percent"`
}

// String is the outcome in a few words.
func (o *Outcome) String() string {
	var parts []string
	for _, s := range o.Sites {
		name := s.Site
		if name == "" {
			name = "no site"
		}
		if len(o.Sites) > 1 {
			name = fmt.Sprintf("%s %.0f%%", name, s.Percent)
		}
		parts = append(parts, name)
	}
	text := strings.Join(parts, ", ")
	switch {
	case o.Stage == steer.Nothing.String():
		return "no data"
	case o.Stage == steer.LastResort.String():
		return "the last resort"
	case o.Stage != steer.Normal.String():
		text += " (" + o.Stage + ")"
	}
	return text
}

// Move is what becomes of the clients for whom the same happens.
type Move struct {
	From Outcome `json:"from"`
	To   Outcome `json:"to"`
	// Moved: the loss changes what they are answered.
	Moved bool `json:"moved"`
	// Percent is how many of the name's clients they are, by weight; Questions
	// is how many of the log's.
	Percent   float64 `json:"percent"`
	Questions uint64  `json:"questions,omitempty"`
	// Countries are theirs, those of most weight first; "": not known.
	Countries []string `json:"countries"`
	// Clients are the prefixes that were looked at.
	Clients []string `json:"clients"`

	first steer.Client // of Clients
}

// draws is how many random numbers stand for all of them.
const (
	draws       = 1024
	recordDraws = 64 // where it is only asked which there are
)

func draw(i int) uint64 { return uint64(i+1) * 0x9e3779b97f4a7c15 }

// forecaster asks the chain that serves.
type forecaster struct {
	s       *scene
	chooser *steer.Chooser
}

// moves groups clients by what becomes of them, those that move first.
func (f *forecaster) moves(x *subject, clients []Client) []Move {
	var list []*Move
	groups := map[string]*Move{}
	weights := map[*Move]map[string]float64{}
	var from, to Outcome
	total := 0.0
	for i := range clients {
		c := &clients[i]
		if i == 0 || x.rule.Depends() {
			from, to = f.outcome(x, x.before, f.s.before, c), f.outcome(x, x.after, f.s.after, c)
		}
		key := from.key() + ">" + to.key()
		m := groups[key]
		if m == nil {
			m = &Move{first: c.at, From: from, To: to, Moved: from.key() != to.key()}
			m.From.Records, m.To.Records = f.records(x, x.before, f.s.before, c), f.records(x, x.after, f.s.after, c)
			m.Moved = m.Moved || !slices.Equal(m.From.Records, m.To.Records)
			groups[key], weights[m] = m, map[string]float64{}
			list = append(list, m)
		}
		m.Percent += c.Weight
		m.Questions += c.Questions
		m.Clients = append(m.Clients, c.Prefix)
		weights[m][c.Country] += c.Weight
		total += c.Weight
	}
	out := make([]Move, len(list))
	for i, m := range list {
		if total > 0 {
			m.Percent *= 100 / total
		}
		m.Countries = heaviest(weights[m])
		out[i] = *m
	}
	slices.SortStableFunc(out, func(a, b Move) int {
		if a.Moved != b.Moved {
			return cmp.Compare(truth(b.Moved), truth(a.Moved))
		}
		return cmp.Compare(b.Percent, a.Percent)
	})
	return out
}

func truth(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// heaviest are the keys by weight.
func heaviest(weights map[string]float64) []string {
	out := []string{}
	for code := range weights {
		out = append(out, code)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b))
	})
	return out
}

// outcome asks what a client is answered.
func (f *forecaster) outcome(x *subject, b *steer.Bound, v *health.Verdicts, c *Client) (o Outcome) {
	family := familyOf(x.typ)
	m := steer.Moment{Bound: b, Verdicts: v, Client: c.at}
	o.shares = map[int]float64{}
	n := draws
	for i := 0; i < n; i++ {
		m.Draw = draw(i)
		f.chooser.Reset()
		res := f.chooser.Address(&m, x.rule, family, nil)
		o.Stage = res.Stage.String()
		switch {
		case res.Stage >= steer.LastResort:
			return o
		case res.Site != steer.NoSite:
			o.shares[b.SiteOf(x.rule, res.Site)] = 100
			return o.named(x)
		case x.rule.Sticks():
			n = 1 // no draw decides
		}
		first := res.First
		if res.Pick != nil {
			first = int(res.Pick[0])
		}
		o.shares[x.fates[first].Site] += 100 / float64(n)
	}
	return o.named(x)
}

func (o Outcome) named(x *subject) Outcome {
	for site, share := range o.shares {
		o.Sites = append(o.Sites, SiteShare{x.siteName(site), math.Round(10*share) / 10})
	}
	slices.SortFunc(o.Sites, func(a, b SiteShare) int {
		return cmp.Or(cmp.Compare(b.Percent, a.Percent), cmp.Compare(a.Site, b.Site))
	})
	return o
}

// key is the same for outcomes that are the same for people.
func (o *Outcome) key() string { return o.String() + o.Stage }

// records are all that a client may be answered.
func (f *forecaster) records(x *subject, b *steer.Bound, v *health.Verdicts, c *Client) []string {
	m := steer.Moment{Bound: b, Verdicts: v, Client: c.at}
	members := m.Members(x.rule, familyOf(x.typ))
	out := []string{}
	for i := range recordDraws {
		m.Draw = draw(i)
		f.chooser.Reset()
		res := f.chooser.Address(&m, x.rule, familyOf(x.typ), nil)
		switch {
		case res.Stage >= steer.LastResort:
			return out
		case res.Pick == nil:
			for j := range members {
				out = append(out, members[j].Name)
			}
		default:
			for _, j := range res.Pick {
				out = append(out, members[j].Name)
			}
		}
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

func familyOf(t wire.Type) steer.Family {
	if t == wire.TypeAAAA {
		return steer.V6
	}
	return steer.V4
}
