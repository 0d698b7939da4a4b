package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long a shutdown may take.
const grace = 5 * time.Second

// errSecondSignal ends a server that was told twice.
var errSecondSignal = errors.New("a second signal: ended at once, connections were cut")

// catchSignals has the signals that runUntilSignal serves kept for it from now
// on, until release is called.
func catchSignals() (signals <-chan os.Signal, release func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	return c, func() { signal.Stop(c) }
}

// runUntilSignal serves signals until the server has to end: SIGHUP calls
// reload, whose failure is logged (it has to keep the old state); SIGTERM and
// SIGINT call shutdown with a context of 5 s, and a second one of them returns
// at once. If ctx ends, that shuts down too, and its cause is returned.
// reload and shutdown never run at the same time.
func runUntilSignal(ctx context.Context, signals <-chan os.Signal, reload func() error, shutdown func(context.Context) error, log *slog.Logger) error {
	l := &signalLoop{signals: signals, reload: reload, shutdown: shutdown, grace: grace, log: log}
	return l.run(ctx)
}

// signalLoop is runUntilSignal with its signals and its time handed in.
type signalLoop struct {
	signals  <-chan os.Signal
	reload   func() error
	shutdown func(context.Context) error
	grace    time.Duration
	log      *slog.Logger

	reloaded chan struct{} // closed when the running reload ends; nil: none runs
	again    bool          // a SIGHUP came while a reload ran
}

func (l *signalLoop) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), l.end(ctx))
		case <-l.reloaded:
			l.reloaded = nil
			if l.again {
				l.startReload()
			}
		case s := <-l.signals:
			if s == syscall.SIGHUP {
				l.again = true
				if l.reloaded == nil {
					l.startReload()
				}
				continue
			}
			l.log.Info("shutting down", "signal", s.String())
			return l.end(ctx)
		}
	}
}

// startReload reloads beside the loop, so that a reload that takes long does
// not keep the server from ending.
func (l *signalLoop) startReload() {
	l.again = false
	done := make(chan struct{})
	l.reloaded = done
	go func() {
		defer close(done)
		l.log.Info("reloading")
		if err := l.reload(); err != nil {
			l.log.Error("reload failed, the old state stays in service", "error", err)
			return
		}
		l.log.Info("reloaded")
	}()
}

// end waits for a running reload and shuts down, within the grace.
func (l *signalLoop) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.grace)
	defer cancel()
	done := make(chan error, 1)
	reloaded := l.reloaded
	go func() {
		if reloaded != nil {
			<-reloaded
		}
		done <- l.shutdown(ctx)
	}()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return l.late(done)
		case s := <-l.signals:
			if s != syscall.SIGHUP {
				return errSecondSignal
			}
		}
	}
}

// late gives a shutdown that saw its context end a moment to say so, and then
// gives it up.
func (l *signalLoop) late(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-time.After(l.grace / 5):
		return fmt.Errorf("shutdown did not end within %v, connections were cut", l.grace)
	}
}
