package zonefile

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/wire"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden reads testdata/*.zone and compares the records, each with its
// place, and the findings with the .golden file beside.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			got := dump(t, name)
			golden := strings.TrimSuffix(name, ".zone") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", golden, d)
			}
		})
	}
}

func dump(t *testing.T, name string) []byte {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot("testdata")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var out bytes.Buffer
	o := Options{File: filepath.Base(name), Open: func(n string) (io.ReadCloser, error) { return root.Open(n) }}
	stats, err := Parse(bytes.NewReader(text), o, func(rr *wire.RR, pos Pos) error {
		fmt.Fprintf(&out, "%s\t%s\n", pos, AppendRR(nil, rr))
		return nil
	}, func(f Finding) { fmt.Fprintf(&out, "! %s [%s]\n", f, f.Rule) })
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "= %d records, %d errors, %d warnings, files %q\n", stats.Records, stats.Errors, stats.Warnings, stats.Files)
	return out.Bytes()
}
