package resolver_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Other servers, started on a free loopback port to be asked the same.

// command finds a program, also where Debian has those of administrators.
func command(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed: run scripts/deps", name)
	}
	return path
}

// freePort is a port that nobody on the loopback address uses, for UDP and TCP.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return 0
}

// server says how to start one: the program, its arguments, and what its
// configuration, the file conf in dir, is to hold.
type server func(dir string, port int, zones []string) (name string, args []string, conf string)

// knot is a server.
func knot(dir string, port int, zones []string) (name string, args []string, conf string) {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  listen: 127.0.0.1@%d\n  rundir: %s\n  background-workers: 1\n  udp-workers: 1\n  tcp-workers: 1\n", port, dir)
	fmt.Fprintf(&b, "log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: %s\n", dir)
	fmt.Fprintf(&b, "template:\n  - id: default\n    storage: %s\n    semantic-checks: off\n    zonefile-sync: -1\n    journal-content: none\nzone:\n", dir)
	for _, z := range zones {
		fmt.Fprintf(&b, "  - domain: %s\n    file: %szone\n", z, z)
	}
	return "knotd", []string{"-c", filepath.Join(dir, "conf")}, b.String()
}

// nsd is a server.
func nsd(dir string, port int, zones []string) (name string, args []string, conf string) {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  ip-address: 127.0.0.1@%d\n  username: \"\"\n  server-count: 1\n  database: \"\"\n  rrl-ratelimit: 0\n  minimal-responses: no\n", port)
	for _, file := range []string{"pidfile", "xfrdfile", "zonelistfile"} {
		fmt.Fprintf(&b, "  %s: \"%s\"\n", file, filepath.Join(dir, file))
	}
	fmt.Fprintf(&b, "  zonesdir: \"%s\"\nremote-control:\n  control-enable: no\n", dir)
	for _, z := range zones {
		fmt.Fprintf(&b, "zone:\n  name: \"%s\"\n  zonefile: \"%szone\"\n", z, z)
	}
	return "nsd", []string{"-d", "-c", filepath.Join(dir, "conf")}, b.String()
}

// peer is a server that runs, and a connection to it.
type peer struct {
	conn *dns.Conn
	log  *bytes.Buffer
}

// startPeer starts a server with zones, and ends it with the test.
func startPeer(t testing.TB, how server, zones []*plainZone) *peer {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	var names []string
	for _, z := range zones {
		names = append(names, z.apex)
		write(t, filepath.Join(dir, z.apex+"zone"), z.text())
	}
	name, args, conf := how(dir, port, names)
	write(t, filepath.Join(dir, "conf"), conf)
	p := &peer{log: &bytes.Buffer{}}
	cmd := exec.Command(command(t, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(20 * time.Second)
	for ; ; time.Sleep(20 * time.Millisecond) {
		conn, err := dns.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			p.conn = conn
			if p.serves(names) {
				t.Cleanup(func() { _ = conn.Close() })
				return p
			}
			_ = conn.Close()
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("%s does not serve the zones: %v\n%s", name, err, p.log)
		}
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serves reports whether all zones are loaded.
func (p *peer) serves(names []string) bool {
	for _, n := range names {
		r, err := p.ask(question(n, dns.TypeSOA, dns.ClassINET, 0, false))
		if err != nil || len(r.Answer) == 0 {
			return false
		}
	}
	return true
}

// ask sends a question over the connection and waits for the reply.
func (p *peer) ask(m *dns.Msg) (*dns.Msg, error) {
	if err := p.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if err := p.conn.WriteMsg(m); err != nil {
		return nil, err
	}
	return p.conn.ReadMsg()
}
