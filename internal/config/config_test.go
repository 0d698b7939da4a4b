package config

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddrs = cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{})

// -update writes what the invalid files give into them, to be read by whoever
// changed a message before it is believed.
var update = flag.Bool("update", false, "rewrite the expected errors in testdata/invalid")

const want = "# want "

// Every file in testdata/invalid breaks one rule and lists, in lines that
// begin with "# want ", all errors that Load is to give.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/invalid: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var expected []string
			for line := range strings.Lines(string(data)) {
				if s, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), want); ok {
					expected = append(expected, s)
				}
			}
			got := lines(t, file)
			if *update {
				rewrite(t, file, data, got)
				return
			}
			if len(expected) == 0 {
				t.Fatalf("%s says nothing of what it wants", file)
			}
			if d := cmp.Diff(expected, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// lines loads an invalid file and returns its errors, the name of the file
// left out.
func lines(t *testing.T, file string) []string {
	c, err := Load(file)
	if c != nil {
		t.Errorf("Load(%s) = %+v, want no value", file, c)
	}
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("Load(%s): error %v is a %T, want Errors", file, err, err)
	}
	out := strings.Split(err.Error(), "\n")
	if len(out) != len(errs) {
		t.Errorf("%d errors print as %d lines: %v", len(errs), len(out), err)
	}
	for i := range out {
		s, ok := strings.CutPrefix(out[i], file+":")
		if !ok {
			t.Errorf("error %q does not begin with the name of the file", out[i])
		}
		out[i] = s
	}
	return out
}

func rewrite(t *testing.T, file string, data []byte, got []string) {
	body, _, _ := bytes.Cut(data, []byte(want))
	for _, s := range got {
		body = append(body, want+s+"\n"...)
	}
	if err := os.WriteFile(file, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReferenceIsDefault(t *testing.T) {
	data, err := os.ReadFile("../../docs/geodns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("geodns.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), got, compareAddrs); d != "" {
		t.Errorf("docs/geodns.yaml differs from the defaults (-default +docs):\n%s", d)
	}
	_, r := parse("geodns.yaml", data)
	var check func(prefix string, fields []field)
	check = func(prefix string, fields []field) {
		for _, f := range fields {
			key := join(prefix, f.name)
			_, given := r.places[key]
			// The parts of what is not there yet need no mention.
			if !given {
				t.Errorf("docs/geodns.yaml lacks the key %s", key)
			}
			check(key, f.keys)
		}
	}
	check("", schema(Default()))
}

func TestEmptyFileIsDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}\n", "null\n", "\ufeff"} {
		got, err := Parse("geodns.yaml", []byte(text))
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if d := cmp.Diff(Default(), got, compareAddrs); d != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", text, d)
		}
	}
}

func TestAllKeys(t *testing.T) {
	got, err := Parse("/etc/geodns/geodns.yaml", []byte(`
listen: [192.0.2.1:53, "[2001:db8::1]:53", 0.0.0.0:5300, "[::]:5300"]
workers: 8
zones: /srv/zones
watch: poll
shrink-limit: 7%
store: state/geodns.db
control: ""
http: "[::1]:80"
geo: {database: world.mmdb, networks: own/networks.csv}
keys:
  - {name: Xfer, algorithm: hmac-sha512, secret: "MDEyMzQ1Njc4OWFiY2RlZg=="}
  - {name: old.example., algorithm: hmac-md5, allow-md5: true, secret: "MDEyMzQ1Njc4OWFiY2RlZg=="}
  - {name: elsewhere, algorithm: hmac-sha256, secret-file: elsewhere.secret}
transfer:
  allow: [127.0.0.1, 192.0.2.0/24, "2001:db8::/32", "key:XFER."]
  notify: ["198.51.100.53:53", "[2001:db8::53]:5353"]
checks:
  state: {file: app.state}
  app: {command: [/usr/local/bin/check-app, "-w", ""], env: {PATH: /bin, LANG: ""}}
  a.b: {user: geodns, password: "hunter 2", database: app, tls: verify, tls-name: db.example, networks: [10.0.0.1, "fd00::/8"]}
  DB_1: {user: geodns, password-file: elsewhere.password}
  nobody: {user: guest, tls: "on", file: }
probe-allow: [10.0.0.0/8, 127.0.0.1, "::1"]
start-wait: 0s
anchors: ["192.0.2.1:53", "dns://[2001:db8::1]:5353", tcp://198.51.100.1:443, icmp://203.0.113.7, "icmp://2001:db8::7", "icmp://[2001:db8::8]"]
site: LON-1
log: {level: debug, format: json}
limits: {udp-payload: 4096, tcp-clients: 10, tcp-per-client: 2, tcp-idle: 1m30s, tcp-queries: 7}
identity: {nsid: "ns 1", version: 'geodns "x"', id-server: ns1.example}
`))
	if err != nil {
		t.Fatal(err)
	}
	expected := &Config{
		Listen: []netip.AddrPort{
			netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:53"),
			netip.MustParseAddrPort("0.0.0.0:5300"), netip.MustParseAddrPort("[::]:5300"),
		},
		Workers:     8,
		Zones:       "/srv/zones",
		Watch:       WatchPoll,
		ShrinkLimit: 7,
		Store:       "/etc/geodns/state/geodns.db",
		Journal:     Default().Journal,
		HTTP:        netip.MustParseAddrPort("[::1]:80"),
		Geo:         Geo{Database: "/etc/geodns/world.mmdb", Networks: "/etc/geodns/own/networks.csv"},
		Keys: []Key{
			{Name: "xfer.", Algorithm: "hmac-sha512", Secret: newSecret([]byte("0123456789abcdef"))},
			{Name: "old.example.", Algorithm: "hmac-md5", Secret: newSecret([]byte("0123456789abcdef"))},
			{Name: "elsewhere.", Algorithm: "hmac-sha256"},
		},
		Transfer: Transfer{
			Allow: []Peer{
				{Prefix: netip.MustParsePrefix("127.0.0.1/32")},
				{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
				{Prefix: netip.MustParsePrefix("2001:db8::/32")},
				{Key: "xfer."},
			},
			Notify: []Target{{Addr: netip.MustParseAddrPort("198.51.100.53:53")}, {Addr: netip.MustParseAddrPort("[2001:db8::53]:5353")}},
			Max:    16,
		},
		Checks: []Check{
			{Name: "DB_1", User: "geodns", TLS: TLSOff},
			{
				Name: "a.b", User: "geodns", Password: newSecret([]byte("hunter 2")), Database: "app", TLS: TLSVerify, TLSName: "db.example",
				Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/8")},
			},
			{Name: "app", Command: []string{"/usr/local/bin/check-app", "-w", ""}, Env: []Variable{{"LANG", newSecret([]byte{})}, {"PATH", newSecret([]byte("/bin"))}}},
			{Name: "nobody", User: "guest", TLS: TLSOn},
			{Name: "state", File: "/etc/geodns/app.state"},
		},
		ProbeAllow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")},
		Anchors: []Anchor{
			{AnchorDNS, netip.MustParseAddrPort("192.0.2.1:53")},
			{AnchorDNS, netip.MustParseAddrPort("[2001:db8::1]:5353")},
			{AnchorTCP, netip.MustParseAddrPort("198.51.100.1:443")},
			{AnchorICMP, netip.MustParseAddrPort("203.0.113.7:0")},
			{AnchorICMP, netip.MustParseAddrPort("[2001:db8::7]:0")},
			{AnchorICMP, netip.MustParseAddrPort("[2001:db8::8]:0")},
		},
		Site:     "lon-1",
		Log:      Log{Level: slog.LevelDebug, Format: FormatJSON},
		Limits:   Limits{UDPPayload: 4096, TCPClients: 10, TCPPerClient: 2, TCPIdle: 90 * time.Second, TCPQueries: 7},
		Identity: Identity{NSID: "ns 1", Version: `geodns "x"`, IDServer: "ns1.example"},
	}
	if d := cmp.Diff(expected, got, compareAddrs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLoadValid(t *testing.T) {
	tests := []struct {
		file   string
		change func(c *Config) // what differs from the default
	}{
		{"minimal.yaml", func(*Config) {}},
		{"empty-keys.yaml", func(c *Config) {
			c.ZoneList = []Zone{{Name: "cluster.example.", Serial: SerialAuto}}
		}},
		{"sync.yaml", func(c *Config) {
			c.Store = "testdata/valid/geodns.db"
			c.Warnings = Errors{{File: "testdata/valid/sync.yaml", Line: 3, Column: 54, Message: "keys[0].secret: every user of this machine can get at it; take that away with chmod o= testdata/valid/sync.yaml, or use secret-file"}}
			c.Keys = []Key{{Name: "xfer.", Algorithm: "hmac-sha256", Secret: newSecret([]byte("0123456789abcdef"))}}
			c.ZoneList = []Zone{{Name: "farm.example.", Serial: SerialStrict, ZONEMD: true, Updates: []Updates{
				{Key: "xfer.", Names: []string{"*.web", "@"}, Types: []string{"A"}, Steering: true},
			}}}
			c.Transfer = Transfer{
				Allow: []Peer{{Key: "xfer.", Strip: true}}, Max: 3,
				Notify: []Target{{Addr: netip.MustParseAddrPort("192.0.2.1:53"), Key: "xfer."}},
			}
			c.Secondary = []Secondary{{Zone: "example.org.", Primaries: []Primary{
				{Addr: netip.MustParseAddrPort("192.0.2.53:53"), Key: "xfer.", TLS: TLSOff},
				{Addr: netip.MustParseAddrPort("192.0.2.54:853"), Key: "xfer.", TLS: TLSVerify, TLSName: "ns.example"},
			}}}
			c.Catalog = Catalog{Produce: "catalog.invalid.", Consume: []Secondary{{Zone: "other.invalid.", Primaries: []Primary{
				{Addr: netip.MustParseAddrPort("127.0.0.1:53"), TLS: TLSOff},
			}}}}
		}},
		{"bench.yaml", func(c *Config) {
			c.Listen = []netip.AddrPort{netip.MustParseAddrPort("10.99.0.2:5306")}
			c.Workers = 1
			c.Store, c.Control = "testdata/valid/geodns.db", "testdata/valid/control.sock"
			c.HTTP = netip.MustParseAddrPort("10.99.0.2:8053")
			c.Geo.Database = "testdata/valid/world.mmdb"
		}},
		{"networks.yaml", func(c *Config) { c.Geo.Networks = "testdata/valid/networks.csv" }},
		{"transfer.yaml", func(c *Config) {
			c.Transfer.Allow = []Peer{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}
			c.Transfer.Notify = []Target{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}
		}},
	}
	for _, tt := range tests {
		expected := Default()
		expected.Zones = "testdata/valid/zones"
		tt.change(expected)
		got, err := Load(filepath.Join("testdata/valid", tt.file))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if d := cmp.Diff(expected, got, compareAddrs); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, d)
		}
	}
}

// make run uses this one; it must not point out of its directory.
func TestLoadSamples(t *testing.T) {
	got, err := Load("../../zones/geodns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := "../../zones"; got.Zones != want {
		t.Errorf("zones is %q, want %q", got.Zones, want)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	missing, empty, zones := filepath.Join(dir, "missing.yaml"), filepath.Join(dir, "empty.yaml"), filepath.Join(dir, "zones")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ path, want string }{
		{missing, missing + ": there is no such file; write one (docs/geodns.yaml shows every key) or name another with --config"},
		{empty, empty + ": zones: " + zones + ": there is no such directory; create it or name the one that holds the zone files (this is the default; the file has no zones)"},
		{dir, dir + ": cannot read it: is a directory"},
		{"/dev/zero", "/dev/zero: is larger than 1048576 octets, so it is hardly a configuration"},
	}
	for _, tt := range tests {
		_, err := Load(tt.path)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Load(%s): %v, want %s", tt.path, err, tt.want)
		}
	}
}

// What would take the YAML parser long, or deep, is refused before it runs.
func TestTooMuch(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"brackets", "keys: " + strings.Repeat("[", 100_000), "nested deeper"},
		{"braces", "keys: " + strings.Repeat("{a: ", 100_000), "nested deeper"},
		{"marks", strings.Repeat("- ", 100_000), "nested deeper"},
		{"indentation", strings.Repeat(" ", 1000) + "a: 1", "nested deeper"},
		{"keys", strings.Repeat("a: 1\n", 100_000), "more than 20000 keys"},
		{"size", strings.Repeat("#", maxSize+1), "larger than"},
		{"tags", strings.Repeat("!!a ", 1000), "tags (!) are not supported"},
		{"question marks", strings.Repeat("? ", 1000), "not supported"},
	}
	for _, tt := range tests {
		_, err := Parse("geodns.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %.200v, want one that says %q", tt.name, err, tt.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	tests := []struct{ prefix, name, want string }{
		{"", "htpp", "did you mean http?"},
		{"", "Listen", "did you mean listen?"},
		{"", "zoness", "did you mean zones?"},
		{"", "probe_allow", "did you mean probe-allow?"},
		{"", "tcp-idle", "did you mean limits.tcp-idle?"},
		{"", "port", "docs/geodns.yaml shows every key"},
		{"log", "lvl", "log has level, format"},
	}
	for _, tt := range tests {
		fields := schema(Default())
		if tt.prefix != "" {
			fields = find(fields, tt.prefix).keys
		}
		if got := suggest(tt.prefix, tt.name, fields); got != tt.want {
			t.Errorf("suggest(%q, %q) = %q, want %q", tt.prefix, tt.name, got, tt.want)
		}
	}
}

// Whatever the text, Parse gives a valid value or errors with places that the
// text has.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "../../docs/geodns.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("geodns.yaml", data)
		if err == nil {
			checkValid(t, c)
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 || c != nil {
			t.Fatalf("Parse gave %v and %T", c, err)
		}
		count := bytes.Count(data, []byte("\n")) + 1
		for _, e := range errs {
			if e.Message == "" || e.Line < 0 || e.Line > count || e.Line > 0 && e.Column < 1 {
				t.Errorf("error %+v in a text of %d lines", e, count)
			}
			if strings.Contains(e.Error(), "\n") {
				t.Errorf("error %q has more than one line", e.Error())
			}
		}
	})
}

func checkValid(t *testing.T, c *Config) {
	l := c.Limits
	if len(c.Listen) == 0 || c.Workers < 0 || c.Workers > 1024 || c.Zones == "" ||
		l.UDPPayload < 512 || l.UDPPayload > 4096 || l.TCPClients < 1 || l.TCPPerClient < 1 ||
		l.TCPIdle < time.Second || l.TCPIdle > time.Hour || l.TCPQueries < 0 ||
		len(c.Identity.NSID) > 255 || len(c.Identity.Version) > 255 || len(c.Identity.IDServer) > 255 {
		t.Errorf("Parse accepted %+v", c)
	}
	for i, k := range c.Keys {
		name, err := keyName(k.Name)
		octets := k.Secret.Reveal()
		if err != nil || name != k.Name || !slices.Contains(algorithms(), k.Algorithm) || octets != nil && len(octets) < minSecret ||
			slices.ContainsFunc(c.Keys[:i], func(o Key) bool { return o.Name == k.Name }) {
			t.Errorf("Parse accepted the key %+v", k)
		}
	}
	checkValidHealth(t, c)
	for _, p := range c.Transfer.Allow {
		if (p.Key == "") != p.Prefix.IsValid() || p.Prefix != p.Prefix.Masked() {
			t.Errorf("Parse accepted the peer %+v", p)
		}
	}
	for _, a := range c.Listen {
		if again, err := ParseListen(a.String()); err != nil || again != a {
			t.Errorf("ParseListen(%s) = %v, %v", a, again, err)
		}
	}
}

func checkValidHealth(t *testing.T, c *Config) {
	for i, e := range c.Checks {
		kinds := 0
		for _, given := range []bool{len(e.Command) > 0, e.File != "", e.User != ""} {
			if given {
				kinds++
			}
		}
		if !isCheckName(e.Name) || kinds != 1 || i > 0 && c.Checks[i-1].Name >= e.Name || c.Check(e.Name) != &c.Checks[i] ||
			(e.User != "") != (e.TLS != "") || len(e.Command) > 0 && !filepath.IsAbs(e.Command[0]) {
			t.Errorf("Parse accepted the check %+v", e)
		}
	}
	for _, a := range c.Anchors {
		if again, err := parseAnchor(a.String()); err != nil || again != a {
			t.Errorf("parseAnchor(%s) = %v, %v", a, again, err)
		}
	}
	if n := len(c.Anchors); n == 1 || n > maxAnchors || c.StartWait < 0 || c.StartWait > time.Minute || c.Site != strings.ToLower(c.Site) || len(c.Site) > 63 {
		t.Errorf("Parse accepted %+v", c)
	}
	for _, p := range c.ProbeAllow {
		if !p.IsValid() || p != p.Masked() {
			t.Errorf("Parse accepted the prefix %v", p)
		}
	}
}
