package spill

// What is judged by. A place that spills is held between low and 1 times its
// capacity: within that its share stays as it is, so that the same clients stay
// where they are, and noise moves nobody.
const (
	low = 0.9
	aim = 0.95 // where a share that has to change is meant to lead
	// growth bounds by how much a share grows at a time: those who come back
	// bring caches that have run cold.
	growth = 1.5
	// least is the share below which none falls: what a place gets beyond it are
	// clients whom all have passed over, and it needs a foothold to grow from.
	least = 1.0 / 64
	// smooth is of how many answers a judgement should be made, and slowest how
	// much of it the last interval is at least.
	smooth  = 400
	slowest = 1.0 / 6
	// patience bounds for how many intervals a share waits before it grows, if
	// growing has been too much: one network may ask for more than there is room
	// for, and can only be here or elsewhere.
	patience = 31
)

// State is what is known of one place. The zero State has never been judged.
type State struct {
	// Share is which part of its clients the place takes, from least to 1.
	Share float64
	// Rate is how many answers a second named it in the last interval.
	Rate float64
	// demand is how many would, if it took all of its clients: smoothed where
	// capacities are so small that chance would decide.
	demand float64
	// grew: the last change was that the share grew. wait is for how many
	// intervals it is not to grow after a growth that was too much, and waited for
	// how many it has not.
	grew         bool
	wait, waited int
}

// Judge takes in how many answers a second named a place during an interval, in
// seconds, and returns its state then.
//
// What named it is compared with its share, so the demand is known whatever the
// share was, and one step leads to where the next would: nothing has to swing in.
// It answers at once, since answers are counted, not the clients that come later
// by what they keep.
func Judge(s State, capacity, rate, seconds float64) State {
	if s.Share == 0 {
		s = State{Share: 1, demand: rate}
	}
	s.Rate = rate
	weight := max(slowest, min(1, capacity*seconds/smooth))
	s.demand += weight * (rate/s.Share - s.demand)
	full := s.demand * s.Share / capacity // how full it is, at this share
	switch {
	case full > 1:
		if s.waited = 0; s.grew {
			s.wait = min(2*s.wait+1, patience)
		}
		s.Share, s.grew = max(least, s.Share*aim/full), false
	case full < low && s.waited < s.wait:
		s.waited++
	case full < low && s.Share < 1:
		s.Share, s.grew = min(1, s.Share*aim/max(full, aim/growth)), true
	case full < low:
		s.grew, s.wait, s.waited = false, 0, 0
	}
	return s
}

// Spills reports whether the place passes some of its clients over.
func (s State) Spills() bool { return s.Share > 0 && s.Share < 1 }
