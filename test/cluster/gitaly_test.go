package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"praefect/test/must"
)

// program writes a script that answers --version.
func program(t *testing.T, path, version string) string {
	t.Helper()
	text := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = --version ] && echo '%s'\n", version)
	must.Succeed(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

func TestFindGitaly_takesWhatIsNamedOrEmbedded(t *testing.T) {
	embeddedDir, plainDir := t.TempDir(), t.TempDir()
	embedded := program(t, filepath.Join(embeddedDir, "gitaly"), "Gitaly, version 18.1.0")
	program(t, filepath.Join(embeddedDir, "git"), "git version 2.49.0.gl1")
	plain := program(t, filepath.Join(plainDir, "gitaly"), "Gitaly, version 16.11.2")
	newer := program(t, filepath.Join(plainDir, "newer"), "git version 2.42.0")
	older := program(t, filepath.Join(plainDir, "older"), "git version 2.41.9")
	missing := filepath.Join(plainDir, "missing")
	for _, row := range []struct {
		bin, git, embedded string
		want               *Gitaly
		fault              string
	}{
		{"", "", missing, nil, ""},
		{NoGitaly, "", embedded, nil, ""},
		{"", "", embedded, &Gitaly{embedded, "Gitaly, version 18.1.0", filepath.Join(embeddedDir, "git")}, ""},
		{plain, "", embedded, &Gitaly{plain, "Gitaly, version 16.11.2", ""}, ""},
		{plain, newer, missing, &Gitaly{plain, "Gitaly, version 16.11.2", newer}, ""},
		{plain, older, missing, nil, "2.41.9, want 2.42 or later"},
		{plain, plain, missing, nil, "no version"},
		{plain, missing, missing, nil, missing},
		{missing, "", embedded, nil, "GITALY_BIN=none"},
	} {
		got, err := findGitaly(t.Context(), row.bin, row.git, row.embedded)
		switch {
		case row.fault != "":
			if err == nil || !strings.Contains(err.Error(), row.fault) {
				t.Errorf("%+v: got %v, want %q", row, err, row.fault)
			}
		case err != nil || (got == nil) != (row.want == nil) || got != nil && *got != *row.want:
			t.Errorf("%+v: got %+v, %v", row, got, err)
		}
	}
}

func TestWriteGitalyConfig_saysWhatANodeNeeds(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "storages", "gitaly-1", "disk")
	for _, row := range []struct {
		git  string
		want string
	}{
		{"/opt/git", `map[bin_path:/opt/git]`},
		{"", `map[use_bundled_binaries:true]`},
	} {
		c := &Cluster{Dir: dir, options: Options{Gitaly: &Gitaly{Bin: "/opt/bin/gitaly", Git: row.git}}}
		s := &Storage{Process: &Process{name: "gitaly-1"}, Name: "gitaly-1", Addr: "127.0.0.1:8075", Token: "secret", Dir: disk}
		path, err := c.writeGitalyConfig(s)
		must.Succeed(t, err)
		text, err := os.ReadFile(path)
		must.Succeed(t, err)
		var got table
		must.Succeed(t, toml.Unmarshal(text, &got))
		gitlab, _ := got["gitlab"].(table)
		for key, want := range map[string]any{
			"listen_addr": "127.0.0.1:8075", "bin_dir": "/opt/bin", "auth": "map[token:secret]", "git": row.want,
			"storage": fmt.Sprintf("[map[name:gitaly-1 path:%s]]", disk),
		} {
			if fmt.Sprint(got[key]) != want {
				t.Errorf("%s is %v, want %v", key, got[key], want)
			}
		}
		if want := "http+unix://" + strings.ReplaceAll(dir, "/", "%2F") + "%2Fgitlab.socket"; gitlab["url"] != want {
			t.Errorf("the hooks ask %v, want %s", gitlab["url"], want)
		}
		for _, made := range []any{got["runtime_dir"], gitlab["secret_file"]} {
			if _, err := os.Stat(fmt.Sprint(made)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestStart_saysWhatOfGitalyDidNotStart(t *testing.T) {
	dir := t.TempDir()
	bin := program(t, filepath.Join(dir, "gitaly"), "Gitaly, version 18.1.0") // and no more than that
	g, err := FindGitaly(t.Context(), bin, "")
	must.Succeed(t, err)
	_, err = Start(t.Context(), Options{Binaries: programs, Gitaly: g, Dir: filepath.Join(dir, "state")})
	if err == nil {
		t.Fatal("a Gitaly that ends at once is no fault")
	}
	for _, want := range []string{"18.1.0", bin + " serve ", "gitaly.toml", filepath.Join("gitaly-1", "log")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}
