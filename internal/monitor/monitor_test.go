package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
)

// bench is a Monitor with nodes that are pretended: by address, whether they
// answer.
type bench struct {
	t *testing.T
	m *Monitor

	mu        sync.Mutex
	dead      map[netip.Addr]bool
	silent    map[netip.Addr]bool // never answer before the timeout
	local     map[netip.Addr]bool // can't be asked
	asked     map[Key]int
	published []publication
}

type publication struct {
	at time.Time
	v  *health.Verdicts
}

// run makes a Monitor, and runs it until the bubble's test ends.
func run(t *testing.T, allowed func(netip.Addr, bool) string, with ...func(*bench, *Options)) *bench {
	b := &bench{t: t, dead: map[netip.Addr]bool{}, silent: map[netip.Addr]bool{}, local: map[netip.Addr]bool{}, asked: map[Key]int{}}
	if allowed == nil {
		allowed = func(netip.Addr, bool) string { return "" }
	}
	o := Options{Probe: b.probe, Allowed: allowed, Publish: b.publish, Most: 4096, Log: slog.New(slog.DiscardHandler)}
	for _, f := range with {
		f(b, &o)
	}
	b.m = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

func (b *bench) probe(ctx context.Context, k Key, _ *record.Check) probe.Result {
	b.mu.Lock()
	b.asked[k]++
	dead, silent, local := b.dead[k.Addr], b.silent[k.Addr], b.local[k.Addr]
	b.mu.Unlock()
	switch {
	case silent:
		<-ctx.Done()
		return probe.Result{Reason: "timeout"}
	case local:
		return probe.Result{Reason: "no socket", Local: true}
	case dead:
		return probe.Result{Reason: "refused"}
	}
	return probe.Result{OK: true, Reason: "fine"}
}

func (b *bench) publish() {
	v := b.m.Verdicts()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published = append(b.published, publication{time.Now(), v})
}

// set says which addresses are dead from now on; none: all.
func (b *bench) set(dead bool, addrs ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addrs {
		b.dead[a] = dead
	}
}

func (b *bench) count(k Key) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[k]
}

func (b *bench) publications() []publication {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.published)
}

// addr is the n-th address.
func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(2 + n>>8), byte(n)}) }

const webCheck = "v=check1; type=tcp; port=80; every=1s; timeout=500ms; fall=3; rise=2"

// program names addresses under one check.
func program(t *testing.T, check string, addrs ...netip.Addr) *steer.Program {
	t.Helper()
	c, problems := record.ParseCheck([]byte(check), record.Origin{Apex: []byte("\x07example\x00")})
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(problems)
		}
	}
	p := &steer.Program{Checks: []steer.Check{{Name: "web", Zone: "example.", Check: c}}}
	for _, a := range addrs {
		p.Targets = append(p.Targets, steer.Target{Addr: a, Own: true})
	}
	return p
}

func (b *bench) serve() (late int) { return b.m.Serve(b.t.Context(), 3*time.Second) }

func (b *bench) want(slot uint32, want health.State, when string) {
	b.t.Helper()
	if got := b.m.Verdicts().State(slot); got != want {
		b.t.Errorf("%s: the verdict is %s, want %s", when, got, want)
	}
}

// sleep lets time pass, and what is due by then happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// However many nodes turn at once, verdicts are published at once, and then at
// most one time each 20 ms.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		const n = 1000
		var addrs []netip.Addr
		for i := range n {
			addrs = append(addrs, addr(i))
		}
		slots := b.m.Bind(program(t, webCheck, addrs...))
		if late := b.serve(); late != 0 {
			t.Fatalf("%d targets have no first result", late)
		}
		sleep(10 * time.Second)
		if v := b.m.Verdicts(); !v.Quiet() {
			t.Fatal("some are down that answer")
		}
		before := len(b.publications())
		b.set(true, addrs...)
		sleep(10 * time.Second)
		list := b.publications()[before:]
		if len(list) < 2 {
			t.Fatalf("%d publications, want some", len(list))
		}
		for i := 1; i < len(list); i++ {
			if gap := list[i].at.Sub(list[i-1].at); gap < quiet {
				t.Errorf("two publications %v apart, want %v or more", gap, quiet)
			}
		}
		for _, s := range slots {
			b.want(s, health.Down, "all are dead")
			if list[len(list)-1].v.State(s) != health.Down {
				t.Fatal("a verdict that turned is not published")
			}
		}
		// 1,000 nodes turn within fall × every: that many publications there is
		// time for.
		if most := int((4*time.Second)/quiet) + 10; len(list) > most {
			t.Errorf("%d publications, want %d at most", len(list), most)
		}
		if s := b.m.Stats(); s.Down != n || s.Up != n || s.Publications != uint64(before+len(list)) {
			t.Errorf("counted: %+v", s)
		}
	})
}

// A node that comes back and goes again has to prove itself for longer each
// time; while it is steady for long, no more.
func TestDamping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		a := addr(1)
		slot := b.m.Bind(program(t, webCheck, a))[0]
		b.serve()
		back := func() int {
			b.set(true, a)
			sleep(6 * time.Second)
			b.want(slot, health.Down, "dead")
			before := b.count(Key{Addr: a, Check: program(t, webCheck, a).Checks[0].Check.String()})
			b.set(false, a)
			for b.m.Verdicts().State(slot) != health.Up {
				sleep(10 * time.Millisecond)
			}
			return b.count(Key{Addr: a, Check: program(t, webCheck, a).Checks[0].Check.String()}) - before
		}
		var took []int
		for range 5 {
			took = append(took, back())
		}
		// The first turn is not damped; each later one doubles, twice a round:
		// down and up.
		if want := []int{2, 8, 32, 32, 32}; !slices.Equal(took, want) {
			t.Errorf("successes until it is up again: %v, want %v", took, want)
		}
		list, counts := b.m.Targets(0)
		if counts.Damped != 1 || list[0].Asks != 32 || !list[0].Troubled {
			t.Errorf("damped: %+v %+v", counts, list[0])
		}
		sleep(11 * time.Minute)
		if _, counts := b.m.Targets(0); counts.Damped != 0 {
			t.Error("after ten steady minutes it is still damped")
		}
		// That time alone made it calm is published.
		list2 := b.publications()
		if last := list2[len(list2)-1].v; last.Troubled(slot) {
			t.Error("the last publication says that it is troubled")
		}
	})
}

// What is new while others are served waits for its first verdict, but not for
// ever; at the start nobody waits for anybody.
func TestJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		live, silent, cut := addr(1), addr(2), addr(3)
		b.mu.Lock()
		b.silent[silent], b.local[cut] = true, true
		b.mu.Unlock()
		b.m.Bind(program(t, webCheck, live))
		if late := b.serve(); late != 0 {
			t.Fatalf("%d late", late)
		}
		slots := b.m.Bind(program(t, webCheck, live, silent, cut))
		b.want(slots[0], health.Up, "it was there before")
		b.want(slots[1], health.Joining, "has no verdict")
		b.want(slots[2], health.Joining, "can't be asked")
		if _, c := b.m.Targets(0); c.Joining != 2 || c.Unknown != 0 {
			t.Errorf("%d joining, want 2; %d unknown, want 0", c.Joining, c.Unknown)
		}
		// One timeout and a second later what could not be asked counts as live.
		sleep(1500*time.Millisecond + sweep)
		b.want(slots[1], health.Down, "its first result was bad")
		b.want(slots[2], health.Unknown, "nothing is known of it")
		if p := b.publications(); p[len(p)-1].v.State(slots[2]) != health.Unknown {
			t.Error("that it counts as live is not published")
		}
		if _, c := b.m.Targets(0); c.Joining != 0 {
			t.Errorf("%d joining, want 0", c.Joining)
		}
	})
}

// At the start, listening waits for first results, but not for long.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		b.mu.Lock()
		b.silent[addr(1)] = true
		b.mu.Unlock()
		slots := b.m.Bind(program(t, "v=check1; type=tcp; port=80; every=30s; timeout=20s", addr(1), addr(2)))
		began := time.Now()
		if late := b.serve(); late != 1 || time.Since(began) != 3*time.Second {
			t.Errorf("%d late after %v, want 1 after 3s", late, time.Since(began))
		}
		b.want(slots[0], health.Unknown, "nothing is known of it, and it joins nobody")
		b.want(slots[1], health.Up, "its first result came in time")
	})
}

// An up verdict of which nothing is heard for long is no longer believed.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		up, down := addr(1), addr(2)
		b.set(true, down)
		slots := b.m.Bind(program(t, webCheck, up, down))
		b.serve()
		sleep(5 * time.Second)
		b.want(slots[0], health.Up, "it answers")
		b.mu.Lock()
		b.local[up], b.local[down] = true, true
		b.mu.Unlock()
		sleep(3 * time.Second)
		b.want(slots[0], health.Up, "not heard of for a moment")
		sleep(3 * time.Second)
		b.want(slots[0], health.Unknown, "not heard of for long")
		b.want(slots[1], health.Down, "was down, and not heard of for long")
		list, c := b.m.Targets(0)
		if c.Stale != 1 || !list[0].Judged.Stale || list[0].Addr != down || !list[0].Last.Local {
			t.Errorf("stale: %+v %+v", c, list)
		}
		if p := b.publications(); p[len(p)-1].v.State(slots[0]) != health.Unknown {
			t.Error("that it is unknown is not published")
		}
		s := b.m.Stats()
		if s.Unknown != 1 || len(s.Types) != 1 || s.Types[0].Type != "tcp" || s.Types[0].Local == 0 || s.Types[0].OK == 0 || s.Types[0].Failed == 0 {
			t.Errorf("counted: %+v", s)
		}
		sum := uint64(0)
		for _, n := range s.Types[0].Durations {
			sum += n
		}
		if x := s.Types[0]; sum != x.OK+x.Failed+x.Local || len(x.Durations) != len(DurationBounds())+1 {
			t.Errorf("%d durations of %+v", sum, x)
		}
	})
}

// A target is probed once, however many zones name it and whatever they call
// the check, until the last of them is gone.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		a := addr(1)
		one, two := program(t, webCheck, a), program(t, "v=check1;port=80;type=tcp;timeout=500ms;every=1s;rise=2;fall=3", a)
		two.Checks[0].Name = "other"
		first, second := b.m.Bind(one), b.m.Bind(two)
		if !slices.Equal(first, second) {
			t.Fatalf("slots %v and %v, want the same", first, second)
		}
		b.serve()
		k := Key{Addr: a, Check: one.Checks[0].Check.String()}
		sleep(20 * time.Second)
		if n := b.count(k); n < 20 || n > 24 {
			t.Errorf("probed %d times in 20 s, want some 21", n)
		}
		b.m.Unbind(first)
		before := b.count(k)
		sleep(10 * time.Second)
		if b.count(k) < before+9 {
			t.Error("it is no longer probed, though a zone names it")
		}
		b.m.Unbind(second)
		before = b.count(k)
		sleep(10 * time.Second)
		if n := b.count(k); n != before {
			t.Errorf("probed %d times though nothing names it", n-before)
		}
		if list, c := b.m.Targets(0); len(list) != 0 || c != (Counts{}) {
			t.Errorf("left: %v %+v", list, c)
		}
		// Its slot is another's now, which nothing is known of.
		b.mu.Lock()
		b.silent[addr(2)] = true
		b.mu.Unlock()
		next := b.m.Bind(program(t, webCheck, addr(2)))
		if next[0] != first[0] {
			t.Fatalf("slot %d, want %d again", next[0], first[0])
		}
		b.want(next[0], health.Joining, "nothing is known of it")
	})
}

// Who may not have an address probed gets no verdict of it, and does not keep
// those from theirs who may.
func TestRefused(t *testing.T) {
	for _, order := range []string{"refused first", "allowed first"} {
		t.Run(order, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := run(t, func(_ netip.Addr, own bool) string {
					if own {
						return ""
					}
					return "not its own"
				})
				a := addr(1)
				b.set(true, a)
				own, other := program(t, webCheck, a), program(t, webCheck, a)
				other.Targets[0].Own = false
				var ownSlot, otherSlot uint32
				if order == "refused first" {
					otherSlot = b.m.Bind(other)[0]
					ownSlot = b.m.Bind(own)[0]
				} else {
					ownSlot = b.m.Bind(own)[0]
					otherSlot = b.m.Bind(other)[0]
				}
				if late := b.serve(); late != 0 {
					t.Errorf("%d late: what is not probed is waited for", late)
				}
				b.want(ownSlot, health.Down, "its own, and dead")
				b.want(otherSlot, health.Unknown, "not probed")
				list, c := b.m.Targets(0)
				if c.Refused != 1 || c.Down != 1 || len(list) != 2 || list[1].Why != "not its own" || !list[1].Next.IsZero() {
					t.Errorf("%+v %+v", c, list)
				}
			})
		})
	}
}

// What is wrong comes first, and a limit leaves out what is well.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		var addrs []netip.Addr
		for i := range 10 {
			addrs = append(addrs, addr(i))
		}
		b.set(true, addrs[7], addrs[3])
		b.m.Bind(program(t, webCheck, addrs...))
		b.serve()
		sleep(100 * time.Millisecond)
		b.set(true, addrs[5])
		sleep(1100 * time.Millisecond) // one failure, and no turn
		list, c := b.m.Targets(4)
		var got []string
		for i := range list {
			got = append(got, fmt.Sprint(list[i].Addr, " ", list[i].Judged.State, " ", list[i].Judged.Fails > 0))
		}
		want := []string{"192.0.2.3 down true", "192.0.2.7 down true", "192.0.2.5 up true", "192.0.2.0 up false"}
		if !slices.Equal(got, want) || c.Targets != 10 || c.Up != 8 || c.Down != 2 {
			t.Errorf("got %q %+v, want %q", got, c, want)
		}
		for i := range list {
			if next := time.Until(list[i].Next); list[i].Name != "web" || list[i].Zone != "example." || next <= 0 || next > time.Second || list[i].LastAt.IsZero() {
				t.Errorf("%+v", list[i])
			}
		}
		if b.m.Counts() != c {
			t.Error("Counts differs from Targets")
		}
	})
}

func BenchmarkTargets(b *testing.B) {
	m := New(Options{Allowed: func(netip.Addr, bool) string { return "" }, Most: 1, Log: slog.New(slog.DiscardHandler)})
	p := &steer.Program{Checks: []steer.Check{{Name: "web"}}}
	for i := range 20_000 {
		p.Targets = append(p.Targets, steer.Target{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Own: true})
	}
	m.Bind(p)
	for b.Loop() {
		m.Targets(50)
	}
}
