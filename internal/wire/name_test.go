package wire_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// labels are drawn from few octets, so that names resemble each other; some of
// these mean something elsewhere.
var someOctet = rapid.SampledFrom([]byte("aAbBzZ.\\*0@[`{ \x00\x7f\xff\xc0\"();$"))

// drawName draws a valid name in wire form.
func drawName(t *rapid.T) []byte {
	var name []byte
	for range rapid.SampledFrom([]int{0, 1, 1, 2, 3, 4, 127}).Draw(t, "labels") {
		l := rapid.SampledFrom([]int{1, 1, 1, 2, 3, 62, 63}).Draw(t, "length")
		if len(name)+1+l+1 > wire.MaxName {
			break
		}
		name = append(name, byte(l))
		for range l {
			name = append(name, someOctet.Draw(t, "octet"))
		}
	}
	return append(name, 0)
}

// split takes a name apart, naively.
func split(name []byte) (labels []string) {
	for name[0] != 0 {
		labels = append(labels, string(name[1:1+int(name[0])]))
		name = name[1+int(name[0]):]
	}
	return labels
}

func foldASCII(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t)
		labels := split(name)
		if got := wire.NameLen(append(bytes.Clone(name), 1, 2, 3)); got != len(name) {
			t.Fatalf("NameLen(%q) = %d", name, got)
		}
		if got := wire.NameLen(name[:len(name)-1]); got != 0 {
			t.Fatalf("NameLen of a name without its root is %d", got)
		}
		if got := wire.Labels(name); got != len(labels) {
			t.Fatalf("Labels(%q) = %d", name, got)
		}
		text := wire.NameString(name)
		packed := make([]byte, 300)
		n, err := dns.PackDomainName(text, packed, 0, nil, false)
		if err != nil || !bytes.Equal(packed[:n], name) {
			t.Fatalf("NameString(%q) = %s, which is %q, %v", name, text, packed[:n], err)
		}
		var low []byte
		if low = wire.AppendLower(nil, name); !bytes.Equal(low, foldASCII(name)) || !wire.EqualFold(low, name) {
			t.Fatalf("AppendLower(%q) = %q", name, low)
		}
		var q wire.Name
		if !q.Set(name) || !bytes.Equal(q.Bytes(), low) || q.NLabels != len(labels) {
			t.Fatalf("Set(%q): %q, %d labels", name, q.Bytes(), q.NLabels)
		}
		suffix := low
		for i := range len(labels) + 1 {
			if !bytes.Equal(q.Suffix(i), suffix) {
				t.Fatalf("Suffix(%d) of %q is %q", i, name, q.Suffix(i))
			}
			suffix = wire.Parent(suffix)
		}
		if suffix != nil {
			t.Fatalf("the root's parent is %q", suffix)
		}
	})
}

func TestComparisons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawName(t), drawName(t)
		if rapid.Bool().Draw(t, "related") {
			b = b[:len(b)-1]
			for len(b)+len(a) > wire.MaxName {
				b = b[1+int(b[0]):]
			}
			b = append(b, a...)
		}
		// RFC 4034 6.1.
		al, bl := split(foldASCII(a)), split(foldASCII(b))
		slices.Reverse(al)
		slices.Reverse(bl)
		if got, want := wire.CompareNames(a, b), slices.Compare(al, bl); cmp.Compare(got, 0) != want {
			t.Fatalf("CompareNames(%q, %q) = %d, want %d", a, b, got, want)
		}
		if got, want := wire.EqualFold(a, b), slices.Equal(al, bl); got != want {
			t.Fatalf("EqualFold(%q, %q) = %t", a, b, got)
		}
		want := len(bl) >= len(al) && slices.Equal(al, bl[:len(al)])
		if got := wire.HasSuffix(foldASCII(b), foldASCII(a)); got != want {
			t.Fatalf("HasSuffix(%q, %q) = %t", b, a, got)
		}
		if got := dns.IsSubDomain(wire.NameString(a), wire.NameString(b)); got != want {
			t.Fatalf("miekg/dns thinks otherwise: IsSubDomain(%q, %q) = %t", a, b, got)
		}
	})
}

func TestInvalidNames(t *testing.T) {
	long := bytes.Repeat([]byte("\x01a"), 127)
	for _, name := range []string{
		"", "\x01", "\x01a", "\x40" + strings.Repeat("a", 64) + "\x00", "\xc0\x0c",
		string(long) + "\x01a\x00", string(long) + "\x02aa\x00",
	} {
		q := wire.Name{}
		if n := wire.NameLen([]byte(name)); n != 0 {
			t.Errorf("NameLen(%q) = %d", name, n)
		}
		if q.Set([]byte(name)) || !bytes.Equal(q.Bytes(), []byte{0}) || q.NLabels != 0 {
			t.Errorf("Set(%q): %q", name, q.Bytes())
		}
	}
	whole := append(long, 0)
	if n := wire.NameLen(whole); n != 255 {
		t.Errorf("NameLen of the longest name is %d", n)
	}
	q := wire.Name{}
	if q.Set(append(whole, 0)) {
		t.Error("Set takes a name with something behind it")
	}
}

func TestMetaType(t *testing.T) {
	for typ := range 1 << 16 {
		want := typ == 0 || typ == 41 || typ >= 128 && typ <= 255
		if wire.MetaType(wire.Type(typ)) != want {
			t.Errorf("MetaType(%d) = %t", typ, !want)
		}
	}
}

func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		datas := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 5)).Draw(t, "records")
		var packed []byte
		for _, d := range datas {
			packed = wire.AppendRecord(packed, d)
		}
		for _, d := range datas {
			data, rest, ok := wire.NextRecord(packed)
			if !ok || !bytes.Equal(data, d) {
				t.Fatalf("%q, %t, want %q", data, ok, d)
			}
			packed = rest
		}
		if _, _, ok := wire.NextRecord(packed); ok {
			t.Fatal("there is one more")
		}
	})
	for _, cut := range []string{"\x00", "\x00\x02a"} {
		if _, _, ok := wire.NextRecord([]byte(cut)); ok {
			t.Errorf("a record in %q", cut)
		}
	}
	if wire.Covered([]byte{1}) != 0 || wire.Covered([]byte{1, 2, 3}) != 0x102 {
		t.Error("Covered")
	}
}
