package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecretAndFormer(t *testing.T) {
	for name, row := range map[string]struct{ text, secret, former, says string }{
		"one":                {text: "one\n", secret: "one"},
		"two":                {text: "two\none\n", secret: "two", former: "one"},
		"two without an end": {text: "two\r\none", secret: "two", former: "one"},
		"three":              {text: "three\ntwo\none\n", says: "3 lines"},
		"an empty first":     {text: "\none\n", says: "first line"},
		"empty":              {text: "\n", says: "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			must(t, os.WriteFile(path, []byte(row.text), 0o600))
			secret, former, err := readSecretAndFormer(path)
			if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Fatalf("got %v, want %q", err, row.says)
			}
			if secret.Reveal() != row.secret || former.Reveal() != row.former {
				t.Errorf("got %q, %q", secret.Reveal(), former.Reveal())
			}
		})
	}
}

// A former secret must be as hard to guess as the present one.
func TestLoad_formerSecretOfInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte("sixteen or more characters\nfew\n"), 0o600))
	settings := filepath.Join(t.TempDir(), "config.toml")
	text := minimal + "\n[raft]\nname = 'a'\nlisten_addr = 'a:2307'\nsecret_file = '" + path + "'\n"
	must(t, os.WriteFile(settings, []byte(text), 0o600))
	_, err := Load(t.Context(), settings, func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "too few in the second line") || strings.Contains(err.Error(), "sixteen") {
		t.Errorf("got %v", err)
	}
}
