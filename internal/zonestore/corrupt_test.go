package zonestore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

// intact are the contents of a store before and after its last transaction: with
// the newest metadata lost, bbolt goes back by one.
type intact struct {
	file     []byte
	verdicts []Verdict
	now      []State
	before   []State
}

// sampleFile makes a store and reads its file. extra writes what a later release
// may have beside.
func sampleFile(t testing.TB, extra func(*bolt.Tx) error) intact {
	t.Helper()
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	s := mustOpen(t, path, &log)
	fill(t, s)
	fillZones(t, s)
	if extra != nil {
		must(t, s.update(extra))
		must(t, s.PutState(sampleStates()[0]))
	}
	now := sampleStates()
	now[1].Value = "after"
	must(t, s.PutState(now[1]))
	mustClose(t, s)
	file, err := os.ReadFile(path)
	must(t, err)
	return intact{file, sampleVerdicts(), now, sampleStates()}
}

var sampleApex = name("a.example.")

// fillZones keeps two zones, one of them with a seed and two changes, and timers.
func fillZones(t testing.TB, s *Store) {
	t.Helper()
	must(t, s.PutContent(sampleApex, Seed, Version{Serial: 4}, Hash{1}, small(sampleApex, 4)))
	must(t, s.PutContent(sampleApex, Current, Version{Serial: 5}, Hash{2}, small(sampleApex, 5)))
	must(t, s.Append(sampleApex, step(sampleApex, 5, 1), step(sampleApex, 6, 1)))
	must(t, s.Begin(name("b.example."), Version{Serial: 1}, Hash{}))
	must(t, s.PutTimers(sampleApex, Timers{Serial: 7, Refresh: day}))
	must(t, s.FlushTimers())
}

// holdsZones returns an error if what fillZones kept can't be read, and fails if
// something else is there.
func holdsZones(t testing.TB, s *Store, what string) error {
	t.Helper()
	var got []wire.RR
	_, err := s.Load(sampleApex, func(rr *wire.RR) error { got = append(got, copied(rr)); return nil },
		func(c *Change) error { got = append(got, c.Add...); return nil })
	if err != nil {
		return err
	}
	want := append(collect(t, small(sampleApex, 5)), append(step(sampleApex, 5, 1).Add, step(sampleApex, 6, 1).Add...)...)
	if !slices.EqualFunc(got, want, equalRR) {
		t.Fatalf("%s: a zone that nobody wrote: %v", what, got)
	}
	c, err := s.Content(sampleApex, Seed, ignoreRecord)
	if err != nil {
		return err
	}
	timers, ok, err := s.Timers(sampleApex)
	if err == nil && !ok {
		err = damagef("no timers")
	}
	if err == nil && (c.Source != Hash{1} || timers.Serial != 7 || !timers.Refresh.Equal(day)) {
		t.Fatalf("%s: the seed is %v, the timers are %v", what, c, timers)
	}
	if err == nil {
		_, err = s.Zone(name("b.example."))
	}
	return err
}

// manyKeys are enough for trees of pages, with values that need several, and a
// bucket in a bucket.
func manyKeys(tx *bolt.Tx) error {
	b, err := tx.CreateBucket([]byte("of a newer release"))
	if err != nil {
		return err
	}
	for i := range 2000 {
		if err := b.Put(fmt.Appendf(nil, "key %05d", i), bytes.Repeat([]byte{byte(i)}, i%300)); err != nil {
			return err
		}
	}
	if err := b.Put([]byte("large"), make([]byte, 100_000)); err != nil {
		return err
	}
	in, err := b.CreateBucket([]byte("nested"))
	if err != nil {
		return err
	}
	return in.Put([]byte("key"), []byte("value"))
}

// try opens a file without making another one, and reports whether it was taken
// for damaged. A file that was not must hold what was written.
func (in *intact) try(t *testing.T, path, what string) (damaged bool) {
	t.Helper()
	var log logged
	s := newStore(path, log.logger())
	defer s.abandon()
	if _, err := s.load(0); err != nil {
		if !isDamage(err) && !errors.Is(err, errEmpty) {
			t.Fatalf("%s: %v", what, err)
		}
		return true
	}
	states, err := s.States()
	must(t, err)
	if cmp.Diff(in.now, states, compare) != "" && cmp.Diff(in.before, states, compare) != "" {
		t.Fatalf("%s: commands that nobody gave: %+v", what, states)
	}
	verdicts, err := s.Verdicts()
	if d := cmp.Diff(in.verdicts, verdicts, compare); err != nil || d != "" {
		t.Fatalf("%s: verdicts that nobody gave: %v, %s", what, err, d)
	}
	// What is kept of zones is looked at when it is read.
	err = holdsZones(t, s, what)
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Fatalf("%s: %v", what, err)
	}
	return err != nil
}

// A bit that is wrong anywhere is found, or makes no difference.
func TestFlippedBits(t *testing.T) {
	tests := []struct {
		name  string
		extra func(*bolt.Tx) error
		flips int // of those that can matter; all in the long run
	}{
		{"a small store", nil, 8000},
		{"a store with other things", manyKeys, 1200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := sampleFile(t, tt.extra)
			bits := in.bits()
			if os.Getenv(crashesVariable) == "" {
				rand.Shuffle(len(bits), func(i, j int) { bits[i], bits[j] = bits[j], bits[i] })
				bits = bits[:tt.flips]
			}
			path := filepath.Join(t.TempDir(), "geodns.db")
			must(t, os.WriteFile(path, in.file, fileMode))
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			defer f.Close()
			damaged := 0
			for _, bit := range bits {
				octet := in.file[bit/8]
				_, err := f.WriteAt([]byte{octet ^ 1<<(bit%8)}, int64(bit/8))
				must(t, err)
				if in.try(t, path, fmt.Sprintf("bit %d of octet %d", bit%8, bit/8)) {
					damaged++
				}
				_, err = f.WriteAt([]byte{octet}, int64(bit/8))
				must(t, err)
			}
			t.Logf("%d of %d flips are damage", damaged, len(bits))
			if damaged < 100 {
				t.Errorf("only %d of %d flips are damage", damaged, len(bits))
			}
		})
	}
}

// bits are those in the pages where there is something, with what lies around:
// pages that were never written are left out.
func (in *intact) bits() []int {
	const block = 64
	var all []int
	for at := 0; at < len(in.file); at += block {
		end := min(at+block, len(in.file))
		if bytes.Equal(in.file[at:end], make([]byte, end-at)) {
			continue
		}
		for bit := at * 8; bit < end*8; bit++ {
			all = append(all, bit)
		}
	}
	return all
}

// A file that ends too early is found, wherever it ends, or makes no difference.
func TestTruncated(t *testing.T) {
	for _, extra := range []func(*bolt.Tx) error{nil, manyKeys} {
		in := sampleFile(t, extra)
		path := filepath.Join(t.TempDir(), "geodns.db")
		step := max(len(in.file)/500, 64)
		damaged := 0
		for size := len(in.file) - 1; size >= 0; size -= step {
			must(t, os.WriteFile(path, in.file[:size], fileMode))
			if in.try(t, path, fmt.Sprintf("%d octets", size)) {
				damaged++
			}
		}
		if damaged < 100 {
			t.Errorf("only %d lengths are damage", damaged)
		}
	}
}

// Octets that are wrong in numbers: noise, zeros, pages that were not written, and
// pages that were written elsewhere.
func TestGarbage(t *testing.T) {
	const page = 4096
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(b []byte) {
		for i := range b {
			b[i] = byte(random.Uint32())
		}
	}
	for _, extra := range []func(*bolt.Tx) error{nil, manyKeys} {
		in := sampleFile(t, extra)
		path := filepath.Join(t.TempDir(), "geodns.db")
		damaged := 0
		for i := range 500 {
			file := bytes.Clone(in.file)
			at := random.IntN(len(file) - page)
			switch i % 5 {
			case 0:
				noise(file[at : at+1+random.IntN(page)])
			case 1:
				clear(file[at : at+1+random.IntN(page)])
			case 2:
				clear(file[at/page*page:][:page])
			case 3:
				copy(file[at/page*page:][:page], in.file[random.IntN(len(file)/page)*page:])
			case 4:
				// Headers and elements alone, which bbolt follows.
				noise(file[at/page*page:][:1+random.IntN(64)])
			}
			must(t, os.WriteFile(path, file, fileMode))
			if in.try(t, path, fmt.Sprintf("garbage %d", i)) {
				damaged++
			}
		}
		if damaged < 100 {
			t.Errorf("only %d files are damage", damaged)
		}
	}
}

// A damaged file is moved aside as it is, and a new one is used, with what was
// intact of the old one.
func TestMovedAside(t *testing.T) {
	in := sampleFile(t, nil)
	// The value of a bucket's last key is changed.
	bad := func(bucket string) []byte {
		path := filepath.Join(t.TempDir(), "geodns.db")
		must(t, os.WriteFile(path, in.file, fileMode))
		writeRaw(t, path, func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			if bucket == bucketMeta {
				blob := bytes.Clone(b.Get([]byte(keyLayout)))
				blob[len(blob)-1] ^= 1
				return b.Put([]byte(keyLayout), blob)
			}
			var key, value []byte
			if err := b.ForEach(func(k, v []byte) error { key, value = k, bytes.Clone(v); return nil }); err != nil {
				return err
			}
			value[len(value)-1] ^= 1
			return b.Put(key, value)
		})
		file, err := os.ReadFile(path)
		must(t, err)
		return file
	}
	tests := []struct {
		name     string
		file     []byte
		verdicts []Verdict
		states   []State
		zones    []string // that are taken over
		logged   []string
	}{
		{"noise", bytes.Repeat([]byte("noise"), 10_000), nil, nil, nil, []string{"it is no database", "verdicts=lost", "commands=lost"}},
		{"one octet", []byte{1}, nil, nil, nil, []string{"it is no database"}},
		{"half", in.file[:len(in.file)/3], nil, nil, nil, []string{"damage="}},
		{"layout", bad(bucketMeta), nil, nil, nil, []string{"the checksum of meta/layout is wrong", "verdicts=lost", "commands=lost"}},
		{"verdicts", bad(bucketVerdicts), nil, in.now, []string{"a", "b"}, []string{"zones=2 lost=0", "the checksum of verdicts/all is wrong", "verdicts=lost", `commands="taken over"`}},
		{"commands", bad(bucketState), in.verdicts, nil, []string{"a", "b"}, []string{"zones=2 lost=0", "the checksum of state/all is wrong", `verdicts="taken over"`, "commands=lost"}},
		// The key of a.example. sorts before that of b.example.
		{"zones", bad(bucketZones), in.verdicts, in.now, []string{"a"}, []string{"the checksum of zones/01620765", "zones=1 lost=1", `verdicts="taken over"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log logged
			path := filepath.Join(t.TempDir(), "geodns.db")
			must(t, os.WriteFile(path, tt.file, fileMode))
			s := mustOpen(t, path, &log)
			holds(t, s, tt.verdicts, tt.states)
			list, err := s.Zones()
			must(t, err)
			var names []string
			for i := range list {
				names = append(names, string(list[i].Apex[1:2]))
			}
			if !slices.Equal(names, tt.zones) {
				t.Errorf("zones %v, not %v", names, tt.zones)
			}
			if slices.Equal(names, []string{"a", "b"}) {
				must(t, holdsZones(t, s, tt.name))
			}
			tidy(t, s)
			fill(t, s)
			fillZones(t, s)
			mustClose(t, s)
			s = mustOpen(t, path, &log)
			must(t, holdsZones(t, s, tt.name))
			mustClose(t, s)
			aside, err := filepath.Glob(path + ".corrupt-*")
			must(t, err)
			if len(aside) != 1 {
				t.Fatalf("moved aside: %v", aside)
			}
			if got, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(got, tt.file) {
				t.Errorf("what was moved aside is something else: %v", err)
			}
			for _, want := range append(tt.logged, "level=ERROR", "THE STORE IS CORRUPTED", aside[0]) {
				if !strings.Contains(log.String(), want) {
					t.Errorf("not logged: %s, in %s", want, log.String())
				}
			}
		})
	}
}

// An empty file is nothing to be afraid of.
func TestEmptyFile(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	must(t, os.WriteFile(path, nil, fileMode))
	s := mustOpen(t, path, &log)
	holds(t, s, nil, nil)
	mustClose(t, s)
	if names, err := filepath.Glob(path + "*"); err != nil || len(names) != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("%v, %v, %s", names, err, log.String())
	}
}

// A file that is cut short while it is in use is an error, not the end of the
// process; the next start begins anew.
func TestCutShortInUse(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	s := mustOpen(t, path, &log)
	must(t, s.update(manyKeys))
	fill(t, s)
	must(t, os.Truncate(path, 8192))
	states, err := s.States()
	if err == nil {
		t.Errorf("commands of a file that has none: %v", states)
	}
	if err := s.PutState(sampleStates()[0]); err == nil {
		t.Error("a file that has been cut short takes commands")
	}
	must(t, s.Close())
	s = mustOpen(t, path, &log)
	holds(t, s, nil, nil)
	mustClose(t, s)
	if !strings.Contains(log.String(), "THE STORE IS CORRUPTED") {
		t.Errorf("logged: %s", log.String())
	}
}

// A page that leads back to itself would end the process in bbolt.
func TestEndlessTree(t *testing.T) {
	in := sampleFile(t, manyKeys)
	path := filepath.Join(t.TempDir(), "geodns.db")
	const page = 4096
	branches := 0
	for at := 2 * page; at < len(in.file); at += page {
		file := bytes.Clone(in.file)
		if number16(file[at+8:]) != pageBranch || number64(file[at:]) != uint64(at/page) {
			continue
		}
		branches++
		copy(file[at+pageHeader+8:], file[at:at+8])
		must(t, os.WriteFile(path, file, fileMode))
		in.try(t, path, fmt.Sprintf("page %d", at/page))
	}
	if branches == 0 {
		t.Error("there are no branches")
	}
}

// Whatever a file is, looking at it ends, and what is taken for sound does not
// lead bbolt astray.
func FuzzVerify(f *testing.F) {
	page := make([]byte, 4*4096)
	f.Add(page, uint16(0))
	in := sampleFile(f, nil)
	path := filepath.Join(f.TempDir(), "geodns.db")
	f.Fuzz(func(t *testing.T, data []byte, at uint16) {
		file := bytes.Clone(in.file)
		copy(file[min(int(at)+2*4096, len(file)):], data)
		must(t, os.WriteFile(path, file, fileMode))
		var log logged
		s := newStore(path, log.logger())
		_, _ = s.load(0)
		s.abandon()
	})
}

// A list of free pages has its length elsewhere when it is long, and pages need
// not be those of this machine.
func TestManyFreePages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "geodns.db")
	db, err := bolt.Open(path, fileMode, &bolt.Options{PageSize: minPageSize, NoSync: true, NoGrowSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucketState))
		if err != nil {
			return err
		}
		return b.Put([]byte("large"), make([]byte, 70_000*minPageSize))
	}))
	must(t, db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucketState)) }))
	must(t, db.Close())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	must(t, verify(f, info.Size()))

	v := &verifier{f: f, size: info.Size()}
	must(t, v.findMeta())
	at := int64(v.freelist)*minPageSize + pageHeader
	list := make([]byte, 16)
	_, err = f.ReadAt(list, at)
	must(t, err)
	if n := number64(list); v.pageSize != minPageSize || n < 0xFFFF {
		t.Fatalf("%d free pages of %d octets", n, v.pageSize)
	}
	for _, tt := range []struct {
		name string
		at   int64
		old  []byte
		bad  []byte
	}{
		{"more than there are pages", at, list[:8], bytes.Repeat([]byte{0xFF}, 8)},
		{"fewer than were written", at, list[:8], make([]byte, 8)},
		{"a page that is none", at + 8, list[8:], bytes.Repeat([]byte{0xFF}, 8)},
		{"a page of metadata", at + 8, list[8:], make([]byte, 8)},
	} {
		_, err := f.WriteAt(tt.bad, tt.at)
		must(t, err)
		// That pages are missing from the list only wastes them.
		if err := verify(f, info.Size()); isDamage(err) != (tt.name != "fewer than were written") {
			t.Errorf("%s: %v", tt.name, err)
		}
		_, err = f.WriteAt(tt.old, tt.at)
		must(t, err)
	}
	must(t, verify(f, info.Size()))
}

// A blob whose checksum is right may still be none of ours.
func TestDecodeDamage(t *testing.T) {
	verdict := func(entry ...byte) []byte {
		return append([]byte{1, 1, 'c', 1, byte(len(entry))}, entry...)
	}
	good := []byte{4, 192, 0, 2, 1, 0, 1, 0, 0, 0, 0}
	if _, err := decodeVerdicts(verdict(good...)); err != nil {
		t.Fatal(err)
	}
	state := func(names ...string) []byte {
		var all []State
		for _, name := range names {
			all = append(all, State{Key: Key{"", "site", name, "drain"}})
		}
		return encodeStates(all)
	}
	tests := []struct {
		name    string
		payload []byte
		decode  func([]byte) error
		want    string
	}{
		{"nothing", nil, verdictsError, "ends too early"},
		{"too many checks", []byte{9, 1, 'c'}, verdictsError, "ends too early"},
		{"a check that is too long", []byte{1, 9, 'c'}, verdictsError, "ends too early"},
		{"too many verdicts", []byte{0, 200, 1}, verdictsError, "ends too early"},
		{"an entry that is too long", []byte{0, 1, 9, 4}, verdictsError, "ends too early"},
		{"an empty entry", verdict(), verdictsError, "ends too early"},
		{"a short address", verdict(4, 192, 0), verdictsError, "ends too early"},
		{"a strange address", verdict(5, 192, 0, 2, 1, 0, 0, 1, 0, 0, 0, 0), verdictsError, "has 5 octets"},
		{"no times", verdict(good[:7]...), verdictsError, "ends too early"},
		{"no such check", verdict(4, 192, 0, 2, 1, 1, 1, 0, 0, 0, 0), verdictsError, "check is not there"},
		{"more behind verdicts", append(verdict(good...), 0), verdictsError, "something stands behind"},
		{"nothing of commands", nil, statesError, "ends too early"},
		{"a short command", []byte{1, 3, 0, 0, 9}, statesError, "ends too early"},
		{"commands out of order", state("b", "a"), statesError, "not in order"},
		{"one command twice", state("a", "a"), statesError, "not in order"},
		{"more behind commands", append(state("a"), 0), statesError, "something stands behind"},
	}
	for _, tt := range tests {
		if err := tt.decode(tt.payload); !isDamage(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.want)
		}
	}
}

func verdictsError(b []byte) error { _, err := decodeVerdicts(b); return err }
func statesError(b []byte) error   { _, err := decodeStates(b); return err }

// A zone of which something is damaged is not used, which is logged once; the
// others are, and it can be kept anew.
func TestDamagedZone(t *testing.T) {
	tests := []struct {
		name, bucket string
		kept         func(s *Store) error // what is wrong
		sound        func(s *Store) error // what is not
	}{
		{
			"contents", bucketContents, func(s *Store) error { _, err := s.LoadZone(sampleApex); return err },
			func(s *Store) error { return s.Journal(sampleApex, 5, ignoreChange) },
		},
		{
			"journal", bucketChanges, func(s *Store) error { return s.Journal(sampleApex, 5, ignoreChange) },
			func(s *Store) error { _, err := s.Content(sampleApex, Current, ignoreRecord); return err },
		},
		{
			"timers", bucketTimers, func(s *Store) error { _, _, err := s.Timers(sampleApex); return err },
			func(s *Store) error { _, err := s.LoadZone(sampleApex); return err },
		},
	}
	for _, tt := range tests {
		for _, how := range []string{"changed", "lost"} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				if tt.name == "timers" && how == "lost" {
					// As if they had never been written.
					return
				}
				var log logged
				path := filepath.Join(t.TempDir(), "geodns.db")
				s := mustOpen(t, path, &log)
				fillZones(t, s)
				mustClose(t, s)
				writeRaw(t, path, func(tx *bolt.Tx) error {
					key, value := tx.Bucket([]byte(tt.bucket)).Cursor().Last()
					if how == "lost" {
						return tx.Bucket([]byte(tt.bucket)).Delete(key)
					}
					value = bytes.Clone(value)
					value[len(value)-1] ^= 1
					return tx.Bucket([]byte(tt.bucket)).Put(key, value)
				})
				s = mustOpen(t, path, &log)
				for range 3 {
					expect(t, "damaged", tt.kept(s), ErrDamaged, "what "+path+" keeps of a.example. is corrupted: ")
				}
				if n := strings.Count(log.String(), "THE STORE IS CORRUPTED"); n != 1 || !strings.Contains(log.String(), "zone=a.example.") {
					t.Errorf("logged %d times: %s", n, log.String())
				}
				must(t, tt.sound(s))
				must(t, s.Append(name("b.example."), step(name("b.example."), 1, 1)))
				must(t, s.Forget(sampleApex))
				must(t, s.Forget(name("b.example.")))
				fillZones(t, s)
				must(t, holdsZones(t, s, tt.name))
				mustClose(t, s)
				s = mustOpen(t, path, &log)
				must(t, holdsZones(t, s, tt.name))
				tidy(t, s)
				mustClose(t, s)
			})
		}
	}
}
