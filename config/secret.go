package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// maxSecretBytes bounds the size of a secret file: a longer one is not a secret but a mistake in
// the path.
const maxSecretBytes = 64 << 10

// Secret is a token, password or key. Printed, logged or in JSON it is
// "[redacted]", or nothing when it is empty; Reveal returns it. Text that is
// meant to be loaded again, as go-toml writes it, holds it plainly.
type Secret string

// Reveal returns the secret itself, for code that has to sign or send it.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format hides the secret from every verb, %x and %d among them.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		text = s.GoString()
	}
	// The printer takes note of a failed write itself; a Formatter has no way
	// to report one.
	_, _ = io.WriteString(f, text)
}

// MarshalText hides the secret from JSON and from handlers that write text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// readSecret returns the content of the file, without one newline at its end. It refuses a file
// that others may read or change, an empty one, and anything that is no regular file.
func readSecret(path string) (secret Secret, err error) {
	// O_NONBLOCK keeps a named pipe from holding up the start: it is opened,
	// seen to be no regular file and refused.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if err := checkSecretMode(path, info.Mode()); err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxSecretBytes {
		return "", fmt.Errorf("%q is longer than %d bytes and hardly a secret: check the path", path, maxSecretBytes)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("%q is empty: write the secret into it, or remove the key", path)
	}
	return Secret(text), nil
}

// readSecretAndFormer returns the two secrets that a file may hold during a change, a line
// each: the present one and the former one, which may be missing.
func readSecretAndFormer(path string) (secret, former Secret, err error) {
	text, err := readSecret(path)
	if err != nil {
		return "", "", err
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	switch {
	case len(lines) > 2:
		return "", "", fmt.Errorf("%q has %d lines: write the secret into the first one and, while it replaces a former one, that into the second", path, len(lines))
	case lines[0] == "":
		return "", "", fmt.Errorf("the first line of %q is empty: write the secret into it", path)
	case len(lines) == 2:
		former = Secret(lines[1])
	}
	return Secret(lines[0]), former, nil
}

// checkSecretMode judges the permissions of a secret file. A group may read
// it, so that one file can serve two services.
func checkSecretMode(path string, mode fs.FileMode) error {
	switch perm := mode.Perm(); {
	case !mode.IsRegular():
		return fmt.Errorf("%q is not a regular file", path)
	case perm&0o004 != 0:
		return fmt.Errorf("%q is readable by everyone (mode %04o): chmod it to 0600 or 0400", path, perm)
	case perm&0o022 != 0:
		return fmt.Errorf("%q is writable by its group or by everyone (mode %04o): chmod it to 0600 or 0400", path, perm)
	}
	return nil
}
