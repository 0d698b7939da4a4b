// Package health owns what checks make of the nodes: the verdicts that the
// answers are chosen by.
//
// Invariant: Verdicts never change; a new judgement makes new ones, which are
// swapped in with a World. This package does no I/O and reads no clock.
package health

// State is what the checks make of one target.
type State uint8

// The states. Unknown counts as live, unless a check asks for certainty.
const (
	Unknown State = iota
	Up
	Down
)

// String is the state as it is shown.
func (s State) String() string { return [...]string{"unknown", "up", "down", "?"}[s&3] }

// A slot takes four bits: two for the state, one for trouble.
const (
	slotBits  = 4
	perWord   = 64 / slotBits
	stateMask = 3
	trouble   = 4
)

// Verdicts holds the state of each slot. A slot is one pair of an address and a
// check. The nil Verdicts knows nothing: every slot is Unknown.
type Verdicts struct {
	words    []uint64
	down     int
	troubled int
}

// NewVerdicts returns the verdicts of slots 0 to len(states)-1. troubled, if it
// is not nil, says which of them are (Target.Troubled).
func NewVerdicts(states []State, troubled []bool) *Verdicts {
	v := &Verdicts{words: make([]uint64, (len(states)+perWord-1)/perWord)}
	for i, s := range states {
		bits := uint64(s)
		if s == Down {
			v.down++
		}
		if troubled != nil && troubled[i] {
			bits |= trouble
			v.troubled++
		}
		v.words[i/perWord] |= bits << (i % perWord * slotBits)
	}
	return v
}

func (v *Verdicts) slot(slot uint32) uint64 {
	if v == nil || int(slot/perWord) >= len(v.words) {
		return 0
	}
	return v.words[slot/perWord] >> (slot % perWord * slotBits)
}

// State is that of a slot; Unknown for one that there is not.
func (v *Verdicts) State(slot uint32) State { return State(v.slot(slot) & stateMask) }

// Troubled reports whether what names a slot is to be kept for a short time
// only.
func (v *Verdicts) Troubled(slot uint32) bool { return v.slot(slot)&trouble != 0 }

// Calm reports that no slot is troubled.
func (v *Verdicts) Calm() bool { return v == nil || v.troubled == 0 }

// Quiet reports that no slot is down.
func (v *Verdicts) Quiet() bool { return v == nil || v.down == 0 }
