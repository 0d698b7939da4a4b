package zonedir

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestYield reads from the kernel what becomes of a reading thread: it gives
// way, and where it may be brought back, raise does that; after raise, and for
// threads that left, nothing is changed.
func TestYield(t *testing.T) {
	var r readers
	done := make(chan struct{})
	go func() { // its thread ends with it
		defer close(done)
		thread := r.yield()
		low := schedBatch
		if mayRaise() {
			low = schedIdle
		}
		expectClass(t, thread, low)
		if low == schedIdle {
			r.raise()
			expectClass(t, thread, schedBatch)
		}
		r.leave(thread)
		if len(r.threads) != 0 {
			t.Errorf("%v are kept of threads that left", r.threads)
		}
	}()
	<-done
}

func expectClass(t *testing.T, thread, want int) {
	t.Helper()
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Error(err)
		return
	}
	if int(attr.Policy) != want {
		t.Errorf("the thread is of the scheduler's class %d, want %d", attr.Policy, want)
	}
}
