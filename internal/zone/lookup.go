package zone

import "geodns/internal/wire"

// Kind is where a walk down from the apex ended.
type Kind uint8

const (
	// Exact: the name exists (RFC 4592 2.2).
	Exact Kind = iota
	// Missing: it doesn't; Node is the closest encloser.
	Missing
	// Cut: it is at or below a delegation; Node is the topmost cut.
	Cut
	// Redirected: it is below a DNAME; Node holds it.
	Redirected
)

// Match is the result of a look-up.
type Match struct {
	Kind Kind
	Node Node
	// Label is where Node's name begins in the name that was looked up: the
	// name's Suffix(Label).
	Label int

	hash uint64 // of Node's name
}

// Lookup walks down from the apex, a label at a time, as RFC 1034 4.3.2 step 3
// says; the first miss gives the closest encloser. name must be at or below
// the apex.
func (z *Zone) Lookup(name *wire.Name) Match {
	m := Match{Kind: Exact, Node: z.node, Label: name.NLabels - z.labels, hash: z.index.seed}
	end := int(name.Labels[m.Label])
	for m.Label > 0 {
		f := m.Node.flags()
		if f&(flagCut|flagDNAME|flagChildren) != flagChildren {
			switch {
			case f&flagCut != 0:
				m.Kind = Cut
				return m
			case f&flagDNAME != 0:
				m.Kind = Redirected
				return m
			}
			m.Kind = Missing
			return m
		}
		at := int(name.Labels[m.Label-1])
		h := hashLabel(m.hash, name.Buf[at+1:at+1+int(name.Buf[at])])
		n, _, _, ok := z.index.find(&z.arena, h, nil, name.Buf[at:end])
		if !ok || n.flags()&flagHidden != 0 {
			m.Kind = Missing
			return m
		}
		m.Node, m.hash = n, h
		m.Label--
	}
	if m.Node.Cut() {
		m.Kind = Cut
	}
	return m
}

// star is the first label of a wildcard (RFC 4592 2.1.1).
var star = []byte{1, '*'}

// Wildcard returns the wildcard below the closest encloser that a look-up
// found, if there is one (RFC 4592 3.3.1: the source of synthesis).
func (z *Zone) Wildcard(m *Match) (Node, bool) {
	if m.Node.flags()&flagWildcard == 0 {
		return Node{}, false
	}
	n, _, _, ok := z.index.find(&z.arena, hashLabel(m.hash, star[1:]), star, m.Node.Rel())
	return n, ok
}

// Find returns the node of a name, whatever stands above it: glue and what is
// occluded too. name must be in lower case, at or below the apex.
func (z *Zone) Find(name []byte) (Node, bool) {
	rel := name[:len(name)-len(z.apex)]
	n, _, _, ok := z.index.find(&z.arena, z.index.hashRel(rel), nil, rel)
	return n, ok
}

// Contains reports whether a name, in lower case, is at or below the apex.
func (z *Zone) Contains(name []byte) bool { return wire.HasSuffix(name, z.apex) }

// Labels is how many labels the apex has.
func (z *Zone) Labels() int { return z.labels }

// Hash is that of a name below the apex (Node.Rel) in this zone and in all
// versions that Apply makes of it.
func (z *Zone) Hash(rel []byte) uint64 { return z.index.hashRel(rel) }

// Hash is that of Node's name: see Zone.Hash.
func (m *Match) Hash() uint64 { return m.hash }

// WildcardHash is that of the wildcard below Node's name.
func (m *Match) WildcardHash() uint64 { return hashLabel(m.hash, star[1:]) }

// AtApex is the match of a name below the apex that does not exist, nor
// anything between it and the apex.
func (z *Zone) AtApex(name *wire.Name) Match {
	return Match{Kind: Missing, Node: z.node, Label: name.NLabels - z.labels, hash: z.index.seed}
}
