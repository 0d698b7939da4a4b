package zonedir

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Mode is how a directory is watched.
type Mode uint8

// The modes.
const (
	// Auto takes the file system's events; where it gives none, it looks.
	Auto Mode = iota
	// Poll looks every Interval.
	Poll
	// Off does nothing: zones change only when a scan is asked for.
	Off
)

// ParseMode reads a Mode as it is written in the configuration.
func ParseMode(text string) (Mode, error) {
	for m, name := range modeNames() {
		if text == name {
			return Mode(m), nil
		}
	}
	return Auto, fmt.Errorf("%q is no way to watch: write auto, poll or off", text)
}

func modeNames() [3]string { return [...]string{"auto", "poll", "off"} }

// String is the mode as it is written in the configuration.
func (m Mode) String() string { return modeNames()[m] }

// The defaults of WatchOptions.
const (
	DefaultInterval = 5 * time.Second
	DefaultSettle   = 100 * time.Millisecond
	DefaultMost     = time.Second
	DefaultSweep    = time.Minute
)

// pollShare bounds what polling costs: at least so many times as long as a scan
// takes lies between two of them.
const pollShare = 20

// WatchOptions says how a directory is watched. Zero values stand for the
// defaults.
type WatchOptions struct {
	Mode Mode
	// Interval is how often the directory is looked at where there are no
	// events. Large directories are looked at less often, so that it takes a
	// twentieth of one CPU at most.
	Interval time.Duration
	// Settle is how long it must have been quiet for a Batch, and Most how long
	// a Batch waits for that at most.
	Settle, Most time.Duration
	// Sweep is how often the directory is looked at though there are events,
	// for what events may miss, such as another file system mounted over it.
	Sweep time.Duration
	// Log is told when events are not to be had, and why. Nil: nobody is.
	Log *slog.Logger

	// open is how tests come between the Watcher and the system.
	open func() (notifier, error)
}

// Batch is what to scan: d.ScanSome(batch.Names).
type Batch struct {
	// Names are the zone files that may have changed, by name; nil: any.
	Names []string
	// Since is when the first of the changes was noticed.
	Since time.Time
}

// Watcher says when to scan a Dir.
type Watcher struct {
	dir     *Dir
	o       WatchOptions
	batches chan Batch
	scanned chan struct{}
	close   chan struct{}
	closed  sync.WaitGroup
	once    sync.Once
	how     atomic.Pointer[string]

	// What follows is the loop's.
	set     *watchSet       // nil: no events
	pending map[string]bool // names of the next batch
	names   []string        // the same
	all     bool            // the next batch is of any file
	first   time.Time       // of the pending events
	last    time.Time
	settled *time.Timer
	look    *time.Timer
}

// Watch begins to watch the directory. Batches come after changes, until Close;
// who receives one calls ScanSome. Begin before the first Scan, so that nothing
// is missed in between. Where the system gives no events, it looks instead, and
// says so in the log; the error is for wrong options only.
func (d *Dir) Watch(o WatchOptions) (*Watcher, error) {
	if o.Interval < 0 || o.Settle < 0 || o.Most < 0 || o.Sweep < 0 {
		return nil, errors.New("times to watch by can't be negative")
	}
	w := &Watcher{dir: d, o: o.withDefaults(), batches: make(chan Batch), scanned: make(chan struct{}, 1), close: make(chan struct{}), pending: map[string]bool{}}
	w.say("off")
	if o.Mode == Off {
		return w, nil
	}
	d.places.setRoot(d.path)
	w.start()
	stop := d.places.tell(w.scanned)
	w.closed.Go(func() {
		defer stop()
		w.run()
	})
	return w, nil
}

func (o WatchOptions) withDefaults() WatchOptions {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Interval, DefaultInterval)
	set(&o.Settle, DefaultSettle)
	set(&o.Most, DefaultMost)
	set(&o.Sweep, DefaultSweep)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.open == nil {
		o.open = openNotifier
	}
	return o
}

// Batches is where batches come.
func (w *Watcher) Batches() <-chan Batch { return w.batches }

// How says in a few words how the directory is watched, for a status.
func (w *Watcher) How() string { return *w.how.Load() }

func (w *Watcher) say(how string) { w.how.Store(&how) }

// Close ends the watching. No Batch comes after it.
func (w *Watcher) Close() {
	w.once.Do(func() { close(w.close) })
	w.closed.Wait()
}

// start takes up events, if it can.
func (w *Watcher) start() {
	w.settled, w.look = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	w.settled.Stop()
	if w.o.Mode == Auto {
		n, err := w.o.open()
		if err != nil {
			w.withoutEvents(err)
		} else {
			w.set = newWatchSet(n)
			w.follow()
		}
	}
	w.schedule()
}

// run is the loop. It never waits for who scans.
func (w *Watcher) run() {
	defer w.stop()
	for {
		var events <-chan fsnotify.Event
		var errs <-chan error
		if w.set != nil {
			events, errs = w.set.Events(), w.set.Errors()
		}
		var out chan Batch
		if w.due() {
			out = w.batches
		}
		select {
		case <-w.close:
			return
		case ev := <-events:
			w.event(ev)
		case err := <-errs:
			w.failed(err)
		case <-w.scanned:
			w.follow()
		case <-w.look.C:
			w.follow()
			w.everything()
			w.first = time.Now().Add(-w.o.Most) // There is nothing to wait for.
			w.schedule()
		case <-w.settled.C:
		case out <- w.batch():
			w.pending, w.names, w.all, w.first = map[string]bool{}, nil, false, time.Time{}
		}
	}
}

func (w *Watcher) stop() {
	w.settled.Stop()
	w.look.Stop()
	if w.set != nil {
		w.set.close()
	}
}

// event notes what an event concerns.
func (w *Watcher) event(ev fsnotify.Event) {
	if ev.Name == "" {
		return
	}
	names, all := w.dir.places.concern(ev.Name)
	if all {
		w.everything()
		w.follow()
		return
	}
	for _, name := range names {
		if !w.pending[name] {
			w.pending[name] = true
			w.names = append(w.names, name)
		}
	}
	if len(names) > 0 {
		w.touch()
	}
}

// everything is for changes that may concern any file.
func (w *Watcher) everything() {
	w.all = true
	w.touch()
}

// touch puts off the next batch.
func (w *Watcher) touch() {
	w.last = time.Now()
	if w.first.IsZero() {
		w.first = w.last
	}
	w.settled.Reset(time.Until(w.dueAt()))
}

func (w *Watcher) dueAt() time.Time {
	quiet, most := w.last.Add(w.o.Settle), w.first.Add(w.o.Most)
	if most.Before(quiet) {
		return most
	}
	return quiet
}

// due reports whether there is a batch to hand over.
func (w *Watcher) due() bool {
	return !w.first.IsZero() && !time.Now().Before(w.dueAt())
}

// batch is what is pending. It is called for every event while nobody takes
// the batch, so it has to cost little.
func (w *Watcher) batch() Batch {
	if w.all {
		return Batch{Since: w.first}
	}
	return Batch{Names: w.names, Since: w.first}
}

// failed is for errors of the system.
func (w *Watcher) failed(err error) {
	if err == nil {
		return
	}
	w.o.Log.Debug("events were missed, all zone files are looked at", "error", err)
	w.everything()
	w.follow()
}

// follow watches where things are now.
func (w *Watcher) follow() {
	if w.set == nil {
		return
	}
	news, err := w.set.sync(w.dir.places.watched())
	if err != nil {
		w.set.close()
		w.set = nil
		w.withoutEvents(err)
		w.everything()
		w.schedule()
		return
	}
	if news {
		w.everything() // It may have changed before it was watched.
	}
	if w.set.unsure {
		w.look.Reset(w.o.Settle)
	}
	w.describe()
}

func (w *Watcher) describe() {
	if fs := w.set.blind; fs != "" {
		w.say(fmt.Sprintf("events, and polling every %v: %s may not tell of all changes", w.o.Interval, fs))
		return
	}
	w.say("events")
}

// withoutEvents says that and why there are none.
func (w *Watcher) withoutEvents(err error) {
	remedy := remedyFor(err)
	w.o.Log.Warn("the zones directory is looked at from time to time, since the system gives no events", "error", err, "interval", w.o.Interval, "remedy", remedy)
	w.say(fmt.Sprintf("polling every %v: %v", w.o.Interval, err))
}

// schedule sets when to look.
func (w *Watcher) schedule() {
	every := w.o.Interval
	if w.set != nil && w.set.blind == "" {
		every = w.o.Sweep
	}
	w.look.Reset(max(every, pollShare*w.dir.places.lastTook()))
}
