package failover

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// mailbox is a Dovecot: a master, and the processes that it starts for those who
// connect, one for IMAP and one for POP3.
type mailbox struct{ *node }

// pop3 is the port of POP3; that of IMAP is the cluster's.
func (c *cluster) pop3() int { return c.port + 1 }

// mailbox starts a Dovecot at an address.
func (c *cluster) mailbox(addr netip.Addr) *mailbox {
	c.t.Helper()
	// Without these Dovecot starts all the same, and lacks a protocol.
	for _, program := range []string{"/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3"} {
		if _, err := os.Stat(program); err != nil {
			c.t.Fatalf("%v; scripts/deps installs what the tests need", err)
		}
	}
	dir, err := os.MkdirTemp("", "gddc") // the paths of its sockets are short
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // its login processes are somebody else's
		c.t.Fatal(err)
	}
	certificate(c.t, dir)
	conf := write(c.t, dir, "dovecot.conf", fmt.Sprintf(`base_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap pop3
listen = %[2]s
ssl = yes
ssl_cert = <%[1]s/certificate
ssl_key = <%[1]s/key
mail_location = maildir:%[1]s/mail
passdb {
  driver = static
  args = nopassword=y
}
service imap-login {
  inet_listener imap {
    port = %[3]d
  }
  inet_listener imaps {
    port = 0
  }
  service_count = 0
  process_limit = 1
  process_min_avail = 1
}
service pop3-login {
  inet_listener pop3 {
    port = %[4]d
  }
  inet_listener pop3s {
    port = 0
  }
  service_count = 0
  process_limit = 1
  process_min_avail = 1
}
`, dir, addr, c.port, c.pop3()))
	m := &mailbox{&node{t: c.t, addr: addr, port: c.port, cmd: command{name: "dovecot", args: []string{"-F", "-c", conf}}}}
	m.boot()
	return m
}

// certificate writes a self-signed one, and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "imap.cluster.example"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, dir, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// login is the id of the process that greets those who connect by a protocol.
func (m *mailbox) login(protocol string) int {
	m.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			m.t.Fatal(err)
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err == nil && parent(pid) == m.pid() && isCommand(pid, "dovecot/"+protocol+"-login") {
				return pid
			}
		}
	}
	m.t.Fatalf("Dovecot at %s has no login process for %s", m.addr, protocol)
	return 0
}

// parent is the id of a process's parent; 0 if the process has ended.
func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name before it is in parentheses, and may hold anything: proc(5).
	_, rest, _ := strings.Cut(string(data), ") ")
	if f := strings.Fields(rest); len(f) > 1 {
		if n, err := strconv.Atoi(f[1]); err == nil {
			return n
		}
	}
	return 0
}

func isCommand(pid int, name string) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && strings.HasPrefix(string(data), name)
}

// tell sends a signal to one process of the mailbox.
func (m *mailbox) tell(pid int, s syscall.Signal) time.Time {
	m.t.Helper()
	at := time.Now()
	if err := syscall.Kill(pid, s); err != nil {
		m.t.Errorf("kill -%d %d: %v", s, pid, err)
	}
	return at
}

// Cluster 2's connector: two mailboxes, asked as mail programs ask them, with
// STARTTLS. What hangs is a part of one, then the whole, and then it is dead; a
// login process that dies is started again by its master, and nobody leaves.
func TestConnector(t *testing.T) {
	t.Parallel()
	if !canBecome(t) {
		return
	}
	c := newCluster(t)
	one, two := c.mailbox(c.addr(28)), c.mailbox(c.addr(29))
	const slower = "every=200ms; timeout=200ms; fall=2; rise=1"
	within := addNoise(t, fall*every+200*time.Millisecond+100*time.Millisecond)
	var zone strings.Builder
	for _, name := range []string{"imap", "pop3", "both", "port"} {
		fmt.Fprintf(&zone, "%[1]s 30 A ADDR.28\n%[1]s 30 A ADDR.29\n", name)
	}
	c.zone(zone.String() + fmt.Sprintf(`
imap._check TXT "v=check1; type=imap; port=PORT; tls=starttls; expect=Dovecot; %[1]s"
pop3._check TXT "v=check1; type=pop3; port=%[2]d; tls=starttls; expect=Dovecot; %[1]s"
port._check TXT "v=check1; type=tcp; port=PORT; %[1]s"
imap._steer TXT "v=steer1; check=imap"
pop3._steer TXT "v=steer1; check=pop3"
both._steer TXT "v=steer1; check=imap,pop3"
port._steer TXT "v=steer1; check=port"
`, slower, c.pop3()))
	c.serve()
	imap, pop3 := c.watch("imap", dns.TypeA, ""), c.watch("pop3", dns.TypeA, "")
	both, port := c.watch("both", dns.TypeA, ""), c.watch("port", dns.TypeA, "")
	all := []*watcher{imap, pop3, both, port}
	begin := time.Now()
	pair := []netip.Addr{one.addr, two.addr}
	for _, w := range all {
		w.until("names both", begin, only(pair...))
	}

	// IMAP of the first hangs: its port still takes connections, and POP3 goes on.
	login := one.login("imap")
	hung := outage{node: one.addr, from: one.tell(login, syscall.SIGSTOP)}
	left := []time.Duration{imap.leaves(one.node, hung.from), both.leaves(one.node, hung.from)}
	for _, w := range []*watcher{pop3, port} {
		w.stays(promise, func(s *sighting) string {
			if !sameAddrs(s.addrs, pair) {
				return "neither POP3 nor the port of IMAP has failed"
			}
			return ""
		})
	}
	hung.to = one.tell(login, syscall.SIGCONT)
	for _, w := range all {
		w.until("names both again", hung.to, only(pair...))
	}

	// A login process that dies is started again: no answer changes.
	died := two.tell(two.login("pop3"), syscall.SIGKILL)
	time.Sleep(promise)
	for _, w := range all {
		w.always(died, func(s *sighting) string {
			if !sameAddrs(s.addrs, pair) {
				return "a node is missing whose login process was started again at once"
			}
			return ""
		})
	}

	// The second hangs as a whole, and is killed when it is back.
	frozen := outage{node: two.addr, from: two.freeze()}
	for _, w := range []*watcher{imap, pop3, both} {
		left = append(left, w.leaves(two.node, frozen.from))
	}
	frozen.to = two.thaw()
	for _, w := range all {
		w.until("names both again", frozen.to, only(pair...))
	}
	dead := outage{node: two.addr, from: two.kill()}
	for _, w := range all {
		left = append(left, w.leaves(two.node, dead.from))
	}
	dead.to = time.Now()
	two.boot()
	for _, w := range all {
		w.until("names both again", dead.to, only(pair...))
	}

	distribution(t, "a mailbox that hangs or is dead, in answers", left, fall*every+200*time.Millisecond+100*time.Millisecond)
	imap.judge([]outage{hung, frozen, dead}, within)
	both.judge([]outage{hung, frozen, dead}, within)
	pop3.judge([]outage{frozen, dead}, within)
	port.judge([]outage{dead}, within)
	for _, w := range all {
		w.always(begin, func(s *sighting) string {
			if len(s.addrs) == 0 {
				return "nobody is named"
			}
			return ""
		})
	}
}
