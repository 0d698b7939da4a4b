package zonefile

import (
	"errors"

	"geodns/internal/wire"
)

// letters are two ways to write octets: as they are, and in lower case
// (RFC 4343). They are never written to after start.
var letters = func() (t struct{ kept, lower [256]byte }) {
	for i := range 256 {
		t.kept[i], t.lower[i] = byte(i), byte(i)
		if i >= 'A' && i <= 'Z' {
			t.lower[i] += 'a' - 'A'
		}
	}
	return t
}()

// nameFault is what is wrong with a name; 0: nothing.
type nameFault uint8

const (
	faultEmptyLabel nameFault = iota + 1
	faultLongLabel
	faultLongName
	faultEscape
	faultNoOrigin
	faultEmptyName
)

// rule is the stable id of a fault.
func (f nameFault) rule() string {
	return [...]string{"", "label-empty", "label-length", "name-length", "escape", "origin-missing", "name-empty"}[f]
}

// text is the sentence and the remedy for a fault.
func (f nameFault) text() (message, remedy string) {
	switch f {
	case faultEmptyLabel:
		return "has an empty label (two dots in a row, or a dot in front)", "remove a dot"
	case faultLongLabel:
		return "has a label of more than 63 octets", "shorten it (RFC 1035 2.3.4)"
	case faultLongName:
		return "is longer than 255 octets, its origin included", "shorten it (RFC 1035 2.3.4)"
	case faultEscape:
		return "has a backslash that begins no escape", `write \DDD with three digits from 000 to 255, or \X for a character that is no digit`
	case faultNoOrigin:
		return "is relative, and there is no origin to complete it", "end it with a dot, or write a $ORIGIN line above"
	}
	return "is empty", "write a name, or @ for the origin"
}

// appendName appends the wire form of a name in presentation form (RFC 1035
// 5.1), completed with origin if it is relative; each octet of text goes
// through fold, the origin as it is. With a fault, at is where in text it is.
func appendName(dst, text, origin []byte, fold *[256]byte) (out []byte, f nameFault, at int) {
	start := len(dst)
	switch {
	case len(text) == 0:
		return dst, faultEmptyName, 0
	case len(text) == 1 && text[0] == '.':
		return append(dst, 0), 0, 0
	case len(text) == 1 && text[0] == '@':
		if len(origin) == 0 {
			return dst, faultNoOrigin, 0
		}
		return append(dst, origin...), 0, 0
	}
	label := start // offset of the current label's length octet
	labelAt := 0   // where the label begins in text
	dst = append(dst, 0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '.':
			n := len(dst) - label - 1
			if n == 0 {
				return dst, faultEmptyLabel, i
			}
			if n > wire.MaxLabel {
				return dst, faultLongLabel, labelAt
			}
			if len(dst)-start >= wire.MaxName {
				return dst, faultLongName, labelAt
			}
			dst[label] = byte(n)
			label, labelAt = len(dst), i+1
			dst = append(dst, 0)
			continue
		case '\\':
			v, n := unescape(text[i:])
			if n == 0 {
				return dst, faultEscape, i
			}
			c = v
			i += n - 1
		}
		dst = append(dst, fold[c])
	}
	return endName(dst, start, label, labelAt, origin)
}

// endName closes the last label of a name, or completes the name with origin.
func endName(dst []byte, start, label, labelAt int, origin []byte) (out []byte, f nameFault, at int) {
	n := len(dst) - label - 1
	if n == 0 { // text ended with a dot: the root's length octet stands already
		if len(dst)-start > wire.MaxName {
			return dst, faultLongName, 0
		}
		return dst, 0, 0
	}
	if n > wire.MaxLabel {
		return dst, faultLongLabel, labelAt
	}
	dst[label] = byte(n)
	if len(origin) == 0 {
		return dst, faultNoOrigin, 0
	}
	if len(dst)-start+len(origin) > wire.MaxName {
		return dst, faultLongName, 0
	}
	return append(dst, origin...), 0, 0
}

// unescape reads the escape that text begins with (RFC 1035 5.1: \DDD, or \X
// where X is no digit). It returns the octet and the length of the escape, 0
// if it is none.
func unescape(text []byte) (c byte, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	if !isDigit(text[1]) {
		return text[1], 2
	}
	if len(text) < 4 || !isDigit(text[2]) || !isDigit(text[3]) {
		return 0, 0
	}
	v := int(text[1]-'0')*100 + int(text[2]-'0')*10 + int(text[3]-'0')
	if v > 255 {
		return 0, 0
	}
	return byte(v), 4
}

// ParseName turns a name in presentation form (RFC 1035 5.1) into wire form,
// its case preserved. A relative name is completed with origin (wire form); "@"
// is the origin. The error says what is wrong and what to do.
func ParseName(text string, origin []byte) ([]byte, error) {
	return parseName(text, origin, &letters.kept)
}

// ParseNameLower is ParseName with the letters of text in lower case, as owners
// are kept.
func ParseNameLower(text string, origin []byte) ([]byte, error) {
	return parseName(text, origin, &letters.lower)
}

func parseName(text string, origin []byte, fold *[256]byte) ([]byte, error) {
	for i := 0; i < len(text); i++ {
		// In a file these octets would end the name; as an argument they are a
		// mistake too.
		switch classes[text[i]] {
		case plainByte:
		case escapeByte:
			i++
		default:
			return nil, errors.New("the name " + quote([]byte(text)) + " has a character that must be escaped; write it as \\DDD, its value in three decimal digits")
		}
	}
	name, f, _ := appendName(nil, []byte(text), origin, fold)
	if f != 0 {
		message, remedy := f.text()
		return nil, errors.New("the name " + quote([]byte(text)) + " " + message + "; " + remedy)
	}
	return name, nil
}
