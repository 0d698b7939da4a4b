package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
)

func TestFailbackUsage(t *testing.T) {
	for _, args := range [][]string{{"failback"}, {"failback", "a", "b"}} {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "the name of one failover is wanted, such as www.example.org") {
			t.Errorf("geodns %q: code %d, %q", args, code, &stderr)
		}
	}
}

const failbackZone = `$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.1
www 60 A 198.51.100.1
lon._site TXT "v=site1; net=192.0.2.0/24"
nyc._site TXT "v=site1; net=198.51.100.0/24"
www._steer TXT "v=steer1; policy=failover; order=lon,nyc; failback=%s"
`

// A manual failover stays where it is until a command, across a restart too; and
// what is refused says why.
func TestFailback(t *testing.T) {
	s := startSiteWith(t, "control: run/control.sock\nstore: geodns.db\nhttp: \"\"\n"+unwatched, [2]string{"zones/s.example.zone", fmt.Sprintf(failbackZone, "manual")})
	serves := func(step, by string) {
		t.Helper()
		n := s.status().Nodes
		if len(n.Sides) != 1 || n.SidesAll != 1 || n.Sides[0].Step != step || n.Sides[0].By != by || n.SidesUnstored != "" {
			t.Fatalf("%+v, want %s, by %q", n.Sides, step, by)
		}
	}
	do := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := s.geodns(args...)
		if code != want {
			t.Fatalf("geodns %q: %d, want %d\n%s%s", args, code, want, out, errs)
		}
		return out, errs
	}
	restart := func() {
		t.Helper()
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s.log = &lockedBuffer{}
		s.begin()
	}
	serves("lon", "")
	do(exitOK, "drain", "lon", "--for", "forever")
	serves("nyc", "")
	if _, errs := do(exitFailure, "failback", "www.s.example", "--to", "lon"); errs != "refused, and nothing was changed: www.s.example.: lon is drained; --force does it nevertheless\n" {
		t.Errorf("drained: %s", errs)
	}
	do(exitOK, "undrain", "lon")
	serves("nyc", "")
	if out, _ := do(exitOK, "status"); !strings.Contains(out, "! www.s.example. A: nyc serves, for ") {
		t.Errorf("status:\n%s", out)
	}
	restart()
	serves("nyc", "")
	if !strings.Contains(s.log.String(), "an active side is known from before") {
		t.Errorf("the log:\n%s", s.log)
	}
	const moves = "www.s.example. A: nyc (198.51.100.1) -> lon (192.0.2.1)\n"
	if out, _ := do(exitOK, "failback", "WWW.s.example.", "--dry-run"); out != moves+"www.s.example.: not changed, but would now be served by lon\n" {
		t.Errorf("dry run: %s", out)
	}
	serves("nyc", "")
	if out, errs := do(exitOK, "failback", "www", "--zone", "s.example", "--reason", "repaired"); out != moves+"www.s.example.: lon now serves\n" || errs != "" {
		t.Errorf("%s%s", out, errs)
	}
	serves("lon", "command")
	for _, want := range []string{"a failback was commanded", `"reason":"repaired"`, `"command":"failback"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.log)
		}
	}
	if out, _ := do(exitOK, "failback", "www.s.example"); out != "www.s.example. A: lon (192.0.2.1) -> lon (192.0.2.1)\nwww.s.example.: lon serves already\n" {
		t.Errorf("again: %s", out)
	}
	restart()
	serves("lon", "command")
	out, _ := do(exitOK, "failback", "www.s.example", "--to", "nyc", "-o", "json")
	var r control.FailbackResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Refused || len(r.Failovers) != 1 || r.Failovers[0].After.Step != "nyc" || r.Failovers[0].Policy != "manual" ||
		len(r.Failovers[0].Answers) != 1 || fmt.Sprint(r.Failovers[0].Answers[0].After) != "{normal [198.51.100.1]}" {
		t.Errorf("%v\n%s", err, out)
	}
	serves("nyc", "command")
	if _, errs := do(exitFailure, "failback", "mail.s.example"); !strings.Contains(errs, "mail.s.example is not steered by a failover; these are: www.s.example.") {
		t.Errorf("another name: %s", errs)
	}
	if _, errs := do(exitFailure, "failback", "www.s.example", "--to", "ams"); !strings.Contains(errs, "www.s.example.: ams is no step of order=lon,nyc") {
		t.Errorf("another step: %s", errs)
	}
}

// Without a store a command is obeyed all the same, and says that it is lost.
func TestFailbackUnstored(t *testing.T) {
	s := startSiteWith(t, "control: run/control.sock\nhttp: \"\"\n"+unwatched, [2]string{"zones/s.example.zone", fmt.Sprintf(failbackZone, "30m")})
	code, out, errs := s.geodns("failback", "www.s.example", "--to", "nyc")
	if code != exitOK || !strings.Contains(out, "nyc now serves; an earlier step takes over after 30m0s (failback=)\n") || errs != "warning: lost at a restart: there is no store\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, out, _ := s.geodns("status"); !strings.Contains(out, "nyc serves, by command, for 0s; an earlier step takes over in 30m0s") && !strings.Contains(out, "takes over in 29m") {
		t.Errorf("status:\n%s", out)
	}
}

// Where a writer is looked for and nobody was asked, or none says so, that is an
// alarm: in the log, in status, in the metrics; and the answer is a failure.
func TestWritersAlarm(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // no database: it never says anything
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	at := freePort(t).String()
	zone := fmt.Sprintf(`$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
db A 127.0.0.1
db A 127.0.0.99
db._check TXT "v=check1; type=mysql; port=%s; use=db; role=writable; every=200ms; timeout=100ms; fall=1"
db._steer TXT "v=steer1; policy=failover; order=127.0.0.1,127.0.0.99; failback=manual; check=db"
`, port)
	s := startSiteWith(t, fmt.Sprintf("control: run/control.sock\nhttp: %q\nprobe-allow: [127.0.0.0/24]\nchecks: {db: {user: x, password: y}}\n", at), [2]string{"zones/s.example.zone", zone})
	s.http = at
	const told = "no node says that it takes writes, and none is known to have"
	for end := time.Now().Add(patience); !strings.Contains(s.log.String(), told); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no alarm:\n%s", s.log)
		}
	}
	time.Sleep(300 * time.Millisecond) // for a second one, which must not come
	if n := strings.Count(s.log.String(), told); n != 1 {
		t.Errorf("the alarm was told %d times:\n%s", n, s.log)
	}
	n := s.status().Nodes
	if len(n.Sides) != 1 || !n.Sides[0].Alarmed() || !n.Sides[0].Role || len(n.Sides[0].Writers) != 0 || n.Names[0].Stage != "no-writer" {
		t.Errorf("%+v %+v", n.Sides, n.Names)
	}
	if _, out, _ := s.geodns("status"); !strings.Contains(out, "! db.s.example. A: no node says that it takes writes, for ") {
		t.Errorf("status:\n%s", out)
	}
	if _, body := s.get("/metrics"); !strings.Contains(body, `geodns_writers{name="db.s.example.",type="A",zone="s.example."} 0`) {
		t.Errorf("the metrics lack the writers")
	}
	var out, errs bytes.Buffer
	if run([]string{"explain", "db.s.example", "A", "--client", "192.0.2.9", "--socket", filepath.Join(s.dir, "run/control.sock")}, &out, &errs); !strings.Contains(out.String(), "no node is known to take writes") || !strings.Contains(out.String(), "SERVFAIL") {
		t.Errorf("explain:\n%s%s", &out, &errs)
	}
	if code, out, errs := s.geodns("failback", "db.s.example", "--to", "127.0.0.99", "--force"); code != exitOK || !strings.Contains(out, "no step, no-writer -> 127.0.0.99 (127.0.0.99), as-if-live\n") {
		t.Errorf("forced: %d\n%s%s", code, out, errs)
	}
}
