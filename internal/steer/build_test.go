package steer_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"geodns/internal/geo"
	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

const top = "$ORIGIN example.\n$TTL 300\n@ SOA ns1 hostmaster 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.53\n"

// zoneOf compiles the text of a master file, for the origin example.
func zoneOf(t fataler, text string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	fail := func(f zonefile.Finding) {
		if f.Severity == zonefile.Error {
			t.Fatalf("%s\n%s", f, text)
		}
	}
	_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "zone"}, func(rr *wire.RR, _ zonefile.Pos) error {
		if p := b.Add(rr); p != nil && !p.Warning {
			return p
		}
		return nil
	}, fail)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	return z
}

// tableOf reads own networks.
func tableOf(t fataler, dir, csv string) *geo.Table {
	t.Helper()
	file := filepath.Join(dir, "networks.csv")
	if err := os.WriteFile(file, []byte(csv), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	table, err := geo.Load(geo.Options{Networks: file})
	if err != nil {
		t.Fatalf("%v\n%s", err, csv)
	}
	return table
}

func rankings(table *geo.Table) *steer.Rankings {
	return steer.NewRankings(func() *geo.Table { return table })
}

// noWorld ranks by no geography.
func noWorld(t fataler) *steer.Rankings {
	t.Helper()
	table, err := geo.Load(geo.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return rankings(table)
}

// cluster is a zone with its steering, and what is asked of it.
type cluster struct {
	zone    *zone.Zone
	program *steer.Program
	chooser *steer.Chooser
	moment  steer.Moment
}

// serve compiles a zone that has to compile.
func serve(t fataler, text string, k *steer.Rankings) *cluster {
	t.Helper()
	z := zoneOf(t, text)
	p, problems := steer.Compile(z, steer.Options{Rankings: k})
	if p == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	return &cluster{z, p, steer.NewChooser(), steer.Moment{Bound: &steer.Bound{Program: p}}}
}

// relative is a name below the apex as the zone has it; "" is the apex.
func relative(name string) (out []byte) {
	if name == "" {
		return nil
	}
	for label := range strings.SplitSeq(name, ".") {
		out = append(append(out, byte(len(label))), label...)
	}
	return out
}

func (c *cluster) rule(t fataler, name string, typ wire.Type) *steer.Rule {
	t.Helper()
	r := c.program.Find(c.zone.Hash(relative(name)), relative(name), typ)
	if r == nil {
		t.Fatalf("%s has no policy for the type %d", name, typ)
	}
	return r
}

// records are the packed records of a name.
func (c *cluster) records(t fataler, name string, typ wire.Type) []byte {
	t.Helper()
	n, ok := c.zone.Find(append(relative(name), c.zone.Apex()...))
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	s, _ := n.Set(typ)
	return s.Records
}

// data lists packed records.
func data(records []byte) (out [][]byte) {
	for {
		d, rest, ok := wire.NextRecord(records)
		if !ok {
			return out
		}
		out, records = append(out, d), rest
	}
}

func (c *cluster) addrs(t fataler, name string, f steer.Family) (out []netip.Addr) {
	t.Helper()
	for _, d := range data(c.records(t, name, typeOf(f))) {
		a, _ := netip.AddrFromSlice(d)
		out = append(out, a)
	}
	return out
}

func typeOf(f steer.Family) wire.Type {
	if f == steer.V6 {
		return wire.TypeAAAA
	}
	return wire.TypeA
}

// judge gives each target its own slot and a verdict.
func (c *cluster) judge(verdict func(a netip.Addr, check string) health.State) {
	states := make([]health.State, len(c.program.Targets)+1)
	b := *c.moment.Bound
	b.Slots = make([]uint32, len(c.program.Targets))
	for i, target := range c.program.Targets {
		// In another order than the program's, so that mixing them up shows.
		slot := len(states) - 1 - i
		b.Slots[i], states[slot] = uint32(slot), verdict(target.Addr, c.program.Checks[target.Check].Name)
	}
	c.moment.Bound, c.moment.Verdicts = &b, health.NewVerdicts(states, nil)
}

// down makes some addresses be down, all others up.
func (c *cluster) down(addrs ...string) {
	c.judge(func(a netip.Addr, _ string) health.State {
		for _, d := range addrs {
			if a.String() == d {
				return health.Down
			}
		}
		return health.Up
	})
}

// drain drains sites and nodes by command.
func (c *cluster) drain(drained func(name string, node bool) bool) {
	b := *c.moment.Bound
	p := c.program
	b.Drained = make([]uint64, (len(p.Nodes)+len(p.Sites)+63)/64)
	set := func(unit uint32) { b.Drained[unit/64] |= 1 << (unit % 64) }
	for i, n := range p.Nodes {
		if drained(n.Name, true) {
			set(p.NodeUnit(i))
		}
	}
	for i, s := range p.Sites {
		if drained(s.Name, false) {
			set(p.SiteUnit(i))
		}
	}
	c.moment.Bound = &b
}

// clientOf is an address as those who choose have it.
func clientOf(a netip.Addr) steer.Client {
	if a.Is4() {
		b := a.As4()
		return steer.Client{V4: true, Lo: uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])}
	}
	b := a.As16()
	c := steer.Client{}
	for i := range 8 {
		c.Hi, c.Lo = c.Hi<<8|uint64(b[i]), c.Lo<<8|uint64(b[8+i])
	}
	return c
}

// picked are the chosen addresses, in the order of the answer.
func picked(addrs []netip.Addr, res steer.Result) (out []netip.Addr) {
	if res.Stage >= steer.LastResort {
		return nil
	}
	if res.Pick == nil {
		return append(append(out, addrs[res.First:]...), addrs[:res.First]...)
	}
	for _, i := range res.Pick {
		out = append(out, addrs[i])
	}
	return out
}

// pool is the text of a name with n addresses, from 192.0.2.1 on.
func pool(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s A 192.0.2.%d\n", name, i+1)
	}
	return b.String()
}
