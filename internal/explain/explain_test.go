package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"geodns/internal/geo"
	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

var update = flag.Bool("update", false, "write the golden files anew")

// networks is the geography of the tests.
func networks(t *testing.T) *geo.Table {
	t.Helper()
	data, err := os.ReadFile("testdata/networks.csv")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// The file's time is shown.
	if err := os.Chtimes(file, time.Time{}, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	table, err := geo.Load(geo.Options{Networks: file})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// cluster serves testdata/cluster.example.zone. What is down are addresses, all
// others that are checked are up, unless nothing is known at all; the drained
// are sites, by command.
func cluster(t *testing.T, table *geo.Table, s situation) *world.World {
	t.Helper()
	text, err := os.ReadFile("testdata/cluster.example.zone")
	if err != nil {
		t.Fatal(err)
	}
	b := zone.NewBuilder()
	_, err = zonefile.Parse(bytes.NewReader(text), zonefile.Options{File: "zone"}, func(rr *wire.RR, _ zonefile.Pos) error {
		if p := b.Add(rr); p != nil && !p.Warning {
			return p
		}
		return nil
	}, func(f zonefile.Finding) {
		if f.Severity == zonefile.Error {
			t.Error(f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	z, _ := b.Finish()
	p, problems := steer.Compile(z, steer.Options{Rankings: steer.NewRankings(func() *geo.Table { return table })})
	if p == nil {
		for i := range problems {
			t.Error(&problems[i])
		}
		t.FailNow()
	}
	served := world.Serve(z, p)
	w := world.New()
	if s.probed {
		s.judge(w, served.Steering)
	}
	for i, site := range p.Sites {
		if slices.Contains(s.drained, site.Name) {
			served.Steering.Drained = make([]uint64, 8)
			served.Steering.Drained[p.SiteUnit(i)/64] |= 1 << (p.SiteUnit(i) % 64)
		}
	}
	w.Zones = w.Zones.With(world.Change{Put: []*world.Served{served, world.Vacant([]byte("\x06broken\x07example\x00"))}})
	return w
}

// situation is how the nodes are.
type situation struct {
	probed  bool
	down    []string // addresses
	drained []string // sites
}

func (s *situation) judge(w *world.World, b *steer.Bound) {
	states := make([]health.State, len(b.Targets))
	b.Slots = make([]uint32, len(b.Targets))
	for i, target := range b.Targets {
		b.Slots[i], states[i] = uint32(i), health.Up
		if slices.Contains(s.down, target.Addr.String()) {
			states[i] = health.Down
		}
	}
	w.Verdicts = health.NewVerdicts(states, nil)
}

// ask explains a question: name, type, client and perhaps a client subnet.
func ask(t *testing.T, w *world.World, table *geo.Table, question string) *Report {
	t.Helper()
	f := append(strings.Fields(question), "", "")
	asked, err := Parse(f[0], f[1], f[2], f[3])
	if err != nil {
		t.Fatal(err)
	}
	r, err := Explain(w, func() *geo.Table { return table }, &asked, 0x0123456789abcdef)
	if err != nil {
		t.Fatal(err)
	}
	r.Source = "server"
	return r
}

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// What people see, in all kinds of situations.
func TestText(t *testing.T) {
	table := networks(t)
	up := situation{probed: true}
	tests := []struct {
		name, question string
		situation      situation
	}{
		{"nearest-floor", "www.cluster.example A 203.0.113.7", situation{probed: true, down: []string{"198.51.100.10"}}},
		{"nearest-subnet", "www.cluster.example A 192.0.2.1 100.64.3.0/24", up},
		{"nearest-wide-subnet", "www.cluster.example A 192.0.2.1 100.0.0.0/8", up},
		{"nearest-other-family", "www.cluster.example A 203.0.113.7", situation{probed: true, down: []string{"2001:db8:2::10"}}},
		{"nearest-below-floors", "www.cluster.example A 203.0.113.7", situation{probed: true, down: []string{"198.51.100.10", "192.0.2.11"}}},
		{"nearest-all-down", "www.cluster.example A 203.0.113.7", situation{probed: true, down: []string{"198.51.100.10", "198.51.100.11", "192.0.2.10", "192.0.2.11"}}},
		{"nearest-drained", "www.cluster.example AAAA 203.0.113.7 2001:db8:100::/48", situation{drained: []string{"nyc"}}},
		{"unknown-place", "www.cluster.example A 192.0.2.1 8.8.8.0/24", up},
		{"default-site", "app.cluster.example A 192.0.2.1", up},
		{"override", "app.cluster.example A 192.0.2.1 100.65.1.0/24", up},
		{"failover", "db.cluster.example A 203.0.113.7", situation{probed: true, down: []string{"192.0.2.20"}}},
		{"failover-drained-all", "db.cluster.example A 203.0.113.7", situation{drained: []string{"lon", "nyc"}}},
		{"weighted", "weighted.cluster.example A 203.0.113.7", up},
		{"sticky", "sticky.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.11"}}},
		{"mail", "cluster.example MX 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.25"}}},
		{"cname", "cdn.cluster.example A 192.0.2.1 203.0.113.0/24", up},
		{"cname-unknown", "cdn.cluster.example CNAME 192.0.2.1 0.0.0.0/0", up},
		{"last-resort", "last.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.30"}}},
		{"empty-none", "none.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.31"}}},
		{"hints", "one.cluster.example HTTPS 192.0.2.1 203.0.113.0/24", up},
		{"alias", "alias.cluster.example A 203.0.113.7", up},
		{"alias-alone", "alias.cluster.example A 192.0.2.1 203.0.113.0/24", up},
		{"any", "www.cluster.example ANY 203.0.113.7", up},
		{"plain", "plain.cluster.example TXT 203.0.113.7 203.0.113.0/24", up},
		{"no-data", "plain.cluster.example A 203.0.113.7", up},
		{"ent", "ent.cluster.example A 203.0.113.7", up},
		{"wildcard", "a.b.wild.cluster.example A 203.0.113.7", up},
		{"referral", "a.sub.cluster.example A 203.0.113.7", up},
		{"nxdomain", "no.plain.cluster.example A 203.0.113.7", up},
		{"hidden", "lon._site.cluster.example TXT 203.0.113.7", up},
		{"not-ours", "example.org A 203.0.113.7", up},
		{"not-ready", "www.broken.example A 203.0.113.7", up},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := ask(t, cluster(t, table, tt.situation), table, tt.question).Text(&out, false); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".txt", out.String())
		})
	}
}

// What programs read. Keys are only ever added.
func TestJSON(t *testing.T) {
	table := networks(t)
	w := cluster(t, table, situation{probed: true, down: []string{"198.51.100.10", "192.0.2.25"}})
	for name, question := range map[string]string{
		"nearest.json": "www.cluster.example A 203.0.113.7 203.0.113.0/24",
		"mail.json":    "cluster.example MX 203.0.113.7",
		"nothing.json": "example.org A 203.0.113.7",
	} {
		text, err := json.MarshalIndent(ask(t, w, table, question), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(text)+"\n")
		if bytes.Contains(text, []byte(": null")) && name != "nothing.json" && !bytes.Contains(text, []byte(`"floor": null`)) {
			t.Errorf("%s: a list is null", name)
		}
	}
}

// On a terminal there is colour, and nothing else differs.
func TestColour(t *testing.T) {
	table := networks(t)
	r := ask(t, cluster(t, table, situation{}), table, "www.cluster.example A 203.0.113.7")
	r.Answer.Answer[0].Data = "\x1b]0;evil\x07"
	var plain, coloured strings.Builder
	if err := r.Text(&plain, false); err != nil {
		t.Fatal(err)
	}
	if err := r.Text(&coloured, true); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(plain.String(), "\x1b\x07") || !strings.Contains(plain.String(), "?]0;evil?") {
		t.Errorf("control characters come through:\n%q", plain.String())
	}
	if !strings.Contains(coloured.String(), "\x1b[1mwww.cluster.example.") {
		t.Errorf("no colour:\n%q", coloured.String())
	}
	bare := coloured.String()
	for _, style := range []string{bold, dim, red, green, yellow} {
		bare = strings.ReplaceAll(bare, "\x1b["+style+"m", "")
	}
	if d := cmp.Diff(plain.String(), strings.ReplaceAll(bare, "\x1b[0m", "")); d != "" {
		t.Errorf("colour changes the text:\n%s", d)
	}
}

func TestParse(t *testing.T) {
	bad := []struct{ name, typ, client, ecs, want string }{
		{"a..b", "A", "192.0.2.1", "", "no domain name"},
		{"a b", "A", "192.0.2.1", "", "no domain name"},
		{strings.Repeat("a.", 128), "A", "192.0.2.1", "", "no domain name"},
		{"a", "NOTHING", "192.0.2.1", "", "no record type"},
		{"a", "AXFR", "192.0.2.1", "", "transfer"},
		{"a", "OPT", "192.0.2.1", "", "no type that can be asked for"},
		{"a", "A", "", "", "say --client"},
		{"a", "A", "192.0.2.0/24", "", "no address"},
		{"a", "A", "fe80::1%eth0", "", "no address"},
		{"a", "A", "192.0.2.1", "192.0.2.0/33", "no prefix"},
		{"a", "A", "192.0.2.1", "here", "no prefix"},
	}
	for _, tt := range bad {
		if _, err := Parse(tt.name, tt.typ, tt.client, tt.ecs); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %s", tt, err, tt.want)
		}
	}
	good := []struct{ client, ecs, wantClient, wantECS string }{
		{"192.0.2.1", "192.0.2.77/24", "192.0.2.1", "192.0.2.0/24"},
		{"::ffff:192.0.2.1", "192.0.2.77", "192.0.2.1", "192.0.2.77/32"},
		{"2001:DB8::1", "2001:db8:1:2:3::/56", "2001:db8::1", "2001:db8:1::/56"},
		{"192.0.2.1", "0.0.0.0/0", "192.0.2.1", "0.0.0.0/0"},
	}
	for _, tt := range good {
		a, err := Parse("A.Example", "a", tt.client, tt.ecs)
		if err != nil || a.Client != netip.MustParseAddr(tt.wantClient) || a.ECS.String() != tt.wantECS || wire.NameString(a.Name) != "A.Example." {
			t.Errorf("%v: %+v, %v", tt, a, err)
		}
	}
	for text, want := range map[string]uint64{"0x0123456789abcdef": 0x0123456789abcdef, "7": 7, "0xffffffffffffffff": 1<<64 - 1} {
		if n, err := ParseDraw(text); err != nil || n != want {
			t.Errorf("draw %s: %x, %v", text, n, err)
		}
	}
	if _, err := ParseDraw("1<<64"); err == nil {
		t.Error("a draw that is none")
	}
}
