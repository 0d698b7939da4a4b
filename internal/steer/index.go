package steer

// index finds the rules of an owner by the hash that the zone has computed of
// its name already: open addressing, half of the slots empty.
type index struct {
	slots []slot
	count int
}

type slot struct {
	hash uint64
	rule *Rule // the first of the owner's
}

func newIndex(n int) index {
	size := 4
	for size < 2*n {
		size *= 2
	}
	return index{slots: make([]slot, size)}
}

func (x *index) find(hash uint64, rel []byte) *Rule {
	if len(x.slots) == 0 {
		return nil
	}
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &x.slots[i]
		if s.rule == nil {
			return nil
		}
		if s.hash == hash && string(s.rule.Owner) == string(rel) {
			return s.rule
		}
	}
}

// add puts a rule in, behind those of the same owner.
func (x *index) add(hash uint64, r *Rule) {
	if first := x.find(hash, r.Owner); first != nil {
		for first.next != nil {
			first = first.next
		}
		first.next = r
		return
	}
	mask := uint64(len(x.slots) - 1)
	i := hash & mask
	for x.slots[i].rule != nil {
		i = (i + 1) & mask
	}
	x.slots[i] = slot{hash, r}
	x.count++
}
