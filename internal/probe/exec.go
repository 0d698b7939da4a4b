package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput is how much a program may write, in octets.
	maxOutput = 64 << 10
	// maxRead is how much of it is looked at.
	maxRead = 1024
)

// maxRunning bounds the programs of one entry that run at a time, those that
// hang included.
const maxRunning = 256

// The exit codes of Nagios plugins.
const (
	nagiosOK       = 0
	nagiosWarning  = 1
	nagiosCritical = 2
	nagiosUnknown  = 3
)

// exec runs the entry's command, in a process group of its own that ends with
// the probe.
func (r *attempt) exec() (string, error) {
	e, err := r.entry()
	if err != nil {
		return "", err
	}
	if len(e.Command) == 0 || !filepath.IsAbs(e.Command[0]) {
		return "", local("the entry %q of checks: in geodns.yaml names no program by its absolute path", r.c.Use)
	}
	if n := e.running.Load(); n >= maxRunning {
		return "", local("%d programs of %q are still running; they hang, or too many targets are probed at once", n, r.c.Use)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return "", r.failed("starting the program", err)
	}
	cmd := &exec.Cmd{
		Path: e.Command[0], Args: e.Command, Env: r.environment(e), Dir: "/",
		Stdout: in, Stderr: in,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return "", local("%v", err)
	}
	// A program that waits for a disk or a file server can't be killed. It is
	// left behind, to be reaped when it ends.
	type verdict struct {
		reason string
		err    error
	}
	done := make(chan verdict, 1)
	e.running.Add(1)
	go func() {
		defer e.running.Add(-1)
		reason, err := r.attend(cmd, out)
		done <- verdict{reason, err}
	}()
	late := make(chan struct{})
	stop := context.AfterFunc(r.ctx, func() { time.AfterFunc(2*courtesy, func() { close(late) }) })
	defer stop()
	select {
	case v := <-done:
		return v.reason, v.err
	case <-late:
		return "", r.failed("waiting for the program, which can't be killed", r.ctx.Err())
	}
}

// attend waits for the program, reaps it and says what came of it.
func (r *attempt) attend(cmd *exec.Cmd, out *os.File) (string, error) {
	defer out.Close()
	said := make(chan string, 1)
	go func() { said <- output(out) }()
	late := r.await(cmd.Process.Pid)
	// Who left the group may still hold the pipe: what was written is there by
	// now, and nobody waits for more.
	out.SetReadDeadline(time.Now().Add(courtesy))
	err := cmd.Wait()
	return nagios(<-said, err, late)
}

// environment is all that the program gets: nothing of this server's own, which
// may hold secrets.
func (r *attempt) environment(e *Entry) []string {
	family := "6"
	if r.t.Addr.Is4() {
		family = "4"
	}
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"GEODNS_ADDR=" + r.t.Addr.String(),
		"GEODNS_FAMILY=" + family,
		"GEODNS_CHECK=" + e.Name,
	}
	if at, ok := r.ctx.Deadline(); ok {
		env = append(env, "GEODNS_TIMEOUT="+strconv.FormatFloat(max(time.Until(at).Seconds(), 0), 'f', 3, 64))
	}
	return append(env, e.Env...)
}

// await waits until the program has ended or the context has, and then kills
// the whole group. It reports the latter. The program is not reaped before: its
// number, and with it the group's, can't be another's yet.
func (r *attempt) await(pid int) (late error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-r.ctx.Done():
		late = r.failed("waiting for the program", r.ctx.Err())
	}
	unix.Kill(-pid, unix.SIGKILL)
	<-ended
	return late
}

// output reads what the program writes. It stops, and closes the pipe, at the
// limit: the program gets SIGPIPE.
func output(out *os.File) string {
	buf := make([]byte, maxRead)
	have, total := 0, 0
	var spill [4096]byte
	for total < maxOutput {
		into := buf[have:]
		if len(into) == 0 {
			into = spill[:]
		}
		n, err := out.Read(into)
		have = min(have+n, maxRead)
		total += n
		if err != nil {
			return string(buf[:have])
		}
	}
	out.Close()
	return string(buf[:have])
}

// nagios judges the exit code, by the guidelines for Nagios plugins: the first
// line says why, what follows | is for graphs.
func nagios(said string, err error, late error) (string, error) {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	line, _, _ = strings.Cut(line, "|")
	if line = strings.TrimSpace(line); line != "" {
		line = ": " + line
	}
	if late != nil {
		return "", fmt.Errorf("%w%s", late, line)
	}
	code := nagiosOK
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if code = exit.ExitCode(); code < 0 {
			return "", fmt.Errorf("the program ended by %s%s", exit.ProcessState, line)
		}
	case err != nil:
		return "", local("%v", err)
	}
	switch code {
	case nagiosOK:
		return "OK" + line, nil
	case nagiosWarning:
		return "warning" + line, nil
	case nagiosCritical:
		return "", errors.New("critical" + line)
	case nagiosUnknown:
		return "", errors.New("unknown" + line)
	}
	return "", fmt.Errorf("exit code %d%s", code, line)
}
