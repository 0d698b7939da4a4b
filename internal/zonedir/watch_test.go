package zonedir

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// patience bounds how long a test waits for what has to come.
const patience = 20 * time.Second

// watched is a folder that is being watched.
type watched struct {
	*folder
	w *Watcher
	// batches are those that were received.
	batches []Batch
}

// quick watches with short times, and never looks by itself.
func quick() WatchOptions {
	return WatchOptions{Settle: 20 * time.Millisecond, Sweep: time.Hour, Interval: time.Hour}
}

func (f *folder) watch(o WatchOptions) *watched {
	f.Helper()
	w, err := f.dir.Watch(o)
	f.must(err)
	f.Cleanup(w.Close)
	f.scan(ScanOptions{})
	return &watched{folder: f, w: w}
}

// next receives a batch and scans it.
func (f *watched) next() Batch {
	f.Helper()
	select {
	case b := <-f.w.Batches():
		f.batches = append(f.batches, b)
		results, err := f.dir.ScanSome(b.Names)
		if err != nil {
			f.Log(err) // The directory may be away for a moment.
		}
		f.publish(results)
		return b
	case <-time.After(patience):
		f.Fatalf("no batch came within %v; served are %s; watched %q", patience, f.serials(), f.dir.places.watched())
	}
	return Batch{}
}

// serials are the zones that are served, with their serials.
func (f *folder) serials() string {
	var list []string
	for name, z := range f.served {
		if z == nil {
			list = append(list, name+" broken")
		} else {
			list = append(list, fmt.Sprint(name, " ", z.Serial()))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// until receives batches until these zones are served.
func (f *watched) until(want ...string) {
	f.Helper()
	for f.serials() != strings.Join(want, ", ") {
		f.next()
	}
}

// calm takes the batches that follow from what the watcher found to watch.
func (f *watched) calm() {
	f.Helper()
	for {
		select {
		case b := <-f.w.Batches():
			results, err := f.dir.ScanSome(b.Names)
			f.must(err)
			f.publish(results)
		case <-time.After(100 * time.Millisecond):
			return
		}
	}
}

func TestWatchFiles(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	f.write("b.test.zone", text(1, 1))
	w := f.watch(quick())
	w.until("a.test. 1", "b.test. 1")
	w.calm()
	if how := w.w.How(); !strings.HasPrefix(how, "events") {
		t.Errorf("watched by %s", how)
	}
	w.batches = nil
	f.write("a.test.zone", text(2, 1)) // in place
	w.until("a.test. 2", "b.test. 1")
	f.write(".b.test.zone.tmp", text(2, 1)) // as rsync does
	f.rename(".b.test.zone.tmp", "b.test.zone")
	w.until("a.test. 2", "b.test. 2")
	f.rename("b.test.zone", "b.test.zone~") // as vim does
	f.write("b.test.zone", text(3, 1))
	f.remove("b.test.zone~")
	w.until("a.test. 2", "b.test. 3")
	f.write("c.test.zone", text(1, 1))
	w.until("a.test. 2", "b.test. 3", "c.test. 1")
	f.remove("a.test.zone")
	w.until("b.test. 3", "c.test. 1")
	for _, b := range w.batches {
		if len(b.Names) != 1 || b.Since.IsZero() {
			t.Errorf("batch is %+v, want one name", b)
		}
	}
}

// Files that are no zones, and that none includes, are nobody's business.
func TestWatchIgnores(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	w := f.watch(quick())
	w.calm()
	f.write("4913", "")
	f.write(".a.test.zone.swp", "x")
	f.write("a.test.zone~", "x")
	f.write("../elsewhere.zone", "x")
	f.mkdir("../elsewhere")
	f.remove("4913")
	f.write("a.test.zone", text(2, 1))
	if b := w.next(); !slices.Equal(b.Names, []string{"a.test.zone"}) {
		t.Errorf("batch is %+v", b)
	}
	w.until("a.test. 2")
}

// A burst is one pass.
func TestWatchBurst(t *testing.T) {
	const files = 10_000
	f := newFolder(t)
	o := quick()
	o.Settle, o.Most = 2*time.Second, time.Minute
	w := f.watch(o)
	w.next() // of the start
	w.batches = nil
	for i := range files {
		f.write(fmt.Sprintf("z%d.test.zone", i), text(1, 0))
	}
	for len(f.served) < files {
		w.next()
	}
	if len(w.batches) != 1 {
		t.Errorf("%d batches, want 1", len(w.batches))
	}
}

// What keeps changing is looked at in between.
func TestWatchMost(t *testing.T) {
	f := newFolder(t)
	o := quick()
	o.Settle, o.Most = time.Hour, 50*time.Millisecond
	w := f.watch(o)
	f.write("a.test.zone", text(1, 1))
	w.until("a.test. 1")
}

func TestWatchIncludes(t *testing.T) {
	f := newFolder(t)
	f.mkdir("inc/deep")
	f.write("inc/deep/common.txt", "www A 192.0.2.1\n")
	f.write("a.test.zone", "$INCLUDE inc/deep/soa.txt\n$INCLUDE inc/deep/common.txt\n")
	f.write("b.test.zone", "$INCLUDE new/soa.txt\n")
	f.write("c.test.zone", text(1, 1))
	w := f.watch(quick())
	w.until("a.test. broken", "b.test. broken", "c.test. 1")
	w.calm()
	f.write("inc/deep/soa.txt", text(1, 1))
	w.until("a.test. 1", "b.test. broken", "c.test. 1")
	w.calm()
	w.batches = nil
	f.write("inc/deep/soa.txt", text(2, 1))
	w.until("a.test. 2", "b.test. broken", "c.test. 1")
	for _, b := range w.batches {
		if !slices.Equal(b.Names, []string{"a.test.zone"}) {
			t.Errorf("batch is %+v", b)
		}
	}
	// A directory that wasn't there comes with what it holds.
	f.mkdir("new")
	f.write("new/soa.txt", text(3, 1))
	w.until("a.test. 2", "b.test. 3", "c.test. 1")
	w.calm()
	// One takes the place of another.
	f.mkdir("inc.new/deep")
	f.write("inc.new/deep/common.txt", "")
	f.write("inc.new/deep/soa.txt", text(4, 1))
	f.rename("inc", "inc.old")
	f.rename("inc.new", "inc")
	w.until("a.test. 4", "b.test. 3", "c.test. 1")
	w.calm()
	f.write("inc/deep/soa.txt", text(5, 1))
	w.until("a.test. 5", "b.test. 3", "c.test. 1")
}

func TestWatchLinks(t *testing.T) {
	f := newFolder(t)
	outside := t.TempDir()
	put := func(name string, serial int) {
		f.must(os.WriteFile(filepath.Join(outside, name), []byte(text(serial, 1)), 0o644))
	}
	put("a", 1)
	f.must(os.Symlink(filepath.Join(outside, "a"), filepath.Join(outside, "middle")))
	f.link(filepath.Join(outside, "middle"), "a.test.zone")
	w := f.watch(quick())
	w.until("a.test. 1")
	w.calm()
	put("a", 2)
	w.until("a.test. 2")
	put("b", 3)
	f.must(os.Symlink(filepath.Join(outside, "b"), filepath.Join(outside, "middle.new")))
	f.must(os.Rename(filepath.Join(outside, "middle.new"), filepath.Join(outside, "middle")))
	w.until("a.test. 3")
	w.calm()
	put("b", 4)
	w.until("a.test. 4")
}

func TestWatchConfigMap(t *testing.T) {
	f := newFolder(t)
	f.mkdir("..1")
	f.write("..1/a.test.zone", text(1, 1))
	f.link("..1", "..data")
	f.must(os.Symlink("..data/a.test.zone", f.path("a.test.zone")))
	w := f.watch(quick())
	w.until("a.test. 1")
	for i := 2; i < 6; i++ {
		w.calm()
		name := fmt.Sprint("..", i)
		f.mkdir(name)
		f.write(name+"/a.test.zone", text(i, 1))
		f.link(name, "..data")
		f.remove(fmt.Sprint("..", i-1))
		w.until(fmt.Sprint("a.test. ", i))
	}
}

// The directory itself is replaced: by renaming, and by turning a link.
func TestWatchDirectoryReplaced(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	w := f.watch(quick())
	w.until("a.test. 1")
	for i := 2; i < 5; i++ {
		w.calm()
		f.mkdir("../next")
		f.write("../next/a.test.zone", text(i*10, 1))
		f.rename("../zones", fmt.Sprintf("../old%d", i))
		f.must(os.Rename(filepath.Join(filepath.Dir(f.at), "next"), f.at))
		w.until(fmt.Sprint("a.test. ", i*10))
		w.calm()
		f.write("a.test.zone", text(i*10+1, 1))
		w.until(fmt.Sprint("a.test. ", i*10+1))
	}
}

func TestWatchDirectoryLinked(t *testing.T) {
	f := newFolder(t)
	top := filepath.Dir(f.at)
	f.must(os.Rename(f.at, f.at+"1"))
	f.must(os.Symlink("zones1", f.at))
	f.write("a.test.zone", text(1, 1))
	w := f.watch(quick())
	w.until("a.test. 1")
	for i := 2; i < 5; i++ {
		w.calm()
		next := filepath.Join(top, fmt.Sprint("zones", i))
		f.must(os.Mkdir(next, 0o755))
		f.must(os.WriteFile(filepath.Join(next, "a.test.zone"), []byte(text(i*10, 1)), 0o644))
		f.must(os.Symlink(filepath.Base(next), f.at+".new"))
		f.must(os.Rename(f.at+".new", f.at))
		w.until(fmt.Sprint("a.test. ", i*10))
		w.calm()
		f.write("a.test.zone", text(i*10+1, 1))
		w.until(fmt.Sprint("a.test. ", i*10+1))
	}
}

func TestWatchPolls(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	w := f.watch(WatchOptions{Mode: Poll, Interval: 10 * time.Millisecond})
	f.write("a.test.zone", text(2, 1))
	w.until("a.test. 2")
	f.remove("a.test.zone")
	w.until()
	f.write("b.test.zone", text(1, 1))
	w.until("b.test. 1")
}

// However well events work, it is looked at all now and then.
func TestWatchSweeps(t *testing.T) {
	f := newFolder(t)
	fake := &fakeNotifier{}
	w := f.watch(WatchOptions{Sweep: 10 * time.Millisecond, open: fake.open})
	f.write("a.test.zone", text(1, 1)) // of which the fake tells nothing
	w.until("a.test. 1")
}

func TestWatchOff(t *testing.T) {
	f := newFolder(t)
	w, err := f.dir.Watch(WatchOptions{Mode: Off})
	f.must(err)
	if w.How() != "off" {
		t.Errorf("how is %s", w.How())
	}
	w.Close()
	if _, err := f.dir.Watch(WatchOptions{Settle: -1}); err == nil {
		t.Error("a negative time is taken")
	}
	for _, m := range []Mode{Auto, Poll, Off} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%s is read as %s, %v", m, got, err)
		}
	}
	if _, err := ParseMode("on"); err == nil || !strings.Contains(err.Error(), "auto, poll or off") {
		t.Errorf("error is %v", err)
	}
}

// fakeNotifier is a system that gives no events but those that a test makes.
type fakeNotifier struct {
	mu       sync.Mutex
	list     []string
	refuse   error // of Add
	missing  error // of open
	events   chan fsnotify.Event
	failures chan error
}

func (n *fakeNotifier) open() (notifier, error) {
	n.events, n.failures = make(chan fsnotify.Event), make(chan error)
	return n, n.missing
}

func (n *fakeNotifier) Add(path string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse == nil {
		n.list = append(n.list, path)
	}
	return n.refuse
}

func (n *fakeNotifier) Remove(path string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = slices.DeleteFunc(n.list, func(s string) bool { return s == path })
	return nil
}

func (n *fakeNotifier) WatchList() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}
func (n *fakeNotifier) Close() error                  { return nil }
func (n *fakeNotifier) Events() <-chan fsnotify.Event { return n.events }
func (n *fakeNotifier) Errors() <-chan error          { return n.failures }

func TestWatchOverflow(t *testing.T) {
	f := newFolder(t)
	fake := &fakeNotifier{}
	o := quick()
	o.open = fake.open
	w := f.watch(o)
	w.calm()
	f.write("a.test.zone", text(1, 1))
	fake.failures <- fsnotify.ErrEventOverflow
	if b := w.next(); b.Names != nil {
		t.Errorf("batch is %+v, want one of all files", b)
	}
	w.until("a.test. 1")
}

// Without inotify it polls, and says what can be done.
func TestWatchLimits(t *testing.T) {
	for _, tt := range []struct {
		fake *fakeNotifier
		want string
	}{
		{&fakeNotifier{refuse: unix.ENOSPC}, "fs.inotify.max_user_watches"},
		{&fakeNotifier{missing: os.NewSyscallError("inotify_init1", unix.EMFILE)}, "fs.inotify.max_user_instances"},
		{&fakeNotifier{refuse: errors.New("something else")}, "something else"},
	} {
		f := newFolder(t)
		var log bytes.Buffer
		w := f.watch(WatchOptions{Interval: 10 * time.Millisecond, open: tt.fake.open, Log: slog.New(slog.NewTextHandler(&log, nil))})
		f.write("a.test.zone", text(1, 1))
		w.until("a.test. 1")
		if how := w.w.How(); !strings.HasPrefix(how, "polling every 10ms") {
			t.Errorf("how is %s", how)
		}
		w.w.Close()
		if strings.Count(log.String(), tt.want) == 0 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("log is %s, want one line with %s", log.String(), tt.want)
		}
	}
}

func TestBlindKinds(t *testing.T) {
	for magic, want := range map[int64]string{
		unix.NFS_SUPER_MAGIC: "NFS", unix.FUSE_SUPER_MAGIC: "FUSE", unix.CIFS_SUPER_MAGIC: "SMB",
		unix.SMB2_SUPER_MAGIC: "SMB", unix.V9FS_MAGIC: "9p", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "",
		unix.CEPH_SUPER_MAGIC: "Ceph", unix.AFS_FS_MAGIC: "AFS", unix.CODA_SUPER_MAGIC: "Coda",
	} {
		if got := blindKind(magic); got != want {
			t.Errorf("%x is %q, want %q", magic, got, want)
		}
	}
	if got := blindSystem("/no/such"); got != "" {
		t.Errorf("a file that isn't there is on %q", got)
	}
}

func TestHops(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &folder{T: t, at: root}
	f.mkdir("a/b")
	f.mkdir("c")
	f.must(os.Symlink("../../c", f.path("a/b/rel")))
	f.must(os.Symlink(f.path("a"), f.path("abs")))
	f.must(os.Symlink("loop", f.path("loop")))
	f.must(os.Symlink("abs/b/rel/x", f.path("chain")))
	for path, want := range map[string]string{
		"a/b/x": "a/b/x", "abs/b/x": "abs a/b/x", "abs/b/rel/x": "abs a/b/rel c/x", "chain": "chain abs a/b/rel c/x",
		"none/x": "none/x", "a/../c/x": "c/x", "./a//b": "a/b",
	} {
		links, end := hops(root, path)
		var got []string
		for _, at := range append(links, end) {
			rel, err := filepath.Rel(root, at)
			f.must(err)
			got = append(got, rel)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", path, strings.Join(got, " "), want)
		}
	}
	if links, _ := hops(root, "loop"); len(links) != maxHops {
		t.Errorf("a loop has %d links", len(links))
	}
}
