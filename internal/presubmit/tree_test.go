package presubmit

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is the path of the module; packages are called by what follows it.
const module = "geodns/"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	Export     string   // file with export data, if asked for
	GoFiles    []string // without tests
	Imports    []string // of GoFiles
}

// name is the path in the module, such as internal/wire.
func (p *pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// ours reports whether the package is of this module.
func (p *pkg) ours() bool { return strings.HasPrefix(p.ImportPath, module) }

// files are the full names of GoFiles.
func (p *pkg) files() []string {
	out := make([]string, len(p.GoFiles))
	for i, f := range p.GoFiles {
		out[i] = filepath.Join(p.Dir, f)
	}
	return out
}

// root is the directory of go.mod.
func root(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(string(output(t, "go", "list", "-m", "-f", "{{.Dir}}")))
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return out
}

// list returns the packages of the module and all that they depend on, by
// import path. flags are further flags of go list.
func list(t *testing.T, flags ...string) map[string]*pkg {
	t.Helper()
	args := append([]string{"list", "-pgo=off", "-e", "-deps", "-json=ImportPath,Dir,Standard,Export,GoFiles,Imports"}, flags...)
	out := map[string]*pkg{}
	for d := json.NewDecoder(strings.NewReader(string(output(t, "go", append(args, module+"...")...)))); ; {
		p := &pkg{}
		switch err := d.Decode(p); err {
		case nil:
			out[p.ImportPath] = p
		case io.EOF:
			if len(out) == 0 {
				t.Fatal("go list knows no packages")
			}
			return out
		default:
			t.Fatalf("go list: %v", err)
		}
	}
}
