package record

import (
	"strings"

	"geodns/internal/wire"
)

// String is the name's presentation form, with a final dot.
func (n Name) String() string { return wire.NameString([]byte(n)) }

// name reads a domain name; without a final dot it is relative to the apex.
func (p *parser) name(key string, it item) (Name, bool) {
	n, wrong := readName(it.text, p.origin.Apex)
	if wrong != "" {
		p.fail(it.at, key, quote(it.text)+" is not a domain name: "+wrong, "write labels with dots in between, as in www, or www.example. with a final dot if it is not below the apex")
		return "", false
	}
	p.warnDot(key, it)
	return n, true
}

// warnDot tells a final dot that was probably forgotten: a relative name that
// ends like the apex.
func (p *parser) warnDot(key string, it item) {
	apex := p.origin.Apex
	if wire.Labels(apex) < 2 || strings.HasSuffix(it.text, ".") {
		return
	}
	n, wrong := readName(it.text, nil)
	if wrong != "" || wire.Labels([]byte(n)) < 2 {
		return
	}
	if top := lastLabel([]byte(n)); wire.EqualFold(top, lastLabel(apex)) {
		p.add(true, RuleFinalDot, it.at, key, quote(it.text)+" is below the apex, since it has no final dot", "write "+it.text+". if that is the whole name")
	}
}

// lastLabel is the top-level label of a name with labels.
func lastLabel(name []byte) []byte {
	for {
		up := wire.Parent(name)
		if len(up) < 2 {
			return name
		}
		name = up
	}
}

// hostname reads a name of letters, digits, - and _, and gives its text
// without the final dot: for HTTP, TLS and EHLO.
func (p *parser) hostname(t *Tag) (string, bool) {
	it := item{t.Value, t.ValueAt}
	if looksLikeAddr(t.Value) {
		p.bad(t, quote(t.Value)+" is not a host name", "write a name without port, or remove the tag: the address that is probed is the default")
		return "", false
	}
	n, ok := p.name(t.Key, it)
	if !ok {
		return "", false
	}
	if !n.isHost() {
		p.bad(t, quote(t.Value)+" is not a host name", "use letters, digits, - and _ only")
		return "", false
	}
	return strings.TrimSuffix(n.String(), "."), true
}

// isHost reports whether a name has only what names of hosts are made of (RFC
// 1123 2.1), and can't be taken for an address.
func (n Name) isHost() bool {
	text := n.String()
	for _, c := range []byte(text) {
		if !letter(c) && !digit(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return text != "." && !looksLikeAddr(text)
}

// readName reads the text of a name (RFC 1035 5.1: \X and \DDD, @ is the apex)
// into lower case wire form, or says what is wrong.
func readName(text string, apex []byte) (n Name, wrong string) {
	switch text {
	case "":
		return "", "it is empty"
	case ".":
		return "\x00", ""
	case "@":
		return finish(nil, apex)
	}
	buf := make([]byte, 1, wire.MaxName+2)
	label := 0 // where the length octet of the label stands
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '.':
			if len(buf) == label+1 {
				return "", "a label is empty"
			}
			label = len(buf)
			buf = append(buf, 0)
			continue
		case c == '\\':
			var n int
			if c, n = escape(text[i+1:]); n == 0 {
				return "", `a \ stands without a character or three digits`
			}
			i += n
		case c <= ' ' || c >= 0x7f:
			return "", "blanks and characters outside of ASCII are not allowed"
		}
		buf = append(buf, c)
		if buf[label]++; buf[label] > wire.MaxLabel {
			return "", "a label is longer than 63 octets"
		}
		if len(buf) > wire.MaxName {
			return "", "it is longer than 255 octets"
		}
	}
	if len(buf) == label+1 { // a final dot
		return finish(buf[:label], nil)
	}
	return finish(buf, apex)
}

// escape reads what stands behind a \ and how much that is, 0 if it is wrong.
func escape(s string) (c byte, n int) {
	switch {
	case s == "":
		return 0, 0
	case !digit(s[0]):
		return s[0], 1
	case len(s) < 3 || !digit(s[1]) || !digit(s[2]):
		return 0, 0
	}
	v := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if v > 255 {
		return 0, 0
	}
	return byte(v), 3
}

// finish puts labels before an apex; an empty one is the root.
func finish(labels, apex []byte) (Name, string) {
	if len(apex) == 0 {
		apex = []byte{0}
	}
	full := append(labels, apex...)
	if wire.NameLen(full) != len(full) {
		return "", "it is longer than 255 octets"
	}
	return Name(wire.AppendLower(nil, full)), ""
}
