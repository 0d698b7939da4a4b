package config

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/miekg/dns"
)

// Key is a TSIG key (RFC 8945): an entry under keys.
type Key struct {
	// Name is a domain name in lower case with the final dot, of at most 96
	// octets on the wire.
	Name string
	// Algorithm is hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384,
	// hmac-sha512, or hmac-md5 where the entry has allow-md5: true.
	Algorithm string
	// Secret has at least 8 octets. Only Load reads the files that secret-file
	// names; until then it is empty.
	Secret Secret
}

const (
	// maxKeyName leaves room for a question, an OPT and the longest TSIG in 512
	// octets, so that every signed query can be answered (RFC 8945 5.3).
	maxKeyName = 96
	// Octets of a secret: below minSecret it is guessed, below goodSecret it is
	// warned of.
	minSecret  = 8
	goodSecret = 16
)

const md5Algorithm = "hmac-md5"

// algorithms are those that keys may have, the one to prefer first.
func algorithms() []string {
	return []string{"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", md5Algorithm}
}

// keyEntry is an entry under keys as it is written.
type keyEntry struct {
	prefix string // its place, such as keys[0]
	at     place

	name, algorithm, secret, secretFile, file string
	allowMD5                                  bool
}

// keys is the list of keys. They become Config.Keys when the whole file is read.
func keys(name string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			// Not what it is instead: it may be a secret.
			r.badKeys = true
			r.fail(key, n, "must be a list such as [{name: xfer., algorithm: hmac-sha256, secret-file: xfer.secret}]")
			return
		}
		for i, n := range list.Values {
			e := keyEntry{prefix: item(key, i), at: placeOf(n)}
			if r.keyEntry(&e, n) {
				r.keys = append(r.keys, e)
			} else {
				r.badKeys = true
			}
		}
	}}
}

// keyEntry reads one entry and reports whether it may be used: what it says of
// the key itself is checked later.
func (r *reader) keyEntry(e *keyEntry, n ast.Node) bool {
	before := len(r.errs)
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.fail(e.prefix, n, "must be a mapping such as {name: xfer., algorithm: hmac-sha256, secret-file: xfer.secret}")
		return false
	}
	if !r.keyWords(e.prefix, m) {
		return false
	}
	r.mapping(e.prefix, m, []field{
		text("name", &e.name, 1024),
		choice("algorithm", algorithms(), func(i int) { e.algorithm = algorithms()[i] }),
		hiddenText("secret", &e.secret, "write it in base64, as tsig-keygen makes it"),
		path("secret-file", &e.secretFile, false),
		path("file", &e.file, false),
		boolean("allow-md5", &e.allowMD5),
	})
	if len(r.errs) > before {
		return false
	}
	return r.wholeEntry(e)
}

// keyWords refuses keys that are too long to be misspelt ones, without showing
// them: a secret that lost its colon looks so.
func (r *reader) keyWords(prefix string, m *ast.MappingNode) bool {
	const longest = len("secret-file") + 4
	for _, kv := range m.Values {
		if s, ok := kv.Key.(*ast.StringNode); !ok || len(s.Value) > longest {
			r.fail(prefix, kv.Key, "unknown key (not shown, it may be a secret); %s has name, algorithm, secret, secret-file, file, allow-md5", prefix)
			return false
		}
	}
	return true
}

// wholeEntry reports what an entry lacks or has too much of.
func (r *reader) wholeEntry(e *keyEntry) bool {
	fail := func(format string, args ...any) bool {
		r.failAt(e.at, e.prefix+": "+format, args...)
		return false
	}
	if e.file != "" {
		if e.name != "" || e.algorithm != "" || e.secret != "" || e.secretFile != "" {
			return fail("file has name, algorithm and secret in it, as tsig-keygen writes them; leave the others out")
		}
		return true
	}
	switch {
	case e.name == "":
		return fail("lacks a name; write the one that the other side has, such as name: xfer.")
	case e.algorithm == "":
		return fail("lacks an algorithm; write algorithm: hmac-sha256, if the other side has nothing else")
	case e.secret == "" && e.secretFile == "":
		return fail("lacks a secret; write secret: in base64, or secret-file: with the name of a file that holds it")
	case e.secret != "" && e.secretFile != "":
		return fail("has a secret and a secret-file; leave one of them out")
	}
	return true
}

// hiddenText is a text that no message shows; remedy is for an empty one.
func hiddenText(name string, dst *string, remedy string) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := n.(*ast.StringNode)
		switch {
		case !ok:
			r.fail(key, n, "must be a text in quotes (it is not shown here)")
		case s.Value == "":
			r.fail(key, n, "is empty; %s", remedy)
		case strings.ContainsAny(s.Value, "\x00\r\n"):
			r.fail(key, n, "has more than one line, or a NUL (it is not shown here); write it in one line")
		default:
			*dst = s.Value
		}
	}}
}

func boolean(name string, dst *bool) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.fail(key, n, "must be true or false, not %s", kindOf(n))
			return
		}
		*dst = b.Value
	}}
}

// keyAt is a key with where it was found.
type keyAt struct {
	Key
	at place
}

// resolveKeys makes c.Keys of the entries. Files are read if withFiles; without
// them, keys have no secret, or are left out, where they are in files.
func (r *reader) resolveKeys(c *Config, withFiles bool) {
	before := len(r.errs)
	known := !r.badKeys
	var all []keyAt
	for i := range r.keys {
		e := &r.keys[i]
		switch {
		case e.file == "":
			all = r.ownKey(all, e, withFiles)
		case withFiles:
			all = r.keysOfFile(all, e)
		default:
			known = false
		}
	}
	for i := range all {
		k := &all[i]
		if j := slices.IndexFunc(all[:i], func(o keyAt) bool { return o.Name == k.Name }); j >= 0 {
			r.failAt(k.at, "keys: there are two keys called %s; the first is in line %d, column %d", k.Name, all[j].at.line, all[j].at.column)
			continue
		}
		c.Keys = append(c.Keys, k.Key)
	}
	// What is wrong with the keys would be told twice.
	if known && len(r.errs) == before {
		r.checkTransferKeys(c)
	}
}

// ownKey is the key that an entry holds itself.
func (r *reader) ownKey(all []keyAt, e *keyEntry, withFiles bool) []keyAt {
	name, err := keyName(e.name)
	if err != nil {
		r.failKey(e.prefix+".name", "%v", err)
		return all
	}
	k := keyAt{Key{Name: name, Algorithm: e.algorithm}, e.at}
	if e.algorithm == md5Algorithm && !e.allowMD5 {
		r.failKey(e.prefix+".algorithm", "%s", md5Refused)
	}
	switch {
	case e.secret != "":
		k.Secret = r.secret(e.prefix+".secret", "", e.secret)
	case withFiles:
		file := r.resolvePath(e.secretFile)
		if data, ok := r.secretFile(e.prefix+".secret-file", file, makeKey); ok {
			k.Secret = r.secret(e.prefix+".secret-file", file, strings.TrimSpace(string(data)))
		}
	}
	return append(all, k)
}

const md5Refused = "hmac-md5 is broken; use hmac-sha256 on both sides, or add allow-md5: true if the other side has nothing else"

// keyName is the canonical form of a key's name: two names that are the same
// on the wire have the same.
func keyName(s string) (string, error) {
	var wire [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(s), wire[:], 0, nil, false)
	if s == "" || err != nil {
		return "", errors.New(quote(s) + " is not a domain name; write one such as xfer.example.")
	}
	if n > maxKeyName {
		return "", errors.New(quote(s) + " is too long: with it no answer would fit into a small datagram; use a name of at most 90 letters")
	}
	name, _, err := dns.UnpackDomainName(wire[:n], 0)
	if err != nil {
		return "", errors.New(quote(s) + " is not a domain name; write one such as xfer.example.")
	}
	return dns.CanonicalName(name), nil
}

// secret decodes a secret. It stands at key, in a file if that is not "".
func (r *reader) secret(key, file, s string) Secret {
	if file != "" {
		file += ": "
	}
	b, err := base64.StdEncoding.DecodeString(s)
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		r.failKey(key, "%sis not base64: wrong from letter %d on (it is not shown here); copy it whole, as tsig-keygen makes it", file, int64(corrupt)+1)
	case len(b) < minSecret:
		r.failKey(key, "%shas %d octets, which is as good as none; make one of 32 octets with tsig-keygen", file, len(b))
	case len(b) < goodSecret:
		r.warnKey(key, "%shas %d octets, which can be guessed; make one of 32 octets with tsig-keygen", file, len(b))
	}
	return newSecret(b)
}
