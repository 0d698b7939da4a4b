package steer_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"

	"pgregory.net/rapid"
)

// owners hold all that can be steered, and some of what can't.
const owners = `www A 192.0.2.1
www A 192.0.2.2
www A 198.51.100.1
www AAAA 2001:db8::1
www AAAA 2001:db8:1::1
www MX 10 mx
www MX 20 www
www SRV 1 2 3 mx
mx A 192.0.2.3
six AAAA 2001:db8::6
cdn CNAME www
sub NS mx.sub
mx.sub A 192.0.2.4
* A 192.0.2.9
@ A 192.0.2.10
`

// tags are what records are made of here, by the record that they fit.
func tags() map[string][]string {
	return map[string][]string{
		"v=site1": {
			"net=192.0.2.0/24", "net=198.51.100.0/24", "net=2001:db8::/48", "net=0.0.0.0/0", "net=::/0", "at=51.5,-0.1", "at=0,180",
			"country=US", "subdivision=US-CA", "continent=EU", "asn=64500", "drain=yes",
		},
		"v=node1":  {"addr=192.0.2.1", "addr=192.0.2.2", "addr=2001:db8::1", "probe=10.0.0.1", "probe=10.0.0.2", "need=1", "need=2", "weight=0", "site=a", "site=c"},
		"v=check1": {"type=tcp; port=80", "type=mysql; use=x", "type=mysql; use=x; role=writable", "type=http"},
		"v=steer1": {
			"type=A", "type=AAAA", "type=MX", "type=SRV", "type=A,AAAA,MX,SRV", "type=HTTPS",
			"policy=all", "policy=nearest", "policy=failover; order=a,b", "policy=failover; order=192.0.2.1,a", "policy=failover; order=m,2001:db8::1", "order=b",
			"failback=manual", "lead=self", "default=a", "country=US:a", "country=CN:b", "check=k", "check=k,l", "floor=1", "floor=3", "floor=50%", "floor=100%",
			"empty=all", "empty=none", "empty=hold", "empty=203.0.113.1", "empty=203.0.113.1,2001:db8::99", "empty=mx", "empty=nobody",
			"pick=rotate", "pick=weighted", "pick=sticky", "pick=weighted; weight=3@a", "weight=0@192.0.2.1", "weight=65535@m", "answers=1", "answers=2", "answers=65535",
			"policy=nearest; cname=a:x.test.", "cname=b:y.test.", "ttl=30-300", "ramp=5m", "with=other.", "must=floor", "nothing=1", "policy", "=", "%3B",
		},
	}
}

// drawText is a record that begins as it should.
func drawText(t *rapid.T, head string) string {
	parts := []string{head}
	own, _, _ := strings.Cut(head, ";")
	for range max(0, rapid.IntRange(-2, 3).Draw(t, "tags")) {
		of := own
		if chance(t, 20) {
			of = rapid.SampledFrom([]string{"v=site1", "v=node1", "v=check1", "v=steer1"}).Draw(t, "of")
		}
		parts = append(parts, rapid.SampledFrom(tags()[of]).Draw(t, "tag"))
	}
	return strings.Join(parts, "; ")
}

// TestWhatCompilesChooses: whatever a zone's steering records say, compiling
// them says what is wrong or makes a Program, and choosing by that never fails
// and gives records that there are.
func TestWhatCompilesChooses(t *testing.T) {
	table := tableOf(t, t.TempDir(), world)
	compiled := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			compiled += whatCompiles(t, rankings(table))
		}
	})
	if compiled < 50 {
		t.Errorf("only %d policies could be compiled", compiled)
	}
}

// FuzzWhatCompilesChooses is the same, led by coverage.
func FuzzWhatCompilesChooses(f *testing.F) {
	dir, err := os.MkdirTemp("", "steer")
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	table := tableOf(f, dir, world)
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { whatCompiles(t, rankings(table)) }))
}

func whatCompiles(t *rapid.T, k *steer.Rankings) (rules int) {
	var b strings.Builder
	b.WriteString(top + owners)
	for _, d := range [][2]string{
		{"a._site", "v=site1; net=192.0.2.0/24"},
		{"b._site", "v=site1; net=198.51.100.0/24; net=2001:db8::/47"},
		{"m._node", "v=node1; addr=192.0.2.1"},
		{"n._node", "v=node1; addr=192.0.2.2; addr=2001:db8::1"},
		{"k._check", "v=check1; type=tcp; port=80"},
		{"l._check", "v=check1; type=mysql; use=x; role=writable"},
	} {
		if !chance(t, 6) {
			b.WriteString(d[0] + " TXT " + txt(drawText(t, d[1])) + "\n")
		}
	}
	steered := rapid.SampledFrom([]string{"www", "www", "six", "cdn", "*", "mx", "sub", "nobody"})
	for range rapid.IntRange(1, 3).Draw(t, "policies") {
		b.WriteString(steered.Draw(t, "owner") + "._steer TXT " + txt(drawText(t, "v=steer1")) + "\n")
	}
	text := b.String()
	z := zoneOf(t, text)
	p, problems := steer.Compile(z, steer.Options{
		Rankings: k, Lenient: rapid.Bool().Draw(t, "lenient"),
		With: func([]byte) *zone.Zone { return z },
	})
	failed := slices.ContainsFunc(problems, func(p steer.Problem) bool { return !p.Warning })
	if failed != (p == nil) {
		t.Fatalf("%v, and a Program: %t\n%s", problems, p != nil, text)
	}
	for i := range problems {
		if problems[i].Text == "" || problems[i].Remedy == "" || problems[i].Rule == "" || problems[i].At < 0 {
			t.Fatalf("%+v lacks something\n%s", problems[i], text)
		}
	}
	if p == nil {
		return 0
	}
	c := &cluster{z, p, steer.NewChooser(), steer.Moment{Bound: &steer.Bound{Program: p}}}
	for range 3 {
		for _, r := range p.Rules() {
			c.wellFormed(t, r, text)
		}
		c.judge(func(netip.Addr, string) health.State { return health.State(rapid.IntRange(0, 2).Draw(t, "verdict")) })
		c.drain(func(string, bool) bool { return chance(t, 3) })
		b := *c.moment.Bound
		b.Active = []uint8{rapid.Byte().Draw(t, "active")}
		c.moment.Bound = &b
	}
	return len(p.Rules())
}

// wellFormed chooses by a rule in every way.
func (c *cluster) wellFormed(t *rapid.T, r *steer.Rule, text string) {
	n, ok := c.zone.Find(append(slices.Clone(r.Owner), c.zone.Apex()...))
	if !ok {
		t.Fatalf("a policy without an owner\n%s", text)
	}
	a := drawClient(t)
	for _, typ := range []wire.Type{wire.TypeA, wire.TypeAAAA, wire.TypeMX, wire.TypeSRV, wire.TypeCNAME} {
		if c.program.Find(c.zone.Hash(r.Owner), r.Owner, typ) != r {
			continue
		}
		s, ok := n.Set(typ)
		if !ok {
			t.Fatalf("a policy for the type %d, of which there is nothing\n%s", typ, text)
		}
		c.ask(a, rapid.Uint64().Draw(t, "draw"))
		var trace *steer.Trace
		if rapid.Bool().Draw(t, "traced") {
			trace = &steer.Trace{}
		}
		var res steer.Result
		switch typ {
		case wire.TypeA:
			res = c.chooser.Address(&c.moment, r, steer.V4, trace)
		case wire.TypeAAAA:
			res = c.chooser.Address(&c.moment, r, steer.V6, trace)
		case wire.TypeCNAME:
			_, alias := c.chooser.Alias(&c.moment, r, trace)
			res = alias
		default:
			res = c.chooser.Thin(&c.moment, r, s.Records, trace)
		}
		count := s.Count()
		bad := res.First < 0 || res.First >= count || int(res.Scope) > a.BitLen() || typ != wire.TypeCNAME && res.Stage < steer.LastResort && res.Pick != nil && len(res.Pick) == 0
		for i, x := range res.Pick {
			bad = bad || int(x) >= count || slices.Contains(res.Pick[:i], x)
		}
		if bad {
			t.Fatalf("%+v of %d records of type %d for %v\n%s", res, count, typ, a, text)
		}
	}
}
