package explain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// branch is a line of the tree, and what hangs on it.
type branch struct {
	mark, markStyle string // "+" or "-"
	key             string // stands in a column with those of its neighbours
	text            string
	style           string // of the text
	kids            []branch
}

func (b *branch) add(kid branch) { b.kids = append(b.kids, kid) }

// The colours of a terminal (ECMA-48 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// painter writes a tree.
type painter struct {
	on  bool
	out strings.Builder
}

// printable takes out what could steer a terminal: zones hold any octets.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

func (p *painter) paint(style, text string) {
	if !p.on || style == "" || text == "" {
		p.out.WriteString(text)
		return
	}
	p.out.WriteString("\x1b[" + style + "m" + text + "\x1b[0m")
}

// tree writes a line and its kids; lead is what stands before those.
func (p *painter) tree(b *branch, lead string) {
	p.paint(b.style, printable(b.text))
	p.out.WriteByte('\n')
	width := 0
	for i := range b.kids {
		width = max(width, utf8.RuneCountInString(printable(b.kids[i].key)))
	}
	for i := range b.kids {
		kid := &b.kids[i]
		twig, on := "├─ ", "│  "
		if i == len(b.kids)-1 {
			twig, on = "└─ ", "   "
		}
		p.paint(dim, lead+twig)
		if kid.mark != "" {
			p.paint(kid.markStyle, kid.mark+" ")
		}
		if key := printable(kid.key); key != "" {
			p.out.WriteString(key)
			if kid.text != "" {
				p.out.WriteString(strings.Repeat(" ", width-utf8.RuneCountInString(key)+2))
			}
		}
		p.tree(kid, lead+on)
	}
}
