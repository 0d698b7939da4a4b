package updates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// recipe finds what docs/replication.md shows behind "<!-- test: KIND -->".
var recipe = regexp.MustCompile("(?s)<!-- test: ([a-z]+) -->\n```[a-z]*\n(.*?)```\n")

// checker is how a server's configuration is checked without starting it.
type checker struct {
	program string
	args    []string // behind these comes the file
	around  string   // the configuration, with %s for the recipe
}

var checkers = map[string]checker{
	"geodns": {"", []string{"check", "--config"}, "%s"},
	"bind":   {"/usr/bin/named-checkconf", nil, "%s"},
	"nsd":    {"/usr/sbin/nsd-checkconf", nil, "server:\n    zonesdir: \".\"\n    username: \"\"\n%s"},
	"knot":   {"/usr/sbin/knotc", []string{"conf-check"}, "server:\n    rundir: \".\"\n%s"},
}

// command is the check of a file.
func (c checker) command(file string) *exec.Cmd {
	args := append([]string(nil), c.args...)
	if c.program == "/usr/sbin/knotc" {
		args = append([]string{"-c", file}, args...)
	} else {
		args = append(args, file)
	}
	program := c.program
	if program == "" {
		program = target.Binary
	}
	return exec.Command(program, args...)
}

// Each configuration of docs/replication.md is one that its server takes: BIND,
// NSD and Knot by their own checkers, geodns by geodns check.
func TestRecipes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/replication.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, m := range recipe.FindAllStringSubmatch(string(page), -1) {
		kind, text := m[1], m[2]
		c, known := checkers[kind]
		if !known {
			t.Errorf("there is no checker for %q", kind)
			continue
		}
		seen[kind]++
		dir := recipeDir(t)
		file := write(t, fmt.Sprintf(c.around, text), dir, fmt.Sprintf("%s%d.conf", kind, i))
		cmd := c.command(file)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", kind, err, text, out)
		}
		// What is checked says something: with a word that nobody knows it is refused.
		broken := write(t, fmt.Sprintf(c.around, strings.Replace(text, "key", "kee", 1)), dir, "broken.conf")
		cmd = c.command(broken)
		cmd.Dir = dir
		if strings.Contains(text, "key") && cmd.Run() == nil {
			t.Errorf("%s takes the recipe with a misspelt word, too", kind)
		}
	}
	for kind, least := range map[string]int{"geodns": 8, "bind": 3, "nsd": 2, "knot": 2} {
		if seen[kind] < least {
			t.Errorf("the page has %d recipes for %s: has its form changed?", seen[kind], kind)
		}
	}
	if marks := strings.Count(string(page), "<!-- test:"); marks != len(recipe.FindAllString(string(page), -1)) {
		t.Errorf("%d marks of recipes have no recipe behind them", marks)
	}
}

// recipeDir is a directory with the files that the recipes name.
func recipeDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, strings.ReplaceAll(base, "zone.example", "example.org"), dir, "zones", "example.org.zone")
	for _, name := range []string{"xfer", "plain", "acme", "kubernetes", "terraform"} {
		k := newKey(name+".example.", "hmac-sha256.", name[0])
		write(t, fmt.Sprintf("key %q {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n", name+".example", k.secret), dir, name+".key")
	}
	certificate(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	return dir
}

// certificate writes a certificate of its own making, and its key.
func certificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ns1.example.org"}, DNSNames: []string{"ns1.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), certFile)
	write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), keyFile)
}
