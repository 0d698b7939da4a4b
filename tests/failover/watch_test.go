package failover

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// sighting is one answer: what was told, and to a question of when.
type sighting struct {
	asked time.Time // before the question was sent
	got   time.Time // after the answer had come
	rcode int
	ttl   uint32
	addrs []netip.Addr // in the order of the answer
	names []string     // of MX and SRV: the targets
	// serial is that of a SOA.
	serial uint32
}

func (s *sighting) has(a netip.Addr) bool { return slices.Contains(s.addrs, a) }

// outage is a time in which a node was dead.
type outage struct {
	node     netip.Addr
	from, to time.Time // a zero to: it is still dead
}

// broken returns what breaks the promise: answers that name a node which, when
// they were asked for, had been dead for longer than may be, and that was still
// dead when they came. They are in the order of the log, at most some.
func broken(log []sighting, outages []outage, within time.Duration) (wrong []string) {
	const most = 5
	for i := range log {
		s := &log[i]
		for _, o := range outages {
			late := s.asked.Sub(o.from)
			if s.has(o.node) && late > within && (o.to.IsZero() || s.got.Before(o.to)) {
				if wrong = append(wrong, fmt.Sprintf("%s was answered %v after its death, more than %v", o.node, late.Round(time.Millisecond), within)); len(wrong) == most {
					return wrong
				}
			}
		}
	}
	return wrong
}

// watcher asks one question all the time.
type watcher struct {
	t    *testing.T
	name string
	stop func()

	mu   sync.Mutex
	log  []sighting
	lost atomic.Int64 // questions without an answer
}

// gap is how long a watcher waits from an answer to its next question.
const gap = 2 * time.Millisecond

// watch begins to ask for a name of the zone, from an address ("": any).
func (c *cluster) watch(name string, qtype uint16, from string) *watcher {
	c.t.Helper()
	full := dns.Fqdn(name + "." + origin)
	if name == "" {
		full = origin
	}
	d := net.Dialer{}
	if from != "" {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("udp", c.server.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	w := observe(c.t, conn, full, qtype, gap)
	w.until("is answered", time.Now(), func(*sighting) bool { return true })
	return w
}

// observe begins to ask over a socket, with a pause after each answer.
func observe(t *testing.T, conn net.Conn, name string, qtype uint16, pause time.Duration) *watcher {
	w := &watcher{t: t, name: name}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(pause):
				w.ask(conn, qtype)
			}
		}
	})
	w.stop = sync.OnceFunc(func() {
		close(ended)
		wg.Wait()
		_ = conn.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// ask asks once and takes a note.
func (w *watcher) ask(conn net.Conn, qtype uint16) {
	m := new(dns.Msg)
	m.SetQuestion(w.name, qtype)
	m.SetEdns0(1232, false)
	packed, err := m.Pack()
	if err != nil {
		w.t.Error(err)
		return
	}
	s := sighting{asked: time.Now()}
	_ = conn.SetDeadline(s.asked.Add(time.Second))
	if _, err := conn.Write(packed); err != nil {
		w.lost.Add(1)
		return
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			w.lost.Add(1)
			return
		}
		r := new(dns.Msg)
		if err := r.Unpack(buf[:n]); err != nil {
			w.t.Errorf("an answer can't be read: %v", err)
			return
		}
		if r.Id == m.Id {
			s.got = time.Now()
			s.read(r)
			break
		}
	}
	w.mu.Lock()
	w.log = append(w.log, s)
	w.mu.Unlock()
}

// read takes from an answer what is judged.
func (s *sighting) read(r *dns.Msg) {
	s.rcode = r.Rcode
	for _, rr := range r.Answer {
		s.ttl = rr.Header().Ttl
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A.To4())
			s.addrs = append(s.addrs, a)
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA)
			s.addrs = append(s.addrs, a)
		case *dns.MX:
			s.names = append(s.names, rr.Mx)
		case *dns.SOA:
			s.serial = rr.Serial
		}
	}
}

// sightings are those so far.
func (w *watcher) sightings() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// until waits for an answer to a question of after a time of which something is
// true, and returns it.
func (w *watcher) until(what string, after time.Time, true func(*sighting) bool) sighting {
	w.t.Helper()
	seen, last := 0, ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(gap) {
		log := w.sightings()
		for ; seen < len(log); seen++ {
			s := log[seen]
			if s.asked.After(after) && true(&s) {
				return s
			}
			last = s.String()
		}
	}
	w.t.Fatalf("%s: not within %v that it %s; the last answer is %s", w.name, patience, what, last)
	panic("unreachable")
}

// String is the answer in a few words.
func (s *sighting) String() string {
	var words []string
	for _, a := range s.addrs {
		words = append(words, a.String())
	}
	words = append(words, s.names...)
	if s.serial != 0 {
		words = append(words, fmt.Sprint("serial ", s.serial))
	}
	return fmt.Sprintf("%s [%s]", dns.RcodeToString[s.rcode], strings.Join(words, " "))
}

// leaves waits until a node that died at a time is in no answer any more, and
// returns how long after its death it was last named.
func (w *watcher) leaves(n *node, died time.Time) time.Duration {
	w.t.Helper()
	first := w.until("no longer names "+n.addr.String(), died, func(s *sighting) bool { return !s.has(n.addr) })
	took := time.Duration(0)
	for _, s := range w.sightings() {
		if s.got.After(died) && s.asked.Before(first.asked) && s.has(n.addr) {
			took = max(took, s.asked.Sub(died))
		}
	}
	return took
}

// returns waits until a node that lives again since a time is in an answer, and
// returns how long that took.
func (w *watcher) returns(n *node, since time.Time) time.Duration {
	w.t.Helper()
	return w.until("names "+n.addr.String()+" again", since, func(s *sighting) bool { return s.has(n.addr) }).asked.Sub(since)
}

// always says of every answer to a question of after a time what is wrong with
// it, and fails for each kind once.
func (w *watcher) always(after time.Time, wrong func(*sighting) string) {
	w.t.Helper()
	told := map[string]bool{}
	n := 0
	for _, s := range w.sightings() {
		if s.asked.Before(after) {
			continue
		}
		n++
		if text := wrong(&s); text != "" && !told[text] {
			told[text] = true
			w.t.Errorf("%s: %s: %s", w.name, text, s.String())
		}
	}
	if n == 0 {
		w.t.Errorf("%s: there were no answers to judge", w.name)
	}
}

// judge ends the watching, and fails for what breaks the promise and if
// questions were lost.
func (w *watcher) judge(outages []outage, within time.Duration) {
	w.t.Helper()
	w.stop()
	for _, text := range broken(w.sightings(), outages, within) {
		w.t.Errorf("%s: %s", w.name, text)
	}
	w.pauses()
	if lost, all := w.lost.Load(), int64(len(w.sightings())); lost > all/100 {
		w.t.Errorf("%s: %d questions without an answer, %d with one", w.name, lost, all)
	}
}

// pauses says, if the test has failed, for how long nothing was asked or
// answered: a machine that stood still explains a lot.
func (w *watcher) pauses() {
	var most time.Duration
	log := w.sightings()
	for i := 1; i < len(log); i++ {
		most = max(most, log[i].got.Sub(log[i-1].got))
	}
	if w.t.Failed() {
		w.t.Logf("%s: the longest time without an answer was %v", w.name, most.Round(time.Millisecond))
	}
}

// stays looks for a while that nothing changes that must not.
func (w *watcher) stays(d time.Duration, wrong func(*sighting) string) {
	w.t.Helper()
	from := time.Now()
	time.Sleep(d)
	w.always(from, wrong)
}

// distribution prints what was measured, and fails if it is over a bound: the
// median as it is, the worst with what noise may add.
func distribution(t *testing.T, what string, took []time.Duration, bound time.Duration) {
	t.Helper()
	slices.Sort(took)
	at := func(share float64) time.Duration {
		return took[min(int(math.Ceil(share*float64(len(took))))-1, len(took)-1)].Round(time.Millisecond)
	}
	most := addNoise(t, bound)
	t.Logf("%s, %d times: median %v, 99%% %v, most %v; promised are %v, judged by %v", what, len(took), at(.5), at(.99), at(1), bound, most)
	if at(.5) > bound || at(1) > most {
		t.Errorf("%s took %v, and mostly %v; %v are promised", what, at(1), at(.5), bound)
	}
}

// What breaks the promise is found in a log that was doctored, and only there.
func TestBroken(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	t0 := time.Now()
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	seen := func(ms int, addrs ...netip.Addr) sighting {
		return sighting{asked: at(ms), got: at(ms + 1), addrs: addrs}
	}
	honest := []sighting{seen(0, a, b), seen(990, a, b), seen(1640, a, b), seen(1660, b), seen(2999, b), seen(3001, a, b), seen(9000, a, b)}
	outages := []outage{{a, at(1000), at(3000)}}
	tests := []struct {
		name    string
		doctor  func(log []sighting) []sighting
		outages []outage
		wrong   int
	}{
		{"honest", nil, outages, 0},
		{"named a little too late", func(l []sighting) []sighting { return append(l, seen(1660, a)) }, outages, 1},
		{"named right before it returns", func(l []sighting) []sighting { return append(l, seen(2990, b, a)) }, outages, 1},
		{"the answer came after it had returned", func(l []sighting) []sighting { return append(l, seen(2999, a)) }, outages, 0},
		{"never returned", nil, []outage{{a, at(1000), time.Time{}}}, 2},
		{"the other one died", nil, []outage{{b, at(1000), at(3000)}}, 1},
		{"many", func(l []sighting) []sighting { return append(l, slices.Repeat([]sighting{seen(2000, a)}, 100)...) }, outages, 5},
	}
	for _, tt := range tests {
		log := slices.Clone(honest)
		if tt.doctor != nil {
			log = tt.doctor(log)
		}
		if wrong := broken(log, tt.outages, promise); len(wrong) != tt.wrong {
			t.Errorf("%s: %d findings, want %d: %q", tt.name, len(wrong), tt.wrong, wrong)
		}
	}
}
