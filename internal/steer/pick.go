package steer

import (
	"math/bits"

	"geodns/internal/steer/record"
)

// The networks of one client for sticky picks, in bits: what resolvers send
// (RFC 7871 11.1) and what one user may roam in.
const (
	stickyV4 = 24
	stickyV6 = 56
)

// next steps a random state (splitmix64).
func next(draw *uint64) uint64 {
	*draw += 0x9e3779b97f4a7c15
	return mix(*draw)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1, all equally likely within 2^-64.
func below(draw uint64, n uint64) uint64 {
	hi, _ := bits.Mul64(draw, n)
	return hi
}

// pick orders the candidates and takes as many as are to be answered.
func (c *Chooser) pick(m *Moment, r *Rule, fam *family, res *Result, t *Trace) {
	t.candidates(c.candidates)
	n := len(c.candidates)
	k := n
	if r.answers > 0 {
		k = min(n, r.answers)
	}
	if r.pick == record.PickSticky && !m.Nobody && len(fam.members) > 1 {
		// Even if one candidate is left: the scope must not tell of verdicts, or
		// this answer would stand in for those of other networks.
		res.Scope = max(res.Scope, stickyScope(&m.Client))
	}
	draw := m.Draw
	switch {
	case n <= 1:
	case r.pick == record.PickWeighted:
		weighted(fam, c.candidates, k, fam.sumOf(c.candidates), draw)
	case r.pick == record.PickSticky && !m.Nobody:
		c.sticky(m, fam, c.candidates, k)
	default:
		start := int(below(mix(draw), uint64(n)))
		if n == len(fam.members) && k == n {
			// All of them, rotated: the list as it stands does.
			res.First = start
			t.picked(c.candidates[start:], c.candidates[:start])
			return
		}
		res.Pick = c.hand(k)
		if res.Pick == nil {
			return
		}
		for j := range res.Pick {
			res.Pick[j] = c.candidates[start]
			if start++; start == n {
				start = 0
			}
		}
		t.picked(res.Pick, nil)
		return
	}
	if res.Pick = c.hand(k); res.Pick != nil {
		copy(res.Pick, c.candidates)
		t.picked(res.Pick, nil)
	}
}

// hand hands out room for n picks. A question's answer never needs more than
// there is; a reply that would is given all records.
func (c *Chooser) hand(n int) []uint16 {
	at := len(c.picks)
	if at+n > cap(c.picks) {
		return nil
	}
	c.picks = c.picks[:at+n]
	return c.picks[at : at+n : at+n]
}

// handCopy is hand, filled with a list.
func (c *Chooser) handCopy(list []uint16) []uint16 {
	picks := c.hand(len(list))
	copy(picks, list)
	return picks
}

// weighted brings k of a list to the front: each drawn from those that are left,
// by their weights, whose sum is given. Weights of 0 come when nothing else is
// left, in turn.
func weighted(fam *family, left []uint16, k int, sum, draw uint64) {
	for ; k > 0 && len(left) > 1; k-- {
		j := 0
		if sum > 0 {
			at := below(next(&draw), sum)
			for ; at >= uint64(fam.weights[left[j]]); j++ {
				at -= uint64(fam.weights[left[j]])
			}
		} else {
			j = int(below(next(&draw), uint64(len(left))))
		}
		sum -= uint64(fam.weights[left[j]])
		left[0], left[j] = left[j], left[0]
		left = left[1:]
	}
}

// sumOf is the weights of a list.
func (f *family) sumOf(list []uint16) (sum uint64) {
	for _, i := range list {
		sum += uint64(f.weights[i])
	}
	return sum
}

// sticky brings to the front of a list the k that score highest for the
// client's network (rendezvous hashing, Thaler and Ravishankar 1998): when one
// goes only its own clients move, each to the next on their list.
func (c *Chooser) sticky(m *Moment, fam *family, left []uint16, k int) {
	network := mix(stickyNetwork(&m.Client))
	scores := c.scores[:len(left)]
	for at, i := range left {
		scores[at] = mix(network ^ fam.keys[i])
	}
	bring(left, scores, k)
}

// bring brings to the front of a list the k of the greatest scores, in order.
func bring(left []uint16, scores []uint64, k int) {
	for at := 0; at < k && at < len(left)-1; at++ {
		best := at
		for j := at + 1; j < len(left); j++ {
			if scores[j] > scores[best] {
				best = j
			}
		}
		left[at], left[best] = left[best], left[at]
		scores[at], scores[best] = scores[best], scores[at]
	}
}

func stickyNetwork(c *Client) uint64 {
	if c.V4 {
		return c.Lo >> (32 - stickyV4)
	}
	return c.Hi>>(64-stickyV6) | 1<<63
}

func stickyScope(c *Client) uint8 {
	if c.V4 {
		return stickyV4
	}
	return stickyV6
}
