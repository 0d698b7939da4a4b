package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Passwords come from the configuration or from files of their own, without the
// end of the line and with every other blank.
func TestLoadChecks(t *testing.T) {
	got, err := loadWith(t, map[string]string{
		"geodns.yaml": `
checks:
  inline: {user: geodns, password: " a b "}
  file: {user: geodns, password-file: db.password}
  none: {user: geodns}
  absent: {file: not-there}
`,
		"db.password": " a b \r\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"inline": " a b ", "file": " a b ", "none": ""} {
		if c := got.Check(name); c == nil || string(c.Password.Reveal()) != want {
			t.Errorf("the password of %s: %v", name, c)
		}
	}
	if c := got.Check("missing"); c != nil {
		t.Errorf("an entry that is not there: %v", c)
	}
	if d := cmp.Diff(Errors(nil), got.Warnings); d != "" {
		t.Errorf("warnings: %s", d)
	}
}

func TestHealthWarnings(t *testing.T) {
	tests := []struct {
		name, text string
		open       []string
		want       []string
	}{
		{"all is well", `
checks: {app: {command: [/bin/true]}, state: {file: app.state}, db: {user: geodns, password: hunter2}}
probe-allow: [10.0.0.0/8]
anchors: ["192.0.2.1:53", "192.0.2.2:53"]
`, nil, nil},
		{"everything may be probed", `probe-allow: [0.0.0.0/0, "::/0"]`, nil, []string{
			"geodns.yaml:1:15: probe-allow[0]: 0.0.0.0/0 lets whoever writes a zone have everything probed that this server can reach; name the networks where nodes are",
			"geodns.yaml:1:26: probe-allow[1]: ::/0 lets whoever writes a zone have everything probed that this server can reach; name the networks where nodes are",
		}},
		{"anchors of this machine", `anchors: ["192.0.2.1:53", "tcp://127.0.0.1:80"]`, nil, []string{
			"geodns.yaml:1:27: anchors[1]: tcp://127.0.0.1:80 is this machine, which answers however cut off it is; name something far away",
		}},
		{"anchors of one machine", `anchors: ["192.0.2.1:53", "icmp://192.0.2.1"]`, nil, []string{
			"geodns.yaml:1:10: anchors: all anchors are one machine; name others in different networks",
		}},
		{"open configuration", `checks: {db: {user: geodns, password: hunter2}}`, []string{"geodns.yaml"}, []string{
			"geodns.yaml:1:39: checks.db.password: every user of this machine can get at it; take that away with chmod o= geodns.yaml, or use password-file",
		}},
		{"open configuration without secrets", `checks: {db: {user: geodns, password-file: db.password}}`, []string{"geodns.yaml"}, nil},
		{"open file", `checks: {db: {user: geodns, password-file: db.password}}`, []string{"db.password"}, []string{
			"geodns.yaml:1:44: checks.db.password-file: db.password: every user of this machine can get at it; take that away with chmod o= db.password",
		}},
		{"no directory", `checks: {a.b: {file: missing/app.state}}`, nil, []string{
			`geodns.yaml:1:22: checks["a.b"].file: missing/app.state: there is no directory missing, so that the file cannot be there`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := loadWith(t, map[string]string{"geodns.yaml": tt.text, "db.password": "hunter2\n"}, tt.open...)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, w := range got.Warnings {
				lines = append(lines, w.Error())
			}
			if d := cmp.Diff(tt.want, lines); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A program that anybody can replace runs as this server.
func TestWarnOfOpenProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "check-app")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, warnings := range map[os.FileMode]int{0o755: 0, 0o757: 1} {
		if err := os.Chmod(program, mode); err != nil {
			t.Fatal(err)
		}
		got, err := loadWith(t, map[string]string{"geodns.yaml": "checks: {app: {command: [" + program + "]}}"})
		if err != nil || len(got.Warnings) != warnings {
			t.Errorf("mode %o: %v, %v", mode, got, err)
		}
	}
}

// A store may be there or not, as long as it can be made; the default is nobody's
// mistake.
func TestStore(t *testing.T) {
	for _, text := range []string{"", `store: ""`, "store: geodns.db", "store: a/b/c/geodns.db", "store: there.db"} {
		if got, err := loadWith(t, map[string]string{"geodns.yaml": text, "there.db": ""}); err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// What another user may not write is an error for that user; what they may not
// look at is left to the server.
func TestStoreOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "closed", "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o555, filepath.Join(dir, "closed"): 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o700); _ = os.Chmod(dir, 0o700) })
	tests := []struct{ store, want string }{
		{"geodns.db", ""}, // its directory is there
		{"state/deeper/geodns.db", "state/deeper: there is no such directory, and it cannot be made in " + dir + " (permission denied)"},
		{"closed/inside/geodns.db", ""},
		{"closed/state/geodns.db", ""},
	}
	for _, tt := range tests {
		var err error
		asNobody(t, func() { _, err = parseAndCheckStore(filepath.Join(dir, tt.store)) })
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.store, err, tt.want)
		}
	}
}

func parseAndCheckStore(file string) (*Config, error) {
	c, r := parse("geodns.yaml", []byte("store: "+file))
	r.checkStore(c.Store)
	return r.finish(c)
}

// asNobody calls f without the rights of root. The thread that gave them up ends
// with its goroutine.
func asNobody(t *testing.T, f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		const nobody = 65534
		if os.Getuid() == 0 {
			if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
				done <- errno
				return
			}
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
