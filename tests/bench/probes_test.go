package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	probedTargets = 20_000
	probedNames   = 20 // of 1,000 addresses each
	probedFor     = 40 * time.Second
)

// BenchmarkProbes is what it takes to probe 20,000 nodes each ten seconds: in
// parts of one core, and in memory. The limits are half a core and 200 MiB. The
// nodes answer, refuse, or don't, by the kind of check; they are addresses of this
// machine, whose own part is not counted.
func BenchmarkProbes(b *testing.B) {
	web := httpNode(b)
	mute := muteNode(b)
	for _, kind := range []struct{ name, check string }{
		{"tcp", fmt.Sprintf("type=tcp; port=%d", web)},
		{"http", fmt.Sprintf("type=http; port=%d; path=/", web)},
		{"refused", "type=tcp; port=1"},
		{"mute", fmt.Sprintf("type=http; port=%d; path=/; timeout=2s", mute)},
	} {
		b.Run(kind.name, func(b *testing.B) { measureProbes(b, kind.check) })
	}
}

func measureProbes(b *testing.B, check string) {
	for b.Loop() {
		dir, zones, port := b.TempDir(), b.TempDir(), freePort(b)
		writeProbed(b, filepath.Join(zones, "example.com.zone"), check)
		cmd := geodns.start(b, dir, zones, port)
		conf := filepath.Join(dir, "geodns.yaml")
		text, err := os.ReadFile(conf)
		if err != nil {
			b.Fatal(err)
		}
		write(b, conf, string(text)+"probe-allow: [127.0.0.0/8]\nlog: {level: error}\n")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		time.Sleep(20 * time.Second) // the first round, at once, is not the rule
		reply, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion("ns1.example.com.", dns.TypeA), fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil || len(reply.Answer) != 1 {
			_ = cmd.Process.Kill()
			b.Fatalf("%v %v", reply, err)
		}
		before, begin := cpuTime(b, cmd.Process.Pid), time.Now()
		time.Sleep(probedFor)
		used := cpuTime(b, cmd.Process.Pid) - before
		b.ReportMetric(100*used.Seconds()/time.Since(begin).Seconds(), "%core")
		b.ReportMetric(float64(residentKiB(b, cmd.Process.Pid))/1024, "MiB")
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	b.ReportMetric(0, "ns/op")
}

// writeProbed writes a zone of nodes that are all probed each ten seconds.
func writeProbed(b *testing.B, path, check string) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintf(w, "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n")
	fmt.Fprintf(w, "web._check TXT \"v=check1; %s; every=10s\"\n", check)
	for n := range probedNames {
		fmt.Fprintf(w, "w%d._steer TXT \"v=steer1; answers=4; check=web\"\n", n)
		for i := range probedTargets / probedNames {
			fmt.Fprintf(w, "w%d A 127.%d.%d.%d\n", n, 1+n, i>>8, i&255)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// httpNode answers on all addresses of this machine, as cheaply as can be.
func httpNode(b *testing.B) (port int) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwell\n"
	return node(b, func(c net.Conn) {
		var request [1024]byte
		if n, err := c.Read(request[:]); err == nil && n > 0 {
			_, _ = io.WriteString(c, answer)
		}
	})
}

// muteNode takes connections and says nothing.
func muteNode(b *testing.B) (port int) {
	return node(b, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

// node serves on all addresses of this machine.
func node(b *testing.B, serve func(net.Conn)) (port int) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// cpuTime is what a process has used of the processors, in user and kernel.
func cpuTime(b *testing.B, pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	ticks := 0
	for _, i := range []int{11, 12} { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f[i])
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
