package geo

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	// Line and Column count from 1, columns in characters. Line is 0 where the
	// file as a whole is to blame.
	Line, Column int
	// Message says what is wrong and what to do.
	Message string
}

// Error returns "file:line:column: message".
func (e Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors is what is wrong with a file, in the order of its lines, a hundred at
// most.
type Errors []Error

// maxErrors bounds the errors that are collected of a file.
const maxErrors = 100

// Error returns the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// maxQuote bounds how much of a value is repeated in messages, in octets.
const maxQuote = 64

// clip makes a value of a file fit to be shown to people.
func clip(s string) string {
	if len(s) > maxQuote {
		n := maxQuote
		for n > maxQuote-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}
