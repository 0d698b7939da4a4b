package zonefile

import (
	"bytes"
	"io"
)

// The sizes of the sliding buffer, in octets. It starts small, because there
// may be a hundred thousand small files, and grows once a file proves long.
const (
	firstBuffer = 8 << 10
	usualBuffer = 256 << 10
	maxEntry    = 1 << 20 // the longest entry, and so the largest buffer
)

// What an octet means outside quotes.
const (
	plainByte = iota
	spaceByte
	newlineByte
	returnByte
	commentByte
	quoteByte
	openByte
	closeByte
	escapeByte
	controlByte
)

// classes maps each octet to its meaning (RFC 1035 5.1). Octets over 127 are
// plain: text in UTF-8 is kept as it is. It is never written to after start.
var classes = func() (t [256]uint8) {
	for i := range 0x20 {
		t[i] = controlByte
	}
	t[0x7f] = controlByte
	t[' '], t['\t'] = spaceByte, spaceByte
	t['\n'], t['\r'] = newlineByte, returnByte
	t[';'], t['"'], t['\\'] = commentByte, quoteByte, escapeByte
	t['('], t[')'] = openByte, closeByte
	return t
}()

// token is one field of an entry. Offsets are into the lexer's buffer and hold
// until the next entry is asked for. Tokens are handed around by pointer: a copy
// right behind the writing of the fields waits for the store buffer, which made
// the whole reading slower by 40 %.
type token struct {
	start, end int32 // the text, without its quotes
	line       int32 // lines below the entry's first
	column     int32 // of start, or of the opening quote; from 1
	quoted     bool
	glued      bool // nothing stands between it and the token before
	escaped    bool // has a backslash
}

// trouble is a mistake that the lexer met. The first one of an entry counts,
// but for an unclosed parenthesis, which explains all others.
type trouble struct {
	rule         string // empty: none
	line, column int
	octet        byte
}

// lexer splits a file into entries and these into tokens (RFC 1035 5.1): an
// entry ends with its line, unless a parenthesis is open.
type lexer struct {
	r        io.Reader
	buf      []byte
	pos, end int   // buf[pos:end] is read but not used yet
	read     int64 // octets so far
	eof      bool
	err      error // what the reader said, other than io.EOF
	line     int   // number of the line at pos

	toks  []token
	entry int  // number of the line that the entry begins on
	blank bool // the entry begins with a blank: it inherits the owner
	bad   trouble
}

// newLexer reads from r. With a nil r, buf is all there is.
func newLexer(r io.Reader, buf []byte) *lexer {
	l := &lexer{r: r, buf: buf, end: len(buf), line: 1, eof: r == nil}
	if r != nil {
		l.buf = make([]byte, firstBuffer)
	}
	return l
}

// reset makes l read buf alone, as line 1.
func (l *lexer) reset(buf []byte) {
	l.buf, l.pos, l.end, l.line = buf, 0, len(buf), 1
}

// next finds the next entry and reports whether there is one. An entry can be
// without tokens if l.bad says why.
func (l *lexer) next() bool {
	for {
		from := l.pos
		switch l.scan() {
		case scanDone:
			return true
		case scanEnd:
			return false
		}
		if l.pos == from && l.end-l.pos >= maxEntry {
			l.tooLong()
			return true
		}
		l.fill()
	}
}

// fill gets more of the file behind what is not used yet. The reader is asked
// until the buffer is full, so that an entry is scanned again only a few times
// however small the reader's pieces are.
func (l *lexer) fill() {
	switch {
	case l.end-l.pos == len(l.buf) || len(l.buf) < usualBuffer && l.read > 0:
		size := max(min(len(l.buf)*8, usualBuffer), min((l.end-l.pos)*2, maxEntry))
		buf := make([]byte, size)
		copy(buf, l.buf[l.pos:l.end])
		l.buf = buf
	case l.pos > 0:
		copy(l.buf, l.buf[l.pos:l.end])
	}
	l.pos, l.end = 0, l.end-l.pos
	idle := 0
	for l.end < len(l.buf) && !l.eof {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.read += int64(n)
		if n > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			l.eof = true
			if err != io.EOF {
				l.err = err
			}
		}
	}
}

// What scan found.
const (
	scanDone = iota
	scanMore // the buffer ends within the entry
	scanEnd  // the file ends
)

// scanner is where scan stands within an entry.
type scanner struct {
	at        int // offset into the buffer
	line      int // lines below l.line
	lineStart int // offset
	depth     int // open parentheses
	opened    token
	openEnd   int // offset behind the outermost parenthesis
	lastEnd   int // offset behind the last token, its quote included
}

// scan splits one entry, from l.pos. It moves l.pos only over what is finished:
// empty lines and comments, and the entry itself.
func (l *lexer) scan() int {
	l.toks, l.blank = l.toks[:0], false
	if l.bad.rule != "" {
		l.bad = trouble{}
	}
	s := scanner{at: l.pos, lineStart: l.pos, lastEnd: -1}
	buf := l.buf[:l.end]
	for s.at < len(buf) {
		switch classes[buf[s.at]] {
		case plainByte, escapeByte:
			if !l.word(&s, buf) {
				return scanMore
			}
		case spaceByte:
			if s.at == s.lineStart && s.depth == 0 {
				l.blank = true
			}
			s.at++
		case newlineByte:
			s.at++
			s.line++
			s.lineStart = s.at
			if s.depth > 0 {
				continue
			}
			if len(l.toks) > 0 || l.bad.rule != "" {
				l.finish(&s)
				return scanDone
			}
			l.blank = false
			l.pos, l.line, s.line = s.at, l.line+s.line, 0
		default:
			if !l.special(&s, buf) {
				return scanMore
			}
		}
	}
	if !l.eof {
		return scanMore
	}
	if s.depth > 0 {
		l.unclosed(&s)
		return scanDone
	}
	if len(l.toks) > 0 || l.bad.rule != "" {
		l.finish(&s)
		return scanDone
	}
	l.pos = l.end
	return scanEnd
}

// finish makes l.pos and l.line those behind the entry.
func (l *lexer) finish(s *scanner) {
	l.entry = l.line
	l.pos, l.line = s.at, l.line+s.line
}

// special handles the octets that are rare. It returns false if the buffer
// ends too early to tell.
func (l *lexer) special(s *scanner, buf []byte) bool {
	c := buf[s.at]
	switch classes[c] {
	case commentByte:
		n := bytes.IndexByte(buf[s.at:], '\n')
		if n < 0 {
			n = len(buf) - s.at
		}
		s.at += n
		return true
	case quoteByte:
		return l.quoted(s, buf)
	case openByte:
		if s.depth == 0 {
			s.opened = token{line: int32(s.line), column: int32(s.at - s.lineStart + 1)}
			s.openEnd = s.at + 1
		}
		s.depth++
	case closeByte:
		if s.depth == 0 {
			l.note("parenthesis-extra", s, s.at, c)
		} else {
			s.depth--
		}
	case returnByte:
		if s.at+1 == len(buf) && !l.eof {
			return false
		}
		if s.at+1 < len(buf) && buf[s.at+1] != '\n' {
			l.note("bare-cr", s, s.at, c)
		}
	default:
		l.note("control", s, s.at, c)
	}
	s.at++
	return true
}

// word takes an unquoted token. It returns false if the buffer ends too early
// to tell where the token does.
func (l *lexer) word(s *scanner, buf []byte) bool {
	start, i := s.at, s.at
	escaped := false
	for i < len(buf) {
		c := classes[buf[i]]
		if c == plainByte {
			i++
			continue
		}
		if c != escapeByte {
			break
		}
		escaped = true
		if i+1 == len(buf) && !l.eof {
			return false
		}
		if i+1 == len(buf) || !escapable(buf[i+1]) {
			l.note("escape", s, i, '\\')
			i++
			continue
		}
		i += 2
	}
	if i == len(buf) && !l.eof {
		return false
	}
	l.toks = append(l.toks, token{
		start: int32(start), end: int32(i), line: int32(s.line), column: int32(start - s.lineStart + 1),
		glued: start == s.lastEnd, escaped: escaped,
	})
	s.at, s.lastEnd = i, i
	return true
}

// escapable reports whether c can stand behind a backslash.
func escapable(c byte) bool {
	switch classes[c] {
	case newlineByte, returnByte, controlByte:
		return false
	}
	return true
}

// quoted takes a quoted token. A quote has to be closed on its line, as for
// BIND: a forgotten one must not swallow the rest of the file.
func (l *lexer) quoted(s *scanner, buf []byte) bool {
	open := s.at
	escaped := false
	for i := open + 1; i < len(buf); i++ {
		switch classes[buf[i]] {
		case quoteByte:
			l.toks = append(l.toks, token{
				start: int32(open + 1), end: int32(i), line: int32(s.line), column: int32(open - s.lineStart + 1),
				quoted: true, glued: open == s.lastEnd, escaped: escaped,
			})
			s.at, s.lastEnd = i+1, i+1
			return true
		case newlineByte:
			l.note("quote-open", s, open, '"')
			s.at = i
			return true
		case escapeByte:
			escaped = true
			if i+1 < len(buf) && escapable(buf[i+1]) {
				i++
			}
		case controlByte:
			l.note("control", s, i, buf[i])
		case returnByte:
			if i+1 < len(buf) && buf[i+1] != '\n' {
				l.note("bare-cr", s, i, '\r')
			}
		}
	}
	if !l.eof {
		return false
	}
	l.note("quote-open", s, open, '"')
	s.at = len(buf)
	return true
}

// note records a mistake, unless there was one in the entry already.
func (l *lexer) note(rule string, s *scanner, at int, c byte) {
	if l.bad.rule == "" {
		l.bad = trouble{rule: rule, line: l.line + s.line, column: at - s.lineStart + 1, octet: c}
	}
}

// unclosed ends an entry whose parenthesis is not closed, and goes on at the
// next line that looks like the beginning of an entry.
func (l *lexer) unclosed(s *scanner) {
	l.entry = l.line
	l.toks = l.toks[:0] // their offsets do not survive the skipping
	l.bad = trouble{rule: "parenthesis-open", line: l.line + int(s.opened.line), column: int(s.opened.column), octet: '('}
	l.pos, l.line = s.openEnd, l.line+int(s.opened.line)
	l.skipLine()
	l.recover()
}

// tooLong ends an entry that does not fit into the largest buffer.
func (l *lexer) tooLong() {
	s := l.openParenthesis()
	if s.depth > 0 {
		l.unclosed(&s)
		return
	}
	l.entry = l.line
	l.toks = l.toks[:0]
	l.bad = trouble{rule: "entry-length", line: l.line, column: 1}
	l.skipLine()
}

// openParenthesis scans the full buffer once more for the parenthesis that
// keeps its entry open, if one does.
func (l *lexer) openParenthesis() scanner {
	s := scanner{at: l.pos, lineStart: l.pos, lastEnd: -1}
	buf := l.buf[:l.end]
	l.toks = l.toks[:0]
	for s.at < len(buf) {
		ok := true
		switch classes[buf[s.at]] {
		case plainByte, escapeByte:
			ok = l.word(&s, buf)
		case spaceByte:
			s.at++
		case newlineByte:
			s.at++
			s.line++
			s.lineStart = s.at
		default:
			ok = l.special(&s, buf)
		}
		if !ok {
			break
		}
	}
	return s
}

// skipLine goes behind the next newline, however far it is.
func (l *lexer) skipLine() {
	for {
		if n := bytes.IndexByte(l.buf[l.pos:l.end], '\n'); n >= 0 {
			l.pos += n + 1
			l.line++
			return
		}
		l.pos = l.end
		if l.eof {
			return
		}
		l.fill()
	}
}

// glance is how much of a line recover looks at, in octets.
const glance = 1024

// recover goes to the next line that looks like the beginning of an entry.
func (l *lexer) recover() {
	for {
		if l.end-l.pos < glance && !l.eof {
			l.fill()
		}
		if l.pos == l.end {
			return
		}
		line := l.buf[l.pos:min(l.end, l.pos+glance)]
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line = line[:n]
		}
		if plausible(line) {
			return
		}
		l.skipLine()
	}
}

// plausible reports whether line looks like the beginning of an entry: a
// directive, or [owner] [TTL] [class] type and something behind it.
func plausible(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	if line[0] == '$' {
		return true
	}
	rest := line
	if classes[line[0]] != spaceByte {
		_, rest = field(line)
	}
	var f []byte
	for range 3 {
		f, rest = field(rest)
		if len(f) == 0 {
			return false
		}
		if _, ok := typeOf(f); ok {
			f, _ = field(rest)
			return len(f) > 0
		}
		if _, isClass := classOf(f); !isClass && !isDigit(f[0]) {
			return false
		}
	}
	return false
}

// field cuts the first word from line.
func field(line []byte) (f, rest []byte) {
	i := 0
	for i < len(line) && classes[line[i]] == spaceByte {
		i++
	}
	j := i
	for j < len(line) && (classes[line[j]] == plainByte || classes[line[j]] == escapeByte || j > i && line[j-1] == '\\') {
		j++
	}
	if j == i && j < len(line) && (classes[line[j]] == quoteByte || classes[line[j]] == openByte) {
		j++
	}
	return line[i:j], line[j:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
