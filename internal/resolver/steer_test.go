package resolver_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/geo"
	geoplace "geodns/internal/geo/place"
	"geodns/internal/health"
	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/world"
)

// steeredPlaces is how many networks the steered paths' world has.
const steeredPlaces = 2000

// steeredWorld ranks by a random world below 11.0.0.0/8 and 2a00::/16.
func steeredWorld(t testing.TB, places int) *steer.Rankings {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("prefix,lat,lon\n")
	for i := range places {
		lat, lon := random.Float64()*180-90, random.Float64()*360-180
		fmt.Fprintf(&b, "%d.%d.%d.0/24,%.4f,%.4f\n2a00:%x:%x::/48,%.4f,%.4f\n", 11+i>>16, i>>8&255, i&255, lat, lon, i>>16, i&0xffff, lat, lon)
	}
	file := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := geo.Load(geo.Options{Networks: file})
	if err != nil {
		t.Fatal(err)
	}
	return steer.NewRankings(func() *geoplace.Table { return table })
}

// newSteeredPath is newPath for one zone with steering.
func newSteeredPath(t fataler, z *plainZone, k *steer.Rankings) *path {
	t.Helper()
	p := newPath(t, z)
	c := compiled(t, z)
	program, problems := steer.Compile(c, steer.Options{Rankings: k})
	if program == nil {
		t.Fatalf("%v", problems)
	}
	w := *p.world
	w.Zones = w.Zones.With(world.Change{Put: []*world.Served{world.Serve(c, program)}})
	p.world = &w
	return p
}

// judge gives the nodes of the path's one zone their verdicts.
func (p *path) judge(verdict func(addr string) health.State) {
	w := *p.world
	w.Zones.Each(func(s *world.Served) bool {
		var states []health.State
		for i, target := range s.Steering.Targets {
			s.Steering.Slots = append(s.Steering.Slots[:i], uint32(i))
			states = append(states, verdict(target.Addr.String()))
		}
		w.Verdicts = health.NewVerdicts(states, nil)
		return true
	})
	p.world = &w
}

// steeredHosts is a zone in which names are steered in all ways, between some
// sites of one node a family each.
func steeredHosts(t fataler, sites int) *plainZone {
	t.Helper()
	var b strings.Builder
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"all", "near", "sticky", "weighted", "first", "first2", "last", "svc"}
	for i := range sites {
		fmt.Fprintf(&b, "s%d._site TXT \"v=site1; net=10.%d.0.0/16; net=2001:db8:%x::/48; at=%.4f,%.4f\"\n", i, i, i, random.Float64()*160-80, random.Float64()*360-180)
		for _, name := range names {
			fmt.Fprintf(&b, "%s A 10.%d.0.1\n%s AAAA 2001:db8:%x::1\n", name, i, name, i)
		}
		fmt.Fprintf(&b, "mx%d A 10.%d.0.2\nmail MX %d mx%d\n*.w A 10.%d.0.3\n", i, i, 10*(i/2), i, i)
	}
	b.WriteString(`c._check TXT "v=check1; type=tcp; port=80"
all._steer TXT "v=steer1; check=c; answers=1"
near._steer TXT "v=steer1; policy=nearest; check=c; ttl=30-300"
sticky._steer TXT "v=steer1; policy=nearest; pick=sticky; check=c"
weighted._steer TXT "v=steer1; pick=weighted; weight=3@s1; check=c; answers=1"
first._steer TXT "v=steer1; policy=failover; order=s0,s1; check=c"
first2._steer TXT "v=steer1; policy=failover; order=s1,s0; check=c"
last._steer TXT "v=steer1; check=c; empty=203.0.113.1"
mail._steer TXT "v=steer1; type=MX; check=c; answers=1"
*.w._steer TXT "v=steer1; policy=nearest; check=c"
svc._steer TXT "v=steer1; policy=nearest; check=c"
svc HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1 ipv6hint=2001:db8::1
svc HTTPS 2 near alpn=h3 ipv4hint=10.0.0.1
alias CNAME near
cdn CNAME elsewhere.test.
cdn._steer TXT "v=steer1; policy=nearest; cname=s0:a.test.; cname=s1:b.test."
plain A 192.0.2.1
* A 192.0.2.80
`)
	return parsed(t, "example.", b.String())
}

// ecs makes a question with a client's network of 24 or 48 bits, the i-th of
// the steered world.
func ecs(name string, typ uint16, i int, v6 bool) *dns.Msg {
	m := question(name, typ, dns.ClassINET, 1232, false)
	o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(byte(11+i>>16), byte(i>>8), byte(i), 0).To4()}
	if v6 {
		o.Family, o.SourceNetmask = 2, 48
		o.Address = net.IP{0x2a, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 15: 0}
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, o)
	return m
}

// source is who asks without a client's network.
func source(i int) steer.Client {
	return steer.Client{V4: true, Lo: uint64(11<<24 + i<<8 + 1)}
}

// steeredLoads are questions that are steered.
func steeredLoads() []load {
	kind := func(name string, typ uint16, want string) load {
		return load{name: name, want: want, ask: func(i int) *dns.Msg {
			n := strings.Replace(name, "*", fmt.Sprintf("x%d", i), 1)
			return ecs(n, typ, i%steeredPlaces, i%2 == 1)
		}}
	}
	return []load{
		kind("all.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("near.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("near.example.", dns.TypeAAAA, "NOERROR aa 1 0 0"),
		kind("near.example.", dns.TypeANY, "NOERROR aa 1 0 0"),
		kind("sticky.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("weighted.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("first.example.", dns.TypeAAAA, "NOERROR aa 1 0 0"),
		kind("last.example.", dns.TypeA, ""),
		kind("last.example.", dns.TypeAAAA, ""),
		kind("mail.example.", dns.TypeMX, ""),
		kind("*.w.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("svc.example.", dns.TypeHTTPS, ""),
		kind("alias.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("cdn.example.", dns.TypeA, "NOERROR aa 1 0 0"),
		kind("s0._site.example.", dns.TypeTXT, "NOERROR aa 0 1 0"),
	}
}

// TestNoAllocationsSteered: nor does a steered answer take memory, with ECS and
// without, whatever the verdicts.
func TestNoAllocationsSteered(t *testing.T) {
	k := steeredWorld(t, steeredPlaces)
	for _, sites := range []int{4, 40} {
		p := newSteeredPath(t, steeredHosts(t, sites), k)
		for _, moment := range []string{"quiet", "half", "dead"} {
			p.judge(func(addr string) health.State {
				if moment == "dead" || moment == "half" && strings.HasPrefix(addr, "10.1.") {
					return health.Down
				}
				return health.Up
			})
			for _, l := range steeredLoads() {
				reqs := l.requests(t)
				r := &dns.Msg{}
				if err := r.Unpack(p.answer(reqs[1], resolver.Asked{})); err != nil {
					t.Fatal(err)
				}
				if got := summary(r); got != l.want && l.want != "" && moment == "quiet" {
					t.Errorf("%s: %s; want %s", l.name, got, l.want)
				}
				n := 0
				if allocs := testing.AllocsPerRun(500, func() {
					p.answer(reqs[n%len(reqs)], resolver.Asked{Draw: uint64(n)})
					n++
				}); allocs != 0 {
					t.Errorf("%s, %d sites, %s: %v allocations", l.name, sites, moment, allocs)
				}
			}
		}
	}
}

// scopeOf is the scope of a reply; -1: it has none.
func scopeOf(r *dns.Msg) int {
	if o := r.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if s, ok := opt.(*dns.EDNS0_SUBNET); ok {
				return int(s.SourceScope)
			}
		}
	}
	return -1
}

// TestClientOfAnswer: ECS goes before the packet's source, a source of /0 asks
// for nobody's place but the asker's, and who doesn't ask for a scope gets none
// (RFC 7871 7.1.2, 7.2.1).
func TestClientOfAnswer(t *testing.T) {
	p := newSteeredPath(t, steeredHosts(t, 4), steeredWorld(t, steeredPlaces))
	asked := func(m *dns.Msg, from int) (string, int) {
		r, _ := p.ask(t, m, resolver.Asked{Source: source(from)})
		if len(r.Answer) != 1 {
			t.Fatalf("%v", r)
		}
		return r.Answer[0].(*dns.A).A.String(), scopeOf(r)
	}
	differ := 0
	for i := range 200 {
		other := (i*7 + 11) % steeredPlaces
		bare := question("near.example.", dns.TypeA, dns.ClassINET, 0, false)
		byNet, scope := asked(ecs("near.example.", dns.TypeA, i, false), other)
		bySource, none := asked(bare, i)
		if byNet != bySource || none != -1 || scope < 1 || scope > 24 {
			t.Fatalf("network %d: %s with scope %d by ECS, %s with scope %d by source", i, byNet, scope, bySource, none)
		}
		for _, family := range []uint16{1, 2, 0} {
			m := ecs("near.example.", dns.TypeA, i, false)
			o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
			o.Family, o.SourceNetmask, o.Address = family, 0, net.IPv4zero.To4()
			if family == 2 {
				o.Address = net.IPv6zero
			}
			if got, scope := asked(m, i); got != bySource || scope != 0 {
				t.Fatalf("network %d, source /0: %s with scope %d, not %s", i, got, scope, bySource)
			}
		}
		if elsewhere, _ := asked(bare, other); elsewhere != bySource {
			differ++
		}
	}
	if differ == 0 {
		t.Error("all clients get the same")
	}
}

// TestAliasOfSteered: with ECS, a CNAME to what depends on the client is
// answered alone and for everybody (RFC 7871 7.2.1); without, it is followed.
func TestAliasOfSteered(t *testing.T) {
	p := newSteeredPath(t, steeredHosts(t, 4), steeredWorld(t, steeredPlaces))
	r, _ := p.ask(t, ecs("alias.example.", dns.TypeA, 3, false), resolver.Asked{})
	if len(r.Answer) != 1 || r.Answer[0].Header().Rrtype != dns.TypeCNAME || scopeOf(r) != 0 {
		t.Errorf("with ECS: %v, scope %d", r.Answer, scopeOf(r))
	}
	r, _ = p.ask(t, question("alias.example.", dns.TypeA, dns.ClassINET, 1232, false), resolver.Asked{Source: source(3)})
	if len(r.Answer) != 2 || scopeOf(r) != -1 {
		t.Errorf("without ECS: %v", r.Answer)
	}
}

// TestSteeredCNAME: who asks for the CNAME itself gets the one that the others
// follow.
func TestSteeredCNAME(t *testing.T) {
	p := newSteeredPath(t, steeredHosts(t, 4), steeredWorld(t, steeredPlaces))
	targets := map[string]int{}
	for i := range 200 {
		a, _ := p.ask(t, ecs("cdn.example.", dns.TypeA, i, false), resolver.Asked{})
		c, _ := p.ask(t, ecs("cdn.example.", dns.TypeCNAME, i, false), resolver.Asked{})
		if len(a.Answer) != 1 || len(c.Answer) != 1 || a.Answer[0].String() != c.Answer[0].String() || scopeOf(a) != scopeOf(c) || scopeOf(a) < 1 {
			t.Fatalf("network %d: %v with scope %d for A, %v with scope %d for CNAME", i, a.Answer, scopeOf(a), c.Answer, scopeOf(c))
		}
		targets[a.Answer[0].(*dns.CNAME).Target]++
	}
	if len(targets) != 2 || targets["a.test."] == 0 || targets["b.test."] == 0 {
		t.Errorf("the targets are %v", targets)
	}
}

// TestAdditionalOfSteered: what is put beside an answer doesn't depend on who
// asks (RFC 7871 7.2.1), and names nobody that is down.
func TestAdditionalOfSteered(t *testing.T) {
	z := parsed(t, "example.", `lon._site TXT "v=site1; net=10.0.0.0/16; at=51.51,-0.13"
nyc._site TXT "v=site1; net=10.1.0.0/16; at=40.71,-74.01"
c._check TXT "v=check1; type=tcp; port=80"
mx A 10.0.0.1
mx A 10.1.0.1
mx A 10.1.0.2
mx._steer TXT "v=steer1; policy=nearest; pick=sticky; check=c"
@ MX 10 mx
@ MX 20 deep._site
deep._site A 192.0.2.7
`)
	p := newSteeredPath(t, z, steeredWorld(t, steeredPlaces))
	p.judge(func(addr string) health.State {
		if addr == "10.1.0.2" {
			return health.Down
		}
		return health.Up
	})
	for i := range 100 {
		r, _ := p.ask(t, ecs("example.", dns.TypeMX, i, false), resolver.Asked{})
		if got := strings.Join(lines(r.Extra), "\n"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "10.0.0.1") || !strings.Contains(got, "10.1.0.1") || scopeOf(r) != 0 {
			t.Fatalf("scope %d, beside the answer:\n%s", scopeOf(r), got)
		}
	}
}
