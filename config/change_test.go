package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const changing = `
[auth]
token = "client secret"
[logging]
level = "info"
[admin]
token = "operators' secret"
[[virtual_storage]]
name = "second"
node = [{storage = "a", address = "unix:a", token = "inner"}, {storage = "b", address = "unix:b"}]
`

func TestChanges(t *testing.T) {
	before := parseText(t, minimal+changing)
	if got := Changes(before, parseText(t, minimal+changing)); len(got) > 0 {
		t.Errorf("nothing changed, and got %v", got)
	}
	after := parseText(t, "drain_wait = '1s'\n"+strings.NewReplacer(
		"client secret", "a newer secret", `"info"`, `"debug"`, `address = "unix:b"`, `address = "unix:c"`, `storage = "a"`, `storage = "c"`,
	).Replace(minimal+changing))
	want := []Change{
		{"auth.token", "[redacted]", "[redacted]"},
		{"drain_wait", "0s", "1s"},
		{"logging.level", "info", "debug"},
		{"virtual_storage.second.node.a.address", "unix:a", ""},
		{"virtual_storage.second.node.a.primary", "false", ""},
		{"virtual_storage.second.node.a.storage", "a", ""},
		{"virtual_storage.second.node.a.token", "[redacted]", ""},
		{"virtual_storage.second.node.a.token_file", "", ""},
		{"virtual_storage.second.node.b.address", "unix:b", "unix:c"},
		{"virtual_storage.second.node.c.address", "", "unix:a"},
		{"virtual_storage.second.node.c.primary", "", "false"},
		{"virtual_storage.second.node.c.storage", "", "c"},
		{"virtual_storage.second.node.c.token", "", "[redacted]"},
		{"virtual_storage.second.node.c.token_file", "", ""},
	}
	if diff := cmp.Diff(want, Changes(before, after)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestConfig_withLive(t *testing.T) {
	before := parseText(t, minimal+changing)
	after := parseText(t, "drain_wait = '1s'\n"+strings.NewReplacer(
		"client secret", "a newer secret", "operators' secret", "another", `"info"`, `"debug"`,
		`address = "unix:b"`, `address = "unix:c", token = "new"`, `storage = "a"`, `storage = "c"`,
	).Replace(minimal+changing))
	live := before.WithLive(after)
	var keys []string
	for _, c := range Changes(before, live) {
		keys = append(keys, c.Key)
	}
	want := []string{"admin.token", "auth.token", "logging.level", "virtual_storage.second.node.b.address", "virtual_storage.second.node.b.token"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("live changes (-want +got):\n%s", diff)
	}
	if before.VirtualStorages[1].Nodes[1].Address != "unix:b" {
		t.Error("the first configuration was changed")
	}
}

// A secret in a file of a name that stays is another one all the same.
func TestChanges_ofSecretFiles(t *testing.T) {
	before, after := parseText(t, minimal), parseText(t, minimal)
	before.Raft.Secret, after.Raft.Secret = "one", "two"
	if got := Changes(before, after); len(got) != 1 || got[0] != (Change{"raft.secret", "[redacted]", "[redacted]"}) {
		t.Errorf("got %v", got)
	}
}

// The secret between instances is taken at once, but not a change from certificates to one.
func TestConfig_withLiveTakesThePeersSecret(t *testing.T) {
	before, after := parseText(t, minimal), parseText(t, minimal)
	before.Raft.Secret, after.Raft.Secret, after.Raft.FormerSecret = "one", "two", "one"
	if got := before.WithLive(after).Raft; got.Secret != "two" || got.FormerSecret != "one" {
		t.Errorf("got %q, %q", got.Secret.Reveal(), got.FormerSecret.Reveal())
	}
	keys := make([]string, 0, 2)
	for _, c := range Changes(before, after) {
		keys = append(keys, c.Key)
	}
	if diff := cmp.Diff([]string{"raft.former_secret", "raft.secret"}, keys); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	before.Raft.Secret = ""
	if got := before.WithLive(after).Raft; got.Secret != "" || got.FormerSecret != "" {
		t.Errorf("from certificates: got %q, %q", got.Secret.Reveal(), got.FormerSecret.Reveal())
	}
}
