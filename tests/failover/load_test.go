package failover

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// envRate names the environment variable that says how many questions a second
// are asked while nodes die.
const envRate = "GEODNS_TEST_RATE"

// flooder asks one question at a rate, and notes every answer. Its questions
// are told apart by their message IDs.
type flooder struct {
	t    *testing.T
	conn *net.UDPConn
	wg   sync.WaitGroup
	end  chan struct{}

	asked int // by the sender
	mu    sync.Mutex
	sent  [1 << 16]time.Time
	log   []sighting
}

func (c *cluster) flood(name string, rate int) *flooder {
	c.t.Helper()
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.server.Port})
	if err != nil {
		c.t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	f := &flooder{t: c.t, conn: conn, end: make(chan struct{})}
	m := new(dns.Msg)
	m.SetQuestion(name+"."+origin, dns.TypeA)
	packed, err := m.Pack()
	if err != nil {
		c.t.Fatal(err)
	}
	f.wg.Go(func() { f.send(packed, rate) })
	f.wg.Go(f.receive)
	return f
}

// send asks so many questions a second; after a pause it does not catch up.
func (f *flooder) send(packed []byte, rate int) {
	const most = 100 // at once
	last, owed := time.Now(), 0.
	for id := uint16(0); ; time.Sleep(time.Millisecond) {
		select {
		case <-f.end:
			return
		default:
		}
		now := time.Now()
		owed = min(owed+now.Sub(last).Seconds()*float64(rate), most)
		last = now
		for ; owed >= 1; owed-- {
			binary.BigEndian.PutUint16(packed, id)
			f.mu.Lock()
			f.sent[id] = time.Now()
			f.mu.Unlock()
			id++
			if _, err := f.conn.Write(packed); err == nil {
				f.asked++
			}
		}
	}
}

func (f *flooder) receive() {
	buf := make([]byte, 4096)
	r := new(dns.Msg)
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			return
		}
		if err := r.Unpack(buf[:n]); err != nil {
			f.t.Errorf("an answer can't be read: %v", err)
			return
		}
		s := sighting{got: time.Now()}
		s.read(r)
		f.mu.Lock()
		s.asked = f.sent[r.Id]
		f.log = append(f.log, s)
		f.mu.Unlock()
	}
}

// stop ends the questions, waits a moment for what is still under way, and
// returns the answers.
func (f *flooder) stop() []sighting {
	close(f.end)
	_ = f.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	f.wg.Wait()
	_ = f.conn.Close()
	return f.log
}

// While questions pour in, nodes are killed, frozen and brought back: no answer
// names one that has been down for longer than the promise.
func TestUnderLoad(t *testing.T) {
	c := newCluster(t)
	nodes := c.webs(10, 11, 12, 13, 14, 15)
	c.zone(records(nodes) + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web; answers=3"
`)
	c.serve()
	rate := number(t, envRate, 20_000)
	f := c.flood("www", rate)
	begin := time.Now()
	time.Sleep(500 * time.Millisecond)
	var outages []outage
	for i, x := range nodes[:4] {
		o := outage{node: x.addr}
		if i%2 == 0 {
			o.from = x.kill()
		} else {
			o.from = x.freeze()
		}
		time.Sleep(promise + 200*time.Millisecond)
		if i < 2 { // the others stay dead
			o.to = time.Now()
			if i%2 == 0 {
				x.boot()
			} else {
				x.thaw()
			}
		}
		outages = append(outages, o)
	}
	time.Sleep(noise) // so that what is judged with it added shows, too
	log := f.stop()
	took := time.Since(begin)
	t.Logf("%d questions, %.0f a second, %d answers", f.asked, float64(f.asked)/took.Seconds(), len(log))
	if f.asked < rate*int(took.Seconds())/4 || len(log) < f.asked*9/10 {
		t.Errorf("%d questions and %d answers are too few to tell", f.asked, len(log))
	}
	within := addNoise(t, promise)
	for _, text := range broken(log, outages, within) {
		t.Error(text)
	}
	judgeDoctored(t, log, outages, within)
	var worst time.Duration
	for i := range log {
		s := &log[i]
		if len(s.addrs) != 3 {
			t.Errorf("an answer of %d addresses, want 3: %s", len(s.addrs), s.String())
			break
		}
		for _, o := range outages {
			if s.has(o.node) && s.asked.After(o.from) && (o.to.IsZero() || s.got.Before(o.to)) {
				worst = max(worst, s.asked.Sub(o.from))
			}
		}
	}
	t.Logf("the longest that a dead node was in answers: %v; at most %v wanted", worst.Round(time.Millisecond), within)
}

// judgeDoctored fails if the judge would not have found a wrong answer: the log
// is taken with one address changed.
func judgeDoctored(t *testing.T, log []sighting, outages []outage, within time.Duration) {
	t.Helper()
	dead, end := outages[len(outages)-1], len(log)-1
	s := log[end]
	if s.asked.Sub(dead.from) <= within {
		t.Error("no answer is late enough to be judged")
		return
	}
	s.addrs = append([]netip.Addr{dead.node}, s.addrs[1:]...)
	if len(broken(append(slices.Clone(log[:end]), s), outages, within)) == 0 {
		t.Error("an answer that was doctored to name a dead node was not found")
	}
}
