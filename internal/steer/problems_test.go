package steer_test

import (
	"fmt"
	"strings"
	"testing"

	"geodns/internal/steer"
	"geodns/internal/zone"
)

// problemsOf are the problems of a zone, a line each.
func problemsOf(t fataler, text string, o steer.Options) (p *steer.Program, list []string) {
	t.Helper()
	p, problems := steer.Compile(zoneOf(t, text), o)
	for i := range problems {
		kind := "error"
		if problems[i].Warning {
			kind = "warning"
		}
		list = append(list, fmt.Sprintf("%s %s at %d: %s", kind, problems[i].Rule, problems[i].At, problems[i].Error()))
	}
	return p, list
}

// pair is two sites with a node each, and a check.
const pair = `lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
one._node TXT "v=node1; addr=192.0.2.1"
web._check TXT "v=check1; type=tcp; port=80"
www A 192.0.2.1
www A 198.51.100.1
`

// TestProblems: what is wrong beyond a record's own text, each with the place
// in it and a remedy.
func TestProblems(t *testing.T) {
	other := zoneOf(t, strings.ReplaceAll(top, "example.", "other.")+"far._site TXT \"v=site1; net=203.0.113.0/24; at=0,0\"\nbad._site TXT \"v=site1; nett=1\"\n")
	tests := []struct{ text, want string }{
		{
			pair + `www._steer TXT "v=steer1; check=web,web2"`,
			`error steer-check-unknown at 20: www._steer.example.: there is no check "web2"; declare web2._check, or correct the name`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=neerest"`,
			`error steer-value at 17: www._steer.example.: policy="neerest" is not known; did you mean nearest? The values are all, nearest, failover`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=nearest; default=par"`,
			`error steer-site-unknown at 34: www._steer.example.: there is no site "par"; declare par._site, or correct the name`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=nearest; country=CN:tarpit"`,
			`error steer-site-unknown at 34: www._steer.example.: there is no site "tarpit"; declare tarpit._site, or correct the name`,
		},
		{
			pair + `www._steer TXT "v=steer1; country=CN:lon"`,
			`error steer-tags at 18: www._steer.example.: only policy=nearest has sites for countries; say policy=nearest`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=failover; order=lon,192.0.2.9,two"`,
			`error steer-step-unknown at 37: www._steer.example.: there is no site, node or address "192.0.2.9" among the records of this name; correct the name, or declare it
error steer-step-unknown at 47: www._steer.example.: there is no site, node or address "two" among the records of this name; correct the name, or declare it`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=failover; order=one,198.51.100.1,nyc"`,
			``,
		},
		{
			pair + `www._steer TXT "v=steer1; pick=weighted; weight=3@lon; weight=2@par; weight=1@one"`,
			`warning steer-weight at 46: www._steer.example.: nothing that is answered here is called "par"; name a site, a node or an address of this name's records`,
		},
		{
			pair + `par._site TXT "v=site1; net=203.0.113.0/24"
www._steer TXT "v=steer1; policy=failover; order=lon,par"`,
			`warning steer-site-empty at 37: www._steer.example.: the name has no record at the site "par"; give it one, or take the step away`,
		},
		{
			pair + `par._site TXT "v=site1; net=192.0.2.0/24"`,
			`error steer-net-twice at 13: par._site.example.: the site "lon" has the net 192.0.2.0/24 too; leave it to one of them`,
		},
		{
			pair + `two._node TXT "v=node1; addr=192.0.2.1; site=par"`,
			`error steer-address-twice at 14: two._node.example.: the node "one" has the address 192.0.2.1 too; leave it to one of them
error steer-site-unknown at 30: two._node.example.: there is no site "par" in this zone; declare par._site, or take site= away`,
		},
		{
			pair + `a.b._site TXT "v=site1; net=203.0.113.0/24"
_node TXT "v=node1; addr=192.0.2.7"`,
			`error steer-name at 0: a.b._site.example.: a name here is one label and _site; write it as NAME._site
error steer-name at 0: _node.example.: a name here is one label and _node; write it as NAME._node`,
		},
		{
			pair + `lon._site A 192.0.2.1`,
			`warning steer-other-type at 0: lon._site.example.: only TXT records belong here; take this one away`,
		},
		{
			pair + `lon._site TXT "v=site1; net=203.0.113.0/24"`,
			`error steer-several at 0: lon._site.example.: there are several records of this name; keep one: its strings may be joined`,
		},
		{
			pair + `www._steer TXT "v=steer1"
www._steer TXT "v=steer1; type=AAAA,A"`,
			`error steer-overlap at 15: www._steer.example.: another record steers the same types of this name: www._steer.example.; say type= in each, or take one away`,
		},
		{
			pair + `www AAAA 2001:db8::1
www._steer TXT "v=steer1; type=A"
www._steer TXT "v=steer1; type=AAAA"`,
			``,
		},
		{
			pair + `nobody._steer TXT "v=steer1"`,
			`error steer-no-records at 0: nobody._steer.example.: there is no nobody.example. to steer; give it A or AAAA records, or take this record away`,
		},
		{
			pair + `x MX 10 www
x._steer TXT "v=steer1"`,
			`error steer-no-records at 0: x._steer.example.: the name has no A or AAAA records to choose from; give it some, say type= if others are meant, or take this record away`,
		},
		{
			pair + `x MX 10 www
x._steer TXT "v=steer1; type=SRV"`,
			`error steer-no-records at 15: x._steer.example.: the name has no SRV records; give it some, or take the type away`,
		},
		{
			pair + `x MX 10 www
x._steer TXT "v=steer1; type=MX; policy=nearest"`,
			`warning steer-no-effect at 19: x._steer.example.: policy= does nothing for MX records, which are only thinned; remove it
error steer-tags at 26: x._steer.example.: MX records are only thinned: which of them are answered is not chosen by site; leave policy= away`,
		},
		{
			pair + `x MX 10 www
x._steer TXT "v=steer1; type=MX,HTTPS"`,
			`error steer-type at 15: x._steer.example.: records of that type are not steered by themselves; steer the addresses: the hints of HTTPS and SVCB follow them`,
		},
		{
			pair + `x CNAME www
x._steer TXT "v=steer1"`,
			`error steer-cname-owner at 0: x._steer.example.: a CNAME answers for this name, which has nothing to choose from; steer what the CNAME leads to, or say cname=SITE:TARGET`,
		},
		{
			pair + `x CNAME www
x._steer TXT "v=steer1; cname=lon:a.test."`,
			`error steer-tags at 0: x._steer.example.: cname= needs a policy that chooses one site; say policy=nearest, or policy=failover with order=`,
		},
		{
			pair + `x CNAME www
x._steer TXT "v=steer1; policy=nearest; cname=par:a.test."`,
			`error steer-site-unknown at 32: x._steer.example.: there is no site "par"; declare par._site, or correct the name
error steer-no-site at 17: x._steer.example.: none of the records is at a site, so that none is nearest; declare NAME._site with net= and at=`,
		},
		{
			pair + `x CNAME www
x._steer TXT "v=steer1; policy=failover; order=par; cname=lon:a.test."`,
			`error steer-step-unknown at 33: x._steer.example.: there is no site "par"; declare it, or correct the name`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=nearest; cname=lon:a.test."`,
			`error steer-no-records at 32: www._steer.example.: the name has no CNAME, which would be the answer for those whom no site serves; give it one`,
		},
		{
			pair + `sub NS ns1
x.sub A 192.0.2.1
x.sub._steer TXT "v=steer1"
sub._steer TXT "v=steer1"`,
			`error steer-delegated at 0: x.sub._steer.example.: x.sub.example. is delegated, so that others answer for it; steer it in the zone that has it
error steer-delegated at 0: sub._steer.example.: sub.example. is delegated, so that others answer for it; steer it in the zone that has it`,
		},
		{
			pair + `d DNAME www
x.d._steer TXT "v=steer1"`,
			`error steer-delegated at 0: x.d._steer.example.: x.d.example. is below a DNAME, which answers for it; steer what the DNAME leads to`,
		},
		{
			pair + `shop A 192.0.2.1
shop._steer CNAME www._steer`,
			`error steer-shared at 0: shop._steer.example.: the CNAME leads to no _steer record of this zone; let it lead to NAME._steer.example., which has a TXT record`,
		},
		{
			pair + `shop A 192.0.2.1
shop._steer CNAME www`,
			`error steer-shared at 0: shop._steer.example.: the CNAME leads to no _steer record of this zone; let it lead to NAME._steer.example., which has a TXT record`,
		},
		{
			pair + `shop A 192.0.2.1
shop._steer A 192.0.2.1`,
			`warning steer-other-type at 0: shop._steer.example.: only TXT records, or one CNAME, belong here; take this one away`,
		},
		{
			pair + `www._steer TXT "v=steer1; empty=last.elsewhere.test."`,
			`error steer-last-resort at 16: www._steer.example.: the host of the last resort is not in this zone; name one that is, or an address`,
		},
		{
			pair + `www._steer TXT "v=steer1; with=nowhere.test."`,
			`error steer-with at 15: www._steer.example.: the zone nowhere.test. is not served here; serve it, or declare here what is taken from it`,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=nearest; with=other.; default=far"`,
			``,
		},
		{
			pair + `www._steer TXT "v=steer1; policy=nearest; with=other.; default=bad"`,
			`error steer-site-unknown at 47: www._steer.example.: there is no site "bad"; declare bad._site, or correct the name`,
		},
		{
			`www A 192.0.2.1
www._steer TXT "v=steer1; policy=nearest"`,
			`error steer-no-site at 17: www._steer.example.: none of the records is at a site, so that none is nearest; declare NAME._site with net= and at=`,
		},
		{
			pair + `www A 203.0.113.1
www A 203.0.113.2
www._steer TXT "v=steer1; policy=nearest"`,
			`warning steer-stray at 17: www._steer.example.: 203.0.113.1 and 1 more are at no site, and answered only when no site is up; put it into the net= of a site`,
		},
		{
			pair + `www._steer TXT "v=" "steer1; " "check=nope"`,
			`error steer-check-unknown at 16: www._steer.example.: there is no check "nope"; declare nope._check, or correct the name`,
		},
		{
			pair + `_steer TXT "v=steer1"`,
			`error steer-no-records at 0: _steer.example.: the name has no A or AAAA records to choose from; give it some, say type= if others are meant, or take this record away`,
		},
		{
			pair + `@ A 192.0.2.1
_steer TXT "v=steer1; check=web"`,
			``,
		},
		{
			pair + `*.w A 192.0.2.1
*.w._steer TXT "v=steer1; check=web"`,
			``,
		},
		{
			pair + `x.w A 192.0.2.1
w._steer TXT "v=steer1"`,
			`error steer-no-records at 0: w._steer.example.: the name has no A or AAAA records to choose from; give it some, say type= if others are meant, or take this record away`,
		},
		{
			pair + `a A 192.0.2.1
a._steer TXT "v=steer2"`,
			`error steer-version at 2: a._steer.example.: version "2" of _steer records is not known; write v=steer1, or serve the zone with a newer geodns`,
		},
	}
	for _, tt := range tests {
		o := steer.Options{Rankings: noWorld(t), With: func(apex []byte) *zone.Zone {
			if string(apex) == "\x05other\x00" {
				return other
			}
			return nil
		}}
		p, got := problemsOf(t, top+tt.text+"\n", o)
		if all := strings.Join(got, "\n"); all != tt.want {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", tt.text, all, tt.want)
		}
		if failed := strings.Contains(tt.want, "error "); failed != (p == nil) {
			t.Errorf("%s\ncompiled: %t", tt.text, p != nil)
		}
	}
}
