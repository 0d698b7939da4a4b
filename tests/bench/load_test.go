package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// load asks a server at a steady rate over UDP, from several sockets, and notes
// when each answer came.
type load struct {
	rate    int           // questions a second
	lasting time.Duration // how long to ask
	name    func() string // what to ask for next (type A)
}

// answered is what came of a load.
type answered struct {
	asked     int
	lost      int // without an answer within a second after the last question
	unequal   int // answers that weren't NOERROR with an address
	latencies []time.Duration
}

// at returns the latency below which a share of the answers was.
func (a *answered) at(share float64) time.Duration {
	if len(a.latencies) == 0 {
		return 0
	}
	return a.latencies[min(int(float64(len(a.latencies))*share), len(a.latencies)-1)]
}

const loadSockets = 4

// run asks until the time is over. It is bounded: rate times lasting questions.
func (l load) run(b *testing.B, port int) *answered {
	var wg sync.WaitGroup
	parts := make([]*answered, loadSockets)
	for i := range parts {
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { parts[i] = l.socket(conn.(*net.UDPConn)) })
	}
	wg.Wait()
	all := &answered{}
	for _, p := range parts {
		all.asked += p.asked
		all.lost += p.lost
		all.unequal += p.unequal
		all.latencies = append(all.latencies, p.latencies...)
	}
	slices.Sort(all.latencies)
	return all
}

// socket asks from one socket. The message ID says which question an answer is
// to: it comes round only after longer than an answer is waited for.
func (l load) socket(conn *net.UDPConn) *answered {
	defer conn.Close()
	_ = conn.SetReadBuffer(4 << 20)
	var sent [1 << 16]atomic.Int64
	a := &answered{latencies: make([]time.Duration, 0, int(l.lasting.Seconds()*float64(l.rate/loadSockets)))}
	var wg sync.WaitGroup
	wg.Go(func() { a.receive(conn, &sent) })

	packets := l.questions()
	rate := l.rate / loadSockets
	total := int(l.lasting.Seconds() * float64(rate))
	start := time.Now()
	for i := 0; i < total; {
		due := min(int(time.Since(start).Seconds()*float64(rate)), total)
		for ; i < due; i++ {
			packet := packets[i%len(packets)]
			binary.BigEndian.PutUint16(packet, uint16(i))
			sent[uint16(i)].Store(time.Now().UnixNano())
			if _, err := conn.Write(packet); err != nil {
				break
			}
		}
		time.Sleep(200 * time.Microsecond)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	wg.Wait()
	a.asked = total
	a.lost = total - len(a.latencies)
	return a
}

// questions packs some beforehand, so that asking costs little.
func (l load) questions() [][]byte {
	packets := make([][]byte, 10_000)
	for i := range packets {
		m := new(dns.Msg).SetQuestion(l.name(), dns.TypeA)
		m.RecursionDesired = false
		packet, err := m.Pack()
		if err != nil {
			panic(err) // the names are the benchmark's own
		}
		packets[i] = packet
	}
	return packets
}

func (a *answered) receive(conn *net.UDPConn, sent *[1 << 16]atomic.Int64) {
	var buf [1500]byte
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			return
		}
		if n < 12 {
			continue
		}
		at := sent[binary.BigEndian.Uint16(buf[:])].Swap(0)
		if at == 0 {
			continue // a second answer
		}
		a.latencies = append(a.latencies, time.Duration(time.Now().UnixNano()-at))
		if buf[3]&15 != 0 || buf[7] == 0 {
			a.unequal++
		}
	}
}

// anyHost is a random host of the large zone.
func anyHost() string { return fmt.Sprintf("h%d.example.com.", rand.IntN(manyRecords)) }
