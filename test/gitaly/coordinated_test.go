package gitaly_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/channel"
	"praefect/proxy/transaction"
	"praefect/test/gitaly/gitalytest"
)

// trio is three storages whose votes the proxy's own transactions count.
type trio struct {
	manager *transaction.Manager
	nodes   []*fixture // storage "gitaly-1" and so on, one a server

	mu     sync.Mutex
	behind map[string]bool // storages that a write went on without; guarded by mu
}

// node is the name of a storage.
func node(i int) string { return fmt.Sprintf("gitaly-%d", i+1) }

func newTrio(t *testing.T) *trio {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	trio := &trio{
		manager: transaction.NewManager(func() state.Incarnation { return 1 }, log, prometheus.NewRegistry()),
		behind:  make(map[string]bool),
	}
	for i := range 3 {
		name := node(i)
		f := &fixture{dir: map[string]string{name: t.TempDir()}}
		f.server = newServer(t, f.dir)
		f.address = gitalytest.Serve(t, f.server.Run)
		f.clients = newClients(gitalytest.DialChannel(t, f.address, token, channel.Client{Server: func() *grpc.Server {
			back := grpc.NewServer()
			gitalypb.RegisterRefTransactionServer(back, trio.manager.Service(name, f))
			return back
		}}))
		trio.nodes = append(trio.nodes, f)
	}
	return trio
}

// each makes a call of every storage at once, in one transaction, and returns
// how it ended at the primary, the first one. Who did not do as that is behind.
func (trio *trio) each(ctx context.Context, path string, call func(ctx context.Context, f *fixture, repo *gitalypb.Repository) error) error {
	config := transaction.Config{
		Keys: []state.Key{{VirtualStorage: "default", RelativePath: path}}, Copies: 2,
		Account: func(agreeing []string, _ bool) <-chan error {
			trio.mu.Lock()
			defer trio.mu.Unlock()
			for i := range trio.nodes {
				trio.behind[node(i)] = trio.behind[node(i)] || !slices.Contains(agreeing, node(i))
			}
			allowed := make(chan error, 1)
			allowed <- nil
			return allowed
		},
	}
	for i, f := range trio.nodes {
		config.Voters = append(config.Voters, transaction.Voter{Storage: node(i), Conn: f})
	}
	tx := trio.manager.Begin(config)
	defer tx.End()
	ended := make([]error, len(trio.nodes))
	var calls sync.WaitGroup
	for i, f := range trio.nodes {
		ctx := metadata.AppendToOutgoingContext(ctx, transaction.Header, tx.Metadata(node(i)))
		calls.Go(func() {
			ended[i] = call(ctx, f, &gitalypb.Repository{StorageName: node(i), RelativePath: path})
			tx.Leave(node(i))
		})
	}
	calls.Wait()
	trio.mu.Lock()
	defer trio.mu.Unlock()
	for i, err := range ended {
		trio.behind[node(i)] = trio.behind[node(i)] || (err == nil) != (ended[0] == nil)
	}
	return ended[0]
}

// Pushes that are made at once, some to the same reference, leave the storages
// equal, and those that were answered with success are there.
func TestServer_pushesCoordinated(t *testing.T) {
	trio := newTrio(t)
	err := trio.each(t.Context(), "a.git", func(ctx context.Context, f *fixture, repo *gitalypb.Repository) error {
		_, err := f.repos.CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: repo})
		return err
	})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	const writers = 4
	var mu sync.Mutex
	accepted := make(map[string]string)
	var pushes sync.WaitGroup
	for w := range writers {
		dir, commit := work(t, 10_000+w)
		for _, ref := range []string{fmt.Sprintf("refs/heads/own-%d", w), "refs/heads/common"} {
			data := pushOf(t, dir, ref, zero, commit)
			pushes.Go(func() {
				err := trio.each(t.Context(), "a.git", func(ctx context.Context, f *fixture, repo *gitalypb.Repository) error {
					answer, err := f.push(ctx, repo, data)
					if err == nil && !strings.Contains(answer, "ok "+ref) {
						return fmt.Errorf("refused: %q", answer)
					}
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					accepted[ref] = commit
				case status.Code(err) == codes.Aborted, ref == "refs/heads/common":
					// It lost against another one, or seemed to wait for it too long.
				default:
					t.Errorf("push to %s: %v", ref, err)
				}
			})
		}
	}
	pushes.Wait()
	if len(accepted) == 0 {
		t.Error("no push was accepted")
	}
	serving := 0
	want := ""
	for i, f := range trio.nodes {
		if trio.behind[node(i)] {
			t.Logf("%s is behind: the machine is slow", node(i))
			continue
		}
		serving++
		path := f.path(&gitalypb.Repository{StorageName: node(i), RelativePath: "a.git"})
		refs := git(t, path, nil, "for-each-ref", "--format=%(refname) %(objectname)")
		if want == "" {
			want = refs
		}
		if refs != want {
			t.Errorf("%s: got references\n%s\nwant\n%s", node(i), refs, want)
		}
		for ref, commit := range accepted {
			if !strings.Contains(refs, ref+" "+commit) {
				t.Errorf("%s: %s is lost", node(i), ref)
			}
		}
		checkNoLocks(t, path)
	}
	if serving < 2 {
		t.Errorf("%d storages are not behind, want 2 at least", serving)
	}
}
