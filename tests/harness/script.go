package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// awaitWait bounds how long a change may take to be seen.
const awaitWait = 10 * time.Second

// sessionKey is where a script keeps its session among testscript's values.
type sessionKey struct{}

// session is what the commands of one script share.
type session struct {
	target Target
	server *Server
	report func(format string, args ...any)
}

// Params returns testscript parameters with the commands of the harness:
//
//	serve [key=value...]    start the server on zones/*.zone
//	stop                    stop it, and check that it ended well
//	reload                  send the server SIGHUP, by which it reads its files again
//	ask [option] FILE...    ask the questions of a file and compare
//	await FILE...           the same, again and again until it is right
//	tcp FILE...             hold the conversation of a file
//	dig ARGS...             ask one question; the reply goes to stdout
//	check FILE...           check zone files; the findings go to stdout
//	samples [NAME...]       copy zones of the sample clusters into zones/
//	share N NAME TYPE ...   ask N times, and compare how often each record comes first
//	log                     what the server printed goes to stdout
//	geodns ARGS...          run a command of geodns against the server
func Params(target Target) testscript.Params {
	return testscript.Params{
		ContinueOnError:    true,
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			s := &session{target: target, report: reporter(env.T())}
			env.Values[sessionKey{}] = s
			env.Defer(func() { s.stop() })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":   cmdServe,
			"stop":    cmdStop,
			"reload":  cmdReload,
			"ask":     cmdAsk,
			"await":   cmdAwait,
			"tcp":     cmdTCP,
			"dig":     cmdDig,
			"check":   cmdCheck,
			"samples": cmdSamples,
			"share":   cmdShare,
			"log":     cmdLog,
			"geodns":  cmdGeodns,
		},
		Condition: func(cond string) (bool, error) {
			if slices.Contains([]Kind{Geodns, Knot, NSD, BIND}, Kind(cond)) {
				return Kind(cond) == target.Kind, nil
			}
			return false, fmt.Errorf("%q is no condition: use geodns, knot, nsd or bind", cond)
		},
	}
}

// reporter finds how to fail a test from a deferred function, where
// testscript's own way cannot be used.
func reporter(t testscript.T) func(string, ...any) {
	if e, ok := t.(interface{ Errorf(string, ...any) }); ok {
		return e.Errorf
	}
	return func(format string, args ...any) { t.Log(fmt.Sprintf(format, args...)); t.FailNow() }
}

func (s *session) stop() {
	if s.server == nil {
		return
	}
	err := s.server.Stop()
	s.server = nil
	if err != nil {
		s.report("%v", err)
	}
}

func of(ts *testscript.TestScript) *session { return ts.Value(sessionKey{}).(*session) }

// running is the script's server; the script fails if there is none.
func running(ts *testscript.TestScript, neg bool) *Server {
	s := of(ts)
	if s.server == nil {
		ts.Fatalf("no server runs: write serve first")
	}
	if neg {
		ts.Fatalf("! means nothing here")
	}
	return s.server
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	s.stop()
	spec := Spec{Dir: ts.MkAbs(".")}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "config":
			spec.Config = ts.ReadFile(value)
		case "unloaded":
			spec.Unloaded = strings.Split(value, ",")
		case "nsid":
			spec.NSID = value
		case "version":
			spec.Version = value
		case "id":
			spec.ID = value
		case "idle":
			n, err := strconv.Atoi(value)
			ts.Check(err)
			spec.Idle = n
		default:
			ts.Fatalf("serve has no %q: use config=, unloaded=, nsid=, version=, id=, idle=", key)
		}
	}
	server, err := s.target.Start(spec)
	if neg {
		if err == nil {
			s.server = server
			ts.Fatalf("the server started")
		}
		fmt.Fprintln(ts.Stdout(), err)
		return
	}
	ts.Check(err)
	s.server = server
	ts.Setenv("PORT", strconv.Itoa(server.Port))
}

func cmdStop(ts *testscript.TestScript, neg bool, _ []string) {
	err := running(ts, neg).Stop()
	of(ts).server = nil
	ts.Check(err)
}

// askerOf takes the options from a command's arguments.
func askerOf(server *Server, args []string) (asker, []string) {
	who := asker{port: server.Port}
	for len(args) > 0 {
		key, value, ok := strings.Cut(args[0], "=")
		switch {
		case ok && key == "from":
			who.from = value
		case ok && key == "key":
			who.key = value
		default:
			return who, args
		}
		args = args[1:]
	}
	return who, args
}

func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	server := running(ts, neg)
	who, args := askerOf(server, args)
	for _, f := range args {
		wrong, err := ask(server, who, ts.MkAbs(f), f)
		ts.Check(err)
		if len(wrong) > 0 {
			ts.Fatalf("%d of the replies are wrong:\n%s", len(wrong), strings.Join(wrong, "\n"))
		}
	}
}

// cmdAwait asks until all replies are right, for changes that take a moment.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	server := running(ts, neg)
	for _, f := range args {
		for deadline := time.Now().Add(awaitWait); ; time.Sleep(pollEvery) {
			wrong, err := Ask(server, ts.MkAbs(f), f)
			ts.Check(err)
			if len(wrong) == 0 {
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("after %v, %d of the replies are still wrong:\n%s", awaitWait, len(wrong), strings.Join(wrong, "\n"))
			}
		}
	}
}

func cmdTCP(ts *testscript.TestScript, neg bool, args []string) {
	server := running(ts, neg)
	for _, f := range args {
		ts.Check(TalkTCP(server, ts.MkAbs(f), f))
	}
}

func cmdDig(ts *testscript.TestScript, neg bool, args []string) {
	replies, err := asker{port: running(ts, neg).Port}.dig([][]string{args})
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), replies[0])
}

// cmdCheck runs the server's checker of zone files. What it prints goes to
// stdout, wherever it went.
func cmdCheck(ts *testscript.TestScript, neg bool, args []string) {
	target := of(ts).target
	for _, f := range args {
		path := ts.MkAbs(f)
		origin := strings.TrimSuffix(filepath.Base(path), ".zone")
		var cmd *exec.Cmd
		switch target.Kind {
		case Geodns:
			cmd = exec.Command(target.Binary, "check", f)
		case NSD:
			cmd = exec.Command("nsd-checkzone", origin, path)
		default: // Debian's Knot has no kzonecheck.
			cmd = exec.Command("named-checkzone", "-k", "ignore", "-i", "none", origin, path)
		}
		var out bytes.Buffer
		cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), &out, &out
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		err := cmd.Run()
		fmt.Fprint(ts.Stdout(), out.String())
		if crash.Match(out.Bytes()) {
			ts.Fatalf("the checker printed a panic")
		}
		switch {
		case neg && err == nil:
			ts.Fatalf("%s was accepted", f)
		case neg && target.Kind == Geodns && cmd.ProcessState.ExitCode() != 1:
			ts.Fatalf("exit code %d; the rule is 1 for a bad zone file", cmd.ProcessState.ExitCode())
		case !neg && err != nil:
			ts.Fatalf("%s was refused: %v", f, err)
		}
	}
}

// cmdReload makes the server read its files again.
func cmdReload(ts *testscript.TestScript, neg bool, _ []string) {
	ts.Check(running(ts, neg).cmd.Process.Signal(syscall.SIGHUP))
}

// cmdGeodns runs a command against the running server, or, with !, one that is to
// fail. What it prints goes to stdout, wherever it went.
func cmdGeodns(ts *testscript.TestScript, neg bool, args []string) {
	target := of(ts).target
	if target.Kind != Geodns {
		ts.Fatalf("%s has no such command", target.Kind)
	}
	var out bytes.Buffer
	cmd := exec.Command(target.Binary, append(args, "--config", "geodns.yaml")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), &out, &out
	err := cmd.Run()
	fmt.Fprint(ts.Stdout(), out.String())
	switch {
	case crash.Match(out.Bytes()):
		ts.Fatalf("it printed a panic")
	case neg && err == nil:
		ts.Fatalf("it succeeded")
	case neg && cmd.ProcessState.ExitCode() != 1:
		ts.Fatalf("exit code %d, want 1", cmd.ProcessState.ExitCode())
	case !neg && err != nil:
		ts.Fatalf("it failed: %v", err)
	}
}
