package wire

import (
	"bytes"
	"encoding/binary"
)

// The limits of RFC 1035 2.3.4, in octets.
const (
	MaxName  = 255 // a name with its length octets and the root
	MaxLabel = 63
	// MaxLabels is the most labels that fit into MaxName, without the root.
	MaxLabels = 127
)

// lower maps an octet to its lower case: A-Z only, whatever the locale
// (RFC 4343 3).
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// lower8 does to eight octets what the table lower does to one: an octet
// without its top bit is at least A if adding 0x80-A sets that bit, and more
// than Z if adding 0x7f-Z does.
func lower8(x uint64) uint64 {
	const each = 0x0101010101010101
	low := x & (0x7f * each)
	upper := (low + (0x80-'A')*each) ^ (low + (0x7f-'Z')*each)
	return x | upper&^x&(0x80*each)>>2
}

// copyLower copies src in lower case to dst, which is at least as long. Wide
// stores are what the loads that follow, to hash names and compare them, need
// in order not to wait.
func copyLower(dst, src []byte) {
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, lower8(binary.LittleEndian.Uint64(src)))
		dst, src = dst[8:], src[8:]
	}
	for i, c := range src {
		dst[i] = lower[c]
	}
}

// AppendLower appends name in lower case to dst. Length octets are below 64,
// so folding the whole slice leaves them alone.
func AppendLower(dst, name []byte) []byte {
	at := len(dst)
	dst = append(dst, name...)
	copyLower(dst[at:], name)
	return dst
}

// EqualFold reports whether two names, labels or runs of labels are the same
// but for the case of A-Z (RFC 4343).
func EqualFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for len(a) >= 8 {
		x, y := binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b)
		if x != y && lower8(x) != lower8(y) {
			return false
		}
		a, b = a[8:], b[8:]
	}
	for i, c := range a {
		if c != b[i] && lower[c] != lower[b[i]] {
			return false
		}
	}
	return true
}

// NameLen returns the length of the uncompressed name that starts b, its root
// octet included, or 0 if there is no valid name.
func NameLen(b []byte) int {
	for i := 0; i < len(b) && i < MaxName; {
		l := int(b[i])
		if l == 0 {
			return i + 1
		}
		if l > MaxLabel {
			return 0
		}
		i += 1 + l
	}
	return 0
}

// Labels counts the labels of a valid name, the root not counted.
func Labels(name []byte) int {
	n := 0
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		n++
	}
	return n
}

// HasSuffix reports whether name is apex or lies below it. Both must be in
// lower case and valid.
func HasSuffix(name, apex []byte) bool {
	at := len(name) - len(apex)
	if at < 0 || !bytes.Equal(name[at:], apex) {
		return false
	}
	// The suffix has to begin where a label begins.
	i := 0
	for i < at {
		i += 1 + int(name[i])
	}
	return i == at
}

// Parent returns name without its first label. The root has no parent: nil.
func Parent(name []byte) []byte {
	if len(name) == 0 || name[0] == 0 {
		return nil
	}
	return name[1+int(name[0]):]
}

// AppendNameText appends the presentation form of a valid name (RFC 1035 5.1,
// RFC 4343 2.1), absolute, with \DDD and \X where they are needed.
func AppendNameText(dst, name []byte) []byte {
	if len(name) == 0 || name[0] == 0 {
		return append(dst, '.')
	}
	for i := 0; i < len(name) && name[i] != 0; {
		end := i + 1 + int(name[i])
		if end > len(name) {
			break
		}
		for _, c := range name[i+1 : end] {
			switch {
			case c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$':
				dst = append(dst, '\\', c)
			case c <= ' ' || c >= 0x7f:
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				dst = append(dst, c)
			}
		}
		dst = append(dst, '.')
		i = end
	}
	return dst
}

// NameString is AppendNameText for messages.
func NameString(name []byte) string { return string(AppendNameText(nil, name)) }

// CompareNames orders two valid names canonically (RFC 4034 6.1): by their
// labels from the right, without case, a name before those below it.
func CompareNames(a, b []byte) int {
	var ao, bo [MaxLabels + 1]uint8
	na, nb := labelOffsets(a, &ao), labelOffsets(b, &bo)
	for na > 0 && nb > 0 {
		na, nb = na-1, nb-1
		if c := compareFold(label(a, ao[na]), label(b, bo[nb])); c != 0 {
			return c
		}
	}
	return na - nb
}

// Name is a name in lower case with its labels found: what look-ups take. It is
// reused; its arrays are valid up to the lengths beside them only.
type Name struct {
	// NLabels counts the labels, without the root; Labels[i] is where label i
	// begins in Buf, Labels[NLabels] where the root does.
	NLabels int
	Len     int
	Labels  [MaxLabels + 1]uint8
	Buf     [MaxName + 1]byte
}

// Bytes is the name in wire form. It is valid until the next Set.
func (n *Name) Bytes() []byte { return n.Buf[:n.Len] }

// Suffix is the name without its first i labels; Suffix(NLabels) is the root.
func (n *Name) Suffix(i int) []byte { return n.Buf[n.Labels[i]:n.Len] }

// Set makes n the given name, in wire form of any case. It reports whether
// name is valid; if it isn't, n is the root.
func (n *Name) Set(name []byte) bool {
	n.NLabels, n.Len, n.Labels[0], n.Buf[0] = 0, 1, 0, 0
	if l := NameLen(name); l == 0 || l != len(name) {
		return false
	}
	n.NLabels = labelOffsets(name, &n.Labels)
	n.Len = len(name)
	n.Labels[n.NLabels] = uint8(len(name) - 1)
	copyLower(n.Buf[:], name)
	return true
}

// labelOffsets fills o with where the labels of name begin, the root's not
// counted, and returns how many there are. A run of labels without the final
// root octet will do too.
func labelOffsets(name []byte, o *[MaxLabels + 1]uint8) int {
	n := 0
	for i := 0; i < len(name) && name[i] != 0 && n < MaxLabels; i += 1 + int(name[i]) {
		o[n] = uint8(i)
		n++
	}
	return n
}

func label(name []byte, at uint8) []byte {
	return name[int(at)+1 : int(at)+1+int(name[at])]
}

func compareFold(a, b []byte) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if x, y := lower[a[i]], lower[b[i]]; x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
