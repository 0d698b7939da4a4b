package probe

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Task is one target that is probed again and again.
type Task struct {
	// Every is the time from the start of one probe to that of the next; a
	// little less, at random, so that targets do not fall into step. Timeout is
	// the longest that one takes.
	Every, Timeout time.Duration
	// Probe makes one attempt. The context ends after Timeout.
	Probe func(context.Context) Result
	// Report is told what came of it, and when it began; shortly after Remove
	// perhaps once more.
	Report func(r Result, began time.Time)

	next    time.Time
	at      int  // in the heap; -1: not there
	running bool // a probe is under way
	again   bool // and is to be followed at once by another
	gone    bool
}

// Schedule starts probes when they are due. There is one goroutine for all
// targets, and one for each probe that is under way.
type Schedule struct {
	slots chan struct{} // room for probes that are under way

	mu    sync.Mutex
	tasks taskHeap
	wake  chan struct{}
	under sync.WaitGroup
}

const (
	// jitter is by how much an interval is shortened at most: a tenth.
	jitter = 10
	// restart is after how long a probe is tried again that found no room.
	restart = 10 * time.Millisecond
	// lateness is the part of its timeout by which this process may be late at a
	// failed probe: a half. Beyond that the failure is no judgement on the target.
	lateness = 2
)

// NewSchedule returns a Schedule that has at most that many probes under way.
func NewSchedule(most int) *Schedule {
	return &Schedule{slots: make(chan struct{}, most), wake: make(chan struct{}, 1)}
}

// Add begins to probe: the first time at once.
func (s *Schedule) Add(t *Task) {
	s.mu.Lock()
	t.next, t.at, t.gone = time.Now(), -1, false
	heap.Push(&s.tasks, t)
	s.mu.Unlock()
	s.poke()
}

// Remove ends the probing. A probe that is under way goes on for a while, but
// nobody is told of it.
func (s *Schedule) Remove(t *Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.gone = true
	if t.at >= 0 {
		heap.Remove(&s.tasks, t.at)
	}
}

// Soon makes the next probe start at once, or as soon as the one that is under
// way has ended.
func (s *Schedule) Soon(t *Task) {
	s.mu.Lock()
	if !t.gone {
		if t.running {
			t.again = true
		} else if t.at >= 0 {
			t.next = time.Now()
			heap.Fix(&s.tasks, t.at)
		}
	}
	s.mu.Unlock()
	s.poke()
}

// Next is when a task is probed next; the zero time: it is being probed.
func (s *Schedule) Next(t *Task) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.running {
		return time.Time{}
	}
	return t.next
}

func (s *Schedule) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run starts what is due until the context ends, and then waits for the probes
// that are under way, which its end cuts short.
func (s *Schedule) Run(ctx context.Context) {
	defer s.under.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := s.start(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// start starts what is due, and returns the time until something is.
func (s *Schedule) start(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.tasks) > 0 {
		t := s.tasks[0]
		now := time.Now()
		if wait := t.next.Sub(now); wait > 0 {
			return wait
		}
		select {
		case s.slots <- struct{}{}:
		default:
			return restart
		}
		heap.Pop(&s.tasks)
		t.running = true
		s.under.Add(1)
		go s.probe(ctx, t, now)
	}
	return time.Hour
}

func (s *Schedule) probe(ctx context.Context, t *Task, began time.Time) {
	defer s.under.Done()
	limited, cancel := context.WithDeadline(ctx, began.Add(t.Timeout))
	c := newClock(limited, began, t.Timeout)
	r := t.Probe(limited)
	r = excuse(r, c.late(), t.Timeout)
	cancel()
	<-s.slots
	s.mu.Lock()
	gone := t.gone
	s.mu.Unlock()
	if gone || ctx.Err() != nil {
		return
	}
	// Before it is due again, so that results come in their order, and without
	// the lock: who is told may add and remove tasks.
	t.Report(r, began)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.running = false
	if t.gone {
		return
	}
	t.next = began.Add(t.Every - time.Duration(rand.Int64N(int64(t.Every)/jitter+1)))
	if t.again {
		t.next, t.again = time.Now(), false
	}
	heap.Push(&s.tasks, t)
	s.poke()
}

// clock finds out whether this process ran when it should have during a probe:
// one that was stopped, or had no processor, takes answers for missing that came
// in time. Only the beginning and the deadline are looked at, and not when the
// probe returns: a program that can't be killed makes that late, and is no excuse.
type clock struct {
	deadline time.Time
	begun    time.Duration // how late the probe began
	stop     func() bool
	woken    chan time.Time // when the deadline was noticed
}

func newClock(limited context.Context, began time.Time, timeout time.Duration) *clock {
	c := &clock{deadline: began.Add(timeout), begun: time.Since(began), woken: make(chan time.Time, 1)}
	c.stop = context.AfterFunc(limited, func() { c.woken <- time.Now() })
	return c
}

// late is how late this process was. It is called before the context is
// cancelled.
func (c *clock) late() time.Duration {
	at := time.Now()
	if !c.stop() {
		at = <-c.woken
	}
	return max(c.begun, at.Sub(c.deadline))
}

// excuse makes a failure one of this machine, if the process was too late to tell.
func excuse(r Result, late, timeout time.Duration) Result {
	if !r.OK && !r.Local && late > timeout/lateness {
		r.Local = true
		r.Reason = clean(fmt.Sprintf("this machine was %s late, too slow to tell: %s", late.Round(time.Millisecond), r.Reason))
	}
	return r
}

// taskHeap has what is due first at its front.
type taskHeap []*Task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h taskHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }

func (h *taskHeap) Push(x any) {
	t := x.(*Task)
	t.at = len(*h)
	*h = append(*h, t)
}

func (h *taskHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.at = -1
	return t
}
