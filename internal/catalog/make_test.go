package catalog

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// list makes members of names.
func list(t testing.TB, names ...string) (out []Member) {
	t.Helper()
	for _, n := range names {
		out = append(out, Member{Name: name(t, n)})
	}
	return out
}

// dump is a zone as text, sorted, without its SOA.
func dump(z *zone.Zone) string {
	var lines []string
	z.Each(func(owner []byte, s *zone.RRset) bool {
		for _, data := range split(s.Records) {
			if s.Type != wire.TypeSOA {
				lines = append(lines, string(zonefile.AppendRR(nil, &wire.RR{Owner: owner, Type: s.Type, TTL: s.TTL, Data: data})))
			}
		}
		return true
	})
	slices.Sort(lines)
	return strings.ReplaceAll(strings.Join(lines, "\n"), "\t", " ")
}

func TestMakeNew(t *testing.T) {
	members := list(t, "domain.example.", "B.example.", "domain.EXAMPLE.", "catalog.invalid.")
	members[1].Groups = []string{"b", "a", "b", strings.Repeat("x", 300)}
	members[1].Coo = name(t, "New.Invalid.")
	z, c, err := Make(nil, name(t, "Catalog.Invalid."), 2026, members)
	if err != nil {
		t.Fatal(err)
	}
	if c != nil || z.Serial() != 2026 {
		t.Errorf("changes %v, serial %d", c, z.Serial())
	}
	sum := sha1.Sum([]byte("\x01b\x07example\x00"))
	b := hex.EncodeToString(sum[:])
	// The label that BIND's manual gives domain.example.
	want := []string{
		"5960775ba382e7a4e09263fc06e7c00569b6a05c.zones.catalog.invalid. 0 IN PTR domain.example.",
		b + ".zones.catalog.invalid. 0 IN PTR b.example.",
		"catalog.invalid. 0 IN NS invalid.",
		"coo." + b + ".zones.catalog.invalid. 0 IN PTR new.invalid.",
		"group." + b + `.zones.catalog.invalid. 0 IN TXT "` + strings.Repeat("x", 255) + `" "` + strings.Repeat("x", 45) + `"`,
		"group." + b + `.zones.catalog.invalid. 0 IN TXT "a"`,
		"group." + b + `.zones.catalog.invalid. 0 IN TXT "b"`,
		`version.catalog.invalid. 0 IN TXT "2"`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(strings.Join(want, "\n"), dump(z)); diff != "" {
		t.Error(diff)
	}
	if z, _, err := Make(nil, name(t, origin), 0, nil); err != nil || z.Serial() != 1 {
		t.Errorf("%v, serial %d", err, z.Serial())
	}
}

func TestMakeRefuses(t *testing.T) {
	a := name(t, "a.")
	other := load(t, strings.ReplaceAll(basics, "@", "other.catalog.invalid."))
	tests := []struct {
		name    string
		old     *zone.Zone
		apex    []byte
		members []Member
		want    string
	}{
		{"apex", nil, []byte("\x01a"), nil, "its name is not valid"},
		{"no apex", nil, nil, nil, "its name is not valid"},
		{"long apex", nil, name(t, strings.Repeat("aaaaaaaaa.", 21)), nil, "choose one of at most 202"},
		{"another zone", other, name(t, origin), nil, "the version before is the zone other.catalog.invalid."},
		{"no name", nil, a, []Member{{}}, "no valid name"},
		{"bad name", nil, a, []Member{{Name: []byte("\x40a")}}, "no valid name"},
		{"bad coo", nil, a, []Member{{Name: a, Coo: []byte("\x01")}}, "no valid name"},
		{"long label", nil, a, []Member{{Name: name(t, "b."), ID: strings.Repeat("l", 64)}}, "longer than 63 octets"},
		{"long label and apex", nil, name(t, strings.Repeat("aaaaaaaaa.", 20)), []Member{{Name: name(t, "b."), ID: strings.Repeat("l", 63)}}, "leaves no room"},
		{"a label twice", nil, a, []Member{{Name: name(t, "b."), ID: "x"}, {Name: name(t, "c."), ID: "X"}}, `b. and c. are to have the same label "x"`},
		{"too many groups", nil, a, []Member{{Name: name(t, "b."), Groups: manyGroups()}}, "longer than any message"},
	}
	for _, tt := range tests {
		if _, _, err := Make(tt.old, tt.apex, 1, tt.members); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "catalog ") {
			t.Errorf("%s: %v; want ..%s..", tt.name, err, tt.want)
		}
	}
}

func manyGroups() (list []string) {
	for i := range 300 {
		list = append(list, strconv.Itoa(i)+strings.Repeat("g", 250))
	}
	return list
}

func TestSerial(t *testing.T) {
	tests := []struct{ old, hint, want uint32 }{
		{5, 0, 6},
		{5, 5, 6},
		{5, 4, 6},
		{5, 2026, 2026},
		{1<<32 - 1, 0, 1}, // not 0, which some take for none
		{1<<32 - 1, 3, 3},
		{1<<32 - 2, 0, 1<<32 - 1}, // 0 is no hint, though it is after that serial
		{1, 1<<31 + 1, 2},         // RFC 1982 3.2: neither is greater
		{1, 1 << 31, 1 << 31},
	}
	for _, tt := range tests {
		old, _, err := Make(nil, name(t, origin), tt.old, nil)
		if err != nil {
			t.Fatal(err)
		}
		z, c, err := Make(old, name(t, origin), tt.hint, list(t, "a."))
		if err != nil || z.Serial() != tt.want {
			t.Errorf("%d and %d: %d, %v; want %d", tt.old, tt.hint, z.Serial(), err, tt.want)
		}
		if again, err := old.Apply(c); err != nil || dump(again) != dump(z) || again.Serial() != z.Serial() {
			t.Errorf("the changes do not lead to the zone: %v", err)
		}
		// Nothing to be done: nothing happens, however high the hint.
		if same, c, err := Make(z, name(t, origin), tt.want+9, list(t, "A.")); err != nil || same != z || !c.Empty() {
			t.Errorf("%v, %v", c, err)
		}
	}
}

// What stands in the version before, and Make did not put there.
func TestMakeKeeps(t *testing.T) {
	const (
		front = "other.catalog.invalid. 0 IN TXT \"x\"\n"
		rest  = "version.catalog.invalid. 0 IN TXT \"2\""
	)
	tests := []struct {
		name, old string
		members   []Member
		want      string
	}{
		{
			"labels of others, and custom properties", "version TXT 2\nzones TXT z\nuu.zones PTR A.\nx.ext.uu.zones TXT e\nuu.zones TXT y\n",
			list(t, "a."),
			"uu.zones.catalog.invalid. 0 IN PTR A.\nuu.zones.catalog.invalid. 0 IN TXT \"y\"\n%vx.ext.uu.zones.catalog.invalid. 0 IN TXT \"e\"\nzones.catalog.invalid. 0 IN TXT \"z\"",
		},
		{
			"all that is below a member that goes", "version TXT 2\nuu.zones PTR a.\nx.ext.uu.zones TXT e\ngroup.uu.zones TXT g\ncoo.uu.zones PTR n.\nuu.zones TXT y\nstray.vv.zones TXT s\n",
			nil, "%v",
		},
		{
			"a broken one is mended", "version TXT 1\nversion TXT 3\nu2.zones PTR a.\nu1.zones PTR a.\nu3.zones PTR b.\nu3.zones PTR a.\n",
			[]Member{{Name: []byte("\x01a\x00")}},
			"u1.zones.catalog.invalid. 0 IN PTR a.\n%v",
		},
		{
			"a label that goes to another", "version TXT 2\nuu.zones PTR a.\nx.ext.uu.zones TXT e\nvv.zones PTR b.\n",
			[]Member{{Name: []byte("\x01b\x00"), ID: "UU"}},
			"uu.zones.catalog.invalid. 0 IN PTR b.\n%v",
		},
		{
			"groups and coo", "version TXT 2\nuu.zones PTR a.\ngroup.uu.zones 5 TXT g\ngroup.uu.zones 5 TXT h\ncoo.uu.zones PTR n.\n",
			[]Member{{Name: []byte("\x01a\x00"), Groups: []string{"i", "h"}, Coo: []byte("\x01m\x00")}},
			"coo.uu.zones.catalog.invalid. 0 IN PTR m.\ngroup.uu.zones.catalog.invalid. 5 IN TXT \"h\"\ngroup.uu.zones.catalog.invalid. 5 IN TXT \"i\"\nuu.zones.catalog.invalid. 0 IN PTR a.\n%v",
		},
	}
	for _, tt := range tests {
		old := load(t, basics+"other TXT x\n"+tt.old)
		z, c, err := Make(old, name(t, origin), 0, tt.members)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := strings.Split(strings.Replace("catalog.invalid. 0 IN NS invalid.\n"+front+tt.want, "%v", rest+"\n", 1), "\n")
		want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
		slices.Sort(want)
		if diff := cmp.Diff(strings.Join(want, "\n"), dump(z)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if c.Empty() != (z == old) {
			t.Errorf("%s: %v", tt.name, c)
		}
	}
}

// poorLabel has labels of one octet, so that they collide.
func poorLabel(name []byte, attempt int) string {
	sum := sha1.Sum(append(bytes.Clone(name), byte(attempt), byte(attempt>>8)))
	return string('a' + sum[0]%26)
}

// From list to list: each catalog says what it was made of, the changes are those
// that there are, and labels stay.
func TestMakeModel(t *testing.T) {
	someName := rapid.SampledFrom([]string{".", "a.", "A.", "b.", "a.b.", "c.", "d.", "e.", "f.", "g.", "catalog.invalid.", `\000.`, "*.a."})
	someGroups := rapid.SliceOfN(rapid.SampledFrom([]string{"g", "h", "", "G"}), 0, 2)
	rapid.Check(t, func(r *rapid.T) {
		// A label that one zone left and another took brings records of the one in
		// place of the same of the other.
		label, exact := hashLabel, true
		if rapid.Bool().Draw(r, "poor") {
			label, exact = poorLabel, false
		}
		apex := name(t, origin)
		var old *zone.Zone
		labels := map[string]string{}
		for range rapid.IntRange(1, 5).Draw(r, "steps") {
			want := map[string]Member{}
			var members []Member
			for range rapid.IntRange(0, 8).Draw(r, "members") {
				m := Member{Name: name(t, someName.Draw(r, "name")), Groups: someGroups.Draw(r, "groups")}
				if rapid.Bool().Draw(r, "coo") {
					m.Coo = name(t, someName.Draw(r, "new"))
				}
				members = append(members, m)
				key := string(wire.AppendLower(nil, m.Name))
				if _, twice := want[key]; !twice && key != string(apex) {
					want[key] = m
				}
			}
			z, c, err := makeBy(label, old, apex, 0, members)
			if err != nil {
				r.Fatal(err)
			}
			checkMade(r, z, want, labels)
			if old != nil {
				checkChanges(r, old, z, c, exact)
			}
			old = z
		}
	})
}

// checkMade compares a catalog with what it was made of. labels are those of the
// version before, and become those of this one.
func checkMade(r *rapid.T, z *zone.Zone, want map[string]Member, labels map[string]string) {
	got, problems := Members(z)
	if got == nil || len(problems) > 0 || len(got.Members) != len(want) {
		r.Fatalf("%v, %v; want %d members", show(got), problems, len(want))
	}
	next := map[string]string{}
	for _, m := range got.Members {
		w, ok := want[string(m.Name)]
		groups := slices.Clone(w.Groups)
		slices.Sort(groups)
		if !ok || !slices.Equal(slices.Compact(groups), m.Groups) || !bytes.Equal(wire.AppendLower(nil, w.Coo), m.Coo) {
			r.Fatalf("%s; want %+v", showMember(&m), w)
		}
		if id, had := labels[string(m.Name)]; had && id != m.ID {
			r.Fatalf("%s had the label %s", showMember(&m), id)
		}
		next[string(m.Name)] = m.ID
	}
	clear(labels)
	for k, v := range next {
		labels[k] = v
	}
}

func checkChanges(r *rapid.T, old, z *zone.Zone, c *zone.Changeset, exact bool) {
	diff := zone.Diff(old, z)
	if exact && (len(diff.Del) != len(c.Del) || len(diff.Add) != len(c.Add)) || diff.Empty() != c.Empty() {
		r.Fatalf("%d go and %d come; the difference is %d and %d", len(c.Del), len(c.Add), len(diff.Del), len(diff.Add))
	}
	if c.Empty() {
		return
	}
	if z.Serial() != old.Serial()+1 {
		r.Fatalf("from serial %d to %d", old.Serial(), z.Serial())
	}
	if again, err := old.Apply(c); err != nil || dump(again) != dump(z) {
		r.Fatalf("the changes do not lead there: %v", err)
	}
}

// All primaries make the same catalog of the same zones, in whatever order.
func TestMakeOrder(t *testing.T) {
	var members []Member
	for i := range 12 {
		members = append(members, Member{Name: name(t, fmt.Sprintf("z%d.example.", i))})
	}
	first, _, err := makeBy(poorLabel, nil, name(t, origin), 1, members)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		z, _, err := makeBy(poorLabel, nil, name(t, origin), 1, members)
		if err != nil || dump(z) != dump(first) {
			t.Fatalf("%v: %s\n%s", err, dump(z), dump(first))
		}
	}
}

func many(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		label := "zone" + strconv.Itoa(i)
		members[i].Name = append([]byte{byte(len(label))}, label+"\x07example\x00"...)
	}
	return members
}

const manyZones = 100_000

func BenchmarkMake(b *testing.B) {
	apex := []byte("\x07catalog\x07invalid\x00")
	all := many(manyZones)
	full, _, err := Make(nil, apex, 1, all)
	if err != nil {
		b.Fatal(err)
	}
	empty, _, err := Make(nil, apex, 1, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		name    string
		old     *zone.Zone
		members []Member
	}{{"new", nil, all}, {"one", full, all[1:]}, {"same", full, all}, {"all", empty, all}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Make(bm.old, apex, 0, bm.members); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c, _ := Members(full); c == nil || len(c.Members) != manyZones {
				b.Fatal("wrong")
			}
		}
	})
	b.Run("compare", func(b *testing.B) {
		c, _ := Members(full)
		b.ReportAllocs()
		for b.Loop() {
			if d := Compare(c, c); !d.Empty() {
				b.Fatal("wrong")
			}
		}
	})
}
