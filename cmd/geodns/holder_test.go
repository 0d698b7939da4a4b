package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hold opens a socket and returns its address.
func hold(t *testing.T, network, address string) netip.AddrPort {
	t.Helper()
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return netip.MustParseAddrPort(c.LocalAddr().String())
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

func self(t *testing.T) string {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(comm)), os.Getpid())
}

func TestWhoHolds(t *testing.T) {
	tests := []struct {
		network, held string
		asked         string // address; the port is the held one
		found         bool
	}{
		{"udp4", "127.0.0.1:0", "127.0.0.1", true},
		{"tcp4", "127.0.0.1:0", "127.0.0.1", true},
		{"udp6", "[::1]:0", "::1", true},
		{"tcp6", "[::1]:0", "::1", true},
		{"udp4", "0.0.0.0:0", "127.0.0.1", true},
		{"udp4", "127.0.0.1:0", "0.0.0.0", true},
		{"udp6", "[::1]:0", "::", true},
		{"udp", "[::]:0", "127.0.0.1", true}, // both families
		{"tcp", "[::]:0", "0.0.0.0", true},
		{"udp4", "127.0.0.1:0", "127.0.0.2", false},
		{"udp4", "127.0.0.1:0", "::1", false},
		{"udp4", "0.0.0.0:0", "::", false},
	}
	for _, tt := range tests {
		held := hold(t, tt.network, tt.held)
		asked := netip.AddrPortFrom(netip.MustParseAddr(tt.asked), held.Port())
		want := ""
		if tt.found {
			want = self(t)
		}
		if got := whoHolds(tt.network[:3], asked); got != want {
			t.Errorf("%s %v is held, asked for %v: %q, want %q", tt.network, held, asked, got, want)
		}
	}
}

// The other protocol, and a connection that merely has the port, hold nothing.
func TestWhoHoldsNobody(t *testing.T) {
	udp := hold(t, "udp4", "127.0.0.1:0")
	if got := whoHolds("tcp", udp); got != "" {
		t.Errorf("UDP %v is held, but TCP is said to be held by %q", udp, got)
	}
	tcp := hold(t, "tcp4", "127.0.0.1:0")
	conn, err := net.Dial("tcp4", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	local := netip.MustParseAddrPort(conn.LocalAddr().String())
	if got := whoHolds("tcp", local); got != "" {
		t.Errorf("%v is a connection, but said to be held by %q", local, got)
	}
}

// Another process is named rather than this one, which holds the neighbour.
func TestWhoHoldsOther(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperHolds$")
	cmd.Env = append(os.Environ(), "GEODNS_TEST_HOLD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the helper said nothing: %v", err)
	}
	held := netip.MustParseAddrPort(strings.TrimSpace(line))
	hold(t, "udp4", fmt.Sprintf("127.0.0.2:%d", held.Port()))
	got := whoHolds("udp", netip.AddrPortFrom(netip.IPv4Unspecified(), held.Port()))
	if want := fmt.Sprintf("(pid %d)", cmd.Process.Pid); !strings.HasSuffix(got, want) || strings.Contains(got, ",") {
		t.Errorf("holder is %q, want one with %s only", got, want)
	}
}

// TestHelperHolds is the other process of TestWhoHoldsOther: it holds a port
// until its input ends.
func TestHelperHolds(t *testing.T) {
	if os.Getenv("GEODNS_TEST_HOLD") == "" {
		return
	}
	fmt.Println(hold(t, "udp4", "127.0.0.1:0"))
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// A process of another user shows its files to nobody, so its user is named.
func TestWhoHoldsUnreadable(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "self", "net")
	if err := os.MkdirAll(table, 0o755); err != nil {
		t.Fatal(err)
	}
	const udp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  105: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4242 2 0000000000000000 0
  garbage
  106: 01007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   102        0 4243 2 0000000000000000 0
  107: 0100007F:XXXX 00000000:0000 07 00000000:00000000 00:00000000 00000000   103        0 4244 2 0000000000000000 0
`
	if err := os.WriteFile(filepath.Join(table, "udp"), []byte(udp), 0o644); err != nil {
		t.Fatal(err)
	}
	got := holdersIn(dir, "udp", netip.MustParseAddrPort("127.0.0.1:5353"))
	if want := "a process of user 101 (root may see which)"; got != want {
		t.Errorf("holder is %q, want %q", got, want)
	}
	if got := holdersIn(filepath.Join(dir, "none"), "udp", netip.MustParseAddrPort("127.0.0.1:5353")); got != "" {
		t.Errorf("without /proc: %q, want nothing", got)
	}
}
