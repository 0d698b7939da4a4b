package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestNewerSerial(t *testing.T) {
	for _, tt := range []struct {
		a, b uint32
		want bool
	}{
		{1, 0, true},
		{0, 1, false},
		{7, 7, false},
		{0, 1<<32 - 1, true},
		{1<<31 - 1, 0, true},
		{1 << 31, 0, false},
		{0, 1 << 31, false},
		{0, 1<<31 + 1, true},
	} {
		if got := NewerSerial(tt.a, tt.b); got != tt.want {
			t.Errorf("%d is newer than %d: %t", tt.a, tt.b, got)
		}
	}
}

func TestSOASerial(t *testing.T) {
	soa := append([]byte{0, 0}, make([]byte, 20)...)
	next := WithSOASerial(soa, 0x01020304)
	if got, ok := SOASerial(next); got != 0x01020304 || !ok || len(next) != len(soa) {
		t.Errorf("serial %x, %t", got, ok)
	}
	if got, ok := SOASerial(soa); got != 0 || !ok {
		t.Errorf("the old one has become %x, %t", got, ok)
	}
	if _, ok := SOASerial(soa[1:]); ok {
		t.Error("a serial was read where there is no room for one")
	}
}

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []int // lengths of the strings
	}{{"", []int{0}}, {"a", []int{1}}, {strings.Repeat("b", 255), []int{255}}, {strings.Repeat("c", 600), []int{255, 255, 90}}} {
		data := AppendText([]byte{9}, tt.text)[1:]
		var joined []byte
		for _, n := range tt.want {
			if len(data) < 1+n || int(data[0]) != n {
				t.Fatalf("%d octets: %x", len(tt.text), data)
			}
			joined, data = append(joined, data[1:1+n]...), data[1+n:]
		}
		if len(data) > 0 || !bytes.Equal(joined, []byte(tt.text)) {
			t.Errorf("%d octets become others", len(tt.text))
		}
	}
}
