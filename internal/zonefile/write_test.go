package zonefile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"geodns/internal/wire"
)

// TestWriter writes what the files of testdata say, and reads the same again.
func TestWriter(t *testing.T) {
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	all := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var list []wire.RR
		o := Options{File: name, Origin: mustName("example."), Open: func(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }}
		if _, err := Parse(bytes.NewReader(text), o, func(rr *wire.RR, _ Pos) error {
			list = append(list, wire.RR{Owner: slices.Clone(rr.Owner), Type: rr.Type, TTL: rr.TTL, Data: slices.Clone(rr.Data)})
			return nil
		}, func(Finding) {}); err != nil {
			t.Fatal(err)
		}
		all += len(list)
		for _, origin := range [][]byte{{0}, mustName("example."), mustName("com.")} {
			below := slices.DeleteFunc(slices.Clone(list), func(rr wire.RR) bool { return !wire.HasSuffix(rr.Owner, origin) })
			writeAndRead(t, name, origin, below)
		}
	}
	if all < 100 {
		t.Errorf("only %d records were tried", all)
	}
}

func writeAndRead(t *testing.T, name string, origin []byte, list []wire.RR) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, origin, 3600, "of "+filepath.Base(name))
	for i := range list {
		if err := w.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err := Parse(bytes.NewReader(out.Bytes()), Options{File: "written"}, func(rr *wire.RR, pos Pos) error {
		if n == len(list) {
			t.Fatalf("%s: more than was written", name)
		}
		want := &list[n]
		if !bytes.Equal(rr.Owner, want.Owner) || rr.Type != want.Type || rr.TTL != want.TTL || !bytes.Equal(rr.Data, want.Data) {
			t.Fatalf("%s, %v: read %s, want %s", name, pos, AppendRR(nil, rr), AppendRR(nil, want))
		}
		n++
		return nil
	}, func(f Finding) {
		if f.Severity == Error {
			t.Fatalf("%s: %v", name, f)
		}
	})
	if err != nil || n != len(list) {
		t.Fatalf("%s: %d of %d records, %v", name, n, len(list), err)
	}
}

func TestWriterForm(t *testing.T) {
	var out strings.Builder
	w := NewWriter(&out, mustName("example."), 60, "a zone")
	for _, rr := range []wire.RR{
		{Owner: mustName("example."), Type: wire.TypeA, TTL: 60, Data: []byte{192, 0, 2, 1}},
		{Owner: mustName("example."), Type: wire.TypeTXT, TTL: 300, Data: []byte("\x03a\"b")},
		{Owner: mustName(`\@.example.`), Type: wire.TypeA, TTL: 60, Data: []byte{192, 0, 2, 2}},
		{Owner: mustName(`*.b.example.`), Type: wire.TypeMX, TTL: 60, Data: []byte("\x00\x0a\x01m\x00")},
	} {
		if err := w.Add(&rr); err != nil {
			t.Fatal(err)
		}
	}
	const want = "; a zone\n$ORIGIN example.\n$TTL 60\n@\t\tA\t192.0.2.1\n\t300\tTXT\t\"a\\\"b\"\n\\@\t\tA\t192.0.2.2\n*.b\t\tMX\t10 m.\n"
	if err := w.Close(); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// Whoever closes a file learns that it is not all there.
func TestWriterFails(t *testing.T) {
	w := NewWriter(full{}, mustName("example."), 60, "")
	_ = w.Add(&wire.RR{Owner: mustName("example."), Type: wire.TypeA, Data: []byte{1, 2, 3, 4}})
	if err := w.Close(); err == nil {
		t.Error("no error")
	}
}
