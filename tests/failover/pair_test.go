package failover

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// twin is a second server with the same zone and the same nodes, which knows
// nothing of the first.
func (c *cluster) twin() *cluster {
	c.t.Helper()
	other := *c
	other.dir = c.t.TempDir()
	file := filepath.Join("zones", "cluster.example.zone")
	text, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(other.dir, "zones"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	write(c.t, other.dir, file, string(text))
	other.serve()
	return &other
}

// Cluster 8, with two name servers that know nothing of each other: no answer of
// either has two addresses, and however the roles turn, within the promise both
// name the same writer. A step that is written to by two is left by neither.
func TestWritersOfTwoServers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	files := filepath.Join(t.TempDir(), "empty")
	emptyDatabase(t, files)
	one, two := c.database(c.addr(10), files), c.database(c.addr(20), files)
	two.readOnly(true)
	c.zone(`
db 30 A ADDR.10
db 30 A ADDR.20
one._node TXT "v=node1; addr=ADDR.10"
two._node TXT "v=node1; addr=ADDR.20"
db._check TXT "v=check1; type=mysql; port=PORT; use=db; role=writable; every=200ms; timeout=200ms; fall=2; rise=1"
db._steer TXT "v=steer1; policy=failover; order=one,two; failback=manual; check=db"
`)
	c.config = "checks: {db: {user: geodns, password: secret}}\n"
	c.serve()
	servers := []*watcher{c.watch("db", dns.TypeA, ""), c.twin().watch("db", dns.TypeA, "")}
	begin := time.Now()
	within := addNoise(t, fall*every+200*time.Millisecond+100*time.Millisecond)
	// agree waits until both name somebody, and then looks that both stay with it.
	agree := func(why string, is func(*sighting) bool) {
		t.Helper()
		since := time.Now()
		for _, w := range servers {
			w.until("follows: "+why, since, is)
		}
		if took := time.Since(since); took > within {
			t.Errorf("%s: that took both %v, more than %v", why, took, within)
		}
		since = time.Now()
		time.Sleep(promise)
		for _, w := range servers {
			w.always(since, func(s *sighting) string {
				if !is(s) {
					return why
				}
				return ""
			})
		}
	}
	isOne, isTwo := only(one.addr), only(two.addr)
	agree("the first one alone takes writes", isOne)
	one.readOnly(true)
	agree("nobody takes writes: what was answered is held", isOne)
	two.readOnly(false)
	agree("the second one has been promoted", isTwo)
	one.readOnly(false)
	agree("both take writes: what was answered is held", isTwo)
	two.kill()
	agree("the second one is dead, the first one takes writes", isOne)
	two.boot()
	two.readOnly(true)
	agree("the second one is back as a reader", isOne)

	for _, w := range servers {
		w.judge(nil, 0)
		w.always(begin, func(s *sighting) string {
			if len(s.addrs) != 1 {
				return "there is not exactly one address"
			}
			return ""
		})
		var path []string
		for _, s := range w.sightings() {
			if len(s.addrs) == 0 {
				continue // told above
			}
			if who := s.addrs[0].String(); len(path) == 0 || path[len(path)-1] != who {
				path = append(path, who)
			}
		}
		if want := []string{one.addr.String(), two.addr.String(), one.addr.String()}; !slices.Equal(path, want) {
			t.Errorf("it named %v one after the other, want %v", path, want)
		}
	}
}
