package record

import (
	"fmt"
	"net/netip"
)

// ParseNode reads a _node record. The Node is whole only if no problem is an
// error.
func ParseNode(text []byte, o Origin) (Node, []Problem) {
	p := newParser(node, text, o)
	n := Node{Weight: 1, Must: p.must, Tags: p.all}
	addrs, probes := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	var need *Tag
	for i := range p.tags {
		t := &p.tags[i]
		it := item{t.Value, t.ValueAt}
		switch t.Key {
		case "addr":
			if a, ok := p.addr(t.Key, it); ok && once(p, t, addrs, a) {
				n.Addrs = append(n.Addrs, a)
			}
		case "probe":
			if a, ok := p.addr(t.Key, it); ok && once(p, t, probes, a) {
				n.Probes = append(n.Probes, a)
			}
		case "need":
			need = t
		case "weight":
			if w, ok := p.number(t, 0, maxWeight); ok {
				n.Weight = int(w)
			}
		case "site":
			n.Site, _ = p.label(t.Key, it)
		case "drain":
			n.Drain = p.yes(t)
		case "capacity":
			n.Capacity, _ = p.number(t, 1, maxCapacity)
		}
	}
	p.need(&n, need)
	return n, p.done()
}

// maxWeight is the greatest weight, as in SRV records (RFC 2782).
const maxWeight = 65535

// need reads need=, which is about all probe= of the record.
func (p *parser) need(n *Node, t *Tag) {
	if len(n.Probes) > 0 {
		n.Need = 1
	}
	if t == nil {
		return
	}
	need, ok := p.number(t, 1, 65535)
	switch {
	case !ok:
	case len(n.Probes) == 0:
		p.clash(t.ValueAt, t.Key, "need= stands without probe=", "add the probe= addresses of which so many must answer, or remove need=")
	case need > uint64(len(n.Probes)):
		p.clash(t.ValueAt, t.Key, fmt.Sprintf("need=%d is more than there are probe= addresses (%d)", need, len(n.Probes)), "lower it, or add addresses")
	default:
		n.Need = int(need)
	}
}
