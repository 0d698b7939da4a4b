package check

import (
	"os"
	"path/filepath"
	"testing"
)

// No file makes a check panic, and none that is refused is without an error.
func FuzzFiles(f *testing.F) {
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 4096 {
			f.Add(string(text))
		}
	}
	f.Add("$TTL 300\n@ SOA . . 0 0 0 0 0\n@ NS .\n$GENERATE 1-60 b MX 10 \\200\\255-$.\\195.example.\n")
	dir, world := f.TempDir(), builtInWorld()
	f.Fuzz(func(t *testing.T, text string) {
		// Another zone beside it, with a name that seeds know.
		zones := []string{filepath.Join(dir, "fuzz.zone"), filepath.Join(dir, "example.zone")}
		for i, content := range []string{text, "$TTL 300\n@ SOA ns1.example.org. a.b 1 3600 600 604800 300\n@ NS ns1.example.org.\norg NS ns1.example.org.\n"} {
			if err := os.WriteFile(zones[i], []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		report := Files(zones, Options{Now: today(), Whole: true, Rankings: world})
		if s := report.Zones[0]; s.Refused && s.Errors == 0 {
			t.Errorf("refused without an error: %q", text)
		}
	})
}
