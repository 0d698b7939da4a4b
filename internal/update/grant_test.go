package update

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"geodns/internal/wire"
)

// parseName reads a name as main's parser does.
func parseName(text string, origin []byte) ([]byte, error) {
	var name []byte
	if text == "@" {
		return origin, nil
	}
	absolute := strings.HasSuffix(text, ".")
	for _, l := range strings.Split(strings.TrimSuffix(text, "."), ".") {
		if l == "" || len(l) > 63 {
			return nil, errors.New("not a name")
		}
		name = append(append(name, byte(len(l))), strings.ToLower(l)...)
	}
	if absolute {
		return append(name, 0), nil
	}
	return append(name, origin...), nil
}

func patterns(t *testing.T, texts ...string) (list []Pattern) {
	t.Helper()
	for _, text := range texts {
		p, err := ParsePattern(text, nameOf(t, "example."), parseName)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list = append(list, p)
	}
	return list
}

// TestPatterns: which names a pattern means.
func TestPatterns(t *testing.T) {
	names := []string{"example.", "farm.example.", "a.farm.example.", "b.a.farm.example.", "*.farm.example.", "xfarm.example.", "other.example."}
	for pattern, want := range map[string][]string{
		"@":               {"example."},
		"example.":        {"example."},
		"*":               names[1:],
		"farm":            {"farm.example."},
		"Farm.Example.":   {"farm.example."},
		"*.farm":          {"a.farm.example.", "b.a.farm.example.", "*.farm.example."},
		"*.farm.example.": {"a.farm.example.", "b.a.farm.example.", "*.farm.example."},
		"*.@":             names[1:],
		"none":            nil,
	} {
		p := patterns(t, pattern)[0]
		var got []string
		for _, n := range names {
			if p.matches(nameOf(t, n)) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s means %v, want %v", pattern, got, want)
		}
	}
	for _, bad := range []string{"a.example.net.", "*.net.", "notexample.", "", "a..b"} {
		if p, err := ParsePattern(bad, nameOf(t, "example."), parseName); err == nil {
			t.Errorf("%q is taken as %v", bad, p)
		}
	}
}

// TestGrants: who may do what (RFC 2136 3.3).
func TestGrants(t *testing.T) {
	const (
		a, mx, txt = wire.TypeA, wire.TypeMX, wire.TypeTXT
		ok, no     = wire.RcodeNoError, wire.RcodeRefused
	)
	names := func(texts ...string) []Pattern { return patterns(t, texts...) }
	farm := Grants{{Names: names("*.farm"), Types: []wire.Type{a, txt}}}
	z := zoneOf(t, "w.farm.example. 60 A 192.0.2.1", "w.farm.example. 60 TXT x", "both.farm.example. 60 A 192.0.2.1",
		"both.farm.example. 60 MX 1 a.", "www._steer.example. 60 TXT \"v=steer1\"", "lon._state.example. 60 TXT \"v=state1; drain\"")
	for _, test := range []struct {
		name   string
		grants Grants
		op     string
		want   wire.Rcode
	}{
		{"no grants", nil, "+ n.example. 60 A 192.0.2.1", no},
		{"no grants, nothing to do", nil, "", ok},
		{"anything", Grants{{}}, "+ n.example. 60 A 192.0.2.1", ok},
		{"granted", farm, "+ n.farm.example. 60 A 192.0.2.1", ok},
		{"below it", farm, "+ n.a.farm.example. 60 A 192.0.2.1", ok},
		{"granted wildcard", farm, "+ *.farm.example. 60 A 192.0.2.1", ok},
		{"not itself", farm, "+ farm.example. 60 A 192.0.2.1", no},
		{"other name", farm, "+ n.example. 60 A 192.0.2.1", no},
		{"other type", farm, "+ n.farm.example. 60 MX 1 a.", no},
		{"the deletion of a record", farm, "- w.farm.example. A 192.0.2.1", ok},
		{"of an RRset", farm, "- w.farm.example. TXT", ok},
		{"of another RRset", farm, "- both.farm.example. MX", no},
		{"of what isn't there, of another type", farm, "- w.farm.example. MX", no},
		{"of a name", farm, "- w.farm.example.", ok},
		{"of a name with other types", farm, "- both.farm.example.", no},
		{"of a name with nothing", farm, "- none.farm.example.", ok},
		{"of another name with nothing", farm, "- none.example.", no},
		{"of a name, by several grants", append(slices.Clone(farm), Grant{Names: names("both.farm"), Types: []wire.Type{mx}}), "- both.farm.example.", ok},
		{"of a name, by several grants, the other not here", append(slices.Clone(farm), Grant{Names: names("farm"), Types: []wire.Type{mx}}), "- both.farm.example.", no},

		{"SOA unnamed", Grants{{}}, "+ example. 300 SOA ns1.example. host.example. 9 1 1 1 1", no},
		{"SOA named", Grants{{Types: []wire.Type{wire.TypeSOA}}}, "+ example. 300 SOA ns1.example. host.example. 9 1 1 1 1", ok},
		{"NS unnamed", Grants{{}}, "+ example. 300 NS a.", no},
		{"NS unnamed, deleted", Grants{{}}, "- example. NS ns1.example.", no},
		{"NS named", Grants{{Types: []wire.Type{wire.TypeNS}}}, "+ example. 300 NS a.", ok},
		{"NS named, at other names", Grants{{Names: names("*"), Types: []wire.Type{wire.TypeNS}}}, "+ example. 300 NS a.", no},
		{"a delegation", Grants{{}}, "+ sub.example. 300 NS a.", ok},
		{"its DS", Grants{{}}, "+ sub.example. 300 DS 1 8 1 aa", ok},
		{"DNSKEY", Grants{{}}, "+ example. 300 DNSKEY 256 3 8 AQ==", no},
		{"MX of the apex", Grants{{}}, "+ example. 300 MX 1 a.", ok},
		{"all of the apex, of which SOA and NS stay", Grants{{}}, "- example.", ok},

		{"steering unnamed", Grants{{}}, "+ a._site.example. 60 TXT x", no},
		{"steering unnamed, by name", Grants{{Names: names("*._site")}}, "+ a._site.example. 60 TXT x", no},
		{"steering unnamed, deleted", Grants{{}}, "- www._steer.example.", no},
		{"the subtree itself", Grants{{}}, "+ _node.example. 60 TXT x", no},
		{"not a subtree", Grants{{}}, "+ _site.a.example. 60 TXT x", ok},
		{"steering", Grants{{Steering: true}}, "- www._steer.example.", ok},
		{"steering of other names", Grants{{Steering: true, Names: names("*.farm")}}, "- www._steer.example.", no},
		{"commands", all, "- lon._state.example.", no},
		{"commands, a record", all, "+ nyc._state.example. 60 TXT \"v=state1; drain\"", no},
		{"commands, all", all, "+ _state.example. 60 TXT x", no},
		{"not quite commands", all, "+ a_state.example. 60 TXT x", ok},
		{"nor these", all, "+ _state.a.example. 60 TXT x", ok},
		{"outside is said so", nil, "+ a.example.net. 60 A 192.0.2.1", wire.RcodeNotZone},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ops []string
			if test.op != "" {
				ops = []string{test.op}
			}
			_, _, err := Do(z, requestOf(t, ops...), test.grants)
			if got := rcodeOf(t, err); got != test.want {
				t.Errorf("RCODE %d, want %d: %v", got, test.want, err)
			}
		})
	}
	// Prerequisites need no grants, and come first; form comes after permission.
	for _, test := range []struct {
		want wire.Rcode
		ops  []string
	}{
		{wire.RcodeNXDomain, []string{"? none.example.", "+ n.example. 60 A 192.0.2.1"}},
		{no, []string{"? w.farm.example.", "+ n.example. 60 A 192.0.2.1"}},
		{no, []string{"+ n.farm.example. 60 A 192.0.2.1", "+ n.example. 60 A 192.0.2.1"}},
	} {
		if _, _, err := Do(z, requestOf(t, test.ops...), farm); rcodeOf(t, err) != test.want {
			t.Errorf("%v: %v", test.ops, err)
		}
	}
}
