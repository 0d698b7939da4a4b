package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/transfer/converge"
)

var peersNow = time.Unix(1_800_000_000, 0).UTC()

// watched is one secondary of each kind.
func watched() converge.Status {
	addr := func(i byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 53) }
	ago := func(d time.Duration) time.Time { return peersNow.Add(-d) }
	a, b := []byte("\x01a\x07example\x00"), []byte("\x01b\x07example\x00")
	return converge.Status{Pairs: 12, Sweep: 5 * time.Minute, Peers: []converge.PeerStatus{
		{
			Addr: addr(1), Zones: 3, InSync: 1, Behind: 2, Lag: 90 * time.Second, Error: "b.example. it answers SERVFAIL", Errors: 7,
			Took: 300 * time.Millisecond, ConvergedAt: ago(time.Hour), P50: 100 * time.Millisecond, P99: 2 * time.Minute, Samples: 9,
			Counts: make([]uint64, 14), Sum: time.Second, ListAll: 4,
			List: []converge.ZoneStatus{
				{Apex: a, State: converge.Behind, Known: true, Serial: 1<<32 - 1, Ours: 5, Since: ago(90 * time.Second)},
				{Apex: b, State: converge.Missing, Ours: 6, Since: ago(3 * time.Second), Error: "it answers \x1bSERVFAIL"},
			},
		},
		{Addr: addr(2), Zones: 3, InSync: 3, Silent: ago(2 * time.Minute), Error: "no answer from 192.0.2.2:53"},
		{Addr: addr(3), Zones: 3, InSync: 2, Ahead: 1, ListAll: 1, List: []converge.ZoneStatus{{Apex: a, State: converge.Ahead, Known: true, Serial: 9, Ours: 5, Since: ago(time.Minute)}}},
		{Addr: addr(4), Zones: 3, InSync: 3, Took: 100 * time.Millisecond, ConvergedAt: ago(time.Minute), Samples: 1},
		{Addr: addr(5), Zones: 1, Unknown: 1, ListAll: 1, List: []converge.ZoneStatus{{Apex: a, State: converge.Unknown, Ours: 5}}},
	}}
}

func TestPeersText(t *testing.T) {
	s := watched()
	p := peersOf(&s)
	var out bytes.Buffer
	if err := peersText(&out, &p, peersNow, false); err != nil {
		t.Fatal(err)
	}
	want := `SECONDARY     ZONES  IN SYNC  BEHIND  LAG    LAST TOOK        P50   P99   STATE
192.0.2.1:53  3      1        2       1m30s  0.3s, 1h0m ago   0.1s  2m0s  behind
192.0.2.2:53  3      3        0       -      -                -     -     silent for 2m0s
192.0.2.3:53  3      2        0       -      -                -     -     1 ahead
192.0.2.4:53  3      3        0       -      0.1s, 1m0s ago   0.0s  0.0s  in sync
192.0.2.5:53  1      0        0       -      -                -     -     1 not known yet

192.0.2.1:53:
! a.example.: it has 4294967295, here is 5; behind for 1m30s
! b.example.: it has no copy, for 3s; it answers ?SERVFAIL
and 2 more zones; --all lists them

192.0.2.2:53:
! no answer from 192.0.2.2:53

192.0.2.3:53:
! a.example.: it has 9, which is newer than 5 here, for 1m0s; it takes nothing from here until our serial is beyond that: raise it, or have the zone transferred anew there

192.0.2.5:53:
! a.example.: what it has is not known

12 copies are watched; each is asked at least once in 5m0s
`
	if got := strings.Join(strings.Fields(out.String()), " "); got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("printed\n%s", &out)
	}
	out.Reset()
	if err := peersText(&out, &control.Peers{}, peersNow, false); err != nil || !strings.Contains(out.String(), "no secondaries: transfer.notify") {
		t.Errorf("%v %s", err, &out)
	}
}

// The states of both sides are the same words.
func TestPeerStates(t *testing.T) {
	for state, want := range []string{control.PeerInSync, control.PeerBehind, control.PeerMissing, control.PeerAhead, control.PeerUnknown} {
		if got := converge.State(state).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Who is behind or silent for more than a minute makes it a failure.
func TestPeersLate(t *testing.T) {
	for _, tt := range []struct {
		peer control.Peer
		want bool
	}{
		{control.Peer{Behind: 1, LagSeconds: 59}, false},
		{control.Peer{Behind: 1, LagSeconds: 61}, true},
		{control.Peer{Silent: peersNow.Add(-59 * time.Second)}, false},
		{control.Peer{Silent: peersNow.Add(-61 * time.Second)}, true},
		{control.Peer{Ahead: 1, Unknown: 1, Error: "x"}, false},
	} {
		if got := peersLate(&control.Peers{Peers: []control.Peer{{}, tt.peer}}, peersNow); got != tt.want {
			t.Errorf("%+v: %v", tt.peer, got)
		}
	}
}

func TestPeerMetrics(t *testing.T) {
	s := watched()
	m := peerMetrics(&s, 5)
	want := []metrics.Count{{Label: "in-sync", N: 1}, {Label: "behind", N: 2}, {Label: "silent", N: 1}, {Label: "unknown", N: 1}}
	if !slices.Equal(m.States, want) || len(m.List) != 5 {
		t.Errorf("%+v", m)
	}
	if one := m.List[0]; one.Address != "192.0.2.1:53" || one.Behind != 2 || one.Lag != 90 || one.Errors != 7 || one.Convergence.Sum != 1 {
		t.Errorf("%+v", one)
	}
	for _, one := range m.List {
		if h := one.Convergence; len(h.Counts) != len(h.Bounds)+1 {
			t.Errorf("%s: %d buckets for %d bounds", one.Address, len(h.Counts), len(h.Bounds))
		}
	}
	if m := peerMetrics(&s, 4); m.List != nil || !slices.Equal(m.States, want) {
		t.Errorf("more than the limit: %+v", m)
	}
}

// A Watcher is read as it is; lists end, unless all is asked for.
func TestPeersReaders(t *testing.T) {
	w := converge.New(converge.Options{Peers: func([]byte) []converge.Peer {
		return []converge.Peer{{Addr: netip.MustParseAddrPort("[2001:db8::1]:53")}}
	}})
	for i := range byte(30) {
		w.Published([]byte{1, 'a' + i, 0}, 7)
	}
	read := peersReader(w)
	for all, want := range map[bool]int{false: maxPeerZones, true: 30} {
		p := read(all)
		if one := p.Peers[0]; one.Address != "[2001:db8::1]:53" || one.Unknown != 30 || len(one.List) != want || one.ListAll != 30 || one.List[0].Serial != nil {
			t.Errorf("all %v: %+v", all, p)
		}
	}
	if m := peerMetricsReader(w)(5); len(m.List) != 1 || m.States[3].N != 1 {
		t.Errorf("%+v", m)
	}
}

// The command asks the server that runs, and its exit code says whether all is well.
func TestPeersCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	state := watched()
	state.Peers = state.Peers[2:]
	var asked []bool
	s, err := control.Listen(path, control.Handlers{
		Peers: func(all bool) control.Peers { asked = append(asked, all); return peersOf(&state) },
		Log:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	defer func() { _ = s.Shutdown(t.Context()) }()
	do := func(code int, args ...string) string {
		t.Helper()
		var out, stderr bytes.Buffer
		if got := run(append([]string{"status", "--socket", path}, args...), &out, &stderr); got != code {
			t.Errorf("%v: code %d, want %d: %s", args, got, code, &stderr)
		}
		return out.String() + stderr.String()
	}
	if out := do(exitOK, "--peers"); !strings.Contains(out, "192.0.2.4:53  3") {
		t.Errorf("printed\n%s", out)
	}
	state.Peers = append(state.Peers, watched().Peers[0])
	if out := do(exitFailure, "--peers", "--all"); !strings.Contains(out, "it has 4294967295, here is 5") {
		t.Errorf("printed\n%s", out)
	}
	var got control.Peers
	if err := json.Unmarshal([]byte(do(exitFailure, "--peers", "-o", "json")), &got); err != nil || len(got.Peers) != 4 || *got.Peers[3].List[0].Serial != 1<<32-1 {
		t.Errorf("%v %+v", err, got)
	}
	if want := []bool{false, true, false}; !slices.Equal(asked, want) {
		t.Errorf("all: %v, want %v", asked, want)
	}
	if out := do(exitUsage, "--peers", "--watch"); !strings.Contains(out, "watch -n 1 geodns status --peers") {
		t.Error(out)
	}
}
