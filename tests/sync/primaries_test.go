package syncing

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"geodns/tests/harness"
)

// pace is after how many changes a secondary is waited for: Knot tells of them once
// a second.
var pace = map[harness.Kind]int{harness.BIND: 5, harness.NSD: 5, harness.Knot: 20}

// 200 random changes on BIND, Knot and NSD arrive at a geodns that is their
// secondary, and at another one behind it, all but the first version by IXFR.
// BIND and Knot are changed by update, NSD by its zone file.
func TestPrimaries(t *testing.T) {
	t.Parallel()
	for host, kind := range []harness.Kind{bindHost: harness.BIND, 1: harness.NSD, 2: harness.Knot} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			n, r := newNetwork(t), random(t)
			m := newModel(r, "example.org.")
			main := n.peer(kind, host, role{zones: map[string]string{"example.org": m.text(1)}, tell: []int{5}})
			first := n.geodns(5, setup{secondary: map[string][]int{"example.org": {host}}, notify: []int{6}})
			second := n.geodns(6, setup{secondary: map[string][]int{"example.org": {5}}})
			reaches(t, main, m.zone, 1)
			reaches(t, first, m.zone, 1)
			reaches(t, second, m.zone, 1)
			serial := uint32(1)
			for i := range changes(t) {
				steps := m.change()
				if kind != harness.NSD {
					sent(t, main, update(m.zone, steps))
				} else {
					write(t, m.text(serial+1), main.dir, "example.org.zone")
					main.signal(syscall.SIGHUP)
					until(t, "NSD serves the changed file", func() bool { return serialOf(main.at(), m.zone) == serial+1 }, main.log)
				}
				// All of them send a zone as a whole when the changes are more than that.
				serial = serialOf(main.at(), m.zone)
				if i%pace[kind] == 0 {
					reaches(t, first, m.zone, serial)
				}
			}
			serial = serialOf(main.at(), m.zone)
			has(t, main, m.zone, m.content())
			for _, s := range []*server{first, second} {
				reaches(t, s, m.zone, serial)
				if c := has(t, s, m.zone, m.content()); c != nil && c.serial != serial {
					t.Errorf("the geodns at %s has serial %d, not %d", s.addr(), c.serial, serial)
				}
				whole, steps := fetched(t, s)
				t.Logf("to the geodns at %s: %d times whole, %d times as changes", s.addr(), whole, steps)
				// NSD 4.6 makes changes of two files that do not always lead from one to
				// the other; then it has to be asked for the whole zone.
				if (whole != 1 && kind != harness.NSD) || steps < 5 {
					t.Errorf("%d times whole, %d times as changes:\n%s", whole, steps, s.log())
				}
			}
		})
	}
}

// fetched counts the transfers to a geodns, by its log.
func fetched(t *testing.T, s *server) (whole, changes int) {
	t.Helper()
	for line := range lines(t, s) {
		if line["msg"] != "zone transferred" {
			continue
		}
		switch strings.ToUpper(fmt.Sprint(line["kind"])) {
		case "AXFR":
			whole++
		case "IXFR":
			changes++
		default:
			t.Errorf("of what kind is this? %v", line)
		}
	}
	return whole, changes
}
