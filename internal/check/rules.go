package check

import (
	"geodns/internal/steer"
	steertext "geodns/internal/steer/record"
	"geodns/internal/zonefile"
)

// Rule is one thing that is looked for.
type Rule struct {
	ID       string // stable; what findings and --ignore say
	Severity zonefile.Severity
	Subject  string // what it is about, for grouping
	Text     string // what it finds, in one line
}

type rule uint8

// The rules, in the order in which they are listed.
const (
	noSOA rule = iota
	soaBelowApex
	noNS
	outOfZoneRule
	cnameAndOther
	dnameNS
	single
	setTooLong
	zoneTwice
	duplicate
	ttlDiffers
	wildcardShape
	wildcardNS
	wildcardDNAME
	ttlZero
	ttlLong

	soaMName
	soaRName
	soaRefresh
	soaRetry
	soaExpire
	soaMinimum
	serialZero
	serialFuture

	nsCNAME
	nsNoAddress
	nsSingle
	nsOneAddress
	glueMissing
	glueSibling
	occludedByCut
	occludedByDNAME
	dsWithoutNS
	dsApex

	ipAsName
	finalDot
	mxCNAME
	mxNoAddress
	mxNull
	srvCNAME
	srvNoAddress
	srvNull
	svcbNoAddress
	svcbMixed
	svcbLoop
	cnameLoop
	cnameDangling
	cnameChain
	dnameLoop

	hostName
	targetName
	srvOwner
	tlsaOwner
	spfTwice
	spfType
	dmarcTwice
	dkimKey
	caaValue

	answerImpossible
	answerLarge
	referralLarge

	ptrForward
	addressReverse
	reverseName
	ptrNoAddress
	addressNoPTR
	mailReverse
	mailDynamic

	delegationDiffers
	glueDiffers
	notDelegated
	dsNoKey
	targetElsewhere

	rrsigExpired
	rrsigExpires
	rrsigFuture
	rrsigKey
	rrsetUnsigned
	rrsigOrphan
	nsecChain
	nsecTypes
	cdsNoKey

	steerVersion
	steerUnknownTag
	steerTwice
	steerMissingTag
	steerValue
	steerTags
	steerFinalDot
	steerCountry
	steerNoEffect
	steerWord
	steerCheckLoss

	steerSigned
	steerName
	steerSeveral
	steerShared
	steerDelegated
	steerNoRecords
	steerCNAMEOwner
	steerOverlap
	steerType
	steerTooMany
	steerNetTwice
	steerAddressTwice
	steerSiteUnknown
	steerCheckUnknown
	steerStepUnknown
	steerWith
	steerNoSite
	steerLastResort
	steerWithout
	steerOtherType
	steerWeight
	steerSiteEmpty
	steerStray
	steerTTL
	steerFloor
	steerOneFamily
	steerOneCountry
	steerSiteNowhere
	steerUnused

	ruleCount
)

const (
	errs  = zonefile.Error
	warns = zonefile.Warning
)

var rules = [ruleCount]Rule{
	noSOA:         {"no-soa", errs, "zone", "the zone has no SOA"},
	soaBelowApex:  {"soa-below-apex", errs, "zone", "a second SOA, below the apex"},
	noNS:          {"no-ns", errs, "zone", "the apex has no NS record"},
	outOfZoneRule: {"out-of-zone", errs, "zone", "a record whose owner is not in the zone"},
	cnameAndOther: {"cname-and-other", errs, "zone", "a CNAME beside other data (RFC 2181 10.1)"},
	dnameNS:       {"dname-ns", errs, "zone", "DNAME and NS at one name below the apex (RFC 6672 2.3)"},
	single:        {"single", errs, "zone", "a second, different SOA, CNAME or DNAME at one name"},
	setTooLong:    {"set-too-long", errs, "zone", "an RRset of more than 64 KiB"},
	zoneTwice:     {"zone-twice", errs, "zone", "two files make the same zone"},
	duplicate:     {"duplicate", warns, "zone", "a record stands twice"},
	ttlDiffers:    {"ttl-differs", warns, "zone", "TTLs differ within an RRset (RFC 2181 5.2)"},
	wildcardShape: {"wildcard-shape", warns, "zone", "an asterisk that is part of a label, or not the first one (RFC 4592 2.1.1)"},
	wildcardNS:    {"wildcard-ns", warns, "zone", "NS at a wildcard, which is undefined (RFC 4592 4.2)"},
	wildcardDNAME: {"wildcard-dname", warns, "zone", "DNAME at a wildcard, which redirects unpredictably (RFC 6672 3.3)"},
	ttlZero:       {"ttl-zero", warns, "zone", "a TTL of 0: nothing is cached, every use is a query"},
	ttlLong:       {"ttl-long", warns, "zone", "a TTL over one week: a mistake lives as long"},

	soaMName:     {"soa-mname", warns, "soa", "the SOA's first name is no name server"},
	soaRName:     {"soa-rname", warns, "soa", "the SOA's second name is no mail address in DNS form"},
	soaRefresh:   {"soa-refresh", warns, "soa", "REFRESH under 60 seconds, or over one week"},
	soaRetry:     {"soa-retry", warns, "soa", "RETRY of 0, or not below REFRESH"},
	soaExpire:    {"soa-expire", warns, "soa", "EXPIRE under two days, or not above REFRESH + RETRY"},
	soaMinimum:   {"soa-minimum", warns, "soa", "negative answers are cached for more than one day (RFC 2308 5)"},
	serialZero:   {"serial-zero", warns, "soa", "the serial is 0"},
	serialFuture: {"serial-future", warns, "soa", "the serial is a date in the future"},

	nsCNAME:         {"ns-cname", errs, "delegation", "an NS target is an alias (RFC 2181 10.3)"},
	nsNoAddress:     {"ns-no-address", errs, "delegation", "an NS target in the zone has no address"},
	nsSingle:        {"ns-single", warns, "delegation", "the zone has only one name server (RFC 2182 5)"},
	nsOneAddress:    {"ns-one-address", warns, "delegation", "all name servers of the zone have the same address"},
	glueMissing:     {"glue-missing", errs, "delegation", "a name server inside the zone that it serves has no glue"},
	glueSibling:     {"glue-sibling", warns, "delegation", "a name server below another delegation has no glue"},
	occludedByCut:   {"occluded-by-cut", warns, "delegation", "a record at or below a delegation that is never answered"},
	occludedByDNAME: {"occluded-by-dname", warns, "delegation", "a record below a DNAME, which is never answered"},
	dsWithoutNS:     {"ds-without-ns", warns, "delegation", "DS at a name that is not delegated"},
	dsApex:          {"ds-apex", warns, "delegation", "DS at the apex: it belongs into the parent zone"},

	ipAsName:      {"ip-as-name", errs, "targets", "an address stands where a name is wanted"},
	finalDot:      {"final-dot", warns, "targets", "a name that seems to lack its final dot"},
	mxCNAME:       {"mx-cname", warns, "targets", "an MX target is an alias (RFC 2181 10.3)"},
	mxNoAddress:   {"mx-no-address", errs, "targets", "an MX target in the zone has no address"},
	mxNull:        {"mx-null", warns, "targets", "a null MX beside another MX (RFC 7505 3)"},
	srvCNAME:      {"srv-cname", warns, "targets", "a SRV target is an alias (RFC 2782)"},
	srvNoAddress:  {"srv-no-address", errs, "targets", "a SRV target in the zone has no address"},
	srvNull:       {"srv-null", warns, "targets", "a SRV that says `no service` beside another SRV (RFC 2782)"},
	svcbNoAddress: {"svcb-no-address", warns, "targets", "a SVCB or HTTPS target in the zone has no address"},
	svcbMixed:     {"svcb-mixed", warns, "targets", "SVCB or HTTPS aliases and services at one name (RFC 9460 2.4.1)"},
	svcbLoop:      {"svcb-loop", warns, "targets", "a SVCB or HTTPS alias that leads to itself"},
	cnameLoop:     {"cname-loop", errs, "targets", "a CNAME that leads back to itself"},
	cnameDangling: {"cname-dangling", warns, "targets", "a CNAME to a name of the zone that has no data"},
	cnameChain:    {"cname-chain", warns, "targets", "a chain of more than eight CNAMEs"},
	dnameLoop:     {"dname-loop", errs, "targets", "a DNAME to its own owner or below it"},

	hostName:   {"host-name", warns, "names", "the owner of an address or MX is no host name (RFC 1123 2.1)"},
	targetName: {"target-name", warns, "names", "the target of an NS, MX, SRV or reverse PTR is no host name (RFC 1123 2.1)"},
	srvOwner:   {"srv-owner", warns, "names", "a SRV whose owner does not begin with _service._proto (RFC 2782)"},
	tlsaOwner:  {"tlsa-owner", warns, "names", "a TLSA whose owner does not begin with _port._proto (RFC 6698 3)"},
	spfTwice:   {"spf-twice", warns, "text", "several v=spf1 texts at one name: SPF fails (RFC 7208 4.5)"},
	spfType:    {"spf-type", warns, "text", "the record type SPF, which nobody asks for any more (RFC 7208 3.1)"},
	dmarcTwice: {"dmarc-twice", warns, "text", "several v=DMARC1 texts at one name: DMARC is off (RFC 7489 6.6.3)"},
	dkimKey:    {"dkim-key", warns, "text", "a DKIM key that is damaged (RFC 6376 3.6.1)"},
	caaValue:   {"caa-value", warns, "text", "a CAA tag that no authority knows, or a value that it cannot read (RFC 8659 4)"},

	answerImpossible: {"answer-impossible", errs, "size", "an RRset that does not fit into the largest message, 64 KiB"},
	answerLarge:      {"answer-large", warns, "size", "an RRset that does not fit into 1232 octets: answers fall back to TCP"},
	referralLarge:    {"referral-large", warns, "size", "a referral that does not fit into 1232 octets with the glue that it needs (RFC 9471)"},

	ptrForward:     {"ptr-forward", warns, "reverse", "PTR outside in-addr.arpa and ip6.arpa"},
	addressReverse: {"address-reverse", warns, "reverse", "A or AAAA in a reverse zone"},
	reverseName:    {"reverse-name", warns, "reverse", "the owner of a PTR is the reverse of no address"},
	ptrNoAddress:   {"ptr-no-address", warns, "reverse", "a PTR to a name, checked as well, that does not have the address"},
	addressNoPTR:   {"address-no-ptr", warns, "reverse", "an address without PTR in its reverse zone, checked as well"},

	mailReverse: {"mail-reverse", warns, "reverse", "a mail exchanger whose address and PTR, checked as well, do not confirm each other (RFC 1912 2.1)"},
	mailDynamic: {"mail-dynamic", warns, "reverse", "a mail exchanger whose PTR, checked as well, has the address in it"},

	delegationDiffers: {"delegation-differs", warns, "zones", "a delegation and the child, checked as well, name other name servers"},
	glueDiffers:       {"glue-differs", warns, "zones", "glue and the child, checked as well, have other addresses"},
	notDelegated:      {"not-delegated", warns, "zones", "a zone below another one, checked as well, that has no delegation for it"},
	dsNoKey:           {"ds-no-key", errs, "zones", "no DS of a delegation fits a key of the child, checked as well"},
	targetElsewhere:   {"target-elsewhere", warns, "zones", "a target in another zone, checked as well, is an alias or has no address"},

	rrsigExpired:  {"rrsig-expired", warns, "dnssec", "signatures have expired"},
	rrsigExpires:  {"rrsig-expires", warns, "dnssec", "signatures expire within three days"},
	rrsigFuture:   {"rrsig-future", warns, "dnssec", "signatures are not valid yet"},
	rrsigKey:      {"rrsig-key", warns, "dnssec", "signatures by a key that the apex does not have"},
	rrsetUnsigned: {"rrset-unsigned", warns, "dnssec", "RRsets of a signed zone without signature"},
	rrsigOrphan:   {"rrsig-orphan", warns, "dnssec", "signatures of RRsets that are not there"},
	nsecChain:     {"nsec-chain", warns, "dnssec", "the NSEC or NSEC3 chain has a gap"},
	nsecTypes:     {"nsec-types", warns, "dnssec", "an NSEC that lists other types than the name has"},
	cdsNoKey:      {"cds-no-key", warns, "dnssec", "a CDS or CDNSKEY that fits no key of the apex, or is not at the apex (RFC 7344 4.1)"},

	steerVersion:    {steertext.RuleVersion, errs, steeringText, "a steering record that does not begin with its v="},
	steerUnknownTag: {steertext.RuleUnknownTag, errs, steeringText, "a tag that such a record does not have"},
	steerTwice:      {steertext.RuleTwice, errs, steeringText, "a tag or value twice that may stand once"},
	steerMissingTag: {steertext.RuleMissing, errs, steeringText, "a tag, or its value, that is missing"},
	steerValue:      {steertext.RuleValue, errs, steeringText, "a value that cannot be read"},
	steerTags:       {steertext.RuleTogether, errs, steeringText, "tags that do not go together"},
	steerFinalDot:   {steertext.RuleFinalDot, warns, steeringText, "a name in a steering record that seems to lack its final dot"},
	steerCountry:    {steertext.RuleCountry, warns, steeringText, "a code that no country has"},
	steerNoEffect:   {steertext.RuleNoEffect, warns, steeringText, "a tag that does nothing there"},
	steerWord:       {steertext.RuleWord, warns, steeringText, "a host in empty= that is spelt almost like one of its words"},
	steerCheckLoss:  {steertext.RuleLoss, warns, steeringText, "a check that a few lost packets fail"},

	steerSigned:       {steer.RuleSigned, errs, "steering", "steering in a signed zone"},
	steerName:         {steer.RuleName, errs, "steering", "a site, node or check whose name is not one label, or an owner that is too long"},
	steerSeveral:      {steer.RuleSeveral, errs, "steering", "several records of one site, node or check"},
	steerShared:       {steer.RuleShared, errs, "steering", "a CNAME in _steer that leads to no policy of the zone"},
	steerDelegated:    {steer.RuleDelegated, errs, "steering", "a policy for a name that is delegated, or below a DNAME"},
	steerNoRecords:    {steer.RuleNoRecords, errs, "steering", "a policy for a name that has no records to choose from"},
	steerCNAMEOwner:   {steer.RuleCNAMEOwner, errs, "steering", "a policy without cname= for a name that has a CNAME"},
	steerOverlap:      {steer.RuleOverlap, errs, "steering", "two policies for the same types of a name"},
	steerType:         {steer.RuleType, errs, "steering", "a policy for a type that is not steered by itself"},
	steerTooMany:      {steer.RuleTooMany, errs, "steering", "more records, or sites, than a policy can have"},
	steerNetTwice:     {steer.RuleNetTwice, errs, "steering", "two sites with the same net="},
	steerAddressTwice: {steer.RuleAddressTwice, errs, "steering", "two nodes with the same addr="},
	steerSiteUnknown:  {steer.RuleSiteUnknown, errs, "steering", "a site that is not declared"},
	steerCheckUnknown: {steer.RuleCheckUnknown, errs, "steering", "a check that is not declared"},
	steerStepUnknown:  {steer.RuleStepUnknown, errs, "steering", "a step of order= that is no site, node or address of the name"},
	steerWith:         {steer.RuleWith, errs, "steering", "a zone in with= that is not served"},
	steerNoSite:       {steer.RuleNoSite, errs, "steering", "policy=nearest for records of which none is at a site"},
	steerLastResort:   {steer.RuleLastResort, errs, "steering", "a host in empty= that is not in the zone"},
	steerWithout:      {"steer-without", warns, "steering", "a zone in with= that is not checked as well"},
	steerOtherType:    {steer.RuleOtherType, warns, "steering", "a record in a steering subtree that is not TXT"},
	steerWeight:       {steer.RuleWeight, warns, "steering", "a weight that matches no record of the name"},
	steerSiteEmpty:    {steer.RuleSiteEmpty, warns, "steering", "a site that a policy names and where the name has no record"},
	steerStray:        {steer.RuleStray, warns, "steering", "an address at no site, or in no step, where the policy needs one"},
	steerTTL:          {steer.RuleTTL, warns, "steering", "steered records that are kept for more than 300 seconds"},
	steerFloor:        {steer.RuleFloor, warns, "steering", "a floor that a site can never meet"},
	steerOneFamily:    {steer.RuleOneFamily, warns, "steering", "a site with A or AAAA alone, where other sites have both"},
	steerOneCountry:   {steer.RuleOneCountry, warns, "steering", "sites in one country, where the geography knows countries only"},
	steerSiteNowhere:  {steer.RuleSiteNowhere, warns, "steering", "a site without a place where the nearest is wanted"},
	steerUnused:       {steer.RuleUnused, warns, "steering", "a site, node or check that nothing uses"},
}

// Rules lists all rules that look at zones, by subject. What is wrong with the
// text of a file has rules of its own, of the packages zonefile and zone.
func Rules() []Rule {
	return append([]Rule(nil), rules[:]...)
}
