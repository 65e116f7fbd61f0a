package replicator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"praefect/fsm/state"
	"praefect/test/gitaly"
	"praefect/test/must"
)

// realStorages are storages on real git.
type realStorages struct {
	conns     map[string]*grpc.ClientConn
	addresses map[string]string
	dirs      map[string]string
}

// Conn implements Storages.
func (s realStorages) Conn(_, storage string) (grpc.ClientConnInterface, error) {
	return s.conns[storage], nil
}

// Server implements Storages.
func (s realStorages) Server(_, storage string) (address, token string) {
	return s.addresses[storage], ""
}

// Changed implements Storages.
func (s realStorages) Changed() <-chan struct{} { return nil }

func newRealStorages(t *testing.T, names ...string) realStorages {
	t.Helper()
	s := realStorages{conns: make(map[string]*grpc.ClientConn), addresses: make(map[string]string), dirs: make(map[string]string)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, name := range names {
		s.dirs[name] = t.TempDir()
		server, err := gitaly.New(gitaly.Config{Storages: map[string]string{name: s.dirs[name]}, Grace: -1})
		must.Succeed(t, err)
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		must.Succeed(t, err)
		running.Go(func() {
			if err := server.Run(ctx, lis); err != nil {
				t.Errorf("storage: %v", err)
			}
		})
		s.addresses[name] = "tcp://" + lis.Addr().String()
		conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		must.Succeed(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		s.conns[name] = conn
	}
	return s
}

// commit makes a commit on a branch at one storage.
func (s realStorages) commit(t *testing.T, storage, path, branch, file string) {
	t.Helper()
	stream, err := gitalypb.NewOperationServiceClient(s.conns[storage]).UserCommitFiles(t.Context())
	must.Succeed(t, err)
	for _, r := range []*gitalypb.UserCommitFilesRequest{
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repository(key(path), storage), BranchName: []byte(branch), CommitMessage: []byte(file),
			User: &gitalypb.User{Name: []byte("a"), Email: []byte("a@example.com"), GlId: "user-1"},
		}}},
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: &gitalypb.UserCommitFilesAction{
			UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{Header: &gitalypb.UserCommitFilesActionHeader{
				Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(file),
			}},
		}}},
	} {
		if err := stream.Send(r); err != nil {
			break // CloseAndRecv says why
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
}

// A killed git has left its lock on a replica, or damage, for which every copy fails. The
// replica is made again, by nobody's hand.
func TestRepair_remakesARealReplica(t *testing.T) {
	for name, spoil := range map[string]func(replica string) error{
		"a reference stays locked": func(replica string) error {
			return os.WriteFile(filepath.Join(replica, "refs", "heads", "main.lock"), nil, 0o600)
		},
		"its objects are gone": func(replica string) error { return os.RemoveAll(filepath.Join(replica, "objects")) },
		"its object pool is gone": func(replica string) error {
			return os.WriteFile(filepath.Join(replica, "objects", "info", "alternates"), []byte("../../../@pools/gone.git/objects\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			storages := newRealStorages(t, "g1", "g2", "g3")
			for _, storage := range []string{"g1", "g2", "g3"} {
				create := &gitalypb.CreateRepositoryRequest{Repository: repository(key("a.git"), storage), DefaultBranch: []byte("main")}
				if _, err := gitalypb.NewRepositoryServiceClient(storages.conns[storage]).CreateRepository(t.Context(), create, grpc.WaitForReady(true)); err != nil {
					t.Fatal(err)
				}
			}
			// g1 and g2 have a write that g3 misses.
			storages.commit(t, "g3", "a.git", "main", "former")
			storages.commit(t, "g1", "a.git", "main", "newest")
			w.must(
				state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{"a.git"}, Kind: state.Open}},
				state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: vsName, Paths: []string{"a.git"}, Primary: "g1", Agreeing: []string{"g1"},
					Epoch: w.node.View().VirtualStorage(vsName).Epoch}},
				state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{"a.git"}}},
			)
			must.Succeed(t, spoil(filepath.Join(storages.dirs["g3"], "a.git")))
			r := New(Deps{
				Ledger: w.node, RepairLocks: repairLocks{w.locks}, Storages: storages, Queue: w.queue,
				Watch: func(ctx context.Context) (context.Context, func(error) bool) {
					return ctx, func(error) bool { return true }
				},
				Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
				Metrics: NewMetrics(prometheus.NewRegistry(), w.node),
			}, Config{RetryMin: 50 * time.Millisecond, RetryMax: 50 * time.Millisecond, ReconcileInterval: time.Second})
			ctx, cancel := context.WithCancel(t.Context())
			stop, done := w.running(), make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			r.Enqueue(key("a.git"))
			until(t, 2*time.Minute, func() bool { return w.entry("a.git") == nil })
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			stop()
			want, err := r.repairer.calls.sum(t.Context(), key("a.git"), "g1")
			must.Succeed(t, err)
			for _, storage := range []string{"g2", "g3"} {
				if got, err := r.repairer.calls.sum(t.Context(), key("a.git"), storage); err != nil || got != want {
					t.Errorf("%s: got %q, %v, want %q", storage, got, err, want)
				}
			}
			if _, err := os.Stat(filepath.Join(storages.dirs["g3"], "a.git", "refs", "heads", "main.lock")); err == nil {
				t.Error("the lock is left")
			}
			if lines := w.history(state.ChangeRemade); len(lines) > 1 || name == "a reference stays locked" && len(lines) != 1 {
				t.Errorf("history: %s", fmt.Sprint(lines))
			}
		})
	}
}
