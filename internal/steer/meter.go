package steer

import "sync/atomic"

// Unit names a site or node in all zones that use it.
type Unit struct {
	Zone string // that declares it, with its final dot
	Name string // its label
	Node bool
}

// Meters count the answers that name sites and nodes with a capacity. A unit
// keeps its count in all versions of all zones that use it. Cells is for one
// goroutine at a time.
type Meters struct {
	lanes int
	units map[Unit]Cell
	last  *cells
	used  int // of last
}

// cellsEach is how many cells lie together: a lane of them is a page.
const cellsEach = 512

// cells are cells side by side, those of one worker in a lane of their own: what
// it counts is on no other's cache lines.
type cells struct{ lanes [][cellsEach]atomic.Uint64 }

// Cell is the count of one unit. The zero Cell counts nothing.
type Cell struct {
	cells *cells
	at    int
}

// NewMeters returns Meters for so many workers; more of them share lanes.
func NewMeters(lanes int) *Meters {
	return &Meters{lanes: max(1, lanes), units: map[Unit]Cell{}}
}

// Cells are those of a program's units, as Bound.Cells has them; nil: no rule of
// it has any.
func (m *Meters) Cells(p *Program) []Cell {
	var out []Cell
	for _, r := range p.rules {
		if !r.Metered() {
			continue
		}
		if out == nil {
			out = make([]Cell, len(p.Nodes)+len(p.Sites))
		}
		for _, unit := range r.spread.units {
			out[unit] = m.cell(p.UnitAt(unit))
		}
	}
	return out
}

func (m *Meters) cell(u Unit) Cell {
	if c, ok := m.units[u]; ok {
		return c
	}
	if m.last == nil || m.used == cellsEach {
		m.last, m.used = &cells{make([][cellsEach]atomic.Uint64, m.lanes)}, 0
	}
	c := Cell{m.last, m.used}
	m.used++
	m.units[u] = c
	return c
}

// Forget ends the counts of units that nothing uses any more.
func (m *Meters) Forget(used func(Unit) bool) {
	for u := range m.units {
		if !used(u) {
			delete(m.units, u)
		}
	}
}

// add counts one answer of a worker; lanes begin with 1.
func (c Cell) add(lane int) {
	if c.cells != nil {
		c.cells.lanes[uint(lane-1)%uint(len(c.cells.lanes))][c.at].Add(1)
	}
}

// Total is how many answers were counted.
func (c Cell) Total() (sum uint64) {
	if c.cells == nil {
		return 0
	}
	for i := range c.cells.lanes {
		sum += c.cells.lanes[i][c.at].Load()
	}
	return sum
}

// UnitAt is the unit of a bit of Bound.Drained.
func (p *Program) UnitAt(unit uint32) Unit {
	if int(unit) < len(p.Nodes) {
		n := &p.Nodes[unit]
		return Unit{n.Zone, n.Name, true}
	}
	s := &p.Sites[int(unit)-len(p.Nodes)]
	return Unit{s.Zone, s.Name, false}
}

// Metered calls f for each unit whose answers are counted, with its capacity in
// answers a second and how many were.
func (b *Bound) Metered(f func(u Unit, capacity, answers uint64)) {
	for unit, c := range b.Cells {
		if c.cells == nil {
			continue
		}
		capacity := uint64(0)
		if unit < len(b.Nodes) {
			capacity = b.Nodes[unit].Capacity
		} else {
			capacity = b.Sites[unit-len(b.Nodes)].Capacity
		}
		f(b.UnitAt(uint32(unit)), capacity, c.Total())
	}
}

// Spilled is Bound.Spill for the shares of some units, up to Whole; nil: none of
// them is the program's.
func (b *Bound) Spilled(shares map[Unit]uint32) (spill []uint32) {
	if len(shares) == 0 {
		return nil
	}
	for unit, c := range b.Cells {
		if c.cells == nil {
			continue
		}
		share, ok := shares[b.UnitAt(uint32(unit))]
		if !ok || share >= Whole {
			continue
		}
		if spill == nil {
			spill = make([]uint32, len(b.Cells))
			for i := range spill {
				spill[i] = Whole
			}
		}
		spill[unit] = share
	}
	return spill
}
