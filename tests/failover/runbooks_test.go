package failover

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/tests/harness"
)

// envUpdate names the environment variable that has the outputs in the runbooks
// written anew, instead of compared.
const envUpdate = "GEODNS_TEST_UPDATE"

// runbooks are the pages about what to do when something is wrong. Each is gone
// through as an administrator would: the commands in its console blocks are typed
// on a server that serves the sample cluster.example, whose nodes are at the
// addresses that the sample names, and the outputs have to be those of the page.
// What happens meanwhile stands in comments of the page:
//
//	<!-- test: lose 127.0.1.0/24 -->
const runbooks = "../../docs/runbooks"

func TestRunbooks(t *testing.T) {
	t.Parallel()
	if !canCut(t) {
		return // the addresses and ports of the sample are those of the machine
	}
	for _, command := range []string{"curl", "dig"} { // that the pages use
		if _, err := exec.LookPath(command); err != nil {
			t.Fatalf("%v: scripts/deps installs it", err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	updating := os.Getenv(envUpdate) != ""
	if err != nil || len(pages) < 6 && !updating {
		t.Fatalf("%d pages in %s: %v", len(pages), runbooks, err)
	}
	ran := 0
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			parts := partsOf(string(text))
			if !slices.ContainsFunc(parts, func(p part) bool { return p.command != "" }) {
				return
			}
			d := newDesk(t)
			for i := range parts {
				ran += d.follow(&parts[i])
			}
			if updating && !t.Failed() {
				write(t, runbooks, filepath.Base(page), joined(parts))
			}
		})
	}
	if ran < 30 && !updating {
		t.Errorf("%d commands in all pages: has their form changed?", ran)
	}
}

// part is a part of a page: text, a command with its output, or what happens.
type part struct {
	text            string
	command, output string
	event           string
}

// partsOf takes a page apart; joined puts it together again.
func partsOf(page string) (parts []part) {
	inside := false
	for line := range strings.Lines(page) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		event, isEvent := strings.CutPrefix(line, "<!-- test: ")
		fence := strings.HasPrefix(line, "```")
		switch last := len(parts) - 1; {
		case inside && isCommand:
			parts = append(parts, part{command: strings.TrimSpace(command)})
		case inside && !fence && last >= 0 && parts[last].command != "":
			parts[last].output += line
		case !inside && isEvent:
			parts = append(parts, part{event: strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(event), "-->"))})
		case last >= 0 && parts[last].text != "":
			parts[last].text += line
		default:
			parts = append(parts, part{text: line})
		}
		if fence {
			inside = strings.HasPrefix(line, "```console")
		}
	}
	return parts
}

func joined(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		switch {
		case p.command != "":
			fmt.Fprintf(&b, "$ %s\n%s", p.command, p.output)
		case p.event != "":
			fmt.Fprintf(&b, "<!-- test: %s -->\n", p.event)
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// What is taken apart is put together as it was.
func TestPartsOf(t *testing.T) {
	t.Parallel()
	page := "# One\n\n<!-- test: lose X -->\n```console\n$ a | b\n1\n\n2\n$ c\n```\nmore\n```\n$ not run\n```\n"
	parts := partsOf(page)
	if joined(parts) != page {
		t.Errorf("%q", joined(parts))
	}
	want := []part{{text: "# One\n\n"}, {event: "lose X"}, {text: "```console\n"}, {command: "a | b", output: "1\n\n2\n"}, {command: "c"}, {text: "```\nmore\n```\n$ not run\n```\n"}}
	if !slices.Equal(parts, want) {
		t.Errorf("%q", parts)
	}
}

// desk is where an administrator sits: a shell in which the commands of a page
// work, and the world outside, in which things happen.
type desk struct {
	*cluster
	web  map[netip.Addr]*node
	lost []string // prefixes that nothing reaches
	// fresh: something has happened since the last command.
	fresh bool
	// either are texts of which the next command may print any.
	either []string
}

// newDesk serves cluster.example, with its nodes, as /etc/geodns would.
func newDesk(t *testing.T) *desk {
	d := &desk{cluster: newCluster(t), web: map[netip.Addr]*node{}, fresh: true}
	d.port = 80
	sample, err := os.ReadFile("../../zones/cluster.example.zone")
	if err != nil {
		t.Fatal(err)
	}
	// As the sample says, nobody would want to wait for it in a test.
	faster := regexp.MustCompile(`every=\d+s(; timeout=\d+s)?`).ReplaceAllString(string(sample), "every=200ms; timeout=150ms; fall=3")
	write(t, d.dir, "zones/cluster.example.zone", faster)
	for _, text := range []string{"127.0.1.10", "127.0.2.10"} {
		a := netip.MustParseAddr(text)
		d.web[a] = d.cluster.web(a, nil)
	}
	// Mail and what is far away answers in this process.
	for _, text := range []string{"127.0.1.25:25", "127.0.2.25:25"} {
		greeter(t, text, "220 mx.cluster.example ESMTP\r\n", "250 mx.cluster.example\r\n")
	}
	for _, text := range []string{"127.0.8.1:443", "127.0.9.1:443"} {
		greeter(t, text)
	}
	d.config = runbookConfig
	d.serveAsInstalled()
	t.Cleanup(func() { d.mend() })
	return d
}

const runbookConfig = `listen: ["127.0.0.1:@PORT@", "127.0.0.1:53"]
zones: zones
store: geodns.db
control: control.sock
http: 127.0.0.1:8053
site: lon
anchors: ["tcp://127.0.8.1:443", "tcp://127.0.9.1:443"]
probe-allow: [127.0.0.0/8]
`

// serveAsInstalled starts the server, and puts a geodns and a dig for its
// administrator beside it.
func (d *desk) serveAsInstalled() {
	d.t.Helper()
	dir, err := os.MkdirTemp("", "gdrb") // the path of a socket is short
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Rename(filepath.Join(d.dir, "zones"), filepath.Join(dir, "zones")); err != nil {
		d.t.Fatal(err)
	}
	d.dir = dir
	d.server, err = target.Start(harness.Spec{Dir: dir, Config: d.config, Probes: 16})
	if err != nil {
		d.t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" --socket %s/control.sock\n", target.Binary, dir)
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "geodns"), []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := d.server.Stop(); err != nil {
			d.t.Error(err)
		} else if d.t.Failed() {
			d.t.Logf("the server printed:\n%s", d.server.Log())
		}
	})
}

// greeter listens at an address, says the lines in turn, each but the first when
// it was told something, and then listens until the peer has enough.
func greeter(t *testing.T, at string, lines ...string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				for i, line := range lines {
					if i > 0 {
						if _, err := c.Read(make([]byte, 512)); err != nil {
							return
						}
					}
					_, _ = io.WriteString(c, line)
				}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
}

// follow does what a part of a page says, and returns how many commands that
// were.
func (d *desk) follow(p *part) int {
	d.t.Helper()
	switch {
	case p.event != "":
		d.happen(p.event)
		d.fresh = true
		return 0
	case p.command == "":
		return 0
	case os.Getenv(envUpdate) != "":
		if d.fresh {
			time.Sleep(4 * time.Second) // until all have noticed
		}
		d.fresh = false
		p.output = d.typed(p.command)
		return 1
	}
	// What happened takes a moment to be noticed. What changes something is done
	// once; and where one output was wrong, those after it may well be.
	end := time.Now().Add(patience)
	if changes.MatchString(p.command) || d.t.Failed() {
		end = time.Time{}
	}
	alike := strings.NewReplacer()
	if len(d.either) == 2 {
		alike = strings.NewReplacer(d.either[0], d.either[1])
	}
	d.either = nil
	for {
		got := d.typed(p.command)
		if slices.Equal(blurred(alike.Replace(got)), blurred(alike.Replace(p.output))) {
			return 1
		}
		if time.Now().After(end) {
			d.t.Errorf("$ %s\nprints\n%s\nbut the page shows\n%s\n(%s=1 go test ./tests/failover -run Runbooks writes the pages' outputs anew)", p.command, got, p.output, envUpdate)
			return 1
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// changes matches the commands that are not repeated.
var changes = regexp.MustCompile(`^geodns (drain|undrain|failback|reload|drill run)\b`)

// typed runs a command line in a shell, and returns what is to be seen then.
func (d *desk) typed(command string) string {
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "PATH="+d.dir+"/bin:"+os.Getenv("PATH")+":/usr/sbin", "LC_ALL=C", "TZ=UTC")
	out, _ := cmd.CombinedOutput() // some fail on purpose, and say so
	text := strings.ReplaceAll(string(out), d.dir, "/etc/geodns")
	return strings.ReplaceAll(text, fmt.Sprintf("127.0.0.1:%d ", d.server.Port), "")
}

// happen makes happen what a comment of a page says.
func (d *desk) happen(event string) {
	d.t.Helper()
	words := strings.Fields(event)
	switch what, args := words[0], words[1:]; what {
	case "either": // of two texts may stand in the next output
		d.either = strings.Split(strings.Join(args, " "), " or ")
	case "lose": // prefixes: no packet reaches them any more
		d.lose(args)
	case "mend":
		d.mend()
	case "kill": // the web server at an address
		d.at(args[0]).kill()
	case "boot":
		d.at(args[0]).boot()
	case "restart": // the name server
		d.restart()
	case "edit": // the zone, by a sed script
		run(d.t, "sed", append([]string{"-i", "-e", strings.Join(args, " ")}, filepath.Join(d.dir, "zones/cluster.example.zone"))...)
	case "wait":
		pause, err := time.ParseDuration(args[0])
		if err != nil {
			d.t.Fatal(err)
		}
		time.Sleep(pause)
	default:
		d.t.Fatalf("what is %q?", event)
	}
}

func (d *desk) at(address string) *node {
	d.t.Helper()
	n := d.web[netip.MustParseAddr(address)]
	if n == nil {
		d.t.Fatalf("there is no web server at %s", address)
	}
	return n
}

func (d *desk) lose(prefixes []string) {
	d.t.Helper()
	d.lost = append(d.lost, prefixes...)
	run(d.t, "nft", "add table inet runbooks; flush table inet runbooks; add chain inet runbooks in { type filter hook input priority 0; }; add rule inet runbooks in ip daddr { "+strings.Join(d.lost, ", ")+" } drop")
}

func (d *desk) mend() {
	d.t.Helper()
	d.lost = nil
	run(d.t, "nft", "add table inet runbooks; flush table inet runbooks")
}

// restart ends the server and starts it again, with the same store.
func (d *desk) restart() {
	d.t.Helper()
	if err := d.server.Stop(); err != nil {
		d.t.Fatal(err)
	}
	var err error
	if d.server, err = target.Start(harness.Spec{Dir: d.dir, Config: d.config, Probes: 16}); err != nil {
		d.t.Fatal(err)
	}
}

// What differs from run to run, and what stands for it.
var differing = []struct {
	what *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`(\d{4}-\d\d-\d\d )?\b\d\d:\d\d(:\d\d)?\b`), "TIME"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(ms|µs|us|s|m|h|d))+\b`), "SPAN"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ?(seconds?|ms|s)\b`), "SPAN"},
	{regexp.MustCompile(`^geodns \S+`), "geodns VERSION"},
	{regexp.MustCompile(`\bpid \d+`), "pid N"},
	{regexp.MustCompile(`\bid: \d+`), "id: N"},
	{regexp.MustCompile(`\b\d+ of \d+ (good probes|failures)`), "N $1"},
	{regexp.MustCompile(`\d+(\.\d+)? (queries|connections?|responses|a second)`), "N $2"},
	{regexp.MustCompile(`\b(UDP|TCP) \d+`), "$1 N"},
	{regexp.MustCompile(`\s(now|never)\s`), " SPAN "}, // when the next probe is
	// Right after a turn the last probes are told in one of several ways.
	{regexp.MustCompile(`(timeout after SPAN while|connect: |the connection was )[^;]*`), "FAILED"},
	{regexp.MustCompile(`(, damped)?$`), ""},
	{regexp.MustCompile(`, \d+ damped`), ""},
	{regexp.MustCompile(`; N (good probes|failures)|: N (good probes|failures)`), ""},
}

// blurred is an output as sorted lines, without what differs each time.
func blurred(output string) (lines []string) {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		for _, d := range differing {
			line = d.what.ReplaceAllString(line, d.to)
		}
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	slices.Sort(lines)
	return lines
}
