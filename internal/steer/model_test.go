package steer_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"

	"pgregory.net/rapid"
)

// model is a zone, a world and a moment as plain lists and maps: what the
// naive oracle chooses by.
type model struct {
	sites   map[string]record.Site
	nodes   map[string]record.Node
	checks  map[string]record.Check
	steer   record.Steer // of www, or of mail or cdn
	addrs   [2][]netip.Addr
	exch    []exchanger
	world   []region
	verdict map[probed]health.State
	drained map[string]bool // by label, nodes and sites
	active  int             // step of a failover; -1: none
	forced  bool            // it serves whatever its verdict
	kept    []netip.Addr    // what was live last, for empty=hold
	keptMX  []int           // the same, of exchangers
	pressure
}

type probed struct {
	addr  netip.Addr
	check string
}

// region is an own network.
type region struct {
	net         netip.Prefix
	country     string
	subdivision string
	continent   string
	asn         uint32
	located     bool
	lat, lon    float64
}

// exchanger is an MX record with the addresses of its target; nil: not ours.
type exchanger struct {
	priority int
	target   string
	addrs    []netip.Addr
}

var (
	countries  = []string{"US", "CA", "GB", "DE", "CN"}
	continents = []string{"NA", "EU", "AS"}
)

func chance(t *rapid.T, n int) bool { return rapid.IntRange(0, n-1).Draw(t, "chance") == n-1 }

func some[T any](t *rapid.T, of []T, most int) (out []T) {
	for _, x := range of {
		if len(out) < most && rapid.Bool().Draw(t, "some") {
			out = append(out, x)
		}
	}
	return out
}

// siteAddr is an address in the net of a site; those of site -1 are in no net.
func siteAddr(f, site, host int) netip.Addr {
	if site < 0 {
		site = 200
	}
	if f == 0 {
		return netip.AddrFrom4([4]byte{10, byte(site), 1, byte(host)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 5: byte(site), 15: byte(host)})
}

func siteLabel(i int) string { return fmt.Sprintf("s%d", i) }

// degrees is anywhere: numbers as rapid likes to draw them lie so evenly that
// many points would be equally far from others.
func degrees(t *rapid.T, most uint32) float64 {
	n := rapid.Uint32().Draw(t, "degrees")
	return float64((n*2654435761+0x5bd1e995)%(2*most*1e4))/1e4 - float64(most)
}

func (m *model) drawSites(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "sites")
	if chance(t, 6) {
		n = rapid.IntRange(9, 13).Draw(t, "many sites")
	}
	for i := range n {
		s := record.Site{Drain: chance(t, 10)}
		if chance(t, 3) {
			s.Capacity = rapid.Uint64Range(1, 1000).Draw(t, "capacity")
		}
		for f := range 2 {
			s.Nets = append(s.Nets, netip.PrefixFrom(siteAddr(f, i, 0), []int{16, 48}[f]).Masked())
		}
		// A host of the next site is here: the longest match wins.
		if chance(t, 3) {
			a := siteAddr(0, (i+1)%n, 1)
			s.Nets = append(s.Nets, netip.PrefixFrom(a, 32))
		}
		if !chance(t, 4) {
			s.Placed, s.Lat, s.Lon = true, degrees(t, 89), degrees(t, 179)
		}
		s.Countries = some(t, countries, 1)
		s.Continents = some(t, continents, 1)
		if chance(t, 3) {
			s.Subdivisions = []string{rapid.SampledFrom([]string{"US-CA", "US-NY"}).Draw(t, "subdivision")}
		}
		if chance(t, 3) {
			s.ASNs = []uint32{rapid.Uint32Range(64500, 64502).Draw(t, "asn")}
		}
		m.sites[siteLabel(i)] = s
	}
}

func (m *model) drawNodes(t *rapid.T, all []netip.Addr) {
	free := rapid.Permutation(all).Draw(t, "free")
	for i := range rapid.IntRange(0, 3).Draw(t, "nodes") {
		k := min(rapid.IntRange(1, 2).Draw(t, "addrs"), len(free))
		if k == 0 {
			return
		}
		n := record.Node{Addrs: free[:k], Weight: rapid.IntRange(0, 4).Draw(t, "weight"), Drain: chance(t, 8)}
		free = free[k:]
		if chance(t, 2) {
			n.Capacity = rapid.Uint64Range(1, 1000).Draw(t, "capacity")
		}
		for p := range rapid.IntRange(0, 3).Draw(t, "probes") {
			n.Probes = append(n.Probes, netip.AddrFrom4([4]byte{172, 16, byte(i), byte(p)}))
		}
		if len(n.Probes) > 0 {
			n.Need = rapid.IntRange(1, len(n.Probes)).Draw(t, "need")
		}
		if chance(t, 3) {
			n.Site = siteLabel(rapid.IntRange(0, len(m.sites)-1).Draw(t, "site"))
		}
		m.nodes[fmt.Sprintf("n%d", i)] = n
	}
}

func (m *model) drawAddrs(t *rapid.T) {
	for f := range 2 {
		for i := range rapid.IntRange(1-f, 7).Draw(t, "records") {
			site := rapid.IntRange(0, len(m.sites)-1).Draw(t, "site")
			if chance(t, 10) {
				site = -1
			}
			m.addrs[f] = append(m.addrs[f], siteAddr(f, site, i+1))
		}
	}
}

// anySite is the label of a site.
func (m *model) anySite(t *rapid.T) string {
	return siteLabel(rapid.IntRange(0, len(m.sites)-1).Draw(t, "site"))
}

// thing is the label of a site or a node, or an address.
func (m *model) thing(t *rapid.T) string {
	switch rapid.IntRange(0, 3).Draw(t, "thing") {
	case 0:
		if n := len(m.nodes); n > 0 {
			return fmt.Sprintf("n%d", rapid.IntRange(0, n-1).Draw(t, "node"))
		}
	case 1:
		all := append(append([]netip.Addr(nil), m.addrs[0]...), m.addrs[1]...)
		return rapid.SampledFrom(all).Draw(t, "address").String()
	}
	return m.anySite(t)
}

func (m *model) drawChecks(t *rapid.T) {
	m.checks["c0"] = record.Check{Type: record.CheckTCP, Port: 80}
	m.checks["c1"] = record.Check{Type: record.CheckMySQL, Use: "db"}
	if chance(t, 3) {
		c := m.checks["c1"]
		c.Role = record.RoleWritable
		m.checks["c1"] = c
	}
	if chance(t, 3) {
		m.checks["c0"] = record.Check{Type: record.CheckAgent, Port: 80}
	}
	m.steer.Check = some(t, []string{"c0", "c1"}, 2)
}

func (m *model) drawSteer(t *rapid.T) {
	s := &m.steer
	s.Policy = record.Policy(rapid.IntRange(0, 2).Draw(t, "policy"))
	s.Pick = record.Pick(rapid.IntRange(0, 2).Draw(t, "pick"))
	s.Answers = rapid.IntRange(0, 3).Draw(t, "answers")
	if chance(t, 3) {
		s.Ramp = time.Minute
	}
	switch rapid.IntRange(0, 3).Draw(t, "floor") {
	case 0:
		s.Floor.Percent = rapid.IntRange(1, 100).Draw(t, "percent")
	case 1:
		s.Floor.Count = rapid.IntRange(1, 4).Draw(t, "count")
	}
	switch rapid.IntRange(0, 4).Draw(t, "empty") {
	case 0:
		s.Empty = record.EmptyNone
	case 1:
		s.Empty, s.EmptyAddrs = record.EmptyAddress, []netip.Addr{netip.MustParseAddr("203.0.113.1")}
	case 2:
		s.Empty = record.EmptyHold
	default:
		if s.Policy == record.PolicyFailover {
			s.Empty = record.EmptyHold
		}
	}
	seen := map[string]bool{}
	if s.Pick == record.PickWeighted {
		for range rapid.IntRange(0, 3).Draw(t, "weights") {
			if what := m.thing(t); !seen[what] {
				seen[what] = true
				s.Weights = append(s.Weights, record.Weight{What: what, Weight: rapid.IntRange(0, 5).Draw(t, "weight")})
			}
		}
	}
	m.drawPolicy(t)
}

func (m *model) drawPolicy(t *rapid.T) {
	s := &m.steer
	seen := map[string]bool{}
	switch s.Policy {
	case record.PolicyNearest:
		if chance(t, 2) {
			s.Default = m.anySite(t)
		}
		for _, c := range some(t, countries, 2) {
			s.CountryOverrides = append(s.CountryOverrides, record.CountryOverride{Country: c, Site: m.anySite(t)})
		}
	case record.PolicyFailover:
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			if what := m.thing(t); !seen[what] && m.matches(what) {
				seen[what] = true
				s.Order = append(s.Order, what)
			}
		}
		if s.Order == nil {
			s.Order = []string{m.addrs[0][0].String()}
		}
	}
}

// matches reports whether something is a site, or stands for a record.
func (m *model) matches(what string) bool {
	if _, ok := m.sites[what]; ok {
		return true
	}
	for f := range 2 {
		for _, a := range m.addrs[f] {
			if a.String() == what || m.nodeOf(a) == what {
				return true
			}
		}
	}
	return false
}

func (m *model) drawWorld(t *rapid.T) {
	seen := map[netip.Prefix]bool{}
	for range rapid.IntRange(0, 12).Draw(t, "regions") {
		r := region{net: drawPrefix(t)}
		if seen[r.net] {
			continue
		}
		seen[r.net] = true
		if chance(t, 2) {
			r.country = rapid.SampledFrom(countries).Draw(t, "country")
			if r.country == "US" && chance(t, 2) {
				r.subdivision = rapid.SampledFrom([]string{"CA", "NY"}).Draw(t, "subdivision")
			}
		}
		if chance(t, 2) {
			r.continent = rapid.SampledFrom(continents).Draw(t, "continent")
		}
		if chance(t, 2) {
			r.asn = rapid.Uint32Range(64500, 64502).Draw(t, "asn")
		}
		if !chance(t, 3) {
			r.located, r.lat, r.lon = true, degrees(t, 89), degrees(t, 179)
		}
		m.world = append(m.world, r)
	}
}

// drawPrefix is one of few, so that they are nested and neighbours.
func drawPrefix(t *rapid.T) netip.Prefix {
	a := drawClient(t)
	bits := rapid.IntRange(0, a.BitLen()).Draw(t, "bits")
	p, _ := a.Prefix(bits)
	return p
}

func drawClient(t *rapid.T) netip.Addr {
	few := rapid.SampledFrom([]byte{0, 1, 0x80, 0x81, 0xff})
	if rapid.Bool().Draw(t, "v4") {
		return netip.AddrFrom4([4]byte{few.Draw(t, "a"), few.Draw(t, "b"), few.Draw(t, "c"), few.Draw(t, "d")})
	}
	b := [16]byte{0x20, few.Draw(t, "b"), few.Draw(t, "c")}
	b[7], b[8], b[15] = few.Draw(t, "h"), few.Draw(t, "i"), few.Draw(t, "p")
	return netip.AddrFrom16(b)
}

func (m *model) drawMoment(t *rapid.T) {
	clear(m.drained)
	m.forced, m.kept, m.keptMX = false, nil, nil
	if m.active = -1; chance(t, 3) {
		// Nothing happens: all is up.
		for p := range m.verdict {
			m.verdict[p] = health.Up
		}
		if len(m.verdict) > 0 {
			return
		}
	}
	likely := rapid.SampledFrom([]health.State{health.Up, health.Unknown, health.Down}).Draw(t, "likely")
	probe := func(addrs []netip.Addr) {
		for _, a := range addrs {
			for _, c := range []string{"c0", "c1"} {
				v := likely
				if chance(t, 3) {
					v = health.State(rapid.IntRange(0, 3).Draw(t, "verdict"))
				}
				m.verdict[probed{a, c}] = v
			}
		}
	}
	probe(m.addrs[0])
	probe(m.addrs[1])
	for _, e := range m.exch {
		probe(e.addrs)
	}
	for i := range 3 {
		probe(m.nodes[fmt.Sprintf("n%d", i)].Probes)
		if chance(t, 8) {
			m.drained[fmt.Sprintf("n%d", i)] = true
		}
	}
	drains := rapid.SampledFrom([]int{2, 8}).Draw(t, "drains")
	for i := range len(m.sites) {
		if chance(t, drains) {
			m.drained[siteLabel(i)] = true
		}
	}
	if n := len(m.steer.Order); n > 0 && chance(t, 3) {
		m.active = rapid.IntRange(0, n-1).Draw(t, "active")
		m.forced = chance(t, 3)
	}
	if m.steer.Empty == record.EmptyHold && m.steer.Policy != record.PolicyFailover && !chance(t, 4) {
		m.kept = append(some(t, m.addrs[0], 7), some(t, m.addrs[1], 7)...)
		for i := range m.exch {
			if rapid.Bool().Draw(t, "kept") {
				m.keptMX = append(m.keptMX, i)
			}
		}
	}
}

// keptBits is what was live last, as a Bound has it.
func (m *model) keptBits() []steer.Kept {
	var k steer.Kept
	mark := func(of, i int) {
		if k[of] == nil {
			k[of] = make([]uint64, 1)
		}
		k[of][0] |= 1 << i
	}
	for f := range m.addrs {
		for i, a := range m.addrs[f] {
			if slices.Contains(m.kept, a) {
				mark(f, i)
			}
		}
	}
	for _, i := range m.keptMX {
		mark(2, i)
	}
	return []steer.Kept{k}
}

func newModel() *model {
	return &model{
		sites: map[string]record.Site{}, nodes: map[string]record.Node{}, checks: map[string]record.Check{},
		verdict: map[probed]health.State{}, drained: map[string]bool{}, active: -1,
	}
}

// drawModel draws a name with addresses.
func drawModel(t *rapid.T) *model {
	m := newModel()
	m.drawSites(t)
	m.drawAddrs(t)
	m.drawNodes(t, append(append([]netip.Addr(nil), m.addrs[0]...), m.addrs[1]...))
	m.drawChecks(t)
	m.drawSteer(t)
	m.drawWorld(t)
	m.drawMoment(t)
	m.drawPressure(t)
	return m
}

// csv is the world as own networks.
func (m *model) csv() string {
	var b strings.Builder
	b.WriteString("prefix,country,subdivision,lat,lon,asn,continent\n")
	for _, r := range m.world {
		lat, lon, asn := "", "", ""
		if r.located {
			lat, lon = fmt.Sprintf("%.4f", r.lat), fmt.Sprintf("%.4f", r.lon)
		}
		if r.asn != 0 {
			asn = fmt.Sprint(r.asn)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s,%s\n", r.net, r.country, r.subdivision, lat, lon, asn, r.continent)
	}
	return b.String()
}

// text is the zone.
func (m *model) text(owner string) string {
	var b strings.Builder
	b.WriteString(top)
	for i := range len(m.sites) {
		fmt.Fprintf(&b, "%s._site TXT %s\n", siteLabel(i), txt(m.sites[siteLabel(i)].String()))
	}
	for label, n := range m.nodes {
		fmt.Fprintf(&b, "%s._node TXT %q\n", label, n.String())
	}
	fmt.Fprintf(&b, "c0._check TXT \"v=check1; type=%s; port=80\"\n", cmp.Or(m.checks["c0"].Type, record.CheckTCP))
	role := ""
	if m.checks["c1"].Role == record.RoleWritable {
		role = "; role=writable"
	}
	fmt.Fprintf(&b, "c1._check TXT \"v=check1; type=mysql; use=db%s\"\n", role)
	for f, typ := range []string{"A", "AAAA"} {
		for _, a := range m.addrs[f] {
			fmt.Fprintf(&b, "%s %s %s\n", owner, typ, a)
		}
	}
	for _, e := range m.exch {
		fmt.Fprintf(&b, "%s MX %d %s\n", owner, e.priority, e.target)
		for _, a := range e.addrs {
			typ := "A"
			if a.Is6() {
				typ = "AAAA"
			}
			fmt.Fprintf(&b, "%s %s %s\n", e.target, typ, a)
		}
	}
	if len(m.steer.CNAMEs) > 0 {
		fmt.Fprintf(&b, "%s CNAME elsewhere.test.\n", owner)
	}
	fmt.Fprintf(&b, "%s._steer TXT %s\n", owner, txt(m.steer.String()))
	return b.String()
}

// txt is a text as the strings of a TXT record.
func txt(s string) string {
	var parts []string
	for part := range slices.Chunk([]byte(s), 200) {
		parts = append(parts, fmt.Sprintf("%q", part))
	}
	return strings.Join(parts, " ")
}
