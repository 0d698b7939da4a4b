package steer

import (
	"strings"

	"geodns/internal/wire"
)

// Summary says in one line what was chosen and why.
func (p *Program) Summary(r *Rule, t wire.Type, res *Result) string {
	var b strings.Builder
	b.WriteString("policy ")
	b.WriteString(r.PolicyName())
	b.WriteString(", pick ")
	b.WriteString(r.PickName())
	if name := p.SiteName(r, res.Site); name != "" {
		b.WriteString(", site " + name)
	}
	b.WriteString(": " + res.Stage.String())
	if f, ok := familyOf(t); ok {
		fam := &r.family[f]
		switch {
		case res.Stage >= LastResort:
		case res.Pick == nil:
			b.WriteString("; all")
		default:
			for i, at := range res.Pick {
				if i == maxTold {
					b.WriteString(" ..")
					break
				}
				b.WriteString(" " + fam.members[at].addr.String())
			}
		}
	}
	return b.String()
}

// maxTold is how many addresses a summary lists.
const maxTold = 4

func familyOf(t wire.Type) (Family, bool) {
	switch t {
	case wire.TypeA:
		return V4, true
	case wire.TypeAAAA:
		return V6, true
	}
	return 0, false
}
