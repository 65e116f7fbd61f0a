package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/memory"
)

// forwarded is how often a method was sent to any storage.
func (w *fixture) forwarded(method string) (n int) {
	for name := range w.storages {
		n += w.to(method, name)
	}
	return n
}

// everywhere fails the test if a storage lacks a repository.
func (w *fixture) everywhere(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		for name := range w.storages {
			answer, err := w.at(name).RepositoryExists(w.t.Context(), &gitalypb.RepositoryExistsRequest{
				Repository: &gitalypb.Repository{StorageName: name, RelativePath: path},
			})
			if err != nil || !answer.GetExists() {
				t := w.t
				t.Errorf("storage %q has %q: %t, %v", name, path, answer.GetExists(), err)
			}
		}
	}
}

// emptyLedger fails the test if the ledger knows of anything.
func (w *fixture) emptyLedger() {
	w.t.Helper()
	if n := w.node.View().Len(); n != 0 {
		w.t.Errorf("the ledger has %d entries", n)
	}
}

// TestMutate_namesADirectoryThatIsNoRepository: no storage is told to remove or to
// replace a directory that holds repositories, its own files, or part of a
// repository, whichever method names it.
func TestMutate_namesADirectoryThatIsNoRepository(t *testing.T) {
	w := newVotingFixture(t, gitBackend)
	ctx := w.servers(t)
	kept := []string{"@hashed/aa/bb/" + strings.Repeat("ab", 32) + ".git", "group/sub/a.git", "plain"}
	for _, path := range kept {
		w.create(path)
	}
	repositories := gitalypb.NewRepositoryServiceClient(w.conn)
	methods := map[string]func(path string) error{
		"RemoveRepository": w.remove,
		"ReplicateRepository": func(path string) error {
			_, err := repositories.ReplicateRepository(ctx, &gitalypb.ReplicateRepositoryRequest{
				Repository: repository(path), Source: &gitalypb.Repository{StorageName: "default", RelativePath: "no such.git"},
			})
			return err
		},
		"RestoreRepository": func(path string) error {
			_, err := repositories.RestoreRepository(ctx, &gitalypb.RestoreRepositoryRequest{Repository: repository(path), VanityRepository: repository(path), AlwaysCreate: true})
			return err
		},
		"CreateRepository": func(path string) error {
			_, err := repositories.CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: repository(path)})
			return err
		},
		"WriteRef": func(path string) error {
			_, err := repositories.WriteRef(ctx, &gitalypb.WriteRefRequest{Repository: repository(path), Ref: []byte("HEAD"), Revision: []byte("refs/heads/x")})
			return err
		},
	}
	reserved := []string{"@hashed", "@hashed/aa", "@hashed/aa/bb", "@pools", "+gitaly", "+gitaly/tmp", ".gitaly-metadata", kept[0] + "/objects", "group/sub/a.git/refs"}
	for name, call := range methods {
		for _, path := range reserved {
			if err := call(path); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s(%q): got %v, want InvalidArgument", name, path, err)
			}
		}
	}
	for _, tc := range []struct {
		method, path string
		code         codes.Code
		message      string
	}{
		{"RemoveRepository", "group", codes.NotFound, "repository does not exist"},
		{"RemoveRepository", "group/sub", codes.NotFound, "repository does not exist"},
		{"RemoveRepository", "plain/objects", codes.NotFound, "repository does not exist"},
		{"ReplicateRepository", "group", codes.InvalidArgument, "a directory with other content"},
		{"ReplicateRepository", "plain/objects", codes.InvalidArgument, `inside the repository "plain"`},
		{"RestoreRepository", "group/sub", codes.InvalidArgument, "a directory with other content"},
		{"CreateRepository", "plain/new", codes.InvalidArgument, `inside the repository "plain"`},
		{"CreateRepository", "a\x1b[31m.git", codes.InvalidArgument, "control character"},
		{"CreateRepository", strings.Repeat("d/", 40) + "a.git", codes.InvalidArgument, "41 directories deep"},
	} {
		err := methods[tc.method](tc.path)
		if status.Code(err) != tc.code || !strings.Contains(status.Convert(err).Message(), tc.message) {
			t.Errorf("%s(%q): got %v, want %v with %q", tc.method, tc.path, err, tc.code, tc.message)
		}
	}
	w.everywhere(kept...)
	w.closed(kept[0])
	w.emptyLedger()
	for _, method := range []string{gitalypb.RepositoryService_RemoveRepository_FullMethodName, gitalypb.RepositoryService_ReplicateRepository_FullMethodName, gitalypb.RepositoryService_RestoreRepository_FullMethodName} {
		if n := w.forwarded(method); n != 0 {
			t.Errorf("%s was forwarded %d times", method, n)
		}
	}
}

// TestRemoveRepository_manyAbsentPaths: none of them leaves anything in the ledger.
func TestRemoveRepository_manyAbsentPaths(t *testing.T) {
	w := newFixture(t)
	const total, clients = 5000, 16
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			for i := c; i < total; i += clients {
				if err := w.remove(fmt.Sprintf("absent/%d.git", i)); status.Code(err) != codes.NotFound {
					t.Errorf("%d: got %v", i, err)
					return
				}
			}
		})
	}
	running.Wait()
	w.emptyLedger()
	if n := w.forwarded(gitalypb.RepositoryService_RemoveRepository_FullMethodName); n != 0 {
		t.Errorf("%d removals were forwarded", n)
	}
	if touched := w.touchedPaths(); len(touched) != 0 {
		t.Errorf("%d repositories are to be looked at", len(touched))
	}
}

func (w *fixture) touchedPaths() (paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range w.touched {
		paths = append(paths, key.RelativePath)
	}
	return paths
}

// TestRemoveRepository_unavailableIsNotAbsent: while no storage can tell whether the
// repository exists, or this instance may not know who could, it is not declared
// absent.
func TestRemoveRepository_unavailableIsNotAbsent(t *testing.T) {
	t.Run("no storage answers", func(t *testing.T) {
		w := newFixture(t)
		w.server.cfg.InfoTimeout = time.Second // a busy machine needs some for one look
		for _, b := range w.storages {
			b.setHook(func(context.Context, memory.Call) (bool, error) {
				return false, status.Error(codes.Unavailable, "starting")
			})
		}
		if err := w.remove("a.git"); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		w.emptyLedger()
	})
	t.Run("no storage has all writes", func(t *testing.T) {
		w := newFixture(t)
		w.server.cfg.InfoTimeout = time.Second // a busy machine needs some for one look
		w.seed("a.git", "gitaly-2")
		w.missAt("a.git", "gitaly-1")
		w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
			return false, status.Error(codes.Unavailable, "starting")
		})
		if err := w.remove("a.git"); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		if n := w.forwarded(gitalypb.RepositoryService_RemoveRepository_FullMethodName); n != 0 {
			t.Errorf("%d removals were forwarded", n)
		}
	})
	t.Run("without a lease", func(t *testing.T) {
		w := newFixture(t)
		w.server.cfg.InfoTimeout = time.Second // a busy machine needs some for one look
		w.session.lose(true)
		defer w.session.lose(false)
		if err := w.remove("a.git"); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a storage answers after a while", func(t *testing.T) {
		w := newFixture(t)
		w.seed("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
		var mu sync.Mutex
		failures := 0
		for _, b := range w.storages {
			b.setHook(func(_ context.Context, c memory.Call) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if failures++; failures < 4 {
					return false, status.Error(codes.Unavailable, "starting")
				}
				return true, nil
			})
		}
		if err := w.remove("a.git"); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// TestRemoveRepository_repeatedAfterALostAnswer: the primary has removed the
// repository, and its answer was lost. The repetition is told that it is gone, no
// reader finds it on the other storages, and a repair is to remove it there.
func TestRemoveRepository_repeatedAfterALostAnswer(t *testing.T) {
	w := newFixture(t)
	w.seed("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.storages["gitaly-1"].setHook(func(_ context.Context, c memory.Call) (bool, error) {
		if c.Method == gitalypb.RepositoryService_RemoveRepository_FullMethodName {
			return true, status.Error(codes.Unavailable, "the answer is lost")
		}
		return true, nil
	})
	if err := w.remove("a.git"); err == nil {
		t.Fatal("the answer was not lost")
	}
	for range 3 {
		if err := w.remove("a.git"); status.Code(err) != codes.NotFound {
			t.Errorf("repeated: got %v", err)
		}
	}
	if exists, err := w.exists("a.git"); err != nil || exists {
		t.Errorf("exists: %t, %v", exists, err)
	}
	if e := w.node.View().Entry(keyOf("a.git")); e == nil || !e.Deleted || !e.IsBehind("gitaly-2") || !e.IsBehind("gitaly-3") {
		t.Errorf("entry: %+v", e)
	}
	if !slices.Contains(w.touchedPaths(), "a.git") {
		t.Error("nobody is told that it may be gone")
	}
}
