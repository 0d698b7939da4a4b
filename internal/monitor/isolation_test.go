package monitor

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
)

// anchorRTT is how long the pretended anchors take to answer.
const anchorRTT = 20 * time.Millisecond

// The addresses of the pretended anchors.
var anchorAddrs = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")}

// anchored gives a Monitor two anchors, and a site.
func anchored(site string) func(*bench, *Options) {
	return func(b *bench, o *Options) {
		o.Site = site
		for _, a := range anchorAddrs {
			o.Anchors = append(o.Anchors, Anchor{Name: a.String(), Probe: func(ctx context.Context) probe.Result {
				r := b.probe(ctx, Key{Addr: a}, nil)
				if r.OK {
					time.Sleep(anchorRTT)
				}
				return r
			}})
		}
	}
}

// silence says which addresses never answer from now on.
func (b *bench) silence(on bool, addrs ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addrs {
		b.silent[a] = on
	}
}

// unaskable says which addresses this machine can't ask from now on.
func (b *bench) unaskable(on bool, addrs ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addrs {
		b.local[a] = on
	}
}

// steady fails if verdicts that were published since an index name another state
// of a slot.
func (b *bench) steady(from int, slot uint32, want health.State) {
	b.t.Helper()
	for _, p := range b.publications()[from:] {
		if got := p.v.State(slot); got != want {
			b.t.Errorf("published at %s: slot %d is %s, want %s all the time", p.at.Format("15:04:05.000"), slot, got, want)
			return
		}
	}
}

// downAt is when a slot was first published as down, of what was published since
// an index.
func (b *bench) downAt(from int, slot uint32) time.Time {
	b.t.Helper()
	for _, p := range b.publications()[from:] {
		if p.v.State(slot) == health.Down {
			return p.at
		}
	}
	b.t.Fatalf("slot %d was never published as down", slot)
	return time.Time{}
}

// The uplink is cut: nothing outside answers. No verdict changes, for as long as
// it lasts; a node of the own site that dies meanwhile is down all the same.
// Afterwards all is as it was, and a node that died outside is down when it has
// failed as often as its check says.
func TestUplinkCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored("lon"))
		near, far, dying := addr(1), addr(2), addr(3)
		p := program(t, webCheck, near, far, dying)
		p.Sites = []steer.Site{
			{Name: "lon", Site: record.Site{Nets: []netip.Prefix{netip.PrefixFrom(near, 32)}}},
			{Name: "nyc", Site: record.Site{Nets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
		}
		slots := b.m.Bind(p)
		if late := b.serve(); late != 0 {
			t.Fatalf("%d late", late)
		}
		sleep(10 * time.Second)
		if i := b.m.Isolation(); !i.Since.IsZero() || len(i.Anchors) != 2 || !i.Anchors[0].Last.OK {
			t.Fatalf("before the cut: %+v", i)
		}
		before := len(b.publications())

		outside := append([]netip.Addr{far, dying}, anchorAddrs...)
		b.silence(true, outside...)
		sleep(5 * time.Second)
		i := b.m.Isolation()
		if i.Since.IsZero() || i.Until.Sub(i.Since) != health.HoldFor || i.Held != 2 {
			t.Fatalf("five seconds after the cut: %+v", i)
		}
		if list, _ := b.m.Targets(0); !list[0].Held || list[0].Judged.State != health.Up || list[0].Judged.Fails < 3 {
			t.Errorf("held: %+v", list[0])
		}
		b.set(true, near)
		sleep(5 * time.Second)
		b.want(slots[0], health.Down, "of the own site, and dead")
		sleep(5 * time.Minute)
		b.steady(before, slots[1], health.Up)
		b.steady(before, slots[2], health.Up)

		ended := time.Now()
		b.silence(false, append(anchorAddrs, far)...)
		sleep(2 * time.Second)
		if i := b.m.Isolation(); !i.Since.IsZero() || i.Held != 0 {
			t.Errorf("after the cut: %+v", i)
		}
		b.want(slots[2], health.Up, "it has not failed three times since")
		sleep(3 * time.Second)
		b.want(slots[1], health.Up, "it answers")
		b.want(slots[2], health.Down, "it is dead")
		b.steady(before, slots[1], health.Up)
		if s := b.m.Stats(); s.Down != 2 {
			t.Errorf("%d targets went down, want 2: one near, one after the cut", s.Down)
		}
		if took := b.downAt(before, slots[2]).Sub(ended); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("down %v after the cut, want fall x every", took)
		}
	})
}

// A real loss is not delayed by anchors that answer: what the check takes decides,
// and at most the time that an anchor takes.
func TestSiteLoss(t *testing.T) {
	for _, tt := range []struct {
		name, check string
		silent      bool // or it refuses
	}{
		{"silent", webCheck, true},
		{"refuses", webCheck, false},
		{"at the first failure", "v=check1; type=tcp; port=80; every=1s; timeout=500ms; fall=1; rise=2", false},
		{"fast", "v=check1; type=tcp; port=80; every=200ms; timeout=150ms; fall=2; rise=2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, nil, anchored(""))
				// All there is outside, but for the anchors.
				p := program(t, tt.check, addr(1), addr(2))
				slots := b.m.Bind(p)
				b.serve()
				sleep(20 * time.Second)
				before, lost := len(b.publications()), time.Now()
				if tt.silent {
					b.silence(true, addr(1), addr(2))
				} else {
					b.set(true, addr(1), addr(2))
				}
				sleep(10 * time.Second)
				rule := p.Checks[0].Check
				most := time.Duration(rule.Fall)*rule.Every + anchorRTT + quiet
				if tt.silent {
					most += rule.Timeout
				}
				for i, s := range slots {
					if took := b.downAt(before, s).Sub(lost); took > most {
						t.Errorf("node %d is down after %v, want %v at most", i, took, most)
					}
				}
				if i := b.m.Isolation(); !i.Since.IsZero() || i.Held != 0 {
					t.Errorf("isolated: %+v", i)
				}
			})
		})
	}
}

// While the probe is under way that may take a node down, the anchors are asked:
// when it has failed, they have answered. While nothing is to be decided, they are
// left in peace.
func TestAskedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		b.m.Bind(program(t, webCheck, addr(1)))
		b.serve()
		anchor := Key{Addr: anchorAddrs[0]}
		before := b.count(anchor)
		sleep(20 * time.Second)
		if n := b.count(anchor) - before; n < 4 || n > 5 {
			t.Errorf("an anchor was asked %d times in 20 s, want each %v", n, anchorEvery)
		}
		b.silence(true, addr(1))
		one := func() Target {
			list, _ := b.m.Targets(0)
			return list[0]
		}
		for one().Judged.Fails < 2 {
			sleep(time.Millisecond)
		}
		before = b.count(anchor)
		next := one().Next
		sleep(time.Until(next) - time.Millisecond)
		if n := b.count(anchor); n > before+1 {
			t.Errorf("asked %d times before the third probe", n-before)
		}
		before = b.count(anchor)
		sleep(2 * time.Millisecond)
		if n := b.count(anchor); n != before+1 {
			t.Errorf("asked %d times when the third probe began, want once", n-before)
		}
		sleep(495 * time.Millisecond)
		if x := one(); x.Judged.State != health.Up || x.Held {
			t.Errorf("before the third probe ends: %+v", x)
		}
		sleep(5 * time.Millisecond)
		if x := one(); x.Judged.State != health.Down {
			t.Errorf("the moment the third probe has failed: %+v", x)
		}
	})
}

// Anchors that are silent hold nothing while a node outside answers; one that is
// about to turn waits for that answer.
func TestSilentAnchors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		b.silence(true, anchorAddrs...)
		slots := b.m.Bind(program(t, webCheck, addr(1), addr(2)))
		b.serve()
		sleep(20 * time.Second)
		before, died := len(b.publications()), time.Now()
		b.set(true, addr(1))
		sleep(10 * time.Second)
		if took := b.downAt(before, slots[0]).Sub(died); took > 4*time.Second+quiet {
			t.Errorf("down after %v: the other node answers each second", took)
		}
		b.want(slots[1], health.Up, "it answers")
		if i := b.m.Isolation(); !i.Since.IsZero() {
			t.Errorf("isolated: %+v", i)
		}
	})
}

// A probe that was under way when isolation ended fails for what was before: it
// takes nobody down, even where one failure is enough.
func TestUnderWayAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		slot := b.m.Bind(program(t, "v=check1; type=tcp; port=80; every=5s; timeout=4500ms; fall=1; rise=1", addr(1)))[0]
		b.serve()
		sleep(20 * time.Second)
		before := len(b.publications())
		b.silence(true, append(anchorAddrs, addr(1))...)
		sleep(30 * time.Second)
		if b.m.Isolation().Since.IsZero() {
			t.Fatal("not isolated")
		}
		b.silence(false, append(anchorAddrs, addr(1))...)
		sleep(30 * time.Second)
		if !b.m.Isolation().Since.IsZero() {
			t.Fatal("still isolated")
		}
		b.steady(before, slot, health.Up)
	})
}

// After ten minutes what was held takes effect, and what fails then too; the
// server is isolated all the same, until something answers.
func TestTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		slots := b.m.Bind(program(t, webCheck, addr(1), addr(2)))
		b.serve()
		sleep(10 * time.Second)
		before := len(b.publications())
		b.silence(true, append(anchorAddrs, addr(1), addr(2))...)
		sleep(10 * time.Second)
		since := b.m.Isolation().Since
		if since.IsZero() {
			t.Fatal("not isolated")
		}
		sleep(time.Until(since.Add(health.HoldFor - time.Second)))
		b.steady(before, slots[0], health.Up)
		sleep(3 * time.Second)
		b.want(slots[0], health.Down, "after ten minutes")
		b.want(slots[1], health.Down, "after ten minutes")
		if i := b.m.Isolation(); !i.Since.Equal(since) || i.Held != 0 {
			t.Errorf("after ten minutes: %+v", i)
		}
		b.silence(false, anchorAddrs...)
		sleep(3 * time.Second)
		if i := b.m.Isolation(); !i.Since.IsZero() {
			t.Errorf("an anchor answers: %+v", i)
		}
		b.want(slots[0], health.Down, "it is silent still")
	})
}

// Isolated from the start: nothing is known of anything, which counts as live,
// and listening waits no longer than usual.
func TestIsolatedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		b.silence(true, append(anchorAddrs, addr(1))...)
		slot := b.m.Bind(program(t, webCheck, addr(1)))[0]
		began := time.Now()
		if late := b.serve(); late != 0 || time.Since(began) > anchorTimeout+500*time.Millisecond {
			t.Errorf("%d late after %v", late, time.Since(began))
		}
		b.want(slot, health.Unknown, "nothing is known of it")
		sleep(time.Minute)
		b.want(slot, health.Unknown, "nothing is known of it yet")
		b.silence(false, anchorAddrs...)
		sleep(4 * time.Second)
		b.want(slot, health.Down, "it is dead, and that is known now")
	})
}

// Dead at the start, with anchors that answer: known before the first answer.
func TestDeadAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		b.set(true, addr(1))
		slot := b.m.Bind(program(t, webCheck, addr(1)))[0]
		began := time.Now()
		if late := b.serve(); late != 0 || time.Since(began) > 2*anchorRTT {
			t.Errorf("%d late after %v", late, time.Since(began))
		}
		b.want(slot, health.Down, "it was dead at the start")
	})
}

// The server's own link is gone, with its routes: nothing can be asked. Verdicts
// are not forgotten for that while the anchors, which answered before, say nothing.
func TestNothingCanBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil, anchored(""))
		slot := b.m.Bind(program(t, webCheck, addr(1)))[0]
		b.serve()
		sleep(10 * time.Second)
		before := len(b.publications())
		b.unaskable(true, append(anchorAddrs, addr(1))...)
		sleep(5 * time.Minute)
		b.steady(before, slot, health.Up)
		if i := b.m.Isolation(); i.Since.IsZero() {
			t.Error("not isolated")
		}
		b.unaskable(false, append(anchorAddrs, addr(1))...)
		sleep(10 * time.Second)
		b.steady(before, slot, health.Up)
		if i := b.m.Isolation(); !i.Since.IsZero() {
			t.Errorf("isolated: %+v", i)
		}
	})
}

// A process that stood still hears nothing of anybody, and forgets no verdict for
// that.
func TestStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		slot := b.m.Bind(program(t, webCheck, addr(1)))[0]
		b.serve()
		sleep(10 * time.Second)
		b.unaskable(true, addr(1))
		// As if it had been stopped right after the last sweep, for a minute.
		b.m.mu.Lock()
		b.m.swept = time.Now().Add(-time.Minute)
		b.m.targets[slot].judged.Seen = time.Now().Add(-time.Minute)
		b.m.mu.Unlock()
		sleep(2 * sweep)
		b.want(slot, health.Up, "it stood still, and no result has come since")
		sleep(5 * time.Second)
		b.want(slot, health.Unknown, "it runs again, and no result comes")
	})
}

// What is at the own site is told by all that is bound, the longest match first.
func TestVicinity(t *testing.T) {
	site := func(name string, nets ...string) steer.Site {
		s := steer.Site{Name: name}
		for _, n := range nets {
			s.Nets = append(s.Nets, netip.MustParsePrefix(n))
		}
		return s
	}
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	one := &steer.Program{Sites: []steer.Site{site("lon", "10.0.0.0/8", "2001:db8::/32"), site("nyc", "10.2.0.0/16")}}
	two := &steer.Program{
		Sites: []steer.Site{site("ams", "192.0.2.0/24"), site("lon", "198.51.100.0/24")},
		Nodes: []steer.Node{
			{Name: "a", Node: record.Node{Addrs: addrs("192.0.2.7"), Site: "lon"}},
			{Name: "b", Node: record.Node{Addrs: addrs("10.1.0.1"), Site: "ams"}},
			{Name: "vip", Node: record.Node{Addrs: addrs("198.51.100.9"), Probes: addrs("172.16.0.1")}},
		},
	}
	v := newVicinity("lon")
	check := func(when string, own ...string) {
		t.Helper()
		is := map[string]bool{}
		for _, a := range own {
			is[a] = true
		}
		for _, a := range []string{"10.1.0.1", "10.1.0.2", "10.2.0.1", "2001:db8::1", "192.0.2.7", "192.0.2.8", "198.51.100.9", "172.16.0.1", "203.0.113.1"} {
			if got := v.holds(netip.MustParseAddr(a), v.lengths()); got != is[a] {
				t.Errorf("%s: %s is at the own site: %t, want %t", when, a, got, is[a])
			}
		}
		if v.declared() != (len(own) > 0) {
			t.Errorf("%s: declared is %t", when, v.declared())
		}
	}
	check("nothing is bound")
	first, again, second := []uint32{1}, []uint32{1}, []uint32{2}
	if !v.bind(first, one) || v.bind(again, one) {
		t.Error("the first bind changes something, the second one nothing")
	}
	check("one", "10.1.0.1", "10.1.0.2", "2001:db8::1")
	v.bind(second, two)
	check("both", "10.1.0.2", "2001:db8::1", "192.0.2.7", "198.51.100.9", "172.16.0.1")
	if v.unbind(first) || !v.unbind(again) {
		t.Error("the first unbind changes nothing, the second one something")
	}
	check("two", "192.0.2.7", "198.51.100.9", "172.16.0.1")
	v.unbind(second)
	check("none is left")
	if v.unbind(second) || len(v.nets)+len(v.hosts)+len(v.bound) != 0 {
		t.Errorf("left: %+v", v)
	}
	v = newVicinity("")
	if v.bind(first, one) || v.unbind(first) {
		t.Error("a server at no site has neighbours")
	}
}
