package syncing

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is when something that should happen counts as lost.
const patience = 30 * time.Second

// until waits for something, and fails the test if it does not come.
func until(t *testing.T, what string, is func() bool, more ...func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(3 * time.Millisecond) {
		if time.Now().Before(end) {
			continue
		}
		var b strings.Builder
		for _, m := range more {
			fmt.Fprintf(&b, "\n%s", m())
		}
		t.Fatalf("waited %v in vain: %s%s", patience, what, b.String())
	}
}

// output is what a process printed, readable while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is one that a test has started.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *output
	done   chan struct{} // closed when it has ended
	exited error         // valid after done
}

// program is where a program of a Debian package is.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, p := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed; scripts/deps installs what the tests need", name)
	return ""
}

// start starts a program, which ends with the test at the latest. What it prints
// is added to out.
func start(t *testing.T, dir string, out *output, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), out: out, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	// A group of its own, since NSD is several processes; not even a test that is
	// killed leaves it behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.exited = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended reports whether the process is no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process, and what it has started, as a power cut would.
func (p *process) kill() {
	if !p.ended() {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
		<-p.done
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal %d: %v", s, err)
	}
}

// sockets counts those that the process holds.
func (p *process) sockets() (n int) {
	dir := fmt.Sprintf("/proc/%d/fd", p.pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// run runs a program that must succeed, and returns what it printed.
func run(t *testing.T, dir, input, name string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, input, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, dir, input, name string, args ...string) (string, error) {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = program(t, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// write replaces a file, at once.
func write(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"~", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+"~", file); err != nil {
		t.Fatal(err)
	}
}
