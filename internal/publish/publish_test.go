package publish

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"geodns/internal/geo"
	"geodns/internal/health"
	"geodns/internal/live"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// zoneOf compiles the records of a zone beside its SOA and NS.
func zoneOf(t fataler, origin, text string) *zone.Zone {
	t.Helper()
	text = fmt.Sprintf("$ORIGIN %s\n$TTL 300\n@ SOA ns1 hostmaster 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.53\n", origin) + text
	b := zone.NewBuilder()
	_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "zone"}, func(rr *wire.RR, _ zonefile.Pos) error {
		if p := b.Add(rr); p != nil && !p.Warning {
			return p
		}
		return nil
	}, func(f zonefile.Finding) {
		if f.Severity == zonefile.Error {
			t.Fatalf("%s\n%s", f, text)
		}
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	return z
}

// watch is a Health that remembers for each slot what it is about, and sees to
// it that none is given back while the World has it.
type watch struct {
	t        fataler
	registry *health.Registry[target]
	live     *live.Holder
	down     map[target]bool
}

type target struct {
	addr  netip.Addr
	check string
}

func newWatch(t fataler, h *live.Holder) *watch {
	return &watch{t: t, registry: health.NewRegistry[target](), live: h, down: map[target]bool{}}
}

func (w *watch) Bind(p *steer.Program) []uint32 {
	slots, _ := w.registry.Acquire(keysOf(p))
	return slots
}

func keysOf(p *steer.Program) (keys []target) {
	for _, t := range p.Targets {
		keys = append(keys, target{t.Addr, p.Checks[t.Check].String()})
	}
	return keys
}

func (w *watch) Unbind(slots []uint32) {
	w.live.Load().Zones.Each(func(s *world.Served) bool {
		if len(slots) > 0 && s.Steering != nil && len(s.Steering.Slots) > 0 && &s.Steering.Slots[0] == &slots[0] {
			w.t.Fatalf("slots of %s are given back while it is answered by them", wire.NameString(s.Apex()))
		}
		return true
	})
	w.registry.Release(slots)
}

func (w *watch) Verdicts() *health.Verdicts {
	states := make([]health.State, w.registry.Len())
	for k := range w.down {
		if s, ok := w.registry.Slot(k); ok {
			states[s] = health.Down
		}
	}
	return health.NewVerdicts(states, nil)
}

// server is a Publisher with what it publishes to.
type server struct {
	t fataler
	*Publisher
	live  *live.Holder
	watch *watch
	told  []string
}

func newServer(t fataler) *server {
	s := &server{t: t, live: live.New()}
	s.watch = newWatch(t, s.live)
	table, err := geo.Load(geo.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.Publisher = New(s.live, Options{
		Rankings: steer.NewRankings(func() *geo.Table { return table }), Health: s.watch,
		Told: func(apex []byte, _ []steer.Problem) { s.told = append(s.told, wire.NameString(apex)) },
	})
	return s
}

// put publishes zones, all at once.
func (s *server) put(zones ...*zone.Zone) {
	s.t.Helper()
	fresh := map[string]*zone.Zone{}
	for _, z := range zones {
		fresh[string(z.Apex())] = z
	}
	var changes []Change
	for _, z := range zones {
		p, problems := s.Compile(z, fresh)
		for i := range problems {
			if !problems[i].Warning {
				s.t.Fatalf("%s: %s", wire.NameString(z.Apex()), problems[i].Error())
			}
		}
		changes = append(changes, Change{Apex: z.Apex(), Zone: z, Steering: p})
	}
	s.Publish(changes)
}

func (s *server) served(origin string) *world.Served {
	s.t.Helper()
	var name wire.Name
	apex := []byte{}
	for label := range strings.SplitSeq(strings.TrimSuffix(origin, "."), ".") {
		apex = append(append(apex, byte(len(label))), label...)
	}
	if !name.Set(append(apex, 0)) {
		s.t.Fatalf("%s is no name", origin)
	}
	return s.live.Load().Zones.Get(name.Bytes())
}

// answer is what a name's A records are chosen from: their addresses.
func (s *server) answer(origin, owner string) (list []string) {
	s.t.Helper()
	w, z := s.live.Load(), s.served(origin)
	for _, r := range z.Steering.Rules() {
		if wire.NameString(append(slices.Clone(r.Owner), z.Apex()...)) != owner+"."+origin {
			continue
		}
		m := steer.Moment{Bound: z.Steering, Verdicts: w.Verdicts, Nobody: true}
		members := m.Members(r, steer.V4)
		res := steer.NewChooser().Address(&m, r, steer.V4, nil)
		if res.Pick == nil {
			for i := range members {
				list = append(list, members[i].Name)
			}
		}
		for _, i := range res.Pick {
			list = append(list, members[i].Name)
		}
		slices.Sort(list)
		return list
	}
	s.t.Fatalf("nothing steers %s in %s", owner, origin)
	return nil
}

func (s *server) want(origin, owner string, want ...string) {
	s.t.Helper()
	if got := s.answer(origin, owner); !slices.Equal(got, want) {
		s.t.Fatalf("%s.%s is answered from %v, want %v", owner, origin, got, want)
	}
}

const twoSites = `www A 192.0.2.1
www A 198.51.100.1
www._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web"
web._check TXT "v=check1; type=tcp; port=80"
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
`

// Verdicts find their nodes again after the zone was published anew with other
// records.
func TestRebind(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "example.", twoSites))
	s.want("example.", "www", "192.0.2.1")
	s.watch.down[target{netip.MustParseAddr("192.0.2.1"), s.served("example.").Steering.Checks[0].String()}] = true
	s.PublishVerdicts()
	s.want("example.", "www", "198.51.100.1")
	// The records change their order, and others come in front.
	s.put(zoneOf(t, "example.", "a A 192.0.2.77\na._steer TXT \"v=steer1; check=web\"\nwww A 198.51.100.2\n"+twoSites))
	s.want("example.", "www", "198.51.100.1", "198.51.100.2")
	s.want("example.", "a", "192.0.2.77")
	if old := s.watch.registry.Len(); old > 6 {
		t.Errorf("%d slots for 4 targets", old)
	}
	s.Publish([]Change{{Apex: s.served("example.").Apex()}})
	if n := s.served("example."); n != nil {
		t.Error("a zone that went is served")
	}
	if _, ok := s.watch.registry.Slot(target{netip.MustParseAddr("192.0.2.1"), "x"}); ok {
		t.Error("a target that nothing names has a slot")
	}
}

// Policies that take names from another zone follow it; if they can't, they stay
// as they were, and somebody is told.
func TestDependents(t *testing.T) {
	s := newServer(t)
	infra := func(net string) *zone.Zone {
		return zoneOf(t, "infra.", "lon._site TXT \"v=site1; net="+net+"; at=51.51,-0.13\"\nweb._check TXT \"v=check1; type=tcp; port=80\"\n")
	}
	shop := zoneOf(t, "shop.", "www A 192.0.2.1\nwww A 192.0.2.129\nwww._steer TXT \"v=steer1; policy=failover; order=lon; check=web; with=infra\"\n")
	s.put(infra("192.0.2.0/25"), shop) // at once: neither is served before
	s.want("shop.", "www", "192.0.2.1")
	s.SetDrains(health.Drains{{Name: "lon", Zone: "infra.", From: now}}, now)
	if s.served("shop.").Steering.Drained == nil {
		t.Error("a drain of the other zone's site is not in force")
	}
	s.put(infra("192.0.2.128/25"))
	s.want("shop.", "www", "192.0.2.129")
	if s.served("shop.").Steering.Drained == nil {
		t.Error("the drain was lost when the other zone changed")
	}
	s.put(zoneOf(t, "infra.", "nyc._site TXT \"v=site1; net=192.0.2.128/25; at=51.51,-0.13\"\nweb._check TXT \"v=check1; type=tcp; port=80\"\n"))
	s.want("shop.", "www", "192.0.2.129")
	if !slices.Equal(s.told, []string{"shop."}) {
		t.Errorf("told of %v, want shop.", s.told)
	}
}

// Copies come in any order, and at the same time: the one that names another is
// steered as soon as both are there.
func TestDependentCopies(t *testing.T) {
	infra := zoneOf(t, "infra.", "lon._site TXT \"v=site1; net=192.0.2.0/25; at=51.51,-0.13\"\nweb._check TXT \"v=check1; type=tcp; port=80\"\n")
	shop := zoneOf(t, "shop.", "www A 192.0.2.1\nwww A 192.0.2.129\nwww._steer TXT \"v=steer1; policy=failover; order=lon; check=web; with=infra\"\n")
	install := func(s *server, z *zone.Zone, meanwhile func()) {
		t.Helper()
		if err := s.Install(z, nil, FromTransfer, "AXFR", func([]steer.Problem) { meanwhile() }); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the other one first", func(t *testing.T) {
		s := newServer(t)
		s.o.Copy = func([]byte) bool { return true }
		install(s, infra, func() {})
		install(s, shop, func() {})
		s.want("shop.", "www", "192.0.2.1")
	})
	t.Run("the other one later", func(t *testing.T) {
		s := newServer(t)
		s.o.Copy = func([]byte) bool { return true }
		install(s, shop, func() {})
		install(s, infra, func() {})
		s.want("shop.", "www", "192.0.2.1")
	})
	t.Run("the other one meanwhile", func(t *testing.T) {
		s := newServer(t)
		for s.locks.stripe(shop.Apex()) == s.locks.stripe(infra.Apex()) {
			s = newServer(t) // the one would wait for the other, within it
		}
		s.o.Copy = func([]byte) bool { return true }
		told := false
		// Its steering has been compiled, without the other one.
		install(s, shop, func() {
			told = true
			install(s, infra, func() {})
		})
		if s.want("shop.", "www", "192.0.2.1"); !told {
			t.Error("nobody was told that the other one was missing")
		}
	})
}

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Drains are in force in zones that come later, and end.
func TestDrainsStay(t *testing.T) {
	s := newServer(t)
	s.SetDrains(health.Drains{{Name: "lon", From: now, Until: now.Add(time.Hour)}}, now)
	z := zoneOf(t, "example.", twoSites)
	s.put(z)
	s.want("example.", "www", "198.51.100.1")
	s.put(zoneOf(t, "example.", "x A 192.0.2.9\n"+twoSites))
	s.want("example.", "www", "198.51.100.1")
	// Geography too has everything compiled anew.
	s.SetRankings(steer.NewRankings(s.Rankings().Table))
	s.want("example.", "www", "198.51.100.1")
	before := s.live.Load()
	s.SetDrains(nil, now.Add(time.Hour))
	s.want("example.", "www", "192.0.2.1")
	if s.live.Load().Clock != 0 {
		t.Error("nothing is to come, and the clock goes on")
	}
	// The old World is what it was.
	if before.Zones.Get(z.Apex()).Steering.Drained == nil || before.Clock == 0 {
		t.Error("a World was changed")
	}
	same := s.live.Load()
	s.SetDrains(nil, now.Add(2*time.Hour))
	if s.live.Load() != same {
		t.Error("a World was replaced by an equal one")
	}
}

// Until a drain begins or ends, no answer may be kept beyond that.
func TestCountdown(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "example.", twoSites+"other A 203.0.113.1\nother._steer TXT v=steer1\n"))
	begin, end := now.Add(100*time.Second), now.Add(200*time.Second)
	list := health.Drains{{Name: "lon", From: begin, Until: end}}
	ttl := func(owner string) uint32 {
		t.Helper()
		w, z := s.live.Load(), s.served("example.")
		for _, r := range z.Steering.Rules() {
			if strings.HasPrefix(string(r.Owner[1:]), owner) {
				return z.Steering.TTL(r, 300, false, w.Clock)
			}
		}
		t.Fatalf("no rule of %s", owner)
		return 0
	}
	s.SetDrains(list, now)
	change := begin
	for at := now; at.Before(end.Add(5 * time.Second)); at = at.Add(time.Second) {
		switch {
		case at.Equal(begin):
			s.SetDrains(list, at)
			change = end
		case at.Equal(end):
			s.SetDrains(nil, at)
			change = time.Time{}
		default:
			s.Tick(at)
		}
		got := ttl("www")
		if change.IsZero() {
			if got != 300 {
				t.Fatalf("after all, the TTL is %d", got)
			}
			continue
		}
		// As late as it may be answered.
		if last := at.Add(tickEvery + time.Duration(got)*time.Second); last.After(change) {
			t.Fatalf("%v before the change, an answer is kept for %d s", change.Sub(at), got)
		}
		if left := change.Sub(at); got+2 < uint32(left/time.Second) {
			t.Fatalf("%v before the change, an answer is kept for %d s only", left, got)
		}
		if got := ttl("other"); got != 300 {
			t.Fatalf("a name that stays as it is has a TTL of %d", got)
		}
	}
}

// What a drain would do is said before it is done, and of the time when it
// begins.
func TestWouldDrain(t *testing.T) {
	s := newServer(t)
	s.put(
		zoneOf(t, "example.", twoSites+`@ MX 10 mx1
@ MX 20 mx2
mx1 A 192.0.2.25
mx2 A 198.51.100.25
solo A 192.0.2.7
alias CNAME elsewhere.example.net.
_steer TXT "v=steer1; type=MX"
solo._steer TXT v=steer1
alias._steer TXT "v=steer1; policy=failover; order=lon,nyc; cname=lon:l.example.net.; cname=nyc:n.example.net."
`),
		zoneOf(t, "b.", "www A 192.0.2.1\nwww._steer TXT v=steer1\nlon._site TXT \"v=site1; net=192.0.2.0/24\"\n"),
	)
	told := func(zone, name string, at time.Time) map[string]string {
		t.Helper()
		before := s.live.Load()
		out := map[string]string{}
		for _, e := range s.WouldDrain(s.drains.With(health.Drain{Zone: zone, Name: name, From: at}), at) {
			out[e.Name+" "+zonefile.TypeString(e.Before.Type)] = fmt.Sprintf("%d/%d to %d/%d %s %t", e.Before.Live, e.Before.All, e.After.Live, e.After.All, e.After.Stage, e.Lost)
		}
		if s.live.Load() != before {
			t.Error("asking changed the World")
		}
		return out
	}
	lon := map[string]string{
		"www.example. A": "2/2 to 1/2 normal false", "example. MX": "2/2 to 1/2 normal false",
		"solo.example. A": "1/1 to 0/1 as-if-undrained true", "alias.example. CNAME": "2/2 to 1/2 normal false",
	}
	check := func(what string, got, want map[string]string) {
		t.Helper()
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("lon of one zone", told("example.", "lon", now), lon)
	all := maps.Clone(lon)
	all["www.b. A"] = "1/1 to 0/1 as-if-undrained true"
	check("lon of all zones", told("", "lon", now), all)
	check("what nobody has", told("", "sin", now), map[string]string{})
	// With New York drained for an hour, London is all there is; not later.
	s.SetDrains(health.Drains{{Name: "nyc", From: now, Until: now.Add(time.Hour)}}, now)
	if got := told("example.", "lon", now)["www.example. A"]; got != "1/2 to 0/2 as-if-undrained true" {
		t.Errorf("while the other site is drained: %s", got)
	}
	if got := told("example.", "lon", now.Add(time.Hour))["www.example. A"]; got != "2/2 to 1/2 normal false" {
		t.Errorf("after the other drain: %s", got)
	}
}

func TestPlaces(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "example.", twoSites+"n1._node TXT \"v=node1; addr=192.0.2.1; drain=yes\"\n"), zoneOf(t, "plain.", ""))
	var got []string
	for _, p := range s.Places() {
		got = append(got, fmt.Sprintf("%s %s %t %t %d/%d/%d", p.Zone, p.Name, p.Node, p.Declared, p.Live, p.Drained, p.All))
	}
	want := []string{"example. lon false false 0/1/1", "example. n1 true true 0/1/1", "example. nyc false false 1/0/1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	n := 0
	s.EachNamed(func(p Named) bool {
		n++
		if p.Name != "www.example." || p.Policy != "failover" || len(p.Types) != 1 || p.Types[0].Live != 1 || len(p.Types[0].Sites) != 2 || p.Types[0].Sites[0].Name != "lon" {
			t.Errorf("%+v", p)
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d steered names, want 1", n)
	}
}

// After any publications, the slots of every program lead to its own targets,
// and the verdicts that are published with them are theirs.
func TestSlotsNeverMixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newServer(t)
		addresses := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "198.51.100.2"}
		origins := []string{"a.", "b.", "c."}
		random := func(origin string) *zone.Zone {
			var b strings.Builder
			for i := range rapid.IntRange(0, 3).Draw(t, "names") {
				n := rapid.IntRange(1, len(addresses)).Draw(t, "records")
				for _, a := range rapid.Permutation(addresses).Draw(t, "addresses")[:n] {
					fmt.Fprintf(&b, "w%d A %s\n", i, a)
				}
				fmt.Fprintf(&b, "w%d._steer TXT \"v=steer1; check=%s\"\n", i, rapid.SampledFrom([]string{"p", "q", "p,q"}).Draw(t, "check"))
			}
			fmt.Fprintf(&b, "p._check TXT \"v=check1; type=tcp; port=%d\"\n", rapid.IntRange(80, 82).Draw(t, "port"))
			b.WriteString("q._check TXT \"v=check1; type=tcp; port=81\"\n")
			return zoneOf(t, origin, b.String())
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				var zones []*zone.Zone
				for _, o := range origins {
					if rapid.Bool().Draw(t, o) {
						zones = append(zones, random(o))
					}
				}
				s.put(zones...)
			},
			"remove": func(t *rapid.T) {
				if z := s.served(rapid.SampledFrom(origins).Draw(t, "zone")); z != nil {
					s.Publish([]Change{{Apex: z.Apex(), Vacant: rapid.Bool().Draw(t, "vacant")}})
				}
			},
			"verdict": func(t *rapid.T) {
				k := target{netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "address")), fmt.Sprintf("v=check1; type=tcp; port=%d", rapid.IntRange(80, 82).Draw(t, "port"))}
				s.watch.down[k] = !s.watch.down[k]
				if !s.watch.down[k] {
					delete(s.watch.down, k)
				}
				if rapid.Bool().Draw(t, "published") {
					s.PublishVerdicts()
				}
			},
			"drain": func(t *rapid.T) {
				s.SetDrains(health.Drains{{Name: rapid.SampledFrom([]string{"lon", "nyc"}).Draw(t, "site"), From: now}}, now)
			},
			"geography": func(*rapid.T) { s.SetRankings(steer.NewRankings(s.Rankings().Table)) },
			"": func(t *rapid.T) {
				s.PublishVerdicts()
				w := s.live.Load()
				used := map[target]bool{}
				w.Zones.Each(func(z *world.Served) bool {
					if z.Steering == nil {
						return true
					}
					keys := keysOf(z.Steering.Program)
					if len(keys) != len(z.Steering.Slots) {
						t.Fatalf("%s has %d targets and %d slots", wire.NameString(z.Apex()), len(keys), len(z.Steering.Slots))
					}
					for i, slot := range z.Steering.Slots {
						used[keys[i]] = true
						if got := s.watch.registry.Key(slot); got != keys[i] {
							t.Fatalf("the slot of %v is that of %v", keys[i], got)
						}
						if down := w.Verdicts.State(slot) == health.Down; down != s.watch.down[keys[i]] {
							t.Fatalf("%v is down: %t, and should be: %t", keys[i], down, s.watch.down[keys[i]])
						}
					}
					return true
				})
				// What no World names any more is given back.
				for slot := range s.watch.registry.Len() {
					k := s.watch.registry.Key(uint32(slot))
					if at, ok := s.watch.registry.Slot(k); ok && at == uint32(slot) && !used[k] {
						t.Fatalf("%v is watched, and nothing names it", k)
					}
				}
			},
		})
	})
}
