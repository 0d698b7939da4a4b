package geo

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folder is a directory with a database and own networks.
type folder struct {
	*testing.T
	dir string
	k   *Keeper
}

func newFolder(t *testing.T) *folder {
	f := &folder{T: t, dir: t.TempDir()}
	f.k = NewKeeper(Options{Database: f.path("db"), Networks: f.path("nets")})
	return f
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// replace puts a file there by renaming.
func (f *folder) replace(name string, content []byte) {
	f.Helper()
	f.must(os.WriteFile(f.path("new"), content, 0o600))
	f.must(os.Rename(f.path("new"), f.path(name)))
}

// expect reloads, and checks the outcome: whether the Table changed, a part of
// the error, and the countries of two addresses, one in own networks; of the
// first it is none where there is no Table yet.
func (f *folder) expect(changed bool, problem, london, own string) {
	f.Helper()
	before := f.k.table
	table, got, err := f.k.Reload()
	if got != changed || changed == (table == before) {
		f.Errorf("changed is %v, want %v", got, changed)
	}
	if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
		f.Errorf("error is %v, want one with %q", err, problem)
	}
	if (table == nil) != (london == none) {
		f.Fatalf("there is a table: %v", table != nil)
	}
	if table != nil && (country(table, "81.2.69.142") != london || country(table, "192.0.2.1") != own) {
		f.Errorf("London is in %q and the own network in %q, want %q and %q", country(table, "81.2.69.142"), country(table, "192.0.2.1"), london, own)
	}
}

const none = "none"

func country(t *Table, addr string) string {
	n, _ := t.Find(netip.MustParseAddr(addr))
	return t.Place(n).Country
}

// A Keeper reads what changed, and what is refused changes nothing.
func TestKeeper(t *testing.T) {
	f := newFolder(t)
	city, asn := read(t, database("GeoIP2-City-Test")), read(t, database("GeoLite2-ASN-Test"))
	f.expect(false, "there is no such file", none, "")
	f.replace("db", city)
	f.expect(false, "nets: cannot be read", none, "")
	f.replace("nets", []byte("192.0.2.0/24,US\n"))
	f.expect(true, "", "GB", "US")
	f.expect(false, "", "GB", "US")

	// One file is broken, the other one changes nonetheless.
	f.replace("db", city[:len(city)/2])
	f.expect(false, "only a part of one", "GB", "US")
	f.expect(false, "only a part of one", "GB", "US")
	f.replace("nets", []byte("192.0.2.0/24,SE\n"))
	f.expect(true, "only a part of one", "GB", "SE")
	f.replace("db", city)
	f.expect(true, "", "GB", "SE")

	f.replace("nets", []byte("192.0.2.0/24,USA\n"))
	f.expect(false, `nets:1:14: "USA" is no country`, "GB", "SE")
	f.replace("nets", []byte("192.0.2.0/24,JP\n"))
	f.expect(true, "", "GB", "JP")
	f.must(os.Remove(f.path("nets")))
	f.expect(false, "there is no such file", "GB", "JP")
	f.replace("nets", []byte("192.0.2.0/24,FR\n81.2.69.0/24,FR\n"))
	f.expect(true, "", "FR", "FR")

	// Another database, under the same networks. A new one with errors in the
	// networks waits for these.
	f.replace("nets", []byte("x"))
	f.replace("db", asn)
	f.expect(false, `"x" is no prefix`, "FR", "FR")
	f.replace("nets", nil)
	f.expect(true, "", "", "")
}

// In place: same inode, same size, and so soon that only the time tells.
func TestKeeperInPlace(t *testing.T) {
	f := newFolder(t)
	f.replace("db", read(t, database("GeoIP2-City-Test")))
	f.replace("nets", []byte("192.0.2.0/24,US\n"))
	f.expect(true, "", "GB", "US")
	f.must(os.WriteFile(f.path("nets"), []byte("192.0.2.0/24,SE\n"), 0o600))
	later := time.Now().Add(time.Second)
	f.must(os.Chtimes(f.path("nets"), later, later))
	f.expect(true, "", "GB", "SE")
}

// A Table stays as it is when another one is made.
func TestTablesStay(t *testing.T) {
	f := newFolder(t)
	f.replace("db", read(t, database("GeoIP2-City-Test")))
	f.replace("nets", []byte("192.0.2.0/24,US\n"))
	first, _, err := f.k.Reload()
	f.must(err)
	places := first.Places()
	f.replace("nets", []byte("prefix,country,city\n0.0.0.0/1,SE,a\n192.0.2.0/24,SE,b\n"))
	second, _, err := f.k.Reload()
	f.must(err)
	if country(first, "192.0.2.1") != "US" || country(first, "1.1.1.1") != "" || country(second, "192.0.2.1") != "SE" || country(second, "1.1.1.1") != "SE" {
		t.Error("the first table changed")
	}
	for i, p := range first.Places() {
		if p != places[i] {
			t.Errorf("place %d became %+v, was %+v", i, p, places[i])
		}
	}
}

// watch runs Watch until the test ends, and returns where changes are told.
func (f *folder) watch(o WatchOptions) <-chan struct{} {
	ctx, cancel := context.WithCancel(f.Context())
	told, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.k.Watch(ctx, o, func() {
			_, _, _ = f.k.Reload()
			select {
			case told <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	f.Cleanup(func() {
		cancel()
		<-done
	})
	return told
}

// until waits until an own address is in a country.
func (f *folder) until(told <-chan struct{}, want string) {
	f.Helper()
	for {
		select {
		case <-told:
			if t, _, _ := f.k.Reload(); t != nil && country(t, "192.0.2.1") == want {
				return
			}
		case <-time.After(20 * time.Second):
			f.Fatalf("nothing was told that leads to %s", want)
		}
	}
}

// Changes are told: by renaming, in place, and by links that turn.
func TestWatch(t *testing.T) {
	f := newFolder(t)
	f.replace("db", read(t, database("GeoLite2-ASN-Test")))
	told := f.watch(WatchOptions{Settle: 10 * time.Millisecond, Sweep: time.Hour, Interval: time.Hour})
	f.replace("nets", []byte("192.0.2.0/24,US\n"))
	f.until(told, "US")
	f.must(os.WriteFile(f.path("nets"), []byte("192.0.2.0/24,SE # in place\n"), 0o600))
	f.until(told, "SE")

	for _, dir := range []string{"..1", "..2"} {
		f.must(os.Mkdir(f.path(dir), 0o700))
	}
	f.must(os.WriteFile(f.path("..1/nets"), []byte("192.0.2.0/24,FR\n"), 0o600))
	f.must(os.WriteFile(f.path("..2/nets"), []byte("192.0.2.0/24,JP\n"), 0o600))
	link := func(to, name string) {
		f.must(os.Symlink(to, f.path("new")))
		f.must(os.Rename(f.path("new"), f.path(name)))
	}
	link("..1", "..data")
	link("..data/nets", "nets")
	f.until(told, "FR")
	link("..2", "..data")
	f.until(told, "JP")
	f.must(os.WriteFile(f.path("..2/nets"), []byte("192.0.2.0/24,GB # in place\n"), 0o600))
	f.until(told, "GB")
}

// Where events are missed, it is looked at all the same.
func TestWatchSweeps(t *testing.T) {
	f := newFolder(t)
	f.must(os.Mkdir(f.path("sub"), 0o700))
	f.k = NewKeeper(Options{Networks: f.path("sub/nets")})
	told := f.watch(WatchOptions{Sweep: 10 * time.Millisecond})
	f.replace("sub/nets", []byte("192.0.2.0/24,US\n"))
	f.until(told, "US")
	f.must(os.Rename(f.path("sub"), f.path("old")))
	f.must(os.Mkdir(f.path("sub"), 0o700))
	f.replace("sub/nets", []byte("192.0.2.0/24,SE\n"))
	f.until(told, "SE")
}

// With nothing to watch, it waits for the end.
func TestWatchNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	NewKeeper(Options{}).Watch(ctx, WatchOptions{}, func() { t.Error("a change is told") })
}

// A pipe isn't waited for.
func TestPipe(t *testing.T) {
	f := newFolder(t)
	f.must(syscall.Mkfifo(f.path("nets"), 0o600))
	if _, err := Load(Options{Networks: f.path("nets")}); err == nil || !strings.Contains(err.Error(), "nets: is not a regular file") {
		t.Errorf("error is %v", err)
	}
}
