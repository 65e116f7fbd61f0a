package gitaly_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// replicate copies repo to the second storage, under the same path.
func (f *fixture) replicate(t *testing.T, repo *gitalypb.Repository) error {
	t.Helper()
	ctx := gitalytest.WithServer(t, t.Context(), repo.GetStorageName(), f.address, token)
	_, err := f.repos.ReplicateRepository(ctx, &gitalypb.ReplicateRepositoryRequest{Repository: replicaOf(repo), Source: repo})
	return err
}

// replicaOf is the repository's replica in the second storage.
func replicaOf(repo *gitalypb.Repository) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: "two", RelativePath: repo.GetRelativePath()}
}

// checkTwin fails the test unless both replicas are equal and sound.
func (f *fixture) checkTwin(t *testing.T, repo *gitalypb.Repository) {
	t.Helper()
	if got, want := f.sum(t, replicaOf(repo)), f.sum(t, repo); got != want {
		t.Errorf("got checksum %q, want %q", got, want)
	}
	for _, args := range [][]string{{"show-ref", "--head", "--dereference"}, {"symbolic-ref", "HEAD"}} {
		if got, want := git(t, f.path(replicaOf(repo)), nil, args...), git(t, f.path(repo), nil, args...); got != want {
			t.Errorf("git %v: got\n%s\nwant\n%s", args, got, want)
		}
	}
	git(t, f.path(replicaOf(repo)), nil, "fsck", "--full", "--strict", "--connectivity-only")
}

func TestServer_replicatesUnderPushes(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	const writers, pushes, rounds = 3, 6, 4
	group, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		dir, commit := work(t, 10_000+w)
		ref := fmt.Sprintf("refs/heads/writer-%d", w)
		var data [][]byte
		old := zero
		for range pushes {
			data = append(data, pushOf(t, dir, ref, old, commit))
			old = commit
			commit = git(t, dir, nil, "commit-tree", commit+"^{tree}", "-p", commit, "-m", "next")
		}
		group.Go(func() error {
			for _, d := range data {
				if _, err := f.push(ctx, repo, d); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range rounds { // whatever state each of them finds
		if err := f.replicate(t, repo); err != nil {
			t.Errorf("replicate under pushes: %v", err)
		}
		git(t, f.path(replicaOf(repo)), nil, "fsck", "--full", "--strict", "--connectivity-only")
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("push: %v", err)
	}
	must.Succeed(t, f.replicate(t, repo))
	f.checkTwin(t, repo)
}

func TestServer_replicatesWhatIsNoRepository(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	objects := f.seed(t, repo)
	f.write(t, repo, "refs/heads/main", objects.Commits[2])
	broken := f.create(t, "b.git")
	must.Succeed(t, f.replicate(t, repo))
	// Take HEAD from the copy: what is left is no repository.
	git(t, f.path(replicaOf(repo)), nil, "symbolic-ref", "HEAD", "refs/heads/x")
	remove(t, filepath.Join(f.path(replicaOf(repo)), "HEAD"))
	if _, err := f.repos.CalculateChecksum(t.Context(), &gitalypb.CalculateChecksumRequest{Repository: replicaOf(repo)}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("checksum of no repository: got %v, want FailedPrecondition", err)
	}
	must.Succeed(t, f.replicate(t, repo))
	f.checkTwin(t, repo)
	// As a source it is as good as absent.
	remove(t, filepath.Join(f.path(broken), "HEAD"))
	if err := f.replicate(t, broken); status.Code(err) != codes.NotFound {
		t.Errorf("source that is no repository: got %v, want NotFound", err)
	}
}

func TestServer_replicatesFromAnUnreadableSource(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	objects := f.seed(t, repo)
	f.write(t, repo, "refs/heads/main", objects.Commits[2])
	must.Succeed(t, f.replicate(t, repo))
	before := f.sum(t, replicaOf(repo))
	f.write(t, repo, "refs/heads/other", git(t, f.path(repo), nil, "commit-tree", objects.Commits[0]+"^{tree}", "-m", "lost"))
	lost := git(t, f.path(repo), nil, "rev-parse", "refs/heads/other")
	remove(t, filepath.Join(f.path(repo), "objects", lost[:2], lost[2:]))
	if err := f.replicate(t, repo); err == nil {
		t.Error("an object is missing, and the replication says nothing")
	}
	if got := f.sum(t, replicaOf(repo)); got != before {
		t.Errorf("got checksum %q, want %q as before", got, before)
	}
}

// hangingSource says that it has every repository, and then no more.
type hangingSource struct {
	gitalypb.UnimplementedRepositoryServiceServer
	gitalypb.UnimplementedSSHServiceServer
	asked chan struct{} // closed when a fetch has begun
}

func (s *hangingSource) RepositoryExists(context.Context, *gitalypb.RepositoryExistsRequest) (*gitalypb.RepositoryExistsResponse, error) {
	return &gitalypb.RepositoryExistsResponse{Exists: true}, nil
}

func (s *hangingSource) SSHUploadPack(stream gitalypb.SSHService_SSHUploadPackServer) error {
	close(s.asked)
	<-stream.Context().Done()
	return context.Cause(stream.Context())
}

func TestServer_replicationCutOff(t *testing.T) {
	f := start(t)
	source := &hangingSource{asked: make(chan struct{})}
	address := gitalytest.Serve(t, func(ctx context.Context, lis net.Listener) error {
		server := grpc.NewServer(grpc.WaitForHandlers(true))
		gitalypb.RegisterRepositoryServiceServer(server, source)
		gitalypb.RegisterSSHServiceServer(server, source)
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		return server.Serve(lis)
	})
	ctx, cancel := context.WithCancel(gitalytest.WithServer(t, t.Context(), "one", address, ""))
	defer cancel()
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: "a.git"}
	done := make(chan error, 1)
	go func() {
		_, err := f.repos.ReplicateRepository(ctx, &gitalypb.ReplicateRepositoryRequest{Repository: replicaOf(repo), Source: repo})
		done <- err
	}()
	<-source.asked
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
	f.server.Kill() // the call's work ends with it, git included
	if _, err := os.Stat(f.path(replicaOf(repo))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no repository", err)
	}
}

func TestServer_optimizes(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	objects := f.seed(t, repo)
	for i, commit := range objects.Commits {
		f.write(t, repo, fmt.Sprintf("refs/heads/%d", i), commit)
	}
	before := f.sum(t, repo)
	if _, err := f.repos.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repo}); err != nil {
		t.Fatal(err)
	}
	if got := f.sum(t, repo); got != before {
		t.Errorf("got checksum %q, want %q as before", got, before)
	}
	packs, err := filepath.Glob(filepath.Join(f.path(repo), "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Errorf("got %v, %v, want one pack", packs, err)
	}
	_, err = f.repos.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repo, Strategy: 99})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("unknown strategy: got %v, want InvalidArgument", err)
	}
}

// A lock that has been there for an hour is of no git that runs.
func TestServer_housekeepingRemovesStaleLocks(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	f.seed(t, repo)
	stale, young := filepath.Join(f.path(repo), "refs", "heads", "a.lock"), filepath.Join(f.path(repo), "refs", "heads", "b.lock")
	for path, age := range map[string]time.Duration{stale: time.Hour + time.Minute, young: time.Hour / 2} {
		must.Succeed(t, os.WriteFile(path, nil, 0o600))
		at := time.Now().Add(-age)
		must.Succeed(t, os.Chtimes(path, at, at))
	}
	if _, err := f.repos.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repo}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale lock: got %v, want none", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young lock: %v", err)
	}
}
