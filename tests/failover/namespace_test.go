package failover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// envInside names the environment variable that tells the tests where they run:
// in a namespace of their own, or else why not.
const envInside = "GEODNS_TEST_NAMESPACE"

const ownNamespace = "own"

// isolate runs the tests in a new network namespace, in a process of their own,
// and returns their exit code. done is false in that process.
func isolate() (code int, done bool) {
	switch os.Getenv(envInside) {
	case "":
	case ownNamespace:
		// Nothing works in a new namespace, not even what is within the machine.
		if _, err := try("ip", "link", "set", "lo", "up"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		return 0, false
	default:
		return 0, false
	}
	// Other tests go on at the same time, and whoever gets no time to probe takes
	// everybody for dead. It is no failure if that can't be had.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, -10)
	// What ends with its parent ends with the parent's thread.
	runtime.LockOSThread()
	flags := uintptr(syscall.CLONE_NEWNET)
	if os.Geteuid() != 0 {
		flags |= syscall.CLONE_NEWUSER
	}
	cmd := again(ownNamespace)
	cmd.SysProcAttr.Cloneflags = flags
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Start()
	if err != nil {
		cmd = again(strings.ReplaceAll(err.Error(), "\n", " "))
		err = cmd.Start()
	}
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), true
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// again is this program once more.
func again(inside string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"="+inside)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command that must succeed, and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath(name); err != nil {
		if _, err := os.Stat("/usr/sbin/" + name); err != nil {
			return "", fmt.Errorf("%s is not installed; scripts/deps installs what the tests need", name)
		}
		cmd.Path, cmd.Err = "/usr/sbin/"+name, nil
	} else {
		cmd.Path = path
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// site is a data centre: a network namespace with one link to the outside.
// It lasts as long as the process that holds it, and its link with it.
type site struct {
	t       *testing.T
	prefix  string // the first three octets of its addresses
	holder  *process
	outside string // the names of the link's two ends
	inside  string
}

// canCut reports whether links can be cut on this machine: that takes network
// namespaces, which some containers deny.
func canCut(t *testing.T) bool {
	t.Helper()
	if why := os.Getenv(envInside); why != ownNamespace {
		t.Logf("left out: it needs network namespaces, and they can't be had here (%s); run it as root, or allow user namespaces", why)
		return false
	}
	return true
}

// canBecome reports whether processes may become other users, as Postfix and
// Dovecot must.
func canBecome(t *testing.T) bool {
	t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	// The whole system has 2^32-1 of them, a namespace of an ordinary user one.
	if f := strings.Fields(string(users)); os.Geteuid() != 0 || len(f) != 3 || f[2] == "1" {
		t.Log("left out: its nodes run as several users, which takes root")
		return false
	}
	return true
}

// newSite makes the n-th site of a scenario. Its nodes are at the addresses
// from 10 on.
func newSite(t *testing.T, c *cluster, n int) *site {
	t.Helper()
	second, third, _ := strings.Cut(strings.TrimPrefix(c.prefix, "127."), ".")
	s := &site{
		t: t, prefix: fmt.Sprintf("10.%s.%d", second, n),
		outside: fmt.Sprintf("o%s-%s-%d", second, third, n), inside: fmt.Sprintf("i%s-%s-%d", second, third, n),
	}
	s.holder = start(t, command{name: "sleep", args: []string{"1d"}, namespace: true})
	run(t, "ip", "link", "add", s.outside, "type", "veth", "peer", "name", s.inside, "netns", strconv.Itoa(s.holder.pid()))
	run(t, "ip", "address", "add", s.prefix+".1/24", "dev", s.outside)
	run(t, "ip", "link", "set", s.outside, "up")
	s.run("ip", "link", "set", "lo", "up")
	for last := 10; last < 20; last++ {
		s.run("ip", "address", "add", fmt.Sprintf("%s.%d/24", s.prefix, last), "dev", s.inside)
	}
	s.run("ip", "link", "set", s.inside, "up")
	return s
}

// enter are the words before a command that is to run at the site.
func (s *site) enter() []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", s.holder.pid()), "--"}
}

// run runs a command at the site.
func (s *site) run(words ...string) {
	s.t.Helper()
	all := append(s.enter(), words...)
	run(s.t, all[0], all[1:]...)
}

// cut takes the site off the network; mend puts it back.
func (s *site) cut() { s.run("ip", "link", "set", s.inside, "down") }

func (s *site) mend() { s.run("ip", "link", "set", s.inside, "up") }

// filter makes the site's firewall treat what comes for an address as a rule of
// nftables says; "" takes it away again.
func (s *site) filter(address, rule string) {
	s.t.Helper()
	s.run("nft", "add table inet failover; flush table inet failover")
	if rule != "" {
		s.run("nft", "add chain inet failover in { type filter hook input priority 0; }; add rule inet failover in ip daddr "+address+" tcp dport != 0 "+rule)
	}
}
