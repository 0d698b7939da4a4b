package spill

import (
	"math"
	"math/rand/v2"
	"testing"
)

// One judgement, case by case: what named a place, at its share, and the share
// that follows. All intervals are ten seconds.
func TestJudge(t *testing.T) {
	tests := []struct {
		name                  string
		share, capacity, rate float64
		want                  float64
	}{
		{"nothing is asked", 1, 100, 0, 1},
		{"below its capacity", 1, 100, 99, 1},
		{"at its capacity", 1, 100, 100, 1},
		{"a little over it", 1, 100, 101, 0.95 / 1.01},
		{"twice as much", 1, 100, 200, 0.475},
		{"spilling, and well", 0.475, 100, 95, 0.475},
		{"spilling, near the upper edge", 0.475, 100, 100, 0.475},
		{"spilling, near the lower edge", 0.475, 100, 90, 0.475},
		{"spilling, and still too much", 0.475, 100, 110, 0.475 * 0.95 / 1.1},
		{"spilling, and less is asked", 0.5, 100, 80, 0.5 * 0.95 / 0.8},
		{"spilling, and much less is asked", 0.5, 100, 10, 0.75},
		{"spilling, and nothing is asked", 0.5, 100, 0, 0.75},
		{"nearly back", 0.9, 100, 70, 1},
		{"a hundred times as much", 1, 100, 10000, least},
		{"and more of it", least, 100, 500, least},
	}
	for _, tt := range tests {
		s := State{Share: tt.share, demand: tt.rate / tt.share}
		got := Judge(s, tt.capacity, tt.rate, 10)
		if math.Abs(got.Share-tt.want) > 1e-9 {
			t.Errorf("%s: share %v, want %v", tt.name, got.Share, tt.want)
		}
		if got.Rate != tt.rate {
			t.Errorf("%s: rate %v, want %v", tt.name, got.Rate, tt.rate)
		}
	}
	if got := Judge(State{}, 100, 200, 10); got.Share != 0.475 || !got.Spills() {
		t.Errorf("the first judgement: %+v", got)
	}
	if got := Judge(State{}, 100, 50, 10); got.Share != 1 || got.Spills() {
		t.Errorf("the first judgement of what is not full: %+v", got)
	}
}

// A cluster is sites in the order of all its clients, with shares that are
// judged; clients are networks that ask for so many answers a second each.
type cluster struct {
	t        *testing.T
	capacity []float64
	states   []State
	weight   []float64   // of each client, whose sum is 1
	hash     [][]float64 // of each client, for each site
	random   *rand.Rand
}

func newCluster(t *testing.T, clients int, capacity ...float64) *cluster {
	c := &cluster{t: t, capacity: capacity, states: make([]State, len(capacity)), random: rand.New(rand.NewPCG(1, 2))}
	sum := 0.0
	for range clients {
		// Few clients ask for much: resolvers of large networks.
		w := math.Pow(c.random.Float64(), -0.4)
		sum += w
		c.weight = append(c.weight, w)
		h := make([]float64, len(capacity))
		for s := range h {
			h[s] = c.random.Float64()
		}
		c.hash = append(c.hash, h)
	}
	for i := range c.weight {
		c.weight[i] /= sum
	}
	return c
}

// site is where a client goes.
func (c *cluster) site(client int) int {
	best, most := 0, -1.0
	for s := range c.capacity {
		if share := c.states[s].Share; share == 0 || c.hash[client][s] < share {
			return s
		}
		// All pass: by capacity.
		if score := -c.capacity[s] / math.Log(math.Mod(c.hash[client][s]*977, 1)); score > most {
			best, most = s, score
		}
	}
	return best
}

// step is ten seconds of so many answers a second. It returns the rates.
func (c *cluster) step(demand float64) []float64 {
	rates := make([]float64, len(c.capacity))
	for i, w := range c.weight {
		rates[c.site(i)] += w * demand
	}
	for s := range rates {
		// What was counted is not exactly what is to be expected.
		n := rates[s] * 10
		rates[s] = math.Max(0, n+math.Sqrt(n)*c.random.NormFloat64()) / 10
		c.states[s] = Judge(c.states[s], c.capacity[s], rates[s], 10)
	}
	return rates
}

// run is so many steps; it returns the mean rates of the last ten, and how often
// a share changed in those.
func (c *cluster) run(steps int, demand float64) (mean []float64, changes int) {
	mean = make([]float64, len(c.capacity))
	for i := range steps {
		before := append([]State(nil), c.states...)
		rates := c.step(demand)
		if i < steps-10 {
			continue
		}
		for s := range rates {
			mean[s] += rates[s] / 10
			if before[s].Share != c.states[s].Share {
				changes++
			}
		}
	}
	return mean, changes
}

func (c *cluster) wants(what string, got []float64, low, high []float64) {
	c.t.Helper()
	for s := range got {
		if got[s] < low[s] || got[s] > high[s] {
			c.t.Errorf("%s: site %d has %.1f answers a second, want %.1f to %.1f (share %.3f)", what, s, got[s], low[s], high[s], c.states[s].Share)
		}
	}
}

// A load that doubles, stays, and goes: the first site keeps to its capacity
// within two intervals, the rest goes to the next, nothing swings, and all comes
// back.
func TestLoadStep(t *testing.T) {
	c := newCluster(t, 5000, 1000, 1000, 5000)
	mean, changes := c.run(20, 800)
	c.wants("before", mean, []float64{790, 0, 0}, []float64{810, 0, 0})
	if changes > 0 {
		t.Errorf("%d changes while nothing is full", changes)
	}

	c.step(2000) // it was not expected
	if second := c.step(2000); second[0] > 1060 {
		t.Errorf("twice its capacity: still %.1f answers a second after one step", second[0])
	}
	mean, changes = c.run(20, 2000)
	c.wants("twice its capacity", mean, []float64{890, 850, 0}, []float64{1010, 1010, 200})
	if changes > 6 {
		t.Errorf("%d changes in ten steps of a steady load", changes)
	}

	mean, _ = c.run(40, 5000)
	c.wants("five times", mean, []float64{890, 890, 2900}, []float64{1010, 1010, 3300})

	mean, changes = c.run(60, 500)
	c.wants("after", mean, []float64{490, 0, 0}, []float64{510, 0, 0})
	if changes > 0 || c.states[0].Spills() || c.states[1].Spills() {
		t.Errorf("after: %d changes, %+v", changes, c.states)
	}
}

// More than all can take is shared by the capacities, and nobody is turned away.
func TestAllFull(t *testing.T) {
	c := newCluster(t, 5000, 1000, 500, 2500)
	mean, _ := c.run(60, 8000)
	c.wants("all full", mean, []float64{1700, 850, 4500}, []float64{2300, 1250, 5500})
	if sum := mean[0] + mean[1] + mean[2]; math.Abs(sum-8000) > 50 {
		t.Errorf("%.1f answers a second of 8000", sum)
	}
	mean, changes := c.run(90, 900)
	c.wants("after", mean, []float64{880, 0, 0}, []float64{920, 0, 0})
	if changes > 0 {
		t.Errorf("%d changes after", changes)
	}
}

// A single network that asks for most of it can only be here or there. The share
// must not be thrown about by it: what was too much is tried again with patience.
func TestOneLargeNetwork(t *testing.T) {
	c := newCluster(t, 2000, 1000, 5000)
	for i := range c.weight {
		c.weight[i] *= 0.4
	}
	c.weight[7] += 0.6
	over := 0
	for i := range 120 {
		if rates := c.step(1500); i > 5 && rates[0] > 1100 {
			over++
		}
	}
	if over > 24 {
		t.Errorf("over its capacity in %d of 115 intervals", over)
	}
}

// Small capacities are judged by chance as little as large ones.
func TestSmallCapacity(t *testing.T) {
	c := newCluster(t, 500, 2, 100)
	_, changes := c.run(200, 1.5)
	if changes > 3 || c.states[0].Share < 0.7 {
		t.Errorf("%d changes in ten steps, share %.2f, at three quarters of a capacity of 2", changes, c.states[0].Share)
	}
	mean, _ := c.run(200, 4)
	c.wants("twice its capacity", mean, []float64{1.3, 0.5}, []float64{2.4, 3})
}
