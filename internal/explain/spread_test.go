package explain

import (
	"slices"
	"strings"
	"testing"

	"geodns/internal/steer"
	"geodns/internal/world"
)

// Who is full says so, and who was passed over for that; when all are, that one
// of them serves all the same.
func TestSpread(t *testing.T) {
	const text = `$ORIGIN s.example.
$TTL 60
@ SOA ns1 h 1 2 3 4 5
  NS ns1
ns1 A 192.0.2.53
www A 192.0.2.1
www A 198.51.100.1
one._site TXT "v=site1; net=192.0.2.0/24; capacity=100"
two._node TXT "v=node1; addr=198.51.100.1; capacity=100"
www._steer TXT "v=steer1"
`
	table := networks(t)
	w := serve(t, text, table, situation{})
	shares := func(one, two float64) {
		s := w.Zones.Get([]byte("\x01s\x07example\x00")).With(func(b *steer.Bound) {
			b.Cells = steer.NewMeters(1).Cells(b.Program)
			b.Spill = b.Spilled(map[steer.Unit]uint32{
				{Zone: "s.example.", Name: "one"}:             uint32(one * steer.Whole),
				{Zone: "s.example.", Name: "two", Node: true}: uint32(two * steer.Whole),
			})
		})
		w.Zones = w.Zones.With(world.Change{Put: []*world.Served{s}})
	}
	spread := func() (Step, Scope) {
		t.Helper()
		c := ask(t, w, table, "www.s.example A 203.0.113.1 203.0.113.0/24").Choices[0]
		i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.Step == "spread" })
		if i < 0 {
			t.Fatal("the step is not told")
		}
		return c.Steps[i], c.Scope
	}
	s, scope := spread()
	if len(s.In) != 2 || len(s.Out) != 0 || !strings.Contains(s.Note, "nothing is full") {
		t.Errorf("nothing is full: %+v", s)
	}
	if scope.Length != 24 || !strings.Contains(scope.Why, "whole networks") {
		t.Errorf("the scope is %+v", scope)
	}
	shares(0.001, 1)
	s, _ = spread()
	if len(s.In) != 1 || len(s.Out) != 1 || s.Out[0].Name != "192.0.2.1" || *s.Out[0].Takes != 1 || s.Out[0].Why != "spills 99 %: this client is passed over" {
		t.Errorf("one is full: %+v", s)
	}
	shares(0.001, 0.001)
	s, _ = spread()
	if len(s.In) != 2 || !strings.Contains(s.Note, "one of them serves it all the same") {
		t.Errorf("all are full: %+v", s)
	}
}
