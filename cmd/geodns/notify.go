package main

import (
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how the server is (sd_notify(3)). Without
// a service manager (NOTIFY_SOCKET is not set) it does nothing. What cannot be
// sent is logged and otherwise ignored: the server serves all the same.
type notifier struct {
	log *slog.Logger
}

// ready says that the server serves, after a start or a reload.
func (n notifier) ready(status string) {
	n.send(daemon.SdNotifyReady, statusLine(status))
}

// reloading says that a reload has begun; ready has to follow, whether it
// succeeds or not. Type=notify-reload wants the time with it.
func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

// stopping says that the server is about to end.
func (n notifier) stopping() {
	n.send(daemon.SdNotifyStopping)
}

// status sets the line that systemctl status shows.
func (n notifier) status(status string) {
	n.send(statusLine(status))
}

// statusLine makes one assignment of status, which must not begin others.
func statusLine(status string) string {
	return "STATUS=" + strings.ReplaceAll(status, "\n", " ")
}

func (n notifier) send(assignments ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(assignments, "\n")); err != nil {
		n.log.Warn("cannot notify the service manager", "error", err)
	}
}
