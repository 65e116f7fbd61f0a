package config

import (
	"fmt"
	"time"
)

// Duration is a span of time, written as a Go duration string such as "500ms"
// or "1h30m". Convert it with time.Duration(d).
type Duration time.Duration

// String returns the form that UnmarshalText reads.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a Go duration string.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write a number with a unit, such as '500ms', '30s' or '1h'", text)
	}
	*d = Duration(parsed)
	return nil
}
