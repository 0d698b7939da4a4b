package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/check"
	"geodns/internal/zonefile"

	"github.com/google/go-cmp/cmp"
)

const checkedTop = `$ORIGIN example.org.
$TTL 3600
@       SOA  ns1 hostmaster 7 3600 600 604800 300
        NS   ns1
        NS   ns2
ns1     A    192.0.2.1
ns2     A    192.0.2.2
`

// zoneFiles puts files into a new directory.
func zoneFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckCommand(t *testing.T) {
	dir := zoneFiles(t, map[string]string{
		"good.zone":    checkedTop,
		"warned.zone":  checkedTop + "www CNAME nowhere\nns1 A 192.0.2.1\n",
		"bad.zone":     checkedTop + "@ MX 10 nowhere\nx A  192.0.2.300\n",
		"snippet":      strings.TrimPrefix(checkedTop, "$ORIGIN example.org.\n"),
		"good.yaml":    "zones: .\n",
		"invalid.yaml": "zoens: .\n",
	})
	const (
		dangling = "DIR/warned.zone:8:1: warning: the CNAME leads to nowhere.example.org., which does not exist; add that name, or remove the CNAME [cname-dangling]\n"
		twice    = "DIR/warned.zone:9:1: warning: the record stands twice; one of them is left out [duplicate]\n"
		missing  = "DIR/bad.zone:8:1: the mail exchanger nowhere.example.org. does not exist; add its A or AAAA record, or correct the name [mx-no-address]\n"
		address  = "DIR/bad.zone:9:6: \"192.0.2.300\" is no IPv4 address; write four numbers up to 255, without leading zeros, such as 192.0.2.1 [address]\n"
		good     = "DIR/good.zone: zone example.org., serial 7, 5 records: ok\n"
	)
	tests := []struct {
		args   string
		code   int
		stdout string
		stderr string // part of it
	}{
		{"DIR/good.zone", exitOK, good, ""},
		{"-q DIR/good.zone", exitOK, "", ""},
		{"--strict DIR/good.zone", exitOK, good, ""},
		{"--origin Example.ORG DIR/snippet", exitOK, "DIR/snippet: zone example.org., serial 7, 5 records: ok\n", ""},
		{"DIR/warned.zone", exitOK, dangling + twice + "DIR/warned.zone: zone example.org., serial 7, 7 records: ok, 2 warnings\n", ""},
		{"--strict -q DIR/warned.zone", exitFailure, dangling + twice, ""},
		{"--strict -q --ignore duplicate,cname-dangling DIR/warned.zone", exitOK, "", ""},
		{"--ignore duplicate -q DIR/warned.zone", exitOK, dangling, ""},
		{"--warnings=false DIR/warned.zone", exitOK, "DIR/warned.zone: zone example.org., serial 7, 7 records: ok\n", ""},
		{"DIR/bad.zone", exitFailure, missing + address + "DIR/bad.zone: zone example.org., 6 records: 2 errors; serve refuses the file\n", ""},
		{"-q DIR/none.zone", exitFailure, "DIR/none.zone:1:1: no such file or directory; mind the path, and who may read it [unreadable]\n", ""},
		{"--config DIR/good.yaml -q", exitFailure, missing + address + "DIR/good.zone:1:1: the zone example.org. is made by DIR/bad.zone already; remove one of the two files [zone-twice]\n" +
			"DIR/warned.zone:1:1: the zone example.org. is made by DIR/bad.zone already; remove one of the two files [zone-twice]\n" + dangling + twice, ""},
		{"--config DIR/invalid.yaml", exitConfig, "", "invalid.yaml:1:1: "},
		{"--config DIR/good.yaml DIR/good.zone", exitUsage, "", "leave out either"},
		{"-o xml DIR/good.zone", exitUsage, "", "neither text nor json"},
		{"--strict --warnings=false DIR/good.zone", exitUsage, "", "choose one"},
		{"--origin a DIR/good.zone DIR/bad.zone", exitUsage, "", "one zone file"},
		{"--origin a..b DIR/good.zone", exitUsage, "", "no domain name"},
		{"--ignore nothing DIR/good.zone", exitUsage, "", "no rule"},
		{"--ignore no-soa DIR/good.zone", exitUsage, "", "cannot be ignored"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields("check "+strings.ReplaceAll(tt.args, "DIR", dir)), &stdout, &stderr)
		if d := cmp.Diff(strings.ReplaceAll(tt.stdout, "DIR", dir), stdout.String()); d != "" {
			t.Errorf("check %s (-want +got):\n%s", tt.args, d)
		}
		if code != tt.code || !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
			t.Errorf("check %s: code %d, want %d; stderr %q, want %q", tt.args, code, tt.code, &stderr, tt.stderr)
		}
	}
}

// A directory is checked like the one of a configuration.
func TestCheckDirectory(t *testing.T) {
	dir := zoneFiles(t, map[string]string{"example.org.zone": checkedTop, "notes.txt": "no zone"})
	var stdout, stderr bytes.Buffer
	code := run([]string{"check", dir}, &stdout, &stderr)
	if want := filepath.Join(dir, "example.org.zone") + ": zone example.org., serial 7, 5 records: ok\n"; code != exitOK || stdout.String() != want {
		t.Errorf("code %d, %q, %q", code, &stdout, &stderr)
	}
}

// The JSON form is read by scripts: its fields stay.
func TestCheckJSON(t *testing.T) {
	dir := zoneFiles(t, map[string]string{"a.zone": checkedTop + "www CNAME nowhere\n@ MX 1 nowhere\n"})
	var stdout, stderr bytes.Buffer
	if code := run([]string{"check", "-o", "json", filepath.Join(dir, "a.zone")}, &stdout, &stderr); code != exitFailure {
		t.Errorf("code %d, stderr %q", code, &stderr)
	}
	var got map[string][]map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, z := range got["zones"] {
		if s, ok := z["seconds"].(float64); !ok || s <= 0 {
			t.Errorf("seconds: %v", z["seconds"])
		}
		delete(z, "seconds")
	}
	file := filepath.Join(dir, "a.zone")
	want := map[string][]map[string]any{
		"findings": {
			{
				"file": file, "line": 8.0, "column": 1.0, "severity": "warning", "rule": "cname-dangling",
				"message": "the CNAME leads to nowhere.example.org., which does not exist", "remedy": "add that name, or remove the CNAME",
			},
			{
				"file": file, "line": 9.0, "column": 1.0, "severity": "error", "rule": "mx-no-address",
				"message": "the mail exchanger nowhere.example.org. does not exist", "remedy": "add its A or AAAA record, or correct the name",
			},
		},
		"zones": {{
			"file": file, "zone": "example.org.", "serial": 7.0, "records": 7.0, "names": 4.0,
			"errors": 1.0, "warnings": 1.0, "left": 0.0, "refused": false,
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	stdout.Reset()
	run([]string{"check", "-o", "json", "--ignore", "cname-dangling", "--origin", "b", filepath.Join(dir, "none")}, &stdout, &stderr)
	if !strings.HasPrefix(stdout.String(), "{\n  \"findings\": [\n") {
		t.Errorf("%s", &stdout)
	}
}

func TestCheckRules(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"check", "--rules"}, &stdout, &stderr); code != exitOK {
		t.Fatalf("code %d, %q", code, &stderr)
	}
	if got := strings.Count(stdout.String(), "\n"); got != len(check.Rules()) {
		t.Errorf("%d lines for %d rules", got, len(check.Rules()))
	}
	stdout.Reset()
	run([]string{"check", "--rules", "-o", "json"}, &stdout, &stderr)
	var list []ruleJSON
	if err := json.Unmarshal(stdout.Bytes(), &list); err != nil || len(list) != len(check.Rules()) {
		t.Errorf("%d rules, %v", len(list), err)
	}
}

// Colours are for terminals; what a file says cannot steer one.
func TestCheckColours(t *testing.T) {
	r := &check.Report{
		Findings: []zonefile.Finding{
			{Pos: zonefile.Pos{File: "a\x1b[2J", Line: 1, Column: 2}, Rule: "x", Message: "bad\a", Remedy: "mend\r it"},
			{Pos: zonefile.Pos{File: "b", Line: 3, Column: 4}, Severity: zonefile.Warning, Rule: "y", Message: "odd"},
		},
		Zones: []check.Summary{
			{File: "a", Errors: 1, Refused: true},
			{File: "b", Zone: "b.", Serial: 1, Records: 1, Warnings: 2, Left: 3},
			{File: "c", Records: 2},
			{File: "d", Records: 2, Errors: 2, Warnings: 1},
		},
	}
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		if err := printText(&out, r, false, colour); err != nil {
			t.Fatal(err)
		}
		want := "<1>a?[2J:1:2<0>: <31>bad?; mend? it<0> [x]\n<1>b:3:4<0>: <33>warning: odd<0> [y]\n" +
			"a: 0 records: <31>1 error; serve refuses the file<0>\nb: zone b., serial 1, 1 record: <33>ok, 2 warnings, 3 more of the same kinds<0>\nc: serial 0, 2 records: <32>ok<0>\n" +
			"d: serial 0, 2 records: <31>2 errors, 1 warning<0>\n"
		for _, code := range []int{0, 1, 31, 32, 33} {
			escape := ""
			if colour {
				escape = fmt.Sprintf("\x1b[%dm", code)
			}
			want = strings.ReplaceAll(want, fmt.Sprintf("<%d>", code), escape)
		}
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Errorf("colour %v (-want +got):\n%s", colour, d)
		}
	}
	if colours(&bytes.Buffer{}) {
		t.Error("a buffer is taken for a terminal")
	}
}
