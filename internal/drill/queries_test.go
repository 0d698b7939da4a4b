package drill

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadLog(t *testing.T) {
	tests := []struct {
		line, want string // client name type, or a part of what is wrong
	}{
		{"192.0.2.7 WWW.example.org a", "192.0.2.0/24 www.example.org. A"},
		{"192.0.2.0/20 www.example.org. AAAA", "192.0.0.0/20 www.example.org. AAAA"},
		{"2001:db8:1:2::3 www.example.org TYPE65", "2001:db8:1::/56 www.example.org. TYPE65"},
		{"::ffff:192.0.2.7 . NS", "192.0.2.0/24 . NS"},
		{"2026-11-20T12:00:00.5+01:00 192.0.2.7 www.example.org A", "192.0.2.0/24 www.example.org. A"},
		{"20-Nov-2026 12:00:00.123 queries: info: client @0x7f1 192.0.2.7#5353 (www.example.org): query: www.example.org IN A +E(0)K (198.51.100.53)", "192.0.2.0/24 www.example.org. A"},
		{"20-Nov-2026 12:00:00.123 client 192.0.2.7#5353 (www.example.org): query: www.example.org IN A + (198.51.100.53) [ECS 203.0.113.0/24/0]", "203.0.113.0/24 www.example.org. A"},
		{"client @0x7f1 192.0.2.7#5353: query: www.example.org IN A + (198.51.100.53) [ECS 0.0.0.0/0/0]", "192.0.2.0/24 www.example.org. A"},
		{"client @0x7f1 192.0.2.7#5353: query: version.bind CH TXT + (198.51.100.53)", "no question of class IN"},
		{"client nobody: query: www.example.org IN A", `"" is no address`},
		{"www.example.org A", "write CLIENT NAME TYPE"},
		{"noon 192.0.2.7 www.example.org A", `"noon" is no time`},
		{"192.0.2 www.example.org A", `"192.0.2" is no address`},
		{"fe80::1%eth0 www.example.org A", "is no address"},
		{"192.0.2.7 a..b A", `"a..b" is no domain name`},
		{"192.0.2.7 www.example.org AA", "AA"},
		{strings.Repeat("x", 500) + " www.example.org A", strings.Repeat("x", 40) + `.." is no address`},
	}
	for _, tt := range tests {
		l, err := ReadLog(strings.NewReader("# a comment\n\n"+tt.line+"\n"), "q.txt")
		got := fmt.Sprint(err)
		if err == nil {
			q := l.Queries[0]
			got = fmt.Sprint(q.Client, " ", q.Name, " ", q.Type)
		} else if !strings.Contains(got, "no line of q.txt is a question; the first: q.txt:3: ") {
			t.Errorf("%s: %v doesn't say where", tt.line, err)
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.line, got, tt.want)
		}
	}
}

func TestReadLogWhole(t *testing.T) {
	var text strings.Builder
	text.WriteString("2026-11-20T12:00:10Z 192.0.2.1 a.example A\n?\n2026-11-20T12:00:00Z 192.0.2.2 A.example A\n192.0.2.3 b.example A\n??\n")
	l, err := ReadLog(strings.NewReader(text.String()), "q")
	if err != nil || l.Lines != 3 || l.Skipped != 2 || !strings.HasPrefix(l.Why, "q:2: ") || len(l.Queries) != 2 || l.Queries[0].Count != 2 {
		t.Fatalf("%v %+v", err, l)
	}
	if l.Last.Sub(l.First) != 10*time.Second || l.rate() != .3 {
		t.Errorf("from %v to %v, %g a second", l.First, l.Last, l.rate())
	}
	if _, err := ReadLog(strings.NewReader("# nothing\n"), "q"); err == nil || err.Error() != "q has no questions" {
		t.Errorf("an empty log: %v", err)
	}
	if _, err := ReadLog(strings.NewReader(strings.Repeat("x", maxLine+1)), "q"); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("an endless line: %v", err)
	}
	text.Reset()
	for i := range MaxQueries + 10 {
		fmt.Fprintf(&text, "192.0.2.1 n%d.example A\n", i)
	}
	if l, err = ReadLog(strings.NewReader(text.String()), "q"); err != nil || len(l.Queries) != MaxQueries || l.LeftOut != 10 {
		t.Errorf("too many: %v, %d kept, %d left out", err, len(l.Queries), l.LeftOut)
	}
	if !slices.IsSortedFunc(l.Queries[:10], func(a, b Query) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in the order of the log")
	}
}
