package refresh

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/transfer/fetch"
)

var apex = apexOf("example")

// one is a house with one zone of one primary, which has serial 5.
func one(t *testing.T) (*house, *server) {
	h := newHouse(t, Options{})
	s := h.server(1, 5)
	h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(s)}})
	return h, s
}

// TestLife: fetched at once, looked after when it is time, and fetched again
// when there is something newer.
func TestLife(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.wantEvents("install example.")
		h.wantQuestions(s, 0, 0, 1)
		st := h.state(apex)
		if !st.Held || st.Serial != 5 || st.Primary != s.addr || st.Kind != "AXFR" || st.LastError != "" || st.Behind {
			t.Errorf("%+v", st)
		}
		if !st.Expires.Equal(time.Now().Add(expireTime * time.Second)) {
			t.Errorf("expires %v", st.Expires)
		}
		// Up to a tenth early, never late.
		if in := time.Until(st.Next); in <= 0.9*refreshTime*time.Second || in > refreshTime*time.Second {
			t.Errorf("next in %v", in)
		}
		for range 20 {
			h.sleep(refreshTime * time.Second)
		}
		h.wantEvents()
		soa, ixfr, axfr := h.questions(s)
		if soa < 20 || soa > 23 || ixfr+axfr > 0 {
			t.Errorf("asked for SOA %d times, and for %d zones", soa, ixfr+axfr)
		}

		h.change(func() { s.serial = 6 })
		h.sleep(refreshTime * time.Second)
		h.wantEvents("install example.")
		if soa, ixfr, axfr := h.questions(s); soa < 1 || ixfr != 1 || axfr != 0 {
			t.Errorf("asked %d %d %d", soa, ixfr, axfr)
		}
		if st := h.state(apex); st.Serial != 6 || st.Kind != "IXFR" {
			t.Errorf("%+v", st)
		}
		if tm := h.timers[string(apex)]; tm.Serial != 6 || tm.Primary != s.addr.String() || !tm.Expire.Equal(h.state(apex).Expires) || !tm.Refreshed.Equal(h.state(apex).LastOK) || tm.Refresh.IsZero() {
			t.Errorf("%+v", tm)
		}
	})
}

// TestFirstRetries: a zone of which there is no copy is asked for again, ever
// more rarely.
func TestFirstRetries(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		s.dead = true
		h.start()
		h.sleep(time.Minute)
		_, _, first := h.questions(s)
		h.sleep(time.Hour)
		_, _, later := h.questions(s)
		if first < 3 || first > 5 || later < 6 || later > 10 {
			t.Errorf("asked %d times in the first minute, %d in the hour after it", first, later)
		}
		if st := h.state(apex); st.Held || !strings.Contains(st.LastError, "no answer") || st.Next.IsZero() || !st.Expires.IsZero() {
			t.Errorf("%+v", st)
		}
		h.change(func() { s.dead = false })
		h.sleep(mostRetry)
		h.wantEvents("install example.")
		if st := h.state(apex); st.LastError != "" || !st.Held {
			t.Errorf("%+v", st)
		}
	})
}

// TestExpire: retried as the SOA says, expired once, retried on, and brought
// back: by a primary that has the same, or something newer.
func TestExpire(t *testing.T) {
	for _, newer := range []bool{false, true} {
		run(t, func(t *testing.T) {
			h, s := one(t)
			h.start()
			h.wantEvents("install example.")
			h.change(func() { s.dead = true })
			h.sleep(expireTime*time.Second - time.Second)
			h.wantEvents()
			if soa, _, _ := h.questions(s); soa < (expireTime-refreshTime)/retryTime || soa > (expireTime-refreshTime)/(retryTime*9/10)+5 {
				t.Errorf("asked for SOA %d times", soa)
			}
			if h.state(apex).Expired {
				t.Error("expired too early")
			}
			h.sleep(time.Second)
			h.wantEvents("expire example.")
			if st := h.state(apex); !st.Expired || !st.Held || st.LastError == "" {
				t.Errorf("%+v", st)
			}
			h.sleep(3 * expireTime * time.Second)
			h.wantEvents()
			h.change(func() {
				s.dead = false
				if newer {
					s.serial = 6
				}
			})
			h.sleep(retryTime * time.Second)
			if newer {
				h.wantEvents("install example.")
			} else {
				h.wantEvents("revive example.")
			}
			if st := h.state(apex); st.Expired || !st.Expires.After(time.Now()) {
				t.Errorf("%+v", st)
			}
			h.change(func() { s.dead = true })
			h.sleep(expireTime * time.Second)
			h.wantEvents("expire example.")
		})
	}
}

// TestRestart: the store says how old a copy is. One that has expired is not
// served from the start; a young one is, and looked after soon.
func TestRestart(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		s := h.server(1, 5)
		now := time.Now()
		old, young, lost, future := apexOf("old"), apexOf("young"), apexOf("lost"), apexOf("future")
		var zones []Zone
		for _, a := range [][]byte{old, young, lost, future} {
			h.copies[string(a)] = version(a, 5)
			zones = append(zones, Zone{Apex: a, Primaries: primariesOf(s)})
		}
		h.timers[string(old)] = Timers{Serial: 5, Expire: now.Add(-time.Second)}
		h.timers[string(young)] = Timers{Serial: 5, Expire: now.Add(time.Hour), Refreshed: now.Add(-time.Minute), Primary: s.addr.String()}
		h.timers[string(future)] = Timers{Serial: 5, Expire: now.Add(1000 * expireTime * time.Second)}
		h.SetZones(zones)
		h.wantEvents("expire old.")
		for a, want := range map[string]time.Duration{string(old): -time.Second, string(young): time.Hour, string(lost): expireTime * time.Second, string(future): expireTime * time.Second} {
			if st := h.state([]byte(a)); st.Expires.Sub(now) != want || !st.Held || st.Serial != 5 || st.Expired != (a == string(old)) {
				t.Errorf("%q: %+v", a, st)
			}
		}
		if st := h.state(young); st.Primary != s.addr || !st.LastOK.Equal(now.Add(-time.Minute)) {
			t.Errorf("%+v", st)
		}
		h.start()
		h.sleep(time.Second)
		h.wantEvents("revive old.")
		h.wantQuestions(s, 4, 0, 0)
	})
}

// TestRestartWithoutPrimary: what the store says holds although nobody answers.
func TestRestartWithoutPrimary(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		s := h.server(1, 5)
		s.dead = true
		h.copies[string(apex)] = version(apex, 5)
		h.timers[string(apex)] = Timers{Serial: 5, Expire: time.Now().Add(time.Hour)}
		h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(s)}})
		h.start()
		h.sleep(time.Hour - time.Second)
		h.wantEvents()
		h.sleep(time.Second)
		h.wantEvents("expire example.")
	})
}

// TestPrimaries: asked in their order; who is dead, or older, is no reason not
// to take what another has.
func TestPrimaries(t *testing.T) {
	tests := []struct {
		name                string
		first, second       uint32
		firstDead           bool
		serial              uint32 // afterwards, of the 5 that are here
		asksSecond          bool
		lastError, complain string
	}{
		{"both the same", 5, 5, false, 5, true, "", ""},
		{"the first is newer", 6, 7, false, 6, false, "", ""},
		{"the second is newer", 5, 6, false, 6, true, "", ""},
		{"the first is dead", 9, 6, true, 6, true, "", "no answer"},
		{"the first is older", 4, 6, false, 6, true, "", "serial 4"},
		{"the first is older, the second the same", 4, 5, false, 5, true, "", "serial 4"},
		{"both are older", 4, 3, false, 5, true, "geodns zone retransfer", ""},
		{"one is dead, one older", 4, 3, true, 5, true, "serial 3", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				h := newHouse(t, Options{})
				a, b := h.server(1, test.first), h.server(2, test.second)
				a.dead = test.firstDead
				h.copies[string(apex)] = version(apex, 5)
				h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(a, b)}})
				h.start()
				h.sleep(10 * time.Second)
				st := h.state(apex)
				if st.Serial != test.serial || !strings.Contains(st.LastError, test.lastError) || (st.LastError == "") != (test.lastError == "") ||
					!strings.Contains(st.Warning, test.complain) || (st.Warning == "") != (test.complain == "") {
					t.Errorf("%+v", st)
				}
				if soa, _, _ := h.questions(a); soa != 1 {
					t.Errorf("the first was asked %d times", soa)
				}
				if soa, _, _ := h.questions(b); (soa == 1) != test.asksSecond {
					t.Errorf("the second was asked %d times", soa)
				}
			})
		})
	}
}

// TestOlderExpires: a primary that went back does not keep a copy fresh.
func TestOlderExpires(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.happened()
		h.change(func() { s.serial = 4 })
		h.sleep(expireTime * time.Second)
		h.wantEvents("expire example.")
	})
}

// TestNotifyIsHeard: only of primaries, for zones that there are, and followed
// only if it tells something newer.
func TestNotifyIsHeard(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		a, b := h.server(1, 5), h.server(2, 5)
		h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(a, b)}})
		h.start()
		h.sleep(time.Second)
		h.questions(a)
		h.questions(b)
		h.happened()
		equal, lower, higher := uint32(5), uint32(4), uint32(6)
		if h.Notified(apexOf("other"), a.addr.Addr(), nil) {
			t.Error("heard for another zone")
		}
		if stranger := h.server(3, 6); h.Notified(apex, stranger.addr.Addr(), &higher) {
			t.Error("heard a stranger")
		}
		for _, serial := range []*uint32{&equal, &lower} {
			if !h.Notified(apex, a.addr.Addr(), serial) {
				t.Error("not accepted")
			}
		}
		h.sleep(time.Second)
		h.wantQuestions(a, 0, 0, 0)
		h.wantQuestions(b, 0, 0, 0)

		// The second notifies, and is asked first; the first is then not.
		h.change(func() { a.serial, b.serial = 6, 6 })
		if !h.Notified(apex, b.addr.Addr(), &higher) {
			t.Error("not accepted")
		}
		synctest.Wait()
		h.wantEvents("install example.")
		h.wantQuestions(a, 0, 0, 0)
		h.wantQuestions(b, 1, 1, 0)

		// Without a serial, there may be something.
		h.sleep(time.Second)
		h.Notified(apex, a.addr.Addr(), nil)
		synctest.Wait()
		h.wantQuestions(a, 1, 0, 0)
		h.wantQuestions(b, 1, 0, 0)
	})
}

// TestNotifyMeanwhile: one that comes while a transfer is under way has one
// more look follow, unless the transfer brought what it told.
func TestNotifyMeanwhile(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.sleep(time.Second)
		h.questions(s)
		h.happened()
		six, seven := uint32(6), uint32(7)
		h.change(func() { s.serial, s.after = 6, 10*time.Second })
		h.Notified(apex, s.addr.Addr(), &six)
		h.sleep(5 * time.Second)
		for range 10 {
			h.Notified(apex, s.addr.Addr(), &six)
		}
		h.sleep(time.Minute)
		h.wantEvents("install example.")
		h.wantQuestions(s, 1, 1, 0)

		h.change(func() { s.serial = 7 })
		h.Notified(apex, s.addr.Addr(), &seven)
		h.sleep(15 * time.Second)
		eight := uint32(8)
		h.Notified(apex, s.addr.Addr(), &eight)
		h.Notified(apex, s.addr.Addr(), &seven)
		h.sleep(time.Minute)
		h.wantEvents("install example.")
		h.wantQuestions(s, 2, 1, 0)
	})
}

// TestNotifyFlood: any number of NOTIFYs causes few questions.
func TestNotifyFlood(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.sleep(time.Second)
		h.questions(s)
		for range 1000 {
			h.Notified(apex, s.addr.Addr(), nil)
			h.sleep(time.Millisecond)
		}
		if soa, _, _ := h.questions(s); soa > 11 {
			t.Errorf("asked %d times in a second", soa)
		}
	})
}

// TestRetransfer: at once, and, if full, whatever the serials; if that fails,
// it is still wanted at the retry.
func TestRetransfer(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.sleep(time.Second)
		h.questions(s)
		h.happened()
		if err := h.Retransfer(apexOf("other"), true); err == nil || !strings.Contains(err.Error(), "other.") {
			t.Errorf("another zone: %v", err)
		}
		if err := h.Retransfer(apex, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.wantQuestions(s, 1, 0, 0)
		h.change(func() { s.serial = 3; s.dead = true })
		if err := h.Retransfer(apex, true); err != nil {
			t.Fatal(err)
		}
		h.sleep(time.Minute)
		h.wantQuestions(s, 0, 0, 1)
		h.wantEvents()
		h.change(func() { s.dead = false })
		h.sleep(retryTime * time.Second)
		h.wantQuestions(s, 0, 0, 1)
		h.wantEvents("install example.")
		if st := h.state(apex); st.Serial != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// TestRefused: a copy that is not taken leaves the old one, is told, and the
// next primary asked.
func TestRefused(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{})
		a, b := h.server(1, 5), h.server(2, 5)
		h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(a, b)}})
		h.start()
		h.happened()
		h.refuse = func(_ []byte, got *fetch.Got) error {
			if got.Serial == 6 {
				return errRefused
			}
			return nil
		}
		h.change(func() { a.serial, b.serial = 6, 7 })
		h.Notified(apex, a.addr.Addr(), nil)
		h.sleep(time.Second)
		h.wantEvents("install example.")
		if st := h.state(apex); st.Serial != 7 || !strings.Contains(st.Warning, errRefused.Error()) {
			t.Errorf("%+v", st)
		}

		h.refuse = func([]byte, *fetch.Got) error { return errRefused }
		h.change(func() { a.serial, b.serial = 8, 8 })
		h.Notified(apex, a.addr.Addr(), nil)
		h.sleep(time.Second)
		st := h.state(apex)
		if st.Serial != 7 || !st.Behind || st.SeenSerial != 8 || !strings.Contains(st.LastError, errRefused.Error()) {
			t.Errorf("%+v", st)
		}
		// They went back: nobody has anything newer any more.
		h.change(func() { a.serial, b.serial = 7, 7 })
		h.sleep(retryTime * time.Second)
		if st := h.state(apex); st.Behind || st.LastError != "" {
			t.Errorf("%+v", st)
		}
	})
}

// TestExpireOption: a primary that is a secondary itself tells how old its copy
// is (RFC 7314).
func TestExpireOption(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.sleep(time.Second)
		rest := uint32(100)
		h.change(func() { s.serial, s.expire = 6, &rest })
		h.Notified(apex, s.addr.Addr(), nil)
		synctest.Wait()
		if st := h.state(apex); time.Until(st.Expires) != 100*time.Second {
			t.Errorf("a new version: %+v", st)
		}
		// One that confirms does not make the copy last shorter.
		h.sleep(time.Second)
		rest = 50
		h.Notified(apex, s.addr.Addr(), nil)
		synctest.Wait()
		if st := h.state(apex); time.Until(st.Expires) != 99*time.Second {
			t.Errorf("confirmed, shorter: %+v", st)
		}
		rest = 1000
		h.sleep(time.Second)
		h.Notified(apex, s.addr.Addr(), nil)
		synctest.Wait()
		if st := h.state(apex); time.Until(st.Expires) != 1000*time.Second {
			t.Errorf("confirmed, longer: %+v", st)
		}
		rest = 1 << 31
		h.sleep(time.Second)
		h.Notified(apex, s.addr.Addr(), nil)
		synctest.Wait()
		if st := h.state(apex); time.Until(st.Expires) != expireTime*time.Second {
			t.Errorf("longer than the SOA says: %+v", st)
		}
	})
}

// TestBounds: what SOAs say is bounded.
func TestBounds(t *testing.T) {
	o := Options{Min: 10 * time.Second, Max: time.Hour}.withDefaults()
	tests := []struct {
		soa  []uint32
		want times
	}{
		{[]uint32{1, 60, 30, 3600}, times{time.Minute, 30 * time.Second, time.Hour}},
		{[]uint32{1, 0, 0, 0}, times{10 * time.Second, 10 * time.Second, 20 * time.Second}},
		{[]uint32{1, 1 << 31, 1 << 31, 60}, times{time.Hour, time.Hour, 2 * time.Hour}},
		{[]uint32{1, 60, 60, 1<<32 - 1}, times{time.Minute, time.Minute, (1<<32 - 1) * time.Second}},
	}
	for _, test := range tests {
		if got := o.timesOf(versionWith(apex, test.soa...)); got != test.want {
			t.Errorf("%v: %v, want %v", test.soa, got, test.want)
		}
	}
}

// TestExpireDuringInstall: a copy that expires while its successor is being
// installed does not.
func TestExpireDuringInstall(t *testing.T) {
	run(t, func(t *testing.T) {
		h, s := one(t)
		h.start()
		h.sleep(time.Second)
		h.happened()
		h.change(func() { s.dead = true })
		h.sleep(time.Until(h.state(apex).Expires) - 20*time.Second)
		h.change(func() { s.dead, s.serial = false, 6 })
		h.refuse = func([]byte, *fetch.Got) error {
			time.Sleep(time.Minute)
			return nil
		}
		h.Notified(apex, s.addr.Addr(), nil)
		h.sleep(2 * time.Minute)
		h.wantEvents("install example.")
		if h.state(apex).Expired {
			t.Error("expired")
		}
	})
}

// TestPulse: where it matters that a primary is heard, it is asked all the time,
// and what turns is told.
func TestPulse(t *testing.T) {
	run(t, func(t *testing.T) {
		turns := 0
		h := newHouse(t, Options{Pulse: func([]byte) bool { return true }, Turned: func() { turns++ }})
		s := h.server(1, 5)
		h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(s)}})
		if h.Heard(apex) {
			t.Error("heard before it was asked")
		}
		h.refuse = func(apex []byte, _ *fetch.Got) error {
			if !h.Heard(apex) {
				t.Error("not heard, though it has given the zone")
			}
			return nil
		}
		h.start()
		h.wantEvents("install example.")
		h.sleep(time.Minute)
		if soa, _, _ := h.questions(s); soa < 28 || soa > 35 || !h.Heard(apex) {
			t.Errorf("asked %d times in a minute; heard %t", soa, h.Heard(apex))
		}
		for range 3 {
			before := turns
			h.change(func() { s.dead = true })
			h.sleep(pulse + pulseWait)
			if h.Heard(apex) || turns != before+1 {
				t.Errorf("dead: heard %t, told %d times", h.Heard(apex), turns-before)
			}
			if text := h.state(apex).LastError; !strings.Contains(text, "no answer came in 4s") {
				t.Errorf("the error is %s", text)
			}
			h.sleep(time.Hour)
			h.change(func() { s.dead, s.serial = false, s.serial+1 })
			h.sleep(pulseWait + pulseRetry)
			if !h.Heard(apex) || turns != before+2 {
				t.Errorf("back: heard %t, told %d times", h.Heard(apex), turns-before)
			}
			h.wantEvents("install example.")
		}
		if h.Heard([]byte("\x05other\x00")) {
			t.Error("a zone that there is not is heard")
		}
	})
}

// TestNoPulse: elsewhere the SOA says when to ask, and nothing is told.
func TestNoPulse(t *testing.T) {
	run(t, func(t *testing.T) {
		h := newHouse(t, Options{Pulse: func([]byte) bool { return false }, Turned: func() { t.Error("told") }})
		s := h.server(1, 5)
		h.SetZones([]Zone{{Apex: apex, Primaries: primariesOf(s)}})
		h.start()
		h.change(func() { s.dead = true })
		h.sleep(2 * refreshTime * time.Second)
		if soa, _, _ := h.questions(s); soa < 4 || soa > 10 {
			t.Errorf("asked %d times", soa)
		}
		// Who asks has it asked.
		h.Heard(apex)
		h.sleep(pulse + 8*time.Second)
		if soa, _, _ := h.questions(s); h.Heard(apex) || soa != 1 {
			t.Errorf("heard %t, asked %d times", h.Heard(apex), soa)
		}
	})
}
