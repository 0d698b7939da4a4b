package zone

import (
	"bytes"

	"geodns/internal/wire"
)

// Diff returns what makes new out of old, two versions of one zone: Apply of it
// to old gives what new holds. Time grows with the zones. An RRset whose TTL
// changed goes and comes as a whole.
func Diff(old, new *Zone) *Changeset {
	c := &Changeset{}
	old.each2(new, func(owner []byte, a, b Node) {
		for it := a.All(); it.Next(); {
			s := it.Set
			other, ok := matching(b, &s)
			if ok && other.TTL == s.TTL && bytes.Equal(other.Records, s.Records) {
				continue
			}
			c.Del = missing(c.Del, owner, &s, &other, ok && other.TTL == s.TTL)
		}
	})
	new.each2(old, func(owner []byte, a, b Node) {
		for it := a.All(); it.Next(); {
			s := it.Set
			other, ok := matching(b, &s)
			if ok && other.TTL == s.TTL && bytes.Equal(other.Records, s.Records) {
				continue
			}
			c.Add = missing(c.Add, owner, &s, &other, ok && other.TTL == s.TTL)
		}
	})
	return c
}

// each2 walks over z's names, with the node of the same name in other.
func (z *Zone) each2(other *Zone, f func(owner []byte, a, b Node)) {
	empty := Node{[]byte{0, 0, 0, 0}}
	z.index.each(func(pos uint32) bool {
		a := Node{z.at(pos)}
		rel := a.Rel()
		b, _, _, ok := other.index.find(&other.arena, other.index.hashRel(rel), nil, rel)
		if !ok {
			b = empty
		}
		f(append(append(make([]byte, 0, len(rel)+len(z.apex)), rel...), z.apex...), a, b)
		return true
	})
}

// matching is the set of a node that has the same type, and covers the same.
func matching(n Node, s *RRset) (RRset, bool) {
	for it := n.All(); it.Next(); {
		if it.Set.Type == s.Type && it.Set.Covered() == s.Covered() {
			return it.Set, true
		}
	}
	return RRset{}, false
}

// missing appends the records of s that other, if there is one to compare
// with, doesn't have.
func missing(to []wire.RR, owner []byte, s, other *RRset, compare bool) []wire.RR {
	var have map[string]bool
	if compare {
		have = make(map[string]bool, other.Count())
		for r := other.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				break
			}
			have[string(data)] = true
			r = rest
		}
	}
	for r := s.Records; ; {
		data, rest, ok := wire.NextRecord(r)
		if !ok {
			return to
		}
		if !have[string(data)] {
			to = append(to, wire.RR{Owner: owner, Type: s.Type, TTL: s.TTL, Data: data})
		}
		r = rest
	}
}
