package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestConfig_exposed(t *testing.T) {
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte("secret"), mode))
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return path
	}
	open, closed := write("open", 0o644), write("closed", 0o640)
	for _, tc := range []struct {
		name string
		cfg  Config
		file string
		want []string
	}{
		{"no token", Config{}, open, []string{"auth.token"}},
		{"not enforced", Config{Auth: Auth{Token: "x", TokenFile: closed, Transitioning: true}}, open, []string{"auth.transitioning"}},
		{"all is well", Config{Auth: Auth{Token: "x", TokenFile: closed}, TLS: TLS{KeyPath: closed}}, open, nil},
		{"a token in a settings file that all may read", Config{Auth: Auth{Token: "x"}}, open, []string{"config"}},
		{"a token in a settings file that few may read", Config{Auth: Auth{Token: "x"}}, closed, nil},
		{"a token file that all may read", Config{Auth: Auth{Token: "x", TokenFile: open}}, closed, []string{"auth.token_file"}},
		{"keys that all may read", Config{Auth: Auth{Token: "x", TokenFile: closed}, TLS: TLS{KeyPath: open}, Raft: Raft{KeyPath: open}}, closed, []string{"tls.key_path", "raft.key_path"}},
		{"a storage's token", Config{Auth: Auth{Token: "x", TokenFile: closed}, VirtualStorages: []VirtualStorage{{Nodes: []Node{{Token: "y", TokenFile: open}}}}}, closed, []string{"virtual_storage.0.node.0.token_file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, w := range tc.cfg.Exposed(tc.file) {
				got = append(got, w.Key)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
