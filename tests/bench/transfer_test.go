package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkTransfer is how long dig takes to transfer a zone of 1,000,000 records,
// from geodns and from NSD in turn.
func BenchmarkTransfer(b *testing.B) {
	zones := b.TempDir()
	writeLargeZone(b, filepath.Join(zones, "example.com.zone"))
	nsdAllows := server{"nsd", func(b *testing.B, dir, zones string, port int) *exec.Cmd {
		cmd := nsd.start(b, dir, zones, port)
		more(b, filepath.Join(dir, "nsd.conf"), " provide-xfr: 127.0.0.1 NOKEY\n")
		return cmd
	}}
	for _, s := range []server{allowing("transfer: {allow: [127.0.0.1]}\n"), nsdAllows} {
		b.Run(s.name, func(b *testing.B) {
			port := freePort(b)
			stop := s.serve(b, zones, port, "ns1.example.com.")
			defer stop()
			var took time.Duration
			for b.Loop() {
				begin := time.Now()
				out, err := exec.Command("dig", "@127.0.0.1", "-p", fmt.Sprint(port), "+noall", "+stats", "example.com", "AXFR").CombinedOutput()
				if took += time.Since(begin); err != nil || !strings.Contains(string(out), "records") {
					b.Fatalf("%v\n%s", err, out)
				}
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/axfr")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkIncrement is how long an IXFR of ten records takes of a zone of 1,000,000.
func BenchmarkIncrement(b *testing.B) {
	zones := b.TempDir()
	path := filepath.Join(zones, "example.com.zone")
	writeLargeZone(b, path)
	port := freePort(b)
	stop := allowing("transfer: {allow: [127.0.0.1]}\nstore: geodns.db\n").serve(b, zones, port, "ns1.example.com.")
	defer stop()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10 {
		text = fmt.Appendf(text, "new%d IN A 192.0.2.%d\n", i, i)
	}
	write(b, path, string(text))
	at := fmt.Sprintf("127.0.0.1:%d", port)
	ask := new(dns.Msg).SetIxfr("example.com.", 1, "ns1.example.com.", "hostmaster.example.com.")
	client := &dns.Client{Net: "tcp", Timeout: time.Minute}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if reply, _, err := client.Exchange(ask, at); err == nil && len(reply.Answer) == 14 {
			break
		}
		if time.Now().After(end) {
			b.Fatal("the change does not come by IXFR")
		}
	}
	var took time.Duration
	for b.Loop() {
		_, rtt, err := client.Exchange(ask, at)
		if err != nil {
			b.Fatal(err)
		}
		took += rtt
	}
	b.ReportMetric(float64(took.Microseconds())/float64(b.N)/1000, "ms/ixfr")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkUpdates is how many dynamic updates a second are done, signed, over UDP,
// each kept before it is answered, by 64 clients.
func BenchmarkUpdates(b *testing.B) {
	const clients, secret = 64, "MDEyMzQ1Njc4OWFiY2RlZg=="
	zones := b.TempDir()
	write(b, filepath.Join(zones, "example.com.zone"), "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n")
	port := freePort(b)
	stop := allowing("store: geodns.db\nkeys: [{name: farm., algorithm: hmac-sha256, secret: \""+secret+"\"}]\nzone: {example.com: {updates: [{key: farm.}]}}\n").serve(b, zones, port, "ns1.example.com.")
	defer stop()
	for b.Loop() {
		var wait sync.WaitGroup
		const each = 500
		begin := time.Now()
		for c := range clients {
			wait.Go(func() {
				for i := range each {
					m := new(dns.Msg).SetUpdate("example.com.")
					rr, _ := dns.NewRR(fmt.Sprintf("h%d-%d.example.com. 60 A 10.0.%d.%d", c, i, i>>8, i&255))
					m.Insert([]dns.RR{rr})
					m.SetTsig("farm.", dns.HmacSHA256, 300, time.Now().Unix())
					client := &dns.Client{Timeout: 10 * time.Second, TsigSecret: map[string]string{"farm.": secret}}
					if reply, _, err := client.Exchange(m, fmt.Sprintf("127.0.0.1:%d", port)); err != nil || reply.Rcode != dns.RcodeSuccess {
						b.Errorf("%v %v", reply, err)
						return
					}
				}
			})
		}
		wait.Wait()
		b.ReportMetric(clients*each/time.Since(begin).Seconds(), "updates/s")
	}
	b.ReportMetric(0, "ns/op")
}

// allowing is geodns with more in its configuration.
func allowing(config string) server {
	return server{"geodns", func(b *testing.B, dir, zones string, port int) *exec.Cmd {
		cmd := geodns.start(b, dir, zones, port)
		conf := filepath.Join(dir, "geodns.yaml")
		text, err := os.ReadFile(conf)
		if err != nil {
			b.Fatal(err)
		}
		if strings.Contains(config, "store:") {
			text = []byte(strings.Replace(string(text), "store: \"\"\n", "", 1))
		}
		write(b, conf, string(text)+"log: {level: error}\n"+config)
		return cmd
	}}
}

func more(b *testing.B, path, text string) {
	old, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	write(b, path, string(old)+text)
}

// serve starts a server and waits until it answers for a name; stop ends it.
func (s server) serve(b *testing.B, zones string, port int, name string) (stop func()) {
	b.Helper()
	cmd := s.start(b, b.TempDir(), zones, port)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for end := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		c := &dns.Client{Timeout: time.Second}
		if reply, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), net.JoinHostPort("127.0.0.1", fmt.Sprint(port))); err == nil && len(reply.Answer) > 0 {
			break
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			b.Fatal("no answer")
		}
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}
