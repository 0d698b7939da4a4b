package failover

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// crowd asks as clients of many networks in London, in turn.
type crowd struct {
	t    *testing.T
	conn *dns.Conn
	next int
}

// crowdSize is how many networks it has.
const crowdSize = 250

func (c *cluster) crowd() *crowd {
	c.t.Helper()
	conn, err := dns.Dial("udp", c.server.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return &crowd{t: c.t, conn: conn}
}

// ask asks once for www, and returns its one address and how long that holds.
func (k *crowd) ask() (at netip.Addr, ttl uint32) {
	k.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("www."+origin, dns.TypeA)
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(127, 44, byte(k.next%crowdSize), 0)}}
	m.Extra = []dns.RR{o}
	k.next++
	_ = k.conn.SetDeadline(time.Now().Add(patience))
	if err := k.conn.WriteMsg(m); err != nil {
		k.t.Fatal(err)
	}
	r, err := k.conn.ReadMsg()
	if err != nil {
		k.t.Fatal(err)
	}
	if len(r.Answer) != 1 {
		k.t.Fatalf("somebody is turned away, or has too much: %v", r)
	}
	if s, ok := r.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); !ok || s.SourceScope != 24 {
		k.t.Fatalf("the scope is not that of the networks that are passed over: %v", r)
	}
	a := r.Answer[0].(*dns.A)
	at, _ = netip.AddrFromSlice(a.A.To4())
	return at, a.Hdr.Ttl
}

// all asks for each network once, and returns how many are sent to some nodes.
func (k *crowd) all(nodes ...*node) (n int) {
	k.t.Helper()
	for range crowdSize {
		at, _ := k.ask()
		for _, x := range nodes {
			if x.addr == at {
				n++
			}
		}
	}
	return n
}

// during asks so often a second, as long as it takes.
func (k *crowd) during(d time.Duration, rate int) {
	k.t.Helper()
	end := time.Now().Add(d)
	for begin, n := time.Now(), 0; time.Now().Before(end); n++ {
		time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		k.ask()
	}
}

// Cluster 12: a full site spills to the next instead of drowning, as much as it
// is too much; the others stay where they are.
func TestSpill(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11, 130)
	c.zone(oneAnswer(nodes) + `
lon._site  TXT "v=site1; net=ADDR.0/25; at=51.51,-0.13; capacity=40"
nyc._site  TXT "v=site1; net=ADDR.128/25; at=40.71,-74.01; capacity=1000"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; policy=nearest; check=web; answers=1"
`)
	c.serve()
	k := c.crowd()
	if n := k.all(nodes[:2]...); n != crowdSize {
		t.Fatalf("before: %d of %d are sent to London", n, crowdSize)
	}
	const rate = 120
	k.during(21*time.Second, rate)
	// 36 to 40 of 120 a second: as many of the networks, which all ask alike.
	if n := k.all(nodes[:2]...); n < crowdSize/6 || n > crowdSize/2 {
		t.Errorf("full: %d of %d networks are sent to London, of which a third fits in", n, crowdSize)
	}
	if !strings.Contains(c.server.Log(), "clients are passed over") {
		t.Error("the log says nothing of it")
	}
	// Who is full, and dead, passes nobody over: the other site is left.
	nodes[2].kill()
	deadline := time.Now().Add(patience)
	for k.all(nodes[:2]...) != crowdSize {
		if time.Now().After(deadline) {
			t.Fatal("the other site is dead, and some are still sent there")
		}
	}
}

// Cluster 12: a site that returns is ramped up.
func TestRamp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11, 130)
	c.zone(oneAnswer(nodes) + `
lon._site  TXT "v=site1; net=ADDR.0/25; at=51.51,-0.13"
nyc._site  TXT "v=site1; net=ADDR.128/25; at=40.71,-74.01"
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; policy=nearest; check=web; answers=1; ramp=10s"
`)
	c.serve()
	k := c.crowd()
	if n := k.all(nodes[:2]...); n != crowdSize {
		t.Fatalf("at the start: %d of %d are sent to London", n, crowdSize)
	}
	for _, x := range nodes[:2] {
		x.kill()
	}
	deadline := time.Now().Add(patience)
	for k.all(nodes[:2]...) > 0 {
		if time.Now().After(deadline) {
			t.Fatal("London is dead, and some are still sent there")
		}
	}
	for _, x := range nodes[:2] {
		x.boot()
	}
	// It grows, never shrinks, holds some back at first, and all are back at the
	// end; no answer is kept beyond that.
	begin, last, low := time.Now(), 0, crowdSize
	for last < crowdSize {
		if time.Since(begin) > 2*patience {
			t.Fatalf("after %v, %d of %d are sent to London", time.Since(begin), last, crowdSize)
		}
		_, ttl := k.ask()
		n := k.all(nodes[:2]...)
		if n < last-crowdSize/50 { // a network may be asked about just before a step
			t.Fatalf("%d of %d are sent to London, and there were %d before", n, crowdSize, last)
		}
		if n > 0 {
			low = min(low, n)
		}
		if last > 0 && n < crowdSize && ttl > 11 {
			t.Fatalf("while it is ramped up for 10 s, an answer holds for %d s", ttl)
		}
		last = n
	}
	if low > crowdSize/2 {
		t.Errorf("%d of %d were sent to London at first", low, crowdSize)
	}
}

// oneAnswer are the records of the nodes, with a TTL that a ramp cuts short.
func oneAnswer(nodes []*node) string {
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "www 300 A %s\n", n.addr)
	}
	return b.String()
}
