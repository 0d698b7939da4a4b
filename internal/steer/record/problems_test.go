package record

import (
	"fmt"
	"strings"
	"testing"
)

// apex is cluster.example.
var apex = []byte("\x07cluster\x07example\x00")

// problemsOf parses a record of any kind.
func problemsOf(record, text string, o Origin) (problems []Problem) {
	switch record {
	case site:
		_, problems = ParseSite([]byte(text), o)
	case node:
		_, problems = ParseNode([]byte(text), o)
	case check:
		_, problems = ParseCheck([]byte(text), o)
	case steer:
		_, problems = ParseSteer([]byte(text), o)
	case state:
		_, problems = ParseState([]byte(text), o)
	}
	return problems
}

// show is one problem a line.
func show(problems []Problem) string {
	var lines []string
	for _, p := range problems {
		line := fmt.Sprintf("%d %s: %s; %s", p.At, p.Tag, p.Text, p.Remedy)
		if p.Warning {
			line = "warning " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

type problemCase struct{ text, want string }

func testProblems(t *testing.T, o Origin, cases []problemCase) {
	t.Helper()
	for _, c := range cases {
		record := strings.TrimLeft(c.text, " ")
		record = record[2:strings.IndexAny(record, "1;")]
		if got := show(problemsOf(record, c.text, o)); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestSiteProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex}, []problemCase{
		{
			`v=site1; nett=192.0.2.0/24`,
			`9 nett: there is no tag nett= in _site records; did you mean net=?`,
		},
		{
			`v=site1; check=web`,
			`9 check: there is no tag check= in _site records; check= belongs into a _steer record`,
		},
		{
			`v=site1; colour=red`,
			`9 colour: there is no tag colour= in _site records; remove it (a ";" in a value is written %3B); the tags are v, net, at, subdivision, country, asn, continent, drain, capacity, must`,
		},
		{
			`v=site1; net`,
			`9 net: net= has no value; write net=192.0.2.0/24 (values: PREFIX), or remove the tag`,
		},
		{
			`v=site1; net=`,
			`9 net: net= has no value; write net=192.0.2.0/24 (values: PREFIX), or remove the tag`,
		},
		{
			`v=site1; at=1,2; at=3,4`,
			`17 at: at= stands twice; keep one of them`,
		},
		{
			`v=site1; net=192.0.2.1/24`,
			`13 net: 192.0.2.1/24 has bits set beyond its length; write 192.0.2.0/24`,
		},
		{
			`v=site1; net=192.0.2.1`,
			`13 net: "192.0.2.1" has no prefix length; write 192.0.2.1/32 for this one address`,
		},
		{
			`v=site1; net=2001:db8::1`,
			`13 net: "2001:db8::1" has no prefix length; write 2001:db8::1/128 for this one address`,
		},
		{
			`v=site1; net=192.0.2.0/33`,
			`13 net: "192.0.2.0/33" is not a prefix; write an address and a length, as in 192.0.2.0/24 or 2001:db8::/32`,
		},
		{
			`v=site1; net=192.0.2.0/24,198.51.100.0/24`,
			`13 net: net="192.0.2.0/24,198.51.100.0/24" has several values; write one net= for each, with ";" in between`,
		},
		{
			`v=site1; net=::ffff:192.0.2.0/120`,
			`13 net: "::ffff:192.0.2.0/120" is an IPv4 prefix in IPv6 form; write it as an IPv4 prefix`,
		},
		{
			`v=site1; net=192.0.2.0/24; net=192.0.2.0/24`,
			`31 net: net=192.0.2.0/24 stands twice; keep one of them`,
		},
		{
			`v=site1; at=51.51`,
			`12 at: at="51.51" is not a latitude and a longitude; write two numbers with a comma in between, north and east positive, as in at=51.51,-0.13`,
		},
		{
			`v=site1; at=north,2`,
			`12 at: "north" is not a latitude; write decimal degrees, as in 51.51 or -0.13`,
		},
		{
			`v=site1; at=1e1,2`,
			`12 at: "1e1" is not a latitude; write decimal degrees, as in 51.51 or -0.13`,
		},
		{
			`v=site1; at=NaN,Inf`,
			`12 at: "NaN" is not a latitude; write decimal degrees, as in 51.51 or -0.13
16 at: "Inf" is not a longitude; write decimal degrees, as in 51.51 or -0.13`,
		},
		{
			`v=site1; at=90.1,0`,
			`12 at: the latitude 90.1 is not from -90 to 90; write latitude (north) before longitude (east)`,
		},
		{
			`v=site1; at=51, -180.5`,
			`16 at: the longitude -180.5 is not from -180 to 180; write latitude (north) before longitude (east)`,
		},
		{
			`v=site1; country=USA`,
			`17 country: "USA" is not the code of a country; write the two letters of ISO 3166-1, as in US`,
		},
		{
			`v=site1; country=US,CA`,
			`17 country: country="US,CA" has several values; write one country= for each, with ";" in between`,
		},
		{
			`v=site1; country=UK`,
			`warning 17 country: no country has the code UK; write GB for the United Kingdom`,
		},
		{
			`v=site1; country=QQ`,
			`warning 17 country: no country has the code QQ; correct it, if it is not a code that your database has`,
		},
		{
			`v=site1; country=us; country=US`,
			`29 country: country=US stands twice; keep one of them`,
		},
		{
			`v=site1; subdivision=CA`,
			`21 subdivision: "CA" is not the code of a subdivision; write ISO 3166-2, as in US-CA`,
		},
		{
			`v=site1; subdivision=US-CALI`,
			`21 subdivision: "US-CALI" is not the code of a subdivision; write ISO 3166-2, as in US-CA`,
		},
		{
			`v=site1; subdivision=UK-ENG`,
			`warning 21 subdivision: no country has the code UK; write GB for the United Kingdom`,
		},
		{
			`v=site1; subdivision=US-CA; subdivision=us-ca`,
			`40 subdivision: subdivision=us-ca stands twice; keep one of them`,
		},
		{
			`v=site1; continent=EUROPE`,
			`19 continent: "EUROPE" is not the code of a continent; write AF, AN, AS, EU, NA, OC or SA`,
		},
		{
			`v=site1; continent=EU; continent=eu`,
			`33 continent: continent=eu stands twice; keep one of them`,
		},
		{
			`v=site1; asn=0`,
			`13 asn: "0" is not the number of an autonomous system; write a number from 1 to 4294967295`,
		},
		{
			`v=site1; asn=ASX`,
			`13 asn: "ASX" is not the number of an autonomous system; write a number from 1 to 4294967295`,
		},
		{
			`v=site1; asn=4294967296`,
			`13 asn: "4294967296" is not the number of an autonomous system; write a number from 1 to 4294967295`,
		},
		{
			`v=site1; asn=64500; asn=AS64500`,
			`24 asn: asn=AS64500 stands twice; keep one of them`,
		},
		{
			`v=site1; drain=maybe`,
			`15 drain: drain="maybe" is not known; the values are yes, no`,
		},
		{
			`v=site1; drain=ye`,
			`15 drain: drain="ye" is not known; did you mean yes? The values are yes, no`,
		},
		{
			`v=site1; capacity=0`,
			`18 capacity: capacity="0" is not a number from 1 to 1000000000; write a whole number, without sign and unit`,
		},
		{
			`v=site1; capacity=10/s`,
			`18 capacity: capacity="10/s" is not a number from 1 to 1000000000; write a whole number, without sign and unit`,
		},
		{
			`v=site1; net=192.0.2.0/24; !x=1`,
			`27 : "!x" is not a tag; write tags as key=value with ";" in between, and a ";" in a value as %3B`,
		},
		{
			`v=site1; must=country`,
			`warning 14 must: must= lists country=, which the record does not have; remove it from must=, or add the tag`,
		},
		{
			`v=site1; must=net,colour; net=192.0.2.0/24`,
			`18 must: there is no tag colour= in _site records; remove it (a ";" in a value is written %3B); the tags are v, net, at, subdivision, country, asn, continent, drain, capacity, must`,
		},
		{
			`v=site1; must=at,,at; at=1,2`,
			`17 must: "" is not the key of a tag; list keys with commas in between
18 must: at is listed twice; keep one of them`,
		},
		{
			`v=site1; must=at,at; at=1,2`,
			`17 must: at is listed twice; keep one of them`,
		},
	})
}

func TestLenientProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex, Lenient: true}, []problemCase{
		{
			`v=site1; colour=red`,
			`warning 9 colour: the tag colour= is not known and is ignored; serve the zone with the geodns that knows it, or remove the tag`,
		},
		{
			`v=site1; colour=red; must=colour`,
			`9 colour: there is no tag colour= in _site records, and must= lists it; remove it (a ";" in a value is written %3B); the tags are v, net, at, subdivision, country, asn, continent, drain, capacity, must`,
		},
		{
			`v=site1; must=colour`,
			`warning 14 must: there is no tag colour= in _site records; remove it (a ";" in a value is written %3B); the tags are v, net, at, subdivision, country, asn, continent, drain, capacity, must`,
		},
		{
			`v=site1; net=1`,
			`13 net: "1" is not a prefix; write an address and a length, as in 192.0.2.0/24 or 2001:db8::/32`,
		},
	})
}

func TestNodeProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex}, []problemCase{
		{
			`v=node1`,
			`0 addr: the _node record has no addr=; add addr=192.0.2.10 (values: ADDRESS)`,
		},
		{
			`v=node1; addr=192.0.2`,
			`14 addr: "192.0.2" is not an address; write an IPv4 or IPv6 address, as in 192.0.2.1 or 2001:db8::1`,
		},
		{
			`v=node1; addr=0.0.0.0`,
			`14 addr: 0.0.0.0 is not the address of a machine; write a unicast address`,
		},
		{
			`v=node1; addr=255.255.255.255`,
			`14 addr: 255.255.255.255 is not the address of a machine; write a unicast address`,
		},
		{
			`v=node1; addr=224.0.0.1`,
			`14 addr: 224.0.0.1 is not the address of a machine; write a unicast address`,
		},
		{
			`v=node1; addr=fe80::1%eth0`,
			`14 addr: the address "fe80::1%eth0" has a zone; remove it from the % on`,
		},
		{
			`v=node1; addr=::ffff:192.0.2.1`,
			`14 addr: "::ffff:192.0.2.1" is an IPv4 address in IPv6 form; write 192.0.2.1`,
		},
		{
			`v=node1; addr=192.0.2.1; addr=192.0.2.1`,
			`30 addr: addr=192.0.2.1 stands twice; keep one of them`,
		},
		{
			`v=node1; addr=192.0.2.1; probe=10.0.0.1; probe=10.0.0.1`,
			`47 probe: probe=10.0.0.1 stands twice; keep one of them`,
		},
		{
			`v=node1; addr=192.0.2.1; need=1`,
			`30 need: need= stands without probe=; add the probe= addresses of which so many must answer, or remove need=`,
		},
		{
			`v=node1; need=2; addr=192.0.2.1; probe=10.0.0.1`,
			`14 need: need=2 is more than there are probe= addresses (1); lower it, or add addresses`,
		},
		{
			`v=node1; addr=192.0.2.1; probe=10.0.0.1; need=0`,
			`46 need: need="0" is not a number from 1 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=node1; addr=192.0.2.1; weight=65536`,
			`32 weight: weight="65536" is not a number from 0 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=node1; addr=192.0.2.1; weight=-1`,
			`32 weight: weight="-1" is not a number from 0 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=node1; addr=192.0.2.1,192.0.2.2`,
			`14 addr: addr="192.0.2.1,192.0.2.2" has several values; write one addr= for each, with ";" in between`,
		},
		{
			`v=node1; addr=192.0.2.1; site=lon._site`,
			`30 site: "lon._site" is not the name of a site, node or check; write the one label that stands before _site, _node or _check, of letters, digits, - and _`,
		},
		{
			`v=node1; addr=192.0.2.1; net=192.0.2.0/24`,
			`25 net: there is no tag net= in _node records; net= belongs into a _site record`,
		},
	})
}
