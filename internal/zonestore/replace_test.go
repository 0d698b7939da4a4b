package zonestore

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// Many commands are replaced at once, or none of them.
func TestReplaceStates(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	named := func(i int, value string) State {
		return State{Key: Key{Zone: "example.", Subject: "rule A", Name: fmt.Sprintf("n%04d.", i), Kind: "active"}, Value: value}
	}
	holds := func(want string) {
		t.Helper()
		all, err := s.States()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, x := range all {
			list = append(list, x.Name+x.Value)
		}
		if got := strings.Join(list, " "); got != want {
			t.Errorf("%s are kept, want %s", got, want)
		}
	}
	must(t, s.ReplaceStates([]State{named(2, "b"), named(1, "a"), named(3, "c")}, []Key{named(9, "").Key}))
	holds("n0001.a n0002.b n0003.c")
	must(t, s.ReplaceStates([]State{named(2, "z"), named(4, "d")}, []Key{named(1, "").Key, named(3, "").Key}))
	holds("n0002.z n0004.d")
	if err := s.ReplaceStates([]State{named(5, "e"), {}}, []Key{named(2, "").Key}); err == nil {
		t.Error("a command without a name is kept")
	}
	var many []State
	for i := range maxStates + 1 {
		many = append(many, named(i, "x"))
	}
	if err := s.ReplaceStates(many, nil); err == nil || !strings.Contains(err.Error(), "more than 10000") {
		t.Errorf("too many: %v", err)
	}
	holds("n0002.z n0004.d")
}
