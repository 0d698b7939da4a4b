package check

import (
	"bytes"
	"runtime"
	"slices"
	"sync"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// steering is what a zone's steering records came to.
type steering struct {
	// lost: some of what the zone builds on can't be read, so that what seems to
	// be missing need not be.
	lost bool
	// rules: there are policies. with are the apexes of the zones from which
	// they take names; takes are those names, absolute.
	rules bool
	with  []string
	takes []string
	// unused are told if no other zone takes them.
	unused []steer.Problem
}

// steer compiles the steering of all zones as serve does, on all CPUs.
func (t *together) steer(checks []*checker, o *Options) {
	next := make(chan *checker)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(checks)) {
		wg.Go(func() {
			for c := range next {
				c.steerings(t, o)
			}
		})
	}
	for _, c := range checks {
		if c.zone != nil {
			next <- c
		}
	}
	close(next)
	wg.Wait()
	t.unused(checks)
}

// steerings compiles the steering of one zone.
func (c *checker) steerings(t *together, o *Options) {
	s := steering{lost: c.broken}
	program, problems := steer.Compile(c.zone, steer.Options{
		Rankings: o.Rankings, Advise: true,
		With: func(apex []byte) *zone.Zone { return t.with(c, &s, apex, o) },
	})
	for i := range problems {
		p := &problems[i]
		switch {
		case p.Rule == steer.RuleUnused:
			s.unused = append(s.unused, *p)
		case !s.lost || aboutText(p.Rule):
			c.steered(p)
		}
	}
	if program != nil {
		s.note(program)
		c.bounded(program)
	}
	c.steering = s
}

// with finds a zone for with=.
func (t *together) with(c *checker, s *steering, apex []byte, o *Options) *zone.Zone {
	other := t.zones[string(apex)]
	switch {
	case other == nil && o.Whole:
		return nil // which is an error
	case other == nil:
		s.lost = true
		c.at(steerWithout, c.z.soa, "steering takes names from "+text(apex)+" by with=, which is not checked along with this zone", "name the file of that zone, too")
	case other.zone == nil || other.broken:
		s.lost = s.lost || other.broken
	default:
		return other.zone
	}
	// A zone that declares nothing.
	return t.blank
}

// blankZone is a zone that has nothing but what every zone has.
func blankZone() *zone.Zone {
	b := zone.NewBuilder()
	soa := append([]byte{0, 0}, make([]byte, 20)...)
	b.Add(&wire.RR{Owner: []byte{0}, Type: wire.TypeSOA, TTL: 60, Data: soa})
	b.Add(&wire.RR{Owner: []byte{0}, Type: wire.TypeNS, TTL: 60, Data: []byte{0}})
	z, _ := b.Finish()
	return z
}

// aboutText reports whether a rule needs one record alone.
func aboutText(id string) bool {
	r, ok := ruleOf(id)
	return ok && rules[r].Subject == steeringText
}

// ruleOf finds a rule by its ID.
func ruleOf(id string) (rule, bool) {
	i := slices.IndexFunc(rules[:], func(r Rule) bool { return r.ID == id })
	return rule(max(i, 0)), i >= 0
}

// steered notes a problem, in its place.
func (c *checker) steered(p *steer.Problem) {
	if !p.Warning {
		c.refused = true
	}
	r, ok := ruleOf(p.Rule)
	if !ok {
		// A kind that the table lacks would go unsaid: see TestSteeringRules.
		r = steerValue
	}
	f := c.places.Finding(p)
	pos := f.Pos
	if rec := c.ownRecord(p); rec != 0 {
		pos = c.z.pos(rec)
	}
	c.atPos(r, pos, f.Message, f.Remedy)
}

// ownRecord finds the record of a problem which is not among those that are
// hidden; 0: it is.
func (c *checker) ownRecord(p *steer.Problem) recID {
	if c.places.Knows(p.Owner) {
		return 0
	}
	for r := c.z.firstOf(c.z.find(p.Owner)); r != 0; r = c.z.rec(r).next {
		if !c.z.rec(r).dropped && (p.Data == nil || bytes.Equal(c.z.data(r), p.Data)) {
			return r
		}
	}
	return 0
}

// note notes what a zone takes from others.
func (s *steering) note(p *steer.Program) {
	s.rules = len(p.Rules()) > 0
	for _, apex := range p.With() {
		s.with = append(s.with, wire.NameString(apex))
	}
	if s.with == nil {
		return
	}
	for i := range p.Sites {
		s.takes = append(s.takes, p.Sites[i].Name+"._site."+p.Sites[i].Zone)
	}
	for i := range p.Nodes {
		s.takes = append(s.takes, p.Nodes[i].Name+"._node."+p.Nodes[i].Zone)
	}
	for i := range p.Checks {
		s.takes = append(s.takes, p.Checks[i].Name+"._check."+p.Checks[i].Zone)
	}
}

// unused tells of declarations that neither their own zone nor another one
// uses. A zone without policies of its own declares for others, which may not
// be here.
func (t *together) unused(checks []*checker) {
	taken, lent := map[string]bool{}, map[string]bool{}
	for _, c := range checks {
		for _, name := range c.steering.takes {
			taken[name] = true
		}
		for _, zone := range c.steering.with {
			lent[zone] = true
		}
	}
	for _, c := range checks {
		s := &c.steering
		if s.lost || !s.rules && !lent[text(c.z.apex)] {
			continue
		}
		for i := range s.unused {
			if !taken[plainName(s.unused[i].Owner)] {
				c.steered(&s.unused[i])
			}
		}
	}
}

// plainName is a declaration's name as note has it: the label as it stands,
// before the rest as a message has it.
func plainName(owner []byte) string {
	n := 1 + int(owner[0])
	return string(owner[1:n]) + "." + text(owner[n:])
}

// bounded takes back what was said of RRsets that are too large for an answer,
// where answers= lets only a few of their records into one.
func (c *checker) bounded(p *steer.Program) {
	if c.counts[answerLarge] == 0 {
		return
	}
	few := map[zonefile.Pos]bool{}
	for _, r := range p.Rules() {
		n := c.z.find(append(slices.Clone(r.Owner), c.z.apex...))
		for _, t := range [...]wire.Type{wire.TypeA, wire.TypeAAAA} {
			rec := c.z.set(n, t)
			if rec == 0 || r.Spec.Answers == 0 || !r.Spec.Steers(t) {
				continue
			}
			size := headerSize + len(c.z.owner(n)) + r.Spec.Answers*(recordSize+int(c.z.rec(rec).length))
			few[c.z.pos(rec)] = size <= udpSize
		}
	}
	c.found = slices.DeleteFunc(c.found, func(f zonefile.Finding) bool {
		return f.Rule == rules[answerLarge].ID && few[f.Pos]
	})
}

// steeringText is the subject of rules that look at one record's text.
const steeringText = "steering text"
