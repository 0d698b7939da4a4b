package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
)

// The socket is found by the flag, the configuration, or the default.
func TestSocketPath(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		r    remote
		want string // or what the error has
	}{
		{"flag", remote{socket: "/x/s", config: "/none"}, "/x/s"},
		// The zones need not be readable, or there at all.
		{"configuration", remote{config: file("a.yaml", "zones: nowhere\ncontrol: run/s\n")}, filepath.Join(dir, "run/s")},
		{"absolute", remote{config: file("b.yaml", "control: /y/s\n")}, "/y/s"},
		{"none", remote{config: file("c.yaml", "control: \"\"\n")}, "opens no control socket"},
		{"invalid", remote{config: file("d.yaml", "control: [\n")}, "d.yaml:"},
		{"not there", remote{config: filepath.Join(dir, "e.yaml"), named: true}, "name the socket with --socket"},
		{"default not there", remote{config: filepath.Join(dir, "e.yaml")}, "/run/geodns/control.sock"},
	}
	for _, tt := range tests {
		got, err := tt.r.path()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRemoteUsage(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"status now", exitUsage, "geodns status: unexpected argument \"now\""},
		{"status -o yaml --socket /none", exitUsage, "must be text or json"},
		{"zone", exitUsage, "geodns zone: a command is missing"},
		{"zone stauts", exitUsage, "did you mean status?"},
		{"zone reload", exitUsage, "the name of one zone is wanted"},
		{"zone reload a b", exitUsage, "the name of one zone is wanted"},
		{"zone history", exitUsage, "the name of one zone is wanted"},
		{"zone history a. -n 0", exitUsage, "it must be from 1 to 100000"},
		{"zone history a. --diff x", exitUsage, "--diff \"x\" is no serial"},
		{"zone export a. --serial -1", exitUsage, "--serial \"-1\" is no serial"},
		{"zone export a. --write --all", exitUsage, "goes with no other choice"},
		{"zone export a. --stripped --all", exitUsage, "contradict each other"},
		{"zone export a. -o json", exitUsage, "not as JSON"},
		{"zone rollback a.", exitUsage, "the name of one zone and a serial are wanted"},
		{"zone rollback a. 4294967296", exitUsage, "is no serial"},
		{"zone retransfer", exitUsage, "the name of one zone is wanted"},
		{"zone notify a b", exitUsage, "the name of one zone is wanted"},
		{"zone rollback a. 7 --socket /nowhere/s", exitFailure, "no server has opened"},
		{"reload --socket /nowhere/s", exitFailure, "no server has opened the control socket /nowhere/s; start one"},
		{"zone status --socket /nowhere/s", exitFailure, "no server has opened"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("geodns %s: code %d, %q; want %d, %s", tt.args, code, &stderr, tt.code, tt.want)
		}
	}
}

// bad is a file that makes no zone, with an escape sequence in its name.
func bad() control.Zone {
	return control.Zone{
		File: "zones/\x1b[31m.zone", State: control.StateBroken, Since: time.Unix(1800000000, 0),
		Findings:    []control.Finding{{At: "zones/x.zone:1:2", Severity: "error", Message: "bad", Remedy: "mend it"}},
		FindingsAll: 3,
	}
}

func kept() control.Zone {
	return control.Zone{
		Name: "a.example.", File: "zones/a.example.zone", State: control.StateKept, Serial: 7, Records: 3,
		Loaded: time.Unix(1790000000, 0), Since: time.Unix(1800000000, 0),
		Findings:    []control.Finding{{At: "zones/a.example.zone:3:4", Severity: "warning", Message: "odd"}},
		FindingsAll: 1,
	}
}

func TestReloadText(t *testing.T) {
	good := control.Zone{Name: "b.example.", State: control.StateServing, Serial: 9, Records: 1}
	tests := []struct {
		res         control.Reload
		out, stderr string
	}{
		{control.Reload{Seconds: 0.5}, "nothing changed, in 0.500 s\n", ""},
		{
			control.Reload{Error: "geodns.yaml:1:1: bad\ngeodns.yaml:2:1: \x1b]0;worse", Warnings: []string{"mind"}},
			"", "mind\ngeodns.yaml:1:1: bad\ngeodns.yaml:2:1: ?]0;worse\nnothing was reloaded: the old state stays in service\n",
		},
		{
			control.Reload{
				Changed: []control.Zone{good}, ChangedAll: 2, Gone: []string{"c.example."}, GoneAll: 1,
				Broken: []control.Zone{bad(), kept()}, BrokenAll: 2,
			},
			"b.example.: serial 9, 1 record\nand 1 more changed zones\nc.example.: no longer served\n" +
				"zones/x.zone:1:2: bad; mend it\nand 2 more findings: see geodns check\nzones/?[31m.zone: broken, it makes no zone\n" +
				"zones/a.example.zone:3:4: warning: odd\na.example.: broken, serial 7 stays in service\n" +
				"2 zones read, 1 gone, 2 broken, in 0.000 s\n", "",
		},
	}
	for _, tt := range tests {
		var out, stderr bytes.Buffer
		if err := reloadText(&out, &stderr, &tt.res); err != nil || out.String() != tt.out || stderr.String() != tt.stderr {
			t.Errorf("got %v\n%s%swant\n%s%s", err, &out, &stderr, tt.out, tt.stderr)
		}
	}
}

func TestStatusText(t *testing.T) {
	now := time.Unix(1800000000, 0)
	s := control.Status{
		Version: "v1", PID: 7, Started: now.Add(-26 * time.Hour), Config: "geodns.yaml", Listen: []string{"127.0.0.1:53", "[::1]:53"},
		HTTP: "127.0.0.1:8053", Watch: "events", Zones: 2, Records: 1, BrokenAll: 1,
		Queries:    control.Queries{Total: 30, UDP: 20, TCP: 10, Responses: 29, Dropped: 1, PerSecond: 2.5, Seconds: 10, TCPConnections: 1},
		Reasons:    []string{"zone a. is broken"},
		LastReload: &control.Reload{At: now.Add(-90 * time.Second), ChangedAll: 1},
	}
	var out bytes.Buffer
	if err := statusText(&out, &s, now); err != nil {
		t.Fatal(err)
	}
	want := `geodns v1      pid 7, up 1d2h
state          serving, but not all is well
configuration  geodns.yaml
listening      127.0.0.1:53 [::1]:53
metrics        http://127.0.0.1:8053/metrics
zones          2 with 1 record, 1 broken
watched by     events
queries        2.5 a second over the last 10 s
in all         30 queries (UDP 20, TCP 10), 29 responses, 1 dropped
TCP            1 connection open
last reload    1m30s ago: 1 zone read, in 0.000 s
! zone a. is broken
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestZonesText(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1800000000, 0)
	if err := zonesText(&out, []control.Zone{kept(), bad(), copied(), waiting()}, false, now); err != nil {
		t.Fatal(err)
	}
	want := `ZONE        SERIAL  RECORDS  READ                  FROM                  STATE
a.example.  7       3        2026-09-21T14:13:20Z  zones/a.example.zone  kept
-           0       0        never                 zones/?[31m.zone      broken
b.example.  12      4        2027-01-15T07:59:00Z  192.0.2.53:53         serving
c.example.  0       0        never                 -                     waiting
zones/a.example.zone:3:4: warning: odd
a.example.: broken, serial 7 stays in service
zones/x.zone:1:2: bad; mend it
and 2 more findings: see geodns check
zones/?[31m.zone: broken, it makes no zone
c.example.: no primary has given it yet; asked now
c.example.: 192.0.2.53:53 does not answer
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	out.Reset()
	if err := zonesText(&out, []control.Zone{copied()}, true, now); err != nil {
		t.Fatal(err)
	}
	want = `ZONE        SERIAL  RECORDS  READ                  FROM           STATE
b.example.  12      4        2027-01-15T07:59:00Z  192.0.2.53:53  serving
b.example.: confirmed by 192.0.2.53:53 1m0s ago, came by IXFR; serial 13 is there; asked again in 59m0s; expires in 7d0h
198.51.100.53:53: acknowledged serial 12 at 2027-01-15T07:59:30Z
198.51.100.54:53: told of serial 12 2 times, no answer yet
198.51.100.55:53: did not acknowledge serial 12 in 5 attempts: REFUSED
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// copied is a zone that is taken from a primary, and told on.
func copied() control.Zone {
	at := time.Unix(1800000000, 0)
	return control.Zone{
		Name: "b.example.", State: control.StateServing, Serial: 12, Records: 4,
		Copy: &control.Copy{
			Primary: "192.0.2.53:53", Kind: "IXFR", Confirmed: at.Add(-time.Minute), Asked: at.Add(-time.Minute),
			Next: at.Add(59 * time.Minute), Expires: at.Add(7 * 24 * time.Hour), Behind: true, Seen: 13,
		},
		Told: []control.Told{
			{Server: "198.51.100.53:53", Serial: 12, Known: true, Acknowledged: 12, At: at.Add(-30 * time.Second), Attempts: 1},
			{Server: "198.51.100.54:53", Serial: 12, Known: true, Acknowledged: 11, Attempts: 2, Pending: true},
			{Server: "198.51.100.55:53", Serial: 12, Attempts: 5, Error: "REFUSED"},
		},
	}
}

func waiting() control.Zone {
	return control.Zone{Name: "c.example.", State: control.StateWaiting, Copy: &control.Copy{Error: "192.0.2.53:53 does not answer"}}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1500 * time.Millisecond: "1s", 61 * time.Second: "1m1s", 3700 * time.Second: "1h1m", 50 * time.Hour: "2d2h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	var n uint64
	r := rate{read: func() uint64 { return n }}
	at := time.Unix(1800000000, 0)
	check := func(perSecond, seconds float64) {
		t.Helper()
		if p, s := r.mean(); p != perSecond || s != seconds {
			t.Errorf("%v a second over %v s, want %v, %v", p, s, perSecond, seconds)
		}
	}
	check(0, 0)
	r.sample(at)
	check(0, 0)
	for i := range 30 {
		n += 5
		if i >= 20 {
			n += 15 // only the last ten seconds count
		}
		at = at.Add(time.Second)
		r.sample(at)
		if i == 2 {
			check(5, 3)
		}
	}
	check(20, 10)
}

func TestHistory(t *testing.T) {
	var h history
	if m := h.metrics(); h.last() != nil || !m.OK || !m.Last.IsZero() {
		t.Errorf("before the first reload: %+v", m)
	}
	at := time.Unix(1800000000, 0)
	h.note(control.Reload{At: at, Error: "bad"}, true)
	// What the watcher reads does not mend the configuration.
	h.note(control.Reload{At: at.Add(1), BrokenAll: 1}, false)
	if m := h.metrics(); m.OK || h.lastError() != "bad" || !m.Last.Equal(at.Add(1)) {
		t.Errorf("after a failure: %+v, %q", m, h.lastError())
	}
	h.note(control.Reload{At: at.Add(2)}, true)
	m := h.metrics()
	if !m.OK || h.lastError() != "" || m.Results[0].N != 1 || m.Results[1].N != 1 || m.Results[2].N != 1 {
		t.Errorf("after a good one: %+v, %q", m, h.lastError())
	}
}
