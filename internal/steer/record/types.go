package record

import (
	"net/netip"
	"time"

	"geodns/internal/wire"
)

// Origin is what the text of a record is read against.
type Origin struct {
	// Apex is the zone's apex in wire form: names without a final dot are
	// relative to it. Empty: the root.
	Apex []byte
	// Lenient is for records that came by transfer or update, perhaps from a
	// newer primary: a tag that is not known is a warning, unless must= lists
	// it. Records from files are read strictly.
	Lenient bool
}

// Problem is what is wrong with a record, or odd about it.
type Problem struct {
	// At is the octet of the text at which the tag begins, or its value if the
	// value is at fault; never past the end of the text.
	At int
	// Tag is the tag's key in lower case; "" if the problem is the record's.
	Tag string
	// Rule is which kind of problem it is: one of the Rule constants.
	Rule string
	// Text says what is wrong, Remedy what to do, as parts of one sentence
	// without a final stop.
	Text, Remedy string
	// Warning: the record can be used as it is.
	Warning bool
}

// The kinds of problems, the warnings last. They are stable: people name them
// to leave warnings out.
const (
	RuleVersion    = "steer-version"     // v= is missing, or another record's
	RuleUnknownTag = "steer-unknown-tag" // in a lenient reading a warning
	RuleTwice      = "steer-twice"       // a tag or value that may stand once
	RuleMissing    = "steer-missing-tag" // a tag that is required, or its value
	RuleValue      = "steer-value"       // a value that can't be read
	RuleTogether   = "steer-tags"        // tags that don't go together

	RuleFinalDot = "steer-final-dot"  // a name that seems to lack its final dot
	RuleCountry  = "steer-country"    // a country that there is not
	RuleNoEffect = "steer-no-effect"  // a tag that does nothing
	RuleWord     = "steer-word"       // a name like a word of the tag
	RuleLoss     = "steer-check-loss" // a check that lost packets fail
)

// Tag is one key=value of a record as it was written.
type Tag struct {
	Key   string // in lower case
	Value string // without the blanks around it, %3B and %25 decoded
	// At and ValueAt are the octets of the text where key and value begin.
	At, ValueAt int
}

// TagList has a record's tags in the order of the text, v= and those that are not
// known included.
type TagList []Tag

// Name is a domain name in uncompressed wire form and lower case, up to and
// including the root's octet; "" where a record names none.
type Name string

// Site is a _site record: a data centre.
type Site struct {
	Nets         []netip.Prefix
	Lat, Lon     float64 // degrees, north and east positive; only if Placed
	Placed       bool
	Countries    []string // ISO 3166-1 alpha-2, upper case
	Continents   []string // AF AN AS EU NA OC SA
	Subdivisions []string // ISO 3166-2, "US-CA"
	ASNs         []uint32
	Drain        bool
	Capacity     uint64 // answers a second at one server; 0: none given
	Must         []string
	Tags         TagList
}

// Node is a _node record: several addresses of one machine, or an address
// whose real servers are probed at others.
type Node struct {
	Addrs  []netip.Addr // at least one
	Probes []netip.Addr // empty: Addrs are probed
	// Need is how many of Probes must answer for the node to be up, from 1 to
	// len(Probes); 0 if there are no Probes.
	Need int
	// Weight is for pick=weighted, 0 to 65535, 1 if the record gives none. A
	// weight of 0 means: only if nothing of a greater weight is left.
	Weight   int
	Site     string // a label in lower case; "": by the nets of the sites
	Capacity uint64 // answers a second at one server; 0: none given
	Drain    bool
	Must     []string
	Tags     TagList
}

// CheckType is a protocol that probes speak, as type= names it.
type CheckType string

// The types of checks.
const (
	CheckTCP      CheckType = "tcp"
	CheckHTTP     CheckType = "http"
	CheckHTTPS    CheckType = "https"
	CheckSMTP     CheckType = "smtp"
	CheckIMAP     CheckType = "imap"
	CheckPOP3     CheckType = "pop3"
	CheckDNS      CheckType = "dns"
	CheckICMP     CheckType = "icmp"
	CheckMySQL    CheckType = "mysql"
	CheckPostgres CheckType = "postgres"
	CheckGRPC     CheckType = "grpc"
	CheckExec     CheckType = "exec"
	CheckAgent    CheckType = "agent"
	CheckFile     CheckType = "file"
)

// TLSMode says when a probe speaks TLS.
type TLSMode uint8

// TLSNone is the zero value. TLSYes: from the first octet; TLSStart: after the
// protocol's STARTTLS.
const (
	TLSNone TLSMode = iota
	TLSYes
	TLSStart
)

// Role is what a database must be for its check to succeed.
type Role uint8

// RoleAny is the zero value. With RoleWritable only a node that says that it
// takes writes is eligible (design: writers).
const (
	RoleAny Role = iota
	RoleWritable
	RoleReplica
)

// StatusRange is a range of HTTP status codes, both ends in it.
type StatusRange struct{ Low, High int }

// Check is a _check record: how a node is probed. Fields that the type doesn't
// know are zero; those that the record leaves out hold their defaults.
type Check struct {
	Type           CheckType
	Port           uint16 // 0: the type has none
	Every, Timeout time.Duration
	Fall, Rise     int
	Hold           bool // keep the connection open between probes

	// http and https. Host and SNI are without a final dot; "": the address.
	Path   string
	Host   string // also grpc: the authority
	Method string // "GET" or "HEAD"
	Status []StatusRange
	Body   string // what the body must contain
	HTTP2  bool

	// Types that speak TLS.
	TLS      TLSMode // TLSYes for https
	SNI      string  // Host if the record gives none
	Verify   bool    // the chain and the name must be valid
	CertDays int     // days that the certificate must last; 0: any

	Expect string // tcp, smtp, imap, pop3: what the banner must contain
	Helo   string // smtp: the name for EHLO; "": the server's own

	// dns.
	Name    Name // what is asked; the apex if the record gives none
	QType   wire.Type
	Rcode   wire.Rcode
	Answers []string // texts of RDATA that must all be in the answer
	TCP     bool     // ask over TCP

	Use     string        // exec, file, mysql, postgres: the entry of checks: in geodns.yaml
	Role    Role          // mysql, postgres
	Lag     time.Duration // mysql, postgres: how far a replica may be behind; 0: any
	Service string        // grpc: the service that is asked about; "": the server

	Must []string
	Tags TagList
}

// Policy says which sites serve a client.
type Policy uint8

// The policies; PolicyAll is the default.
const (
	PolicyAll Policy = iota
	PolicyNearest
	PolicyFailover
)

// Pick says which live records are answered, and in which order.
type Pick uint8

// The picks; PickRotate is the default.
const (
	PickRotate Pick = iota
	PickWeighted
	PickSticky
)

// Empty says what is answered when nothing is live.
type Empty uint8

// The answers when nothing is live. EmptyAll is the default, with
// PolicyFailover EmptyHold.
const (
	EmptyAll Empty = iota
	EmptyNone
	EmptyHold
	EmptyAddress // Steer.EmptyAddrs
	EmptyHost    // Steer.EmptyHost
)

// FailbackMode says when a policy goes back to an earlier step of its order.
type FailbackMode uint8

// The modes; FailbackAuto is the default.
const (
	FailbackAuto FailbackMode = iota
	FailbackManual
	FailbackAfter // when the earlier step was up for so long
)

// Failback is when a policy goes back to an earlier step.
type Failback struct {
	Mode  FailbackMode
	After time.Duration // only for FailbackAfter, more than 0
}

// Floor is how much of a site must be live; the zero value: none given. One
// of the two is set.
type Floor struct {
	Percent int // 1 to 100
	Count   int // 1 and more
}

// Weight is one weight=3@lon.
type Weight struct {
	// What is the label of a site or node in lower case, or an address in its
	// canonical text.
	What   string
	Weight int // 0 to 65535; 0: only if nothing of a greater weight is left
}

// CountryOverride is one country=CN:tarpit.
type CountryOverride struct {
	Country string // ISO 3166-1 alpha-2, upper case
	Site    string // a label in lower case
}

// CNAME is one cname=lon:a.cdn.example.
type CNAME struct {
	Site   string // a label in lower case
	Target Name
}

// Steer is a _steer record: the policy of an owner, or of some of its types.
type Steer struct {
	// Types are what the record steers: TypeA and TypeAAAA, and TypeMX, TypeSRV,
	// TypeHTTPS and TypeSVCB, which are only thinned. nil: A and AAAA, or what
	// CNAMEs stand for.
	Types  []wire.Type
	Policy Policy
	Pick   Pick
	Check  []string // labels in lower case; a node needs them all
	// Answers is the most records of one answer; 0: all.
	Answers int
	Floor   Floor
	Empty   Empty
	// EmptyAddrs are for EmptyAddress, one or more; EmptyHost is for EmptyHost.
	EmptyAddrs []netip.Addr
	EmptyHost  Name
	// Default is the site for clients of unknown place, only with
	// PolicyNearest; "": all.
	Default string
	// Order has the steps of PolicyFailover, at least one: labels of sites or
	// nodes in lower case, or addresses in their canonical text.
	Order            []string
	Failback         Failback
	LeadSelf         bool // lead=self: a cut-off secondary acts alone
	Weights          []Weight
	CountryOverrides []CountryOverride
	CNAMEs           []CNAME
	// TTLLow and TTLHigh are in seconds; TTLHigh 0: the zone's own TTLs.
	TTLLow, TTLHigh uint32
	Ramp            time.Duration // 0: none
	With            Name          // the zone that is looked in after this one
	Must            []string
	Tags            TagList
}

// State is a _state record: a command that is in force.
type State struct {
	Drain bool
	// From and Until bound the drain, to the second; zero: from now, for ever.
	From, Until time.Time
	// Active is the step of a failover that is to serve: the label of a site or
	// node in lower case, or an address in its canonical text.
	Active string
	Reason string
	Must   []string
	Tags   TagList
}
