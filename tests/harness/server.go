package harness

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// startWait bounds how long a server may take until it answers.
	startWait = 15 * time.Second
	// stopWait bounds how long a server may take to end after SIGTERM.
	stopWait = 10 * time.Second
	// pollEvery is how often a condition is looked at again.
	pollEvery = 10 * time.Millisecond
)

// crash matches what a Go program prints when it breaks. A recovered panic is
// logged by geodns with the same word.
var crash = regexp.MustCompile(`(?i)\bpanic\b|^fatal error:|DATA RACE|(?m)^goroutine \d+ \[`)

// Server is a running server process.
type Server struct {
	Target Target
	Port   int

	cmd    *exec.Cmd
	state  string
	log    *lockedBuffer
	done   chan struct{} // closed when the process has ended
	socks  int           // open sockets right after the start, and those of probes
	exited error         // valid after done
}

// lockedBuffer is what a server printed, readable while it runs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Addr is where the server listens, over UDP and TCP.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Log is what the server printed so far.
func (s *Server) Log() string { return s.log.String() }

// Pid is the id of the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Start starts a server and returns when it answers. A port that someone else
// took in the meantime is replaced by another one.
func (t Target) Start(spec Spec) (*Server, error) {
	for attempt := 1; ; attempt++ {
		s, err := t.start(spec)
		if err == nil {
			return s, nil
		}
		// NSD's processes sometimes miss each other at the start.
		again := strings.Contains(strings.ToLower(err.Error()), "in use") || strings.Contains(err.Error(), "did not get start signal")
		if attempt == 5 || !again {
			return nil, err
		}
	}
}

func (t Target) start(spec Spec) (*Server, error) {
	port, err := t.freePort()
	if err != nil {
		return nil, err
	}
	// Not below spec.Dir: a Unix socket's path must be shorter than that.
	state, err := os.MkdirTemp("", "gd")
	if err != nil {
		return nil, err
	}
	args, err := t.command(spec, port, state)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	s := &Server{Target: t, Port: port, state: state, log: new(lockedBuffer), done: make(chan struct{})}
	s.cmd = exec.Command(t.Binary, args...)
	s.cmd.Dir = spec.Dir
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	// Not even a test that is killed leaves it behind.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	go func() {
		s.exited = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.await(spec); err != nil {
		s.kill()
		return nil, fmt.Errorf("%s: %w\n%s", t.Kind, err, s.Log())
	}
	s.socks = s.openSockets() + spec.Probes
	return s, nil
}

// The ports to choose from: below those that the system gives to clients, since
// servers bind with SO_REUSEPORT and would share a port without a word.
const (
	firstPort = 10000
	lastPort  = 32000
)

// freePort finds a port that is free for UDP and TCP, and that this process has
// not given to another server.
func (t Target) freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		_ = l.Close()
		if err != nil {
			continue
		}
		if err := u.Close(); err != nil {
			return 0, err
		}
		if _, taken := t.ports.LoadOrStore(port, true); !taken {
			return port, nil
		}
	}
	return 0, errors.New("found no port that is free for UDP and TCP")
}

// await returns when the server answers for every zone that can be loaded, and
// accepts TCP.
func (s *Server) await(spec Spec) error {
	zs, err := spec.zones()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(startWait)
	client := &dns.Client{Timeout: time.Second}
	for _, z := range zs {
		wanted := true
		for _, u := range spec.Unloaded {
			wanted = wanted && u != z.name
		}
		for !s.answers(client, z.name, wanted) {
			select {
			case <-s.done:
				return fmt.Errorf("ended before it answered for %s: %w", z.name, orExited(s.exited))
			case <-time.After(pollEvery):
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("did not answer for %s within %v", z.name, startWait)
			}
		}
	}
	c, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

func orExited(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// answers reports whether the server says something about a zone; if it is
// wanted, that has to be the zone's SOA.
func (s *Server) answers(client *dns.Client, name string, wanted bool) bool {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeSOA)
	m.RecursionDesired = false
	r, _, err := client.Exchange(m, s.Addr())
	if err != nil || r == nil {
		return false
	}
	return !wanted || r.Rcode == dns.RcodeSuccess && len(r.Answer) > 0
}

// Stop ends the server and reports what was wrong with it: that it had died,
// printed a panic, kept sockets open, or did not end properly.
func (s *Server) Stop() error {
	defer s.kill()
	select {
	case <-s.done:
		return fmt.Errorf("%s died during the test: %w\n%s", s.Target.Kind, orExited(s.exited), s.Log())
	default:
	}
	var errs []error
	if s.Target.Kind == Geodns {
		errs = append(errs, s.leaks())
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		errs = append(errs, err)
	}
	select {
	case <-s.done:
		if s.Target.Kind == Geodns && s.exited != nil {
			errs = append(errs, fmt.Errorf("geodns did not exit with 0 after SIGTERM: %w", s.exited))
		}
	case <-time.After(stopWait):
		errs = append(errs, fmt.Errorf("%s still ran %v after SIGTERM", s.Target.Kind, stopWait))
	}
	if s.Target.Kind == Geodns && crash.MatchString(s.Log()) {
		errs = append(errs, errors.New("geodns printed a panic"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Log())
	}
	return nil
}

// kill makes sure that nothing is left of the server.
func (s *Server) kill() {
	select {
	case <-s.done:
	default:
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	_ = os.RemoveAll(s.state)
}

// leaks reports sockets that the server did not close after the clients were
// gone. Their closing may take a moment.
func (s *Server) leaks() error {
	var now int
	for deadline := time.Now().Add(5 * time.Second); ; {
		if now = s.openSockets(); now <= s.socks {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("geodns leaks sockets: %d open after the start, %d now that all clients are gone", s.socks, now)
		}
		time.Sleep(pollEvery)
	}
}

// openSockets counts the sockets that the server's process holds.
func (s *Server) openSockets() int {
	dir := fmt.Sprintf("/proc/%d/fd", s.Pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
