package explain

import (
	"fmt"
	"slices"
	"strings"

	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// why says in a sentence how the answer came about.
func (e *explainer) why() string {
	var parts []string
	for i := range e.trace.Path {
		if text := e.onTheWay(i); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(append(parts, e.end()), "; ")
}

// last is the step at which the walk ended; nil: there was none.
func (e *explainer) last() *resolver.Step {
	if len(e.trace.Path) == 0 {
		return nil
	}
	return &e.trace.Path[len(e.trace.Path)-1]
}

// onTheWay says what is worth saying of a step before its end.
func (e *explainer) onTheWay(i int) string {
	s := &e.trace.Path[i]
	name := wire.NameString(s.Name)
	more := i < len(e.trace.Path)-1
	switch {
	case s.Found == resolver.FoundWildcard && more:
		return fmt.Sprintf("%s doesn't exist, and the wildcard %s, which stands for it, leads to %s", name, wire.NameString(s.At), e.next(i))
	case s.Found == resolver.FoundWildcard:
		return fmt.Sprintf("%s doesn't exist, and the wildcard %s stands for it", name, wire.NameString(s.At))
	case s.Found == resolver.FoundDNAME && more:
		return fmt.Sprintf("the DNAME at %s leads from %s to %s", wire.NameString(s.At), name, e.next(i))
	case more:
		return fmt.Sprintf("the CNAME of %s leads to %s", name, e.next(i))
	}
	return ""
}

func (e *explainer) next(i int) string { return wire.NameString(e.trace.Path[i+1].Name) }

// end says how the walk ended.
func (e *explainer) end() string {
	s := e.last()
	typ := zonefile.TypeString(e.asked.Type)
	switch e.outcome {
	case resolver.NotOurs:
		return "no zone that is served here holds the name"
	case resolver.NotReady:
		return "the zone is known, but there is nothing to serve: its file is broken, or was not read yet"
	case resolver.NXDomain:
		text := wire.NameString(s.Name) + " doesn't exist, and the closest name above it that does, " + wire.NameString(s.At) + ", has no wildcard"
		if e.hidden(s.Name) {
			text = wire.NameString(s.Name) + " is below a name of steering records, which only questions signed by a key that may transfer the zone can see"
		}
		return text
	case resolver.Referral:
		return wire.NameString(s.At) + " is delegated: its name servers are answered"
	case resolver.Outside:
		text := "the alias leads out of the zone, so that the answer ends there"
		if e.steered(s.Name) {
			text = "the CNAME of " + wire.NameString(s.Name) + " is steered; " + text
		}
		return text
	case resolver.Loop:
		return "the aliases lead in a circle, or are more than are followed"
	case resolver.TooLong:
		return "the DNAME makes a name that is longer than 255 octets (RFC 6672 2.2)"
	case resolver.NoWriter:
		return noWriterWhy
	case resolver.NoData:
		return e.noData(s, typ)
	case resolver.Answered:
		return e.answeredWhy(s, typ)
	}
	return "the question is of a kind that is not answered here"
}

func (e *explainer) hidden(name []byte) bool {
	z := e.trace.Zone
	return z != nil && z.Steering != nil && wire.HasSuffix(name, z.Apex()) && steer.Hidden(name[:len(name)-len(z.Apex())])
}

func (e *explainer) noData(s *resolver.Step, typ string) string {
	if n := len(e.trace.Choices); n > 0 && e.trace.Choices[n-1].Result.Stage >= steer.LastResort {
		return "its " + typ + " records are steered, and none is to be answered"
	}
	types := lookupOf(s).Types
	if len(types) == 0 {
		return wire.NameString(s.Name) + " has no records: it exists because there are names below it (an empty non-terminal)"
	}
	return fmt.Sprintf("%s holds %s, but no %s", wire.NameString(s.At), strings.Join(types, ", "), typ)
}

func (e *explainer) answeredWhy(s *resolver.Step, typ string) string {
	name := wire.NameString(s.Name)
	if e.trace.Alone != nil {
		return fmt.Sprintf("the %s records of %s depend on the client, so that the alias is answered alone, for all, and the resolver asks again for what it leads to (RFC 7871 7.2.1)",
			zonefile.TypeString(e.trace.AloneType), wire.NameString(e.trace.Alone))
	}
	switch {
	case e.steered(s.Name):
		return "the " + typ + " records of " + name + " are steered"
	case e.asked.Type == wire.TypeANY && len(e.answer.Answer) > 0 && e.answer.Answer[0].Type == "HINFO" && !slices.Contains(lookupOf(s).Types, "HINFO"):
		return "the name is steered, and ANY would show what depends on the client: a HINFO stands in for it (RFC 8482 4.2)"
	case s.Found == resolver.FoundDNAME:
		return fmt.Sprintf("the DNAME at %s makes the CNAME of %s", wire.NameString(s.At), name)
	case e.trace.Zone.Steering == nil:
		return "the records stand in the zone, which has no steering"
	}
	if len(e.trace.Choices) > 0 && e.trace.Choices[len(e.trace.Choices)-1].Hint {
		return "the records stand in the zone, and their address hints follow the policy of the addresses"
	}
	return "the records stand in the zone, and no policy steers them"
}

// steered reports whether there was a choice between a name's records.
func (e *explainer) steered(name []byte) bool {
	return slices.ContainsFunc(e.trace.Choices, func(c resolver.Choice) bool { return !c.Hint && wire.EqualFold(c.Owner, name) })
}

// scope says for whom the answer holds.
func (e *explainer) scope() Scope {
	s := Scope{Sent: e.asked.ECS.IsValid(), Length: int(e.reply.Scope)}
	at, byECS := e.subject()
	if s.Length > 0 {
		s.Prefix = prefixOf(at, s.Length)
	}
	last := len(e.trace.Choices) - 1
	switch {
	case !s.Sent:
		s.Why = "the question has no client subnet, so that none is sent back"
	case !byECS:
		s.Why = "the question's client subnet is /0, and so is the scope"
	case e.trace.Alone != nil && last < 0:
		s.Why = "the alias is the same for all clients"
	case last < 0:
		s.Why = "the answer doesn't depend on the client"
	default:
		s.Why = e.choiceScope(&e.trace.Choices[last]).Why
	}
	return s
}

// choiceScope is the scope of one choice, whether it is sent or not.
func (e *explainer) choiceScope(c *resolver.Choice) Scope {
	s := Scope{Sent: c.ByECS, Length: int(c.Result.Scope)}
	r := c.Rule
	if s.Length > 0 {
		s.Prefix = prefixOf(addrOf(&c.Moment.Client), s.Length)
	}
	sticky := r.Sticks() && r.Kind() == steer.Addresses
	switch {
	case c.Result.Stage >= steer.LastResort:
		s.Why = "this is the same for all clients"
	case sticky && s.Length == steer.StickyScope(&c.Moment.Client) && s.Length > int(c.Scope):
		s.Why = "the sticky pick is the same in the whole network"
	case r.Spreads() && s.Length == steer.StickyScope(&c.Moment.Client) && s.Length > int(c.Scope):
		s.Why = "what is full or ramped up passes whole networks over: one answer holds for this one"
	case r.Ranks():
		s.Why = "the widest prefix around the client in which the sites rank the same"
	case sticky && s.Length == 0:
		s.Why = "there is one record, which is the same for all clients"
	default:
		s.Why = fmt.Sprintf("policy=%s, pick=%s doesn't depend on who asks", r.PolicyName(), r.PickName())
	}
	if source := e.asked.ECS.Bits(); c.ByECS && s.Length > source {
		s.Why += fmt.Sprintf("; the question's /%d says less than that, and was taken for its first address", source)
	}
	return s
}
