package monitor

import (
	"maps"
	"net/netip"
	"slices"

	"geodns/internal/steer"
)

// vicinity knows which addresses are at the site where this server stands, by
// what all programs that are bound say of sites and nodes.
type vicinity struct {
	site  string // its label; "": it stands at none
	nets  map[netip.Prefix]claim
	hosts map[netip.Addr]claim       // whose site a node's record says
	bound map[*uint32]*steer.Program // by their first slot
}

// claim is how many programs say of something that it is at the server's own
// site, and at another one.
type claim struct{ own, other int }

func newVicinity(site string) vicinity {
	return vicinity{
		site: site, nets: map[netip.Prefix]claim{}, hosts: map[netip.Addr]claim{}, bound: map[*uint32]*steer.Program{},
	}
}

// bind takes in what a program says, unbind takes it back. They report whether
// anything may be elsewhere than before.
func (v *vicinity) bind(slots []uint32, p *steer.Program) (changed bool) {
	if v.site == "" || len(slots) == 0 {
		return false
	}
	v.bound[&slots[0]] = p
	return v.count(p, 1)
}

func (v *vicinity) unbind(slots []uint32) (changed bool) {
	if len(slots) == 0 || v.bound[&slots[0]] == nil {
		return false
	}
	p := v.bound[&slots[0]]
	delete(v.bound, &slots[0])
	return v.count(p, -1)
}

func (v *vicinity) count(p *steer.Program, n int) (changed bool) {
	for i := range p.Sites {
		for _, net := range p.Sites[i].Nets {
			changed = note(v.nets, net.Masked(), p.Sites[i].Name == v.site, n) || changed
		}
	}
	for i := range p.Nodes {
		node := &p.Nodes[i]
		label := node.Site
		if label == "" && len(node.Probes) > 0 {
			label = siteOf(p, node.Addrs[0])
		}
		if label == "" {
			continue
		}
		for _, a := range slices.Concat(node.Addrs, node.Probes) {
			changed = note(v.hosts, a, label == v.site, n) || changed
		}
	}
	return changed
}

// note counts a claim up or down, and reports whether that makes a difference.
func note[Key comparable](claims map[Key]claim, k Key, own bool, n int) (changed bool) {
	old := claims[k]
	c := old
	if own {
		c.own += n
	} else {
		c.other += n
	}
	if c == (claim{}) {
		delete(claims, k)
	} else {
		claims[k] = c
	}
	return (old.own > 0) != (c.own > 0) || (old.other > 0) != (c.other > 0)
}

// siteOf is the label of the site of a program whose net holds an address: the
// longest match; "": none does.
func siteOf(p *steer.Program, a netip.Addr) (label string) {
	bits := -1
	for i := range p.Sites {
		for _, net := range p.Sites[i].Nets {
			if net.Contains(a) && net.Bits() > bits {
				label, bits = p.Sites[i].Name, net.Bits()
			}
		}
	}
	return label
}

// lengths are those of the prefixes, the longest first.
func (v *vicinity) lengths() []int {
	set := map[int]bool{}
	for net := range v.nets {
		set[net.Bits()] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b int) int { return b - a })
}

// holds reports whether an address is at the server's own site. lengths are the
// vicinity's.
func (v *vicinity) holds(a netip.Addr, lengths []int) bool {
	if c, ok := v.hosts[a]; ok {
		return c.own > 0
	}
	for _, bits := range lengths {
		net, err := a.Prefix(bits)
		if err != nil {
			continue // too long for IPv4
		}
		if c, ok := v.nets[net]; ok {
			return c.own > 0
		}
	}
	return false
}

// declared reports whether some program says what is at the server's own site.
func (v *vicinity) declared() bool {
	for _, c := range v.nets {
		if c.own > 0 {
			return true
		}
	}
	for _, c := range v.hosts {
		if c.own > 0 {
			return true
		}
	}
	return false
}
