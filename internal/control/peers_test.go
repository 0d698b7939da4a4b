package control

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// How far the secondaries are passes as it is.
func TestPeers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h := handlers(silent())
	serial, at := uint32(1<<32-1), time.Unix(1800000000, 0).UTC()
	want := Peers{Pairs: 3, SweepSeconds: 300, Peers: []Peer{{
		Address: "[2001:db8::1]:53", Zones: 9, InSync: 4, Behind: 2, Ahead: 1, Unknown: 2, LagSeconds: 1.5, Answered: at, Silent: at,
		Error: "e", LastError: "l", LastErrorAt: at, Errors: 7, Convergence: Convergence{0.1, at, 0.2, 0.3, 1000}, ListAll: 40,
		List: []PeerZone{{Zone: "a.", State: PeerBehind, Serial: &serial, Ours: 5, Since: at, Error: "x"}, {Zone: "b.", State: PeerUnknown}},
	}}}
	asked := map[bool]int{}
	h.Peers = func(all bool) Peers { asked[all]++; return want }
	start(t, path, h)
	for _, all := range []bool{false, true} {
		if got, err := NewClient(path).Peers(t.Context(), all); err != nil || cmp.Diff(want, got) != "" || asked[all] != 1 {
			t.Errorf("%v: %v %s", all, err, cmp.Diff(want, got))
		}
	}
}

// A server that watches none says so.
func TestNoPeers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	start(t, path, handlers(silent()))
	if _, err := NewClient(path).Peers(t.Context(), false); err == nil || !strings.Contains(err.Error(), "watches no secondaries") {
		t.Error(err)
	}
}
