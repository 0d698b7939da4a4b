// Package failover holds the scenarios in which real nodes die: nginx, Postfix
// and MariaDB are started here, killed, frozen, cut off and slowed, while
// clients ask a server process about them all the time.
//
// Invariant: what is promised is judged by the answers alone. A node that has
// been down for longer than the promise is in no answer until it is back,
// whatever else goes on; how soon it leaves and returns is measured and printed.
//
// The tests run in a network namespace of their own, which ends with them, so
// that links and filters of the machine are never touched.
package failover

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"geodns/tests/harness"
)

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) {
	flag.Parse()
	if code, done := isolate(); done {
		os.Exit(code)
	}
	// The scenarios wait for most of their time, so that more of them go on at
	// once than there are processors; those under load are alone.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(harness.Main(m, &target))
}

// How nodes are probed in these scenarios, and what follows of it.
const (
	every   = 200 * time.Millisecond
	timeout = 150 * time.Millisecond
	fall    = 2
	// promise is how long after its death a node may be in answers: fall x every
	// + timeout + 100 ms.
	promise = fall*every + timeout + 100*time.Millisecond
	// killed is the same for a node whose machine still says that it is dead, so
	// that no probe of it lasts.
	killed = 500 * time.Millisecond
	// held is the same where the probe's connection is held.
	held = 100 * time.Millisecond
	// back is how long after its return a node may be missing.
	back = 700 * time.Millisecond
	// noise is what a busy machine may add to the worst of each. It is not added
	// when a full run is asked for.
	noise = time.Second
	// patience is when something that should happen counts as lost.
	patience = 15 * time.Second
)

// timing is the part of a check that says so.
const timing = "every=200ms; timeout=150ms; fall=2; rise=2"

// cluster is one scenario: a server, its zone, and the addresses of its nodes.
type cluster struct {
	t      *testing.T
	dir    string
	server *harness.Server
	// prefix is the first three octets of the scenario's own addresses, port
	// that of its nodes.
	prefix string
	port   int
	// probes is how many probes are under way at some moment.
	probes int
	// config is what the server's configuration says beside the usual.
	config string
	// store is the file of the server's database; "": none.
	store string
}

// taken are the second octets in use: of a scenario's own addresses, and of those
// of its sites.
var taken sync.Map

// newCluster reserves addresses: loopback ones, which need no interface.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: t.TempDir(), port: 10_000 + rand.IntN(20_000)}
	for c.prefix == "" {
		second := 130 + rand.IntN(120)
		if _, held := taken.LoadOrStore(second, true); !held {
			c.prefix = fmt.Sprintf("127.%d.%d", second, 1+rand.IntN(250))
			t.Cleanup(func() { taken.Delete(second) })
		}
	}
	if err := os.Mkdir(filepath.Join(c.dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// addr is one of the scenario's addresses.
func (c *cluster) addr(last int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("%s.%d", c.prefix, last))
}

// origin is the zone of all scenarios.
const origin = "cluster.example."

const head = `$ORIGIN ` + origin + `
$TTL 300
@    SOA ns1 hostmaster 1 3600 600 604800 60
     NS  ns1
ns1  A   192.0.2.53
`

// zone writes the zone, as an editor that writes in place would not: at once.
// In it ADDR stands for the first three octets, PORT for the port, TIMING for
// what is common to all checks.
func (c *cluster) zone(text string) {
	c.t.Helper()
	text = strings.NewReplacer("ADDR", c.prefix, "PORT", fmt.Sprint(c.port), "TIMING", timing).Replace(text)
	file := filepath.Join(c.dir, "zones", strings.TrimSuffix(origin, ".")+".zone")
	if err := os.WriteFile(file+".new", []byte(head+text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		c.t.Fatal(err)
	}
}

// networks says where clients are: those of 127.44/16 in London, of 127.1/16
// in New York.
const networks = `prefix,country,subdivision,city,lat,lon,asn
127.44.0.0/16,GB,,London,51.51,-0.13,
127.1.0.0/16,US,NY,New York,40.71,-74.01,
`

// The clients' addresses.
const (
	london  = "127.44.0.1"
	newYork = "127.1.0.1"
)

// serve starts the server, which ends with the test.
func (c *cluster) serve() {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "networks.csv"), []byte(networks), 0o644); err != nil {
		c.t.Fatal(err)
	}
	s, err := target.Start(harness.Spec{Dir: c.dir, Probes: c.probes, Config: `listen: ["127.0.0.1:@PORT@"]
zones: zones
store: "` + c.store + `"
control: ""
http: ""
geo: {networks: networks.csv}
probe-allow: [127.0.0.0/8, 10.0.0.0/8, "fd00::/8"]
` + c.config})
	if err != nil {
		c.t.Fatal(err)
	}
	c.server = s
	c.t.Cleanup(func() {
		if c.server != s {
			return // it has crashed, and another one has taken over
		}
		if err := s.Stop(); err != nil {
			c.t.Error(err)
		} else if c.t.Failed() {
			c.t.Logf("the server printed:\n%s", s.Log())
		}
	})
}
