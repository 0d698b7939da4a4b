package catalog

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"

	"github.com/google/go-cmp/cmp"
)

const origin = "catalog.invalid."

func name(t testing.TB, text string) []byte {
	t.Helper()
	n, err := zonefile.ParseName(text, name0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var name0 = []byte{0}

// load compiles a zone from master file text.
func load(t testing.TB, text string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "catalog.zone", Origin: name(t, origin)}, func(rr *wire.RR, _ zonefile.Pos) error {
		if p := b.Add(rr); p != nil {
			return p
		}
		return nil
	}, func(f zonefile.Finding) {
		if f.Severity == zonefile.Error {
			t.Errorf("%+v", f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

const basics = "$TTL 0\n@ SOA invalid. hostmaster.invalid. 7 3600 600 2147483647 0\n@ NS invalid.\n"

// show is a catalog in a form that is easy to compare.
func show(c *Catalog) (lines []string) {
	if c == nil {
		return []string{"broken"}
	}
	lines = []string{}
	for _, m := range c.Members {
		lines = append(lines, showMember(&m))
	}
	return lines
}

func showMember(m *Member) string {
	s := m.ID + " " + wire.NameString(m.Name)
	for _, g := range m.Groups {
		s += fmt.Sprintf(" group=%q", g)
	}
	if m.Coo != nil {
		s += " coo=" + wire.NameString(m.Coo)
	}
	return s
}

func TestMembers(t *testing.T) {
	const v2 = "version TXT 2\n"
	long := strings.Repeat("g", 255)
	tests := []struct {
		name, records string
		want          []string
		problem       string // empty: none
	}{
		{"no members", v2, []string{}, ""},
		{"RFC 9432 4.2", v2 + "u1.zones PTR example.com.\nu2.zones PTR example.net.\nu3.zones PTR Example.Org.\n", []string{"u1 example.com.", "u2 example.net.", "u3 example.org."}, ""},
		{"sorted by name", v2 + "u1.zones PTR z.a.\nu2.zones PTR a.b.\nu3.zones PTR a.\nu4.zones PTR .\n", []string{"u4 .", "u3 a.", "u1 z.a.", "u2 a.b."}, ""},
		{"RFC 9432 4.4.2", v2 + "u1.zones PTR example.com.\ngroup.u1.zones TXT nodnssec\nu2.zones PTR example.net.\ngroup.u2.zones TXT operator-y-nsec3\ngroup.u2.zones TXT operator-x-sign-with-nsec3\n", []string{`u1 example.com. group="nodnssec"`, `u2 example.net. group="operator-x-sign-with-nsec3" group="operator-y-nsec3"`}, ""},
		{"a group in two strings", v2 + "u1.zones PTR example.com.\ngroup.u1.zones TXT " + long + " h\n", []string{`u1 example.com. group="` + long + `h"`}, ""},
		{"RFC 9432 4.4.1", v2 + "u1.zones PTR example.com.\ncoo.u1.zones PTR New.Invalid.\n", []string{"u1 example.com. coo=new.invalid."}, ""},
		{"labels without case", v2 + "Unique.Zones PTR example.com.\nGROUP.unique.zones TXT A\n", []string{`unique example.com. group="A"`}, ""},
		{"records that mean nothing", v2 + "zones PTR example.com.\nu1.zones TXT x\nu1.zones PTR example.net.\nx.u1.zones PTR example.org.\ngroup.u1.zones A 192.0.2.1\ncoo.u1.zones TXT x\ngroup.u9.zones TXT x\ncoo.u9.zones PTR a.\ncoo.u9.zones PTR b.\nversion A 192.0.2.1\nabout.ext PTR example.org.\na.ext.u1.zones TXT x\nu1.zones.zones PTR example.org.\n", []string{"u1 example.net."}, ""},
		{"the catalog itself", v2 + "u1.zones PTR example.com.\nu2.zones PTR catalog.invalid.\n", []string{"u1 example.com."}, "u2.zones.catalog.invalid.: the catalog lists itself"},

		{"no version", "u1.zones PTR example.com.\n", nil, "version.catalog.invalid.: there is no TXT record"},
		{"version of another type", "version A 192.0.2.1\n", nil, "there is no TXT record"},
		{"version 1", "version TXT 1\nu1.zones PTR example.com.\n", nil, `version "1" is not known`},
		{"version 3", "version TXT 3\n", nil, `version "3" is not known`},
		{"version 22 in strings", `version TXT "2" "2"` + "\n", nil, `version "22" is not known`},
		{"version 2 in strings", `version TXT "" "2"` + "\n", nil, `version "2" is not known`},
		{"two versions", v2 + "version TXT 1\n", nil, "there are 2 TXT records"},
		{"two PTR", v2 + "u1.zones PTR example.com.\nu1.zones PTR example.net.\nu2.zones PTR example.org.\n", nil, "u1.zones.catalog.invalid.: 2 PTR records"},
		{"a zone twice", v2 + "u2.zones PTR Example.com.\nu1.zones PTR example.com.\n", nil, `u2.zones.catalog.invalid.: example.com. is listed here and under the label "u1"`},
		{"two coo", v2 + "u1.zones PTR example.com.\ncoo.u1.zones PTR a.\ncoo.u1.zones PTR b.\n", nil, "coo.u1.zones.catalog.invalid.: 2 PTR records"},
		{"broken, and itself", v2 + "u1.zones PTR catalog.invalid.\nu2.zones PTR catalog.invalid.\n", nil, "is listed here and under"},
	}
	for _, tt := range tests {
		if tt.want == nil {
			tt.want = []string{"broken"}
		}
		c, problems := Members(load(t, basics+tt.records))
		if diff := cmp.Diff(tt.want, show(c)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		switch {
		case tt.problem == "" && len(problems) > 0:
			t.Errorf("%s: %v", tt.name, problems)
		case tt.problem != "" && len(problems) == 0:
			t.Errorf("%s: no problem is told", tt.name)
		case tt.problem != "" && !strings.Contains(problems[0].Error(), tt.problem):
			t.Errorf("%s: %v; want ..%s..", tt.name, problems[0], tt.problem)
		}
		if c != nil && (c.Serial != 7 || !bytes.Equal(c.Apex, name(t, origin))) {
			t.Errorf("%s: serial %d, apex %x", tt.name, c.Serial, c.Apex)
		}
	}
}

// What other servers make, as they make it.
func TestOthers(t *testing.T) {
	tests := []struct {
		file string
		want []string
	}{
		{"knot.zone", []string{`7e44cd99dca057e2 a.example. group="web"`, "3fa04ddf4d479d9d b.example."}},
		{"bind.zone", []string{"5960775ba382e7a4e09263fc06e7c00569b6a05c domain.example. coo=new.catalog.invalid.", "uniquelabel domain2.example."}},
	}
	for _, tt := range tests {
		b, err := os.ReadFile("testdata/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := Members(load(t, string(b)))
		if diff := cmp.Diff(tt.want, show(c)); diff != "" || len(problems) > 0 {
			t.Errorf("%s: %s %v", tt.file, diff, problems)
		}
	}
}

// However much is wrong, what is told is bounded.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString(basics + "version TXT 2\n")
	for i := range 500 {
		fmt.Fprintf(&b, "u%d.zones PTR example.com.\n", i)
	}
	c, problems := Members(load(t, b.String()))
	if c != nil || len(problems) != maxProblems {
		t.Errorf("%v, %d problems", show(c), len(problems))
	}
}

// PTR records that hold no name come from no zone file, but may come by transfer.
func TestNoName(t *testing.T) {
	for _, owner := range []string{"u1.zones.", "coo.u1.zones."} {
		for _, data := range []string{"", "\x05x", "\x01x\x00\x00"} {
			z := load(t, basics+"version TXT 2\nu2.zones PTR example.com.\n")
			add := []wire.RR{{Owner: name(t, owner+origin), Type: wire.TypePTR, Data: []byte(data)}}
			if owner[0] == 'c' {
				add = append(add, wire.RR{Owner: name(t, "u1.zones."+origin), Type: wire.TypePTR, Data: name(t, "example.net.")})
			}
			z, err := z.Apply(&zone.Changeset{Add: add})
			if err != nil {
				t.Fatal(err)
			}
			if c, problems := Members(z); c != nil || len(problems) != 1 || !strings.Contains(problems[0].Error(), owner+origin+": the PTR record holds no name") {
				t.Errorf("%s %q: %v, %v", owner, data, show(c), problems)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	read := func(records string) *Catalog {
		c, problems := Members(load(t, basics+"version TXT 2\n"+records))
		if c == nil {
			t.Fatal(problems)
		}
		return c
	}
	showAll := func(c *Changes) string {
		var out []string
		for _, l := range []struct {
			name    string
			members []Member
		}{{"came", c.Came}, {"gone", c.Gone}, {"reset", c.Reset}, {"changed", c.Changed}} {
			for _, m := range l.members {
				out = append(out, l.name+" "+showMember(&m))
			}
		}
		return strings.Join(out, "; ")
	}
	tests := []struct{ old, new, want string }{
		{"", "", ""},
		{"u1.zones PTR a.\n", "u1.zones PTR a.\n", ""},
		{"", "u1.zones PTR a.\nu2.zones PTR b.\n", "came u1 a.; came u2 b."},
		{"u1.zones PTR a.\nu2.zones PTR b.\n", "", "gone u1 a.; gone u2 b."},
		{"u1.zones PTR a.\nu2.zones PTR b.\nu3.zones PTR c.\n", "u0.zones PTR a.a.\nu2.zones PTR b.\nu4.zones PTR d.\n", "came u0 a.a.; came u4 d.; gone u1 a.; gone u3 c."},
		// RFC 9432 5.4: another label is a zone that is to begin anew, even if it was
		// the label of another zone.
		{"u1.zones PTR a.\nu2.zones PTR b.\n", "u2.zones PTR a.\nu1.zones PTR b.\n", "reset u2 a.; reset u1 b."},
		{"u1.zones PTR a.\n", "u2.zones PTR a.\ngroup.u2.zones TXT g\n", `reset u2 a. group="g"`},
		{"u1.zones PTR a.\n", "u1.zones PTR a.\ngroup.u1.zones TXT g\n", `changed u1 a. group="g"`},
		{"u1.zones PTR a.\ngroup.u1.zones TXT g\n", "u1.zones PTR a.\ngroup.u1.zones TXT h\n", `changed u1 a. group="h"`},
		{"u1.zones PTR a.\n", "u1.zones PTR a.\ncoo.u1.zones PTR n.\n", "changed u1 a. coo=n."},
	}
	for _, tt := range tests {
		c := Compare(read(tt.old), read(tt.new))
		if got := showAll(&c); got != tt.want || c.Empty() != (tt.want == "") {
			t.Errorf("%q to %q: %s; want %s", tt.old, tt.new, got, tt.want)
		}
	}
	if c := Compare(nil, read("u1.zones PTR a.\n")); showAll(&c) != "came u1 a." {
		t.Errorf("a new catalog: %s", showAll(&c))
	}
}

// RFC 9432 4.4.1.
func TestHandover(t *testing.T) {
	to := &Catalog{Apex: []byte("\x03new\x00"), Members: []Member{{Name: []byte("\x01a\x00"), ID: "u1"}}}
	tests := []struct {
		name      string
		from      []Member
		zone      string
		ok, reset bool
	}{
		{"allowed", []Member{{Name: []byte("\x01a\x00"), ID: "u1", Coo: to.Apex}}, "\x01a\x00", true, false},
		{"allowed, another label", []Member{{Name: []byte("\x01a\x00"), ID: "u2", Coo: to.Apex}}, "\x01a\x00", true, true},
		{"not allowed", []Member{{Name: []byte("\x01a\x00"), ID: "u1"}}, "\x01a\x00", false, false},
		{"to another", []Member{{Name: []byte("\x01a\x00"), ID: "u1", Coo: []byte("\x05other\x00")}}, "\x01a\x00", false, false},
		{"not listed before", nil, "\x01a\x00", false, false},
		{"not listed now", []Member{{Name: []byte("\x01b\x00"), ID: "u1", Coo: to.Apex}}, "\x01b\x00", false, false},
	}
	for _, tt := range tests {
		if ok, reset := Handover(&Catalog{Members: tt.from}, to, []byte(tt.zone)); ok != tt.ok || reset != tt.reset {
			t.Errorf("%s: %t, %t", tt.name, ok, reset)
		}
	}
}
