package failover

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// six is one of the scenario's IPv6 addresses, which lasts as long as the network
// namespace.
func (c *cluster) six(last int) netip.Addr {
	c.t.Helper()
	second, third, _ := strings.Cut(strings.TrimPrefix(c.prefix, "127."), ".")
	a := netip.MustParseAddr(fmt.Sprintf("fd00:%s:%s::%d", second, third, last))
	run(c.t, "ip", "-6", "address", "add", a.String()+"/128", "dev", "lo", "nodad")
	return a
}

// IPv4 and IPv6 of one machine, tied by a _node that needs both (need=2), leave
// together: nobody is sent by IPv4 to a machine of which half is dead. And a site
// whose IPv6 is dead is left in both families, since a client should find both at
// one site.
func TestFamilies(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return
	}
	c := newCluster(t)
	tied, near := c.machines(10, 20), c.machines(30, 40)
	c.zone(records46("tied", tied) + records46("near", near) + fmt.Sprintf(`
one._node TXT "v=node1; addr=%[1]s; addr=%[2]s; probe=%[1]s; probe=%[2]s; need=2"
two._node TXT "v=node1; addr=%[3]s; addr=%[4]s; probe=%[3]s; probe=%[4]s; need=2"
lon._site TXT "v=site1; net=%[5]s/32; net=%[6]s/128; at=51.51,-0.13"
nyc._site TXT "v=site1; net=%[7]s/32; net=%[8]s/128; at=40.71,-74.01"
web._check  TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
tied._steer TXT "v=steer1; check=web"
near._steer TXT "v=steer1; policy=nearest; check=web"
`, tied[0].four, tied[0].six, tied[1].four, tied[1].six, near[0].four, near[0].six, near[1].four, near[1].six))
	c.serve()
	tied4, tied6 := c.watch("tied", dns.TypeA, ""), c.watch("tied", dns.TypeAAAA, "")
	near4, near6 := c.watch("near", dns.TypeA, london), c.watch("near", dns.TypeAAAA, london)
	begin := time.Now()
	tied4.until("names both", begin, only(tied[0].four, tied[1].four))
	tied6.until("names both", begin, only(tied[0].six, tied[1].six))
	near4.until("names London's", begin, only(near[0].four))
	near6.until("names London's", begin, only(near[0].six))

	from := time.Now()
	left := []time.Duration{tied6.leaves(tied[0].node, tied[0].kill()), near6.leaves(near[0].node, near[0].kill())}
	tied4.until("names the other machine only", from, only(tied[1].four))
	tied6.until("names the other machine only", from, only(tied[1].six))
	near4.until("names New York's", from, only(near[1].four))
	near6.until("names New York's", from, only(near[1].six))
	to := time.Now()
	tied[0].boot()
	near[0].boot()
	tied4.until("names both again", to, only(tied[0].four, tied[1].four))
	tied6.until("names both again", to, only(tied[0].six, tied[1].six))
	near4.until("names London's again", to, only(near[0].four))
	near6.until("names London's again", to, only(near[0].six))

	distribution(t, "a killed IPv6 address in answers", left, killed)
	// Between the one death and the other are some hundred milliseconds.
	within := addNoise(t, 2*killed)
	tied4.judge([]outage{{tied[0].four, from, to}}, within)
	tied6.judge([]outage{{tied[0].six, from, to}}, within)
	near4.judge([]outage{{near[0].four, from, to}}, within)
	near6.judge([]outage{{near[0].six, from, to}}, within)
}

// machine is a node that answers at an address of each family; the process behind
// the IPv6 one is the one that dies.
type machine struct {
	*node
	four, six netip.Addr
}

func (c *cluster) machines(lasts ...int) (list []machine) {
	c.t.Helper()
	for _, last := range lasts {
		m := machine{four: c.addr(last), six: c.six(last)}
		c.web(m.four, nil)
		m.node = c.web(m.six, nil)
		list = append(list, m)
	}
	return list
}

// records46 are a name's records of both families.
func records46(name string, list []machine) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%[1]s 30 A %[2]s\n%[1]s 30 AAAA %[3]s\n", name, m.four, m.six)
	}
	return b.String()
}
