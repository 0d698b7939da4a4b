package zonefile

import (
	"bytes"
	"strconv"
)

// maxGenerate is how many records one $GENERATE may make: a /12 of addresses.
const maxGenerate = 1 << 20

// generator is a $GENERATE at work.
type generator struct {
	pos    Pos // of the directive
	value  int // of the iterator
	failed bool
}

// generate is BIND's $GENERATE range owner [TTL] [class] type data. The records
// are made one by one. It ends at the first that cannot be read, as the others
// would fail alike.
func (p *parser) generate() {
	const form = "$GENERATE, a range such as 1-9 or 0-100/2, an owner, a type and its data"
	if !p.arguments(4, 1<<30, form) {
		return
	}
	first, last, step, ok := p.generateRange(&p.lx.toks[1])
	if !ok {
		return
	}
	template, ok := p.template(p.lx.toks[2:])
	if !ok {
		return
	}
	g := &generator{pos: p.place(&p.lx.toks[0], 0)}
	outer := p.lx
	inner := newLexer(nil, nil)
	p.lx, p.generated = inner, g
	var line []byte
	for v := first; v <= last && !p.done && !g.failed; v += step {
		g.value = v
		line = template.appendFor(line[:0], v)
		inner.reset(line)
		if !inner.next() || inner.bad.rule != "" || inner.pos != inner.end {
			p.fail(&token{}, 0, "generate", "what is made reads as no record: "+quote(line), "look at what the dollar signs stand for")
			break
		}
		p.entry()
	}
	p.lx, p.generated = outer, nil
}

// generateRange reads start-stop[/step].
func (p *parser) generateRange(t *token) (first, last, step int, ok bool) {
	const remedy = "write start-stop or start-stop/step, such as 1-9 or 0-100/2"
	text := p.text(t)
	span, stepText, stepped := bytes.Cut(text, []byte("/"))
	from, to, dashed := bytes.Cut(span, []byte("-"))
	a, ok1 := number(from, 1<<31-1)
	b, ok2 := number(to, 1<<31-1)
	s, ok3 := uint64(1), true
	if stepped {
		s, ok3 = number(stepText, 1<<31-1)
	}
	switch {
	case t.quoted || !dashed || !ok1 || !ok2 || !ok3 || s == 0:
		p.fail(t, 0, "generate", quote(text)+" is no range", remedy)
	case a > b:
		p.fail(t, 0, "generate", "the range "+quote(text)+" begins behind its end", remedy)
	case (b-a)/s >= maxGenerate:
		p.fail(t, 0, "generate", "the range "+quote(text)+" makes more than "+itoa(maxGenerate)+" records", "split it into several lines")
	default:
		return int(a), int(b), int(s), true
	}
	return 0, 0, 0, false
}

// template is a $GENERATE's text, cut where the iterator stands.
type template []piece

// piece is some text and, if base is set, the iterator behind it.
type piece struct {
	text   []byte
	base   byte // d, o, x, X, n or N; 0: text alone
	offset int
	width  int
}

// template cuts the fields behind the range.
func (p *parser) template(toks []token) (template, bool) {
	var out template
	// BIND takes the data as one field, so what has several fields is quoted
	// there; data in several fields is taken as it stands.
	bare := -1
	if last := len(toks) - 1; toks[last].quoted && p.dataAt(toks) == last {
		bare = last
	}
	for i := range toks {
		t := &toks[i]
		if i > 0 && !t.glued {
			out = append(out, piece{text: []byte(" ")})
		}
		marks := t.quoted && i != bare
		if marks {
			out = append(out, piece{text: []byte(`"`)})
		}
		text := p.text(t)
		if i == bare {
			text = unescapeQuotes(text)
		}
		var ok bool
		if out, ok = p.pieces(out, t, text); !ok {
			return nil, false
		}
		if marks {
			out = append(out, piece{text: []byte(`"`)})
		}
	}
	return out, true
}

// dataAt is where the data begins: behind the owner, the TTL, the class and the
// type.
func (p *parser) dataAt(toks []token) int {
	for i := 1; i < len(toks); i++ {
		text := p.text(&toks[i])
		if toks[i].quoted {
			return i
		}
		if _, isType := typeOf(text); isType {
			return i + 1
		}
	}
	return len(toks)
}

// unescapeQuotes takes the backslashes from the quotes within a quoted field.
func unescapeQuotes(b []byte) []byte {
	return bytes.ReplaceAll(b, []byte(`\"`), []byte(`"`))
}

// pieces cuts one field.
func (p *parser) pieces(out template, t *token, text []byte) (template, bool) {
	from := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++ // and the octet behind it stays as it is, also a dollar sign
		case text[i] != '$':
		case i+1 < len(text) && text[i+1] == '$':
			out = append(out, piece{text: bytes.Clone(text[from : i+1])})
			i++
			from = i + 1
		default:
			q, n, ok := iterator(text[i:])
			if !ok {
				return nil, p.fail(t, i, "generate", quote(text[i:])+" is no way to write the iterator", "write $, or ${offset,width,base} with a base of d, o, x, X, n or N and a width of at most 255")
			}
			q.text = bytes.Clone(text[from:i])
			out = append(out, q)
			i += n - 1
			from = i + 1
		}
	}
	return append(out, piece{text: bytes.Clone(text[from:])}), true
}

// iterator reads $ or ${offset[,width[,base]]}, and says how long it is.
func iterator(text []byte) (q piece, n int, ok bool) {
	q = piece{base: 'd'}
	if len(text) < 2 || text[1] != '{' {
		return q, 1, true
	}
	end := bytes.IndexByte(text, '}')
	if end < 0 {
		return q, 0, false
	}
	parts := bytes.Split(text[2:end], []byte(","))
	if len(parts) > 3 {
		return q, 0, false
	}
	digits, sign := parts[0], 1
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		if digits[0] == '-' {
			sign = -1
		}
		digits = digits[1:]
	}
	v, ok := number(digits, 1<<31-1)
	if !ok {
		return q, 0, false
	}
	q.offset = sign * int(v)
	if len(parts) > 1 {
		if v, ok = number(parts[1], 255); !ok {
			return q, 0, false
		}
		q.width = int(v)
	}
	if len(parts) > 2 {
		if len(parts[2]) != 1 || bytes.IndexByte([]byte("doxXnN"), parts[2][0]) < 0 {
			return q, 0, false
		}
		q.base = parts[2][0]
	}
	return q, end + 1, true
}

// appendFor appends the text for one value of the iterator.
func (t template) appendFor(dst []byte, v int) []byte {
	for _, q := range t {
		dst = append(dst, q.text...)
		switch n := int64(v) + int64(q.offset); q.base {
		case 0:
		case 'd':
			dst = padded(dst, n, 10, q.width, false)
		case 'o':
			dst = padded(dst, n, 8, q.width, false)
		case 'x', 'X':
			dst = padded(dst, n, 16, q.width, q.base == 'X')
		default:
			dst = nibbles(dst, n, q.width, q.base == 'N')
		}
	}
	return dst
}

// padded appends n with zeros in front to fill width, a sign included.
func padded(dst []byte, n int64, base, width int, upper bool) []byte {
	if n < 0 {
		dst, n, width = append(dst, '-'), -n, width-1
	}
	digits := strconv.AppendInt(nil, n, base)
	if upper {
		digits = bytes.ToUpper(digits)
	}
	for i := len(digits); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// nibbles appends the hexadecimal digits of n, the lowest first and each but
// the last with a dot behind it, as ip6.arpa has them. The dots count for width.
func nibbles(dst []byte, n int64, width int, upper bool) []byte {
	digits := "0123456789abcdef"
	if upper {
		digits = "0123456789ABCDEF"
	}
	for u := uint64(n); ; {
		dst = append(dst, digits[u&15])
		u >>= 4
		width--
		if width <= 0 && u == 0 {
			return dst
		}
		dst = append(dst, '.')
		width--
		if width <= 0 && u == 0 {
			return dst
		}
	}
}
