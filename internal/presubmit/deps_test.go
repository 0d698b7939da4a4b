package presubmit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a directory of programs in which scripts/deps runs, with an
// apt-get that only notes what it is told.
type machine struct {
	bin, policy, log string
}

// newMachine has the list of packages given, and as many of the programs that
// the script itself needs.
func newMachine(t *testing.T, packages string) (m machine, script string) {
	t.Helper()
	dir := t.TempDir()
	m = machine{bin: filepath.Join(dir, "bin"), policy: filepath.Join(dir, "policy-rc.d"), log: filepath.Join(dir, "log")}
	script = filepath.Join(dir, "scripts", "deps")
	for _, d := range []string{m.bin, filepath.Dir(script), filepath.Join(dir, ".ci")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, script, string(read(t, filepath.Join(root(t), "scripts", "deps"))))
	write(t, filepath.Join(dir, ".ci", "packages"), packages)
	for _, p := range []string{"bash", "dirname", "chmod", "tee", "mv", "rm", "env", "cat"} {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, p)); err != nil {
			t.Fatal(err)
		}
	}
	m.user(t, "0")
	return m, script
}

func (m machine) program(t *testing.T, name, text string) {
	t.Helper()
	write(t, filepath.Join(m.bin, name), "#!/bin/bash\n"+text+"\n")
}

func (m machine) user(t *testing.T, uid string) { m.program(t, "id", "echo "+uid) }

// aptGet notes its arguments and the policy of the moment, and installs the
// commands given.
func (m machine) aptGet(t *testing.T, commands ...string) {
	t.Helper()
	text := `echo "apt-get $*; policy: $(cat "$POLICY_RC_D" 2>&1)" >>` + m.log
	for _, c := range commands {
		text += "\nif [ $1 = install ]; then printf '#!/bin/bash\\n' >" + filepath.Join(m.bin, c) +
			"; chmod 755 " + filepath.Join(m.bin, c) + "; fi"
	}
	m.program(t, "apt-get", text)
}

func (m machine) run(t *testing.T, script string) (out string, err error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(m.bin, "bash"), script)
	cmd.Env = []string{"PATH=" + m.bin, "POLICY_RC_D=" + m.policy}
	data, err := cmd.CombinedOutput()
	return string(data), err
}

func (m machine) logged(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(m.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

const twoPackages = "# a list\nalpha geodns-alpha\n\nbeta geodns-beta\n"

func TestDepsNothingMissing(t *testing.T) {
	m, script := newMachine(t, twoPackages)
	m.aptGet(t)
	m.user(t, "1000")
	m.program(t, "geodns-alpha", "")
	m.program(t, "geodns-beta", "")
	out, err := m.run(t, script)
	if err != nil || out != "deps: everything that the tests need is installed\n" {
		t.Errorf("%v, %q", err, out)
	}
	if got := m.logged(t); got != "" {
		t.Errorf("apt-get was called: %s", got)
	}
}

// Only what is missing is installed, services are off meanwhile, and a policy
// that was there is there again.
func TestDepsInstalls(t *testing.T) {
	for _, policy := range []string{"", "#!/bin/sh\nexit 0\n"} {
		m, script := newMachine(t, twoPackages)
		m.aptGet(t, "geodns-beta")
		m.program(t, "geodns-alpha", "")
		if policy != "" {
			write(t, m.policy, policy)
		}
		out, err := m.run(t, script)
		if err != nil || !strings.Contains(out, "installing beta with apt-get") {
			t.Errorf("%v, %q", err, out)
		}
		want := "apt-get update -qq; policy: #!/bin/sh\nexit 101\n" +
			"apt-get install -y -qq --no-install-recommends beta; policy: #!/bin/sh\nexit 101\n"
		if got := m.logged(t); got != want {
			t.Errorf("calls are %q, want %q", got, want)
		}
		left, _ := os.ReadFile(m.policy)
		if string(left) != policy {
			t.Errorf("policy-rc.d is %q afterwards, want %q", left, policy)
		}
	}
}

func TestDepsFails(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(m machine)
		want    string
	}{
		{"no apt", func(machine) {}, "deps: this machine has no apt-get; install by hand: alpha beta\n"},
		{"no root", func(m machine) { m.aptGet(t); m.user(t, "1000") }, "deps: neither root nor sudo; install by hand: alpha beta\n"},
		{"no rights", func(m machine) { m.aptGet(t); m.user(t, "1000"); m.program(t, "sudo", "exit 1") }, "deps: sudo does not let us; install by hand: alpha beta\n"},
		{"no network", func(m machine) { m.program(t, "apt-get", "exit 100") }, "deps: apt-get update failed; install by hand: alpha beta\n"},
		{"no such command", func(m machine) { m.aptGet(t, "geodns-alpha") }, "deps: the commands of some packages are still missing; install by hand: beta\n"},
	}
	for _, tt := range tests {
		m, script := newMachine(t, twoPackages)
		tt.prepare(m)
		out, err := m.run(t, script)
		if err == nil || !strings.HasSuffix(out, tt.want) {
			t.Errorf("%s: %v, %q, want an error and %q", tt.name, err, out, tt.want)
		}
		if _, err := os.Stat(m.policy); !os.IsNotExist(err) {
			t.Errorf("%s: policy-rc.d is left behind: %v", tt.name, err)
		}
	}
}

// Without root all goes through sudo.
func TestDepsSudo(t *testing.T) {
	m, script := newMachine(t, twoPackages)
	m.aptGet(t, "geodns-alpha", "geodns-beta")
	m.user(t, "1000")
	m.program(t, "sudo", "[ $1 = true ] && exit; echo \"sudo $1\" >>"+m.log+"\n[ $1 = test ] && { builtin \"$@\"; exit; }\nexec \"$@\"")
	if out, err := m.run(t, script); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	got := m.logged(t)
	for _, want := range []string{"sudo test\n", "sudo tee\n", "sudo chmod\n", "sudo apt-get\n", "sudo env\n", "sudo rm\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
}
