package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/proto"
)

func TestParseTarget(t *testing.T) {
	for _, row := range []struct {
		url     string
		host    string
		tls     bool
		storage string
		path    string
		err     string
	}{
		{url: "gitaly://h:1234/default/group/project.git", host: "h:1234", storage: "default", path: "group/project.git"},
		{url: "gitaly://h/default/a.git/", host: "h:2305", storage: "default", path: "a.git"},
		{url: "gitalys://[::1]/v/a.git", host: "[::1]:3305", tls: true, storage: "v", path: "a.git"},
		{url: "gitaly://h/a%20b/@hashed/c%2Bd.git", host: "h:2305", storage: "a b", path: "@hashed/c+d.git"},
		{url: "gitaly://h:1/default", err: "lacks"},
		{url: "gitaly://h:1/default/", err: "lacks"},
		{url: "gitaly://h:1//a.git", err: "lacks"},
		{url: "gitaly:///default/a.git", err: "no host"},
		{url: "gitaly://token@h/default/a.git", err: "other than"},
		{url: "gitaly://h/default/a.git?x=y", err: "other than"},
		{url: "https://h/default/a.git", err: "begins with"},
		{url: "gitaly://h:x/default/a.git", err: "malformed"},
	} {
		got, err := parseTarget(row.url)
		if row.err != "" {
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%q: got %v, want it to say %q", row.url, err, row.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", row.url, err)
			continue
		}
		want := &gitalypb.Repository{StorageName: row.storage, RelativePath: row.path, GlRepository: glRepository, GlProjectPath: strings.TrimSuffix(row.path, ".git")}
		if got.host != row.host || got.tls != row.tls || !proto.Equal(got.repo, want) {
			t.Errorf("%q: got %q, %v, %v, want %q, %v, %v", row.url, got.host, got.tls, got.repo, row.host, row.tls, want)
		}
	}
}

// converseWith runs the program on what git would send, with no server.
func converseWith(t *testing.T, in string, env map[string]string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	p := program{
		stdin:  strings.NewReader(in),
		stdout: &out,
		stderr: io.Discard,
		getenv: func(name string) string { return env[name] },
	}
	err = p.run(t.Context(), append([]string{"git-remote-gitaly"}, args...))
	return out.String(), err
}

func TestProgram_protocol(t *testing.T) {
	for _, row := range []struct {
		name, in, want, err string
	}{
		{"nothing", "", "", ""},
		{"an empty line", "\n", "", ""},
		{"capabilities", "capabilities\n\n", "connect\n\n", ""},
		{"a service that there is not", "capabilities\nconnect git-upload-archive\n\n", "connect\n\nfallback\n", ""},
		{"another command", "list\n", "", `unknown command "list"`},
		{"half a command", "capabil", "", "read command"},
		{"no server", "connect git-upload-pack\n", "", "cannot reach 127.0.0.1:1"},
	} {
		got, err := converseWith(t, row.in, nil, "origin", "gitaly://127.0.0.1:1/default/a.git")
		if got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
		if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.err)
		}
	}
}

func TestProgram_badCommandLine(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	url := "gitaly://127.0.0.1:1/default/a.git"
	for _, row := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, "a remote and a URL"},
		{[]string{"origin"}, nil, "a remote and a URL"},
		{[]string{"create"}, nil, "exactly one URL"},
		{[]string{"create", "x"}, nil, "begins with"},
		{[]string{"create", url}, map[string]string{"GITALY_TOKEN_FILE": empty}, "is empty"},
		{[]string{"create", url}, map[string]string{"GITALY_TOKEN_FILE": empty + "x"}, "no such file"},
		{[]string{"create", url}, map[string]string{"GITALY_DEADLINE": "soon"}, "GITALY_DEADLINE"},
		{[]string{"create", url}, nil, "cannot reach"},
	} {
		out, err := converseWith(t, "", row.env, row.args...)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v, want it to say %q", row.args, err, row.want)
		}
		if out != "" {
			t.Errorf("%q: got %q on stdout, which is git's", row.args, out)
		}
	}
}
