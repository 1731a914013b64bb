// Package secret keeps credentials in a type that cannot be printed.
package secret

import (
	"fmt"
	"log/slog"
)

const masked = "***"

// String is a value that must never reach a log, an error, a page or a table.
// Every way of formatting it yields ***; only Reveal returns what it holds.
// The zero String holds "".
type String struct {
	// value is behind a pointer since fmt prints the fields of what it is asked to
	// format with %p or %w without calling any method.
	value *string
}

// New wraps value.
func New(value string) String { return String{value: &value} }

// Reveal returns the secret itself. Call it only where it is handed to a driver.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s String) IsZero() bool { return s.Reveal() == "" }

// String implements [fmt.Stringer].
func (s String) String() string { return masked }

// GoString implements [fmt.GoStringer].
func (s String) GoString() string { return masked }

// Format implements [fmt.Formatter], so that no verb prints the value.
func (s String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// MarshalText implements [encoding.TextMarshaler]; JSON and YAML use it.
func (s String) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue implements [slog.LogValuer].
func (s String) LogValue() slog.Value { return slog.StringValue(masked) }

// UnmarshalText implements [encoding.TextUnmarshaler]; it takes the text as it is.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
