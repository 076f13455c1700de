package rotation

import (
	"errors"
	"fmt"
	"log/slog"
)

// Secret is a key in clear. It refuses to be printed, logged or marshalled;
// Expose is the only door, and can be grepped.
type Secret struct {
	// A pointer to a string, and to nothing richer: where Secret is an
	// unexported field, fmt calls no methods, and for a verb that does not fit
	// (%s, %q) it follows a pointer to a struct. This one it shows as an address.
	value *string
}

// NewSecret takes a key into custody.
func NewSecret(value string) Secret { return Secret{&value} }

// Expose is the key in clear; the zero Secret is "".
func (s Secret) Expose() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says that there is no key.
func (s Secret) IsZero() bool { return s.Expose() == "" }

const redacted = "[secret]"

// String never shows the key.
func (Secret) String() string { return redacted }

// GoString never shows the key.
func (Secret) GoString() string { return redacted }

// Format never shows the key, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue never shows the key.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

var errSecret = errors.New("a secret cannot be marshalled")

// MarshalJSON always fails.
func (Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// MarshalText always fails.
func (Secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalBinary always fails; gob asks for it.
func (Secret) MarshalBinary() ([]byte, error) { return nil, errSecret }
