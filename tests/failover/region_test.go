package failover

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// region is two data centres with a line between them, and a name server each.
type region struct {
	*cluster
	lon, nyc *site
	one, two *nameServer // the primary in London, the secondary in New York
	lines    [2]string   // the line's ends, as the sites call them
}

func newRegion(t *testing.T) *region {
	c := newCluster(t)
	r := &region{cluster: c, lon: newSite(t, c, 1), nyc: newSite(t, c, 2)}
	r.lines = [2]string{"l" + r.lon.outside[1:], "l" + r.nyc.outside[1:]}
	line := strings.TrimSuffix(r.lon.prefix, "1") + "3"
	r.lon.run("ip", "link", "add", r.lines[0], "type", "veth", "peer", "name", r.lines[1], "netns", strconv.Itoa(r.nyc.holder.pid()))
	for i, s := range []*site{r.lon, r.nyc} {
		s.run("ip", "address", "add", fmt.Sprintf("%s.%d/24", line, i+1), "dev", r.lines[i])
		s.run("ip", "link", "set", r.lines[i], "up")
	}
	r.lon.run("ip", "route", "add", r.nyc.prefix+".0/24", "via", line+".2")
	r.nyc.run("ip", "route", "add", r.lon.prefix+".0/24", "via", line+".1")
	r.one, r.two = newNameServer(t, r.lon), newNameServer(t, r.nyc)
	return r
}

// cut has the line lose everything; mend ends that. (A link that is down would not
// do: who has no route any more knows that the fault is his own.) Both return when
// it was begun.
func (r *region) cut() time.Time {
	at := time.Now()
	for i, s := range []*site{r.lon, r.nyc} {
		s.run("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in iifname "+r.lines[i]+" drop")
	}
	return at
}

func (r *region) mend() time.Time {
	at := time.Now()
	for _, s := range []*site{r.lon, r.nyc} {
		s.run("nft", "delete table inet cut")
	}
	return at
}

// at is an address of a site.
func (s *site) at(last int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("%s.%d", s.prefix, last))
}

// dial opens a UDP socket at the site: it stays there.
func (s *site) dial(to netip.AddrPort, from netip.Addr) net.Conn {
	s.t.Helper()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.holder.pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = home.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		s.t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.Dial("udp", to.String())
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // what runs on this thread from now on would be at the wrong place
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// nameServer is a geodns at a site.
type nameServer struct {
	t      *testing.T
	site   *site
	addr   netip.AddrPort
	dir    string
	socket string
	*process
}

func newNameServer(t *testing.T, at *site) *nameServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "gdns") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &nameServer{t: t, site: at, addr: netip.AddrPortFrom(at.at(18), 5300), dir: dir, socket: filepath.Join(dir, "socket")}
}

// configure writes the configuration: what both servers of a region have in
// common, and more.
func (n *nameServer) configure(r *region, more string) {
	n.t.Helper()
	write(n.t, n.dir, "networks.csv", fmt.Sprintf(`prefix,country,subdivision,city,lat,lon,asn
%s.0/24,GB,,London,51.51,-0.13,
%s.0/24,US,NY,New York,40.71,-74.01,
%s/32,GB,,London,51.51,-0.13,
`, r.lon.prefix, r.nyc.prefix, r.nyc.at(traveller)))
	write(n.t, n.dir, "geodns.yaml", fmt.Sprintf(`listen: ["%s"]
zones: zones
store: geodns.db
control: socket
http: ""
geo: {networks: networks.csv}
probe-allow: [10.0.0.0/8]
checks: {db: {user: geodns, password: secret}}
keys: [{name: xfer., algorithm: hmac-sha256, secret: "bm90aGluZyB0aGF0IGFueWJvZHkgc2hvdWxkIGtub3c="}]
%s`, n.addr, more))
}

// traveller is the last octet of a Londoner in New York.
const traveller = 19

// launch starts the server; boot returns when it can be commanded, which is when
// it answers.
func (n *nameServer) launch() {
	n.t.Helper()
	words := append(n.site.enter(), target.Binary, "serve", "--config", filepath.Join(n.dir, "geodns.yaml"))
	p := start(n.t, command{name: words[0], args: words[1:]})
	n.process = p
	n.t.Cleanup(func() {
		if !p.ended() { // the test has failed
			status, _ := n.try("status", "--all")
			p.kill()
			n.t.Logf("the name server %s printed:\n%s\nand its status was\n%s", n.addr, p.out, status)
		}
	})
}

func (n *nameServer) boot() {
	n.t.Helper()
	n.launch()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := n.try("status"); err == nil {
			return
		}
		if n.ended() || time.Now().After(end) {
			n.process.kill()
			n.t.Fatalf("the name server does not start:\n%s", n.out)
		}
	}
}

// finish ends the server as an operator does, and looks how that went.
func (n *nameServer) finish() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(patience):
		n.t.Errorf("the name server does not end")
		n.process.kill()
	}
	text := n.out.String()
	if code := n.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(text, "panic") {
		n.t.Errorf("the name server ended with %d, and printed:\n%s", code, text)
	} else if n.t.Failed() {
		n.t.Logf("the name server %s printed:\n%s", n.addr, text)
	}
}

// command gives a command to the server; it must be obeyed.
func (n *nameServer) command(words ...string) {
	n.t.Helper()
	if _, err := n.try(words...); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nameServer) try(words ...string) ([]byte, error) {
	cmd := exec.Command(target.Binary, append(words, "--socket", n.socket)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("geodns %s: %w\n%s%s", strings.Join(words, " "), err, out, &stderr)
	}
	return out, err
}

// drains are those in force, by name: true for those that the primary commands.
func (n *nameServer) drains() map[string]bool {
	n.t.Helper()
	var s struct {
		Nodes struct {
			Drains []struct {
				Name    string `json:"name"`
				Active  bool   `json:"active"`
				Primary bool   `json:"by-primary"`
			} `json:"drains"`
		} `json:"nodes"`
	}
	out, err := n.try("status", "-o", "json")
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	list := map[string]bool{}
	for _, d := range s.Nodes.Drains {
		if _, twice := list[d.Name]; twice {
			n.t.Errorf("status lists the drain of %s twice", d.Name)
		}
		if d.Active {
			list[d.Name] = d.Primary
		}
	}
	return list
}

// watch begins to ask the server, from its own site.
func (n *nameServer) watch(name string, qtype uint16, last int) *watcher {
	n.t.Helper()
	return observe(n.t, n.site.dial(n.addr, n.site.at(last)), dns.Fqdn(name), qtype, 5*gap)
}
