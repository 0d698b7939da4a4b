package zonedir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a directory of zone files under test.
type folder struct {
	*testing.T
	at  string
	dir *Dir
	// served is what a publisher would serve, by the zone's name; nil: SERVFAIL.
	served map[string]*zone.Zone
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{T: t, at: filepath.Join(t.TempDir(), "zones"), served: map[string]*zone.Zone{}}
	f.mkdir(".")
	f.dir = New(f.at)
	f.dir.Quiet = time.Millisecond
	return f
}

func (f *folder) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *folder) path(name string) string { return filepath.Join(f.at, name) }

func (f *folder) mkdir(name string) { f.Helper(); f.must(os.MkdirAll(f.path(name), 0o755)) }

func (f *folder) write(name, text string) {
	f.Helper()
	f.must(os.WriteFile(f.path(name), []byte(text), 0o644))
}

func (f *folder) rename(old, new string) {
	f.Helper()
	f.must(os.Rename(f.path(old), f.path(new)))
}

func (f *folder) remove(name string) { f.Helper(); f.must(os.RemoveAll(f.path(name))) }

// link makes, or replaces as ConfigMaps do, a symbolic link.
func (f *folder) link(to, name string) {
	f.Helper()
	_ = os.Remove(f.path(name + ".new"))
	f.must(os.Symlink(to, f.path(name+".new")))
	f.rename(name+".new", name)
}

// text is a zone with a serial and some addresses.
func text(serial, addresses int, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL 300\n@ SOA ns1 hostmaster %d 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n", serial)
	for i := range addresses {
		fmt.Fprintf(&b, "h%d A 192.0.2.%d\n", i, i%250)
	}
	return b.String() + strings.Join(lines, "\n") + "\n"
}

// scan scans, does what a publisher does, and returns one line a result: the
// file, the zone, what became of it, and the rules of the findings.
func (f *folder) scan(o ScanOptions) string {
	f.Helper()
	results, err := f.dir.ScanWith(o)
	f.must(err)
	return f.publish(results)
}

func (f *folder) publish(results []Result) string {
	lines := make([]string, 0, len(results))
	for i := range results {
		r := &results[i]
		words := []string{filepath.Base(r.File)}
		name := "-"
		if r.Apex != nil {
			name = wire.NameString(r.Apex)
		}
		words = append(words, name)
		switch {
		case r.Gone:
			words = append(words, "gone")
			delete(f.served, name)
		case r.Zone != nil:
			words = append(words, fmt.Sprint(r.Zone.Serial()))
			f.served[name] = r.Zone
		case r.Kept:
			words = append(words, "kept")
		default:
			words = append(words, "broken")
			if r.Apex != nil {
				f.served[name] = nil
			}
		}
		for _, found := range r.Findings {
			words = append(words, found.Rule)
		}
		lines = append(lines, strings.Join(words, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (f *folder) expect(o ScanOptions, want ...string) {
	f.Helper()
	if got := f.scan(o); got != strings.Join(want, "\n") {
		f.Errorf("scan gave\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// changed expects of a scan of all files.
func (f *folder) changed(want ...string) {
	f.Helper()
	f.expect(ScanOptions{}, want...)
}

func TestNewChangedGone(t *testing.T) {
	f := newFolder(t)
	f.changed()
	f.write("a.test.zone", text(1, 1))
	f.write("b.test.zone", text(1, 1))
	f.write(".hidden.zone", "nonsense")
	f.write("notes.txt", "nonsense")
	f.mkdir("dir.zone")
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
	f.changed()
	f.expect(ScanOptions{All: true}, "a.test.zone a.test. 1", "b.test.zone b.test. 1")

	f.write("a.test.zone", text(2, 2))
	f.write("c.test.zone", text(1, 1))
	f.remove("b.test.zone")
	f.changed("a.test.zone a.test. 2", "b.test.zone b.test. gone", "c.test.zone c.test. 1")
	f.changed()
}

// Named files are looked at, others are not.
func TestSome(t *testing.T) {
	f := newFolder(t)
	for _, name := range []string{"a.test.zone", "b.test.zone", "c.test.zone"} {
		f.write(name, text(1, 1))
	}
	some := func(names ...string) ScanOptions { return ScanOptions{Names: names} }
	f.expect(some("a.test.zone", "../zones/b.test.zone", "no.test.zone", "notes.txt", ".c.test.zone"), "a.test.zone a.test. 1")
	f.changed("b.test.zone b.test. 1", "c.test.zone c.test. 1")
	f.write("a.test.zone", text(2, 1))
	f.write("b.test.zone", text(2, 1))
	f.remove("c.test.zone")
	f.expect(some("b.test.zone"), "b.test.zone b.test. 2")
	f.expect(some("b.test.zone"))
	f.expect(some("c.test.zone"), "c.test.zone c.test. gone")
	f.expect(some("c.test.zone"))
	f.changed("a.test.zone a.test. 2")
}

func TestBrokenKeepsTheLast(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	f.write("b.test.zone", text(1, 1, "www A nonsense"))
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. broken address")
	f.write("a.test.zone", text(2, 1, "www A nonsense"))
	f.changed("a.test.zone a.test. kept address")
	f.changed() // The same isn't told twice.
	f.write("a.test.zone", "")
	f.changed("a.test.zone a.test. kept no-soa")
	f.write("a.test.zone", text(3, 1))
	f.write("b.test.zone", text(2, 1))
	f.changed("a.test.zone a.test. 3", "b.test.zone b.test. 2")
	f.write("a.test.zone", text(4, 1, "www A nonsense"))
	f.scan(ScanOptions{})
	f.remove("a.test.zone")
	f.changed("a.test.zone a.test. gone")
}

func TestAnotherApex(t *testing.T) {
	f := newFolder(t)
	moved := func(to string, serial int) string { return "$ORIGIN " + to + "\n" + text(serial, 1) }
	f.write("a.test.zone", text(1, 1))
	f.changed("a.test.zone a.test. 1")
	f.write("a.test.zone", moved("other.test.", 1))
	f.changed("a.test.zone a.test. gone", "a.test.zone other.test. 1")

	// Two files change places.
	f.write("b.test.zone", text(7, 1))
	f.changed("b.test.zone b.test. 7")
	f.write("a.test.zone", moved("b.test.", 8))
	f.write("b.test.zone", moved("other.test.", 2))
	f.changed("a.test.zone b.test. 8", "b.test.zone other.test. 2")
	// A file of another name takes over.
	f.rename("a.test.zone", "z.test.zone")
	f.changed("z.test.zone b.test. 8")
}

func TestTwoFilesOneZone(t *testing.T) {
	f := newFolder(t)
	same := "$ORIGIN same.test.\n"
	f.write("b.zone", same+text(1, 1))
	f.write("c.zone", same+text(2, 1))
	f.changed("b.zone same.test. 1", "c.zone - broken zone-twice")
	f.changed()
	// Who has it keeps it, though the other comes first by name.
	f.write("a.zone", same+text(3, 1))
	f.expect(ScanOptions{All: true}, "a.zone - broken zone-twice", "b.zone same.test. 1", "c.zone - broken zone-twice")
	f.changed()
	// Looked at alone, its end makes the next one's turn.
	f.remove("b.zone")
	f.expect(ScanOptions{Names: []string{"b.zone"}}, "a.zone same.test. 3", "c.zone - broken zone-twice")
	// A file that wants what is taken keeps what it had.
	f.write("d.test.zone", text(5, 1))
	f.changed("d.test.zone d.test. 5")
	f.write("d.test.zone", same+text(6, 1))
	f.changed("d.test.zone d.test. kept zone-twice")
	if z := f.served["d.test."]; z == nil || z.Serial() != 5 {
		t.Error("d.test. is gone")
	}
	f.remove("a.zone")
	f.remove("c.zone")
	f.changed("d.test.zone d.test. gone", "d.test.zone same.test. 6")
}

// A file that makes nothing of a zone gives way to one that does.
func TestBrokenYields(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", "nonsense")
	if got := f.scan(ScanOptions{}); !strings.HasPrefix(got, "a.test.zone a.test. broken") {
		t.Error(got)
	}
	f.write("b.zone", "$ORIGIN a.test.\n"+text(1, 1))
	if got := f.scan(ScanOptions{}) + "\n" + f.scan(ScanOptions{}); !strings.Contains(got, "b.zone a.test. 1") || !strings.Contains(got, "a.test.zone - broken") || !strings.Contains(got, "zone-twice") {
		t.Error(got)
	}
	f.changed()
}

func TestUnreadable(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	f.must(os.Symlink("nowhere", f.path("dangling.test.zone")))
	f.must(os.Symlink("loop.test.zone", f.path("loop.test.zone")))
	f.mkdir("somewhere")
	f.must(os.Symlink("somewhere", f.path("dir.test.zone")))
	f.write("bad..name.zone", text(1, 1))
	f.changed("a.test.zone a.test. 1", "bad..name.zone - broken file-name origin-missing origin-missing origin-missing origin-missing",
		"dangling.test.zone dangling.test. broken unreadable", "dir.test.zone dir.test. broken unreadable", "loop.test.zone loop.test. broken unreadable")
	f.changed()
	f.write("nowhere", text(3, 1))
	f.changed("dangling.test.zone dangling.test. 3")
	f.remove("nowhere")
	f.changed("dangling.test.zone dangling.test. kept unreadable")
	if _, err := New(f.path("missing")).Scan(true); err == nil || !strings.Contains(err.Error(), "zones directory") {
		t.Errorf("no error for a directory that isn't there: %v", err)
	}
	// The directory goes for a moment: nothing changes.
	f.must(os.Rename(f.at, f.at+".away"))
	if _, err := f.dir.Scan(false); err == nil {
		t.Error("no error for a directory that went")
	}
	f.must(os.Rename(f.at+".away", f.at))
	f.changed()
}

// The ctime, the size and the inode tell what the mtime doesn't.
func TestRacyTimes(t *testing.T) {
	f := newFolder(t)
	at := time.Now().Add(-time.Hour)
	same := func(name string) { f.Helper(); f.must(os.Chtimes(f.path(name), at, at)) }
	f.write("a.test.zone", text(1, 1))
	same("a.test.zone")
	f.changed("a.test.zone a.test. 1")
	f.write("a.test.zone", text(2, 1)) // as long as before
	same("a.test.zone")
	f.changed("a.test.zone a.test. 2")
	f.write("next", text(3, 1))
	same("next")
	f.rename("next", "a.test.zone")
	f.changed("a.test.zone a.test. 3")

	// A file that was written just before it was read is read again, even if
	// its stamp says that nothing changed.
	st := f.dir.files["a.test.zone"].stamps
	if len(st) != 1 || !st[0].young {
		t.Fatalf("stamps are %+v, want a young one", st)
	}
	f.write("a.test.zone", text(4, 1))
	info, err := os.Stat(f.path("a.test.zone"))
	f.must(err)
	st[0] = stampOf("a.test.zone", info).readAt(time.Now())
	f.changed("a.test.zone a.test. 4")
	old := stampOf("a.test.zone", info).readAt(time.Now().Add(time.Hour))
	if old.young || !old.same(st[0]) {
		t.Errorf("after an hour the stamp is %+v", old)
	}
}

func TestReadFile(t *testing.T) {
	f := newFolder(t)
	f.write("inc.txt", "www A 192.0.2.1\n")
	f.write("a.test.zone", text(1, 1, "$INCLUDE inc.txt"))
	r := ReadFile(f.path("a.test.zone"))
	if r.Broken() || r.Stats.Records != 5 || r.Zone.Serial() != 1 {
		t.Errorf("result is %+v", r)
	}
	if r := ReadFile(f.path("no/such.zone")); !r.Broken() || len(r.Findings) != 1 {
		t.Errorf("result is %+v", r)
	}
	if r := ReadFile(f.path("such.zone")); !r.Broken() || len(r.Findings) != 1 {
		t.Errorf("result is %+v", r)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
