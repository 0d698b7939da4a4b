package zonedir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// held opens a file for writing, and keeps it open.
func (f *folder) held(name string) *os.File {
	f.Helper()
	w, err := os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	f.must(err)
	f.Cleanup(func() { _ = w.Close() })
	return w
}

func (f *folder) add(w *os.File, text string) {
	f.Helper()
	_, err := w.WriteString(text)
	f.must(err)
}

// soon does something while a scan waits, and waits for it.
func (f *folder) soon(do func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(30 * time.Millisecond)
		do()
	}()
	return func() { <-done }
}

func TestWriting(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	r, err := os.Open(f.path("a.test.zone"))
	f.must(err)
	defer r.Close()
	if open, known := writing(r); open || !known {
		t.Errorf("nobody writes: %v %v", open, known)
	}
	w := f.held("a.test.zone")
	if open, known := writing(r); !open || !known {
		t.Errorf("somebody writes: %v %v", open, known)
	}
	f.must(w.Close())
	if open, known := writing(r); open || !known {
		t.Errorf("nobody writes any more: %v %v", open, known)
	}
	pipe, _, err := os.Pipe()
	f.must(err)
	if open, known := writing(pipe); open || known {
		t.Errorf("a pipe: %v %v", open, known)
	}
	if open, known := writing(pipe); open || known || pipe.Close() != nil {
		t.Errorf("a pipe: %v %v", open, known)
	}
	if open, known := writing(pipe); open || known {
		t.Errorf("a closed file: %v %v", open, known)
	}
}

// Who opens the file for writing while the lease is held waits for it to be
// given back, and the signal that comes of it (SIGIO) harms nobody.
func TestWritersAreNotHurt(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 1))
	r, err := os.Open(f.path("a.test.zone"))
	f.must(err)
	defer r.Close()
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt 1000 ]; do : >>"$0" || exit 1; i=$((i+1)); done`, f.path("a.test.zone"))
	f.must(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		writing(r)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// A scan waits for who has a zone's file, or what it includes, open for
// writing; what others have written is read all the same.
func TestWaitsForWriters(t *testing.T) {
	for _, held := range []string{"a.test.zone", "inc.txt"} {
		f := newFolder(t)
		f.write("inc.txt", "one A 192.0.2.1\n")
		f.write("a.test.zone", text(1, 1, "$INCLUDE inc.txt"))
		f.changed("a.test.zone a.test. 1")
		f.write("a.test.zone", text(2, 1, "$INCLUDE inc.txt"))
		f.write("b.test.zone", text(1, 1))
		w := f.held(held)
		_, err := w.Seek(0, 2)
		f.must(err)
		f.add(w, "two A 192.0")
		wait := f.soon(func() {
			f.add(w, ".2.2\n")
			f.must(w.Close())
		})
		f.changed("a.test.zone a.test. 2", "b.test.zone b.test. 1")
		wait()
		if got := f.dir.States()[0].Records; got != 6 {
			t.Errorf("%s was held: %d records, want 6", held, got)
		}
	}
}

// Patience ends: a file that somebody keeps open, but doesn't change, is read.
func TestPatienceWithWriters(t *testing.T) {
	f := newFolder(t)
	f.dir.Patience = 20 * time.Millisecond
	w := f.held("a.test.zone")
	f.add(w, text(1, 1))
	f.changed("a.test.zone a.test. 1")
}

// A file that is being changed all the time is not read, and the last good
// version stays.
func TestNeverStill(t *testing.T) {
	f := newFolder(t)
	f.dir.Patience = 20 * time.Millisecond
	f.write("a.test.zone", text(1, 30_000))
	f.changed("a.test.zone a.test. 1")
	w := f.held("a.test.zone")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				f.must(w.Truncate(1<<20 + i%1000))
			}
		}
	}()
	f.changed("a.test.zone a.test. kept being-written")
	f.changed() // The same isn't told twice.
	close(stop)
	<-done
	f.must(w.Close())
	f.write("a.test.zone", text(2, 30_000))
	f.changed("a.test.zone a.test. 2")
}

// Where leases are not to be had, a file must have been left alone for a while.
func TestQuietWithoutLeases(t *testing.T) {
	f := newFolder(t)
	l := newLoader(f.at, nil, &gitTree{}, time.Hour)
	a := &attempt{loader: l, start: time.Now()}
	pipe, w, err := os.Pipe()
	f.must(err)
	defer pipe.Close()
	defer w.Close()
	info, err := pipe.Stat()
	f.must(err)
	a.note(pipe, "x", info)
	if !a.writer {
		t.Error("a file that was written just now, and has no lease, counts as left alone")
	}
}

// What git is doing, by hand: each step of a checkout, with a scan between.
func TestGitLock(t *testing.T) {
	for _, linked := range []bool{false, true} {
		f := newFolder(t)
		top := filepath.Dir(f.at)
		gitDir := filepath.Join(top, ".git")
		if linked {
			gitDir = filepath.Join(t.TempDir(), "worktrees", "w")
			f.must(os.WriteFile(filepath.Join(top, ".git"), []byte("gitdir: "+gitDir+"\n"), 0o644))
		}
		f.must(os.MkdirAll(gitDir, 0o755))
		lock, index := filepath.Join(gitDir, "index.lock"), filepath.Join(gitDir, "index")
		f.must(os.WriteFile(index, []byte("1"), 0o644))
		f.write("inc.txt", "common A 192.0.2.1\n")
		f.write("a.test.zone", text(1, 1, "$INCLUDE inc.txt"))
		f.write("b.test.zone", text(1, 1))
		f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
		if f.dir.git.dir != gitDir {
			t.Fatalf("git directory is %q, want %q", f.dir.git.dir, gitDir)
		}
		f.must(os.WriteFile(lock, nil, 0o644))
		f.remove("a.test.zone")
		f.remove("b.test.zone")
		f.write("b.test.zone", text(2, 1))
		wait := f.soon(func() {
			f.write("a.test.zone", text(2, 1, "$INCLUDE inc.txt"))
			f.write("inc.txt", "common A 192.0.2.2\nmore A 192.0.2.1\n")
			f.must(os.WriteFile(lock, []byte("22"), 0o644))
			f.must(os.Rename(lock, index))
		})
		f.changed("a.test.zone a.test. 2", "b.test.zone b.test. 2")
		wait()
		if got := f.dir.States()[0].Records; got != 6 {
			t.Errorf("%d records, want 6", got)
		}
	}
}

// A lock that a dead git left behind costs patience once.
func TestGitStaleLock(t *testing.T) {
	f := newFolder(t)
	f.dir.Patience = 20 * time.Millisecond
	f.mkdir("../.git")
	f.write("../.git/index.lock", "")
	f.write("a.test.zone", text(1, 1))
	f.changed("a.test.zone a.test. 1")
	if got := f.dir.Stale(); !strings.HasSuffix(got, "/.git/index.lock") {
		t.Errorf("stale lock is %q", got)
	}
	f.dir.Patience = time.Hour
	f.write("a.test.zone", text(2, 1))
	f.changed("a.test.zone a.test. 2")
	f.remove("../.git/index.lock")
	f.changed()
	if got := f.dir.Stale(); got != "" {
		t.Errorf("stale lock is %q", got)
	}
}

func TestGitFile(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"gitdir: /some/where\n": "/some/where", "gitdir: ../up/.git/modules/x\n": filepath.Join(filepath.Dir(dir), "up/.git/modules/x"),
		"": "", "nonsense": "", strings.Repeat("x", 10_000): "",
	} {
		if err := os.WriteFile(filepath.Join(dir, ".git"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := gitFile(dir); got != want {
			t.Errorf("%.30q: %q, want %q", content, got, want)
		}
	}
	var g gitTree
	g.find("relative")
	g.find("/")
	if fmt.Sprint(g.state()) != fmt.Sprint(gitState{}) {
		t.Error("there is a git state without git")
	}
}

// Neither a pipe nor a device is waited for, or read.
func TestNotRegular(t *testing.T) {
	f := newFolder(t)
	f.must(syscall.Mkfifo(f.path("pipe.zone"), 0o644))
	f.must(syscall.Mkfifo(f.path("inc"), 0o644))
	f.must(os.Symlink("/dev/zero", f.path("zero.zone")))
	f.write("a.test.zone", text(1, 1, "$INCLUDE inc"))
	f.changed("a.test.zone a.test. broken include", "pipe.zone pipe. broken unreadable", "zero.zone zero. broken unreadable")
}

// A file that goes and comes again was never gone.
func TestGoneForAMoment(t *testing.T) {
	f := newFolder(t)
	f.dir.Quiet = 300 * time.Millisecond
	f.write("a.test.zone", text(1, 1))
	f.write("b.test.zone", text(1, 1))
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
	f.rename("a.test.zone", "a.test.zone~")
	f.remove("b.test.zone")
	wait := f.soon(func() { f.write("a.test.zone", text(2, 1)) })
	f.changed("a.test.zone a.test. 2", "b.test.zone b.test. gone")
	wait()
}
