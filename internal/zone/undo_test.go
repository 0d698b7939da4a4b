package zone

import (
	"testing"

	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// Whatever changes led from one version to another, what Undo makes of them leads
// back: to the records, the TTLs and the SOA of before.
func TestUndo(t *testing.T) {
	apex := name("example")
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder()
		draw := func(serial uint32) *Zone {
			list := []wire.RR{rr(apex, wire.TypeSOA, someTTL.Draw(t, "SOA's TTL"), soa(serial)), rr(apex, wire.TypeNS, 3600, name("ns1"))}
			for _, owner := range []string{name("a", "example"), name("b", "example"), name("*", "example")} {
				ttl := someTTL.Draw(t, "TTL")
				for n := range rapid.IntRange(0, 3).Draw(t, "records") {
					list = append(list, rr(owner, wire.TypeA, ttl, address(n)))
				}
				if rapid.Bool().Draw(t, "PTR") {
					list = append(list, rr(owner, wire.TypePTR, ttl, mixedCase.Draw(t, "target")))
				}
			}
			return compile(t, b, list)
		}
		versions := []*Zone{draw(1)}
		var undo Undo
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			last := versions[len(versions)-1]
			next := draw(last.Serial() + 1)
			undo.Take(Diff(last, next))
			versions = append(versions, next)
		}
		first, last := versions[0], versions[len(versions)-1]
		c := undo.Changes()
		if len(versions) == 1 && !c.Empty() {
			t.Fatalf("no change is undone by %v", c)
		}
		back, err := last.Apply(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := dump(back), dump(first); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// What came and went again is not touched.
func TestUndoForgets(t *testing.T) {
	var undo Undo
	www, old := rr(name("www"), wire.TypeA, 60, address(1)), rr(name("old"), wire.TypeA, 60, address(2))
	undo.Take(&Changeset{Del: []wire.RR{old}, Add: []wire.RR{www}})
	undo.Take(&Changeset{Del: []wire.RR{www}, Add: []wire.RR{old}})
	if c := undo.Changes(); !c.Empty() {
		t.Errorf("%v", c)
	}
}
