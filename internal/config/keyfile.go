package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxKeyFile is the longest file of keys, in octets.
const maxKeyFile = 64 << 10

// makeKey is what to do about a file of keys that is not there.
const makeKey = "make one with tsig-keygen, and let only this server read it"

// secretFile reads a file that holds secrets; remedy is for one that is not
// there.
func (r *reader) secretFile(key, file, remedy string) ([]byte, bool) {
	data, err := r.readSecret(key, file, remedy)
	if err != nil {
		r.failKey(key, "%s: %v", file, err)
	}
	return data, err == nil
}

func (r *reader) readSecret(key, file, remedy string) ([]byte, error) {
	// Before it is opened: that would wait for the other end of a pipe.
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("is not a file; name the one that holds the secret")
	}
	if err != nil {
		return nil, plain(err, "there is no such file; "+remedy)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, plain(err, "")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, plain(err, "")
	case len(data) > maxKeyFile:
		return nil, fmt.Errorf("is larger than %d octets, so it is hardly a secret", maxKeyFile)
	}
	if open := info.Mode().Perm() & 0o007; open != 0 {
		r.warnKey(key, "%s: every user of this machine can get at it; take that away with chmod o= %s", file, file)
	}
	return data, nil
}

// keysOfFile reads the keys of a file as tsig-keygen writes them.
func (r *reader) keysOfFile(all []keyAt, e *keyEntry) []keyAt {
	key, file := e.prefix+".file", r.resolvePath(e.file)
	data, ok := r.secretFile(key, file, makeKey)
	if !ok {
		return all
	}
	found, err := parseKeyFile(string(data))
	if err != nil {
		r.failKey(key, "%s:%v", file, err)
		return all
	}
	if len(found) == 0 {
		r.failKey(key, "%s: has no key; write one with tsig-keygen", file)
	}
	for _, k := range found {
		name, err := keyName(k.name)
		switch {
		case err != nil:
			r.failKey(key, "%s: %v", file, err)
			continue
		case k.algorithm == md5Algorithm && !e.allowMD5:
			r.failKey(key, "%s: %s", file, md5Refused)
			continue
		case !slices.Contains(algorithms(), k.algorithm):
			r.failKey(key, "%s: the algorithm %s is not known; it must be one of %s", file, quote(k.algorithm), strings.Join(algorithms(), ", "))
			continue
		}
		all = append(all, keyAt{Key{Name: name, Algorithm: k.algorithm, Secret: r.secret(key, file, k.secret)}, r.places[key]})
	}
	return all
}

// fileKey is a key statement: key "NAME" { algorithm NAME; secret "BASE64"; };
type fileKey struct{ name, algorithm, secret string }

// keyFile reads key statements.
type keyFile struct {
	rest         string
	line, column int // of rest
	tokenAt      place
}

// parseKeyFile reads all statements. Errors begin with line and column, and
// show nothing of what is there: it may be a secret.
func parseKeyFile(text string) ([]fileKey, error) {
	p := &keyFile{rest: text, line: 1, column: 1}
	var all []fileKey
	for {
		word, err := p.next()
		switch {
		case err != nil:
			return nil, err
		case word == "":
			return all, nil
		case word != "key":
			return nil, p.fail(`expected a statement such as key "xfer." { algorithm hmac-sha256; secret ".."; };`)
		}
		k, err := p.statement()
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
}

func (p *keyFile) fail(message string) error {
	return fmt.Errorf("%d:%d: %s", p.tokenAt.line, p.tokenAt.column, message)
}

// statement reads what follows the word key.
func (p *keyFile) statement() (k fileKey, err error) {
	if k.name, err = p.value("the key's name"); err != nil {
		return k, err
	}
	if err := p.expect("{"); err != nil {
		return k, err
	}
	for {
		word, err := p.next()
		if err != nil {
			return k, err
		}
		dst := &k.algorithm
		switch word {
		case "}":
			if k.algorithm == "" || k.secret == "" {
				return k, p.fail("the key before this lacks its algorithm or its secret")
			}
			return k, p.expect(";")
		case "algorithm":
		case "secret":
			dst = &k.secret
		default:
			return k, p.fail("expected algorithm, secret or }")
		}
		if *dst != "" {
			return k, p.fail(word + " is given twice")
		}
		if *dst, err = p.value("a value"); err != nil {
			return k, err
		}
		if err := p.expect(";"); err != nil {
			return k, err
		}
		k.algorithm = strings.TrimSuffix(strings.ToLower(k.algorithm), ".")
		if k.algorithm == "hmac-md5.sig-alg.reg.int" {
			k.algorithm = md5Algorithm
		}
	}
}

// value reads a word or a text in quotes.
func (p *keyFile) value(what string) (string, error) {
	word, err := p.next()
	if err == nil && (word == "" || strings.ContainsAny(word[:1], "{};")) {
		err = p.fail("expected " + what)
	}
	return strings.Trim(word, `"`), err
}

func (p *keyFile) expect(mark string) error {
	word, err := p.next()
	if err == nil && word != mark {
		err = p.fail("expected " + mark)
	}
	return err
}

// next returns the next word, mark, or text with its quotes; "" at the end.
func (p *keyFile) next() (string, error) {
	if err := p.skip(); err != nil {
		return "", err
	}
	p.tokenAt = place{p.line, p.column}
	if p.rest == "" {
		return "", nil
	}
	n := 1
	switch p.rest[0] {
	case '{', '}', ';':
	case '"':
		end := strings.IndexAny(p.rest[1:], "\"\n")
		if end < 0 || p.rest[1+end] == '\n' {
			return "", p.fail("the closing quote is missing")
		}
		n = end + 2
	default:
		if n = strings.IndexAny(p.rest, " \t\r\n{};\"#"); n < 0 {
			n = len(p.rest)
		}
	}
	return p.take(n), nil
}

// skip steps over blanks and comments: # and // to the end of the line, and
// /* to */.
func (p *keyFile) skip() error {
	for p.rest != "" {
		p.tokenAt = place{p.line, p.column}
		switch {
		case strings.ContainsAny(p.rest[:1], " \t\r\n"):
			p.take(1)
		case p.rest[0] == '#' || strings.HasPrefix(p.rest, "//"):
			if end := strings.IndexByte(p.rest, '\n'); end >= 0 {
				p.take(end)
			} else {
				p.take(len(p.rest))
			}
		case strings.HasPrefix(p.rest, "/*"):
			end := strings.Index(p.rest[2:], "*/")
			if end < 0 {
				return p.fail("the comment that begins here has no end")
			}
			p.take(end + 4)
		default:
			return nil
		}
	}
	return nil
}

// take takes n octets off the rest.
func (p *keyFile) take(n int) string {
	s := p.rest[:n]
	p.rest = p.rest[n:]
	p.column += n
	if last := strings.LastIndexByte(s, '\n'); last >= 0 {
		p.line += strings.Count(s, "\n")
		p.column = n - last
	}
	return s
}
