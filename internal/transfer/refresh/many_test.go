package refresh

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/zone"
)

// TestManyZones: 10,000 zones are fetched by few attempts at a time, and do not
// come due at once afterwards, nor when the process starts again.
func TestManyZones(t *testing.T) {
	const n = 10_000
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{Most: 16})
		var zones []Zone
		var servers []*server
		for i := range 10 {
			s := h.server(i, 5)
			s.after = 10 * time.Millisecond
			servers = append(servers, s)
			zones = append(zones, many(n/10, s)...)
		}
		h.SetZones(zones)
		before := runtime.NumGoroutine()
		h.start()
		if now := runtime.NumGoroutine(); now > before+40 {
			t.Errorf("%d goroutines more", now-before)
		}
		h.sleep(n / 16 * 10 * time.Millisecond * 2)
		if got := len(h.happened()); got != n {
			t.Fatalf("%d zones installed", got)
		}
		if h.most > 16 || h.most < 10 {
			t.Errorf("up to %d attempts at once", h.most)
		}
		for _, s := range servers {
			if s.most > 4 {
				t.Errorf("up to %d attempts at once at one primary", s.most)
			}
			h.questions(s)
		}
		h.sleep(refreshTime * time.Second)
		most := 0
		seconds := map[int64]int{}
		for _, s := range servers {
			for _, q := range s.asked {
				seconds[q.when.Unix()]++
				most = max(most, seconds[q.when.Unix()])
			}
		}
		if most > 10*n/(refreshTime/10) || len(seconds) < refreshTime/20 {
			t.Errorf("up to %d questions in a second, in %d seconds", most, len(seconds))
		}
	})
}

// TestStartSpreads: many young copies are not all looked after at once.
func TestStartSpreads(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{Most: 100})
		s := h.server(1, 5)
		zones := many(1000, s)
		for _, z := range zones {
			h.copies[string(z.Apex)] = version(z.Apex, 5)
		}
		h.SetZones(zones)
		h.start()
		h.sleep(time.Second)
		first, _, _ := h.questions(s)
		h.sleep(10 * time.Second)
		rest, _, _ := h.questions(s)
		if first+rest != 1000 || first > 200 {
			t.Errorf("%d questions in the first second, %d later", first, rest)
		}
		h.wantEvents()
	})
}

// TestDeadPrimary: the zones of one that is dead do not delay those of others,
// cost little, and are fetched soon when it is back.
func TestDeadPrimary(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{Most: 8})
		dead, alive := h.server(1, 5), h.server(2, 5)
		dead.dead, alive.after = true, 10*time.Millisecond
		h.SetZones(append(many(5000, dead), many(500, alive)...))
		h.start()
		h.sleep(5 * time.Second)
		if got := len(h.happened()); got != 500 {
			t.Errorf("%d zones of the living primary were installed", got)
		}
		h.sleep(time.Hour)
		if _, _, n := h.questions(dead); n > 400 || n < 300 {
			t.Errorf("the dead primary was asked %d times in an hour", n)
		}
		if st := h.state(many(5000, dead)[4999].Apex); !strings.Contains(st.LastError, "asked again") || st.Next.IsZero() {
			t.Errorf("%+v", st)
		}
		h.change(func() { dead.dead, dead.after = false, 10*time.Millisecond })
		h.sleep(mostBackOff + 9*time.Second + 5000/2*10*time.Millisecond)
		soon := len(h.happened())
		h.sleep(mostRetry) // those that were asked for in vain
		if later := len(h.happened()); soon < 4980 || soon+later != 5000 {
			t.Errorf("%d of its zones were installed when it was back, %d later", soon, later)
		}
	})
}

// TestDeadFirst: zones with another primary go there.
func TestDeadFirst(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{Most: 8})
		dead, alive := h.server(1, 5), h.server(2, 5)
		dead.dead, alive.after = true, 10*time.Millisecond
		h.SetZones(many(1000, dead, alive))
		h.start()
		h.sleep(time.Minute)
		if got := len(h.happened()); got != 1000 {
			t.Errorf("%d zones were installed", got)
		}
		// Both are dead, and one comes back: whichever it is, all zones do.
		h.change(func() { alive.serial = 6; alive.dead = true })
		h.sleep(3 * refreshTime * time.Second)
		h.wantEvents()
		h.change(func() { alive.dead = false })
		h.sleep(retryTime*time.Second + mostBackOff + 30*time.Second)
		if got := len(h.happened()); got != 1000 {
			t.Errorf("%d zones were installed when the second was back", got)
		}
	})
}

// TestNotifyRevives: a NOTIFY shows that a primary lives.
func TestNotifyRevives(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		s := h.server(1, 5)
		s.dead = true
		zones := many(100, s)
		h.SetZones(zones)
		h.start()
		h.sleep(time.Hour)
		h.change(func() { s.dead = false })
		h.Notified(zones[7].Apex, s.addr.Addr(), nil)
		h.sleep(time.Second)
		soon := len(h.happened())
		h.sleep(mostRetry) // those that were asked for in vain
		if later := len(h.happened()); soon < 80 || soon+later != 100 {
			t.Errorf("%d zones were installed at once, %d later", soon, later)
		}
	})
}

// TestOneBadZone: one that gets no answer, is refused, or makes what is called
// panic does not disturb the others.
func TestOneBadZone(t *testing.T) {
	bad := map[string]func(*house){
		"no answer": func(h *house) {
			ask := h.o.Fetch
			h.o.Fetch = func(ctx context.Context, p fetch.Primary, apex []byte, have *zone.Zone) (*fetch.Got, error) {
				if string(apex) == string(badApex) {
					return nil, &fetch.Error{Cause: fetch.Unreachable, From: p.Addr, Apex: apex, What: "no answer"}
				}
				return ask(ctx, p, apex, have)
			}
		},
		"refused": func(h *house) {
			h.refuse = func(apex []byte, _ *fetch.Got) error {
				if string(apex) == string(badApex) {
					return errRefused
				}
				return nil
			}
		},
		"panic": func(h *house) {
			h.refuse = func(apex []byte, _ *fetch.Got) error {
				if string(apex) == string(badApex) {
					panic("of one zone")
				}
				return nil
			}
		},
		"never ends": func(h *house) {
			ask := h.o.Fetch
			h.o.Fetch = func(ctx context.Context, p fetch.Primary, apex []byte, have *zone.Zone) (*fetch.Got, error) {
				if string(apex) == string(badApex) {
					<-ctx.Done()
					return nil, &fetch.Error{Cause: fetch.Cancelled, From: p.Addr, Apex: apex, What: "given up"}
				}
				return ask(ctx, p, apex, have)
			}
		},
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				h := newHouse(t, Options{})
				s := h.server(1, 5)
				spoil(h)
				zones := append(many(50, s), Zone{Apex: badApex, Primaries: primariesOf(s)})
				h.SetZones(zones)
				h.start()
				h.sleep(time.Minute)
				if got := len(h.happened()); got != 50 {
					t.Errorf("%d good zones were installed", got)
				}
				if st := h.state(badApex); st.Held || st.LastError == "" && name != "never ends" {
					t.Errorf("%+v", st)
				}
				for i := range 5 {
					h.change(func() { s.serial++ })
					for _, z := range zones[:50] {
						h.Notified(z.Apex, s.addr.Addr(), nil)
					}
					h.sleep(10 * time.Second)
					if got := len(h.happened()); got != 50 {
						t.Errorf("round %d: %d good zones were installed", i, got)
					}
				}
			})
		})
	}
}

var badApex = apexOf("bad")

// TestSetZones: zones come, stay and go; what goes is not installed, and its
// transfer ends.
func TestSetZones(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		a, b := h.server(1, 5), h.server(2, 6)
		zones := many(3, a)
		h.SetZones(zones[:2])
		h.start()
		h.sleep(time.Second)
		if n := len(h.happened()); n != 2 {
			t.Errorf("%d zones installed", n)
		}
		h.questions(a)
		h.SetZones(zones)
		synctest.Wait()
		h.wantEvents("install z2-1.")
		h.wantQuestions(a, 0, 0, 1)

		// Another primary is asked at once.
		moved := []Zone{zones[0], {Apex: zones[1].Apex, Primaries: primariesOf(b)}}
		h.SetZones(moved)
		h.sleep(time.Second)
		h.wantEvents("install z1-1.")
		h.wantQuestions(a, 0, 0, 0)
		if n := len(h.Status()); n != 2 {
			t.Errorf("%d states", n)
		}
		if h.Notified(zones[2].Apex, a.addr.Addr(), nil) || h.Notified(zones[1].Apex, a.addr.Addr(), nil) {
			t.Error("a NOTIFY for a zone that went, or of a primary that did, is heard")
		}

		h.change(func() { a.serial, a.after = 7, time.Hour })
		h.Notified(zones[0].Apex, a.addr.Addr(), nil)
		h.sleep(time.Second)
		h.SetZones(moved[1:])
		h.sleep(time.Second)
		if h.underWay() != 0 {
			t.Error("a transfer of a zone that went goes on")
		}
		h.sleep(3 * refreshTime * time.Second)
		h.wantEvents()
		h.SetZones(nil)
		h.sleep(refreshTime * time.Second)
		states := len(h.Status())
		h.Refresher.mu.Lock()
		defer h.Refresher.mu.Unlock()
		if len(h.peers) != 0 || len(h.agenda) != 0 || states != 0 {
			t.Errorf("%d primaries, %d items, %d zones are left", len(h.peers), len(h.agenda), states)
		}
	})
}

// TestNoPrimaries: a zone without any is told as such, and disturbs nobody.
func TestNoPrimaries(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		h.SetZones([]Zone{{Apex: apex}})
		h.start()
		h.sleep(time.Hour)
		if st := h.state(apex); !strings.Contains(st.LastError, "no primaries") {
			t.Errorf("%+v", st)
		}
	})
}

// TestStop: Run ends what is under way.
func TestStop(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		s := h.server(1, 5)
		s.after = 24 * time.Hour
		h.SetZones(many(100, s))
		h.start()
		h.sleep(time.Second)
		if h.underWay() == 0 {
			t.Error("nothing is under way")
		}
		// The end of the test ends Run, and the bubble would not end if
		// anything were left.
	})
}

// TestStatusOrder: in the canonical order of names.
func TestStatusOrder(t *testing.T) {
	h := newHouse(t, Options{})
	s := h.server(1, 5)
	var zones []Zone
	for _, i := range []int{3, 1, 2} {
		zones = append(zones, Zone{Apex: apexOf(fmt.Sprint("z", i)), Primaries: primariesOf(s)})
	}
	h.SetZones(zones)
	var order strings.Builder
	for _, st := range h.Status() {
		order.Write(st.Apex[1 : len(st.Apex)-1])
	}
	if order.String() != "z1z2z3" {
		t.Errorf("order %s", &order)
	}
}
