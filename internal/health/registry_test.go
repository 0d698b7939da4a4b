package health

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The registry equals a map with counts: one slot a target, nobody's slot
// twice, and none that is in use given away.
func TestRegistry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRegistry[string]()
		counts := map[string]int{}
		var held [][]uint32
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 5).Draw(t, "keys")
				slots, added := r.Acquire(keys)
				for i, k := range keys {
					if counts[k] == 0 != slices.Contains(added, slots[i]) && slices.Index(keys, k) == i {
						t.Fatalf("%s at slot %d: added are %v", k, slots[i], added)
					}
					counts[k]++
				}
				held = append(held, slots)
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				var keys []string
				for _, s := range held[i] {
					keys = append(keys, r.Key(s))
				}
				for _, s := range r.Release(held[i]) {
					if int(s) >= r.Len() {
						t.Fatalf("slot %d of %d", s, r.Len())
					}
				}
				for _, k := range keys {
					counts[k]--
				}
				held = slices.Delete(held, i, i+1)
			},
			"": func(t *rapid.T) {
				seen := map[uint32]string{}
				for k, n := range counts {
					s, ok := r.Slot(k)
					if ok != (n > 0) {
						t.Fatalf("%s is named %d times, and has a slot: %t", k, n, ok)
					}
					if ok {
						if other, twice := seen[s]; twice {
							t.Fatalf("slot %d is of %s and %s", s, other, k)
						}
						seen[s] = k
					}
				}
			},
		})
	})
}

func TestVerdicts(t *testing.T) {
	states := []State{Up, Down, Unknown, Up, Down, Up, Up, Up, Up, Up, Up, Up, Up, Up, Up, Up, Down, Up}
	troubled := make([]bool, len(states))
	troubled[17] = true
	v := NewVerdicts(states, troubled)
	for i, s := range states {
		if v.State(uint32(i)) != s || v.Troubled(uint32(i)) != troubled[i] {
			t.Errorf("slot %d: %v, troubled %t", i, v.State(uint32(i)), v.Troubled(uint32(i)))
		}
	}
	if v.State(1000) != Unknown || v.Quiet() || v.Calm() {
		t.Error("slots that there are not, quiet or calm")
	}
	var none *Verdicts
	if none.State(0) != Unknown || !none.Quiet() || !none.Calm() {
		t.Error("no verdicts")
	}
	if v := NewVerdicts([]State{Up, Unknown}, nil); !v.Quiet() || !v.Calm() {
		t.Error("nothing is down")
	}
}
