package zonefile

import "geodns/internal/wire"

// Strings tells where the text of a TXT record stands in its file, for who
// finds something in the text later on.
type Strings struct {
	p     *parser
	first int // token of the RDATA
}

// Stretch is a part of a text that stands in the file as it is: octet At+i of
// the text is i columns behind Pos.
type Stretch struct {
	At  int
	Pos Pos
}

// Stretches are the parts of the strings of the record that Parse hands over at
// the moment, joined without anything in between, in their order. A new one
// begins with each string, and behind each escape. There are none for other
// types, for the form of RFC 3597 and for $GENERATE, whose text stands nowhere.
func (s *Strings) Stretches() (out []Stretch) {
	p := s.p
	if p == nil || p.generated != nil || p.rr.Type != wire.TypeTXT {
		return nil
	}
	at := 0
	for i := s.first; i < len(p.lx.toks); i++ {
		t := &p.lx.toks[i]
		text := p.text(t)
		if i == s.first && !t.quoted && string(text) == `\#` {
			return nil
		}
		pos := p.place(t, 0)
		if t.quoted {
			pos.Column++
		}
		out = append(out, Stretch{at, pos})
		for j := 0; j < len(text); at++ {
			n := 1
			if text[j] == '\\' {
				_, n = unescape(text[j:])
				n = max(n, 1)
			}
			if j += n; n > 1 && j < len(text) {
				out = append(out, Stretch{at + 1, Pos{pos.File, pos.Line, pos.Column + j}})
			}
		}
	}
	return out
}
