package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/storage"
)

// TestConfigurationInit_startsACluster makes the settings of three instances, whose hosts are
// loopback addresses here, and starts them with nothing changed but what three hosts would not
// share.
func TestConfigurationInit_startsACluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	db := map[string]string{}
	for _, line := range regexp.MustCompile(`(\w+) = "?([^"\n]*)"?`).FindAllStringSubmatch(databaseSettings(t), -1) {
		db[line[1]] = line[2]
	}
	password, inner := filepath.Join(t.TempDir(), "password"), filepath.Join(t.TempDir(), "token")
	for path, text := range map[string]string{password: db["password"], inner: "secret"} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	// Addresses on which nothing else listens at the ports that the settings have.
	net := fmt.Sprintf("127.%d.%d.", 2+rand.IntN(250), rand.IntN(250))
	var instances, storages []string
	for n := range 3 {
		instances = append(instances, fmt.Sprintf("praefect-%d=%s%d", n+1, net, n+1))
		name := fmt.Sprintf("gitaly-%d", n+1)
		storages = append(storages, name+"="+memoryStorage(t, name, "secret"))
	}
	// Two questions are answered, the other one by a flag.
	answers := strings.Join(instances, " ") + "\n" + strings.Join(storages, " ") + "\n"
	got := praefect(t, answers, "configuration", "init", "-dir", dir, "-database-host", db["host"], "-database-user", db["user"],
		"-database-name", db["dbname"], "-database-password-file", password, "-storage-token-file", inner)
	if got.code != 0 || strings.Count(got.stdout, "\n") != 3 || !strings.Contains(got.stderr, "Instances, 3 or 5") || strings.Contains(got.stderr, "Host of Postgres") {
		t.Fatalf("got %+v", got)
	}
	var running []*instance
	for n := range 3 {
		etc := filepath.Join(dir, fmt.Sprintf("praefect-%d", n+1))
		path := filepath.Join(etc, "config.toml")
		text, err := os.ReadFile(path)
		must(t, err)
		here := strings.NewReplacer(
			"/etc/praefect", etc, "0.0.0.0:", fmt.Sprintf("%s%d:", net, n+1), `#format = "text"`, `format = "json"`,
			"#port = 5432", "port = "+db["port"], `## sslmode = "verify-full"`, `sslmode = "disable"`,
		).Replace(string(text))
		must(t, os.WriteFile(path, []byte(here), 0o600))
		if got := praefect(t, here, "configuration", "validate"); got != (outcome{}) {
			t.Fatalf("validate: got %+v", got)
		}
		state := filepath.Join(t.TempDir(), "state")
		running = append(running, serveWith(t, path, 1, func(key string) string { return map[string]string{"STATE_DIRECTORY": state}[key] }))
		running[n].grpc = fmt.Sprintf("tcp://%s%d:2305", net, n+1) // where it listens as soon as the others are there
	}
	token, err := os.ReadFile(filepath.Join(dir, "praefect-2", "secrets", "client-token"))
	must(t, err)
	repository := &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"}
	for n, i := range running {
		i.awaitReady()
		cc, err := storage.NewClient(i.grpc, strings.TrimSpace(string(token)))
		must(t, err)
		client := gitalypb.NewRepositoryServiceClient(cc)
		if n == 0 {
			_, err = client.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository})
		} else {
			var answer *gitalypb.RepositoryExistsResponse
			answer, err = client.RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repository})
			if err == nil && !answer.GetExists() {
				err = errors.New("the repository is not there")
			}
		}
		if err := errors.Join(err, cc.Close()); err != nil {
			t.Errorf("instance %d: %v", n+1, err)
		}
	}
	for n, i := range running {
		if code := i.stop(); code != 0 {
			t.Errorf("instance %d: exit code %d: %s", n+1, code, i.stderr.String())
		}
	}
}

func TestConfigurationInit_refuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "b"), 0o700))
	three := []string{"-instance", "a=10.0.0.1", "-instance", "b=10.0.0.2", "-instance", "c=10.0.0.3"}
	rest := []string{"-storage", "gitaly-1=tcp://10.0.0.11:8075", "-database-host", "db.internal"}
	for _, row := range []struct {
		name string
		args []string
		says string
	}{
		{"no answers", nil, "give it as -instance"},
		{"two instances", append(three[:4:4], rest...), "2 instances: a cluster has 3 or 5"},
		{"no address", append([]string{"-instance", "a"}, rest...), "write NAME=ADDRESS"},
		{"a name with a path", append([]string{"-instance", "../a=10.0.0.1"}, rest...), "cannot be the name of a directory"},
		{"a storage at no address", append(three[:6:6], "-storage", "gitaly-1=10.0.0.11", "-database-host", "db"), "no known scheme"},
		{"no such file", append(append(three[:6:6], rest...), "-storage-token-file", "/none"), "/none"},
		{"a directory that exists", append(three[:6:6], rest...), "nothing was written"},
	} {
		t.Run(row.name, func(t *testing.T) {
			praefect(t, "", append([]string{"configuration", "init", "-dir", dir}, row.args...)...).fails(t, 1, row.says)
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("a refused command left %v, %v", left, err)
	}
}
