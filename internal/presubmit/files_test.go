package presubmit

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is how long a Go file may be: what is longer is two files.
const maxLines = 600

// tooLong says so if data has more than maxLines lines.
func tooLong(file string, data []byte) string {
	if n := bytes.Count(data, []byte("\n")); n > maxLines {
		return fmt.Sprintf("%s has %d lines; split it, at most %d", file, n, maxLines)
	}
	return ""
}

// undocumented says so if no file has a package comment as godoc wants it.
func undocumented(name string, files map[string][]byte) string {
	for file, data := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, data, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return fmt.Sprintf("%s: %v", name, err)
		}
		want := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			want = "Command "
		}
		if f.Doc != nil && strings.HasPrefix(f.Doc.Text(), want) {
			return ""
		}
	}
	return fmt.Sprintf("%s has no package comment that says what it owns, and its invariant", name)
}

func TestFileLength(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		if !p.ours() {
			continue
		}
		for _, file := range p.files() {
			seen++
			if problem := tooLong(file, read(t, file)); problem != "" {
				t.Error(problem)
			}
		}
	}
	if seen == 0 {
		t.Error("no files were found")
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		if !p.ours() || len(p.GoFiles) == 0 {
			continue
		}
		files := map[string][]byte{}
		for _, file := range p.files() {
			files[file] = read(t, file)
		}
		if problem := undocumented(p.name(), files); problem != "" {
			t.Error(problem)
		}
	}
}

func TestFileCheckers(t *testing.T) {
	long := []byte(strings.Repeat("\n", maxLines))
	if got := tooLong("a.go", long); got != "" {
		t.Errorf("%d lines: %s", maxLines, got)
	}
	if tooLong("a.go", append(long, '\n')) == "" {
		t.Errorf("%d lines are not too long", maxLines+1)
	}
	tests := []struct {
		text string
		bad  bool
	}{
		{"// Package a owns nothing.\npackage a\n", false},
		{"// Command a does nothing.\npackage main\n", false},
		{"// Package b is of another name.\npackage a\n", true},
		{"// Package a is apart.\n\npackage a\n", true},
		{"package a\n", true},
		{"pakcage a\n", true},
	}
	for _, tt := range tests {
		if got := undocumented("a", map[string][]byte{"a.go": []byte(tt.text)}); (got != "") != tt.bad {
			t.Errorf("%q: problem %q, want one: %v", tt.text, got, tt.bad)
		}
	}
}

// The list of Debian packages is sorted, and some test runs each command.
func TestPackagesList(t *testing.T) {
	dir := root(t)
	packages, problems := parsePackages(string(read(t, filepath.Join(dir, ".ci", "packages"))))
	for command, name := range packages {
		if !mentioned(t, dir, command) {
			problems = append(problems, fmt.Sprintf("%s is there for %s, which no test runs; remove it", name, command))
		}
	}
	for _, p := range problems {
		t.Errorf(".ci/packages: %s", p)
	}
}

// parsePackages returns the packages by the command that each is there for.
func parsePackages(text string) (packages map[string]string, problems []string) {
	packages = map[string]string{}
	last := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
			continue
		case len(f) != 2:
			problems = append(problems, fmt.Sprintf("%q: must be PACKAGE COMMAND", strings.TrimSpace(line)))
			continue
		case f[0] <= last:
			problems = append(problems, fmt.Sprintf("%s comes after %s; sort the list, each package once", f[0], last))
		}
		last = f[0]
		packages[f[1]] = f[0]
	}
	return packages, problems
}

// mentioned reports whether a file below dir has command as a Go string or as
// the word that begins a line of a script.
func mentioned(t *testing.T, dir, command string) bool {
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".go", ".txtar"}, filepath.Ext(path)) {
			return err
		}
		data := read(t, path)
		if bytes.Contains(data, []byte(`"`+command+`"`)) || bytes.Contains(data, []byte("\nexec "+command+" ")) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPackagesChecker(t *testing.T) {
	packages, problems := parsePackages("# list\nb two\n\na one\na one\nc\n")
	if packages["one"] != "a" || packages["two"] != "b" || len(packages) != 2 {
		t.Errorf("packages are %v", packages)
	}
	want := []string{"a comes after b; sort the list, each package once", "a comes after a; sort the list, each package once", `"c": must be PACKAGE COMMAND`}
	if !slices.Equal(problems, want) {
		t.Errorf("problems are %q, want %q", problems, want)
	}
	if mentioned(t, ".", "no-such"+"-command") {
		t.Error("a command is found that nobody mentions")
	}
}

// Scripts are parsed by the shell that is to run them.
func TestScriptsParse(t *testing.T) {
	dir := root(t)
	scripts, err := filepath.Glob(filepath.Join(dir, "scripts", "*"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, s := range append(scripts, filepath.Join(dir, ".ci", "run")) {
		if out, err := exec.Command("bash", "-n", s).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s, err, out)
		}
		if info, err := os.Stat(s); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed: %v", s, err)
		}
		if !bytes.Contains(read(t, s), []byte("\nset -euo pipefail\n")) {
			t.Errorf("%s goes on after errors; it needs set -euo pipefail", s)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
