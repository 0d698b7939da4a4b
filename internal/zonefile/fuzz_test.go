package zonefile

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/wire"
)

// FuzzParse holds what Parse promises for any text: it ends, every record is
// whole and comes back the same from its own text, and every finding has a
// place within the text and words.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		for line := range bytes.Lines(text) {
			f.Add(append([]byte("$TTL 1\n"), line...))
		}
	}
	f.Fuzz(checkParse)
}

func checkParse(t *testing.T, text []byte) {
	lines := strings.Split(string(text), "\n")
	o := Options{File: "f", Origin: mustName("example."), MaxRecords: 5000, Open: func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("i A 192.0.2.1\n")), nil
	}}
	within := func(p Pos) {
		if p.File == "f" && (p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1) {
			t.Fatalf("%v is outside", p)
		}
	}
	records, errs := 0, 0
	stats, err := Parse(bytes.NewReader(text), o, func(rr *wire.RR, pos Pos) error {
		records++
		within(pos)
		checkRecord(t, rr)
		return nil
	}, func(f Finding) {
		within(f.Pos)
		if f.Message == "" || f.Rule == "" || strings.Contains(f.String(), "dns:") {
			t.Fatalf("%+v", f)
		}
		if f.Severity == Error && f.Rule != "too-many" {
			errs++
		}
	})
	if err != nil || stats.Records != records || stats.Errors != errs {
		t.Fatal(err, stats, records, errs)
	}
}

// checkRecord looks at one record, and writes and reads it again.
func checkRecord(t *testing.T, rr *wire.RR) {
	if wire.NameLen(rr.Owner) != len(rr.Owner) || !bytes.Equal(rr.Owner, wire.AppendLower(nil, rr.Owner)) || len(rr.Data) > maxData || rr.TTL > wire.MaxTTL || wire.MetaType(rr.Type) {
		t.Fatalf("%+v", rr)
	}
	line := AppendRR(nil, rr)
	again := 0
	_, err := Parse(bytes.NewReader(line), Options{}, func(got *wire.RR, _ Pos) error {
		again++
		if !bytes.Equal(got.Owner, rr.Owner) || got.Type != rr.Type || got.TTL != rr.TTL || !bytes.Equal(got.Data, rr.Data) {
			t.Fatalf("%q: %+v, read again %+v", line, rr, got)
		}
		return nil
	}, func(f Finding) {
		if f.Severity == Error {
			t.Fatalf("%q: %v", line, f)
		}
	})
	if err != nil || again != 1 {
		t.Fatalf("%q: %d records, %v", line, again, err)
	}
}
