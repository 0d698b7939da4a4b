package record

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct{ text, want, wrong string }{
		{"www", "www.cluster.example.", ""},
		{"WWW.Example.", "www.example.", ""},
		{"@", "cluster.example.", ""},
		{".", ".", ""},
		{"*.a", "*.a.cluster.example.", ""},
		{`a\.b`, `a\.b.cluster.example.`, ""},
		{`\065\000.`, `a\000.`, ""},
		{long + ".", long + ".", ""},
		{"", "", "it is empty"},
		{"..", "", "a label is empty"},
		{"a..b", "", "a label is empty"},
		{".a", "", "a label is empty"},
		{"a b", "", "blanks and characters outside of ASCII are not allowed"},
		{"ä", "", "blanks and characters outside of ASCII are not allowed"},
		{`a\`, "", `a \ stands without a character or three digits`},
		{`a\25`, "", `a \ stands without a character or three digits`},
		{`a\256`, "", `a \ stands without a character or three digits`},
		{long + "a", "", "a label is longer than 63 octets"},
		{strings.Repeat(long+".", 4), "", "it is longer than 255 octets"},
		{long + "." + long + "." + long + "." + long[:50], "", "it is longer than 255 octets"},
		{strings.Repeat("a.", 5000), "", "it is longer than 255 octets"},
	} {
		n, wrong := readName(c.text, apex)
		if wrong != c.wrong || wrong == "" && n.String() != c.want {
			t.Errorf("%q: %q, %q, want %q, %q", c.text, n, wrong, c.want, c.wrong)
		}
	}
	if n, wrong := readName("www", nil); n != "\x03www\x00" || wrong != "" {
		t.Errorf("below the root: %q, %q", n, wrong)
	}
}

// Only a name that ends like the apex makes one think of a forgotten dot.
func TestWarnDot(t *testing.T) {
	for _, c := range []struct {
		apex, name string
		warns      bool
	}{
		{string(apex), "www", false},
		{string(apex), "www.shop", false},
		{string(apex), "www.other.example", true},
		{string(apex), "www.other.example.", false},
		{string(apex), "example", false},
		{"\x07example\x00", "a.example", false},
		{"\x00", "a.example", false},
	} {
		_, problems := ParseSteer([]byte("v=steer1; cname=lon:"+c.name), Origin{Apex: []byte(c.apex)})
		if len(problems) > 0 != c.warns || Failed(problems) {
			t.Errorf("%s at %q: %s", c.name, c.apex, show(problems))
		}
	}
}

func TestWords(t *testing.T) {
	got := fmt.Sprint(PolicyAll, PolicyNearest, PolicyFailover, PickRotate, PickWeighted, PickSticky,
		EmptyAll, EmptyNone, EmptyHold, EmptyAddress, EmptyHost, Policy(9))
	if want := "all nearest failover rotate weighted sticky all none hold address host 9"; got != want {
		t.Errorf("words are %s, want %s", got, want)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"net", "at", "country", "continent"}
	for _, c := range []struct{ key, want string }{
		{"nett", "net"},
		{"ent", "net"},
		{"a", ""},
		{"COUNTY", "country"},
		{"contry", "country"},
		{"continents", "continent"},
		{"colour", ""},
		{strings.Repeat("net", 20), ""},
	} {
		if got := nearest(c.key, words); got != c.want {
			t.Errorf("nearest(%q) = %q, want %q", c.key, got, c.want)
		}
	}
}
