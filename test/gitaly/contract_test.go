package gitaly_test

import (
	"os"
	"path/filepath"
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

func newSubject(t *testing.T) gitalytest.Subject { return start(t).subject() }

// subject is the server as the suites want it.
func (f *fixture) subject() gitalytest.Subject {
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
	return gitalytest.SeedOnDisk(t, "git", f.path(repo))
}

// git runs git in a directory and returns what it prints.
func git(t *testing.T, dir string, stdin []byte, args ...string) string {
	t.Helper()
	return gitalytest.Git(t, "git", dir, stdin, args...)
}
