package zone

import (
	"fmt"

	"geodns/internal/wire"
)

// Changeset is what makes one version of a zone out of another: what goes, and
// what comes. A new SOA stands in both, as in IXFR (RFC 1995 4).
type Changeset struct {
	Del, Add []wire.RR
}

// Empty reports whether nothing changes.
func (c *Changeset) Empty() bool { return len(c.Del) == 0 && len(c.Add) == 0 }

// Apply returns the zone with the changes made. It is exact: a record to go
// that isn't there, or one to come that is, is an error, as is a result that
// breaks a rule of zones; then z is still what it was. Time and memory grow
// with the change, not with the zone.
func (z *Zone) Apply(c *Changeset) (*Zone, error) {
	n := *z
	e := edit{z: &n, drafts: map[string]*edited{}}
	for i := range c.Del {
		if err := e.del(&c.Del[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.Add {
		if err := e.add(&c.Add[i]); err != nil {
			return nil, err
		}
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	e.link()
	if err := e.write(); err != nil {
		return nil, err
	}
	n.tidy()
	return &n, nil
}

// edit is a change under way: the names that it touches, taken apart.
type edit struct {
	z      *Zone // the new version
	drafts map[string]*edited
	order  []*edited // as they were touched
}

type edited struct {
	draft
	old     Node // zero: there was none
	visible bool // before the change
}

// touch returns the draft of a name below the apex.
func (e *edit) touch(rel []byte) *edited {
	if d := e.drafts[string(rel)]; d != nil {
		return d
	}
	d := &edited{}
	d.rel = append([]byte(nil), rel...)
	if n, _, _, ok := e.z.index.find(&e.z.arena, e.z.index.hashRel(rel), nil, rel); ok {
		d.load(n)
		d.old = n
		d.visible = n.flags()&flagHidden == 0
	}
	e.drafts[string(rel)] = d
	e.order = append(e.order, d)
	return d
}

func (e *edit) owner(rr *wire.RR) (*edited, error) {
	if !wire.HasSuffix(rr.Owner, e.z.apex) {
		return nil, fmt.Errorf("%s is not in the zone %s", wire.NameString(rr.Owner), wire.NameString(e.z.apex))
	}
	if wire.MetaType(rr.Type) {
		return nil, fmt.Errorf("%s: type %d can only be asked for", wire.NameString(rr.Owner), rr.Type)
	}
	if rr.Type == wire.TypeSOA && len(rr.Owner) != len(e.z.apex) {
		return nil, fmt.Errorf("%s: a SOA below the apex", wire.NameString(rr.Owner))
	}
	return e.touch(rr.Owner[:len(rr.Owner)-len(e.z.apex)]), nil
}

func (e *edit) del(rr *wire.RR) error {
	d, err := e.owner(rr)
	if err != nil {
		return err
	}
	if !d.draft.del(rr) {
		return fmt.Errorf("%s: a record of type %d is to go that isn't there", wire.NameString(rr.Owner), rr.Type)
	}
	return nil
}

func (e *edit) add(rr *wire.RR) error {
	d, err := e.owner(rr)
	if err != nil {
		return err
	}
	switch p := d.draft.add(rr, false); p {
	case nil:
		return nil
	case duplicate:
		return fmt.Errorf("%s: a record of type %d is to come that is there already", wire.NameString(rr.Owner), rr.Type)
	default:
		return fmt.Errorf("%s: %w", wire.NameString(rr.Owner), p)
	}
}

// check holds the rules of single names, before anything is written.
func (e *edit) check() error {
	for _, d := range e.order {
		if len(d.rel) == 0 {
			if d.find(wire.TypeSOA, 0) < 0 {
				return noSOA
			}
			if d.find(wire.TypeNS, 0) < 0 {
				return noNS
			}
		}
		if p := d.conflict(); p != nil {
			return fmt.Errorf("%s: %w", wire.NameString(append(d.rel[:len(d.rel):len(d.rel)], e.z.apex...)), p)
		}
	}
	return nil
}

// link carries names that came or went up the tree: parents count them, ENTs
// come and go with them (RFC 4592 2.2.2).
func (e *edit) link() {
	// A parent that changes its visibility is put at the end of e.order, so
	// that the loop comes to it; one that stands before is gone back to.
	work := append([]*edited(nil), e.order...)
	for len(work) > 0 {
		d := work[len(work)-1]
		work = work[:len(work)-1]
		now := d.draft.visible() && d.stored()
		if now == d.visible || len(d.rel) == 0 {
			continue
		}
		d.visible = now
		parent := e.touch(d.rel[1+int(d.rel[0]):])
		star := d.rel[0] == 1 && d.rel[1] == '*'
		if now {
			parent.children++
			parent.wildcard = parent.wildcard || star
		} else {
			parent.children--
			parent.wildcard = parent.wildcard && !star
		}
		work = append(work, parent)
	}
}

// write appends the nodes that changed, and leads the index to them.
func (e *edit) write() error {
	z := e.z
	places := make([]uint32, len(e.order))
	for i, d := range e.order {
		if d.old.Valid() {
			z.live -= d.old.size()
		}
		if d.stored() {
			mem, pos := z.alloc(d.size())
			d.encode(mem)
			places[i] = pos
		}
	}
	if len(z.chunks) > maxChunks {
		return zoneTooLarge
	}
	if z.index.full(len(e.order)) || uint64(z.units()) > uint64(z.index.place)+1 {
		z.index = z.index.rebuilt(&z.arena, int(z.index.names)+len(e.order))
	}
	w := z.index.change(&z.arena)
	for i, d := range e.order {
		switch {
		case places[i] != 0:
			w.put(d.rel, places[i])
		case d.old.Valid():
			w.remove(d.rel)
		}
	}
	if p := z.refresh(); p != nil {
		return p
	}
	e.reorder(places)
	return nil
}

// reorder brings the order of NSEC or NSEC3 names up to the change.
func (e *edit) reorder(places []uint32) {
	z := e.z
	nsec3, signed := chainOf(z.node)
	if !signed || z.order == nil || z.order.nsec3 != nsec3 {
		if signed || z.order != nil {
			z.reorder()
		}
		return
	}
	r := z.changeOrder()
	for i, d := range e.order {
		held := d.old.Valid() && z.order.holds(d.old)
		switch {
		case d.find(z.order.denialType(), 0) >= 0:
			r.put(d.rel, places[i])
		case held:
			r.remove(d.rel)
		}
	}
}

// tidy copies a zone of which too much is no more, or that lies in too many
// small chunks.
func (z *Zone) tidy() {
	if z.wasteful() && z.total > 4096 || len(z.chunks) > 8+z.total/(chunkSize/4) {
		z.compact()
		if z.order != nil {
			z.reorder()
		}
	}
}
