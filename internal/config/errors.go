package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	File string
	// Line and Column count from 1, columns in characters. Line is 0 where no
	// place in the file is to blame, such as a file that does not exist.
	Line, Column int
	// Message says what is wrong and what would be right.
	Message string
}

// Error returns "file:line:column: message".
func (e Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors is everything that is wrong with a configuration, in the order of
// the file.
type Errors []Error

// Error returns the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// orNil sorts the errors by place and returns them as an error, which is nil
// if there are none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	e.sort()
	return e
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
