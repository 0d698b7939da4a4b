package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"geodns/internal/health"
	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/transfer/send"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
	"geodns/internal/zonemd"
	"geodns/internal/zonestore"
)

// library is a publisher with a store, which can be started anew.
type library struct {
	*publish.Publisher
	t        *testing.T
	path     string
	store    *zonestore.Store
	versions *versions
	holder   *live.Holder
	strict   bool
	updates  bool
	sealed   bool
	drains   health.Drains
	refused  []error
}

func openLibrary(t *testing.T) *library {
	l := &library{t: t, path: filepath.Join(t.TempDir(), "geodns.db")}
	l.start()
	t.Cleanup(func() { _ = l.store.Close() })
	return l
}

func (l *library) start() {
	l.t.Helper()
	var err error
	if l.store, err = zonestore.Open(l.path, slog.New(slog.DiscardHandler)); err != nil {
		l.t.Fatal(err)
	}
	l.holder = live.New()
	l.versions = &versions{store: l.store, live: l.holder, log: slog.New(slog.DiscardHandler)}
	l.Publisher = publish.New(l.holder, publish.Options{
		Versions: l.versions,
		State:    func(z *zone.Zone, _ *steer.Program) []wire.RR { return publish.StateRecords(z, l.drains) },
		Serial: func([]byte) publish.SerialPolicy {
			if l.strict {
				return publish.SerialStrict
			}
			return publish.SerialAuto
		},
		Takes:   func([]byte) bool { return l.updates },
		Seal:    func([]byte) bool { return l.sealed },
		Unkept:  func(_ []byte, err error) { l.t.Error(err) },
		Refused: func(_ []byte, err error) { l.refused = append(l.refused, err) },
	})
}

// restart ends the process, and begins anew: nothing is served yet.
func (l *library) restart() {
	l.t.Helper()
	l.Flush()
	l.versions.compacting.Wait()
	if err := l.store.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.start()
}

// file publishes what a file says, whose hash is that of its text.
func (l *library) file(text string) {
	l.t.Helper()
	z := zoneFrom(l.t, text)
	var source publish.Source
	for _, c := range []byte(text) {
		source = source*31 + publish.Source(c) + 1
	}
	program, problems := l.Compile(z, nil)
	if program == nil && len(problems) > 0 {
		l.t.Fatal(problems)
	}
	l.Publish([]publish.Change{{Apex: z.Apex(), Zone: z, Steering: program, Source: source, By: "a.example.zone"}})
	l.Flush()
}

const libraryApex = "\x01a\x07example\x00"

func (l *library) served() *zone.Zone { return l.Serving([]byte(libraryApex)) }

// want checks the serial, and which of the names below the zone exist.
func (l *library) want(serial uint32, names string) {
	l.t.Helper()
	z := l.served()
	if z == nil {
		l.t.Fatal("the zone is not served")
	}
	if z.Serial() != serial {
		l.t.Errorf("serial %d, want %d", z.Serial(), serial)
	}
	var got []string
	z.Each(func(owner []byte, s *zone.RRset) bool {
		if n := wire.NameString(owner); s.Type != wire.TypeSOA && s.Type != wire.TypeNS && s.Type != zonemd.Type {
			got = append(got, strings.TrimSuffix(n, ".a.example."))
		}
		return true
	})
	slices.Sort(got)
	if text := strings.Join(got, " "); text != names {
		l.t.Errorf("names %q, want %q", text, names)
	}
}

// chain reads the journal from a serial, and reports whether it leads from there
// to what is served.
func (l *library) chain(from *zone.Zone) error {
	l.t.Helper()
	z := from
	err := l.versions.Changes([]byte(libraryApex), from.Serial(), func(c *send.Change) error {
		next, err := z.Apply(&zone.Changeset{Del: c.Del, Add: c.Add})
		z = next
		return err
	})
	if err == nil && !zone.Diff(z, l.served()).Empty() {
		err = errors.New("the changes lead elsewhere")
	}
	return err
}

// update adds a name by an edit.
func (l *library) update(name string) {
	l.t.Helper()
	err := l.Edit([]byte(libraryApex), publish.FromUpdate, func(cur *zone.Zone) []publish.Edition {
		owner, _ := zonefile.ParseNameLower(name, []byte(libraryApex))
		next, c, err := publish.Advance(cur, &zone.Changeset{Add: []wire.RR{{Owner: owner, Type: wire.TypeA, TTL: 60, Data: []byte{192, 0, 2, 9}}}})
		if err != nil {
			l.t.Fatal(err)
		}
		return []publish.Edition{{Zone: next, Changes: c, By: "key"}}
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func zoneFrom(t *testing.T, text string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	_, err := zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "test", Origin: []byte(libraryApex)}, func(rr *wire.RR, _ zonefile.Pos) error {
		if p := b.Add(rr); p != nil {
			t.Fatal(p)
		}
		return nil
	}, func(f zonefile.Finding) { t.Fatal(f.String()) })
	if err != nil {
		t.Fatal(err)
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

func fileText(serial, names string) string {
	text := "$TTL 60\n@ SOA ns h " + serial + " 3600 600 604800 60\n@ NS ns\n"
	for _, n := range strings.Fields(names) {
		text += n + " A 192.0.2.1\n"
	}
	return text
}

// Who edits a file need not raise its serial, and may: each version has one that
// is newer, through restarts too.
func TestSerialAuto(t *testing.T) {
	l := openLibrary(t)
	l.file(fileText("10", "ns"))
	l.want(10, "ns")
	first := l.served()
	l.file(fileText("10", "ns www"))
	l.want(11, "ns www")
	l.file(fileText("10", "ns www") + "; a comment\n")
	l.want(11, "ns www")
	l.file(fileText("20", "ns www"))
	l.want(20, "ns www")
	l.file(fileText("5", "ns"))
	l.want(21, "ns")
	if err := l.chain(first); err != nil {
		t.Errorf("from the first version on: %v", err)
	}

	l.restart()
	l.file(fileText("5", "ns"))
	l.want(21, "ns")
	if err := l.chain(l.served()); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	before := l.served()
	l.file(fileText("5", "ns mail"))
	l.want(22, "mail ns")
	if err := l.chain(before); err != nil {
		t.Errorf("from before the last change: %v", err)
	}

	// What changed while nobody looked is a new version, whose history begins
	// with it.
	l.restart()
	l.file(fileText("5", "ns www"))
	l.want(23, "ns www")
	if err := l.chain(before); !errors.Is(err, zonestore.ErrNotThere) {
		t.Errorf("from before what nobody saw: %v", err)
	}
}

// A comment makes no version, neither when it comes nor at the next start, and
// loses no history.
func TestCommentMakesNoVersion(t *testing.T) {
	l := openLibrary(t)
	l.file(fileText("10", "ns"))
	first := l.served()
	l.file(fileText("10", "ns www"))
	l.file(fileText("10", "ns www") + "; a comment\n")
	l.restart()
	l.file(fileText("10", "ns www") + "; a comment\n")
	l.want(11, "ns www")
	if err := l.chain(first); err != nil {
		t.Errorf("from the first version on: %v", err)
	}
}

// A command that is in force at a restart makes no version, and the file goes on
// to be served, whoever numbers it.
func TestCommandThroughRestart(t *testing.T) {
	for _, strict := range []bool{false, true} {
		l := openLibrary(t)
		l.strict = strict
		text := fileText("10", "ns") + "lon._site TXT \"v=site1; net=192.0.2.0/24\"\n"
		l.file(text)
		first := l.served()
		l.drains = health.Drains{{Name: "lon", From: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)}}
		l.SyncState(func([]byte) bool { return true })
		l.want(11, "lon._site lon._state ns")
		l.restart()
		l.file(text)
		if l.want(11, "lon._site lon._state ns"); len(l.refused) > 0 {
			t.Errorf("strict %v: refused: %v", strict, l.refused)
		}
		if err := l.chain(first); err != nil {
			t.Errorf("strict %v: %v", strict, err)
		}
	}
}

// serial: strict takes no content under a serial that is there.
func TestSerialStrict(t *testing.T) {
	l := openLibrary(t)
	l.strict = true
	l.file(fileText("10", "ns"))
	l.file(fileText("10", "ns www"))
	var serial *publish.SerialError
	if l.want(10, "ns"); len(l.refused) != 1 || !errors.As(l.refused[0], &serial) || serial.Served != 10 {
		t.Errorf("refused: %v", l.refused)
	}
	l.file(fileText("10", "ns") + "; a comment\n")
	l.file(fileText("11", "ns www"))
	if l.want(11, "ns www"); len(l.refused) != 1 {
		t.Errorf("refused: %v", l.refused)
	}
}

// A zone that takes updates keeps them when its file changes, and when it is
// restarted; the file's edits are merged into it.
func TestUpdatesAndFile(t *testing.T) {
	l := openLibrary(t)
	l.updates = true
	l.file(fileText("10", "ns www"))
	first := l.served()
	l.update("node1")
	l.update("node2")
	l.want(12, "node1 node2 ns www")
	l.file(fileText("10", "ns www mail"))
	l.want(13, "mail node1 node2 ns www")
	l.file(fileText("10", "ns mail"))
	l.want(14, "mail node1 node2 ns")
	if err := l.chain(first); err != nil {
		t.Error(err)
	}

	l.restart()
	z, err := l.store.LoadZone([]byte(libraryApex))
	if err != nil {
		t.Fatal(err)
	}
	l.Restore(z, nil)
	l.file(fileText("10", "ns mail"))
	l.want(14, "mail node1 node2 ns")
	l.file(fileText("10", "ns"))
	l.want(15, "node1 node2 ns")
	// What an update did that the file does too is done once.
	l.update("both")
	l.file(fileText("10", "ns") + "both A 192.0.2.9\n")
	l.want(16, "both node1 node2 ns")
	l.file(fileText("10", "ns"))
	l.want(17, "node1 node2 ns")
	if err := l.chain(first); err != nil {
		t.Error(err)
	}
}

// Commands travel as records below _state, each time with a new serial.
func TestStateRecords(t *testing.T) {
	l := openLibrary(t)
	site := "lon._site TXT \"v=site1; net=192.0.2.0/24\"\n"
	l.file(fileText("10", "ns") + site)
	l.want(10, "lon._site ns")
	first := l.served()
	begin := time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)
	l.drains = health.Drains{{Name: "lon", From: begin, Until: begin.Add(time.Hour), Reason: "new switch; rack 3"}, {Name: "nyc", From: begin}, {Zone: "other.", Name: "lon", From: begin}}
	all := func([]byte) bool { return true }
	l.SyncState(all)
	l.want(11, "lon._site lon._state ns")
	l.SyncState(all)
	l.want(11, "lon._site lon._state ns")
	served := l.holder.Load().Zones.Get([]byte(libraryApex))
	got := publish.DrainsOf(served.Steering.Program, "a.example.")
	if want := (health.Drain{Zone: "a.example.", Name: "lon", From: begin, Until: begin.Add(time.Hour), Reason: "new switch; rack 3"}); len(got) != 1 || got[0] != want {
		t.Errorf("a secondary reads %+v, want %+v", got, want)
	}
	// The file knows nothing of it, and takes nothing away.
	l.file(fileText("10", "ns www") + site)
	l.want(12, "lon._site lon._state ns www")
	l.restart()
	l.file(fileText("10", "ns www") + site)
	l.want(12, "lon._site lon._state ns www")
	l.drains = nil
	l.SyncState(all)
	l.want(13, "lon._site ns www")
	if err := l.chain(first); err != nil {
		t.Error(err)
	}
}

// zonemd: make gives each version a digest of its own, however it came about.
func TestSealed(t *testing.T) {
	for _, updates := range []bool{false, true} {
		l := openLibrary(t)
		l.sealed, l.updates = true, updates
		ok := func() {
			t.Helper()
			if r := zonemd.Verify(l.served()); r.Status != zonemd.OK {
				t.Errorf("updates %t: %s: %s", updates, r.Status, r.Text)
			}
		}
		l.file(fileText("10", "ns"))
		l.want(10, "ns")
		ok()
		first := l.served()
		l.file(fileText("10", "ns") + "; a comment\n")
		l.want(10, "ns")
		l.file(fileText("10", "ns www"))
		l.want(11, "ns www")
		ok()
		l.file(fileText("20", "ns www mail"))
		l.want(20, "mail ns www")
		ok()
		l.update("node")
		l.want(21, "mail node ns www")
		ok()
		if err := l.chain(first); err != nil {
			t.Errorf("updates %t: %v", updates, err)
		}
	}
}
