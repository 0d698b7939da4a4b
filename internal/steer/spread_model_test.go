package steer_test

import (
	"cmp"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"

	"pgregory.net/rapid"
)

// pressure is what makes sites and nodes take a part of their clients, in the
// model: shares up to steer.Whole, by label or address.
type pressure struct {
	spill  map[string]uint32
	ramp   map[string]uint32
	share  map[probed]int // of agents, in percent
	drains map[probed]bool
}

func share(t *rapid.T) uint32 {
	return rapid.SampledFrom([]uint32{0, 1, steer.Whole / 4, steer.Whole / 2, steer.Whole - 1, steer.Whole}).Draw(t, "share")
}

// drawPressure draws what is full, what returns, and what agents say.
func (m *model) drawPressure(t *rapid.T) {
	m.pressure = pressure{map[string]uint32{}, map[string]uint32{}, map[probed]int{}, map[probed]bool{}}
	if chance(t, 2) {
		return
	}
	for i := range len(m.sites) {
		if s := siteLabel(i); m.sites[s].Capacity > 0 {
			m.pressure.spill[s] = share(t)
		}
		if m.steer.Ramp > 0 && m.steer.Policy == record.PolicyNearest && chance(t, 3) {
			m.pressure.ramp[siteLabel(i)] = share(t)
		}
	}
	for label, n := range m.sortedNodes() {
		if n.Capacity > 0 {
			m.pressure.spill[label] = share(t)
		}
	}
	for f := range m.addrs {
		for _, a := range m.addrs[f] {
			if m.steer.Ramp > 0 && chance(t, 3) {
				m.pressure.ramp[a.String()] = share(t)
			}
		}
	}
	for _, check := range m.steer.Check {
		if m.checks[check].Type != record.CheckAgent {
			continue
		}
		for p := range m.sortedVerdicts() {
			if p.check == check && chance(t, 2) {
				m.pressure.share[p] = rapid.IntRange(0, 100).Draw(t, "percent")
			}
			if p.check == check && chance(t, 6) {
				m.pressure.drains[p] = true
			}
		}
	}
}

// sortedNodes are the nodes by their labels: drawing has to repeat itself.
func (m *model) sortedNodes() func(func(string, record.Node) bool) {
	var labels []string
	for label := range m.nodes {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return func(yield func(string, record.Node) bool) {
		for _, label := range labels {
			if !yield(label, m.nodes[label]) {
				return
			}
		}
	}
}

func (m *model) sortedVerdicts() func(func(probed) bool) {
	var list []probed
	for p := range m.verdict {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b probed) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.check, b.check))
	})
	return slices.Values(list)
}

// press brings a cluster under the model's pressure.
func (m *model) press(c *cluster) {
	b := *c.moment.Bound
	p := c.program
	b.Spill = make([]uint32, len(p.Nodes)+len(p.Sites))
	whole := func(label string, shares map[string]uint32) uint32 {
		if s, ok := shares[label]; ok {
			return s
		}
		return steer.Whole
	}
	for i := range p.Nodes {
		b.Spill[p.NodeUnit(i)] = whole(p.Nodes[i].Name, m.pressure.spill)
	}
	for i := range p.Sites {
		b.Spill[p.SiteUnit(i)] = whole(p.Sites[i].Name, m.pressure.spill)
	}
	if len(m.pressure.spill) == 0 {
		b.Spill = nil
	}
	b.Ramps = nil
	if len(m.pressure.ramp) > 0 {
		b.Ramps = make([]*steer.Ramp, len(p.Rules()))
		for _, r := range p.Rules() {
			var sites []uint32
			var members [2][]uint32
			for _, s := range p.NumberedSites(r) {
				sites = append(sites, whole(s, m.pressure.ramp))
			}
			for f := range m.addrs {
				for _, a := range m.addrs[f] {
					members[f] = append(members[f], whole(a.String(), m.pressure.ramp))
				}
			}
			b.Ramps[r.Number] = steer.RampOf(sites, members, 0)
		}
	}
	var asked []health.Asked
	for i, target := range p.Targets {
		key := probed{target.Addr, p.Checks[target.Check].Name}
		one := health.Asked{Slot: b.Slots[i], Drain: m.pressure.drains[key], Share: health.WholeShare}
		if s, ok := m.pressure.share[key]; ok {
			one.Share = uint8(s)
		}
		asked = append(asked, one)
	}
	c.moment.Bound, c.moment.Verdicts = &b, c.moment.Verdicts.WithAsked(asked)
}

// spreads: the policy is one whose clients may be passed over.
func (m *model) spreads() bool {
	if m.steer.Policy == record.PolicyFailover {
		return false
	}
	for _, s := range m.used() {
		if m.sites[s].Capacity > 0 {
			return true
		}
	}
	for f := range m.addrs {
		for _, a := range m.addrs[f] {
			if n := m.nodeOf(a); n != "" && m.nodes[n].Capacity > 0 {
				return true
			}
		}
	}
	return m.steer.Ramp > 0 || slices.ContainsFunc(m.steer.Check, func(c string) bool { return m.checks[c].Type == record.CheckAgent })
}

// agentDrains: too few of what is probed for it take new clients.
func (m *model) agentDrains(a netip.Addr) bool {
	probes, need := m.probesOf(a)
	return slices.ContainsFunc(m.steer.Check, func(check string) bool {
		left := 0
		for _, p := range probes {
			if !m.pressure.drains[probed{p, check}] {
				left++
			}
		}
		return left < need
	})
}

// The hash, as the product defines it.
func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func hashed(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return scramble(h.Sum64())
}

func (m *model) siteKey(s string) uint64 { return hashed("site\x00example.\x00" + s) }

func (m *model) memberKey(a netip.Addr) uint64 {
	if n := m.nodeOf(a); n != "" {
		return hashed("node\x00example.\x00" + n)
	}
	return hashed(string(a.AsSlice()))
}

func networkOf(a netip.Addr, salt uint64) uint64 {
	c := clientOf(a)
	if c.V4 {
		return scramble(c.Lo>>8 ^ salt)
	}
	return scramble(c.Hi>>8 | 1<<63 ^ salt)
}

func admitted(a netip.Addr, key, share uint64) bool {
	return share >= steer.Whole || scramble(networkOf(a, 0x5851f42d4c957f2d)^key)>>48 < share
}

func rampOf(shares map[string]uint32, label string) uint64 {
	if s, ok := shares[label]; ok {
		return uint64(s)
	}
	return steer.Whole
}

func (m *model) siteTakes(a netip.Addr, s string) bool {
	share := rampOf(m.pressure.spill, s) * rampOf(m.pressure.ramp, s) / steer.Whole
	return admitted(a, m.siteKey(s), share)
}

func (m *model) memberTakes(a, x netip.Addr) bool {
	share := rampOf(m.pressure.ramp, x.String())
	if n := m.nodeOf(x); n != "" {
		share = rampOf(m.pressure.spill, n) * share / steer.Whole
	}
	probes, _ := m.probesOf(x)
	least := uint64(steer.Whole)
	for _, check := range m.steer.Check {
		sum := 0
		for _, p := range probes {
			if s, ok := m.pressure.share[probed{p, check}]; ok {
				sum += s
			} else {
				sum += 100
			}
		}
		least = min(least, uint64(sum)*steer.Whole/uint64(100*len(probes)))
	}
	return admitted(a, m.memberKey(x), share*least/steer.Whole)
}

// admits are those of a site's records that take a client; nil: he is passed
// over.
func (m *model) admits(a netip.Addr, site string, found []netip.Addr) (out []netip.Addr) {
	if site != "" && !m.siteTakes(a, site) {
		return nil
	}
	for _, x := range found {
		if m.memberTakes(a, x) {
			out = append(out, x)
		}
	}
	return out
}

// drawn is the score of a place for clients whom all pass over.
func drawn(a netip.Addr, key uint64, capacity float64) float64 {
	if capacity == 0 {
		return math.Inf(1)
	}
	u := (float64(scramble(networkOf(a, 0x14057b7ef767814f)^key)>>11) + 0.5) / (1 << 53)
	return -capacity / math.Log(u)
}

func (m *model) isRamping(label string) bool { return rampOf(m.pressure.ramp, label) < steer.Whole }

// record is what one record of a family stands for, of its node's capacity or
// its site's.
func (m *model) capacityOf(f int, x netip.Addr) (capacity float64, own bool) {
	of := func(total uint64, same func(netip.Addr) bool) float64 {
		n := 0
		for _, o := range m.addrs[f] {
			if same(o) {
				n++
			}
		}
		return float64(total) / float64(n)
	}
	if n := m.nodeOf(x); n != "" && m.nodes[n].Capacity > 0 {
		return of(m.nodes[n].Capacity, func(o netip.Addr) bool { return m.nodeOf(o) == n }), true
	}
	if s := m.siteOf(x); s != "" && m.sites[s].Capacity > 0 {
		return of(m.sites[s].Capacity, func(o netip.Addr) bool { return m.siteOf(o) == s }), false
	}
	return 0, false
}

// room is a site's capacity; 0: nobody bounded it.
func (m *model) room(s string) (sum float64) {
	if c := m.sites[s].Capacity; c > 0 {
		return float64(c)
	}
	for f := range m.addrs {
		for _, x := range m.these(m.at(f, s), asIs) {
			c, own := m.capacityOf(f, x)
			if !own {
				return 0
			}
			sum += c
		}
		if sum > 0 {
			break
		}
	}
	return sum
}

// overflowed is the site of a client whom all these pass over.
func (m *model) overflowed(a netip.Addr, passed []string) string {
	best, most := passed[0], -1.0
	for _, s := range passed {
		if score := drawn(a, m.siteKey(s), m.room(s)); !m.isRamping(s) && score > most {
			best, most = s, score
		}
	}
	return best
}

// remaining are those of the records that all pass a client over that serve him.
func (m *model) remaining(f int, a netip.Addr, found []netip.Addr) (out []netip.Addr) {
	for _, x := range found {
		if !m.isRamping(x.String()) && !m.isRamping(m.siteOf(x)) {
			out = append(out, x)
		}
	}
	if out == nil {
		out = found
	}
	if k := m.steer.Answers; k > 0 && k < len(out) {
		best := slices.Clone(out)
		slices.SortStableFunc(best, func(x, y netip.Addr) int {
			cx, _ := m.capacityOf(f, x)
			cy, _ := m.capacityOf(f, y)
			return cmp.Compare(drawn(a, m.memberKey(y), cy), drawn(a, m.memberKey(x), cx))
		})
		out = slices.DeleteFunc(slices.Clone(out), func(x netip.Addr) bool { return !slices.Contains(best[:k], x) })
	}
	return out
}
