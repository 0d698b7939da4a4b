package failover

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// islands are a server beside the site lon, and beyond links of their own the
// site nyc and two anchors.
type islands struct {
	*twoSites
	one, two *site // the anchors'
	socket   string
}

func newIslands(t *testing.T) *islands {
	s := newTwoSites(t)
	x := &islands{twoSites: s, one: newSite(t, s.cluster, 3), two: newSite(t, s.cluster, 4)}
	c := s.cluster
	c.web(netip.MustParseAddr(x.one.prefix+".10"), x.one)
	return x
}

// serveAtLon starts the server.
func (x *islands) serveAtLon() {
	x.t.Helper()
	dir, err := os.MkdirTemp("", "gdis") // the path of a socket is short
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	x.socket = filepath.Join(dir, "socket")
	write(x.t, x.dir, "networks.csv", networks)
	x.server, err = target.Start(harness.Spec{Dir: x.dir, Probes: 16, Config: fmt.Sprintf(`listen: ["127.0.0.1:@PORT@"]
zones: zones
store: ""
control: %s
http: %s.2:8053
geo: {networks: networks.csv}
probe-allow: [10.0.0.0/8, 127.0.0.0/8]
site: lon
anchors: ["tcp://%s.10:%d", "icmp://%s.10"]
`, x.socket, x.prefix, x.one.prefix, x.port, x.two.prefix)})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() {
		if err := x.server.Stop(); err != nil {
			x.t.Error(err)
		} else if x.t.Failed() {
			x.t.Logf("the server printed:\n%s", x.server.Log())
		}
	})
}

// sites are the links to everything but lon.
func (x *islands) sites() []*site { return []*site{x.nyc, x.one, x.two} }

// ready is what readyz says.
func (x *islands) ready() (status int, text string) {
	x.t.Helper()
	r, err := http.Get("http://" + x.prefix + ".2:8053/readyz")
	if err != nil {
		x.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// state is what geodns status says of the server's connection.
type state struct {
	Nodes struct {
		Isolation struct {
			Isolated bool
			Since    time.Time
			Until    time.Time
			Held     int
			Anchors  []struct{ OK bool }
		}
		Targets []struct {
			Address, Verdict string
			Held             bool
		}
	}
}

func (x *islands) status() (s state) {
	x.t.Helper()
	out, err := exec.Command(target.Binary, "status", "-o", "json", "--socket", x.socket).Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		x.t.Fatalf("geodns status: %v\n%s", err, out)
	}
	return s
}

// awaitIsolation waits until status and readyz say that the server is isolated,
// or no longer.
func (x *islands) awaitIsolation(want bool) (s state) {
	x.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s = x.status()
		status, text := x.ready()
		if s.Nodes.Isolation.Isolated == want && (status == http.StatusServiceUnavailable) == want && strings.Contains(text, "isolated since") == want {
			return s
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("isolated: want %t, but status says %+v, and readyz %d %s", want, s.Nodes.Isolation, status, text)
		}
	}
}

// The server's uplink is cut: nothing outside its site answers. No answer changes
// for as long as that lasts, readyz and status say so; a node of its own site that
// dies meanwhile leaves as ever, since it can be told. After the cut all goes on as
// before, and a real loss is noticed again.
func TestUplinkCut(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	for _, how := range []struct {
		name      string
		cut, mend func(*site)
	}{
		{"nothing comes back", (*site).cut, (*site).mend},
		// The links go down at this end, and the routes with them: nothing can even
		// be sent.
		{"nothing goes out", func(s *site) { run(s.t, "ip", "link", "set", s.outside, "down") }, func(s *site) { run(s.t, "ip", "link", "set", s.outside, "up") }},
	} {
		t.Run(how.name, func(t *testing.T) {
			x := newIslands(t)
			lon := &node{}
			for _, n := range x.webs(20) { // this server's own site is on this machine
				lon = n
			}
			x.zone(x.both("www") + fmt.Sprintf("near 30 A %s\nnear 30 A %s\nfar 30 A %s\n", lon.addr, x.nycAddr, x.nycAddr) + fmt.Sprintf(`
lon._site  TXT "v=site1; net=ADDR.0/24; net=%s.0/24; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=%s.0/24; at=40.71,-74.01"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer  TXT "v=steer1; policy=nearest; check=web; empty=none"
near._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web; empty=none"
far._steer  TXT "v=steer1; check=web; empty=none"
`, x.lon.prefix, x.nyc.prefix))
			x.serveAtLon()
			www, near, far := x.watch("www", dns.TypeA, newYork), x.watch("near", dns.TypeA, ""), x.watch("far", dns.TypeA, "")
			begin := time.Now()
			www.until("names New York's node", begin, only(x.nycAddr))
			near.until("names the node beside the server", begin, only(lon.addr))
			far.until("names New York's node", begin, only(x.nycAddr))
			x.awaitIsolation(false)

			cut := time.Now()
			for _, s := range x.sites() {
				how.cut(s)
			}
			s := x.awaitIsolation(true)
			t.Logf("%v after the cut it was known, and %v was found to be the begin", time.Since(cut).Round(time.Millisecond), s.Nodes.Isolation.Since.Sub(cut).Round(time.Millisecond))
			if i := s.Nodes.Isolation; i.Until.Sub(i.Since) != 10*time.Minute || len(i.Anchors) != 2 || i.Anchors[0].OK || i.Anchors[1].OK {
				t.Errorf("status says %+v", i)
			}
			// Beside the server, verdicts are verdicts.
			died := lon.kill()
			near.until("names New York's node", died, only(x.nycAddr))
			near.stays(3*time.Second, func(s *sighting) string {
				if !sameAddrs(s.addrs, []netip.Addr{x.nycAddr}) {
					return "not New York's node"
				}
				return ""
			})
			for _, target := range x.status().Nodes.Targets {
				if target.Address == x.nycAddr.String() && target.Verdict != "up" {
					t.Errorf("isolated, the server takes %s for %s", target.Address, target.Verdict)
				}
			}

			mended := time.Now()
			for _, s := range x.sites() {
				how.mend(s)
			}
			s = x.awaitIsolation(false)
			t.Logf("%v after the cut it was over", time.Since(mended).Round(time.Millisecond))
			if s.Nodes.Isolation.Held != 0 {
				t.Errorf("held afterwards: %+v", s.Nodes.Isolation)
			}
			time.Sleep(promise)
			for _, w := range []*watcher{www, far} {
				w.always(begin, func(s *sighting) string {
					if !sameAddrs(s.addrs, []netip.Addr{x.nycAddr}) {
						return "an answer changed because the server was cut off"
					}
					return ""
				})
			}
			near.judge([]outage{{node: lon.addr, from: died}}, addNoise(t, killed))

			// The real thing, with anchors that answer.
			lost := outage{node: x.nycAddr, from: time.Now()}
			x.nyc.cut()
			far.until("has no data", lost.from, func(s *sighting) bool { return len(s.addrs) == 0 })
			www.until("names London's node", lost.from, only(x.lonAddr))
			for _, w := range []*watcher{www, far} {
				w.judge([]outage{lost}, addNoise(t, promise))
			}
			if strings.Contains(x.server.Log(), "this server is no longer isolated") != true {
				t.Error("the end is not in the log")
			}
		})
	}
}

// A site is lost, the anchors answer: they cost no time. The same without anchors
// is TestSiteLost.
func TestSiteLostWithAnchors(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	x := newIslands(t)
	// All that is not at lon is lost at once: only the anchors tell that it is not
	// the server. Each is lost once: a second return would be damped.
	x.zone(x.both("www") + x.text("TIMING") + `
www._steer TXT "v=steer1; policy=failover; order=nyc,lon; check=web; empty=none"
`)
	x.serveAtLon()
	w := x.watch("www", dns.TypeA, "")
	w.until("names New York's node", time.Now(), only(x.nycAddr))
	lost := outage{node: x.nycAddr, from: time.Now()}
	x.nyc.cut()
	first := w.until("names London's node", lost.from, only(x.lonAddr))
	took := first.asked.Sub(lost.from)
	t.Logf("the lost site was in answers for %v; promised are %v", took.Round(time.Millisecond), promise)
	w.judge([]outage{lost}, addNoise(t, promise))
	s := x.status()
	if s.Nodes.Isolation.Isolated || !s.Nodes.Isolation.Anchors[0].OK || !s.Nodes.Isolation.Anchors[1].OK {
		t.Errorf("status says %+v", s.Nodes.Isolation)
	}
}

// slowGreeter takes connections at an address, and says a word after a while.
func slowGreeter(t *testing.T, at netip.AddrPort, after time.Duration) {
	t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				time.Sleep(after)
				_, _ = io.WriteString(conn, "ready\r\n")
				_ = conn.Close()
			}()
		}
	}()
}

// The server itself is stopped for a while, as a machine may be that has too much
// to do. Nobody is taken for dead for that: not for want of results, nor because
// what was answered in time was read too late. The nodes take half of each interval
// to answer, so that whenever it is stopped it waits for some.
func TestStopped(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var nodes []netip.Addr
	var text strings.Builder
	for last := 10; last < 26; last++ {
		nodes = append(nodes, c.addr(last))
		slowGreeter(t, netip.AddrPortFrom(c.addr(last), uint16(c.port)), 500*time.Millisecond)
		fmt.Fprintf(&text, "www 30 A %s\n", c.addr(last))
	}
	c.zone(text.String() + `
web._check TXT "v=check1; type=tcp; port=PORT; expect=ready; every=1s; timeout=950ms; fall=1; rise=1"
www._steer TXT "v=steer1; check=web; empty=none"
`)
	c.probes = len(nodes)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names all", begin, func(s *sighting) bool { return len(s.addrs) == len(nodes) })
	for range 2 {
		for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			if err := syscall.Kill(c.server.Pid(), s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
	}
	w.stop()
	w.always(begin, func(s *sighting) string {
		if !sameAddrs(s.addrs, nodes) {
			return "a node is missing because the server stood still"
		}
		return ""
	})
	if log := c.server.Log(); strings.Count(log, "a verdict turned") != len(nodes) {
		t.Errorf("verdicts turned other than at the start:\n%s", log)
	}
}
