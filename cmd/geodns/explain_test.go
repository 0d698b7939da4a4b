package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"geodns/internal/explain"
)

// steeredZone has policies whose answers are the same sets whatever is drawn.
const steeredZone = `$TTL 300
@        SOA ns1 hostmaster 5 60 60 60 60
         NS  ns1
ns1      A   192.0.2.53
www  60  A   192.0.2.10
     60  A   192.0.2.11
     60  A   198.51.100.10
     60  A   203.0.113.10
     60  AAAA 2001:db8:1::10
sticky   A   192.0.2.10
         A   192.0.2.11
         A   192.0.2.12
app      A   192.0.2.10
         A   198.51.100.10
db       A   192.0.2.20
         A   198.51.100.20
cdn      CNAME ordinary.cdn.example.
alias    CNAME www
text     TXT "plain"
lon._site TXT "v=site1; net=192.0.2.0/24; net=2001:db8:1::/48; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01; country=US; country=CA"
sin._site TXT "v=site1; net=203.0.113.0/24; at=1.35,103.82; continent=AS"
www._steer TXT "v=steer1; policy=nearest; ttl=30-60"
app._steer TXT "v=steer1; policy=nearest; default=lon; country=DE:nyc"
sticky._steer TXT "v=steer1; pick=sticky; answers=1"
db._steer TXT "v=steer1; policy=failover; order=nyc,lon"
cdn._steer TXT "v=steer1; policy=nearest; cname=lon:a.cdn.example.; cname=nyc:b.cdn.example."
`

// ownNetworks lie over the built-in world.
const ownNetworks = "prefix,country,city,lat,lon\n10.1.0.0/16,DE,Berlin,52.5,13.4\n10.2.0.0/16,US,Denver,39.7,-105.0\n"

// steeredSite serves steeredZone as s.example, and a zone that is broken.
func steeredSite(t *testing.T) *site {
	t.Helper()
	s := startSiteWith(t, unwatched+"control: run/control.sock\nhttp: \"\"\ngeo: {networks: networks.csv}\n",
		[2]string{"networks.csv", ownNetworks}, [2]string{"zones/s.example.zone", steeredZone},
		[2]string{"zones/broken.example.zone", "@ 60 SOA ns1 hostmaster 1 60 60 60 60\n"})
	return s
}

// addr is where DNS is served.
func (s *site) addr() string { return s.status().Listen[0] }

// explained runs the command line.
func explained(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"explain"}, args...), &out, &errs)
	return out.String(), errs.String(), code
}

// reportOf runs it with -o json.
func reportOf(t *testing.T, args ...string) *explain.Report {
	t.Helper()
	out, errs, code := explained(t, append(args, "-o", "json")...)
	if code != exitOK {
		t.Fatalf("explain %v: code %d, %s", args, code, errs)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	r := &explain.Report{}
	if err := d.Decode(r); err != nil {
		t.Fatal(err)
	}
	return r
}

// someQuestions are names of steeredZone with a type.
func someQuestions() []string {
	return []string{"www A", "www AAAA", "sticky A", "app A", "db A", "db AAAA", "cdn A", "alias A", "text TXT", "text A", "none A", "@ NS"}
}

// someSubnet is a random client subnet: of the whole world, or of the own
// networks; now and then one of IPv6, or /0.
func someSubnet(rng *rand.Rand) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], rng.Uint64())
	switch rng.IntN(6) {
	case 0:
		b[0] = 0x20 | b[0]&0x1f
		p, _ := netip.AddrFrom16(b).Prefix(24 + rng.IntN(33))
		return p
	case 1:
		b[0], b[1] = 10, 1+b[1]%2
	}
	bits := []int{0, 16, 20, 24, 24, 24, 32}[rng.IntN(7)]
	p, _ := netip.AddrFrom4([4]byte(b[:4])).Prefix(bits)
	return p
}

// asked is what a question of steeredZone is on the command line.
func asked(question string) []string {
	f := strings.Fields(question)
	if f[0] == "@" {
		return []string{"s.example", f[1]}
	}
	return []string{f[0] + ".s.example", f[1]}
}

// What is explained is what is answered: to random clients, by the network.
func TestExplainedIsAnswered(t *testing.T) {
	s := steeredSite(t)
	socket := filepath.Join(s.dir, "run/control.sock")
	at := s.addr()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		q := asked(someQuestions()[i%len(someQuestions())])
		subnet := someSubnet(rng)
		r := reportOf(t, append(q, "--client", "127.0.0.1", "--ecs", subnet.String(), "--socket", socket)...)
		m := exchange(t, at, q, subnet)
		if d := cmp.Diff(r.Answer.Rcode, dns.RcodeToString[m.Rcode]) + cmp.Diff(r.Answer.AA, m.Authoritative) +
			cmp.Diff(linesOf(r.Answer.Answer), lines(m.Answer)) + cmp.Diff(linesOf(r.Answer.Authority), lines(m.Ns)) +
			cmp.Diff(r.Scope.Length, scopeOf(m)); d != "" {
			t.Fatalf("%v for %s: what is explained differs from what is answered:\n%s\n%v\n%+v", q, subnet, d, m, r)
		}
	}
}

// exchange asks by UDP.
func exchange(t *testing.T, at string, q []string, subnet netip.Prefix) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q[0]), dns.StringToType[q[1]])
	m.SetEdns0(1232, false)
	e := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice()}
	if subnet.Addr().Is6() {
		e.Family = 2
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, e)
	c := dns.Client{Timeout: patience}
	r, _, err := c.Exchange(m, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func scopeOf(m *dns.Msg) int {
	for _, o := range m.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_SUBNET); ok {
			return int(e.SourceScope)
		}
	}
	return -1
}

// lines and linesOf are a section as a set.
func lines(list []dns.RR) []string {
	out := []string{}
	for _, rr := range list {
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	slices.Sort(out)
	return out
}

func linesOf(list []explain.RR) []string {
	out := []string{}
	for _, rr := range list {
		out = append(out, fmt.Sprintf("%s %d IN %s %s", rr.Name, rr.TTL, rr.Type, rr.Data))
	}
	slices.Sort(out)
	return out
}

// dig sees it, too.
func TestExplainedIsDug(t *testing.T) {
	s := steeredSite(t)
	host, port, _ := strings.Cut(s.addr(), ":")
	for _, subnet := range []string{"10.1.2.0/24", "10.2.0.0/16", "8.8.8.0/24", "0.0.0.0/0"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, "dig", "@"+host, "-p", port, "+short", "+subnet="+subnet, "www.s.example", "A").Output()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		dug := strings.Fields(string(out))
		slices.Sort(dug)
		told := []string{}
		for _, rr := range reportOf(t, "www.s.example", "A", "--client", host, "--ecs", subnet, "--socket", filepath.Join(s.dir, "run/control.sock")).Answer.Answer {
			told = append(told, rr.Data)
		}
		slices.Sort(told)
		if d := cmp.Diff(told, dug); d != "" {
			t.Errorf("%s (-explained +dug):\n%s", subnet, d)
		}
	}
}

// The files alone say what the server says that serves them.
func TestOfflineIsOnline(t *testing.T) {
	s := steeredSite(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, question := range someQuestions() {
		args := append(asked(question), "--client", "10.1.2.3", "--ecs", someSubnet(rng).String(), "--draw", fmt.Sprint(rng.Uint64()))
		online := reportOf(t, append(args, "--socket", filepath.Join(s.dir, "run/control.sock"))...)
		offline := reportOf(t, append(args, "--config", s.config)...)
		if online.Source != "server" || offline.Source != "files" {
			t.Errorf("sources %s and %s", online.Source, offline.Source)
		}
		online.Source, offline.Source = "", ""
		if d := cmp.Diff(online, offline); d != "" {
			t.Errorf("%v (-online +offline):\n%s", args, d)
		}
	}
}

func TestExplainErrors(t *testing.T) {
	s := steeredSite(t)
	socket, client := " --socket "+filepath.Join(s.dir, "run/control.sock"), " --client 192.0.2.1"
	tests := []struct {
		args         string
		code         int
		stdout, want string
	}{
		{"www.s.example A" + client + socket, exitOK, "www.s.example. A asked by 192.0.2.1, as the running server answers\n├─ zone", ""},
		{"www.s.example A" + client + " --config " + s.config, exitOK, "as the files answer, without verdicts", ""},
		{"www.s.example" + client, exitUsage, "", "a name and a type are wanted"},
		{"www.s.example A", exitUsage, "", "say --client"},
		{"www.s.example BAD" + client, exitUsage, "", "no record type"},
		{"www.s.example A --ecs x" + client, exitUsage, "", "no prefix"},
		{"www.s.example A --draw x" + client, exitUsage, "", "no number"},
		{"www.s.example A -o yaml" + client + socket, exitUsage, "", "text or json"},
		{"www.s.example A -o yaml --config x" + client, exitUsage, "", "text or json"},
		{"www.s.example A --config x" + client + socket, exitUsage, "", "leave out either"},
		{"www.s.example A --config /none/x.yaml" + client, exitConfig, "", "/none/x.yaml"},
		{"www.s.example A --socket /none/s" + client, exitFailure, "", "start one with geodns serve"},
		{"www.s.example A --socket /none/s" + client, exitFailure, "", "--config FILE"},
		{"example.org A" + client + socket, exitFailure, "REFUSED", "no zone that is served holds example.org.; geodns zone status lists"},
		{"example.org A" + client + " --config " + s.config, exitFailure, "REFUSED", "holds example.org."},
		{"a.broken.example A" + client + socket, exitFailure, "SERVFAIL", "geodns zone status broken.example. tells why"},
		{"a.broken.example A" + client + " --config " + s.config, exitFailure, "SERVFAIL", "broken.example.zone:1:"},
	}
	for _, tt := range tests {
		stdout, stderr, code := explained(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.want) || tt.want == "" && stderr != "" {
			t.Errorf("explain %s: code %d, want %d\n%s%s\nwant %s %s", tt.args, code, tt.code, stdout, stderr, tt.stdout, tt.want)
		}
	}
}
