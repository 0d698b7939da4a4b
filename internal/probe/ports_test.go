package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asChild is set where the test runs in a network of its own.
const asChild = "GEODNS_TEST_FEW_PORTS"

// A connection takes a local port for itself only towards one target: so that the
// number of targets is not bounded by the number of ports, nor the kernel busy with
// looking for one that nobody has. Where there are two ports, ten nodes can be
// connected to at once.
func TestPortsAreShared(t *testing.T) {
	if os.Getenv(asChild) != "" {
		connectWithFewPorts(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPortsAreShared$", "-test.v")
	cmd.Env = append(os.Environ(), asChild+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Logf("NOT TESTED: there is no network namespace to be had: %v", err)
		return
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func connectWithFewPorts(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40001"), 0); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "0.0.0.0:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h, err := NewHolder()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for i := range 10 {
		held, r := h.Hold(ctx, target(t, netip.MustParseAddrPort(fmt.Sprintf("127.0.0.%d:8080", 1+i)), "type=tcp; hold=yes"), func(string) {})
		if !r.OK || held == nil {
			t.Fatalf("connection %d: %s", 1+i, r.Reason)
		}
		defer held.Close()
	}
}
