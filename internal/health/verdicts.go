// Package health owns what checks make of the nodes: the verdicts that the
// answers are chosen by.
//
// Invariant: Verdicts never change; a new judgement makes new ones, which are
// swapped in with a World. This package does no I/O and reads no clock.
package health

import "slices"

// State is what the checks make of one target.
type State uint8

// The states. Unknown counts as live, unless a check asks for certainty. Joining
// is that of a slot that is new among others which are served: it is waited for,
// and does not count as live. Nothing is judged to be that.
const (
	Unknown State = iota
	Up
	Down
	Joining
)

// String is the state as it is shown.
func (s State) String() string { return [...]string{"unknown", "up", "down", "joining"}[s&3] }

// A slot takes four bits: two for the state, one for trouble.
const (
	slotBits  = 4
	perWord   = 64 / slotBits
	stateMask = 3
	trouble   = 4
	drained   = 8
)

// WholeShare is the share of a slot whose agent asks for no less, in percent.
const WholeShare = 100

// Verdicts holds the state of each slot. A slot is one pair of an address and a
// check. The nil Verdicts knows nothing: every slot is Unknown.
type Verdicts struct {
	words    []uint64
	down     int
	troubled int
	drained  int
	shares   []uint8 // by slot, in percent; nil: all WholeShare
}

// NewVerdicts returns the verdicts of slots 0 to len(states)-1. troubled, if it
// is not nil, says which of them are (Target.Troubled).
func NewVerdicts(states []State, troubled []bool) *Verdicts {
	v := &Verdicts{words: make([]uint64, (len(states)+perWord-1)/perWord)}
	for i, s := range states {
		bits := uint64(s)
		if s == Down || s == Joining {
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

// Asked is what the agent at a target asked for, beside up and down.
type Asked struct {
	// Slot is the target's.
	Slot uint32
	// Drain: it wants no new clients.
	Drain bool
	// Share is which part of its clients it takes, in percent up to WholeShare.
	Share uint8
}

// WithAsked returns the verdicts with what agents ask for.
func (v *Verdicts) WithAsked(list []Asked) *Verdicts {
	if len(list) == 0 {
		return v
	}
	n := *v
	n.words, n.shares = slices.Clone(v.words), slices.Clone(v.shares)
	for _, a := range list {
		if int(a.Slot/perWord) >= len(n.words) {
			continue
		}
		if bit := uint64(drained) << (a.Slot % perWord * slotBits); a.Drain && n.words[a.Slot/perWord]&bit == 0 {
			n.words[a.Slot/perWord] |= bit
			n.drained++
		}
		if a.Share < WholeShare {
			n.shares = n.shared()
			n.shares[a.Slot] = a.Share
		}
	}
	return &n
}

// shared are shares that may be written to.
func (v *Verdicts) shared() []uint8 {
	if v.shares != nil {
		return v.shares
	}
	out := make([]uint8, perWord*len(v.words))
	for i := range out {
		out[i] = WholeShare
	}
	return out
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

// Quiet reports that no slot is down or joining, or drained by its agent.
func (v *Verdicts) Quiet() bool { return v == nil || v.down == 0 && v.drained == 0 }

// Drained reports whether the agent of a slot wants no new clients.
func (v *Verdicts) Drained(slot uint32) bool { return v.slot(slot)&drained != 0 }

// Drains reports whether some agent wants no new clients.
func (v *Verdicts) Drains() bool { return v != nil && v.drained > 0 }

// Shared reports whether some agent asks for less than the whole share.
func (v *Verdicts) Shared() bool { return v != nil && v.shares != nil }

// Share is which part of its clients a slot takes, in percent up to WholeShare.
func (v *Verdicts) Share(slot uint32) uint8 {
	if v == nil || int(slot) >= len(v.shares) {
		return WholeShare
	}
	return v.shares[slot]
}
