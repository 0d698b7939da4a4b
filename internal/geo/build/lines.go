package build

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxLine is how long a line may be, in octets.
const maxLine = 64 << 10

var errLong = errors.New("the line is longer than 65,536 octets; is this the right file?")

// lines reads a file line by line in constant memory.
type lines struct {
	r    *bufio.Reader
	line int // of the text that next returned last, from 1
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxLine)} }

// next returns a line without its end, valid until the following call. The
// error is io.EOF at the end, errLong for a line that was skipped, or the
// file's.
func (l *lines) next() ([]byte, error) {
	text, err := l.r.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err == nil || err == io.EOF {
			err = errLong
		}
		return nil, err
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if l.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
}

// field is a field of a line: its text, without the blanks around it, and the
// column that it begins at, from 1, in octets.
type field struct {
	text   string
	column int
}

// split cuts a line at sep.
func split(line string, sep byte, into []field) []field {
	into = into[:0]
	for column := 1; ; {
		text, rest, more := strings.Cut(line, string(sep))
		into = append(into, trimmed(text, column))
		if !more {
			return into
		}
		column += len(text) + 1
		line = rest
	}
}

func trimmed(text string, column int) field {
	begun := strings.TrimLeft(text, " \t")
	return field{strings.TrimRight(begun, " \t"), column + len(text) - len(begun)}
}

// splitCSV cuts a line of CSV (RFC 4180) at its commas; a field may be quoted,
// and a quote in it doubled, but it cannot go over the end of the line. A # that
// isn't quoted begins a comment (RFC 8805 section 2.1). Column is where it went
// wrong, 0 if it did not.
func splitCSV(line string, into []field) (fields []field, column int) {
	into = into[:0]
	for at := 0; ; {
		start := at + len(line[at:]) - len(strings.TrimLeft(line[at:], " \t"))
		if start == len(line) || line[start] != '"' {
			text := line[at:]
			if end := strings.IndexAny(text, ",#"); end >= 0 {
				text = text[:end]
			}
			into = append(into, trimmed(text, at+1))
			if at += len(text); at == len(line) || line[at] == '#' {
				return into, 0
			}
			at++
			continue
		}
		text, end := quoted(line, start)
		if end == 0 {
			return nil, start + 1
		}
		into = append(into, field{text, start + 1})
		after := strings.TrimLeft(line[end:], " \t")
		at = len(line) - len(after)
		switch {
		case after == "" || after[0] == '#':
			return into, 0
		case after[0] != ',':
			return nil, at + 1
		}
		at++
	}
}

// quoted returns the text of the field that is quoted at start, and where the
// line goes on after it; 0 if its end is missing.
func quoted(line string, start int) (string, int) {
	var text strings.Builder
	for at := start + 1; at < len(line); at++ {
		if line[at] != '"' {
			text.WriteByte(line[at])
			continue
		}
		if at+1 < len(line) && line[at+1] == '"' {
			text.WriteByte('"')
			at++
			continue
		}
		return text.String(), at + 1
	}
	return "", 0
}

// printable says whether text can be shown to people, and written as a name.
func printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}
