package main

import (
	"sync"

	"geodns/internal/control"
	"geodns/internal/metrics"
)

// history is what became of the reloads.
type history struct {
	mu                 sync.Mutex
	ok, broken, failed uint64
	latest             *control.Reload // never changes
	// failure is why the last reload that was asked for failed; what the
	// watcher reads in the meantime does not mend it.
	failure string
}

// note writes down a reload; asked tells that it was for the configuration too.
func (h *history) note(r control.Reload, asked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.Error != "":
		h.failed++
	case r.BrokenAll > 0:
		h.broken++
	default:
		h.ok++
	}
	h.latest = &r
	if asked || r.Error != "" {
		h.failure = r.Error
	}
}

// last is the last reload, nil before the first.
func (h *history) last() *control.Reload {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest
}

// lastError is why the last reload of the configuration failed; "" if it did
// not.
func (h *history) lastError() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure
}

// metrics is what metrics asks for.
func (h *history) metrics() metrics.Reloads {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := metrics.Reloads{
		Results: []metrics.Count{{Label: "ok", N: h.ok}, {Label: "broken", N: h.broken}, {Label: "failed", N: h.failed}},
		OK:      true,
	}
	if h.latest != nil {
		r.Last, r.OK = h.latest.At, h.latest.OK()
	}
	return r
}
