package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/proxy/admin"
)

// Contexts are kept in a file, and what is named nearer goes first.
func TestContexts_precedence(t *testing.T) {
	i := newInstance(t)
	one := i.serve(t)
	other := i.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{Peers: true})
	third := i.serveAs(t, "praefect-3", "tcp", "127.0.0.1:0", admin.Access{Peers: true})
	home := t.TempDir()
	token := writeFile(t, "secret\n")
	env := func(more ...string) map[string]string {
		e := map[string]string{"HOME": home}
		for n := 0; n < len(more); n += 2 {
			e[more[n]] = more[n+1]
		}
		return e
	}
	for _, args := range [][]string{
		{"-endpoints", one, "-token-file", token, "context", "set", "lab"},
		{"-endpoints", other + "," + one, "context", "set", "prod"},
	} {
		if got := praefectctl(t, env(), args...); got.code != 0 {
			t.Fatalf("%v: got %+v", args, got)
		}
	}
	path := filepath.Join(home, ".config", "praefectctl", "config.toml")
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "secret") || !strings.Contains(string(text), token) {
		t.Errorf("the file holds %s, %v; it is to name the token's file, and not to hold the token", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	for _, row := range []struct {
		name string
		env  map[string]string
		args []string
		by   string
	}{
		{"the current one", env(), nil, "praefect-1"},
		{"the environment's endpoints before the current one", env("PRAEFECT_ENDPOINTS", third), nil, "praefect-3"},
		{"the environment's context before its endpoints", env("PRAEFECT_ENDPOINTS", third, "PRAEFECT_CONTEXT", "prod"), nil, "praefect-2"},
		{"the flag before the environment", env("PRAEFECT_CONTEXT", "lab"), []string{"-context", "prod"}, "praefect-2"},
		{"endpoints before all", env("PRAEFECT_CONTEXT", "lab"), []string{"-context", "prod", "-endpoints", third}, "praefect-3"},
	} {
		praefectctl(t, row.env, append(row.args, "status")...).ends(t, 0, "answered by "+row.by+"\n")
	}
	if shown := *i.token.Load(); shown != "" {
		t.Errorf("the token of another context was shown: %q", shown)
	}
	if got := praefectctl(t, env(), "status"); got.code != 0 || !strings.HasPrefix(*i.token.Load(), "Bearer v2.") {
		t.Errorf("the token of the context was not shown: %+v", got)
	}
	praefectctl(t, env(), "context", "use", "prod").ends(t, 0)
	if got := praefectctl(t, env(), "status"); !strings.Contains(got.stdout, "answered by praefect-2") {
		t.Errorf("got %+v", got)
	}
	if got := praefectctl(t, env(), "context", "list"); !strings.Contains(got.stdout, "*  prod") || !strings.Contains(got.stdout, "lab") {
		t.Errorf("got %+v", got)
	}
	praefectctl(t, env(), "context", "set", "-delete", "prod").ends(t, 0)
	for _, args := range [][]string{{"-context", "prod", "status"}, {"context", "use", "prod"}, {"context", "set", "new"}, {"status"}} {
		if got := praefectctl(t, env(), args...); got.code != exitUsage {
			t.Errorf("%v: got %+v", args, got)
		}
	}
	must(t, os.WriteFile(path, []byte("curent = \"lab\"\n"), 0o600))
	praefectctl(t, env(), "status").fails(t, exitUsage, "curent") // a key that is misspelt
}
