package check

import (
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/zonedir"
	"geodns/internal/zonefile"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// today is when the zones in testdata are checked.
func today() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// testCase is a zone file of testdata, or a directory of them.
type testCase struct {
	name  string
	files []string
}

func testCases(t *testing.T) (cases []testCase) {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join("testdata", e.Name())
		switch {
		case e.IsDir():
			files, err := List(path)
			if err != nil || len(files) < 2 {
				t.Fatalf("%s: %d files, %v", path, len(files), err)
			}
			cases = append(cases, testCase{e.Name(), files})
		case strings.HasSuffix(path, zonedir.Suffix):
			cases = append(cases, testCase{strings.TrimSuffix(e.Name(), zonedir.Suffix), []string{path}})
		}
	}
	if len(cases) == 0 {
		t.Fatal("there are no cases")
	}
	return cases
}

// wanted reads what the comments `; want RULE..` in files say, as file:line
// rule.
func wanted(t *testing.T, files []string) (out []string) {
	t.Helper()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			_, rules, _ := strings.Cut(line, "; want ")
			for _, r := range strings.Fields(rules) {
				out = append(out, fmt.Sprintf("%s:%d %s", file, n, r))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Every zone in testdata gives the findings that its comments say, in the words
// of the golden file beside it; every rule has a case that is named after it.
func TestRules(t *testing.T) {
	met := map[string]bool{}
	world := builtInWorld()
	for _, tt := range testCases(t) {
		t.Run(tt.name, func(t *testing.T) {
			report := Files(tt.files, Options{Now: today(), Rankings: world, Whole: tt.name != "steer-without"})
			var got []string
			var golden strings.Builder
			read := slices.Clone(tt.files)
			for _, f := range report.Findings {
				got = append(got, fmt.Sprintf("%s:%d %s", f.Pos.File, f.Pos.Line, f.Rule))
				fmt.Fprintf(&golden, "%s [%s]\n", f, f.Rule)
				met[tt.name+" "+f.Rule] = true
				if !slices.Contains(read, f.Pos.File) {
					read = append(read, f.Pos.File) // included
				}
			}
			slices.Sort(got)
			if d := gocmp.Diff(wanted(t, read), got); d != "" {
				t.Errorf("findings (-want +got):\n%s\n%s", d, golden.String())
			}
			compareGolden(t, filepath.Join("testdata", tt.name+".golden"), golden.String())
		})
	}
	for _, r := range Rules() {
		if !met[r.ID+" "+r.ID] {
			t.Errorf("no case in testdata is named after the rule %s and breaks it", r.ID)
		}
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// What serve would say of a file is said here too, in the same words and at the
// same place; where serve knows no place, at a better one.
func TestSameWordsAsServe(t *testing.T) {
	type key struct{ place, rule string }
	for _, tt := range testCases(t) {
		for _, file := range tt.files {
			here := map[key]zonefile.Finding{}
			rules := map[string]bool{}
			report := Files([]string{file}, Options{Now: today(), Whole: true})
			for _, f := range report.Findings {
				here[key{f.Pos.String(), f.Rule}] = f
				rules[f.Rule] = true
			}
			served := zonedir.ReadFile(file)
			accept(&served)
			for _, f := range served.Findings {
				if f.Pos.Line == 1 && !strings.HasPrefix(f.Rule, "steer-") {
					if !rules[f.Rule] {
						t.Errorf("serve says %s", f)
					}
					continue
				}
				if d := gocmp.Diff(f, here[key{f.Pos.String(), f.Rule}]); d != "" {
					t.Errorf("%s (-serve +check):\n%s", f.Pos, d)
				}
			}
			if got := report.Zones[0].Refused; got != served.Broken() {
				t.Errorf("%s: refused %v, serve: %v", file, got, served.Broken())
			}
		}
	}
}

// The samples that users begin with are spotless.
func TestSamples(t *testing.T) {
	report, err := Dir(filepath.Join("..", "..", "zones"), Options{Now: today()})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Zones) < 3 || len(report.Findings) > 0 {
		t.Errorf("%d zones, findings %v", len(report.Zones), report.Findings)
	}
}

func TestRuleTable(t *testing.T) {
	seen := map[string]bool{}
	for i, r := range Rules() {
		if r.ID == "" || r.Text == "" || r.Subject == "" || seen[r.ID] {
			t.Errorf("rule %d: %+v", i, r)
		}
		seen[r.ID] = true
	}
}

// The table in the documentation is that of the rules.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "check.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range Rules() {
		severity := "error"
		if r.Severity == zonefile.Warning {
			severity = "warning"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", r.ID, severity, r.Text))
	}
	_, table, found := strings.Cut(string(data), "## Rules\n")
	if !found {
		t.Fatal("docs/check.md has no heading `## Rules`")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("docs/check.md (-want +got):\n%s", d)
	}
}

// write puts a zone file into a directory of its own.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptions(t *testing.T) {
	path := filepath.Join("testdata", "cname-and-other.zone")
	warned := filepath.Join("testdata", "duplicate.zone")
	count := func(o Options, files ...string) [2]int {
		o.Now = today()
		r := Files(files, o)
		return [2]int{r.Errors(), r.Warnings()}
	}
	// Both make the zone example.org, which is an error more.
	if got := count(Options{}, path, warned); got != [2]int{4, 4} {
		t.Errorf("errors and warnings: %v", got)
	}
	if got := count(Options{NoWarnings: true}, path, warned); got != [2]int{4, 0} {
		t.Errorf("without warnings: %v", got)
	}
	if got := count(Options{Ignore: []string{"duplicate", "zone-twice", "cname-and-other"}}, path, warned); got != [2]int{4, 0} {
		t.Errorf("ignored: %v", got)
	}
	zone := write(t, "anything", "@ 300 SOA ns1 hostmaster 1 3600 600 604800 300\n@ 300 NS ns1\n@ 300 NS ns2\nns1 300 A 192.0.2.1\nns2 300 A 192.0.2.2\n")
	r := Files([]string{zone}, Options{Origin: []byte("\x07example\x00")})
	if got := r.Zones[0].Zone; got != "example." || len(r.Findings) > 0 {
		t.Errorf("zone %s, findings %v", got, r.Findings)
	}
}

// A file that cannot be read is a finding, like others.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	bad := write(t, "a..b.zone", "@ 300 SOA ns1 hostmaster 1 3600 600 604800 300\n")
	outer := write(t, "example.zone", "$INCLUDE ../secret\n$INCLUDE /etc/hostname\n")
	for path, rule := range map[string]string{
		filepath.Join(dir, "none.zone"): "unreadable",
		dir:                             "unreadable",
		bad:                             "file-name",
		outer:                           "include",
	} {
		r := Files([]string{path}, Options{Now: today()})
		if len(r.Findings) == 0 || r.Findings[0].Rule != rule || !r.Zones[0].Refused {
			t.Errorf("%s: %+v, want %s", path, r, rule)
		}
	}
	if _, err := Dir(filepath.Join(dir, "none"), Options{}); err == nil {
		t.Error("a directory that isn't there is read")
	}
}

// Of one rule and zone the first findings are told, and the others counted.
func TestManyFindings(t *testing.T) {
	path := write(t, "example.zone", `$TTL 300
@ SOA ns1 hostmaster 1 3600 600 604800 300
  NS ns1
  NS ns2
ns1 A 192.0.2.1
ns2 A 192.0.2.2
$GENERATE 1-1500 a$ CNAME nowhere
`)
	r := Files([]string{path}, Options{Now: today()})
	if got := r.Zones[0]; got.Warnings != maxOfRule || got.Left != 500 {
		t.Errorf("%+v", got)
	}
}

// Findings come in the order of files, lines and columns.
func TestOrder(t *testing.T) {
	var files []string
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, zonedir.Suffix) {
			files = append([]string{path}, files...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := Files(files, Options{Now: today()})
	if len(r.Findings) < len(rules) || !slices.IsSortedFunc(r.Findings, func(a, b zonefile.Finding) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	}) {
		t.Errorf("%d findings, or they are not sorted", len(r.Findings))
	}
}
