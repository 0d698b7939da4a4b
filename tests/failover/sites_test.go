package failover

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// twoSites are two data centres with a web node each, beyond links that can be
// cut.
type twoSites struct {
	*cluster
	lon, nyc         *site
	lonAddr, nycAddr netip.Addr
}

func newTwoSites(t *testing.T) *twoSites {
	c := newCluster(t)
	s := &twoSites{cluster: c, lon: newSite(t, c, 1), nyc: newSite(t, c, 2)}
	s.lonAddr, s.nycAddr = netip.MustParseAddr(s.lon.prefix+".10"), netip.MustParseAddr(s.nyc.prefix+".10")
	c.web(s.lonAddr, s.lon)
	c.web(s.nycAddr, s.nyc)
	return s
}

// site is a zone's text about the two, with a check.
func (s *twoSites) text(check string) string {
	return fmt.Sprintf(`
lon._site  TXT "v=site1; net=%s.0/24; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=%s.0/24; at=40.71,-74.01"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; %s"
`, s.lon.prefix, s.nyc.prefix, check)
}

// both are the records of a name at both sites.
func (s *twoSites) both(name string) string {
	return fmt.Sprintf("%[1]s 30 A %[2]s\n%[1]s 30 A %[3]s\n", name, s.lonAddr, s.nycAddr)
}

func only(list ...netip.Addr) func(*sighting) bool {
	return func(s *sighting) bool { return sameAddrs(s.addrs, list) }
}

// A whole site is cut off: the other one answers for it. Both are cut off: each
// name is answered as its empty= declares. When a site is back, so are its
// answers.
func TestSiteLost(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	s := newTwoSites(t)
	last := netip.MustParseAddr("192.0.2.99")
	s.zone(s.both("www") + s.both("none") + s.both("last") + s.both("order") + s.text("TIMING") + `
www._steer   TXT "v=steer1; policy=nearest; check=web"
none._steer  TXT "v=steer1; policy=nearest; check=web; empty=none"
last._steer  TXT "v=steer1; policy=nearest; check=web; empty=192.0.2.99"
order._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web; empty=none"
`)
	s.serve()
	www, none := s.watch("www", dns.TypeA, london), s.watch("none", dns.TypeA, london)
	resort, order := s.watch("last", dns.TypeA, london), s.watch("order", dns.TypeA, newYork)
	far := s.watch("www", dns.TypeA, newYork)
	all := []*watcher{www, none, resort, order}
	begin := time.Now()
	for _, w := range all {
		w.until("names London's node", begin, only(s.lonAddr))
	}

	lost := outage{node: s.lonAddr, from: time.Now()}
	s.lon.cut()
	for _, w := range all {
		w.until("names New York's node", lost.from, only(s.nycAddr))
	}
	both := time.Now()
	lostToo := outage{node: s.nycAddr, from: both}
	s.nyc.cut()
	www.until("is answered as if London's node lived", both, only(s.lonAddr))
	none.until("has no data", both, func(x *sighting) bool { return x.rcode == dns.RcodeSuccess && len(x.addrs) == 0 })
	order.until("has no data", both, func(x *sighting) bool { return x.rcode == dns.RcodeSuccess && len(x.addrs) == 0 })
	resort.until("names the last resort", both, only(last))

	lostToo.to = time.Now()
	s.nyc.mend()
	for _, w := range all {
		w.until("names New York's node again", lostToo.to, only(s.nycAddr))
	}
	lost.to = time.Now()
	s.lon.mend()
	for _, w := range all {
		w.until("names London's node again", lost.to, only(s.lonAddr))
	}
	for _, w := range []*watcher{none, resort, order} {
		w.judge([]outage{lost, lostToo}, addNoise(t, promise))
	}
	// With empty=all somebody dead is named while there is nobody else.
	www.judge([]outage{{node: s.lonAddr, from: lost.from, to: both}, lostToo}, addNoise(t, promise))
	far.judge([]outage{lost}, addNoise(t, promise))
	for _, w := range []*watcher{www, far} {
		w.always(begin, func(x *sighting) string {
			if len(x.addrs) != 1 {
				return "not one node"
			}
			return ""
		})
	}
}

// A firewall that drops, one that rejects, a link that is too slow and one that
// loses everything are all the same to a client: the node leaves. One packet
// lost in thirty changes nothing: so many failures in a row are improbable.
func TestBadLinks(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	s := newTwoSites(t)
	s.zone(s.both("www") + s.text("every=200ms; timeout=150ms; fall=5; rise=1") + `
www._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web; empty=none"
`)
	s.serve()
	w := s.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names London's node", begin, only(s.lonAddr))
	lon := s.lonAddr.String()

	s.lon.filter(lon, "numgen random mod 1000 < 33 drop")
	w.stays(3*time.Second, func(x *sighting) string {
		if !x.has(s.lonAddr) {
			return "some loss is no death"
		}
		return ""
	})
	// Each turn within ten minutes doubles what a return takes: 1, 4, 16 probes.
	var outages []outage
	for _, how := range []struct {
		name         string
		begin, later func()
	}{
		{"all is dropped", func() { s.lon.filter(lon, "drop") }, func() { s.lon.filter("", "") }},
		{"connections are rejected", func() { s.lon.filter(lon, "reject with tcp reset") }, func() { s.lon.filter("", "") }},
		{"the link is slow", s.lon.slow, s.lon.fast},
	} {
		o := outage{node: s.lonAddr, from: time.Now()}
		how.begin()
		w.until(how.name+", so that it names New York's node", o.from, only(s.nycAddr))
		o.to = time.Now()
		how.later()
		w.until("names London's node again", o.to, only(s.lonAddr))
		outages = append(outages, o)
	}
	within := 5*every + timeout + 100*time.Millisecond
	w.judge(outages, addNoise(t, within))
	w.always(begin, func(x *sighting) string {
		if len(x.addrs) != 1 {
			return "not one node"
		}
		return ""
	})
}

// slow makes each packet of the site take as long as on a line of two kilobits a
// second; fast ends that. (netem would say it more directly, but not every
// kernel has it.)
func (s *site) slow() {
	s.run("tc", "qdisc", "add", "dev", s.inside, "root", "tbf", "rate", "2kbit", "burst", "100", "limit", "10000")
}

func (s *site) fast() { s.run("tc", "qdisc", "del", "dev", s.inside, "root") }
