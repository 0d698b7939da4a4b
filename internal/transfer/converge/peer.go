package converge

import (
	"container/list"
	"net/netip"
	"sort"
	"time"
)

// peerState is what is known of a peer, of whatever zones.
type peerState struct {
	item
	addr    netip.AddrPort
	pairs   int
	wanting int // of its pairs
	// ready are the pairs that are to be asked now.
	ready   list.List
	listed  bool // it is in Watcher.turn
	running int

	// fails counts the attempts in a row to get any answer; until is until when
	// the peer is left alone, silent since when there is none.
	fails         int
	until, silent time.Time
	silence       string // why
	answered      time.Time
	// back is when it answered again after it hadn't; zero: it always has.
	back time.Time

	errors    uint64
	lastError string
	lastAt    time.Time
	warned    time.Time // of a zone that it has lost

	convergence
}

// free reports whether it may be asked one more question: of a silent one, only
// one that tries whether it still is.
func (p *peerState) free(now time.Time, share int) bool {
	if p.fails > 0 {
		return p.running == 0 && !now.Before(p.until)
	}
	return p.running < share
}

// resting reports whether it is left alone.
func (p *peerState) resting() bool { return p.fails > 0 }

// take returns the pair that is next; nil: none is.
func (p *peerState) take() *pair {
	for e := p.ready.Front(); e != nil; e = p.ready.Front() {
		pair := p.ready.Remove(e).(*pair)
		pair.queued = false
		if !pair.gone {
			return pair
		}
	}
	return nil
}

// fell notes that a question got no answer, and reports whether that is news.
func (p *peerState) fell(why string, now time.Time) (news bool) {
	news = p.fails == 0
	if !news && now.Before(p.until) {
		return false // it began before: that says nothing new
	}
	if news {
		p.silent = now
	}
	p.silence = why
	p.until = now.Add(min(firstRest<<min(p.fails, 16), mostRest))
	p.fails++
	return news
}

// spoke notes that it answered, and reports whether that is news.
func (p *peerState) spoke(now time.Time) (news bool) {
	if news = p.fails > 0; news {
		p.back = now
	}
	p.fails, p.until, p.silent, p.silence, p.answered = 0, time.Time{}, time.Time{}, "", now
	return news
}

// failed counts an error.
func (p *peerState) failed(why string, now time.Time) {
	p.errors++
	p.lastError, p.lastAt = why, now
}

// mostPauseOf is the longest pause of its pairs.
func (p *peerState) mostPauseOf() time.Duration {
	return max(mostPause, time.Duration(p.wanting)*time.Second/slowRate)
}

// convergence is how long versions took to reach a peer.
type convergence struct {
	took    time.Duration
	seen    time.Time // when the last one was seen to have arrived; zero: none was
	samples []time.Duration
	next    int // the oldest sample, once there are maxSamples
	counts  []uint64
	sum     time.Duration
}

// Buckets are the upper bounds of a Histogram's buckets, in seconds.
func Buckets() []float64 {
	return []float64{0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 300, 900, 3600}
}

// arrived takes note of one.
func (c *convergence) arrived(took time.Duration, now time.Time) {
	c.took, c.seen = took, now
	c.sum += took
	bounds := Buckets()
	if c.counts == nil {
		c.counts = make([]uint64, len(bounds)+1)
	}
	c.counts[sort.SearchFloat64s(bounds, took.Seconds())]++
	if len(c.samples) < maxSamples {
		c.samples = append(c.samples, took)
		return
	}
	c.samples[c.next] = took
	c.next = (c.next + 1) % maxSamples
}
