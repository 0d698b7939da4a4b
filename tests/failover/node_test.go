package failover

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// command is a process to start.
type command struct {
	name string
	args []string
	// namespace: in a network namespace of its own.
	namespace bool
}

// process is one that was started here. It is ended by its id, with all that it
// has started, when the test ends.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{}
}

func start(t *testing.T, c command) *process {
	t.Helper()
	path := c.name
	for _, dir := range []string{"", "/usr/sbin/", "/usr/lib/postfix/sbin/"} {
		if found, err := exec.LookPath(dir + c.name); err == nil {
			path = found
			break
		}
	}
	p := &process{t: t, cmd: exec.Command(path, c.args...), out: new(bytes.Buffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.namespace {
		p.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	// Children that outlive the process may hold its output open.
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v; scripts/deps installs what the tests need", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends one to the process and to what it has started: they are one
// group.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.pid(), s); err != nil {
		p.t.Errorf("kill -%d %d: %v", s, p.pid(), err)
	}
}

// ended reports whether the process is no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process as a power cut would, if it still is.
func (p *process) kill() {
	if !p.ended() {
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// node is a machine that does work: a process that takes connections at an
// address.
type node struct {
	t    *testing.T
	addr netip.Addr
	port int
	cmd  command
	at   *site // nil: on this machine

	*process
}

// boot starts the node, and returns when it takes connections.
func (n *node) boot() {
	n.t.Helper()
	c := n.cmd
	if n.at != nil {
		words := append(append(n.at.enter(), c.name), c.args...)
		c = command{name: words[0], args: words[1:]}
	}
	n.process = start(n.t, c)
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(n.addr, uint16(n.port)).String(), time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if n.ended() || time.Now().After(deadline) {
			n.process.kill()
			n.t.Fatalf("%s takes no connections at %s: %v\n%s", n.cmd.name, n.addr, err, n.out)
		}
	}
}

// kill, freeze and thaw return when it was done.
func (n *node) kill() time.Time {
	at := time.Now()
	n.process.kill()
	return at
}

// freeze makes the node hang: its machine goes on taking connections, and
// nobody answers.
func (n *node) freeze() time.Time {
	n.t.Helper()
	at := time.Now()
	n.signal(syscall.SIGSTOP)
	return at
}

func (n *node) thaw() time.Time {
	n.t.Helper()
	n.signal(syscall.SIGCONT)
	return time.Now()
}

// web starts an nginx at an address.
func (c *cluster) web(addr netip.Addr, at *site) *node {
	c.t.Helper()
	dir := c.t.TempDir()
	user := "" // whom its directories are to belong to
	if os.Geteuid() == 0 {
		user = "user root;\n" // there may be nobody else in the namespace
	}
	conf := fmt.Sprintf(`%[3]sdaemon off; master_process off; pid %[1]s/pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen %[2]s; location = /healthz { return 200 "ready\n"; } }
}
`, dir, netip.AddrPortFrom(addr, uint16(c.port)), user)
	file := write(c.t, dir, "nginx.conf", conf)
	n := &node{t: c.t, addr: addr, port: c.port, at: at, cmd: command{name: "nginx", args: []string{"-e", "stderr", "-p", dir, "-c", file}}}
	n.boot()
	return n
}

// webs starts several, at once.
func (c *cluster) webs(lasts ...int) []*node {
	c.t.Helper()
	nodes := make([]*node, len(lasts))
	for i, last := range lasts {
		nodes[i] = c.web(c.addr(last), nil)
	}
	return nodes
}

// smtp starts a Postfix at an address: its master and what that starts.
func (c *cluster) smtp(addr netip.Addr) *node {
	c.t.Helper()
	dir, err := os.MkdirTemp("", "gdpf") // what Postfix starts must be able to enter it
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	who, err := user.Lookup("postfix")
	if err != nil {
		c.t.Fatalf("%v; scripts/deps installs Postfix", err)
	}
	owner, _ := strconv.Atoi(who.Uid)
	group, _ := strconv.Atoi(who.Gid)
	for _, sub := range []string{".", "etc", "spool", "spool/pid", "spool/private", "spool/public", "spool/incoming", "spool/active", "spool/maildrop", "spool/deferred", "spool/defer", "lib"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, sub := range []string{"lib", "spool/private", "spool/public"} {
		if err := os.Chown(filepath.Join(dir, sub), owner, group); err != nil {
			c.t.Fatal(err)
		}
	}
	write(c.t, filepath.Join(dir, "etc"), "main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/lib
inet_interfaces = all
inet_protocols = ipv4
myhostname = mx.cluster.example
mydestination =
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
`, dir))
	write(c.t, filepath.Join(dir, "etc"), "master.cf", fmt.Sprintf("%s:%d inet n - n - - smtpd\n", addr, c.port))
	n := &node{t: c.t, addr: addr, port: c.port, cmd: command{name: "master", args: []string{"-c", filepath.Join(dir, "etc"), "-d"}}}
	n.boot()
	return n
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// number reads an environment variable that holds one.
func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}
