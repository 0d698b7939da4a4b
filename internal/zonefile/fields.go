package zonefile

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"geodns/internal/wire"
)

// stringsField reads character-strings to the end.
func (p *parser) stringsField(t wire.Type, k, at int) bool {
	for ; at < len(p.lx.toks); at++ {
		if !p.stringField(t, 's', k, at) {
			return false
		}
		if len(p.data) > maxData {
			return p.fail(&p.lx.toks[at], 0, "rdata-length", "the strings of this "+TypeString(t)+" record take more than 65535 octets", "shorten them (RFC 1035 3.2.1)")
		}
	}
	return true
}

// stringField reads the kinds s, r and t, quoted or not.
func (p *parser) stringField(t wire.Type, kind byte, k, at int) bool {
	tok := &p.lx.toks[at]
	start := len(p.data)
	if kind != 'r' {
		p.data = append(p.data, 0)
	}
	data, where := appendString(p.data, p.text(tok), tok.escaped)
	p.data = data
	if where >= 0 {
		message, remedy := faultEscape.text()
		return p.fail(tok, where, "escape", "the string "+message, remedy)
	}
	if kind == 'r' {
		return true
	}
	n := len(p.data) - start - 1
	if n > 255 {
		// RFC 1035 3.3: one length octet.
		return p.fail(tok, 0, "string-length", fieldText(t, k)+" has "+itoa(n)+" octets, but a string has at most 255", `split it into several: "..." "..." (they are joined where it matters, as in DKIM)`)
	}
	p.data[start] = byte(n)
	if kind == 't' {
		return p.checkTag(tok, p.data[start+1:])
	}
	return true
}

// checkTag is RFC 8659 4.1: a tag is of letters and digits.
func (p *parser) checkTag(tok *token, tag []byte) bool {
	bad := len(tag) == 0
	for _, c := range tag {
		c |= 0x20
		bad = bad || !isDigit(c) && (c < 'a' || c > 'z')
	}
	if bad || tok.quoted {
		return p.fail(tok, 0, "caa-tag", "the tag of this CAA record, "+quote(p.text(tok))+", is not of letters and digits alone", `write issue, issuewild or iodef, such as: 0 issue "ca.example"`)
	}
	return true
}

// appendString appends the octets of a string, its escapes resolved. at is
// where a bad escape stands, -1 if there is none.
func appendString(dst, text []byte, escaped bool) (out []byte, at int) {
	if !escaped {
		return append(dst, text...), -1
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			v, n := unescape(text[i:])
			if n == 0 {
				return dst, i
			}
			c = v
			i += n - 1
		}
		dst = append(dst, c)
	}
	return dst, -1
}

// hexField reads hexadecimal digits to the end; blanks between them do not
// matter, but there must be some.
func (p *parser) hexField(t wire.Type, k, at int) bool {
	high := -1
	for ; at < len(p.lx.toks); at++ {
		if !p.unquoted(t, k, at) {
			return false
		}
		tok := &p.lx.toks[at]
		for i, c := range p.text(tok) {
			d := hexDigit(c)
			switch {
			case d < 0:
				return p.fail(tok, i, "hex", fieldText(t, k)+" has "+quote([]byte{c})+", which is no hexadecimal digit", "copy it again")
			case high < 0:
				high = d
			default:
				p.data = append(p.data, byte(high<<4|d))
				high = -1
			}
		}
	}
	if high >= 0 {
		last := &p.lx.toks[len(p.lx.toks)-1]
		return p.fail(last, 0, "hex", fieldText(t, k)+" has an odd number of hexadecimal digits", "copy it whole")
	}
	return true
}

// saltField reads a salt of NSEC3 and its length octet (RFC 5155 3.3).
func (p *parser) saltField(t wire.Type, k, at int) bool {
	tok := &p.lx.toks[at]
	text := p.text(tok)
	if !tok.quoted && len(text) == 1 && text[0] == '-' {
		p.data = append(p.data, 0)
		return true
	}
	start := len(p.data)
	data, err := hex.AppendDecode(append(p.data, 0), text)
	p.data = data
	n := len(p.data) - start - 1
	if err != nil || tok.quoted || n > 255 {
		return p.fail(tok, 0, "hex", fieldValue(t, k, text)+" is not hexadecimal of at most 255 octets", "copy it again, or write - for no salt")
	}
	p.data[start] = byte(n)
	return true
}

// hashField reads a hash of NSEC3 and its length octet (RFC 5155 3.3).
func (p *parser) hashField(t wire.Type, k, at int) bool {
	tok := &p.lx.toks[at]
	text := p.text(tok)
	p.scratch = p.scratch[:0]
	for _, c := range text {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		p.scratch = append(p.scratch, c)
	}
	start := len(p.data)
	data, err := base32.HexEncoding.WithPadding(base32.NoPadding).AppendDecode(append(p.data, 0), p.scratch)
	p.data = data
	n := len(p.data) - start - 1
	if err != nil || tok.quoted || n == 0 || n > 255 {
		return p.fail(tok, 0, "base32", fieldValue(t, k, text)+" is not base 32 (RFC 4648 7)", "copy it again")
	}
	p.data[start] = byte(n)
	return true
}

// base64Field reads base 64 to the end, in as many pieces as there are.
func (p *parser) base64Field(t wire.Type, k, at int) bool {
	first := at
	p.scratch = p.scratch[:0]
	for ; at < len(p.lx.toks); at++ {
		if !p.unquoted(t, k, at) {
			return false
		}
		p.scratch = append(p.scratch, p.text(&p.lx.toks[at])...)
	}
	data, err := base64.StdEncoding.AppendDecode(p.data, p.scratch)
	if err != nil {
		p.base64Fault(t, k, first, err)
		return false
	}
	p.data = data
	return true
}

// base64Fault finds the token that an error is about.
func (p *parser) base64Fault(t wire.Type, k, at int, err error) {
	offset := 0
	if e, ok := err.(base64.CorruptInputError); ok {
		offset = int(e)
	}
	for at < len(p.lx.toks)-1 {
		n := int(p.lx.toks[at].end - p.lx.toks[at].start)
		if offset < n {
			break
		}
		offset, at = offset-n, at+1
	}
	tok := &p.lx.toks[at]
	p.fail(tok, min(offset, int(tok.end-tok.start)), "base64", fieldText(t, k)+" is not base 64 from here on", "copy it whole, with the = signs at its end")
}

// bitmapField reads types to the end and packs them as RFC 4034 4.1.2 says. The
// order in the text does not matter.
func (p *parser) bitmapField(at int) bool {
	var room [64]wire.Type
	types := room[:0]
	for ; at < len(p.lx.toks); at++ {
		tok := &p.lx.toks[at]
		typ, ok := typeOf(p.text(tok))
		if !ok || tok.quoted {
			return p.fail(tok, 0, "type", quote(p.text(tok))+" is no record type", "write a mnemonic, or TYPE and a number (RFC 3597)")
		}
		types = append(types, typ)
	}
	slices.Sort(types)
	p.data = appendBitmap(p.data, types)
	return true
}

// appendBitmap packs sorted types.
func appendBitmap(dst []byte, types []wire.Type) []byte {
	window, length := -1, 0 // the current window and where its length octet is
	for _, t := range types {
		if int(t>>8) != window {
			window = int(t >> 8)
			dst = append(dst, byte(window), 0)
			length = len(dst) - 1
		}
		octet := int(t&0xff) / 8
		for int(dst[length]) <= octet {
			dst = append(dst, 0)
			dst[length]++
		}
		dst[length+1+octet] |= 0x80 >> (t & 7)
	}
	return dst
}
