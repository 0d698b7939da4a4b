package failover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// hostile are the ways in which a target misbehaves, each with what is to become
// of it.
var hostile = []struct {
	name  string
	speak func(net.Conn, <-chan struct{})
	live  bool
}{
	{"garbage", func(c net.Conn, _ <-chan struct{}) {
		_, _ = c.Write([]byte(strings.Repeat("\x00\xff\r\n\x80", 1000)))
	}, false},
	{"headers without end", func(c net.Conn, end <-chan struct{}) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		flood(c, end, []byte("X-More: "+strings.Repeat("x", 4000)+"\r\n"))
	}, false},
	{"a line without end", func(c net.Conn, end <-chan struct{}) {
		flood(c, end, []byte(strings.Repeat("x", 16<<10)))
	}, false},
	{"interim responses without end", func(c net.Conn, end <-chan struct{}) {
		flood(c, end, []byte(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)))
	}, false},
	{"an octet a second", func(c net.Conn, end <-chan struct{}) {
		for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-end:
				return
			case <-time.After(time.Second):
			}
		}
	}, false},
	{"a reset", func(c net.Conn, _ <-chan struct{}) {
		_ = c.(*net.TCPConn).SetLinger(0)
	}, false},
	{"a body of ten gigabytes", func(c net.Conn, end <-chan struct{}) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
		flood(c, end, []byte(strings.Repeat("x", 64<<10)))
	}, true},
	{"chunks without end", func(c net.Conn, end <-chan struct{}) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		flood(c, end, []byte("ffff\r\n"+strings.Repeat("x", 0xffff)+"\r\n"))
	}, true},
}

// flood writes the same again and again until the peer has enough.
func flood(c net.Conn, end <-chan struct{}, b []byte) {
	for {
		select {
		case <-end:
			return
		default:
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// hostileNode listens at an address and misbehaves.
func hostileNode(t *testing.T, at netip.AddrPort, speak func(net.Conn, <-chan struct{})) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			open.Go(func() {
				defer c.Close()
				stop := make(chan struct{})
				defer close(stop)
				go func() {
					select {
					case <-end:
						_ = c.Close()
					case <-stop:
					}
				}()
				// A peer is heard out first, as a reset would else come before it
				// has spoken.
				_, _ = c.Read(make([]byte, 4096))
				speak(c, end)
			})
		}
	})
	t.Cleanup(func() {
		close(end)
		_ = l.Close()
		open.Wait()
	})
}

// Targets that misbehave cost bounded memory and nobody else's time: the
// answers go on, and a good node that dies among them leaves as soon as ever.
func TestHostile(t *testing.T) {
	const each = 5 // of a kind
	c := newCluster(t)
	good := c.webs(10, 11)
	var text strings.Builder
	var dead, live []netip.Addr
	last := 20
	for _, h := range hostile {
		for range each {
			a := c.addr(last)
			last++
			hostileNode(t, netip.AddrPortFrom(a, uint16(c.port)), h.speak)
			fmt.Fprintf(&text, "odd 30 A %s\n", a)
			if h.live {
				live = append(live, a)
			} else {
				dead = append(dead, a)
			}
		}
	}
	c.zone(records(good) + text.String() + `
web._check TXT "v=check1; type=http; port=PORT; path=/healthz; TIMING"
www._steer TXT "v=steer1; check=web"
odd._steer TXT "v=steer1; check=web"
`)
	c.probes = each * len(hostile)
	c.serve()
	www, odd := c.watch("www", dns.TypeA, ""), c.watch("odd", dns.TypeA, "")
	begin := time.Now()
	// A body is not read to its end.
	odd.until("names those whose header is fine", begin, func(s *sighting) bool { return sameAddrs(s.addrs, live) })
	time.Sleep(time.Second)
	before := c.memory()
	o := outage{node: good[0].addr, from: good[0].kill()}
	took := www.leaves(good[0], o.from)
	time.Sleep(2 * time.Second)
	after := c.memory()
	t.Logf("a node that was killed among %d hostile targets was in answers for %v; memory %d MiB, 2 s later %d MiB", each*len(hostile), took.Round(time.Millisecond), before>>20, after>>20)
	if most := before + 32<<20; after > most {
		t.Errorf("memory grew from %d to %d MiB", before>>20, after>>20)
	}
	www.judge([]outage{o}, addNoise(t, killed))
	odd.judge(nil, 0)
	odd.always(begin, func(s *sighting) string {
		if slices.ContainsFunc(dead, s.has) {
			return "a node is named that never gave a proper answer"
		}
		return ""
	})
}

// memory is how much of it the server's process holds, in octets.
func (c *cluster) memory() int {
	c.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.server.Pid()))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			if err != nil {
				c.t.Fatal(err)
			}
			return kib << 10
		}
	}
	c.t.Fatal("no VmRSS: in the status of the server's process")
	return 0
}
