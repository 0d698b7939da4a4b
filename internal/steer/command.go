package steer

import (
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// Command is a record below _state: a command in force at the primary, which
// travels with the zone.
type Command struct {
	// Name is what it is about: the labels before _state, without the root octet,
	// in lower case.
	Name []byte
	// TTL and Data are the record's.
	TTL  uint32
	Data []byte
	record.State
}

// Label is the name of a site or node; "" if it is about something else.
func (c *Command) Label() string {
	if len(c.Name) == 0 || 1+int(c.Name[0]) != len(c.Name) {
		return ""
	}
	return string(c.Name[1:])
}

// WithCommands is the program with the commands that records below _state are,
// instead of those that it had. p may be nil, and is if there are none.
func (p *Program) WithCommands(apex []byte, records []wire.RR) *Program {
	if p == nil || len(records) == 0 && len(p.Commands) == 0 {
		return p
	}
	n := *p
	n.Commands = nil
	c := compiler{p: &n}
	for i := range records {
		rr := &records[i]
		r := raw{owner: rr.Owner, rel: len(rr.Owner) - len(apex), typ: rr.Type, ttl: rr.TTL, records: wire.AppendRecord(nil, rr.Data)}
		head, _ := r.subtree()
		c.command(apex, &r, head)
	}
	return &n
}

// command takes a record below _state. One that can't be read is passed over with
// a warning: it is an operator's word of another day, and no reason not to serve.
func (c *compiler) command(apex []byte, r *raw, head []byte) {
	for records := r.records; ; {
		data, rest, ok := wire.NextRecord(records)
		if !ok {
			return
		}
		records = rest
		if r.typ != wire.TypeTXT {
			c.problem(RuleOtherType, r.owner, data, 0, "only TXT records belong here", "take this one away", true)
			return
		}
		text, ok := record.Join(data)
		if !ok {
			c.problem(record.RuleValue, r.owner, data, 0, "the TXT record is malformed", "take it away", true)
			continue
		}
		spec, problems := record.ParseState(text, record.Origin{Apex: apex, Lenient: true})
		well := true
		for _, p := range problems {
			well = well && p.Warning
			c.problem(p.Rule, r.owner, data, p.At, p.Text, p.Remedy, true)
		}
		if well {
			c.p.Commands = append(c.p.Commands, Command{append([]byte(nil), head...), r.ttl, data, spec})
		}
	}
}
