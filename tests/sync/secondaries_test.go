package syncing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// changes is how many random changes are made: GEODNS_TEST_CHANGES.
func changes(t *testing.T) int { return number(t, "GEODNS_TEST_CHANGES", 200) }

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of at least 1", variable, text)
	}
	return n
}

// random is a source of changes, whose seed is printed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(number(t, "GEODNS_TEST_SEED", 1+rand.IntN(1<<30)))
	t.Logf("GEODNS_TEST_SEED=%d makes the same changes", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// sent sends an update, which has to be done.
func sent(t *testing.T, s *server, m *dns.Msg) {
	t.Helper()
	if rcode, err := send(s.at(), "tcp", m); err != nil || rcode != dns.RcodeSuccess {
		t.Fatalf("the update was answered with %s, %v:\n%s\n%s", dns.RcodeToString[rcode], err, m, s.log())
	}
}

// send sends a message signed by the key of updates, and returns the answer's
// RCODE.
func send(at, network string, m *dns.Msg) (int, error) {
	return sendWithin(10*time.Second, at, network, m)
}

func sendWithin(patience time.Duration, at, network string, m *dns.Msg) (int, error) {
	m.SetTsig(updName, dns.HmacSHA256, 300, time.Now().Unix())
	client := &dns.Client{Net: network, Timeout: patience, TsigSecret: secrets}
	r, _, err := client.Exchange(m, at)
	if r == nil {
		return 0, err
	}
	return r.Rcode, err
}

const takesUpdates = "zone: {farm.example: {updates: [{key: " + updName + ", steering: true}, {key: " + updName + ", names: [\"@\"], types: [NS, SOA]}]}}\n"

// 200 random changes by file and by update arrive at BIND, NSD, Knot and another
// geodns, and all of them but the first version by IXFR.
func TestSecondaries(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	file, farm := newModel(r, "file.example."), newModel(r, "farm.example.")
	zones := map[string]string{"file.example": file.text(1), "farm.example": farm.text(1)}
	copies := map[string]string{"file.example": "", "farm.example": ""}
	main := n.geodns(1, setup{zones: zones, notify: []int{bindHost, 3, 4, 5}, more: takesUpdates})
	secondaries := []*server{
		n.peer(harness.BIND, bindHost, role{zones: copies, primary: 1}),
		n.peer(harness.NSD, 3, role{zones: copies, primary: 1}),
		n.peer(harness.Knot, 4, role{zones: copies, primary: 1}),
		n.geodns(5, setup{secondary: map[string][]int{"file.example": {1}, "farm.example": {1}}}),
	}
	all := append([]*server{main}, secondaries...)
	for zone := range copies {
		for _, s := range secondaries {
			reaches(t, s, zone+".", 1)
		}
	}
	// follow is somebody who only asks for changes, now and then.
	follow := map[string]*content{}
	for _, m := range []*model{file, farm} {
		follow[m.zone] = has(t, main, m.zone, m.content())
	}
	if t.Failed() {
		return
	}
	for i := range changes(t) {
		before := map[string]uint32{}
		if r.IntN(2) == 0 {
			sent(t, main, update(farm.zone, farm.change()))
		} else {
			before[file.zone] = serialOf(main.at(), file.zone)
			file.change()
			write(t, file.text(1), main.dir, "zones", "file.example.zone")
			until(t, "the changed file is served", func() bool { return serialOf(main.at(), file.zone) != before[file.zone] }, main.log)
		}
		if i%10 == 0 {
			for zone, c := range follow {
				if incremental, err := c.replay(main.at(), zone); err != nil || !incremental {
					t.Fatalf("the IXFR of %s: incremental=%t, %v\n%s", zone, incremental, err, main.log())
				}
			}
		}
	}
	for _, m := range []*model{file, farm} {
		serial := serialOf(main.at(), m.zone)
		for _, s := range all {
			reaches(t, s, m.zone, serial)
			if c := has(t, s, m.zone, m.content()); c != nil && c.serial != serial {
				t.Errorf("%s at %s has serial %d, not %d", m.zone, s.kind, c.serial, serial)
			}
		}
		if _, err := follow[m.zone].replay(main.at(), m.zone); err != nil {
			t.Error(err)
		}
		if d := differences(m.content(), follow[m.zone].records); d != "" {
			t.Errorf("%s by IXFR alone:\n%s", m.zone, d)
		}
		for _, s := range secondaries {
			whole, steps := sentTo(t, main, s, m.zone)
			t.Logf("%s to %s: %d times whole, %d times as changes", m.zone, s.kind, whole, steps)
			if whole != 1 || steps < 5 {
				t.Errorf("%s went to %s %d times whole, %d times as changes", m.zone, s.kind, whole, steps)
			}
		}
	}
}

// sentTo counts the transfers to a secondary, by the log of a geodns.
func sentTo(t *testing.T, from, to *server, zone string) (whole, changes int) {
	t.Helper()
	for line := range lines(t, from) {
		if line["msg"] != "a zone was transferred" || line["zone"] != zone || !strings.HasPrefix(fmt.Sprint(line["peer"]), to.addr()+":") || line["key"] != keyName {
			continue
		}
		switch line["kind"] {
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

// lines are what a geodns has logged.
func lines(t *testing.T, s *server) func(func(map[string]any) bool) {
	t.Helper()
	return func(yield func(map[string]any) bool) {
		for text := range strings.Lines(s.log()) {
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				continue // half a line, or the runtime's
			}
			if !yield(line) {
				return
			}
		}
	}
}
