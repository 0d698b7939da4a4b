package syncing

import (
	"slices"
	"testing"
)

// A restarted secondary answers by what it has, drains included, while its primary
// is dead; a restarted primary goes on with its numbers and its drains.
func TestRestarts(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	const zone = "cluster.example."
	main := n.geodns(1, setup{zones: map[string]string{"cluster.example": cluster}, notify: []int{2}})
	second := n.geodns(2, setup{secondary: map[string][]int{"cluster.example": {1}}})
	reaches(t, second, zone, 1)
	main.control("drain", "lon", "--for", "1h", "--force")
	without := func(list []string) bool { return slices.Equal(list, []string{"198.51.100.10"}) }
	all(t, []*server{second}, "www", without)
	serial := serialOf(second.at(), zone)
	main.kill()
	second.kill()
	second.boot()
	if got := serialOf(second.at(), zone); got != serial {
		t.Errorf("with its primary dead, the restarted secondary has serial %d, not %d\n%s", got, serial, second.log())
	}
	if list := addresses(second.at(), "www."+zone); !without(list) {
		t.Errorf("with its primary dead, the restarted secondary answers %v\n%s", list, second.log())
	}
	main.boot()
	if got := serialOf(main.at(), zone); got != serial {
		t.Errorf("the restarted primary has serial %d, not %d\n%s", got, serial, main.log())
	}
	if list := addresses(main.at(), "www."+zone); !without(list) {
		t.Errorf("the restarted primary answers %v\n%s", list, main.log())
	}
	main.control("undrain", "lon")
	all(t, []*server{main, second}, "www", func(list []string) bool { return len(list) == 2 })
	// What was undone while the secondary was dead, it learns when it is back.
	second.kill()
	main.control("drain", "nyc", "--for", "1h", "--force")
	second.boot()
	all(t, []*server{second}, "www", func(list []string) bool { return slices.Equal(list, []string{"192.0.2.10"}) })
}
