package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// harness runs a signalLoop in a synctest bubble, whose time passes only when
// nothing else can happen.
type harness struct {
	*signalLoop
	signals chan os.Signal
	cancel  context.CancelCauseFunc
	result  chan error
	logged  *bytes.Buffer

	mu     sync.Mutex
	events []string
}

func (h *harness) note(event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func start() *harness {
	h := &harness{signals: make(chan os.Signal, 8), result: make(chan error, 1), logged: &bytes.Buffer{}}
	h.signalLoop = &signalLoop{
		signals:  h.signals,
		grace:    grace,
		log:      slog.New(slog.NewTextHandler(h.logged, nil)),
		reload:   func() error { h.note("reload"); return nil },
		shutdown: func(context.Context) error { h.note("shutdown"); return nil },
	}
	return h
}

func (h *harness) run(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	h.cancel = cancel
	go func() { h.result <- h.signalLoop.run(ctx) }()
	synctest.Wait()
}

func (h *harness) send(s syscall.Signal) {
	h.signals <- s
	synctest.Wait()
}

func (h *harness) expect(t *testing.T, events ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got, want := strings.Join(h.events, " "), strings.Join(events, " "); got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestSignalsReloadThenEnd(t *testing.T) {
	for _, last := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		synctest.Test(t, func(t *testing.T) {
			h := start()
			h.run(t)
			h.send(syscall.SIGHUP)
			h.send(syscall.SIGHUP)
			h.send(last)
			if err := <-h.result; err != nil {
				t.Errorf("%v: %v, want no error", last, err)
			}
			h.expect(t, "reload", "reload", "shutdown")
		})
	}
}

func TestSignalsFailedReloadIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		h.reload = func() error { return errors.New("geodns.yaml:3:1: bad") }
		h.run(t)
		h.send(syscall.SIGHUP)
		if !strings.Contains(h.logged.String(), "old state stays in service") || !strings.Contains(h.logged.String(), "geodns.yaml:3:1: bad") {
			t.Errorf("the log does not tell of the failure: %s", h.logged)
		}
		h.send(syscall.SIGTERM)
		if err := <-h.result; err != nil {
			t.Errorf("%v, want no error", err)
		}
		h.expect(t, "shutdown")
	})
}

// Signals during a reload make one more reload, and an end waits for it.
func TestSignalsDuringReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		h.reload = func() error {
			h.note("begin")
			time.Sleep(time.Second)
			h.note("end")
			return nil
		}
		h.run(t)
		h.send(syscall.SIGHUP)
		h.send(syscall.SIGHUP)
		h.send(syscall.SIGHUP)
		h.expect(t, "begin")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		h.expect(t, "begin", "end", "begin")
		h.send(syscall.SIGTERM)
		h.expect(t, "begin", "end", "begin")
		if err := <-h.result; err != nil {
			t.Errorf("%v, want no error", err)
		}
		h.expect(t, "begin", "end", "begin", "end", "shutdown")
	})
}

func TestSignalsShutdownFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		h := start()
		h.shutdown = func(context.Context) error { return bad }
		h.run(t)
		h.send(syscall.SIGTERM)
		if err := <-h.result; !errors.Is(err, bad) {
			t.Errorf("error %v, want %v", err, bad)
		}
	})
}

func TestSignalsShutdownHasGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		h.shutdown = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		h.run(t)
		began := time.Now()
		h.send(syscall.SIGTERM)
		if err := <-h.result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		if d := time.Since(began); d != grace {
			t.Errorf("ended after %v, want %v", d, grace)
		}
	})
}

func TestSignalsShutdownHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		stuck := make(chan struct{})
		defer close(stuck)
		h.shutdown = func(context.Context) error { <-stuck; return nil }
		h.run(t)
		h.send(syscall.SIGTERM)
		if err := <-h.result; err == nil || !strings.Contains(err.Error(), "did not end within 5s") {
			t.Errorf("error %v, want one that says that time is up", err)
		}
	})
}

func TestSignalsSecondEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		stuck := make(chan struct{})
		defer close(stuck)
		h.shutdown = func(context.Context) error { <-stuck; return nil }
		h.run(t)
		began := time.Now()
		h.send(syscall.SIGTERM)
		h.send(syscall.SIGHUP) // is no second one
		if len(h.result) != 0 {
			t.Fatalf("SIGHUP ended a shutdown: %v", <-h.result)
		}
		h.send(syscall.SIGINT)
		if err := <-h.result; !errors.Is(err, errSecondSignal) {
			t.Errorf("error %v, want %v", err, errSecondSignal)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("ended after %v, want at once", d)
		}
	})
}

func TestSignalsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start()
		h.shutdown = func(ctx context.Context) error {
			h.note("shutdown")
			return ctx.Err() // of its own, which has not ended
		}
		h.run(t)
		broken := errors.New("a socket broke")
		h.cancel(broken)
		if err := <-h.result; !errors.Is(err, broken) || errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, broken)
		}
		h.expect(t, "shutdown")
	})
}

// The same with real signals to this process.
func TestRunUntilSignal(t *testing.T) {
	reloaded := make(chan struct{}, 1)
	result := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	signals, release := catchSignals()
	defer release()
	go func() {
		result <- runUntilSignal(t.Context(), signals, func() error { reloaded <- struct{}{}; return nil },
			func(context.Context) error { return nil }, log)
	}()
	for done := false; !done; {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reloaded:
			done = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case <-reloaded: // of an earlier SIGHUP
		case err := <-result:
			if err != nil {
				t.Errorf("%v, want no error", err)
			}
			return
		}
	}
}
