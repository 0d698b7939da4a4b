package zonedir

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Reading a large zone takes a CPU for a good part of a second. So that queries
// don't wait for it where there is no CPU to spare, files are read by threads
// that give way to all others: to the idle class of the scheduler, of which a
// thread that wakes up takes the CPU at once. A machine that never idles would
// hold up such a reading for ever, so after lowFor it goes on in short slices,
// with a quarter of a CPU at least. Who may not leave the idle class (it takes
// CAP_SYS_NICE) reads so from the beginning.

const (
	lowFor     = 5 * time.Second
	shortSlice = 100 * time.Microsecond
	// laterNice gives a reader a weight of 335 where others have 1,024
	// (sched_prio_to_weight).
	laterNice = 5

	schedBatch = 3 // of sched(7)
	schedIdle  = 5

	capSysNice = 23 // of capabilities(7)
)

// readers are the threads that read.
type readers struct {
	mu      sync.Mutex
	threads []int // of the idle class
	late    bool  // they are no longer to be
}

// yield makes the calling goroutine one that gives way to others, and returns
// its thread, to which it stays locked, and which ends with it. Where the kernel
// refuses, nothing changes.
func (r *readers) yield() (thread int) {
	runtime.LockOSThread()
	thread = unix.Gettid()
	if !mayRaise() {
		setScheduling(thread, schedBatch, laterNice, shortSlice)
		return thread
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.late && setScheduling(thread, schedIdle, 0, 0) {
		r.threads = append(r.threads, thread)
	}
	return thread
}

// leave forgets a thread that is about to end: its number may be another's soon.
func (r *readers) leave(thread int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.threads = slices.DeleteFunc(r.threads, func(t int) bool { return t == thread })
}

// raise ends the waiting for an idle CPU.
func (r *readers) raise() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = true
	for _, thread := range r.threads {
		setScheduling(thread, schedBatch, laterNice, shortSlice)
	}
}

// setScheduling sets a thread's class, its niceness, and the time that it may
// run at a stretch (0: the kernel's choice), and reports whether the kernel took
// it.
func setScheduling(thread int, class uint32, nice int32, slice time.Duration) bool {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: class, Nice: nice, Runtime: uint64(slice)}
	return unix.SchedSetAttr(thread, &attr, 0) == nil
}

// mayRaise reports whether a thread of the idle class could be brought back.
func mayRaise() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective>>capSysNice&1 != 0
}
