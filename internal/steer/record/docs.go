package record

import "slices"

// The records, as TagDoc names them: the label under which they stand.
const (
	site  = "site"
	node  = "node"
	check = "check"
	steer = "steer"
	state = "state"
)

// TagDoc documents one tag of one record. The parsers allow what this table
// holds and nothing else; manuals are made from it.
type TagDoc struct {
	Record string // "site", "node", "check", "steer" or "state"
	Tag    string // the key, in lower case
	// Types are the checks that know the tag; nil: all of them.
	Types    []CheckType
	Values   string // their form, in words and capitals for what varies
	Repeats  bool   // may stand several times, one value each
	Required bool
	Bare     bool   // may stand without a value
	Default  string // "" if leaving the tag out says nothing
	Text     string // what it does
	Example  string // a whole tag
}

// Tags documents every tag of every record, in the order in which the tags are
// formatted.
func Tags() []TagDoc {
	docs := slices.Clone(tagDocs)
	for i := range docs {
		docs[i].Types = slices.Clone(docs[i].Types)
	}
	return docs
}

// CheckTypes lists the types of checks in the order of the documentation.
func CheckTypes() []CheckType { return slices.Clone(checkTypes) }

var checkTypes = []CheckType{
	CheckTCP, CheckHTTP, CheckHTTPS, CheckSMTP, CheckIMAP, CheckPOP3, CheckDNS, CheckICMP,
	CheckMySQL, CheckPostgres, CheckGRPC, CheckExec, CheckAgent, CheckFile,
}

// Groups of checks that share tags.
var (
	portChecks   = []CheckType{CheckTCP, CheckHTTP, CheckHTTPS, CheckSMTP, CheckIMAP, CheckPOP3, CheckDNS, CheckMySQL, CheckPostgres, CheckGRPC, CheckAgent}
	heldChecks   = []CheckType{CheckTCP, CheckHTTP, CheckHTTPS, CheckSMTP, CheckIMAP, CheckPOP3, CheckMySQL, CheckPostgres, CheckGRPC}
	webChecks    = []CheckType{CheckHTTP, CheckHTTPS}
	hostChecks   = []CheckType{CheckHTTP, CheckHTTPS, CheckGRPC}
	tlsChecks    = []CheckType{CheckTCP, CheckSMTP, CheckIMAP, CheckPOP3, CheckGRPC}
	certChecks   = []CheckType{CheckTCP, CheckHTTPS, CheckSMTP, CheckIMAP, CheckPOP3, CheckGRPC}
	bannerChecks = []CheckType{CheckTCP, CheckSMTP, CheckIMAP, CheckPOP3}
	dbChecks     = []CheckType{CheckMySQL, CheckPostgres}
	useChecks    = []CheckType{CheckMySQL, CheckPostgres, CheckExec, CheckFile}
)

const (
	textMust     = "tags without which the record must not be used; a server that does not know one of them refuses the record instead of ignoring the tag"
	textCapacity = "how many answers a second this much of the cluster takes from one server, before clients spill to the next"
	textDrain    = "no new clients, whatever the verdict"
)

var tagDocs = []TagDoc{
	{Record: site, Tag: "v", Values: "site1", Required: true, Text: "what the record is; the first tag", Example: "v=site1"},
	{Record: site, Tag: "net", Values: "PREFIX", Repeats: true, Text: "the addresses of the site: a node belongs to the site with the longest prefix that holds its address", Example: "net=192.0.2.0/24"},
	{Record: site, Tag: "at", Values: "LATITUDE,LONGITUDE in degrees, north and east positive", Text: "where the site stands, for policy=nearest", Example: "at=51.51,-0.13"},
	{Record: site, Tag: "subdivision", Values: "ISO 3166-2", Repeats: true, Text: "clients of this subdivision come here with policy=nearest", Example: "subdivision=US-CA"},
	{Record: site, Tag: "country", Values: "ISO 3166-1 alpha-2", Repeats: true, Text: "clients of this country come here with policy=nearest", Example: "country=US"},
	{Record: site, Tag: "asn", Values: "NUMBER from 1 to 4294967295", Repeats: true, Text: "clients of this autonomous system come here with policy=nearest", Example: "asn=64500"},
	{Record: site, Tag: "continent", Values: "AF|AN|AS|EU|NA|OC|SA", Repeats: true, Text: "clients of this continent come here with policy=nearest", Example: "continent=EU"},
	{Record: site, Tag: "drain", Values: "yes|no", Default: "no", Text: textDrain, Example: "drain=yes"},
	{Record: site, Tag: "capacity", Values: "NUMBER, answers a second", Text: textCapacity, Example: "capacity=900"},
	{Record: site, Tag: "must", Values: "TAG[,TAG...]", Text: textMust, Example: "must=net"},

	{Record: node, Tag: "v", Values: "node1", Required: true, Text: "what the record is; the first tag", Example: "v=node1"},
	{Record: node, Tag: "addr", Values: "ADDRESS", Repeats: true, Required: true, Text: "an address of the machine as it is answered; all of them are up and down together", Example: "addr=192.0.2.10"},
	{Record: node, Tag: "probe", Values: "ADDRESS", Repeats: true, Default: "each addr=", Text: "an address that is probed instead: a real server behind a virtual address (direct server return)", Example: "probe=192.0.2.201"},
	{Record: node, Tag: "need", Values: "NUMBER from 1 to how many probe= there are", Default: "1", Text: "how many of the probe= addresses must answer for the node to be up", Example: "need=1"},
	{Record: node, Tag: "weight", Values: "NUMBER from 0 to 65535", Default: "1", Text: "its share with pick=weighted, unless the _steer record says another; 0: only if nothing of a greater weight is left", Example: "weight=3"},
	{Record: node, Tag: "site", Values: "SITE", Default: "by the net= of the sites", Text: "the site that the node belongs to", Example: "site=lon"},
	{Record: node, Tag: "drain", Values: "yes|no", Default: "no", Text: textDrain, Example: "drain=yes"},
	{Record: node, Tag: "capacity", Values: "NUMBER, answers a second", Text: textCapacity, Example: "capacity=900"},
	{Record: node, Tag: "must", Values: "TAG[,TAG...]", Text: textMust, Example: "must=addr"},

	{Record: check, Tag: "v", Values: "check1", Required: true, Text: "what the record is; the first tag", Example: "v=check1"},
	{Record: check, Tag: "type", Values: "tcp|http|https|smtp|imap|pop3|dns|icmp|mysql|postgres|grpc|exec|agent|file", Required: true, Text: "the protocol that is spoken", Example: "type=http"},
	{Record: check, Tag: "port", Types: portChecks, Values: "NUMBER from 1 to 65535", Default: "http 80, https 443, smtp 25 (tls=yes: 465), imap 143 (993), pop3 110 (995), dns 53, mysql 3306, postgres 5432; tcp, grpc and agent need it", Text: "the port that is probed", Example: "port=8080"},
	{Record: check, Tag: "every", Values: "DURATION from 200ms to 1d", Default: "10s", Text: "the time from one probe to the next", Example: "every=5s"},
	{Record: check, Tag: "timeout", Values: "DURATION from 10ms to every=", Default: "2s, or every= if that is less", Text: "how long one probe may take", Example: "timeout=2s"},
	{Record: check, Tag: "fall", Values: "NUMBER from 1 to 100", Default: "3", Text: "how many failures in a row turn a node down", Example: "fall=3"},
	{Record: check, Tag: "rise", Values: "NUMBER from 1 to 100", Default: "2", Text: "how many successes in a row turn it up", Example: "rise=2"},
	{Record: check, Tag: "hold", Types: heldChecks, Values: "yes|no", Default: "no", Text: "keeps the connection open between probes; its end is noticed at once", Example: "hold=yes"},
	{Record: check, Tag: "path", Types: webChecks, Values: "PATH with its query, from the / on", Default: "/", Text: "what is asked for", Example: "path=/healthz"},
	{Record: check, Tag: "host", Types: hostChecks, Values: "NAME", Default: "the address that is probed", Text: "the Host (HTTP) or authority (gRPC) that is asked for, and the name for TLS", Example: "host=www"},
	{Record: check, Tag: "method", Types: webChecks, Values: "GET|HEAD", Default: "GET", Text: "the request's method", Example: "method=HEAD"},
	{Record: check, Tag: "status", Types: webChecks, Values: "CODE|CODE-CODE[,...]", Default: "200-299", Text: "the status codes that are a success; redirects are not followed", Example: "status=200-299,404"},
	{Record: check, Tag: "body", Types: webChecks, Values: "TEXT of at most 255 octets", Text: "what the first 256 KiB of the body must contain, octet for octet", Example: "body=ready"},
	{Record: check, Tag: "http2", Types: []CheckType{CheckHTTPS}, Values: "yes|no", Default: "no", Text: "the server must speak HTTP/2", Example: "http2=yes"},
	{Record: check, Tag: "tls", Types: tlsChecks, Values: "no|yes|starttls (smtp, imap and pop3)", Default: "no", Text: "speaks TLS from the first octet, or after STARTTLS; an http check with TLS is type=https", Example: "tls=yes"},
	{Record: check, Tag: "sni", Types: certChecks, Values: "NAME", Default: "host=", Text: "the name that TLS asks for and that the certificate is verified for", Example: "sni=www"},
	{Record: check, Tag: "verify", Types: certChecks, Values: "yes|no", Default: "no", Text: "the certificate must be valid for the name, by the authorities that the server's machine trusts", Example: "verify=yes"},
	{Record: check, Tag: "cert-days", Types: certChecks, Values: "NUMBER from 1 to 3650", Text: "the certificate must last for so many more days", Example: "cert-days=7"},
	{Record: check, Tag: "expect", Types: bannerChecks, Values: "TEXT of at most 255 octets", Text: "what the first line that the server sends must contain, octet for octet", Example: "expect=ESMTP"},
	{Record: check, Tag: "helo", Types: []CheckType{CheckSMTP}, Values: "NAME", Default: "the server's own name", Text: "the name for EHLO", Example: "helo=ns1"},
	{Record: check, Tag: "name", Types: []CheckType{CheckDNS}, Values: "NAME", Default: "the apex of the zone", Text: "the name that is asked for", Example: "name=www"},
	{Record: check, Tag: "qtype", Types: []CheckType{CheckDNS}, Values: "A|AAAA|CNAME|MX|NS|PTR|SOA|SRV|TXT or TYPE and a number", Default: "SOA", Text: "the type that is asked for", Example: "qtype=A"},
	{Record: check, Tag: "rcode", Types: []CheckType{CheckDNS}, Values: "NOERROR|NXDOMAIN|REFUSED|SERVFAIL", Default: "NOERROR", Text: "the response code that is a success", Example: "rcode=NXDOMAIN"},
	{Record: check, Tag: "answer", Types: []CheckType{CheckDNS}, Values: "TEXT of the data, as in a zone file", Repeats: true, Text: "a record that must be in the answer", Example: "answer=192.0.2.10"},
	{Record: check, Tag: "transport", Types: []CheckType{CheckDNS}, Values: "udp|tcp", Default: "udp", Text: "how it is asked", Example: "transport=tcp"},
	{Record: check, Tag: "use", Types: useChecks, Values: "NAME", Text: "the entry of checks: in geodns.yaml that holds the command, the file or the credentials; required", Example: "use=app"},
	{Record: check, Tag: "role", Types: dbChecks, Values: "any|writable|replica", Default: "any", Text: "what the database must be; with writable only a node that says so is eligible", Example: "role=writable"},
	{Record: check, Tag: "lag", Types: dbChecks, Values: "DURATION from 1s to 1d", Text: "how far a replica may be behind", Example: "lag=10s"},
	{Record: check, Tag: "service", Types: []CheckType{CheckGRPC}, Values: "TEXT of at most 255 octets", Default: "the whole server", Text: "the service whose health is asked for", Example: "service=app.Api"},
	{Record: check, Tag: "must", Values: "TAG[,TAG...]", Text: textMust, Example: "must=type"},

	{Record: steer, Tag: "v", Values: "steer1", Required: true, Text: "what the record is; the first tag", Example: "v=steer1"},
	{Record: steer, Tag: "type", Values: "A|AAAA|MX|SRV[,...]", Default: "A,AAAA", Text: "what the record steers; MX and SRV are only thinned: a record whose target has no live address is left out. The address hints of HTTPS and SVCB records follow A and AAAA by themselves", Example: "type=MX"},
	{Record: steer, Tag: "policy", Values: "all|nearest|failover", Default: "all", Text: "which sites serve a client", Example: "policy=nearest"},
	{Record: steer, Tag: "order", Values: "SITE|NODE|ADDRESS[,...]", Text: "the steps of policy=failover, the preferred one first", Example: "order=lon,nyc"},
	{Record: steer, Tag: "failback", Values: "auto|manual|DURATION from 1s to 30d", Default: "auto", Text: "when policy=failover goes back to an earlier step: at once, on command, or when it was up for so long", Example: "failback=10m"},
	{Record: steer, Tag: "lead", Values: "primary|self", Default: "primary", Text: "whom failback=manual follows: the primary's active side, held while cut off from it, or self: a cut-off secondary acts alone", Example: "lead=self"},
	{Record: steer, Tag: "default", Values: "SITE", Default: "all sites", Text: "the site for clients of unknown place, with policy=nearest", Example: "default=lon"},
	{Record: steer, Tag: "country", Values: "ISO 3166-1 alpha-2:SITE", Repeats: true, Text: "sends a country to a site, whatever the sites say", Example: "country=CN:tarpit"},
	{Record: steer, Tag: "check", Values: "CHECK[,CHECK...]", Text: "how the nodes are probed; all of them must succeed", Example: "check=web"},
	{Record: steer, Tag: "floor", Values: "PERCENT% from 1 to 100, or NUMBER", Text: "how much of a site's members of one family must be live for the site to count as up", Example: "floor=50%"},
	{Record: steer, Tag: "empty", Values: "all|none|hold|ADDRESS[,ADDRESS]|NAME", Default: "all; hold with policy=failover", Text: "what is answered when nothing is live: everything, NODATA, what was answered last, or a last resort", Example: "empty=none"},
	{Record: steer, Tag: "pick", Values: "rotate|weighted|sticky", Default: "rotate", Text: "which live records are answered, and in which order", Example: "pick=sticky"},
	{Record: steer, Tag: "weight", Values: "NUMBER from 0 to 65535@SITE|NODE|ADDRESS", Repeats: true, Default: "the nodes' own weights", Text: "a share with pick=weighted; 0: only if nothing of a greater weight is left", Example: "weight=3@lon"},
	{Record: steer, Tag: "answers", Values: "NUMBER from 1 to 65535", Default: "all", Text: "the most records of one answer", Example: "answers=2"},
	{Record: steer, Tag: "cname", Values: "SITE:NAME", Repeats: true, Text: "the answer of a site, where the owner holds an ordinary CNAME as default", Example: "cname=lon:a.cdn.example."},
	{Record: steer, Tag: "ttl", Values: "SECONDS-SECONDS, or SECONDS", Default: "the zone's TTLs", Text: "the TTL of answers: the first while something turns, the second while all is steady", Example: "ttl=30-300"},
	{Record: steer, Tag: "ramp", Values: "DURATION from 1s to 1d", Text: "how long a returned site's share takes to grow", Example: "ramp=5m"},
	{Record: steer, Tag: "with", Values: "ZONE, always absolute", Text: "a zone served here in which sites, checks and nodes are looked up that this zone does not have", Example: "with=infra.example"},
	{Record: steer, Tag: "must", Values: "TAG[,TAG...]", Text: textMust, Example: "must=policy"},

	{Record: state, Tag: "v", Values: "state1", Required: true, Text: "what the record is; the first tag", Example: "v=state1"},
	{Record: state, Tag: "drain", Values: "yes, or no value at all", Bare: true, Text: textDrain, Example: "drain"},
	{Record: state, Tag: "from", Values: "TIME as in RFC 3339, whole seconds", Default: "now", Text: "when the drain begins", Example: "from=2026-11-20T02:00:00Z"},
	{Record: state, Tag: "until", Values: "TIME as in RFC 3339, whole seconds", Default: "for ever", Text: "when the drain ends", Example: "until=2026-11-20T14:00:00Z"},
	{Record: state, Tag: "active", Values: "SITE|NODE|ADDRESS", Text: "the step of a failover that serves", Example: "active=lon"},
	{Record: state, Tag: "reason", Values: "TEXT of at most 255 octets", Text: "why, for people", Example: "reason=new switch"},
	{Record: state, Tag: "must", Values: "TAG[,TAG...]", Text: textMust, Example: "must=drain"},
}
