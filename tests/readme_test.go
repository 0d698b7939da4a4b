package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestReadme does what the README tells a newcomer: make, make run, and the
// session, whose output has to be what the README shows. Then it goes through the
// examples of docs/steering.md in the same way. Records may come in any order, and
// message IDs differ.
func TestReadme(t *testing.T) {
	port := unusedPort(t)
	// A newcomer has no store: what was tried out before is not in the answers.
	if err := os.Remove("../run/geodns.db"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	makeRun(t, port)
	t.Run("README.md", func(t *testing.T) { runSession(t, "../README.md", port, 12) })
	t.Run("steering.md", func(t *testing.T) { runSession(t, "../docs/steering.md", port, 30) })
}

// runSession runs the commands of a document, of which there are so many at
// least.
func runSession(t *testing.T, file string, port, least int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	session := sessions(string(text))
	if len(session) < least {
		t.Fatalf("%s has %d commands: has its form changed?", file, len(session))
	}
	for _, c := range session {
		command := strings.ReplaceAll(c.command, "-p 5353", fmt.Sprintf("-p %d", port))
		if strings.Contains(command, "@::1") && !hasIPv6() {
			t.Logf("this machine has no IPv6, which %q needs", c.command)
			continue
		}
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir = ".."
		out, _ := cmd.CombinedOutput() // check fails on purpose, and says so
		if got, want := comparable(string(out)), comparable(c.output); !slices.Equal(got, want) {
			t.Errorf("$ %s\nprints\n%s\nbut %s shows\n%s", c.command, out, file, c.output)
		}
	}
}

// makeRun runs make run until the test ends.
func makeRun(t *testing.T, port int) {
	cmd := exec.Command("make", "run", fmt.Sprintf("PORT=%d", port))
	cmd.Dir = ".."
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	client := &dns.Client{Timeout: 100 * time.Millisecond}
	question := new(dns.Msg).SetQuestion("cluster.example.", dns.TypeSOA)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if r, _, err := client.Exchange(question, fmt.Sprintf("127.0.0.1:%d", port)); err == nil && len(r.Answer) == 1 {
			return
		}
	}
	t.Fatal("make run does not answer")
}

// step is a command of a document and what it prints.
type step struct{ command, output string }

// sessions finds the commands in a document's console blocks.
func sessions(text string) (steps []step) {
	inside := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.HasPrefix(line, "```console")
		case inside && strings.HasPrefix(line, "$ "):
			steps = append(steps, step{command: strings.TrimSpace(line[2:])})
		case inside && len(steps) > 0:
			steps[len(steps)-1].output += line
		}
	}
	return steps
}

var messageID = regexp.MustCompile(`\bid: \d+`)

// comparable is an output as sorted lines, without what differs each time.
func comparable(output string) (lines []string) {
	for line := range strings.Lines(messageID.ReplaceAllString(output, "id: N")) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func unusedPort(t *testing.T) int {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
