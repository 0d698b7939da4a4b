package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"geodns/internal/config"
)

// newLogger logs to w in the format of c, from the given level on. The level
// is a variable of the caller, so that a reload can change it.
func newLogger(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	level.Set(c.Level)
	options := &slog.HandlerOptions{Level: level}
	text := c.Format == config.FormatText
	if c.Format == config.FormatAuto {
		text = isTerminal(w)
	}
	if text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
