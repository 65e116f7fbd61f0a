package replicator

import (
	"context"
	"errors"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// poolWaits bounds how often a repair waits for the pool that it should link a
// replica to: without the link it only takes more room.
const poolWaits = 10

var (
	errPoolBehind = errors.New("the storage has yet to get the object pool of the repository")
	errBorrowed   = errors.New("repositories of which the storage misses writes may still borrow from the object pool")
)

// join has the target borrow from the same object pool as the source, or from none,
// which a copy leaves as it was. A link that outlived that of the source would miss
// its objects when the pool is removed. ctx is for questions; copying and ended are as in
// calls.replicate.
func (r *repairer) join(ctx, copying context.Context, key state.Key, view *state.State, source, target string) (ended bool, err error) {
	want, err := r.calls.poolOf(ctx, key, source)
	if err != nil {
		return true, ofSource(err)
	}
	have, err := r.calls.poolOf(ctx, key, target)
	if err != nil || have == want {
		return true, err
	}
	if have != "" {
		if ended, err := r.calls.disconnect(copying, key, target); err != nil || !ended {
			return ended, err
		}
	}
	if want == "" {
		return true, nil
	}
	pool := state.Key{VirtualStorage: key.VirtualStorage, RelativePath: want}
	there, err := r.calls.exists(ctx, pool, target)
	switch {
	case err != nil:
		return true, err
	case there:
		return r.calls.link(copying, key, want, target)
	case view.Entry(pool).IsBehind(target) && r.backoffs.waitsForPool(key) <= poolWaits:
		return true, errPoolBehind
	}
	return true, nil // it is removed, or cannot be had; nothing is missing without it
}

// lends tells whether the repository to be removed from a storage is an object pool from
// which replicas there may borrow: one that misses writes may miss that it is to
// borrow no longer, and would miss its objects.
func lends(view *state.State, key state.Key, storage string) bool {
	if !isPool(key) {
		return false
	}
	borrows := false
	view.Each(key.VirtualStorage, func(other state.Key, e *state.Entry) bool {
		borrows = !isPool(other) && !e.Deleted && e.IsBehind(storage)
		return !borrows
	})
	return borrows
}

func isPool(key state.Key) bool { return strings.HasPrefix(key.RelativePath, "@pools/") }

// poolOf is the path of the pool from which a replica borrows; empty for none.
func (c *calls) poolOf(ctx context.Context, key state.Key, storage string) (path string, err error) {
	err = c.look(ctx, key, storage, "look for the object pool on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		answer, err := gitalypb.NewObjectPoolServiceClient(conn).GetObjectPool(ctx, &gitalypb.GetObjectPoolRequest{Repository: repo})
		path = answer.GetObjectPool().GetRepository().GetRelativePath()
		if status.Code(err) == codes.Unimplemented {
			return nil // it has no pools
		}
		return err
	})
	return path, err
}

// disconnect ends a replica's borrowing; ctx and ended are as in change.
func (c *calls) disconnect(ctx context.Context, key state.Key, storage string) (ended bool, err error) {
	return c.change(ctx, key, storage, "disconnect from its object pool the replica on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewObjectPoolServiceClient(conn).DisconnectGitAlternates(ctx, &gitalypb.DisconnectGitAlternatesRequest{Repository: repo})
		return err
	})
}

// link has a replica borrow from a pool on its storage; ctx and ended are as in change.
func (c *calls) link(ctx context.Context, key state.Key, pool, storage string) (ended bool, err error) {
	return c.change(ctx, key, storage, "link to its object pool the replica on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		_, err := gitalypb.NewObjectPoolServiceClient(conn).LinkRepositoryToObjectPool(ctx, &gitalypb.LinkRepositoryToObjectPoolRequest{
			Repository: repo, ObjectPool: &gitalypb.ObjectPool{Repository: &gitalypb.Repository{StorageName: storage, RelativePath: pool}},
		})
		return err
	})
}
