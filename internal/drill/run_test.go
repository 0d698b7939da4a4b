package drill

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/geo/place"
	"geodns/internal/health"
	"geodns/internal/world"
)

// What is lost is not sent to, and fails after as long as it would have taken;
// what waits when it is over has learned nothing.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Loss
		known, elsewhere := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")
		within, beyond, far := netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("203.0.113.1")
		meets := func(a netip.Addr) (Result, bool, time.Duration) {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			r, lost := l.Meets(ctx, a)
			return r, lost, time.Since(begin)
		}
		if _, lost, _ := meets(known); lost {
			t.Error("it is lost, and there is no drill")
		}
		x := &lost{
			site: "lon", how: HowTimeout, addrs: map[netip.Addr]bool{known: true, elsewhere: false},
			nets: []siteNet{{netip.MustParsePrefix("192.0.2.0/24"), true}, {netip.MustParsePrefix("192.0.2.128/25"), false}},
		}
		if !l.begin(x) || l.begin(&lost{}) {
			t.Fatal("there is not one drill at a time")
		}
		for a, want := range map[netip.Addr]bool{known: true, elsewhere: false, within: true, beyond: false, far: false} {
			r, lost, took := meets(a)
			if lost != want || l.Lost(a) != want || l.Touched(a) != want {
				t.Errorf("%s: lost %t, want %t", a, lost, want)
			}
			if want && (r != Result{Reason: "drill: lon is lost"} || took != 2*time.Second) || !want && took != 0 {
				t.Errorf("%s: %+v after %v", a, r, took)
			}
		}
		var r Result
		var took time.Duration
		done := make(chan struct{})
		go func() { defer close(done); r, _, took = meets(known) }()
		time.Sleep(time.Second)
		l.finish(x)
		<-done
		if !r.Over || took != time.Second {
			t.Errorf("at the end: %+v after %v", r, took)
		}
		if _, lost, _ := meets(known); lost || l.Lost(known) {
			t.Error("it is lost, and the drill is over")
		}
		if l.forget(); l.Touched(known) {
			t.Error("it is remembered, and was to be forgotten")
		}
		x.how = HowRefused
		l.begin(x)
		if _, lost, took := meets(known); !lost || took != 0 {
			t.Errorf("refused: lost %t after %v", lost, took)
		}
		if n := x.kept.Load(); n != 4 {
			t.Errorf("%d probes were not sent, want 4", n)
		}
	})
}

// theatre is a pretended server: what is lost is down a while later, and up again
// a while after it is back.
type theatre struct {
	loss     Loss
	runner   *Runner
	up, down *world.World
	// falls and rises are how long that takes.
	falls, rises time.Duration
	lostAt       atomic.Int64 // 0: it isn't lost
	backAt       atomic.Int64
}

const stageZone = `$ORIGIN c.example.
$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.10
www 60 A 198.51.100.10
order A 192.0.2.10
order A 198.51.100.10
blind A 192.0.2.60
far A 198.51.100.80
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
web._check TXT "v=check1; type=http; port=80; every=200ms; timeout=150ms; fall=2; rise=1"
www._steer TXT "v=steer1; policy=nearest; check=web"
order._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web"
blind._steer TXT "v=steer1"
far._steer TXT "v=steer1; check=web"
`

const soloZone = "solo A 192.0.2.30\nsolo._steer TXT \"v=steer1; check=web\"\n"

func open(t *testing.T, text string) *theatre {
	t.Helper()
	table := geography(t)
	th := &theatre{falls: 500 * time.Millisecond, rises: 300 * time.Millisecond, up: serve(t, table, []string{text})}
	n := *th.up
	th.down = &n
	states := make([]health.State, 0, 16)
	th.up.Zones.Each(func(s *world.Served) bool {
		for _, x := range s.Steering.Targets {
			state := health.Up
			if strings.HasPrefix(x.Addr.String(), "192.0.2.") {
				state = health.Down
			}
			states = append(states, state)
		}
		return true
	})
	th.down.Verdicts = health.NewVerdicts(states, nil)
	th.runner = NewRunner(&th.loss, Server{
		World: th.world, Refused: always, Table: func() *place.Table { return table },
		PerSecond: func() float64 { return 42 }, Log: slog.New(slog.DiscardHandler),
	})
	return th
}

// world is the one of the moment.
func (th *theatre) world() *world.World {
	lost := th.loss.Lost(netip.MustParseAddr("192.0.2.10"))
	now := time.Now().UnixNano()
	switch {
	case lost && th.lostAt.Load() == 0:
		th.lostAt.Store(now)
		th.backAt.Store(0)
	case !lost && th.lostAt.Load() != 0 && th.backAt.Load() == 0:
		th.backAt.Store(now)
	}
	since := func(at *atomic.Int64) time.Duration { return time.Duration(now - at.Load()) }
	switch {
	case lost && since(&th.lostAt) >= th.falls, !lost && th.backAt.Load() != 0 && since(&th.backAt) < th.rises:
		return th.down
	}
	return th.up
}

// play runs a drill, and returns what was told.
func (th *theatre) play(ctx context.Context, o Order) (events []Event, err error) {
	if o.Site.Name == "" {
		o.Site.Name = "lon"
	}
	if o.How == "" {
		o.How = HowTimeout
	}
	err = th.runner.Run(ctx, o, func(e Event) error { events = append(events, e); return nil })
	return events, err
}

func reportOf(t *testing.T, events []Event) *Report {
	t.Helper()
	if len(events) == 0 || events[len(events)-1].Report == nil {
		t.Fatalf("no report in %d events", len(events))
	}
	return events[len(events)-1].Report
}

func of(t *testing.T, r *Report, name string) *Measured {
	t.Helper()
	for i := range r.Names {
		if r.Names[i].Name == name+".c.example." {
			return &r.Names[i]
		}
	}
	t.Fatalf("nothing of %s", name)
	return nil
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := open(t, stageZone)
		events, err := th.play(t.Context(), Order{For: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if events[0].Plan == nil || events[1].Begun == nil || events[1].Begun.Until.Sub(events[1].Begun.Since) != 5*time.Second {
			t.Fatalf("it begins with %+v %+v", events[0], events[1])
		}
		tick := events[3].Tick
		if tick == nil || tick.Names != 2 || tick.Gone != 2 || tick.Over || tick.PerSecond != 42 || len(tick.Answers) == 0 {
			t.Errorf("after a second or two: %+v", tick)
		}
		r := reportOf(t, events)
		if !r.OK() || r.End != "its time was over" || len(r.Names) != 3 || r.NamesAll != 3 || r.Targets != 1 {
			t.Errorf("%+v", r)
		}
		for _, name := range []string{"www", "order"} {
			m := of(t, r, name)
			if m.Verdict != Held || m.Promise != 650 || m.Gone == nil || *m.Gone < 500 || *m.Gone > 510 || *m.FirstOut != *m.Gone {
				t.Errorf("%s left: %+v", name, m)
			}
			if m.Back == nil || *m.Back < 300 || *m.Back > 310 || m.FirstBack == nil || *m.FirstBack != *m.Back {
				t.Errorf("%s returned: %+v", name, m)
			}
			sites := func(list []Answers) (out []string) {
				for _, a := range list {
					out = append(out, a.Site)
				}
				slices.Sort(out)
				return out
			}
			if !slices.Contains(sites(m.Before), "lon") || !slices.Equal(sites(m.During), []string{"lon", "nyc"}) || !slices.Contains(sites(m.After), "lon") {
				t.Errorf("%s was answered: %+v", name, m)
			}
		}
		if m := of(t, r, "blind"); m.Verdict != NotJudged || !strings.Contains(m.Why, "no check notices") {
			t.Errorf("blind: %+v", m)
		}
		if _, on := th.runner.Now(); on || th.loss.Touched(netip.MustParseAddr("192.0.2.10")) {
			t.Error("it is not over")
		}
	})
}

// Promises that are not kept, and what is not back, are told.
func TestRunBroken(t *testing.T) {
	tests := []struct {
		name         string
		falls, rises time.Duration
		lasts        time.Duration
		verdict      string
		held, back   bool
	}{
		{"late", 700 * time.Millisecond, 0, 5 * time.Second, Broken, false, true},
		{"never", time.Hour, 0, 5 * time.Second, Broken, false, true},
		{"just in time", 640 * time.Millisecond, 0, 5 * time.Second, Held, true, true},
		{"never back", 500 * time.Millisecond, time.Hour, 5 * time.Second, Held, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := open(t, stageZone)
				th.falls, th.rises = tt.falls, tt.rises
				events, err := th.play(t.Context(), Order{For: tt.lasts})
				if err != nil {
					t.Fatal(err)
				}
				r := reportOf(t, events)
				if m := of(t, r, "www"); m.Verdict != tt.verdict || r.Held != tt.held || r.Back != tt.back || r.OK() != (tt.held && tt.back) {
					t.Errorf("%s, held %t, back %t: %+v", m.Verdict, r.Held, r.Back, m)
				}
			})
		})
	}
}

// Whatever ends it, the site is back, and the server can have another one.
func TestRunEnds(t *testing.T) {
	const after = 300 * time.Millisecond // before the promise can be judged
	tests := []struct {
		name string
		end  func(th *theatre, gone func())
		why  string
	}{
		{"stopped", func(th *theatre, _ func()) { th.runner.Stop("it was stopped") }, "it was stopped"},
		{"its client is gone", func(_ *theatre, gone func()) { gone() }, "who ran it has gone"},
		{"the server ends", func(th *theatre, _ func()) { th.runner.Close("the server ends") }, "the server ends"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := open(t, stageZone)
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				done := make(chan *Report)
				go func() {
					events, _ := th.play(ctx, Order{For: time.Hour})
					done <- reportOf(t, events)
				}()
				time.Sleep(after)
				s, on := th.runner.Now()
				if !on || s.Site != "lon" || s.Over {
					t.Errorf("the drill that is on: %+v", s)
				}
				if _, err := th.play(t.Context(), Order{For: time.Minute}); err == nil || !strings.Contains(err.Error(), "a drill is on already: lon") {
					t.Errorf("another one: %v", err)
				}
				begin := time.Now()
				tt.end(th, gone)
				r := <-done
				if r.End != tt.why || r.Held || of(t, r, "www").Verdict != NotJudged || !strings.Contains(of(t, r, "www").Why, "was over before") {
					t.Errorf("%+v", r)
				}
				if took := time.Since(begin); took > time.Second || th.loss.Lost(netip.MustParseAddr("192.0.2.10")) {
					t.Errorf("it was put back after %v", took)
				}
				if _, on := th.runner.Stop(""); on {
					t.Error("it is still on")
				}
				_, err := th.play(t.Context(), Order{For: time.Second})
				if closed := tt.why == "the server ends"; (err != nil) != closed {
					t.Errorf("another one afterwards: %v", err)
				}
			})
		})
	}
}

// Who doesn't listen delays nothing: the drill ends at its time.
func TestRunDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := open(t, stageZone)
		done := make(chan error)
		deaf := make(chan struct{})
		go func() {
			done <- th.runner.Run(t.Context(), Order{Site: Site{Name: "lon"}, For: 3 * time.Second, How: HowTimeout}, func(e Event) error {
				if e.Tick != nil {
					<-deaf
					return errors.New("gone")
				}
				return nil
			})
		}()
		time.Sleep(3*time.Second + lookEvery)
		if th.loss.Lost(netip.MustParseAddr("192.0.2.10")) {
			t.Error("the site is lost for longer than it was to be")
		}
		time.Sleep(time.Minute)
		if _, on := th.runner.Now(); on {
			t.Error("the drill is still on")
		}
		close(deaf)
		if err := <-done; err == nil {
			t.Error("that nobody listened was no error")
		}
	})
}

// What can't be rehearsed is refused, with what to do.
func TestRunRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := open(t, stageZone+soloZone)
		events, err := th.play(t.Context(), Order{For: time.Minute})
		if err != nil || len(events) != 1 || !events[0].Refused || events[0].Plan.Lost != 1 || th.loss.Lost(netip.MustParseAddr("192.0.2.10")) {
			t.Errorf("the last node of a name: %v %+v", err, events)
		}
		if events, err = th.play(t.Context(), Order{For: 2 * time.Second, Force: true}); err != nil {
			t.Fatal(err)
		}
		r := reportOf(t, events)
		if m := of(t, r, "solo"); m.Verdict != NotJudged || !strings.Contains(m.Why, "nothing else is live: empty=all") || m.Gone != nil || !r.OK() {
			t.Errorf("by force: %+v, ok %t", m, r.OK())
		}
		for _, tt := range []struct {
			o    Order
			want string
		}{
			{Order{For: time.Millisecond}, "a drill lasts from 1s to 1h0m0s"},
			{Order{For: 2 * time.Hour}, "a drill lasts from 1s to 1h0m0s"},
			{Order{For: time.Minute, How: "soon"}, `--how "soon" is not known`},
			{Order{For: time.Minute, Site: Site{Name: "par"}}, `there is no site "par"`},
		} {
			if events, err := th.play(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) || len(events) > 0 {
				t.Errorf("%+v: %v, want %s", tt.o, err, tt.want)
			}
		}
		th = open(t, strings.ReplaceAll(stageZone, "; check=web", ""))
		if _, err := th.play(t.Context(), Order{For: time.Minute}); err == nil || !strings.Contains(err.Error(), "no check watches anything at lon") {
			t.Errorf("nothing is checked: %v", err)
		}
	})
}
