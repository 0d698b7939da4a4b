// Package git holds the test of zones that are kept in git: a server watches a
// work tree in which git checks out, pulls, reverts, rebases and stashes, while
// it is asked all the time.
//
// Invariant: every answer is checked. It has to be of one version, of all of
// it, and versions have to follow each other as git made them.
package git

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/resolver"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
	"geodns/tests/harness"
)

// envEdits names the environment variable that says how often the work tree is
// to change; from longEdits on the load is a full one, too.
const envEdits = "GEODNS_TEST_EDITS"

const (
	shortEdits = 150
	longEdits  = 2000
)

// bound is when a commit that is not served counts as lost. How soon it is
// served is printed, not judged: that depends on what else the machine does.
const bound = 10 * time.Second

func edits(t *testing.T) int {
	text := os.Getenv(envEdits)
	if text == "" {
		return shortEdits
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of edits", envEdits, text)
	}
	return n
}

// TestServe edits the zones of a server process.
func TestServe(t *testing.T) {
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	target, err := harness.NewTarget(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if target.Kind != harness.Geodns {
		return // Others have to be told of every change.
	}
	n, rate := edits(t), 5_000
	if n >= longEdits {
		rate = 20_000
	}
	r := newRepository(t, random(t), 100+n/4, 1+n/20)
	s, err := target.Start(harness.Spec{Dir: r.tree})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	a := newAsker(t, r.history)
	ask := dial(t, s.Port)
	if _, err := a.await(ask, &r.now, bound); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	a.over(s.Port, 4, rate)
	work(t, r, a, ask, n)
	a.end()
	report(t, r, a, time.Since(start))
}

// TestWatch does the same in this process, for the race detector: what watches
// and reads, what publishes and what answers, without sockets. It reads at once
// when something changes: that a server waits until all is quiet must not be
// what keeps versions apart.
func TestWatch(t *testing.T) {
	r := newRepository(t, random(t), 40, 4)
	dir := zonedir.New(filepath.Join(r.tree, "zones"))
	dir.Quiet = time.Millisecond
	w, err := dir.Watch(zonedir.WatchOptions{Settle: time.Millisecond, Most: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	holder := live.New()
	p := publish.New(holder, publish.Options{})
	follow := func(names []string) {
		results, err := dir.ScanSome(names)
		if err != nil {
			t.Error(err)
		}
		var changes []publish.Change
		for i := range results {
			res := &results[i]
			for _, f := range res.Findings {
				if res.Broken() {
					t.Errorf("%s", f)
				}
			}
			if res.Zone != nil || res.Gone {
				changes = append(changes, publish.Change{Apex: res.Apex, Zone: res.Zone})
			}
		}
		p.Publish(changes)
	}
	follow(nil)
	a := newAsker(t, r.history)
	a.wg.Go(func() {
		for {
			select {
			case <-a.stop:
				return
			case b := <-w.Batches():
				follow(b.Names)
			}
		}
	})
	for range 2 {
		a.wg.Go(func() { a.inProcess(holder) })
	}
	start := time.Now()
	work(t, r, a, resolving(holder), 40)
	a.end()
	w.Close()
	report(t, r, a, time.Since(start))
}

// random prints its seed, so that a failure can be had again.
func random(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// maxRow is how many edits come in a row before the last one is waited for.
const maxRow = 8

// work edits, and waits now and then for the last edit to be served.
func work(t *testing.T, r *repository, a *asker, ask exchange, n int) {
	var took []time.Duration
	for r.edits < n {
		for range 1 + r.rng.IntN(maxRow) {
			if r.edits < n {
				r.edit()
			}
		}
		d, err := a.await(ask, &r.now, bound)
		if err != nil {
			a.fail("%v", err)
			break
		}
		took = append(took, d)
	}
	r.verify()
	a.whole(ask, &r.now)
	slices.Sort(took)
	at := func(share float64) time.Duration {
		return took[min(int(share*float64(len(took))), len(took)-1)].Round(time.Millisecond)
	}
	if len(took) > 0 {
		t.Logf("from the end of the last git command until all is served, %d times: median %v, 90%% %v, 99%% %v, most %v",
			len(took), at(.5), at(.9), at(.99), at(1))
	}
}

// report prints what was done, and fails if it was nothing.
func report(t *testing.T, r *repository, a *asker, took time.Duration) {
	asked, answered := a.asked.Load(), a.answered.Load()
	t.Logf("%d edits; %d questions, %d answers, %.0f a second; %d wrong", r.edits, asked, answered, float64(answered)/took.Seconds(), a.errors.Load())
	if answered < int64(10*r.edits) || answered < asked/2 {
		t.Errorf("%d answers to %d questions are too few to tell", answered, asked)
	}
}

// resolving is an exchange with the resolver in this process.
func resolving(holder *live.Holder) exchange {
	var q wire.Query
	var v resolver.Resolver
	var e wire.Encoder
	reply, x, out := wire.NewReply(), wire.Response{UDPSize: 1232}, make([]byte, 4096)
	draw := uint64(0)
	return func(query []byte) ([]byte, error) {
		if verdict := q.Parse(query, false); verdict == wire.Drop || verdict == wire.Reject {
			return nil, fmt.Errorf("the question is refused: %d", verdict)
		}
		draw++
		v.Resolve(holder.Load(), &q, resolver.Asked{Draw: draw, Identity: &resolver.Identity{}}, reply)
		x.Limit = wire.UDPLimit(&q, 1232)
		return e.Append(out, query, &q, reply, &x), nil
	}
}

// inProcess asks the resolver.
func (a *asker) inProcess(holder *live.Holder) {
	ask, o := resolving(holder), &observer{h: a.history}
	rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
	for n := 0; !a.stopped(); n++ {
		k, i := a.pick(rng)
		reply, err := ask(a.questions[k][i].packed)
		if err != nil {
			a.fail("%v", err)
			return
		}
		a.asked.Add(1)
		a.judge(o, k, i, reply)
		if n%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}
