package steer_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
	"geodns/internal/steer"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// advised are the rules of the problems of a zone with advice, with the octets
// they are at.
func advised(t *testing.T, text string, table *geo.Table) string {
	t.Helper()
	o := steer.Options{Advise: true}
	if table != nil {
		o.Rankings = steer.NewRankings(func() *geo.Table { return table })
	}
	_, problems := steer.Compile(zoneOf(t, top+text), o)
	var list []string
	for i := range problems {
		list = append(list, fmt.Sprintf("%s@%d", strings.TrimPrefix(problems[i].Rule, "steer-"), problems[i].At))
	}
	return strings.Join(list, " ")
}

// sitesAt are two sites with a record of www each, at two places.
func sitesAt(one, two string) string {
	return fmt.Sprintf(`one._site TXT "v=site1; net=192.0.2.0/24; at=%s"
two._site TXT "v=site1; net=198.51.100.0/24; at=%s"
www A 192.0.2.1
www A 198.51.100.1
`, one, two)
}

// Sites in one country are told where nothing smaller is known, and nobody has
// decided.
func TestAdviseCountry(t *testing.T) {
	world, err := geo.Load(geo.Options{BuiltIn: builtin.World, Centre: country.Centre, Continent: country.Continent})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const (
		york, francisco = "40.71,-74.01", "37.80,-122.40"
		nearest         = "www._steer TXT \"v=steer1; policy=nearest\"\n"
		said            = "one-country@17"
	)
	tests := []struct {
		name, text string
		table      *geo.Table
		want       string
	}{
		{"one country", sitesAt(york, francisco) + nearest, world, said},
		{"two countries", sitesAt(york, "51.51,-0.13") + nearest, world, ""},
		{"neighbours", sitesAt("22.32,114.17", "22.54,114.06") + nearest, world, ""},
		{"not a city", sitesAt(york, "38.50,-95.00") + nearest, world, ""},
		{"no geography", sitesAt(york, francisco) + nearest, nil, ""},
		{"all sites", sitesAt(york, francisco) + "www._steer TXT \"v=steer1\"\n", world, ""},
		{"the policy decides", sitesAt(york, francisco) + "www._steer TXT \"v=steer1; policy=nearest; country=US:two\"\n", world, ""},
		{"a site decides", strings.Replace(sitesAt(york, francisco), york, york+"; country=US", 1) + nearest, world, ""},
		{"both sites decide", strings.ReplaceAll(strings.Replace(sitesAt(york, francisco), york, york+"; country=US", 1), francisco, francisco+"; country=US") + nearest, world, said},
		{"once a zone", sitesAt(york, francisco) + nearest + "ftp A 192.0.2.2\nftp A 198.51.100.2\nftp._steer CNAME www._steer\n", world, said},
		// Nets that the world knows to be in the United States, far from cities.
		{"by nets", strings.NewReplacer("192.0.2.", "8.8.8.", "198.51.100.", "4.4.4.").Replace(sitesAt("45.00,-110.00", "38.50,-95.00")) + nearest, world, said},
		{"nets elsewhere", strings.NewReplacer("192.0.2.", "193.0.6.").Replace(sitesAt(york, francisco)) + nearest, world, ""},
		{"cities are known", sitesAt(york, francisco) + nearest, cityTable(t, dir), ""},
	}
	for _, tt := range tests {
		if got := advised(t, tt.text, tt.table); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// cityTable is a geography which knows two places in one country.
func cityTable(t *testing.T, dir string) *geo.Table {
	t.Helper()
	file := mmdbOf(t, dir, map[string][2]float64{"203.0.113.0/25": {40.71, -74.01}, "203.0.113.128/25": {37.77, -122.42}})
	table, err := geo.Load(geo.Options{Database: file})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Advice is silent about what has errors, about floors and families that are
// met, and about what is used.
func TestAdvise(t *testing.T) {
	sites := sitesAt("51.51,-0.13", "40.71,-74.01")
	tests := []struct{ name, text, want string }{
		{"not asked for", sites + "www._steer TXT \"v=steer1; policy=nearest; floor=1; answers=9\"\n", ""},
		{"floor", sites + "www._steer TXT \"v=steer1; policy=nearest; floor=2\"\n", "floor@32 floor@32"},
		{"floor as a share", sites + "www._steer TXT \"v=steer1; policy=nearest; floor=100%\"\n", ""},
		{"no advice beside errors", sites + "www._steer TXT \"v=steer1; policy=nearest; floor=2; default=par\"\n", "site-unknown@43"},
		{"family of a site in order=", sites + "www AAAA 2001:db8::1\nthr._node TXT \"v=node1; addr=2001:db8::1; site=one\"\nwww._steer TXT \"v=steer1; policy=failover; order=one,two\"\n", "one-family@17"},
		{"family of a node in order=", sites + "www AAAA 2001:db8::1\nthr._node TXT \"v=node1; addr=2001:db8::1; site=one\"\nwww._steer TXT \"v=steer1; policy=failover; order=one,198.51.100.1\"\n", ""},
		{"step of a node", sites + "a._node TXT \"v=node1; addr=192.0.2.1\"\nwww._steer TXT \"v=steer1; policy=failover; order=a\"\n", "stray@33"},
		{"an unreadable site hides what is missing", strings.Replace(sites, "net=192", "nut=192", 1) + "www._steer TXT \"v=steer1; policy=nearest; default=one\"\n", "unknown-tag@9"},
	}
	for _, tt := range tests {
		if got := advised(t, tt.text, nil); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// mmdbOf writes a City database of places in the United States.
func mmdbOf(t *testing.T, dir string, places map[string][2]float64) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test-City", Description: map[string]string{"en": "a test"}, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, at := range places {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Insert(network, mmdbtype.Map{
			"country":  mmdbtype.Map{"iso_code": mmdbtype.String("US")},
			"location": mmdbtype.Map{"latitude": mmdbtype.Float64(at[0]), "longitude": mmdbtype.Float64(at[1])},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "city.mmdb")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.WriteTo(f); err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
