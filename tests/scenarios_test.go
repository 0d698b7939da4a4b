// Package tests holds the black-box scenarios: one txtar file each, filed by
// RFC in scenarios and by bug in bugs, run against a server process over real
// sockets. See README.md for how to write one.
package tests

import (
	"os"
	"path/filepath"
	"testing"

	"geodns/tests/harness"

	"github.com/rogpeppe/go-internal/testscript"
)

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &target)) }

func TestScenarios(t *testing.T) {
	runScripts(t, "scenarios", 1)
}

// TestBugs runs what was once wrong. There may be nothing yet.
func TestBugs(t *testing.T) {
	runScripts(t, "bugs", 0)
}

func runScripts(t *testing.T, dir string, least int) {
	if err := harness.NoteSources(".."); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < least {
		t.Fatalf("no scenarios in %s", dir)
	}
	if len(files) == 0 {
		return
	}
	p := harness.Params(target)
	p.Files = files
	testscript.Run(t, p)
}
