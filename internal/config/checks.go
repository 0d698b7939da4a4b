package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Check is an entry under checks: what a zone's check may cite by its name but
// not say itself, because it runs something here, reads something here, or is
// secret. It is of one kind: Command, File or User is not empty, the others
// are.
type Check struct {
	// Name has 1 to 63 letters, digits, hyphens, underscores and dots.
	Name string

	// Command is a program's absolute path, and its arguments (exec). Env is
	// what stands in its environment, in the order of the names.
	Command []string
	Env     []Variable

	// File is what is read; it need not be there (file).
	File string

	// User and Password log in at a database (mysql, postgres). Password is
	// empty where there is none, and until Load has read the file that
	// password-file names.
	User     string
	Password Secret
	// Database is where the login goes; "": where the server puts it.
	Database string
	// TLS is how the login is protected (tls: off). TLSName is the name that the
	// certificate must have; "": the address.
	TLS     CheckTLS
	TLSName string
	// Networks are where the password may be sent to; empty: wherever a zone's
	// nodes are (networks: []).
	Networks []netip.Prefix
}

// Variable is one of a command's environment. What it holds is hidden, since
// secrets are handed over so.
type Variable struct {
	Name  string
	Value Secret
}

// CheckTLS is how a login at a database is protected.
type CheckTLS string

// The ways to protect a login.
const (
	TLSOff    CheckTLS = "off"
	TLSOn     CheckTLS = "on"     // encrypted, whoever it is
	TLSVerify CheckTLS = "verify" // encrypted, with a valid certificate
)

// Check returns the entry under checks that has a name; nil if there is none.
func (c *Config) Check(name string) *Check {
	i, ok := slices.BinarySearchFunc(c.Checks, name, func(e Check, name string) int { return strings.Compare(e.Name, name) })
	if !ok {
		return nil
	}
	return &c.Checks[i]
}

const (
	maxCheckName = 63
	maxArguments = 100
	// maxText is the longest path, argument or variable, in octets.
	maxText = 4096
	// ownVariables begins the variables by which a command is told what to look
	// at.
	ownVariables = "GEODNS_"
)

const checkExample = "{command: [/usr/local/bin/check-app]}, {file: app.state} or {user: geodns, password-file: db.password}"

// checkEntry is an entry under checks as it is written.
type checkEntry struct {
	prefix string // its place, such as checks.app
	Check
	password, passwordFile string
}

// checks is a mapping from names to entries. They become Config.Checks when the
// whole file is read.
func checks(name string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		m, ok := n.(*ast.MappingNode)
		if !ok {
			// Not what it is instead: it may be a secret.
			r.fail(key, n, "must be a mapping from names to entries such as %s", checkExample)
			return
		}
		seen := map[string]place{}
		for _, kv := range m.Values {
			name, ok := kv.Key.(*ast.StringNode)
			if !ok || !isCheckName(name.Value) {
				r.fail(key, kv.Key, "the name of an entry must be a word of 1 to %d letters, digits, -, _ and ., in quotes if it is a number", maxCheckName)
				continue
			}
			if first, twice := seen[name.Value]; twice {
				r.fail(key, kv.Key, "%s is given twice; the first is in line %d, column %d", name.Value, first.line, first.column)
				continue
			}
			seen[name.Value] = placeOf(name)
			e := checkEntry{prefix: checkPrefix(key, name.Value), Check: Check{Name: name.Value}}
			if r.checkEntry(&e, kv.Value) {
				r.checks = append(r.checks, e)
			}
		}
	}}
}

// isCheckName reports whether a check in a zone could cite an entry so.
func isCheckName(s string) bool {
	return s != "" && len(s) <= maxCheckName && !strings.ContainsFunc(s, func(c rune) bool { return c != '.' && !isLabelRune(c) })
}

func isLabelRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// checkPrefix is the dotted name of an entry; names with dots are set off, so
// that no key of one is the name of another.
func checkPrefix(key, name string) string {
	if strings.Contains(name, ".") {
		return fmt.Sprintf("%s[%q]", key, name)
	}
	return join(key, name)
}

// checkEntry reads one entry and reports whether it can be used: the files that
// it names are looked at later.
func (r *reader) checkEntry(e *checkEntry, n ast.Node) bool {
	before := len(r.errs)
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.fail(e.prefix, n, "must be a mapping such as %s", checkExample)
		return false
	}
	fields := []field{
		command("command", &e.Command),
		environment("env", &e.Env),
		path("file", &e.File, false),
		text("user", &e.User, maxString),
		hiddenText("password", &e.password, "leave it out, if there is none"),
		path("password-file", &e.passwordFile, false),
		text("database", &e.Database, maxString),
		choice("tls", []string{string(TLSOff), string(TLSOn), string(TLSVerify)}, func(i int) {
			e.TLS = [...]CheckTLS{TLSOff, TLSOn, TLSVerify}[i]
		}),
		text("tls-name", &e.TLSName, maxString),
		prefixes("networks", &e.Networks, nil),
	}
	r.places[e.prefix] = placeOf(n)
	if !r.checkWords(e.prefix, m, fields) {
		return false
	}
	r.mapping(e.prefix, m, fields)
	return len(r.errs) == before && r.wholeCheck(e, m)
}

// checkWords refuses unknown keys without showing them: a password that lost
// its colon looks so.
func (r *reader) checkWords(prefix string, m *ast.MappingNode, fields []field) bool {
	for _, kv := range m.Values {
		if s, ok := kv.Key.(*ast.StringNode); !ok || find(fields, s.Value) == nil {
			names := make([]string, len(fields))
			for i := range fields {
				names[i] = fields[i].name
			}
			r.fail(prefix, kv.Key, "unknown key (not shown, it may be a secret); an entry has %s", strings.Join(names, ", "))
			return false
		}
	}
	return true
}

// wholeCheck reports what an entry lacks or has too much of.
func (r *reader) wholeCheck(e *checkEntry, m *ast.MappingNode) bool {
	before := len(r.errs)
	beside := map[string][]string{
		"command": {"env"},
		"file":    nil,
		"user":    {"password", "password-file", "database", "tls", "tls-name", "networks"},
	}
	kind := ""
	for _, k := range []string{"command", "file", "user"} {
		if r.gives(m, k) {
			kind = k
			break
		}
	}
	if kind == "" {
		r.fail(e.prefix, m, "has none of command, file and user; write one entry such as %s", checkExample)
		return false
	}
	for _, kv := range m.Values {
		k := kv.Key.(*ast.StringNode).Value
		if k != kind && r.gives(m, k) && !slices.Contains(beside[kind], k) {
			r.fail(e.prefix, kv.Key, "%s has no place beside %s; leave one of them out, or make two entries", k, kind)
		}
	}
	switch {
	case kind != "user":
	case e.User == "":
		r.failKey(join(e.prefix, "user"), "is empty; write the user to log in as")
	case e.password != "" && e.passwordFile != "":
		r.fail(e.prefix, m, "has a password and a password-file; leave one of them out")
	case e.TLSName != "" && (e.TLS == "" || e.TLS == TLSOff):
		r.failKey(join(e.prefix, "tls-name"), "is the name in a certificate, but there is no TLS; add tls: verify, or leave it out")
	case e.TLS == "":
		e.TLS = TLSOff
	}
	return len(r.errs) == before
}

// gives reports whether a mapping has a key with a value.
func (r *reader) gives(m *ast.MappingNode, key string) bool {
	return slices.ContainsFunc(m.Values, func(kv *ast.MappingValueNode) bool {
		s, ok := kv.Key.(*ast.StringNode)
		return ok && s.Value == key && kv.Value.Type() != ast.NullType
	})
}

// command is a program's absolute path, and its arguments. No shell reads it.
func command(name string, dst *[]string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok || len(list.Values) == 0 || len(list.Values) > maxArguments {
			r.fail(key, n, "must be a list of the program and its arguments, %d at most, such as [/usr/local/bin/check-app, \"-w\", \"5\"]", maxArguments)
			return
		}
		for i, n := range list.Values {
			s, ok := r.str(item(key, i), n)
			switch {
			case !ok:
			case len(s) > maxText || strings.ContainsRune(s, 0):
				r.fail(item(key, i), n, "has a NUL, or more than %d octets; shorten it", maxText)
			case i == 0 && (!filepath.IsAbs(s) || filepath.Clean(s) != s):
				r.fail(item(key, i), n, "%s is not an absolute path; write the program with its whole path, such as /usr/local/bin/check-app", quote(s))
			}
			r.places[item(key, i)] = placeOf(n)
			*dst = append(*dst, s)
		}
	}}
}

// environment is a mapping from variables to what they hold.
func environment(name string, dst *[]Variable) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		m, ok := n.(*ast.MappingNode)
		if !ok {
			r.fail(key, n, "must be a mapping such as {LANG: C}")
			return
		}
		for _, kv := range m.Values {
			name, ok := kv.Key.(*ast.StringNode)
			switch {
			case !ok || !isVariable(name.Value):
				r.fail(key, kv.Key, "the name of a variable (not shown, it may be a secret) must be of letters, digits and _, and not begin with a digit")
				continue
			case strings.HasPrefix(name.Value, ownVariables):
				r.fail(key, kv.Key, "variables that begin with %s are the server's own; call it something else", ownVariables)
				continue
			case slices.ContainsFunc(*dst, func(v Variable) bool { return v.Name == name.Value }):
				r.fail(key, kv.Key, "%s is given twice; leave one of them out", shorten(name.Value))
				continue
			}
			s, ok := kv.Value.(*ast.StringNode)
			if !ok || len(s.Value) > maxText || strings.ContainsRune(s.Value, 0) {
				r.fail(join(key, shorten(name.Value)), kv.Value, "must be a text in quotes, of at most %d octets and without NUL (it is not shown here)", maxText)
				continue
			}
			*dst = append(*dst, Variable{name.Value, newSecret([]byte(s.Value))})
		}
		slices.SortFunc(*dst, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	}}
}

func isVariable(s string) bool {
	return s != "" && len(s) <= maxString && (s[0] < '0' || s[0] > '9') &&
		!strings.ContainsFunc(s, func(c rune) bool { return c == '-' || !isLabelRune(c) })
}

// resolveChecks makes c.Checks of the entries. Files are looked at if withFiles;
// without them, entries with a password-file have no password.
func (r *reader) resolveChecks(c *Config, withFiles bool) {
	for i := range r.checks {
		e := &r.checks[i]
		if e.password != "" {
			e.Password = newSecret([]byte(e.password))
		}
		e.File = r.resolvePath(e.File)
		if withFiles {
			r.checkProgram(e)
			r.checkDirectory(e)
			r.readPassword(e)
		}
		c.Checks = append(c.Checks, e.Check)
	}
	slices.SortFunc(c.Checks, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
}

// checkProgram reports a command that can't be run, and warns of one that
// anybody can replace.
func (r *reader) checkProgram(e *checkEntry) {
	if len(e.Command) == 0 {
		return
	}
	key, file := item(join(e.prefix, "command"), 0), e.Command[0]
	info, err := os.Stat(file)
	switch {
	case err != nil:
		r.failKey(key, "%s: %v", file, plain(err, "there is no such file; install it, or name another"))
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		r.failKey(key, "%s: is not a program; name one, or make it executable with chmod +x", file)
	case info.Mode().Perm()&0o002 != 0:
		r.warnKey(key, "%s: every user of this machine can change it; take that away with chmod o-w %s", file, file)
	}
}

// checkDirectory warns of a file that can never appear. That it is not there now
// is no error: it says that the node is down.
func (r *reader) checkDirectory(e *checkEntry) {
	if e.File == "" {
		return
	}
	dir := filepath.Dir(e.File)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		r.warnKey(join(e.prefix, "file"), "%s: there is no directory %s, so that the file cannot be there", e.File, dir)
	}
}

// readPassword reads a file that holds a password and nothing else.
func (r *reader) readPassword(e *checkEntry) {
	if e.passwordFile == "" {
		return
	}
	key, file := join(e.prefix, "password-file"), r.resolvePath(e.passwordFile)
	data, ok := r.secretFile(key, file, "write the password into it, and let only this server read it")
	if !ok {
		return
	}
	s := strings.TrimRight(string(data), "\r\n")
	switch {
	case s == "":
		r.failKey(key, "%s: is empty; write the password into it, or leave password-file out if there is none", file)
	case strings.ContainsAny(s, "\r\n\x00"):
		r.failKey(key, "%s: has more than one line; leave nothing but the password in it", file)
	default:
		e.Password = newSecret([]byte(s))
	}
}
