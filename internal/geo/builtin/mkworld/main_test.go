package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("geoip", "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n16777216,16777471,AU\n2001:db8::,2001:db8::ffff,NL\n")
	undated := file("undated", "16777216,16777471,AU\n")
	bad := file("bad", "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n1,2\n")
	var said bytes.Buffer
	out := filepath.Join(dir, "world.bin")
	if err := run(&said, out, []string{good}); err != nil {
		t.Fatal(err)
	}
	head := `{"date":"2026-06-25T04:33:59Z","source":"IPFire Location Database","licence":"CC BY-SA 4.0"}`
	made, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(made), head) {
		t.Errorf("%q, %v", made, err)
	}
	if want := out + ": 2 ranges in 2 countries, "; !strings.HasPrefix(said.String(), want) || !strings.HasSuffix(said.String(), " octets, data of 2026-06-25\n") {
		t.Errorf("it says %q", said.String())
	}
	for want, files := range map[string][]string{
		"name Tor's files": nil, "undated: the line \"# Generated:\"": {good, undated},
		"bad:2:1: 2 fields": {bad}, "none: cannot be read": {filepath.Join(dir, "none")},
	} {
		if err := run(&said, out, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", files, err, want)
		}
	}
	if now, err := os.ReadFile(out); err != nil || string(now) != string(made) {
		t.Errorf("what was there is lost: %v", err)
	}
}
