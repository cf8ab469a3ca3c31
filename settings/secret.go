package settings

import (
	"fmt"
	"io"
	"unique"
)

// Secret is a text that is never printed: whoever has a webhook's address can write into its channel.
// Equal secrets are ==. The zero value is the empty text.
type Secret struct {
	// A handle keeps what == needs and hides the text behind a pointer: fmt cannot call our methods on
	// a Secret in another struct's unexported field, and would print a plain string there.
	text unique.Handle[string]
}

// NewSecret hides a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Format hides the text, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String hides the text.
func (Secret) String() string { return "[hidden]" }

// GoString hides the text.
func (Secret) GoString() string { return "[hidden]" }

// MarshalText hides the text, in JSON and in slog too.
func (Secret) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}
