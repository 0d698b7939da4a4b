package record

import (
	"strings"
	"testing"
)

func TestSteerProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex}, []problemCase{
		{
			`v=steer1; policy=closest`,
			`17 policy: policy="closest" is not known; the values are all, nearest, failover`,
		},
		{
			`v=steer1; policy=neares`,
			`17 policy: policy="neares" is not known; did you mean nearest? The values are all, nearest, failover`,
		},
		{
			`v=steer1; pick=random`,
			`15 pick: pick="random" is not known; the values are rotate, weighted, sticky`,
		},
		{
			`v=steer1; type=TXT`,
			`15 type: "TXT" is not a type that can be steered; write A, AAAA, MX or SRV, several with commas in between`,
		},
		{
			`v=steer1; type=A,a`,
			`17 type: A stands twice in type=; keep one of them`,
		},
		{
			`v=steer1; type=A,`,
			`17 type: "" is not a type that can be steered; write A, AAAA, MX or SRV, several with commas in between`,
		},
		{
			`v=steer1; policy=failover`,
			`17 policy: policy=failover has no order=; add the sites, nodes or addresses with the preferred one first, as in order=lon,nyc`,
		},
		{
			`v=steer1; order=lon`,
			`10 order: order= is only for policy=failover, and the policy is all; write policy=failover, or remove it`,
		},
		{
			`v=steer1; policy=nearest; order=lon; failback=manual; lead=self`,
			`26 order: order= is only for policy=failover, and the policy is nearest; write policy=failover, or remove it
37 failback: failback= is only for policy=failover, and the policy is nearest; write policy=failover, or remove it
54 lead: lead= is only for policy=failover, and the policy is nearest; write policy=failover, or remove it`,
		},
		{
			`v=steer1; policy=failover; order=lon,nyc,LON`,
			`41 order: lon stands twice in order=; keep one of them`,
		},
		{
			`v=steer1; policy=failover; order=lon,,nyc`,
			`37 order: a name is missing in order=; remove the comma that is too much, or write the name`,
		},
		{
			`v=steer1; policy=failover; order=lon,192.0.2.300`,
			`37 order: "192.0.2.300" is not an address; write an IPv4 or IPv6 address, as in 192.0.2.1 or 2001:db8::1`,
		},
		{
			`v=steer1; policy=failover; order=lon; failback=never`,
			`47 failback: failback="never" is not known; write auto, manual, or a duration as in 10m`,
		},
		{
			`v=steer1; policy=failover; order=lon; failback=0s`,
			`47 failback: failback=0s is not from 1s to 30d; choose a duration in this range`,
		},
		{
			`v=steer1; policy=failover; order=lon; failback=5`,
			`47 failback: failback="5" is not a duration; add the unit, as in failback=5s`,
		},
		{
			`v=steer1; policy=failover; order=lon; lead=me`,
			`43 lead: lead="me" is not known; the values are primary, self`,
		},
		{
			`v=steer1; policy=failover; order=lon; lead=self`,
			`38 lead: lead=self is only for failback=manual; write failback=manual, or remove it: without it every server decides by itself`,
		},
		{
			`v=steer1; policy=failover; order=lon; default=lon`,
			`38 default: default= is only for policy=nearest, and the policy is failover; write policy=nearest, or remove it`,
		},
		{
			`v=steer1; policy=failover; order=lon; country=CN:tarpit`,
			`38 country: country= is only for policy=nearest and policy=all, and the policy is failover; write policy=nearest, or remove it`,
		},
		{
			`v=steer1; default=lon`,
			`10 default: default= is only for policy=nearest, and the policy is all; write policy=nearest, or remove it`,
		},
		{
			`v=steer1; policy=nearest; country=CN`,
			`34 country: country="CN" has not the form COUNTRY:SITE; write country=CN:tarpit or the like`,
		},
		{
			`v=steer1; policy=nearest; country=CHN:tarpit`,
			`34 country: "CHN" is not the code of a country; write the two letters of ISO 3166-1, as in US`,
		},
		{
			`v=steer1; policy=nearest; country=CN:`,
			`34 country: country="CN:" has not the form COUNTRY:SITE; write country=CN:tarpit or the like`,
		},
		{
			`v=steer1; policy=nearest; country=CN:a.b`,
			`37 country: "a.b" is not the name of a site, node or check; write the one label that stands before _site, _node or _check, of letters, digits, - and _`,
		},
		{
			`v=steer1; policy=nearest; country=CN:a; country=cn:b`,
			`48 country: the country CN is sent to a site twice; keep one of them`,
		},
		{
			`v=steer1; check=web,web`,
			`20 check: web stands twice in check=; keep one of them`,
		},
		{
			`v=steer1; check=web mail`,
			`16 check: "web mail" is not the name of a site, node or check; write the one label that stands before _site, _node or _check, of letters, digits, - and _`,
		},
		{
			`v=steer1; floor=0`,
			`16 floor: floor=0 holds for every site; remove floor=, or write 1 or more`,
		},
		{
			`v=steer1; floor=0%`,
			`16 floor: floor=0% holds for every site; remove floor=, or write 1 or more`,
		},
		{
			`v=steer1; floor=101%`,
			`16 floor: floor=101% is more than 100%; write 1% to 100%`,
		},
		{
			`v=steer1; floor=65536`,
			`16 floor: floor=65536 is more than an RRset can hold; write 65535 or less`,
		},
		{
			`v=steer1; floor=half`,
			`16 floor: floor="half" is neither a percentage nor a number; write as in floor=50% or floor=2`,
		},
		{
			`v=steer1; empty=nothing at all`,
			`16 empty: "nothing at all" is not a domain name: blanks and characters outside of ASCII are not allowed; write labels with dots in between, as in www, or www.example. with a final dot if it is not below the apex`,
		},
		{
			`v=steer1; empty=non`,
			`warning 16 empty: empty="non" is the name of a host; did you mean none?`,
		},
		{
			`v=steer1; empty=192.0.2`,
			`16 empty: "192.0.2" is not an address; write an IPv4 or IPv6 address, as in 192.0.2.1 or 2001:db8::1`,
		},
		{
			`v=steer1; empty=192.0.2.1,192.0.2.1`,
			`26 empty: 192.0.2.1 stands twice in empty=; keep one of them`,
		},
		{
			`v=steer1; empty=a/b`,
			`16 empty: empty="a/b" is neither all, none or hold nor the name of a host; write a name of letters, digits, - and _, or addresses`,
		},
		{
			`v=steer1; weight=3@lon`,
			`10 weight: weight= is only for pick=weighted, and the pick is rotate; write pick=weighted, or remove the weights`,
		},
		{
			`v=steer1; pick=sticky; weight=3@lon`,
			`23 weight: weight= is only for pick=weighted, and the pick is sticky; write pick=weighted, or remove the weights`,
		},
		{
			`v=steer1; pick=weighted; weight=3`,
			`32 weight: weight="3" is not a number from 0 to 65535 at a site, node or address; write as in weight=3@lon`,
		},
		{
			`v=steer1; pick=weighted; weight=x@lon`,
			`32 weight: weight="x@lon" is not a number from 0 to 65535 at a site, node or address; write as in weight=3@lon`,
		},
		{
			`v=steer1; pick=weighted; weight=65536@lon`,
			`32 weight: weight="65536@lon" is not a number from 0 to 65535 at a site, node or address; write as in weight=3@lon`,
		},
		{
			`v=steer1; pick=weighted; weight=1@lon; weight=2@LON`,
			`46 weight: lon has two weights; keep one of them`,
		},
		{
			`v=steer1; pick=weighted; weight=3@lon,1@nyc`,
			`32 weight: weight="3@lon,1@nyc" has several values; write one weight= for each, with ";" in between`,
		},
		{
			`v=steer1; answers=0`,
			`18 answers: answers="0" is not a number from 1 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=steer1; answers=two`,
			`18 answers: answers="two" is not a number from 1 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=steer1; cname=a.cdn.example.`,
			`16 cname: cname="a.cdn.example." has not the form SITE:NAME; write cname=lon:a.cdn.example. or the like`,
		},
		{
			`v=steer1; cname=lon:`,
			`16 cname: cname="lon:" has not the form SITE:NAME; write cname=lon:a.cdn.example. or the like`,
		},
		{
			`v=steer1; cname=lon:a; cname=lon:b`,
			`29 cname: the site lon has two cname=; keep one of them: a name has one CNAME (RFC 2181 10.1)`,
		},
		{
			`v=steer1; cname=lon:a; type=A`,
			`23 type: type= stands beside cname=; remove it: a CNAME answers for every type`,
		},
		{
			`v=steer1; cname=lon:a; answers=2`,
			`31 answers: answers= stands beside cname=; remove it: a name has one CNAME (RFC 2181 10.1)`,
		},
		{
			`v=steer1; cname=lon:a; empty=192.0.2.1`,
			`29 empty: empty= with an address stands beside cname=; write the name of a host`,
		},
		{
			`v=steer1; cname=lon:a.cdn.example`,
			`warning 20 cname: "a.cdn.example" is below the apex, since it has no final dot; write a.cdn.example. if that is the whole name`,
		},
		{
			`v=steer1; ttl=30s-300s`,
			`14 ttl: ttl="30s-300s" is not a range of seconds; write as in ttl=30-300, without units, up to 2147483647 (RFC 2181 8)`,
		},
		{
			`v=steer1; ttl=300-30`,
			`14 ttl: ttl=300-30: 300 is more than 30; write the low end first: ttl=30-300`,
		},
		{
			`v=steer1; ttl=0`,
			`14 ttl: ttl=0 would keep every answer out of caches; write 1 or more`,
		},
		{
			`v=steer1; ttl=1-2147483648`,
			`14 ttl: ttl="1-2147483648" is not a range of seconds; write as in ttl=30-300, without units, up to 2147483647 (RFC 2181 8)`,
		},
		{
			`v=steer1; ramp=0s`,
			`15 ramp: ramp=0s is not from 1s to 1d; choose a duration in this range`,
		},
		{
			`v=steer1; with=cluster.example`,
			`15 with: with= names this zone itself; remove it: a zone's own sites, checks and nodes are always looked up first`,
		},
		{
			`v=steer1; with=@`,
			`15 with: "@" is not the name of a zone: @ would be this zone itself; write the whole name of a zone that is served here`,
		},
		{
			`v=steer1; with=a..b`,
			`15 with: "a..b" is not the name of a zone: a label is empty; write the whole name of a zone that is served here`,
		},
		{
			`v=steer1; type=MX; policy=failover; order=lon`,
			`26 policy: policy=failover is not for MX records; remove it and use their own priorities; they are thinned by check=`,
		},
		{
			`v=steer1; type=A,SRV; policy=failover; order=lon`,
			`29 policy: policy=failover is not for SRV records; remove it and use their own priorities; they are thinned by check=`,
		},
		{
			`v=steer1; type=MX; empty=192.0.2.1`,
			`25 empty: empty= with an address or host is not for MX records; write empty=all, none or hold, or steer MX by a record of its own`,
		},
		{
			`v=steer1; type=MX; policy=nearest; pick=sticky; floor=2`,
			`warning 19 policy: policy= does nothing for MX records, which are only thinned; remove it
warning 35 pick: pick= does nothing for MX records, which are only thinned; remove it
warning 48 floor: floor= does nothing for MX records, which are only thinned; remove it`,
		},
	})
}

func TestStateProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex}, []problemCase{
		{
			`v=state1`,
			`0 : the record commands nothing; add drain or active=, or remove the record`,
		},
		{
			`v=state1; drain=no`,
			`16 drain: drain="no" is not known; the only value is yes`,
		},
		{
			`v=state1; drain; until=tomorrow`,
			`23 until: until="tomorrow" is not a time; write it as in 2026-11-20T14:00:00Z (RFC 3339), whole seconds`,
		},
		{
			`v=state1; until=2026-11-20T14:00:00Z; active=lon`,
			`10 until: until= stands without drain; add drain, or remove it`,
		},
		{
			`v=state1; drain; from=2026-11-20T14:00:00Z; until=2026-11-20T14:00:00Z`,
			`50 until: until= is not after from=; write a later time`,
		},
		{
			`v=state1; drain; drain`,
			`17 drain: drain= stands twice; keep one of them`,
		},
		{
			`v=state1; active=192.0.2`,
			`17 active: "192.0.2" is not an address; write an IPv4 or IPv6 address, as in 192.0.2.1 or 2001:db8::1`,
		},
		{
			`v=state1; drain; until`,
			`17 until: until= has no value; write until=2026-11-20T14:00:00Z (values: TIME as in RFC 3339, whole seconds), or remove the tag`,
		},
		{
			`v=state1; drain; active=lon,nyc`,
			`24 active: "lon,nyc" is not the name of a site, node or check; write the one label that stands before _site, _node or _check, of letters, digits, - and _`,
		},
		{
			`v=state1; drain; reason=` + strings.Repeat("x", 256),
			`24 reason: reason= has 256 octets; shorten it to 255`,
		},
	})
}
