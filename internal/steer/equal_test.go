package steer_test

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"testing"

	"geodns/internal/health"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
	"geodns/internal/wire"

	"pgregory.net/rapid"
)

// TestEqualsOracle: what is chosen among addresses is what the naive oracle
// finds, on random zones, worlds, verdicts, drains and clients.
func TestEqualsOracle(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) { equalsOracle(t, dir) })
}

// FuzzEqualsOracle is the same, led by coverage.
func FuzzEqualsOracle(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "steer")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		equalsOracle(t, dir)
	}))
}

func equalsOracle(t *rapid.T, dir string) {
	m := drawModel(t)
	c := m.serve(t, dir, "www")
	for range 4 {
		for f := range m.addrs {
			if len(m.addrs[f]) == 0 {
				continue
			}
			if got := c.addrs(t, "www", steer.Family(f)); !slices.Equal(got, m.addrs[f]) {
				t.Fatalf("the zone has %v, not %v", got, m.addrs[f])
			}
			for range 8 {
				compare(t, m, c, f, drawClient(t))
			}
			compare(t, m, c, f, netip.Addr{})
		}
		m.drawMoment(t)
		m.drawPressure(t)
		m.bring(c)
	}
}

// serve compiles the model, and brings it to its moment.
func (m *model) serve(t fataler, dir, owner string) *cluster {
	t.Helper()
	c := serve(t, m.text(owner), rankings(tableOf(t, dir, m.csv())))
	m.bring(c)
	return c
}

// bring brings a cluster to the model's moment.
func (m *model) bring(c *cluster) {
	c.judge(func(a netip.Addr, check string) health.State { return m.verdict[probed{a, check}] })
	c.drain(func(name string, _ bool) bool { return m.drained[name] })
	b := *c.moment.Bound
	if len(m.drained) == 0 {
		b.Drained = nil
	}
	b.Active = []uint8{uint8(m.active + 1)} // 0: none
	b.Forced, b.Kept = nil, m.keptBits()
	if m.forced {
		b.Forced = []uint64{1}
	}
	c.moment.Bound = &b
	m.press(c)
}

func (c *cluster) ask(a netip.Addr, draw uint64) {
	c.moment.Draw, c.moment.Nobody = draw, !a.IsValid()
	if a.IsValid() {
		c.moment.Client = clientOf(a)
	}
	c.chooser.Reset()
}

func compare(t *rapid.T, m *model, c *cluster, f int, a netip.Addr) {
	r := c.rule(t, "www", typeOf(steer.Family(f)))
	draw := rapid.Uint64().Draw(t, "draw")
	c.ask(a, draw)
	got := c.chooser.Address(&c.moment, r, steer.Family(f), nil)
	answer := picked(m.addrs[f], got)
	want := m.choose(f, a)
	site := c.program.SiteName(r, got.Site)
	if got.Stage != want.stage || site != want.site || int(got.Scope) != want.scope {
		t.Fatalf("client %v, family %d: %v at %q with scope %d; want %v at %q with scope %d\n%s\n%s",
			a, f, got.Stage, site, got.Scope, want.stage, want.site, want.scope, m.text("www"), m.csv())
	}
	if wrong := m.misordered(answer, &want, a); wrong != "" {
		t.Fatalf("client %v, family %d: %v of %v: %s\n%s", a, f, answer, want.candidates, wrong, m.text("www"))
	}
	c.ask(a, draw)
	var trace steer.Trace
	told := c.chooser.Address(&c.moment, r, steer.Family(f), &trace)
	if again := picked(m.addrs[f], told); !slices.Equal(again, answer) || told.Stage != got.Stage || told.Site != got.Site || told.Scope != got.Scope {
		t.Fatalf("traced: %v, %+v; else %v, %+v", again, told, answer, got)
	}
	if got.Stage < steer.LastResort {
		var list []netip.Addr
		for _, i := range trace.Picked {
			list = append(list, m.addrs[f][i])
		}
		if !slices.Equal(list, answer) {
			t.Fatalf("the trace tells of %v, answered is %v", list, answer)
		}
	}
}

// misordered says what is wrong with an answer: which of the candidates, how
// many, and in which order.
func (m *model) misordered(answer []netip.Addr, want *outcome, a netip.Addr) string {
	if len(answer) != want.count {
		return fmt.Sprintf("%d records, not %d", len(answer), want.count)
	}
	for i, x := range answer {
		if !slices.Contains(want.candidates, x) || slices.Contains(answer[:i], x) {
			return x.String() + " is no candidate, or stands twice"
		}
	}
	switch {
	case m.steer.Pick == record.PickWeighted:
		// A weight of 0 means: only if nothing else is left.
		for i, x := range answer {
			for _, other := range want.candidates {
				if m.weight(x) == 0 && m.weight(other) > 0 && !slices.Contains(answer[:i], other) {
					return fmt.Sprintf("%v has no weight, and comes before %v", x, other)
				}
			}
		}
	case m.steer.Pick == record.PickSticky && a.IsValid():
	default:
		for i := 1; i < len(answer); i++ {
			at := slices.Index(want.candidates, answer[i-1])
			if want.candidates[(at+1)%len(want.candidates)] != answer[i] {
				return "they don't follow each other in turn"
			}
		}
	}
	return ""
}

// weight is the most particular one: of the address, its node, its site.
func (m *model) weight(a netip.Addr) int {
	node := m.nodeOf(a)
	for _, what := range []string{a.String(), node, m.siteOf(a)} {
		for _, w := range m.steer.Weights {
			if what != "" && w.What == what {
				return w.Weight
			}
		}
	}
	if node != "" {
		return m.nodes[node].Weight
	}
	return 1
}

// TestThinEqualsOracle: MX records are left out as the oracle leaves them out.
func TestThinEqualsOracle(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		m.drawSites(t)
		m.drawChecks(t)
		m.drawExchangers(t)
		m.steer.Types = []wire.Type{wire.TypeMX}
		m.steer.Answers = rapid.IntRange(0, 2).Draw(t, "answers")
		m.steer.Empty = rapid.SampledFrom([]record.Empty{record.EmptyAll, record.EmptyNone, record.EmptyHold}).Draw(t, "empty")
		m.drawMoment(t)
		c := m.serve(t, dir, "mail")
		r := c.rule(t, "mail", wire.TypeMX)
		records := c.records(t, "mail", wire.TypeMX)
		for range 8 {
			c.ask(drawClient(t), rapid.Uint64().Draw(t, "draw"))
			res := c.chooser.Thin(&c.moment, r, records, nil)
			if wrong := m.thinned(res, records); wrong != "" {
				t.Fatalf("%+v: %s\n%s", res, wrong, m.text("mail"))
			}
		}
	})
}

func (m *model) drawExchangers(t *rapid.T) {
	var all []netip.Addr
	for i := range rapid.IntRange(1, 7).Draw(t, "exchangers") {
		e := exchanger{priority: 10 * rapid.IntRange(1, 3).Draw(t, "priority"), target: fmt.Sprintf("mx%d", i)}
		for j := range rapid.IntRange(1, 3).Draw(t, "addrs") {
			f := rapid.IntRange(0, 1).Draw(t, "family")
			e.addrs = append(e.addrs, siteAddr(f, rapid.IntRange(-1, len(m.sites)-1).Draw(t, "site"), 10*i+j+1))
		}
		if chance(t, 5) {
			e.target, e.addrs = e.target+".elsewhere.test.", nil
		}
		m.exch = append(m.exch, e)
		all = append(all, e.addrs...)
	}
	m.drawNodes(t, all)
}

// thinned says what is wrong with an answer of MX records.
func (m *model) thinned(res steer.Result, records []byte) string {
	stage, fit := steer.Nothing, []int(nil)
	for l, s := range []steer.Stage{steer.Normal, steer.Held, steer.AsIfLive, steer.AsIfUndrained} {
		if s > steer.Normal && m.steer.Empty == record.EmptyNone {
			break
		}
		for i, e := range m.exch {
			if level(l) == asLast {
				// One of its addresses is not drained.
				if slices.Contains(m.keptMX, i) && (e.addrs == nil || len(m.these(e.addrs, asIfLive)) > 0) {
					fit = append(fit, i)
				}
				continue
			}
			if e.addrs == nil || len(m.these(e.addrs, level(l))) > 0 {
				fit = append(fit, i)
			}
		}
		if fit != nil {
			stage = s
			break
		}
	}
	if res.Stage != stage || res.Scope != 0 {
		return fmt.Sprintf("want %v, for everybody", stage)
	}
	if stage == steer.Nothing {
		return ""
	}
	wanted, got := map[int]int{}, map[int]int{}
	for _, i := range fit {
		if p := m.exch[i].priority; m.steer.Answers == 0 || wanted[p] < m.steer.Answers {
			wanted[p]++
		}
	}
	list := data(records)
	for i, at := range res.Pick {
		p := int(list[at][0])<<8 | int(list[at][1])
		if got[p]++; !slices.Contains(fit, int(at)) || slices.Contains(res.Pick[:i], at) || m.exch[at].priority != p {
			return fmt.Sprintf("record %d is none of %v, or stands twice", at, fit)
		}
	}
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Sprintf("of each priority there are %v, not %v", got, wanted)
	}
	return ""
}

// TestAliasEqualsOracle: the CNAME is that of the site that the oracle finds.
func TestAliasEqualsOracle(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		m.drawSites(t)
		m.drawWorld(t)
		s := &m.steer
		for i := range len(m.sites) {
			if chance(t, 2) || len(s.CNAMEs) == 0 {
				s.CNAMEs = append(s.CNAMEs, record.CNAME{Site: siteLabel(i), Target: record.Name(relative(siteLabel(i)+".test")) + "\x00"})
			}
		}
		s.Policy = record.PolicyNearest
		if chance(t, 3) {
			s.Policy, s.Empty = record.PolicyFailover, record.EmptyHold
			for _, n := range s.CNAMEs {
				s.Order = append(s.Order, n.Site)
			}
		} else {
			m.drawPolicy(t)
		}
		m.drawMoment(t)
		c := m.serve(t, dir, "cdn")
		r := c.rule(t, "cdn", wire.TypeCNAME)
		for range 8 {
			a := drawClient(t)
			c.ask(a, rapid.Uint64().Draw(t, "draw"))
			got, res := c.chooser.Alias(&c.moment, r, nil)
			site, target, scope := m.alias(a)
			if name := c.program.SiteName(r, res.Site); name != site || int(res.Scope) != scope || (got == nil) != (target == "") {
				t.Fatalf("client %v: %q, scope %d, %q; want %q, scope %d\n%s\n%s", a, name, res.Scope, got, site, scope, m.text("cdn"), m.csv())
			}
			if got != nil && string(got[2:]) != target {
				t.Fatalf("client %v: %q; want %q", a, got, target)
			}
		}
	})
}

// alias is the site whose CNAME is answered, its target, and the scope.
func (m *model) alias(a netip.Addr) (site, target string, scope int) {
	steps := m.steer.Order
	if m.steer.Policy == record.PolicyNearest {
		scope = m.scope(a, func(r *region) string {
			order, near := m.order(r)
			if near < len(order) {
				return fmt.Sprintf("%+v", m.plain(r))
			}
			return fmt.Sprint(order)
		})
		if steps, _ = m.order(m.placeOf(a)); steps == nil && m.steer.Default != "" {
			steps = []string{m.steer.Default}
		}
	}
	for _, s := range steps {
		for _, n := range m.steer.CNAMEs {
			if n.Site == s && !m.sites[s].Drain && !m.drained[s] {
				return s, string(n.Target), scope
			}
		}
	}
	return "", "", scope
}
