package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const (
	plainSecret  = "0123456789abcdefghijklmnopqrstuv"
	secretBase64 = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
)

// loadWith loads a configuration from a directory with the given files, which
// only their owner may read but for those that are named in open.
func loadWith(t *testing.T, files map[string]string, open ...string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range open {
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return Load("geodns.yaml")
}

// Keys come from the configuration, from files of their own, and from files as
// tsig-keygen and BIND's configuration have them.
func TestLoadKeys(t *testing.T) {
	got, err := loadWith(t, map[string]string{
		"geodns.yaml": `
keys:
  - {name: Inline, algorithm: hmac-sha1, secret: "` + secretBase64 + `"}
  - {name: own.example., algorithm: hmac-sha384, secret-file: own.secret}
  - file: made.key
  - {file: old.key, allow-md5: true}
transfer:
  allow: ["key:made", "key:THIRD.example"]
`,
		"own.secret": "\n  " + secretBase64 + "\r\n",
		"made.key":   "key \"Made.\" {\n\talgorithm hmac-sha512;\n\tsecret \"" + secretBase64 + "\";\n};\n",
		"old.key": "# comment\nkey second{algorithm \"HMAC-MD5\";secret " + secretBase64 + ";};// comment\n" +
			"/* a\ncomment { */ key \"third.example\" { secret \"" + secretBase64 + "\"; algorithm hmac-sha224.; };# the end",
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := newSecret([]byte(plainSecret))
	want := []Key{
		{"inline.", "hmac-sha1", secret},
		{"own.example.", "hmac-sha384", secret},
		{"made.", "hmac-sha512", secret},
		{"second.", "hmac-md5", secret},
		{"third.example.", "hmac-sha224", secret},
	}
	if d := cmp.Diff(want, got.Keys); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(Errors(nil), got.Warnings); d != "" {
		t.Errorf("warnings: %s", d)
	}
	for name, want := range map[string]bool{"made.": true, "third.example.": true, "inline.": false, "": false} {
		if got.Transfer.AllowsKey(name) != want {
			t.Errorf("the key %q may transfer: %v, want %v", name, !want, want)
		}
	}
	for _, k := range got.Keys {
		if string(k.Secret.Reveal()) != plainSecret {
			t.Errorf("the secret of %s is %q", k.Name, k.Secret.Reveal())
		}
	}
}

func TestWarnings(t *testing.T) {
	const short = "MDEyMzQ1Njc4OWFiY2Rl" // 15 octets
	tests := []struct {
		name string
		keys string
		open []string
		want []string
	}{
		{"all is well", `{name: a, algorithm: hmac-sha256, secret: "` + secretBase64 + `"}`, nil, nil},
		{"short secrets", `{name: a, algorithm: hmac-sha256, secret: ` + short + `}, {name: b, algorithm: hmac-sha256, secret-file: short.secret}`, nil, []string{
			"geodns.yaml:1:50: keys[0].secret: has 15 octets, which can be guessed; make one of 32 octets with tsig-keygen",
			"geodns.yaml:1:120: keys[1].secret-file: short.secret: has 15 octets, which can be guessed; make one of 32 octets with tsig-keygen",
		}},
		{"open configuration", `{name: a, algorithm: hmac-sha256, secret: "` + secretBase64 + `"}`, []string{"geodns.yaml"}, []string{
			"geodns.yaml:1:50: keys[0].secret: every user of this machine can get at it; take that away with chmod o= geodns.yaml, or use secret-file",
		}},
		{"open configuration without secrets", `{name: a, algorithm: hmac-sha256, secret-file: a.secret}`, []string{"geodns.yaml"}, nil},
		{"open files", `{name: a, algorithm: hmac-sha256, secret-file: a.secret}, {file: b.key}`, []string{"a.secret", "b.key"}, []string{
			"geodns.yaml:1:55: keys[0].secret-file: a.secret: every user of this machine can get at it; take that away with chmod o= a.secret",
			"geodns.yaml:1:73: keys[1].file: b.key: every user of this machine can get at it; take that away with chmod o= b.key",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := loadWith(t, map[string]string{
				"geodns.yaml": "keys: [" + tt.keys + "]\n", "a.secret": secretBase64, "short.secret": short,
				"b.key": `key b { algorithm hmac-sha256; secret "` + secretBase64 + `"; };`,
			}, tt.open...)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, w := range got.Warnings {
				lines = append(lines, w.Error())
			}
			if d := cmp.Diff(tt.want, lines); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	got, err := Parse("geodns.yaml", []byte("transfer: {allow: [0.0.0.0/0]}"))
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Error(), "1:20: transfer.allow[0]: 0.0.0.0/0 lets everyone transfer") {
		t.Errorf("%v, %v", got.Warnings, err)
	}
}

// Parse opens no file, so keys that are in files are not known, and may be
// cited.
func TestParseWithoutFiles(t *testing.T) {
	got, err := Parse("geodns.yaml", []byte(`
keys: [{file: missing.key}, {name: a, algorithm: hmac-sha256, secret-file: missing.secret}]
transfer: {allow: ["key:unknown"]}
`))
	if err != nil || len(got.Keys) != 1 || got.Keys[0].Name != "a." || got.Keys[0].Secret.Reveal() != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// A pipe without a writer, or an endless device, is no file of keys.
func TestKeyFilesThatAreNone(t *testing.T) {
	for _, file := range []string{"/dev/zero", "big.key"} {
		_, err := loadWith(t, map[string]string{
			"geodns.yaml": "keys: [{file: " + file + "}, {name: a, algorithm: hmac-sha256, secret-file: " + file + "}]",
			"big.key":     strings.Repeat("#", maxKeyFile+1),
		})
		if err == nil || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// No secret is shown by anything that prints, logs or encodes a configuration,
// wherever it is kept.
func TestSecretsHidden(t *testing.T) {
	c, err := loadWith(t, map[string]string{"geodns.yaml": `keys: [{name: xfer, algorithm: hmac-sha256, secret: "` + secretBase64 + `"}]
checks:
  db: {user: geodns, password: ` + plainSecret + `}
  app: {command: [/bin/true], env: {TOKEN: ` + plainSecret + `}}
`})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	holder := struct {
		Config *Config
		hidden Config
		key    Key
		entry  *Secret
	}{c, *c, c.Keys[0], &c.Keys[0].Secret}
	values := []any{c, *c, c.Checks, c.Checks[0].Env, c.Checks[1].Password, c.Keys, c.Keys[0], c.Keys[0].Secret, &c.Keys[0].Secret, holder, &holder}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U", "%p"} {
		for _, v := range values {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprintln(&out, values...)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("configuration", "config", c, "key", c.Keys[0], "secret", c.Keys[0].Secret)
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		data, err := marshal(c.Keys)
		if err != nil || !strings.Contains(string(data), hiddenSecret) {
			t.Errorf("%s, %v", data, err)
		}
		out.Write(data)
		if data, err = marshal(c.Checks); err != nil || strings.Count(string(data), hiddenSecret) < 2 {
			t.Errorf("%s, %v", data, err)
		}
		out.Write(data)
	}
	fmt.Fprintln(&out, cmp.Diff(c.Keys[0], Key{}))
	text := strings.ToLower(out.String())
	forms := []string{
		plainSecret, secretBase64, hex.EncodeToString([]byte(plainSecret)),
		strings.Trim(fmt.Sprint([]byte(plainSecret)), "[]"), base64.RawURLEncoding.EncodeToString([]byte(plainSecret)),
		strings.ReplaceAll(fmt.Sprintf("% x", plainSecret), " ", ", 0x"), "48, 49, 50, 51",
	}
	for _, form := range forms {
		if strings.Contains(text, strings.ToLower(form)) {
			t.Errorf("the secret is shown as %s", form)
		}
	}
}

// No message shows a secret, whatever is wrong around it.
func TestErrorsHideSecrets(t *testing.T) {
	for _, text := range []string{
		"keys: SECRET", "keys: [SECRET]", "keys: {SECRET: 1}", "keys: [{SECRET}]", "keys: [[SECRET]]", "keys: [{secret: [SECRET]}]",
		"keys: [{name: a, secret SECRET}]", "keys: [{name: a, secret: SECRET}", "keys:\n - name: a\n   secret: SECRET: x", "keys:\n - name: a\n   secret: 'SECRET",
		"keys: [{name: a, algorithm: hmac-sha256, secret: 'SECRET SECRET'}]", "keys: [{name: a, secret: SECRET, secret: SECRET}]",
		"keys: [{name: a, algorithm: hmac-sha256, secret: |\n  SECRET\n}]", "keys: [{name: a, secret:\n SECRET\n SECRET: }]", "keys: [{name: a, secret: !!binary SECRET}]",
		"keys: [{name: a, secret: *SECRET}]", "keys: [{name: a, secret: [SECRET: {}]}]", "transfer: {allow: ['key:hmac-sha256:a:SECRET']}",
		"checks: SECRET", "checks: [SECRET]", "checks: {SECRET SECRET: 1}", "checks: {db: SECRET}", "checks: {db: [SECRET]}", "checks: {db: {SECRET}}",
		"checks: {db: {user: a, password SECRET}}", "checks: {db: {user: a, password: [SECRET]}}", "checks: {db: {user: a, password: {SECRET: SECRET}}}",
		"checks: {db: {password: SECRET}}", "checks: {db: {user: a, password: 'SECRET\n\nSECRET'}}", "checks: {db: {user: a, password: SECRET, password: SECRET}}",
		"checks: {db: {user: a, password: SECRET, password-file: a}}", "checks: {app: {env: {TOKEN: SECRET}}}", "checks: {app: {command: [/a], env: SECRET}}",
		"checks: {app: {command: [/a], env: {TOKEN=SECRET}}}", "checks: {app: {command: [/a], env: [TOKEN=SECRET]}}", "checks: {app: {command: [/a], env: {T: [SECRET]}}}",
	} {
		_, err := Parse("geodns.yaml", []byte(strings.ReplaceAll(text, "SECRET", secretBase64)))
		if err == nil || strings.Contains(err.Error(), secretBase64[:20]) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"SECRET", "key SECRET;", "key a SECRET", "key a { SECRET", "key a { secret SECRET SECRET", "key a { algorithm SECRET SECRET", "key a { secret \"SECRET\n"} {
		_, err := parseKeyFile(strings.ReplaceAll(text, "SECRET", secretBase64))
		if err == nil || strings.Contains(err.Error(), secretBase64[:20]) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Whatever a file of keys is, reading it ends, and its errors have a place.
func FuzzKeyFile(f *testing.F) {
	files, err := filepath.Glob("testdata/invalid/key-files/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseKeyFile(text)
		if err != nil {
			var line, column int
			if n, _ := fmt.Sscanf(err.Error(), "%d:%d: ", &line, &column); n != 2 || line < 1 || line > strings.Count(text, "\n")+1 || column < 1 || column > len(text)+1 || keys != nil {
				t.Errorf("error %q in a text of %d octets", err, len(text))
			}
			return
		}
		for _, k := range keys {
			if k.name == "" && !strings.Contains(text, `""`) || k.algorithm == "" || k.secret == "" {
				t.Errorf("%+v lacks something", k)
			}
		}
	})
}
