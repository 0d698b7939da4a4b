package bench

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	ownNetworks  = 1_000_000
	steeredNames = 100_000
	steeredSites = 8
	// sets is how many different sets of sites the names have.
	sets = 16
)

// BenchmarkSteeredStartup is the time from the start of a process to its first
// steered answer, with 1,000,000 own networks and 100,000 steered names, and
// what it then has resident. The limit is five seconds.
func BenchmarkSteeredStartup(b *testing.B) {
	zones, world := b.TempDir(), filepath.Join(b.TempDir(), "own.csv")
	writeNetworks(b, world)
	writeSteered(b, filepath.Join(zones, "example.com.zone"))
	var took time.Duration
	var resident, peak int
	for b.Loop() {
		dir, port := b.TempDir(), freePort(b)
		cmd := geodns.start(b, dir, zones, port)
		conf := filepath.Join(dir, "geodns.yaml")
		text, err := os.ReadFile(conf)
		if err != nil {
			b.Fatal(err)
		}
		write(b, conf, string(text)+"geo: {networks: "+world+"}\n")
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		awaitSteered(b, cmd, port)
		took += time.Since(begin)
		peak = max(peak, statusKiB(b, cmd.Process.Pid, "VmHWM:"))
		time.Sleep(2 * time.Second) // for what is freed behind the start
		resident = max(resident, residentKiB(b, cmd.Process.Pid))
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(float64(resident)/1024, "MiB")
	b.ReportMetric(float64(peak)/1024, "MiB-peak")
	b.ReportMetric(0, "ns/op")
}

// networkOf is the n-th own network: one of /24 or of /48 in two.
func networkOf(n int) string {
	if n%2 == 1 {
		return fmt.Sprintf("2a00:%x:%x::/48", n>>16, n&0xffff)
	}
	return fmt.Sprintf("%d.%d.%d.0/24", 11+n>>17, n>>9&255, n>>1&255)
}

// writeNetworks writes own networks at some thousand places.
func writeNetworks(b *testing.B, path string) {
	create(b, path, func(w *bufio.Writer) {
		fmt.Fprintln(w, "prefix,country,lat,lon")
		for n := range ownNetworks {
			place := n / 2 * 7919 % 4001
			fmt.Fprintf(w, "%s,%s,%.2f,%.2f\n", networkOf(n), []string{"US", "DE", "GB", "JP"}[place%4], float64(place%170)-85, float64(place%359)-179)
		}
	})
}

// siteAddress is the address of a host at a site.
func siteAddress(site, host int) string {
	return fmt.Sprintf("10.%d.%d.%d", site, host>>8&255, host&255)
}

// writeSteered writes names with a node at each site of a set of sites, and a
// policy of their own each.
func writeSteered(b *testing.B, path string) {
	create(b, path, func(w *bufio.Writer) {
		fmt.Fprint(w, "$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 604800 300\n@ IN NS ns1\nns1 IN A 192.0.2.53\n")
		for s := range steeredSites {
			fmt.Fprintf(w, "s%d._site IN TXT \"v=site1; net=10.%d.0.0/16; at=%d,%d\"\n", s, s, s*20-70, s*45-170)
		}
		for n := range steeredNames {
			for s := range steeredSites {
				// Two sites at least, and others by the set.
				if s < 2 || n%sets>>(s%4)&1 == 1 {
					fmt.Fprintf(w, "w%d IN A %s\n", n, siteAddress(s, n))
				}
			}
			fmt.Fprintf(w, "w%d._steer IN TXT \"v=steer1; policy=nearest; answers=%d\"\n", n, 1+n%2)
		}
	})
}

func create(b *testing.B, path string, content func(*bufio.Writer)) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	content(w)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// awaitSteered asks for a steered name until it has one address, for a network
// that the last line of the own networks has.
func awaitSteered(b *testing.B, cmd *exec.Cmd, port int) {
	client := &dns.Client{Timeout: 5 * time.Millisecond}
	m := new(dns.Msg).SetQuestion(fmt.Sprintf("w%d.example.com.", steeredNames-2), dns.TypeA)
	m.SetEdns0(1232, false)
	_, network, err := net.ParseCIDR(networkOf(ownNetworks - 1))
	if err != nil {
		b.Fatal(err)
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 48, Address: network.IP})
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		reply, _, err := client.Exchange(m, fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil || len(reply.Answer) == 0 {
			continue
		}
		o, ok := reply.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		if len(reply.Answer) != 1 || !ok || o.SourceScope < 1 || o.SourceScope > 48 {
			_ = cmd.Process.Kill()
			b.Fatalf("the answer is not steered: %v", reply)
		}
		return
	}
	_ = cmd.Process.Kill()
	b.Fatal("no answer")
}
