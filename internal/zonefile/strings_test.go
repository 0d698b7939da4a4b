package zonefile

import (
	"fmt"
	"strings"
	"testing"

	"geodns/internal/wire"
)

// Every octet of a text is found where it stands.
func TestStretches(t *testing.T) {
	tests := []struct{ text, want string }{
		{`a 1 TXT "abc"`, "0@1:10"},
		{`a 1 TXT abc  "de"`, "0@1:9 3@1:15"},
		{"a 1 TXT ( \"abc\" ; one\n  \"d\"\n\"\" e )", "0@1:12 3@2:4 4@3:2 4@3:4"},
		{`a 1 TXT "a\;b\034c"`, "0@1:10 2@1:13 4@1:18"},
		{`a 1 TXT "ab\;"`, "0@1:10"},
		{`a 1 TXT \# 2 0141`, ""},
		{`$GENERATE 1-1 a 1 TXT "a"`, ""},
		{`a 1 A 192.0.2.1`, ""},
	}
	for _, tt := range tests {
		var at Strings
		n := 0
		_, err := Parse(strings.NewReader(tt.text+"\n"), Options{File: "f", Origin: []byte{0}, Strings: &at}, func(*wire.RR, Pos) error {
			n++
			var got []string
			for _, s := range at.Stretches() {
				got = append(got, fmt.Sprintf("%d@%d:%d", s.At, s.Pos.Line, s.Pos.Column))
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("%s: %s, want %s", tt.text, g, tt.want)
			}
			return nil
		}, func(f Finding) { t.Errorf("%s: %v", tt.text, f) })
		if err != nil || n != 1 {
			t.Errorf("%s: %d records, %v", tt.text, n, err)
		}
	}
	if got := new(Strings).Stretches(); got != nil {
		t.Errorf("unused: %v", got)
	}
}
