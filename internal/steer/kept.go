package steer

import (
	"slices"
	"strings"

	"geodns/internal/steer/record"
)

// What empty=hold remembers for policies other than failover: which records were
// live before the last of them went.

// Kept has a bit for each record of a rule that was live last: of A, of AAAA, and
// of MX or SRV.
type Kept [3][]uint64

// ofTargets is the place of MX and SRV records in a Kept, after the families'.
const ofTargets = int(families)

func (k Kept) equal(o Kept) bool {
	for i := range k {
		if !slices.Equal(k[i], o[i]) {
			return false
		}
	}
	return true
}

// keeping is the same by what tells records apart in all versions of a zone, one
// after the other: addresses of a family, which are all as long, or names of
// targets in wire form. It is compared with ==.
type keeping [3]string

// keeps reports whether the rule's answers are held when nothing is live any
// more. What is not probed lives for ever.
func (r *Rule) keeps() bool {
	if r.Spec.Empty != record.EmptyHold || r.policy == record.PolicyFailover || r.cnames != nil {
		return false
	}
	probed := false
	r.each(func(x *member) { probed = probed || len(x.targets) > 0 })
	return probed
}

// keep is what was live last, when before was it until now.
func (r *Rule) keep(m *Moment, before *keeping) (now keeping) {
	if !r.keeps() {
		return now
	}
	for f := range r.family {
		live := ""
		fam := &r.family[f]
		for i := range fam.members {
			if r.eligible(m, &fam.members[i], Normal) == eligible {
				live += string(fam.members[i].addr.AsSlice())
			}
		}
		if now[f] = live; live == "" && fam.held {
			now[f] = before[f]
		}
	}
	var live strings.Builder
	for i := range r.hosts {
		if r.reachable(m, &r.hosts[i], Normal) == eligible {
			live.Write(r.hosts[i].name)
		}
	}
	if now[ofTargets] = live.String(); now[ofTargets] == "" && r.hosts != nil {
		now[ofTargets] = before[ofTargets]
	}
	return now
}

// bits are the records of the rule that were kept.
func (r *Rule) bits(kept *keeping) (k Kept) {
	for f := range r.family {
		members := r.family[f].members
		if kept[f] == "" {
			continue
		}
		was := map[string]bool{}
		size := len(members[0].addr.AsSlice())
		for at := 0; at+size <= len(kept[f]); at += size {
			was[kept[f][at:at+size]] = true
		}
		k[f] = bitsOf(len(members), func(i int) bool { return was[string(members[i].addr.AsSlice())] })
	}
	if kept[ofTargets] != "" {
		was := map[string]bool{}
		for rest := kept[ofTargets]; rest != ""; {
			n := nameLen(rest)
			was[rest[:n]], rest = true, rest[n:]
		}
		k[ofTargets] = bitsOf(len(r.hosts), func(i int) bool { return was[string(r.hosts[i].name)] })
	}
	return k
}

// nameLen is how long the name is that a text begins with, in wire form.
func nameLen(s string) int {
	n := 0
	for n < len(s) && s[n] != 0 {
		n += 1 + int(s[n])
	}
	return min(n+1, len(s))
}

func bitsOf(n int, has func(i int) bool) []uint64 {
	set := make([]uint64, (n+63)/64)
	for i := range n {
		if has(i) {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return set
}

// wasLive reports whether a record was among those that were live last. of is
// its family, or ofTargets.
func (m *Moment) wasLive(r *Rule, of, i int) bool {
	return r.Number < len(m.Kept) && bit(m.Kept[r.Number][of], uint32(i))
}

// holds reports whether the answers of the rule can be held.
func (m *Moment) holds(r *Rule, of int) bool {
	return r.Number < len(m.Kept) && m.Kept[r.Number][of] != nil
}
