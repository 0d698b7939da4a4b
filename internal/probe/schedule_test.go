package probe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// run runs a schedule for a while, in a bubble of invented time.
func run(t *testing.T, most int, lasting time.Duration, f func(*Schedule)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewSchedule(most)
		ctx, cancel := context.WithTimeout(t.Context(), lasting)
		defer cancel()
		f(s)
		s.Run(ctx)
	})
}

// Intervals are kept, and only ever shortened, by a tenth at most.
func TestScheduleIntervals(t *testing.T) {
	const every = 5 * time.Second
	var began []time.Time
	run(t, 10, time.Minute, func(s *Schedule) {
		s.Add(&Task{
			Every: every, Timeout: time.Second,
			Probe:  func(context.Context) Result { time.Sleep(300 * time.Millisecond); return Result{OK: true} },
			Report: func(_ Result, at time.Time) { began = append(began, at) },
		})
	})
	if len(began) < 12 || len(began) > 14 {
		t.Errorf("%d probes in a minute", len(began))
	}
	for i := 1; i < len(began); i++ {
		if gap := began[i].Sub(began[i-1]); gap > every || gap < every-every/jitter {
			t.Errorf("%s between two probes", gap)
		}
	}
}

// The context of a probe ends after its timeout.
func TestScheduleTimeout(t *testing.T) {
	var took time.Duration
	run(t, 1, 3*time.Second, func(s *Schedule) {
		s.Add(&Task{
			Every: 10 * time.Second, Timeout: 2 * time.Second,
			Probe: func(ctx context.Context) Result {
				start := time.Now()
				<-ctx.Done()
				took = time.Since(start)
				return Result{}
			},
			Report: func(Result, time.Time) {},
		})
	})
	if took != 2*time.Second {
		t.Errorf("a probe had %s, want 2s", took)
	}
}

// At most so many probes are under way, and none is forgotten for that.
func TestScheduleBound(t *testing.T) {
	const most, tasks = 4, 40
	under, highest := 0, 0
	seen := map[int]int{}
	mu := make(chan struct{}, 1)
	run(t, most, 30*time.Second, func(s *Schedule) {
		for i := range tasks {
			s.Add(&Task{
				Every: 10 * time.Second, Timeout: 5 * time.Second,
				Probe: func(context.Context) Result {
					mu <- struct{}{}
					under++
					highest = max(highest, under)
					<-mu
					time.Sleep(100 * time.Millisecond)
					mu <- struct{}{}
					under--
					<-mu
					return Result{OK: true}
				},
				Report: func(Result, time.Time) { mu <- struct{}{}; seen[i]++; <-mu },
			})
		}
	})
	if highest != most {
		t.Errorf("%d probes at once, want %d", highest, most)
	}
	for i := range tasks {
		if seen[i] < 3 {
			t.Errorf("target %d was probed %d times in 30 s", i, seen[i])
		}
	}
}

// A removed target is probed no more, and Soon brings a probe forward.
func TestScheduleRemoveAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSchedule(10)
		ctx, cancel := context.WithCancel(t.Context())
		count := 0
		task := &Task{
			Every: time.Hour, Timeout: time.Second,
			Probe:  func(context.Context) Result { return Result{OK: true} },
			Report: func(Result, time.Time) { count++ },
		}
		s.Add(task)
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		synctest.Wait()
		s.Soon(task)
		synctest.Wait()
		if count != 2 {
			t.Errorf("%d probes, want the first and the one that was asked for", count)
		}
		s.Remove(task)
		s.Soon(task)
		time.Sleep(3 * time.Hour)
		if count != 2 {
			t.Errorf("%d probes after Remove", count)
		}
		cancel()
		<-done
	})
}

// A failure says nothing of a target if this process was late by more than half
// of the timeout: at the start of the probe, or when its time was up. A probe that
// ends late by itself is no excuse, and a success is one however late it comes.
func TestScheduleLate(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for _, tt := range []struct {
		name    string
		clock   clock
		stopped bool          // the deadline was not noticed yet
		woken   time.Duration // or when, after the begin
		late    time.Duration
	}{
		{"in time", clock{}, true, 0, 0},
		{"noticed in time", clock{}, false, timeout, 0},
		{"noticed late", clock{}, false, timeout + 3*time.Second, 3 * time.Second},
		{"began late", clock{begun: 150 * time.Millisecond}, true, 0, 150 * time.Millisecond},
	} {
		began := time.Now()
		c := tt.clock
		c.deadline, c.stop, c.woken = began.Add(timeout), func() bool { return tt.stopped }, make(chan time.Time, 1)
		c.woken <- began.Add(tt.woken)
		if got := c.late(); got != max(tt.late, 0) {
			t.Errorf("%s: %v late, want %v", tt.name, got, tt.late)
		}
	}
	for _, tt := range []struct {
		name  string
		probe func(context.Context) Result
		local bool
	}{
		{"fails at once", func(context.Context) Result { return Result{Reason: "refused"} }, false},
		{"fails in the end", func(ctx context.Context) Result { <-ctx.Done(); return Result{Reason: "timeout"} }, false},
		{"fails long after the end", func(ctx context.Context) Result {
			<-ctx.Done()
			time.Sleep(time.Second)
			return Result{Reason: "it could not be killed"}
		}, false},
	} {
		run(t, 1, 500*time.Millisecond, func(s *Schedule) {
			s.Add(&Task{
				Every: time.Hour, Timeout: timeout, Probe: tt.probe,
				Report: func(r Result, _ time.Time) {
					if r.Local != tt.local {
						t.Errorf("%s: %+v", tt.name, r)
					}
				},
			})
		})
	}
}

// What a late process makes of a result.
func TestExcuse(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for _, tt := range []struct {
		r     Result
		late  time.Duration
		local bool
	}{
		{Result{Reason: "timeout"}, 100 * time.Millisecond, false},
		{Result{Reason: "timeout"}, 101 * time.Millisecond, true},
		{Result{OK: true, Reason: "fine"}, time.Minute, false},
		{Result{Local: true, Reason: "no socket"}, time.Minute, true},
	} {
		got := excuse(tt.r, tt.late, timeout)
		if got.Local != tt.local || got.OK != tt.r.OK {
			t.Errorf("%+v, %v late: %+v", tt.r, tt.late, got)
		}
		if excused := got.Reason != tt.r.Reason; excused != (got.Local && !tt.r.Local) {
			t.Errorf("%+v, %v late: the reason is %q", tt.r, tt.late, got.Reason)
		}
	}
}
