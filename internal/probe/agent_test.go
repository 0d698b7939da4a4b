package probe

import (
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var agentTests = []struct {
	line   string
	ok     bool
	weight int
	drain  bool
	says   string
}{
	{"up\n", true, -1, false, "it said up"},
	{"ready\r\n", true, -1, false, "ready"},
	{"UP 75%\n", true, 75, false, "UP 75%"},
	{"up ready,\t50% maxconn:30\n", true, 50, false, "50%"},
	{"150%\n", true, 150, false, "150%"},
	{"0%\n", true, 0, true, "0%"},
	{"drain\n", true, -1, true, "drain"},
	{"up drain 10% # maintenance at ten\n", true, 10, true, "up drain 10%: maintenance at ten"},
	{"down\n", false, -1, false, "it said down"},
	{"down#disk full\n", false, -1, false, "it said down: disk full"},
	{"fail\n", false, -1, false, "fail"},
	{"stopped\n", false, -1, false, "stopped"},
	{"maint\n", false, -1, false, "maint"},
	{"ready down\n", false, -1, false, "down"},
	{"up\nand 10 GB more", true, -1, false, "up"},
	{"up", true, -1, false, "up"},
	{"maxconn:30\n", false, -1, false, "are understood"},
	{"%\n", false, -1, false, "are understood"},
	{"-5%\n", false, -1, false, "are understood"},
	{"99999%\n", false, -1, false, "are understood"},
	{"\x1b[2Jhello\n", false, -1, false, `it said "\x1b[2Jhello"`},
	{"# up\n", false, -1, false, "are understood"},
}

func TestAgent(t *testing.T) {
	for _, at := range loopbacks(t) {
		for _, tt := range agentTests {
			ap := serve(t, at, func(c net.Conn) { io.WriteString(c, tt.line) })
			res := ask(t, target(t, ap, "type=agent"), plenty)
			if res.OK != tt.ok || res.Weight != tt.weight || res.Drain != tt.drain || !strings.Contains(res.Reason, tt.says) {
				t.Errorf("%q: %+v", tt.line, res)
			}
		}
		ap := serve(t, at, func(c net.Conn) { io.WriteString(c, strings.Repeat("up ", 1000)) })
		wantFail(t, ask(t, target(t, ap, "type=agent"), plenty), "more than 1024 octets")
		ap = serve(t, at, func(c net.Conn) {})
		wantFail(t, ask(t, target(t, ap, "type=agent"), plenty), "connection closed")
	}
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	to := target(t, netip.AddrPortFrom(loopback4, 0), "type=file; use=state")
	to.Entry = &Entry{Name: "state", File: name}
	wantFail(t, ask(t, to, plenty), "the file does not exist")
	for _, tt := range agentTests {
		if err := os.WriteFile(name, []byte(tt.line), 0o600); err != nil {
			t.Fatal(err)
		}
		res := ask(t, to, plenty)
		if res.OK != tt.ok || res.Weight != tt.weight || res.Drain != tt.drain || !strings.Contains(res.Reason, tt.says) || res.Local {
			t.Errorf("%q: %+v", tt.line, res)
		}
	}
	for _, text := range []string{"", " \n\n", "\nup\n", "up" + strings.Repeat("\nmore", 10000)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wantOK(t, ask(t, to, plenty), "the file")
	}
}

// What is no ordinary file is this machine's trouble, and never blocks.
func TestFileOdd(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, t.TempDir(), "/dev/zero", ""} {
		to := target(t, netip.AddrPortFrom(loopback4, 0), "type=file; use=state")
		to.Entry = &Entry{Name: "state", File: name}
		res := ask(t, to, plenty)
		wantFail(t, res, "file")
		if !res.Local {
			t.Errorf("%s: %+v", name, res)
		}
	}
	to := target(t, netip.AddrPortFrom(loopback4, 0), "type=file; use=state")
	to.Entry = &Entry{Name: "state", File: pipe}
	to.Entry.reading.Store(true)
	wantFail(t, ask(t, to, plenty), "still being read")
}
