package resolver

import (
	"encoding/binary"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// hide makes a name below a steering subtree one that does not exist: only
// those may see it who may transfer the zone.
func (v *Resolver) hide(name *wire.Name, m *zone.Match) {
	at := name.NLabels - v.z.Labels() - 1
	if at < 0 || v.in.Trusted || m.Kind == zone.Redirected {
		return
	}
	i := int(name.Labels[at])
	if steer.HiddenLabel(name.Buf[i+1 : i+1+int(name.Buf[i])]) {
		*m = v.z.AtApex(name)
	}
}

// readyChooser makes ready what choosing writes to, at first use: most servers
// of plain zones never need it.
func (v *Resolver) readyChooser() {
	if v.chooser == nil {
		v.chooser = steer.NewChooser()
	}
	v.chooser.Reset()
}

// moment is what to choose by. It is the Resolver's, filled in its place: see
// put.
func (v *Resolver) moment(nobody bool) *steer.Moment {
	m := &v.now
	m.Bound, m.Verdicts, m.Nobody, m.Draw = v.steering, v.w.Verdicts, nobody, v.in.Draw
	if !nobody {
		m.Client = v.client()
	}
	return m
}

// client is for whom is chosen: whom EDNS Client Subnet names, unless it names
// nobody (RFC 7871 7.1.2: a source of 0 asks for an answer by the source
// address), else who asks.
func (v *Resolver) client() steer.Client {
	e := &v.q.EDNS.ECS
	if !v.byECS() {
		return v.in.Source
	}
	if e.Family == wire.FamilyIPv4 {
		return steer.Client{V4: true, Lo: uint64(binary.BigEndian.Uint32(e.Addr[:]))}
	}
	return steer.Client{Hi: binary.BigEndian.Uint64(e.Addr[:]), Lo: binary.BigEndian.Uint64(e.Addr[8:])}
}

func (v *Resolver) byECS() bool { return v.q.EDNS.ECS.Present && v.q.EDNS.ECS.Source > 0 }

// steered answers with an RRset of a zone that has steering.
func (v *Resolver) steered(owner []byte, n zone.Node, s *zone.RRset) Outcome {
	if s.Type == wire.TypeCNAME {
		if !v.steerAlias(owner, n, s) {
			v.answer(owner, n, s)
		}
		return Answered
	}
	rule := v.steering.Find(v.at, n.Rel(), s.Type)
	if rule == nil {
		v.answer(owner, n, s)
		if s.Type == wire.TypeHTTPS || s.Type == wire.TypeSVCB {
			v.hints(owner, n, s)
		}
		return Answered
	}
	if owner != nil && rule.Depends() && v.q.EDNS.ECS.Present {
		// RFC 7871 7.2.1: what led here holds for everybody, and is answered
		// alone: the resolver asks again for the target, and learns its scope.
		v.traceAlone(owner, s.Type)
		return Answered
	}
	return v.chosen(owner, n, s, rule)
}

// chosen answers with what a rule chooses.
func (v *Resolver) chosen(owner []byte, n zone.Node, s *zone.RRset, rule *steer.Rule) Outcome {
	m := v.moment(false)
	t := v.trace(owner, s.Type)
	var res steer.Result
	switch s.Type {
	case wire.TypeA:
		res = v.chooser.Address(m, rule, steer.V4, t.choice())
	case wire.TypeAAAA:
		res = v.chooser.Address(m, rule, steer.V6, t.choice())
	default:
		res = v.chooser.Thin(m, rule, s.Records, t.choice())
	}
	t.done(m, v.byECS(), res)
	if v.in.Signed {
		v.r.SetEDE(wire.EDEOther, v.told(rule, s, &res))
		if v.in.Trusted {
			v.answer(owner, n, s)
			return Answered
		}
	}
	if rule.Metered() {
		v.count(rule, s.Type, &res)
	}
	ttl := v.ttl(rule, s, &res)
	switch res.Stage {
	case steer.Nothing:
		return NoData
	case steer.LastResort:
		return v.lastResort(owner, rule, s, ttl)
	case steer.NoWriter:
		return v.noWriter()
	}
	if v.byECS() {
		v.r.Scope = res.Scope
	}
	v.r.Answer = put(v.r.Answer, owner, s, ttl)
	a := &v.r.Answer[len(v.r.Answer)-1]
	a.Pick, a.First = res.Pick, res.First
	return Answered
}

// noWriter answers where a writer is looked for, none is known, and none was. No
// data would be kept for as long as the SOA says (RFC 2308 5); a failure is asked
// again soon (RFC 2308 7.1), and resolvers that can answer from what they had
// before (RFC 8767).
func (v *Resolver) noWriter() Outcome {
	v.r.AA, v.r.Answer = false, v.r.Answer[:0]
	v.r.SetEDE(wire.EDEInvalidData, "no node is known to take writes")
	return v.refuse(wire.RcodeServFail, NoWriter)
}

// count counts an answer for the sites and nodes that it names, where a capacity
// says how many they take.
func (v *Resolver) count(rule *steer.Rule, t wire.Type, res *steer.Result) {
	if v.Lane == 0 || v.in.Trace != nil {
		return
	}
	f := steer.V4
	if t == wire.TypeAAAA {
		f = steer.V6
	}
	v.chooser.Count(v.steering, v.Lane, rule, f, res)
}

// ttl is how long a chosen answer may be kept, in seconds.
func (v *Resolver) ttl(rule *steer.Rule, s *zone.RRset, res *steer.Result) uint32 {
	return v.steering.TTL(rule, s.TTL, res.Unsteady, v.w.Clock)
}

// lastResort answers what empty= names.
func (v *Resolver) lastResort(owner []byte, rule *steer.Rule, s *zone.RRset, ttl uint32) Outcome {
	f := steer.V4
	if s.Type == wire.TypeAAAA {
		f = steer.V6
	}
	records, host := rule.Last(f)
	set := zone.RRset{Type: s.Type, TTL: ttl, Records: records}
	if host != nil {
		n, ok := v.z.Find(host)
		if !ok {
			return NoData
		}
		if set, ok = n.Set(s.Type); !ok {
			return NoData
		}
	}
	if len(set.Records) == 0 {
		return NoData
	}
	v.r.Answer = put(v.r.Answer, owner, &set, min(ttl, set.TTL))
	return Answered
}

// steerAlias puts the CNAME of the client's site in the place of the ordinary
// one. alone: it is not to be answered, as in steered.
func (v *Resolver) steerAlias(owner []byte, n zone.Node, s *zone.RRset) (alone bool) {
	rule := v.steering.Find(v.at, n.Rel(), wire.TypeCNAME)
	if rule == nil {
		return false
	}
	if owner != nil && rule.Depends() && v.q.EDNS.ECS.Present {
		v.traceAlone(owner, s.Type)
		return true
	}
	m := v.moment(false)
	t := v.trace(owner, s.Type)
	records, res := v.chooser.Alias(m, rule, t.choice())
	t.done(m, v.byECS(), res)
	if v.in.Signed {
		v.r.SetEDE(wire.EDEOther, v.told(rule, s, &res))
		if v.in.Trusted {
			return false
		}
	}
	if v.byECS() {
		v.r.Scope = res.Scope
	}
	s.TTL = v.ttl(rule, s, &res)
	if records != nil {
		s.Records = records
	}
	return false
}

// minimal answers ANY at a steered owner (RFC 8482 4.2): what else is there
// would depend on who asks.
func (v *Resolver) minimal(owner []byte, n zone.Node) bool {
	if v.in.Trusted || !v.steering.Steers(v.at, n.Rel()) {
		return false
	}
	// A HINFO of the CPU "RFC8482" and no OS.
	records := v.r.Scratch(len(rfc8482))
	if records == nil {
		return false
	}
	copy(records, rfc8482)
	v.r.Answer = put(v.r.Answer, owner, &zone.RRset{Type: wire.TypeHINFO, TTL: minimalTTL, Records: records}, minimalTTL)
	return true
}

const (
	rfc8482 = "\x00\x09\x07RFC8482\x00" // packed: wire.NextRecord
	// minimalTTL is how long such an answer may be kept, in seconds (RFC 8482
	// 4.2 leaves it open).
	minimalTTL = 3600
)

// extraSteered chooses for the additional section, which must not depend on
// who asks (RFC 7871 7.2.1).
func (v *Resolver) extraSteered(owner []byte, n zone.Node, s *zone.RRset) (done bool) {
	rule := v.steering.Find(v.z.Hash(n.Rel()), n.Rel(), s.Type)
	if rule == nil || v.in.Trusted {
		return false
	}
	f := steer.V4
	if s.Type == wire.TypeAAAA {
		f = steer.V6
	}
	m := v.moment(true)
	res := v.chooser.Address(m, rule, f, nil)
	if res.Stage >= steer.LastResort {
		return true
	}
	v.r.Additional = put(v.r.Additional, owner, s, v.ttl(rule, s, &res))
	a := &v.r.Additional[len(v.r.Additional)-1]
	a.Pick, a.First = res.Pick, res.First
	return true
}

// told says in a few words what an unsigned question would have been answered,
// and why (RFC 8914): for those who have a key, dig explains.
func (v *Resolver) told(rule *steer.Rule, s *zone.RRset, res *steer.Result) string {
	return v.steering.Summary(rule, s.Type, res)
}
