package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
)

func TestDrainUsage(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"drain"}, "the name of one site or node is wanted"},
		{[]string{"drain", "lon", "nyc"}, "the name of one site or node is wanted"},
		{[]string{"undrain"}, "the name of one site or node is wanted"},
		{[]string{"drain", "lon", "--for", "soon"}, `--for "soon" is no length of time: write 90s, 30m, 2h, 3d or forever`},
		{[]string{"drain", "lon", "--for", "-1h"}, "is no length of time"},
		{[]string{"drain", "lon", "--for", "10ms"}, "is no length of time"},
		{[]string{"drain", "lon", "--at", "noon"}, `--at "noon" is no time: write 02:00`},
		{[]string{"drain", "lon", "--at", "2001-01-01T00:00:00Z"}, "is over; leave it away to drain now"},
		{[]string{"undrain", "lon", "-o", "xml"}, "must be text or json"},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(tt.args, &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
			t.Errorf("geodns %q: code %d, %q; want %d, %s", tt.args, code, &stderr, exitUsage, tt.want)
		}
	}
}

func TestWhen(t *testing.T) {
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 20, 12, 30, 0, 0, zone)
	tests := []struct {
		text string
		want time.Time
	}{
		{"", time.Time{}},
		{"13:00", time.Date(2026, 11, 20, 13, 0, 0, 0, zone)},
		{"02:00", time.Date(2026, 11, 21, 2, 0, 0, 0, zone)},
		{"12:30", time.Date(2026, 11, 21, 12, 30, 0, 0, zone)},
		{"2026-12-31T23:00:00Z", time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		if got, err := parseAt(tt.text, now); err != nil || !got.Equal(tt.want) {
			t.Errorf("--at %s: %v %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "2h30m": 150 * time.Minute, "3d": 72 * time.Hour} {
		if got, err := parseLength(text); err != nil || got != want {
			t.Errorf("--for %s: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1.5d", "99999999d", "1h1d", "0"} {
		if got, err := parseLength(text); err == nil {
			t.Errorf("--for %q: %v, want an error", text, got)
		}
	}
}

// drainSite has a zone with two sites: one name at both, one at London only.
func drainSite(t *testing.T, more string) *site {
	t.Helper()
	zone := `$TTL 300
@ SOA ns1 hostmaster 1 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
www 60 A 192.0.2.1
www 60 A 198.51.100.1
solo 60 A 192.0.2.2
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
www._steer TXT "v=steer1; policy=failover; order=lon,nyc"
solo._steer TXT "v=steer1"
`
	return startSiteWith(t, "control: run/control.sock\nhttp: \"\"\n"+unwatched+more, [2]string{"zones/s.example.zone", zone})
}

// A drain says what it would do, is refused where a name has nothing else, is in
// force at once when it is forced, survives a reload, and is taken back.
func TestDrain(t *testing.T) {
	s := drainSite(t, "")
	const lost = "solo.s.example. A: 1 of 1 (lon 1) -> 0 of 1, as-if-undrained: nothing live is left\n"
	const moved = "www.s.example. A: 2 of 2 (lon 1, nyc 1) -> 1 of 2 (nyc 1)\n"
	active := func(want int) control.Status {
		t.Helper()
		st := s.status()
		if len(st.Nodes.Drains) != want {
			t.Errorf("%d drains, want %d: %+v", len(st.Nodes.Drains), want, st.Nodes.Drains)
		}
		return st
	}
	code, out, errs := s.geodns("drain", "lon")
	if code != exitFailure || out != lost+moved || errs != "refused, and nothing was changed: 1 name would lose the last live node; --force drains nevertheless\n" {
		t.Errorf("refused: %d\n%s%s", code, out, errs)
	}
	active(0)
	if code, out, errs = s.geodns("drain", "lon", "--force", "--dry-run"); code != exitOK || !strings.Contains(out, lost+moved+"lon (site of s.example.): not changed, but would be drained until ") {
		t.Errorf("dry run: %d\n%s%s", code, out, errs)
	}
	active(0)
	code, out, errs = s.geodns("drain", "LON", "--force", "--reason", "new switch")
	if code != exitOK || !strings.Contains(out, "lon (site of s.example.): drained until ") || !strings.Contains(out, "(in 1h0m)") || !strings.Contains(errs, "lost at a restart: there is no store") {
		t.Errorf("forced: %d\n%s%s", code, out, errs)
	}
	// What is in force doesn't hang on the version of the zone.
	if code, out, errs := s.geodns("zone", "reload", "s.example"); code != exitOK {
		t.Fatalf("reload: %d\n%s%s", code, out, errs)
	}
	st := active(1)
	d := st.Nodes.Drains[0]
	if !d.Active || d.Name != "lon" || d.Reason != "new switch" || d.Until.Sub(d.From) != time.Hour {
		t.Errorf("%+v", d)
	}
	if n := st.Nodes.Names; len(n) != 2 || n[0].Name != "solo.s.example." || n[0].Stage != "as-if-undrained" || n[1].Records != (control.Records{Live: 1, Drained: 1, All: 2}) || st.Nodes.NamesTroubled != 2 {
		t.Errorf("%+v", n)
	}
	if p := st.Nodes.Places; len(p) != 2 || p[0].Name != "lon" || p[0].Drained != "by command" || p[1].Drained != "" {
		t.Errorf("%+v", p)
	}
	for _, want := range []string{"a drain was commanded", `"reason":"new switch"`, `"command":"drain"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.log)
		}
	}
	code, out, _ = s.geodns("undrain", "lon", "--zone", "s.example")
	if code != exitFailure {
		t.Errorf("of one zone, while all are drained: %d\n%s", code, out)
	}
	if code, out, errs = s.geodns("undrain", "lon"); code != exitOK || !strings.Contains(out, "www.s.example. A: 1 of 2 (nyc 1) -> 2 of 2 (lon 1, nyc 1)\n") || !strings.Contains(out, "lon (site of s.example.): no longer drained\n") {
		t.Errorf("undrain: %d\n%s%s", code, out, errs)
	}
	active(0)
	if code, _, errs = s.geodns("undrain", "lon"); code != exitFailure || !strings.Contains(errs, "lon is not drained") {
		t.Errorf("twice: %d %s", code, errs)
	}
	if code, _, errs = s.geodns("drain", "nycc"); code != exitFailure || !strings.Contains(errs, "did you mean nyc (s.example.)?") {
		t.Errorf("misspelt: %d %s", code, errs)
	}
}

// What begins later is told, and as JSON too; a drain without an end warns.
func TestDrainLater(t *testing.T) {
	s := drainSite(t, "")
	code, out, errs := s.geodns("drain", "nyc", "--at", "2100-01-01T00:00:00Z", "--for", "forever", "-o", "json")
	var r control.DrainResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
		t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	if r.Refused || r.DryRun || len(r.Drains) != 1 || r.Drains[0].Active || !r.Drains[0].Until.IsZero() || r.Drains[0].From.Year() != 2100 || r.ChangedAll != 1 || r.Changed[0].After.Records.Live != 1 {
		t.Errorf("%+v", r)
	}
	if n := s.status().Nodes; n.NamesTroubled != 0 || len(n.Drains) != 1 || n.Drains[0].Active {
		t.Errorf("%+v", n)
	}
	code, out, errs = s.geodns("drain", "nyc", "--for", "forever")
	if code != exitOK || !strings.Contains(out, "nyc (site of s.example.): drained until it is taken back\n") || !strings.Contains(errs, "warning: it does not end by itself; geodns undrain ends it\n") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	// A refusal is a failure in JSON, too.
	if code, out, _ = s.geodns("drain", "lon", "-o", "json"); code != exitFailure || !strings.Contains(out, `"refused": true`) {
		t.Errorf("%d\n%s", code, out)
	}
}

// Status and metrics tell of what is probed: real and forced state stand beside
// each other.
func TestNodesLive(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
www A 127.0.0.1
www A 127.0.0.99
www A 127.9.9.9
here._site TXT "v=site1; net=127.0.0.0/24"
port._check TXT "v=check1; type=tcp; port=%s; every=1s; timeout=500ms"
www._steer TXT "v=steer1; check=port"
`, port)
	s := startSiteWith(t, fmt.Sprintf("control: run/control.sock\nhttp: %q\nprobe-allow: [127.0.0.0/24]\n", at), [2]string{"zones/s.example.zone", zone})
	s.http = at
	if code, out, errs := s.geodns("drain", "here"); code != exitOK {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	n := s.status().Nodes
	if n.TargetsAll != 3 || n.Counts.Up != 1 || n.Counts.Down != 1 || n.Counts.Refused != 1 || len(n.Targets) != 3 {
		t.Fatalf("%+v", n)
	}
	down, refused, up := n.Targets[0], n.Targets[1], n.Targets[2]
	if down.Address != "127.0.0.99" || down.Verdict != "down" || down.OK || down.Reason == "" || down.Fails == 0 || down.At.IsZero() || down.Check != "port" || down.Zone != "s.example." {
		t.Errorf("%+v", down)
	}
	if refused.Verdict != "unknown" || !strings.Contains(refused.Refused, "list it under probe-allow") || !refused.Next.IsZero() {
		t.Errorf("%+v", refused)
	}
	if up.Verdict != "up" || !up.OK || up.Seconds <= 0 {
		t.Errorf("%+v", up)
	}
	if x := n.Names[0]; x.Records != (control.Records{Live: 1, Drained: 2, All: 3}) || x.Well() {
		t.Errorf("%+v", x)
	}
	_, out, _ := s.geodns("status")
	for _, want := range []string{
		"targets: 1 up, 1 down, 0 unknown, 1 not probed\n", "! here is drained, by command until ",
		"www.s.example.  A     all     1/3   here 0/2 drained\n", "by command\n", "not probed: 127.9.9.9 is no public address",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("status lacks %q:\n%s", want, out)
		}
	}
	_, body := s.get("/metrics")
	for _, want := range []string{
		`geodns_targets{state="down"} 1`, `geodns_targets{state="refused"} 1`, `geodns_drains{state="active"} 1`,
		`geodns_steered_names{state="whole"} 0`, `geodns_steered_names{state="reduced"} 1`, `geodns_steered_names{state="nothing-live"} 0`,
		`geodns_store_errors_total 0`,
		fmt.Sprintf(`geodns_target_up{address="127.0.0.1",check=%q} 1`, up.Text),
		fmt.Sprintf(`geodns_target_up{address="127.0.0.99",check=%q} 0`, down.Text),
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(body, `address="127.9.9.9"`) {
		t.Error("a target that is not probed has series")
	}
}

// A drain is in force again after a restart.
func TestDrainRestart(t *testing.T) {
	s := drainSite(t, "store: geodns.db\n")
	if code, out, errs := s.geodns("drain", "nyc", "--for", "2h", "--reason", "why"); code != exitOK || strings.Contains(errs, "restart") {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	before := s.status().Nodes
	if len(before.Drains) != 1 || before.Unstored != "" {
		t.Fatalf("%+v", before)
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	again := &site{t: t, dir: s.dir, config: s.config, log: &lockedBuffer{}}
	again.begin()
	after := again.status().Nodes
	if len(after.Drains) != 1 || !after.Drains[0].Active || after.Drains[0].Reason != "why" || !after.Drains[0].Until.Round(time.Millisecond).Equal(before.Drains[0].Until.Round(time.Millisecond)) {
		t.Errorf("%+v, want %+v", after.Drains, before.Drains)
	}
	if x := after.Names; len(x) != 2 || x[0].Records.Drained != 1 {
		t.Errorf("%+v", x)
	}
	if code, out, errs := again.geodns("undrain", "nyc"); code != exitOK || errs != "" {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}

func nodesAt(now time.Time) control.Nodes {
	return control.Nodes{
		Counts:   control.Counts{Up: 70, Down: 1, Refused: 1, Damped: 1},
		Drains:   []control.Drain{{Name: "lon", Zone: "s.", From: now.Add(time.Hour), Until: now.Add(3 * time.Hour), Reason: "why\x1b"}, {Name: "web1", Active: true, From: now}},
		Unstored: "no store",
		Places: []control.Place{
			{Kind: control.KindSite, Name: "lon", Zone: "s.", Records: control.Records{Live: 1, All: 2}},
			{Kind: control.KindNode, Name: "web1", Zone: "s.", Drained: "by command", Records: control.Records{Drained: 1, All: 1}},
		},
		PlacesAll: 2,
		Targets: []control.Target{
			{Address: "192.0.2.1", Check: "web", Type: "http", Verdict: "down", Since: now.Add(-90 * time.Second), Stale: true, Reason: "refused", At: now.Add(-3 * time.Second), Seconds: 0.0012, Next: now.Add(2 * time.Second), Successes: 1, Rise: 8, Fall: 3, Damped: true},
			{Address: "192.0.2.2", Check: "web", Type: "http", Verdict: "unknown", Refused: "not allowed"},
			{Address: "192.0.2.3", Check: "web", Type: "http", Verdict: "unknown", Joining: true, Rise: 2, Fall: 3},
			{Address: "192.0.2.4", Check: "web", Type: "http", Verdict: "up", Since: now.Add(-time.Hour), Reason: "slow", At: now, Seconds: 2, Fails: 1, Fall: 3, Rise: 2},
		},
		TargetsAll: 72,
		Names: []control.Name{
			{Name: "www.s.", Type: "A", Policy: "nearest", Stage: "below-floor", Records: control.Records{Live: 1, Drained: 1, All: 3}, Sites: []control.SiteRecord{{Site: "lon", Records: control.Records{Live: 1, All: 2}}, {Site: "nyc", Records: control.Records{Drained: 1, All: 1}}}},
			{Name: "s.", Type: "MX", Policy: "all", Stage: "normal", Records: control.Records{Live: 2, All: 2}},
		},
		NamesAll: 2, NamesTroubled: 1,
	}
}

func TestNodesText(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.Local)
	n := nodesAt(now)
	var out bytes.Buffer
	w := &errWriter{w: &out}
	nodesText(w, &n, now, false)
	want := `
targets: 70 up, 1 down, 0 unknown, 1 not probed, 1 damped
! lon of s. will be drained from 13:00:00 (in 1h0m) until 15:00:00 (in 3h0m): why?
! web1 is drained, by command until it is taken back
! the drains are lost at a restart: no store

NAME    TYPE  POLICY   LIVE  ANSWERED FROM
www.s.  A     nearest  1/3   lon 1/2, nyc 0/1 drained; below-floor
s.      MX    all      2/2   all

PLACE  KIND  ZONE  LIVE  DRAINED
lon    site  s.    1/2   no
web1   node  s.    0/1   by command

TARGET     CHECK       TOOK      LAST   NEXT   VERDICT
192.0.2.1  web (http)  1.2ms     3s     2s     down for 1m30s: refused; no result for long; 1 of 8 good probes, damped
192.0.2.2  web (http)  -         never  never  unknown: not probed: not allowed
192.0.2.3  web (http)  -         never  now    unknown: not answered before its first result
192.0.2.4  web (http)  2000.0ms  0s     now    up for 1h0m: slow; 1 of 3 failures
and 68 more targets; --all lists them
`
	if w.err != nil || out.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", w.err, &out, want)
	}
}

// Watching tells again and again, goes on while the server is away, and ends
// without a failure when it is interrupted.
func TestWatch(t *testing.T) {
	now := time.Now()
	watch := func(v view, answers ...error) (string, error) {
		var out bytes.Buffer
		v.out = &out
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		i := -1
		err := v.watch(ctx, func(context.Context) (control.Status, error) {
			if i++; i == len(answers) {
				cancel()
				return control.Status{}, ctx.Err()
			}
			return control.Status{PID: i + 1, Nodes: nodesAt(now)}, answers[i]
		}, time.Millisecond)
		return out.String(), err
	}
	gone := errors.New("the server is gone")
	if out, err := watch(view{}, gone); out != "" || !errors.Is(err, gone) {
		t.Errorf("a server that is not there: %q %v", out, err)
	}
	out, err := watch(view{}, nil, gone, nil)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	const line = " 0.0 queries a second; targets: 70 up, 1 down, 0 unknown, 1 not probed, 1 damped; 2 drains; 1 of 2 steered names not all well"
	if err != nil || len(lines) != 3 || !strings.HasSuffix(lines[0], line) || !strings.HasSuffix(lines[1], " the server is gone") || !strings.HasSuffix(lines[2], line) {
		t.Errorf("lines: %v\n%s", err, out)
	}
	out, err = watch(view{json: true}, nil, nil)
	d := json.NewDecoder(strings.NewReader(out))
	for i := range 2 {
		var st control.Status
		if e := d.Decode(&st); e != nil || st.PID != i+1 || err != nil {
			t.Errorf("JSON: %v %v %+v", err, e, st.PID)
		}
	}
	if strings.Count(out, "\n") != 2 {
		t.Errorf("JSON takes several lines:\n%s", out)
	}
	out, err = watch(view{terminal: true}, nil, gone)
	if err != nil || strings.Count(out, "\x1b[H\x1b[2J") != 2 || !strings.Contains(out, "TARGET ") || !strings.HasSuffix(out, " the server is gone\n") {
		t.Errorf("terminal: %v\n%q", err, out)
	}
}

// Of a great many names few are kept while they are sorted, and the right ones.
func TestNames(t *testing.T) {
	n := names{limit: 10}
	for i := range 1000 {
		n.add(control.Name{Zone: "z.", Name: fmt.Sprintf("n%03d.", (i*617)%1000)})
		if len(n.list) > 20 {
			t.Fatalf("%d are kept", len(n.list))
		}
	}
	for i, x := range n.first() {
		if x.Name != fmt.Sprintf("n%03d.", i) {
			t.Errorf("%d is %s", i, x.Name)
		}
	}
	if len(n.list) != 10 {
		t.Errorf("%d are kept, want 10", len(n.list))
	}
}
