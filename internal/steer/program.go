package steer

import (
	"net/netip"

	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// These bound what one owner can have.
const (
	// MaxMembers is how many records an RRset may have to be steered.
	MaxMembers = 1024
	// MaxSites is how many sites one policy may choose between.
	MaxSites = 1024
)

// Program is the steering of one zone, compiled.
type Program struct {
	// Sites, Nodes and Checks are those that the policies use, of this zone and
	// of those named by with=.
	Sites  []Site
	Nodes  []Node
	Checks []Check
	// Targets are what is to be probed: a local slot each. A Bound says where
	// their verdicts are.
	Targets []Target
	// Commands are those that the zone brings with it.
	Commands []Command

	rules    []*Rule
	index    index
	rankings *Rankings
	with     [][]byte
	withs    []*zone.Zone // the same; nil: that it was not served
}

// Rankings is the geography that the program was compiled with.
func (p *Program) Rankings() *Rankings { return p.rankings }

// With are the apexes (wire form) of the zones that with= takes names from, or
// would, if they were served.
func (p *Program) With() [][]byte { return p.with }

// CompiledWith is the version of With()[i] that names were taken from; nil: it was
// not served.
func (p *Program) CompiledWith(i int) *zone.Zone { return p.withs[i] }

// Site is a data centre as a zone declares it.
type Site struct {
	Name string
	Zone string // that declares it
	record.Site
}

// Node is a machine that a zone declares by name.
type Node struct {
	Name string
	Zone string
	record.Node
}

// Check is how targets are probed.
type Check struct {
	Name string
	Zone string
	record.Check
}

// Target is an address under a check.
type Target struct {
	Addr  netip.Addr
	Check int // of Program.Checks
	// Own: some record of the zone answers this address. Others may be probed
	// only where the server's configuration allows it.
	Own bool
}

// Rules are the policies of the zone, in no order.
func (p *Program) Rules() []*Rule { return p.rules }

// Rule is the policy of an owner for some of its types.
type Rule struct {
	// Number is the rule's place in the Program.
	Number int
	// Owner is the name below the apex, as zone.Node.Rel has it.
	Owner []byte
	// Spec is what the record says.
	// Rules of the same text share it.
	Spec *record.Steer
	// SteerName is the name of the record, for messages.
	SteerName string

	policy record.Policy
	pick   record.Pick
	spread *spread // nil: it never passes a client over
	// certain says for each check whether only what is known to be up is live
	// (role=writable); nil: for none.
	certain []bool
	answers int
	sites   []int // rule-local site -> Program.Sites
	def     SiteID
	ranking *Ranking
	family  [families]family
	steps   []step // of policy failover
	// cnames is, for each site, the packed CNAME that it answers; nil: none.
	cnames [][]byte
	thins  wire.Type // MX or SRV, if hosts is not nil
	// hosts is, for each record of an MX or SRV set, its target's addresses.
	hosts []host
	// lastResort is what empty= names: packed records a family, or a host.
	lastResort [families][]byte
	lastHost   []byte // wire form

	// blocked: the policy could not be compiled, and answers nothing.
	blocked bool

	next *Rule // of the same owner, for other types
}

// family is an owner's records of one address family.
type family struct {
	members []member // by the record's index in the RRset
	bySite  []group
	twice   []uint16 // all indexes, twice: see Chooser.quick
	sums    []uint64 // of the weights up to each member: see Chooser.draw
	weights []uint32 // the members', side by side, as keys are: see pick
	keys    []uint64
	held    bool // there is an RRset
	// probed: some member has targets. drained: some is drained by the zone.
	probed, drained bool
}

// group is a site's records of a family.
type group struct {
	members []uint16
	floor   int // how many have to be live for the site to be up
	// twice is members twice. whole: if nothing is down, the site is up, in the
	// other family too.
	twice []uint16
	sums  []uint64 // as the family's
	whole bool
}

// member is one address record.
type member struct {
	addr netip.Addr // for people
	key  uint64     // of the address, for sticky picks
	site SiteID     // rule-local, or NoSite
	// unit is what a drain names: see Bound.Drained.
	unit     uint32
	siteUnit uint32
	weight   uint32
	drained  bool // by the zone
	// A member is live if for each check at least need of its targets are.
	targets []uint32 // checks times probes: local slots
	checks  uint8
	need    uint8
}

// host is the target of an MX or SRV record.
type host struct {
	name    []byte // wire form
	foreign bool   // not served here: counts as live
	members []member
}

// step is one of a failover: a site, or one record a family.
type step struct {
	name   string
	site   SiteID // NoSite: see record
	record [families]int
}

// Bound is a Program with its place in the server: where its verdicts are, and
// what is commanded.
type Bound struct {
	*Program
	// Slots maps local slots to those of the Verdicts; nil: nothing is probed.
	Slots []uint32
	// Copy: the zone is taken from another server, whose word counts: see
	// Rule.told. Alone: the server that it is taken from is not heard.
	Copy, Alone bool
	// Drained has a bit for each unit that is drained by command; nil: none.
	// Units are the program's nodes, then its sites.
	Drained []uint64
	// Until says for each rule when a command that is given already will change
	// its answers, in Unix milliseconds; 0: none will. nil: for no rule. See TTL.
	Until []int64
	// Ramps are for each rule what has returned and is being ramped up; nil:
	// nothing is. See TTL, too.
	Ramps []*Ramp
	// Active is, for each failover, the step that serves as long as it is up, plus
	// one; nil or 0: the first that is up. Lead says which.
	Active []uint8
	// Spill is for each unit which part of its clients it takes, up to Whole,
	// because of its capacity; nil: all of them all.
	Spill []uint32
	// Cells count the answers that name a unit; nil: nothing is counted.
	Cells []Cell
	// Forced has a bit for each rule whose active step serves even if it is down;
	// nil: none.
	Forced []uint64
	// Kept is, for each rule with empty=hold, what was live last; nil: nothing.
	Kept []Kept
}

// noUnit stands for what no drain can name.
const noUnit = ^uint32(0)

func bit(set []uint64, i uint32) bool {
	return int(i/64) < len(set) && set[i/64]>>(i%64)&1 != 0
}

// NodeUnit and SiteUnit are the bits of Bound.Drained.
func (p *Program) NodeUnit(node int) uint32 { return uint32(node) }

// SiteUnit is the bit of a site.
func (p *Program) SiteUnit(site int) uint32 { return uint32(len(p.Nodes) + site) }

// Find returns the rule of a node for a type, or nil. hash is that of the
// node's name (zone.Match.Hash).
func (p *Program) Find(hash uint64, rel []byte, t wire.Type) *Rule {
	for r := p.index.find(hash, rel); r != nil; r = r.next {
		if r.steers(t) {
			return r
		}
	}
	return nil
}

// Steers reports whether a node has any rule.
func (p *Program) Steers(hash uint64, rel []byte) bool { return p.index.find(hash, rel) != nil }

// steers reports whether the rule is about a type.
func (r *Rule) steers(t wire.Type) bool {
	switch t {
	case wire.TypeA:
		return r.family[V4].held
	case wire.TypeAAAA:
		return r.family[V6].held
	case wire.TypeMX, wire.TypeSRV:
		return r.hosts != nil && r.thins == t
	case wire.TypeCNAME:
		return r.cnames != nil
	}
	return false
}

// DrainedUnits are the bits of a Bound's Drained for the sites and nodes of
// which covers says so, by the zone that declares them and their label; nil:
// none.
func (p *Program) DrainedUnits(covers func(zone, name string) bool) (set []uint64) {
	mark := func(unit uint32) {
		if set == nil {
			set = make([]uint64, (len(p.Nodes)+len(p.Sites)+63)/64)
		}
		set[unit/64] |= 1 << (unit % 64)
	}
	for i := range p.Nodes {
		if covers(p.Nodes[i].Zone, p.Nodes[i].Name) {
			mark(p.NodeUnit(i))
		}
	}
	for i := range p.Sites {
		if covers(p.Sites[i].Zone, p.Sites[i].Name) {
			mark(p.SiteUnit(i))
		}
	}
	return set
}
