package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var nsd = server{"nsd", func(b *testing.B, dir, zones string, port int) *exec.Cmd {
	conf := fmt.Sprintf("server:\n ip-address: 127.0.0.1@%d\n server-count: 1\n username: \"\"\n zonesdir: \"%s\"\n database: \"\"\n pidfile: \"%s/pid\"\n xfrdfile: \"%s/x\"\n zonelistfile: \"%s/z\"\n xfrdir: \"%s\"\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\nzone:\n name: example.com\n zonefile: example.com.zone\n", port, zones, dir, dir, dir, dir)
	write(b, filepath.Join(dir, "nsd.conf"), conf)
	return exec.Command("nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
}}

const (
	reloadRate    = 100_000 // questions a second
	reloadLasting = 6 * time.Second
)

// BenchmarkReload reloads a zone of 1,000,000 records while 100,000 questions a
// second are asked, all on one CPU: what is lost, and how the latency compares with the same
// load when nothing is reloaded.
func BenchmarkReload(b *testing.B) {
	for _, s := range []server{geodns, nsd, knot} {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				s.reload(b)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (s server) reload(b *testing.B) {
	zones, dir, port := b.TempDir(), b.TempDir(), freePort(b)
	path := filepath.Join(zones, "example.com.zone")
	writeLargeZone(b, path)
	cmd := pinned(s.start(b, dir, zones, port))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	awaitAnswer(b, cmd, port, "h7.example.com.")
	time.Sleep(time.Second)

	work := load{rate: reloadRate, lasting: reloadLasting, name: anyHost}
	work.run(b, port) // to warm up
	idle := work.run(b, port)

	raiseSerial(b, path)
	took := make(chan time.Duration, 1)
	go func() {
		time.Sleep(500 * time.Millisecond)
		begin := time.Now()
		_ = cmd.Process.Signal(syscall.SIGHUP)
		awaitSerial(port, 2, reloadLasting)
		took <- time.Since(begin)
	}()
	busy := work.run(b, port)

	b.ReportMetric((<-took).Seconds(), "s/reload")
	b.ReportMetric(float64(idle.lost()), "lost-idle")
	b.ReportMetric(float64(busy.lost()), "lost-reload")
	b.ReportMetric(float64(busy.unequal), "wrong")
	b.ReportMetric(float64(idle.at(.999).Microseconds()), "us-p99.9-idle")
	b.ReportMetric(float64(busy.at(.999).Microseconds()), "us-p99.9-reload")
	b.ReportMetric(float64(busy.at(1).Microseconds()), "us-max-reload")
}

// pinned keeps a server on a CPU of its own, away from who asks: there it has
// to reload and to answer.
func pinned(cmd *exec.Cmd) *exec.Cmd {
	return exec.Command("taskset", append([]string{"-c", serverCPU}, cmd.Args...)...)
}

// raiseSerial makes the zone's serial 2, in a new file as editors do.
func raiseSerial(b *testing.B, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	write(b, path+".new", string(bytes.Replace(text, []byte("hostmaster 1 "), []byte("hostmaster 2 "), 1)))
	if err := os.Rename(path+".new", path); err != nil {
		b.Fatal(err)
	}
}

func awaitSerial(port int, serial uint32, most time.Duration) {
	client := &dns.Client{Timeout: 100 * time.Millisecond}
	question := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		reply, _, err := client.Exchange(question, fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil && len(reply.Answer) == 1 && reply.Answer[0].(*dns.SOA).Serial == serial {
			return
		}
	}
}
