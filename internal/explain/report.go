// Package explain owns the answer to "why this answer?": it asks the code that
// serves a question, with a trace, and makes of that a Report for programs and
// a tree for people.
//
// Invariant: nothing here decides what is answered. The question goes through
// wire, resolver, steer and the encoder like one from the network, and what is
// explained is what these noted and what they say when they are asked.
package explain

// Report explains one answer. It is JSON for programs, whose keys are only ever
// added to; docs/explain.md describes it for them.
type Report struct {
	Question Question `json:"question"`
	// Source is whose answer it is: "server", the one that runs, or "files",
	// those of a configuration.
	Source string `json:"source"`
	// Draw is the random number of this answer, as 0x and 16 digits: another
	// question with it has the same answer.
	Draw string `json:"draw"`
	// Zone is null if none here holds the name.
	Zone   *Zone  `json:"zone"`
	Client Client `json:"client"`
	// Health is what is known of the nodes, in one sentence.
	Health string `json:"health"`
	// Outcome is the resolver's word, the same as in metrics; Why says in a
	// sentence how it came to that.
	Outcome string   `json:"outcome"`
	Why     string   `json:"why"`
	Path    []Lookup `json:"path"`
	// Choices has one for each steered RRset of the answer.
	Choices []Choice `json:"choices"`
	Scope   Scope    `json:"scope"`
	Answer  Answer   `json:"answer"`
}

// Question is what was asked, and for whom.
type Question struct {
	Name   string `json:"name"`   // with its final dot
	Type   string `json:"type"`   // mnemonic or TYPEnnn
	Client string `json:"client"` // the address that asks
	ECS    string `json:"ecs"`    // prefix of EDNS Client Subnet; "": none
}

// Zone is the one that answers.
type Zone struct {
	Name   string `json:"name"`
	Serial uint32 `json:"serial"`
	// State is "serving", or "not-ready": there is nothing to serve.
	State   string `json:"state"`
	Signed  bool   `json:"signed"`
	Steered bool   `json:"steered"` // it has steering records
}

// Client is for whom is chosen.
type Client struct {
	Address string `json:"address"`
	// Whence is where the address comes from: "source" or "ecs"; Why says it in
	// words.
	Whence string `json:"whence"`
	Why    string `json:"why"`
	// Place is null if there is no geography.
	Place *Place `json:"place"`
}

// Place is where the client is. What isn't known is empty.
type Place struct {
	Known       bool   `json:"known"`
	Country     string `json:"country"`     // ISO 3166-1
	Continent   string `json:"continent"`   // AF, AN, AS, EU, NA, OC or SA
	Subdivision string `json:"subdivision"` // ISO 3166-2, "US-CA"
	City        string `json:"city"`
	// At is latitude and longitude in degrees, or null.
	At  *[2]float64 `json:"at"`
	ASN uint32      `json:"asn"` // 0: unknown
	// Source is who says so: "own networks", "database", "built-in world" or
	// "no source", and Database what that is, with its date.
	Source   string `json:"source"`
	Database string `json:"database"`
	Date     string `json:"date"` // "": not known
	// Network is the widest prefix around the address with this place.
	Network string `json:"network"`
}

// Lookup is a name that was looked up.
type Lookup struct {
	Name string `json:"name"`
	// Found is "name", "wildcard", "delegation", "dname" or "nothing"; At is
	// what was found, for nothing the closest encloser (RFC 4592 3.3.1).
	Found string `json:"found"`
	At    string `json:"at"`
	// Types are those that it holds.
	Types []string `json:"types"`
}

// Choice is what a policy chose of one RRset.
type Choice struct {
	Owner string `json:"owner"`
	Type  string `json:"type"`
	// Hint: for the address hints of HTTPS or SVCB records.
	Hint   bool   `json:"hint"`
	Record string `json:"record"` // the policy record's name
	Text   string `json:"text"`   // and what it says
	Policy string `json:"policy"`
	Pick   string `json:"pick"`
	// Stage is how far down the chain records were found: "normal",
	// "below-floor", "held", "as-if-live", "as-if-undrained", "last-resort",
	// "nothing", "no-writer".
	Stage string `json:"stage"`
	// Site is the one that answers; "": several or none.
	Site string `json:"site"`
	// Ranking is the order of the sites for this client; empty: there is none.
	Ranking []Ranked `json:"ranking"`
	// RankingWhy says what the ranking follows, or why there is none.
	RankingWhy string `json:"ranking-why"`
	Steps      []Step `json:"steps"`
	// Drawn: the random number took part in the pick. Otherwise the same client
	// gets the same answer.
	Drawn bool  `json:"drawn"`
	TTL   TTL   `json:"ttl"`
	Scope Scope `json:"scope"`
}

// Ranked is a site in the ranking.
type Ranked struct {
	Site string `json:"site"`
	Zone string `json:"zone"` // that declares it
	// By is the word that decided, such as "country=US"; "distance", or
	// "nothing".
	By string   `json:"by"`
	Km *float64 `json:"km"` // null: not known
}

// Step is one link of the chain.
type Step struct {
	// Step is "members", "not-drained", "live", "sites", "spread", "pick",
	// "answers" or "order".
	Step string `json:"step"`
	Note string `json:"note"`
	In   []Item `json:"in"`
	Out  []Item `json:"out"`
}

// Item is what was let in or left out.
type Item struct {
	Name string `json:"name"` // of a site, or an address or target
	Node string `json:"node"`
	Site string `json:"site"`
	Why  string `json:"why"`
	// Floor, of a site, is how much of it is live, and has to be; else null.
	Floor *Floor `json:"floor"`
	// Share is the chance to be the first of the answer, in percent; null: it
	// is not left to chance.
	Share *float64 `json:"share"`
	// Takes is which part of its clients it takes, in percent, where it passes
	// this one over for that; null: it doesn't.
	Takes *float64 `json:"takes"`
}

// Floor is a site's.
type Floor struct {
	Live int `json:"live"`
	Of   int `json:"of"`
	Need int `json:"need"`
}

// TTL of an answer, in seconds.
type TTL struct {
	// Sent: there is a record that has it.
	Sent    bool   `json:"sent"`
	Seconds uint32 `json:"seconds"`
	Why     string `json:"why"`
}

// Scope is the prefix length for which an answer holds (RFC 7871 7.2.1).
type Scope struct {
	Length int    `json:"length"`
	Sent   bool   `json:"sent"`   // false: the question had no ECS
	Prefix string `json:"prefix"` // "" if the length is 0
	Why    string `json:"why"`
}

// Answer is what is sent.
type Answer struct {
	Rcode string `json:"rcode"`
	AA    bool   `json:"aa"`
	// Truncated: over UDP it would be cut short; what is shown comes by TCP.
	Truncated  bool   `json:"truncated"`
	Error      string `json:"error"`  // extended, RFC 8914; "": none
	Octets     int    `json:"octets"` // over UDP, or if truncated over TCP
	Answer     []RR   `json:"answer"`
	Authority  []RR   `json:"authority"`
	Additional []RR   `json:"additional"`
}

// RR is a record in the form of zone files.
type RR struct {
	Name string `json:"name"`
	TTL  uint32 `json:"ttl"`
	Type string `json:"type"`
	Data string `json:"data"`
}

// Served reports whether there was anything to answer from.
func (r *Report) Served() bool { return r.Zone != nil && r.Zone.State == serving }

const (
	serving  = "serving"
	notReady = "not-ready"
)
