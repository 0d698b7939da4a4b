package check

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
	"geodns/internal/steer"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// builtInWorld is the geography that there is without a configuration.
func builtInWorld() *steer.Rankings {
	return steer.NewRankings(func() *geo.Table {
		t, err := geo.Load(geo.Options{BuiltIn: builtin.World, Centre: country.Centre, Continent: country.Continent})
		if err != nil {
			panic(err)
		}
		return t
	})
}

// accept adds what serve says of the steering of a zone that is served alone.
func accept(r *zonedir.Result) {
	if r.Zone == nil {
		return
	}
	_, problems := steer.Compile(r.Zone, steer.Options{With: func([]byte) *zone.Zone { return nil }})
	for i := range problems {
		f := r.Places.Finding(&problems[i])
		r.Findings = append(r.Findings, f)
		if f.Severity == zonefile.Error {
			r.Zone = nil
		}
	}
}

const zoneTop = `$TTL 300
@ SOA ns1 hostmaster 1 3600 600 604800 300
  NS ns1
  NS ns2
ns1 A 192.0.2.53
ns2 A 198.51.100.53
www A 192.0.2.10
`

// rulesIn are the rules of the findings in zones, by name, in their order.
func rulesIn(t *testing.T, zones map[string]string, o Options) string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for name, text := range zones {
		file := filepath.Join(dir, name+".zone")
		if err := os.WriteFile(file, []byte(zoneTop+text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	o.Now = today()
	var list []string
	for _, f := range Files(files, o).Findings {
		list = append(list, f.Rule)
	}
	return strings.Join(list, " ")
}

// What can't be read hides what seems to be missing, in the zone itself and in
// those that take names from it.
func TestUnreadableHides(t *testing.T) {
	const policy = "www._steer TXT \"v=steer1; policy=nearest; with=infra.example; floor=0\"\n"
	with := strings.Replace(policy, "; floor=0", "; check=web; default=lon", 1)
	tests := []struct {
		name  string
		zones map[string]string
		o     Options
		want  string
	}{
		{"its own text", map[string]string{"example": "lon A 192.0.2.300\n" + with}, Options{Whole: true}, "address"},
		{"its own text, but not the record's", map[string]string{"example": "lon A 192.0.2.300\n" + policy}, Options{Whole: true}, "address steer-value"},
		{"the other zone", map[string]string{"example": with, "infra.example": "lon A 192.0.2.300\n"}, Options{Whole: true}, "not-delegated address"},
		{"the other zone has nothing", map[string]string{"example": with, "infra.example": ""}, Options{Whole: true}, "steer-no-site steer-check-unknown steer-site-unknown not-delegated"},
		{"the other zone is not served", map[string]string{"example": with}, Options{Whole: true}, "steer-with"},
		{"the other zone is not checked", map[string]string{"example": with}, Options{}, "steer-without"},
		{"left out", map[string]string{"example": with}, Options{Ignore: []string{"steer-without"}}, ""},
		{"without warnings", map[string]string{"example": "lon._site TXT \"v=site1; net=203.0.113.0/24\"\nwww._steer TXT \"v=steer1\"\n"}, Options{NoWarnings: true}, ""},
	}
	for _, tt := range tests {
		if got := rulesIn(t, tt.zones, tt.o); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Zones without policies declare for others, and are left alone unless these
// are here and name them.
func TestUnused(t *testing.T) {
	const infra = "lon._site TXT \"v=site1; net=192.0.2.0/24\"\nold._site TXT \"v=site1; net=203.0.113.0/24\"\n"
	const user = "www._steer TXT \"v=steer1; with=infra.test\"\n"
	for _, tt := range []struct {
		zones map[string]string
		want  string
	}{
		{map[string]string{"infra.test": infra}, ""},
		{map[string]string{"infra.test": infra, "example": "www._steer TXT \"v=steer1\"\n"}, ""},
		{map[string]string{"infra.test": infra, "example": user}, "steer-unused"},
		{map[string]string{"infra.test": infra, "example": user, "b.test": strings.Replace(user, "www", "ftp", 1) + "ftp A 203.0.113.1\n"}, ""},
	} {
		if got := rulesIn(t, tt.zones, Options{Whole: true}); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.zones, got, tt.want)
		}
	}
}

// Every kind of problem that steering has is a rule of the table.
func TestSteeringRules(t *testing.T) {
	kinds := 0
	for _, dir := range []string{"../steer/rules.go", "../steer/record/types.go"} {
		data, err := os.ReadFile(filepath.FromSlash(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Rule\w+ += "([a-z-]+)"`).FindAllStringSubmatch(string(data), -1) {
			kinds++
			if _, ok := ruleOf(m[1]); !ok {
				t.Errorf("%s has %s, which the table of rules lacks", dir, m[1])
			}
		}
	}
	if kinds < 35 {
		t.Errorf("only %d kinds were found", kinds)
	}
}

func TestLooksDynamic(t *testing.T) {
	for _, tt := range []struct {
		addr, name string
		want       bool
	}{
		{"192.0.2.25", "192-0-2-25.example.net.", true},
		{"192.0.2.25", "25.2.0.192.pool.example.net.", true},
		{"192.0.2.25", "ip192.0.2.25.example.net.", true},
		{"192.0.2.25", "host-192000002025.example.net.", true},
		{"192.0.2.25", "C0000219.example.net.", true},
		{"192.0.2.25", "mx1.example.net.", false},
		{"192.0.2.25", "mx-2-25.example.net.", false},
		{"192.0.2.25", "192-0-3-25.example.net.", false},
		{"192.0.2.25", "mail.example.net.", false},
		{"10.1.1.1", "mx1.rack1.dc1.example.net.", false},
		{"2001:db8::25", "2001-db8--25.example.net.", true},
		{"2001:db8::25", "20010db8000000000000000000000025.example.net.", true},
		{"2001:db8::25", "2001-0db8-0000-0000-0000-0000-0000-0025.example.net.", true},
		{"2001:db8::25", "mx25.example.net.", false},
	} {
		name, err := zonefile.ParseName(tt.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := looksDynamic(name, netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s %s: %v", tt.addr, tt.name, got)
		}
	}
}
