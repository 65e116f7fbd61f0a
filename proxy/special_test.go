package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/storage"
	"praefect/test/gitaly"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// gitBackend is a storage on real git.
func gitBackend(t *testing.T, name string) *backend {
	t.Helper()
	server, err := gitaly.New(gitaly.Config{Storages: map[string]string{name: t.TempDir()}, Token: storageToken, Grace: -1})
	must.Succeed(t, err)
	return &backend{serve: server.Run}
}

func (w *fixture) exists(path string) (bool, error) {
	answer, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(w.t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repository(path)})
	return answer.GetExists(), err
}

func (w *fixture) remove(path string) error {
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).RemoveRepository(w.t.Context(), &gitalypb.RemoveRepositoryRequest{Repository: repository(path)})
	return err
}

// at is a client of one storage, past the instance.
func (w *fixture) at(name string) gitalypb.RepositoryServiceClient {
	w.t.Helper()
	cc, err := storage.NewClient("tcp://"+w.storages[name].address, storageToken)
	must.Succeed(w.t, err)
	w.t.Cleanup(func() { cc.Close() })
	return gitalypb.NewRepositoryServiceClient(cc)
}

// seed makes repositories on storages, as if they had been there for long.
func (w *fixture) seed(path string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, err := w.at(name).CreateRepository(w.t.Context(), &gitalypb.CreateRepositoryRequest{
			Repository: &gitalypb.Repository{StorageName: name, RelativePath: path},
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// missDelete has the ledger say that a delete reached gitaly-1 alone.
func (w *fixture) missDelete(path string) {
	w.t.Helper()
	w.note(path, state.DeletedSet, "gitaly-1")
}

// missAt has the ledger say that a write reached only the storages named.
func (w *fixture) missAt(path string, agreeing ...string) {
	w.t.Helper()
	w.note(path, state.DeletedKeep, agreeing...)
}

func (w *fixture) note(path string, change state.DeletedChange, agreeing ...string) {
	w.t.Helper()
	paths := []string{path}
	w.node.must(w.t,
		state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.PrimaryOnly}},
		state.Command{MarkBehind: &state.MarkBehind{
			VirtualStorage: "default", Paths: paths, Primary: "gitaly-1", Agreeing: agreeing,
			Epoch: w.node.View().VirtualStorage("default").Epoch, Deleted: change,
		}},
		state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: paths}})
}

func TestRemoveRepository_absent(t *testing.T) {
	for name, kind := range map[string]func(*testing.T, string) *backend{"memory": newBackend, "git": gitBackend} {
		t.Run(name, func(t *testing.T) {
			w := newVotingFixture(t, kind)
			err := w.remove("absent.git")
			if status.Code(err) != codes.NotFound || status.Convert(err).Message() != "repository does not exist" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRepositoryExists_ofADeletedOne: for no reader, from the moment when the
// delete was answered.
func TestRepositoryExists_ofADeletedOne(t *testing.T) {
	w := newFixture(t)
	w.seed("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	must.Succeed(t, w.remove("a.git"))
	for range 20 { // gitaly-2 and gitaly-3 have it still
		if exists, err := w.exists("a.git"); err != nil || exists {
			t.Fatalf("got %t, %v", exists, err)
		}
	}
}

func TestRepositoryExists_inNoVirtualStorage(t *testing.T) {
	w := newFixture(t)
	answer, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{
		Repository: &gitalypb.Repository{StorageName: "elsewhere", RelativePath: "a.git"},
	})
	if err != nil || answer.GetExists() {
		t.Errorf("got %v, %v", answer, err)
	}
	w.untouched()
}

// poolDigest names a pool as Rails does.
var poolDigest = strings.Repeat("ab12", 16)

func pool(path string) *gitalypb.ObjectPool {
	return &gitalypb.ObjectPool{Repository: repository(path)}
}

func TestDeleteObjectPool_deletesPoolsOnly(t *testing.T) {
	w := newFixture(t)
	for _, path := range []string{
		"a.git", "@pools/ab/12/short.git", "@pools/ab/13/" + poolDigest + ".git", "@pools/ab/12/" + poolDigest, "x/@pools/ab/12/" + poolDigest + ".git",
	} {
		_, err := gitalypb.NewObjectPoolServiceClient(w.conn).DeleteObjectPool(t.Context(), &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool(path)})
		if status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != "invalid object pool directory" {
			t.Errorf("%q: got %v", path, err)
		}
	}
	w.untouched()
}

// TestObjectPool_lifeOfOne: the client sees its own name of the storage, and a
// pool that is absent is deleted already.
func TestObjectPool_lifeOfOne(t *testing.T) {
	w := newVotingFixture(t, gitBackend)
	ctx := t.Context()
	pools := gitalypb.NewObjectPoolServiceClient(w.conn)
	path := "@pools/ab/12/" + poolDigest + ".git"
	w.create("a.git")
	if _, err := pools.CreateObjectPool(ctx, &gitalypb.CreateObjectPoolRequest{ObjectPool: pool(path), Origin: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	if e := w.entry(); e != nil { // the origin was only read
		t.Errorf("entry of the origin: %+v", e)
	}
	if answer, err := pools.GetObjectPool(ctx, &gitalypb.GetObjectPoolRequest{Repository: repository("a.git")}); err != nil || answer.GetObjectPool() != nil {
		t.Errorf("before it is linked: got %v, %v", answer, err)
	}
	if _, err := pools.LinkRepositoryToObjectPool(ctx, &gitalypb.LinkRepositoryToObjectPoolRequest{ObjectPool: pool(path), Repository: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	answer, err := pools.GetObjectPool(ctx, &gitalypb.GetObjectPoolRequest{Repository: repository("a.git")})
	if got := answer.GetObjectPool().GetRepository(); err != nil || got.GetStorageName() != "default" || got.GetRelativePath() != path {
		t.Errorf("got %v, %v", got, err)
	}
	for range 2 { // the second one finds none
		if _, err := pools.DeleteObjectPool(ctx, &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool(path)}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if exists, err := w.exists(path); err != nil || exists {
			t.Errorf("after the delete: got %t, %v", exists, err)
		}
	}
}

// TestDeleteObjectPool_whereAbsentIsAnError: a storage that says NotFound says
// that it is deleted.
func TestDeleteObjectPool_whereAbsentIsAnError(t *testing.T) {
	absent := &echo{fail: func(string) error { return status.Error(codes.NotFound, "repository does not exist") }}
	w := newVotingFixture(t, absent.backend)
	path := "@pools/ab/12/" + poolDigest + ".git"
	if _, err := gitalypb.NewObjectPoolServiceClient(w.conn).DeleteObjectPool(t.Context(), &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool(path)}); err != nil {
		t.Error(err)
	}
}

func TestCreateFork_readsItsSourceThroughTheInstance(t *testing.T) {
	w := newVotingFixture(t, gitBackend)
	ctx := w.servers(t)
	w.create("a.git")
	if _, err := gitalypb.NewRepositoryServiceClient(w.conn).CreateFork(ctx, &gitalypb.CreateForkRequest{
		Repository: repository("fork.git"), SourceRepository: repository("a.git"),
	}); err != nil {
		t.Fatal(err)
	}
	if exists, err := w.exists("fork.git"); err != nil || !exists {
		t.Errorf("got %t, %v", exists, err)
	}
}

// TestReplicateRepository_makesAndUpdates: the target need not exist, and may.
func TestReplicateRepository_makesAndUpdates(t *testing.T) {
	w := newVotingFixture(t, gitBackend)
	ctx := w.servers(t)
	w.create("a.git")
	for range 2 {
		if _, err := gitalypb.NewRepositoryServiceClient(w.conn).ReplicateRepository(ctx, &gitalypb.ReplicateRepositoryRequest{
			Repository: repository("b.git"), Source: repository("a.git"), ReplicateObjectDeduplicationNetworkMembership: true,
		}); err != nil {
			t.Fatal(err)
		}
		if exists, err := w.exists("b.git"); err != nil || !exists {
			t.Errorf("got %t, %v", exists, err)
		}
	}
}

// TestWalkRepos_correctsTheStorageByTheLedger, whichever storage is walked.
func TestWalkRepos_correctsTheStorageByTheLedger(t *testing.T) {
	w := newFixture(t)
	w.seed("everywhere.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.seed("updated.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.missAt("updated.git", "gitaly-1")
	w.seed("new.git", "gitaly-1")
	w.missAt("new.git", "gitaly-1")
	w.seed("deleted.git", "gitaly-2", "gitaly-3")
	w.missDelete("deleted.git")
	w.missAt("never made.git", "gitaly-1")

	walked := make(map[string]bool)
	want := []string{"everywhere.git", "new.git", "updated.git"}
	for range 100 {
		if got, err := w.walk(); err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		for name := range w.storages {
			walked[name] = walked[name] || w.to(gitalypb.InternalGitaly_WalkRepos_FullMethodName, name) > 0
		}
	}
	if !maps.Equal(walked, map[string]bool{"gitaly-1": true, "gitaly-2": true, "gitaly-3": true}) {
		t.Errorf("walked: %v", walked)
	}
}

// TestWalkRepos_keepsWhatNobodyCanServe, as it is not gone.
func TestWalkRepos_keepsWhatNobodyCanServe(t *testing.T) {
	w := newFixture(t)
	w.seed("lost.git", "gitaly-1")
	w.missAt("lost.git", "gitaly-1")
	w.missDelete("deleted.git")
	epoch := w.node.View().VirtualStorage("default").Epoch
	w.node.must(t, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"gitaly-1"}, Why: state.WhyDead, Epoch: epoch}})
	w.node.must(t, state.Command{Admit: &state.Admit{
		VirtualStorage: "default", Epoch: epoch + 1, Storages: []state.Admission{{Storage: "gitaly-1", As: state.Out, Why: state.WhyDead}},
	}})
	if got, err := w.walk(); err != nil || !slices.Equal(got, []string{"lost.git"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestWalkRepos_failsRatherThanMislead: a storage that should know and does not
// answer is an error.
func TestWalkRepos_failsRatherThanMislead(t *testing.T) {
	w := newFixture(t)
	w.seed("deleted.git", "gitaly-2", "gitaly-3")
	w.missDelete("deleted.git")
	w.storages["gitaly-1"].setHook(func(_ context.Context, call memory.Call) (bool, error) {
		if call.Method == gitalypb.RepositoryService_RepositoryExists_FullMethodName {
			return false, status.Error(codes.Internal, "disk on fire")
		}
		return true, nil
	})
	if got, err := w.walk(); status.Code(err) != codes.Internal {
		t.Errorf("got %q, %v", got, err)
	}
}

// servers is a context that tells storages how to reach the instance, as GitLab
// does for calls with a source.
func (w *fixture) servers(t *testing.T) context.Context {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(lis, "tcp", nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	header, err := json.Marshal(map[string]map[string]string{"default": {"address": "tcp://" + lis.Addr().String(), "token": clientToken}})
	must.Succeed(t, err)
	return metadata.AppendToOutgoingContext(t.Context(), "gitaly-servers", base64.StdEncoding.EncodeToString(header))
}

// walk lists the repositories of the virtual storage, in order.
func (w *fixture) walk() (paths []string, err error) {
	repos, err := gitalypb.NewInternalGitalyClient(w.conn).WalkRepos(w.t.Context(), &gitalypb.WalkReposRequest{StorageName: "default"})
	for err == nil {
		var found *gitalypb.WalkReposResponse
		if found, err = repos.Recv(); err == nil {
			paths = append(paths, found.GetRelativePath())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(paths)
	return paths, err
}

// A listener that comes when the instance already stops is closed, and nothing waits
// behind it: TestMain looks for goroutines.
func TestServer_serveAfterShutdown(t *testing.T) {
	w := newFixture(t)
	w.server.Shutdown(t.Context())
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	if err := w.server.Serve(lis, "tcp", nil); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
