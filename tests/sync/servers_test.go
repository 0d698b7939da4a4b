// Package syncing holds the scenarios in which servers keep zones equal: geodns
// with BIND, NSD, Knot and others of its own, each in its own process with its
// own directory and loopback address, as primaries and as secondaries.
//
// Invariant: what is right is said by the model of a zone that a test changes
// (model_test.go), which knows nothing of any server; a server is judged by what
// it sends: AXFR, IXFR and answers.
package syncing

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) {
	flag.Parse()
	// They wait for most of their time.
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(harness.Main(m, &target))
}

// The key that transfers are signed with, and the one of updates.
const (
	keyName = "xfer.example."
	secret  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	updName = "update.example."
	updKey  = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// network is where the servers of one test are: loopback addresses of its own,
// which need no interface, and one port.
type network struct {
	t      *testing.T
	prefix string // the first three octets
	port   int
	dir    string
}

var taken sync.Map // prefixes in use

func newNetwork(t *testing.T) *network {
	t.Helper()
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the path of a Unix socket is short.
	dir, err := os.MkdirTemp("", "gs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &network{t: t, dir: dir}
	for !n.free() {
		n.port = 10_000 + rand.IntN(20_000)
	}
	for n.prefix == "" {
		p := fmt.Sprintf("127.%d.%d", 2+rand.IntN(120), 1+rand.IntN(250))
		if _, held := taken.LoadOrStore(p, true); !held {
			n.prefix = p
		}
	}
	return n
}

// free reports whether BIND can have the port.
func (n *network) free() bool {
	if n.port == 0 {
		return false
	}
	l, err := net.Listen("tcp", n.at(bindHost))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", n.at(bindHost))
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// bindHost is the host that BIND is: it listens on no address but those that an
// interface has, and so on none of the network's own.
const bindHost = 0

// addr is the address of a host.
func (n *network) addr(host int) string {
	if host == bindHost {
		return "127.0.0.1"
	}
	return fmt.Sprintf("%s.%d", n.prefix, host)
}

// at is it with the port, as geodns writes it.
func (n *network) at(host int) string { return fmt.Sprintf("%s:%d", n.addr(host), n.port) }

// server is a running server.
type server struct {
	*process
	n    *network
	kind harness.Kind
	host int
	dir  string
	path string
	args []string
	base int // sockets right after the start
}

// serve makes a server of a program, and starts it.
func (n *network) serve(kind harness.Kind, host int, path string, args ...string) *server {
	n.t.Helper()
	s := &server{n: n, kind: kind, host: host, dir: n.home(host), path: path, args: args}
	s.process = &process{out: new(output)}
	s.boot()
	return s
}

// home is the directory of a server.
func (n *network) home(host int) string {
	n.t.Helper()
	dir := filepath.Join(n.dir, fmt.Sprint(host))
	if err := os.MkdirAll(filepath.Join(dir, "zones"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// boot starts the server, for the first time or once more, and waits until it
// answers anything.
func (s *server) boot() {
	s.n.t.Helper()
	s.launch()
	m := new(dns.Msg).SetQuestion("nothing.invalid.", dns.TypeSOA)
	client := &dns.Client{Net: "tcp", Timeout: time.Second}
	until(s.n.t, string(s.kind)+" answers", func() bool {
		if s.ended() {
			s.n.t.Fatalf("%s has ended:\n%s", s.kind, s.out.String())
		}
		_, _, err := client.Exchange(m, s.at())
		return err == nil
	}, s.log)
	s.base = s.sockets()
}

// launch starts the server without waiting for anything.
func (s *server) launch() { s.process = start(s.n.t, s.dir, s.out, s.path, s.args...) }

func (s *server) addr() string { return s.n.addr(s.host) }
func (s *server) at() string   { return s.n.at(s.host) }
func (s *server) log() string  { return s.out.String() }

// panicked matches what geodns prints when it breaks, recovered or not.
var panicked = regexp.MustCompile(`(?i)\bpanic\b|(?m)^fatal error:|DATA RACE|^goroutine \d+ \[`)

// stop ends a geodns as a service manager does, and tells what was wrong with it.
func (s *server) stop() {
	s.n.t.Helper()
	if err := s.stopped(); err != nil {
		s.n.t.Errorf("the geodns at %s: %v\n%s", s.addr(), err, s.log())
	}
}

func (s *server) stopped() error {
	if s.ended() {
		return fmt.Errorf("it died: %v", s.exited)
	}
	for end := time.Now().Add(5 * time.Second); s.sockets() > s.base+spare; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("it leaks sockets: %d after the start, %d now", s.base, s.sockets())
		}
	}
	s.signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		return errors.New("it does not end")
	}
	if s.exited != nil {
		return fmt.Errorf("it ended with %w", s.exited)
	}
	if panicked.MatchString(s.log()) {
		return errors.New("it printed a panic")
	}
	return nil
}

// spare is how many sockets more than at the start are nobody's fault: those that
// NOTIFY is sent from, and connections that peers keep open.
const spare = 8

// setup is what a test wants of a geodns.
type setup struct {
	zones     map[string]string // name without the final dot: text
	secondary map[string][]int  // names of zones, and where they come from
	notify    []int             // who is told
	more      string            // further lines of the configuration
	key       string            // of the transfers; "": keyName's
	within    []string          // words before the command
}

// geodns starts one.
func (n *network) geodns(host int, s setup) *server {
	n.t.Helper()
	dir := n.home(host)
	for name, text := range s.zones {
		write(n.t, text, dir, "zones", name+".zone")
	}
	n.configure(host, s)
	command := append(append([]string(nil), s.within...), target.Binary, "serve", "--config", filepath.Join(dir, "geodns.yaml"))
	g := n.serve(harness.Geodns, host, program(n.t, command[0]), command[1:]...)
	for name := range s.zones {
		if serialOf(g.at(), name+".") == 0 {
			n.t.Fatalf("%s is not served:\n%s", name, g.log())
		}
	}
	n.t.Cleanup(func() {
		if !g.ended() {
			g.stop()
		} else if panicked.MatchString(g.log()) {
			n.t.Errorf("the geodns at %s printed a panic:\n%s", g.addr(), g.log())
		}
	})
	return g
}

// configure writes a geodns's configuration.
func (n *network) configure(host int, s setup) {
	n.t.Helper()
	key := s.key
	if key == "" {
		key = secret
	}
	var b strings.Builder
	fmt.Fprintf(&b, "listen: [%q]\nzones: zones\nstore: store/geodns.db\ncontrol: control.sock\nhttp: \"%s:8053\"\n", n.at(host), n.addr(host))
	fmt.Fprintf(&b, "log: {format: json}\nkeys:\n  - {name: %s, algorithm: hmac-sha256, secret: %q}\n", keyName, key)
	fmt.Fprintf(&b, "  - {name: %s, algorithm: hmac-sha256, secret: %q}\n", updName, updKey)
	fmt.Fprintf(&b, "transfer:\n  allow: [\"key:%s\"]\n  notify: [", keyName)
	for _, h := range s.notify {
		fmt.Fprintf(&b, "{to: %q, key: %s}, ", n.at(h), keyName)
	}
	b.WriteString("]\nsecondary:\n")
	for zone, primaries := range s.secondary {
		fmt.Fprintf(&b, "  - {zone: %s, key: %s, primaries: [", zone, keyName)
		for _, h := range primaries {
			fmt.Fprintf(&b, "%q, ", n.at(h))
		}
		b.WriteString("]}\n")
	}
	b.WriteString(s.more)
	write(n.t, b.String(), n.home(host), "geodns.yaml")
}

// control runs a geodns command on a running server.
func (s *server) control(args ...string) string {
	s.n.t.Helper()
	return run(s.n.t, s.dir, "", target.Binary, append(args, "--config", filepath.Join(s.dir, "geodns.yaml"))...)
}
