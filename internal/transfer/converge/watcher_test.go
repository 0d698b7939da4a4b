package converge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func apexOf(name string) []byte { return append(append([]byte{byte(len(name))}, name...), 0) }

var zoneA = apexOf("a")

// server is a secondary. Its fields are guarded by house.mu.
type server struct {
	addr    netip.AddrPort
	serials map[string]uint32
	serial  uint32 // of zones that are not in serials
	lost    bool   // it answers SERVFAIL
	dead    bool
	after   time.Duration // answers come after so long
	fault   error         // what is answered instead
	asked   []time.Time
	keys    map[string]int
	now     int // questions that it is just answering
	most    int
}

// house is a primary.
type house struct {
	*Watcher
	t       *testing.T
	mu      sync.Mutex
	servers map[netip.AddrPort]*server
	peers   func(apex []byte) []Peer
	now     int // questions under way
	most    int
	begin   time.Time
}

// run runs f in a bubble with a clock of its own, with so many secondaries that
// are peers of all zones.
func run(t *testing.T, n int, o Options, f func(h *house, s []*server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, servers: map[netip.AddrPort]*server{}, begin: time.Now()}
		var list []*server
		var peers []Peer
		for i := range n {
			s := &server{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53), serials: map[string]uint32{}, keys: map[string]int{}, after: time.Millisecond}
			h.servers[s.addr] = s
			list = append(list, s)
			peers = append(peers, Peer{Addr: s.addr, Key: "xfer."})
		}
		h.peers = func([]byte) []Peer { return peers }
		o.Peers, o.Serial = func(apex []byte) []Peer { return h.peers(apex) }, h.answer
		h.Watcher = New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { h.Run(ctx); close(done) }()
		synctest.Wait()
		f(h, list)
		cancel()
		<-done
	})
}

// answer is what Options.Serial does.
func (h *house) answer(ctx context.Context, p Peer, apex []byte) (uint32, error) {
	h.mu.Lock()
	s := h.servers[p.Addr]
	s.asked = append(s.asked, time.Now())
	s.keys[p.Key]++
	h.now, s.now = h.now+1, s.now+1
	h.most, s.most = max(h.most, h.now), max(s.most, s.now)
	wait := s.after
	if s.dead {
		wait = time.Hour
	}
	h.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now, s.now = h.now-1, s.now-1
	switch {
	case ctx.Err() != nil:
		return 0, &fetch.Error{Cause: fetch.Stalled, From: p.Addr, Apex: apex}
	case s.fault != nil:
		return 0, s.fault
	case s.lost:
		return 0, &fetch.Error{Cause: fetch.Denied, Rcode: wire.RcodeServFail, From: p.Addr, Apex: apex}
	}
	if serial, ok := s.serials[string(apex)]; ok {
		return serial, nil
	}
	return s.serial, nil
}

// change does something to servers.
func (h *house) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *house) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// status is that of one server.
func (h *house) status(s *server) PeerStatus {
	h.t.Helper()
	for _, p := range h.Status(10).Peers {
		if p.Addr == s.addr {
			if n := p.InSync + p.Behind + p.Ahead + p.Unknown; n != p.Zones {
				h.t.Errorf("%d zones, but %d are in some state", p.Zones, n)
			}
			return p
		}
	}
	h.t.Fatalf("%s is no peer", s.addr)
	return PeerStatus{}
}

// asked is when a server was, in ms since a time, since that was last asked for.
func (h *house) asked(s *server, since time.Time) (ms []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, at := range s.asked {
		ms = append(ms, at.Sub(since).Milliseconds())
	}
	s.asked = nil
	return ms
}

// A version that arrives is seen, and how long it took.
func TestConverges(t *testing.T) {
	run(t, 2, Options{}, func(h *house, s []*server) {
		s[0].serial, s[1].serial = 1, 1
		h.Served(zoneA, 1)
		h.sleep(time.Second)
		for _, one := range s {
			if p := h.status(one); p.InSync != 1 || p.Lag != 0 || p.Samples != 0 || len(p.List) != 0 {
				t.Errorf("at the start: %+v", p)
			}
			h.asked(one, time.Now())
		}
		published := time.Now()
		h.Published(zoneA, 2)
		if p := h.status(s[0]); p.Behind != 1 || !p.List[0].Since.Equal(published) || p.List[0].Serial != 1 || p.List[0].Ours != 2 || p.List[0].State != Behind {
			t.Errorf("just published: %+v", p)
		}
		h.sleep(50 * time.Millisecond)
		h.change(func() { s[0].serial = 2 })
		h.sleep(450 * time.Millisecond)
		h.change(func() { s[1].serial = 2 })
		h.sleep(10 * time.Second)
		if got, want := h.asked(s[0], published), []int64{100}; !slices.Equal(got, want) {
			t.Errorf("the quick one was asked at %v ms, want %v", got, want)
		}
		// 1 ms an answer, and doubling pauses.
		if got, want := h.asked(s[1], published), []int64{100, 301, 702}; !slices.Equal(got, want) {
			t.Errorf("the slow one was asked at %v ms, want %v", got, want)
		}
		quick, slow := h.status(s[0]), h.status(s[1])
		if quick.Took != 101*time.Millisecond || quick.InSync != 1 || quick.Samples != 1 || quick.P50 != quick.Took {
			t.Errorf("the quick one: %+v", quick)
		}
		if slow.Took != 703*time.Millisecond || slow.P99 != slow.Took || !slow.ConvergedAt.Equal(published.Add(slow.Took)) {
			t.Errorf("the slow one: %+v", slow)
		}
		if quick.Counts[0] != 1 || slow.Counts[3] != 1 || slow.Sum != slow.Took || s[0].keys["xfer."] == 0 {
			t.Errorf("histograms %v and %v, keys %v", quick.Counts, slow.Counts, s[0].keys)
		}
	})
}

// What is published before Run was there at the start: it is no convergence. Who
// its peers are is asked again then.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var peers []Peer
		w := New(Options{
			Peers:  func([]byte) []Peer { return peers },
			Serial: func(context.Context, Peer, []byte) (uint32, error) { return 7, nil },
		})
		w.Published(zoneA, 7)
		peers = []Peer{{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if p := w.Status(1).Peers; len(p) != 1 || p[0].InSync != 1 || p[0].Samples != 0 || p[0].Addr.String() != "192.0.2.1:53" {
			t.Errorf("%+v", p)
		}
		cancel()
		<-done
	})
}

// A peer that lacks versions lags by the oldest of them, and catches up by and by.
func TestLag(t *testing.T) {
	run(t, 1, Options{}, func(h *house, s []*server) {
		s[0].serial = 10
		h.Served(zoneA, 10)
		h.sleep(time.Second)
		first := time.Now()
		for serial := uint32(11); serial < 14; serial++ {
			h.Published(zoneA, serial)
			h.sleep(20 * time.Second)
		}
		if p := h.status(s[0]); p.Lag != time.Minute || p.List[0].Serial != 10 || p.List[0].Ours != 13 {
			t.Errorf("it lacks three versions: %+v", p)
		}
		h.change(func() { s[0].serial = 12 })
		h.sleep(30 * time.Second)
		if p := h.status(s[0]); !p.List[0].Since.Equal(first.Add(40*time.Second)) || p.Samples != 1 {
			t.Errorf("it lacks one: %+v", p)
		}
		h.change(func() { s[0].serial = 14 }) // beyond ours
		h.sleep(2 * time.Minute)
		p := h.status(s[0])
		if p.Lag != 0 || p.Ahead != 1 || p.Samples != 2 || p.List[0].State != Ahead || p.List[0].Since.IsZero() {
			t.Errorf("it is ahead: %+v", p)
		}
		h.Published(zoneA, 14)
		if p := h.status(s[0]); p.InSync != 1 || p.Samples != 2 {
			t.Errorf("it has it already: %+v", p)
		}
	})
}

// A peer that answers, but never has the version, is asked less and less often; a
// new version makes it a second.
func TestPauses(t *testing.T) {
	run(t, 1, Options{}, func(h *house, s []*server) {
		s[0].serial = 1
		h.Served(zoneA, 1)
		h.sleep(time.Second)
		begin := time.Now()
		h.asked(s[0], begin)
		h.Published(zoneA, 2)
		h.sleep(3 * time.Minute)
		got := h.asked(s[0], begin)
		if len(got) < 10 || len(got) > 14 || got[len(got)-1]-got[len(got)-2] != mostPause.Milliseconds()+1 {
			t.Errorf("asked at %v ms", got)
		}
		again := time.Now()
		h.Published(zoneA, 3)
		h.sleep(1100 * time.Millisecond)
		if got := h.asked(s[0], again); len(got) != 1 || got[0] > 1000 {
			t.Errorf("after a new version asked at %v ms", got)
		}
		// Many versions in a row make no more questions.
		for i := range uint32(100) {
			h.Published(zoneA, 4+i)
			h.sleep(100 * time.Millisecond)
		}
		if got := h.asked(s[0], again); len(got) > 12 {
			t.Errorf("100 versions in 10 s made %d questions", len(got))
		}
	})
}

// Serials go round (RFC 1982), and one that is as far ahead as behind is neither.
func TestSerials(t *testing.T) {
	run(t, 1, Options{}, func(h *house, s []*server) {
		s[0].serial = 1<<32 - 1
		h.Served(zoneA, 1<<32-1)
		h.sleep(time.Second)
		h.Published(zoneA, 3)
		h.sleep(time.Second)
		if p := h.status(s[0]); p.Behind != 1 {
			t.Errorf("2^32-1 is behind 3: %+v", p)
		}
		h.change(func() { s[0].serial = 3 })
		h.sleep(time.Minute)
		if p := h.status(s[0]); p.InSync != 1 {
			t.Errorf("caught up: %+v", p)
		}
		h.change(func() { s[0].serial = 3 + 1<<31 })
		h.sleep(6 * time.Minute)
		if p := h.status(s[0]); p.Behind != 1 || p.Lag == 0 {
			t.Errorf("neither: %+v", p)
		}
		// Back by hand: what the peer has is newer now.
		h.change(func() { s[0].serial = 3 })
		h.sleep(time.Minute)
		h.Published(zoneA, 1)
		if p := h.status(s[0]); p.Ahead != 1 || p.Behind != 0 {
			t.Errorf("our serial went back: %+v", p)
		}
	})
}

// A zone that a peer has lost is noticed by the sweep, and counts as behind.
func TestLostZone(t *testing.T) {
	run(t, 1, Options{}, func(h *house, s []*server) {
		s[0].serial = 5
		h.Served(zoneA, 5)
		h.Served(apexOf("b"), 5)
		h.sleep(time.Second)
		h.change(func() { s[0].lost = true })
		h.sleep(5*time.Minute + time.Second)
		p := h.status(s[0])
		if p.Behind != 2 || p.Lag == 0 || p.List[0].State != Missing || p.List[0].Known || p.Errors == 0 || !p.Silent.IsZero() ||
			!strings.Contains(p.Error, "a. it answers SERVFAIL") && !strings.Contains(p.Error, "b. it answers SERVFAIL") {
			t.Errorf("lost: %+v", p)
		}
		h.change(func() { s[0].lost = false })
		h.sleep(time.Minute)
		if p := h.status(s[0]); p.InSync != 2 || p.Error != "" || p.Samples != 0 || p.LastError == "" {
			t.Errorf("back: %+v", p)
		}
	})
}

// A dead peer with 10,000 new versions is asked one question at a time, and the
// living one has them all in its time.
func TestDeadPeer(t *testing.T) {
	const zones = 10_000
	run(t, 2, Options{}, func(h *house, s []*server) {
		s[0].serial, s[1].serial = 1, 1
		for i := range zones {
			h.Served(apexOf(fmt.Sprint("z", i)), 1)
		}
		h.sleep(3 * time.Minute)
		if a, b := h.status(s[0]), h.status(s[1]); a.InSync != zones || b.InSync != zones {
			t.Fatalf("after the start: %d and %d in sync", a.InSync, b.InSync)
		}
		begin := time.Now()
		h.asked(s[0], begin)
		h.asked(s[1], begin)
		h.change(func() { s[0].dead, s[1].serial, h.most, s[0].most, s[1].most = true, 2, 0, 0, 0 })
		for i := range zones {
			h.Published(apexOf(fmt.Sprint("z", i)), 2)
		}
		h.sleep(12 * time.Second) // 10,000 questions, 1,000 a second
		alive, dead := h.status(s[1]), h.status(s[0])
		if alive.InSync != zones || alive.Took > 12*time.Second || alive.Samples != maxSamples || alive.P50 > alive.P99 || alive.P50 == 0 {
			t.Errorf("the living one: %+v", alive)
		}
		if dead.Behind != zones || dead.Lag < 12*time.Second || dead.Silent.IsZero() || !strings.Contains(dead.Error, "no answer from 192.0.2.1:53") || len(dead.List) != 10 {
			t.Errorf("the dead one: %+v", dead)
		}
		if n := len(h.asked(s[1], begin)); n > zones+100 {
			t.Errorf("the living one was asked %d times", n)
		}
		h.sleep(10 * time.Minute)
		if n := len(h.asked(s[0], begin)); n > 120 || n < 70 {
			t.Errorf("the dead one was asked %d times in ten minutes", n)
		}
		h.change(func() {
			if h.most > DefaultWorkers || s[0].most > mostShare || s[1].most > mostShare {
				t.Errorf("at once: %d questions, to the dead one %d, to the living one %d", h.most, s[0].most, s[1].most)
			}
			s[0].dead, s[0].serial = false, 2
		})
		h.sleep(mostRest + DefaultTimeout + 12*time.Second)
		if p := h.status(s[0]); p.InSync != zones || p.Lag != 0 || p.Error != "" || !p.Silent.IsZero() || p.Took < 10*time.Minute {
			t.Errorf("back: %+v", p)
		}
	})
}

// However many die at once, each living one has its share of the workers.
func TestManyDead(t *testing.T) {
	run(t, 20, Options{}, func(h *house, s []*server) {
		for _, one := range s {
			one.serial, one.dead = 2, one != s[7]
		}
		begin := time.Now()
		for i := range 200 {
			h.Published(apexOf(fmt.Sprint("z", i)), 2)
		}
		h.sleep(DefaultTimeout - time.Second) // none of the dead has been given up
		if p := h.status(s[7]); p.InSync != 200 {
			t.Errorf("after %v: %+v", time.Since(begin), p)
		}
	})
}

// The sweep asks everything once in its period, which grows with what there is;
// and no faster than it may.
func TestSweep(t *testing.T) {
	for _, tt := range []struct {
		zones int
		sweep time.Duration
	}{{10, 5 * time.Minute}, {1000, 5 * time.Minute}, {40_000, 400 * time.Second}} {
		run(t, 2, Options{}, func(h *house, s []*server) {
			for i := range tt.zones {
				h.Served(apexOf(fmt.Sprint("z", i)), 0)
			}
			pairs := 2 * tt.zones
			h.sleep(time.Duration(pairs)*time.Second/DefaultSweepRate + time.Second)
			st := h.Status(0)
			if st.Peers[0].InSync != tt.zones || st.Pairs != pairs || st.Sweep.Round(time.Second) != tt.sweep {
				t.Errorf("%d zones: %+v", tt.zones, st)
			}
			h.asked(s[0], time.Now())
			h.asked(s[1], time.Now())
			h.sleep(tt.sweep)
			if n := len(h.asked(s[0], time.Now())) + len(h.asked(s[1], time.Now())); n < pairs-pairs/50-1 || n > pairs+pairs/50+1 {
				t.Errorf("%d pairs: %d questions in %v", pairs, n, tt.sweep)
			}
			if s[0].most > 5 {
				t.Errorf("%d at once", s[0].most)
			}
		})
	}
}

// Peers come and go, and so do zones; what is under way for them ends quietly.
func TestPeersChange(t *testing.T) {
	run(t, 3, Options{}, func(h *house, s []*server) {
		all := h.peers(nil)
		h.peers = func([]byte) []Peer { return []Peer{all[0], all[1], all[0]} }
		h.change(func() { s[1].dead = true })
		h.Published(zoneA, 1)
		h.Published(apexOf("b"), 1)
		h.sleep(200 * time.Millisecond)
		if st := h.Status(5); st.Pairs != 4 || len(st.Peers) != 2 {
			t.Fatalf("%+v", st)
		}
		h.peers = func([]byte) []Peer { return []Peer{all[2], {Addr: all[0].Addr, Key: "other."}} }
		h.Renew()
		h.change(func() { s[0].serial, s[2].serial = 1, 1 })
		h.sleep(time.Minute)
		st := h.Status(5)
		if st.Pairs != 4 || len(st.Peers) != 2 || st.Peers[1].Addr != s[2].addr || st.Peers[0].InSync+st.Peers[1].InSync != 4 {
			t.Errorf("%+v", st)
		}
		if st.Peers[1].Samples != 0 || st.Peers[0].Samples != 2 {
			t.Errorf("what came before it was a peer is not measured: %+v", st.Peers)
		}
		if s[0].keys["other."] == 0 {
			t.Errorf("keys: %v", slices.Collect(maps.Keys(s[0].keys)))
		}
		h.Published(zoneA, 2)
		h.sleep(time.Millisecond)
		h.Forget(zoneA)
		h.Forget(apexOf("b"))
		h.Forget(apexOf("c"))
		h.sleep(time.Minute)
		h.mu.Lock()
		n := len(h.Watcher.peers) + len(h.Watcher.ring) + len(h.Watcher.agenda) + len(h.Watcher.zones)
		h.mu.Unlock()
		if n != 0 {
			t.Errorf("%d things are left of what is forgotten", n)
		}
	})
}

// What can't be asked, or answers nonsense, is told, and makes no haste.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		fault error
		want  string
	}{
		{errors.New("the key xfer. is not known"), "it could not be asked: the key xfer. is not known"},
		{&fetch.Error{Cause: fetch.Signature, What: "BADKEY"}, "is not signed as it must be: BADKEY"},
		{&fetch.Error{Cause: fetch.Broken, What: "the message ends early"}, "cannot be read: the message ends early"},
		{&fetch.Error{Cause: fetch.Local, What: "no key"}, "could not be asked: no key"},
		{&fetch.Error{Cause: fetch.Denied, Rcode: wire.RcodeRefused}, "REFUSED"},
		{&fetch.Error{Cause: fetch.Denied, Rcode: wire.RcodeNotAuth}, "NOTAUTH"},
		{&fetch.Error{Cause: fetch.Denied, Rcode: wire.RcodeNXDomain}, "NXDOMAIN"},
		{&fetch.Error{Cause: fetch.Denied}, "without authority"},
		{&fetch.Error{Cause: fetch.Denied, Rcode: 22}, "error code 22"},
	} {
		run(t, 1, Options{}, func(h *house, s []*server) {
			s[0].serial, s[0].fault = 3, tt.fault
			h.Published(zoneA, 3)
			h.sleep(5 * time.Minute)
			p := h.status(s[0])
			if !strings.Contains(p.Error, "a. ") || !strings.Contains(p.Error, tt.want) || p.Behind != 1 || p.Lag != 5*time.Minute || !p.Silent.IsZero() {
				t.Errorf("%v: %+v", tt.fault, p)
			}
			if n := len(h.asked(s[0], time.Now())); n < 10 || n > 25 || p.Errors != uint64(n) {
				t.Errorf("%v: asked %d times, %d errors", tt.fault, n, p.Errors)
			}
			h.change(func() { s[0].fault = nil })
			h.sleep(mostPause + time.Second)
			if p := h.status(s[0]); p.InSync != 1 || p.Error != "" {
				t.Errorf("afterwards: %+v", p)
			}
		})
	}
}

// 10,000 zones that a living peer doesn't have are not asked for all the time.
func TestManyLost(t *testing.T) {
	run(t, 1, Options{}, func(h *house, s []*server) {
		s[0].lost = true
		for i := range 10_000 {
			h.Served(apexOf(fmt.Sprint("z", i)), 1)
		}
		h.sleep(20 * time.Minute)
		h.asked(s[0], time.Now())
		h.sleep(10 * time.Minute)
		if n := len(h.asked(s[0], time.Now())); n > 600*slowRate*11/10 || n < 600*slowRate/2 {
			t.Errorf("%d questions in ten minutes", n)
		}
	})
}

// Versions are told apart as long as there are few, and taken together then: the
// lag is never told too short.
func TestVersions(t *testing.T) {
	z := &zoneState{}
	begin := time.Unix(1_800_000_000, 0)
	for serial := range uint32(1000) {
		now := begin.Add(time.Duration(serial) * time.Second)
		z.append(serial, now)
		if len(z.versions) > maxVersions || z.serial() != serial {
			t.Fatalf("%d versions, the last one %d", len(z.versions), z.serial())
		}
		for has := range serial {
			truth := begin.Add(time.Duration(has+1) * time.Second)
			if got := z.since(has); got.IsZero() || got.After(truth) {
				t.Fatalf("with %d, who has %d lacks one since %v, not %v", serial, has, got, truth)
			}
		}
		if !z.since(serial).IsZero() {
			t.Fatalf("who has %d lacks one", serial)
		}
	}
}

func TestPercentile(t *testing.T) {
	var s []time.Duration
	if percentile(s, 99) != 0 {
		t.Error("of nothing")
	}
	for i := range 100 {
		s = append(s, time.Duration(i+1))
	}
	for percent, want := range map[int]time.Duration{50: 50, 99: 99, 100: 100} {
		if got := percentile(s, percent); got != want {
			t.Errorf("p%d is %d, want %d", percent, got, want)
		}
	}
	if percentile(s[:1], 50) != 1 || percentile(s[:2], 99) != 2 {
		t.Error("of few")
	}
}
