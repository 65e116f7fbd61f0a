package peer

import (
	"errors"
	"testing"
)

// Secrets are replaced while the transports run, in two steps, and each connects to each at any time.
func TestTransport_replacesASecret(t *testing.T) {
	side := func(name string) *Transport {
		return listen(t, Config{Name: name, ID: "id of " + name, Credentials: Credentials{Secret: secret}})
	}
	a, b := side("a"), side("b")
	meet := func(when string) {
		t.Helper()
		_, toB := a.Meet(t.Context(), b.AdvertiseAddr(), "b")
		_, toA := b.Meet(t.Context(), a.AdvertiseAddr(), "a")
		if err := errors.Join(toA, toB); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	meet("at first")
	a.SetSecrets(another, secret)
	meet("one has both")
	b.SetSecrets(another, secret)
	meet("each has both")
	b.SetSecrets(another, "")
	meet("one has the new one alone")
	a.SetSecrets(another, "")
	meet("each has the new one alone")
	b.SetSecrets(secret, "")
	if _, err := a.Meet(t.Context(), b.AdvertiseAddr(), "b"); err == nil {
		t.Error("the former secret alone still opens a connection")
	}
}
