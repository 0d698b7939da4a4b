package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The times of the zones here, in seconds.
const (
	refreshTime = 3600
	retryTime   = 600
	expireTime  = 86400
)

func apexOf(name string) []byte {
	return append(append([]byte{byte(len(name))}, name...), 0)
}

// version is a zone of a serial.
func version(apex []byte, serial uint32) *zone.Zone {
	return versionWith(apex, serial, refreshTime, retryTime, expireTime)
}

func versionWith(apex []byte, numbers ...uint32) *zone.Zone {
	soa := []byte{0, 0}
	for _, n := range append(numbers, 60) {
		soa = append(soa, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b := zone.NewBuilder()
	b.Add(&wire.RR{Owner: apex, Type: wire.TypeSOA, TTL: 60, Data: soa})
	b.Add(&wire.RR{Owner: apex, Type: wire.TypeNS, TTL: 60, Data: []byte{0}})
	z, problems := b.Finish()
	if z == nil {
		panic(problems)
	}
	return z
}

// server is a primary. Its fields are guarded by house.mu.
type server struct {
	addr   netip.AddrPort
	serial uint32 // of all its zones
	has    map[string]*zone.Zone
	dead   bool
	after  time.Duration // each answer comes after so long
	broken error         // what Fetch fails with
	expire *uint32       // what it says of EXPIRE
	asked  []question
	now    int // questions that it is just answering
	most   int // the most of these at once
}

type question struct {
	when time.Time
	apex string
	full bool // AXFR
	soa  bool
}

// house is a secondary: what it serves, and what happened.
type house struct {
	t *testing.T
	*Refresher
	mu      sync.Mutex
	copies  map[string]*zone.Zone
	silent  map[string]bool // expired
	events  []event
	servers map[netip.AddrPort]*server
	timers  map[string]Timers
	refuse  func(apex []byte, got *fetch.Got) error
	now     int
	most    int // the most attempts at once
	begin   time.Time
}

type event struct {
	at   time.Duration
	what string // install, expire or revive, and the apex
}

func newHouse(t *testing.T, o Options) *house {
	h := &house{
		t: t, copies: map[string]*zone.Zone{}, silent: map[string]bool{}, begin: time.Now(),
		servers: map[netip.AddrPort]*server{}, timers: map[string]Timers{},
	}
	o.Serial, o.Fetch, o.Have, o.Install, o.Expire, o.Revive = h.serial, h.fetch, h.have, h.install, h.expired, h.revived
	o.Timers = h
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	h.Refresher = New(o)
	return h
}

// run runs the house as long as f does, in a bubble with a clock of its own.
func run(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// start runs the Refresher until the test ends.
func (h *house) start() {
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	h.t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
}

func (h *house) server(i int, serial uint32) *server {
	s := &server{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 53), serial: serial}
	h.servers[s.addr] = s
	return s
}

func primariesOf(servers ...*server) (list []fetch.Primary) {
	for _, s := range servers {
		list = append(list, fetch.Primary{Addr: s.addr})
	}
	return list
}

func (h *house) event(what string, apex []byte) {
	h.events = append(h.events, event{time.Since(h.begin), what + " " + wire.NameString(apex)})
}

// ask is what both kinds of questions have in common.
func (h *house) ask(ctx context.Context, p fetch.Primary, q question) (*server, error) {
	h.mu.Lock()
	s := h.servers[p.Addr]
	q.when = time.Now()
	s.asked = append(s.asked, q)
	s.now, h.now = s.now+1, h.now+1
	s.most, h.most = max(s.most, s.now), max(h.most, h.now)
	wait, dead := s.after, s.dead
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		s.now, h.now = s.now-1, h.now-1
		h.mu.Unlock()
	}()
	if dead {
		wait = 8 * time.Second
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, &fetch.Error{Cause: fetch.Cancelled, From: p.Addr, Apex: apexOf("x"), What: "given up"}
	}
	if dead {
		return nil, &fetch.Error{Cause: fetch.Unreachable, From: p.Addr, Apex: []byte(q.apex), What: "no answer"}
	}
	return s, nil
}

func (h *house) serial(ctx context.Context, p fetch.Primary, apex []byte) (fetch.Seen, error) {
	s, err := h.ask(ctx, p, question{apex: string(apex), soa: true})
	if err != nil {
		return fetch.Seen{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := fetch.Seen{Serial: s.version(apex).Serial()}
	if s.expire != nil {
		seen.Expire, seen.HasExpire = *s.expire, true
	}
	return seen, nil
}

func (s *server) version(apex []byte) *zone.Zone {
	if z := s.has[string(apex)]; z != nil {
		return z
	}
	return version(apex, s.serial)
}

func (h *house) fetch(ctx context.Context, p fetch.Primary, apex []byte, have *zone.Zone) (*fetch.Got, error) {
	s, err := h.ask(ctx, p, question{apex: string(apex), full: have == nil})
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	z := s.version(apex)
	got := &fetch.Got{Serial: z.Serial(), Zone: z, Kind: fetch.KindAXFR}
	if have != nil {
		got.Kind = fetch.KindIXFR
		if !wire.NewerSerial(z.Serial(), have.Serial()) {
			got.UpToDate, got.Zone = true, have
		}
	}
	return got, nil
}

func (h *house) have(apex []byte) *zone.Zone {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.copies[string(apex)]
}

func (h *house) install(apex []byte, got *fetch.Got) error {
	if h.refuse != nil {
		if err := h.refuse(apex, got); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.event("install", apex)
	h.copies[string(apex)] = got.Zone
	delete(h.silent, string(apex))
	return nil
}

func (h *house) expired(apex []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent[string(apex)] {
		h.t.Errorf("%s expires twice", wire.NameString(apex))
	}
	h.silent[string(apex)] = true
	h.event("expire", apex)
}

func (h *house) revived(apex []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.silent, string(apex))
	h.event("revive", apex)
}

func (h *house) Load(apex []byte) (Timers, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.timers[string(apex)]
	return t, ok
}

func (h *house) Save(apex []byte, t Timers) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timers[string(apex)] = t
}

// change does something to servers.
func (h *house) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// underWay is how many questions are.
func (h *house) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// sleep lets time pass, and what is under way come to an end.
func (h *house) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// happened are the events since it was last asked for them.
func (h *house) happened() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		list = append(list, e.what)
	}
	h.events = nil
	return list
}

func (h *house) wantEvents(want ...string) {
	h.t.Helper()
	if got := h.happened(); !slices.Equal(got, want) {
		h.t.Errorf("happened: %q, want %q", got, want)
	}
}

// questions are those of a server since it was last asked for them.
func (h *house) questions(s *server) (soa, ixfr, axfr int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range s.asked {
		switch {
		case q.soa:
			soa++
		case q.full:
			axfr++
		default:
			ixfr++
		}
	}
	s.asked = nil
	return soa, ixfr, axfr
}

func (h *house) wantQuestions(s *server, soa, ixfr, axfr int) {
	h.t.Helper()
	if a, b, c := h.questions(s); a != soa || b != ixfr || c != axfr {
		h.t.Errorf("%v was asked for SOA %d times, IXFR %d, AXFR %d; want %d, %d, %d", s.addr, a, b, c, soa, ixfr, axfr)
	}
}

// state is that of the only zone, or of the one that is named.
func (h *house) state(apex []byte) State {
	h.t.Helper()
	for _, s := range h.Status() {
		if string(s.Apex) == string(apex) {
			return s
		}
	}
	h.t.Fatalf("no state of %s", wire.NameString(apex))
	return State{}
}

var errRefused = errors.New("it breaks a rule")

func many(n int, p ...*server) (zones []Zone) {
	for i := range n {
		zones = append(zones, Zone{Apex: apexOf(fmt.Sprintf("z%d-%d", i, p[0].addr.Addr().As4()[3])), Primaries: primariesOf(p...)})
	}
	return zones
}
