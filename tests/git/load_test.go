package git

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asker asks questions at a steady rate, and checks every answer.
type asker struct {
	t         *testing.T
	history   *history
	questions [zones][]question
	stop      chan struct{}
	wg        sync.WaitGroup
	asked     atomic.Int64
	answered  atomic.Int64
	errors    atomic.Int64
}

// maxErrors is how many are told.
const maxErrors = 20

func newAsker(t *testing.T, h *history) *asker {
	a := &asker{t: t, history: h, stop: make(chan struct{})}
	for k := range zones {
		a.questions[k] = questionsOf(k)
	}
	return a
}

// end stops asking, and waits for the answers that are under way.
func (a *asker) end() {
	close(a.stop)
	a.wg.Wait()
}

func (a *asker) stopped() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// fail tells of a wrong answer.
func (a *asker) fail(format string, args ...any) {
	if a.errors.Add(1) <= maxErrors {
		a.t.Errorf(format, args...)
	}
}

// judge checks the answer to a question that an observer asked.
func (a *asker) judge(o *observer, k, i int, reply []byte) {
	a.answered.Add(1)
	q := &a.questions[k][i]
	version, err := q.check(reply)
	if err == nil {
		err = o.see(k, version)
	}
	if err != nil {
		a.fail("%s%s: %v", q.name, zoneName(k), err)
	}
}

// pick chooses a question: half of them are those whose answers have most
// versions to mix.
func (a *asker) pick(rng *rand.Rand) (k, i int) {
	k = rng.IntN(zones)
	if rng.IntN(2) == 0 {
		return k, 1 + rng.IntN(3)
	}
	return k, rng.IntN(len(a.questions[k]))
}

// conn asks from one socket, which the server answers in order: with
// SO_REUSEPORT all from one address and port goes to one of its sockets.
type conn struct {
	*asker
	udp  *net.UDPConn
	sent [1 << 16]atomic.Uint32 // by message ID: zone and question, plus one
}

// over asks a server from some sockets, so many questions a second in all.
func (a *asker) over(port, sockets, rate int) {
	for range sockets {
		udp, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			a.t.Fatal(err)
		}
		_ = udp.SetReadBuffer(4 << 20)
		c := &conn{asker: a, udp: udp}
		a.wg.Go(func() {
			var receiving sync.WaitGroup
			receiving.Go(c.receive)
			c.send(rate / sockets)
			_ = udp.SetReadDeadline(time.Now().Add(time.Second))
			receiving.Wait()
			_ = udp.Close()
		})
	}
}

// maxBurst bounds how many questions are sent at once after a pause.
const maxBurst = 200

func (c *conn) send(rate int) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	start, skipped := time.Now(), 0
	buf := make([]byte, 0, 512)
	for n := 0; !c.stopped(); time.Sleep(time.Millisecond) {
		due := int(time.Since(start).Seconds()*float64(rate)) - skipped
		if late := due - n - maxBurst; late > 0 {
			skipped += late // The machine is busy: fewer are asked.
			due -= late
		}
		for ; n < due; n++ {
			k, i := c.pick(rng)
			buf = append(buf[:0], c.questions[k][i].packed...)
			id := uint16(n)
			binary.BigEndian.PutUint16(buf, id)
			c.sent[id].Store(uint32(k<<16|i) + 1)
			if _, err := c.udp.Write(buf); err == nil {
				c.asked.Add(1)
			}
		}
	}
}

func (c *conn) receive() {
	o := &observer{h: c.history}
	buf := make([]byte, 4096)
	for {
		n, err := c.udp.Read(buf)
		if err != nil {
			return
		}
		if n < headerLen {
			c.fail("a reply of %d octets", n)
			continue
		}
		what := c.sent[binary.BigEndian.Uint16(buf)].Swap(0)
		if what == 0 {
			continue // It came too late: the ID was used again.
		}
		c.judge(o, int(what-1)>>16, int(what-1)&0xffff, buf[:n])
	}
}

// exchange sends one message and returns the reply to it.
type exchange func(query []byte) (reply []byte, err error)

// dial returns an exchange with a server.
func dial(t *testing.T, port int) exchange {
	udp, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	buf, id := make([]byte, 4096), uint16(0)
	return func(query []byte) ([]byte, error) {
		id++
		out := append([]byte(nil), query...)
		binary.BigEndian.PutUint16(out, id)
		if _, err := udp.Write(out); err != nil {
			return nil, err
		}
		for {
			_ = udp.SetReadDeadline(time.Now().Add(time.Second))
			n, err := udp.Read(buf)
			if err != nil {
				return nil, err
			}
			if n >= headerLen && binary.BigEndian.Uint16(buf) == id {
				return buf[:n], nil
			}
		}
	}
}

// await asks for zones until all are served in these versions, and returns how
// long that took.
func (a *asker) await(ask exchange, want *versions, bound time.Duration) (time.Duration, error) {
	start := time.Now()
	for k := range zones {
		for {
			q := &a.questions[k][0]
			reply, err := ask(q.packed)
			got := -1
			if err == nil {
				got, err = q.check(reply)
			}
			if err == nil && got == want[k] {
				break
			}
			if time.Since(start) > bound {
				return 0, fmt.Errorf("%s is not served in version %d within %v: version %d, %v", zoneName(k), want[k], bound, got, err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return time.Since(start), nil
}

// whole asks everything once, of zones in these versions.
func (a *asker) whole(ask exchange, want *versions) {
	for k := range zones {
		for i := range a.questions[k] {
			q := &a.questions[k][i]
			reply, err := ask(q.packed)
			got := -1
			if err == nil {
				got, err = q.check(reply)
			}
			if err != nil || got != want[k] {
				a.fail("at the end %s%s is of version %d, want %d: %v", q.name, zoneName(k), got, want[k], err)
			}
		}
	}
}
