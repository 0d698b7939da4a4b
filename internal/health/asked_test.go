package health

import "testing"

// What agents ask for lies beside the states, in verdicts of its own.
func TestWithAsked(t *testing.T) {
	plain := NewVerdicts([]State{Up, Down, Up}, nil)
	if plain.WithAsked(nil) != plain {
		t.Error("nothing is asked for, and the verdicts are others")
	}
	v := plain.WithAsked([]Asked{{Slot: 0, Share: 30}, {Slot: 2, Drain: true, Share: WholeShare}, {Slot: 99, Drain: true}})
	if v.Share(0) != 30 || v.Share(1) != WholeShare || v.Share(2) != WholeShare || v.Share(99) != WholeShare || !v.Shared() {
		t.Errorf("shares of %d, %d and %d", v.Share(0), v.Share(1), v.Share(2))
	}
	if v.Drained(0) || v.Drained(1) || !v.Drained(2) || v.Drained(99) || !v.Drains() {
		t.Error("others are drained than asked for it")
	}
	if v.State(0) != Up || v.State(1) != Down || v.State(2) != Up {
		t.Error("the states are others")
	}
	if plain.Drains() || plain.Shared() || plain.Share(0) != WholeShare {
		t.Error("the verdicts of before have changed")
	}
	more := v.WithAsked([]Asked{{Slot: 1, Share: 10}})
	if v.Share(1) != WholeShare || more.Share(0) != 30 || more.Share(1) != 10 {
		t.Error("asked twice")
	}
	if NewVerdicts([]State{Up}, nil).WithAsked([]Asked{{Drain: true, Share: WholeShare}}).Quiet() {
		t.Error("a drain is quiet")
	}
}
