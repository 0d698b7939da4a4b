package failover

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// envKills names the environment variable that says how many nodes are killed.
// If it is set, the machine is expected to do nothing else, and nothing is added
// for noise.
const envKills = "GEODNS_TEST_KILLS"

// addNoise is a bound as it is judged by.
func addNoise(t *testing.T, d time.Duration) time.Duration {
	if os.Getenv(envKills) != "" {
		return d
	}
	return d + noise
}

// records are A records of www, one a node.
func records(nodes []*node) string {
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "www 30 A %s\n", n.addr)
	}
	return b.String()
}

func addrs(nodes []*node) (list []netip.Addr) {
	for _, n := range nodes {
		list = append(list, n.addr)
	}
	return list
}

// A node that is killed leaves the answers in half a second, and is back soon
// after it is. Each is killed once: a second time within ten minutes would be
// damped.
func TestKills(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := number(t, envKills, 5)
	var lasts []int
	for i := range n + 1 {
		lasts = append(lasts, 10+i)
	}
	nodes := c.webs(lasts...)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names all nodes", begin, func(s *sighting) bool { return len(s.addrs) == n+1 })
	var left, came []time.Duration
	var outages []outage
	for _, x := range nodes[:n] {
		o := outage{node: x.addr, from: x.kill()}
		left = append(left, w.leaves(x, o.from))
		o.to = time.Now()
		x.boot()
		came = append(came, w.returns(x, time.Now()))
		outages = append(outages, o)
	}
	distribution(t, "a killed node in answers", left, killed)
	distribution(t, "a node that has returned in no answer", came, back)
	w.judge(outages, addNoise(t, killed))
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) < n {
			return "nodes are missing that live"
		}
		return ""
	})
}

// A held connection tells of the death at once, however seldom is probed.
func TestHeld(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := number(t, envKills, 5)
	var lasts []int
	for i := range n + 1 {
		lasts = append(lasts, 10+i)
	}
	nodes := c.webs(lasts...)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; every=5s; timeout=1s; fall=3; rise=1; hold=yes"
www._steer TXT "v=steer1; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	w.until("names all nodes", time.Now(), func(s *sighting) bool { return len(s.addrs) == n+1 })
	var left []time.Duration
	for _, x := range nodes[:n] {
		left = append(left, w.leaves(x, x.kill()))
	}
	distribution(t, "a killed node whose connection was held, in answers", left, held)
	for i, took := range left {
		if most := addNoise(t, held); took > most {
			t.Errorf("node %d was in answers for %v after its death, want %v at most", i, took, most)
		}
	}
}

// A node that hangs still takes connections: only that nobody answers tells.
func TestFrozen(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11, 12)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	var left, came []time.Duration
	var outages []outage
	for _, x := range nodes[:2] {
		o := outage{node: x.addr, from: x.freeze()}
		left = append(left, w.leaves(x, o.from))
		o.to = x.thaw()
		came = append(came, w.returns(x, o.to))
		outages = append(outages, o)
	}
	distribution(t, "a frozen node in answers", left, promise)
	distribution(t, "a node that has thawed in no answer", came, back)
	w.judge(outages, addNoise(t, promise))
}
