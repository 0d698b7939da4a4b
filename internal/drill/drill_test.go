package drill

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/geo"
	"geodns/internal/geo/place"
	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// cluster is the zone of the tests: London and New York, and records of no site.
const cluster = `$ORIGIN c.example.
$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
@ MX 10 mx1
@ MX 10 mx2
mx1 A 192.0.2.25
mx2 A 198.51.100.25
www 60 A 192.0.2.10
www 60 A 192.0.2.11
www 60 A 198.51.100.10
www 60 AAAA 2001:db8:1::10
www 60 AAAA 2001:db8:2::10
pool A 192.0.2.20
pool A 198.51.100.20
pool A 203.0.113.20
solo A 192.0.2.30
none A 192.0.2.31
last A 192.0.2.32
db A 192.0.2.40
db A 198.51.100.40
manual A 192.0.2.41
manual A 198.51.100.41
vip A 198.51.100.50
vip A 192.0.2.50
blind A 192.0.2.60
blind A 198.51.100.60
two A 192.0.2.70
two A 198.51.100.70
far A 198.51.100.80
cdn CNAME world.cdn.example.
alias CNAME www
lon._site TXT "v=site1; net=192.0.2.0/24; net=2001:db8:1::/48; at=51.51,-0.13; capacity=100"
nyc._site TXT "v=site1; net=198.51.100.0/24; net=2001:db8:2::/48; at=40.71,-74.01; capacity=10"
vip._node TXT "v=node1; addr=198.51.100.50; probe=10.0.0.1; probe=10.0.0.2; probe=192.0.2.99; need=2; site=nyc"
vip2._node TXT "v=node1; addr=192.0.2.50; probe=10.0.0.9; site=lon"
web._check TXT "v=check1; type=http; port=80; every=5s; timeout=2s; fall=3; rise=2"
slow._check TXT "v=check1; type=tcp; port=81; every=20s; timeout=5s; fall=3; rise=2"
www._steer TXT "v=steer1; policy=nearest; check=web; ttl=5-120"
_steer TXT "v=steer1; type=MX; check=slow"
pool._steer TXT "v=steer1; check=web"
solo._steer TXT "v=steer1; check=web"
none._steer TXT "v=steer1; check=web; empty=none"
last._steer TXT "v=steer1; check=web; empty=203.0.113.99"
db._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web"
manual._steer TXT "v=steer1; policy=failover; order=lon,nyc; failback=manual; check=web"
vip._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web"
blind._steer TXT "v=steer1; policy=nearest"
two._steer TXT "v=steer1; check=web,slow"
far._steer TXT "v=steer1; check=web"
cdn._steer TXT "v=steer1; policy=nearest; cname=lon:eu.cdn.example.; cname=nyc:us.cdn.example."
`

// networks is where the clients of the tests are.
const networks = `prefix,country,subdivision,city,lat,lon,asn
203.0.113.0/24,GB,,London,51.51,-0.13,
100.64.0.0/16,US,NY,New York,40.71,-74.01,
100.65.0.0/17,US,CA,Los Angeles,34.05,-118.24,
`

func geography(t *testing.T) *place.Table {
	t.Helper()
	file := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(file, []byte(networks), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := geo.Load(geo.Options{Networks: file})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// serve compiles zones; what is checked is up, but for some addresses.
func serve(t *testing.T, table *place.Table, zones []string, down ...string) *world.World {
	t.Helper()
	w := world.New()
	var states []health.State
	for _, text := range zones {
		b := zone.NewBuilder()
		_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "zone"}, func(rr *wire.RR, _ zonefile.Pos) error {
			if p := b.Add(rr); p != nil && !p.Warning {
				return p
			}
			return nil
		}, func(f zonefile.Finding) { t.Error(f) })
		if err != nil {
			t.Fatal(err)
		}
		z, _ := b.Finish()
		p, problems := steer.Compile(z, steer.Options{Rankings: steer.NewRankings(func() *place.Table { return table })})
		for i := range problems {
			if !problems[i].Warning {
				t.Fatal(&problems[i])
			}
		}
		s := world.Serve(z, p)
		if p != nil {
			for _, x := range p.Targets {
				s.Steering.Slots = append(s.Steering.Slots, uint32(len(states)))
				state := health.Up
				if slices.Contains(down, x.Addr.String()) {
					state = health.Down
				}
				states = append(states, state)
			}
		}
		w.Zones = w.Zones.With(world.Change{Put: []*world.Served{s}})
	}
	w.Verdicts = health.NewVerdicts(states, nil)
	return w
}

// always permits all probes but that of one address.
func always(a netip.Addr, _ bool) bool { return a == netip.MustParseAddr("192.0.2.254") }

func options(t *testing.T, w *world.World, table *place.Table) *Options {
	t.Helper()
	site, err := NewSite("LON", "")
	if err != nil {
		t.Fatal(err)
	}
	return &Options{Whence: Whence{World: w, Refused: always, Now: time.Unix(1_800_000_000, 0)}, Site: site, Table: table}
}

// line is a name of a plan in a few words.
func line(n *Name) string {
	text := fmt.Sprintf("%s %s %d/%d>%d/%d", strings.TrimSuffix(n.Name, ".c.example."), n.Type, n.Before.Live, n.Before.All, n.After.Live, n.After.All)
	if n.Lost {
		text += " LOST"
	}
	if n.Then != "" {
		then, _, _ := strings.Cut(n.Then, ":")
		text += " " + then
	}
	if n.Unnoticed > 0 {
		text += fmt.Sprintf(" unnoticed %d of %d", n.Unnoticed, n.At)
	}
	if n.Converge.Total > 0 {
		text += fmt.Sprintf(" %gs+%d", n.Converge.Server, n.Converge.TTL)
	}
	for i := range n.Moves {
		if m := &n.Moves[i]; m.Moved {
			if len(m.From.Sites) > 1 || len(m.To.Sites) > 1 {
				text += fmt.Sprintf(" [%v %d sites>%d]", m.Countries, len(m.From.Sites), len(m.To.Sites))
				continue
			}
			text += fmt.Sprintf(" [%v %s>%s]", m.Countries, &m.From, &m.To)
		}
	}
	return text
}

func TestPlan(t *testing.T) {
	table := geography(t)
	w := serve(t, table, []string{cluster})
	p, err := Make(options(t, w, table))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range p.Names {
		got = append(got, line(&p.Names[i]))
	}
	want := []string{
		"last A 1/1>0/1 LOST the last resort of empty= is answered 17.1s+300 [[US GB ] lon>the last resort]",
		"none A 1/1>0/1 LOST empty=none 17.1s+300 [[US GB ] lon>no data]",
		"solo A 1/1>0/1 LOST empty=all 17.1s+300 [[US GB ] lon>lon (as-if-live)]",
		"blind A 2/2>2/2 unnoticed 1 of 1",
		"cdn CNAME 2/2>2/2 unnoticed 1 of 1",
		"c.example. MX 2/2>1/2 65.1s+300",
		"db A 2/2>1/2 17.1s+300 [[US GB ] lon>nyc]",
		"manual A 2/2>1/2 17.1s+300 [[US GB ] lon>nyc]",
		"pool A 3/3>2/3 17.1s+300 [[US GB ] 3 sites>2]",
		"two A 2/2>1/2 17.1s+300 [[US GB ] 2 sites>1]",
		"vip A 2/2>1/2 17.1s+300 [[US GB ] lon>nyc]",
		"www A 3/3>1/3 17.1s+120 [[GB] lon>nyc] [[] 2 sites>1]",
		"www AAAA 2/2>1/2 17.1s+120 [[GB] lon>nyc] [[] 2 sites>1]",
	}
	compare(t, got, want)
	if p.Lost != 3 || p.Unnoticed != 2 || p.Unaffected != 1 || p.NamesAll != len(want) || p.Targets == 0 {
		t.Errorf("counted: %d lost, %d unnoticed, %d unaffected, %d names, %d targets", p.Lost, p.Unnoticed, p.Unaffected, p.NamesAll, p.Targets)
	}
	if p.Worst.Name != "c.example. MX" || p.Worst.Total != 365.1 {
		t.Errorf("worst: %+v", p.Worst)
	}
	if !slices.Equal(p.Nets, []string{"192.0.2.0/24", "2001:db8:1::/48"}) || !slices.Equal(p.Zones, []string{"c.example."}) {
		t.Errorf("%v %v", p.Nets, p.Zones)
	}
}

// compare compares line by line.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d\n got %s\nwant %s", i, g, w)
		}
	}
}

// What is as it is before the loss, and what is not to be lost.
func TestPlanSituations(t *testing.T) {
	table := geography(t)
	const head = "$ORIGIN c.example.\n$TTL 60\n@ SOA ns1 hostmaster 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n" +
		"lon._site TXT \"v=site1; net=192.0.2.0/24; at=51.51,-0.13\"\nnyc._site TXT \"v=site1; net=198.51.100.0/24; at=40.71,-74.01\"\n" +
		"web._check TXT \"v=check1; type=http; port=80; every=1s; timeout=1s; fall=2\"\nwww A 192.0.2.10\nwww A 198.51.100.10\n"
	tests := []struct {
		name, policy string
		down         []string
		active       uint8
		drained      bool
		files        bool
		want         string
	}{
		{"all is well", "policy=nearest; check=web", nil, 0, false, false, "www A 2/2>1/2 3.1s+60 [[GB] lon>nyc] [[] 2 sites>1]"},
		{
			"the other one is down", "policy=nearest; check=web",
			[]string{"198.51.100.10"},
			0, false, false,
			"www A 1/2>0/2 LOST empty=all 3.1s+60 [[US] lon>nyc (as-if-live)] [[GB] lon>lon (as-if-live)] [[] 1 sites>2]",
		},
		{"it is down already", "policy=failover; order=lon,nyc; check=web", []string{"192.0.2.10"}, 2, false, false, "www A 1/2>1/2 3.1s+60"},
		{"fallback stays", "policy=failover; order=lon,nyc; failback=manual; check=web", nil, 2, false, false, "www A 2/2>1/2 3.1s+60"},
		{
			"holds", "policy=failover; order=lon,nyc; check=web",
			[]string{"198.51.100.10"},
			0, false, false,
			"www A 1/2>0/2 LOST empty=hold 3.1s+60 [[US GB ] lon>lon (as-if-live)]",
		},
		{"drained already", "policy=nearest; check=web", nil, 0, true, false, "www A 1/2>1/2 3.1s+60"},
		{
			"of files, all count as live", "policy=failover; order=lon,nyc; check=web",
			[]string{"192.0.2.10"},
			0, false, true,
			"www A 2/2>1/2 3.1s+60 [[US GB ] lon>nyc]",
		},
		{"an address that may not be probed", "policy=nearest; check=web", nil, 0, false, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := head + "www._steer TXT \"v=steer1; " + tt.policy + "\"\n"
			want := tt.want
			if want == "" {
				text = strings.ReplaceAll(text, "192.0.2.10", "192.0.2.254")
				want = "www A 2/2>2/2 unnoticed 1 of 1"
			}
			w := serve(t, table, []string{text}, tt.down...)
			s := w.Zones.Get([]byte("\x01c\x07example\x00"))
			if tt.active > 0 {
				s = s.With(func(b *steer.Bound) { b.Active = []uint8{tt.active} })
			}
			if tt.drained {
				s = s.WithDrains(s.Steering.DrainedUnits(func(_, name string) bool { return name == "lon" }), nil)
			}
			if tt.files {
				s.Steering.Slots = nil
			}
			w.Zones = w.Zones.With(world.Change{Put: []*world.Served{s}})
			p, err := Make(options(t, w, table))
			if err != nil || len(p.Names) != 1 {
				t.Fatalf("%v: %+v", err, p)
			}
			if got := line(&p.Names[0]); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// Sites of one name in several zones, and sites that there are not.
func TestPlanSites(t *testing.T) {
	other := strings.NewReplacer("c.example.", "d.example.", "192.0.2.", "203.0.113.").Replace(cluster)
	w := serve(t, geography(t), []string{cluster, other})
	o := options(t, w, nil)
	p, err := Make(o)
	if err != nil || !slices.Equal(p.Zones, []string{"c.example.", "d.example."}) || p.NamesAll != 26 {
		t.Fatalf("%v: %v, %d names", err, p.Zones, p.NamesAll)
	}
	o.Site.Zone = "d.example."
	o.Names = []string{"Far.D.example", "far.c.example."}
	if p, err = Make(o); err != nil || !slices.Equal(p.Zones, []string{"d.example."}) || p.NamesAll != 15 || p.Unaffected != 13 {
		t.Fatalf("%v: %v, %d names, %d unaffected", err, p.Zones, p.NamesAll, p.Unaffected)
	}
	for _, tt := range []struct{ site, zone, name, want string }{
		{"lno", "", "", `there is no site "lno" that a policy uses; there are lon (c.example.), lon (d.example.), nyc (c.example.), nyc (d.example.)`},
		{"lon", "e.example", "", `the zone e.example. has no site "lon" that a policy uses; c.example., d.example. has it`},
		{"lon", "", "a..b", `"a..b" is no domain name`},
	} {
		o := options(t, w, nil)
		if o.Site, err = NewSite(tt.site, tt.zone); err != nil {
			t.Fatal(err)
		}
		if tt.name != "" {
			o.Names = []string{tt.name}
		}
		if _, err := Make(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v, want %s", tt.site, tt.zone, err, tt.want)
		}
	}
	if _, err := NewSite("", ""); err == nil {
		t.Error("no site was named, and that was no error")
	}
	if _, err := Make(&Options{Whence: Whence{World: world.New(), Refused: always}, Site: Site{Name: "lon"}}); err == nil || !strings.Contains(err.Error(), "no zone that is served has policies with sites") {
		t.Errorf("nothing is served: %v", err)
	}
}

// The clients of a log, through aliases; loads against capacities.
func TestPlanLog(t *testing.T) {
	table := geography(t)
	w := serve(t, table, []string{cluster})
	var text strings.Builder
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for i := range 101 {
		client, name := "203.0.113.7", "www.c.example"
		switch i % 4 {
		case 1:
			client, name = "100.64.0.9", "alias.c.example"
		case 2:
			client, name = "100.65.0.9", "far.c.example"
		case 3:
			name = "ns1.c.example"
		}
		fmt.Fprintf(&text, "%s %s %s A\n", at.Add(time.Duration(i)*10*time.Millisecond).Format(time.RFC3339Nano), client, name)
	}
	o := options(t, w, table)
	var err error
	if o.Log, err = ReadLog(strings.NewReader(text.String()), "log"); err != nil {
		t.Fatal(err)
	}
	p, err := Make(o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Log.Questions != 101 || p.Log.Steered != 76 || p.RateOf != "of the log" || p.PerSecond < 75 || p.PerSecond > 77 {
		t.Errorf("%+v, %g a second %s", p.Log, p.PerSecond, p.RateOf)
	}
	for i := range p.Names {
		n := &p.Names[i]
		if n.Name != "www.c.example." || n.Type != "A" {
			if len(n.Moves) > 0 {
				t.Errorf("%s %s was not asked for: %+v", n.Name, n.Type, n.Moves)
			}
			continue
		}
		if len(n.Moves) != 2 || n.Moves[0].Questions != 26 || !n.Moves[0].Moved || n.Moves[0].Countries[0] != "GB" || n.Moves[1].Moved || n.Moves[1].Questions != 25 {
			t.Errorf("%+v", n.Moves)
		}
	}
	want := map[string]Load{
		"nyc": {Before: 100 * 50. / 76, After: 100, Capacity: 10, Over: true},
		"lon": {Before: 100 * 26. / 76, Capacity: 100, Lost: true},
	}
	for _, l := range p.Sites {
		x := want[l.Site]
		if fmt.Sprintf("%.3f %.3f", l.Before, l.After) != fmt.Sprintf("%.3f %.3f", x.Before, x.After) || l.Capacity != x.Capacity || l.Over != x.Over || l.Lost != x.Lost {
			t.Errorf("%+v, want %+v", l, x)
		}
	}
	if len(p.Sites) != 2 {
		t.Errorf("%d sites", len(p.Sites))
	}
}

// Of very many names only some are listed, and all count.
func TestPlanMany(t *testing.T) {
	table := geography(t)
	var zone, log strings.Builder
	zone.WriteString("$ORIGIN c.example.\n$TTL 60\n@ SOA ns1 hostmaster 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n" +
		"lon._site TXT \"v=site1; net=192.0.2.0/24; at=51.51,-0.13\"\nnyc._site TXT \"v=site1; net=198.51.100.0/24; at=40.71,-74.01\"\n" +
		"web._check TXT \"v=check1; type=http; port=80\"\n")
	for i := range MaxNames + 100 {
		fmt.Fprintf(&zone, "n%d A 192.0.2.10\nn%d A 198.51.100.10\nn%d._steer TXT \"v=steer1; policy=nearest; check=web\"\n", i, i, i)
		fmt.Fprintf(&log, "203.0.113.7 n%d.c.example A\n", i)
	}
	o := options(t, serve(t, table, []string{zone.String()}), table)
	for range 2 {
		p, err := Make(o)
		if err != nil || len(p.Names) != MaxNames || p.NamesAll != MaxNames+100 || len(p.Sites) != 2 {
			t.Fatalf("%v: %d names of %d, %d sites", err, len(p.Names), p.NamesAll, len(p.Sites))
		}
		if sum := p.Sites[0].After + p.Sites[1].After; p.Sites[0].Site != "nyc" || sum < 99.9 || sum > 100.1 {
			t.Errorf("%+v", p.Sites)
		}
		if o.Log, err = ReadLog(strings.NewReader(log.String()), "log"); err != nil {
			t.Fatal(err)
		}
	}
}

// Without a log each country counts by its addresses, and weights are a whole.
func TestClients(t *testing.T) {
	table := geography(t)
	sum := 0.0
	var got []string
	for _, c := range worldClients(table) {
		sum += c.Weight
		n, _ := table.Find(netip.MustParsePrefix(c.Prefix).Addr())
		if at := table.Place(n); at.Country != c.Country || at.City != c.City {
			t.Errorf("%s is at %+v, not at %+v", c.Prefix, at, c)
		}
		got = append(got, fmt.Sprintf("%s %s %.3f", c.Country, c.City, c.Weight))
	}
	want := []string{"GB London 0.003", "US New York 0.665", "US Los Angeles 0.332", "  0.000"}
	if sum < .999 || sum > 1.001 || !slices.Equal(got, want) {
		t.Errorf("%.3f in all: %q, want %q", sum, got, want)
	}
}
