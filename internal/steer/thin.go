package steer

import (
	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// Thin chooses among the records of an MX or SRV set: it only leaves out those
// whose target has no live address, and of one priority those beyond answers=.
// Which priorities there are is the client's to use, in their order.
func (c *Chooser) Thin(m *Moment, r *Rule, records []byte, t *Trace) Result {
	res := Result{Site: NoSite, Unsteady: r.unsteady(m)}
	t.begin(r, V4)
	for stage := Normal; stage <= AsIfUndrained; stage++ {
		if stage == BelowFloor {
			continue // MX and SRV know no floors
		}
		if stage == Held && r.Spec.Empty == record.EmptyNone {
			t.note("empty", "nothing is live")
			res.Stage = Nothing
			return res
		}
		if stage == Held && !m.holds(r, ofTargets) {
			continue
		}
		res.Stage = stage
		t.stage(stage)
		c.candidates = c.candidates[:0]
		for i := range r.hosts {
			w := r.reachable(m, &r.hosts[i], stage)
			if stage == Held && !m.wasLive(r, ofTargets, i) {
				w = wasNotLive
			}
			t.member(V4, i, w)
			if w == eligible {
				c.candidates = append(c.candidates, uint16(i))
			}
		}
		if len(c.candidates) > 0 {
			break
		}
	}
	t.candidates(c.candidates)
	c.byPriority(m, r, records)
	if res.Pick = c.hand(len(c.candidates)); res.Pick != nil {
		copy(res.Pick, c.candidates)
	}
	t.picked(res.Pick, nil)
	return res
}

// reachable reports whether a target may be answered: it has one address that
// may, in any family, or it is not ours to judge.
func (r *Rule) reachable(m *Moment, h *host, stage Stage) whether {
	if h.foreign {
		return eligible
	}
	why := isDown
	for i := range h.members {
		w := r.eligible(m, &h.members[i], stage)
		if w == eligible {
			return eligible
		}
		if w == isDrained {
			why = isDrained
		}
	}
	return why
}

// byPriority keeps answers= records of each priority, which ones in rotation.
func (c *Chooser) byPriority(m *Moment, r *Rule, records []byte) {
	if r.answers == 0 {
		return
	}
	all := c.candidates
	for i, at := range all {
		c.scores[i] = uint64(priority(records, at))
	}
	kept := 0
	draw := m.Draw
	for at := 0; at < len(all); {
		// Those of the same priority come to the front of what is left.
		end := at + 1
		for j := end; j < len(all); j++ {
			if c.scores[j] == c.scores[at] {
				all[end], all[j] = all[j], all[end]
				c.scores[end], c.scores[j] = c.scores[j], c.scores[end]
				end++
			}
		}
		same := all[at:end]
		if len(same) > r.answers {
			rotate(same, int(below(next(&draw), uint64(len(same)))))
			same = same[:r.answers]
		}
		kept += copy(all[kept:], same)
		at = end
	}
	c.candidates = all[:kept]
}

// rotate makes s begin with the element at index by.
func rotate(s []uint16, by int) {
	reverse(s[:by])
	reverse(s[by:])
	reverse(s)
}

func reverse(s []uint16) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// priority is the first field of MX and SRV alike.
func priority(records []byte, i uint16) uint16 {
	for ; i > 0; i-- {
		_, records, _ = wire.NextRecord(records)
	}
	data, _, ok := wire.NextRecord(records)
	if !ok || len(data) < 2 {
		return 0
	}
	return uint16(data[0])<<8 | uint16(data[1])
}
