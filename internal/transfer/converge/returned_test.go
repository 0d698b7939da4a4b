package converge

import (
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"geodns/internal/wire"
)

// Who is back, and lacks a version or a zone, is told of: once a return, and soon.
func TestReturned(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	take := func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		was := maps.Clone(told)
		clear(told)
		return was
	}
	o := Options{Returned: func(apex []byte, peer netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		told[wire.NameString(apex)+" "+peer.Addr().String()]++
	}}
	run(t, 2, o, func(h *house, s []*server) {
		s[0].serial, s[1].serial = 1, 1
		for _, zone := range []string{"a", "b", "c"} {
			h.Served(apexOf(zone), 1)
		}
		h.sleep(time.Minute)
		h.change(func() { s[1].serial = 2 })
		for range 2 {
			h.change(func() { s[0].dead = true })
			h.Published(apexOf("a"), 2)
			h.Published(apexOf("b"), 2)
			h.sleep(time.Hour)
			if got := take(); len(got) != 0 {
				t.Errorf("while one is silent: %v", got)
			}
			// c is as it was.
			h.change(func() { s[0].dead = false; s[0].serials["a"], s[0].serials["b"] = 0, 0 })
			h.sleep(DefaultTimeout + mostRest)
			if got := take(); len(got) != 2 || got["a. 192.0.2.1"] != 1 || got["b. 192.0.2.1"] != 1 {
				t.Errorf("back: %v", got)
			}
			h.sleep(time.Hour)
			if got := take(); len(got) != 0 {
				t.Errorf("later: %v", got)
			}
		}
		h.change(func() { s[0].dead = true })
		h.Published(apexOf("a"), 3)
		h.sleep(time.Hour)
		h.change(func() { s[0].dead, s[0].lost = false, true })
		h.sleep(DefaultTimeout + mostRest)
		if got := take(); got["a. 192.0.2.1"] != 1 {
			t.Errorf("back without the zone: %v", got)
		}
	})
}
