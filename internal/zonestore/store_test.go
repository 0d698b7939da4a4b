package zonestore

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

var compare = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreUnexported(State{}), cmpopts.EquateEmpty()}

// logged is what a store logs, for a test to read.
type logged struct{ bytes.Buffer }

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&l.Buffer, nil)) }

func mustOpen(t testing.TB, path string, log *logged) *Store {
	t.Helper()
	s, err := open(path, log.logger(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds fails unless a store holds these.
func holds(t *testing.T, s *Store, verdicts []Verdict, states []State) {
	t.Helper()
	gotVerdicts, err := s.Verdicts()
	must(t, err)
	if d := cmp.Diff(verdicts, gotVerdicts, compare); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
	gotStates, err := s.States()
	must(t, err)
	if d := cmp.Diff(states, gotStates, compare); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
}

var day = time.Date(2026, 11, 20, 14, 0, 0, 123456000, time.UTC)

func sampleVerdicts() []Verdict {
	const http, smtp = "v=check1; type=http; port=80", "v=check1; type=smtp"
	return []Verdict{
		{Addr: netip.MustParseAddr("192.0.2.10"), Check: http, State: 1, Since: day, Seen: day.Add(time.Hour)},
		{Addr: netip.MustParseAddr("2001:db8::10"), Check: http, State: 2, Since: day, Seen: day, Turned: day, Damping: 3},
		{Addr: netip.MustParseAddr("192.0.2.25"), Check: smtp},
	}
}

func sampleStates() []State {
	return []State{
		{Key: Key{"", "node", "192.0.2.10", "drain"}, From: day, Until: day.Add(time.Hour), Reason: "new disks; \"urgent\"", By: "ann"},
		{Key: Key{"cluster.example.", "rule", "db.cluster.example.", "active"}, Value: "nyc", By: "bob"},
		{Key: Key{"cluster.example.", "site", "lon", "drain"}, Until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	}
}

// fill writes the samples.
func fill(t testing.TB, s *Store) {
	t.Helper()
	must(t, s.SetVerdicts(sampleVerdicts()))
	for _, state := range sampleStates() {
		must(t, s.PutState(state))
	}
}

func TestRestart(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "state", "deeper", "geodns.db")
	s := mustOpen(t, path, &log)
	holds(t, s, nil, nil)
	fill(t, s)
	mustClose(t, s)

	s = mustOpen(t, path, &log)
	holds(t, s, sampleVerdicts(), sampleStates())
	// Replaced and forgotten, but for what was never there.
	changed := sampleStates()
	changed[1].Value = "lon"
	must(t, s.PutState(changed[1]))
	must(t, s.DeleteState(changed[2].Key))
	must(t, s.DeleteState(Key{"other.example.", "site", "lon", "drain"}))
	must(t, s.SetVerdicts(sampleVerdicts()[:1]))
	mustClose(t, s)

	s = mustOpen(t, path, &log)
	holds(t, s, sampleVerdicts()[:1], changed[:2])
	mustClose(t, s)

	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("there are %v, %v", names, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// A store equals a map and a list, whatever is done to it.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		var log logged
		path := filepath.Join(dir, fmt.Sprint(runs), "geodns.db")
		reopen := func() *Store {
			s := mustOpen(t, path, &log)
			// Nothing here ends the process, so that nothing need be on the disk.
			s.db.NoSync = true
			return s
		}
		s := reopen()
		defer func() { mustClose(t, s) }()
		states := map[Key]State{}
		var verdicts []Verdict
		key := rapid.Custom(func(t *rapid.T) Key {
			word := rapid.SampledFrom([]string{"a", "b", "ab"})
			return Key{rapid.SampledFrom([]string{"", "a.", "b."}).Draw(t, "zone"), word.Draw(t, "subject"), word.Draw(t, "name"), word.Draw(t, "kind")}
		})
		when := rapid.Custom(func(t *rapid.T) time.Time {
			if n := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "time"); n != 0 {
				return time.UnixMicro(n).UTC()
			}
			return time.Time{}
		})
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				state := State{Key: key.Draw(rt, "key"), Value: rapid.String().Draw(rt, "value"), From: when.Draw(rt, "from"), Until: when.Draw(rt, "until"), Reason: rapid.String().Draw(rt, "reason")}
				must(t, s.PutState(state))
				states[state.Key] = state
			},
			"delete": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				must(t, s.DeleteState(k))
				delete(states, k)
			},
			"verdicts": func(rt *rapid.T) {
				verdicts = nil
				for range rapid.IntRange(0, 20).Draw(rt, "count") {
					verdicts = append(verdicts, Verdict{
						Addr:  netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(rt, "address")}),
						Check: rapid.SampledFrom([]string{"a", "b", ""}).Draw(rt, "check"),
						State: rapid.Byte().Draw(rt, "state"), Since: when.Draw(rt, "since"), Damping: rapid.Byte().Draw(rt, "damping"),
					})
				}
				must(t, s.SetVerdicts(verdicts))
			},
			"reopen": func(*rapid.T) {
				mustClose(t, s)
				s = reopen()
			},
			"": func(*rapid.T) {
				var want []State
				for _, state := range states {
					i, _ := find(want, state.Key)
					want = append(want[:i], append([]State{state}, want[i:]...)...)
				}
				holds(t, s, verdicts, want)
				if t.Failed() || log.Len() > 0 {
					rt.Fatalf("logged: %s", log.String())
				}
			},
		})
	})
}

// Nobody waits for another longer than a transaction takes, and no change is
// lost.
func TestConcurrent(t *testing.T) {
	var log logged
	s := mustOpen(t, filepath.Join(t.TempDir(), "geodns.db"), &log)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for i := range 8 {
				if err := s.PutState(State{Key: Key{"", "node", fmt.Sprintf("%d-%d", n, i), "drain"}}); err != nil {
					t.Error(err)
				}
				if _, err := s.States(); err != nil {
					t.Error(err)
				}
				if err := s.SetVerdicts(sampleVerdicts()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if states, err := s.States(); err != nil || len(states) != 64 {
		t.Errorf("%d commands, %v", len(states), err)
	}
	mustClose(t, s)
	if err := s.PutState(sampleStates()[0]); err == nil {
		t.Error("a store that is closed takes commands")
	}
}

// What can't be kept is refused, and what was there stays.
func TestBounds(t *testing.T) {
	var log logged
	s := mustOpen(t, filepath.Join(t.TempDir(), "geodns.db"), &log)
	defer s.Close()
	fill(t, s)
	addr := netip.MustParseAddr("192.0.2.1")
	many := make([]Verdict, maxVerdicts+1)
	large := make([]Verdict, 40)
	for i := range many {
		many[i].Addr = addr
	}
	for i := range large {
		large[i] = Verdict{Addr: addr, Check: strings.Repeat("x", 1<<20) + fmt.Sprint(i)}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no address", s.SetVerdicts([]Verdict{{}}), "needs an address without a zone"},
		{"zone", s.SetVerdicts([]Verdict{{Addr: netip.MustParseAddr("fe80::1%eth0")}}), "fe80::1%eth0 cannot be kept"},
		{"many verdicts", s.SetVerdicts(many), "there are 262145 verdicts"},
		{"large verdicts", s.SetVerdicts(large), "more than 33554432 octets"},
		{"no name", s.PutState(State{Key: Key{"", "site", "", "drain"}}), "needs a name"},
		{"no kind", s.PutState(State{Key: Key{"", "site", "lon", ""}}), "needs a name"},
		{"no subject", s.PutState(State{Key: Key{"", "", "lon", "drain"}}), "needs a name"},
		{"long reason", s.PutState(State{Key: Key{"", "site", "lon", "drain"}, Reason: strings.Repeat("x", maxField+1)}), "shorten it to 1024"},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: error %.200v, want one that says %q", tt.name, tt.err, tt.want)
		}
	}
	holds(t, s, sampleVerdicts(), sampleStates())

	must(t, s.update(func(tx *bolt.Tx) error {
		all := make([]State, maxStates)
		for i := range all {
			all[i].Key = Key{"", "node", fmt.Sprintf("%06d", i), "drain"}
		}
		return put(tx, bucketState, keyAll, encodeStates(all))
	}))
	if err := s.PutState(sampleStates()[1]); err == nil || !strings.Contains(err.Error(), "lift some") {
		t.Errorf("one command too many: %v", err)
	}
	if err := s.PutState(State{Key: Key{"", "node", "000007", "drain"}, By: "ann"}); err != nil {
		t.Errorf("a command that is replaced: %v", err)
	}
}

// The size of the file is bounded: what would make it larger is refused.
func TestFileIsBounded(t *testing.T) {
	var log logged
	s := mustOpen(t, filepath.Join(t.TempDir(), "geodns.db"), &log)
	defer s.Close()
	if s.db.MaxSize != maxFile {
		t.Errorf("the file may have %d octets", s.db.MaxSize)
	}
	fill(t, s)
	s.db.MaxSize = 1 << 16
	large := State{Key: Key{"", "node", "x", "drain"}, Reason: strings.Repeat("x", maxField)}
	var err error
	n := 0
	for ; err == nil && n < 200; n++ {
		large.Name = fmt.Sprintf("x%03d", n)
		err = s.PutState(large)
	}
	if err == nil || !strings.Contains(err.Error(), "the most that it may have") {
		t.Fatalf("after %d: %v", n, err)
	}
	if states, err := s.States(); err != nil || len(states) != n-1+len(sampleStates()) {
		t.Errorf("%d commands after %d were taken, %v", len(states), n-1, err)
	}
	// With room again, it goes on.
	s.db.MaxSize = maxFile
	for i := range n {
		large.Name = fmt.Sprintf("x%03d", i)
		must(t, s.DeleteState(large.Key))
	}
	holds(t, s, sampleVerdicts(), sampleStates())
}

// writeRaw changes a closed store behind its back.
func writeRaw(t *testing.T, path string, f func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, fileMode, nil)
	must(t, err)
	must(t, db.Update(f))
	must(t, db.Close())
}

func TestLayouts(t *testing.T) {
	layout := func(text string) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error { return put(tx, bucketMeta, keyLayout, []byte(text)) }
	}
	t.Run("newer major", func(t *testing.T) {
		var log logged
		path := filepath.Join(t.TempDir(), "geodns.db")
		s := mustOpen(t, path, &log)
		fill(t, s)
		mustClose(t, s)
		writeRaw(t, path, layout("2.0"))
		before, err := os.ReadFile(path)
		must(t, err)
		_, err = open(path, log.logger(), 0)
		if err == nil || !strings.Contains(err.Error(), "it has layout 2.0, of a newer release; this one knows layout 1.1") {
			t.Errorf("error %v", err)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(before, after) || log.Len() > 0 {
			t.Errorf("it was not left as it is: %v, %s", err, log.String())
		}
	})
	// A file that the first release wrote is used as it is, and takes zones.
	t.Run("older minor", func(t *testing.T) {
		var log logged
		path := filepath.Join(t.TempDir(), "geodns.db")
		packed, err := os.Open(filepath.Join("testdata", "layout-1.0.db.gz"))
		must(t, err)
		defer packed.Close()
		unpacked, err := gzip.NewReader(packed)
		must(t, err)
		file, err := io.ReadAll(unpacked)
		must(t, err)
		must(t, os.WriteFile(path, file, fileMode))
		for range 2 {
			s := mustOpen(t, path, &log)
			holds(t, s, sampleVerdicts(), sampleStates())
			if _, err := s.Zone(sampleApex); err != nil {
				fillZones(t, s)
			}
			must(t, holdsZones(t, s, "1.0"))
			mustClose(t, s)
		}
		writeRaw(t, path, func(tx *bolt.Tx) error {
			if text, err := get(tx, bucketMeta, keyLayout); err != nil || string(text) != "1.1" {
				t.Errorf("%q, %v", text, err)
			}
			return nil
		})
		if log.Len() > 0 {
			t.Errorf("logged: %s", log.String())
		}
	})
	// What a newer release added is left there, by this one's changes too.
	t.Run("newer minor", func(t *testing.T) {
		var log logged
		path := filepath.Join(t.TempDir(), "geodns.db")
		s := mustOpen(t, path, &log)
		fill(t, s)
		mustClose(t, s)
		newer := func(tx *bolt.Tx) error {
			states, err := readStates(tx)
			if err != nil {
				return err
			}
			states[0].newer = []byte("newer field")
			if err := put(tx, bucketState, keyAll, encodeStates(states)); err != nil {
				return err
			}
			if err := put(tx, "journals", "a.example.", []byte("newer bucket")); err != nil {
				return err
			}
			return layout("1.7")(tx)
		}
		writeRaw(t, path, newer)
		s = mustOpen(t, path, &log)
		holds(t, s, sampleVerdicts(), sampleStates())
		must(t, s.PutState(State{Key: Key{"", "site", "nyc", "drain"}}))
		must(t, s.SetVerdicts(nil))
		mustClose(t, s)
		writeRaw(t, path, func(tx *bolt.Tx) error {
			states, err := readStates(tx)
			if err != nil || len(states) != 4 || string(states[0].newer) != "newer field" {
				t.Errorf("%+v, %v", states, err)
			}
			if journal, err := get(tx, "journals", "a.example."); err != nil || string(journal) != "newer bucket" {
				t.Errorf("%q, %v", journal, err)
			}
			if text, err := get(tx, bucketMeta, keyLayout); err != nil || string(text) != "1.7" {
				t.Errorf("%q, %v", text, err)
			}
			return nil
		})
		if log.Len() > 0 {
			t.Errorf("logged: %s", log.String())
		}
	})
}

// What is no store is not taken for a damaged one.
func TestNotAStore(t *testing.T) {
	dir := t.TempDir()
	others := filepath.Join(dir, "others.db")
	writeRaw(t, others, func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("others"))
		return err
	})
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	tests := []struct{ path, want string }{
		{others, "it is a bbolt database of another program"},
		{dir, "it is not a file"},
		{"/dev/null", "it is not a file"},
		{filepath.Join(dir, "file", "geodns.db"), "cannot make the directory of the store"},
		{"/proc/geodns.db", "cannot use the store /proc/geodns.db: open /proc/geodns.db.new: "},
	}
	for _, tt := range tests {
		var log logged
		if _, err := open(tt.path, log.logger(), 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", tt.path, err, tt.want)
		}
		if log.Len() > 0 {
			t.Errorf("%s: logged: %s", tt.path, log.String())
		}
	}
}

func TestLocked(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	s := mustOpen(t, path, &log)
	fill(t, s)
	// It does have a file of its own, however often it was opened.
	_, err := open(path, log.logger(), 0)
	if err == nil || !strings.Contains(err.Error(), "it is in use by ") {
		t.Errorf("opened twice: %v", err)
	}
	if who := holder(s.file); strings.Contains(who, "pid") && !strings.Contains(who, fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("the holder is %s; this is %d", who, os.Getpid())
	}
	// Whoever waits gets it as soon as it is free.
	opened := make(chan error)
	var waiting *Store
	go func() {
		var err error
		waiting, err = open(path, (&logged{}).logger(), time.Minute)
		opened <- err
	}()
	mustClose(t, s)
	must(t, <-opened)
	holds(t, waiting, sampleVerdicts(), sampleStates())
	mustClose(t, waiting)
}

func TestLockOwner(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  READ  77 00:19:5678 0 EOF
2: FLOCK  ADVISORY  WRITE 12 fe:00:15678 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 fe:00:5678 0 EOF
3: FLOCK  ADVISORY  WRITE -1 fe:00:5678 0 EOF
3: FLOCK  ADVISORY  WRITE
4: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
`
	for inode, want := range map[uint64]int{5678: 1234, 15678: 12, 678: 0} {
		if got := lockOwner(locks, inode); got != want {
			t.Errorf("inode %d: %d, want %d", inode, got, want)
		}
	}
}

// Whatever a blob holds, decoding ends, and what was decoded encodes to what
// decodes to the same.
func FuzzDecode(f *testing.F) {
	verdicts, err := encodeVerdicts(sampleVerdicts())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(verdicts)
	f.Add(encodeStates(sampleStates()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if all, err := decodeVerdicts(payload); err == nil {
			again, err := encodeVerdicts(all)
			must(t, err)
			got, err := decodeVerdicts(again)
			if d := cmp.Diff(all, got, compare); err != nil || d != "" {
				t.Errorf("%v, %s", err, d)
			}
		} else if !isDamage(err) {
			t.Error(err)
		}
		if all, err := decodeStates(payload); err == nil {
			got, err := decodeStates(encodeStates(all))
			if d := cmp.Diff(all, got, cmp.AllowUnexported(State{})); err != nil || d != "" {
				t.Errorf("%v, %s", err, d)
			}
		} else if !isDamage(err) {
			t.Error(err)
		}
	})
}
