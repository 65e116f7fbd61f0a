package gitaly_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// restartable runs servers on the same directories, one after the other.
type restartable struct {
	fixture
	stop func()
}

func (r *restartable) start(t *testing.T) {
	t.Helper()
	r.server = newServer(t, r.dir)
	lis, address, err := gitaly.Listen(t.Context(), "unix:"+filepath.Join(t.TempDir(), "s"))
	must.Succeed(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Run(ctx, lis) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(r.stop)
	r.address = address
	r.clients = newClients(gitalytest.Dial(t, address, token))
	r.filesystemID(t) // it serves
}

func newRestartable(t *testing.T) *restartable {
	t.Helper()
	r := &restartable{fixture: fixture{dir: map[string]string{"one": t.TempDir()}}}
	r.start(t)
	return r
}

func (f *fixture) filesystemID(t *testing.T) string {
	t.Helper()
	info, err := f.info.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
	if err != nil {
		t.Fatalf("server info: %v", err)
	}
	return info.GetStorageStatuses()[0].GetFilesystemId()
}

func (f *fixture) create(t *testing.T, path string) *gitalypb.Repository {
	t.Helper()
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: path}
	if _, err := f.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo}); err != nil {
		t.Fatalf("create: %v", err)
	}
	return repo
}

func (f *fixture) write(t *testing.T, repo *gitalypb.Repository, ref, revision string) {
	t.Helper()
	_, err := f.repos.WriteRef(t.Context(), &gitalypb.WriteRefRequest{Repository: repo, Ref: []byte(ref), Revision: []byte(revision)})
	if err != nil {
		t.Fatalf("write %q: %v", ref, err)
	}
}

func (f *fixture) sum(t *testing.T, repo *gitalypb.Repository) string {
	t.Helper()
	resp, err := f.repos.CalculateChecksum(t.Context(), &gitalypb.CalculateChecksumRequest{Repository: repo})
	if err != nil {
		t.Fatalf("checksum: %v", err)
	}
	return resp.GetChecksum()
}

func TestStorage_idIsThatOfTheDisk(t *testing.T) {
	r := newRestartable(t)
	id := r.filesystemID(t)
	repo := r.create(t, "a.git")
	r.stop()
	r.start(t)
	if got := r.filesystemID(t); got != id {
		t.Errorf("after a restart: got %q, want %q", got, id)
	}
	exists, err := r.repos.RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repo})
	if err != nil || !exists.GetExists() {
		t.Errorf("after a restart: exists: got %v, %v, want true", exists.GetExists(), err)
	}
	r.stop()
	must.Succeed(t, os.RemoveAll(r.dir["one"]))
	r.start(t)
	if got := r.filesystemID(t); got == id || got == "" {
		t.Errorf("on an empty disk: got %q, want another one than %q", got, id)
	}
}

func TestStorage_diskTakenAway(t *testing.T) {
	r := newRestartable(t)
	must.Succeed(t, os.RemoveAll(r.dir["one"]))
	info, err := r.info.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
	must.Succeed(t, err)
	status := info.GetStorageStatuses()[0]
	if status.GetReadable() || status.GetWriteable() || status.GetFilesystemId() != "" {
		t.Errorf("got %v, want neither readable nor writeable, and no id", status)
	}
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: "a.git"}
	if _, err := r.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo}); err == nil {
		t.Error("a repository was made where no disk is")
	}
}

func TestStorage_isServedOnce(t *testing.T) {
	r := newRestartable(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := newServer(t, r.dir).Run(ctx, lis); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the wait for the directory cut off", err)
	}
	r.create(t, "a.git") // the first one goes on
}

func TestStorage_startRemovesLeftovers(t *testing.T) {
	r := newRestartable(t)
	repo := r.create(t, "group/a.git")
	objects := r.seed(t, repo)
	r.stop()
	for _, name := range []string{
		"group/a.git/HEAD.lock", "group/a.git/packed-refs.lock", "group/a.git/refs/heads/main.lock", "+gitaly/tmp/half/repository/HEAD",
		"group/a.git/objects/tmp_objdir-incoming-x/pack/tmp_pack",
	} {
		file := filepath.Join(r.dir["one"], name)
		must.Succeed(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must.Succeed(t, os.WriteFile(file, nil, 0o644))
	}
	r.start(t)
	r.write(t, repo, "refs/heads/main", objects.Commits[0])
	r.write(t, repo, "HEAD", "refs/heads/other")
	r.write(t, repo, "refs/heads/main", strings.Repeat("0", 40))
	for _, pattern := range []string{"+gitaly/tmp/*", "group/a.git/objects/tmp_*"} {
		left, err := filepath.Glob(filepath.Join(r.dir["one"], pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("got %v, %v, want nothing left", left, err)
		}
	}
}

func TestNew_namesAllFaults(t *testing.T) {
	_, err := gitaly.New(gitaly.Config{Storages: map[string]string{"": "/a", "b": "", "c": "/c", "d": "/x/../c"}})
	for _, want := range []string{"has no name", `"b" has no directory`, "share the directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if _, err := gitaly.New(gitaly.Config{}); err == nil {
		t.Error("no storages: got no error")
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	must.Succeed(t, os.Remove(path))
}
