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
