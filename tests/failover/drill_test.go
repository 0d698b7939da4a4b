package failover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// rehearsal is a server of two sites that can be told to rehearse: London's
// nodes are at the low addresses, New York's at the high ones.
type rehearsal struct {
	*cluster
	socket   string
	lon, nyc []netip.Addr
	logs     []string // London's nodes write down who asks them
}

func newRehearsal(t *testing.T) *rehearsal {
	c := newCluster(t)
	r := &rehearsal{
		cluster: c, socket: filepath.Join(c.dir, "control.sock"),
		lon: []netip.Addr{c.addr(10), c.addr(11)}, nyc: []netip.Addr{c.addr(140), c.addr(141)},
	}
	for _, a := range r.lon {
		r.logs = append(r.logs, r.loggingWeb(a))
	}
	c.webs(140, 141)
	c.zone(`
www   30 A ADDR.10
www   30 A ADDR.11
www   30 A ADDR.140
www   30 A ADDR.141
order 30 A ADDR.10
order 30 A ADDR.140
solo  30 A ADDR.10
far   30 A ADDR.140
blind 30 A ADDR.11
blind 30 A ADDR.141
lon._site  TXT "v=site1; net=ADDR.0/25; at=51.51,-0.13; capacity=500"
nyc._site  TXT "v=site1; net=ADDR.128/25; at=40.71,-74.01; capacity=1"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; every=200ms; timeout=150ms; fall=2; rise=1"
held._check TXT "v=check1; type=tcp; port=PORT; hold=yes; every=200ms; timeout=150ms; fall=2; rise=1"
www._steer   TXT "v=steer1; policy=nearest; check=web; ttl=5-60"
order._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=held"
solo._steer  TXT "v=steer1; check=web"
far._steer   TXT "v=steer1; check=web"
blind._steer TXT "v=steer1; policy=nearest"
`)
	write(t, c.dir, "networks.csv", networks)
	s, err := target.Start(harness.Spec{Dir: c.dir, Probes: c.probes, Config: `listen: ["127.0.0.1:@PORT@"]
zones: zones
store: geodns.db
control: control.sock
http: ""
geo: {networks: networks.csv}
probe-allow: [127.0.0.0/8]
`})
	if err != nil {
		t.Fatal(err)
	}
	c.server = s
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		} else if t.Failed() {
			t.Logf("the server printed:\n%s", s.Log())
		}
	})
	return r
}

// loggingWeb is web with a log of requests.
func (c *cluster) loggingWeb(addr netip.Addr) (log string) {
	c.t.Helper()
	dir := c.t.TempDir()
	owner := ""
	if os.Geteuid() == 0 {
		owner = "user root;\n"
	}
	log = filepath.Join(dir, "requests.log")
	file := write(c.t, dir, "nginx.conf", fmt.Sprintf(`%[3]sdaemon off; master_process off; pid %[1]s/pid;
events { worker_connections 256; }
http {
  access_log %[4]s;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen %[2]s; location = /healthz { return 200 "ready\n"; } }
}
`, dir, netip.AddrPortFrom(addr, uint16(c.port)), owner, log))
	n := &node{t: c.t, addr: addr, port: c.port, cmd: command{name: "nginx", args: []string{"-e", "stderr", "-p", dir, "-c", file}}}
	n.boot()
	return log
}

// requests is how many probes London's nodes have written down.
func (r *rehearsal) requests() (n int) {
	r.t.Helper()
	for _, log := range r.logs {
		text, err := os.ReadFile(log)
		if err != nil {
			r.t.Fatal(err)
		}
		n += bytes.Count(text, []byte("/healthz"))
	}
	return n
}

// drill runs a geodns drill command to its end.
func (r *rehearsal) drill(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	p := r.start(args...)
	return p.wait()
}

// rehearsing is a geodns drill command that runs.
type rehearsing struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

func (r *rehearsal) start(args ...string) *rehearsing {
	r.t.Helper()
	p := &rehearsing{t: r.t, cmd: exec.Command(target.Binary, append(append([]string{"drill"}, args...), "--socket", r.socket)...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (p *rehearsing) wait() (code int, stdout, stderr string) {
	p.t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String()
}

// forecast is what the test reads of a plan.
type forecast struct {
	Lost  int
	Names []struct {
		Name, Type string
		Lost       bool
		Unnoticed  int
		Moves      []struct {
			From, To struct{ Records []string }
			Moved    bool
			Clients  []string
		}
	}
	Sites []struct {
		Site string
		Over bool
	}
}

// measured is what it reads of a report.
type measured struct {
	End        string
	Held, Back bool
	Probes     int `json:"probes-not-sent"`
	Names      []struct {
		Name, Verdict string
		Promise       float64  `json:"promise-ms"`
		Gone          *float64 `json:"gone-ms"`
		BackMs        *float64 `json:"back-ms"`
	}
}

// asSubnet asks for A records as a client of a prefix would.
func (r *rehearsal) asSubnet(name, prefix string) (addrs []string) {
	r.t.Helper()
	p := netip.MustParsePrefix(prefix)
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: net.IP(p.Masked().Addr().AsSlice()),
	})
	reply, _, err := new(dns.Client).Exchange(m, r.server.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			addrs = append(addrs, a.A.String())
		}
	}
	slices.Sort(addrs)
	return addrs
}

// compare asks as clients of the forecast, and says how many answers were as
// foretold.
func (r *rehearsal) compare(f *forecast, lost bool) (checked int) {
	r.t.Helper()
	const each = 25 // of the clients that move alike
	for _, n := range f.Names {
		for _, m := range n.Moves {
			want := m.From.Records
			if lost {
				want = m.To.Records
			}
			for i := 0; i < len(m.Clients); i += max(1, len(m.Clients)/each) {
				if got := r.asSubnet(n.Name, m.Clients[i]); !slices.Equal(got, want) {
					r.t.Errorf("%s for %s (lost: %t): answered %v, forecast %v", n.Name, m.Clients[i], lost, got, want)
				}
				checked++
			}
		}
	}
	return checked
}

// A site is rehearsed to be lost: the plan foretells what clients are then told,
// nodes there get no probes, all is back afterwards, whatever ends the drill.
func TestDrill(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	w := r.watch("www", dns.TypeA, london)
	order := r.watch("order", dns.TypeA, newYork)
	solo := r.watch("solo", dns.TypeA, london)
	both := func(x *sighting) bool { return sameAddrs(x.addrs, r.lon) }
	away := func(x *sighting) bool { return sameAddrs(x.addrs, r.nyc) }
	w.until("names London's nodes", time.Now(), both)

	code, out, errs := r.drill("plan", "--lose", "lon", "-o", "json")
	var f forecast
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != 1 || f.Lost != 1 {
		t.Fatalf("plan: code %d, %d lost, %v\n%s%s", code, f.Lost, err, out, errs)
	}
	for _, n := range f.Names {
		if n.Lost != (n.Name == "solo."+origin) || (n.Unnoticed == 1) != (n.Name == "blind."+origin) || n.Name == "far."+origin {
			t.Errorf("plan: %+v", n)
		}
	}
	if n := r.compare(&f, false); n < 100 {
		t.Errorf("only %d answers were compared", n)
	}
	if code, out, errs = r.drill("run", "--lose", "lon"); code != 1 || !strings.Contains(out, "solo."+origin+" A: nothing live is left; empty=all") || !strings.Contains(errs, "refused, and nothing was changed: 1 name would lose") {
		t.Errorf("run without --force: code %d\n%s%s", code, out, errs)
	}

	began := time.Now()
	run := r.start("run", "--lose", "lon", "--for", "6s", "--force", "-o", "json")
	w.until("names New York's nodes", began, away)
	order.until("names New York's node", began, func(x *sighting) bool { return sameAddrs(x.addrs, r.nyc[:1]) })
	solo.until("is answered although nothing lives", time.Now(), func(x *sighting) bool { return sameAddrs(x.addrs, r.lon[:1]) })
	time.Sleep(every)
	before := r.requests()
	if code, out, errs = r.drill("run", "--lose", "nyc", "--force"); code != 1 || !strings.Contains(errs, "a drill is on already: lon") {
		t.Errorf("a second one: code %d\n%s%s", code, out, errs)
	}
	r.compare(&f, true)
	if now := r.requests(); now != before {
		t.Errorf("London's nodes got %d probes while they were lost", now-before)
	}
	w.stays(time.Second, func(x *sighting) string {
		if !away(x) {
			return "the site is still lost"
		}
		return ""
	})
	code, out, errs = run.wait()
	ended := time.Now()
	r.judgeReport(code, out, errs, "its time was over")
	w.until("names London's nodes again", ended, both)
	if r.requests() == before {
		t.Error("London's nodes got no probes after the drill")
	}
	if _, out, _ := r.drill("plan", "--lose", "lon"); !strings.Contains(out, "www."+origin) || !strings.Contains(out, "lon -> nyc") {
		t.Errorf("plan as text:\n%s", out)
	}
}

// judgeReport judges the report of a drill that came to its end.
func (r *rehearsal) judgeReport(code int, out, errs, end string) {
	r.t.Helper()
	var m measured
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		r.t.Fatalf("the report: %v: code %d\n%s%s", err, code, out, errs)
	}
	if m.End != end || !m.Back || m.Probes < 4 || (code == 0) != (m.Held && m.Back) {
		r.t.Errorf("the report: code %d\n%s%s", code, out, errs)
	}
	for _, n := range m.Names {
		switch n.Name {
		case "solo." + origin, "blind." + origin:
			if n.Verdict != "not-judged" {
				r.t.Errorf("%s is %s", n.Name, n.Verdict)
			}
			continue
		}
		if n.Gone == nil || n.BackMs == nil {
			r.t.Errorf("%s did not leave and return: %+v", n.Name, n)
			continue
		}
		r.t.Logf("%s: %s; gone after %.0f ms of %.0f, back %.0f ms after the end", n.Name, n.Verdict, *n.Gone, n.Promise, *n.BackMs)
		// What the server says of itself is strict; this machine may be busy.
		if most := float64(addNoise(r.t, promise).Milliseconds()); n.Promise != float64(promise.Milliseconds()) || *n.Gone > most {
			r.t.Errorf("%s was gone after %.0f ms, promised %.0f", n.Name, *n.Gone, n.Promise)
		}
	}
}

// Whatever becomes of who runs a drill, what it took away is put back.
func TestDrillInterrupted(t *testing.T) {
	t.Parallel()
	r := newRehearsal(t)
	w, order := r.watch("www", dns.TypeA, london), r.watch("order", dns.TypeA, london)
	both := func(x *sighting) bool { return sameAddrs(x.addrs, r.lon) }
	away := func(x *sighting) bool { return sameAddrs(x.addrs, r.nyc) }
	for _, how := range []struct {
		name, log string
		end       func(p *rehearsing)
	}{
		{"killed", "who ran it has gone", func(p *rehearsing) { _ = p.cmd.Process.Kill() }},
		{"terminated", "it was stopped", func(p *rehearsing) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }},
		{"stopped by another command", "it was stopped", func(*rehearsing) {
			if code, out, errs := r.drill("stop"); code != 0 || out != "lon is no longer lost: its probes are sent again\n" {
				t.Errorf("stop: code %d\n%s%s", code, out, errs)
			}
		}},
	} {
		w.until("names London's nodes", time.Now(), both)
		began := time.Now()
		p := r.start("run", "--lose", "lon", "--for", "1h", "--force", "-o", "json", "--how", "refused")
		w.until("names New York's nodes", began, away)
		order.until("names New York's node", began, func(x *sighting) bool { return sameAddrs(x.addrs, r.nyc[:1]) })
		ended := time.Now()
		how.end(p)
		w.until(how.name+": names London's nodes again", ended, both)
		code, out, errs := p.wait()
		if how.name == "killed" {
			if !strings.Contains(r.server.Log(), how.log) {
				t.Errorf("%s: the log doesn't say %q", how.name, how.log)
			}
		} else {
			r.judgeReport(code, out, errs, how.log)
		}
		// The drill is over for the server, too: after it there can be another one.
		if code, _, errs := r.drill("stop"); code != 1 || !strings.Contains(errs, "no drill is on") {
			t.Errorf("%s: a drill is still on: code %d, %s", how.name, code, errs)
		}
	}
}
