package geo

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions says how the files are watched. Zero values stand for the
// defaults.
type WatchOptions struct {
	// Settle is how long it must have been quiet after a change, 100 ms.
	Settle time.Duration
	// Sweep is how often the files are looked at for what events may miss, a
	// minute, and Interval where there are no events, 5 s.
	Sweep, Interval time.Duration
	// Log is told when there are no events, and why. Nil: nobody is.
	Log *slog.Logger
}

func (o WatchOptions) withDefaults() WatchOptions {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&o.Settle, 100*time.Millisecond)
	set(&o.Sweep, time.Minute)
	set(&o.Interval, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Watch calls onChange, one call after the other, whenever a file isn't as it
// was when it was last tried, until the context ends. Who is called should call
// Reload; one that finds a file half-written is called again when it changes.
func (k *Keeper) Watch(ctx context.Context, o WatchOptions, onChange func()) {
	o = o.withDefaults()
	w := watcher{WatchOptions: o, files: k.files()}
	if len(w.files) == 0 {
		<-ctx.Done()
		return
	}
	w.open()
	defer w.close()
	settled := time.NewTimer(0) // There may have been changes before.
	defer settled.Stop()
	for {
		events, errs := w.channels()
		look := o.Sweep
		if events == nil {
			look = o.Interval
		}
		select {
		case <-ctx.Done():
			return
		case <-events:
			settled.Reset(o.Settle)
			continue
		case <-errs: // Events were lost.
		case <-settled.C:
		case <-time.After(look):
		}
		// Directories first: what changes after they are watched is told.
		w.follow()
		if k.stale() {
			onChange()
		}
	}
}

// files are the paths that are configured.
func (k *Keeper) files() []string {
	return slices.DeleteFunc([]string{k.o.Database, k.o.Networks}, func(name string) bool { return name == "" })
}

// watcher watches the directories in which files are, and those in which
// symbolic links that lead to them are: files are often replaced by others of
// the same name.
type watcher struct {
	WatchOptions
	files  []string
	events *fsnotify.Watcher // nil: none are to be had
}

func (w *watcher) open() {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.without(err)
		return
	}
	w.events = events
	w.follow()
}

func (w *watcher) close() {
	if w.events != nil {
		_ = w.events.Close()
		w.events = nil
	}
}

// without says that there are no events.
func (w *watcher) without(err error) {
	w.close()
	w.Log.Warn("the files of geography are looked at from time to time, since the system gives no events", "error", err, "interval", w.Interval)
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.events == nil {
		return nil, nil
	}
	return w.events.Events, w.events.Errors
}

// follow watches the directories that lead to the files now.
func (w *watcher) follow() {
	if w.events == nil {
		return
	}
	want := directories(w.files)
	for _, dir := range w.events.WatchList() {
		if !slices.Contains(want, dir) {
			_ = w.events.Remove(dir) // At worst it has gone by itself.
		}
	}
	for _, dir := range want {
		// One that is watched already is left as it is; one of the same name that
		// took its place is watched anew.
		err := w.events.Add(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			w.without(err)
			return
		}
	}
}

// maxLinks bounds how many symbolic links are followed, as the kernel does.
const maxLinks = 40

// directories are where a change can replace one of the files.
func directories(files []string) (dirs []string) {
	for _, name := range files {
		for range maxLinks {
			dir := filepath.Dir(name)
			dirs = append(dirs, dir)
			// A directory on the way may be a link itself, as in Kubernetes, where
			// ..data is turned from one directory to the next.
			if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
				dirs = append(dirs, real)
			}
			target, err := os.Readlink(name)
			if err != nil {
				break
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(dir, target)
			}
			name = target
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
