package failover

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// settled is how long after the return of a site all servers agree at the latest.
const settled = 5 * time.Second

// alone is how long after the cut a secondary knows that it is.
const alone = 6*time.Second + promise

// commanded is how long a command takes to reach a secondary at the latest.
const commanded = time.Second

// lostPrimary is cluster 3: the primary and the secondary, the nodes of both
// sites, and clients that ask both servers all the time.
type lostPrimary struct {
	*region
	lonDB, nycDB *database
	fourth       *node // of New York

	at map[string]*watcher // of both servers, by who asks what
	// begin is when they began, restarted when the secondary was started again.
	begin, restarted time.Time
}

const (
	// shortZone has copies that expire soon.
	shortZone = "short.example."
	// selfZone is a failover with lead=self, in a zone of its own: that asks its
	// primary all the time, and others should not profit by it.
	selfZone = "alone.example."
)

func newLostPrimary(t *testing.T) *lostPrimary {
	x := &lostPrimary{region: newRegion(t), at: map[string]*watcher{}}
	lon, nyc := x.lon, x.nyc
	for _, last := range []int{10, 11} {
		x.web(lon.at(last), lon)
	}
	for _, last := range []int{10, 11, 12} {
		x.web(nyc.at(last), nyc)
	}
	x.fourth = x.web(nyc.at(15), nyc)
	files := filepath.Join(t.TempDir(), "empty")
	emptyDatabase(t, files)
	x.lonDB, x.nycDB = x.databaseAt(lon.at(13), files, lon), x.databaseAt(nyc.at(13), files, nyc)
	x.nycDB.readOnly(true)

	x.one.configure(x.region, fmt.Sprintf("transfer: {allow: [\"key:xfer.\"], notify: [{to: \"%s\", key: xfer.}]}\n", x.two.addr))
	x.two.configure(x.region, fmt.Sprintf(`secondary:
  - {zone: cluster.example, primaries: ["%[1]s"], key: xfer.}
  - {zone: alone.example, primaries: ["%[1]s"], key: xfer.}
  - {zone: short.example, primaries: ["%[1]s"], key: xfer.}
`, x.one.addr))
	x.writeZone("")
	write(t, filepath.Join(x.one.dir, "zones"), "short.example.zone", `$ORIGIN short.example.
@ 60 SOA ns1.cluster.example. hostmaster.cluster.example. 1 1 1 5 60
@ 60 NS  ns1.cluster.example.
`)
	write(t, filepath.Join(x.one.dir, "zones"), "alone.example.zone", strings.NewReplacer("LON", lon.prefix, "NYC", nyc.prefix).Replace(`$ORIGIN alone.example.
@ 60 SOA ns1.cluster.example. hostmaster.cluster.example. 1 3600 600 604800 60
@ 60 NS  ns1.cluster.example.
@ 60 A   LON.10
@ 60 A   NYC.10
_steer 60 TXT "v=steer1; policy=failover; order=lon,nyc; failback=manual; lead=self; check=web; with=cluster.example."
`))
	x.one.boot()
	x.two.boot()
	return x
}

// writeZone writes the zone of the primary, with more records. Its SOA would have
// secondaries ask again after ten minutes.
func (x *lostPrimary) writeZone(more string) {
	x.t.Helper()
	x.cluster.dir = x.one.dir
	x.zone(strings.NewReplacer("LON", x.lon.prefix, "NYC", x.nyc.prefix).Replace(`
www 30 A LON.10
www 30 A LON.11
www 30 A NYC.10
www 30 A NYC.11
www 30 A NYC.12
www 30 A NYC.15
order 30 A LON.10
order 30 A NYC.10
moved 30 A LON.10
moved 30 A NYC.10
held 30 A LON.10
held 30 A NYC.10
db   30 A LON.13
db   30 A NYC.13
lon._site  TXT "v=site1; net=LON.0/24; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=NYC.0/24; at=40.71,-74.01"
lon2._node TXT "v=node1; addr=LON.11"
nyc2._node TXT "v=node1; addr=NYC.11"
nyc3._node TXT "v=node1; addr=NYC.12"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
db._check  TXT "v=check1; type=mysql; port=PORT; use=db; role=writable; every=200ms; timeout=200ms; fall=2; rise=1"
www._steer   TXT "v=steer1; policy=nearest; check=web"
order._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web"
moved._steer TXT "v=steer1; policy=failover; order=lon,nyc; failback=manual; check=web"
held._steer  TXT "v=steer1; policy=failover; order=lon,nyc; failback=manual; check=web"
db._steer    TXT "v=steer1; policy=failover; order=lon,nyc; failback=manual; check=db"
`) + more)
}

// lostNames are those that are asked for, of both servers.
func lostNames() map[string]string {
	names := map[string]string{"self": selfZone}
	for _, name := range []string{"www", "order", "moved", "held", "db", "late"} {
		names[name] = name + "." + origin
	}
	return names
}

// observe begins to ask a server.
func (x *lostPrimary) observe(n *nameServer) {
	x.t.Helper()
	where := "one "
	if n == x.two {
		where = "two "
		x.at[where+"far"] = n.watch("www."+origin, dns.TypeA, traveller)
		x.at[where+"short"] = n.watch(shortZone, dns.TypeSOA, 14)
	}
	x.at[where+"serial"] = n.watch(origin, dns.TypeSOA, 14)
	for who, name := range lostNames() {
		x.at[where+who] = n.watch(name, dns.TypeA, 14)
	}
}

// until waits until those who ask are told something, and returns how long that
// took since a time.
func (x *lostPrimary) until(since time.Time, what string, is func(*sighting) bool, who ...string) time.Duration {
	x.t.Helper()
	var took time.Duration
	for _, name := range who {
		took = max(took, x.at[name].until(what, since, is).got.Sub(since))
	}
	return took.Round(time.Millisecond)
}

// within fails if something took too long, and prints how long.
func (x *lostPrimary) within(what string, took, bound time.Duration) {
	x.t.Helper()
	x.t.Logf("%s: %v, of %v", what, took, bound)
	if took > addNoise(x.t, bound) {
		x.t.Errorf("%s took %v, more than %v", what, took, bound)
	}
}

// tells waits until a server's status lists these drains.
func (x *lostPrimary) tells(n *nameServer, want map[string]bool) {
	x.t.Helper()
	var got map[string]bool
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = n.drains(); maps.Equal(got, want) {
			return
		}
	}
	x.t.Errorf("the status of %s has the drains %v (true: the primary's), want %v", n.addr, got, want)
}

// of is for answers with exactly these addresses of a site.
func of(s *site, lasts ...int) func(*sighting) bool {
	var list []netip.Addr
	for _, last := range lasts {
		list = append(list, s.at(last))
	}
	return only(list...)
}

func serving(s *sighting) bool { return s.rcode == dns.RcodeSuccess && s.serial != 0 }

// Cluster 3: the site with the primary name server is cut off. The secondary goes
// on answering, probing and steering alone; even after a crash; and when the site
// returns, all agree within five seconds.
func TestPrimaryLost(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	x := newLostPrimary(t)
	x.begin = time.Now()
	x.observe(x.one)
	x.observe(x.two)
	x.reached()
	cut := x.alone()
	x.apart(cut)
	x.crashed(cut)
	x.changed()
	x.returned(cut)
	x.one.finish()
	x.two.finish()
}

// reached: a drain and a failover that are commanded on the primary are obeyed by
// the secondary.
func (x *lostPrimary) reached() {
	x.t.Helper()
	for _, name := range []string{"order", "moved", "held", "self"} {
		x.until(x.begin, "names London's node", of(x.lon, 10), "one "+name, "two "+name)
	}
	x.until(x.begin, "names London's database", of(x.lon, 13), "one db", "two db")
	x.until(x.begin, "names New York's nodes", of(x.nyc, 10, 11, 12, 15), "two www")
	x.until(x.begin, "names London's nodes", of(x.lon, 10, 11), "one www", "two far")

	since := time.Now()
	x.one.command("drain", "nyc3", "--for", "10m")
	x.within("a drain reached the secondary", x.until(since, "names all but the drained one", of(x.nyc, 10, 11, 15), "two www"), commanded)
	since = time.Now()
	x.one.command("failback", "moved."+origin, "--to", "nyc")
	x.within("a failover reached the secondary", x.until(since, "names New York's node", of(x.nyc, 10), "one moved", "two moved"), commanded)
	since = time.Now()
	x.one.command("drain", "nyc2", "--for", "6s")
	x.within("another drain reached the secondary", x.until(since, "names those that are not drained", of(x.nyc, 10, 15), "two www"), commanded)
	x.tells(x.two, map[string]bool{"nyc2": true, "nyc3": true})
}

// alone: the site of the primary is cut off. Each server goes by what it sees; what
// only an operator may turn stays as the primary said last.
func (x *lostPrimary) alone() (cut time.Time) {
	x.t.Helper()
	cut = x.cut()
	bound := promise
	x.within("the secondary dropped London's nodes", x.until(cut, "names New York's nodes", of(x.nyc, 10, 15), "two far"), bound)
	x.within("the secondary failed over", x.until(cut, "names New York's node", of(x.nyc, 10), "two order"), bound)
	x.within("the primary's failover that an operator had turned", x.until(cut, "names London's node", of(x.lon, 10), "one moved"), bound)
	x.within("the failover with lead=self acted alone", x.until(cut, "names New York's node", of(x.nyc, 10), "two self"), alone)
	promoted := x.nycDB.readOnly(false)
	x.within("the promoted database was answered", x.until(promoted, "names New York's database", of(x.nyc, 13), "two db"), promise)
	return cut
}

// apart: while it does not hear of the primary, the secondary lets the primary's
// drain end, and is commanded itself.
func (x *lostPrimary) apart(cut time.Time) {
	x.t.Helper()
	x.until(cut, "names who is no longer drained: the primary's drain has ended by itself", of(x.nyc, 10, 11, 15), "two www")
	x.tells(x.two, map[string]bool{"nyc3": true})
	since := time.Now()
	x.two.command("drain", "nyc2", "--for", "10m", "--reason", "a command to the secondary")
	x.within("a drain of the secondary's own", x.until(since, "names who is not drained", of(x.nyc, 10, 15), "two www"), commanded)
	x.tells(x.two, map[string]bool{"nyc2": false, "nyc3": true})
}

// changed: meanwhile the primary is commanded, and its zone file edited.
func (x *lostPrimary) changed() {
	x.t.Helper()
	since := time.Now()
	x.one.command("undrain", "nyc3")
	x.one.command("drain", "lon2", "--for", "10m")
	x.writeZone("late 30 A 192.0.2.77\n")
	x.until(since, "has what is new", only(netip.MustParseAddr("192.0.2.77")), "one late")
	x.until(since, "names who is not drained", of(x.lon, 10), "one www")
	x.tells(x.one, map[string]bool{"lon2": false})
}

// crashed: the secondary loses its power while the primary is away. From its first
// answer on it is what it was.
func (x *lostPrimary) crashed(cut time.Time) {
	x.t.Helper()
	expired := x.at["two short"].until("has expired", cut, func(s *sighting) bool { return s.rcode == dns.RcodeServerFailure })
	x.t.Logf("a copy with an expiry of 5s was served for %v after the cut", expired.got.Sub(cut).Round(time.Millisecond))
	x.judgeSecondary(cut)
	killed := time.Now()
	x.two.kill()
	x.observe(x.two)
	began := time.Now()
	x.two.boot()
	x.restarted = began
	first := x.until(began, "is answered", func(*sighting) bool { return true }, "two www")
	x.t.Logf("the secondary answered %v after its start", first)
	// What was answered before it died is not to be judged here.
	time.Sleep(2 * promise)
	for name, is := range map[string]func(*sighting) bool{
		"www": of(x.nyc, 10, 15), "far": of(x.nyc, 10, 15), "order": of(x.nyc, 10), "moved": of(x.nyc, 10),
		"held": of(x.lon, 10), "self": of(x.nyc, 10), "db": of(x.nyc, 13),
		"serial": serving,
		"short":  func(s *sighting) bool { return s.rcode == dns.RcodeServerFailure },
	} {
		x.at["two "+name].always(killed, func(s *sighting) string {
			if !is(s) {
				return "after its crash the secondary says something else than before"
			}
			return ""
		})
	}
	x.tells(x.two, map[string]bool{"nyc2": false, "nyc3": true})
	died := x.fourth.kill()
	x.within("after its crash the secondary steers", x.until(died, "names who lives", of(x.nyc, 10), "two www"), promise)
}

// judgeSecondary looks at all that the secondary said since the cut, until now.
func (x *lostPrimary) judgeSecondary(cut time.Time) {
	x.t.Helper()
	var lost []outage
	for _, last := range []int{10, 11} {
		lost = append(lost, outage{node: x.lon.at(last), from: cut})
	}
	for name, w := range x.at {
		if !strings.HasPrefix(name, "two ") {
			continue
		}
		switch strings.TrimPrefix(name, "two ") {
		case "www", "far", "order":
			w.judge(lost, addNoise(x.t, promise))
		case "held", "moved":
			w.stop()
			w.always(cut, func(s *sighting) string {
				if want := map[string]netip.Addr{"two held": x.lon.at(10), "two moved": x.nyc.at(10)}[name]; !only(want)(s) {
					return "a cut-off secondary turned what is the primary's to turn"
				}
				return ""
			})
		case "short":
			w.stop()
			// The last time that it was confirmed was up to a second before, and the
			// retry that every server is granted counts as well.
			w.always(x.begin, func(s *sighting) string {
				if s.got.Before(cut.Add(3*time.Second)) && !serving(s) {
					return "a copy that has not expired is not served"
				}
				if s.asked.After(cut.Add(addNoise(x.t, 6*time.Second))) && s.rcode != dns.RcodeServerFailure {
					return "a copy that has expired is served"
				}
				return ""
			})
		default:
			w.stop()
		}
		w.always(x.begin, func(s *sighting) string {
			if len(s.addrs) > 1 && name == "two db" {
				return "two writers"
			}
			return ""
		})
	}
}

// returned: the site is back. Both servers say the same, but for what was commanded
// on the secondary alone.
func (x *lostPrimary) returned(cut time.Time) {
	x.t.Helper()
	x.at["one moved"].always(cut.Add(addNoise(x.t, promise)), func(s *sighting) string {
		if !of(x.lon, 10)(s) {
			return "cut off, the primary answers what it can't see"
		}
		return ""
	})
	// Nothing else is to tell the secondary: what it asked when it was started again
	// has been given up, and the next NOTIFY is seven seconds away.
	time.Sleep(time.Until(x.restarted.Add(9500 * time.Millisecond)))
	mended := x.mend()
	x.t.Logf("London was away for %v", mended.Sub(cut).Round(time.Millisecond))
	x.within("the expired copy is served", x.until(mended, "is served again", serving, "two short"), settled)
	serials := x.until(mended, "has what came meanwhile", only(netip.MustParseAddr("192.0.2.77")), "two late")
	x.within("the secondary had what came meanwhile", serials, settled)
	x.agree(mended, "all but the local drain and the writers are the same", func(name string) bool { return name != "www from nyc" && !isDB(name) })
	x.tells(x.two, map[string]bool{"nyc2": false, "lon2": true})

	since := time.Now()
	x.two.command("undrain", "nyc2")
	// Both databases take writes: each server holds what it answered, and no server
	// names two.
	x.agree(since, "without the local drain all but the writers are the same", func(name string) bool { return !isDB(name) })
	x.lonDB.readOnly(true)
	x.agree(time.Now(), "with one writer everything is the same", func(string) bool { return true })
	x.until(time.Now(), "names the promoted database", of(x.nyc, 13), "one db", "two db")
	for _, who := range []string{"one db", "two db"} {
		x.at[who].stop()
		x.at[who].always(x.begin.Add(promise), func(s *sighting) string {
			if len(s.addrs) > 1 {
				return "two writers"
			}
			return ""
		})
	}
}

func isDB(name string) bool { return strings.HasPrefix(name, "db ") }

// agree waits until both servers say the same about what is wanted, and fails if
// that is later than promised.
func (x *lostPrimary) agree(since time.Time, what string, wanted func(name string) bool) {
	x.t.Helper()
	var differ []string
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		one, two := x.answers(x.one), x.answers(x.two)
		took := time.Since(since).Round(time.Millisecond)
		differ = nil
		for name := range one {
			if wanted(name) && one[name] != two[name] {
				differ = append(differ, fmt.Sprintf("%s: %s and %s", name, one[name], two[name]))
			}
		}
		if len(differ) == 0 {
			x.within(what, took, settled)
			return
		}
	}
	slices.Sort(differ)
	x.t.Errorf("not true within %v: %s; the primary and the secondary say\n%s", 2*patience, what, strings.Join(differ, "\n"))
}

// answers are what a server says now about everything, to clients at both sites.
func (x *lostPrimary) answers(n *nameServer) map[string]string {
	x.t.Helper()
	list := map[string]string{}
	for _, zone := range []string{origin, selfZone, shortZone} {
		list["serial of "+zone] = x.ask(n, zone, dns.TypeSOA, n.site)
	}
	for who, name := range lostNames() {
		list[who+" from lon"] = x.ask(n, name, dns.TypeA, x.lon)
		list[who+" from nyc"] = x.ask(n, name, dns.TypeA, x.nyc)
	}
	return list
}

// ask asks once, for a client at a site.
func (x *lostPrimary) ask(n *nameServer, name string, qtype uint16, client *site) string {
	x.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: client.at(0).AsSlice(),
	})
	conn := n.site.dial(n.addr, n.site.at(14))
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	co := &dns.Conn{Conn: conn, UDPSize: 1232}
	if err := co.WriteMsg(m); err != nil {
		return err.Error()
	}
	r, err := co.ReadMsg()
	if err != nil {
		return err.Error()
	}
	var s sighting
	s.read(r)
	slices.SortFunc(s.addrs, netip.Addr.Compare)
	return s.String()
}
