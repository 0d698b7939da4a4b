package record

import (
	"strings"
	"time"
)

// ParseState reads a _state record. The State is whole only if no problem is
// an error.
func ParseState(text []byte, o Origin) (State, []Problem) {
	p := newParser(state, text, o)
	s := State{Must: p.must, Tags: p.all}
	for i := range p.tags {
		t := &p.tags[i]
		switch t.Key {
		case "drain":
			if t.Value != "" {
				p.word(t, "yes")
			}
			s.Drain = true
		case "from":
			s.From = p.time(t)
		case "until":
			s.Until = p.time(t)
		case "active":
			s.Active, _ = p.step(t.Key, item{t.Value, t.ValueAt})
		case "reason":
			s.Reason, _ = p.text255(t)
		}
	}
	p.stateWhole(&s)
	return s, p.done()
}

// time reads a time of RFC 3339 5.6 without fractions of seconds.
func (p *parser) time(t *Tag) time.Time {
	when, err := time.Parse(time.RFC3339, strings.ToUpper(t.Value))
	if err == nil && when.Nanosecond() == 0 && when.UTC().Year() > 0 && when.UTC().Year() < 10000 {
		return when.UTC()
	}
	p.bad(t, t.Key+"="+quote(t.Value)+" is not a time", "write it as in 2026-11-20T14:00:00Z (RFC 3339), whole seconds")
	return time.Time{}
}

func (p *parser) stateWhole(s *State) {
	if len(p.all) == 0 || p.errors > 0 {
		return
	}
	for _, key := range []string{"from", "until"} {
		if t := p.tag(key); t != nil && !s.Drain {
			p.clash(t.At, key, key+"= stands without drain", "add drain, or remove it")
		}
	}
	if t := p.tag("until"); t != nil && !s.From.IsZero() && !s.Until.After(s.From) {
		p.clash(t.ValueAt, t.Key, "until= is not after from=", "write a later time")
	}
	if !s.Drain && s.Active == "" {
		p.lacks(p.all[0].At, "", "the record commands nothing", "add drain or active=, or remove the record")
	}
}
