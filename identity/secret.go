package identity

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands in the place of a private key wherever one would be printed.
const redacted = "[secret]"

// String returns "[secret]".
func (k Key) String() string { return redacted }

// GoString returns "[secret]".
func (k Key) GoString() string { return redacted }

// Format writes "[secret]" for every verb and flag but %T and %p, which package
// fmt keeps to itself and which show no secret.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalJSON returns "[secret]" in quotes. A Key cannot be read back from JSON.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[secret]".
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[secret]".
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }
