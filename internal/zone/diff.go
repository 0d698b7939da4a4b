package zone

import (
	"bytes"

	"geodns/internal/wire"
)

// Diff returns what makes new out of old, two versions of one zone: Apply of it
// to old gives what new holds. Time grows with the zones. An RRset whose TTL
// changed goes and comes as a whole.
func Diff(old, new *Zone) *Changeset {
	return &Changeset{Del: old.beyond(new), Add: new.beyond(old)}
}

// SOAFirst puts the SOAs in front, as they stand in IXFR (RFC 1995 4).
func (c *Changeset) SOAFirst() {
	for _, list := range [...][]wire.RR{c.Del, c.Add} {
		for i := range list {
			if list[i].Type == wire.TypeSOA {
				soa := list[i]
				copy(list[1:i+1], list[:i])
				list[0] = soa
				break
			}
		}
	}
}

// beyond lists the records of z that other doesn't have.
func (z *Zone) beyond(other *Zone) (list []wire.RR) {
	empty := Node{[]byte{0, 0, 0, 0}}
	z.index.each(func(pos uint32) bool {
		a := Node{z.at(pos)}
		rel := a.Rel()
		b, _, _, ok := other.index.find(&other.arena, other.index.hashRel(rel), nil, rel)
		if !ok {
			b = empty
		}
		var owner []byte // made for names that differ only
		for it := a.All(); it.Next(); {
			s := &it.Set
			o, ok := matching(b, s)
			ok = ok && o.TTL == s.TTL
			if ok && bytes.Equal(o.Records, s.Records) {
				continue
			}
			if owner == nil {
				owner = append(append(make([]byte, 0, len(rel)+len(z.apex)), rel...), z.apex...)
			}
			list = missing(list, owner, s, &o, ok)
		}
		return true
	})
	return list
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
