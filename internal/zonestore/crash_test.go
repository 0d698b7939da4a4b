package zonestore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// runChild is what a child process does: it is killed, or limited.
func runChild(role string, args []string) int {
	var err error
	switch log := slog.New(slog.NewTextHandler(os.Stderr, nil)); role {
	case "write":
		err = writeForEver(args[0], log)
	case "create":
		err = createForEver(args[0], log)
	case "zones":
		err = changeZones(args[0], log)
	case "disk":
		err = fillDisk(args[0], log)
	case "full":
		err = fillUp(args[0], log)
	default:
		err = errors.New("no such role")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// numbered are the contents after that many changes.
func numbered(n int) ([]Verdict, []State) {
	verdicts := sampleVerdicts()
	verdicts[0].Check = fmt.Sprint(n)
	states := sampleStates()
	states[0].Reason = fmt.Sprint(n) + strings.Repeat(".", n%900)
	return verdicts, states
}

// writeForEver changes the store again and again, and says after each change
// that it is done.
func writeForEver(path string, log *slog.Logger) error {
	s, err := Open(path, log)
	if err != nil {
		return err
	}
	n, err := number(s)
	if err != nil {
		return err
	}
	for n++; ; n++ {
		verdicts, states := numbered(n)
		if err := errors.Join(s.PutState(states[0]), s.SetVerdicts(verdicts)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// number is the last change that a store has.
func number(s *Store) (int, error) {
	states, err := s.States()
	if err != nil || len(states) == 0 {
		return 0, err
	}
	return strconv.Atoi(strings.TrimRight(states[0].Reason, "."))
}

// createForEver makes stores, and removes them.
func createForEver(path string, log *slog.Logger) error {
	for n := 0; ; n++ {
		s, err := Open(path, log)
		if err != nil {
			return err
		}
		if err := errors.Join(s.Close(), os.Remove(path)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// startChild starts this test binary in a role, and returns its output.
func startChild(t *testing.T, role, path string) (*exec.Cmd, io.Reader, *strings.Builder) {
	t.Helper()
	c := exec.Command(os.Args[0], path)
	c.Env = append(os.Environ(), child+"="+role)
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	return c, out, &errs
}

// killAfter reads so many lines of a child and kills it. It returns the last
// line.
func killAfter(t *testing.T, role, path string, lines int) string {
	t.Helper()
	c, out, errs := startChild(t, role, path)
	in := bufio.NewScanner(out)
	last := ""
	for range lines {
		if !in.Scan() {
			break
		}
		last = in.Text()
	}
	must(t, c.Process.Kill())
	for in.Scan() {
		last = in.Text()
	}
	if err := c.Wait(); errs.Len() > 0 || c.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v, %s", err, errs)
	}
	return last
}

// A process that dies while it writes loses nothing that it said was done, and
// at most what it was just doing.
func TestKilledWhileWriting(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	for range 25 {
		last, err := strconv.Atoi(killAfter(t, "write", path, rand.IntN(40)+1))
		must(t, err)
		s := mustOpen(t, path, &log)
		got, err := number(s)
		must(t, err)
		if got != last && got != last+1 {
			t.Errorf("the last change is %d; %d was done", got, last)
		}
		verdicts, err := s.Verdicts()
		must(t, err)
		// Two transactions a change.
		if n := verdicts[0].Check; n != fmt.Sprint(got) && n != fmt.Sprint(got-1) || n != fmt.Sprint(last) && n != fmt.Sprint(last+1) {
			t.Errorf("the verdicts are of change %s; the command of %d, and %d was done", n, got, last)
		}
		mustClose(t, s)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// A process that dies while it makes the file leaves nothing that looks damaged.
func TestKilledWhileCreating(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	for range 15 {
		killAfter(t, "create", path, rand.IntN(5)+1)
		s := mustOpen(t, path, &log)
		fill(t, s)
		holds(t, s, sampleVerdicts(), sampleStates())
		mustClose(t, s)
		must(t, os.Remove(path))
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// fillUp writes until there is no room, and goes on when there is some again.
func fillUp(path string, log *slog.Logger) error {
	s, err := Open(path, log)
	if err != nil {
		return err
	}
	verdicts, states := numbered(0)
	if err := errors.Join(s.PutState(states[0]), s.SetVerdicts(verdicts)); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// Every write beyond the limit fails, as on a disk that is full. The signal
	// that comes with it would end the process.
	signal.Ignore(unix.SIGXFSZ)
	limit := unix.Rlimit{Cur: uint64(info.Size()), Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	state := State{Key: Key{"", "node", "x", "drain"}, Reason: strings.Repeat("x", maxField)}
	n := 0
	for ; err == nil; n++ {
		state.Name = fmt.Sprintf("x%06d", n)
		err = s.PutState(state)
	}
	fmt.Println("failed:", err)
	if all, err := s.States(); err != nil || len(all) != n {
		return fmt.Errorf("%d commands after %d were taken: %w", len(all), n-1, err)
	}
	limit.Cur = unix.RLIM_INFINITY
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := range n {
		state.Name = fmt.Sprintf("x%06d", i)
		if err := s.DeleteState(state.Key); err != nil {
			return err
		}
	}
	return s.Close()
}

// A disk that is full is an error; what was there stays, and can be changed as
// soon as there is room.
func TestNoSpace(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	c, out, errs := startChild(t, "full", path)
	text, err := io.ReadAll(out)
	must(t, err)
	if err := c.Wait(); err != nil || !strings.Contains(string(text), "failed: cannot write "+path) {
		t.Errorf("%v: %s%s", err, text, errs)
	}
	s := mustOpen(t, path, &log)
	defer s.Close()
	verdicts, states := numbered(0)
	holds(t, s, verdicts, states[:1])
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}
