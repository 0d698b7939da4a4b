package zonefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"geodns/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// read collects what Parse makes of text, one line a record or finding.
func read(t testing.TB, r io.Reader, o Options) ([]string, Stats, error) {
	t.Helper()
	var out []string
	if o.File == "" {
		o.File = "z"
	}
	stats, err := Parse(r, o, func(rr *wire.RR, pos Pos) error {
		out = append(out, pos.String()+" "+string(AppendRR(nil, rr)))
		return nil
	}, func(f Finding) { out = append(out, f.String()) })
	return out, stats, err
}

func TestCallback(t *testing.T) {
	const text = "a. 1 A 192.0.2.1\nb. 1 A 192.0.2.2\nc. 1 A 192.0.2.3\n  1 A 192.0.2.4\n"
	other := Pos{"other", 9, 9}
	n := 0
	var found []Finding
	stats, err := Parse(strings.NewReader(text), Options{File: "z"}, func(*wire.RR, Pos) error {
		n++
		switch n {
		case 1:
			return errors.New("no good")
		case 2:
			return fmt.Errorf("wrapped: %w", Finding{Message: "own words", Remedy: "mend", Rule: "own", Severity: Warning})
		case 3:
			return &Finding{Pos: other, Message: "elsewhere", Rule: "own"}
		}
		return fmt.Errorf("enough: %w", ErrStop)
	}, func(f Finding) { found = append(found, f) })
	want := []Finding{
		{Pos: Pos{"z", 1, 1}, Message: "no good", Rule: "record"},
		{Pos: Pos{"z", 2, 1}, Severity: Warning, Message: "own words", Remedy: "mend", Rule: "own"},
		{Pos: other, Message: "elsewhere", Rule: "own"},
	}
	if d := cmp.Diff(want, found); d != "" {
		t.Error(d)
	}
	if !errors.Is(err, ErrStop) || n != 4 || stats.Records != 4 || stats.Errors != 2 || stats.Warnings != 1 {
		t.Error(err, n, stats)
	}
	if got := want[1].Error(); got != "z:2:1: warning: own words; mend" {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	out, stats, err := read(t, strings.NewReader(strings.Repeat("a. 1 A x\n", 2000)), Options{})
	if len(out) != maxFindings+1 || stats.Errors != maxFindings || err != nil || !strings.HasPrefix(out[maxFindings], "z:1000:8: there are 1000 errors, and reading stops here") {
		t.Error(len(out), stats, err, out[len(out)-1])
	}
	// Warnings end nothing, but are reported a thousand times only.
	out, stats, err = read(t, strings.NewReader(strings.Repeat("a. 4294967295 A 192.0.2.1\n", 2000)), Options{})
	if len(out) != 2000+maxFindings || stats.Records != 2000 || stats.Warnings != 2000 || err != nil {
		t.Error(len(out), stats, err)
	}
	out, stats, err = read(t, strings.NewReader("a. 1 A 192.0.2.1\nb. 1 A 192.0.2.1\nc. 1 A 192.0.2.1\n"), Options{MaxRecords: 2})
	if stats.Records != 2 || err != nil || len(out) != 3 || out[2] != "z:3:1: there are more than 2 records, and reading stops; raise the limit, or split the zone" {
		t.Error(stats, err, out)
	}
	// RFC 1035 3.2.1: RDLENGTH has 16 bits.
	txt := strings.Repeat(` "`+strings.Repeat("x", 255)+`"`, 256)
	out, _, _ = read(t, strings.NewReader("a. 1 TXT "+txt+"\nb. 1 A 192.0.2.1\n"), Options{})
	if len(out) != 2 || !strings.Contains(out[0], "take more than 65535 octets") {
		t.Error(out)
	}
	key := strings.Repeat("AAAA", 22000)
	out, _, _ = read(t, strings.NewReader("a. 1 DNSKEY 256 3 8 "+key+"\n"), Options{})
	if len(out) != 1 || !strings.HasPrefix(out[0], "z:1:13: the data of this DNSKEY record takes 66004 octets") {
		t.Error(out)
	}
}

func TestLongEntries(t *testing.T) {
	fill := strings.Repeat("; filling\n", 3*maxEntry/10)
	const next = "b. 1 A 192.0.2.1\n"
	for name, c := range map[string]struct{ text, want string }{
		"line":        {"a. 1 TXT " + strings.Repeat("x", 2*maxEntry) + "\n" + next, "z:1:1: the entry is longer than 1 MiB; split it; no record is that large"},
		"quote":       {"a. 1 TXT \"" + strings.Repeat("x", 2*maxEntry) + "\"\n" + next, "z:1:1: the entry is longer than 1 MiB; split it; no record is that large"},
		"parenthesis": {"\na. 1 TXT (\n" + fill + next, "z:2:10: this parenthesis is not closed; write ) where the record ends"},
		"comment":     {";" + strings.Repeat("x", 2*maxEntry) + "\n" + next, "z:1:1: the entry is longer than 1 MiB; split it; no record is that large"},
	} {
		out, stats, err := read(t, strings.NewReader(c.text), Options{})
		if err != nil || len(out) != 2 || out[0] != c.want || !strings.HasSuffix(out[1], "b.\t1\tIN\tA\t192.0.2.1") || stats.Bytes != int64(len(c.text)) {
			t.Errorf("%s: %.200q %+v %v", name, out, stats, err)
		}
		if want := fmt.Sprintf("z:%d:1 ", strings.Count(c.text, "\n")); len(out) == 2 && !strings.HasPrefix(out[1], want) {
			t.Errorf("%s: %s, not %s", name, out[1], want)
		}
	}
	// An entry just below the bound is read.
	text := "a. 1 A (" + strings.Repeat("\n", maxEntry-40) + "192.0.2.1 )\n" + next
	if out, _, err := read(t, strings.NewReader(text), Options{}); err != nil || len(out) != 2 || !strings.HasPrefix(out[0], "z:1:1 a.") {
		t.Errorf("%.200q %v", out, err)
	}
}

// TestSliding holds that the sliding buffer makes no difference: neither how
// much a reader gives at once nor where an entry lies.
func TestSliding(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("$ORIGIN example.\n$TTL 60\n")
	for i := range 9000 {
		switch i % 7 {
		case 0:
			fmt.Fprintf(&b, "n%d A 192.0.2.%d ; %s\n\n", i, i%256, strings.Repeat("c", i%400))
		case 1:
			fmt.Fprintf(&b, "\tTXT ( \"%s\"\n\"b\\\"\" ) \n", strings.Repeat("t", i%250))
		case 2:
			fmt.Fprintf(&b, "n%d\tNS\t%s\r\n", i, strings.Repeat("l", i%63+1))
		case 3:
			fmt.Fprintf(&b, "n%d A 192.0.2.256\n", i)
			if i > 3000 {
				b.WriteString(strings.Repeat("; comment\n", i%100))
			}
		case 4:
			fmt.Fprintf(&b, "n%d\\046x MX %d mail\\\\\n", i, i)
		case 5:
			fmt.Fprintf(&b, "n%d TXT \"open\n", i)
		case 6:
			fmt.Fprintf(&b, "  %d IN A ( %s\n192.0.2.1 )\n", i, strings.Repeat("\n", i%50))
		}
	}
	text := b.Bytes()
	stop := bytes.Index(text, []byte("n2650\\046x")) // keep below the limit of errors
	text = text[:stop]
	whole := &parser{report: func(Finding) {}}
	var want []string
	whole.o.File = "z"
	whole.rec = func(rr *wire.RR, pos Pos) error {
		want = append(want, pos.String()+" "+string(AppendRR(nil, rr)))
		return nil
	}
	whole.report = func(f Finding) { want = append(want, f.String()) }
	whole.source = source{lx: newLexer(strings.NewReader(""), nil), file: "z"}
	whole.lx.buf, whole.lx.end, whole.lx.eof, whole.lx.r = text, len(text), true, nil
	for whole.lx.next() {
		switch {
		case whole.lx.bad.rule != "":
			whole.badEntry()
		case !whole.lx.blank && whole.text(&whole.lx.toks[0])[0] == '$':
			whole.directive()
		default:
			whole.entry()
		}
	}
	for name, r := range map[string]io.Reader{
		"whole":  bytes.NewReader(text),
		"half":   iotest.HalfReader(bytes.NewReader(text)),
		"octets": iotest.OneByteReader(bytes.NewReader(text)),
		"eof":    iotest.DataErrReader(bytes.NewReader(text)),
	} {
		got, stats, err := read(t, r, Options{})
		if err != nil || stats.Errors == 0 || stats.Records < 1000 || stats.Bytes != int64(len(text)) {
			t.Fatal(name, stats, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s: %.2000s", name, d)
		}
	}
}

func TestReadErrors(t *testing.T) {
	broken := errors.New("broken")
	out, _, err := read(t, io.MultiReader(strings.NewReader("a. 1 A 192.0.2.1\nb. 1"), iotest.ErrReader(broken)), Options{})
	if !errors.Is(err, broken) || len(out) == 0 || !strings.HasPrefix(out[0], "z:1:1 a.") {
		t.Error(out, err)
	}
	_, _, err = read(t, stuck{}, Options{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	open := func(string) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }
	if _, _, err = read(t, strings.NewReader("$INCLUDE x\na. 1 A 192.0.2.1\n"), Options{Open: open}); !errors.Is(err, broken) {
		t.Error(err)
	}
	closing := func(string) (io.ReadCloser, error) { return badCloser{strings.NewReader("")}, nil }
	if _, _, err = read(t, strings.NewReader("$INCLUDE x\n"), Options{Open: closing}); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

// stuck is a reader that never gives anything.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

type badCloser struct{ io.Reader }

func (badCloser) Close() error { return fs.ErrClosed }

func TestInclude(t *testing.T) {
	out, _, err := read(t, strings.NewReader("$INCLUDE x\na. 1 A 192.0.2.1\n"), Options{})
	if err != nil || len(out) != 2 || out[0] != "z:1:10: $INCLUDE is not allowed here; put the records into this file" {
		t.Error(out, err)
	}
	files := fstest.MapFS{}
	for i := range 20 {
		files[fmt.Sprintf("d/%d", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "n%d. 1 A 192.0.2.1\n$INCLUDE %d\n", i, i+1)}
	}
	var opened []string
	o := Options{File: "d/z", Open: func(name string) (io.ReadCloser, error) {
		opened = append(opened, name)
		return files.Open(name)
	}}
	out, stats, err := read(t, strings.NewReader("$include 0\n$INCLUDE /abs\n"), o)
	if err != nil || stats.Records != maxIncludes || len(out) != maxIncludes+2 || !strings.HasPrefix(out[maxIncludes], "d/15:2:10: files include each other more than 16 deep") {
		t.Error(out, stats, err)
	}
	if n := len(opened); n != maxIncludes+1 || opened[0] != "d/0" || opened[n-1] != "/abs" {
		t.Error(opened)
	}
}

func TestNoAllocations(t *testing.T) {
	// The road of each plain type costs nothing a line: a hundred times the
	// lines, the same allocations.
	line := "h%03d IN A 10.1.2.3\n  AAAA 2001:db8::1\nH%03[1]d.Sub 60 TXT \"some text\" more\n  MX 10 mail\n  SRV 1 2 3 target.Example.\n" +
		"c NS ns.c\nd CNAME @\n@ SOA ns host 1 1h 2 3 4 ; comment\n  CAA 0 issue \"ca\"\n  DS 1 8 99 00ff\n  NSEC b A TXT\n  RRSIG A 8 2 60 20260901000000 20260801000000 1 @ AQID\n" +
		"p PTR host\nd.x DNAME y\n\n; comment\n"
	count := func(n int) float64 {
		text := []byte("$ORIGIN Example.\n$TTL 300\n")
		for i := range n {
			text = fmt.Appendf(text, line, i)
		}
		for len(text) < 2*usualBuffer { // so that the buffer grows alike
			text = append(text, "; padding\n"...)
		}
		r := bytes.NewReader(nil)
		records := 0
		return testing.AllocsPerRun(5, func() {
			r.Reset(text)
			_, err := Parse(r, Options{File: "z"}, func(*wire.RR, Pos) error { records++; return nil }, func(f Finding) { t.Fatal(f) })
			if err != nil || records%(n*14) != 0 {
				t.Fatal(err, records)
			}
		})
	}
	if few, many := count(10), count(1000); few != many {
		t.Errorf("%v allocations for 10 times the lines, %v for 1000 times", few, many)
	}
}

func TestNames(t *testing.T) {
	origin := mustName("Example.")
	for _, c := range []struct{ text, want, err string }{
		{"@", "\x07Example\x00", ""},
		{".", "\x00", ""},
		{"A.b", "\x01A\x01b\x07Example\x00", ""},
		{"A.b.", "\x01A\x01b\x00", ""},
		{`a\.b\032\\`, "\x05a.b \\\x07Example\x00", ""},
		{"", "", "is empty"},
		{"..", "", "empty label"},
		{".a", "", "empty label"},
		{"a b", "", "must be escaped"},
		{"a;", "", "must be escaped"},
		{`a\`, "", "begins no escape"},
		{`a\25`, "", "begins no escape"},
		{`a\256.`, "", "begins no escape"},
		{strings.Repeat("a", 64) + ".", "", "more than 63"},
		{strings.Repeat("a", 64), "", "more than 63"},
		{strings.Repeat("a.", 127), strings.Repeat("\x01a", 127) + "\x00", ""},
		{strings.Repeat("a.", 128), "", "longer than 255"},
		{strings.Repeat("a.", 122) + "aa", "", "longer than 255"},
		{strings.Repeat("a.", 121) + "aa", strings.Repeat("\x01a", 121) + "\x02aa\x07Example\x00", ""},
	} {
		got, err := ParseName(c.text, origin)
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q %v", c.text, got, err)
		}
		if lower, _ := ParseNameLower(c.text, mustName("example.")); !bytes.Equal(lower, wire.AppendLower(nil, got)) {
			t.Errorf("%q: %q, in lower case %q", c.text, got, lower)
		}
		if err == nil && wire.NameLen(got) != len(got) {
			t.Errorf("%q: %q is no name", c.text, got)
		}
	}
	if _, err := ParseName("a", nil); err == nil || !strings.Contains(err.Error(), "no origin") {
		t.Error(err)
	}
}

func TestTypeNames(t *testing.T) {
	for text, want := range map[string]wire.Type{"a": 1, "AAAA": 28, "Type1": 1, "TYPE65535": 65535, "nsap-ptr": 23, "svcb": 64} {
		if got, err := ParseType(text); got != want || err != nil {
			t.Error(text, got, err)
		}
	}
	for _, text := range []string{"", "TYPE", "TYPE65536", "TYPE-1", "NONSENSE", "None", "Reserved", strings.Repeat("A", 100)} {
		if got, err := ParseType(text); err == nil {
			t.Error(text, got)
		}
	}
	for typ := range 65536 {
		if got, err := ParseType(TypeString(wire.Type(typ))); err != nil || int(got) != typ {
			t.Error(typ, TypeString(wire.Type(typ)), got, err)
		}
	}
}

func TestAppendRR(t *testing.T) {
	owner := mustName(`\@x.\$a.example.`)
	for _, c := range []struct {
		typ  wire.Type
		data string
		want string
	}{
		{wire.TypeA, "\xc0\x00\x02\x01", "192.0.2.1"},
		{wire.TypeA, "\xc0\x00\x02", `\# 3 c00002`},
		{wire.TypeA, "", `\# 0`},
		{wire.TypeTXT, "\x03a\"b\x00", `"a\"b" ""`},
		{wire.TypeTXT, "\x04ab", `\# 3 046162`},
		{wire.TypeMX, "\x00\x0a\x04Mail\x00", "10 Mail."},
		{wire.TypeMX, "\x00\x0a\x04Mail\xc0\x00", `\# 9 000a044d61696cc000`},
		{65280, "x", `\# 1 78`},
	} {
		rr := &wire.RR{Owner: owner, Type: c.typ, TTL: 60, Data: []byte(c.data)}
		want := `\@x.\$a.example.` + "\t60\tIN\t" + TypeString(c.typ) + "\t" + c.want
		if got := string(AppendRR(nil, rr)); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
