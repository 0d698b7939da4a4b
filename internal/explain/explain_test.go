package explain

import (
	"encoding/json"
	"flag"
	"fmt"
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
	return serve(t, string(text), table, s)
}

// serve is cluster for the text of any zone.
func serve(t *testing.T, text string, table *geo.Table, s situation) *world.World {
	t.Helper()
	b := zone.NewBuilder()
	_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "zone"}, func(rr *wire.RR, _ zonefile.Pos) error {
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
	if len(problems) > 0 && p == nil {
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
	for i, site := range sitesOf(p) {
		if slices.Contains(s.drained, site.Name) {
			if served.Steering.Drained == nil {
				served.Steering.Drained = make([]uint64, 8)
			}
			served.Steering.Drained[p.SiteUnit(i)/64] |= 1 << (p.SiteUnit(i) % 64)
		}
	}
	w.Zones = w.Zones.With(world.Change{Put: []*world.Served{served, world.Vacant([]byte("\x06broken\x07example\x00"))}})
	return w
}

func sitesOf(p *steer.Program) []steer.Site {
	if p == nil {
		return nil
	}
	return p.Sites
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
		{"sticky-last", "sticky.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.11", "192.0.2.12"}}},
		{"failover-family", "family.cluster.example AAAA 203.0.113.7 203.0.113.0/24", up},
		{"mail", "cluster.example MX 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.25"}}},
		{"cname", "cdn.cluster.example A 192.0.2.1 203.0.113.0/24", up},
		{"cname-unknown", "cdn.cluster.example CNAME 192.0.2.1 0.0.0.0/0", up},
		{"last-resort", "last.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.30"}}},
		{"empty-none", "none.cluster.example A 203.0.113.7 203.0.113.0/24", situation{probed: true, down: []string{"192.0.2.31"}}},
		{"hints", "one.cluster.example HTTPS 192.0.2.1 203.0.113.0/24", up},
		{"alias", "alias.cluster.example A 203.0.113.7", up},
		{"alias-alone", "alias.cluster.example A 192.0.2.1 203.0.113.0/24", up},
		{"alias-steered-alias", "chain.cluster.example A 203.0.113.7", up},
		{"alias-steered-alone", "chain.cluster.example A 192.0.2.1 203.0.113.0/24", up},
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

// What the manual shows is what is printed.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("testdata/nearest-floor.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manual), string(shown)) {
		t.Errorf("docs/explain.md doesn't show testdata/nearest-floor.txt:\n%s", shown)
	}
}

// The ranking that is told is the one that is gone by, beyond the sites whose
// order is computed beforehand, too.
func TestRankingIsGoneBy(t *testing.T) {
	const sites = 12
	table := networks(t)
	var text strings.Builder
	text.WriteString("$ORIGIN r.example.\n$TTL 60\n@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwww._steer TXT \"v=steer1; policy=nearest\"\n")
	for i := range sites {
		fmt.Fprintf(&text, "www A 198.18.%d.1\ns%d._site TXT \"v=site1; net=198.18.%d.0/24; at=%d,%d\"\n", i, i, i, 11*i-60, (i*101)%360-180)
	}
	for _, client := range []string{"203.0.113.7", "100.64.3.4", "100.65.0.1", "2001:db8:100::1"} {
		question := "www.r.example A " + client
		order := ask(t, serve(t, text.String(), table, situation{}), table, question).Choices[0].Ranking
		if len(order) != sites {
			t.Fatalf("%s: %d sites are ranked, want %d", client, len(order), sites)
		}
		var drained []string
		for i, k := range order {
			c := &ask(t, serve(t, text.String(), table, situation{drained: drained}), table, question).Choices[0]
			if c.Site != k.Site || len(c.Ranking) != sites || i > 0 && *k.Km < *order[i-1].Km {
				t.Fatalf("%s: with %v drained %s answers, want %s, of %v", client, drained, c.Site, k.Site, c.Ranking)
			}
			drained = append(drained, k.Site)
		}
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
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		if at := nullList(v); at != "" {
			t.Errorf("%s: the list %s is null", name, at)
		}
	}
	if nullList(map[string]any{"choices": []any{map[string]any{"steps": nil}}}) != "steps" {
		t.Error("a list that is null is not noticed")
	}
}

// nullList is the key of a list that is null; "": there is none.
func nullList(v any) string {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if at := nullList(x); at != "" {
				return at
			}
		}
	case map[string]any:
		for key, x := range v {
			lists := []string{"path", "types", "choices", "ranking", "steps", "in", "out", "answer", "authority", "additional"}
			if x == nil && slices.Contains(lists, key) {
				return key
			}
			if at := nullList(x); at != "" {
				return at
			}
		}
	}
	return ""
}

// A long answer comes by TCP; a zone without steering needs no geography.
func TestTruncated(t *testing.T) {
	var text strings.Builder
	text.WriteString("$ORIGIN big.example.\n$TTL 60\n@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n")
	for i := range 200 {
		fmt.Fprintf(&text, "www A 198.18.0.%d\n", i)
	}
	r := ask(t, serve(t, text.String(), nil, situation{}), nil, "www.big.example A 192.0.2.1")
	if !r.Answer.Truncated || len(r.Answer.Answer) != 200 || r.Answer.Octets < 200*16 || r.Client.Place != nil || r.Zone.Steered {
		t.Errorf("%t %d %d %v %v", r.Answer.Truncated, len(r.Answer.Answer), r.Answer.Octets, r.Client.Place, r.Zone)
	}
	var out strings.Builder
	if err := r.Text(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"serial 1, no steering", "by TCP: over UDP it is truncated", "and 180 more: -o json has them all", "the zone, which has no steering"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
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
