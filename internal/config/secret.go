package config

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
)

// hiddenSecret stands for every secret in whatever is printed.
const hiddenSecret = "(secret)"

// Secret holds what must not be seen. No verb of fmt, logger or encoder shows
// it, nor does reflection on a struct that holds it: fmt follows pointers in
// fields that are not exported, but not functions.
type Secret struct{ octets func() []byte }

// newSecret takes b over.
func newSecret(b []byte) Secret { return Secret{func() []byte { return b }} }

// Reveal returns the secret, to be used and not to be shown.
func (s Secret) Reveal() []byte {
	if s.octets == nil {
		return nil
	}
	return s.octets()
}

// Equal reports whether two secrets are the same.
func (s Secret) Equal(t Secret) bool { return bytes.Equal(s.Reveal(), t.Reveal()) }

// String hides the secret.
func (Secret) String() string { return hiddenSecret }

// GoString hides the secret.
func (Secret) GoString() string { return hiddenSecret }

// Format hides the secret from all verbs.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hiddenSecret) }

// LogValue hides the secret from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hiddenSecret) }

// MarshalText hides the secret from encoders of JSON, YAML and other texts.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenSecret), nil }

// MarshalJSON hides the secret from encoding/json.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenSecret + `"`), nil }
