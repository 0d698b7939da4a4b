package probe

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plugin is what the test's own program does when it is run as a plugin.
func plugin(args []string) {
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		fmt.Print(args[2])
		os.Exit(code)
	case "env":
		fmt.Println(strings.Join(os.Environ(), " "))
	case "flood":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				os.Exit(2)
			}
		}
	case "children", "orphans", "daemon":
		cmd := exec.Command(os.Args[0], "plugin", "sleep")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if args[0] == "daemon" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		if err := cmd.Start(); err != nil {
			os.Exit(3)
		}
		os.WriteFile(args[1], []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
		fmt.Println("started")
		if args[0] == "children" {
			cmd.Wait()
		}
	case "sleep":
		time.Sleep(time.Minute)
	case "signal":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func command(t *testing.T, args ...string) Target {
	t.Helper()
	to := target(t, netip.AddrPortFrom(loopback4, 0), "type=exec; use=app")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	to.Entry = &Entry{Name: "app", Command: append([]string{self, "plugin"}, args...)}
	return to
}

func TestExec(t *testing.T) {
	tests := []struct {
		code   int
		output string
		ok     bool
		says   string
	}{
		{0, "PING OK - 0% loss|rta=1ms\nmore", true, "OK: PING OK - 0% loss"},
		{0, "", true, "OK"},
		{1, "load is high", true, "warning: load is high"},
		{2, "\n no answer \n", false, "critical: no answer"},
		{3, "usage", false, "unknown: usage"},
		{127, "not found", false, "exit code 127: not found"},
	}
	for _, tt := range tests {
		res := ask(t, command(t, "exit", strconv.Itoa(tt.code), tt.output), plenty)
		if res.OK != tt.ok || res.Reason != tt.says || res.Local {
			t.Errorf("%d %q: %+v", tt.code, tt.output, res)
		}
	}
	wantFail(t, ask(t, command(t, "signal"), plenty), "signal: killed")
	wantFail(t, ask(t, command(t, "flood"), plenty), "")
	wantFail(t, ask(t, command(t, "sleep"), little), "timeout after 150ms while waiting for the program")
}

// The program knows whom it is to probe, and nothing of this server.
func TestExecEnvironment(t *testing.T) {
	t.Setenv("GEODNS_SECRET", "secret")
	to := command(t, "env")
	to.Addr = netip.MustParseAddr("2001:db8::1")
	to.Entry.Name = "a"
	ctx := t.Context()
	env := strings.Join(begin(ctx, to, false).environment(to.Entry), " ")
	if want := "GEODNS_ADDR=2001:db8::1 GEODNS_FAMILY=6 GEODNS_CHECK=a"; !strings.HasSuffix(env, want) {
		t.Errorf("%q, want %q at the end", env, want)
	}
	to.Addr = loopback4
	res := ask(t, to, plenty)
	wantOK(t, res, "PATH=")
	for _, want := range []string{"GEODNS_ADDR=127.0.0.1", "GEODNS_FAMILY=4", "GEODNS_CHECK=a", "GEODNS_TIMEOUT="} {
		if !strings.Contains(res.Reason, want) {
			t.Errorf("%q lacks %s", res.Reason, want)
		}
	}
	if strings.Contains(res.Reason, "secret") {
		t.Error(res.Reason)
	}
}

// The whole group ends with the probe: children at the deadline, and what the
// program left running when it ended well.
func TestExecGroup(t *testing.T) {
	for _, kind := range []string{"children", "orphans"} {
		file := filepath.Join(t.TempDir(), "pid")
		wait := plenty
		if kind == "children" {
			wait = 2 * time.Second
		}
		res := ask(t, command(t, kind, file), wait)
		if res.OK != (kind == "orphans") || !strings.Contains(res.Reason, "started") {
			t.Errorf("%s: %+v", kind, res)
		}
		pid := readPid(t, file)
		for range 200 {
			if gone(pid) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !gone(pid) {
			t.Errorf("%s: process %d still runs", kind, pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// A child that left the group and holds the pipe does not hold up the probe.
func TestExecDaemon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	res := ask(t, command(t, "daemon", file), plenty)
	defer syscall.Kill(readPid(t, file), syscall.SIGKILL)
	wantOK(t, res, "OK: started")
}

func readPid(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestExecWrong(t *testing.T) {
	dir := t.TempDir()
	for _, cmd := range [][]string{nil, {"true"}, {filepath.Join(dir, "none")}, {dir}} {
		to := command(t)
		to.Entry.Command = cmd
		res := ask(t, to, plenty)
		wantFail(t, res, "on this machine")
		if !res.Local {
			t.Errorf("%q: %+v", cmd, res)
		}
	}
	to := command(t, "exit", "0", "")
	to.Entry.running.Store(maxRunning)
	wantFail(t, ask(t, to, plenty), "still running")
}
