// Package bench measures geodns as its users meet it, as a whole process,
// beside other servers in the same run. It has benchmarks only.
package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	manyRecords = 1_000_000
	manyZones   = 100_000
	startLimit  = 60 * time.Second
)

// server is a way to start a DNS server on a port of 127.0.0.1, serving the
// *.zone files of a directory.
type server struct {
	name string
	// start writes what is needed below dir and returns the command.
	start func(b *testing.B, dir, zones string, port int) *exec.Cmd
}

var geodns = server{"geodns", func(b *testing.B, dir, zones string, port int) *exec.Cmd {
	bin := os.Getenv("GEODNS_TEST_BINARY") // one that is built already
	if bin == "" {
		bin = filepath.Join(dir, "geodns")
		build := exec.Command("go", "build", "-o", bin, "geodns/cmd/geodns")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	write(b, filepath.Join(dir, "geodns.yaml"), fmt.Sprintf("listen: [\"127.0.0.1:%d\"]\nzones: %s\nstore: \"\"\ncontrol: \"\"\nhttp: \"\"\n", port, zones))
	return exec.Command(bin, "serve", "--config", filepath.Join(dir, "geodns.yaml"))
}}

var knot = server{"knot", func(b *testing.B, dir, zones string, port int) *exec.Cmd {
	conf := fmt.Sprintf("server:\n listen: 127.0.0.1@%d\n rundir: %s\ndatabase:\n storage: %s\nlog:\n - target: stderr\n   any: warning\ntemplate:\n - id: default\n   storage: %s\n   file: \"%%s.zone\"\n   zonefile-sync: -1\n   zonefile-load: whole\n   journal-content: none\nzone:\n", port, dir, dir, zones)
	for _, f := range zoneFiles(b, zones) {
		conf += " - domain: " + strings.TrimSuffix(f, ".zone") + "\n"
	}
	write(b, filepath.Join(dir, "knot.conf"), conf)
	return exec.Command("knotd", "-c", filepath.Join(dir, "knot.conf"))
}}

// BenchmarkStartup is the time from the start of a process to its first answer
// from a zone of 1,000,000 A records, and what it then has resident.
func BenchmarkStartup(b *testing.B) {
	zones := b.TempDir()
	writeLargeZone(b, filepath.Join(zones, "example.com.zone"))
	for _, s := range []server{geodns, knot} {
		b.Run(s.name, func(b *testing.B) { s.measure(b, zones, fmt.Sprintf("h%d.example.com.", manyRecords*7/9)) })
	}
}

// BenchmarkManyZones is the same for 100,000 zones of 10 records.
func BenchmarkManyZones(b *testing.B) {
	zones := b.TempDir()
	for i := range manyZones {
		write(b, filepath.Join(zones, fmt.Sprintf("z%d.example.zone", i)), smallZone)
	}
	geodns.measure(b, zones, "www.z777.example.")
}

const smallZone = `$TTL 300
@ IN SOA ns1 hostmaster 1 3600 600 604800 300
@ IN NS ns1
@ IN NS ns2
@ IN MX 10 mail
ns1 IN A 192.0.2.53
ns2 IN A 198.51.100.53
mail IN A 192.0.2.25
www IN A 192.0.2.1
www IN A 192.0.2.2
ftp IN CNAME www
`

func writeLargeZone(b *testing.B, path string) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprint(w, "$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 604800 300\n@ IN NS ns1\nns1 IN A 192.0.2.53\n")
	for i := range manyRecords {
		fmt.Fprintf(w, "h%d IN A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

func (s server) measure(b *testing.B, zones, name string) {
	var took time.Duration
	var resident int
	for b.Loop() {
		dir, port := b.TempDir(), freePort(b)
		cmd := s.start(b, dir, zones, port)
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		awaitAnswer(b, cmd, port, name)
		took += time.Since(begin)
		time.Sleep(500 * time.Millisecond) // for what is freed behind the start
		resident = max(resident, residentKiB(b, cmd.Process.Pid))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(float64(resident)/1024, "MiB")
	b.ReportMetric(0, "ns/op")
}

// awaitAnswer asks for a name until it has an address.
func awaitAnswer(b *testing.B, cmd *exec.Cmd, port int, name string) {
	client := &dns.Client{Timeout: 5 * time.Millisecond}
	question := new(dns.Msg).SetQuestion(name, dns.TypeA)
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		reply, _, err := client.Exchange(question, fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil && len(reply.Answer) > 0 {
			return
		}
	}
	_ = cmd.Process.Kill()
	b.Fatal("no answer")
}

func residentKiB(b *testing.B, pid int) int { return statusKiB(b, pid, "VmRSS:") }

// statusKiB is a line of what the system says about a process.
func statusKiB(b *testing.B, pid int, key string) (kib int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			fmt.Sscanf(rest, "%d", &kib)
		}
	}
	return kib
}

func zoneFiles(b *testing.B, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func write(b *testing.B, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}
