package presubmit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of the house each may import: things flow one
// way. A package that is not here has no place in the house yet.
var mayImport = map[string][]string{
	"cmd/geodns": {anything},

	// The query path, from the message to the snapshot.
	"internal/wire":      nil,
	"internal/zone":      {"wire"},
	"internal/geo/place": nil,
	"internal/health":    nil,
	"internal/steer":     {"geo/place", "health", "steer/record", "wire", "zone"},
	"internal/world":     {"wire", "zone", "steer", "health"},
	"internal/resolver":  {"wire", "zone", "world", "steer", "health"},
	"internal/live":      {"zone", "world", "steer", "health"},
	"internal/server":    {"wire", "geo", "resolver", "live", "steer", "tsig"},
	"internal/tsig":      {"wire"},

	// What is read of steering and of geography.
	"internal/steer/record":        {"wire"},
	"internal/steer/positions":     {"steer", "wire", "zonefile"},
	"internal/geo":                 {"geo/place"},
	"internal/geo/build":           {"geo", "geo/country"},
	"internal/geo/builtin":         {"geo"},
	"internal/geo/builtin/mkworld": {"geo", "geo/build", "geo/builtin"},
	"internal/geo/country":         nil,

	// What changes the snapshot.
	"internal/zonefile":  {"wire"},
	"internal/zonedir":   {"wire", "zone", "zonefile", "steer", "steer/positions"},
	"internal/zonestore": {"zone", "wire"},
	"internal/probe":     {"health", "steer/record", "wire"},
	"internal/drains":    {"health", "publish"},
	"internal/sides":     {"publish"},
	"internal/drill":     {"wire", "zonefile", "world", "steer", "steer/record", "geo/place", "health", "resolver"},
	"internal/spill":     {"publish", "steer"},
	"internal/monitor":   {"health", "probe", "steer", "steer/record"},
	"internal/check":     {"wire", "zone", "zonefile", "zonedir", "steer", "steer/record", "steer/positions", "geo", "geo/place", "geo/builtin", "geo/country"},
	"internal/explain":   {"wire", "zone", "zonefile", "world", "steer", "steer/record", "geo", "geo/place", "health", "resolver"},
	"internal/publish":   {"wire", "zone", "zonemd", "world", "steer", "steer/record", "live", "health"},
	"internal/transfer":  {"wire", "world", "live", "server", "transfer/send", "update"},

	// What goes to secondaries, and what comes from primaries.
	"internal/transfer/send":     {"tsig", "wire", "zone"},
	"internal/transfer/notify":   {"tsig", "wire"},
	"internal/transfer/fetch":    {"transfer/message", "tsig", "wire", "zone"},
	"internal/transfer/message":  {"wire"},
	"internal/transfer/refresh":  {"transfer/fetch", "wire", "zone"},
	"internal/transfer/converge": {"transfer/fetch", "wire"},
	"internal/catalog":           {"wire", "zone"},
	"internal/zonemd":            {"wire", "zone"},

	// What changes zones by message.
	"internal/update": {"transfer/message", "wire", "zone", "steer", "publish"},

	// What is handed readers by main.
	"internal/control":   nil,
	"internal/metrics":   nil,
	"internal/dashboard": nil,
	"internal/config":    nil,

	"internal/presubmit": nil,
	// Black boxes: they know the program by its sockets.
	"tests":           {"tests/harness"},
	"tests/harness":   nil,
	"tests/edgeprobe": {"tests/harness"},
	"tests/bench":     nil,
	"tests/failover":  {"tests/harness"},
	"tests/sync":      {"tests/harness"},
	"tests/steering":  {"tests/harness"},
	"tests/updates":   {"tests/harness"},
	// It also watches a directory in its own process, for the race detector.
	"tests/git": {"wire", "zone", "zonefile", "zonedir", "world", "live", "publish", "resolver", "tests/harness"},
}

const anything = "*"

// pure packages compute: they reach no sockets, no files, no store, no log, on
// whatever way.
var pure = []string{"internal/wire", "internal/zone", "internal/catalog", "internal/zonemd", "internal/geo/place", "internal/health", "internal/steer", "internal/world", "internal/resolver"}

// unreachable is what pure packages must not reach, by import path or by the
// beginning of one.
var unreachable = []string{
	"net", "net/http", "log/slog", "os/exec",
	"github.com/miekg/dns", "go.etcd.io/bbolt", "github.com/prometheus/...",
}

// notDirect is what pure packages must not import; the standard library does.
var notDirect = []string{"os", "io/fs", "syscall", "unsafe", "golang.org/x/sys/..."}

// matches reports whether path is rule, or is below it if it ends in "/...".
func matches(rule, path string) bool {
	if base, ok := strings.CutSuffix(rule, "/..."); ok {
		return strings.HasPrefix(path, base+"/")
	}
	return rule == path
}

// forbiddenImports lists which packages import what the table does not allow.
func forbiddenImports(all map[string]*pkg, table map[string][]string) []string {
	var out []string
	for _, p := range all {
		if !p.ours() {
			continue
		}
		allowed, known := table[p.name()]
		if !known {
			out = append(out, fmt.Sprintf("%s is not in the table: add what it may import to mayImport", p.name()))
		}
		for _, path := range p.Imports {
			name, ours := strings.CutPrefix(path, module)
			if !ours || slices.Contains(allowed, anything) ||
				slices.Contains(allowed, strings.TrimPrefix(name, "internal/")) {
				continue
			}
			out = append(out, fmt.Sprintf("%s must not import %s: let main hand over what is needed, or argue with the design", p.name(), name))
		}
	}
	slices.Sort(out)
	return out
}

// reaches returns the chain of imports by which from comes to a path that one
// of the rules forbids; nil if there is none. direct applies to the packages
// of the house on the way, rules to all.
func reaches(all map[string]*pkg, from string, rules, direct []string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := all[queue[0]]
		if p == nil {
			continue
		}
		for _, path := range p.Imports {
			if _, seen := came[path]; seen {
				continue
			}
			came[path] = queue[0]
			bad := func(rule string) bool { return matches(rule, path) }
			if slices.ContainsFunc(rules, bad) || p.ours() && slices.ContainsFunc(direct, bad) {
				var chain []string
				for at := path; at != ""; at = came[at] {
					chain = append([]string{at}, chain...)
				}
				return chain
			}
			if !slices.ContainsFunc(direct, bad) {
				queue = append(queue, path)
			}
		}
	}
	return nil
}

func TestImports(t *testing.T) {
	for _, problem := range forbiddenImports(list(t), mayImport) {
		t.Error(problem)
	}
}

func TestPure(t *testing.T) {
	all := list(t)
	for _, name := range pure {
		if chain := reaches(all, module+name, unreachable, notDirect); chain != nil {
			t.Errorf("%s must not reach %s: %s", name, chain[len(chain)-1], strings.Join(chain, " -> "))
		}
	}
}

// The checkers see what is wrong with an invented house.
func TestImportCheckers(t *testing.T) {
	all := map[string]*pkg{}
	add := func(path string, imports ...string) {
		all[path] = &pkg{ImportPath: path, Standard: !strings.Contains(path, "/"), Imports: imports}
	}
	add("geodns/internal/wire", "errors", "geodns/internal/zone")
	add("geodns/internal/zone", "fmt", "geodns/internal/wire")
	add("geodns/internal/attic")
	add("geodns/internal/resolver", "geodns/internal/zone", "geodns/internal/steer")
	add("geodns/internal/steer", "example.com/x")
	add("geodns/internal/world", "geodns/internal/health")
	add("geodns/internal/health", "os")
	add("example.com/x", "github.com/prometheus/client_golang")
	add("fmt", "os")

	problems := strings.Join(forbiddenImports(all, mayImport), "\n")
	for _, want := range []string{"internal/attic is not in the table", "internal/wire must not import internal/zone"} {
		if !strings.Contains(problems, want) {
			t.Errorf("not noticed: %s", want)
		}
	}
	if n := strings.Count(problems, "\n") + 1; n != 2 {
		t.Errorf("%d problems, want 2:\n%s", n, problems)
	}
	tests := []struct{ from, want string }{
		{"zone", ""}, // that fmt imports os is no matter
		{"resolver", "geodns/internal/resolver geodns/internal/steer example.com/x github.com/prometheus/client_golang"},
		{"world", "geodns/internal/world geodns/internal/health os"},
	}
	for _, tt := range tests {
		if got := strings.Join(reaches(all, module+"internal/"+tt.from, unreachable, notDirect), " "); got != tt.want {
			t.Errorf("%s reaches %q, want %q", tt.from, got, tt.want)
		}
	}
}
