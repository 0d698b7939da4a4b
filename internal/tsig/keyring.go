package tsig

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// MaxName is the longest name of a key, in octets of wire form. With it a
// header, any question, an OPT with a client subnet and the longest TSIG fit
// into 512 octets, so that every signed query can be answered over UDP, if only
// by a truncated answer (RFC 8945 5.3.1).
const MaxName = 96

// Key is a secret shared with whoever knows it too.
type Key struct {
	// Name in presentation form, with or without the final dot, of any case.
	Name string
	// Algorithm is hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384,
	// hmac-sha512 or hmac-md5 (RFC 8945 6).
	Algorithm string
	// Secret is not copied and must not change any more.
	Secret []byte
	// Trusted: this key may transfer or update.
	Trusted bool
}

// hidden is what is shown of a key, whatever is asked for.
func (k Key) hidden() string { return fmt.Sprintf("key %q (%s)", k.Name, k.Algorithm) }

// String names the key, without its secret.
func (k Key) String() string { return k.hidden() }

// Format writes String for all verbs and flags: %#v, %+v and %x too.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.hidden()) }

// LogValue is String, for slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.hidden()) }

// MarshalText is String, for JSON and other encoders of text.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.hidden()), nil }

// algorithm is a way to make MACs.
type algorithm struct {
	text string // as in Key
	name []byte // in wire form, lower case (RFC 8945 6)
	size int    // octets of a MAC
	hash func() hash.Hash
}

// algorithmOf finds an algorithm by its name.
func algorithmOf(text string) (algorithm, bool) {
	a := algorithm{text: text}
	name := text
	switch text {
	case "hmac-md5":
		a.hash, a.size, name = md5.New, md5.Size, "hmac-md5.sig-alg.reg.int"
	case "hmac-sha1":
		a.hash, a.size = sha1.New, sha1.Size
	case "hmac-sha224":
		a.hash, a.size = sha256.New224, sha256.Size224
	case "hmac-sha256":
		a.hash, a.size = sha256.New, sha256.Size
	case "hmac-sha384":
		a.hash, a.size = sha512.New384, sha512.Size384
	case "hmac-sha512":
		a.hash, a.size = sha512.New, sha512.Size
	default:
		return a, false
	}
	a.name, _ = packName(name)
	return a, true
}

// packName is the canonical wire form of a name: in lower case, not compressed.
func packName(text string) ([]byte, error) {
	var buf [wire.MaxName + 1]byte
	n, err := dns.PackDomainName(dns.Fqdn(text), buf[:], 0, nil, false)
	if err != nil {
		return nil, err
	}
	name := buf[:n]
	if wire.NameLen(name) != n {
		return nil, errors.New("not a domain name")
	}
	return wire.AppendLower(nil, name), nil
}

// key is a Key that is ready for use.
type key struct {
	text    string // the name, canonical
	name    []byte // in wire form, lower case
	alg     algorithm
	trusted bool
	// mac signs what parts make together. The secret is in the function, which
	// nothing can print.
	mac func(parts ...[]byte) []byte
	// stream begins a MAC whose parts come one after the other.
	stream func(parts ...[]byte) *stream
}

// stream is a MAC under way. It is of functions, as the key is.
type stream struct {
	write func(part []byte)
	sum   func() []byte
}

func signer(a *algorithm, secret []byte) func(parts ...[]byte) []byte {
	begin := streamer(a, secret)
	return func(parts ...[]byte) []byte { return begin(parts...).sum() }
}

func streamer(a *algorithm, secret []byte) func(parts ...[]byte) *stream {
	return func(parts ...[]byte) *stream {
		h := hmac.New(a.hash, secret)
		for _, p := range parts {
			_, _ = h.Write(p)
		}
		return &stream{
			write: func(part []byte) { _, _ = h.Write(part) },
			sum:   func() []byte { return h.Sum(nil) },
		}
	}
}

// Keyring is a set of keys. It never changes. The nil Keyring has none.
type Keyring struct {
	// By the wire form of their names, in lower case.
	keys map[string]*key
}

// NewKeyring checks the keys and makes a set of them. The errors name the key
// and never its secret.
func NewKeyring(keys []Key) (*Keyring, error) {
	r := &Keyring{keys: make(map[string]*key, len(keys))}
	for i := range keys {
		k, err := prepare(&keys[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keys[i].hidden(), err)
		}
		if r.keys[string(k.name)] != nil {
			return nil, fmt.Errorf("%s: there are two keys of this name; give each its own", keys[i].hidden())
		}
		r.keys[string(k.name)] = k
	}
	return r, nil
}

func prepare(from *Key) (*key, error) {
	name, err := packName(from.Name)
	alg, known := algorithmOf(from.Algorithm)
	switch {
	case err != nil || from.Name == "":
		return nil, errors.New("the name is not a domain name; write one such as xfer.example")
	case len(name) > MaxName:
		return nil, fmt.Errorf("the name takes %d octets; at most %d leave room for an answer", len(name), MaxName)
	case !known:
		return nil, errors.New("the algorithm is not known; use hmac-sha256")
	case len(from.Secret) == 0:
		return nil, errors.New("the secret is empty")
	}
	return &key{text: wire.NameString(name), name: name, alg: alg, trusted: from.Trusted, mac: signer(&alg, from.Secret), stream: streamer(&alg, from.Secret)}, nil
}

// Len is how many keys there are.
func (r *Keyring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.keys)
}

// find returns the key of a name and an algorithm in canonical wire form; nil
// if there is none.
func (r *Keyring) find(name, alg []byte) *key {
	if r == nil {
		return nil
	}
	k := r.keys[string(name)]
	if k == nil || !bytes.Equal(k.alg.name, alg) {
		return nil
	}
	return k
}
