package zonefile

import (
	"errors"
	"io"
	"strconv"
)

// Pos is a place in a file. Line and Column count from 1; Column counts bytes.
type Pos struct {
	File         string
	Line, Column int
}

// String gives "file:line:column".
func (p Pos) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Severity says whether a Finding spoils the file.
type Severity uint8

// An Error means that something in the file was not used; a Warning, that it
// was used, though perhaps not as its author meant it.
const (
	Error Severity = iota
	Warning
)

// Finding is one thing that is wrong in a file.
type Finding struct {
	Pos      Pos
	Severity Severity
	Message  string // what is wrong, in one sentence without a full stop
	Remedy   string // what to do about it; may be empty
	Rule     string // a short stable id such as "ttl-range"
}

// String gives "file:line:column: message; remedy", with "warning: " before
// the message of a warning.
func (f Finding) String() string {
	s := f.Pos.String() + ": "
	if f.Severity == Warning {
		s += "warning: "
	}
	s += f.Message
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

// Error is String: a Finding can be handed on as an error.
func (f Finding) Error() string { return f.String() }

// ErrStop is what the callback of Parse returns to end the reading; Parse
// returns it.
var ErrStop = errors.New("zonefile: stopped by the reader of the records")

// Options says what Parse starts with.
type Options struct {
	// File is the name shown in messages; relative names in $INCLUDE are
	// resolved against its directory.
	File string
	// Origin is the initial origin, in wire form and lower case. Without one
	// the first relative name before a $ORIGIN is an error.
	Origin []byte
	// Open opens the file of an $INCLUDE. The name is as written, but a relative
	// one is resolved against the directory of the including file. Confining it
	// (os.Root) is for the caller. Nil: $INCLUDE is an error.
	Open func(name string) (io.ReadCloser, error)
	// MaxRecords ends the reading with a finding when there are more; 0: no
	// limit.
	MaxRecords int
	// Strings, if not nil, tells while a record is handed over where its text
	// stands.
	Strings *Strings
}

// Stats is what Parse has read.
type Stats struct {
	Records  int      // handed to the callback
	Errors   int      // findings of severity Error
	Warnings int      // findings of severity Warning, also beyond those reported
	Bytes    int64    // of all files
	Files    []string // names given to Options.Open that were opened, in order
}

// maxFindings is how many errors end the reading, and how many warnings are
// reported: a file with more is not a master file, or wants one remedy.
const maxFindings = 1000
