package failover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// turns are how often a node left the answers, and how often it came back.
func (w *watcher) turns(a netip.Addr) (left, came int) {
	in, first := false, true
	for _, s := range w.sightings() {
		switch has := s.has(a); {
		case first:
			in, first = has, false
		case in && !has:
			left++
			in = false
		case !in && has:
			came++
			in = true
		}
	}
	return left, came
}

// A node that dies again and again has to prove itself for longer each time: of
// rise=1 a return takes 1, 4 and 16 good probes, and never more. Others feel
// nothing of it, and while it is so, answers are kept for a short time only.
func TestDamping(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11)
	bad, good := nodes[0], nodes[1]
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; every=200ms; timeout=150ms; fall=2; rise=1"
www._steer TXT "v=steer1; check=web; ttl=5-60"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names both", begin, func(s *sighting) bool { return len(s.addrs) == 2 })

	var outages []outage
	for _, probes := range []int{1, 4, 16, 16} {
		o := outage{node: bad.addr, from: bad.kill()}
		w.leaves(bad, o.from)
		o.to = time.Now()
		bad.boot()
		lives := time.Now()
		took := w.returns(bad, lives)
		outages = append(outages, o)
		// The first good probe comes after an interval at most, the others each
		// after one, of which jitter takes a tenth. It may have come before the
		// node's start was noticed here.
		least, most := time.Duration(probes-1)*every*9/10-lives.Sub(o.to), addNoise(t, time.Duration(probes)*every+timeout)
		t.Logf("return %d took %v; %d good probes in a row take %v to %v", len(outages), took.Round(time.Millisecond), probes, least.Round(time.Millisecond), most)
		if took < least || took > most {
			t.Errorf("return %d took %v; %d good probes in a row take %v to %v", len(outages), took, probes, least, most)
		}
	}
	w.judge(outages, addNoise(t, killed))
	if left, came := w.turns(bad.addr); left != 4 || came != 4 {
		t.Errorf("it left the answers %d times and came back %d times, want 4 and 4", left, came)
	}
	w.always(begin, func(s *sighting) string {
		if !s.has(good.addr) {
			return "the other node is missing"
		}
		return ""
	})
	w.always(outages[0].from.Add(addNoise(t, killed)), func(s *sighting) string {
		if s.ttl != 5 {
			return "answers may be kept for long although a node is flapping"
		}
		return ""
	})
}

// A node that is up and down in a rhythm, without end, would turn with every
// change. Damped, it stays out after its third death, and is back when it has
// been well for 16 good probes.
func TestFlapping(t *testing.T) {
	t.Parallel()
	const (
		beats = 4
		beat  = 1200 * time.Millisecond
	)
	c := newCluster(t)
	nodes := c.webs(10, 11)
	bad, good := nodes[0], nodes[1]
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; every=200ms; timeout=150ms; fall=2; rise=1"
www._steer TXT "v=steer1; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	w.until("names both", begin, func(s *sighting) bool { return len(s.addrs) == 2 })

	var outages []outage
	var lives time.Time
	for range beats {
		o := outage{node: bad.addr, from: bad.kill()}
		time.Sleep(beat)
		o.to = time.Now()
		bad.boot()
		lives = time.Now()
		outages = append(outages, o)
		time.Sleep(time.Until(lives.Add(beat)))
	}
	quiet := w.returns(bad, lives)
	w.judge(outages, addNoise(t, killed))
	left, came := w.turns(bad.addr)
	t.Logf("%d deaths: it left the answers %d times, and was back for good %v after the last return", beats, left, quiet.Round(time.Millisecond))
	// The first return takes one good probe, the second four, for which a beat has
	// room (unless the machine is very busy), the third one sixteen, for which it
	// hasn't.
	if left < 2 || left > 3 || came != left {
		t.Errorf("of %d deaths it left the answers %d times and came back %d times, want three", beats, left, came)
	}
	if least := 15 * every * 9 / 10; left == 3 && quiet < least {
		t.Errorf("it was back %v after its last return, before 16 good probes", quiet)
	}
	w.always(begin, func(s *sighting) string {
		if !s.has(good.addr) {
			return "the other node is missing"
		}
		return ""
	})
}

// Cluster 4: inside a site heartbeat gives the address of a dead node to a live
// one. Who is quicker at that than fall probes is never missed in the answers.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.webs(10, 11)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; every=400ms; timeout=150ms; fall=4; rise=1"
www._steer TXT "v=steer1; check=web"
`)
	c.serve()
	w := c.watch("www", dns.TypeA, "")
	begin := time.Now()
	for range 3 {
		nodes[0].kill()
		time.Sleep(420 * time.Millisecond) // so that one probe or two find nobody
		nodes[0] = c.web(nodes[0].addr, nil)
		time.Sleep(500 * time.Millisecond)
	}
	w.judge(nil, 0)
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) != 2 {
			return "a node is missing whose address was taken over at once"
		}
		return ""
	})
}
