package harness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// EnvServer names the environment variable that chooses the server under test.
const EnvServer = "GEODNS_TEST_SERVER"

// EnvBuildFlags names the environment variable with extra flags for the build
// of geodns, such as "-race".
const EnvBuildFlags = "GEODNS_TEST_BUILDFLAGS"

// EnvBinary names the environment variable with a geodns that is built already.
const EnvBinary = "GEODNS_TEST_BINARY"

// Kind is a server that scenarios can be run against.
type Kind string

// The servers: the one under test, and those that expectations are proven by.
const (
	Geodns Kind = "geodns"
	Knot   Kind = "knot"
	NSD    Kind = "nsd"
	BIND   Kind = "bind"
)

// Target is the server that a test run is about.
type Target struct {
	Kind Kind
	// Binary is the program to start.
	Binary string
	// ports are those that were given to servers.
	ports *sync.Map
}

// NewTarget reads the choice of server from the environment; geodns is built
// into dir. An error says what to do.
func NewTarget(dir string) (Target, error) {
	kind := Kind(os.Getenv(EnvServer))
	switch kind {
	case "", Geodns:
		bin, err := build(dir)
		return Target{Kind: Geodns, Binary: bin, ports: new(sync.Map)}, err
	case Knot:
		return find(kind, "knotd")
	case NSD:
		return find(kind, "nsd")
	case BIND:
		return find(kind, "named")
	}
	return Target{}, fmt.Errorf("%s=%q is no server that the harness knows: use geodns, knot, nsd or bind", EnvServer, kind)
}

func find(kind Kind, program string) (Target, error) {
	for _, p := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(p); err == nil {
			return Target{Kind: kind, Binary: path, ports: new(sync.Map)}, nil
		}
	}
	return Target{}, fmt.Errorf("%s is not installed: it is needed for %s=%s", program, EnvServer, kind)
}

func build(dir string) (string, error) {
	if bin := os.Getenv(EnvBinary); bin != "" {
		return exec.LookPath(bin)
	}
	bin := filepath.Join(dir, "geodns")
	args := append([]string{"build"}, strings.Fields(os.Getenv(EnvBuildFlags))...)
	args = append(args, "-o", bin, "geodns/cmd/geodns")
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return bin, nil
}

// Main is a package's TestMain: it makes the server under test, once, and
// returns the exit code of the tests.
func Main(m interface{ Run() int }, target *Target) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "geodns-tests")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if *target, err = NewTarget(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
