// Package resolver owns the answer: RFC 1034 4.3.2 over the zones of a World,
// with what later RFCs made of it. It fills a Reply; it reads no clock, does no
// I/O, and knows no sockets.
//
// Invariant: the Reply is a function of the World, the question, what is known
// of the client, and the draw. Resolving allocates nothing, and ends after a
// bounded number of steps whatever the zones hold.
package resolver

import (
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
)

// Outcome names what became of a question, for counters and explanations.
type Outcome uint8

// The outcomes.
const (
	Answered   Outcome = iota // records of the type, or of all types
	NoData                    // the name exists, the type doesn't (RFC 2308 2.2)
	NXDomain                  // the name doesn't exist (RFC 2308 2.1)
	Referral                  // delegated (RFC 1034 4.3.2 3b)
	Outside                   // an alias that leads out of the zone
	Loop                      // an alias that leads to itself, or through too many
	TooLong                   // a DNAME made a name that is too long (RFC 6672 2.2)
	NotOurs                   // no zone here holds the name
	NotReady                  // the zone is known, but can't be served now
	BadClass                  // not IN
	NoTransfer                // AXFR or IXFR
	NotAllowed                // NOTIFY or UPDATE
	BadKey                    // signed with a key that is not known
	Chaos                     // a server's identity (RFC 4892)
	NoWriter                  // nobody is known who might take writes (role=writable)
	Outcomes   = iota         // how many there are
)

// String is the outcome as it is written in metrics and explanations.
func (o Outcome) String() string {
	return [...]string{
		"answer", "nodata", "nxdomain", "referral", "outside", "loop", "too-long", "not-ours",
		"not-ready", "bad-class", "no-transfer", "not-allowed", "bad-key", "chaos",
		"no-writer",
	}[o]
}

// Identity is what the server says of itself in class CHAOS, as packed TXT
// records; empty: it doesn't.
type Identity struct {
	Version []byte // version.bind, version.server
	ID      []byte // id.server, hostname.bind (RFC 4892)
}

// Asked is what is known of a question beside the question.
type Asked struct {
	TCP bool
	// Signed: with a key that is known (RFC 8945). Trusted: with one that may
	// transfer zones, which sees what is stored, steering records included,
	// instead of what was chosen for it.
	Signed, Trusted bool
	// Source is where the question came from.
	Source steer.Client
	// Draw is a random number, which decides where rotating sets begin.
	Draw     uint64
	Identity *Identity
	// Trace, if not nil, is told how the answer was chosen.
	Trace *Trace
}

// maxSteps bounds a chain of CNAMEs and DNAMEs.
const maxSteps = 16

// Resolver resolves one question at a time. It is a worker's own: it holds the
// names of the chain that is being followed.
type Resolver struct {
	// Lane is where answers are counted that name sites and nodes with a
	// capacity, a worker's own (steer.Meters): 1 and up; 0: they are not.
	Lane int

	w     *world.World
	q     *wire.Query
	in    Asked
	r     *wire.Reply
	z     *zone.Zone
	name  wire.Name // the alias's target that is being looked up
	other wire.Name // for additional data
	extra int       // names looked up for additional data
	hash  hasher

	steering *steer.Bound // of z; nil: none, or not for who asks
	at       uint64       // hash of the node at hand, where there is steering
	chooser  *steer.Chooser
	now      steer.Moment // see moment
}

// Resolve fills r with the answer to a well-formed request.
func (v *Resolver) Resolve(w *world.World, q *wire.Query, in Asked, r *wire.Reply) Outcome {
	v.w, v.q, v.in, v.r, v.extra = w, q, in, r, 0
	r.Reset()
	switch {
	case q.TSIG != 0 && !in.Signed:
		// RFC 8945 5.2.1: who asks has found no key of that name.
		r.TSIGError = wire.TSIGBadKey
		return v.refuse(wire.RcodeNotAuth, BadKey)
	case q.Opcode == wire.OpcodeNotify:
		return v.refuse(wire.RcodeNotAuth, NotAllowed)
	case q.Opcode == wire.OpcodeUpdate:
		return v.refuse(wire.RcodeRefused, NotAllowed)
	case q.Class == wire.ClassCH:
		return v.chaos()
	case q.Class != wire.ClassIN && q.Class != wire.ClassANY:
		return v.refuse(wire.RcodeRefused, BadClass)
	case q.Type == wire.TypeAXFR:
		if !in.TCP {
			return v.refuse(wire.RcodeNotImp, NoTransfer) // RFC 5936 4.2
		}
		return v.refuse(wire.RcodeRefused, NoTransfer)
	case q.Type == wire.TypeIXFR:
		return v.refuse(wire.RcodeRefused, NoTransfer)
	}
	return v.query()
}

func (v *Resolver) refuse(rcode wire.Rcode, o Outcome) Outcome {
	v.r.Rcode = rcode
	return o
}

func (v *Resolver) query() Outcome {
	s := v.zoneOf()
	if v.in.Trace != nil {
		v.in.Trace.Zone = s
	}
	if s == nil {
		v.r.SetEDE(wire.EDENotAuthoritative, "")
		return v.refuse(wire.RcodeRefused, NotOurs)
	}
	if s.Zone == nil {
		v.r.SetEDE(wire.EDENotReady, "")
		return v.refuse(wire.RcodeServFail, NotReady)
	}
	v.z, v.steering = s.Zone, s.Steering
	if v.steering != nil {
		v.readyChooser()
	}
	if v.q.EDNS.Version {
		// RFC 9660 2.1: of the zone that encloses the name that was asked, which is
		// the one that answers: aliases are not followed out of it.
		v.r.HasVersion, v.r.ZoneLabels, v.r.ZoneSerial = true, uint8(v.z.Labels()), v.z.Serial()
	}
	// RFC 1034 6.2: an answer of class ANY is never authoritative.
	v.r.AA = v.q.Class == wire.ClassIN
	o := v.follow()
	v.additional()
	return o
}

// zoneOf finds the zone that answers. DS belongs to the parent's side of a cut
// (RFC 4035 3.1.4.1): the parent answers for a child's apex if it is here too.
func (v *Resolver) zoneOf() *world.Served {
	if v.q.Type == wire.TypeDS {
		if s, label := v.w.Zones.Find(&v.q.Name, true); s != nil && label > 0 && s.Zone != nil {
			// Only if no cut in between gives the name to somebody else.
			if m := s.Zone.Lookup(&v.q.Name); m.Kind != zone.Cut || m.Label == 0 {
				return s
			}
		}
	}
	s, _ := v.w.Zones.Find(&v.q.Name, false)
	return s
}

// follow answers the question, and goes on with an alias's target while it is
// in the zone (RFC 1034 4.3.2 step 3a).
func (v *Resolver) follow() Outcome {
	name := &v.q.Name
	var owner []byte // of name, as it is to be written; nil: as it was asked
	for steps := 0; ; steps++ {
		target, o := v.step(name, owner)
		if target == nil {
			return o
		}
		if steps == maxSteps {
			return Loop
		}
		if !v.name.Set(target) || !v.z.Contains(v.name.Bytes()) {
			return Outside
		}
		name, owner = &v.name, target
	}
}

// step answers for one name of a chain. It returns the target if that is an
// alias to be followed.
func (v *Resolver) step(name *wire.Name, owner []byte) (target []byte, o Outcome) {
	m := v.z.Lookup(name)
	if v.steering != nil {
		v.hide(name, &m)
		v.at = m.Hash()
	}
	if v.in.Trace != nil {
		v.traceStep(name, &m)
	}
	switch m.Kind {
	case zone.Cut:
		// The parent is authoritative for the DS of the cut itself.
		if v.q.Type != wire.TypeDS || m.Label != 0 {
			return nil, v.referral(&m, suffix(name, owner, m.Label))
		}
	case zone.Redirected:
		return v.dname(&m, name, owner)
	case zone.Missing:
		wild, ok := v.z.Wildcard(&m)
		if !ok {
			v.r.Rcode = wire.RcodeNXDomain
			v.negative()
			v.denyName(name, &m)
			return nil, NXDomain
		}
		if v.steering != nil {
			v.at = m.WildcardHash()
		}
		if wild.Cut() && v.q.Type != wire.TypeDS {
			// RFC 4592 4.2 leaves NS at a wildcard undefined: it delegates.
			return nil, v.referral(&zone.Match{Kind: zone.Cut, Node: wild}, suffix(name, owner, 0))
		}
		return v.node(name, owner, wild, &m)
	}
	return v.node(name, owner, m.Node, nil)
}

// suffix is a name without its first labels, as it is to be written.
func suffix(name *wire.Name, owner []byte, label int) []byte {
	if owner == nil {
		if label == 0 {
			return nil
		}
		return name.Suffix(label)
	}
	return owner[name.Labels[label]:]
}

// node answers from a node: the name's own, or the wildcard's that stands for
// it, then encloser says where the name ended.
func (v *Resolver) node(name *wire.Name, owner []byte, n zone.Node, encloser *zone.Match) (target []byte, o Outcome) {
	t := v.q.Type
	if t == wire.TypeANY {
		o = v.any(owner, n)
	} else if (t == wire.TypeRRSIG || t == wire.TypeSIG) && v.signaturesOnly(owner, n) {
		o = Answered
	} else if s, ok := n.Set(t); ok {
		if v.steering == nil {
			v.answer(owner, n, &s)
			o = Answered
		} else {
			o = v.steered(owner, n, &s)
		}
	} else if s, ok := n.Set(wire.TypeCNAME); ok && n.HasCNAME() {
		if v.steering != nil && v.steerAlias(owner, n, &s) {
			return nil, Answered
		}
		if v.looped(owner, &s) {
			return nil, Loop
		}
		v.answer(owner, n, &s)
		target, _, _ = wire.NextRecord(s.Records)
		o = Answered
	} else {
		o = NoData
	}
	if o == NoData {
		v.negative()
		v.denyType(name, n, encloser)
	} else if encloser != nil {
		v.denyExpansion(name, encloser)
	}
	return target, o
}

// put appends an RRset to a section. It fills the set in its place: a copy of
// one that was just put together makes the processor wait.
func put(to []wire.Set, owner []byte, s *zone.RRset, ttl uint32) []wire.Set {
	if len(to) == cap(to) {
		to = append(to, wire.Set{})
	} else {
		to = to[:len(to)+1]
	}
	a := &to[len(to)-1]
	a.Owner, a.Type, a.TTL, a.Records, a.Pick, a.First = owner, s.Type, ttl, s.Records, nil, 0
	return to
}

// answer adds an RRset to the answer, with its signatures if they are wanted.
func (v *Resolver) answer(owner []byte, n zone.Node, s *zone.RRset) {
	v.r.Answer = put(v.r.Answer, owner, s, s.TTL)
	v.r.Answer[len(v.r.Answer)-1].First = v.first(s)
	if v.q.EDNS.DO {
		v.r.Answer = signatures(v.r.Answer, owner, n, s.Type, s.TTL)
	}
}

// signatures adds the RRSIGs of a type (RFC 4035 3.1.1). Their TTL is that of
// what they cover (RFC 4034 3).
func signatures(to []wire.Set, owner []byte, n zone.Node, t wire.Type, ttl uint32) []wire.Set {
	if sig, ok := n.Signatures(t); ok {
		return put(to, owner, &sig, ttl)
	}
	return to
}

// first says where an address set begins, so that clients which take the first
// address share the nodes evenly.
func (v *Resolver) first(s *zone.RRset) int {
	n := 0
	switch s.Type {
	case wire.TypeA:
		n = len(s.Records) / 6
	case wire.TypeAAAA:
		n = len(s.Records) / 18
	}
	if n < 2 {
		return 0
	}
	return int(uint32(v.in.Draw)) % n
}

// any answers QTYPE ANY with a subset (RFC 8482 4.1): over UDP, where big
// answers serve reflection, one RRset; over TCP all of them (4.4).
func (v *Resolver) any(owner []byte, n zone.Node) Outcome {
	if v.steering != nil && v.minimal(owner, n) {
		return Answered
	}
	for it := n.All(); it.Next(); {
		s := it.Set
		if v.in.TCP {
			v.r.Answer = put(v.r.Answer, owner, &s, s.TTL)
			continue
		}
		if s.Type != wire.TypeRRSIG {
			v.answer(owner, n, &s)
			return Answered
		}
	}
	if len(v.r.Answer) == 0 {
		return NoData
	}
	return Answered
}

// signaturesOnly answers QTYPE RRSIG or SIG with all that the node has, which
// are a set for each type that they cover. It reports whether there are any.
func (v *Resolver) signaturesOnly(owner []byte, n zone.Node) bool {
	before := len(v.r.Answer)
	for it := n.All(); it.Next(); {
		if s := it.Set; s.Type == v.q.Type {
			v.r.Answer = put(v.r.Answer, owner, &s, s.TTL)
		}
	}
	return len(v.r.Answer) > before
}

// looped reports whether a CNAME has been answered before for the same name.
// One wildcard may stand for many names, each of them once.
func (v *Resolver) looped(owner []byte, s *zone.RRset) bool {
	for i := range v.r.Answer {
		a := &v.r.Answer[i]
		if a.Type != wire.TypeCNAME || &a.Records[0] != &s.Records[0] {
			continue
		}
		before := a.Owner
		if before == nil {
			before = v.q.Name.Bytes()
		}
		if owner == nil || wire.EqualFold(before, owner) {
			return true
		}
	}
	return false
}

// dname answers for a name below a DNAME (RFC 6672 3.2): the DNAME, and the
// CNAME that it makes.
func (v *Resolver) dname(m *zone.Match, name *wire.Name, owner []byte) (target []byte, o Outcome) {
	s, _ := m.Node.Set(wire.TypeDNAME)
	if v.synthesised(owner) {
		return nil, Loop
	}
	v.dnameOnce(suffix(name, owner, m.Label), m.Node, &s)
	to, _, _ := wire.NextRecord(s.Records)
	head := int(name.Labels[m.Label])
	if head+len(to) > wire.MaxName {
		v.r.Rcode = wire.RcodeYXDomain // RFC 6672 2.2
		return nil, TooLong
	}
	records := v.r.Scratch(2 + head + len(to))
	if records == nil {
		return nil, Loop
	}
	records[0], records[1] = byte((head+len(to))>>8), byte(head+len(to))
	target = records[2:]
	if owner == nil {
		copy(target, name.Buf[:head])
	} else {
		copy(target, owner[:head])
	}
	copy(target[head:], to)
	v.r.Answer = append(v.r.Answer, wire.Set{Owner: owner, Type: wire.TypeCNAME, TTL: s.TTL, Records: records})
	// Who asks for the CNAME has it; for ANY it is RFC 6672 3.2, step 3C, as it
	// stands: the DNAME is followed.
	if v.q.Type == wire.TypeCNAME {
		return nil, Answered
	}
	return target, Answered
}

// synthesised reports whether a name has got its CNAME before: then a DNAME
// leads back to it.
func (v *Resolver) synthesised(owner []byte) bool {
	if owner == nil {
		return false // It is the first name of the chain.
	}
	for i := range v.r.Answer {
		a := &v.r.Answer[i]
		if a.Type == wire.TypeCNAME && (a.Owner == nil && wire.EqualFold(v.q.Name.Bytes(), owner) || wire.EqualFold(a.Owner, owner)) {
			return true
		}
	}
	return false
}

// dnameOnce adds a DNAME that is not yet in the answer.
func (v *Resolver) dnameOnce(owner []byte, n zone.Node, s *zone.RRset) {
	for i := range v.r.Answer {
		if a := &v.r.Answer[i]; a.Type == wire.TypeDNAME && &a.Records[0] == &s.Records[0] {
			return
		}
	}
	v.answer(owner, n, s)
}

// negative adds the SOA whose TTL says how long the answer may be kept:
// min(TTL, MINIMUM) (RFC 2308 3).
func (v *Resolver) negative() {
	n := v.z.ApexNode()
	s, ok := n.Set(wire.TypeSOA)
	if !ok {
		return
	}
	ttl := min(s.TTL, minimum(s.Records))
	v.r.Authority = put(v.r.Authority, v.z.Apex(), &s, ttl)
	if v.q.EDNS.DO {
		v.r.Authority = signatures(v.r.Authority, v.z.Apex(), n, s.Type, ttl)
	}
}

// minimum is a SOA's last field, of a packed set of one.
func minimum(records []byte) uint32 {
	n := len(records)
	if n < 4 {
		return 0
	}
	return uint32(records[n-4])<<24 | uint32(records[n-3])<<16 | uint32(records[n-2])<<8 | uint32(records[n-1])
}

// referral adds the NS of a cut, whether there is a secure delegation, and
// leaves the glue to additional. AA stays if an alias was answered before.
func (v *Resolver) referral(m *zone.Match, owner []byte) Outcome {
	s, _ := m.Node.Set(wire.TypeNS)
	if len(v.r.Answer) == 0 {
		v.r.AA = false
	}
	if owner == nil {
		owner = v.q.Name.Bytes()
	}
	v.r.Authority = put(v.r.Authority, owner, &s, s.TTL)
	v.glue(owner, &s)
	if v.q.EDNS.DO {
		v.denyDS(m.Node, owner)
	}
	return Referral
}
