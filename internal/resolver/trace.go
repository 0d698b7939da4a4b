package resolver

import (
	"slices"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// Trace gathers how an answer came about, for explanations. The nil Trace
// gathers nothing, and is what serving hands over.
type Trace struct {
	// Zone is the one that answers; nil: none here holds the name.
	Zone *world.Served
	// Path has the names that were looked up: the one that was asked for, then
	// what aliases led to.
	Path []Step
	// Choices has one for each steered RRset of the answer section, in its
	// order, and for the address hints of HTTPS and SVCB records.
	Choices []Choice
	// Alone, if not nil, is the name (wire form) before which the answer ends:
	// its records of type AloneType depend on the client, and an alias that
	// leads to such is answered alone (RFC 7871 7.2.1).
	Alone     []byte
	AloneType wire.Type
}

// Found is what a name is to its zone.
type Found uint8

// What a look-up can find.
const (
	FoundName     Found = iota // the name itself
	FoundWildcard              // a wildcard that stands for it
	FoundCut                   // a delegation, at the name or above it
	FoundDNAME                 // a DNAME above it
	FoundNothing               // nothing: At is the closest encloser
)

// Step is one name that was looked up.
type Step struct {
	Name  []byte // wire form
	Found Found
	At    []byte // the name of what was found, in wire form
	Node  zone.Node
}

// Choice is what a rule chose.
type Choice struct {
	Owner []byte // wire form
	Type  wire.Type
	// Hint: the addresses go into the hints of HTTPS or SVCB records.
	Hint   bool
	Moment steer.Moment // by what
	ByECS  bool         // the client's address comes from the question
	Result steer.Result
	steer.Trace
}

func (v *Resolver) traceStep(name *wire.Name, m *zone.Match) {
	s := Step{Name: slices.Clone(name.Bytes()), At: slices.Clone(name.Suffix(m.Label)), Node: m.Node}
	switch m.Kind {
	case zone.Cut:
		if v.q.Type != wire.TypeDS || m.Label != 0 {
			s.Found = FoundCut
		}
	case zone.Redirected:
		s.Found = FoundDNAME
	case zone.Missing:
		s.Found = FoundNothing
		if wild, ok := v.z.Wildcard(m); ok {
			s.Found, s.Node = FoundWildcard, wild
			s.At = slices.Concat([]byte{1, '*'}, s.At)
		}
	}
	v.in.Trace.Path = append(v.in.Trace.Path, s)
}

func (v *Resolver) traceAlone(owner []byte, t wire.Type) {
	if v.in.Trace != nil {
		v.in.Trace.Alone, v.in.Trace.AloneType = slices.Clone(owner), t
	}
}

// trace begins the trace of one choice; nil when serving.
func (v *Resolver) trace(owner []byte, t wire.Type) *Choice {
	if v.in.Trace == nil {
		return nil
	}
	if owner == nil {
		owner = v.q.Name.Bytes()
	}
	v.in.Trace.Choices = append(v.in.Trace.Choices, Choice{Owner: slices.Clone(owner), Type: t})
	return &v.in.Trace.Choices[len(v.in.Trace.Choices)-1]
}

// traceHint is trace for hints that follow a node's addresses.
func (v *Resolver) traceHint(n zone.Node, t wire.Type) *Choice {
	if v.in.Trace == nil {
		return nil
	}
	c := v.trace(slices.Concat(n.Rel(), v.z.Apex()), t)
	c.Hint = true
	return c
}

func (c *Choice) choice() *steer.Trace {
	if c == nil {
		return nil
	}
	return &c.Trace
}

func (c *Choice) done(m *steer.Moment, byECS bool, res steer.Result) {
	if c != nil {
		c.Moment, c.ByECS, c.Result = *m, byECS, res
		c.Result.Pick = slices.Clone(res.Pick)
	}
}
