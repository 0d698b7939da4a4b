package steer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
)

// counted is a zone in which every kind of rule has something at two sites.
const counted = `www A 192.0.2.1
www A 192.0.2.2
www A 198.51.100.1
www A 203.0.113.1
www AAAA 2001:db8:1::1
order A 192.0.2.1
order A 198.51.100.1
order A 203.0.113.1
@ MX 10 mx1
@ MX 20 mx2
@ MX 30 mx.elsewhere.net.
mx1 A 192.0.2.25
mx2 A 198.51.100.25
alias CNAME x.elsewhere.net.
lon._site TXT "v=site1; net=192.0.2.0/24; net=2001:db8:1::/48; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01; drain=yes"
n1._node TXT "v=node1; addr=192.0.2.1"
web._check TXT "v=check1; type=tcp; port=80"
www._steer TXT "v=steer1; check=web"
order._steer TXT "v=steer1; policy=failover; order=lon,nyc; empty=none; check=web"
_steer TXT "v=steer1; type=MX; check=web"
alias._steer TXT "v=steer1; policy=nearest; cname=lon:l.elsewhere.net.; cname=nyc:n.elsewhere.net."
`

// bound compiles a zone, with the verdicts that its addresses are down.
func bound(t *testing.T, text string, down ...string) (*steer.Bound, *health.Verdicts) {
	t.Helper()
	p, problems := steer.Compile(zoneOf(t, top+text), steer.Options{Rankings: noWorld(t)})
	if p == nil {
		t.Fatal(problems)
	}
	b := &steer.Bound{Program: p}
	var states []health.State
	for i, target := range p.Targets {
		b.Slots = append(b.Slots, uint32(i))
		state := health.Up
		if slices.Contains(down, target.Addr.String()) {
			state = health.Down
		}
		states = append(states, state)
	}
	return b, health.NewVerdicts(states, nil)
}

func ownerOf(r *steer.Rule) string {
	return strings.TrimSuffix(wire.NameString(append(slices.Clone(r.Owner), 0)), ".")
}

func TestCensus(t *testing.T) {
	tests := []struct {
		name, drained string // a site by command
		down          []string
		want          string
	}{
		{"all well", "", nil, `alias CNAME normal 1/1/2 lon 1/0/1 nyc 0/1/1
mx MX normal 2/1/3
order A normal 1/1/2 lon 1/0/1 nyc 0/1/1
www A normal 3/1/4 lon 2/0/2 nyc 0/1/1
www AAAA normal 1/0/1 lon 1/0/1`},
		{"a node is down", "", []string{"192.0.2.1"}, `alias CNAME normal 1/1/2 lon 1/0/1 nyc 0/1/1
mx MX normal 2/1/3
order A nothing 0/1/2 lon 0/0/1 nyc 0/1/1
www A normal 2/1/4 lon 1/0/2 nyc 0/1/1
www AAAA normal 1/0/1 lon 1/0/1`},
		{"a site is drained, too", "lon", []string{"203.0.113.1"}, `alias CNAME normal 0/2/2 lon 0/1/1 nyc 0/1/1
mx MX normal 1/2/3
order A nothing 0/2/2 lon 0/1/1 nyc 0/1/1
www A as-if-live 0/3/4 lon 0/2/2 nyc 0/1/1
www AAAA as-if-undrained 0/1/1 lon 0/1/1`},
	}
	for _, tt := range tests {
		b, v := bound(t, counted, tt.down...)
		b.Drained = b.DrainedUnits(func(_, name string) bool { return name == tt.drained })
		var got []string
		for _, r := range b.Rules() {
			owner := ownerOf(r)
			if owner == "" {
				owner = "mx"
			}
			for _, c := range b.Census(r, v, steer.NewChooser()) {
				typ := map[wire.Type]string{wire.TypeA: "A", wire.TypeAAAA: "AAAA", wire.TypeMX: "MX", wire.TypeCNAME: "CNAME"}[c.Type]
				line := fmt.Sprintf("%s %s %s %d/%d/%d", owner, typ, c.Stage, c.Live, c.Drained, c.All)
				for _, s := range c.Sites {
					line += fmt.Sprintf(" %s %d/%d/%d", b.SiteName(r, s.Site), s.Live, s.Drained, s.All)
				}
				got = append(got, line)
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, "\n"); text != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, text, tt.want)
		}
	}
}

func TestUnitCount(t *testing.T) {
	b, v := bound(t, counted, "192.0.2.25")
	units := b.UnitCount(v)
	got := map[string]steer.Count{}
	for i := range b.Nodes {
		got[b.Nodes[i].Name] = units[b.NodeUnit(i)]
	}
	for i := range b.Sites {
		got[b.Sites[i].Name] = units[b.SiteUnit(i)]
	}
	want := map[string]steer.Count{"n1": {Live: 2, All: 2}, "lon": {Live: 4, All: 5}, "nyc": {Drained: 3, All: 3}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Each rule counts down to the first change of what it has, and no other rule
// does.
func TestUntil(t *testing.T) {
	b, _ := bound(t, counted+"lone A 203.0.113.7\nlone._steer TXT v=steer1\n")
	at := time.UnixMilli(1_800_000_000_000)
	times := map[string]time.Time{"lon": at.Add(time.Hour), "n1": at.Add(time.Minute), "nyc": at.Add(time.Second)}
	b.Until = b.Program.Until(func(_, name string) time.Time { return times[name] })
	// nyc is drained by the zone itself: no command changes that.
	want := map[string]time.Duration{"www": time.Minute, "order": time.Minute, "": time.Hour, "alias": time.Hour, "lone": 0}
	for _, r := range b.Rules() {
		left := want[ownerOf(r)]
		if got := b.Until[r.Number]; got != 0 && time.UnixMilli(got).Sub(at) != left || got == 0 && left != 0 {
			t.Errorf("%q changes at %d, want after %v", ownerOf(r), got, left)
		}
		for _, clock := range []time.Duration{0, 30*time.Second + time.Millisecond, 2 * time.Hour} {
			most := uint32(300)
			if left != 0 {
				most = uint32(min(300, max(0, (left-clock)/time.Second)))
			}
			if got := b.TTL(r, 300, false, at.Add(clock).UnixMilli()); got != most {
				t.Errorf("%q at %v has a TTL of %d, want %d", ownerOf(r), clock, got, most)
			}
		}
	}
	if list := b.Program.Until(func(_, name string) time.Time { return time.Time{} }); list != nil {
		t.Errorf("nothing turns, and still: %v", list)
	}
}
