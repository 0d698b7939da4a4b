package syncing

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// pairs are names that are only ever added, and removed, two at a time: what
// should be there of them, by what was acknowledged.
type pairs struct {
	zone string
	mu   sync.Mutex
	want map[int]presence
	next int
	// acked and lost count updates.
	acked, lost int
}

type presence int

const (
	there presence = iota
	gone
	either // nobody has said what became of the update
)

func (p *pairs) record(half string, i int) string {
	return fmt.Sprintf("%s%d.%s 60 IN A 192.0.2.%d", half, i, p.zone, i%250)
}

// one sends an update, and notes what came of it.
func (p *pairs) one(at string, r *rand.Rand) {
	p.mu.Lock()
	i, then := p.next, there
	if r.IntN(3) == 0 && p.next > 0 {
		if j := r.IntN(p.next); p.want[j] == there {
			i, then = j, gone
		}
	}
	if then == there {
		p.next++
	}
	p.want[i] = either
	p.mu.Unlock()

	u := new(dns.Msg).SetUpdate(p.zone)
	for _, half := range []string{"a", "b"} {
		rr, err := dns.NewRR(p.record(half, i))
		if err != nil {
			panic(err)
		}
		if then == there {
			u.Insert([]dns.RR{rr})
		} else {
			u.Remove([]dns.RR{rr})
		}
	}
	rcode, err := sendWithin(time.Second, at, []string{"tcp", "udp"}[r.IntN(2)], u)
	if err != nil {
		time.Sleep(5 * time.Millisecond) // there may be nobody to ask
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && rcode == dns.RcodeSuccess {
		p.want[i] = then
		p.acked++
		return
	}
	p.lost++
}

// judge compares a zone with what was acknowledged. What nobody knew is known
// afterwards.
func (p *pairs) judge(t *testing.T, c *content, base map[string]bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := maps.Clone(c.records)
	for i, want := range p.want {
		a, b := c.records[p.record("a", i)], c.records[p.record("b", i)]
		delete(rest, p.record("a", i))
		delete(rest, p.record("b", i))
		switch {
		case a != b:
			t.Errorf("half of update %d is there: %t, %t", i, a, b)
		case want == there && !a:
			t.Errorf("update %d was acknowledged and is lost", i)
		case want == gone && a:
			t.Errorf("that %d goes was acknowledged and is lost", i)
		case a:
			p.want[i] = there
		default:
			p.want[i] = gone
		}
	}
	if d := differences(base, rest); d != "" {
		t.Errorf("beside the updates:\n%s", d)
	}
}

// editor changes a zone file all the time: two records always say the same.
type editor struct {
	zone, dir string
	version   int
}

func (e *editor) records(version int) map[string]bool {
	return map[string]bool{
		e.zone + " 300 IN NS ns1." + e.zone: true, "ns1." + e.zone + " 300 IN A 127.0.0.8": true,
		fmt.Sprintf("one.%s 300 IN TXT \"%d\"", e.zone, version): true, fmt.Sprintf("two.%s 300 IN TXT \"%d\"", e.zone, version): true,
	}
}

func (e *editor) edit(t *testing.T) {
	e.version++
	text := fmt.Sprintf("%s 300 SOA ns1.%[1]s h.%[1]s 1 3600 2 604800 60\n", e.zone)
	for line := range e.records(e.version) {
		text += line + "\n"
	}
	write(t, text, e.dir, "zones", strings.TrimSuffix(e.zone, ".")+".zone")
}

// kill -9 at random moments of the primary, or of the secondary, during updates,
// transfers and reloads.
func TestCrashes(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	dir := n.home(1)
	e := &editor{zone: "file.example.", dir: dir}
	e.edit(t)
	seed := newModel(r, "farm.example.")
	p := &pairs{zone: seed.zone, want: map[int]presence{}}
	main := n.geodns(1, setup{zones: map[string]string{"farm.example": seed.text(1)}, notify: []int{2}, more: takesUpdates})
	second := n.geodns(2, setup{secondary: map[string][]int{"file.example": {1}, "farm.example": {1}}})
	follow := map[string]*content{}
	for _, zone := range []string{seed.zone, e.zone} {
		reaches(t, second, zone, 1)
		c, err := axfr(main.at(), zone)
		if err != nil {
			t.Fatal(err)
		}
		follow[zone] = c
	}
	changes := 0 // of the follower that came as such
	for round := range number(t, "GEODNS_TEST_CRASHES", 10) {
		victim := main
		if r.IntN(4) == 0 {
			victim = second
		}
		disturb(t, r, p, e, main, follow, func() {
			time.Sleep(time.Duration(r.IntN(250)) * time.Millisecond)
			victim.kill()
			// Once more while it starts, sometimes.
			if r.IntN(3) == 0 {
				victim.launch()
				time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
				victim.kill()
			}
		})
		victim.boot()
		until(t, "the last file is served", func() bool {
			c, err := axfr(main.at(), e.zone)
			return err == nil && differences(e.records(e.version), c.records) == ""
		}, main.log)
		for zone, c := range follow {
			before := c.serial
			incremental, err := c.replay(main.at(), zone)
			if err != nil {
				t.Errorf("IXFR of %s from %d: %v", zone, before, err)
			} else if incremental && c.serial != before {
				changes++
			} else if !incremental && zone == p.zone {
				// What a file was before the process began is not kept, so that a file
				// that changed meanwhile begins anew.
				t.Errorf("IXFR of %s from %d to %d came as a whole", zone, before, c.serial)
			}
			whole := has(t, main, zone, c.records)
			if whole == nil {
				continue
			}
			if whole.serial != c.serial || int32(whole.serial-before) < 0 {
				t.Errorf("the serial of %s went from %d to %d, and by AXFR to %d", zone, before, c.serial, whole.serial)
			}
			reaches(t, second, zone, whole.serial)
			if there := has(t, second, zone, whole.records); there != nil && there.serial != whole.serial {
				t.Errorf("%s has serial %d at the secondary, not %d", zone, there.serial, whole.serial)
			}
			if zone == p.zone {
				p.judge(t, whole, seed.content())
			}
		}
		if t.Failed() {
			t.Fatalf("after crash %d of %s:\n%s", round+1, victim.addr(), victim.log())
		}
	}
	t.Logf("%d updates acknowledged, %d without an answer, %d versions of a file, %d times IXFR over a crash", p.acked, p.lost, e.version, changes)
	if p.acked == 0 || changes == 0 {
		t.Error("nothing was tested")
	}
}

// disturb updates, edits, reloads and transfers while crash goes on, and ends
// after it.
func disturb(t *testing.T, r *rand.Rand, p *pairs, e *editor, main *server, follow map[string]*content, crash func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	loop := func(do func(*rand.Rand)) {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() {
			for ctx.Err() == nil {
				do(own)
			}
		})
	}
	for range 3 {
		loop(func(r *rand.Rand) { p.one(main.at(), r) })
	}
	process := main.cmd.Process
	loop(func(r *rand.Rand) {
		e.edit(t)
		if r.IntN(2) == 0 {
			_ = process.Signal(syscall.SIGHUP)
		}
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
	})
	loop(func(r *rand.Rand) {
		for zone, c := range follow {
			copied := &content{serial: c.serial, records: maps.Clone(c.records)}
			if _, err := copied.replay(main.at(), zone); err == nil {
				follow[zone] = copied
			}
		}
	})
	crash()
	cancel()
	wg.Wait()
}
