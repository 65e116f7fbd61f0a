package gitaly_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		serveForKilling(dir)
	}
	goleak.VerifyTestMain(m)
}

func TestServer_keepsTheContract(t *testing.T) {
	gitalytest.Exercise(t, newSubject)
}

func TestServer_keepsTheContractOfGit(t *testing.T) {
	gitalytest.ExerciseGit(t, newSubject)
}

func TestServer_votes(t *testing.T) {
	gitalytest.ExerciseVotes(t, newSubject)
}

func TestServer_votesWithGit(t *testing.T) {
	gitalytest.ExerciseGitVotes(t, newSubject)
}

func newSubject(t *testing.T) gitalytest.Subject {
	f := start(t)
	return gitalytest.Subject{
		Conn:    f.conn,
		Address: f.address,
		Token:   token,
		Storage: "one",
		Other:   "two",
		Seed:    f.seed,
		Path:    f.path,
	}
}

const token = "secret"

// fixture is a running server with two storages.
type fixture struct {
	*clients
	server  *gitaly.Server
	address string
	dir     map[string]string // of each storage
}

// start runs a server until the test ends.
func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: map[string]string{"one": t.TempDir(), "two": t.TempDir()}}
	f.server = newServer(t, f.dir)
	f.address = gitalytest.Serve(t, f.server.Run)
	f.clients = newClients(gitalytest.Dial(t, f.address, token))
	return f
}

func newServer(t *testing.T, storages map[string]string) *gitaly.Server {
	t.Helper()
	server, err := gitaly.New(gitaly.Config{Storages: storages, Token: token, Grace: -1})
	if err != nil {
		t.Fatalf("new server: %v", err)
	}
	return server
}

// path returns where a repository is on disk.
func (f *fixture) path(repo *gitalypb.Repository) string {
	return filepath.Join(f.dir[repo.GetStorageName()], repo.GetRelativePath())
}

// seed writes three commits and a blob of 300,000 bytes.
func (f *fixture) seed(t *testing.T, repo *gitalypb.Repository) gitalytest.Objects {
	t.Helper()
	dir := f.path(repo)
	blob := bytes.Repeat([]byte("some text\n"), 30_000)
	objects := gitalytest.Objects{
		Blob:     git(t, dir, blob, "hash-object", "-w", "--stdin"),
		BlobSize: int64(len(blob)),
	}
	tree := git(t, dir, []byte("100644 blob "+objects.Blob+"\ttext\n"), "mktree")
	for range 3 {
		args := []string{"commit-tree", tree, "-m", "a commit"}
		if n := len(objects.Commits); n > 0 {
			args = append(args, "-p", objects.Commits[n-1])
		}
		objects.Commits = append(objects.Commits, git(t, dir, nil, args...))
	}
	return objects
}

// git runs git in a directory and returns what it prints.
func git(t *testing.T, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = gitEnv()
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// gitEnv makes git's objects the same in every run, whoever runs it.
func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0100",
		"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE=1700000000 +0100",
	}
}
