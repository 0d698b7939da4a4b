package main

import (
	"context"
	"sync"
	"time"
)

// rateSamples is of how many seconds the rate is the mean.
const rateSamples = 10

// rate looks at a counter once a second to say how fast it rises.
type rate struct {
	read func() uint64

	mu      sync.Mutex
	samples [rateSamples + 1]sample // a ring
	taken   int
}

type sample struct {
	at time.Time
	n  uint64
}

// run samples until ctx ends.
func (r *rate) run(ctx context.Context) {
	r.sample(time.Now())
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.sample(now)
		}
	}
}

func (r *rate) sample(now time.Time) {
	n := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples[r.taken%len(r.samples)] = sample{now, n}
	r.taken++
}

// mean is how much the counter rose a second, and over how many seconds; 0 and
// 0 before the second sample.
func (r *rate) mean() (perSecond, seconds float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken < 2 {
		return 0, 0
	}
	size := len(r.samples)
	newest, oldest := r.samples[(r.taken-1)%size], r.samples[max(0, r.taken-size)%size]
	seconds = newest.at.Sub(oldest.at).Seconds()
	if seconds <= 0 || newest.n < oldest.n {
		return 0, 0
	}
	return float64(newest.n-oldest.n) / seconds, seconds
}
