package record

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// parsed are texts and what they say; Tags are left out.
var parsed = []struct {
	text string
	want any
}{
	{"v=site1; net=192.0.2.0/24; at=51.51,-0.13", Site{
		Nets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Lat: 51.51, Lon: -0.13, Placed: true,
	}},
	{" V = site1 ;;\tNET= 2001:DB8::/32 ; Country=us;country=CA; subdivision=us-ca; continent=eu; asn=as64500; Drain=YES; capacity=900; must=net,country ; ", Site{
		Nets: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}, Countries: []string{"US", "CA"}, Subdivisions: []string{"US-CA"},
		Continents: []string{"EU"}, ASNs: []uint32{64500}, Drain: true, Capacity: 900, Must: []string{"net", "country"},
	}},
	{"v=site1; at=-0,0", Site{Placed: true}},
	{"v=node1; addr=192.0.2.1", Node{Addrs: addrs("192.0.2.1"), Weight: 1}},
	{"v=node1; addr=192.0.2.1; addr=2001:DB8::1; probe=10.0.0.1; probe=10.0.0.2; weight=3; site=Lon; capacity=900; drain=no", Node{
		Addrs: addrs("192.0.2.1", "2001:db8::1"), Probes: addrs("10.0.0.1", "10.0.0.2"), Need: 1, Weight: 3, Site: "lon", Capacity: 900,
	}},
	{"v=node1; need=2; weight=0; addr=192.0.2.1; probe=10.0.0.1; probe=10.0.0.2", Node{
		Addrs: addrs("192.0.2.1"), Probes: addrs("10.0.0.1", "10.0.0.2"), Need: 2,
	}},
	{"v=check1; type=http; port=80; path=/healthz; every=5s; timeout=2s; fall=3; rise=2", Check{
		Type: CheckHTTP, Port: 80, Path: "/healthz", Method: "GET", Status: []StatusRange{{200, 299}},
		Every: 5 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; path=/a%3Bb%20c%2520; type=HTTPS; host=www; http2=yes; status=200-299,404; body= ok %3b; cert-days=7; verify=yes; hold=yes", Check{
		Type: CheckHTTPS, Port: 443, Path: "/a;b%20c%20", Host: "www.cluster.example", SNI: "www.cluster.example", Method: "GET",
		Status: []StatusRange{{200, 299}, {404, 404}}, Body: "ok ;", HTTP2: true, TLS: TLSYes, CertDays: 7, Verify: true, Hold: true,
		Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=smtp; every=1500ms; tls=starttls; sni=mx.example.org.; helo=ns1; expect=ESMTP; fall=4", Check{
		Type: CheckSMTP, Port: 25, TLS: TLSStart, SNI: "mx.example.org", Helo: "ns1.cluster.example", Expect: "ESMTP",
		Every: 1500 * time.Millisecond, Timeout: 1500 * time.Millisecond, Fall: 4, Rise: 2,
	}},
	{"v=check1; type=imap; tls=yes", Check{Type: CheckIMAP, Port: 993, TLS: TLSYes, Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2}},
	{"v=check1; type=dns", Check{
		Type: CheckDNS, Port: 53, Name: Name(apex), QType: wire.TypeSOA,
		Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=dns; name=Www; qtype=a; answer=192.0.2.1; answer=192.0.2.2; transport=tcp", Check{
		Type: CheckDNS, Port: 53, Name: "\x03www" + Name(apex), QType: wire.TypeA, Answers: []string{"192.0.2.1", "192.0.2.2"}, TCP: true,
		Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=dns; qtype=type257; rcode=nxdomain", Check{
		Type: CheckDNS, Port: 53, Name: Name(apex), QType: 257, Rcode: wire.RcodeNXDomain,
		Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=mysql; use=app; role=writable", Check{
		Type: CheckMySQL, Port: 3306, Use: "app", Role: RoleWritable, Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=postgres; use=app; role=replica; lag=10s", Check{
		Type: CheckPostgres, Port: 5432, Use: "app", Role: RoleReplica, Lag: 10 * time.Second, Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=check1; type=grpc; port=50051; service=app.Api; tls=yes; host=api", Check{
		Type: CheckGRPC, Port: 50051, Service: "app.Api", TLS: TLSYes, Host: "api.cluster.example", SNI: "api.cluster.example",
		Every: 10 * time.Second, Timeout: 2 * time.Second, Fall: 3, Rise: 2,
	}},
	{"v=steer1", Steer{}},
	{"v=steer1; policy=nearest; check=web; answers=2; floor=50%", Steer{Policy: PolicyNearest, Check: []string{"web"}, Answers: 2, Floor: Floor{Percent: 50}}},
	{"v=steer1; type=MX; check=mail", Steer{Types: []wire.Type{wire.TypeMX}, Check: []string{"mail"}}},
	{"v=steer1; policy=failover; order=lon, db2,192.0.2.1,2001:DB8::1; failback=manual; lead=self", Steer{
		Policy: PolicyFailover, Order: []string{"lon", "db2", "192.0.2.1", "2001:db8::1"}, Failback: Failback{Mode: FailbackManual}, LeadSelf: true, Empty: EmptyHold,
	}},
	{"v=steer1; empty=all; policy=failover; order=lon; failback=10m", Steer{
		Policy: PolicyFailover, Order: []string{"lon"}, Failback: Failback{FailbackAfter, 10 * time.Minute},
	}},
	{"v=steer1; pick=weighted; weight=3@lon; weight=0@2001:db8::1; check=web,mail; floor=2; ttl=30-300; ramp=5m; with=infra.example", Steer{
		Pick: PickWeighted, Weights: []Weight{{"lon", 3}, {"2001:db8::1", 0}}, Check: []string{"web", "mail"}, Floor: Floor{Count: 2},
		TTLLow: 30, TTLHigh: 300, Ramp: 5 * time.Minute, With: "\x05infra\x07example\x00",
	}},
	{"v=steer1; policy=nearest; default=nyc; country=cn:TarPit; cname=lon:a.cdn.example.; cname=nyc:b; ttl=60; empty=sorry", Steer{
		Policy: PolicyNearest, Default: "nyc", CountryOverrides: []CountryOverride{{"CN", "tarpit"}},
		CNAMEs: []CNAME{{"lon", "\x01a\x03cdn\x07example\x00"}, {"nyc", "\x01b" + Name(apex)}}, TTLLow: 60, TTLHigh: 60,
		Empty: EmptyHost, EmptyHost: "\x05sorry" + Name(apex),
	}},
	{"v=steer1; empty=192.0.2.9, 2001:db8::9; pick=sticky; type=a,AAAA", Steer{
		Empty: EmptyAddress, EmptyAddrs: addrs("192.0.2.9", "2001:db8::9"), Pick: PickSticky, Types: []wire.Type{wire.TypeA, wire.TypeAAAA},
	}},
	{"v=steer1; empty=none.", Steer{Empty: EmptyHost, EmptyHost: "\x04none\x00"}},
	{"v=state1; drain; until=2026-11-20T15:00:00+01:00; reason=new switch%3B rack 3", State{
		Drain: true, Until: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC), Reason: "new switch; rack 3",
	}},
	{"v=state1; active=LON", State{Active: "lon"}},
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// parseAny parses a record by its v= and leaves out its Tags.
func parseAny(text string, o Origin) (value any, problems []Problem) {
	_, record, _ := strings.Cut(text, "=")
	record = strings.Trim(record[:strings.IndexByte(record, '1')], blanks)
	switch record {
	case site:
		v, p := ParseSite([]byte(text), o)
		v.Tags = nil
		return v, p
	case node:
		v, p := ParseNode([]byte(text), o)
		v.Tags = nil
		return v, p
	case check:
		v, p := ParseCheck([]byte(text), o)
		v.Tags = nil
		return v, p
	case steer:
		v, p := ParseSteer([]byte(text), o)
		v.Tags = nil
		return v, p
	}
	v, p := ParseState([]byte(text), o)
	v.Tags = nil
	return v, p
}

func diff(a, b any) string {
	return cmp.Diff(a, b, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
}

func TestParse(t *testing.T) {
	for _, c := range parsed {
		got, problems := parseAny(c.text, Origin{Apex: apex})
		if len(problems) > 0 {
			t.Errorf("%s: %s", c.text, show(problems))
		}
		if d := diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.text, d)
		}
		// The canonical form says the same.
		text := got.(fmt.Stringer).String()
		again, problems := parseAny(text, Origin{Apex: apex})
		if d := diff(got, again); d != "" || len(problems) > 0 {
			t.Errorf("%s: formatted as %s: %s %s", c.text, text, show(problems), d)
		}
	}
}

func TestVersion(t *testing.T) {
	cases := []struct{ record, text, want string }{
		{site, "", "0 v: the record does not begin with v=site1; begin it with v=site1, or take it out of the _site subtree"},
		{site, "  hello world", "2 v: the record does not begin with v=site1; begin it with v=site1, or take it out of the _site subtree"},
		{site, "net=192.0.2.0/24; !; colour=red", "0 v: the record does not begin with v=site1; begin it with v=site1, or take it out of the _site subtree"},
		{site, "net=192.0.2.0/24; v=site1", "18 v: v= is not the first tag; begin the record with v=site1"},
		{steer, "v=spf1 -all", `2 v: "spf1 -all" is not a version of a _steer record; begin the record with v=steer1`},
		{steer, "v=", `2 v: "" is not a version of a _steer record; begin the record with v=steer1`},
		{steer, "v=steer", `2 v: "steer" is not a version of a _steer record; begin the record with v=steer1`},
		{steer, "v=steer2; policy=x", `2 v: version "2" of _steer records is not known; write v=steer1, or serve the zone with a newer geodns`},
		{check, "v=site1; net=192.0.2.0/24", "2 v: this is a _site record in the _check subtree; move it to the _site subtree, or begin it with v=check1"},
		{node, "v=node1 addr=192.0.2.1", `2 v: there is no ";" behind v=node1; separate tags with ";"`},
		{state, "v=state1; v=state1; drain", "10 v: v= stands twice; keep one of them"},
		{state, "drain", "0 v: the record does not begin with v=state1; begin it with v=state1, or take it out of the _state subtree"},
	}
	for _, c := range cases {
		if got := show(problemsOf(c.record, c.text, Origin{Apex: apex})); got != c.want {
			t.Errorf("%q under _%s\n got %s\nwant %s", c.text, c.record, got, c.want)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		rdata, want string
		ok          bool
	}{
		{"", "", false},
		{"\x00", "", true},
		{"\x03abc", "abc", true},
		{"\x03abc\x00\x02de", "abcde", true},
		{"\x04abc", "", false},
		{"\x01a\x01", "", false},
	} {
		got, ok := Join([]byte(c.rdata))
		if string(got) != c.want || ok != c.ok {
			t.Errorf("Join(%q) = %q, %v, want %q, %v", c.rdata, got, ok, c.want, c.ok)
		}
	}
}

// Whatever a text is, its problems are few, and an error is among them however
// many warnings come first.
func TestBounded(t *testing.T) {
	s, problems := ParseSite([]byte("v=site1"+strings.Repeat(";a=1", 16000)+"; net=1"), Origin{Apex: apex, Lenient: true})
	if len(problems) != maxProblems+1 || !Failed(problems) {
		t.Errorf("%d problems, failed %v, want %d and true", len(problems), Failed(problems), maxProblems+1)
	}
	if len(s.Nets) != 0 {
		t.Errorf("nets are %v", s.Nets)
	}
	_, problems = ParseSite([]byte("v=site1"+strings.Repeat(";a=1", 16000)), Origin{Apex: apex})
	if len(problems) != maxProblems {
		t.Errorf("%d problems, want %d", len(problems), maxProblems)
	}
	must := "v=site1; must=a" + strings.Repeat(",a", 64)
	if got, want := show(problemsOf(site, must, Origin{})), "14 must: must= lists 65 tags; list at most 64"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFind(t *testing.T) {
	text := "v=steer1; policy=nearest; check=web, Mail; default=nyc; country=CN:tarpit; cname=lon:a%3B.; empty=192.0.2.1,2001:DB8::1"
	s, _ := ParseSteer([]byte(text), Origin{Apex: apex})
	for _, c := range []struct{ key, item, at string }{
		{"check", "mail", "Mail"},
		{"check", "web", "web,"},
		{"check", "", "web,"},
		{"check", "other", "web,"},
		{"default", "nyc", "nyc"},
		{"country", "tarpit", "CN:"},
		{"cname", "lon", "lon:"},
		{"empty", "2001:db8::1", "2001:DB8"},
		{"order", "lon", "v="},
	} {
		if got, want := s.Tags.Find(c.key, c.item), strings.Index(text, c.at); got != want {
			t.Errorf("Find(%q, %q) = %d, want %d", c.key, c.item, got, want)
		}
	}
}

func TestSteers(t *testing.T) {
	all := Steer{}
	mx := Steer{Types: []wire.Type{wire.TypeMX}}
	for _, c := range []struct {
		s    *Steer
		t    wire.Type
		want bool
	}{{&all, wire.TypeA, true}, {&all, wire.TypeAAAA, true}, {&all, wire.TypeMX, false}, {&mx, wire.TypeMX, true}, {&mx, wire.TypeA, false}} {
		if got := c.s.Steers(c.t); got != c.want {
			t.Errorf("%s steers %d: %v, want %v", c.s, c.t, got, c.want)
		}
	}
}

// The table is what the parsers read: each example is accepted, a tag that
// repeats may stand twice, and every check knows a tag of each group.
func TestTags(t *testing.T) {
	tags := Tags()
	whole := map[string]string{ // what an example needs beside itself
		"node": "addr=192.0.2.99", "node need": "addr=192.0.2.99; probe=10.0.0.1", "check type": "",
		"check sni": "tls=yes", "check verify": "tls=yes; sni=www", "check cert-days": "tls=yes",
		"check answer": "qtype=A", "steer order": "policy=failover", "steer failback": "policy=failover; order=a",
		"steer lead": "policy=failover; order=a; failback=manual", "steer default": "policy=nearest",
		"steer weight": "pick=weighted", "state from": "drain", "state until": "drain", "state reason": "drain", "state must": "drain",
		"site must": "net=192.0.2.0/24", "steer must": "policy=nearest",
	}
	for _, d := range tags {
		types := d.Types
		if types == nil {
			types = []CheckType{CheckIMAP}
		}
		for _, ct := range types {
			beside, ok := whole[d.Record+" "+d.Tag]
			if !ok {
				beside = whole[d.Record]
			}
			if d.Record == check && d.Tag != "type" {
				beside = besideCheck(ct, d.Tag, beside)
			}
			text := "v=" + d.Record + "1"
			if beside != "" && d.Example != beside {
				text += "; " + beside
			}
			if d.Tag != "v" {
				text += "; " + d.Example
			}
			if d.Record == state && d.Tag == "v" {
				text += "; drain"
			}
			if problems := problemsOf(d.Record, text, Origin{Apex: apex}); len(problems) > 0 {
				t.Errorf("%s: %s", text, show(problems))
			}
			if d.Text == "" || d.Values == "" || !strings.HasPrefix(d.Example, d.Tag) {
				t.Errorf("%s %s is not documented: %+v", d.Record, d.Tag, d)
			}
		}
	}
	tags[2].Tag = "changed"
	if Tags()[2].Tag == "changed" {
		t.Error("Tags hands out its own table")
	}
	if n := len(CheckTypes()); n != 14 || !slices.Contains(CheckTypes(), CheckFile) {
		t.Errorf("%d types of checks", n)
	}
}

// besideCheck makes a check of a type to which an example can be added.
func besideCheck(ct CheckType, tag, beside string) string {
	out := "type=" + string(ct)
	if (ct == CheckTCP || ct == CheckGRPC || ct == CheckAgent) && tag != "port" {
		out += "; port=1000"
	}
	if slices.Contains(useChecks, ct) && tag != "use" {
		out += "; use=app"
	}
	if ct == CheckHTTPS {
		beside = strings.TrimPrefix(strings.TrimPrefix(beside, "tls=yes"), "; ")
	}
	if beside != "" {
		out += "; " + beside
	}
	return out
}
