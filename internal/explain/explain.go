package explain

import (
	"fmt"
	"net/netip"
	"time"

	"geodns/internal/geo"
	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zonefile"
)

// maxMessage is the longest that TCP carries, in octets.
const maxMessage = 65535

// Explain asks the question of a World, and says how the answer came about.
// draw decides what is left to chance. table gives the geography for zones
// that have no steering; nil, or a nil table: there is none.
func Explain(w *world.World, table func() *geo.Table, asked *Asked, draw uint64) (*Report, error) {
	e := explainer{w: w, asked: asked, draw: draw, reply: wire.NewReply()}
	if err := e.ask(); err != nil {
		return nil, err
	}
	if s := e.trace.Zone; s != nil && s.Steering != nil && s.Steering.Rankings() != nil {
		e.table = s.Steering.Rankings().Table()
	} else if table != nil {
		e.table = table()
	}
	return e.report()
}

// explainer is one question on its way.
type explainer struct {
	w       *world.World
	asked   *Asked
	draw    uint64
	table   *geo.Table // nil: no geography
	msg     []byte
	query   wire.Query
	reply   *wire.Reply
	trace   resolver.Trace
	outcome resolver.Outcome
	answer  Answer
}

// ask sends the question on the way of one from the network: over UDP, and if
// the answer is truncated over TCP.
func (e *explainer) ask() error {
	var err error
	if e.msg, err = e.asked.message(); err != nil {
		return fmt.Errorf("the question can't be put into a message: %w", err)
	}
	if err := e.once(false); err != nil {
		return err
	}
	if !e.answer.Truncated {
		return nil
	}
	if err := e.once(true); err != nil {
		return err
	}
	e.answer.Truncated = true
	return nil
}

func (e *explainer) once(tcp bool) error {
	if v := e.query.Parse(e.msg, tcp); v != wire.Accept {
		return fmt.Errorf("the question for %s was rejected (RCODE %d)", wire.NameString(e.asked.Name), e.query.Rcode)
	}
	e.trace = resolver.Trace{}
	var r resolver.Resolver
	e.outcome = r.Resolve(e.w, &e.query, resolver.Asked{TCP: tcp, Source: clientOf(e.asked.Client), Draw: e.draw, Trace: &e.trace}, e.reply)
	x := wire.Response{Limit: wire.UDPLimit(&e.query, payload), UDPSize: payload}
	if tcp {
		x.Limit = maxMessage
	}
	var encoder wire.Encoder
	msg := encoder.Append(make([]byte, 0, maxMessage), e.msg, &e.query, e.reply, &x)
	var err error
	e.answer, err = decode(msg)
	return err
}

func (e *explainer) report() (*Report, error) {
	r := &Report{
		Question: e.asked.strings(),
		Draw:     fmt.Sprintf("%#016x", e.draw),
		Health:   e.health(),
		Outcome:  e.outcome.String(),
		Path:     []Lookup{},
		Choices:  []Choice{},
		Answer:   e.answer,
	}
	if s := e.trace.Zone; s != nil {
		r.Zone = &Zone{Name: wire.NameString(s.Apex()), State: notReady, Steered: s.Steering != nil}
		if s.Zone != nil {
			r.Zone.State, r.Zone.Serial, r.Zone.Signed = serving, s.Zone.Serial(), s.Zone.Signed()
		}
	}
	r.Client = e.client()
	for i := range e.trace.Path {
		r.Path = append(r.Path, lookupOf(&e.trace.Path[i]))
	}
	for i := range e.trace.Choices {
		r.Choices = append(r.Choices, e.choice(&e.trace.Choices[i]))
	}
	r.Why = e.why()
	r.Scope = e.scope()
	return r, nil
}

// health says what is known of the nodes.
func (e *explainer) health() string {
	s := e.trace.Zone
	switch {
	case s == nil || s.Steering == nil:
		return "plays no part: there is no steering"
	case len(s.Steering.Targets) == 0:
		return "no policy of the zone has a check: all nodes count as live"
	case s.Steering.Slots == nil || e.w.Verdicts == nil:
		return "there are no verdicts: all nodes count as live"
	}
	return "by the verdicts of this moment"
}

var foundWords = [...]string{"name", "wildcard", "delegation", "dname", "nothing"}

func lookupOf(s *resolver.Step) Lookup {
	l := Lookup{Name: wire.NameString(s.Name), Found: foundWords[s.Found], At: wire.NameString(s.At), Types: []string{}}
	if s.Found == resolver.FoundNothing {
		return l
	}
	for it := s.Node.All(); it.Next(); {
		l.Types = append(l.Types, zonefile.TypeString(it.Set.Type))
	}
	return l
}

// subject is the address by which is chosen.
func (e *explainer) subject() (netip.Addr, bool) {
	if e.asked.ECS.IsValid() && e.asked.ECS.Bits() > 0 {
		return e.asked.ECS.Addr(), true
	}
	return e.asked.Client, false
}

func (e *explainer) client() Client {
	at, byECS := e.subject()
	c := Client{Address: at.String(), Whence: "source", Why: "the question has no client subnet, so it is placed by where it comes from"}
	switch {
	case byECS:
		c.Whence, c.Why = "ecs", "the question's client subnet "+e.asked.ECS.String()+" comes before the address that it comes from"
	case e.asked.ECS.IsValid():
		c.Why = "the client subnet /0 asks not to be told from others, so the question is placed by where it comes from (RFC 7871 7.1.2)"
	}
	if e.table != nil {
		c.Place = placeOf(e.table, at)
	}
	return c
}

func placeOf(t *geo.Table, at netip.Addr) *Place {
	n, scope := t.Find(at)
	p := t.Place(n)
	out := &Place{
		Known: p.Source != geo.Nowhere, Country: p.Country, Continent: p.Continent, City: p.City, ASN: p.ASN,
		Source: p.Source.String(), Network: prefixOf(at, scope),
	}
	if p.Subdivision != "" {
		out.Subdivision = p.Country + "-" + p.Subdivision
	}
	if p.Located {
		out.At = &[2]float64{p.Lat, p.Lon}
	}
	for _, info := range t.Describe() {
		if info.Source != p.Source {
			continue
		}
		out.Database = info.Type
		if !info.Built.IsZero() {
			out.Date = info.Built.UTC().Format(time.DateOnly)
		}
	}
	return out
}

// prefixOf is the prefix of a length around an address, as text.
func prefixOf(a netip.Addr, length int) string {
	p, err := a.Prefix(min(length, a.BitLen()))
	if err != nil {
		return ""
	}
	return p.String()
}

// familyOf is the family of a choice's records.
func familyOf(t wire.Type) steer.Family {
	if t == wire.TypeAAAA {
		return steer.V6
	}
	return steer.V4
}
