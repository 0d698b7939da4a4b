package syncing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/tests/harness"
)

const catalogZone = "catalog.example"

// producing and following are what a geodns says about the catalog.
const producing = "catalog: {produce: " + catalogZone + "}\n"

func (n *network) following(host int) string {
	return fmt.Sprintf("catalog: {consume: [{zone: %s, key: %s, primaries: [%q]}]}\n", catalogZone, keyName, n.at(host))
}

// bindFollows is a BIND that takes what a catalog lists.
func (n *network) bindFollows(host, primary int) *server {
	n.t.Helper()
	r := &role{zones: map[string]string{catalogZone: ""}, primary: primary}
	from := fmt.Sprintf("{ %s port %d key %s; }", n.addr(primary), n.port, keyName)
	conf := n.bind(host, r) // its first block is that of the options
	const options = "options {\n"
	conf = options + fmt.Sprintf(" catalog-zones { zone %q default-primaries %s in-memory yes min-update-interval 1; };\n", catalogZone, from) + conf[len(options):]
	// Members are told of like the catalog; their NOTIFY comes from the primary.
	conf = options + fmt.Sprintf(" allow-notify { key %s; };\n", keyName) + conf[len(options):]
	write(n.t, conf, n.home(host), "bind.conf")
	return n.serve(harness.BIND, host, program(n.t, "named"), "-g", "-n", "1", "-c", filepath.Join(n.home(host), "bind.conf"))
}

// knotFollows is a Knot that takes what a catalog lists.
func (n *network) knotFollows(host, primary int) *server {
	n.t.Helper()
	conf := n.knot(host, &role{zones: map[string]string{catalogZone: ""}, primary: primary})
	conf += "    catalog-role: interpret\n    catalog-template: member\n"
	const zones = "zone:\n"
	at := strings.Index(conf, zones)
	conf = conf[:at] + fmt.Sprintf("  - id: member\n    storage: %s\n    master: r%d\n    acl: [transfer]\n    zonefile-sync: -1\n    zonefile-load: none\n    journal-content: all\n", n.home(host), primary) + conf[at:]
	write(n.t, conf, n.home(host), "knot.conf")
	return n.serve(harness.Knot, host, program(n.t, "knotd"), "-c", filepath.Join(n.home(host), "knot.conf"))
}

// A new zone file on the primary appears on BIND, Knot and another geodns with
// nothing configured there, changes there, and goes there with its file.
func TestCatalogProduced(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	first := newModel(r, "first.example.")
	main := n.geodns(1, setup{zones: map[string]string{"first.example": first.text(1)}, notify: []int{bindHost, 4, 5}, more: producing})
	followers := []*server{n.bindFollows(bindHost, 1), n.knotFollows(4, 1), n.geodns(5, setup{more: n.following(1)})}
	for _, s := range followers {
		reaches(t, s, first.zone, 1)
		has(t, s, first.zone, first.content())
	}
	second := newModel(r, "second.example.")
	file := filepath.Join(main.dir, "zones", "second.example.zone")
	write(t, second.text(1), file)
	for _, s := range followers {
		reaches(t, s, second.zone, 1)
		has(t, s, second.zone, second.content())
	}
	second.change()
	write(t, second.text(2), file)
	for _, s := range followers {
		reaches(t, s, second.zone, 2)
		has(t, s, second.zone, second.content())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, s := range followers {
		until(t, fmt.Sprintf("the zone has gone from %s", s.kind), func() bool { return serialOf(s.at(), second.zone) == 0 }, s.log)
		has(t, s, first.zone, first.content())
	}
}

// The catalog that a Knot makes is followed.
func TestCatalogConsumed(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	first, second := newModel(r, "first.example."), newModel(r, "second.example.")
	head := n.knot(4, &role{zones: map[string]string{catalogZone: "; made by Knot\n"}, tell: []int{5}})
	head += "    catalog-role: generate\n    zonefile-load: none\n"
	member := func(m *model) string {
		write(t, m.text(1), n.home(4), m.zone+"zone")
		return fmt.Sprintf("  - domain: %s\n    file: %[1]szone\n    zonefile-load: difference\n    notify: [r5]\n    catalog-role: member\n    catalog-zone: %s\n", m.zone, catalogZone)
	}
	file := filepath.Join(n.home(4), "knot.conf")
	write(t, head+member(first), file)
	knot := n.serve(harness.Knot, 4, program(t, "knotd"), "-c", file)
	g := n.geodns(5, setup{more: n.following(4)})
	reaches(t, g, first.zone, 1)
	has(t, g, first.zone, first.content())
	write(t, head+member(first)+member(second), file)
	run(t, knot.dir, "", "knotc", "-c", file, "reload")
	reaches(t, g, second.zone, 1)
	has(t, g, second.zone, second.content())
	write(t, head+member(second), file)
	run(t, knot.dir, "", "knotc", "-c", file, "reload")
	until(t, "the zone has gone from geodns", func() bool { return serialOf(g.at(), first.zone) == 0 }, g.log, knot.log)
	has(t, g, second.zone, second.content())
}
