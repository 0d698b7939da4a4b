package monitor

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// line is a pretended connection that is held.
type line struct {
	died   func(string)
	closed atomic.Bool
}

func (l *line) Close() { l.closed.Store(true) }

// holding is a Monitor of one target that holds its connection.
type holding struct {
	m    *Monitor
	slot uint32
	dead atomic.Bool

	mu    sync.Mutex
	lines []*line // see all
}

// all are the connections that there were, the last one last.
func (h *holding) all() []*line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

const heldCheck = "v=check1; type=tcp; port=80; every=5s; timeout=1s; fall=3; rise=2; hold=yes"

func hold(t *testing.T) *holding {
	h := &holding{}
	h.m = New(Options{
		Allowed: func(netip.Addr, bool) string { return "" },
		Publish: func() {}, Most: 10, Log: slog.New(slog.DiscardHandler),
		Probe: func(context.Context, Key, *record.Check) probe.Result {
			t.Error("a check that holds was probed without")
			return probe.Result{}
		},
		Hold: func(_ context.Context, _ Key, _ *record.Check, died func(string)) (Held, probe.Result) {
			if h.dead.Load() {
				return nil, probe.Result{Reason: "refused"}
			}
			l := &line{died: died}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lines = append(h.lines, l)
			return l, probe.Result{OK: true}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	h.slot = h.m.Bind(program(t, heldCheck, addr(1)))[0]
	h.m.Serve(t.Context(), time.Second)
	return h
}

// The death of a held connection is confirmed by probes that follow at once: no
// interval passes before the target is down.
func TestHeldDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(t)
		sleep(12 * time.Second)
		// Each probe has a new connection, and lets go of the one before.
		lines := h.all()
		n := len(lines)
		if n < 3 || !lines[n-2].closed.Load() || lines[n-1].closed.Load() {
			t.Fatalf("%d connections, the last ones wrongly open or closed", n)
		}
		h.dead.Store(true)
		lines[n-1].died("reset")
		sleep(time.Millisecond)
		if got := h.m.Verdicts().State(h.slot); got != health.Down {
			t.Errorf("a millisecond after the connection died, the target is %s", got)
		}
	})
}

// A connection that ends although the target lives, as where servers close what
// is idle, costs one probe and changes nothing.
func TestHeldIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(t)
		sleep(time.Second)
		lines := h.all()
		lines[len(lines)-1].died("closed")
		sleep(time.Second)
		if got, probes := h.m.Verdicts().State(h.slot), len(h.all())-len(lines); got != health.Up || probes != 1 {
			t.Errorf("the target is %s after %d probes, want up after one", got, probes)
		}
		// One failure later, nothing is confirmed in haste.
		h.dead.Store(true)
		sleep(5 * time.Second)
		if got := h.m.Verdicts().State(h.slot); got != health.Up {
			t.Error("one failed probe takes the target down")
		}
	})
}

// What nothing names any more lets go of its connection.
func TestHeldGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(t)
		sleep(time.Second)
		h.m.Unbind([]uint32{h.slot})
		sleep(time.Minute)
		for i, l := range h.all() {
			if !l.closed.Load() {
				t.Errorf("connection %d is still open", i+1)
			}
		}
	})
}
