package main

import (
	"errors"
	"fmt"
	"io"

	"geodns/internal/config"
)

// The exit codes, which scripts and units rely on.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78 // EX_CONFIG of sysexits.h
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

// errReported is a failure whose reasons a command has printed itself.
var errReported = errors.New("failed")

// report prints err, if there is one, and returns its exit code.
func report(stderr io.Writer, command string, err error) int {
	var usage usageError
	var invalid config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v; see %s --help\n", command, err, command)
		return exitUsage
	case errors.As(err, &invalid):
		fmt.Fprintln(stderr, invalid)
		return exitConfig
	}
	fmt.Fprintf(stderr, "%s: %v\n", command, err)
	return exitFailure
}
