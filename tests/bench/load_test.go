package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// load asks a server at a steady rate over UDP and notes when each answer
// comes. It is one thread on the first CPU, without the runtime's poller in
// between: so that what it measures is the server.
type load struct {
	rate    int           // questions a second
	lasting time.Duration // how long to ask
	name    func() string // what to ask for next (type A)
}

// answered is what came of a load.
type answered struct {
	asked     int
	unequal   int // answers that weren't NOERROR with an address
	latencies []time.Duration
}

// lost is how many questions got no answer.
func (a *answered) lost() int { return a.asked - len(a.latencies) }

// at returns the latency below which a share of the answers was.
func (a *answered) at(share float64) time.Duration {
	if len(a.latencies) == 0 {
		return 0
	}
	return a.latencies[min(int(float64(len(a.latencies))*share), len(a.latencies)-1)]
}

const (
	// loadSockets spreads the questions over the server's workers. The message
	// ID says which question an answer is to: it comes round after 65,536
	// questions of one socket.
	loadSockets = 4
	loadCPU     = 0
	serverCPU   = "1"
	lastAnswer  = time.Second // how long to wait for it
)

type asker struct {
	fds     [loadSockets]int
	sent    [loadSockets][1 << 16]int64 // when, in nanoseconds; 0: answered
	polls   [loadSockets]unix.PollFd
	packets [][]byte
	result  answered
}

// run asks until the time is over. It is bounded: rate times lasting questions.
func (l load) run(b *testing.B, port int) *answered {
	done := make(chan *answered)
	go func() {
		runtime.LockOSThread() // for good: the thread is pinned
		done <- l.thread(b, port)
	}()
	return <-done
}

func (l load) thread(b *testing.B, port int) *answered {
	var cpus unix.CPUSet
	cpus.Set(loadCPU)
	_ = unix.SchedSetaffinity(0, &cpus)
	a := &asker{packets: l.questions()}
	for i := range a.fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err == nil {
			defer unix.Close(fd)
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		}
		if err != nil {
			b.Error(err)
			return &a.result
		}
		a.fds[i] = fd
		a.polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	total := int(l.lasting.Seconds() * float64(l.rate))
	a.result.latencies = make([]time.Duration, 0, total)
	start := time.Now()
	for a.result.asked < total {
		due := min(int(time.Since(start).Seconds()*float64(l.rate)), total)
		for a.result.asked < due {
			a.ask()
			if a.result.asked%16 == 0 {
				a.receive()
			}
		}
		a.receive()
		a.wait(100 * time.Microsecond)
	}
	for end := time.Now().Add(lastAnswer); time.Now().Before(end); {
		a.receive()
		a.wait(time.Millisecond)
	}
	slices.Sort(a.result.latencies)
	return &a.result
}

func (a *asker) ask() {
	n := a.result.asked
	socket, id := n%loadSockets, uint16(n/loadSockets)
	packet := a.packets[n%len(a.packets)]
	binary.BigEndian.PutUint16(packet, id)
	a.sent[socket][id] = time.Now().UnixNano()
	_, _ = unix.Write(a.fds[socket], packet)
	a.result.asked++
}

func (a *asker) wait(most time.Duration) {
	timeout := unix.NsecToTimespec(int64(most))
	_, _ = unix.Ppoll(a.polls[:], &timeout, nil)
}

// receive takes what has come.
func (a *asker) receive() {
	var buf [1500]byte
	for socket, fd := range a.fds {
		for {
			n, err := unix.Read(fd, buf[:])
			if err != nil {
				break
			}
			if n < 12 {
				continue
			}
			at := &a.sent[socket][binary.BigEndian.Uint16(buf[:])]
			if *at == 0 {
				continue // a second answer
			}
			a.result.latencies = append(a.result.latencies, time.Duration(time.Now().UnixNano()-*at))
			*at = 0
			if buf[3]&15 != 0 || buf[7] == 0 {
				a.result.unequal++
			}
		}
	}
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

// anyHost is a random host of the large zone.
func anyHost() string { return fmt.Sprintf("h%d.example.com.", rand.IntN(manyRecords)) }

func freePort(b *testing.B) int {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
