package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"geodns/internal/config"
)

func TestRun(t *testing.T) {
	tests := []struct {
		args   string
		code   int
		stdout string // begins with this
		stderr string // is this
	}{
		{"", exitUsage, "", "geodns: a command is missing; see geodns --help\n"},
		{"versoin", exitUsage, "", "geodns: unknown command \"versoin\", did you mean version?; see geodns --help\n"},
		{"flatten", exitUsage, "", "geodns: unknown command \"flatten\"; see geodns --help\n"},
		{"--colour", exitUsage, "", "geodns: unknown flag: --colour; see geodns --help\n"},
		{"version now", exitUsage, "", "geodns version: unexpected argument \"now\"; see geodns version --help\n"},
		{"version --json", exitUsage, "", "geodns version: unknown flag: --json; see geodns version --help\n"},
		{"version", exitOK, "geodns ", ""},
		{"--help", exitOK, "An authoritative DNS server", ""},
		{"help version", exitOK, "Print the version", ""},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.HasPrefix(stdout.String(), tt.stdout) || stderr.String() != tt.stderr {
			t.Errorf("geodns %s: code %d, stdout %q, stderr %q; want %d, %q.., %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
		if tt.code != exitOK && stdout.Len() > 0 {
			t.Errorf("geodns %s: writes to stdout although it fails: %q", tt.args, &stdout)
		}
	}
}

func TestReport(t *testing.T) {
	invalid := config.Errors{{File: "a", Line: 1, Column: 2, Message: "bad"}, {File: "a", Line: 3, Column: 4, Message: "worse"}}
	tests := []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, 0, ""},
		{errors.New("no luck"), 1, "geodns serve: no luck\n"},
		{errReported, 1, ""},
		{fmt.Errorf("zones: %w", errReported), 1, ""},
		{usageError{errors.New("what?")}, 2, "geodns serve: what?; see geodns serve --help\n"},
		{invalid, 78, "a:1:2: bad\na:3:4: worse\n"},
		{fmt.Errorf("start: %w", invalid), 78, "a:1:2: bad\na:3:4: worse\n"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		if code := report(&stderr, "geodns serve", tt.err); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("report(%v): code %d, %q; want %d, %q", tt.err, code, &stderr, tt.code, tt.stderr)
		}
	}
}

func TestVersionOutput(t *testing.T) {
	var stdout, stderr bytes.Buffer
	run([]string{"version"}, &stdout, &stderr)
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], runtime.Version()) || !strings.HasPrefix(lines[2], "features: udp") {
		t.Errorf("version prints %q", &stdout)
	}
}

func TestVersionOf(t *testing.T) {
	vcs := func(version, revision, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified},
		}}
	}
	tests := []struct {
		stamp string
		info  *debug.BuildInfo
		want  string
	}{
		{"v1.2.3-4-gabc", vcs("v9.9.9", "", ""), "v1.2.3-4-gabc"},
		{"", vcs("v1.2.3", "0123456789abcdef", "false"), "v1.2.3"},
		{"", vcs("(devel)", "0123456789abcdef", "false"), "0123456789ab"},
		{"", vcs("(devel)", "0123456789abcdef", "true"), "0123456789ab-dirty"},
		{"", vcs("", "short", "true"), "short-dirty"},
		{"", &debug.BuildInfo{}, "unknown"},
		{"", nil, "unknown"},
	}
	for _, tt := range tests {
		if got := versionOf(tt.stamp, tt.info); got != tt.want {
			t.Errorf("versionOf(%q, %+v) = %q, want %q", tt.stamp, tt.info, got, tt.want)
		}
	}
}

func TestLogger(t *testing.T) {
	tests := []struct {
		format config.LogFormat
		want   string
	}{
		{config.FormatText, `level=WARN msg="look here" n=1`},
		{config.FormatJSON, `"level":"WARN","msg":"look here","n":1`},
		{config.FormatAuto, `"level":"WARN","msg":"look here","n":1`}, // no terminal
	}
	for _, tt := range tests {
		var out bytes.Buffer
		var level slog.LevelVar
		log := newLogger(&out, config.Log{Level: slog.LevelWarn, Format: tt.format}, &level)
		log.Info("not logged")
		log.Warn("look here", "n", 1)
		if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "not logged") {
			t.Errorf("%s: logged %q, want %q alone", tt.format, got, tt.want)
		}
		level.Set(slog.LevelDebug)
		if !log.Enabled(context.Background(), slog.LevelDebug) {
			t.Errorf("%s: the level does not follow its variable", tt.format)
		}
	}
	if isTerminal(io.Discard) {
		t.Error("io.Discard is no terminal")
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	var logged bytes.Buffer
	n := notifier{log: slog.New(slog.NewTextHandler(&logged, nil))}
	receive := func() string {
		buf := make([]byte, 512)
		size, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:size])
	}

	n.ready("3 zones\nSTOPPING=1")
	if got, want := receive(), "READY=1\nSTATUS=3 zones STOPPING=1"; got != want {
		t.Errorf("ready sent %q, want %q", got, want)
	}
	n.reloading()
	var usec int64
	if got := receive(); !scans(got, "RELOADING=1\nMONOTONIC_USEC=%d", &usec) || usec <= 0 {
		t.Errorf("reloading sent %q", got)
	}
	n.status("4 zones")
	if got, want := receive(), "STATUS=4 zones"; got != want {
		t.Errorf("status sent %q, want %q", got, want)
	}
	n.stopping()
	if got, want := receive(), "STOPPING=1"; got != want {
		t.Errorf("stopping sent %q, want %q", got, want)
	}

	t.Setenv("NOTIFY_SOCKET", "")
	n.ready("nobody listens")
	if logged.Len() > 0 {
		t.Errorf("without a service manager it logs %q", &logged)
	}
	t.Setenv("NOTIFY_SOCKET", path+".missing")
	n.ready("nobody listens")
	if !strings.Contains(logged.String(), "cannot notify") {
		t.Errorf("a socket that is not there logs %q", &logged)
	}
}

func scans(s, format string, args ...any) bool {
	n, err := fmt.Sscanf(s, format, args...)
	return err == nil && n == len(args)
}
