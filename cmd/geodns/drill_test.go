package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
	"geodns/internal/drill"
)

func TestDrillUsage(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"drill"}, "a command is missing: plan, run or stop"},
		{[]string{"drill", "plna"}, "did you mean plan?"},
		{[]string{"drill", "plan"}, "which site? name one with --lose"},
		{[]string{"drill", "run"}, "which site? name one with --lose"},
		{[]string{"drill", "run", "lon"}, `unexpected argument "lon"`},
		{[]string{"drill", "plan", "--lose", "lon", "--config", "a", "--socket", "b"}, "leave out either"},
		{[]string{"drill", "plan", "--lose", "lon", "-o", "xml"}, "must be text or json"},
		{[]string{"drill", "run", "--lose", "lon", "--for", "soon"}, `--for "soon" is no length of time`},
		{[]string{"drill", "run", "--lose", "lon", "--for", "2h"}, `--for "2h" is no length of time from a second to an hour`},
		{[]string{"drill", "run", "--lose", "lon", "--for", "1ms"}, "is no length of time"},
		{[]string{"drill", "run", "--lose", "lon", "--how", "slowly"}, "it must be timeout or refused"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(tt.args, &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("geodns %q: code %d, %q; want %d, %s", tt.args, code, &stderr, exitUsage, tt.want)
		}
	}
}

// drilledZone has sites, of which nothing answers at London: 127.0.0.2.
const drilledZone = `$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
www 60 A 127.0.0.2
www 60 A 127.0.0.130
solo 60 A 127.0.0.3
blind 60 A 127.0.0.4
lon._site TXT "v=site1; net=127.0.0.0/25; at=51.51,-0.13; capacity=1"
nyc._site TXT "v=site1; net=127.0.0.128/25; at=40.71,-74.01"
web._check TXT "v=check1; type=tcp; port=9; every=5s; timeout=2s; fall=3"
www._steer TXT "v=steer1; policy=failover; order=lon,nyc; check=web; ttl=5-90"
solo._steer TXT "v=steer1; check=web"
blind._steer TXT "v=steer1"
`

// A plan of files: what people see, and what scripts read.
func TestDrillPlanFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"geodns.yaml":            "zones: zones\nstore: \"\"\nprobe-allow: [127.0.0.0/8]\n",
		"zones/s.example.zone":   drilledZone,
		"zones/bad.example.zone": "@ A 1\n",
		"queries":                "127.0.0.1 www.s.example A\n",
		"none":                   "?\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"drill", "plan", "--config", filepath.Join(dir, "geodns.yaml"), "--lose"}, args...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	code, out, errs := plan("lon")
	if code != exitFailure || !strings.Contains(errs, "bad.example.zone makes no zone") {
		t.Errorf("code %d, %s", code, errs)
	}
	for _, want := range []string{
		"if lon (s.example.) were lost: 2 probed targets would stop answering in 127.0.0.0/25\n",
		"NAME              TYPE  LIVE        GONE AFTER  TTL  CLIENTS",
		"solo.s.example.   A     1/1 -> 0/1  17.1s       60s  100.0%: ",
		"  lon -> nyc\n",
		"! blind.s.example. A: there is 1 record that isn't probed: clients would go on being led to it\n",
		"! solo.s.example. A: nothing live is left; empty=all: all are answered as if they lived\n",
		"at worst, nobody is led to lon after 107s, but for the names with a ! above: 17.1s until the answers of www.s.example. A change, and their TTL of 90s\n",
		"3 steered names with records at the site, 0 without\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	var p drill.Plan
	code, out, _ = plan("lon", "-o", "json", "--queries", filepath.Join(dir, "queries"))
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != exitFailure || p.Source != "files" || p.Lost != 1 || p.Log.Steered != 1 || len(p.Names) != 3 {
		t.Errorf("json: %v, code %d, %+v", err, code, p)
	}
	if code, _, errs := plan("lno"); code != exitFailure || !strings.Contains(errs, `there is no site "lno" that a policy uses; there are lon (s.example.), nyc (s.example.)`) {
		t.Errorf("a site that there is not: code %d, %s", code, errs)
	}
	if code, _, errs := plan("lon", "--queries", filepath.Join(dir, "none")); code != exitFailure || !strings.Contains(errs, "no line of ") {
		t.Errorf("no log: code %d, %s", code, errs)
	}
	if code, _, errs := plan("lon", "--queries", filepath.Join(dir, "nothing")); code != exitFailure || !strings.Contains(errs, "cannot read the log of questions") {
		t.Errorf("no file: code %d, %s", code, errs)
	}
	if code, out, errs = plan("nyc"); code != exitOK || !strings.Contains(out, "1 steered name with records at the site, 2 without\n") {
		t.Errorf("nothing is lost: code %d\n%s%s", code, out, errs)
	}
}

// A plan, and a drill, of a server that runs.
func TestDrillServer(t *testing.T) {
	at := freePort(t).String()
	s := startSiteWith(t, "control: run/control.sock\nhttp: "+at+"\nprobe-allow: [127.0.0.0/8]\nstart-wait: 1s\n"+unwatched, [2]string{"zones/s.example.zone", drilledZone})
	s.http = at
	if code, out, errs := s.geodns("drill", "plan", "--lose", "lon"); code == exitUsage || !strings.Contains(out, "if lon (s.example.) were lost") {
		t.Errorf("plan: code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := s.geodns("drill", "stop"); code != exitFailure || !strings.Contains(errs, "no drill is on") {
		t.Errorf("stop: code %d, %s", code, errs)
	}
	if code, _, errs := s.geodns("drill", "run", "--lose", "par"); code != exitFailure || !strings.Contains(errs, `there is no site "par"`) {
		t.Errorf("no site: code %d, %s", code, errs)
	}
	done := make(chan string)
	go func() {
		_, out, errs := s.geodns("drill", "run", "--lose", "lon", "--for", "1h", "--force")
		done <- out + errs
	}()
	for end := time.Now().Add(10 * time.Second); s.status().Drill == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the drill doesn't begin")
		}
	}
	if _, out, _ := s.geodns("status"); !strings.Contains(out, "a drill is on: lon is lost until ") {
		t.Errorf("status says nothing of it:\n%s", out)
	}
	if _, body := s.get("/metrics"); !strings.Contains(body, "geodns_drill 1\n") {
		t.Error("/metrics says nothing of it")
	}
	if code, out, errs := s.geodns("drill", "stop", "-o", "json"); code != exitOK || !strings.Contains(out, `"site": "lon"`) {
		t.Errorf("stop: code %d\n%s%s", code, out, errs)
	}
	out := <-done
	for _, want := range []string{"lon is lost from ", "and it was stopped: 2 targets", "not judged: ", "PROMISED"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if st := s.status(); st.Drill != nil {
		t.Errorf("it is still on: %+v", st.Drill)
	}
}

func TestDrillState(t *testing.T) {
	now := time.Now()
	on := control.DrillState{Site: "lon", Until: now.Add(time.Minute)}
	if got := drillStateText(&on, now); !strings.Contains(got, "lon is lost until") || !strings.Contains(got, "(in 1m0s)") {
		t.Error(got)
	}
	on.Over = true
	if got := drillStateText(&on, now); !strings.Contains(got, "no longer lost") {
		t.Error(got)
	}
}

// The plan that the manual shows is the one of the zone that it shows.
func TestDrillManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/drill.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```zone\n")
	zone, rest, _ := strings.Cut(rest, "```\n")
	const command = "```console\n$ geodns drill plan --lose lon --config geodns.yaml\n"
	_, rest, ok := strings.Cut(rest, command)
	want, _, _ := strings.Cut(rest, "```\n")
	if !ok || zone == "" {
		t.Fatal("docs/drill.md has no zone with a plan: has its form changed?")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"geodns.yaml": "zones: zones\nstore: \"\"\nprobe-allow: [192.0.2.0/24, 198.51.100.0/24]\n", "zones/shop.example.zone": zone,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	if run([]string{"drill", "plan", "--lose", "lon", "--config", filepath.Join(dir, "geodns.yaml")}, &stdout, &stderr); stdout.String() != want {
		t.Errorf("docs/drill.md should show this:\n%s%s", &stdout, &stderr)
	}
}
