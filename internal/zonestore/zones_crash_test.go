package zonestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"geodns/internal/wire"
)

const (
	crashZones = 4
	// crashWindow is how many hosts a zone has, as far as its serial goes.
	crashWindow = 40
	// crashFiller makes the first zone so large that it is staged: octets.
	crashFiller = 5 << 20
)

func crashZone(i int) []byte { return name(fmt.Sprintf("z%d.example.", i)) }

// atSerial is what one of the zones consists of at a serial: each version has
// another host, and has lost the oldest.
func atSerial(i int, serial uint32) Records {
	apex := crashZone(i)
	return func(yield func(*wire.RR) error) error {
		soa := soaOf(apex, serial)
		err := yield(&soa)
		for n := serial - min(serial, crashWindow); n < serial && err == nil; n++ {
			rr := hostOf(apex, n)
			err = yield(&rr)
		}
		if i > 0 {
			return err
		}
		rr := wire.RR{Owner: apex, Type: 65280, Data: make([]byte, 32<<10)}
		for n := 0; n < crashFiller && err == nil; n += len(rr.Data) {
			rr.TTL = uint32(n)
			err = yield(&rr)
		}
		return err
	}
}

// nextSerial leads from a serial to the next.
func nextSerial(i int, serial uint32) *Change {
	apex := crashZone(i)
	c := step(apex, serial, 1)
	if serial >= crashWindow {
		c.Del = append(c.Del, hostOf(apex, serial-crashWindow))
	}
	return c
}

// changeZones changes zones for ever, all of them at once, and says after each
// change which zone has which serial.
func changeZones(path string, log *slog.Logger) error {
	s, err := Open(path, log)
	if err != nil {
		return err
	}
	s.SetLimits(Limits{Changes: 100})
	failed := make(chan error)
	for i := range crashZones {
		go func() { failed <- changeZone(s, i) }()
	}
	return <-failed
}

func changeZone(s *Store, i int) error {
	apex := crashZone(i)
	serial := uint32(0)
	z, err := s.Zone(apex)
	switch {
	case err == nil:
		serial = z.Newest.Serial
	case !errors.Is(err, ErrNotThere):
		return err
	}
	for n := 0; ; n++ {
		switch what := rand.IntN(100); {
		case serial == 0 || what == 0:
			err = s.PutContent(apex, Current, Version{Serial: serial + 10}, Hash{}, atSerial(i, serial+10))
			serial += 10
		case what < 4:
			err = s.Compact(apex, atSerial(i, serial-min(serial-1, rand.Uint32N(3))))
			if errors.Is(err, ErrNotThere) {
				// It was not there at that serial.
				err = nil
			}
		case what < 8:
			err = s.Append(apex, nextSerial(i, serial), nextSerial(i, serial+1), nextSerial(i, serial+2))
			serial += 3
		default:
			err = s.Append(apex, nextSerial(i, serial))
			serial++
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%d %d\n", i, serial); err != nil {
			return err
		}
	}
}

// killAtRandom kills a child at a random moment, and returns the last serial that
// it said to be done of each zone.
func killAtRandom(t *testing.T, path string) map[int]uint32 {
	t.Helper()
	c, out, errs := startChild(t, "zones", path)
	wait := time.Duration(rand.Int64N(int64(120 * time.Millisecond)))
	kill := time.AfterFunc(wait, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	text, err := io.ReadAll(out)
	must(t, err)
	if err := c.Wait(); errs.Len() > 0 || c.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v, %s", err, errs)
	}
	done := map[int]uint32{}
	// The last line may be half there.
	for line := range strings.Lines(string(text)) {
		var i int
		var serial uint32
		if n, _ := fmt.Sscanf(line, "%d %d\n", &i, &serial); n == 2 && strings.HasSuffix(line, "\n") {
			done[i] = serial
		}
	}
	return done
}

// crashesVariable makes tests longer: how often a child is killed.
const crashesVariable = "GEODNS_TEST_CRASHES"

func crashes(t *testing.T) int {
	text := os.Getenv(crashesVariable)
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// A process that dies while it changes zones loses no change that it said was
// done, and leaves none half there: what is loaded is the zone at that serial, or
// that of the next change, and the journal leads to it.
func TestKilledWhileChangingZones(t *testing.T) {
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	kept := map[int]uint32{}
	staged, seen := 0, 0
	for range crashes(t) {
		maps.Copy(kept, killAtRandom(t, path))
		if n := strandedIn(t, path); n > 0 {
			staged++
		}
		s := mustOpen(t, path, &log)
		for i := range crashZones {
			z, err := s.Zone(crashZone(i))
			if errors.Is(err, ErrNotThere) && kept[i] == 0 {
				continue
			}
			must(t, err)
			seen++
			// The first contents, or a jump, may have been under way.
			if got := z.Newest.Serial; got < kept[i] || got > kept[i]+10 {
				t.Errorf("zone %d has serial %d; %d was done", i, got, kept[i])
			}
			kept[i] = z.Newest.Serial
			checkZone(t, s, i, &z)
		}
		tidy(t, s)
		mustClose(t, s)
	}
	t.Logf("%d zones looked at, %d times something was staged", seen, staged)
	if seen == 0 || log.Len() > 0 {
		t.Errorf("%d zones looked at, logged: %s", seen, log.String())
	}
}

// strandedIn counts the generations in a file to which nothing leads.
func strandedIn(t *testing.T, path string) (n int) {
	t.Helper()
	s := newStore(path, (&logged{}).logger())
	defer s.abandon()
	if _, err := s.load(0); err != nil {
		// There may be no file yet.
		return 0
	}
	there, used := generationsIn(t, s)
	for gen := range there {
		if !used[gen] {
			n++
		}
	}
	return n
}

// checkZone compares what is kept of a zone with what it should be at its serial.
func checkZone(t *testing.T, s *Store, i int, z *ZoneInfo) {
	t.Helper()
	have := map[string]bool{}
	key := func(rr *wire.RR) string {
		return fmt.Sprint(rr.Owner, rr.Type, rr.TTL) + string(rr.Data)
	}
	change := func(list []wire.RR, add bool) {
		for i := range list {
			k := key(&list[i])
			if have[k] == add {
				t.Errorf("a record goes that isn't there, or comes that is: %v", list[i])
			}
			if have[k] = add; !add {
				delete(have, k)
			}
		}
	}
	_, err := s.Load(z.Apex, func(rr *wire.RR) error { have[key(rr)] = true; return nil },
		func(c *Change) error { change(c.Del, false); change(c.Add, true); return nil })
	must(t, err)
	want := map[string]bool{}
	must(t, atSerial(i, z.Newest.Serial)(func(rr *wire.RR) error { want[key(rr)] = true; return nil }))
	if !maps.Equal(have, want) {
		t.Errorf("zone %d at serial %d is another: %d records, not %d", i, z.Newest.Serial, len(have), len(want))
	}
	list := serials(t, s, z.Apex, z.Oldest)
	if last := list[len(list)-1]; len(list) != z.Changes+1 || last != z.Newest.Serial {
		t.Errorf("the journal of zone %d has %d changes and ends at %d: %+v", i, len(list)-1, last, z)
	}
}

// fillDisk fills a small disk, in a mount namespace of its own, and tells what
// came of it.
func fillDisk(dir string, log *slog.Logger) error {
	if err := errors.Join(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m")); err != nil {
		return err
	}
	// Of other programs, to be removed later.
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		return err
	}
	path := filepath.Join(dir, "geodns.db")
	s, err := Open(path, log)
	if err != nil {
		return err
	}
	apex, other := name("example.org."), name("example.com.")
	if err := errors.Join(s.PutContent(apex, Current, Version{Serial: 1}, Hash{}, small(apex, 1)), s.Append(apex, step(apex, 1, 1)),
		s.PutContent(other, Current, Version{Serial: 1}, Hash{}, small(other, 1))); err != nil {
		return err
	}
	// Too much at once, in stages; then little by little, by many.
	err = s.PutContent(apex, Current, Version{Serial: 9}, Hash{}, largeZone(apex, 9, 3_000_000))
	fmt.Println("contents:", errors.Is(err, ErrFull), err)
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 23<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("the disk is not full: %w", err)
	}
	serial, err := appendUntilFull(s, apex, 2)
	fmt.Println("changes:", errors.Is(err, ErrFull), err)
	for range 3 {
		if _, err := appendUntilFull(s, apex, serial); !errors.Is(err, ErrFull) {
			return fmt.Errorf("not full any more: %w", err)
		}
	}
	if err := holdsSerial(s, apex, serial); err != nil {
		return err
	}
	// What was refused is not there after a restart either, which a full disk
	// does not prevent.
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(path, log); err != nil {
		return err
	}
	if err := errors.Join(holdsSerial(s, apex, serial), holdsSerial(s, other, 1), os.Remove(ballast)); err != nil {
		return err
	}
	err = errors.Join(s.Append(apex, step(apex, serial, 1)), s.Append(other, step(other, 1, 1)), holdsSerial(s, apex, serial+1),
		s.PutContent(apex, Current, Version{Serial: serial + 9}, Hash{}, small(apex, serial+9)), holdsSerial(s, apex, serial+9), s.Close())
	if err == nil {
		fmt.Println("works again")
	}
	return err
}

// appendUntilFull appends changes from several sides until none is taken; it
// returns the last serial that was.
func appendUntilFull(s *Store, apex []byte, serial uint32) (uint32, error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range 4 {
		group.Go(func() {
			for {
				mu.Lock()
				from, err := serial, failed
				mu.Unlock()
				if err != nil {
					return
				}
				c := step(apex, from, 1)
				c.Add = append(c.Add, wire.RR{Owner: apex, Type: 65280, TTL: from, Data: make([]byte, 10_000)})
				err = s.Append(apex, c)
				mu.Lock()
				if err == nil {
					serial = c.Serial
				} else if !errors.Is(err, ErrNotNext) {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return serial, failed
}

// holdsSerial fails unless a zone can be read, and is at a serial.
func holdsSerial(s *Store, apex []byte, serial uint32) error {
	var soa []byte
	keep := func(list []wire.RR) {
		for i := range list {
			if list[i].Type == wire.TypeSOA {
				soa = bytes.Clone(list[i].Data)
			}
		}
	}
	_, err := s.Load(apex, func(rr *wire.RR) error { keep([]wire.RR{*rr}); return nil }, func(c *Change) error { keep(c.Add); return nil })
	if err != nil {
		return err
	}
	if got, _ := wire.SOASerial(soa); got != serial {
		return fmt.Errorf("%s is at serial %d, not %d", wire.NameString(apex), got, serial)
	}
	return nil
}

// A disk that is full is an error that says so; what was kept stays, and is
// changed again as soon as there is room.
func TestFullDisk(t *testing.T) {
	c := exec.Command(os.Args[0], t.TempDir())
	c.Env = append(os.Environ(), child+"=disk")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	// Neither where it is not allowed, nor below a root that is no mount point.
	if errors.Is(err, unix.EPERM) || bytes.Contains(out, []byte(unix.EPERM.Error())) || bytes.Equal(bytes.TrimSpace(out), []byte(unix.EINVAL.Error())) {
		// TestNoSpace has the like, by a limit of the file's size.
		t.Logf("NOT TESTED: no file system can be mounted here: %v, %s", err, out)
		return
	}
	lines := slices.Collect(strings.Lines(string(out)))
	if err != nil || len(lines) != 3 || lines[2] != "works again\n" {
		t.Fatalf("%v: %s", err, out)
	}
	for i, what := range []string{"contents", "changes"} {
		if !strings.HasPrefix(lines[i], what+": true cannot write ") || !strings.Contains(lines[i], "there is no room on its disk: ") || !strings.Contains(lines[i], "free some room") {
			t.Errorf("%s", lines[i])
		}
	}
}
